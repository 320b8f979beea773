"""What do the decisions run against? A database and a secret in memory, which keep the rules of the real ones."""

import copy
import hashlib
import json
import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from rotation.credential import Credential, SecretValue
from rotation.deadline import Deadline
from rotation.engine import CloneStatus, Comparison, Difference, Proof, Unshared, state
from rotation.errors import (
    InvalidSecret,
    LoginRefused,
    NotPermitted,
    NotRotatable,
    RightsDiffer,
    StatementFailed,
    Unreachable,
    Unsafe,
)
from rotation.finding import Finding, failed, passed, warned
from rotation.kind import EngineKind, Strategy
from rotation.passwords import Rule
from rotation.record import PairRecord, is_ours
from tests.laboratories import ORDERS, THINGS, Logins

KIND = EngineKind(
    name="FakeDB",
    engine_values=frozenset({"fake", "aurora-fake"}),
    default_port=5000,
    default_database=None,
    username_limit=63,
    password_limit=64,
    unusable_in_passwords="#",
    unshared_kinds=frozenset({"jobs"}),
    strategies=frozenset({Strategy.SINGLE_USER, Strategy.ALTERNATING_USERS}),
    reset_statement=lambda username: f"ALTER USER {username} PASSWORD '***'",
    clone_sees_rights=True,
)

PRIMARY = "primary.test"

SELECT = re.compile(r"SELECT .+ FROM (\w+)")
"""All that the database understands."""

type Hook = Callable[[str], None]


def undisturbed(_: str) -> None:
    """Let it happen."""


# The database


@dataclass
class User:
    """What a server knows about a user."""

    verifiers: tuple[str, ...] = ()
    """Of the passwords that log in: none if the user is locked."""
    rights: set[str] = field(default_factory=set)
    is_admin: bool = False
    may_change_own_password: bool = True
    mark: str | None = None
    """The name of the user that this one takes turns with."""
    principal: str = field(default_factory=lambda: secrets.token_hex(8))
    """What no other account has, whatever its name."""
    schema: str = "public"
    """Where its session looks for names."""
    jobs: set[str] = field(default_factory=set)
    """What runs in the name of this user alone."""


@dataclass
class Server:
    """A host; a replica gets what its primary has, but only after so many logins."""

    users: dict[str, User] = field(default_factory=dict)
    primary: "Server | None" = None
    lag: int = 0
    behind: int = 0

    def accepts(self, username: str, password: str) -> bool:
        """Tell whether this password logs in now."""
        return username in self.users and verifier(username, password) in self.users[username].verifiers

    def catch_up(self) -> None:
        """Copy what the primary has, if it is time for that."""
        if self.primary and not self.behind:
            self.users = copy.deepcopy(self.primary.users)
        self.behind = max(0, self.behind - 1)


