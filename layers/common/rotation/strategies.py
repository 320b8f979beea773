"""Which user gets the new password, and who sets it?

**Single user.** The user changes its own password. From then until finishSecret has moved AWSCURRENT, applications read
a password that no longer works. If the server does not let users change their own password, and the secret names an
admin secret, the admin changes it.

**Dual password.** The user gets a second password and keeps the first. AWSCURRENT works at every instant, and the old
password works until the next rotation. The user does this itself if the server lets it, else the admin does.

**Alternating users.** Two users with the same rights take turns. AWSCURRENT names one of them; the admin gives the
other one the same rights, and then the new password. AWSCURRENT works at every instant, also for an application that
read it before the rotation.

Rules that all of them keep:

- *An admin acts only for a user that has logged in.* The user that AWSCURRENT names logs in before the admin is used.
  The owner of a secret can name any admin secret in `masterarn`, so the secret alone must not give its owner more power
  than its user has. The operator can switch this rule off (`Context.allow_admin_repair`).
- *The admin changes the account that logged in, and no other.* The user logs in at the admin's host and port, over TLS
  if the admin uses TLS. The admin's session then finds that very account, or refuses.
- *The password is written last.* So a login that works proves that everything before it was finished.

Which passwords are tried, and how many, is in `rotation.logins`.
"""

import contextlib
import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import ClassVar

from rotation.credential import Credential, SecretValue
from rotation.engine import CloneStatus, EndsOldPassword, KeepsOldPassword, Proof, Session, ShowsPasswordRules
from rotation.errors import InvalidSecret, LoginRefused, NotPermitted, Unsafe, Unsupported
from rotation.kind import CLONE_SUFFIX, EngineKind, Strategy
from rotation.logins import (
    Context,
    admin_over,
    as_admin,
    at_admins_place,
    has_old_password,
    log_in,
    log_in_first,
    log_in_to_ask,
    prove,
    same_login,
)
from rotation.mirroring import (
    NOT_KNOWN,
    log_in_and_require_same,
    look_and_prove,
    mirror,
    record_end,
    require_equal,
    require_same_surroundings,
    require_shareable,
)
from rotation.passwords import Rule
from rotation.record import PairRecord
from rotation.values import dataclass

CLONE_PASSWORDS = 2
"""How many passwords of earlier versions are tried to find out whether a user without our mark is the clone."""

REPLICA_SECONDS = 2.0
"""How long setSecret waits after it set a password at another host, such as the source of a replica."""

BY_ADMIN = "the server refused every password in the secret, and the admin was allowed to set a new one"
"""What was broken if the admin repaired it."""


