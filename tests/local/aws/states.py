"""Run a state machine, as AWS Step Functions does.

moto brings LocalStack's interpreter along, and it reads our definition (a test sees to that). But in it
ToleratedFailureCount has no effect: the first failed item ends a map, and that is what must be tested. So this is a
small interpreter of the states that our machine has, and of nothing else: a field or state that it does not know raises
Unsupported.

What it keeps: distributed maps in each other, whose items are read from S3, each item an execution of its own;
MaxConcurrency; the failures that a map tolerates, after which no item begins and those under way stop at their next
state; retries and what catches; at most 256 KiB for each input and output, where a map has all of an item that failed,
its input included; at most 25,000 events in the history of an execution, of which it counts the most that AWS writes
for a state.

What it does not do: it is one process, so nothing is lost and redriven; no state times out; no quota of Step Functions
holds here (tests/model/test_fleet_quotas.py has them); of JSONPath it knows paths of names, as `$.a.b` and `$$.a.b`.
Waiting is up to the caller's clock.
"""

import json
import random
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Event, Lock
from typing import Any, Final, Protocol
from uuid import uuid4

LARGEST: Final = 262_144
"""Bytes of an input or output (https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html)."""
MOST_EVENTS: Final = 25_000
TERMINAL: Final = frozenset({"States.DataLimitExceeded", "States.Runtime"})
"""https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html"""
EVENTS_OF_STATE: Final = 5
"""A task is entered, scheduled, started, done and exited."""

_FIELDS: Final = {
    "Choice": {"Choices", "Default"},
    "Fail": {"ErrorPath", "Cause"},
    "Map": {
        "Label",
        "ItemReader",
        "MaxConcurrencyPath",
        "ToleratedFailureCountPath",
        "ItemProcessor",
        "ResultPath",
        "Next",
        "End",
    },
    "Succeed": {"OutputPath"},
    "Task": {
        "Resource",
        "Parameters",
        "ResultSelector",
        "ResultPath",
        "OutputPath",
        "Retry",
        "Catch",
        "Next",
        "End",
    },
    "Wait": {"Seconds", "Next"},
}


class Unsupported(Exception):
    """The definition has something that this module does not know."""


class Failed(Exception):
    """A state failed, and nothing has caught it."""

    def __init__(self, error: str, cause: str = "") -> None:
        super().__init__(error, cause)
        self.error, self.cause = error, cause


class Stopped(Exception):
    """The map that this item belongs to has ended."""


class Services(Protocol):
    """What the tasks call, in the role of the machine."""

    def call(self, resource: str, parameters: Mapping[str, Any]) -> Any:  # noqa: ANN401 - each service's own
        """Return the answer. Raises Failed."""


@dataclass
class Machine:
    """A state machine that can be run."""

    definition: Mapping[str, Any]
    services: Services
    wait: Callable[[float, Any], object]
    """Waits so many seconds, in the execution with this input."""
    entered: Callable[[str, Any], object] = lambda _state, _value: None
    """Is told of each state that is entered, with its input."""
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    executions: "list[Execution]" = field(default_factory=list)
    """All so far, those of the items included."""

    def run(self, name: str, value: object) -> Any:  # noqa: ANN401 - the output of the last state
        """Run to the end; return the output. Raises Failed."""
        return Execution(self, self.definition, name).run(value)


