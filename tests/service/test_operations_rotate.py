"""What does `make rotate` show while a rotation runs, and how does it end?"""

import json
import logging
import secrets
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import boto3
import pytest

from operations import rotate
from operations.watching import LATE_LOOKS, Timer
from rotation.errors import PasswordRefused
from rotation.finding import Outcome
from rotation.lambda_handler import logger, rotation_handler
from tests.fakes import PRIMARY, FakeDatabase, reading
from tests.laboratories import ORDERS
from tests.local.aws.iam import Role
from tests.local.aws.lambda_logs import LogGroup, group_of
from tests.local.aws.secrets_manager import REGION, Call, LocalSecretsManager, Phase, ServiceError
from tests.service.invoking import STEPS
from tests.service.test_preflight import InvokedContext

pytestmark = pytest.mark.usefixtures("_connected")

PASSWORD = "Tq7-vR2m-9xLd"
NEEDED = [
    "secretsmanager:DescribeSecret",
    "secretsmanager:RotateSecret",
    "lambda:InvokeFunction",
    "lambda:GetFunctionConfiguration",
    "logs:FilterLogEvents",
]
"""What docs/rotating.md says that an operator needs."""


class Late(logging.Handler):
    """Keeps what the function logs."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        self.records.append(record)


class ToLog(logging.Handler):
    """Writes what the function logs into its log group, as Lambda does."""

    def __init__(self, group: LogGroup) -> None:
        super().__init__()
        self.setFormatter(logger.registered_formatter)
        self._group = group

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, among some that are not ours."""
        line = self.format(record)
        of_another = json.dumps({"secret_arn": "another", "caused_by": json.loads(line).get("version_token")})
        self._group.write([f"START RequestId: {uuid.uuid4()}", line, '["no object"]', of_another])


@contextmanager
def logging_to(handler: logging.Handler) -> Iterator[None]:
    """Let the function log to a handler, and not to the output, until the block ends."""
    log = logging.getLogger(logger.service)
    before, log.handlers = log.handlers, [handler]
    yield
    log.handlers = before


class Session(boto3.Session):
    """The operator's, who has an access key; makes each client once."""

    def __init__(self, key: str, endpoint_url: str) -> None:
        super().__init__(key, "test", region_name=REGION)
        self._made: dict[str, Any] = {}
        self._endpoint_url = endpoint_url

    def client(self, name: str) -> Any:  # type: ignore[override]  # noqa: ANN401 - as boto3 has it
        """Return the client of a service."""
        if name not in self._made:
            self._made[name] = super().client(name, endpoint_url=self._endpoint_url)  # type: ignore[call-overload]
        return self._made[name]


class World:
    """A database, a secret that rotates, its function, and an operator whose waiting takes no time.

    No step begins before the operator waits for the first time; so what a look sees does not depend on the machine.
    """

    def __init__(self, service: LocalSecretsManager, session: Session) -> None:
        self.service, self.client = service, session.client("secretsmanager")
        self.session = session
        self.database = FakeDatabase()
        self.database.new_user("app", PASSWORD, reading(ORDERS))
        value = {"engine": "fake", "host": PRIMARY, "username": "app", "password": PASSWORD}
        self.name = f"orders-{secrets.token_hex(4)}"
        self.arn = self.client.create_secret(Name=self.name, SecretString=json.dumps(value))["ARN"]
        self.function = service.register("secret-rotation-FakeDb", self._invoked)
        self.group = LogGroup(session.client("logs"), group_of(self.function))
        self._handler = rotation_handler(self.database)
        self.steps_begin = threading.Event()
        self.now = 0.0
        self.on_pause: Callable[[], object] = self.end

    def attach(self) -> None:
        """Let the secret choose the function, as `make attach` does."""
        self.steps_begin.set()
        self.client.rotate_secret(SecretId=self.arn, RotationLambdaARN=self.function, RotateImmediately=False)
        self.end()
        self.steps_begin.clear()
        self.service.calls.clear()

    def end(self) -> None:
        """Let the rotation run to its end."""
        self.steps_begin.set()
        self.service.wait(self.arn)

    def _invoked(self, event: dict[str, Any]) -> object:
        assert self.steps_begin.wait(30)
        return self._handler(event, InvokedContext(invoked_function_arn=self.function))  # type: ignore[arg-type]

    def _pause(self, seconds: float) -> None:
        assert seconds >= 1, "it looks again too soon"
        self.now += seconds
        self.on_pause()

    def act_as(self, *actions: str) -> None:
        """Give the operator a role that may do this, and nothing else."""
        statement = {"Sid": "Operator", "Effect": "Allow", "Action": list(actions), "Resource": "*"}
        name = f"operator-{secrets.token_hex(4)}"
        role = Role.of(
            name, f"arn:aws:sts::{self.service.account_id}:assumed-role/{name}/me", [{"Statement": [statement]}]
        )
        key = self.service.acting_as(role)["AWS_ACCESS_KEY_ID"]
        self.session = Session(key, self.service.endpoint_url)

    def rotate(self, *options: str) -> int:
        """Run the command."""
        return rotate.main([self.name, *options], Timer(lambda: self.now, self._pause), self.session)

    def labels(self) -> dict[str, str]:
        """Return which version has which label."""
        stages = self.client.describe_secret(SecretId=self.arn)["VersionIdsToStages"]
        return {label: version for version, labels in stages.items() for label in labels}


