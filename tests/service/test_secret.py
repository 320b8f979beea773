"""Does the secret keep its promises over HTTP, on a Secrets Manager that keeps the service's rules?"""

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event
from typing import Any

import boto3
import pytest
from botocore.config import Config

import rotation.aws
import rotation.deadline
from rotation.admin import Admins
from rotation.deadline import RESERVED_SECONDS, Deadline
from rotation.errors import InvalidSecret, NotRotatable, OutOfTime, ServiceFailed
from rotation.kind import Strategy
from rotation.redaction import MASK, Redactor
from rotation.secret import MOST_VERSIONS_READ, SecretUnderRotation
from rotation.staging import PAUSES
from rotation.steps import STEPS, Rotation, Step
from tests.fakes import KIND, FakeDatabase, reading
from tests.laboratories import ORDERS, deadline
from tests.local.aws.secrets_manager import LocalSecretsManager, ServiceError
from tests.service.scenario import VALUE, Scenario
from tests.unit.scenario import ALTERNATING, SINGLE, Clock

pytestmark = pytest.mark.usefixtures("clock")


@pytest.fixture
def scenario(service: LocalSecretsManager) -> Scenario:
    """A secret with an empty version to be made."""
    return Scenario(service).begin()


def refuse(code: str, status: int = 400) -> Callable[[], object]:
    """Return what has the service refuse a call."""

    def act() -> None:
        raise ServiceError(code, "said the service.", status)

    return act


# Reading


def test_a_pending_version_is_staged(scenario: Scenario) -> None:
    assert scenario.secret().is_staged()
    assert scenario.operations() == ["DescribeSecret"]


def test_a_current_version_is_not_staged_any_more(scenario: Scenario) -> None:
    secret = scenario.secret()
    assert secret.stage(scenario.successor())
    assert secret.promote()
    assert not secret.is_staged()


def test_an_abandoned_version_is_not_rotatable(scenario: Scenario) -> None:
    scenario.move("AWSPENDING", scenario.token, None)
    for call_aws in [scenario.secret().is_staged, scenario.secret().pending, scenario.secret().promote]:
        with pytest.raises(NotRotatable, match="abandoned, or it never began"):
            call_aws()


def test_a_version_that_was_abandoned_with_its_value_is_not_rotatable(scenario: Scenario) -> None:
    scenario.secret().stage(scenario.successor())
    scenario.move("AWSPENDING", scenario.token, None)
    for call_aws in [scenario.secret().is_staged, scenario.secret().pending, scenario.secret().promote]:
        with pytest.raises(NotRotatable):
            call_aws()


def test_a_secret_without_rotation_is_not_rotatable(service: LocalSecretsManager) -> None:
    scenario = Scenario(service)
    with pytest.raises(NotRotatable, match="rotation is not enabled"):
        scenario.secret().is_staged()


def test_a_cancelled_rotation_stages_nothing(scenario: Scenario) -> None:
    scenario.client.cancel_rotate_secret(SecretId=scenario.arn)
    with pytest.raises(NotRotatable, match="rotation is not enabled"):
        scenario.secret().is_staged()


def test_the_current_value_is_read_by_its_id_and_its_password_is_learned(scenario: Scenario) -> None:
    secret = scenario.secret()
    assert secret.is_staged()
    assert dict(secret.current().fields) == VALUE
    assert scenario.operations() == ["DescribeSecret", "GetSecretValue"]
    assert scenario.service.calls[-1].parameters["VersionId"] == scenario.first
    assert scenario.redactor("password-0") == MASK


def test_an_empty_version_has_no_value(scenario: Scenario) -> None:
    assert scenario.secret().pending() is None


def test_a_version_that_was_written_is_read_with_one_call_and_its_password_is_learned(scenario: Scenario) -> None:
    scenario.secret().stage(scenario.successor())
    scenario.redactor = Redactor()
    scenario.service.calls.clear()
    assert scenario.secret().pending() == scenario.successor()
    assert scenario.operations() == ["GetSecretValue"]
    assert scenario.redactor("password-1") == MASK


def test_the_value_of_a_version_that_is_current_already_is_read(scenario: Scenario) -> None:
    scenario.secret().stage(scenario.successor())
    scenario.secret().promote()
    assert scenario.secret().pending() == scenario.secret().current() == scenario.successor()


def test_binary_data_is_no_credential(scenario: Scenario) -> None:
    scenario.client.put_secret_value(SecretId=scenario.arn, SecretBinary=b"binary")
    with pytest.raises(InvalidSecret, match="binary"):
        scenario.begin().secret().current()


