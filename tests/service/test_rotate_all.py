"""Are many secrets rotated, never too many of one server at once, and is each that fails reported?

The state machine and its function run in the roles of the template: what no statement allows is refused. The rotation
functions here need no database; tests/service/test_rotate_all_servers.py has real ones.
"""

import csv
import json
import re
import shlex
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier, Event, Thread
from typing import Any
from uuid import uuid4

import boto3
import pytest
from botocore.exceptions import ClientError
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser

from functions.watch import app
from operations import rotate_all, rotation_report
from operations.calls import Stopped, called
from operations.rotate_all import RotateAll
from rotation.errors import ServiceFailed
from rotation.fleet.outcome import LONGEST, State, state
from rotation.fleet.plan import SERVER_TAG, Wish, tolerated
from rotation.watch.attached import AttachedSecret
from tests.clients import forget_clients
from tests.local.aws import template
from tests.local.aws.deployed import Stack
from tests.local.aws.iam import Request
from tests.local.aws.secrets_manager import REGION, Call, LocalSecretsManager, ServiceError
from tests.local.aws.state_services import LocalServices
from tests.local.aws.states import Failed, Machine
from tests.service.fleet import PATHS, Context, Operator, Record, Run, bucket_of, commanded, definition, finished

FINE = {"Outcome": "pass", "Findings": []}
BROKEN = {"Item": "login", "Outcome": "fail", "Found": "the server refuses AWSCURRENT", "Remedy": "Put it right"}


@dataclass(frozen=True)
class Account:
    """What all tests share: it takes long to make."""

    service: LocalSecretsManager
    stack: Stack
    services: LocalServices
    client: Any
    s3: Any


@dataclass
class World:
    """An account with the stack, its secrets, and what their functions do."""

    account: Account
    servers: dict[str, str] = field(default_factory=dict)
    """By ARN."""
    broken: dict[str, str] = field(default_factory=dict)
    """The step that fails, by ARN."""
    record: Record = field(default_factory=Record)
    steps: list[tuple[str, str]] = field(default_factory=list)
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def __post_init__(self) -> None:
        """Register the functions."""
        self.service, self.stack, self.client, self.s3 = (
            self.account.service,
            self.account.stack,
            self.account.client,
            self.account.s3,
        )
        for engine in ("PostgreSql", "MySql"):
            self.service.register(f"rotation-{engine}", self.function)
        handler = self.stack.resolver.arn("RotateAllFunction").rpartition(":")[2]
        self.service.register(handler, lambda event: app.rotate_all(event, Context()))  # type: ignore[arg-type]
        self.machine = Machine(
            definition(self.stack),
            self.account.services,
            wait=self.wait,
            now=lambda: self.now(),  # noqa: PLW0108 - it is another one later
        )
        self.operators_command = commanded(self.machine, self.s3, self.stack, Operator())

    def secret(self, server: str, engine: str = "PostgreSql", name: str = "app", **tags: str) -> str:
        """Make a secret for a server, attached and on; return its ARN."""
        said = [{"Key": key, "Value": text} for key, text in tags.items()]
        made = self.client.create_secret(Name=f"{name}-{uuid4()}", SecretString="{}", Tags=said)
        self.servers[made["ARN"]] = server
        self.attach(made["ARN"], f"rotation-{engine}")
        return str(made["ARN"])

    def attach(self, arn: str, function: str) -> None:
        """Attach a function."""
        prefix = f"arn:aws:lambda:{REGION}:{self.service.account_id}:function:"
        self.client.rotate_secret(SecretId=arn, RotationLambdaARN=prefix + function, RotateImmediately=False)
        self.service.wait(arn)

    def function(self, event: dict[str, Any]) -> object:
        """Do what a rotation function does, without a database."""
        arn, step = event["SecretId"], event["Step"]
        with self.record.call(self.servers[arn]):
            self.steps.append((arn, step))
            if step == "server":
                if self.broken.get(arn) == step:
                    raise ValueError("its JSON has no host")
                return {"SecretId": arn, "Server": self.servers[arn]}
            if step in {"preflight", "doctor"}:
                return {"Outcome": "fail", "Findings": [BROKEN]} if self.broken.get(arn) == "preflight" else FINE
            if self.broken.get(arn) == step:
                raise ValueError("the server refuses")
            self._rotate(arn, step, event["ClientRequestToken"])
            return None

    def _rotate(self, arn: str, step: str, token: str) -> None:
        if step == "createSecret":
            new: Any = {"SecretId": arn, "ClientRequestToken": token, "VersionStages": ["AWSPENDING"]}
            self.client.put_secret_value(SecretString=json.dumps({"is": token}), **new)
        elif step == "finishSecret":
            labels = self.client.describe_secret(SecretId=arn)["VersionIdsToStages"]
            [current] = [version for version, own in labels.items() if "AWSCURRENT" in own]
            if current != token:
                self.client.update_secret_version_stage(
                    SecretId=arn, VersionStage="AWSCURRENT", MoveToVersionId=token, RemoveFromVersionId=current
                )

    def wait(self, _seconds: float, value: Any) -> None:  # noqa: ANN401 - whatever the state's input is
        """Wait for the rotation, however long that takes: no time passes in the machine."""
        with suppress(KeyError):
            self.service.wait(value["SecretId"])

    def command(self, answer: str = "yes") -> tuple[RotateAll, Operator]:
        """Return the operator's command, and who runs it."""
        operator = Operator(answer)
        return replace(self.operators_command, person=operator), operator

    def run(self, tmp_path: Path, *words: str, answer: str = "yes") -> Run:
        """Run the command to its end."""
        return finished(*self.command(answer), tmp_path, *words)

    def rotations(self) -> Counter[str]:
        """Return how often a new password was made for each secret."""
        return Counter(arn for arn, step in self.steps if step == "createSecret")


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    """An account with the stack and the bucket."""
    with LocalSecretsManager(attempts=1) as service:
        stack = Stack.deploy(
            template.SOURCE,
            name="rotation",
            region=REGION,
            account_id=service.account_id,
            parameters={"RotateAllBucket": bucket_of(service)},
        )
        operators = boto3.Session("test", "test", region_name=REGION)
        s3: Any = operators.client("s3", endpoint_url=service.endpoint_url, config=PATHS)
        s3.create_bucket(Bucket=bucket_of(service))
        services = LocalServices(service, stack.roles["RotateAllMachineRole"])
        yield Account(service, stack, services, service.client(), s3)


