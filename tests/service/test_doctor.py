"""What does a doctor read and write in Secrets Manager, and what does `make doctor` show?"""

import contextlib
import io
import itertools
import json
import secrets
import shlex
import uuid
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from operations import doctor, functions
from operations.calls import Stopped
from rotation.errors import ServiceFailed
from rotation.lambda_handler import rotation_handler
from tests.clients import forget_clients
from tests.fakes import PRIMARY, FakeDatabase, reading, verifier
from tests.laboratories import ORDERS
from tests.local.aws import template
from tests.local.aws.deployed import Stack
from tests.local.aws.secrets_manager import REGION, Call, LocalSecretsManager, Phase
from tests.service.test_preflight import InvokedContext

pytestmark = pytest.mark.usefixtures("_connected")

PASSWORD, NEW = "Tq7-vR2m-9xLd", "hW4s-Zn8c-3kPb"
READS = {"DescribeSecret", "ListSecretVersionIds", "GetSecretValue"}


class World:
    """A database, a secret for it, and the function of its engine, which does no rotation unless it is told to."""

    def __init__(self, service: LocalSecretsManager) -> None:
        self.service, self.client = service, service.client()
        self.database = FakeDatabase()
        self.database.new_user("app", PASSWORD, reading(ORDERS))
        self.first = str(uuid.uuid4())
        self.arn = self.client.create_secret(
            Name=f"orders-{secrets.token_hex(4)}", ClientRequestToken=self.first, SecretString=self.text(PASSWORD)
        )["ARN"]
        self.is_up = False
        self.function = service.register("rotation-PostgreSql", self.invoked)
        self.lambda_client: Any = boto3.client("lambda", endpoint_url=service.endpoint_url, region_name=REGION)
        self._handler = rotation_handler(self.database)

    def text(self, password: str, **fields: object) -> str:
        """Return a version's text."""
        return json.dumps({"engine": "fake", "host": PRIMARY, "username": "app", "password": password, **fields})

    def invoked(self, event: dict[str, Any]) -> Any:  # noqa: ANN401 - what Lambda returns
        """Do what the function does."""
        if not self.is_up and event["Step"] != "doctor":
            raise RuntimeError("out of order")
        return self._handler(event, InvokedContext(invoked_function_arn=self.function))  # type: ignore[arg-type]

    def begin(self, text: str | None = None) -> str:
        """Begin a rotation that fails at once; write the pending version, if there is a text for it."""
        token = str(uuid.uuid4())
        self.client.rotate_secret(SecretId=self.arn, RotationLambdaARN=self.function, ClientRequestToken=token)
        self.service.wait(self.arn)
        if text:
            self.client.put_secret_value(
                SecretId=self.arn, ClientRequestToken=token, SecretString=text, VersionStages=["AWSPENDING"]
            )
        self.service.calls.clear()
        return token

    def locked_out(self) -> str:
        """Stop between setSecret and finishSecret; return the pending version."""
        token = self.begin(self.text(NEW))
        self.database.users["app"].verifiers = (verifier("app", NEW),)
        return token

    def ask(self, *, repair: bool = False) -> functions.Answer:
        """Ask the function that is attached."""
        return doctor.examine(self.lambda_client, self.client, self.arn, repair=repair)

    def labels(self) -> dict[str, str]:
        """Return which version has which label."""
        stages = self.client.describe_secret(SecretId=self.arn)["VersionIdsToStages"]
        return {label: version for version, labels in stages.items() for label in labels}

    def run(self, command: str) -> None:
        """Run a command of AWS's command line."""
        program, service, operation, *options = shlex.split(command)
        assert (program, service) == ("aws", "secretsmanager")
        said = dict(zip(options[::2], options[1::2], strict=True))
        named = {"".join(map(str.title, key[2:].split("-"))): value for key, value in said.items()}
        getattr(self.client, operation.replace("-", "_"))(**named)

    def rotate(self) -> None:
        """Rotate, with a function that works."""
        self.is_up = True
        self.client.rotate_secret(SecretId=self.arn)
        self.service.wait(self.arn)

    def application_logs_in(self) -> bool:
        """Tell whether AWSCURRENT logs in."""
        value = json.loads(self.client.get_secret_value(SecretId=self.arn)["SecretString"])
        return verifier("app", value["password"]) in self.database.users["app"].verifiers


@pytest.fixture
def world(service: LocalSecretsManager) -> World:
    """A secret that no function rotates yet."""
    return World(service)


