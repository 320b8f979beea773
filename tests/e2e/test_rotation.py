"""Does the artifact of `sam build` rotate a real credential, in Lambda's own runtime, through RotateSecret?"""

import json
import re
import secrets
import shlex
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace

import pytest

from operations import doctor, preflight
from rotation.credential import Credential
from rotation.kind import Strategy
from tests.laboratories import ORDERS, Laboratory, Logins, new_password
from tests.laboratories.postgresql import OLDER
from tests.local.aws import template
from tests.local.aws.deployed import Stack
from tests.local.aws.lambda_runtime import FunctionError, LambdaRuntime
from tests.local.aws.secrets_manager import REGION, LocalSecretsManager, Outcome

pytestmark = pytest.mark.thorough(every_laboratory=OLDER)  # the newest PostgreSQL has the same promises

CALLS, CALLS_OF_PAIR = 10, 11
CALLS_OF_NEW_PAIR = 15
"""Four more: the record of the pair is begun and ended."""
CALLS_TO_LOOK_BACK = 1
"""Or two: the list of versions, and the version before, if there is one. MySQL's users can have an old password."""
CALLS_THAT_SEE = 12
"""The admin looks for the password that works, and then changes it: its secret is read twice."""

CONNECTIONS = {
    "single-user": 2,  # change, test
    "alternating-users-through-admin": 3,  # prove, mirror as the admin, test
    "mysql-single-user": 3,  # ask for the password policy, change, test
    "mariadb-single-user": 3,
    "mysql-alternating-users-through-admin": 4,  # ask for the password policy, and as others
    "mariadb-alternating-users-through-admin": 4,
    "mysql-dual-password": 3,  # ask for the policy, and whether the server can do it, change, test
    "mysql-dual-password-through-admin": 5,  # ask, look for the password as the admin, prove, change as the admin, test
    "mariadb-dual-password-through-admin": 5,  # the same
    "oracle-dual-password": 3,  # ask whether the profile allows it, change, test
    "db2-single-user": 3,  # prove, change while logging in once more, test
    "db2-alternating-users-through-admin": 5,  # as others, in RDSADMIN, and whether RDS's task is done
}
"""The number of connections of a healthy rotation. A rotation with an admin in its secret needs the admin."""

READS = frozenset({"DescribeSecret", "GetSecretValue", "ListSecretVersionIds"})

VERIFIER = re.compile(r"SCRAM-SHA-256\$|\$A\$005\$|\*[0-9A-F]{40}")
"""The verifiers that servers store instead of passwords."""

type Functions = Callable[[Laboratory], tuple[LambdaRuntime, str]]
"""Returns a server's running function, and its ARN, which is attached to Secrets Manager."""