@pytest.fixture
def world(account: Account, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """An account without secrets, in which the machine's function has its role and its environment."""
    role = account.service.acting_as(account.stack.role_of("RotateAllFunction"))
    for name, value in {**account.stack.environment("RotateAllFunction"), **role}.items():
        monkeypatch.setenv(name, value)
    forget_clients()
    yield World(account)
    account.service.intercept = None
    account.service.forget()
    forget_clients()


# All is well


def test_all_secrets_are_rotated_once_and_the_report_says_so(world: World, tmp_path: Path) -> None:
    secrets = [world.secret(server, engine) for server in ("a:5432", "b:3306") for engine in ("PostgreSql", "MySql")]
    done = world.run(tmp_path)
    assert (done.code, done.outcomes) == (0, {"rotated": 4})
    assert world.rotations() == dict.fromkeys(secrets, 1)
    assert "4 secrets on 2 servers" in done.told[0]
    assert "  2 with rotation-MySql" in done.told
    assert "4 of 4 rotated, 0 failed" in done.told[-2]


def test_never_more_than_so_many_secrets_of_one_server_are_rotated_at_once(world: World, tmp_path: Path) -> None:
    for server in ("a:5432", "b:5432"):
        for _ in range(7):
            world.secret(server, **{SERVER_TAG: server})  # so that nobody is asked for the server
    world.record.most.clear()
    done = world.run(tmp_path, "--all", "--at-once", "3")
    assert done.code == 0
    assert max(world.record.most.values()) <= 3
    assert not [step for _, step in world.steps if step == "server"]


def test_so_many_are_rotated_at_once(world: World, tmp_path: Path) -> None:
    """Each waits for another one: one by one they would never come through."""
    together = Barrier(2)
    for _ in range(4):
        world.secret("a:5432", **{SERVER_TAG: "a"})
    alone = world.function

    def meeting(event: dict[str, Any]) -> object:
        if event["Step"] == "preflight":
            together.wait(30)
        return alone(event)

    world.service.register("rotation-PostgreSql", meeting)
    assert world.run(tmp_path).code == 0


def test_a_server_that_is_not_known_gets_one_secret_at_a_time(world: World) -> None:
    for _ in range(4):
        arn = world.secret("a:5432")
        world.broken[arn] = "server"
    world.record.most.clear()
    command, operator = world.command()
    plan = command.plan({})
    command.show(plan)
    assert any("4 secrets are for a server that their function does not name" in line for line in operator.told)
    world.record.most.clear()
    command.rotate(plan)
    assert world.record.most == {"a:5432": 1}


# Which


@pytest.mark.sample(3)
@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["--tag", "team=red"], {"red"}),
        (["--tag", "team"], {"red", "blue"}),
        (["--prefix", "orders/"], {"orders"}),
        (["--engine", "MYSQL"], {"mysql"}),
        (["--list", "FILE"], {"red", "orders"}),
        (["--all"], {"red", "blue", "orders", "mysql"}),
    ],
)
def test_only_the_secrets_that_are_meant_are_rotated(
    world: World, tmp_path: Path, words: list[str], meant: set[str]
) -> None:
    secrets = {
        "red": world.secret("a", team="red"),
        "blue": world.secret("a", team="blue"),
        "orders": world.secret("b", name="orders/app"),
        "mysql": world.secret("c", "MySql"),
    }
    listed = tmp_path / "list"
    listed.write_text(f"{secrets['red']}\n{world.client.describe_secret(SecretId=secrets['orders'])['Name']}\n")
    done = world.run(tmp_path, *(str(listed) if word == "FILE" else word for word in words))
    assert done.code == 0
    assert set(world.rotations()) == {secrets[name] for name in meant}