class FakeDatabase:
    """A database that commits every write at once; implements `rotation.engine.Engine`.

    It counts: `tried` holds every credential that was sent to a host, in order, and `refused` those that it refused.
    `before` is called right before each login and each write; what it raises happens there, and all before it is done.
    """

    def __init__(self, kind: EngineKind = KIND) -> None:
        """Make an empty database, one host of which is up."""
        self.kind = kind
        self.before: Hook = undisturbed
        self.shows_passwords = True
        self.password_rules: Sequence[Rule] = ()
        self.tried: list[Credential] = []
        self.refused: list[Credential] = []
        self.log: list[str] = []
        self.unreachable: set[str] = set()
        self._servers = {PRIMARY: Server()}

    @property
    def users(self) -> dict[str, User]:
        """The users on the primary."""
        return self._servers[PRIMARY].users

    @contextmanager
    def connect(self, credential: Credential, deadline: Deadline) -> Iterator["FakeSession"]:
        """Log in; see `rotation.engine.Engine`."""
        operation = f"logging in as {credential}"
        deadline.allow(10.0, operation)
        self.before(f"log in as {credential.username}")
        self.tried.append(credential)
        server = self._servers.get(credential.host)
        if not server or credential.port != self.kind.default_port or credential.host in self.unreachable:
            raise Unreachable(operation, "the server gave no answer", "Look whether it is up")
        server.catch_up()
        if not server.accepts(credential.username, credential.password):
            self.refused.append(credential)
            raise LoginRefused(operation, "wrong user or password", "Put the real password into the secret")
        yield FakeSession(self, server, credential.username, credential.password, deadline)

    def reach(self, credential: Credential, deadline: Deadline) -> Iterator[Finding]:
        """Say whether the host is up."""
        operation = f"looking for {credential.host}"
        deadline.allow(1.0, operation)
        if credential.host not in self._servers or credential.host in self.unreachable:
            raise Unreachable(operation, "the server gave no answer", "Look whether it is up")
        yield passed("TCP", f"{credential.host} answers")

    # What an operator does

    def new_user(self, username: str, password: str, *rights: str, is_admin: bool = False) -> Credential:
        """Make a user that logs in."""
        self.users[username] = User((verifier(username, password),), set(rights), is_admin)
        self.written()
        return Credential(
            engine="fake",
            host=PRIMARY,
            port=self.kind.default_port,
            database=self.kind.default_database,
            username=username,
            password=password,
            tls=True,
        )

    def new_replica(self, host: str, lag: int) -> None:
        """Add a replica, which knows of a write only after so many logins."""
        self._servers[host] = Server(copy.deepcopy(self.users), self._servers[PRIMARY], lag)

    def written(self) -> None:
        """Let the replicas lag behind."""
        for server in self._servers.values():
            server.behind = server.lag

    def accepts(self, credential: Credential) -> bool:
        """Tell whether the primary takes this password, without counting as a login."""
        return self._servers[PRIMARY].accepts(credential.username, credential.password)


