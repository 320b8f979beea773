"""Does the bus hear what it should, and does a rotation never wait or fail because of it?"""

import json
import socket
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from rotation import announcements
from rotation.errors import DatabaseError, LoginRefused, NotRotatable, Unreachable, Unsafe
from tests.fakes import FakeDatabase, reading, verifier
from tests.laboratories import ORDERS
from tests.local.aws.secrets_manager import Call as ApiCall
from tests.local.aws.secrets_manager import LocalSecretsManager, Phase
from tests.service.invoking import STEPS, Call, Context, Invoke, event
from tests.service.scenario import Scenario

PASSWORD = "Tq7-vR2m-9xLd"


@dataclass
class Bus:
    """A bus with a rule for our events, which a queue takes."""

    name: str
    sqs: Any
    queue: str

    def heard(self) -> list[dict[str, Any]]:
        """Return the events that have come, and forget them."""
        messages = self.sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10).get("Messages", [])
        for message in messages:
            self.sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"])
        return [json.loads(message["Body"]) for message in messages]


@pytest.fixture
def bus(_connected: None, service: LocalSecretsManager, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bus]:
    """The bus that the functions are told of."""
    name = f"bus-{uuid.uuid4()}"
    events, sqs = (boto3.client(one, endpoint_url=service.endpoint_url) for one in ("events", "sqs"))
    events.create_event_bus(Name=name)
    events.put_rule(Name=name, EventBusName=name, EventPattern=json.dumps({"source": ["secret-rotation"]}))
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.put_targets(Rule=name, EventBusName=name, Targets=[{"Id": "queue", "Arn": arn}])
    monkeypatch.setenv("EVENT_BUS_NAME", name)
    announcements.client.cache_clear()
    yield Bus(name, sqs, queue)
    announcements.client.cache_clear()


@pytest.fixture
def database() -> FakeDatabase:
    """A database with an application's user."""
    database = FakeDatabase()
    database.new_user("app", PASSWORD, reading(ORDERS))
    return database


@pytest.fixture
def scenario(service: LocalSecretsManager) -> Scenario:
    """The secret of that user, with an empty version to be made."""
    return Scenario(service, password=PASSWORD).begin()


def lose_password(database: FakeDatabase) -> None:
    """Let nothing that the secret holds log in."""
    database.users["app"].verifiers = (verifier("app", "set by hand"),)


def finish(invoke: Invoke, database: FakeDatabase, scenario: Scenario, context: Context | None = None) -> Call:
    """Rotate; return what came of the last step."""
    for step in STEPS[:3]:
        assert len(invoke(database, event(scenario, step)).lines) == 1
    return invoke(database, event(scenario, "finishSecret"), context)


def test_a_finished_rotation_is_told_with_the_fields_of_its_line(
    invoke: Invoke, bus: Bus, database: FakeDatabase, scenario: Scenario
) -> None:
    call = finish(invoke, database, scenario)
    [told] = bus.heard()
    assert (told["source"], told["detail-type"]) == ("secret-rotation", "Rotation Finished")
    assert told["resources"] == [scenario.arn]
    assert told["detail"] == {name: call.line[name] for name in ("secret_arn", "engine", "strategy", "version_token")}
    assert (told["detail"]["strategy"], told["detail"]["version_token"]) == ("single-user", scenario.token)


def test_a_finish_that_is_delivered_again_is_told_again_for_the_first_may_have_been_cut_off(
    invoke: Invoke, bus: Bus, database: FakeDatabase, scenario: Scenario
) -> None:
    finish(invoke, database, scenario)
    first = bus.heard()
    invoke(database, event(scenario, "finishSecret"))
    assert [told["detail"] for told in bus.heard()] == [told["detail"] for told in first]


def test_what_no_retry_ends_is_told_at_each_try_and_without_a_password(
    invoke: Invoke, bus: Bus, database: FakeDatabase, scenario: Scenario
) -> None:
    lose_password(database)
    invoke(database, event(scenario, "createSecret"))
    calls = [invoke(database, event(scenario, "setSecret")) for _ in range(2)]
    heard = bus.heard()
    assert [told["detail-type"] for told in heard] == ["Rotation Needs Attention"] * 2
    for call, told in zip(calls, heard, strict=True):
        assert isinstance(call.error, LoginRefused)
        fields = ("secret_arn", "engine", "strategy", "version_token", "step", "error", "cause", "remedy")
        assert told["detail"] == {name: call.line[name] for name in fields}
        assert PASSWORD not in json.dumps(told)


