"""Does somebody who means harm, or a service that fails, get a wrong answer of a preflight or a doctor, or none?"""

import json
import secrets
import shlex

import pytest

from operations import functions
from rotation.credential import LARGEST_SECRET
from rotation.errors import InvalidEvent, ServiceFailed
from rotation.lambda_handler import rotation_handler
from tests.local.aws.secrets_manager import Call, LocalSecretsManager, Phase
from tests.local.aws.secrets_manager_versions import ServiceError
from tests.service.test_doctor import NEW, PASSWORD, World
from tests.service.test_preflight import InvokedContext
from tests.unit.scenario import Clock

pytestmark = pytest.mark.usefixtures("_connected")

REFUSALS = ["AccessDeniedException", "InvalidRequestException", "DecryptionFailure"]


@pytest.fixture
def world(service: LocalSecretsManager) -> World:
    """A secret that no function rotates yet."""
    return World(service)


def look(world: World, step: object, **fields: object) -> functions.Answer:
    """Ask for a look."""
    context = InvokedContext(invoked_function_arn=world.function)
    answer = rotation_handler(world.database)({"Step": step, "SecretId": world.arn, **fields}, context)  # type: ignore[arg-type]
    assert answer
    return answer


def refuse(world: World, operation: str, code: str, version: str | None = None) -> None:
    """Let the service refuse an operation, about all versions or about one."""

    def intercept(call: Call, when: Phase) -> None:
        is_meant = version in (None, call.parameters.get("VersionId"))
        if call.operation == operation and when == "before" and is_meant:
            raise ServiceError(code, "not now")

    world.service.intercept = intercept


def current(world: World) -> str:
    """Return the text of AWSCURRENT."""
    text: str = world.client.get_secret_value(SecretId=world.arn)["SecretString"]
    return text


@pytest.mark.parametrize("step", [["doctor"], {"doctor": 1}, None, 1, "", "Doctor", "preflight "], ids=str)
def test_a_step_of_another_type_is_an_invalid_event(world: World, step: object) -> None:
    with pytest.raises(InvalidEvent):
        look(world, step)


@pytest.mark.parametrize("code", REFUSALS)
@pytest.mark.parametrize("operation", ["DescribeSecret", "GetSecretValue", "ListSecretVersionIds"])
def test_whatever_call_is_refused_a_doctor_says_which(world: World, operation: str, code: str) -> None:
    world.begin(world.text(NEW))
    refuse(world, operation, code)
    with pytest.raises(ServiceFailed, match=f"secretsmanager:{operation} answered {code}"):
        look(world, "doctor")
    assert world.database.tried == []


@pytest.mark.parametrize("code", REFUSALS)
@pytest.mark.parametrize("operation", ["DescribeSecret", "GetSecretValue"])
def test_whatever_call_is_refused_a_preflight_goes_on(world: World, operation: str, code: str) -> None:
    world.begin()
    refuse(world, operation, code)
    answer = look(world, "preflight")
    assert answer["Outcome"] == "fail"
    [found] = [one for one in answer["Findings"] if one["Outcome"] == "fail"]
    assert f"secretsmanager:{operation} answered {code}" in found["Found"]
    assert found["Remedy"]


def test_an_old_version_whose_key_is_gone_does_not_keep_the_others_from_being_looked_at(world: World) -> None:
    pending = world.locked_out()
    world.client.update_secret_version_stage(SecretId=world.arn, VersionStage="AWSPENDING", RemoveFromVersionId=pending)
    world.begin(world.text("another"))
    refuse(world, "GetSecretValue", "AccessDeniedException", pending)
    answer = look(world, "doctor")
    assert answer["State"] == "none logs in"
    [old] = [one for one in answer["Versions"] if one["Id"] == pending]
    assert "AccessDeniedException" in old["Problem"]


def test_after_the_repairs_of_a_secret_without_a_login_it_rotates(world: World) -> None:
    pending = world.begin(world.text(NEW, host="elsewhere.test"))
    text = current(world)
    world.client.put_secret_value(SecretId=world.arn, SecretString="no JSON")
    answer = world.ask()
    assert answer["State"] == "no current login"
    for one in answer["Repairs"]:
        world.run(one["Command"].replace("file://secret.json", shlex.quote(text)))
    assert pending not in world.labels().values()
    world.rotate()
    assert world.application_logs_in()


