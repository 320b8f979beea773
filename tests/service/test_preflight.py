"""What do `make preflight` and `make attach` show, and what does the function that they ask do?"""

import io
import json
import secrets
import shlex
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import boto3
import pytest

from operations import functions, preflight
from operations.attach import Attach
from operations.calls import Stopped
from operations.watching import Timer
from rotation.errors import RotationError, ServiceFailed
from rotation.lambda_handler import rotation_handler
from tests.fakes import KIND, PRIMARY, FakeDatabase, reading
from tests.laboratories import ORDERS
from tests.local.aws.secrets_manager import REGION, LocalSecretsManager
from tests.service.invoking import Context

pytestmark = pytest.mark.usefixtures("_connected")

PASSWORD = "the password of the application"


@dataclass
class InvokedContext(Context):
    """What Lambda tells a function that was invoked by its ARN."""

    invoked_function_arn: str = ""


@dataclass
class Operator:
    """Answers what a command asks, and keeps what it tells; implements `operations.person.Person`."""

    answers: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def tell(self, text: str) -> None:
        """Keep it."""
        self.told.append(text)

    def ask(self, question: str) -> str:
        """Answer."""
        self.told.append(question)
        return self.answers.pop(0)


class World:
    """A database, a secret for it, and the function of its engine."""

    def __init__(self, service: LocalSecretsManager) -> None:
        self.service, self.client = service, service.client()
        self.database = FakeDatabase()
        self.database.new_user("app", PASSWORD, reading(ORDERS))
        value = {"engine": "fake", "host": PRIMARY, "username": "app", "password": PASSWORD}
        name = f"orders-{secrets.token_hex(4)}"
        self.arn = self.client.create_secret(Name=name, SecretString=json.dumps(value))["ARN"]
        handler = rotation_handler(self.database)
        self.function = service.register("secret-rotation-FakeDb", lambda event: self._invoked(handler, event))
        self.lambda_client: Any = boto3.client("lambda", endpoint_url=service.endpoint_url, region_name=REGION)
        service.calls.clear()

    def _invoked(self, handler: Callable[[object, Any], object], event: object) -> object:
        return handler(event, InvokedContext(invoked_function_arn=self.function))

    def attach(self) -> None:
        """Let the secret choose the function, as an operator does by hand."""
        self.client.rotate_secret(SecretId=self.arn, RotationLambdaARN=self.function, RotateImmediately=False)
        self.service.wait(self.arn)
        self.service.calls.clear()

    def look(self) -> functions.Answer:
        """Ask the function that is attached."""
        return preflight.look(self.lambda_client, self.client, self.arn, "")

    def command(self, *answers: str) -> tuple[Attach, Operator]:
        """Return `make attach`, and who runs it."""
        operator = Operator(list(answers))
        return Attach(self.client, self.lambda_client, operator), operator


@pytest.fixture
def world(service: LocalSecretsManager) -> World:
    """A secret that no function rotates yet."""
    return World(service)


def outcomes(answer: functions.Answer) -> dict[str, str]:
    """Return the outcome of each item."""
    return {one["Item"]: one["Outcome"] for one in answer["Findings"]}


def test_a_preflight_reads_and_writes_nothing(world: World) -> None:
    world.attach()
    answer = world.look()
    assert answer["Outcome"] == "pass"
    assert answer["SecretId"] == world.arn
    assert {call.operation for call in world.service.calls} == {"DescribeSecret", "GetSecretValue"}
    assert outcomes(answer)["login"] == "pass"
    assert PASSWORD not in json.dumps(answer)


def test_who_asks_for_the_server_only_learns_that_and_nobody_logs_in(world: World) -> None:
    world.attach()
    tried = len(world.database.tried)
    answer = world.lambda_client.invoke(
        FunctionName=world.function, Payload=json.dumps({"Step": "server", "SecretId": world.arn})
    )
    assert json.loads(answer["Payload"].read()) == {"SecretId": world.arn, "Server": f"{PRIMARY}:{KIND.default_port}"}
    assert [call.operation for call in world.service.calls] == ["GetSecretValue"]
    assert len(world.database.tried) == tried


