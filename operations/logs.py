"""What does a rotation function log about one rotation?

A function writes one line for each step that it does: JSON, with the secret's ARN and the version token
(`rotation.lambda_handler`). FilterLogEvents finds them by the token. A line can be there some seconds after the step.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from operations.calls import called
from rotation.finding import Finding, failed, passed, warned

type Client = Any
"""A client of Lambda or of CloudWatch Logs: boto3's, which have no types here."""

EVENT = "event"
"""The item of an event that was not put (`rotation.announcements`)."""

SLACK_MILLISECONDS = 300_000
"""So much later than AWS's clock can this machine's be. The token finds no line of another rotation."""


def group_of(client: Client, function: str) -> str:
    """Return the log group of a function; those of a stack share one. Raises ServiceFailed."""
    answer = called(
        f"looking for the log of {function}",
        "lambda:GetFunctionConfiguration",
        lambda: client.get_function_configuration(FunctionName=function),
    )
    return str(answer["LoggingConfig"]["LogGroup"])


@dataclass
class Log:
    """The lines about one rotation."""

    client: Client
    group: str
    secret_arn: str
    token: str
    began: float
    """When the rotation was begun: seconds since 1970, by this machine's clock."""
    _seen: set[str] = field(default_factory=set)

    def new(self) -> Iterator[Finding]:
        """Yield what each line says that was not there before. Raises ServiceFailed."""
        for event in called(f"reading {self.group}", "logs:FilterLogEvents", lambda: list(self._events())):
            if event["eventId"] not in self._seen:
                self._seen.add(event["eventId"])
                yield from self._read(event["message"])

    def _events(self) -> Iterator[Mapping[str, Any]]:
        pages = self.client.get_paginator("filter_log_events").paginate(
            logGroupName=self.group,
            filterPattern=f'"{self.token}"',
            startTime=round(self.began * 1000) - SLACK_MILLISECONDS,
        )
        for page in pages:
            yield from page["events"]

    def _read(self, text: str) -> Iterator[Finding]:
        """Yield what a line says, if it is one about a step of this rotation: not one of Lambda's own."""
        try:
            line = json.loads(text)
        except ValueError:
            return
        if isinstance(line, dict) and (line.get("secret_arn"), line.get("version_token")) == (
            self.secret_arn,
            self.token,
        ):
            yield _finding(line)


def _finding(line: Mapping[str, Any]) -> Finding:
    """Return what one line of `rotation.lambda_handler` says: about a step, or about an event that was not put."""
    if "step" not in line:
        return warned(EVENT, *_parted(line))
    step, said = line["step"], f"{line['message']} ({line['duration_ms'] / 1000:.1f} s)"
    if line["level"] == "ERROR":
        return failed(step, *_parted(line))
    if "recovered" in line:
        remedy = "Find out who changed the password outside of the secret"
        return warned(step, f"{said}; before that, {line['recovered']}", remedy)
    return passed(step, said)


def _parted(line: Mapping[str, Any]) -> tuple[str, str]:
    """Return what was being done, with the cause; and the remedy. The message is all of it, and where to read on."""
    doing, remedy, more = line["message"].rpartition(f" {line['remedy'].rstrip('.')}.")
    return (doing, f"{remedy}{more}".strip()) if doing else (line["message"], line["remedy"])
