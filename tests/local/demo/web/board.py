"""What does the page show? All that has happened, without any password: nothing that is written here has one."""

import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from threading import Lock
from typing import Any, Literal

from tests.local.demo.application import Tally
from tests.local.demo.versions import VersionState

type LoginResult = Literal["accepted", "refused", "unreachable"]
type Tone = Literal["plain", "good", "bad"]

TIME_LINE = 40.0
"""How many seconds the time line shows."""
_LINES = 200
_LONGEST_LABEL = 22
_STEPS = 120


@dataclass(frozen=True)
class Line:
    """Something that happened."""

    number: int
    at: float
    tone: Tone
    text: str


@dataclass(frozen=True)
class StepSpan:
    """A step of a rotation, from its begin to its end."""

    name: str
    attempt: int
    began: float
    ended: float | None = None
    seconds: float | None = None
    good: bool = True
    said: str = ""


class Board:
    """What is known, from all threads. Times are seconds since it was made."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._lock = Lock()
        self._lines: deque[Line] = deque(maxlen=_LINES)
        self._said = 0
        self._steps: deque[StepSpan] = deque(maxlen=_STEPS)
        self._rotation: list[StepSpan] = []
        self._ticks: dict[str, deque[tuple[float, LoginResult]]] = {}
        self._tallies: Mapping[str, Tally] = {}
        self._versions: Sequence[Mapping[str, Any]] = ()

    def say(self, text: str, tone: Tone = "plain") -> None:
        """Add a line to what happened."""
        with self._lock:
            self._said += 1
            self._lines.append(Line(self._said, self._now(), tone, text))

    def rotation_begins(self) -> None:
        """Show no step of the rotation before."""
        with self._lock:
            self._rotation = []

    def began(self, name: str) -> None:
        """Show that a step has begun. Secrets Manager's next attempt begins with the first step again."""
        with self._lock:
            attempt = 1 + sum(step.name == name for step in self._rotation)
            self._rotation.append(StepSpan(name, attempt, self._now()))

    def ended(self, name: str, seconds: float, said: str, *, good: bool) -> None:
        """Show how a step has ended."""
        with self._lock:
            said = said.removeprefix("FunctionError: ")
            step = replace(self._rotation[-1], ended=self._now(), seconds=seconds, said=said, good=good)
            self._rotation[-1] = step
            self._steps.append(step)
        result = said or "done" if good else f"failed with {said.partition(':')[0]}"
        self.say(f"{name}: {result} ({seconds:.2f} s)", "good" if good else "bad")

    def readers(self, habits: Sequence[str]) -> None:
        """Show these readers, with no login yet."""
        with self._lock:
            self._ticks = {habit: deque(maxlen=1000) for habit in habits}
            self._tallies = {}

    def login(self, habit: str, result: LoginResult) -> None:
        """Show a login of a reader on the time line."""
        with self._lock:
            if habit in self._ticks:
                self._ticks[habit].append((self._now(), result))

    def tallies(self, tallies: Mapping[str, Tally]) -> None:
        """Show the counts of the readers."""
        with self._lock:
            self._tallies = tallies

    def versions(self, states: Mapping[str, VersionState], *, reachable: bool) -> None:
        """Show the versions of the secret, the oldest first; whether their passwords work, if the database answers."""
        with self._lock:
            self._versions = [_version(identity, state, reachable=reachable) for identity, state in states.items()]

    def snapshot(self, lines_after: int) -> dict[str, Any]:
        """Return all of it for the page; of what happened, the lines after a number."""
        with self._lock:
            since = self._now() - TIME_LINE
            return {
                "now": self._now(),
                "timeLine": TIME_LINE,
                "lines": [asdict(line) for line in self._lines if line.number > lines_after],
                "steps": [asdict(step) for step in self._rotation],
                "spans": [asdict(step) for step in self._spans() if (step.ended or since) >= since],
                "readers": [self._reader(habit, since) for habit in self._ticks],
                "versions": list(self._versions),
            }

    def _spans(self) -> list[StepSpan]:
        running = [step for step in self._rotation if step.ended is None]
        return [*self._steps, *running]

    def _reader(self, habit: str, since: float) -> dict[str, Any]:
        ticks = self._ticks[habit]
        tally = self._tallies.get(habit, Tally())
        return {
            "habit": habit,
            "logins": tally.logins,
            "failed": tally.failed,
            "gap": round(tally.gap, 2),
            "last": ticks[-1][1] if ticks else None,
            "ticks": [(round(at, 2), result) for at, result in ticks if at >= since],
        }

    def _now(self) -> float:
        return time.monotonic() - self._began


def _version(identity: str, state: VersionState, *, reachable: bool) -> dict[str, Any]:
    if state.is_accepted is None:
        password = "no value yet"
    elif not reachable:
        password = "cannot be tried"
    else:
        password = "accepted" if state.is_accepted else "refused"
    labels = [label if len(label) <= _LONGEST_LABEL else f"{label[: _LONGEST_LABEL - 1]}…" for label in state.labels]
    return {"id": identity[:8], "labels": labels, "user": state.username, "password": password}