@dataclass(frozen=True)
class Scenario:
    """A function that is deployed, as far as a laptop goes, and a strategy."""

    laboratory: Laboratory
    service: LocalSecretsManager
    runtime: LambdaRuntime
    function_arn: str
    strategy: Strategy
    through_admin: bool
    printed_before: int
    """The length of the function's output when the test began."""

    @property
    def verify(self) -> list[str]:
        """A statement that each new user has the right to run."""
        return [self.laboratory.statement_that_reads(ORDERS)]

    @property
    def verify_in_vain(self) -> list[str]:
        """A statement that no user can run."""
        return [self.laboratory.statement_that_reads("nothing_here")]

    def new_user(self) -> Credential:
        """Create a user that the strategy can rotate."""
        user = self.laboratory.new_user()
        if self.strategy is Strategy.DUAL_PASSWORD:
            self.laboratory.allow_two_passwords(user.username, by_itself=not self.through_admin)
        return user

    def secret(self, user: Credential, **fields: object) -> str:
        """Store a user's credential, to be rotated with the strategy; return its ARN."""
        # Like secrets for AWS's templates: an admin, or none, implies the strategy if that is enough.
        implied = Strategy.ALTERNATING_USERS if self.through_admin else Strategy.SINGLE_USER
        rotation = {} if self.strategy is implied else {"strategy": self.strategy}
        admin = {"masterarn": self._store(self.laboratory.admin, "admin")} if self.through_admin else {}
        return self._store(user, "app", **admin, **fields, rotation={"verify": self.verify, **rotation})

    @property
    def connections(self) -> int:
        """The number of connections of a healthy rotation."""
        way = f"{self.strategy}{'-through-admin' if self.through_admin else ''}"
        return CONNECTIONS.get(f"{self.laboratory.engine.kind.name.lower()}-{way}") or CONNECTIONS[way]

    @property
    def admin_sees(self) -> bool:
        """Whether an admin looks for the password that works, so that the server refuses none."""
        return self.through_admin and self.laboratory.engine.kind.admin_sees_passwords and not self.is_pair

    @property
    def is_pair(self) -> bool:
        """Whether two users take turns."""
        return self.strategy is Strategy.ALTERNATING_USERS

    def calls(self, *, is_first: bool) -> int:
        """Return the number of calls of a healthy rotation to Secrets Manager."""
        if self.is_pair:
            return CALLS_OF_NEW_PAIR if is_first else CALLS_OF_PAIR
        if self.strategy is Strategy.SINGLE_USER and self.laboratory.engine.kind.name == "MySQL":
            return CALLS + CALLS_TO_LOOK_BACK * (1 if is_first else 2)
        return CALLS_THAT_SEE if self.admin_sees else CALLS

    def rotate(self, arn: str) -> Outcome:
        """Rotate, as an operator does, and wait for the end."""
        self.service.client().rotate_secret(SecretId=arn, RotationLambdaARN=self.function_arn)
        return self.service.wait(arn)

    def read(self, arn: str) -> dict[str, object]:
        """Return the current value."""
        value: dict[str, object] = json.loads(self.service.client().get_secret_value(SecretId=arn)["SecretString"])
        return value

    def write(self, arn: str, **fields: object) -> None:
        """Change the current value by hand."""
        value = {**self.read(arn), **fields}
        self.service.client().put_secret_value(SecretId=arn, SecretString=json.dumps(value))

    def printed(self) -> str:
        """Return the function's output during this test."""
        return self.runtime.logs()[self.printed_before :]

    def lines(self) -> list[dict[str, object]]:
        """Return what the function logged, without the metrics and the runtime's own lines."""
        lines = [json.loads(line) for line in self.printed().splitlines() if line.startswith("{")]
        return [line for line in lines if "message" in line]

    def _store(self, user: Credential, prefix: str, **fields: object) -> str:
        value = {
            "engine": user.engine,
            "host": user.host,
            "port": str(user.port),
            "username": user.username,
            "password": user.password,
            **({"dbname": user.database} if user.database != self.laboratory.engine.kind.default_database else {}),
            **fields,
        }
        name = f"{prefix}-{secrets.token_hex(4)}"
        return self.service.client().create_secret(Name=name, SecretString=json.dumps(value))["ARN"]


@pytest.fixture(scope="module")
def service() -> Iterator[LocalSecretsManager]:
    """A Secrets Manager that tries a failing rotation twice."""
    with LocalSecretsManager(attempts=2) as service:
        yield service


@pytest.fixture(scope="module")
def stack(service: LocalSecretsManager) -> Stack:
    """The built template, deployed for secrets whose admin secrets are called `admin-…`."""
    admins = f"arn:aws:secretsmanager:{REGION}:{service.account_id}:secret:admin-*"
    return Stack.deploy(
        region=REGION,
        account_id=service.account_id,
        parameters={f"{engine}AdminSecretArns": admins for engine in template.engines()},
    )