def test_a_value_that_cannot_be_read_is_refused_and_the_secret_is_named(scenario: Scenario) -> None:
    scenario.put("no JSON")
    with pytest.raises(InvalidSecret, match=scenario.arn):
        scenario.begin().secret().current()


# Writing


def test_staging_writes_the_value_once_and_leaves_the_label_where_it_is(scenario: Scenario) -> None:
    assert scenario.secret().stage(scenario.successor())
    assert scenario.operations() == ["PutSecretValue"]
    assert scenario.labels() == {"AWSCURRENT": scenario.first, "AWSPENDING": scenario.token}


def test_staging_another_value_changes_nothing(scenario: Scenario) -> None:
    assert scenario.secret().stage(scenario.successor("password-1"))
    assert not scenario.secret().stage(scenario.successor("password-2"))
    assert scenario.secret().pending() == scenario.successor("password-1")


def test_a_password_is_learned_before_it_is_sent(scenario: Scenario) -> None:
    said: list[str] = []
    scenario.before("PutSecretValue", lambda: said.append(scenario.redactor("password-1")))
    scenario.secret().stage(scenario.successor())
    assert said == [MASK]


def test_of_two_create_secrets_at_once_one_writes_and_both_see_the_same(scenario: Scenario) -> None:
    together = Barrier(2, timeout=10)
    scenario.before("PutSecretValue", together.wait, times=2)
    secrets = [scenario.secret(), scenario.secret()]
    with ThreadPoolExecutor(2) as pool:
        wrote = list(pool.map(lambda n: secrets[n].stage(scenario.successor(f"password-{n}")), range(2)))
    assert sorted(wrote) == [False, True]
    assert secrets[0].pending() == secrets[1].pending() == scenario.successor(f"password-{wrote.index(True)}")


# Moving AWSCURRENT


def test_promoting_moves_current_and_previous_follows(scenario: Scenario) -> None:
    scenario.secret().stage(scenario.successor())
    scenario.service.calls.clear()
    assert scenario.secret().promote()
    assert scenario.operations() == ["DescribeSecret", "UpdateSecretVersionStage"]
    assert scenario.labels() == {
        "AWSCURRENT": scenario.token,
        "AWSPENDING": scenario.token,
        "AWSPREVIOUS": scenario.first,
    }


def test_promoting_twice_changes_nothing(scenario: Scenario) -> None:
    scenario.secret().stage(scenario.successor())
    scenario.secret().promote()
    labels = scenario.labels()
    assert not scenario.secret().promote()
    assert scenario.labels() == labels


def test_of_two_finish_secrets_at_once_one_moves_the_label_and_both_end_well(scenario: Scenario) -> None:
    scenario.secret().stage(scenario.successor())
    scenario.before("UpdateSecretVersionStage", lambda: scenario.move("AWSCURRENT", scenario.first, scenario.token))
    assert not scenario.secret().promote()
    assert scenario.labels()["AWSPREVIOUS"] == scenario.first


def test_a_label_that_somebody_moves_meanwhile_is_looked_for_again(scenario: Scenario) -> None:
    other = scenario.put(json.dumps(VALUE), "SPARE")
    scenario.secret().stage(scenario.successor())
    scenario.before("UpdateSecretVersionStage", lambda: scenario.move("AWSCURRENT", scenario.first, other))
    assert scenario.secret().promote()
    assert scenario.labels()["AWSCURRENT"] == scenario.token
    assert scenario.labels()["AWSPREVIOUS"] == other


def test_a_label_that_is_moved_each_time_ends_in_an_error(scenario: Scenario) -> None:
    other = scenario.put(json.dumps(VALUE), "SPARE")
    scenario.secret().stage(scenario.successor())

    def move() -> None:
        here = scenario.labels()["AWSCURRENT"]
        scenario.move("AWSCURRENT", here, other if here == scenario.first else scenario.first)

    # Each try of ours is followed by the other's own call: the first, the third and so on are ours.
    tries = len(PAUSES) + 1
    ours = iter([True, False] * tries)
    scenario.before("UpdateSecretVersionStage", lambda: move() if next(ours) else None, times=2 * tries)
    with pytest.raises(ServiceFailed, match="UpdateSecretVersionStage answered InvalidParameterException"):
        scenario.secret().promote()
    assert scenario.labels()["AWSPENDING"] == scenario.token


def test_a_value_that_somebody_puts_meanwhile_abandons_the_rotation(scenario: Scenario) -> None:
    scenario.secret().stage(scenario.successor())
    scenario.before("UpdateSecretVersionStage", lambda: scenario.put(json.dumps({**VALUE, "password": "by-hand"})))
    with pytest.raises(NotRotatable, match="abandoned"):
        scenario.secret().promote()
    assert scenario.begin().secret().current().credential.password == "by-hand"