@dataclass
class Execution:
    """One run of the machine, or of one item of a map."""

    machine: Machine
    definition: Mapping[str, Any]
    name: str = field(default_factory=lambda: str(uuid4()))
    parents: tuple[Event, ...] = ()
    """Set once a map around this execution has ended."""
    events: int = 2

    def run(self, value: Any) -> Any:  # noqa: ANN401
        """Run to the end; return the output. Raises Failed, Stopped."""
        self.machine.executions.append(self)
        self._context = {"Execution": {"Name": self.name, "StartTime": self._now()}}
        state = self.definition["StartAt"]
        while state:
            if any(parent.is_set() for parent in self.parents):
                raise Stopped
            self.machine.entered(state, value)
            self._context["State"] = {"EnteredTime": self._now()}
            value, state = self._state(self.definition["States"][state], _checked(value))
        return _checked(value)

    def _now(self) -> str:
        return self.machine.now().isoformat().replace("+00:00", "Z")

    def _state(self, state: Mapping[str, Any], value: Any) -> tuple[Any, str | None]:  # noqa: ANN401
        self._count(EVENTS_OF_STATE)
        if unknown := state.keys() - _FIELDS[state["Type"]] - {"Type", "Comment"}:
            raise Unsupported(f"{sorted(unknown)} of {state['Type']}")
        match state["Type"]:
            case "Choice":
                return value, self._chosen(state, value)
            case "Fail":
                raise Failed(str(self._at(state["ErrorPath"], value)), state["Cause"])
            case "Succeed":
                return {} if state.get("OutputPath", "$") is None else value, None
            case "Wait":
                self.machine.wait(state["Seconds"], value)
                return value, state["Next"]
            case _:
                return self._attempts(state, value)

    def _chosen(self, state: Mapping[str, Any], value: Any) -> str:  # noqa: ANN401
        for rule in state["Choices"]:
            path = rule["Variable"]
            match rule:
                case {"IsPresent": bool(wanted)}:
                    holds = (path.removeprefix("$.") in value) is wanted
                case {"StringEquals": str(text)}:
                    holds = self._at(path, value) == text
                case _:
                    raise Unsupported(rule)
            if holds:
                return str(rule["Next"])
        return str(state["Default"])

    def _attempts(self, state: Mapping[str, Any], value: Any) -> tuple[Any, str | None]:  # noqa: ANN401
        """Do the work of a task or map, again after what is retried; go where its failure is caught."""
        tries: dict[int, int] = {}
        while True:
            try:
                return self._done(state, value)
            except Failed as failure:
                if (seconds := _pause(state.get("Retry", ()), failure, tries)) is not None:
                    self._count(EVENTS_OF_STATE)
                    self.machine.wait(seconds, value)
                    continue
                for catcher in state.get("Catch", ()):
                    if _matches(catcher, failure):
                        said = {"Error": failure.error, "Cause": failure.cause}
                        return _put(value, catcher["ResultPath"], said), catcher["Next"]
                raise

    def _done(self, state: Mapping[str, Any], value: Any) -> tuple[Any, str | None]:  # noqa: ANN401
        if state["Type"] == "Map":
            result = self._map(state, value)
        else:
            result = self.machine.services.call(state["Resource"], self._filled(state["Parameters"], value))
        result = _checked(result)
        if "ResultSelector" in state:
            result = self._filled(state["ResultSelector"], result)
        output = _put(value, state.get("ResultPath", "$"), result)
        return self._at(state.get("OutputPath", "$"), output), state.get("Next")

    def _map(self, state: Mapping[str, Any], value: Any) -> list[Any]:  # noqa: ANN401
        processor, reader = state["ItemProcessor"], state["ItemReader"]
        if processor["ProcessorConfig"] != {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}:
            raise Unsupported(processor["ProcessorConfig"])
        items = self.machine.services.call(reader["Resource"], self._filled(reader["Parameters"], value))
        at_once, most = (self._at(state[name], value) for name in ("MaxConcurrencyPath", "ToleratedFailureCountPath"))
        run = _MapRun(self, processor, most)
        with ThreadPoolExecutor(at_once) as threads:
            outputs = list(threads.map(run.item, items))
        if any(parent.is_set() for parent in self.parents):
            raise Stopped
        if run.ended.is_set():
            raise Failed(
                "States.ExceedToleratedFailureThreshold", "The specified tolerated failure threshold was exceeded"
            )
        return outputs

    def _filled(self, template: Any, value: Any) -> Any:  # noqa: ANN401
        match template:
            case dict():
                return dict(self._filled_members(template, value))
            case list():
                return [self._filled(item, value) for item in template]
            case _:
                return template

    def _filled_members(self, template: Mapping[str, Any], value: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401
        for key, member in template.items():
            if key.endswith(".$"):
                yield key[:-2], self._at(member, value)
            else:
                yield key, self._filled(member, value)

    def _at(self, path: str, value: Any) -> Any:  # noqa: ANN401
        """Return what is at a path of the value, or of the context."""
        root, *names = path.split(".")
        if root not in {"$", "$$"}:
            raise Unsupported(path)
        found = value if root == "$" else self._context
        for name in names:
            if not isinstance(found, Mapping) or name not in found:
                raise Failed("States.Runtime", f"{path} is not there")
            found = found[name]
        return found

    def _count(self, events: int) -> None:
        self.events += events
        if self.events > MOST_EVENTS:
            raise Failed("States.Runtime", f"its history has more than {MOST_EVENTS} events")


class _MapRun:
    """The items of one map, and their failures."""

    def __init__(self, execution: Execution, processor: Mapping[str, Any], most: int) -> None:
        self._execution, self._processor, self._most = execution, processor, most
        self._failures, self._lock = 0, Lock()
        self.ended = Event()

    def item(self, item: Any) -> Any:  # noqa: ANN401
        """Run an item, unless the map has ended; count its failure."""
        parents = (*self._execution.parents, self.ended)
        execution = Execution(self._execution.machine, self._processor, parents=parents)
        try:
            return execution.run(item)
        except Stopped:
            return None
        except Failed as failure:
            with self._lock:
                self._failures += 1
                if self._failures > self._most:
                    self.ended.set()
            return _unchanged(execution, item, failure)


def _unchanged(execution: Execution, item: Any, failure: Failed) -> dict[str, Any]:  # noqa: ANN401
    """Return what the output of a map has of an item that failed, without what AWS adds of times and redrives.

    It is not made compact: https://docs.aws.amazon.com/step-functions/latest/dg/input-output-resultwriter.html.
    """
    said = {"Status": "FAILED", "Error": failure.error, "Cause": failure.cause}
    return {"Name": execution.name, "Input": json.dumps(item), "InputDetails": {"Included": True}, **said}


def _pause(retriers: Any, failure: Failed, tries: dict[int, int]) -> float | None:  # noqa: ANN401
    """Return how long to wait before the next try; None if there is none."""
    for number, retrier in enumerate(retriers):
        if _matches(retrier, failure):
            tried = tries[number] = tries.get(number, 0) + 1
            if tried > retrier["MaxAttempts"]:
                return None
            longest = retrier["IntervalSeconds"] * retrier["BackoffRate"] ** (tried - 1)
            return random.uniform(0, min(longest, retrier.get("MaxDelaySeconds", longest)))  # noqa: S311 - nothing secret
    return None


def _matches(rule: Mapping[str, Any], failure: Failed) -> bool:
    """Tell whether a rule is about a failure. States.ALL means all but what ends an execution in any case."""
    names = {failure.error} if failure.error in TERMINAL else {failure.error, "States.ALL"}
    return bool(names & set(rule["ErrorEquals"]))


def _put(value: Any, path: str | None, result: Any) -> Any:  # noqa: ANN401
    match path:
        case None:
            return value
        case "$":
            return result
        case _:
            return {**value, path.removeprefix("$."): result}


def _checked(value: Any) -> Any:  # noqa: ANN401
    if len(json.dumps(value).encode()) > LARGEST:
        raise Failed("States.DataLimitExceeded", f"more than {LARGEST} bytes")
    return value
