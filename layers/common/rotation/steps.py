"""What happens in each of the four steps?

A secret has versions; staging labels say what each is for. Applications read the version that has AWSCURRENT. To
rotate, Secrets Manager gives the label AWSPENDING to a new, empty version, and calls this program four times, each
time with the id of that version, the version token:

    createSecret    writes a new password into the pending version. The database does not know it yet.
    setSecret       makes the database accept the pending version.
    testSecret      logs in with the pending version, as the application will.
    finishSecret    moves AWSCURRENT to the pending version. AWSPREVIOUS follows to the one that had it.

        AWSCURRENT  v1 ──────────────────────────────────────────── v1 ──▶ v2
        AWSPENDING        v2 empty ─▶ v2 written ─▶ v2 works ─▶ v2 tested

Every call can fail at any moment. Secrets Manager then begins again at createSecret, with the same token. It can also
call a step twice, or two steps at once, and an operator can remove the label AWSPENDING and so abandon the rotation.
Every line below keeps these rules:

1.  A step reads the state, decides, and makes the smallest change that is still missing. Between two calls, all state
    is in Secrets Manager and in the database.
2.  A version never changes once it is written: PutSecretValue with the same token and another value is refused. So a
    second createSecret cannot replace a password that the database already has.
3.  AWSCURRENT is moved last, and only to a version that logged in.
4.  A version is used only while it is staged. One without AWSPENDING was abandoned; one with AWSCURRENT is done.
5.  A pending version is used only if it follows from the current one: the same host, and the user whose turn it is.
    createSecret and setSecret compare the two before anything of the pending one is sent anywhere. testSecret need not
    read the current version again: the pending version cannot have changed.

Which user gets the password, and who sets it, is decided in `rotation.strategies`.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Protocol

from rotation import strategies
from rotation.credential import Credential, SecretValue
from rotation.deadline import Deadline
from rotation.engine import Engine
from rotation.errors import LoginRefused, NotRotatable, PasswordRefused, RightsDiffer, RotationError, Superseded
from rotation.logins import Context, ignore
from rotation.passwords import Rule
from rotation.record import PairRecord
from rotation.strategies import RotationStrategy
from rotation.values import dataclass


class Step(StrEnum):
    """The four invocations, by their names in the event."""

    CREATE = "createSecret"
    SET = "setSecret"
    TEST = "testSecret"
    FINISH = "finishSecret"


class Secret(Protocol):
    """The secret under rotation, seen from one version token; as a text, it names both."""

    def is_staged(self) -> bool:
        """Tell whether the version is pending (True) or already current (False).

        Raises NotRotatable if it is neither, or if rotation is off.
        """

    def current(self) -> SecretValue:
        """Return the value of the version that has AWSCURRENT."""

    def pending(self) -> SecretValue | None:
        """Return the value of this version, or None if it has none yet; raises NotRotatable if it is not staged."""

    def written(self) -> Iterator[SecretValue]:
        """Yield the value of this version if it shows one already; waits for none."""

    def is_resumed(self) -> bool:
        """Tell whether `pending` found a version that an earlier try has written, and not this one."""

    def stage(self, value: SecretValue) -> bool:
        """Write the value of this version, and move the record of the pair to it.

        Returns False, and changes nothing, if it has a value already.
        """

    def record(self) -> PairRecord:
        """Return what earlier rotations recorded about the pair, as far as a call above has seen it."""

    def read_record(self) -> PairRecord:
        """Return what is recorded about the pair now, on all versions."""

    def write_record(self, record: PairRecord) -> None:
        """Replace what is recorded about the pair, as far as a call above has seen it."""

    def promote(self) -> bool:
        """Move AWSCURRENT to this version. Returns False, and changes nothing, if it is there already."""

    def give_up(self) -> None:
        """Take AWSPENDING from this version. Changes nothing if another version has the label, or none."""

    def newer(self) -> Iterator[SecretValue]:
        """Yield the values of the versions that are newer than AWSCURRENT, except this one, newest first."""

    def earlier(self) -> Iterator[SecretValue]:
        """Yield the values of the versions that are older than AWSCURRENT: AWSPREVIOUS first, then the newest first."""


@dataclass(frozen=True)
class Rotation:
    """What one step works with."""

    secret: Secret
    engine: Engine
    deadline: Deadline
    admin: Callable[[SecretValue], Credential]
    new_password: Callable[[str, Sequence[Rule]], str]
    """Returns a new password for the user of this name that meets these rules of the server."""
    annotate: Callable[[RotationStrategy], None]
    """Notes the strategy for the log, as soon as it is known."""
    try_more_passwords: bool = False
    allow_admin_repair: bool = False
    """See `rotation.logins.Context`."""
    recovered: Callable[[str], None] = ignore
    """Notes for the log what was broken and works again."""
    finished: Callable[[bool], None] = lambda _: None
    """Hears that the version is current, and whether this step has moved AWSCURRENT to it. Raises nothing."""

    def strategy(self, value: SecretValue) -> RotationStrategy:
        """Return the strategy that the secret asks for."""
        strategy = strategies.choose(value, self.engine.kind)
        self.annotate(strategy)
        return strategy

    def context(self, recovered: Callable[[str], None] = ignore) -> Context:
        """Return the part of this that a strategy can use."""
        return Context(
            engine=self.engine,
            deadline=self.deadline,
            admin=self.admin,
            newer=self.secret.newer,
            earlier=self.secret.earlier,
            written=self.secret.written,
            pair=self.secret,
            is_resumed=self.secret.is_resumed,
            try_more_passwords=self.try_more_passwords,
            allow_admin_repair=self.allow_admin_repair,
            recovered=recovered,
        )


def create_secret(rotation: Rotation) -> str:
    """Write the next credential into the pending version, once."""
    if not rotation.secret.is_staged():
        return "the version is current already"
    current = rotation.secret.current()
    strategy = rotation.strategy(current)
    username = strategy.next_username(current)
    rules = strategy.password_rules(current, rotation.context())
    successor = current.successor(username, rotation.new_password(username, rules))
    if rotation.secret.stage(successor):
        return f"wrote a new password for {successor.credential.username}"
    pending = _required(rotation.secret)
    _require_follows(pending, current, strategy)
    return f"the version has a password for {pending.credential.username} already"


def set_secret(rotation: Rotation) -> str:
    """Make the database accept the pending version."""
    pending = _required(rotation.secret)
    current = rotation.secret.current()
    if pending == current:
        return "the version is current already"
    strategy = rotation.strategy(current)
    _require_follows(pending, current, strategy)
    broken: list[str] = []
    try:
        done = strategy.set_password(current, pending, rotation.context(broken.append))
    except PasswordRefused:
        if not broken:  # else the server has refused AWSCURRENT in this step already: each refused login counts
            _give_up(rotation, current)
        raise
    for what in broken:
        rotation.recovered(what)
    return done


def test_secret(rotation: Rotation) -> str:
    """Log in like the application, run the secret's own statements, and compare an alternating pair.

    If a schedule is saved without rotating at once, Secrets Manager makes this call only, with a version that is empty
    or holds the current value. Then the current version is tested.
    """
    value = rotation.secret.pending() or rotation.secret.current()
    strategy = rotation.strategy(value)
    try:
        _test(rotation, strategy, value)
    except LoginRefused as refused:
        if not _is_not_admins_host(rotation, value):
            raise
        _test_when_replicated(rotation, strategy, value, refused)
    return f"{value.credential.username} logs in"


def finish_secret(rotation: Rotation) -> str:
    """Move AWSCURRENT to the pending version."""
    moved = rotation.secret.promote()
    rotation.finished(moved)
    return "the version is current now" if moved else "the version is current already"


STEPS: dict[Step, Callable[[Rotation], str]] = {
    Step.CREATE: create_secret,
    Step.SET: set_secret,
    Step.TEST: test_secret,
    Step.FINISH: finish_secret,
}
"""Each function can be called again at any moment, and returns a sentence on what it did."""

REPLICA_PAUSES = (4.0, 8.0)
"""Seconds until a login that a replica refused is tried again. So a step makes three such logins at most, fewer than a
server with a limit of five failed logins takes; and setSecret has waited before the first."""


def _give_up(rotation: Rotation, current: SecretValue) -> None:
    """Give up a version whose password the server refuses, so that the next rotation makes another one.

    Only if AWSCURRENT logs in after the refusal: then the application has lost nothing, even if another delivery of
    this step has set the password. If it does not log in, the version stays pending.
    """
    with contextlib.suppress(RotationError):
        with rotation.engine.connect(current.credential, rotation.deadline):
            pass
        rotation.secret.give_up()


def _test(rotation: Rotation, strategy: RotationStrategy, value: SecretValue) -> None:
    with rotation.engine.connect(value.credential, rotation.deadline) as session:
        try:
            strategy.require_equal(value, session, rotation.secret.current, rotation.context())
        except RightsDiffer:
            # This version is current already, so setSecret has mirrored nothing for it.
            if value != rotation.secret.current():
                raise
        session.verify(value.verify)
        session.proof()


def _test_when_replicated(
    rotation: Rotation, strategy: RotationStrategy, value: SecretValue, refused: LoginRefused
) -> None:
    """Test again, a little later: the password was set on the primary, and reaches its replica then."""
    for pause in filter(rotation.deadline.outlasts, REPLICA_PAUSES):
        rotation.deadline.pause(pause, f"waiting until the new password of {value.credential} reaches the replica")
        try:
            _test(rotation, strategy, value)
        except LoginRefused as error:
            refused = error
        else:
            return
    raise refused


def _is_not_admins_host(rotation: Rotation, value: SecretValue) -> bool:
    """Tell whether the admin sets passwords at another host, so that they can arrive here later."""
    return bool(value.admin_secret) and rotation.admin(value).host != value.credential.host


def _required(secret: Secret) -> SecretValue:
    pending = secret.pending()
    if pending is None:
        raise NotRotatable(
            f"reading {secret}",
            "it has no value yet",
            "Start the rotation again, so that createSecret runs first",
        )
    return pending


def _require_follows(pending: SecretValue, current: SecretValue, strategy: RotationStrategy) -> None:
    """Refuse a pending version that somebody else wrote (the promise "nobody else's user").

    It could name another host, or another user.
    """
    expected = replace(
        current.credential, username=strategy.next_username(current), password=pending.credential.password
    )
    if pending.credential != expected:
        raise Superseded(
            f"comparing the pending version with the current one, {current.credential}",
            f"it names {pending.credential}, or another engine, database or TLS setting, so it does not follow: someone"
            " edited the secret or the pending version during this rotation",
            "Check CloudTrail for PutSecretValue on this secret, to see who wrote it",
        )