@dataclass(frozen=True)
class FakeSession:
    """One connection; implements `rotation.engine.Session`."""

    database: FakeDatabase
    server: Server
    username: str
    password: str = field(repr=False)
    deadline: Deadline

    def proof(self) -> Proof:
        """Return who is logged in."""
        return Proof(self.username, self.password, self._user(self.username).principal)

    def surroundings(self) -> Mapping[str, str]:
        """Return the schema."""
        return {"the schema": self._user(self.username).schema}

    def require_proven(self, proof: Proof) -> None:
        """Refuse another account of that name."""
        if proof.username not in self.server.users or self._user(proof.username).principal != proof.principal:
            raise Unsafe(f"looking for {proof.username}", "here it is another account", "Correct the host")

    def change_own_password(self, password: str) -> None:
        """Give the user who is logged in this password."""
        self._set_password(self.username, password, may=self._user(self.username).may_change_own_password)

    def password_rules(self) -> Sequence[Rule]:
        """Return what the database was told to ask for."""
        return self.database.password_rules

    def clone_status(self, user: str, other: str) -> CloneStatus:
        """Tell what is known about the pair."""
        users, operation = self.server.users, f"looking at {user} and {other}"
        self._require(operation, may=self._is_admin)
        if user not in users or any(name in users and users[name].is_admin for name in (user, other)):
            raise Unsafe(operation, "one is the admin, or the first is not there", "Put another user into the secret")
        if other not in users:
            return CloneStatus.ABSENT
        marked = users[other].mark == user or users[user].mark == other
        # Cut off between its creation and its mark, it is still good for nothing.
        untouched = not users[other].verifiers and not users[other].rights
        return CloneStatus.OURS if marked or untouched else CloneStatus.UNKNOWN

    def unshared(self, user: str, other: str) -> Sequence[Unshared]:
        """Return the jobs of the user."""
        self._require(f"looking at the jobs of {user}", may=self._is_admin)
        return [
            Unshared("jobs", f"{other} cannot alter the job {job} of {user}") for job in sorted(self._user(user).jobs)
        ]

    def mirror(self, user: str, other: str) -> None:
        """Make `other` what `user` is, write by write."""
        users, model = self.server.users, self._user(user)
        if other not in users:
            self._write(f"CREATE USER {other} LOCKED", users.setdefault, other, User())
        if users[other].mark != user and model.mark != other:
            self._write(f"MARK {other} AS OTHER OF {user}", setattr, users[other], "mark", user)
        for right in sorted(model.rights - users[other].rights):
            self._write(f"GRANT {right} TO {other}", users[other].rights.add, right)
        for right in sorted(users[other].rights - model.rights):
            self._write(f"REVOKE {right} FROM {other}", users[other].rights.remove, right)

    def set_password(self, username: str, password: str) -> None:
        """Give another user this password and let it log in."""
        self._set_password(username, password, may=self._is_admin)

    def reset_password(self, username: str, password: str) -> None:
        """Give another user this password, unless it is locked."""
        locked = self.server.users.get(username, User()).verifiers == ()
        self._set_password(username, password, may=self._is_admin, locked=locked)

    def compare(self, user: str, other: str) -> Comparison:
        """Compare what the two may, and whether somebody has locked the other."""
        users, may = self.server.users, self._is_admin
        may = may or (self.database.kind.clone_sees_rights and self.username in (user, other))
        self._require(f"comparing {other} with {user}", may=may)
        for name in (user, other):
            if name not in users:
                raise RightsDiffer(f"comparing {other} with {user}", f"there is no user {name}", "Create it")
        user_rights, other_rights = self._user(user).rights, self._user(other).rights
        lacking = [
            Difference(f"{other} may not {right}", f"GRANT {right} TO {other}", f"REVOKE {right} FROM {user}")
            for right in sorted(user_rights - other_rights)
        ]
        surplus = [
            Difference(
                f"{other} may {right}, {user} may not", f"REVOKE {right} FROM {other}", f"GRANT {right} TO {user}"
            )
            for right in sorted(other_rights - user_rights)
        ]
        unlock = None if users[other].verifiers else f"ALTER USER {other} UNLOCK"
        return Comparison([*lacking, *surplus], state(user_rights), state(other_rights), unlock)

    def accepted(self, username: str, passwords: Sequence[str]) -> Sequence[str] | None:
        """Return those of the passwords that log in."""
        self._require(f"looking at the password of {username}", may=self._is_admin)
        shows = self.database.shows_passwords
        return [one for one in passwords if self.server.accepts(username, one)] if shows else None

    def verify(self, statements: Sequence[str]) -> None:
        """Run the statements: `SELECT … FROM` a thing that the user may read."""
        for number, statement in enumerate(statements, 1):
            operation = f"running statement {number} of verify as {self.username}"
            match = SELECT.fullmatch(statement)
            if not match or match[1] not in THINGS:
                raise StatementFailed(operation, "it is no SELECT from a thing that there is", "Correct it")
            self._require(operation, may=reading(match[1]) in self._user(self.username).rights)

    def inspect_server(self) -> Iterator[Finding]:
        """Say whether it takes changes."""
        if self.server.primary:
            yield warned("replica", "this server is a replica", "Name the primary")
        else:
            yield passed("replica", "this server takes changes")

    def inspect_rights(self, strategy: Strategy, user: str, other: str) -> Iterator[Finding]:  # noqa: ARG002 - one right for all
        """Say whether who is logged in may set a password."""
        may = self._user(self.username).may_change_own_password if self.username == user else self._is_admin
        if may:
            yield passed("rights", f"{self.username} may")
        else:
            yield failed("rights", f"{self.username} may not", "Give it the right to")

    @property
    def _is_admin(self) -> bool:
        return self._user(self.username).is_admin

    def _user(self, username: str) -> User:
        if username not in self.server.users:
            raise StatementFailed(f"looking at {username}", "there is no such user", "Create it")
        return self.server.users[username]

    def _set_password(self, username: str, password: str, *, may: bool, locked: bool = False) -> None:
        # One password at a time. An engine that keeps the old one would add to this tuple.
        verifiers = () if locked else (verifier(username, password),)
        statement = f"ALTER USER {username} IDENTIFIED BY VERIFIER {verifier(username, password)}"
        self._write(statement, lambda: setattr(self._user(username), "verifiers", verifiers), may=may)

    def _write(self, statement: str, act: Callable[..., object], *arguments: object, may: bool | None = None) -> None:
        """Let the statement take effect at once and for good; the server logs it, even if it refuses it."""
        self.deadline.allow(1.0, statement)
        self.database.before(statement)
        self.database.log.append(statement)
        self._require(f"changing users as {self.username}", may=self._is_admin if may is None else may)
        self._require("changing users on a replica", may=self.server.primary is None)
        act(*arguments)
        self.database.written()

    def _require(self, operation: str, *, may: bool) -> None:
        if not may:
            raise NotPermitted(operation, f"{self.username} may not", "Give it the right to")