@pytest.mark.parametrize(
    ("tag", "fits"),
    [("k", True), ("k=", True), ("k=v", False), ("a", False), ("a=b", True), ("a=b=c", True), ("a=b=", False)],
)
def test_a_tag_can_have_an_equals_sign_in_its_key_and_an_empty_value(tag: str, fits: bool) -> None:
    tagged: Any = [{"Key": "k", "Value": ""}, {"Key": "a=b", "Value": "c"}]
    secret = AttachedSecret.parse({"ARN": "arn:aws:secretsmanager:x:1:secret:a-123456", "Tags": tagged})
    assert Wish(tag=tag).means(secret, ()) is fits


@pytest.mark.parametrize(
    "words",
    [["--engine", "mysql", "--tag", "team"], ["--prefix", "orders/*"], ["--engine", "postgres"], ["--tag", "team="]],
)
def test_options_that_no_secret_fits_are_no_success(world: World, tmp_path: Path, words: list[str]) -> None:
    """After a leak, a slip of the pen must not look as if all were rotated."""
    world.secret("a", name="orders/app", team="red")
    with pytest.raises(Stopped, match="no secret that has a function of the stack fits"):
        world.run(tmp_path, *words)


def test_what_another_stack_rotates_or_is_off_is_left_alone(world: World, tmp_path: Path) -> None:
    world.service.register("rotation-production-MySql", world.function)
    others, off = world.secret("a"), world.secret("a")
    world.attach(others, "rotation-production-MySql")
    world.client.cancel_rotate_secret(SecretId=off)
    done = world.run(tmp_path)
    assert (done.code, world.rotations()) == (0, {})
    assert "1 secrets are left out: their rotation is off." in done.told
    assert not world.client.describe_secret(SecretId=off)["RotationEnabled"]


