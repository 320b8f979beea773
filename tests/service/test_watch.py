"""Is a secret seen that does not rotate? Is CloudFormation always answered, and the address of the answer unseen?"""

import json
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from uuid import uuid4

import pytest

from functions.watch import app
from rotation import deadline, lambda_handler
from rotation.deadline import Deadline
from rotation.errors import InvalidConfiguration, InvalidEvent, OutOfTime, RotationError, ServiceFailed
from rotation.watch.custom_resource import LONGEST_REASON, answer
from rotation.watch.overdue import overdue_handler
from tests.local.aws.secrets_manager import Call, LocalSecretsManager, ServiceError
from tests.unit.scenario import Clock

STACK = "arn:aws:cloudformation:us-east-1:123456789012:stack/secret-rotation/5b918d10-cd98-11ea-90d5-0a9cd3354c10"
MONTHLY: Any = {"ScheduleExpression": "rate(30 days)"}
FIGURES = ("Secrets", "DaysSinceRotation")
SIGNATURE = "Ksigned7x%2Fand%3Dso+on"


@dataclass
class Context:
    """What Lambda tells a function of its invocation."""

    clock: Clock = field(default_factory=lambda: Clock(left=120))
    aws_request_id = "a-request-id"

    def get_remaining_time_in_millis(self) -> int:
        """Return what is left."""
        return round(self.clock.left * 1000)


@dataclass
class Said:
    """What came of one invocation."""

    error: RotationError | None
    lines: list[dict[str, Any]]
    metrics: dict[str, list[float]]
    seen: str
    """All that anybody outside can see."""

    @property
    def line(self) -> dict[str, Any]:
        """The one line in the log."""
        [line] = self.lines
        return line

    @property
    def counts(self) -> tuple[float, ...]:
        """How many secrets are attached, off, failed, overdue."""
        names = ("SecretsAttached", "SecretsOff", "SecretsFailed", "SecretsOverdue")
        return tuple(count for name in names for count in self.metrics[name])

    def lines_of(self, secret: str) -> list[dict[str, Any]]:
        """Return the lines about a secret."""
        return [line for line in self.lines if line.get("secret_arn") == secret]


type Invoke = Callable[..., Said]


@pytest.fixture
def stack(service: LocalSecretsManager, monkeypatch: pytest.MonkeyPatch) -> "Stack":
    """A stack of a name that nobody else has."""
    stack = Stack(service, f"rotation-{uuid4().hex[:8]}")
    monkeypatch.setenv("ROTATION_FUNCTION_PREFIX", stack.arn_of(""))
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", stack.name)
    return stack


class Stack:
    """The functions of a stack, and the secrets that are attached to them."""

    def __init__(self, service: LocalSecretsManager, name: str) -> None:
        """Begin with none."""
        self.service = service
        self.name = name
        self.client = service.client()

    def arn_of(self, engine: str) -> str:
        """Return the ARN of an engine's function."""
        return f"arn:aws:lambda:us-east-1:{self.service.account_id}:function:{self.name}-{engine}"

    def new_secret(self, engine: str | None = None, **rotation: Any) -> str:  # noqa: ANN401 - what botocore takes
        """Make a secret, and attach it if an engine is named, without rotating it; return its ARN."""
        arn = self.client.create_secret(Name=f"watched-{uuid4()}", SecretString="{}")["ARN"]
        return self.attach(arn, engine, **rotation) if engine else arn

    def attach(self, secret: str, engine: str, **rotation: Any) -> str:  # noqa: ANN401 - what botocore takes
        """Choose the secret's function, as an operator."""
        function = self.service.register(f"{self.name}-{engine}", lambda _: None)
        self.client.rotate_secret(SecretId=secret, RotationLambdaARN=function, RotateImmediately=False, **rotation)
        self.service.wait(secret)
        return secret


