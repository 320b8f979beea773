"""Does what `sam build` made rotate a real credential, in Lambda's own runtime, through RotateSecret?"""

import json
import secrets
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from rotation.credential import Credential
from rotation.kind import Strategy
from tests.laboratories import ORDERS, PostgreSQLLaboratory
from tests.local.lambda_runtime import FunctionError, LambdaRuntime
from tests.local.secrets_manager import LocalSecretsManager, Outcome

PASSWORD = r"[A-Za-z0-9!#$%&()*+,\-.:;<=>?\[\]^_`{|}~]{32}"


@dataclass(frozen=True)
class Stage:
    """A function that is deployed, as far as a laptop goes."""

    laboratory: PostgreSQLLaboratory
    service: LocalSecretsManager
    runtime: LambdaRuntime
    function_arn: str

    def secret(self, user: Credential, **fields: object) -> str:
        """Store a user's credential; return its ARN."""
        value = {
            "engine": user.engine,
            "host": user.host,
            "port": str(user.port),
            "username": user.username,
            "password": user.password,
            **fields,
        }
        name = f"secret-{secrets.token_hex(4)}"
        return self.service.client().create_secret(Name=name, SecretString=json.dumps(value))["ARN"]

    def admin_secret(self) -> str:
        """Store the admin's credential; return its ARN."""
        return self.secret(self.laboratory.admin)

    def rotate(self, arn: str) -> Outcome:
        """Rotate, as an operator does, and wait for the end."""
        self.service.client().rotate_secret(SecretId=arn, RotationLambdaARN=self.function_arn)
        return self.service.wait(arn)

    def read(self, arn: str) -> dict[str, object]:
        """Return the current value."""
        value: dict[str, object] = json.loads(self.service.client().get_secret_value(SecretId=arn)["SecretString"])
        return value

    def lines(self) -> list[dict[str, object]]:
        """Return what the function logged, without the metrics and the runtime's own lines."""
        lines = [json.loads(line) for line in self.runtime.logs().splitlines() if line.startswith("{")]
        return [line for line in lines if "message" in line]


@pytest.fixture
def stage(postgresql: PostgreSQLLaboratory) -> Iterator[Stage]:
    """The built function, attached to Secrets Manager."""
    with LocalSecretsManager(attempts=2) as service:
        environment = {**service.environment, "DB_CA_BUNDLE": str(postgresql.ca_bundle)}
        with LambdaRuntime("PostgreSqlFunction", environment) as runtime:
            arn = service.register("postgresql", runtime.invoke)
            yield Stage(postgresql, service, runtime, arn)


def statements(log: str) -> Counter[str]:
    """Count what the server logged of connections and logins."""
    return Counter(
        kind
        for line in log.splitlines()
        for kind in ("connection authorized", "password authentication failed", "FATAL", "ERROR")
        if kind in line
    )


@pytest.mark.parametrize(
    ("strategy", "calls", "connections"), [(Strategy.SINGLE_USER, 8, 2), (Strategy.ALTERNATING_USERS, 9, 3)]
)
def test_a_healthy_rotation_makes_few_calls_and_no_failed_login(
    stage: Stage, strategy: Strategy, calls: int, connections: int
) -> None:
    user = stage.laboratory.new_user()
    verify = [f"SELECT 1 FROM {ORDERS}"]  # noqa: S608 - a constant
    fields: dict[str, object] = {"rotation": {"verify": verify}, "owner's own": ["kept", 1]}
    if strategy is Strategy.ALTERNATING_USERS:
        fields["masterarn"] = stage.admin_secret()
    arn = stage.secret(user, **fields)
    for number in range(3):
        before = stage.laboratory.log_text()
        stage.service.calls.clear()
        outcome = stage.rotate(arn)
        assert (outcome.result, outcome.attempts, outcome.error) == ("succeeded", 1, None)
        made = [call.operation for call in stage.service.calls if call.operation != "RotateSecret"]
        assert len(made) == calls, made
        logged = statements(stage.laboratory.log_text().removeprefix(before))
        assert logged == Counter({"connection authorized": connections})
        value = stage.read(arn)
        assert {**value, "username": "", "password": ""} == {
            **value, **fields, "host": user.host, "port": str(user.port), "username": "", "password": "",
        }  # fmt: skip
        current = replace(user, username=str(value["username"]), password=str(value["password"]))
        assert stage.laboratory.may_read(current, ORDERS)
        turns = strategy is Strategy.ALTERNATING_USERS and number % 2 == 0
        assert current.username == user.username + ("_clone" if turns else "")


