"""What happens in each of the four steps?

A secret is a row of versions; staging labels tell what each is for. Applications read the version that has
AWSCURRENT. To rotate, Secrets Manager gives the label AWSPENDING to a new, empty version, and calls this program four
times, each time with the id of that version, the version token:

    createSecret    writes a new password into the pending version. The database does not know it yet.
    setSecret       makes the database accept the pending version.
    testSecret      logs in with the pending version, as the application will.
    finishSecret    moves AWSCURRENT to the pending version. AWSPREVIOUS follows to the one that had it.

        AWSCURRENT  v1 ──────────────────────────────────────────── v1 ──▶ v2
        AWSPENDING        v2 empty ─▶ v2 written ─▶ v2 works ─▶ v2 tested

Anything may fail, at any moment, and then Secrets Manager begins again at createSecret, with the same token. It may
also call a step twice, or two steps at once, and an operator may take the label AWSPENDING away and so abandon the
rotation. Hence the rules that every line below keeps:

1.  A step reads what is there, decides, and does the smallest thing that brings the world nearer to done. Nothing is
    remembered between two calls but in Secrets Manager and in the database.
2.  What is written once into a version stays (PutSecretValue with the same token and another value is refused): a
    password that the database may know already cannot be lost to a second createSecret.
3.  AWSCURRENT is moved last, and only to a version that logged in.
4.  A version is used only while it is staged. One without AWSPENDING was abandoned; one that has AWSCURRENT is done.
5.  A pending version is believed only where it follows from the current one: same place, and the user whose turn it
    is. createSecret and setSecret compare them, before a credential goes anywhere. testSecret then need not read the
    current version again: what it reads cannot have changed.

Who logs in, and which user gets the password, is the strategy's to know: see `rotation.strategies`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

from rotation import strategies
from rotation.credential import Credential, SecretValue
from rotation.deadline import Deadline
from rotation.engine import Engine
from rotation.errors import LoginRefused, NotRotatable, RightsDiffer, Superseded
from rotation.strategies import Context, RotationStrategy, ignore


class Step(StrEnum):
    """The four invocations; the values are what the event says."""

    CREATE = "createSecret"
    SET = "setSecret"
    TEST = "testSecret"
    FINISH = "finishSecret"


class Secret(Protocol):
    """The secret under rotation, seen from one version token."""

    def is_staged(self) -> bool:
        """Tell whether the version is pending (True) or already current (False).

        Raises NotRotatable where it is neither, or where rotation is off.
        """

    def current(self) -> SecretValue:
        """Return the value of the version that has AWSCURRENT."""

    def pending(self) -> SecretValue | None:
        """Return the value of this version, None where it has none yet; raises NotRotatable where it is not staged."""

    def stage(self, value: SecretValue) -> bool:
        """Give this version its value; False, and nothing changed, where it has one already."""

    def promote(self) -> bool:
        """Move AWSCURRENT to this version; False, and nothing changed, where it has it already."""

    def newer(self) -> Iterator[SecretValue]:
        """Yield the values of versions that are newer than AWSCURRENT, but for this one, newest first."""

    def earlier(self) -> Iterator[SecretValue]:
        """Yield the values of versions that are older than AWSCURRENT: AWSPREVIOUS first, then the newest first."""


@dataclass(frozen=True)
class Rotation:
    """One step's means."""

    secret: Secret
    engine: Engine
    deadline: Deadline
    admin: Callable[[SecretValue], Credential]
    new_password: Callable[[], str]
    annotate: Callable[[RotationStrategy], None]
    """Tells the log which strategy it is, as soon as that is known."""
    try_more_passwords: bool = False
    allow_admin_repair: bool = False
    """See `rotation.strategies.Context`."""
    recovered: Callable[[str], None] = ignore
    """Tells the log what was broken, where it is healed."""

    def strategy(self, value: SecretValue) -> RotationStrategy:
        """Return the strategy that the secret asks for."""
        strategy = strategies.choose(value, self.engine.kind)
        self.annotate(strategy)
        return strategy

    def context(self) -> Context:
        """Return what a strategy may use of all this."""
        return Context(
            engine=self.engine,
            deadline=self.deadline,
            admin=self.admin,
            newer=self.secret.newer,
            earlier=self.secret.earlier,
            try_more_passwords=self.try_more_passwords,
            allow_admin_repair=self.allow_admin_repair,
            recovered=self.recovered,
        )


