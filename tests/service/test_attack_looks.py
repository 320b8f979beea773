"""Does somebody who means harm, or a service that fails, get a wrong answer of a preflight or a doctor, or none?"""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from operations import doctor, functions, preflight
from rotation.errors import InvalidEvent, RotationError, ServiceFailed
from rotation.lambda_handler import rotation_handler
from tests.fakes import verifier
from tests.local.aws.secrets_manager import Call, LocalSecretsManager, Phase
from tests.local.aws.secrets_manager_rules import ServiceError
from tests.service.test_doctor import NEW, PASSWORD, World
from tests.service.test_preflight import InvokedContext

pytestmark = pytest.mark.usefixtures("_connected")


@pytest.fixture
def world(service: LocalSecretsManager) -> World:
    """A secret that no function rotates yet."""
    return World(service)


def look(world: World, step: str, **fields: object) -> Any:  # noqa: ANN401 - what Lambda returns
    """Ask for a look."""
    handler = rotation_handler(world.database)
    return handler({"Step": step, "SecretId": world.arn, **fields}, InvokedContext(invoked_function_arn=world.function))  # type: ignore[arg-type]


@pytest.mark.parametrize("step", [["doctor"], {"doctor": 1}, None, 1, "", "Doctor", "preflight "], ids=str)
def test_a_step_of_another_type_is_an_invalid_event(world: World, step: object) -> None:
    with pytest.raises(InvalidEvent):
        rotation_handler(world.database)({"Step": step, "SecretId": world.arn}, InvokedContext())  # type: ignore[arg-type]


@pytest.mark.parametrize("code", ["AccessDeniedException", "InvalidRequestException", "DecryptionFailure"])
@pytest.mark.parametrize("operation", ["DescribeSecret", "GetSecretValue", "ListSecretVersionIds"])
@pytest.mark.parametrize("step", ["preflight", "doctor"])
def test_each_refused_call(world: World, step: str, operation: str, code: str, clock: Any) -> None:
    world.begin(world.text(NEW))

    def refuse(call: Call, when: Phase) -> None:
        if call.operation == operation and when == "before":
            raise ServiceError(code, "no")

    world.service.intercept = refuse
    try:
        answer = look(world, step)
    except RotationError as error:
        print("RAISED", type(error), error)
        assert type(error) is ServiceFailed
    else:
        print(json.dumps(answer, indent=1)[:1500])


def test_an_old_version_that_cannot_be_read_does_not_end_it(world: World, clock: Any) -> None:
    pending = world.locked_out()
    world.client.update_secret_version_stage(SecretId=world.arn, VersionStage="AWSPENDING", RemoveFromVersionId=pending)
    token = world.begin(world.text("another"))

    def refuse(call: Call, when: Phase) -> None:
        if call.operation == "GetSecretValue" and when == "before" and call.parameters.get("VersionId") == pending:
            raise ServiceError("AccessDeniedException", "Access to KMS is not allowed")

    world.service.intercept = refuse
    answer = look(world, "doctor")
    assert answer["State"] == "none logs in"


def test_no_current_with_a_pending_version_rotates_after_the_repairs(world: World) -> None:
    world.begin(world.text(NEW))
    world.client.put_secret_value(SecretId=world.arn, SecretString="no JSON")
    answer = world.ask()
    assert answer["State"] == "no current login"
    for one in answer["Repairs"]:
        world.run(one["Command"].replace("file://secret.json", "'" + world.text(PASSWORD) + "'"))
    world.rotate()
    assert world.application_logs_in()
    assert world.labels()["AWSCURRENT"] == world.labels().get("AWSPENDING", world.labels()["AWSCURRENT"])


def test_the_schedule_that_there_was(world: World) -> None:
    rules = {"ScheduleExpression": "cron(0 3,15 ? * SUN *)", "Duration": "3h"}
    world.client.rotate_secret(SecretId=world.arn, RotationLambdaARN=world.function, RotateImmediately=False, RotationRules=rules)
    world.service.wait(world.arn)
    world.client.cancel_rotate_secret(SecretId=world.arn)
    answer = look(world, "doctor")
    print(answer["Repairs"])
    assert json.dumps(rules) in answer["Repairs"][-1]["Command"]


def test_what_the_owner_keeps_in_the_secret_does_not_mask_a_command(world: World) -> None:
    world.client.put_secret_value(SecretId=world.arn, SecretString=world.text(PASSWORD, stage="AWSPENDING", dbInstanceIdentifier="orders", note="AWSCURRENT"))
    world.begin(world.text("no" + PASSWORD))
    answer = world.ask()
    print(json.dumps(answer, indent=1))
    assert "***" not in answer["Repairs"][0]["Command"]


def test_a_defect_of_one_look_is_said_and_the_others_go_on(world: World) -> None:
    world.begin()
    def defect(what: str) -> None:
        if what.startswith("log in"):
            raise ValueError(PASSWORD)
    world.database.before = defect
    answer = look(world, "preflight")
    assert answer["Outcome"] == "fail"
    answer = look(world, "doctor")
    assert answer["State"] == "not known"
    assert PASSWORD not in json.dumps(answer)


def test_an_admin_that_is_the_user_fails(world: World) -> None:
    world.database.new_user("app", PASSWORD, is_admin=True) if False else None
    world.database.users["app"].is_admin = True
    admin = world.client.create_secret(Name="admin-" + uuid.uuid4().hex, SecretString=world.text(PASSWORD))["ARN"]
    world.client.put_secret_value(SecretId=world.arn, SecretString=world.text(PASSWORD, masterarn=admin))
    world.begin()
    answer = look(world, "preflight")
    print(json.dumps(answer, indent=1))
    assert answer["Outcome"] == "fail"


def test_a_secret_that_is_too_large_for_its_successor(world: World) -> None:
    text = world.text(PASSWORD, filler="")
    filler = "x" * (65536 - len(text))
    world.client.put_secret_value(SecretId=world.arn, SecretString=world.text(PASSWORD, filler=filler))
    world.begin()
    answer = look(world, "preflight")
    print([one for one in answer["Findings"] if one["Outcome"] != "pass"])
    assert answer["Outcome"] == "fail"