RULES = [
    {"ScheduleExpression": "cron(0 3,15 ? * SUN *)", "Duration": "3h"},
    {"ScheduleExpression": "rate(7 days)"},
    {"AutomaticallyAfterDays": 7, "Duration": "3h"},
]


@pytest.mark.parametrize("rules", RULES, ids=str)
def test_rotation_is_turned_on_again_with_the_schedule_and_the_window_that_there_were(
    world: World, rules: dict[str, object]
) -> None:
    world.client.rotate_secret(
        SecretId=world.arn,
        RotationLambdaARN=world.function,
        RotateImmediately=False,
        RotationRules=rules,  # type: ignore[arg-type]
    )
    world.service.wait(world.arn)
    world.client.cancel_rotate_secret(SecretId=world.arn)
    [repair] = look(world, "doctor")["Repairs"]
    options = shlex.split(repair["Command"])
    assert json.loads(options[options.index("--rotation-rules") + 1]) == rules


@pytest.mark.parametrize(
    "owners", [{"stage": "AWSPENDING", "of": "AWSCURRENT"}, {"call": "update-secret-version-stage"}], ids=str
)
def test_what_the_owner_keeps_in_the_secret_is_not_missing_in_a_command(
    world: World, owners: dict[str, object]
) -> None:
    world.client.put_secret_value(SecretId=world.arn, SecretString=world.text(PASSWORD, **owners))
    world.begin(world.text(NEW))
    for repair in world.ask()["Repairs"]:
        assert "***" not in repair["Command"]


def test_a_statement_that_is_not_shown_as_it_is_says_so(world: World) -> None:
    world.client.put_secret_value(SecretId=world.arn, SecretString=world.text(PASSWORD, owner="app two  blanks"))
    world.begin()
    world.database.users["app  with  blanks"] = world.database.users["app"]
    text = world.text("another", username="app  with  blanks")
    world.client.put_secret_value(SecretId=world.arn, SecretString=text)
    [statement] = [one for one in look(world, "doctor")["Repairs"] if "ALTER USER" in one["Command"]]
    assert "cannot be shown as it is" in statement["Does"]


def test_a_defect_of_one_look_is_said_and_holds_no_password(world: World) -> None:
    world.begin()

    def defect(what: str) -> None:
        if what.startswith("log in"):
            raise ValueError(PASSWORD)

    world.database.before = defect
    answer = look(world, "preflight")
    assert [one["Item"] for one in answer["Findings"] if one["Outcome"] == "fail"] == ["login"]
    examined = look(world, "doctor")
    assert examined["State"] == "not known"
    assert PASSWORD not in json.dumps([answer, examined])


def test_a_user_that_is_its_own_admin_fails(world: World) -> None:
    world.database.new_user("boss", PASSWORD, is_admin=True)
    text = world.text(PASSWORD, username="boss")
    admin = world.client.create_secret(Name=f"admin-{secrets.token_hex(4)}", SecretString=text)["ARN"]
    text = world.text(PASSWORD, username="boss", masterarn=admin)
    world.client.put_secret_value(SecretId=world.arn, SecretString=text)
    world.begin()
    [found] = [one for one in look(world, "preflight")["Findings"] if one["Outcome"] == "fail"]
    assert found["Item"] == "admin secret"
    assert "boss is the admin itself" in found["Found"]


def test_a_secret_that_has_no_room_for_another_password_fails(world: World) -> None:
    room = LARGEST_SECRET - len(world.text(PASSWORD, filler=""))
    world.client.put_secret_value(SecretId=world.arn, SecretString=world.text(PASSWORD, filler="x" * room))
    world.begin()
    [found] = [one for one in look(world, "preflight")["Findings"] if one["Outcome"] == "fail"]
    assert found["Item"] == "new password"


def test_a_passing_failure_of_the_service_changes_no_answer(world: World, clock: Clock) -> None:
    world.begin(world.text(NEW))
    expected = {key: value for key, value in look(world, "doctor").items() if key != "Versions"}
    seen: set[str] = set()

    def throttle(call: Call, when: Phase) -> None:
        if when == "before" and call.operation not in seen:
            seen.add(call.operation)
            raise ServiceError("ThrottlingException", "Rate exceeded")

    world.service.intercept = throttle
    answer = look(world, "doctor")
    assert {key: value for key, value in answer.items() if key != "Versions"} == expected
    assert len(clock.waits) == len(seen) == 3
