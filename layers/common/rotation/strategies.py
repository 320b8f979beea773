"""Who logs in, and which user gets the new password?

**Single user.** The user changes its own password. From that moment until finishSecret has moved AWSCURRENT, an
application that reads the secret gets a password that no longer works. Where users may not change their own password,
and the secret names an admin secret, the admin does it.

**Dual password.** The user gets a second password, and keeps the first: AWSCURRENT works at every instant, and the
old password until the next rotation. The user does it itself where the server lets it, else the admin does.

**Alternating users.** Two users with the same rights take turns: the admin makes the one that AWSCURRENT does *not*
name like the one that it names, and gives it the new password. AWSCURRENT works at every instant, also for a reader
that cached it before the rotation.

What holds for all of them:

- Before an admin is used, the user that AWSCURRENT names must have logged in. A secret is as powerful as the user
  that it can log in as, and its owner must not get more power from the admin, whom the owner can name freely in
  `masterarn`. Only if the operator of the function says that all who can write secrets are trusted so far, the
  admin helps without that proof (`Means.allow_admin_repair`).
- The proof counts for what is changed, and for nothing else. The user logs in where the admin does: at the admin's
  host and port, over TLS if the admin uses TLS. The admin then finds the very account that logged in, or refuses. A
  host that the owner of the secret chose, or somebody in the middle of a connection in clear, could let anybody in.
- Few passwords of a user meet the server, because a server can lock a user who fails too often: that of AWSCURRENT,
  the pending one, and those of the two newest versions that are newer than AWSCURRENT: an abandoned rotation leaves
  such. More are tried only if the operator says so (`Means.try_more_passwords`).
- The password is written last. A login that works then proves that everything before it was finished.
- Only a refused login leads to another credential. An unreachable server ends the step.
"""

import contextlib
import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from rotation.credential import Credential, SecretValue
from rotation.deadline import Deadline
from rotation.engine import CloneStatus, Engine, KeepsOldPassword, Proof, Session
from rotation.errors import InvalidSecret, LoginRefused, NotPermitted, RightsDiffer, Unsafe, Unsupported
from rotation.kind import CLONE_SUFFIX, EngineKind, Strategy

NEWER_PASSWORDS = 2
"""How many passwords of versions newer than AWSCURRENT are tried. With AWSCURRENT's and the pending one that is four:
policies that lock a user after five failures stay quiet."""

MORE_PASSWORDS = 7
"""How many passwords of other versions, newer and older, are tried if the operator allows it."""

CLONE_PASSWORDS = 2
"""How many passwords of earlier versions are tried to find out whether an unmarked user is the clone."""

BY_OTHER_VERSION = "the server refuses the password of AWSCURRENT, and takes that of another version"
BY_ADMIN = "the server refuses every password that the secret holds, and the admin was allowed to repair that"
"""What was found broken and healed."""