# Earlier versions


def passwords(secret: SecretUnderRotation) -> list[str]:
    """Return the passwords of the earlier versions."""
    return [value.credential.password for value in secret.earlier()]


def put_passwords(scenario: Scenario, count: int, *labels: str) -> None:
    """Write so many versions, one after the other, as an operator."""
    for number in range(1, count + 1):
        scenario.put(json.dumps({**VALUE, "password": f"old-{number}"}), *labels)


def test_earlier_versions_are_the_previous_one_and_then_the_newest(scenario: Scenario) -> None:
    put_passwords(scenario, 3)
    scenario.begin().secret().stage(scenario.successor())
    assert passwords(scenario.secret()) == ["old-2", "old-1", "password-0"]


def test_the_previous_version_comes_first_also_if_it_is_older(scenario: Scenario) -> None:
    old = scenario.first
    put_passwords(scenario, 3)
    current = scenario.labels()["AWSCURRENT"]
    scenario.move("AWSCURRENT", current, old)
    scenario.move("AWSCURRENT", old, current)
    assert passwords(scenario.begin().secret()) == ["password-0", "old-2", "old-1"]


def test_what_abandoned_rotations_have_left_is_newer_than_the_current_version(scenario: Scenario) -> None:
    put_passwords(scenario, 1)
    for password in ("abandoned-1", "abandoned-2"):
        scenario.begin().secret().stage(scenario.successor(password))
        scenario.move("AWSPENDING", scenario.token, None)
    secret = scenario.begin().secret()
    secret.stage(scenario.successor("pending"))
    assert [value.credential.password for value in secret.newer()] == ["abandoned-2", "abandoned-1"]
    assert passwords(secret) == ["password-0"]


def test_after_a_way_back_to_an_older_version_the_former_one_is_newer(scenario: Scenario) -> None:
    put_passwords(scenario, 2)
    scenario.move("AWSCURRENT", scenario.labels()["AWSCURRENT"], scenario.first)
    secret = scenario.begin().secret()
    assert [value.credential.password for value in secret.newer()] == ["old-2", "old-1"]
    assert passwords(secret) == []


def test_versions_that_cannot_be_read_are_passed_over(scenario: Scenario) -> None:
    put_passwords(scenario, 1)
    scenario.put("no JSON")
    scenario.put(json.dumps({**VALUE, "engine": "oracle"}))
    scenario.client.put_secret_value(SecretId=scenario.arn, SecretBinary=b"binary")
    put_passwords(scenario, 1)
    scenario.begin()
    scenario.move("AWSPENDING", scenario.token, None)
    assert passwords(scenario.begin().secret()) == ["old-1", "password-0"]


def test_only_a_few_earlier_versions_are_read_and_only_as_far_as_somebody_asks(scenario: Scenario) -> None:
    put_passwords(scenario, MOST_VERSIONS_READ + 3)
    scenario.begin()
    assert len(passwords(scenario.secret())) == MOST_VERSIONS_READ
    scenario.service.calls.clear()
    next(scenario.secret().earlier())
    assert scenario.operations() == ["ListSecretVersionIds", "GetSecretValue"]


def test_all_pages_of_versions_are_looked_at(scenario: Scenario) -> None:
    put_passwords(scenario, 100)
    scenario.begin()
    assert passwords(scenario.secret())[0] == "old-99"
    assert scenario.operations()[:2] == ["ListSecretVersionIds"] * 2


# Answers that say no, and no answer

CALLS: dict[str, Callable[[SecretUnderRotation, Scenario], object]] = {
    "DescribeSecret": lambda secret, _: secret.is_staged(),
    "GetSecretValue": lambda secret, _: secret.current(),
    "PutSecretValue": lambda secret, scenario: secret.stage(scenario.successor()),
    "UpdateSecretVersionStage": lambda secret, _: secret.promote(),
    "ListSecretVersionIds": lambda secret, _: list(secret.earlier()),
}