def verifier(username: str, password: str) -> str:
    """Return what the database keeps, and logs, in place of a password."""
    return "fake$" + hashlib.sha256(f"{username}\0{password}".encode()).hexdigest()


def reading(thing: str) -> str:
    """Return the right to read a thing."""
    return f"read {thing}"


class FakeLaboratory:
    """A look into a fake database; implements `tests.laboratories.Laboratory`."""

    ca_bundle = None

    def __init__(self) -> None:
        """Make a database with an admin."""
        self.engine = FakeDatabase()
        self.admin = self.engine.new_user("admin", secrets.token_urlsafe(), is_admin=True)

    def new_user(self, name: str | None = None, password: str | None = None) -> Credential:
        """Make a user that may read the orders."""
        name = name or f"app_{secrets.token_hex(4)}"
        return self.engine.new_user(name, password or secrets.token_urlsafe(), reading(ORDERS))

    def logs_in(self, credential: Credential) -> bool:
        """Tell whether the server takes this password."""
        return self.engine.accepts(credential)

    def allow(self, username: str, thing: str) -> None:
        """Let a user read a thing."""
        self.engine.users[username].rights.add(reading(thing))

    def forbid(self, username: str, thing: str) -> None:
        """Let it read that no more."""
        self.engine.users[username].rights.discard(reading(thing))

    def may_read(self, credential: Credential, thing: str) -> bool:
        """Tell whether the user, logged in, can read the thing."""
        return self.engine.accepts(credential) and reading(thing) in self.engine.users[credential.username].rights

    def statement_that_reads(self, thing: str) -> str:
        """Return the one form of statements that the fake knows."""
        return f"SELECT 1 FROM {thing}"  # noqa: S608 - a constant

    def allow_two_passwords(self, username: str, *, by_itself: bool) -> None:
        """Every user can have two, by itself."""

    def change_password(self, credential: Credential) -> None:
        """Change it."""
        self.engine.users[credential.username].verifiers = (verifier(credential.username, credential.password),)

    def log_text(self) -> str:
        """Return the log."""
        return "\n".join(self.engine.log)

    def strange_statements(self) -> list[str]:
        """Return none: nobody can write what the fake evaluates."""
        return []

    def logins(self) -> Logins:
        """Count those that the database has seen; this laboratory makes none."""
        return Logins(len(self.engine.tried), len(self.engine.refused))


# The secret

CURRENT, PENDING, PREVIOUS = "AWSCURRENT", "AWSPENDING", "AWSPREVIOUS"