def test_what_fails_is_said_with_its_remedy_and_no_password(world: World) -> None:
    world.attach()
    world.database.new_user("app", "another")
    answer = world.look()
    assert answer["Outcome"] == "fail"
    [login] = [one for one in answer["Findings"] if one["Item"] == "login"]
    assert "Put the real password into the secret" in login["Remedy"]
    assert PASSWORD not in json.dumps(answer)
    assert len(world.database.refused) == 1


def test_the_table_has_a_line_for_each_item_and_fits_into_the_terminal(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.attach()
    world.database.new_user("app", "another")
    monkeypatch.setenv("COLUMNS", "80")
    output = io.StringIO()
    assert preflight.show(world.look(), output) == preflight.FAILS
    lines = output.getvalue().splitlines()
    assert [line for line in lines if len(line) > 80 and world.arn not in line] == []
    [login] = [line for line in lines if line.startswith("login ")]
    assert login.split()[1] == "fail"
    assert lines[-1] == f"{world.arn}: fail"
    assert "\x1b" not in output.getvalue()


def test_a_machine_reads_json(world: World) -> None:
    world.attach()
    output = io.StringIO()
    assert preflight.show(world.look(), output, as_json=True) == 0
    assert json.loads(output.getvalue())["Outcome"] == "pass"


def test_a_secret_that_chose_no_function_has_nobody_to_ask(world: World) -> None:
    with pytest.raises(Stopped, match="make attach"):
        world.look()


def test_a_function_that_answers_no_questions_is_named(world: World) -> None:
    other = world.service.register("other", lambda _: None)
    with pytest.raises(ServiceFailed, match="no rotation function that answers questions"):
        preflight.look(world.lambda_client, world.client, world.arn, other)


def test_a_function_that_fails_says_why(world: World) -> None:
    def fail(_: object) -> None:
        raise ValueError("out of order")

    other = world.service.register("failing", fail)
    with pytest.raises(ServiceFailed, match="out of order"):
        preflight.look(world.lambda_client, world.client, world.arn, other)


def test_to_attach_rotates_nothing_and_says_what_a_rotation_would_meet(world: World) -> None:
    command, operator = world.command("yes")
    answer = command.run(world.arn, world.function, "rate(7 days)", "3h")
    world.service.wait(world.arn)
    found = world.client.describe_secret(SecretId=world.arn)
    assert (found["RotationLambdaARN"], found["RotationEnabled"]) == (world.function, True)
    assert found["RotationRules"] == {"ScheduleExpression": "rate(7 days)", "Duration": "3h"}
    assert json.loads(world.client.get_secret_value(SecretId=world.arn)["SecretString"])["password"] == PASSWORD
    assert outcomes(answer)["login"] == "pass"
    assert "rate(7 days), window 3h. Nothing rotates now." in operator.told[0]


def test_the_test_of_the_current_password_has_ended_before_a_preflight_looks(world: World) -> None:
    """Until then a version has AWSPENDING, and the first preflight of a secret would warn of a stuck rotation."""
    may_end, invoked = threading.Event(), world.function
    handler = rotation_handler(world.database)

    def slow(event: dict[str, Any]) -> object:
        assert "ClientRequestToken" not in event or may_end.wait(30)
        return handler(event, InvokedContext(invoked_function_arn=invoked))  # type: ignore[arg-type]

    def pause(_: float) -> None:
        may_end.set()
        world.service.wait(world.arn)

    world.service.register("secret-rotation-FakeDb", slow)
    command, _ = world.command("y")
    answer = replace(command, timer=Timer(pause=pause)).run(world.arn, world.function)
    assert may_end.is_set()
    assert outcomes(answer)["labels"] == "pass"


def test_a_secret_that_is_not_there_is_not_said_to_lack_a_permission(world: World) -> None:
    with pytest.raises(ServiceFailed, match="Check the name, the account and the Region"):
        preflight.attached(world.client, "not-there")


def test_nothing_is_attached_without_a_yes(world: World) -> None:
    command, _ = world.command("no")
    with pytest.raises(Stopped, match="nothing was changed"):
        command.run(world.arn, world.function, "rate(7 days)", "3h")
    assert {call.operation for call in world.service.calls} == {"DescribeSecret"}


def test_what_would_fail_can_be_turned_off_again(world: World) -> None:
    world.database.new_user("app", "another")
    command, operator = world.command("yes", "yes")
    answer = command.run(world.arn, world.function, "rate(7 days)", "3h")
    assert answer["Outcome"] == "fail"
    assert not world.client.describe_secret(SecretId=world.arn).get("RotationEnabled")
    assert operator.told[-1] == "Its rotation is off."


def test_who_loses_the_secret_is_said(world: World) -> None:
    other = world.service.register("other", lambda _: None)
    world.client.rotate_secret(SecretId=world.arn, RotationLambdaARN=other, RotateImmediately=False)
    world.service.wait(world.arn)
    command, operator = world.command("yes")
    command.run(world.arn, world.function, "rate(7 days)", "3h")
    assert f"It rotates with {other} today" in operator.told[1]


def test_a_way_back_is_a_command_with_the_schedule_that_there_was(world: World) -> None:
    other = world.service.register("other", lambda _: None)
    rules = {"ScheduleExpression": "cron(0 3,15 ? * SUN *)", "Duration": "3h"}
    world.client.rotate_secret(
        SecretId=world.arn,
        RotationLambdaARN=other,
        RotateImmediately=False,
        RotationRules=rules,  # type: ignore[arg-type]
    )
    world.service.wait(world.arn)
    world.database.new_user("app", "another")
    command, operator = world.command("yes", "no")
    command.run(world.arn, world.function)
    [back] = [text for text in operator.told if "To go back" in text]
    options = shlex.split(back.partition("run: ")[2])
    assert options[options.index("--rotation-lambda-arn") + 1] == other
    assert json.loads(options[options.index("--rotation-rules") + 1]) == rules


def test_a_secret_keeps_its_function_and_its_schedule_if_no_other_is_named(world: World) -> None:
    command, _ = world.command("yes", "yes")
    command.run(world.arn, world.function, "rate(7 days)", "3h")
    command.run(world.arn)
    found = world.client.describe_secret(SecretId=world.arn)
    assert found["RotationLambdaARN"] == world.function
    assert found["RotationRules"] == {"ScheduleExpression": "rate(7 days)", "Duration": "3h"}


def test_a_secret_that_names_no_function_needs_one(world: World) -> None:
    command, _ = world.command()
    with pytest.raises(Stopped, match="ENGINE="):
        command.run(world.arn)


def test_a_secret_that_is_deleted_is_not_attached(world: World) -> None:
    world.client.delete_secret(SecretId=world.arn, RecoveryWindowInDays=7)
    command, _ = world.command()
    with pytest.raises(Stopped, match="restore-secret"):
        command.run(world.arn, world.function)


def test_what_is_attached_is_not_said_to_be_unattached_if_nobody_can_be_asked(world: World) -> None:
    mute = world.service.register("mute", lambda _: None)
    command, _ = world.command("yes")
    with pytest.raises(ServiceFailed, match="it is attached, but whether a rotation would succeed is not known"):
        command.run(world.arn, mute)


def test_a_question_is_asked_once_and_as_long_as_a_function_can_run() -> None:
    client = functions.new_client(boto3.Session(region_name=REGION))
    assert client.meta.config.retries["total_max_attempts"] == 1
    assert client.meta.config.read_timeout > 900


class CloudFormation:
    """One stack, with the functions of two engines."""

    def describe_stacks(self, *, StackName: str) -> dict[str, Any]:  # noqa: N803 - AWS's name
        """Describe it."""
        outputs = [{"OutputKey": f"{name}FunctionArn", "OutputValue": f"arn:{name}"} for name in ("MySql", "Db2")]
        stack = {"StackId": "arn:stack", "StackName": StackName, "StackStatus": "CREATE_COMPLETE", "Outputs": outputs}
        return {"Stacks": [stack]}


def test_the_function_of_an_engine_is_found_in_the_stack() -> None:
    assert functions.of_engine(CloudFormation(), "secret-rotation", "mysql") == "arn:MySql"
    with pytest.raises(RotationError, match="Name one of db2, mysql"):
        functions.of_engine(CloudFormation(), "secret-rotation", "oracle")