@pytest.fixture(scope="module")
def session(_service: LocalSecretsManager) -> Session:
    """The session of an operator who may do everything."""
    return Session("test", _service.endpoint_url)


@pytest.fixture
def unattached(service: LocalSecretsManager, session: Session, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A secret that no function rotates yet."""
    monkeypatch.setenv("COLUMNS", "400")
    world = World(service, session)
    with logging_to(ToLog(world.group)):
        yield world
    world.steps_begin.set()


@pytest.fixture
def world(unattached: World) -> Iterator[World]:
    """A secret that rotates; no step of it runs after the test."""
    unattached.attach()
    yield unattached
    unattached.end()


def items(shown: str) -> list[str]:
    """Return the first column of the table, and the last line's first word."""
    return [line.split()[0] for line in shown.splitlines() if line and line[0] not in " {"]


def rows(shown: str) -> dict[str, tuple[str, str]]:
    """Return the outcome and the text of each row that is not the rest of another one."""
    found = [line.split(maxsplit=2) for line in shown.splitlines() if line and not line.startswith(" ")]
    return {row[0]: (row[1], row[2]) for row in found if len(row) == 3 and row[1] in set(Outcome)}


def test_each_step_is_shown_and_then_which_version_is_current(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.act_as(*NEEDED)
    assert world.rotate() == 0
    shown = capsys.readouterr().out
    version = world.labels()["AWSCURRENT"]
    found = rows(shown)
    assert list(found) == ["begun", *STEPS, "outcome"]
    assert found["begun"] == ("pass", f"{world.function} makes version {version}")
    assert found["createSecret"][1].startswith("wrote a new password for app (0.")
    assert found["outcome"] == ("pass", f"AWSCURRENT moved to version {version}, after 1 s")
    assert shown.endswith(f"\n\n{world.arn}: finished\n")
    assert "\x1b" not in shown


@pytest.mark.parametrize("missing", NEEDED)
def test_each_permission_is_needed_or_said_to_be_missing(
    world: World, missing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    world.act_as(*(action for action in NEEDED if action != missing))
    is_of_log = missing in {"lambda:GetFunctionConfiguration", "logs:FilterLogEvents"}
    assert world.rotate() == (0 if is_of_log else 2)
    out, err = capsys.readouterr()
    assert missing in out + err
    if is_of_log:
        assert out.count("it cannot be read, so only the labels show what happens") == 1
        assert f"your role needs {missing}" in out
        assert list(rows(out)) == ["begun", "log", "outcome"]
    else:
        assert "AWSPENDING" not in world.labels()


def test_a_failure_shows_step_cause_remedy_and_what_happens_now(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.database.new_user("app", "another")
    current = world.labels()["AWSCURRENT"]
    assert world.rotate() == 1
    shown = capsys.readouterr().out
    found = rows(shown)
    assert list(found) == ["begun", "createSecret", "setSecret", "outcome"]
    outcome, said = found["setSecret"]
    assert outcome == "fail"
    assert said.startswith("logging in as app at primary.test:5000")
    assert "wrong user or password" in said
    assert shown.count("Put the real password into the secret") == 1
    assert "→ Put the real password into the secret" in shown
    outcome, said = found["outcome"]
    assert outcome == "fail"
    assert said.startswith("setSecret failed, after 1 s, and AWSCURRENT has not moved. Secrets Manager tries the")
    assert f"run make doctor SECRET={world.name}" in shown
    assert shown.endswith(f"{world.arn}: failed\n")
    assert PASSWORD not in shown
    assert world.labels()["AWSCURRENT"] == current


def test_a_try_that_succeeds_after_one_that_failed_has_finished(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    user = world.database.users.pop("app")

    def fail_and_recover() -> None:
        world.end()
        world.database.users["app"] = user
        world.client.rotate_secret(SecretId=world.arn, ClientRequestToken=world.labels()["AWSPENDING"])
        world.end()

    world.on_pause = fail_and_recover
    assert world.rotate() == 0
    shown = capsys.readouterr().out
    assert rows(shown)["outcome"][0] == "pass"
    assert [line.split()[1] for line in shown.splitlines() if line.startswith("setSecret")] == ["fail", "pass"]


def test_a_password_that_the_server_refuses_is_given_up_and_said_so(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(statement: str) -> None:
        if statement.startswith("ALTER"):
            raise PasswordRefused("setting a password", "it is in a dictionary", "Rotate again")

    world.database.before = refuse
    assert world.rotate() == 1
    found = rows(capsys.readouterr().out)
    assert found["setSecret"] == ("fail", "setting a password: it is in a dictionary.")
    assert found["outcome"][1].startswith("setSecret failed, and version ")
    assert found["outcome"][1].endswith("has lost AWSPENDING: it was given up, and no step goes on with it")


@pytest.mark.usefixtures("clock")
def test_a_version_that_somebody_gave_up_has_failed_also_if_no_line_says_why(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is believed after some looks only: an answer can be older than RotateSecret."""

    def give_up() -> None:
        with suppress(KeyError):
            version = world.labels()["AWSPENDING"]
            world.client.update_secret_version_stage(
                SecretId=world.arn, VersionStage="AWSPENDING", RemoveFromVersionId=version
            )

    world.on_pause = give_up
    assert world.rotate() == 1
    outcome, said = rows(capsys.readouterr().out)["outcome"]
    assert outcome == "fail"
    assert said.startswith("no line of the log says why, and version ")
    assert said.endswith("has lost AWSPENDING: it was given up, and no step goes on with it")
    assert world.now == 1 + LATE_LOOKS


def test_a_rotation_that_takes_longer_than_the_command_waits_goes_on(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.on_pause = lambda: None
    assert world.rotate("--wait", "20") == 1
    shown = capsys.readouterr().out
    assert list(rows(shown)) == ["begun", "outcome"]
    assert rows(shown)["outcome"] == (
        "warn",
        "nothing says after 20 s that it has finished or failed. It goes on without this command",
    )
    assert f"→ Wait some minutes, then run make doctor SECRET={world.name}" in shown
    assert shown.endswith(f"{world.arn}: still going on\n")
    world.end()
    assert "AWSPREVIOUS" in world.labels(), "it went on"


def test_ctrl_c_ends_the_command_and_not_the_rotation(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    world.on_pause = interrupt
    assert world.rotate() == 1
    assert capsys.readouterr().out.endswith(": still going on\n")
    world.end()
    assert "AWSPREVIOUS" in world.labels()


def test_ctrl_c_after_the_end_does_not_hide_it(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """The command waits for the last line then."""

    def end_and_interrupt() -> None:
        world.end()
        if world.now > 1:
            raise KeyboardInterrupt

    world.on_pause = end_and_interrupt
    with logging_to(Late()):
        assert world.rotate() == 0
    assert capsys.readouterr().out.endswith(": finished\n")


def test_an_error_while_it_is_watched_does_not_say_that_it_was_not_begun(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    def break_off(call: Call, phase: Phase) -> None:
        if call.operation == "DescribeSecret" and phase == "before":
            raise ServiceError("InternalServiceError", "out of order")

    def pause() -> None:
        world.end()
        world.service.intercept = break_off

    world.on_pause = pause
    assert world.rotate() == 1
    shown = capsys.readouterr().out
    assert "secretsmanager:DescribeSecret answered InternalServiceError: out of order" in rows(shown)["labels"][1]
    assert shown.endswith(": still going on\n")


def test_lines_that_come_late_are_waited_for_a_little(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    at_once, late = ToLog(world.group), Late()

    def pause() -> None:
        world.end()
        for record in late.records[:2] if world.now == 2 else late.records[2:] if world.now == 4 else []:
            at_once.emit(record)

    world.on_pause = pause
    with logging_to(late):
        assert world.rotate() == 0
    assert items(capsys.readouterr().out) == ["begun", *STEPS, "outcome", f"{world.arn}:"], "each is shown once"
    assert world.now == 4


def test_lines_that_never_come_are_not_waited_for_long(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """The level of the log can hide them."""
    with logging_to(Late()):
        assert world.rotate() == 0
    assert list(rows(capsys.readouterr().out)) == ["begun", "outcome"]
    assert world.now == 1 + LATE_LOOKS


def test_what_was_broken_and_works_again_is_a_warning(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """AWSCURRENT does not log in, and a version that lost its label does."""
    value = json.loads(world.client.get_secret_value(SecretId=world.arn)["SecretString"])
    first = world.labels()["AWSCURRENT"]
    wrong = world.client.put_secret_value(
        SecretId=world.arn, SecretString=json.dumps({**value, "password": "Xk3-9fQw"})
    )
    right = world.client.put_secret_value(SecretId=world.arn, SecretString=json.dumps(value))
    assert first != right["VersionId"]
    world.client.update_secret_version_stage(
        SecretId=world.arn,
        VersionStage="AWSCURRENT",
        MoveToVersionId=wrong["VersionId"],
        RemoveFromVersionId=right["VersionId"],
    )
    assert world.rotate() == 0
    shown = capsys.readouterr().out
    outcome, said = rows(shown)["setSecret"]
    assert outcome == "warn"
    assert said.endswith(
        "; before that, the server refused the password of AWSCURRENT and accepted that of another version"
    )
    assert "→ Find out who changed the password outside of the secret" in shown


def test_a_rotation_that_another_one_followed_has_finished(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    def end_and_rotate_again() -> None:
        world.end()
        world.client.rotate_secret(SecretId=world.arn)
        world.end()

    world.on_pause = end_and_rotate_again
    assert world.rotate() == 0
    shown = capsys.readouterr().out
    assert items(shown) == ["begun", *STEPS, "outcome", f"{world.arn}:"], "and no line of the other one"
    assert world.labels()["AWSPREVIOUS"] in rows(shown)["outcome"][1]


def test_a_rotation_that_somebody_moved_back_has_not_finished(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """The server has the new password, and applications read the old one."""
    before = world.labels()["AWSCURRENT"]

    def end_and_move_back() -> None:
        world.end()
        world.client.update_secret_version_stage(
            SecretId=world.arn,
            VersionStage="AWSCURRENT",
            MoveToVersionId=before,
            RemoveFromVersionId=world.labels()["AWSCURRENT"],
        )

    world.on_pause = end_and_move_back
    assert world.rotate() == 1
    outcome, said = rows(capsys.readouterr().out)["outcome"]
    assert (outcome, said.endswith(f"and somebody has moved it back to {before}")) == ("fail", True)


def test_labels_that_are_older_than_the_rotation_are_no_failure(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """Secrets Manager is eventually consistent."""
    late = LATE_LOOKS + 4
    world.service.staleness = lambda call: int(call.operation == "DescribeSecret" and world.now < late)
    world.on_pause = lambda: world.end() if world.now > late else None
    assert world.rotate() == 0
    assert items(capsys.readouterr().out) == ["begun", *STEPS, "outcome", f"{world.arn}:"]


def test_a_machine_reads_json_and_nothing_else(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[str] = []
    world.session.client("logs").meta.events.register(
        "provide-client-params.cloudwatch-logs.FilterLogEvents",
        lambda params, **_: asked.append(params["filterPattern"]),
    )
    assert world.rotate("--json") == 0
    shown = capsys.readouterr().out
    assert [line for line in shown[: shown.index("{\n")].splitlines() if not line.startswith('{"_aws"')] == []
    assert set(asked) == {f'"{world.labels()["AWSCURRENT"]}"'}, "AWS looks for its lines, and sends no others"
    answer = json.loads(shown[shown.index("{\n") :])  # before that, the function prints its metrics
    assert {key: answer[key] for key in ("SecretId", "FunctionArn", "VersionId", "Outcome", "State")} == {
        "SecretId": world.arn,
        "FunctionArn": world.function,
        "VersionId": world.labels()["AWSCURRENT"],
        "Outcome": "pass",
        "State": "finished",
    }
    assert answer["Seconds"] == 1.0
    assert [one["Item"] for one in answer["Findings"]] == ["begun", *STEPS, "outcome"]


def test_a_line_that_is_no_step_does_not_end_the_command(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bus that refuses an event leads to a warning with secret and token, and without a step."""
    monkeypatch.setenv("EVENT_BUS_NAME", "gone")
    monkeypatch.setenv("EVENTS_ENDPOINT", "http://127.0.0.1:9")
    assert world.rotate() == 0
    shown = capsys.readouterr().out
    assert list(rows(shown)) == ["begun", *STEPS, "event", "outcome"]
    outcome, said = rows(shown)["event"]
    assert outcome == "warn"
    assert said.startswith('putting the event "Rotation Finished" on the bus gone: events:PutEvents gave no answer')
    assert "→ Give the function's subnets a route to events" in shown


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_line_of_the_log_gives_no_order_to_the_terminal(
    world: World, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Who can write into the log group knows secret and token."""
    orders = "\x1b]0;owned\a\x1b[2J\x9b31m\u202e"

    def write() -> None:
        about = {"secret_arn": world.arn, "version_token": world.labels()["AWSPENDING"], "remedy": orders}
        step = {"step": "setSecret", "level": "ERROR", "duration_ms": 1, "message": orders}
        world.group.write([json.dumps(about | step)])
        world.end()

    world.on_pause = write
    world.rotate(*options)
    shown = capsys.readouterr().out
    assert "]0;owned" in shown
    assert not [one for one in shown if not one.isprintable() and one != "\n"]


# What RotateSecret refuses


def test_a_secret_without_a_function_is_not_rotated(unattached: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert unattached.rotate() == 2
    out, err = capsys.readouterr()
    assert (out, "no rotation function is attached" in err) == ("", True)
    assert f"Run make attach SECRET={unattached.name} ENGINE=…" in err


def test_a_rotation_that_somebody_turned_off_is_not_turned_on(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.client.cancel_rotate_secret(SecretId=world.arn)
    assert world.rotate() == 2
    assert "its rotation is off, and to rotate it would turn it on again" in capsys.readouterr().err
    assert not world.client.describe_secret(SecretId=world.arn).get("RotationEnabled")


def test_another_rotation_is_not_disturbed(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.client.rotate_secret(SecretId=world.arn)
    version = world.labels()["AWSPENDING"]
    assert world.rotate() == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert f"rotating {world.name}: another rotation is going on: version {version} has AWSPENDING" in err
    assert f"Wait some minutes, then run this again; if it is refused again, run make doctor SECRET={world.name}" in err
    assert world.labels()["AWSPENDING"] == version


def test_a_rotation_that_is_stuck_is_for_the_doctor(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is stuck if nothing of the secret has changed for an hour, as for the watch."""
    world.client.rotate_secret(SecretId=world.arn)
    version = world.labels()["AWSPENDING"]
    monkeypatch.setattr("rotation.watch.health.GRACE", timedelta(0))
    assert world.rotate() == 2
    err = capsys.readouterr().err
    assert f"it is stuck: a rotation made the version {version} and did not finish it" in err
    assert err.endswith(f"Run make doctor SECRET={world.name}.\n")


def test_another_refusal_is_shown_as_it_is(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(call: Call, _: Phase) -> None:
        if call.operation == "RotateSecret":
            raise ServiceError("AccessDeniedException", "Secrets Manager cannot invoke the specified Lambda function.")

    world.service.intercept = refuse
    assert world.rotate() == 2
    assert "secretsmanager:RotateSecret answered AccessDeniedException" in capsys.readouterr().err
