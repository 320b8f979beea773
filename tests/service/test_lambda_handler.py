"""Is one line logged, is it measured, and does no secret leave?"""

import json
import re
import shlex
import time
import uuid

import pytest

from rotation import errors
from rotation.errors import (
    InvalidConfiguration,
    InvalidEvent,
    LoginBlocked,
    LoginRefused,
    NotRotatable,
    OutOfTime,
    PasswordRefused,
    RotationError,
    Unexpected,
)
from rotation.redaction import MASK
from rotation.strategies import BY_ADMIN
from tests.fakes import FakeDatabase, reading
from tests.laboratories import ORDERS
from tests.local.aws.secrets_manager import Call as ApiCall
from tests.local.aws.secrets_manager import LocalSecretsManager, Phase, ServiceError
from tests.service.invoking import STEPS, Call, Context, Invoke, event
from tests.service.scenario import Scenario

CORES = ["Kcurrent7x", "Kpending7x", "Kadmin7x", "Ktoken7x", "Kscram7x"]
"""What is never to be seen; each is part of a secret that has to be quoted in most languages."""
CURRENT, PENDING, ADMIN, ROTATION_TOKEN = (f'it\'s "{core}\\" & 100%, ü/{core} and so on' for core in CORES[:4])
VERIFIERS = f"SCRAM-SHA-256$4096:{CORES[4]}c2FsdA==$c3RvcmVk:{CORES[4]} md50123456789abcdef0123456789abcdef"


@pytest.fixture
def database() -> FakeDatabase:
    """A database with an admin and an application's user."""
    database = FakeDatabase()
    database.new_user("admin", ADMIN, is_admin=True)
    database.new_user("app", CURRENT, reading(ORDERS))
    return database


@pytest.fixture
def scenario(service: LocalSecretsManager) -> Scenario:
    """The secret of that user, with an empty version to be made by alternating users."""
    admin = Scenario(service, username="admin", password=ADMIN)
    return Scenario(service, password=CURRENT, masterarn=admin.arn).begin()


# What is logged and measured


def test_each_step_logs_one_line_and_how_long_it_took(
    invoke: Invoke, database: FakeDatabase, scenario: Scenario
) -> None:
    for step in STEPS:
        call = invoke(database, event(scenario, step))
        assert call.error is None
        assert call.line["level"] == "INFO"
        assert call.line["message"]
        assert call.line["secret_arn"] == scenario.arn
        assert call.line["version_token"] == scenario.token
        assert call.line["step"] == step
        assert call.line["engine"] == "FakeDB"
        assert call.line["strategy"] == "alternating-users"
        assert call.line["function_request_id"] == "a-request-id"
        assert call.line["duration_ms"] >= 0
        assert not {"error", "cause", "remedy"} & call.line.keys()
        assert len(call.metrics) == (3 if step == "finishSecret" else 1)
        measured = call.metric("StepDuration")
        assert (measured["engine"], measured["step"]) == ("FakeDB", step)
        assert measured["StepDuration"] == [call.line["duration_ms"]]
    assert scenario.labels()["AWSCURRENT"] == scenario.token