@pytest.fixture
def allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the function repair."""
    monkeypatch.setenv("ALLOW_DOCTOR_REPAIR", "true")


def test_a_doctor_reads_and_writes_nothing_and_shows_no_password(world: World) -> None:
    pending = world.locked_out()
    answer = world.ask()
    assert {call.operation for call in world.service.calls} == READS
    assert (answer["Outcome"], answer["State"]) == ("fail", "locked out")
    assert answer["SecretId"] == world.arn
    text = json.dumps(answer)
    assert NEW not in text
    assert PASSWORD not in text
    assert {one["Id"]: (one["Labels"], one["HasValue"], one["Login"]) for one in answer["Versions"]} == {
        pending: (["AWSPENDING"], True, "logs in"),
        world.first: (["AWSCURRENT"], True, "is refused"),
    }
    assert {one["User"] for one in answer["Versions"]} == {
        "app at primary.test:5000 (the default port: the secret names none)"
    }
    assert all(one["Created"].endswith("+00:00") for one in answer["Versions"])


def test_its_command_lets_the_application_in_again_and_the_next_rotation_succeeds(world: World) -> None:
    pending = world.locked_out()
    [repair] = world.ask()["Repairs"]
    world.run(repair["Command"])
    assert world.labels()["AWSCURRENT"] == pending
    assert world.application_logs_in()
    world.rotate()
    assert world.labels()["AWSPREVIOUS"] == pending
    assert world.application_logs_in()


def test_a_version_without_any_label_is_found(world: World) -> None:
    pending = world.locked_out()
    world.client.update_secret_version_stage(SecretId=world.arn, VersionStage="AWSPENDING", RemoveFromVersionId=pending)
    answer = world.ask()
    assert answer["State"] == "abandoned"
    [repair] = answer["Repairs"]
    world.run(repair["Command"])
    assert world.application_logs_in()


def test_a_superseded_version_loses_its_label_and_the_next_rotation_succeeds(world: World) -> None:
    pending = world.begin("no JSON: " + NEW)
    answer = world.ask()
    assert answer["State"] == "superseded"
    assert NEW not in json.dumps(answer)
    [repair] = answer["Repairs"]
    world.run(repair["Command"])
    world.rotate()
    assert world.labels()["AWSCURRENT"] not in {world.first, pending}
    assert world.application_logs_in()


def test_a_rotation_that_stopped_before_the_database_is_given_up_for_a_new_one(world: World) -> None:
    pending = world.begin(world.text(NEW))
    answer = world.ask()
    assert (answer["Outcome"], answer["State"]) == ("warn", "not set")
    world.is_up = True
    for repair in answer["Repairs"]:
        world.run(repair["Command"])
    world.service.wait(world.arn)
    assert world.labels()["AWSCURRENT"] not in {world.first, pending}
    assert world.application_logs_in()


def test_a_reset_password_is_reset_again_and_put(world: World) -> None:
    world.begin()
    world.database.users["app"].verifiers = (verifier("app", "of somebody else"),)
    answer = world.ask()
    assert answer["State"] == "none logs in"
    free, statement, put = (one["Command"] for one in answer["Repairs"])
    assert statement == "ALTER USER app PASSWORD '***'"
    world.run(free)
    world.database.users["app"].verifiers = (verifier("app", NEW),)
    world.run(put.replace("file://secret.json", shlex.quote(world.text(NEW))))
    world.rotate()
    assert world.application_logs_in()


# Repair


def test_nothing_is_repaired_unless_the_operator_allows_it(world: World) -> None:
    world.locked_out()
    with pytest.raises(ServiceFailed, match="ALLOW_DOCTOR_REPAIR is not true"):
        world.ask(repair=True)
    assert {call.operation for call in world.service.calls if call.secret_id == world.arn} == {"DescribeSecret"}
    assert world.database.tried == []


@pytest.mark.usefixtures("allowed")
def test_no_repair_is_done_unless_it_is_asked_for(world: World) -> None:
    world.locked_out()
    assert "Done" not in world.ask()["Repairs"][0]
    assert {call.operation for call in world.service.calls} == READS


@pytest.mark.usefixtures("allowed")
def test_the_label_of_a_locked_out_application_is_moved(world: World) -> None:
    pending = world.locked_out()
    [repair] = world.ask(repair=True)["Repairs"]
    assert (repair["Safe"], repair["Done"]) == (True, True)
    assert world.labels()["AWSCURRENT"] == pending
    assert world.application_logs_in()
    assert world.ask()["Outcome"] == "pass"


@pytest.mark.usefixtures("allowed")
def test_what_only_a_person_can_decide_is_left(world: World) -> None:
    world.begin(world.text(NEW, username="boss"))
    world.database.users["app"].verifiers = (verifier("app", "of somebody else"),)
    before = world.labels()
    answer = world.ask(repair=True)
    assert [one.get("Done", False) for one in answer["Repairs"]] == [True, False, False]
    assert world.labels() == {label: version for label, version in before.items() if label != "AWSPENDING"}


@pytest.mark.usefixtures("allowed")
def test_a_label_that_somebody_moves_meanwhile_stays_where_it_is(world: World) -> None:
    pending = world.locked_out()
    third = str(uuid.uuid4())

    def put(call: Call, when: Phase) -> None:
        if call.operation == "UpdateSecretVersionStage" and when == "before":
            world.service.intercept = None
            world.client.put_secret_value(
                SecretId=world.arn, ClientRequestToken=third, SecretString=world.text("a third password")
            )

    world.service.intercept = put
    with pytest.raises(ServiceFailed, match="somebody has moved it"):
        world.ask(repair=True)
    assert world.labels()["AWSCURRENT"] == third
    assert pending not in world.labels().values()


@pytest.mark.usefixtures("allowed")
@pytest.mark.parametrize("ago", list(itertools.product(range(4), repeat=2)), ids=str)
def test_an_answer_that_is_too_old_breaks_nothing(world: World, ago: tuple[int, int]) -> None:
    how_old = dict(zip(("DescribeSecret", "GetSecretValue"), ago, strict=True))
    world.service.staleness = lambda call: how_old.get(call.operation, ago[0])
    pending = world.locked_out()
    world.client.update_secret_version_stage(
        SecretId=world.arn, VersionStage="AWSCURRENT", MoveToVersionId=pending, RemoveFromVersionId=world.first
    )
    with contextlib.suppress(ServiceFailed):
        doctor.examine(world.lambda_client, world.client, world.arn, world.function, repair=True)
    world.service.staleness = None
    assert world.labels()["AWSCURRENT"] == pending
    assert world.application_logs_in()


@pytest.fixture
def _in_role(service: LocalSecretsManager, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the handler have the role that the template gives the function."""
    stack = Stack.deploy(template.SOURCE, name="rotation", region=REGION, account_id=service.account_id)
    for name, value in service.acting_as(stack.role_of("PostgreSqlFunction")).items():
        monkeypatch.setenv(name, value)
    forget_clients()
    yield
    forget_clients()