def create_secret(rotation: Rotation) -> str:
    """Write the credential that comes next into the pending version, once."""
    if not rotation.secret.is_staged():
        return "the version is current already"
    current = rotation.secret.current()
    strategy = rotation.strategy(current)
    strategy.require_possible(current, rotation.context())
    successor = current.successor(strategy.next_username(current), rotation.new_password())
    if rotation.secret.stage(successor):
        return f"wrote a new password for {successor.credential.username}"
    pending = _required(rotation.secret.pending())
    _require_follows(pending, current, strategy)
    return f"the version has a password for {pending.credential.username} already"


def set_secret(rotation: Rotation) -> str:
    """Make the database accept the pending version."""
    pending = _required(rotation.secret.pending())
    current = rotation.secret.current()
    if pending == current:
        return "the version is current already"
    strategy = rotation.strategy(current)
    _require_follows(pending, current, strategy)
    return strategy.set_password(current, pending, rotation.context())


def test_secret(rotation: Rotation) -> str:
    """Log in as the application will, run the secret's own statements, and compare the rights of an alternating pair.

    A schedule that is saved without rotating at once has only this step, on a version that may be empty or hold the
    current value: then it is the current version that is tested.
    """
    value = rotation.secret.pending() or rotation.secret.current()
    strategy = rotation.strategy(value)
    try:
        _test(rotation, strategy, value)
    except LoginRefused:
        if not _is_replica(rotation, value):
            raise
        _test_when_replicated(rotation, strategy, value)
    return f"{value.credential.username} logs in"


def finish_secret(rotation: Rotation) -> str:
    """Move AWSCURRENT to the pending version."""
    return "the version is current now" if rotation.secret.promote() else "the version is current already"


STEPS: dict[Step, Callable[[Rotation], str]] = {
    Step.CREATE: create_secret,
    Step.SET: set_secret,
    Step.TEST: test_secret,
    Step.FINISH: finish_secret,
}
"""Each function may be called again at any moment, and returns a sentence on what it did."""

FIRST_PAUSE = 0.5
"""Seconds before a refused login of a replica is tried again; doubled each time."""


def _test(rotation: Rotation, strategy: RotationStrategy, value: SecretValue) -> None:
    with rotation.engine.connect(value.credential, rotation.deadline) as session:
        try:
            strategy.require_equal_rights(value, session)
        except RightsDiffer:
            # Not a version that is to become current: nothing was mirrored for it, and nothing had to be.
            if value != rotation.secret.current():
                raise
        session.verify(value.verify)


def _test_when_replicated(rotation: Rotation, strategy: RotationStrategy, value: SecretValue) -> None:
    """Test while there is time: the password was set on the primary, and comes to its replica a little later."""
    pause = FIRST_PAUSE
    while True:
        rotation.deadline.pause(pause, f"waiting for the new password of {value.credential} to arrive")
        pause *= 2
        try:
            _test(rotation, strategy, value)
        except LoginRefused:
            if not rotation.deadline.outlasts(pause):
                raise
        else:
            return


def _is_replica(rotation: Rotation, value: SecretValue) -> bool:
    """Tell whether the secret's host gets its passwords from another one."""
    return bool(value.admin_secret) and rotation.admin(value).host != value.credential.host


def _required(pending: SecretValue | None) -> SecretValue:
    if pending is None:
        raise NotRotatable(
            "reading the pending version",
            "it has no value yet",
            "Let createSecret run first: start the rotation again",
        )
    return pending


def _require_follows(pending: SecretValue, current: SecretValue, strategy: RotationStrategy) -> None:
    """Refuse a pending version that somebody else wrote: it could name another host, or another user (promise 8)."""
    expected = replace(
        current.credential, username=strategy.next_username(current), password=pending.credential.password
    )
    if pending.credential != expected:
        raise Superseded(
            f"comparing the pending version with the current one, {current.credential}",
            f"it names {pending.credential}, or another engine, database or TLS setting: it does not follow from it",
            "The secret was changed under it, or somebody else wrote it: look which",
        )
