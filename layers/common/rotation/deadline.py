"""How much time has a step left, and what may it still begin?

Lambda ends a function at its timeout, without a word. So everything that waits asks here first, and is told how long it
may take: connections, statements, calls to AWS, pauses. What could not even begin in the time left is not begun. What
knows no limit of its own is waited for on another thread, no longer than it may take.
"""

import contextvars
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from rotation.errors import OutOfTime

RESERVED_SECONDS = 1.5
"""Seconds kept back for telling what went wrong: Lambda's own "Task timed out" tells nothing."""

SHORTEST_ATTEMPT_SECONDS = 0.25
"""Seconds below which nothing is begun: in less, hardly a login ends."""


class Deadline:
    """The moment by which a step must have answered, a little before Lambda stops it."""

    def __init__(self, seconds_left: Callable[[], float]) -> None:
        """Take the function that tells how many seconds Lambda still gives."""
        self._seconds_left = seconds_left

    def left(self) -> float:
        """Return how many seconds may still be used; not above zero where the time is up."""
        return self._seconds_left() - RESERVED_SECONDS

    def allow(self, seconds: float, operation: str) -> float:
        """Return how many seconds `operation` may take: `seconds`, or what is left where that is less.

        Raises OutOfTime where too little is left to begin it.
        """
        left = self.left()
        if left < SHORTEST_ATTEMPT_SECONDS:
            raise OutOfTime(
                operation,
                "the function's timeout is too near",
                "Raise the function's timeout (Timeout in template.yaml); what was done so far is safe to repeat",
            )
        return min(seconds, left)

    def share(self, seconds: float, among: int, operation: str) -> float:
        """Return how many seconds the next of so many attempts may take, if each is to have its turn.

        Together they take no longer than `seconds`, or what is left. Raises OutOfTime.
        """
        return self.allow(seconds, operation) / among

    def outlasts(self, seconds: float) -> bool:
        """Tell whether something may still be begun after a pause of so many seconds."""
        return self.left() - seconds >= SHORTEST_ATTEMPT_SECONDS

    def pause(self, seconds: float, operation: str) -> None:
        """Wait for `seconds`, or until the time is up; raises OutOfTime where no time is left at the start."""
        time.sleep(self.allow(seconds, operation))


def within[T](seconds: float, work: Callable[[], T], discard: Callable[[T], object] = lambda _: None) -> T:
    """Return what `work` returns; raises TimeoutError if that takes longer, and what `work` raises.

    After a TimeoutError the work goes on by itself, so it must be such that it may be repeated. What it returns too
    late goes to `discard`. No process waits for it at its end: a thread cannot be stopped, but it can be left alone.
    """
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - it is raised again where somebody waits for it
            if outcome.set_running_or_notify_cancel():
                outcome.set_exception(error)
        else:
            if outcome.set_running_or_notify_cancel():
                outcome.set_result(result)
            else:
                discard(result)

    threading.Thread(target=contextvars.copy_context().run, args=(run,), daemon=True).start()
    try:
        return outcome.result(seconds)
    except TimeoutError:
        if outcome.cancel():
            raise
        return outcome.result()  # it has come in this very moment, or it is an error of the work's own
