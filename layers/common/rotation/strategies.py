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
  that it can log in as, and its owner must not get more power from the admin, whom the owner may name freely in
  `masterarn`. Only where the operator of the function says that all who may write secrets are trusted so far, the
  admin helps without that proof (`Means.allow_admin_repair`).
- The password is written last. A login that works then proves that everything before it was finished.
- Only a refused login leads to another credential. An unreachable server ends the step.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

from rotation.credential import Credential, SecretValue
from rotation.deadline import Deadline
from rotation.engine import Engine, KeepsOldPassword, Session, Standing
from rotation.errors import InvalidSecret, LoginRefused, NotPermitted, RightsDiffer, Unsafe, Unsupported
from rotation.kind import CLONE_SUFFIX, EngineKind, Strategy

EARLIER_PASSWORDS = 5

BY_EARLIER_VERSION = "the server refuses the password of AWSCURRENT, and takes that of an earlier version"
BY_ADMIN = "the server refuses every password that the secret holds, and the admin was allowed to repair that"
"""What was found broken and healed."""


def unheard(_: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Means:
    """What a strategy may use."""

    engine: Engine
    deadline: Deadline
    administrator: Callable[[SecretValue], Credential]
    """Finds the admin of the database that a secret is for, having checked that it is the same database."""
    earlier: Callable[[], Iterator[SecretValue]]
    """Reads the earlier versions of the secret, one by one: AWSPREVIOUS first, then those without a label, newest
    first."""
    allow_admin_repair: bool = False
    """Whether the admin may help a user of whom the secret holds no password that works: whoever may write the secret
    could name any user in it."""
    healed: Callable[[str], None] = unheard
    """Is told what was broken, where it is healed."""


class RotationStrategy(Protocol):
    """How one strategy replaces a password."""

    name: ClassVar[Strategy]

    def require_possible(self, current: SecretValue, means: Means) -> None:
        """Raise Unsupported where the server cannot do it, before anything is staged; changes nothing."""

    def next_username(self, current: SecretValue) -> str:
        """Return the user that gets the new password; raises Unsupported where the engine cannot have such a user."""

    def set_password(self, current: SecretValue, pending: SecretValue, means: Means) -> str:
        """Bring the database to where `pending` logs in; return a sentence on what was done. May be repeated."""

    def require_equal_rights(self, pending: SecretValue, session: Session, engine: Engine) -> None:
        """Compare the rights of the pair, where there is one and its pending user may; raises RightsDiffer."""


def choose(value: SecretValue, kind: EngineKind) -> RotationStrategy:
    """Return the strategy that the secret asks for; raises Unsupported or InvalidSecret where it cannot be had."""
    wanted = value.strategy or (Strategy.ALTERNATING_USERS if value.admin_secret else Strategy.SINGLE_USER)
    doing = f"choosing the strategy for {value.credential}"
    if wanted not in kind.strategies:
        raise Unsupported(
            doing,
            f"{kind.name} cannot do {wanted}",
            f'Set "strategy" in the "rotation" of the secret to one of {", ".join(sorted(kind.strategies))}',
        )
    needs_admin = wanted is Strategy.ALTERNATING_USERS or (
        wanted is Strategy.DUAL_PASSWORD and kind.dual_password_needs_admin
    )
    if needs_admin and not value.admin_secret:
        raise InvalidSecret(
            doing, f'{wanted} needs an admin, and the secret has no "masterarn"', "Add the ARN of the admin secret"
        )
    return STRATEGIES[wanted](kind)


@dataclass(frozen=True)
class SingleUser:
    """The user changes its own password."""

    kind: EngineKind
    name: ClassVar[Strategy] = Strategy.SINGLE_USER

    def require_possible(self, current: SecretValue, means: Means) -> None:
        """Every server can do it."""

    def next_username(self, current: SecretValue) -> str:
        """Return the user itself."""
        return current.credential.username

    def set_password(self, current: SecretValue, pending: SecretValue, means: Means) -> str:
        """Log in with what the user has, the likeliest first, and change it to what `pending` says."""
        user, password = current.credential, pending.credential.password

        def change(session: Session, credential: Credential) -> None:
            if credential.password != password:
                session.change_own_password(password)

        try:
            _log_in([user, pending.credential], current, means, change)
        except NotPermitted:
            if not current.admin_secret:
                raise
            admin, why = means.administrator(current), "because it may not change its own"
        except LoginRefused as refused:
            _require_repair(refused, current, means)
            admin, why = _administrator(current, means, user.username), "because nothing else logs in"
        else:
            return f"{user.username} has the pending password"
        with means.engine.connect(admin, means.deadline) as session:
            session.reset_password(user.username, password)
        return f"{user.username} got the pending password from the admin, {why}"

    def require_equal_rights(self, pending: SecretValue, session: Session, engine: Engine) -> None:
        """There is one user only: nothing to compare."""


@dataclass(frozen=True)
class AlternatingUsers:
    """The admin mirrors the current user onto the other one, then gives that the new password."""

    kind: EngineKind
    name: ClassVar[Strategy] = Strategy.ALTERNATING_USERS

    def require_possible(self, current: SecretValue, means: Means) -> None:
        """Every server can do it."""

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

    def set_password(self, current: SecretValue, pending: SecretValue, means: Means) -> str:
        """Prove that the secret holds its user, then let the admin mirror it and set the other's password, last."""
        user, other = current.credential.username, pending.credential.username
        try:
            _log_in([current.credential], current, means)
        except LoginRefused as refused:
            _require_repair(refused, current, means)
        admin = _administrator(current, means, user, other)
        with means.engine.connect(admin, means.deadline) as session:
            _require_ours(session.standing(user, other), current, pending.credential, means)
            session.mirror(user, other)
            if not means.engine.clone_sees_rights:
                _require_equal(session, user, other)
            session.set_password(other, pending.credential.password)
        return f"{other} mirrors {user} and has the pending password"

    def require_equal_rights(self, pending: SecretValue, session: Session, engine: Engine) -> None:
        """Compare the pair as the pending user sees it; where only an admin may, setSecret has done it."""
        if engine.clone_sees_rights:
            other = pending.credential.username
            _require_equal(session, self.kind.counterpart(other), other)


@dataclass(frozen=True)
class DualPassword:
    """The user gets the new password besides the one it has."""

    kind: EngineKind
    name: ClassVar[Strategy] = Strategy.DUAL_PASSWORD

    def require_possible(self, current: SecretValue, means: Means) -> None:
        """Ask the server, if not all servers of the engine can do it.

        Where it refuses the login, setSecret is to find the way in.
        """
        if self.kind.dual_password_needs_version:
            with (
                contextlib.suppress(LoginRefused),
                means.engine.connect(current.credential, means.deadline) as session,
            ):
                _two_passwords(session).require_two_passwords()

    def next_username(self, current: SecretValue) -> str:
        """Return the user itself."""
        return current.credential.username

    def set_password(self, current: SecretValue, pending: SecretValue, means: Means) -> str:
        """Log in with what the user has, the likeliest first, and add what `pending` says, or let the admin."""
        user, password = current.credential, pending.credential.password
        accepted = user.password

        def add(session: Session, credential: Credential) -> None:
            nonlocal accepted
            accepted = credential.password
            if accepted != password:
                _two_passwords(session).require_two_passwords()
                _two_passwords(session).add_password(user.username, accepted, password)

        try:
            _log_in([user, pending.credential], current, means, add)
        except NotPermitted:
            if not current.admin_secret:
                raise
            with means.engine.connect(means.administrator(current), means.deadline) as session:
                _two_passwords(session).add_password(user.username, accepted, password)
            return f"{user.username} got the pending password from the admin, and keeps the one before it"
        except LoginRefused as refused:
            _require_repair(refused, current, means)
            with means.engine.connect(_administrator(current, means, user.username), means.deadline) as session:
                session.reset_password(user.username, password)
            return f"{user.username} got the pending password from the admin, because nothing else logs in"
        return f"{user.username} has the pending password, and the one before it"

    def require_equal_rights(self, pending: SecretValue, session: Session, engine: Engine) -> None:
        """There is one user only: nothing to compare."""


STRATEGIES: dict[Strategy, Callable[[EngineKind], RotationStrategy]] = {
    Strategy.SINGLE_USER: SingleUser,
    Strategy.ALTERNATING_USERS: AlternatingUsers,
    Strategy.DUAL_PASSWORD: DualPassword,
}


def log_in_first(
    candidates: Iterable[Credential], means: Means, use: Callable[[Session, Credential], None] | None = None
) -> None:
    """Log in with the first of the candidates that the server accepts, and use that session.

    Raises the LoginRefused of the first candidate, which is the one expected to work, where the server refuses them
    all.
    """
    refused: LoginRefused | None = None
    for credential in candidates:
        try:
            with means.engine.connect(credential, means.deadline) as session:
                if use:
                    use(session, credential)
        except LoginRefused as error:
            refused = refused or error
        else:
            return
    if refused:
        raise refused


def _log_in(
    likely: Sequence[Credential],
    current: SecretValue,
    means: Means,
    use: Callable[[Session, Credential], None] | None = None,
) -> None:
    """Log in as the user that AWSCURRENT names: with what is likely to work, else with an earlier password.

    Raises the LoginRefused of the likeliest where the server refuses them all.
    """

    def note_and_use(session: Session, credential: Credential) -> None:
        if credential not in likely:
            means.healed(BY_EARLIER_VERSION)
        if use:
            use(session, credential)

    earlier = (credential for credential in earlier_passwords(current, means) if credential not in likely)
    log_in_first(itertools.chain(likely, earlier), means, note_and_use)


def _require_repair(refused: LoginRefused, current: SecretValue, means: Means) -> None:
    """Let an admin help although nobody has proved to hold the user, where that is allowed; else raise LoginRefused."""
    if not current.admin_secret:
        raise refused
    if not means.allow_admin_repair:
        user = current.credential.username
        remedy = (
            f"{refused.remedy}; or set ALLOW_ADMIN_REPAIR (parameter AllowAdminRepair) to true, and the admin lets"
            f" {user} in again. That is off, because whoever may write the secret could then take any user over"
        )
        raise LoginRefused(refused.doing, f"{refused.cause}, with every password that the secret holds", remedy)
    means.healed(BY_ADMIN)


def _administrator(current: SecretValue, means: Means, *users: str) -> Credential:
    """Return the admin, who is about to change one of the users; raises Unsafe where it is one of them itself."""
    admin, normal = means.administrator(current), means.engine.kind.normal_name
    if normal(admin.username) in map(normal, users):
        raise Unsafe(
            f"changing {' and '.join(users)} as the admin",
            f"{admin.username} is the admin itself",
            "Put a user of the application into the secret, and the admin only into the admin secret",
        )
    return admin


def earlier_passwords(current: SecretValue, means: Means) -> Iterator[Credential]:
    """Yield the same login with earlier passwords: after an abandoned rotation one of them is the user's.

    Only versions of the same user on the same host count, and only a few: a server may lock a user that fails too
    often.
    """
    user, normal = current.credential, means.engine.kind.normal_name
    same = (value.credential for value in means.earlier() if _same_place(value.credential, user))
    passwords = (earlier.password for earlier in same if normal(earlier.username) == normal(user.username))
    for password in itertools.islice(passwords, EARLIER_PASSWORDS):
        yield replace(user, password=password)


def _two_passwords(session: Session) -> KeepsOldPassword:
    """Return the session as one that can do it: `EngineKind.strategies` says so."""
    if not isinstance(session, KeepsOldPassword):
        raise TypeError(type(session).__name__)
    return session


def _same_place(one: Credential, other: Credential) -> bool:
    return (one.host, one.port) == (other.host, other.port)


def _require_ours(standing: Standing, current: SecretValue, pending: Credential, means: Means) -> None:
    """Let nobody take over a user that merely happens to be called like the clone (promise 8).

    Where the server does not know it as ours, one of the secret's passwords that logs in is the proof. That a version
    holds the name is none: a rotation that was refused here has left one that does.
    """
    if standing is not Standing.UNKNOWN:
        return
    other = pending.username
    earlier = earlier_passwords(replace(current, credential=replace(current.credential, username=other)), means)
    for credential in itertools.chain(earlier, [pending]):  # the pending one: set by a step that was cut off
        with contextlib.suppress(LoginRefused), means.engine.connect(credential, means.deadline):
            return
    raise Unsafe(
        f"preparing {other}, with which {current.credential.username} takes turns",
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