def ignore(_: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Context:
    """What a strategy may use."""

    engine: Engine
    deadline: Deadline
    admin: Callable[[SecretValue], Credential]
    """Finds the admin of the database that a secret is for, having checked that it is the same database."""
    newer: Callable[[], Iterator[SecretValue]]
    """Reads the versions of the secret that are newer than AWSCURRENT, newest first."""
    earlier: Callable[[], Iterator[SecretValue]]
    """Reads the versions of the secret that are older than AWSCURRENT: AWSPREVIOUS first, then the newest first."""
    try_more_passwords: bool = False
    """Whether more passwords of other versions are tried, older ones too: a server can lock a user for it."""
    allow_admin_repair: bool = False
    """Whether the admin may help a user of whom the secret holds no password that works: whoever may write the secret
    could name any user in it."""
    recovered: Callable[[str], None] = ignore
    """Is told what was broken, where it is healed."""


class RotationStrategy(ABC):
    """How one strategy replaces a password; what is not abstract is right for a strategy with one user."""

    name: ClassVar[Strategy]

    def __init__(self, kind: EngineKind) -> None:
        """Take the facts of the engine."""
        self.kind = kind

    def next_username(self, current: SecretValue) -> str:
        """Return the user that gets the new password; raises Unsupported if the engine cannot have such a user."""
        return current.credential.username

    def require_equal_rights(self, pending: SecretValue, session: Session) -> None:  # noqa: B027 - one user: nothing to compare
        """Compare the rights of the pair, if there is one and its pending user may; raises RightsDiffer."""

    def require_possible(self, current: SecretValue, context: Context) -> None:  # noqa: B027 - every server can do most
        """Raise Unsupported if the server cannot do it, before anything is staged; changes nothing."""

    @abstractmethod
    def set_password(self, current: SecretValue, pending: SecretValue, context: Context) -> str:
        """Bring the database to where `pending` logs in; return a sentence on what was done. May be repeated."""


def choose(value: SecretValue, kind: EngineKind) -> RotationStrategy:
    """Return the strategy that the secret asks for; raises Unsupported or InvalidSecret where it cannot be had."""
    wanted = value.strategy or (Strategy.ALTERNATING_USERS if value.admin_secret else Strategy.SINGLE_USER)
    operation = f"choosing the strategy for {value.credential}"
    if wanted not in kind.strategies:
        raise Unsupported(
            operation,
            f"{kind.name} cannot do {wanted}",
            f'Set "strategy" in the "rotation" of the secret to one of {", ".join(sorted(kind.strategies))}',
        )
    needs_admin = wanted is Strategy.ALTERNATING_USERS or (
        wanted is Strategy.DUAL_PASSWORD and kind.dual_password_needs_admin
    )
    if needs_admin and not value.admin_secret:
        raise InvalidSecret(
            operation, f'{wanted} needs an admin, and the secret has no "masterarn"', "Add the ARN of the admin secret"
        )
    return STRATEGIES[wanted](kind)


class SingleUser(RotationStrategy):
    """The user changes its own password."""

    name = Strategy.SINGLE_USER

    def set_password(self, current: SecretValue, pending: SecretValue, context: Context) -> str:
        """Log in with what the user has, the likeliest first, and change it to what `pending` says."""
        user, password = current.credential, pending.credential.password

        def change(session: Session, credential: Credential) -> _NotAlone | None:
            if credential.password != password:
                return _alone(lambda: session.change_own_password(password), session, credential, current)
            return None

        try:
            left = _log_in([user, pending.credential], current, context, change)
        except LoginRefused as refused:
            _require_repair(refused, current, context)
            with context.engine.connect(_admin(current, context, user.username), context.deadline) as session:
                session.reset_password(user.username, password)
            return f"{user.username} got the pending password from the admin, because nothing else logs in"
        if not left:
            return f"{user.username} has the pending password"
        with _admin_for(left, current, context) as session:
            session.reset_password(user.username, password)
        return f"{user.username} got the pending password from the admin, because it may not change its own"


class AlternatingUsers(RotationStrategy):
    """The admin mirrors the current user onto the other one, then gives that the new password."""

    name = Strategy.ALTERNATING_USERS

    def next_username(self, current: SecretValue) -> str:
        """Return the user whose turn is next; raises Unsupported where its name would be too long for the engine."""
        other = self.kind.counterpart(current.credential.username)
        if self.kind.username_length(other) > self.kind.username_limit:
            raise Unsupported(
                f"naming the clone of {current.credential.username}",
                f"{other} is longer than {self.kind.name} takes, which is {self.kind.username_limit}",
                f"Take a name that leaves room for {CLONE_SUFFIX}, or the single-user strategy",
            )
        return other

    def set_password(self, current: SecretValue, pending: SecretValue, context: Context) -> str:
        """Prove that the secret holds its user, then let the admin mirror it and set the other's password, last."""
        user, other = current.credential.username, pending.credential.username
        admin, proof = _admin(current, context, user, other), None
        try:
            proof = _log_in([current.credential], current, context, _show, admin)
        except LoginRefused as refused:
            _require_repair(refused, current, context)
        with context.engine.connect(admin, context.deadline) as session:
            if proof:
                session.require_proven(proof)
            if session.clone_status(user, other) is CloneStatus.UNKNOWN:
                session.require_proven(_prove_ours(current, pending.credential, admin, context))
            session.mirror(user, other)
            if not self.kind.clone_sees_rights:
                _require_equal(session, user, other)
            session.set_password(other, pending.credential.password)
        return f"{other} mirrors {user} and has the pending password"

    def require_equal_rights(self, pending: SecretValue, session: Session) -> None:
        """Compare the pair as the pending user sees it; where only an admin may, setSecret has done it."""
        if self.kind.clone_sees_rights:
            other = pending.credential.username
            _require_equal(session, self.kind.counterpart(other), other)


class DualPassword(RotationStrategy):
    """The user gets the new password besides the one it has."""

    name = Strategy.DUAL_PASSWORD

    def require_possible(self, current: SecretValue, context: Context) -> None:
        """Ask the server, if not all servers of the engine can do it.

        Where it refuses the login, setSecret is to find the way in.
        """
        if self.kind.dual_password_needs_version:
            with (
                contextlib.suppress(LoginRefused),
                context.engine.connect(current.credential, context.deadline) as session,
            ):
                _two_passwords(session).require_two_passwords()

    def set_password(self, current: SecretValue, pending: SecretValue, context: Context) -> str:
        """Log in with what the user has, the likeliest first, and add what `pending` says, or let the admin."""
        user, password = current.credential, pending.credential.password

        def add(session: Session, credential: Credential) -> _NotAlone | None:
            if credential.password != password:
                return _alone(lambda: _add_password(session, credential, password), session, credential, current)
            return None

        try:
            left = _log_in([user, pending.credential], current, context, add)
        except LoginRefused as refused:
            _require_repair(refused, current, context)
            with context.engine.connect(_admin(current, context, user.username), context.deadline) as session:
                session.reset_password(user.username, password)
            return f"{user.username} got the pending password from the admin, because nothing else logs in"
        if not left:
            return f"{user.username} has the pending password, and the one before it"
        with _admin_for(left, current, context) as session:
            _two_passwords(session).add_password(user.username, left.credential.password, password)
        return f"{user.username} got the pending password from the admin, and keeps the one before it"


STRATEGIES = {strategy.name: strategy for strategy in (SingleUser, AlternatingUsers, DualPassword)}


def log_in_first[T](candidates: Iterable[Credential], context: Context, use: Callable[[Session, Credential], T]) -> T:
    """Log in with the first of the candidates that the server accepts, and return what is made of that session.

    Raises the LoginRefused of the first candidate, which is the one expected to work, if the server refuses them all.
    """
    refused: LoginRefused | None = None
    for credential in candidates:
        try:
            with context.engine.connect(credential, context.deadline) as session:
                return use(session, credential)
        except LoginRefused as error:
            refused = refused or error
    if not refused:
        raise ValueError(candidates)
    raise refused


def _log_in[T](
    likely: Sequence[Credential],
    current: SecretValue,
    context: Context,
    use: Callable[[Session, Credential], T],
    admin: Credential | None = None,
) -> T:
    """Log in as the user that AWSCURRENT names: with what is likely to work, else with the password of another version.

    With an admin, at the admin's place. Raises the LoginRefused of the likeliest if the server refuses them all.
    """

    def note_and_use(session: Session, credential: Credential) -> T:
        if credential.password not in {one.password for one in likely}:
            context.recovered(BY_OTHER_VERSION)
        return use(session, credential)

    others = (credential for credential in other_passwords(current, context) if credential not in likely)
    candidates = itertools.chain(likely, others)
    return log_in_first(
        (_where_the_admin_is(one, admin, context) for one in candidates) if admin else candidates, context, note_and_use
    )


def _show(session: Session, _: Credential) -> Proof:
    return session.proof()


@dataclass(frozen=True)
class _NotAlone:
    """A user logged in, and may not do for itself what an admin may."""

    credential: Credential
    proof: Proof


def _alone(
    change: Callable[[], None], session: Session, credential: Credential, current: SecretValue
) -> _NotAlone | None:
    """Let the user change itself; if it may not, return what an admin needs, or raise if the secret names none."""
    try:
        change()
    except NotPermitted:
        if not current.admin_secret:
            raise
        return _NotAlone(credential, session.proof())
    return None


def _add_password(session: Session, credential: Credential, password: str) -> None:
    two = _two_passwords(session)
    two.require_two_passwords()
    two.add_password(credential.username, credential.password, password)


@contextlib.contextmanager
def _admin_for(user: _NotAlone, current: SecretValue, context: Context) -> Iterator[Session]:
    """Log in as the admin, who then can change the user that has logged in, and nobody else of its name.

    If the admin is at another place, the user logs in there first.
    """
    admin, proof = context.admin(current), user.proof
    there = _where_the_admin_is(user.credential, admin, context)
    if there != user.credential:
        proof = log_in_first([there], context, _show)
    with context.engine.connect(admin, context.deadline) as session:
        session.require_proven(proof)
        yield session


def _where_the_admin_is(user: Credential, admin: Credential, context: Context) -> Credential:
    """Return the same login at the admin's host and port, with TLS if one of the two has it.

    Only there it proves what the admin can rely upon. The user's own TLS stays: nothing goes in clear because the
    admin's does. Servers with a port of its own for TLS are asked at the user's port then; on RDS, which is where such
    ports can differ, a host is one server.
    """
    keeps_port = context.engine.kind.tls_has_own_port and user.tls and not admin.tls
    port = user.port if keeps_port else admin.port
    return replace(user, host=admin.host, port=port, tls=user.tls or admin.tls)


def _require_repair(refused: LoginRefused, current: SecretValue, context: Context) -> None:
    """Let an admin help although nobody has proved to hold the user, if that is allowed; else raise LoginRefused."""
    user = current.credential.username
    cause, remedy = f"{refused.cause}, with every password that was tried", refused.remedy
    if not context.try_more_passwords:
        remedy += (
            "; or set TRY_MORE_PASSWORDS (parameter TryMorePasswords) to true, and the passwords of more versions are"
            f" tried. That is off, because the server can lock {user} for it"
        )
    if not current.admin_secret:
        raise LoginRefused(refused.operation, cause, remedy)
    if not context.allow_admin_repair:
        remedy += (
            "; or set ALLOW_ADMIN_REPAIR (parameter AllowAdminRepair) to true, and the admin lets"
            f" {user} in again. That is off, because whoever may write the secret could then take any user over"
        )
        raise LoginRefused(refused.operation, cause, remedy)
    context.recovered(BY_ADMIN)


def _admin(current: SecretValue, context: Context, *users: str) -> Credential:
    """Return the admin, who is about to change one of the users; raises Unsafe if it is one of them itself."""
    admin, normal = context.admin(current), context.engine.kind.normal_name
    if normal(admin.username) in map(normal, users):
        raise Unsafe(
            f"changing {' and '.join(users)} as the admin",
            f"{admin.username} is the admin itself",
            "Put a user of the application into the secret, and the admin only into the admin secret",
        )
    return admin


def other_passwords(current: SecretValue, context: Context) -> Iterator[Credential]:
    """Yield the same login with passwords of other versions: after an abandoned rotation one of them is the user's.

    Those that are newer than AWSCURRENT; if the operator allows it, older ones too. Only versions of the same user on
    the same host count.
    """
    versions, most = context.newer(), NEWER_PASSWORDS
    if context.try_more_passwords:
        versions, most = itertools.chain(versions, context.earlier()), MORE_PASSWORDS
    yield from itertools.islice(_same_login(current, versions, context), most)


def _same_login(current: SecretValue, versions: Iterable[SecretValue], context: Context) -> Iterator[Credential]:
    """Yield the login of AWSCURRENT with the passwords that these versions have for it."""
    user, normal = current.credential, context.engine.kind.normal_name
    for value in versions:
        one = value.credential
        if _same_place(one, user) and normal(one.username) == normal(user.username):
            yield replace(user, password=one.password)


def _two_passwords(session: Session) -> KeepsOldPassword:
    """Return the session as one that can do it: `EngineKind.strategies` says so."""
    if not isinstance(session, KeepsOldPassword):
        raise TypeError(type(session).__name__)
    return session


def _same_place(one: Credential, other: Credential) -> bool:
    return (one.host, one.port) == (other.host, other.port)


def _prove_ours(current: SecretValue, pending: Credential, admin: Credential, context: Context) -> Proof:
    """Log in as the pending user, of whom the server does not know that it is the clone (promise 8).

    Somebody else's user can be called like the clone. A password of an earlier version that logs in is the proof that
    it is not: so it is with pairs that AWS's own rotation functions made. That a version holds the name is none. The
    pending password proves something only on servers that refuse the mark, which otherwise comes before the password.
    """
    user, other = current.credential.username, pending.username
    as_other = replace(current, credential=replace(current.credential, username=other))
    earlier = itertools.islice(_same_login(as_other, context.earlier(), context), CLONE_PASSWORDS)
    for credential in itertools.chain(earlier, [pending] if context.engine.kind.clone_may_lack_mark else []):
        with contextlib.suppress(LoginRefused):
            return log_in_first([_where_the_admin_is(credential, admin, context)], context, _show)
    raise Unsafe(
        f"preparing {other}, with which {user} takes turns",
        f"{other} exists, has no mark of ours, and no version of this secret holds its password: it may be another's",
        f"Rename or drop {other}, or use the single-user strategy",
    )


def _require_equal(session: Session, user: str, other: str) -> None:
    differences = session.differences(user, other)
    if differences:
        raise RightsDiffer(
            f"comparing the rights of {other} with those of {user}",
            "; ".join(differences),
            "Remove the differences, or let the admin do it; the rotation is tried again",
        )
