"""Forty days of a stack: the lines that the rotation functions and the watch really write, each with its time.

Four secrets are rotated on the first day, and none after that. The service's dates are real, and the watch runs with a
clock that goes on: so on the fortieth day the last rotation was forty days ago.
"""

import io
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from logging import StreamHandler
from typing import Any, Final

from rotation.lambda_handler import logger, rotation_handler
from rotation.watch.overdue import overdue_handler
from tests.fakes import KIND, PRIMARY, FakeDatabase
from tests.local.aws.secrets_manager import REGION, LocalSecretsManager

STACK: Final = "secret-rotation"
DAY: Final = timedelta(days=1)
DAYS: Final = 40
OFF_FROM, FAILS_ON = 12, 20
"""On which day the rotation of `ledger` is turned off, and that of `legacy` fails."""
SCHEDULES: Final = {"orders": 30, "billing": 60, "ledger": 30, "legacy": 60}
"""The secrets, and after how many days each is to be rotated again."""

type Handler = Callable[[Any, Any], object]


@dataclass(frozen=True)
class Entry:
    """A line of the stack's log."""

    at: datetime
    line: dict[str, Any]


class Context:
    """What Lambda tells a function of its invocation."""

    aws_request_id = "a-request-id"
    function_name = f"{STACK}-PostgreSql"

    def get_remaining_time_in_millis(self) -> int:
        """Return enough."""
        return 60_000


class Month:
    """A stack with one engine, PostgreSQL by name, whose database is the fake one."""

    def __init__(self, service: LocalSecretsManager) -> None:
        """Play it with this Secrets Manager, of which the process's AWS clients must be."""
        self.entries: list[Entry] = []
        self.begin = datetime.now(UTC)
        self._service, self._client = service, service.client()
        self._database = FakeDatabase(replace(KIND, name="PostgreSQL"))
        handler: Handler = rotation_handler(self._database)
        self._function = service.register(Context.function_name, lambda event: handler(event, Context()))
        self.arns: dict[str, str] = {}

    @property
    def end(self) -> datetime:
        """The end of the last day."""
        return self.begin + DAYS * DAY

    def play(self) -> "Month":
        """Write all lines."""
        for name in SCHEDULES:
            self._attach(name)
        for day in range(1, DAYS + 1):
            self._change(day)
            for part_of_day in (timedelta(), DAY / 2):
                self._watch(self.begin.replace(hour=0, minute=0, second=7) + day * DAY + part_of_day)
        return self

    def _attach(self, name: str) -> None:
        self._database.new_user(name, f"password of {name}")
        value = {"engine": "fake", "host": PRIMARY, "username": name, "password": f"password of {name}"}
        arn = self._client.create_secret(Name=name, SecretString=json.dumps(value))["ARN"]
        self.arns[name] = arn
        with self._written(self.begin):
            self._client.rotate_secret(
                SecretId=arn,
                RotationLambdaARN=self._function,
                RotationRules={"ScheduleExpression": f"rate({SCHEDULES[name]} days)"},
            )
            self._service.wait(arn)

    def _change(self, day: int) -> None:
        if day == OFF_FROM:
            self._client.cancel_rotate_secret(SecretId=self.arns["ledger"])
        if day == FAILS_ON:
            self._database.users["legacy"].verifiers = ("of a password that was set by hand",)
            with self._written(self.begin + day * DAY):
                self._client.rotate_secret(SecretId=self.arns["legacy"])
                self._service.wait(self.arns["legacy"])

    def _watch(self, moment: datetime) -> None:
        with self._written(moment):
            overdue_handler(lambda: moment)(None, Context())  # type: ignore[arg-type]

    @contextmanager
    def _written(self, at: datetime) -> Iterator[None]:
        """Keep the lines that are printed in the block."""
        out, handler = io.StringIO(), logger.registered_handler
        assert isinstance(handler, StreamHandler)
        before = handler.setStream(out)
        try:
            with redirect_stdout(out):
                yield
        finally:
            handler.setStream(before)
        self.entries += [Entry(at, json.loads(line)) for line in out.getvalue().splitlines()]


def settings(service: LocalSecretsManager) -> dict[str, str]:
    """Return the environment that the template gives the functions, and that leads them to this Secrets Manager."""
    prefix = f"arn:aws:lambda:{REGION}:{service.account_id}:function:{STACK}-"
    return {**service.environment, "POWERTOOLS_SERVICE_NAME": STACK, "ROTATION_FUNCTION_PREFIX": prefix}


def played(service: LocalSecretsManager) -> Month:
    """Play a month in this process, which is changed for good."""
    os.environ.update(settings(service))
    return Month(service).play()
