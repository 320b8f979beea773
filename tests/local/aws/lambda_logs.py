"""Where does what a function prints go? Into a log group of CloudWatch Logs, as on Lambda."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

from tests.local.aws.lambda_runtime import printed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.local.aws.lambda_runtime import LambdaRuntime

_STREAM = "laptop"


def group_of(function_arn: str) -> str:
    """Return the name of a function's log group, if its template names no other."""
    return f"/aws/lambda/{function_arn.split(':')[6]}"


@dataclass(frozen=True)
class LogGroup:
    """A log group, with one stream."""

    client: Any
    """boto3's for CloudWatch Logs, which has no types here."""
    name: str

    def __post_init__(self) -> None:
        """Make it; a function that is registered again finds it."""
        with suppress(self.client.exceptions.ResourceAlreadyExistsException):
            self.client.create_log_group(logGroupName=self.name)
            self.client.create_log_stream(logGroupName=self.name, logStreamName=_STREAM)

    def write(self, lines: Iterable[str]) -> None:
        """Write lines, all of this moment."""
        now = round(time.time() * 1000)
        events = [{"timestamp": now, "message": line} for line in lines if line]
        if events:
            self.client.put_log_events(logGroupName=self.name, logStreamName=_STREAM, logEvents=events)


class LoggedFunction:
    """Invokes a function; what it printed is in the log group before its caller has the answer."""

    def __init__(self, runtime: LambdaRuntime, group: LogGroup) -> None:
        self._runtime, self._group = runtime, group
        self._one_at_a_time = Lock()
        self._shipped = 0

    def __call__(self, event: dict[str, object]) -> object:
        """Return what the function returns. Raises FunctionError."""
        try:
            return self._runtime.invoke(event)
        finally:
            self._ship()

    def _ship(self) -> None:
        with self._one_at_a_time:
            log = self._runtime.logs()
            whole = log.rfind("\n") + 1
            self._group.write(printed(log[self._shipped : whole]))
            self._shipped = whole