class FakeSecret:
    """A secret whose versions and labels follow Secrets Manager's rules; implements `rotation.steps.Secret`.

    It is seen from the version that was begun last, or from any other that `token` is set to. `before` is called right
    before each call that the real one makes to the service, with the call's name.
    """

    def __init__(self, fields: Mapping[str, object], kind: EngineKind = KIND) -> None:
        """Make a secret of one version, which is current."""
        self.kind = kind
        self.token = "version-0"
        self.rotation_enabled = True
        self.staged_long_ago = False
        """Whether an earlier try wrote the pending version."""
        self.before: Hook = undisturbed
        self.versions: dict[str, str | None] = {self.token: json.dumps(fields)}
        """In the order of their creation; None if a version has no value."""
        self.labels = {CURRENT: self.token}

    def __str__(self) -> str:
        return f"version {self.token} of the secret"

    # What a rotation does

    def is_staged(self) -> bool:
        """Tell whether the version is pending (True) or already current (False)."""
        self.before("DescribeSecret")
        if not self.rotation_enabled:
            raise NotRotatable("looking at the secret", "rotation is not enabled", "Enable it")
        return self._is_pending()

    def current(self) -> SecretValue:
        """Return the value of the version that has AWSCURRENT."""
        return self._get(self.labels[CURRENT])

    def pending(self) -> SecretValue | None:
        """Return the value of this version, None if it has none yet."""
        if self.versions.get(self.token) is None:
            self.before("GetSecretValue")
            self.is_staged()
            return None
        value = self._get(self.token)
        self._is_pending()
        return value

    def written(self) -> Iterator[SecretValue]:
        """Yield the value of this version, if it has one."""
        if self.versions.get(self.token) is not None:
            yield self._get(self.token)

    def is_resumed(self) -> bool:
        """Tell whether an earlier try wrote this version."""
        return self.staged_long_ago

    def stage(self, value: SecretValue) -> bool:
        """Give this version its value; False if it has another one already: the service refuses to replace it."""
        self.before("PutSecretValue")
        held = self.versions.get(self.token)
        if held is None:
            self.versions[self.token] = value.to_json()
            self.labels |= dict.fromkeys([PENDING, *filter(is_ours, self.labels)], self.token)
        return self.versions[self.token] == value.to_json()

    def promote(self) -> bool:
        """Move AWSCURRENT to this version, and AWSPREVIOUS to the one that had it."""
        self.before("DescribeSecret")
        if not self._is_pending():
            return False
        self.before("UpdateSecretVersionStage")
        self._move_current(self.token)
        return True

    def give_up(self) -> None:
        """Take AWSPENDING from this version, if it has it."""
        self.before("UpdateSecretVersionStage")
        if self.labels.get(PENDING) == self.token:
            del self.labels[PENDING]

    def record(self) -> PairRecord:
        """Return what is recorded about the pair."""
        return PairRecord.from_labels(self.labels.keys())

    def read_record(self) -> PairRecord:
        """Return what is recorded about the pair now."""
        self.before("DescribeSecret")
        return self.record()

    def write_record(self, record: PairRecord) -> None:
        """Replace what is recorded about the pair."""
        for label in sorted(record.labels - self.labels.keys()):
            self.before("UpdateSecretVersionStage")
            self.labels[label] = self.token
        for label in sorted(set(filter(is_ours, self.labels)) - record.labels):
            self.before("UpdateSecretVersionStage")
            del self.labels[label]

    def newer(self) -> Iterator[SecretValue]:
        """Yield the values of versions that are newer than AWSCURRENT, but for this one, newest first."""
        order = list(self.versions)
        labelled = {version for label, version in self.labels.items() if label != PREVIOUS and not is_ours(label)}
        return self._values([v for v in order[order.index(self.labels[CURRENT]) + 1 :] if v not in labelled])

    def earlier(self) -> Iterator[SecretValue]:
        """Yield the values of versions that are older than AWSCURRENT: AWSPREVIOUS first, then the newest first."""
        order = list(self.versions)
        return self._values(order[: order.index(self.labels[CURRENT])])

    def _values(self, versions: Sequence[str]) -> Iterator[SecretValue]:
        self.before("ListSecretVersionIds")
        others = [version for version in reversed(versions) if version != self.token]
        for version in sorted(others, key=lambda v: v != self.labels.get(PREVIOUS)):
            if self.versions[version] is not None:
                try:
                    yield self._get(version)
                except InvalidSecret:
                    continue

    # What an operator, an application and the service do

    def begin(self, token: str) -> None:
        """Stage an empty version, as RotateSecret does; refused while another one is pending."""
        pending = self.labels.get(PENDING, token)
        if pending not in (token, self.labels[CURRENT]):
            raise ValueError("A previous rotation isn't complete.")
        self.versions.setdefault(token, None)
        self.labels[PENDING] = self.token = token

    def abandon(self) -> None:
        """Take AWSPENDING away, by hand."""
        del self.labels[PENDING]

    def put(self, token: str, fields: Mapping[str, object]) -> None:
        """Make a new current version by hand, which abandons a rotation under way."""
        self.versions[token] = json.dumps(fields)
        self._move_current(token)
        self.labels.pop(PENDING, None)

    def read(self, label: str = CURRENT) -> SecretValue:
        """Return a version as an application reads it."""
        return self._parse(self.labels[label])

    def _is_pending(self) -> bool:
        if self.labels[CURRENT] == self.token:
            return False
        if self.labels.get(PENDING) == self.token:
            return True
        raise NotRotatable("looking at the version", "it was abandoned", "Start a new rotation")

    def _move_current(self, token: str) -> None:
        self.labels[PREVIOUS] = self.labels[CURRENT]
        self.labels[CURRENT] = token

    def _get(self, version: str) -> SecretValue:
        self.before("GetSecretValue")
        return self._parse(version)

    def _parse(self, version: str) -> SecretValue:
        return SecretValue.parse(self.versions[version] or "", self.kind, f"reading {version}")