@pytest.fixture(scope="module")
def functions(service: LocalSecretsManager, stack: Stack) -> Iterator[Functions]:
    """Starts each server's function once, like Lambda: the next call meets what the last one left behind.

    A function has the permissions of its role in the template, and its environment there.
    """
    started: dict[str, LambdaRuntime] = {}
    with ExitStack() as exits:

        def function(laboratory: Laboratory) -> tuple[LambdaRuntime, str]:
            name, bundle = function_for(laboratory, stack), str(laboratory.ca_bundle)
            if bundle not in started:
                environment = {**stack.environment(name), **service.acting_as(stack.role_of(name))}
                here = {"ALLOW_LOCAL_HOSTS": "true", "DB_CA_BUNDLE": bundle}
                runtime = LambdaRuntime(name, {**environment, **here})
                started[bundle] = exits.enter_context(runtime)
            return started[bundle], service.register(stack.resolver.name(name), started[bundle].invoke)

        yield function


@pytest.fixture
def scenario(
    every_laboratory: Laboratory,
    strategy: Strategy,
    service: LocalSecretsManager,
    functions: Functions,
    *,
    through_admin: bool,
) -> Scenario:
    """The built function of each server, attached to Secrets Manager, for each strategy."""
    runtime, arn = functions(every_laboratory)
    return Scenario(every_laboratory, service, runtime, arn, strategy, through_admin, len(runtime.logs()))


def function_for(laboratory: Laboratory, stack: Stack) -> str:
    """Return the function of the template that is named after the server's kind."""
    wanted = f"{laboratory.engine.kind.name}Function".replace(" ", "").casefold()
    [name] = (name for name in stack.of_type("AWS::Lambda::Function") if name.casefold() == wanted)
    return name


def test_a_healthy_rotation_makes_few_calls_and_no_failed_login(scenario: Scenario) -> None:
    user = scenario.new_user()
    arn = scenario.secret(user, **{"owner's own": ["kept", 1]})
    first = current = user
    for number in range(3):
        logged = scenario.laboratory.logins()
        scenario.service.calls.clear()
        outcome = scenario.rotate(arn)
        assert (outcome.result, outcome.attempts, outcome.error) == ("succeeded", 1, None)
        made = [call.operation for call in scenario.service.calls if call.operation != "RotateSecret"]
        assert len(made) == scenario.calls(is_first=number == 0), made
        if (now := scenario.laboratory.logins()) and logged:
            assert now - logged == Logins(scenario.connections, 0)
        before, value = current, scenario.read(arn)
        current = replace(user, username=str(value["username"]), password=str(value["password"]))
        assert current.password != before.password
        turns = scenario.strategy is Strategy.ALTERNATING_USERS and number % 2 == 0
        assert current.username == first.username + ("_clone" if turns else "")
        assert scenario.laboratory.may_read(current, ORDERS)
        assert scenario.laboratory.logs_in(before) == (scenario.strategy is not Strategy.SINGLE_USER)


@pytest.mark.thorough(strategy=[Strategy.SINGLE_USER, Strategy.DUAL_PASSWORD])  # no strategy makes a difference here
def test_all_else_in_the_secret_stays(scenario: Scenario) -> None:
    arn = scenario.secret(scenario.new_user(), **{"owner's own": ["kept", 1]})
    before = scenario.read(arn)
    assert scenario.rotate(arn).result == "succeeded"
    after = scenario.read(arn)
    changed = {"username", "password"} if scenario.strategy is Strategy.ALTERNATING_USERS else {"password"}
    assert {key for key in before | after if before.get(key) != after.get(key)} == changed


@pytest.mark.thorough(strategy=[Strategy.SINGLE_USER, Strategy.DUAL_PASSWORD])  # no strategy makes a difference here
def test_without_tls_it_rotates_if_the_secret_says_so(scenario: Scenario) -> None:
    arn = scenario.secret(scenario.new_user(), ssl=False)
    for _ in range(2):
        outcome = scenario.rotate(arn)
        assert (outcome.result, outcome.attempts, outcome.error) == ("succeeded", 1, None)