def test_a_dry_run_and_a_no_rotate_nothing(world: World, tmp_path: Path) -> None:
    world.secret("a")
    assert world.run(tmp_path, "--all", "--dry-run").code == 0
    with pytest.raises(Stopped):
        world.run(tmp_path, answer="no")
    assert not world.rotations()


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ([], "nothing says which secrets are meant"),
        (["--rest", "run-1", "--list", "FILE"], "--rest has a list of its own"),
        (["--run", "run-1", "--list", "FILE"], "--run goes on with a plan that was made"),
        (["--run", "run-1", "--tolerated", "0"], "--run goes on with a plan that was made"),
    ],
)
def test_what_is_not_said_clearly_is_refused(words: list[str], cause: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert rotate_all.main([*words, "--region", REGION]) == 2
    assert cause in capsys.readouterr().err


def test_what_the_plan_refuses_is_said(world: World, tmp_path: Path) -> None:
    with pytest.raises(ServiceFailed, match="AtOnce is no number from 1 to 20"):
        world.run(tmp_path, "--all", "--at-once", "21")


# Failures


def test_a_secret_that_fails_is_reported_and_stops_no_other(world: World, tmp_path: Path) -> None:
    good = [world.secret("a") for _ in range(3)]
    bad = {step: world.secret(f"{step}:1") for step in ("preflight",)}
    world.broken |= {arn: step for step, arn in bad.items()}
    done = world.run(tmp_path)
    assert (done.code, done.outcomes) == (1, {"rotated": 3, "failed": 1})
    row = done.rows[bad["preflight"]]
    assert (row["error"], row["cause"], row["remedy"]) == (
        "PreflightFailed",
        "login: the server refuses AWSCURRENT",
        "Put it right",
    )
    assert set(world.rotations()) == set(good)


def test_a_rotation_that_does_not_end_is_reported_after_a_while(world: World, tmp_path: Path) -> None:
    arn = world.secret("a")
    world.secret("b")
    world.broken[arn] = "setSecret"
    world.now = lambda: datetime.now(UTC) - LONGEST
    done = world.run(tmp_path)
    row = done.rows[arn]
    assert (row["outcome"], row["error"]) == ("failed", "RotationNotFinished")
    assert row["remedy"] == f"Run make doctor SECRET={arn}"
    assert (arn, "doctor") in world.steps


def test_an_earlier_password_that_becomes_current_is_not_enough(world: World, tmp_path: Path) -> None:
    """What an interrupted rotation left behind can be known to others, too: another password follows it."""
    arn = world.secret("a")
    world.broken[arn] = "setSecret"
    earlier = world.client.rotate_secret(SecretId=arn)["VersionId"]
    world.service.wait(arn)
    world.broken.clear()
    refused: list[str] = []

    def finish(call: Call, phase: str) -> None:
        """As the service does: it refuses a new rotation, and begins the earlier one again."""
        if (call.operation, phase) == ("RotateSecret", "before") and not refused:
            refused.append(arn)
            for step in ("setSecret", "testSecret", "finishSecret"):
                world.function({"SecretId": arn, "Step": step, "ClientRequestToken": earlier})
            raise ServiceError("InvalidRequestException", "A previous rotation isn't complete. It is reattempted.")

    world.service.intercept = finish
    assert world.run(tmp_path).code == 0
    labels = world.client.describe_secret(SecretId=arn)["VersionIdsToStages"]
    assert "AWSPREVIOUS" in labels[earlier]


@pytest.mark.parametrize("code", ["ThrottlingException", "InternalServiceError"])
def test_what_passes_is_tried_again_and_rotates_once(world: World, tmp_path: Path, code: str) -> None:
    arn, times = world.secret("a"), Counter[str]()

    def busy(call: Call, phase: str) -> None:
        times[phase] += call.operation == "RotateSecret"
        if call.operation == "RotateSecret" and times[phase] == 1:
            raise ServiceError(code, "Rate exceeded")  # once before the call, and once after it has taken effect

    world.service.intercept = busy
    assert world.run(tmp_path).code == 0
    assert world.rotations() == {arn: 1}


def test_what_does_not_pass_is_reported_with_aws_words(world: World, tmp_path: Path) -> None:
    arn = world.secret("a")
    world.secret("b")

    def gone(call: Call, phase: str) -> None:
        if (call.operation, phase, call.secret_id) == ("RotateSecret", "before", arn):
            raise ServiceError("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")

    world.service.intercept = gone
    row = world.run(tmp_path).rows[arn]
    assert (row["error"], row["cause"]) == (
        "SecretsManager.ResourceNotFoundException",
        "Secrets Manager can't find the specified secret.",
    )


@pytest.mark.parametrize(
    ("labels", "minutes", "found"),
    [
        ({"ours": ["AWSCURRENT", "AWSPENDING"]}, 1, State.ROTATED),
        ({"old": ["AWSCURRENT"], "ours": ["AWSPENDING"]}, 1, State.RUNNING),
        ({"earlier": ["AWSCURRENT"], "old": ["AWSPREVIOUS"]}, 1, State.RUNNING),
        ({"earlier": ["AWSCURRENT"], "old": ["AWSPREVIOUS"]}, 20, State.LATE),
        ({"ours": ["AWSCURRENT"]}, 60, State.ROTATED),
    ],
)
def test_only_the_version_of_this_run_counts(labels: dict[str, list[str]], minutes: int, found: State) -> None:
    began = datetime.now(UTC)
    assert state(labels, "ours", began, began + timedelta(minutes=minutes)) is found


def test_a_function_that_answers_nothing_is_no_rotation(world: World, tmp_path: Path) -> None:
    """No state catches what AWS calls States.Runtime, so the execution ends without an outcome."""
    arn = world.secret("a", **{SERVER_TAG: "a"})
    world.service.register("rotation-PostgreSql", lambda _: None)
    done = world.run(tmp_path)
    assert (done.code, done.rows[arn]["outcome"]) == (1, "not finished")
    assert not world.rotations()


# The threshold


def test_tolerated_failures() -> None:
    assert [tolerated(number, 10) for number in (1, 2, 10, 20, 39, 1000)] == [0, 1, 1, 2, 3, 100]
    assert tolerated(1000, 0) == 1


def test_a_server_with_too_many_failures_is_left_and_the_others_are_rotated(world: World, tmp_path: Path) -> None:
    bad = [world.secret("bad", **{SERVER_TAG: "bad"}) for _ in range(8)]
    world.broken |= dict.fromkeys(bad, "preflight")
    good = [world.secret("good", **{SERVER_TAG: "good"}) for _ in range(5)]
    done = world.run(tmp_path, "--all", "--at-once", "1")
    assert done.code == 1
    assert {arn for arn, row in done.rows.items() if row["outcome"] == "rotated"} == set(good)
    assert done.outcomes == {"rotated": 5, "failed": 2, "not finished": 6}
    assert not [line for line in done.told if "has stopped" in line]


def test_if_too_many_servers_fail_the_run_stops_and_can_be_run_again_for_the_rest(world: World, tmp_path: Path) -> None:
    bad = [world.secret(f"bad{number}", **{SERVER_TAG: f"a{number}"}) for number in range(2)]
    good = [world.secret(f"good{number}", **{SERVER_TAG: f"b{number}"}) for number in range(6)]
    world.broken |= dict.fromkeys(bad, "preflight")
    done = world.run(tmp_path, "--all", "--servers-at-once", "1")
    assert (done.code, done.outcomes) == (1, {"failed": 2, "not finished": 6})
    assert [line for line in done.told if "It has stopped: FAILED: States.ExceedToleratedFailureThreshold" in line]
    # What was wrong is put right, and the command that was told is run.
    world.broken.clear()
    rest = world.run(tmp_path, *told(done))
    assert (rest.code, set(rest.rows)) == (0, {*bad, *good})
    assert world.rotations() == dict.fromkeys([*bad, *good], 1)


def test_the_rest_of_a_run_is_what_it_has_not_rotated(world: World, tmp_path: Path) -> None:
    """Not what has rotated since: an interrupted rotation ends then, too, with a password that it made before."""
    arn, good, gone = world.secret("a"), world.secret("b"), world.secret("c")
    world.broken[gone] = "preflight"
    world.broken[arn] = "setSecret"
    earlier = world.client.rotate_secret(SecretId=arn)["VersionId"]
    world.service.wait(arn)
    world.broken.pop(arn)
    ended: list[str] = []

    def finish(call: Call, phase: str) -> None:
        """As the service does: it refuses a new rotation, and ends the earlier one; and then our run is stopped."""
        if (call.operation, phase, call.secret_id) == ("RotateSecret", "before", arn):
            if not ended:
                for step in ("setSecret", "testSecret", "finishSecret"):
                    world.function({"SecretId": arn, "Step": step, "ClientRequestToken": earlier})
                ended.append(arn)
            raise ServiceError("InvalidParameterException", "A previous rotation isn't complete.")

    world.service.intercept = finish
    first = world.run(tmp_path)
    assert first.code == 1
    assert "AWSCURRENT" in world.client.describe_secret(SecretId=arn)["VersionIdsToStages"][earlier]
    world.service.intercept = None
    world.broken.clear()
    world.client.delete_secret(SecretId=gone)
    rest = world.run(tmp_path, *told(first))
    assert {secret: row["outcome"] for secret, row in rest.rows.items()} == {arn: "rotated", gone: "not planned"}
    assert rest.code == 1
    assert good not in rest.rows


def test_the_rest_of_a_run_that_never_was_is_refused(world: World, tmp_path: Path) -> None:
    with pytest.raises(ServiceFailed, match="NoSuchKey") as failed:
        world.run(tmp_path, "--rest", "run-typo")
    assert failed.value.remedy.startswith("Check the name")
    assert not world.machine.executions


def test_what_a_list_names_in_vain_is_reported(world: World, tmp_path: Path) -> None:
    """A slip of the pen after a leak leaves a password that is known."""
    arn, listed = world.secret("a"), tmp_path / "list"
    listed.write_text(f"{arn}\n{arn[:-1]}\n=cmd\n")
    done = world.run(tmp_path, "--list", str(listed))
    assert done.code == 1
    assert {name: row["outcome"] for name, row in done.rows.items()} == {
        arn: "rotated",
        arn[:-1]: "not planned",
        "'=cmd": "not planned",
    }
    assert any(line.startswith("2 secrets were named, and rotate with no function of the stack") for line in done.told)
    listed.write_text(arn[:-1])
    done = world.run(tmp_path, "--list", str(listed))
    assert (done.code, done.outcomes) == (1, {"not planned": 1})


def test_a_list_that_names_a_secret_whose_rotation_is_off_is_not_done(world: World, tmp_path: Path) -> None:
    """Who names it knows that it has leaked. It is in the report, and so it is if the rest is rotated."""
    arn, off, listed = world.secret("a"), world.secret("b"), tmp_path / "list"
    world.client.cancel_rotate_secret(SecretId=off)
    name = world.client.describe_secret(SecretId=off)["Name"]
    listed.write_text(f"{arn}\n{name}\nnobody\n")
    first = world.run(tmp_path, "--list", str(listed))
    assert first.code == 1
    outcomes = {secret: row["outcome"] for secret, row in first.rows.items()}
    assert outcomes == {arn: "rotated", name: "not planned", "nobody": "not planned"}
    assert "its rotation on" in first.rows[name]["cause"]
    rest = world.run(tmp_path, *told(first))
    assert (rest.code, set(rest.rows)) == (1, {name, "nobody"})
    # It is attached again, and rotates with the rest.
    world.attach(off, "rotation-PostgreSql")
    rest = world.run(tmp_path, *told(first))
    assert {secret: row["outcome"] for secret, row in rest.rows.items()} == {off: "rotated", "nobody": "not planned"}
    assert world.rotations() == {arn: 1, off: 1}


@pytest.mark.parametrize(
    ("text", "cause"), [(b"\xef\xbb\xbf{}\r\n\r\n{}\r\n", ""), (b"\xff\xfea\0", "it is no text in UTF-8")]
)
def test_a_list_can_come_from_another_system(world: World, tmp_path: Path, text: bytes, cause: str) -> None:
    arn, listed = world.secret("a"), tmp_path / "list"
    listed.write_bytes(text.replace(b"{}", arn.encode()))
    if cause:
        with pytest.raises(Stopped, match=cause):
            world.run(tmp_path, "--list", str(listed))
    else:
        assert world.run(tmp_path, "--list", str(listed)).outcomes == {"rotated": 1}


@pytest.mark.parametrize("answer", [None, [], "db:5432", {}])
def test_a_function_that_names_no_server_does_not_stop_the_plan(world: World, answer: object) -> None:
    world.secret("a")
    world.service.register("rotation-PostgreSql", lambda _: answer)
    assert world.command()[0].plan({}).output["Unknown"] == 1


def test_a_function_that_answers_too_late_does_not_stop_the_plan(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last pause between two tries can be longer than it was to be."""
    world.secret("a")
    monkeypatch.setattr("rotation.fleet.handler.SERVER_SECONDS", 0.0)
    assert world.command()[0].plan({}).output["Unknown"] == 1


def test_a_report_that_cannot_be_written_can_be_had_again(world: World, tmp_path: Path) -> None:
    world.secret("a")
    command, _ = world.command()
    plan = command.plan({})
    command.rotate(plan)
    with pytest.raises(Stopped, match="No such file or directory") as refused:
        command.report(plan, tmp_path / "none" / "report.csv")
    assert f"--run {plan.run}" in refused.value.remedy
    assert world.run(tmp_path, "--run", plan.run).outcomes == {"rotated": 1}


def test_an_interruption_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(rotate_all, "new_session", interrupted)
    assert rotate_all.main(["--all"]) == 2
    assert "they go on" in capsys.readouterr().err


def test_a_secret_that_somebody_takes_out_of_the_plan_is_missed(world: World, tmp_path: Path) -> None:
    for _ in range(2):
        world.secret("a", **{SERVER_TAG: "a"})
    command, _ = world.command()
    plan = command.plan({})
    bucket = bucket_of(world.service)
    [server] = json.loads(world.s3.get_object(Bucket=bucket, Key=plan.output["Key"])["Body"].read())
    items = json.loads(world.s3.get_object(Bucket=bucket, Key=server["Key"])["Body"].read())
    world.s3.put_object(Bucket=bucket, Key=server["Key"], Body=json.dumps(items[1:]).encode())
    with pytest.raises(ServiceFailed, match="2 secrets were planned, and the bucket has 1"):
        world.run(tmp_path, "--run", plan.run)


def test_a_rotation_is_waited_for_from_its_own_beginning(world: World, tmp_path: Path) -> None:
    """An execution that is redriven has the start time of the day before. Its rotations have just begun."""
    arn, states = world.secret("a"), list[str]()
    world.machine.entered = lambda state, _: states.append(state)
    began = datetime.now(UTC)
    world.now = lambda: began if "Rotate" in states else began - timedelta(days=1)
    world.broken[arn] = "testSecret"

    def mend(_seconds: float, _value: Any) -> None:  # noqa: ANN401 - whatever the state's input is
        if states.count("Look") == 1:
            world.broken.clear()
            world.client.rotate_secret(SecretId=arn, ClientRequestToken=token_of(world, arn))
        world.service.wait(arn)

    world.machine.wait = mend
    assert world.run(tmp_path).outcomes == {"rotated": 1}
    assert "Doctor" not in states


def token_of(world: World, arn: str) -> str:
    """Return the version that is pending."""
    labels = world.client.describe_secret(SecretId=arn)["VersionIdsToStages"]
    return str(next(version for version, own in labels.items() if "AWSPENDING" in own))


def told(run: Run) -> list[str]:
    """Return the options of the command that was told for the rest."""
    [line] = [line for line in run.told if line.startswith("To rotate the rest, run make rotate-all ")]
    [assignment] = shlex.split(line.partition("make rotate-all ")[2])
    return shlex.split(assignment.removeprefix("OPERATION_ARGS="))


def test_a_run_that_was_interrupted_is_followed_and_rotates_nothing_twice(world: World, tmp_path: Path) -> None:
    secrets = [world.secret("a") for _ in range(3)]
    command, _ = world.command()
    plan = command.plan({})
    command.rotate(plan)
    again = world.run(tmp_path, "--run", plan.run)
    assert (again.code, again.outcomes) == (0, {"rotated": 3})
    assert "This run was begun before: nothing is rotated anew" in again.told
    assert not [line for line in again.told if line.startswith("They rotate")]
    assert world.rotations() == dict.fromkeys(secrets, 1)


def test_two_runs_do_not_rotate_at_once(world: World, tmp_path: Path) -> None:
    """Each would keep to its number of secrets of a server, and together they would not."""
    for _ in range(2):
        world.secret("a", **{SERVER_TAG: "a"})
    begun, go_on = Event(), Event()
    alone = world.function

    def waiting(event: dict[str, Any]) -> object:
        begun.set()
        assert go_on.wait(30)
        return alone(event)

    world.service.register("rotation-PostgreSql", waiting)
    command, _ = world.command()
    plan = command.plan({})
    first = Thread(target=command.rotate, args=(plan,))

    class Slow(Operator):
        """While this operator thinks, another one begins."""

        def ask(self, question: str) -> str:
            first.start()
            assert begun.wait(30)
            return super().ask(question)

    with pytest.raises(Stopped, match=f"{plan.run} rotates now") as refused:
        finished(replace(command, person=Slow()), Slow(), tmp_path)
    go_on.set()
    first.join()
    later = re.findall("--run (run-[0-9a-f-]+)", refused.value.remedy)
    assert later[0] == plan.run
    assert world.run(tmp_path, "--run", later[1]).outcomes == {"rotated": 2}


# What is written


def test_no_cell_of_the_report_is_a_formula(world: World, tmp_path: Path) -> None:
    arn = world.secret("=HYPERLINK(1)", **{SERVER_TAG: "=HYPERLINK(1)"})
    assert world.run(tmp_path).rows[arn]["server"] == "'=hyperlink(1)"


def test_a_blank_hides_no_formula(tmp_path: Path) -> None:
    rotation_report.write([rotation_report.Row("\t=cmd", "\r@SUM(1)", "failed", cause=" +1")], tmp_path / "report")
    with (tmp_path / "report").open(newline="") as file:
        [row] = csv.DictReader(file)
    assert (row["secret"], row["server"], row["cause"]) == ("'\t=cmd", "'\r@SUM(1)", "' +1")


def test_two_spellings_of_a_server_are_one(world: World) -> None:
    names = ("db.example.com:5432", "DB.example.com:5432", "db.example.com.:5432", " Db.Example.Com:5432")
    for name in names:
        world.secret(name)
    assert world.command()[0].plan({}).output["Servers"] == 1


def test_another_interpreter_reads_the_definition(world: World) -> None:
    """LocalStack's, which moto brings along. It does not keep ToleratedFailureCount, so ours runs it."""
    AmazonStateLanguageParser.parse(json.dumps(world.machine.definition))


def test_the_output_of_a_map_has_the_inputs_of_the_items_that_failed() -> None:
    """Our interpreter must not be kinder than AWS: a server with some hundred failures is one that is left."""
    items = [{"SecretId": "x" * 600}] * 400

    class Bucket:
        def call(self, _resource: str, _parameters: object) -> Any:  # noqa: ANN401
            return items

    reader = {"Resource": "arn:aws:states:::s3:getObject", "Parameters": {}}
    processor = {
        "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
        "StartAt": "No",
        "States": {"No": {"Type": "Fail", "ErrorPath": "$.SecretId", "Cause": ""}},
    }
    paths = {"MaxConcurrencyPath": "$.One", "ToleratedFailureCountPath": "$.Many"}
    states = {"All": {"Type": "Map", "ItemReader": reader, "ItemProcessor": processor, **paths, "End": True}}
    machine = Machine({"StartAt": "All", "States": states}, Bucket(), wait=lambda *_: None)
    with pytest.raises(Failed, match="DataLimitExceeded"):
        machine.run("run", {"One": 1, "Many": 400})
    del items[100:]
    assert len(machine.run("run", {"One": 1, "Many": 400})) == 100


@pytest.mark.parametrize("code", ["ExpiredToken", "ExpiredTokenException", "UnrecognizedClientException"])
def test_who_is_no_longer_logged_in_is_told_so(code: str) -> None:
    """A run takes hours, and a login often less."""

    def refused() -> None:
        raise ClientError({"Error": {"Code": code, "Message": "The security token is expired"}}, "DescribeExecution")

    with pytest.raises(ServiceFailed) as failed:
        called("looking at the state machine", "states:DescribeExecution", refused)
    assert "aws sso login" in failed.value.remedy


def test_each_statement_of_the_roles_is_used_and_reads_no_secret(world: World, tmp_path: Path) -> None:
    bad = world.secret("a")
    world.secret("b")
    world.broken[bad] = "preflight"
    listed = tmp_path / "list"
    listed.write_text(bad)
    world.run(tmp_path, "--list", str(listed))
    world.run(tmp_path)
    for name in ("RotateAllRole", "RotateAllMachineRole"):
        role = world.stack.roles[name]
        unused = {permission.sid for permission in role.permissions() if permission not in role.used}
        assert unused <= {"WriteLogs", "RunItself", "StopItself"}
        request = {
            "secretsmanager:resource/AllowRotationLambdaArn": world.client.describe_secret(SecretId=bad)[
                "RotationLambdaARN"
            ]
        }
        assert not role.allows(Request("secretsmanager:GetSecretValue", bad, request))