class RotationStrategy(ABC):
    """How one strategy replaces a password. The methods that are not abstract suit a strategy with one user."""

    name: ClassVar[Strategy]

    def __init__(self, kind: EngineKind) -> None:
        """Take the facts of the engine."""
        self.kind = kind

    def next_username(self, current: SecretValue) -> str:
        """Return the user that gets the new password; raises Unsupported if the engine cannot have such a user."""
        return current.credential.username

    def require_equal(  # noqa: B027 - one user: nothing to compare
        self, pending: SecretValue, session: Session, current: Callable[[], SecretValue], context: Context
    ) -> None:
        """Raise RightsDiffer if an application cannot do all as the pending user, or finds something else.

        Changes nothing. `session` is the pending user's, and new. `current` reads AWSCURRENT, which is seldom needed.
        """

    def password_rules(self, current: SecretValue, context: Context) -> Sequence[Rule]:
        """Return what the server asks of passwords, as far as it shows; changes nothing.

        Raises Unsupported if this server cannot do what the strategy needs, before anything is staged. Asks for both in
        one login. If the server refuses it, with every password that is tried, nothing is asked: setSecret says so.
        """
        if self.needs_version or self.kind.shows_password_rules:
            with contextlib.suppress(LoginRefused):
                return self._ask(current, context)
        return ()

    @property
    def needs_version(self) -> bool:
        """Whether some servers of the engine cannot do what the strategy needs."""
        return False

    def require_possible(self, session: Session) -> None:  # noqa: B027 - one password: every server
        """Raise Unsupported if this server cannot do what the strategy needs; changes nothing."""

    def _ask(self, current: SecretValue, context: Context) -> Sequence[Rule]:
        """Log in and ask, as the user of AWSCURRENT. What a server can do at all is worth no second password."""
        if not self.kind.shows_password_rules:
            return log_in_first([current.credential], context, lambda session, _: self._rules(session))
        return log_in_to_ask(current, context, self._rules)

    def _rules(self, session: Session) -> Sequence[Rule]:
        self.require_possible(session)
        return session.password_rules() if isinstance(session, ShowsPasswordRules) else ()

    def _by_itself(
        self, change: Callable[[], None], session: Session, credential: Credential, current: SecretValue
    ) -> "_NeedsAdmin | None":
        """Let the user make the change itself. If it cannot, return what an admin needs, or raise if there is no admin.

        If only an admin can see all that belongs to the user, and one is named, it makes the change at once.
        """
        if current.admin_secret and self.kind.admin_sees_accounts:
            return _NeedsAdmin(credential, session.proof())
        try:
            change()
        except NotPermitted:
            if not current.admin_secret:
                raise
            return _NeedsAdmin(credential, session.proof())
        return None

    @abstractmethod
    def set_password(self, current: SecretValue, pending: SecretValue, context: Context) -> str:
        """Change the database so that `pending` logs in; return a sentence on what was done. Can be repeated."""


def choose(value: SecretValue, kind: EngineKind) -> RotationStrategy:
    """Return the strategy that the secret asks for; raises Unsupported or InvalidSecret if it is not possible."""
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
            operation,
            f'{wanted} needs an admin, and the secret has no "masterarn"',
            'Add the ARN of the admin secret to the secret, as "masterarn"',
        )
    return STRATEGIES[wanted](kind)


class SingleUser(RotationStrategy):
    """The user changes its own password."""

    name = Strategy.SINGLE_USER

    def _ask(self, current: SecretValue, context: Context) -> Sequence[Rule]:
        """Log in as the admin, if it sees passwords: so no login of the user is refused, whatever AWSCURRENT holds."""
        if current.admin_secret and self.kind.admin_sees_passwords:
            with as_admin(context.admin(current), current, context) as session:
                return self._rules(session)
        return super()._ask(current, context)

    def set_password(self, current: SecretValue, pending: SecretValue, context: Context) -> str:
        """Log in with the credential that is likeliest to work, and change the password to that of `pending`."""
        user, password = current.credential, pending.credential.password

        def change(session: Session, credential: Credential) -> "_NeedsAdmin | None":
            if credential.password == password:
                return None
            self._end_old_password(session, credential, current, context)
            return self._by_itself(lambda: session.change_own_password(password), session, credential, current)

        likely = [pending.credential, user] if context.is_resumed() else [user, pending.credential]
        try:
            left = log_in(likely, current, context, change)
        except LoginRefused as refused:
            return _repair(refused, current, pending, context)
        if not left:
            return f"{user.username} has the pending password"
        with _admin_for(left, current, context) as session:
            session.reset_password(user.username, password)
        return f"{user.username} got the pending password from the admin"

    def _end_old_password(
        self, session: Session, credential: Credential, current: SecretValue, context: Context
    ) -> None:
        """End what a rotation with two passwords has left, or raise NotPermitted. An admin ends it in any case."""
        if current.admin_secret or self.kind.dual_password_needs_admin or not isinstance(session, EndsOldPassword):
            return
        if has_old_password(credential, context):
            session.end_old_password()


