"""What does the kernel count of a function that runs in the emulator? Linux alone tells it of another process."""

import re
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from rotation.steps import Step
from tests.bench.handlers import THEIRS, Handler
from tests.faults.scenario import Scenario
from tests.local.aws.lambda_runtime import FunctionError, LambdaRuntime

_MARK = "BENCH_MARK"
_CLOCK_OF_PROCESS = 2
"""CPUCLOCK_SCHED: the nanoseconds that all threads of a process were running, those that have ended included."""
_INIT = re.compile(r"INIT REPORT\(durationMs: ([0-9.]+)\)")
_PEAK = re.compile(r"^VmHWM:\s+([0-9]+) kB$", re.MULTILINE)

NO_ANSWER = ("Sandbox.Timedout", "Runtime.Unreachable")
"""How the emulator calls it if a function does not answer."""

ENDED = "its process ended before it asked for an event, as without awslambdaric"


@dataclass(frozen=True)
class Taken:
    """How long something took, in milliseconds."""

    processor: float
    clock: float


class Unmeasurable(Exception):
    """A handler cannot be imported, ends before it has seen an event, or does not rotate a secret."""

    def __init__(self, who: str, why: str, remedy: str = "Let it rotate a secret of this engine first") -> None:
        """Say which handler, why, and what to do."""
        super().__init__(f"Cannot measure {who}: {why}. {remedy}.")

    @classmethod
    def at_start(cls, who: str, why: str) -> Self:
        """Say it of a handler that has not begun."""
        return cls(
            who, why, "Correct --against, --handler or --python" if who == THEIRS else "Let make test pass first"
        )


class Running:
    """A handler that runs."""

    def __init__(self, name: str, runtime: LambdaRuntime, mark: str) -> None:
        """Take a function that has the mark in its environment."""
        self.name = name
        self._runtime = runtime
        self._mark = f"{_MARK}={mark}".encode()
        self._process = 0

    def call(self, event: Mapping[str, object]) -> Taken:
        """Invoke the function; raises FunctionError if it fails, Unmeasurable if it does not answer."""
        try:
            return self._timed(event)
        except FunctionError as error:
            if error.error_type not in NO_ANSWER or not error.message:
                raise
            raise Unmeasurable(self.name, f"it does not answer within {self._runtime.function.timeout} s") from None

    def rotate(self, scenario: Scenario, step: Step) -> Taken:
        """Invoke the function for a step; raises Unmeasurable, without the words of the function."""
        try:
            return self.call({"Step": step, "SecretId": scenario.arn, "ClientRequestToken": scenario.token})
        except FunctionError as error:  # its message can have a password
            raise Unmeasurable(self.name, f"it fails in {step} with {error.error_type}") from None

    def fail(self) -> Taken:
        """Let it fail at an event that says nothing: it has imported all then, and has done nothing.

        Raises Unmeasurable.
        """
        try:
            return self.call({})
        except FunctionError as error:
            with suppress(ProcessLookupError):
                return Taken(self.processor(), 0)
            raise Unmeasurable.at_start(self.name, str(error) if error.message else ENDED) from None

    def processor(self) -> float:
        """Return the milliseconds of processor time that the function took since its process began."""
        self._process = self._process or self._found()
        return time.clock_gettime(~self._process << 3 | _CLOCK_OF_PROCESS) * 1000

    def init(self) -> float:
        """Return how many milliseconds the emulator waited for the function to be ready for its first event."""
        found = _INIT.search(self._runtime.logs())
        return float(found[1]) if found else 0.0

    def peak(self) -> float:
        """Return how many megabytes of memory the process has had at most."""
        found = _PEAK.search(Path(f"/proc/{self._process or self._found()}/status").read_text())
        return int(found[1]) / 1024 if found else 0.0

    def _timed(self, event: Mapping[str, object]) -> Taken:
        processor = self.processor() if self._process else 0.0
        clock = time.perf_counter()
        try:
            self._runtime.invoke(event)
        finally:
            seconds = time.perf_counter() - clock
        return Taken(self.processor() - processor, seconds * 1000)

    def _found(self) -> int:
        """Return the number of the Python that has our mark; the emulator that has started it has the mark, too."""
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if self._mark in (process / "environ").read_bytes() and "python" in (process / "exe").readlink().name:
                    return int(process.name)
        raise ProcessLookupError("the function does not run")


@contextmanager
def running(handler: Handler, environment: Mapping[str, str]) -> Iterator[Running]:
    """Run a handler until the block ends; nothing of it is imported before its first event."""
    mark = uuid.uuid4().hex
    with ExitStack() as stack:
        variables = {**handler.environment, **environment, _MARK: mark}
        yield Running(handler.name, stack.enter_context(LambdaRuntime(handler.function, variables)), mark)