@pytest.mark.parametrize("operation", CALLS)
@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (
            "AccessDeniedException",
            "Allow secretsmanager:{operation} to the function's role, or to the role that it assumed",
        ),
        ("DecryptionFailure", "kms:Decrypt"),
        ("EncryptionFailure", "kms:GenerateDataKey"),
        ("SomethingNew", "Correct the cause and rotate again"),
    ],
)
def test_a_refused_call_names_the_permission_and_the_remedy(
    scenario: Scenario, operation: str, code: str, remedy: str
) -> None:
    scenario.before(operation, refuse(code), times=9)
    with pytest.raises(ServiceFailed) as caught:
        CALLS[operation](scenario.secret(), scenario)
    assert scenario.operations().count(operation) == 1
    assert scenario.arn in caught.value.operation
    assert caught.value.cause == f"secretsmanager:{operation} answered {code}: said the service"
    assert remedy.format(operation=operation) in caught.value.remedy
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def cut() -> None:
    """Cut the connection."""
    raise ConnectionError


PASSING = {
    "throttled": refuse("ThrottlingException"),
    "throttled in older words": refuse("Throttling"),
    "a problem of its own": refuse("InternalServiceError", 500),
    "unavailable": refuse("SomethingNew", 503),
    "too many requests": refuse("SomethingNew", 429),
    "reset": cut,
}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The shortest timeout that we promise something for; time passes only if somebody waits for it."""
    clock = Clock(left=10)
    monkeypatch.setattr(rotation.deadline, "time", clock)
    return clock


@pytest.mark.parametrize("operation", CALLS)
@pytest.mark.parametrize("failure", PASSING)
def test_ten_failures_in_a_row_that_pass_are_recovered_from(
    scenario: Scenario, clock: Clock, operation: str, failure: str
) -> None:
    scenario.before(operation, PASSING[failure], times=10)
    CALLS[operation](scenario.secret(until=Deadline(clock.seconds_left)), scenario)
    assert scenario.operations().count(operation) == 11
    assert len(clock.waits) == 10
    assert clock.left >= RESERVED_SECONDS


@pytest.mark.parametrize("operation", ["PutSecretValue", "UpdateSecretVersionStage"])
@pytest.mark.parametrize("failure", PASSING)
def test_a_write_that_took_effect_and_was_not_answered_is_not_done_twice(
    scenario: Scenario, clock: Clock, operation: str, failure: str
) -> None:
    scenario.before(operation, PASSING[failure], times=10, phase="after")
    secret = scenario.secret(until=Deadline(clock.seconds_left))
    secret.stage(scenario.successor())
    secret.promote()
    assert scenario.labels() == {
        "AWSCURRENT": scenario.token,
        "AWSPENDING": scenario.token,
        "AWSPREVIOUS": scenario.first,
    }
    assert secret.current() == scenario.successor()


@pytest.mark.parametrize("operation", CALLS)
@pytest.mark.parametrize("failure", PASSING)
def test_a_failure_that_does_not_pass_ends_the_call_in_time_and_says_how_often_it_was_made(
    scenario: Scenario, clock: Clock, operation: str, failure: str
) -> None:
    scenario.before(operation, PASSING[failure], times=99)
    with pytest.raises(ServiceFailed, match=rf"secretsmanager:{operation} .* \((\d+) times\)") as caught:
        CALLS[operation](scenario.secret(until=Deadline(clock.seconds_left)), scenario)
    assert f"({scenario.operations().count(operation)} times)" in caught.value.cause
    assert "tried again by itself" in caught.value.remedy
    assert clock.left >= RESERVED_SECONDS


def test_without_time_a_call_is_not_begun(scenario: Scenario, clock: Clock) -> None:
    clock.left = RESERVED_SECONDS
    for operation, call in CALLS.items():
        with pytest.raises(OutOfTime):
            call(scenario.secret(until=Deadline(clock.seconds_left)), scenario)
        assert operation not in scenario.operations()


def test_answers_that_do_not_come_are_asked_for_again(
    scenario: Scenario, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation.aws, "TRY_SECONDS", 0.05)
    forever = Event()
    scenario.before("PutSecretValue", forever.wait, times=10)
    try:
        assert scenario.secret(until=Deadline(clock.seconds_left)).stage(scenario.successor())
    finally:
        forever.set()
    assert scenario.operations().count("PutSecretValue") == 11
    assert scenario.secret().pending() == scenario.successor()


def test_without_an_endpoint_the_error_asks_for_a_way_to_the_service(closed_endpoint: str, clock: Clock) -> None:
    once = Config(retries={"total_max_attempts": 1}, proxies={})
    client = boto3.client(
        "secretsmanager",
        region_name="us-east-1",
        endpoint_url=closed_endpoint,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=once,
    )
    secret = SecretUnderRotation(client, "arn:secret", "t" * 32, KIND, Redactor(), Deadline(clock.seconds_left))
    with pytest.raises(ServiceFailed, match="a route to secretsmanager: a VPC endpoint") as caught:
        secret.current()
    assert "EndpointConnectionError" in caught.value.cause


def test_without_credentials_the_error_asks_for_them(
    monkeypatch: pytest.MonkeyPatch, service: LocalSecretsManager
) -> None:
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    session = boto3.Session(region_name="us-east-1")
    client = session.client("secretsmanager", endpoint_url=service.endpoint_url)
    secret = SecretUnderRotation(client, "arn:secret", "t" * 32, KIND, Redactor(), deadline())
    with pytest.raises(ServiceFailed, match="AWS credentials"):
        secret.current()


def test_a_secret_that_is_not_there_is_not_taken_for_an_empty_version(service: LocalSecretsManager) -> None:
    secret = SecretUnderRotation(service.client(), "gone", "t" * 32, KIND, Redactor(), deadline())
    for call_aws in [secret.current, secret.pending, secret.is_staged]:
        with pytest.raises(ServiceFailed, match="ResourceNotFoundException"):
            call_aws()


def test_no_password_is_in_the_error_of_a_refused_write(scenario: Scenario) -> None:
    scenario.before("PutSecretValue", refuse("ValidationException"))
    with pytest.raises(ServiceFailed) as caught:
        scenario.secret().stage(scenario.successor("the-password"))
    assert "the-password" not in repr(caught.value)


# Whole rotations


def rotate(
    service: LocalSecretsManager, strategy: Strategy, watch: Callable[[str, dict[str, Any]], None]
) -> list[list[str]]:
    """Rotate twice as the service does, the fake database being rotated; return the function's calls of each time."""
    database = FakeDatabase()
    admin = database.new_user("admin", "admin-password", is_admin=True)
    database.new_user("app", "password-0", reading(ORDERS))
    fields = (
        {"masterarn": Scenario(service, username="admin", password=admin.password).arn}
        if strategy is ALTERNATING
        else {}
    )
    scenario = Scenario(service, **fields)
    client = service.client()
    client.meta.events.register(
        "before-call.secretsmanager", lambda model, params, **_: watch(model.name, json.loads(params["body"]))
    )

    def function(event: dict[str, object]) -> None:
        arn, token = str(event["SecretId"]), str(event["ClientRequestToken"])
        rotation = Rotation(
            secret=SecretUnderRotation(client, arn, token, KIND, Redactor(), deadline(), str(event["RotationToken"])),
            engine=database,
            deadline=deadline(),
            admin=Admins(client, lambda _: service.rds(), KIND, Redactor(), deadline()).find,
            new_password=lambda *_: f"made for {token}",
            annotate=lambda _: None,
        )
        STEPS[Step(str(event["Step"]))](rotation)

    arn = service.register("fake", function)
    calls = []
    for token in ("m" * 32, "n" * 32):
        service.calls.clear()
        scenario.client.rotate_secret(SecretId=scenario.arn, RotationLambdaARN=arn, ClientRequestToken=token)
        outcome = service.wait(scenario.arn)
        assert (outcome.result, outcome.error) == ("succeeded", None)
        calls.append([operation for operation in scenario.operations() if operation != "RotateSecret"])
    return calls