@pytest.mark.thorough(strategy=[Strategy.SINGLE_USER, Strategy.DUAL_PASSWORD])  # no strategy makes a difference here
def test_one_line_tells_an_operator_what_was_done(scenario: Scenario) -> None:
    arn = scenario.secret(scenario.new_user())
    outcome = scenario.rotate(arn)
    lines = scenario.lines()
    assert [line["step"] for line in lines] == ["createSecret", "setSecret", "testSecret", "finishSecret"]
    for line in lines:
        assert line["level"] == "INFO"
        assert line["secret_arn"] == arn
        assert line["version_token"] == outcome.version_token
        assert line["engine"] == scenario.laboratory.engine.kind.name
        assert isinstance(line["duration_ms"], int)
    assert [line["strategy"] for line in lines[:3]] == [scenario.strategy] * 3


def test_a_failure_says_cause_and_remedy_and_recovers_when_the_cause_is_gone(scenario: Scenario) -> None:
    user = scenario.new_user()
    arn = scenario.secret(replace(user, password="not it"))
    logged = scenario.laboratory.logins()
    outcome = scenario.rotate(arn)
    assert outcome.result == "failed"
    assert "LoginRefused" in str(outcome.error)
    doing = "looking for the password of" if scenario.admin_sees else "logging in as"
    assert f"{doing} {user.username} at {user.host}:{user.port}" in str(outcome.error)
    assert "Put the user's real password into the secret" in str(outcome.error)
    [failure, *_] = [line for line in scenario.lines() if line["level"] == "ERROR"]
    assert failure["error"] == "LoginRefused"
    assert failure["step"] == "setSecret"
    if (now := scenario.laboratory.logins()) and logged:
        refusals = now - logged
        if scenario.admin_sees:
            # createSecret asks, with AWSCURRENT and with its own version; then the admin sees that no password works.
            assert 0 < refusals.refused <= 2 * outcome.attempts
        else:
            assert 0 < refusals.refused == refusals.tried, "no admin is asked, and refusals can be seen"
    scenario.write(arn, password=user.password)
    assert scenario.rotate(arn).result == "succeeded"


@pytest.mark.thorough(strategy=[Strategy.SINGLE_USER])  # the user of a pair and the admin print and log what it does
def test_no_secret_is_in_what_the_function_prints_or_the_server_logs(scenario: Scenario) -> None:
    user = scenario.new_user()
    theirs, ours = {user.password, scenario.laboratory.admin.password}, set()
    arn = scenario.secret(user)
    for _ in range(3):
        assert scenario.rotate(arn).result == "succeeded"
        ours.add(str(scenario.read(arn)["password"]))
    scenario.write(arn, rotation={**rotation_of(scenario.read(arn)), "verify": scenario.verify_in_vain})
    assert scenario.rotate(arn).result == "failed"
    ours |= passwords(scenario, arn)
    theirs.add(wrong := f"wrong-{secrets.token_hex()}")
    assert scenario.rotate(scenario.secret(replace(scenario.new_user(), password=wrong))).result == "failed"
    printed, server = scenario.printed(), scenario.laboratory.log_text()
    assert [secret in printed for secret in ours | theirs] == [False] * len(ours | theirs)
    # Only the laboratory sends its made-up passwords in clear; the function never does.
    assert len(ours - theirs) == 4
    assert [secret in server for secret in ours - theirs] == [False] * len(ours - theirs)
    assert not VERIFIER.search(printed)
    assert "RotationToken" not in printed


@pytest.mark.thorough(strategy=[Strategy.SINGLE_USER, Strategy.DUAL_PASSWORD])  # no strategy makes a difference here
def test_an_error_of_a_verified_statement_names_it(scenario: Scenario) -> None:
    arn = scenario.secret(scenario.new_user())
    scenario.write(
        arn, rotation={**rotation_of(scenario.read(arn)), "verify": scenario.verify + scenario.verify_in_vain}
    )
    outcome = scenario.rotate(arn)
    assert outcome.result == "failed"
    assert "running statement 2 of verify" in str(outcome.error)
    assert "nothing_here" in str(outcome.error).casefold()


