"""What does a look at a secret, or at its database, tell an operator?"""

from collections.abc import Callable, Iterable
from enum import StrEnum

from rotation.errors import RotationError
from rotation.values import dataclass

EXPIRY = "expiry"
"""The item by which an engine says that the password has expired."""


class Outcome(StrEnum):
    """What one look has found."""

    PASS = "pass"  # noqa: S105 - not a password
    WARN = "warn"
    """A rotation can succeed, and the operator should know this."""
    FAIL = "fail"
    """A rotation would fail."""
    NOT_LOOKED_AT = "not looked at"
    """Nothing shows it, or what it needs has failed."""


@dataclass(frozen=True)
class Finding:
    """What was found about one item. It holds no password, like an error."""

    item: str
    """What was looked at, in two or three words."""
    outcome: Outcome
    said: str
    """What is so; the cause, if it is bad."""
    remedy: str = ""
    """One imperative, if it is bad."""

    @property
    def tells_expiry(self) -> bool:
        """Whether it says that the password of who is logged in has expired, or does soon."""
        return (self.item, self.outcome) == (EXPIRY, Outcome.WARN)

    def rewritten(self, rewrite: Callable[[str], str]) -> "Finding":
        """Return the same finding with its texts rewritten."""
        return Finding(self.item, self.outcome, rewrite(self.said), rewrite(self.remedy))

    def to_json(self) -> dict[str, str]:
        """Return what a machine reads."""
        said = {"Item": self.item, "Outcome": str(self.outcome), "Found": self.said}
        return {**said, "Remedy": self.remedy} if self.remedy else said


def passed(item: str, said: str) -> Finding:
    """Return a finding that is good."""
    return Finding(item, Outcome.PASS, said)


def warned(item: str, said: str, remedy: str) -> Finding:
    """Return a finding that the operator should know."""
    return Finding(item, Outcome.WARN, said, remedy)


def failed(item: str, said: str, remedy: str) -> Finding:
    """Return a finding that would end a rotation."""
    return Finding(item, Outcome.FAIL, said, remedy)


def failed_with(item: str, error: RotationError) -> Finding:
    """Return the finding that an error is."""
    return failed(item, f"{error.operation}: {error.cause}", error.remedy)


def not_looked_at(item: str, why: str) -> Finding:
    """Return a finding about something that was not looked at."""
    return Finding(item, Outcome.NOT_LOOKED_AT, why)


def worst(findings: Iterable[Finding]) -> Outcome:
    """Return the worst outcome of them all: what was not looked at is no failure by itself."""
    found = {finding.outcome for finding in findings}
    return next((outcome for outcome in (Outcome.FAIL, Outcome.WARN) if outcome in found), Outcome.PASS)
