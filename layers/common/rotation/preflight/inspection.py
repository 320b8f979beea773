"""Which looks are taken, in which order, and what does each say?"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cached_property

from rotation import strategies
from rotation.credential import LARGEST_SECRET, Credential, SecretValue
from rotation.deadline import Deadline
from rotation.engine import CloneStatus, Comparison, InspectedEngine, InspectedSession, Proof, Session
from rotation.errors import RightsDiffer
from rotation.finding import Finding, Outcome, failed, failed_with, not_looked_at, passed, warned
from rotation.kind import EngineKind, Strategy
from rotation.logins import admin_over, as_admin, at_admins_place, prove
from rotation.mirroring import require_shareable
from rotation.passwords import PasswordPolicy
from rotation.preflight.description import Description
from rotation.preflight.looks import Look, findings_of
from rotation.record import PairRecord, differ
from rotation.strategies import RotationStrategy
from rotation.values import dataclass

NOT_TRIED = "only a rotation shows it"


@dataclass(frozen=True)
class Means:
    """What a preflight looks with."""

    engine: InspectedEngine
    deadline: Deadline
    describe: Callable[[], Description]
    """Reads all about the secret but its value."""
    read: Callable[[], SecretValue]
    """Reads the version that has AWSCURRENT."""
    admin: Callable[[SecretValue], Credential]
    """As `rotation.logins.Context.admin`."""
    policy: Callable[[], PasswordPolicy]
    """Reads the function's password policy."""
    function_arn: str
    """Of the function that runs, without version and alias."""

    @property
    def kind(self) -> EngineKind:
        """The facts of the engine."""
        return self.engine.kind