@pytest.fixture
def invoke(_connected: None, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Invoke:
    """Calls a handler, and returns all that comes out."""
    to_log = lambda_handler.logger.registered_handler

    def invoke(handler: Callable[..., None], event: object = None, context: Context | None = None) -> Said:
        error: RotationError | None = None
        # The logger holds on to the output that there was when it was made.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(to_log, "stream", sys.stdout)
            try:
                handler(event, context or Context())
            except RotationError as raised:
                error = raised
        out, err = capsys.readouterr()
        printed = [json.loads(line) for line in out.splitlines()]
        said = [out, err, caplog.text]
        if error:
            said += [*traceback.format_exception(error), repr(error), repr(vars(error))]
            assert (error.__cause__, error.__context__) == (None, None)
        for line in printed:
            for metric in line["_aws"]["CloudWatchMetrics"] if "_aws" in line else ():
                assert (metric["Namespace"], metric["Dimensions"]) == ("SecretRotation", [["service"]])
                assert line["service"] == os.environ["POWERTOOLS_SERVICE_NAME"]
        return Said(
            error,
            [line for line in printed if "_aws" not in line],
            {name: line[name] for line in printed if "_aws" in line for name in line if name.startswith(FIGURES)},
            "\n".join(said),
        )

    return invoke


# What does not rotate


def later(**delta: float) -> Callable[..., None]:
    """Return the handler as it runs some time from now."""
    return overdue_handler(lambda: datetime.now(UTC) + timedelta(**delta))


def first_of_the_day(days: int) -> Callable[..., None]:
    """Return the handler as it first runs on a day to come."""
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0) + timedelta(days=days)
    return overdue_handler(lambda: midnight + timedelta(seconds=7))


def runs_of_a_day(days: int) -> list[Callable[..., None]]:
    """Return the handler as it runs on a day to come: 96 times."""
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0) + timedelta(days=days)
    return [overdue_handler(partial(midnight.__add__, number * timedelta(minutes=15))) for number in range(96)]


def stick(stack: Stack, secret: str) -> str:
    """Begin a rotation that fails; return the version that it leaves."""

    def fail(_event: object) -> None:
        raise RuntimeError

    stack.service.register(f"{stack.name}-PostgreSql", fail)
    stack.client.rotate_secret(SecretId=secret)
    return stack.service.wait(secret).version_token


def test_the_metrics_are_there_and_one_line_has_the_counts(invoke: Invoke, stack: Stack) -> None:
    stack.new_secret("PostgreSql", RotationRules=MONTHLY)
    stack.new_secret("MySql", RotationRules=MONTHLY)
    stack.new_secret()
    said = invoke(later(days=3), {"source": "aws.scheduler"})
    assert said.error is None
    line = said.lines[-1]
    assert line["level"] == "INFO"
    assert line["message"].startswith("2 secrets have a rotation function of this stack: 0 are off")
    assert said.counts == (2, 0, 0, 0)
    assert said.metrics["DaysSinceRotation"] == [pytest.approx(3, abs=0.01)]


def test_a_stack_without_secrets_measures_zero(invoke: Invoke, stack: Stack) -> None:
    said = invoke(app.overdue)
    assert (said.counts, said.metrics["DaysSinceRotation"]) == ((0, 0, 0, 0), [0])
    assert stack.service.calls


def test_each_overdue_secret_is_reported_with_the_date_and_the_remedy(invoke: Invoke, stack: Stack) -> None:
    overdue = {stack.new_secret(engine, RotationRules=MONTHLY) for engine in ("PostgreSql", "MySql")}
    stack.new_secret("MySql", RotationRules={"ScheduleExpression": "rate(60 days)"})
    stack.new_secret("MySql")
    said = invoke(first_of_the_day(32))
    assert said.error is None
    errors = [line for line in said.lines if line["level"] == "ERROR"]
    assert {line["secret_arn"] for line in errors} == overdue
    for line in errors:
        arn = line["secret_arn"]
        due = stack.client.describe_secret(SecretId=arn)["NextRotationDate"].astimezone(UTC)
        assert line["state"] == "overdue"
        assert line["function_arn"] in line["remedy"]
        assert str(due) in line["cause"]
        assert line["message"] == f"watching {arn}: {line['cause']}. {line['remedy']}"
        assert f"rotate-secret --secret-id {arn}" in line["remedy"]
    assert said.counts == (4, 0, 0, 2)


