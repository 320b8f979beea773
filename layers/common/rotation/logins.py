"""Which password logs in, and where?

AWSCURRENT holds a password that should work. If the server refuses it, an earlier rotation was interrupted or
abandoned, and another version of the secret holds the password that works:

    AWSCURRENT              the usual case
    newer versions          an abandoned rotation changed the password; the newest 2 are tried
    the pending version     another delivery of this step changed the password, or an earlier try that was cut off
    more versions           older ones too, up to 7, only if the operator allows it (`Context.try_more_passwords`)

A server can lock a user after a few refused logins. So few passwords are tried, the likeliest first, and only a refused
login leads to the next one: an unreachable server ends the step. If the pending version was written well before this
try, the database can have it already: it comes first then. If the server shows an admin what it checks passwords with,
and the secret names an admin, the admin finds the password that works, and no login is refused.

The user logs in at the admin's host if an admin will use the result. A host that the owner of the secret chose could
accept any password, and so could somebody in the middle of a connection without TLS.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol

from rotation.credential import Credential, SecretValue
from rotation.deadline import Deadline
from rotation.engine import Engine, Proof, SeesPasswords, Session
from rotation.errors import WRONG_PASSWORD, LoginBlocked, LoginRefused, Unsafe
from rotation.kind import Strategy
from rotation.record import PairRecord
from rotation.values import dataclass

NEWER_PASSWORDS = 2
"""How many passwords of versions newer than AWSCURRENT are tried. With AWSCURRENT's and the pending one that is four in
a step. So if one of them works, three at most are refused in a row, which is below a lockout policy of five."""

MORE_PASSWORDS = 7
"""How many passwords of other versions, newer and older, are tried if the operator allows it."""

BY_OTHER_VERSION = "the server refused the password of AWSCURRENT and accepted that of another version"
"""What was broken if another version's password logged in."""


def ignore(_: str) -> None:
    """Do nothing with the text."""


class KeepsRecord(Protocol):
    """Where the record of a pair is kept."""

    def record(self) -> PairRecord:
        """Return what earlier rotations recorded, as far as it was read."""

    def read_record(self) -> PairRecord:
        """Read all that is recorded, and return it."""

    def write_record(self, record: PairRecord) -> None:
        """Replace what is recorded, as far as it was read. Can be repeated; if it is cut off, both can be there."""


class Connects(Protocol):
    """What a login needs besides a credential."""

    @property
    def engine(self) -> Engine:
        """The engine to log in to."""

    @property
    def deadline(self) -> Deadline:
        """The time that is left."""

    @property
    def admin(self) -> Callable[[SecretValue], Credential]:
        """See `Context.admin`."""


@dataclass(frozen=True)
class Context:
    """What a strategy can use."""

    engine: Engine
    deadline: Deadline
    admin: Callable[[SecretValue], Credential]
    """Returns the admin of the database that a secret is for; raises if the admin secret is for another database."""
    newer: Callable[[], Iterator[SecretValue]]
    """Reads the versions of the secret that are newer than AWSCURRENT, newest first."""
    earlier: Callable[[], Iterator[SecretValue]]
    """Reads the versions of the secret that are older than AWSCURRENT: AWSPREVIOUS first, then the newest first."""
    pair: KeepsRecord
    """Keeps how rotations left the two users of a pair."""
    try_more_passwords: bool = False
    """Whether up to 7 passwords of other versions are tried, older ones too. The server can lock a user for that."""
    allow_admin_repair: bool = False
    """Whether the admin helps a user although no password in the secret works. Everybody who can write the secret could
    then name any user in it, and take that user over."""
    written: Callable[[], Iterator[SecretValue]] = lambda: iter(())
    """Reads this version, if it shows a value already."""
    is_resumed: Callable[[], bool] = lambda: False
    """Tells whether an earlier try has written the pending version, so that the database can have it already."""
    recovered: Callable[[str], None] = ignore
    """Receives what was broken, once it works again."""