class Inspection:
    """One preflight: what an earlier look has read, a later one uses."""

    def __init__(self, means: Means) -> None:
        """Take the means; nothing is looked at yet."""
        self._means = means
        self._proof: Proof | None = None
        self._has_expired = False

    def findings(self) -> Iterator[Finding]:
        """Take every look, in order. Changes nothing; makes one failed login at most."""
        return findings_of(
            [
                Look("configuration", (), self._configuration),
                Look("secret", (), self._secret),
                Look("rotation", ("secret",), lambda: self._description.rotation(self._means.function_arn, _now())),
                Look("labels", ("secret",), lambda: self._description.labels()),  # noqa: PLW0108 - not read before its turn
                Look("credential", ("secret",), self._credential),
                Look("strategy", ("credential",), self._chosen),
                Look("names", ("strategy",), self._names),
                Look("new password", ("configuration", "names"), self._new_password),
                Look("admin secret", ("strategy",), self._admin_secret),
                Look("network", ("credential",), lambda: self._means.engine.reach(self._user, self._means.deadline)),
                Look("admin's network", ("admin secret",), self._admins_network),
                Look("login", ("network",), self._login),
                Look("admin", ("login", "names", "admin secret", "admin's network"), self._admin_login),
                Look("writing", (), self._writing),
            ]
        )

    # What was read

    @cached_property
    def _description(self) -> Description:
        return self._means.describe()

    @cached_property
    def _current(self) -> SecretValue:
        return self._means.read()

    @property
    def _user(self) -> Credential:
        return self._current.credential

    @cached_property
    def _strategy(self) -> RotationStrategy:
        return strategies.choose(self._current, self._means.kind)

    @property
    def _other(self) -> str:
        return self._strategy.next_username(self._current)

    @cached_property
    def _admin(self) -> Credential:
        return self._means.admin(self._current)

    # Before anybody connects

    def _configuration(self) -> Iterator[Finding]:
        policy = self._means.policy()
        classes = ", ".join(f"{each.minimum} of {each.name.lower()}" for each in policy.classes)
        yield passed("configuration", f"new passwords have {policy.length} characters, at least {classes}")

    def _secret(self) -> Iterator[Finding]:
        yield from self._description.secret()

    def _credential(self) -> Iterator[Finding]:
        database = f", database {self._user.database}" if self._user.database else ""
        yield passed("credential", f"{self._user.engine}: {self._user}{database}")

    def _chosen(self) -> Iterator[Finding]:
        by = "named in the secret" if self._current.strategy else "chosen by whether there is a masterarn"
        yield passed("strategy", f"{self._strategy.name}, {by}")

    def _names(self) -> Iterator[Finding]:
        yield passed("names", f"{self._other} gets the next password")

    def _new_password(self) -> Iterator[Finding]:
        successor = self._current.successor(self._other, self._means.policy().generate(self._other))
        if len(successor.to_json().encode()) > LARGEST_SECRET:
            yield failed("new password", f"with it the secret has more than {LARGEST_SECRET} bytes", "Shorten its JSON")
            return
        yield passed("new password", "the function can make one; the item password rules has what the server asks for")

    def _admin_secret(self) -> Iterator[Finding]:
        if self._current.admin_secret:
            if self._strategy.name is Strategy.ALTERNATING_USERS:
                admin_over(self._current, self._means, self._user.username, self._other)
            yield passed("admin secret", f"{self._admin}, of {self._current.admin_secret}")
        else:
            yield passed("admin secret", "none is named, and this strategy needs none")

    def _admins_network(self) -> Iterator[Finding]:
        if self._current.admin_secret and (self._admin.host, self._admin.port) != (self._user.host, self._user.port):
            for finding in self._means.engine.reach(self._admin, self._means.deadline):
                yield Finding(f"admin's {finding.item}", finding.outcome, finding.said, finding.remedy)

    # In the database

    def _login(self) -> Iterator[Finding]:
        with self._means.engine.connect(self._user, self._means.deadline) as session:
            self._proof = session.proof()  # it fails if the password has expired
            yield passed("login", f"AWSCURRENT logs in: {self._user}")
            yield from findings_of(
                [
                    Look("server", (), lambda: self._server(session)),
                    Look("rights", (), lambda: self._users_rights(session)),
                    Look("verify", (), lambda: self._verify(session)),
                ]
            )

    def _server(self, session: InspectedSession) -> Iterator[Finding]:
        for finding in session.inspect_server():
            self._has_expired |= finding.tells_expiry
            yield finding

    def _users_rights(self, session: InspectedSession) -> Iterator[Finding]:
        for finding in session.inspect_rights(self._strategy.name, self._user.username, self._other):
            if finding.outcome is Outcome.FAIL and self._current.admin_secret:
                yield warned(finding.item, f"{finding.said}; the admin acts instead", finding.remedy)
            else:
                yield finding

    def _verify(self, session: InspectedSession) -> Iterator[Finding]:
        if self._has_expired:
            yield not_looked_at("verify", "the password has expired, and the next rotation renews it")
            return
        session.verify(self._current.verify)
        yield passed("verify", f"{len(self._current.verify)} statements of the secret ran, and were taken back")

    def _admin_login(self) -> Iterator[Finding]:
        if not self._current.admin_secret:
            return
        proof = self._proof_at_admins_place()
        with as_admin(self._admin, self._current, self._means) as admins:
            session = _inspected(admins)
            session.require_proven(proof)
            yield passed("admin", f"{self._admin} logs in, and finds the account of {self._user.username}")
            yield from findings_of(
                [
                    Look("admin's rights", (), lambda: self._admins_rights(session)),
                    *(self._looks_at_pair(session) if self._strategy.name is Strategy.ALTERNATING_USERS else ()),
                ]
            )

    def _proof_at_admins_place(self) -> Proof:
        there = at_admins_place(self._user, self._admin, self._means)
        if self._proof and there == self._user:
            return self._proof
        with self._means.engine.connect(there, self._means.deadline) as session:
            return prove(session, there)

    def _admins_rights(self, session: InspectedSession) -> Iterator[Finding]:
        for finding in session.inspect_rights(self._strategy.name, self._user.username, self._other):
            yield Finding(f"admin's {finding.item}", finding.outcome, finding.said, finding.remedy)

    # The pair, as the admin sees it

    def _looks_at_pair(self, session: InspectedSession) -> list[Look]:
        return [
            Look("clone", (), lambda: self._clone(session)),
            Look("shared", ("clone",), lambda: self._shared(session)),
            Look("grant diff", ("clone",), lambda: self._grant_diff(session)),
        ]

    def _clone(self, session: InspectedSession) -> Iterator[Finding]:
        match session.clone_status(self._user.username, self._other):
            case CloneStatus.ABSENT:
                yield passed("clone", f"{self._other} does not exist, and the first rotation creates it")
            case CloneStatus.OURS:
                yield passed("clone", f"{self._other} has the mark of this rotation")
            case CloneStatus.UNKNOWN:
                yield warned(
                    "clone",
                    f"{self._other} exists without our mark: a rotation takes it only if a version of the secret has"
                    " its password",
                    f"Rename or drop {self._other} if it belongs to somebody else",
                )

    def _shared(self, session: InspectedSession) -> Iterator[Finding]:
        require_shareable(session, self._user.username, self._other, self._current.accept)
        yield passed("shared", f"nothing is bound to the name of {self._user.username}, but what the secret accepts")

    def _grant_diff(self, session: InspectedSession) -> Iterator[Finding]:
        user, other = self._user.username, self._other
        if session.clone_status(user, other) is CloneStatus.ABSENT:
            yield not_looked_at("grant diff", f"{other} does not exist yet")
            return
        yield from grant_diff(session.compare(user, other), self._description.record, user, other)

    def _writing(self) -> Iterator[Finding]:
        yield not_looked_at("writing", f"secretsmanager:PutSecretValue and UpdateSecretVersionStage: {NOT_TRIED}")


def grant_diff(comparison: Comparison, record: PairRecord, user: str, other: str) -> Iterator[Finding]:
    """Say what differs between the two, and what the next rotation will do about it."""
    try:
        record.require_known(comparison, user, other)
    except RightsDiffer as error:
        yield failed_with("grant diff", error)
        return
    if comparison.differences:
        found = differ(comparison.differences, user, other)
        remedy = "Rotate to end them, or run one of the statements by hand" + found.remedy.partition("difference")[2]
        yield warned("grant diff", f"the next rotation ends what differs: {found.cause}", remedy)
    else:
        yield passed("grant diff", f"{other} and {user} have the same rights")


def _inspected(session: Session) -> InspectedSession:
    """Return a session of an engine whose sessions can all be asked."""
    if not isinstance(session, InspectedSession):
        raise TypeError(type(session).__name__)
    return session


def _now() -> datetime:
    return datetime.now(UTC)