@pytest.mark.thorough(strategy=[Strategy.SINGLE_USER, Strategy.DUAL_PASSWORD])  # no strategy makes a difference here
def test_what_is_not_a_rotation_event_is_refused(scenario: Scenario) -> None:
    for event in ({}, {"Step": "setSecret"}, {"Step": "drop", "SecretId": "a", "ClientRequestToken": "b"}):
        with pytest.raises(FunctionError) as raised:
            scenario.runtime.invoke(event)
        assert raised.value.error_type == "InvalidEvent"


@pytest.mark.thorough(strategy=[Strategy.SINGLE_USER, Strategy.DUAL_PASSWORD])  # no strategy makes a difference here
def test_a_schedule_that_is_saved_without_rotating_only_tests(scenario: Scenario) -> None:
    arn = scenario.secret(scenario.new_user())
    before = scenario.read(arn)
    scenario.service.client().rotate_secret(
        SecretId=arn,
        RotationLambdaARN=scenario.function_arn,
        RotationRules={"AutomaticallyAfterDays": 30},
        RotateImmediately=False,
    )
    assert scenario.service.wait(arn).result == "succeeded"
    assert scenario.read(arn) == before
    assert [line["step"] for line in scenario.lines()] == ["testSecret"]


def test_an_operator_is_told_that_the_next_rotation_would_succeed(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the command of `make preflight`, which invokes the built function in its role."""
    arn = scenario.secret(scenario.new_user())
    assert scenario.rotate(arn).result == "succeeded"
    for name, value in scenario.service.environment.items():
        monkeypatch.setenv(name, value)
    scenario.service.calls.clear()
    code = preflight.main([arn])
    shown = capsys.readouterr()
    assert code == 0, shown.out + shown.err
    assert "AWSCURRENT logs in" in shown.out
    assert str(scenario.read(arn)["password"]) not in shown.out + scenario.printed()
    made = {call.operation for call in scenario.service.calls}
    assert made <= {"DescribeSecret", "GetSecretValue"}


@pytest.mark.strategies(Strategy.SINGLE_USER)
def test_an_operator_is_told_what_lets_the_application_in_again(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the command of `make doctor`, and then by what it prints, word by word."""
    user, client = scenario.new_user(), scenario.service.client()
    arn = scenario.secret(user)
    assert scenario.rotate(arn).result == "succeeded"
    pending = replace(user, password=new_password())
    text = json.dumps({**scenario.read(arn), "password": pending.password})
    client.put_secret_value(SecretId=arn, SecretString=text, VersionStages=["AWSPENDING"])
    scenario.laboratory.change_password(pending)
    for name, value in scenario.service.environment.items():
        monkeypatch.setenv(name, value)
    scenario.service.calls.clear()
    code = doctor.main([arn])
    shown = capsys.readouterr()
    assert code == 1, shown.out + shown.err
    assert {call.operation for call in scenario.service.calls} == READS
    assert re.search(r"^locked out +fail", shown.out, re.MULTILINE)
    assert pending.password not in shown.out + scenario.printed()
    # The other one attaches the emulator's function, whose ARN is not the one that is attached.
    [command, _] = [line.strip() for line in shown.out.splitlines() if line.startswith("   aws ")]
    label, target, source = shlex.split(command)[6::2]
    client.update_secret_version_stage(
        SecretId=arn, VersionStage=label, MoveToVersionId=target, RemoveFromVersionId=source
    )
    assert scenario.read(arn)["password"] == pending.password
    assert doctor.main([arn]) == 0
    assert scenario.rotate(arn).result == "succeeded"


def rotation_of(value: dict[str, object]) -> dict[str, object]:
    """Return what a secret says about its rotation."""
    rotation = value["rotation"]
    assert isinstance(rotation, dict)
    return rotation


def passwords(scenario: Scenario, arn: str) -> set[str]:
    """Return the passwords of all versions of a secret that have a value."""
    client = scenario.service.client()
    versions = client.list_secret_version_ids(SecretId=arn, IncludeDeprecated=True)["Versions"]
    values = (client.get_secret_value(SecretId=arn, VersionId=version["VersionId"]) for version in versions)
    return {json.loads(value["SecretString"])["password"] for value in values}
