"""Run one rotation as the service does: four steps in order, the whole of it again after a failure."""

from __future__ import annotations

import time
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Thread
from typing import TYPE_CHECKING, Final, Literal, Protocol
from uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Callable

STEPS: Final = ("createSecret", "setSecret", "testSecret", "finishSecret")
TEST_ONLY: Final = ("testSecret",)

type Result = Literal["succeeded", "failed", "abandoned", "cancelled"]
type Function = Callable[[dict[str, object]], object]
type Observer = Callable[[StepEvent], object]


@dataclass(frozen=True)
class StepEvent:
    """A step begins, returns or raises; `error` is the function's own message."""

    secret_id: str
    version_token: str
    step: str
    attempt: int
    state: Literal["started", "finished", "failed"]
    seconds: float | None = None
    error: str | None = None


@dataclass(frozen=True)
class Outcome:
    """How a rotation ended; `error` is the last failure that it saw, also when a later attempt succeeded."""

    secret_id: str
    version_token: str
    result: Result
    attempts: int
    error: str | None
    events: tuple[StepEvent, ...]


class Secret(Protocol):
    """What a rotation asks of the secret that it rotates."""

    def interruption(self) -> Literal["abandoned", "cancelled"] | None:
        """Say why the rotation must not go on, if it must not."""

    def is_unfinished(self) -> bool:
        """Tell whether AWSPENDING is on a version other than AWSCURRENT."""

    def end(self, result: Result) -> None:
        """Write down the result."""


class Rotation:
    """One rotation, on a thread of its own from `start` to its outcome."""

    def __init__(  # noqa: PLR0913 - a rotation is these things
        self,
        secret_id: str,
        version_token: str,
        *,
        secret: Secret,
        function: Function,
        steps: tuple[str, ...],
        attempts: int,
        observer: Observer | None,
        report: Callable[[Outcome], object],
    ) -> None:
        self.secret_id = secret_id
        self.version_token = version_token
        self.rotation_token = f"{uuid4()}-{uuid4()}"
        self._secret = secret
        self._function = function
        self._steps = steps
        self._attempts = attempts
        self._observer = observer
        self._report = report
        self._events: list[StepEvent] = []
        self._outcome: Future[Outcome] = Future()

    def start(self) -> None:
        """Begin, and return at once."""
        Thread(target=self._run, name=f"rotation of {self.secret_id}", daemon=True).start()

    @property
    def is_running(self) -> bool:
        """Tell whether the outcome is still open."""
        return not self._outcome.done()

    def wait(self, timeout: float) -> Outcome:
        """Return the outcome, once there is one; raise TimeoutError after the given seconds."""
        return self._outcome.result(timeout)

    def _run(self) -> None:
        try:
            outcome = self._attempt_until_done()
            self._secret.end(outcome.result)
            self._report(outcome)
        except BaseException as error:  # noqa: BLE001 - an observer's failure belongs to the one who waits
            self._outcome.set_exception(error)
        else:
            self._outcome.set_result(outcome)

    def _attempt_until_done(self) -> Outcome:
        error: str | None = None
        for attempt in range(1, self._attempts + 1):
            for step in self._steps:
                if interruption := self._secret.interruption():
                    return self._ended(interruption, attempt, error)
                failure = self._invoke(step, attempt)
                if failure:
                    error = failure
                    break
            else:
                if self._steps == TEST_ONLY or not self._secret.is_unfinished():
                    return self._ended("succeeded", attempt, error)
                error = "every step returned, but AWSPENDING is not on the AWSCURRENT version"
        return self._ended(self._secret.interruption() or "failed", self._attempts, error)

    def _invoke(self, step: str, attempt: int) -> str | None:
        """Let the function do the step; return its failure."""
        event: dict[str, object] = {
            "Step": step,
            "SecretId": self.secret_id,
            "ClientRequestToken": self.version_token,
            "RotationToken": self.rotation_token,
        }
        self._tell(StepEvent(self.secret_id, self.version_token, step, attempt, "started"))
        failure = None
        began = time.perf_counter()
        try:
            self._function(event)
        except BaseException as error:  # noqa: BLE001 - a function that is killed has failed, too
            failure = f"{type(error).__name__}: {error}"
        seconds = time.perf_counter() - began
        state: Literal["finished", "failed"] = "failed" if failure else "finished"
        self._tell(StepEvent(self.secret_id, self.version_token, step, attempt, state, seconds, failure))
        return failure

    def _tell(self, event: StepEvent) -> None:
        self._events.append(event)
        if self._observer:
            self._observer(event)

    def _ended(self, result: Result, attempts: int, error: str | None) -> Outcome:
        return Outcome(self.secret_id, self.version_token, result, attempts, error, tuple(self._events))