def test_a_password_in_an_error_is_masked_on_the_bus(
    invoke: Invoke, bus: Bus, database: FakeDatabase, scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    def speak(*_: object) -> None:
        raise LoginRefused("logging in", f"it is not {PASSWORD}", f"Use {PASSWORD}")

    monkeypatch.setattr(database, "connect", speak)
    invoke(database, event(scenario, "createSecret"))
    invoke(database, event(scenario, "setSecret"))
    [told] = bus.heard()
    assert told["detail"]["error"] == "LoginRefused"
    assert PASSWORD not in json.dumps(told)


@pytest.mark.usefixtures("clock")
def test_what_can_pass_by_itself_is_not_told(
    invoke: Invoke, bus: Bus, database: FakeDatabase, scenario: Scenario
) -> None:
    assert isinstance(invoke(database, event(scenario, "setSecret")).error, NotRotatable)

    def fail(*_: object) -> None:
        raise Unreachable("connecting", "nobody answered", "Wait")

    invoke(database, event(scenario, "createSecret"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "connect", fail)
        assert isinstance(invoke(database, event(scenario, "setSecret")).error, DatabaseError)
    assert bus.heard() == []


def test_an_operator_who_asks_hears_the_answer_and_the_bus_does_not(
    invoke: Invoke, bus: Bus, database: FakeDatabase, scenario: Scenario
) -> None:
    context = Context()
    context.invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:rotation"  # type: ignore[attr-defined]
    call = invoke(database, {"Step": "doctor", "SecretId": scenario.arn, "Repair": True}, context)
    assert isinstance(call.error, Unsafe)
    assert bus.heard() == []


def test_without_a_bus_there_is_noclient(invoke: Invoke, bus: Bus, database: FakeDatabase, scenario: Scenario) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EVENT_BUS_NAME", "")
        assert len(finish(invoke, database, scenario).lines) == 1
        lose_password(database)
        invoke(database, event(scenario, "testSecret"))
    assert announcements.client.cache_info().currsize == 0
    assert bus.heard() == []


def assert_done_with_a_warning(call: Call, scenario: Scenario) -> None:
    """The rotation is finished, and the log says that its event was not put."""
    assert call.error is None
    assert scenario.labels()["AWSCURRENT"] == scenario.token
    done, warned = call.lines
    assert (done["level"], warned["level"]) == ("INFO", "WARNING")
    assert {"rotation_seconds", "duration_ms"} & warned.keys() == set()
    assert (warned["secret_arn"], warned["version_token"]) == (scenario.arn, scenario.token)
    assert warned["cause"]
    assert warned["remedy"]


@pytest.mark.usefixtures("bus")
def test_a_bus_that_nobody_answers_for_fails_no_rotation(
    invoke: Invoke,
    database: FakeDatabase,
    scenario: Scenario,
    closed_endpoint: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EVENTS_ENDPOINT", closed_endpoint)
    call = finish(invoke, database, scenario)
    assert_done_with_a_warning(call, scenario)
    assert "route to events" in call.lines[1]["remedy"]


@pytest.mark.usefixtures("bus")
def test_a_bus_that_is_silent_is_left_and_fails_no_rotation(
    invoke: Invoke,
    service: LocalSecretsManager,
    database: FakeDatabase,
    scenario: Scenario,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    context = Context()

    def hurry(call: ApiCall, phase: Phase) -> None:
        if (call.operation, phase) == ("UpdateSecretVersionStage", "after"):
            context.seconds = 1.9

    service.intercept = hurry
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("EVENTS_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        call = finish(invoke, database, scenario, context)
    assert_done_with_a_warning(call, scenario)
    assert "TimeoutError" in call.lines[1]["cause"]


@pytest.mark.usefixtures("bus")
def test_if_no_time_is_left_no_event_is_put(
    invoke: Invoke, service: LocalSecretsManager, database: FakeDatabase, scenario: Scenario
) -> None:
    context = Context()

    def hurry(call: ApiCall, phase: Phase) -> None:
        if (call.operation, phase) == ("UpdateSecretVersionStage", "after"):
            context.seconds = 1.0

    service.intercept = hurry
    call = finish(invoke, database, scenario, context)
    assert_done_with_a_warning(call, scenario)
    assert "timeout is too near" in call.lines[1]["cause"]
    assert announcements.client.cache_info().currsize == 0


@pytest.mark.parametrize("answer", [{}, {"FailedEntryCount": 1, "Entries": []}, {"Entries": [{}]}])
def test_a_bus_that_names_no_event_has_not_taken_it(
    invoke: Invoke, bus: Bus, database: FakeDatabase, scenario: Scenario, answer: dict[str, Any]
) -> None:
    with Stubber(announcements.client()) as stub:
        stub.add_response("put_events", answer)
        call = finish(invoke, database, scenario)
    assert_done_with_a_warning(call, scenario)
    assert "PutEvents answered no id" in call.lines[1]["cause"]
    assert f"Check that the bus {bus.name} exists" in call.lines[1]["remedy"]


@pytest.mark.parametrize("in_answer", [True, False])
def test_a_bus_that_refuses_fails_no_rotation_and_says_why(
    invoke: Invoke, bus: Bus, database: FakeDatabase, scenario: Scenario, *, in_answer: bool
) -> None:
    with Stubber(announcements.client()) as stub:
        if in_answer:
            refused = {"ErrorCode": "InternalFailure", "ErrorMessage": "no"}
            stub.add_response("put_events", {"FailedEntryCount": 1, "Entries": [refused]})
        else:
            stub.add_client_error("put_events", "AccessDeniedException", "no")
        call = finish(invoke, database, scenario)
    assert_done_with_a_warning(call, scenario)
    assert f"Check that the bus {bus.name} exists" in call.lines[1]["remedy"]


@pytest.mark.usefixtures("bus")
def test_a_defect_in_telling_fails_no_rotation(
    invoke: Invoke, database: FakeDatabase, scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVENTS_ENDPOINT", "no address")
    assert_done_with_a_warning(finish(invoke, database, scenario), scenario)