READ, WRITE = "GetSecretValue", "PutSecretValue"
DESCRIBE, MOVE = "DescribeSecret", "UpdateSecretVersionStage"


def test_a_healthy_rotation_of_a_single_user_makes_nine_calls(service: LocalSecretsManager) -> None:
    for calls in rotate(service, SINGLE, lambda *_: None):
        assert calls == [DESCRIBE, READ, WRITE, READ, DESCRIBE, READ, READ, DESCRIBE, MOVE]


def test_a_healthy_rotation_of_alternating_users_makes_ten_calls(service: LocalSecretsManager) -> None:
    first, later = rotate(service, ALTERNATING, lambda *_: None)
    assert later == [DESCRIBE, READ, WRITE, READ, DESCRIBE, READ, READ, READ, DESCRIBE, MOVE]
    assert first == [
        DESCRIBE,
        READ,
        WRITE,
        READ,
        DESCRIBE,
        READ,
        READ,
        MOVE,
        DESCRIBE,
        MOVE,
        MOVE,
        READ,
        DESCRIBE,
        MOVE,
    ]


def test_the_rotation_token_is_passed_on_only_when_the_value_is_written(
    service: LocalSecretsManager,
) -> None:
    with_token: list[str] = []

    def watch(operation: str, parameters: dict[str, Any]) -> None:
        if "RotationToken" in parameters:
            with_token.append(operation)

    rotate(service, SINGLE, watch)
    assert with_token == [WRITE, WRITE]