class AlternatingUsers(RotationStrategy):
    """The admin gives the other user the rights of the current one, and then the new password."""

    name = Strategy.ALTERNATING_USERS

    def next_username(self, current: SecretValue) -> str:
        """Return the user whose turn is next; raises Unsupported if its name is too long for the engine."""
        other = self.kind.counterpart(current.credential.username)
        if self.kind.username_length(other) > self.kind.username_limit:
            raise Unsupported(
                f"naming the clone of {current.credential.username}",
                f"{other} is longer than {self.kind.username_limit}, the limit of {self.kind.name}",
                f"Use a name that leaves room for {CLONE_SUFFIX}, or the single-user strategy",
            )
        return other

    def set_password(self, current: SecretValue, pending: SecretValue, context: Context) -> str:
        """Prove that the current user logs in; let the admin mirror it, then set the other user's password, last."""
        user, other = current.credential.username, pending.credential.username
        admin, proof, found = admin_over(current, context, user, other), None, NOT_KNOWN
        try:
            found, proof = log_in([current.credential], current, context, look_and_prove, admin)
        except LoginRefused as refused:
            _require_repair(refused, current, context)
        there = at_admins_place(pending.credential, admin, context)
        with as_admin(admin, current, context) as session:
            if proof:
                session.require_proven(proof)
            if (status := session.clone_status(user, other)) is CloneStatus.UNKNOWN:
                _require_ours(session, current, pending.credential, admin, context)
            require_shareable(session, user, other, current.accept)
            equal = mirror(session, user, other, context.pair, is_new=status is CloneStatus.ABSENT)
            session.set_password(other, pending.credential.password)
        record_end(context.pair, equal.finding(found), lambda: log_in_and_require_same(found, user, there, context))
        _let_replicate(current, admin, context)
        return f"{other} mirrors {user} and has the pending password"

    def require_equal(
        self, pending: SecretValue, session: Session, current: Callable[[], SecretValue], context: Context
    ) -> None:
        """Compare what an application finds, and the rights. setSecret has compared those that only an admin sees."""
        require_same_surroundings(session, pending, current, context)
        if self.kind.clone_sees_rights:
            other = pending.credential.username
            require_equal(session, self.kind.counterpart(other), other)


class DualPassword(RotationStrategy):
    """The user gets the new password and keeps the one it has."""

    name = Strategy.DUAL_PASSWORD

    @property
    def needs_version(self) -> bool:
        """Whether some servers of the engine cannot keep the old password."""
        return self.kind.dual_password_needs_version

    def require_possible(self, session: Session) -> None:
        """Ask the server whether the user can have two passwords, if some servers of the engine cannot do it."""
        if self.needs_version:
            _two_passwords(session).require_two_passwords()

    def set_password(self, current: SecretValue, pending: SecretValue, context: Context) -> str:
        """Log in with the credential that is likeliest to work, and add the pending password, or let the admin."""
        user, password = current.credential, pending.credential.password

        def add(session: Session, credential: Credential) -> "_NeedsAdmin | None":
            if credential.password == password:
                return None
            return self._by_itself(lambda: _add_password(session, credential, password), session, credential, current)

        try:
            left = log_in([user, pending.credential], current, context, add)
        except LoginRefused as refused:
            return _repair(refused, current, pending, context)
        if not left:
            return f"{user.username} has the pending password, and the one before it"
        with _admin_for(left, current, context) as session:
            _two_passwords(session).add_password(user.username, left.credential.password, password)
        return f"{user.username} got the pending password from the admin, and keeps the one before it"


STRATEGIES = {strategy.name: strategy for strategy in (SingleUser, AlternatingUsers, DualPassword)}


@dataclass(frozen=True)
class _NeedsAdmin:
    """A user that logged in, and cannot make the change by itself."""

    credential: Credential
    proof: Proof


def _add_password(session: Session, credential: Credential, password: str) -> None:
    two = _two_passwords(session)
    two.require_two_passwords()
    two.add_password(credential.username, credential.password, password)


def _two_passwords(session: Session) -> KeepsOldPassword:
    """Return the session as one that can keep two passwords: `EngineKind.strategies` says that it can."""
    if not isinstance(session, KeepsOldPassword):
        raise TypeError(type(session).__name__)
    return session


