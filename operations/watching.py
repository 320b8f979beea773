"""How does one rotation go on, seen from outside?

Two things show it. The staging labels, from DescribeSecret: the version has AWSPENDING while it is being made,
AWSCURRENT once it is done, and neither if it was given up. And the function's log, if it can be read: one line for each
step, and the error of one that failed. Both can be some seconds late.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from operations.calls import called
from operations.logs import Log
from rotation.errors import ServiceFailed
from rotation.finding import Finding, Outcome, failed, failed_with, passed, warned
from rotation.staging import CURRENT, PENDING, PREVIOUS
from rotation.steps import Step

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

SECONDS_BETWEEN_LOOKS = 1.0
LATE_LOOKS = 8
"""So many looks more, before it is believed that AWSPENDING is gone, or that the last line does not come."""

OUTCOME, LOG = "outcome", "log"


class State(StrEnum):
    """Where a rotation is when the command ends."""

    FINISHED = "finished"
    FAILED = "failed"
    GOING_ON = "still going on"


@dataclass(frozen=True)
class Timer:
    """Measures and waits, in seconds."""

    now: Callable[[], float] = time.monotonic
    pause: Callable[[float], object] = time.sleep


CLOCK = Timer()


@dataclass
class Watch:
    """One rotation that was begun, and what has been seen of it."""

    client: "SecretsManagerClient"
    secret: str
    """As the operator names it."""
    arn: str
    version: str
    before: str
    """The version that was current when the rotation was begun."""
    log: Log | None
    """None if it cannot be read."""
    tell: Callable[[Finding], None]
    timer: Timer
    findings: list[Finding] = field(default_factory=list)
    _labels: Sequence[str] = ()
    _current: str = ""
    _was_pending: bool = False
    _looks_without_label: int = 0

    def __post_init__(self) -> None:
        self._began = self.timer.now()

    @property
    def seconds(self) -> float:
        """How long ago the rotation was begun."""
        return self.timer.now() - self._began

    def say(self, finding: Finding) -> None:
        """Keep what was found, and tell it."""
        self.findings.append(finding)
        self.tell(finding)

    def until_it_ends(self, wait: float) -> State:
        """Look once a second, until the rotation has finished or failed, or for so many seconds; say what came of it.

        Ctrl-C ends the looking, and so does an error of DescribeSecret: the rotation needs nobody who looks.
        """
        state = State.GOING_ON
        try:
            while (state := self._look()) is State.GOING_ON and self.seconds < wait:
                self.timer.pause(SECONDS_BETWEEN_LOOKS)
            if state is State.FINISHED:
                self._wait_for_last_line()
        except KeyboardInterrupt:
            pass
        except ServiceFailed as error:
            self.say(failed_with("labels", error))
        self.say(self._outcome(state))
        return state

    def _look(self) -> State:
        self._read_log()
        found = called(
            f"looking at {self.secret}",
            "secretsmanager:DescribeSecret",
            lambda: self.client.describe_secret(SecretId=self.arn),
        )
        self._note(found.get("VersionIdsToStages", {}))
        if self._was_moved_back:
            return State.FAILED
        if {CURRENT, PREVIOUS} & set(self._labels):
            return State.FINISHED
        return State.FAILED if self._failures or self._is_given_up else State.GOING_ON

    @property
    def _was_moved_back(self) -> bool:
        """Whether the version was current, and somebody has made the one before it current again."""
        return PREVIOUS in self._labels and self._current == self.before

    def _note(self, labels: Mapping[str, Sequence[str]]) -> None:
        self._labels = labels.get(self.version, ())
        self._current = next((version for version, own in labels.items() if CURRENT in own), "")
        self._was_pending |= PENDING in self._labels
        self._looks_without_label = 0 if self._labels else self._looks_without_label + self._was_pending

    def _read_log(self) -> None:
        """Say what is new in the log; say once if it cannot be read, and do without it from then on."""
        try:
            for finding in self.log.new() if self.log else ():
                self.say(finding)
        except ServiceFailed as error:
            self.log = None
            self.say(unreadable(error))

    def _wait_for_last_line(self) -> None:
        for _ in range(LATE_LOOKS):
            if not self.log or self._has_line(Step.FINISH):
                return
            self.timer.pause(SECONDS_BETWEEN_LOOKS)
            self._read_log()

    def _has_line(self, step: Step) -> bool:
        return any(one.item == step for one in self.findings)

    @property
    def _failures(self) -> list[Finding]:
        return [one for one in self.findings if one.item in set(Step) and one.outcome is Outcome.FAIL]

    @property
    def _is_given_up(self) -> bool:
        return self._looks_without_label > LATE_LOOKS

    def _outcome(self, state: State) -> Finding:
        took, doctor = f"after {self.seconds:.0f} s", f"make doctor SECRET={self.secret}"
        if state is State.FINISHED:
            return passed(OUTCOME, f"AWSCURRENT moved to version {self.version}, {took}")
        if state is State.GOING_ON:
            said = f"nothing says {took} that it has finished or failed. It goes on without this command"
            return warned(OUTCOME, said, f"Wait some minutes, then run {doctor}")
        if self._was_moved_back:
            said = f"AWSCURRENT was on version {self.version}, and somebody has moved it back to {self.before}"
            return failed(OUTCOME, said, f"Run {doctor}")
        where = f"{self._failures[-1].item} failed" if self._failures else "no line of the log says why"
        if self._was_pending and PENDING not in self._labels:
            said = (
                f"{where}, and version {self.version} has lost AWSPENDING: it was given up, and no step goes on with it"
            )
            return failed(OUTCOME, said, f"Run {doctor}")
        said = (
            f"{where}, {took}, and AWSCURRENT has not moved. Secrets Manager tries the rotation again by itself,"
            f" several times: from {Step.CREATE} on, with the same version {self.version}"
        )
        return failed(OUTCOME, said, f"Correct the cause; if it has not finished some minutes later, run {doctor}")


def unreadable(error: ServiceFailed) -> Finding:
    """Return that the log cannot be read."""
    said = f"it cannot be read, so only the labels show what happens: {error.operation}: {error.cause}"
    return warned(LOG, said, error.remedy)