def test_the_first_run_of_a_day_lists_every_attached_secret(invoke: Invoke, stack: Stack) -> None:
    secrets = [stack.new_secret("PostgreSql", RotationRules=MONTHLY), stack.new_secret("MySql")]
    said = invoke(first_of_the_day(8))
    for secret in secrets:
        [line] = said.lines_of(secret)
        assert (line["level"], line["state"]) == ("INFO", "rotates")
        assert 7 <= line["days_since_rotation"] <= 8
        assert "last_rotation" not in line  # there was none


def test_a_secret_that_does_not_rotate_is_an_error_once_a_day(invoke: Invoke, stack: Stack) -> None:
    overdue = stack.new_secret("PostgreSql", RotationRules=MONTHLY)
    off = stack.new_secret("PostgreSql")
    stack.client.cancel_rotate_secret(SecretId=off)
    lines: list[dict[str, Any]] = []
    for handler in runs_of_a_day(32):
        lines += invoke(handler).lines
    for secret, state in ((overdue, "overdue"), (off, "off")):
        assert [line["state"] for line in lines if line.get("secret_arn") == secret] == [state]
    assert sum(line["level"] == "ERROR" for line in lines) == 2


def test_a_rotation_is_given_an_hour(invoke: Invoke, stack: Stack) -> None:
    stack.new_secret("PostgreSql", RotationRules=MONTHLY)
    assert invoke(later(days=30, minutes=59)).counts == (1, 0, 0, 0)
    assert invoke(later(days=30, minutes=61)).counts == (1, 0, 0, 1)


def test_a_rotation_that_succeeds_late_ends_the_alarm(invoke: Invoke, stack: Stack) -> None:
    secret = stack.new_secret("PostgreSql", RotationRules=MONTHLY)
    assert invoke(later(days=40)).counts == (1, 0, 0, 1)
    stack.attach(secret, "PostgreSql", RotationRules={"ScheduleExpression": "rate(60 days)"})
    assert invoke(later(days=40)).counts == (1, 0, 0, 0)


def test_a_secret_whose_rotation_was_turned_off_is_reported_until_it_is_on(invoke: Invoke, stack: Stack) -> None:
    secret = stack.new_secret("PostgreSql", RotationRules=MONTHLY)
    stack.client.cancel_rotate_secret(SecretId=secret)
    said = invoke(first_of_the_day(40))
    assert said.counts == (1, 1, 0, 0)
    assert said.metrics["DaysSinceRotation"] == [0]
    [line] = said.lines_of(secret)
    assert (line["level"], line["state"]) == ("ERROR", "off")
    stack.attach(secret, "PostgreSql")
    assert invoke(later(days=1)).counts == (1, 0, 0, 0)


def test_a_secret_whose_rotation_is_off_on_purpose_is_no_error(invoke: Invoke, stack: Stack) -> None:
    secret = stack.new_secret("PostgreSql", RotationRules=MONTHLY)
    stack.client.cancel_rotate_secret(SecretId=secret)
    stack.client.tag_resource(SecretId=secret, Tags=[{"Key": "secret-rotation-off", "Value": "until May"}])
    said = invoke(first_of_the_day(40))
    assert said.counts == (1, 0, 0, 0)
    [line] = said.lines_of(secret)
    assert (line["level"], line["state"]) == ("INFO", "left off")


def test_a_secret_that_was_never_attached_is_nobodys(invoke: Invoke, stack: Stack) -> None:
    """Off, and never on: it names no function."""
    assert "RotationLambdaARN" not in stack.client.describe_secret(SecretId=stack.new_secret())
    assert invoke(later(days=40)).counts == (0, 0, 0, 0)