@contextlib.contextmanager
def _admin_for(user: _NeedsAdmin, current: SecretValue, context: Context) -> Iterator[Session]:
    """Log in as an admin that can change the user that logged in, and no other account of its name.

    If the admin logs in at another place, the user logs in there first.
    """
    admin, proof = context.admin(current), user.proof
    there = at_admins_place(user.credential, admin, context)
    if there != user.credential:
        proof = log_in_first([there], context, prove)
    with as_admin(admin, current, context) as session:
        session.require_proven(proof)
        yield session
    _let_replicate(current, admin, context)


def _let_replicate(current: SecretValue, admin: Credential, context: Context) -> None:
    """Wait a little if the password was set at another host than the user's, so that testSecret finds it there."""
    if admin.host != current.credential.host and context.deadline.outlasts(REPLICA_SECONDS):
        context.deadline.pause(REPLICA_SECONDS, f"waiting until the password reaches {current.credential.host}")


def _repair(refused: LoginRefused, current: SecretValue, pending: SecretValue, context: Context) -> str:
    """Let the admin set the pending password although no password logs in, if that is allowed."""
    user = current.credential.username
    _require_repair(refused, current, context)
    with as_admin(admin_over(current, context, user), current, context) as session:
        session.reset_password(user, pending.credential.password)
    return f"{user} got the pending password from the admin, because nothing else logs in"


def _require_repair(refused: LoginRefused, current: SecretValue, context: Context) -> None:
    """Raise LoginRefused unless the admin is allowed to help a user that nobody has logged in as."""
    user = current.credential.username
    cause, remedy = f"{refused.cause.rstrip('.')}, with every password that was tried", refused.remedy
    if not context.try_more_passwords:
        remedy += (
            "; or set TRY_MORE_PASSWORDS (parameter TryMorePasswords) to true, to try the passwords of more versions."
            f" It is off because the server can lock {user} for it"
        )
    if not current.admin_secret:
        raise LoginRefused(refused.operation, cause, remedy)
    if not context.allow_admin_repair:
        remedy += (
            f"; or set ALLOW_ADMIN_REPAIR (parameter AllowAdminRepair) to true, to let the admin reset {user}."
            " It is off because everybody who can write the secret could then take over any user"
        )
        raise LoginRefused(refused.operation, cause, remedy)
    context.recovered(BY_ADMIN)


def _require_ours(
    session: Session, current: SecretValue, pending: Credential, admin: Credential, context: Context
) -> None:
    """Bind the admin's session to the user that has the clone's name and no mark, once it has proved to be ours."""
    try:
        session.require_proven(_prove_ours(current, pending, admin, context))
    except Unsafe:
        # Another delivery of this step can have marked it, and changed its password, meanwhile.
        if session.clone_status(current.credential.username, pending.username) is not CloneStatus.OURS:
            raise


def _prove_ours(current: SecretValue, pending: Credential, admin: Credential, context: Context) -> Proof:
    """Log in as a user that has the clone's name and no mark of ours (the promise "nobody else's user").

    The user can belong to somebody else. That a version of the secret names it proves nothing. A password of an earlier
    version that logs in is the proof: pairs that AWS's own rotation functions made have no mark. The pending password
    is a proof only on servers that refuse the mark; on all others the mark comes before the password. It is sent only
    if a rotation has recorded something about this pair: else nobody but a stranger can have made that user.
    """
    user, other = current.credential.username, pending.username
    as_other = replace(current.credential, username=other)
    candidates = list(itertools.islice(same_login(as_other, context.earlier(), context), CLONE_PASSWORDS))
    if context.engine.kind.clone_may_lack_mark and context.pair.record() != PairRecord():
        candidates.insert(0 if context.is_resumed() else 1, pending)
    for credential in candidates:
        with contextlib.suppress(LoginRefused):
            return log_in_first([at_admins_place(credential, admin, context)], context, prove)
    raise Unsafe(
        f"preparing {other}, which takes turns with {user}",
        f"{other} was not created by this rotation, and no version of the secret has its password:"
        " it can belong to someone else",
        f"Rename or drop {other}, or use the single-user strategy",
    )
