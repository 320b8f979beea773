"""What do the tests of `make rotate-all` share?"""

import csv
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any
from uuid import uuid4

from botocore.config import Config

from operations import rotate_all
from operations.rotate_all import RotateAll
from tests.local.aws.deployed import Stack
from tests.local.aws.secrets_manager import LocalSecretsManager
from tests.local.aws.state_services import LocalStates
from tests.local.aws.states import Machine

PATHS = Config(s3={"addressing_style": "path"})


class Context:
    """What Lambda tells a function of its invocation."""

    aws_request_id = "a-request-id"

    def get_remaining_time_in_millis(self) -> int:
        """Return what is left."""
        return 900_000


@dataclass
class Operator:
    """Answers what a command asks, and keeps what it tells; implements `operations.person.Person`."""

    answer: str = "yes"
    told: list[str] = field(default_factory=list)

    def tell(self, text: str) -> None:
        """Keep it."""
        self.told.append(text)

    def ask(self, question: str) -> str:
        """Answer."""
        self.told.append(question)
        return self.answer


@dataclass
class Record:
    """How many calls about secrets of each server were under way at the same time."""

    most: Counter[str] = field(default_factory=Counter)
    _now: Counter[str] = field(default_factory=Counter)
    _lock: Lock = field(default_factory=Lock)

    @contextmanager
    def call(self, server: str) -> Iterator[None]:
        """Count a call."""
        with self._lock:
            self._now[server] += 1
            self.most[server] = max(self.most[server], self._now[server])
        try:
            yield
        finally:
            with self._lock:
                self._now[server] -= 1


def definition(stack: Stack) -> dict[str, Any]:
    """Return the state machine's definition, with the values that CloudFormation puts into it."""
    said = stack.properties("RotateAllMachine")
    text: str = said["DefinitionString"]
    for name, value in said["DefinitionSubstitutions"].items():
        text = text.replace(f"${{{name}}}", value)
    parsed: dict[str, Any] = json.loads(text)
    return parsed


@dataclass
class Run:
    """What came of one run of the command."""

    code: int
    told: list[str]
    rows: dict[str, dict[str, str]]

    @property
    def outcomes(self) -> Counter[str]:
        """Return how many secrets ended how."""
        return Counter(row["outcome"] for row in self.rows.values())


def bucket_of(service: LocalSecretsManager) -> str:
    """Return the name of an account's bucket: all accounts of a process share their names."""
    return f"plans-{service.account_id}"


def commanded(machine: Machine, s3: Any, stack: Stack, operator: Operator) -> RotateAll:  # noqa: ANN401 - boto3's client
    """Return the operator's command."""
    arn, bucket = stack.resolver.arn("RotateAllMachine"), stack.environment("RotateAllFunction")["ROTATE_ALL_BUCKET"]
    return RotateAll(LocalStates(machine), s3, arn, bucket, operator, seconds_between_looks=0.1)


def finished(command: RotateAll, operator: Operator, tmp_path: Path, *words: str) -> Run:
    """Run the command to its end."""
    report = tmp_path / f"{uuid4()}.csv"
    code = rotate_all.run(command, rotate_all.parsed([*(words or ("--all",)), "--report", str(report)]))
    rows = list(csv.DictReader(report.read_text().splitlines())) if report.exists() else []
    return Run(code, operator.told, {row["secret"]: row for row in rows})