def test_a_rotation_that_was_given_up_is_reported_before_it_is_overdue(invoke: Invoke, stack: Stack) -> None:
    secret = stack.new_secret("PostgreSql", RotationRules=MONTHLY)
    version = stick(stack, secret)
    assert invoke(later(minutes=59)).counts == (1, 0, 0, 0)
    said = invoke(first_of_the_day(2))
    assert said.counts == (1, 0, 1, 0)
    [line] = said.lines_of(secret)
    assert (line["level"], line["state"]) == ("ERROR", "failed")
    assert f"--secret-id {secret} --version-stage AWSPENDING --remove-from-version-id {version}" in line["remedy"]


def test_secrets_of_a_stack_whose_name_begins_with_this_ones_are_left_to_it(invoke: Invoke, stack: Stack) -> None:
    production = Stack(stack.service, f"{stack.name}-production")
    production.new_secret("PostgreSql", RotationRules=MONTHLY)
    stack.new_secret("MySql:live", RotationRules=MONTHLY)
    assert invoke(later(days=40)).counts == (1, 0, 0, 1)


def test_more_than_a_hundred_secrets_are_all_looked_at(
    invoke: Invoke, stack: Stack, service: LocalSecretsManager
) -> None:
    before = stack.new_secret("PostgreSql", RotationRules=MONTHLY)
    for _ in range(100):
        stack.new_secret()
    after = stack.new_secret("PostgreSql", RotationRules=MONTHLY)
    service.calls.clear()
    said = invoke(first_of_the_day(40))
    assert {line["secret_arn"] for line in said.lines if "secret_arn" in line} == {before, after}
    assert len(service.calls) > 1
    assert {(call.operation, call.parameters["MaxResults"]) for call in service.calls} == {("ListSecrets", 100)}


def denied(_call: Call, _phase: str, why: str = "the role is not authorized to perform this") -> None:
    """Let the service refuse to list."""
    raise ServiceError("AccessDeniedException", why)


def test_if_the_secrets_cannot_be_listed_lambda_counts_an_error(invoke: Invoke, stack: Stack) -> None:
    stack.service.intercept = denied
    said = invoke(app.overdue)
    assert isinstance(said.error, ServiceFailed)
    assert (said.line["level"], said.line["error"]) == ("ERROR", "ServiceFailed")
    assert said.line["message"] == str(said.error)
    remedy = "Allow secretsmanager:ListSecrets to this function's role; if it is allowed, wait and try again"
    assert said.line["remedy"] == remedy
    assert said.metrics == {}


def test_a_list_that_takes_too_long_is_an_error_of_its_own(invoke: Invoke, stack: Stack) -> None:
    said = invoke(app.overdue, context=Context(Clock(left=1)))
    assert isinstance(said.error, OutOfTime)
    assert not stack.service.calls


def test_without_the_prefix_no_secret_would_be_the_stacks_so_that_is_an_error(
    invoke: Invoke, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.new_secret("PostgreSql")
    monkeypatch.delenv("ROTATION_FUNCTION_PREFIX")
    assert isinstance(invoke(app.overdue).error, InvalidConfiguration)
    monkeypatch.setenv("ROTATION_FUNCTION_PREFIX", "")
    assert isinstance(invoke(app.overdue).error, InvalidConfiguration)


# What CloudFormation is answered


class CloudFormation:
    """Takes answers at an address that is signed."""

    def __init__(self) -> None:
        """Take every answer."""
        self.statuses: Iterator[int] = iter(())
        self.tries: list[tuple[str, dict[str, str], bytes]] = []
        self.elsewhere = ""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.tries.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(next(outer.statuses, 200))
                self.send_header("Content-Length", "0")
                self.send_header("Location", outer.elsewhere)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}/arn%3Aaws/answer?Expires=7200&Signature={SIGNATURE}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def asks(self, kind: str, now: object, before: object = None, **more: object) -> dict[str, Any]:
        """Return the event of a request."""
        return {
            "RequestType": kind,
            "RequestId": "a-cloudformation-request",
            "ResponseURL": self.url,
            "ResourceType": "Custom::AttachedSecrets",
            "LogicalResourceId": "Guard",
            "StackId": STACK,
            "ResourceProperties": now,
            **({} if before is None else {"OldResourceProperties": before}),
            **({} if kind == "Create" else {"PhysicalResourceId": "as-it-was"}),
            **more,
        }

    @property
    def answer(self) -> dict[str, Any]:
        """The one answer."""
        [(_, _, body)] = self.tries
        assert len(body) <= 4096
        answer: dict[str, Any] = json.loads(body)
        return answer