@pytest.mark.usefixtures("allowed", "_in_role")
def test_the_function_needs_no_other_permission_than_a_rotation_does(world: World) -> None:
    pending = world.locked_out()
    answer = world.invoked({"Step": "doctor", "SecretId": world.arn, "Repair": True})
    assert answer["Repairs"][0]["Done"]
    assert world.labels()["AWSCURRENT"] == pending


@pytest.mark.usefixtures("_in_role")
def test_a_secret_that_did_not_choose_the_function_is_not_read(world: World) -> None:
    with pytest.raises(ServiceFailed, match="Attach the function first"):
        world.invoked({"Step": "doctor", "SecretId": world.arn})
    assert world.database.tried == []


def test_a_secret_that_chose_no_function_has_nobody_to_ask(world: World) -> None:
    with pytest.raises(Stopped, match="make attach"):
        world.ask()


def test_repair_is_true_or_false(world: World) -> None:
    world.begin()
    event = {"Step": "doctor", "SecretId": world.arn, "Repair": "yes"}
    with pytest.raises(ServiceFailed, match='"Repair" is neither true nor false'):
        functions.ask(world.lambda_client, world.function, event)


# The terminal


def test_the_terminal_shows_versions_the_diagnosis_and_numbered_commands(world: World) -> None:
    pending = world.locked_out()
    output = io.StringIO()
    assert doctor.show(world.ask(), output) == 1
    text = output.getvalue()
    assert f"{pending}  20" in text
    assert "AWSPENDING: app at primary.test:5000" in text
    assert "\nlocked out  fail  The server has the password of AWSPENDING" in text
    assert "\n1. Applications read version" in text
    assert "\n   aws secretsmanager update-secret-version-stage --secret-id" in text
    assert NEW not in text


def test_a_machine_reads_json(world: World) -> None:
    world.begin()
    output = io.StringIO()
    assert doctor.show(world.ask(), output, as_json=True) == 0
    assert json.loads(output.getvalue())["State"] == "pending empty"
