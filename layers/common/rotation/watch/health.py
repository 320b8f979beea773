"""Does an attached secret rotate: is its rotation off, has it failed, or is it late?

All that is known comes from one entry of the list of secrets; no value and no version is read. A secret is in one
state, the first of these that fits:

- *off*: it names the function, and Secrets Manager never calls it.
- *failed*: AWSPENDING is on a version that is not current, and nothing of the secret has changed for an hour. Each
  step that does something changes the secret; so nobody is at work on it.
- *overdue*: the date by which it was to be rotated passed more than an hour ago.
- *rotates*: none of these.

A tag with the key `secret-rotation-off` says that the rotation is off on purpose. The state is then *left off*.

The function keeps no memory. What was said before follows from the clock: it runs once in each quarter of an hour.
"""

from datetime import datetime, timedelta
from enum import StrEnum

from rotation.values import dataclass
from rotation.watch.attached import AttachedSecret, if_off

GRACE = timedelta(hours=1)
"""Time for the rotation itself, and until the list of secrets shows it."""
INTERVAL = timedelta(minutes=15)
"""How often the function runs: in the first minute of each quarter of an hour, as the template says."""
RUNS_OF_A_DAY = timedelta(days=1) // INTERVAL


class State(StrEnum):
    """Whether an attached secret rotates."""

    ROTATES = "rotates"
    OFF = "off"
    LEFT_OFF = "left off"
    FAILED = "failed"
    OVERDUE = "overdue"


@dataclass(frozen=True)
class Health:
    """The state of a secret, and what is to be done if it does not rotate."""

    state: State
    since: datetime | None = None
    """From when on the line is due; None if only the first run of a day writes it."""
    cause: str = ""
    remedy: str = ""

    def is_to_be_said(self, now: datetime) -> bool:
        """Tell whether this run writes the secret's line: the first run after `since`, and the first of each day."""
        run = _run(now)
        return run % RUNS_OF_A_DAY == 0 or (self.since is not None and run == _run(self.since) + 1)


def health(secret: AttachedSecret, now: datetime) -> Health:
    """Return the state of a secret, with cause and remedy if it is to be rotated and is not."""
    if not secret.rotation_enabled:
        return Health(State.LEFT_OFF) if secret.off_is_intended else _off(secret)
    if _has_failed(secret, now):
        return _failed(secret)
    return _overdue(secret) if is_overdue(secret, now) else Health(State.ROTATES)


def is_overdue(secret: AttachedSecret, now: datetime) -> bool:
    """Tell whether the secret should have been rotated by now; False if its rotation is off or has no date."""
    return secret.rotation_enabled and secret.next_rotation is not None and now - secret.next_rotation > GRACE


def days_since_rotation(secret: AttachedSecret, now: datetime) -> float | None:
    """Return how old the password is: days since the last rotation; since the secret was made, if there was none."""
    last = secret.last_rotation or secret.created
    return (now - last) / timedelta(days=1) if last else None


def _run(moment: datetime) -> int:
    """Return the number of the quarter of an hour since 1970."""
    return int(moment.timestamp() // INTERVAL.total_seconds())


def _has_failed(secret: AttachedSecret, now: datetime) -> bool:
    changed = secret.last_changed
    return secret.unfinished_version is not None and (changed is None or now - changed > GRACE)


def _off(secret: AttachedSecret) -> Health:
    cause = "it names this function, but its rotation is off: it was cancelled, or its schedule was deleted"
    return Health(State.OFF, secret.last_changed and secret.last_changed + GRACE, cause, if_off(secret.arn))


def _failed(secret: AttachedSecret) -> Health:
    cause = (
        f"a rotation made the version {secret.unfinished_version} and did not finish it, and nothing has changed "
        f"since {secret.last_changed}"
    )
    return Health(State.FAILED, secret.last_changed and secret.last_changed + GRACE, cause, _again(secret))


def _overdue(secret: AttachedSecret) -> Health:
    cause = f"its rotation was due by {secret.next_rotation} and has not happened"
    return Health(State.OVERDUE, secret.next_rotation and secret.next_rotation + GRACE, cause, _again(secret))


def _again(secret: AttachedSecret) -> str:
    """Return how to find the cause and to rotate once it is gone."""
    stuck = (
        (
            f"run aws secretsmanager update-secret-version-stage --secret-id {secret.arn} --version-stage AWSPENDING "
            f"--remove-from-version-id {secret.unfinished_version}, then "
        )
        if secret.unfinished_version
        else ""
    )
    return (
        f"Find the cause in the log of {secret.function_arn}; if no line is there, check that the function exists and "
        f"that Secrets Manager can invoke it. Once the cause is gone, {stuck}run aws secretsmanager rotate-secret "
        f"--secret-id {secret.arn}"
    )