def log_in_first[T](candidates: Iterable[Credential], context: Context, use: Callable[[Session, Credential], T]) -> T:
    """Log in with the first of the candidates that the server accepts; return what `use` makes of that session.

    Raises the LoginRefused of the first candidate if the server refuses them all: that one was expected to work.
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


def log_in[T](
    likely: Sequence[Credential],
    current: SecretValue,
    context: Context,
    use: Callable[[Session, Credential], T],
    admin: Credential | None = None,
) -> T:
    """Log in as the user of AWSCURRENT: with the likely credentials first, then with passwords of other versions.

    Logs in where the admin does, if one is given. Raises the LoginRefused of the first if the server refuses them all.
    """

    def note_and_use(session: Session, credential: Credential) -> T:
        if credential.password not in {one.password for one in likely}:
            context.recovered(BY_OTHER_VERSION)
        return use(session, credential)

    others = (credential for credential in other_passwords(current, context) if credential not in likely)
    candidates = _in_order(likely, others, context)
    if not admin and current.admin_secret and context.engine.kind.admin_sees_passwords:
        candidates = iter(_accepted([likely, others], current, context))
    if admin:
        return log_in_first((at_admins_place(one, admin, context) for one in candidates), context, note_and_use)
    return log_in_first(candidates, context, note_and_use)


def _in_order(likely: Sequence[Credential], others: Iterator[Credential], context: Context) -> Iterator[Credential]:
    """Yield the likely credentials, and the others of the same user.

    If nothing is resumed, an abandoned rotation is the usual reason for a refusal, and its password comes next.
    """
    if context.is_resumed() or context.try_more_passwords:
        return itertools.chain(likely, others)
    return itertools.chain(likely[:1], others, likely[1:])


def log_in_to_ask[T](current: SecretValue, context: Context, use: Callable[[Session], T]) -> T:
    """Log in as the user of AWSCURRENT in createSecret, to ask something; return what `use` makes of that session.

    If the server refuses AWSCURRENT, the password of this version comes next, if it is written already, and then those
    of newer versions. So this step ends with a login that works, if any does, and the server counts refused logins anew
    before setSecret. Raises the LoginRefused of AWSCURRENT if the server refuses them all.
    """
    user = current.credential
    written = (one.credential for one in context.written())
    own = (one for one in written if one == replace(user, password=one.password))
    others = (one for one in itertools.chain(own, other_passwords(current, context)) if one != user)
    return log_in_first(itertools.chain([user], others), context, lambda session, _: use(session))


def _accepted(groups: Sequence[Iterable[Credential]], current: SecretValue, context: Context) -> Sequence[Credential]:
    """Return the credentials that the server accepts, as an admin sees it, of the first group that has any.

    If no password of the secret is accepted, none is sent. Raises LoginRefused then.
    """
    user = current.credential
    with as_admin(context.admin(current), current, context) as session:
        if not isinstance(session, SeesPasswords):
            raise TypeError(type(session).__name__)
        for group in groups:
            credentials = list(group)
            accepted = session.accepted(user.username, [one.password for one in credentials])
            if accepted is None:
                return [*credentials, *(one for rest in groups for one in rest if one not in credentials)]
            if found := [one for one in credentials if one.password in accepted]:
                return found
    raise LoginRefused(
        f"looking for the password of {user}",
        "the server has none of the passwords that the versions of the secret hold",
        WRONG_PASSWORD,
    )


def admin_over(current: SecretValue, context: Connects, *users: str) -> Credential:
    """Return the admin, who is about to change these users; raises Unsafe if the admin is one of them."""
    admin, normal = context.admin(current), context.engine.kind.normal_name
    if normal(admin.username) in map(normal, users):
        raise Unsafe(
            f"changing {' and '.join(users)} as the admin",
            f"{admin.username} is the admin itself",
            "Put a user of the application into the secret, and the admin only into the admin secret",
        )
    return admin


@contextlib.contextmanager
def as_admin(admin: Credential, current: SecretValue, context: Connects) -> Iterator[Session]:
    """Log in as the admin that the secret names; as `Engine.connect`, but raises LoginBlocked if the server refuses it.

    LoginRefused would be taken for the answer to a password of the secret, and another of its passwords would be tried.
    An admin secret is rotated, too, by RDS every week. It can have been read just before that. So it is read again,
    once, and if it has another password by now, that one is tried.
    """
    with contextlib.ExitStack() as stack:
        try:
            session = _enter(stack, admin, context)
        except LoginRefused as refused:
            session = _enter_again(stack, refused, admin, current, context)
        yield session


def _enter(stack: contextlib.ExitStack, admin: Credential, context: Connects) -> Session:
    return stack.enter_context(context.engine.connect(admin, context.deadline))


def _enter_again(
    stack: contextlib.ExitStack, refused: LoginRefused, admin: Credential, current: SecretValue, context: Connects
) -> Session:
    """Log in with the password that the admin secret has now, if it is another one; raises LoginBlocked."""
    now = context.admin(current)
    if now.password != admin.password and replace(now, password=admin.password) == admin:
        try:
            return _enter(stack, now, context)
        except LoginRefused as error:
            refused = error
    raise LoginBlocked(
        f"{refused.operation}, the admin",
        refused.cause,
        f"Put the real password of {admin.username} into the admin secret {current.admin_secret},"
        " and rotate this secret again",
    ) from None


def prove(session: Session, _: Credential) -> Proof:
    """Return the proof of a session, as a `use` of `log_in`."""
    return session.proof()


def at_admins_place(user: Credential, admin: Credential, context: Connects) -> Credential:
    """Return the same login at the admin's host and port, over TLS if either of the two uses TLS.

    Only a login there proves something to the admin. The user's own TLS stays on: its password is never sent in clear
    because the admin's is. If a server has a port of its own for TLS, a user with TLS keeps its own port when the admin
    has no TLS. On RDS, where those two ports can differ, a host is one server.
    """
    keeps_port = context.engine.kind.tls_has_own_port and user.tls and not admin.tls
    door = user if keeps_port else admin
    return replace(
        user,
        host=admin.host,
        port=door.port,
        port_is_default=door.port_is_default,
        tls=user.tls or admin.tls,
    )


def other_passwords(current: SecretValue, context: Context) -> Iterator[Credential]:
    """Yield the login of AWSCURRENT with passwords of other versions of the secret, of the same user and host.

    An abandoned rotation can have left one of them in the database. Versions newer than AWSCURRENT; older ones too if
    the operator allows it.
    """
    versions, limit = context.newer(), NEWER_PASSWORDS
    if context.try_more_passwords:
        versions, limit = itertools.chain(versions, context.earlier()), MORE_PASSWORDS
    yield from itertools.islice(same_login(current.credential, versions, context), limit)


def has_old_password(user: Credential, context: Context) -> bool:
    """Tell whether a rotation with two passwords left one that still logs in besides the user's.

    It is tried only if such a rotation has made the user's password, as the versions say: it is the one before.
    """
    was_added = False
    for value in context.earlier():
        if value.credential.password != user.password:
            old = list(same_login(user, [value], context))
            return was_added and bool(old) and _logs_in(old[0], context)
        was_added = was_added or value.strategy is Strategy.DUAL_PASSWORD
    return False


def _logs_in(credential: Credential, context: Context) -> bool:
    try:
        with context.engine.connect(credential, context.deadline):
            return True
    except LoginRefused:
        return False


def same_login(user: Credential, versions: Iterable[SecretValue], context: Context) -> Iterator[Credential]:
    """Yield this login with the passwords that the versions hold for it."""
    normal = context.engine.kind.normal_name
    for value in versions:
        one = value.credential
        if _same_place(one, user) and normal(one.username) == normal(user.username):
            yield replace(user, password=one.password)


def _same_place(one: Credential, other: Credential) -> bool:
    return (one.host, one.port) == (other.host, other.port)