def test_one_line_tells_an_operator_what_was_done(stage: Stage) -> None:
    arn = stage.secret(stage.laboratory.new_user())
    outcome = stage.rotate(arn)
    lines = stage.lines()
    assert [line["step"] for line in lines] == ["createSecret", "setSecret", "testSecret", "finishSecret"]
    for line in lines:
        assert line["secret_arn"] == arn
        assert line["version_token"] == outcome.version_token
        assert line["engine"] == "PostgreSQL"
        assert isinstance(line["duration_ms"], int)
    assert [line["strategy"] for line in lines[:3]] == ["single-user"] * 3


def test_a_failure_says_cause_and_remedy_and_heals_when_the_cause_is_gone(stage: Stage) -> None:
    user = stage.laboratory.new_user()
    arn = stage.secret(replace(user, password="not it"))
    outcome = stage.rotate(arn)
    assert outcome.result == "failed"
    assert "LoginRefused" in str(outcome.error)
    assert f"logging in as {user.username} at {user.host}:{user.port}" in str(outcome.error)
    assert "Put the user's real password into the secret" in str(outcome.error)
    [failure, *_] = [line for line in stage.lines() if line["level"] == "ERROR"]
    assert failure["error"] == "LoginRefused"
    assert failure["step"] == "setSecret"
    value = {**stage.read(arn), "password": user.password}
    stage.service.client().put_secret_value(SecretId=arn, SecretString=json.dumps(value))
    assert stage.rotate(arn).result == "succeeded"


def test_no_secret_is_in_what_the_function_prints_or_the_server_logs(stage: Stage) -> None:
    user = stage.laboratory.new_user()
    secrets_seen = {user.password, stage.laboratory.admin.password}
    arn = stage.secret(user, masterarn=stage.admin_secret())
    for _ in range(3):
        assert stage.rotate(arn).result == "succeeded"
        secrets_seen.add(str(stage.read(arn)["password"]))
    stage.secret(replace(user, password="wrong-" + user.password))
    broken = stage.secret(replace(user, username="nobody"), rotation={"verify": ["SELECT 1/0"]})
    assert stage.rotate(broken).result == "failed"
    printed = stage.runtime.logs()
    server = stage.laboratory.log_text()
    for secret in secrets_seen:
        assert secret not in printed
    # The laboratory itself sends the passwords that it makes up in clear, the function never does.
    for secret in secrets_seen - {user.password, stage.laboratory.admin.password}:
        assert secret not in server
    assert "SCRAM-SHA-256$" not in printed
    assert "RotationToken" not in printed


def test_an_error_of_a_verified_statement_names_it(stage: Stage) -> None:
    arn = stage.secret(stage.laboratory.new_user(), rotation={"verify": ["SELECT 1", "SELECT 1 FROM nothing_here"]})
    outcome = stage.rotate(arn)
    assert outcome.result == "failed"
    assert "running statement 2 of verify" in str(outcome.error)
    assert 'relation "nothing_here" does not exist' in str(outcome.error)


@pytest.mark.parametrize(
    "event", [{}, {"Step": "setSecret"}, {"Step": "drop", "SecretId": "a", "ClientRequestToken": "b"}]
)
def test_what_is_not_a_rotation_event_is_refused(stage: Stage, event: dict[str, object]) -> None:
    with pytest.raises(FunctionError) as raised:
        stage.runtime.invoke(event)
    assert raised.value.error_type == "InvalidEvent"


def test_a_schedule_that_is_saved_without_rotating_only_tests(stage: Stage) -> None:
    arn = stage.secret(stage.laboratory.new_user())
    before = stage.read(arn)
    stage.service.client().rotate_secret(
        SecretId=arn,
        RotationLambdaARN=stage.function_arn,
        RotationRules={"AutomaticallyAfterDays": 30},
        RotateImmediately=False,
    )
    assert stage.service.wait(arn).result == "succeeded"
    assert stage.read(arn) == before
    assert [line["step"] for line in stage.lines()] == ["testSecret"]