@pytest.fixture
def cloudformation() -> Iterator[CloudFormation]:
    """What waits for an answer."""
    with CloudFormation() as cloudformation:
        yield cloudformation


@pytest.fixture
def guard(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Calls the guard, which waits for nothing; its address is never seen."""

    def guard(event: object, seconds: float = 120) -> Said:
        clock = Clock(left=seconds)
        monkeypatch.setattr(deadline, "time", clock)
        said = invoke(app.guard, event, Context(clock))
        assert said.line["function_request_id"] == "a-request-id"
        for part in (SIGNATURE, "Ksigned7x", "Expires=7200"):
            assert part not in said.seen
        return said

    return guard


def functions(*arns: str, scheduled: tuple[str, ...] = ()) -> dict[str, object]:
    """Return the resource's properties."""
    return {"ServiceToken": "arn", "FunctionArns": list(arns), "ScheduledSecretArns": list(scheduled)}


def test_an_answer_says_whom_it_is_for_and_nothing_else(
    guard: Invoke, stack: Stack, cloudformation: CloudFormation
) -> None:
    said = guard(cloudformation.asks("Create", functions(stack.arn_of("PostgreSql"))))
    assert cloudformation.answer == {
        "Status": "SUCCESS",
        "PhysicalResourceId": f"{STACK}/Guard",
        "StackId": STACK,
        "RequestId": "a-cloudformation-request",
        "LogicalResourceId": "Guard",
    }
    [(path, headers, _)] = cloudformation.tries
    assert path == cloudformation.url.removeprefix(f"http://{headers['host']}")
    assert headers["content-type"] == ""
    assert (said.error, said.line["level"], said.line["request_type"]) == (None, "INFO", "Create")
    assert not stack.service.calls


@pytest.mark.parametrize("kind", ["Update", "Delete"])
def test_the_resource_stays_the_one_that_it_was(
    guard: Invoke, stack: Stack, cloudformation: CloudFormation, kind: str
) -> None:
    guard(cloudformation.asks(kind, functions(stack.arn_of("PostgreSql")), functions()))
    assert cloudformation.answer["Status"] == "SUCCESS"
    assert cloudformation.answer["PhysicalResourceId"] == "as-it-was"


def turned_off(stack: Stack, *engines: str) -> dict[str, object]:
    """Return the rest of the event of an update that turns engines off."""
    return {"now": functions(), "before": functions(*map(stack.arn_of, engines))}


def test_an_engine_is_not_turned_off_while_a_secret_needs_its_function(
    guard: Invoke, stack: Stack, cloudformation: CloudFormation
) -> None:
    secret = stack.new_secret("MySql")
    said = guard(cloudformation.asks("Update", **turned_off(stack, "PostgreSql", "MySql")))
    assert cloudformation.answer["Status"] == "FAILED"
    assert cloudformation.answer["PhysicalResourceId"] == "as-it-was"
    assert stack.client.describe_secret(SecretId=secret)["Name"] in cloudformation.answer["Reason"]
    assert (said.error, said.line["level"]) == (None, "ERROR")
    assert said.line["message"] == cloudformation.answer["Reason"]
    assert said.line["secret_arns"] == [secret]


def test_the_deletion_of_a_stack_is_not_refused_and_the_log_names_what_is_left_behind(
    guard: Invoke, stack: Stack, cloudformation: CloudFormation
) -> None:
    secret = stack.new_secret("PostgreSql")
    said = guard(cloudformation.asks("Delete", functions(stack.arn_of("PostgreSql"))))
    assert cloudformation.answer["Status"] == "SUCCESS"
    assert (said.error, said.line["level"]) == (None, "ERROR")
    assert said.line["secret_arns"] == [secret]


@pytest.mark.parametrize("remedy", ["another function", "rotation off", "secret deleted"])
def test_once_the_reason_is_gone_the_engine_can_be_turned_off(
    guard: Invoke, stack: Stack, cloudformation: CloudFormation, remedy: str
) -> None:
    secret = stack.new_secret("PostgreSql")
    match remedy:
        case "another function":
            Stack(stack.service, f"{stack.name}-new").attach(secret, "PostgreSql")
        case "rotation off":
            stack.client.cancel_rotate_secret(SecretId=secret)
        case "secret deleted":
            stack.client.delete_secret(SecretId=secret)
    guard(cloudformation.asks("Update", **turned_off(stack, "PostgreSql")))
    assert cloudformation.answer["Status"] == "SUCCESS"


def test_only_the_engine_that_is_turned_off_is_looked_at(
    guard: Invoke, stack: Stack, cloudformation: CloudFormation
) -> None:
    stack.new_secret("PostgreSql:live")
    both = functions(stack.arn_of("PostgreSql"), stack.arn_of("MySql"))
    guard(cloudformation.asks("Update", functions(stack.arn_of("PostgreSql")), both))
    assert cloudformation.answer["Status"] == "SUCCESS"
    cloudformation.tries.clear()
    guard(cloudformation.asks("Update", functions(stack.arn_of("MySql")), both))
    assert cloudformation.answer["Status"] == "FAILED"


def test_an_update_that_was_refused_can_be_rolled_back(
    guard: Invoke, stack: Stack, service: LocalSecretsManager, cloudformation: CloudFormation
) -> None:
    stack.new_secret("PostgreSql")
    service.intercept = denied
    guard(cloudformation.asks("Update", functions(stack.arn_of("PostgreSql")), functions()))
    assert cloudformation.answer["Status"] == "SUCCESS"


def test_an_engine_whose_secrets_the_stack_attached_can_be_rolled_back(
    guard: Invoke, stack: Stack, cloudformation: CloudFormation
) -> None:
    secret = stack.new_secret("MySql")
    added = functions(stack.arn_of("PostgreSql"), stack.arn_of("MySql"), scheduled=(secret,))
    guard(cloudformation.asks("Update", functions(stack.arn_of("PostgreSql")), added))
    assert cloudformation.answer["Status"] == "SUCCESS"


def test_what_could_not_be_created_can_be_removed(guard: Invoke, stack: Stack, cloudformation: CloudFormation) -> None:
    wrong: dict[str, object] = {"ServiceToken": "arn", "FunctionArns": stack.arn_of("PostgreSql")}
    guard(cloudformation.asks("Create", wrong))
    assert cloudformation.answer["Status"] == "FAILED"
    assert "FunctionArns" in cloudformation.answer["Reason"]
    cloudformation.tries.clear()
    guard(cloudformation.asks("Delete", wrong, PhysicalResourceId="made-up-by-cloudformation"))
    assert cloudformation.answer["Status"] == "SUCCESS"


def test_if_nobody_can_tell_what_is_attached_nothing_goes_and_the_remedy_is_named(
    guard: Invoke, stack: Stack, service: LocalSecretsManager, cloudformation: CloudFormation
) -> None:
    service.intercept = denied
    said = guard(cloudformation.asks("Update", **turned_off(stack, "PostgreSql")))
    assert cloudformation.answer["Status"] == "FAILED"
    reason = cloudformation.answer["Reason"]
    for part in ("AccessDeniedException", "Allow secretsmanager:ListSecrets", "Then deploy again."):
        assert part in reason
    assert len(reason) < LONGEST_REASON
    assert (said.error, said.line["level"]) == (None, "ERROR")


def test_if_nobody_can_tell_what_is_attached_the_stack_goes_and_the_log_says_so(
    guard: Invoke, stack: Stack, service: LocalSecretsManager, cloudformation: CloudFormation
) -> None:
    service.intercept = denied
    said = guard(cloudformation.asks("Delete", functions(stack.arn_of("PostgreSql"))))
    assert cloudformation.answer["Status"] == "SUCCESS"
    assert (said.error, said.line["level"]) == (None, "ERROR")
    assert "secrets can be left behind" in said.line["message"]


def test_what_aws_says_at_length_leaves_room_for_the_remedy(
    guard: Invoke, stack: Stack, service: LocalSecretsManager, cloudformation: CloudFormation
) -> None:
    service.intercept = partial(denied, why="語" * 1500)
    said = guard(cloudformation.asks("Update", **turned_off(stack, "PostgreSql")))
    assert said.line["message"] == cloudformation.answer["Reason"]
    assert "語…" in said.line["message"]
    assert "Then deploy again." in said.line["message"]


def test_an_answer_is_cut_where_cloudformation_would_not_take_it(cloudformation: CloudFormation) -> None:
    answer(cloudformation.asks("Delete", {}), "語" * 5000, Deadline(lambda: 60))
    assert len(cloudformation.answer["Reason"]) == LONGEST_REASON


def test_what_others_say_of_the_address_is_masked(
    guard: Invoke, stack: Stack, service: LocalSecretsManager, cloudformation: CloudFormation
) -> None:
    service.intercept = partial(denied, why=f"called for {cloudformation.url} with ?Expires=7200&Signature={SIGNATURE}")
    guard(cloudformation.asks("Update", **turned_off(stack, "PostgreSql")))
    assert "called for *** with ?***" in cloudformation.answer["Reason"]


def test_no_page_is_asked_for_that_could_leave_no_time_for_the_answer(
    guard: Invoke, stack: Stack, cloudformation: CloudFormation
) -> None:
    guard(cloudformation.asks("Update", **turned_off(stack, "PostgreSql")), seconds=40)
    assert cloudformation.answer["Status"] == "FAILED"
    assert "timeout is too near" in cloudformation.answer["Reason"]
    assert not stack.service.calls


@pytest.mark.parametrize(
    "broken",
    [
        {"RequestType": None},
        {"RequestType": ["Delete"]},
        {"ResourceProperties": "text"},
        {"ResourceProperties": None},
        {"ResourceProperties": {"FunctionArns": [{"Fn::GetAtt": "Function.Arn"}]}},
        {"RequestType": "Update", "OldResourceProperties": ["list"]},
    ],
    ids=["no request", "list of requests", "text", "no properties", "not resolved", "list"],
)
def test_what_makes_no_sense_is_answered_all_the_same(
    guard: Invoke, stack: Stack, cloudformation: CloudFormation, broken: dict[str, object]
) -> None:
    event = cloudformation.asks("Create", functions(stack.arn_of("PostgreSql")))
    said = guard({**event, **broken})
    assert cloudformation.answer["Status"] == "FAILED"
    assert cloudformation.answer["Reason"]
    assert cloudformation.answer["RequestId"] == "a-cloudformation-request"
    assert said.error is None


def test_a_defect_is_answered_all_the_same_and_shows_nothing_but_its_place(
    guard: Invoke, stack: Stack, cloudformation: CloudFormation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def defect() -> None:
        raise KeyError(cloudformation.url)

    monkeypatch.setattr("rotation.watch.guard.own_clients", defect)
    guard(cloudformation.asks("Update", **turned_off(stack, "PostgreSql")))
    assert cloudformation.answer["Status"] == "FAILED"
    assert "KeyError in test_watch.py" in cloudformation.answer["Reason"]


@pytest.mark.parametrize("statuses", [[500], [503, 403, 500]], ids=["once", "three times"])
def test_an_answer_that_is_not_taken_is_given_again(
    guard: Invoke, stack: Stack, cloudformation: CloudFormation, statuses: list[int]
) -> None:
    cloudformation.statuses = iter(statuses)
    assert guard(cloudformation.asks("Create", functions(stack.arn_of("PostgreSql")))).error is None
    assert len(cloudformation.tries) == len(statuses) + 1
    assert len({body for _, _, body in cloudformation.tries}) == 1


def test_an_answer_that_is_never_taken_is_an_error_so_that_lambda_tries_again(
    guard: Invoke, stack: Stack, cloudformation: CloudFormation
) -> None:
    cloudformation.statuses = iter([500] * 9)
    stack.new_secret("PostgreSql")
    said = guard(cloudformation.asks("Update", **turned_off(stack, "PostgreSql")))
    assert isinstance(said.error, ServiceFailed)
    assert said.error.cause == "the answer was refused with HTTP 500"
    assert len(cloudformation.tries) == 4
    assert said.line["level"] == "ERROR"
    assert said.line["message"].startswith(said.error.sentences)
    assert "Nothing would rotate these secrets" in said.line["message"]


def test_the_tries_fit_into_the_time(guard: Invoke, stack: Stack, cloudformation: CloudFormation) -> None:
    cloudformation.statuses = iter([500] * 9)
    said = guard(cloudformation.asks("Create", functions(stack.arn_of("PostgreSql"))), seconds=4)
    assert isinstance(said.error, ServiceFailed)
    assert len(cloudformation.tries) == 2


def test_if_nobody_takes_the_answer_the_error_shows_no_address(
    guard: Invoke, stack: Stack, cloudformation: CloudFormation, closed_endpoint: str
) -> None:
    event = cloudformation.asks("Create", functions(stack.arn_of("PostgreSql")))
    said = guard({**event, "ResponseURL": f"{closed_endpoint}/?Expires=7200&Signature={SIGNATURE}"})
    assert isinstance(said.error, ServiceFailed)
    assert said.error.cause == "the answer could not be delivered (ConnectionRefusedError)"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_nobody_is_followed_who_would_have_the_answer_given_elsewhere(
    guard: Invoke, stack: Stack, cloudformation: CloudFormation, status: int
) -> None:
    with CloudFormation() as other:
        cloudformation.elsewhere, cloudformation.statuses = other.url, iter([status] * 9)
        said = guard(cloudformation.asks("Create", functions(stack.arn_of("PostgreSql"))))
    assert isinstance(said.error, ServiceFailed)
    assert said.error.cause == f"the answer was refused with HTTP {status}"
    assert not other.tries


def test_what_stands_in_for_cloudformation_is_answered_on_this_machine_only(
    guard: Invoke, stack: Stack, cloudformation: CloudFormation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All addresses are in tests/unit/test_watch.py."""
    monkeypatch.delenv("ALLOW_LOCAL_HOSTS")
    stack.new_secret("PostgreSql")
    said = guard(cloudformation.asks("Update", **turned_off(stack, "PostgreSql")))
    assert isinstance(said.error, InvalidEvent)
    assert not cloudformation.tries


@pytest.mark.parametrize("url", [f"nowhere?Signature={SIGNATURE}", f"http://a b/?Signature={SIGNATURE}"])
def test_an_address_that_is_none_is_an_error_that_does_not_show_it(
    guard: Invoke, stack: Stack, cloudformation: CloudFormation, url: str
) -> None:
    event = cloudformation.asks("Create", functions(stack.arn_of("PostgreSql")))
    assert guard({**event, "ResponseURL": url}).error is not None


@pytest.mark.parametrize("event", [None, [], {}, {"ResponseURL": None}], ids=["nothing", "list", "empty", "null"])
def test_an_invocation_by_somebody_else_is_a_clear_error(guard: Invoke, event: object) -> None:
    said = guard(event)
    assert isinstance(said.error, InvalidEvent)
    assert said.line["level"] == "ERROR"
