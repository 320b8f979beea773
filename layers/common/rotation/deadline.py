"""How much time has a step left?"""

import time
from collections.abc import Callable

from rotation.errors import OutOfTime

RESERVE = 1.5
"""Seconds kept back for telling what went wrong: Lambda's own "Task timed out" tells nothing."""


class Deadline:
    """The moment by which a step must have answered, a little before Lambda stops it."""

    def __init__(self, seconds_left: Callable[[], float]) -> None:
        """Take the function that tells how many seconds Lambda still gives."""
        self._seconds_left = seconds_left

    def left(self) -> float:
        """Return how many seconds may still be used; not above zero where the time is up."""
        return self._seconds_left() - RESERVE

    def allow(self, seconds: float, doing: str) -> float:
        """Return how many seconds `doing` may take: `seconds`, or what is left where that is less.

        Raises OutOfTime where nothing is left.
        """
        left = self.left()
        if left <= 0:
            raise OutOfTime(
                doing,
                "the function's timeout is too near",
                "Raise the function's timeout (Timeout in template.yaml); what was done so far is safe to repeat",
            )
        return min(seconds, left)

    def pause(self, seconds: float, doing: str) -> None:
        """Wait for `seconds`, or until the time is up; raises OutOfTime where no time is left at the start."""
        time.sleep(self.allow(seconds, doing))
