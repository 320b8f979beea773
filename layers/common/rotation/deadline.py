"""How much time does a step have left, and what can it still start?

Lambda ends a function at its timeout, and does not say what it was doing. So everything that waits first asks here how
long it can take: connections, statements, calls to AWS, pauses. Nothing starts that cannot finish in the time left.
Calls without a timeout of their own run in a thread that we stop waiting for; if they end in time, it serves the next.
"""

import contextvars
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from queue import SimpleQueue

from rotation.errors import OutOfTime

RESERVED_SECONDS = 1.5
"""Seconds kept back to report what went wrong: Lambda's own "Task timed out" does not say."""

SHORTEST_ATTEMPT_SECONDS = 0.25
"""Nothing starts in fewer seconds than these: hardly a login would finish."""


class Deadline:
    """The moment by which a step must have answered, a little before Lambda stops it."""

    def __init__(self, seconds_left: Callable[[], float]) -> None:
        """Take a function that returns how many seconds Lambda still gives."""
        self._seconds_left = seconds_left

    def left(self) -> float:
        """Return how many seconds can still be used: zero or less if the time is up."""
        return self._seconds_left() - RESERVED_SECONDS

    def allow(self, seconds: float, operation: str) -> float:
        """Return how many seconds `operation` can take: `seconds`, or what is left if that is less.

        Raises OutOfTime if too little is left to start it.
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
        """Return how many seconds the next of `among` attempts can take, so that each gets its turn.

        Together they take at most `seconds`, or what is left. Raises OutOfTime.
        """
        return self.allow(seconds, operation) / among

    def at_most(self, seconds: float) -> "Deadline":
        """Return a deadline that ends after so many seconds, or with this one if that is earlier."""
        kept_back = max(0.0, self.left() - seconds)
        return Deadline(lambda: self._seconds_left() - kept_back)

    def outlasts(self, seconds: float) -> bool:
        """Tell whether something can still start after a pause of so many seconds."""
        return self.left() - seconds >= SHORTEST_ATTEMPT_SECONDS

    def pause(self, seconds: float, operation: str) -> None:
        """Wait for `seconds`, or until the time is up. Raises OutOfTime if no time is left at the start."""
        time.sleep(self.allow(seconds, operation))


def within[T](seconds: float, work: Callable[[], T], discard: Callable[[T], object] = lambda _: None) -> T:
    """Return what `work` returns. Raises what `work` raises, and TimeoutError if it takes longer than `seconds`.

    After a TimeoutError the work goes on in its thread, so it must be safe to repeat. A result that comes too late goes
    to `discard`. The process does not wait for the thread when it exits: a thread cannot be stopped, only left alone.
    """
    ended: Future[None] = Future()
    returned: list[T] = []
    raised: list[BaseException] = []  # an error that `ended` kept would keep itself, and what its work knew
    thread = _waiting_thread()

    def run() -> bool:
        """Do the work; return whether the thread can do more."""
        try:
            returned.append(work())
        except BaseException as error:  # noqa: BLE001 - it is raised again in the thread that waits
            raised.append(error)
        if in_time := ended.set_running_or_notify_cancel():
            _waiting.append(thread)
            ended.set_result(None)
        else:
            raised.clear()
            with suppress(Exception):  # else the thread itself would write it to the log
                while returned:
                    discard(returned.pop())
        return in_time

    thread.put(partial(contextvars.copy_context().run, run))
    try:
        ended.result(seconds)
    except TimeoutError:
        if ended.cancel():
            raise
        ended.result()  # it came in this very moment
    if raised:
        raise raised.pop()
    return returned.pop()


type _Thread = SimpleQueue[Callable[[], bool]]
"""A thread, as what it is given to do. It ends with the first work that returns False."""

_waiting: deque[_Thread] = deque()
"""The threads without work: at most as many as have worked at the same time. To start one takes 0.2 ms of processor
time, a fifth of a call to AWS. So they are kept, also for the next invocation, but nothing of what they did is."""


def _waiting_thread() -> _Thread:
    """Return a thread without work; start one if there is none."""
    try:
        return _waiting.pop()
    except IndexError:
        thread: _Thread = SimpleQueue()
        threading.Thread(target=_work_on, args=(thread,), daemon=True).start()
        return thread


def _work_on(thread: _Thread) -> None:
    while thread.get()():  # no variable: it would keep the last work, and its secrets, until the next one comes
        pass