def test_a_rotation_is_counted_once_and_measured_from_the_creation_of_the_version(
    invoke: Invoke, database: FakeDatabase, scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in STEPS[:3]:
        invoke(database, event(scenario, step))
    now = time.time
    monkeypatch.setattr("rotation.secret.time.time", lambda: now() + 3600)
    call = invoke(database, event(scenario, "finishSecret"))
    finished, duration = call.metric("RotationFinished"), call.metric("RotationDuration")
    assert (finished["engine"], finished["RotationFinished"]) == ("FakeDB", [1.0])
    assert (duration["engine"], duration["strategy"]) == ("FakeDB", "alternating-users")
    assert duration["RotationDuration"] == [call.line["rotation_seconds"]] == [pytest.approx(3600, abs=60)]
    again = invoke(database, event(scenario, "finishSecret"))
    assert len(again.metrics) == 1
    assert "rotation_seconds" not in again.line


def test_a_version_that_cannot_be_read_any_more_fails_no_rotation_that_is_done(
    invoke: Invoke, service: LocalSecretsManager, database: FakeDatabase, scenario: Scenario
) -> None:
    for step in STEPS[:3]:
        invoke(database, event(scenario, step))

    def refuse(call: ApiCall, phase: Phase) -> None:
        if (call.operation, phase) == ("GetSecretValue", "before"):
            raise ServiceError("AccessDeniedException", "Access to KMS is not allowed")

    service.intercept = refuse
    call = invoke(database, event(scenario, "finishSecret"))
    assert call.error is None
    assert call.line["strategy"] == "unknown"
    service.intercept = None
    assert scenario.labels()["AWSCURRENT"] == scenario.token


def test_a_step_that_fails_logs_why_and_what_to_do_and_is_counted(
    invoke: Invoke, database: FakeDatabase, scenario: Scenario
) -> None:
    call = invoke(database, event(scenario, "setSecret"))
    assert isinstance(call.error, NotRotatable)
    assert call.line["level"] == "ERROR"
    assert call.line["message"] == str(call.error)
    assert call.line["error"] == "NotRotatable"
    assert call.line["cause"] == call.error.cause == "it has no value yet"
    assert call.line["remedy"] == call.error.remedy
    assert (call.line["secret_arn"], call.line["version_token"]) == (scenario.arn, scenario.token)
    assert (call.line["step"], call.line["engine"]) == ("setSecret", "FakeDB")
    assert call.line["duration_ms"] >= 0
    failed = call.metric("StepFailed")
    assert (failed["engine"], failed["step"], failed["error"]) == ("FakeDB", "setSecret", "NotRotatable")
    assert failed["StepFailed"] == [1.0]
    assert call.metric("StepDuration")["step"] == "setSecret"
    assert len(call.metrics) == 2


def test_what_others_wrote_is_searched_for_secrets_and_words_of_ours_are_not(
    invoke: Invoke, database: FakeDatabase, scenario: Scenario
) -> None:
    asked = event(scenario, "createSecret")
    name = scenario.arn.rpartition(":")[2]
    line = invoke(database, {**asked, "RotationToken": name}).line
    assert line["secret_arn"] == scenario.arn.replace(name, MASK)
    line = invoke(database, {**asked, "RotationToken": scenario.token}).line
    assert line["version_token"] == MASK
    line = invoke(database, {**asked, "RotationToken": "createSecret"}).line
    assert (line["step"], line["secret_arn"]) == ("createSecret", scenario.arn)


def test_an_invocation_knows_nothing_of_the_one_before(
    invoke: Invoke, database: FakeDatabase, scenario: Scenario
) -> None:
    invoke(database, event(scenario, "createSecret"))
    line = invoke(database, {}).line
    assert "secret_arn" not in line
    assert (line["step"], line["strategy"]) == ("unknown", "unknown")


@pytest.mark.parametrize(
    "malformed",
    [
        None,
        "createSecret",
        [],
        {},
        {"Step": "createSecret"},
        {"Step": "deleteSecret", "SecretId": "arn", "ClientRequestToken": "t" * 32, "RotationToken": ROTATION_TOKEN},
        {"Step": "createSecret", "SecretId": "arn", "ClientRequestToken": "short", "RotationToken": ROTATION_TOKEN},
        {"Step": ROTATION_TOKEN, "RotationToken": ROTATION_TOKEN},
        {"Step": "createSecret" + ROTATION_TOKEN, "RotationToken": ROTATION_TOKEN},
        {"Step": 7, "RotationToken": [ROTATION_TOKEN]},
    ],
    ids=[
        "nothing",
        "text",
        "list",
        "empty",
        "step only",
        "unknown step",
        "short token",
        "mixed up",
        "joined",
        "wrong types",
    ],
)
def test_an_event_that_is_malformed_is_a_clear_error(invoke: Invoke, database: FakeDatabase, malformed: object) -> None:
    call = invoke(database, malformed)
    assert isinstance(call.error, InvalidEvent)
    assert call.line["error"] == "InvalidEvent"
    assert call.line["step"] == "unknown"
    assert call.metric("StepFailed")["error"] == "InvalidEvent"
    assert_clean(call)


def test_a_wrong_environment_variable_is_a_clear_error(
    invoke: Invoke, database: FakeDatabase, scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASSWORD_LENGTH", "3")
    call = invoke(database, event(scenario, "createSecret"))
    assert isinstance(call.error, InvalidConfiguration)
    assert (call.line["error"], call.line["step"]) == ("InvalidConfiguration", "createSecret")


def test_a_step_that_has_no_time_left_says_so_itself(
    invoke: Invoke, database: FakeDatabase, scenario: Scenario
) -> None:
    invoke(database, event(scenario, "createSecret"))
    call = invoke(database, event(scenario, "setSecret"), Context(seconds=1.0))
    assert isinstance(call.error, OutOfTime)


def lose_password(database: FakeDatabase) -> None:
    """Let nothing that the secret holds log in."""
    database.new_user("app", "lost", reading(ORDERS))


@pytest.mark.parametrize("allowed", [None, "false"])
def test_an_admin_repairs_nothing_unless_that_is_allowed(
    invoke: Invoke, database: FakeDatabase, scenario: Scenario, monkeypatch: pytest.MonkeyPatch, allowed: str | None
) -> None:
    if allowed:
        monkeypatch.setenv("ALLOW_ADMIN_REPAIR", allowed)
    lose_password(database)
    invoke(database, event(scenario, "createSecret"))
    call = invoke(database, event(scenario, "setSecret"))
    assert call.line["error"] == "LoginRefused"
    assert "ALLOW_ADMIN_REPAIR" in call.line["remedy"]
    assert "recovered" not in call.line
    assert "admin" not in {credential.username for credential in database.tried}


def test_what_was_recovered_is_a_warning_with_a_field_of_its_own(
    invoke: Invoke, database: FakeDatabase, scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALLOW_ADMIN_REPAIR", "true")
    lose_password(database)
    lines = [invoke(database, event(scenario, step)).line for step in STEPS]
    assert [line["level"] for line in lines] == ["INFO", "WARNING", "INFO", "INFO"]
    assert lines[1]["recovered"] == BY_ADMIN
    assert database.accepts(scenario.secret().current().credential)


def test_a_leave_that_cannot_be_read_ends_the_step_before_anything_is_called(
    invoke: Invoke,
    service: LocalSecretsManager,
    database: FakeDatabase,
    scenario: Scenario,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ALLOW_ADMIN_REPAIR", "perhaps")
    service.calls.clear()
    call = invoke(database, event(scenario, "setSecret"))
    assert isinstance(call.error, InvalidConfiguration)
    assert "ALLOW_ADMIN_REPAIR" in call.line["message"]
    assert service.calls == []


def run_commands(scenario: Scenario, remedy: str) -> None:
    """Do what the AWS CLI would do with the commands in a remedy."""
    commands = [shlex.split(command) for command in remedy[remedy.index("aws ") :].rstrip(".").split(" && ")]
    assert commands[-1][:3] == ["aws", "secretsmanager", "rotate-secret"]
    for command in commands:
        options = dict(zip(command[3::2], command[4::2], strict=True))
        operation = getattr(scenario.client, command[2].replace("-", "_"))
        operation(**{"".join(word.title() for word in name.split("-")): value for name, value in options.items()})


@pytest.mark.parametrize(
    ("fields", "error"), [({"port": 5001}, "Superseded"), ({}, "PasswordRefused")], ids=["host", "policy"]
)
def test_a_version_that_cannot_work_any_more_comes_with_the_commands_that_clear_it(
    invoke: Invoke, database: FakeDatabase, scenario: Scenario, fields: dict[str, object], error: str
) -> None:
    def refuse(statement: str) -> None:
        if statement.startswith("ALTER") and not fields:
            raise PasswordRefused("setting a password", "it is too short", "Make longer ones")

    invoke(database, event(scenario, "createSecret"))
    scenario.put(json.dumps({**scenario.secret().current().fields, **fields}), "SPARE")
    scenario.move("AWSCURRENT", scenario.first, scenario.labels()["SPARE"])
    database.before = refuse
    call = invoke(database, event(scenario, "setSecret"))
    assert call.line["error"] == error
    stuck = scenario.token
    assert (scenario.labels().get("AWSPENDING") == stuck) == (error == "Superseded")
    run_commands(scenario, call.line["remedy"])
    scenario.service.wait(scenario.arn)
    assert scenario.labels()["AWSPENDING"] != stuck
    scenario.token = scenario.labels()["AWSPENDING"]
    assert invoke(FakeDatabase(), event(scenario, "createSecret")).error is None


def test_passwords_follow_the_environment(
    invoke: Invoke, database: FakeDatabase, scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASSWORD_LENGTH", "21")
    invoke(database, event(scenario, "createSecret"))
    pending = scenario.secret().pending()
    assert pending
    assert len(pending.credential.password) == 21


# No secret leaves


def assert_clean(call: Call) -> None:
    """Require that nothing secret can be seen, and that the error brings nothing else along."""
    for core in [*CORES, "0123456789abcdef0123456789abcdef"]:
        assert core not in call.seen
    if call.error:
        assert call.error.__cause__ is None
        assert call.error.__context__ is None
        assert not hasattr(call.error, "__notes__")


def telltale() -> str:
    """Return a text that holds every secret, quoted in several ways."""
    secrets = [CURRENT, PENDING, ADMIN, ROTATION_TOKEN]
    quoted = [
        form for secret in secrets for form in (secret, repr(secret), json.dumps(secret), secret.replace("'", "''"))
    ]
    return " ".join([*quoted, VERIFIERS])


def written(scenario: Scenario) -> Scenario:
    """Write the marked password into the pending version."""
    scenario.client.put_secret_value(
        SecretId=scenario.arn,
        ClientRequestToken=scenario.token,
        SecretString=json.dumps({**scenario.secret().current().fields, "username": "app_clone", "password": PENDING}),
        VersionStages=["AWSPENDING"],
    )
    return scenario


def fail_as_admin(database: FakeDatabase, error: Exception) -> None:
    """Let the engine raise the error when every secret has been read, with more of them behind it."""

    def before(statement: str) -> None:
        if statement == "log in as admin":
            error.add_note(telltale())
            try:
                raise KeyError(telltale())  # noqa: TRY301 - it becomes the context
            except KeyError:
                raise error from ValueError(telltale())

    database.before = before


def descendants(error: type[RotationError]) -> list[type[RotationError]]:
    """Return all errors below one."""
    return [each for child in error.__subclasses__() for each in (child, *descendants(child))]


@pytest.mark.parametrize("kind", [RotationError, *descendants(RotationError)])
def test_no_error_of_ours_brings_a_secret_out(
    invoke: Invoke, database: FakeDatabase, scenario: Scenario, kind: type[RotationError]
) -> None:
    fail_as_admin(database, kind(telltale(), telltale(), telltale()))
    call = invoke(database, event(written(scenario), "setSecret", RotationToken=ROTATION_TOKEN))
    raised = LoginBlocked if kind is LoginRefused else kind  # an admin that is refused is no user of the secret
    assert type(call.error) is raised
    assert call.line["error"] == raised.__name__
    assert "***" in call.line["message"]
    assert_clean(call)


class _Silent(Exception):
    """An exception that cannot be shown."""

    def __str__(self) -> str:
        raise AssertionError(self.args)

    __repr__ = __str__


FOREIGN: list[Exception] = [
    Exception(telltale()),
    ValueError(telltale(), [telltale()]),
    KeyError(telltale()),
    OSError(5, telltale(), telltale()),
    UnicodeEncodeError("ascii", telltale(), 0, 1, telltale()),
    TimeoutError(telltale()),
    ExceptionGroup(telltale(), [ValueError(telltale())]),
    _Silent(telltale()),
]


@pytest.mark.parametrize("error", FOREIGN, ids=lambda error: type(error).__name__)
def test_an_exception_of_somebody_elses_becomes_a_place_and_nothing_more(
    invoke: Invoke, database: FakeDatabase, scenario: Scenario, error: Exception
) -> None:
    fail_as_admin(database, error)
    call = invoke(database, event(written(scenario), "setSecret", RotationToken=ROTATION_TOKEN))
    assert type(call.error) is Unexpected
    place = re.fullmatch(rf"{type(error).__name__} in ([\w.]+), line \d+", call.error.cause)
    assert place
    assert place[1] == "test_lambda_handler.py"
    assert_clean(call)


def test_a_rotation_that_goes_well_shows_no_secret(invoke: Invoke, database: FakeDatabase, scenario: Scenario) -> None:
    written(scenario)
    # When a value is written, the service takes no RotationToken but its own: see the last test but one.
    calls = [invoke(database, event(scenario, STEPS[0]))]
    calls += [invoke(database, event(scenario, step, RotationToken=ROTATION_TOKEN)) for step in STEPS[1:]]
    for call in calls:
        assert call.error is None
        assert_clean(call)


def test_a_password_that_was_just_made_is_not_shown(invoke: Invoke, database: FakeDatabase, scenario: Scenario) -> None:
    seen = "".join(invoke(database, event(scenario, step)).seen for step in STEPS)
    assert scenario.secret().current().credential.password not in seen
    assert scenario.secret().current().credential.password != CURRENT


def test_what_the_service_refuses_to_write_is_not_shown(
    invoke: Invoke, database: FakeDatabase, scenario: Scenario
) -> None:
    call = invoke(database, event(scenario, "createSecret", RotationToken=ROTATION_TOKEN))
    assert call.line["error"] == "ServiceFailed"
    assert_clean(call)


def test_if_the_service_calls_it_the_handler_rotates_and_its_rotation_token_is_not_shown(
    invoke: Invoke, service: LocalSecretsManager, database: FakeDatabase, scenario: Scenario
) -> None:
    scenario.move("AWSPENDING", scenario.token, None)
    events: list[dict[str, object]] = []
    calls: list[Call] = []

    def function(event: dict[str, object]) -> None:
        events.append(event)
        calls.append(invoke(database, event))

    arn = service.register("handler", function)
    scenario.token = str(uuid.uuid4())
    scenario.client.rotate_secret(SecretId=scenario.arn, RotationLambdaARN=arn, ClientRequestToken=scenario.token)
    assert service.wait(scenario.arn).result == "succeeded"
    assert [call.line["step"] for call in calls] == STEPS
    assert database.accepts(scenario.secret().current().credential)
    for call in calls:
        assert str(events[0]["RotationToken"]) not in call.seen


def test_every_error_is_in_the_module_that_draws_the_tree() -> None:
    modules = {kind.__module__ for kind in descendants(RotationError) if kind.__module__.startswith("rotation")}
    assert modules == {errors.__name__}
