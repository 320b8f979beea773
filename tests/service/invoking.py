"""How is the handler invoked, and what can be seen of it from outside?"""

import json
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from rotation import lambda_handler
from rotation.engine import Engine
from rotation.errors import RotationError
from rotation.lambda_handler import rotation_handler
from tests.service.scenario import Scenario

STEPS = ["createSecret", "setSecret", "testSecret", "finishSecret"]


@dataclass
class Context:
    """What Lambda tells a function of its invocation."""

    seconds: float = 30.0
    aws_request_id = "a-request-id"
    function_name = "secret-rotation-FakeDb"

    def get_remaining_time_in_millis(self) -> int:
        """Return what is left."""
        return round(self.seconds * 1000)


@dataclass
class Call:
    """What came of one invocation."""

    error: RotationError | None
    lines: list[dict[str, Any]]
    metrics: list[dict[str, Any]]
    seen: str
    """All that anybody outside can see."""

    @property
    def line(self) -> dict[str, Any]:
        """The one line in the log."""
        [line] = self.lines
        return line

    def metric(self, name: str) -> dict[str, Any]:
        """Return the one metric of that name, with its dimensions."""
        [metric] = [metric for metric in self.metrics if name in metric]
        [directive] = metric["_aws"]["CloudWatchMetrics"]
        assert directive["Namespace"] == "SecretRotation"
        assert "engine" in directive["Dimensions"][0]
        return metric


type Invoke = Callable[..., Call]


def invoker(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Invoke:
    """Return what calls the handler, and returns all that comes out."""
    to_log = lambda_handler.logger.registered_handler

    def invoke(database: Engine, event: object, context: Context | None = None) -> Call:
        error: RotationError | None = None
        # The logger holds on to the output that there was when it was made.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(to_log, "stream", sys.stdout)
            try:
                rotation_handler(database)(event, context or Context())  # type: ignore[arg-type]
            except RotationError as raised:
                error = raised
        out, err = capsys.readouterr()
        printed = [json.loads(line) for line in out.splitlines()]
        said = [out, err, caplog.text, json.dumps(printed, ensure_ascii=False)]
        if error:
            said += [*traceback.format_exception(error), repr(error), repr(error.args), repr(vars(error))]
        return Call(
            error,
            [line for line in printed if "_aws" not in line],
            [line for line in printed if "_aws" in line],
            "\n".join(said),
        )

    return invoke


def event(scenario: Scenario, step: str, **more: object) -> dict[str, object]:
    """Return the event of a step."""
    return {"Step": step, "SecretId": scenario.arn, "ClientRequestToken": scenario.token, **more}
