"""Is each secret attached that carries the tag, and none detached that something else attached?

The handler runs in the roles of the template: what no statement allows is refused.
"""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import boto3
import pytest

from functions.watch import app
from rotation import deadline, lambda_handler
from rotation.aws import own_clients
from rotation.engines.db2 import kind as db2
from rotation.engines.mariadb import kind as mariadb
from rotation.engines.mysql import kind as mysql
from rotation.engines.oracle import kind as oracle
from rotation.engines.postgresql import kind as postgresql
from rotation.engines.sqlserver import kind as sqlserver
from rotation.errors import RotationError, ServiceFailed
from rotation.watch.attached import OFF_INTENDED
from rotation.watch.by_tag import TaggedSecret
from rotation.watch.tags import engine_word
from tests.local.aws import template
from tests.local.aws.deployed import Stack
from tests.local.aws.iam import Request
from tests.local.aws.quotas import Quotas
from tests.local.aws.secrets_manager import REGION, Call, LocalSecretsManager, ServiceError
from tests.unit.scenario import Clock

KEY = "secret-rotation"
MARK = f"{KEY}-attached"
KMS_KEY = f"arn:aws:kms:{REGION}:123456789012:key/1"
PASSWORD = "Zq7unmistakable-Wd3"
MONTHLY = {"ScheduleExpression": "rate(30 days)", "Duration": "2h"}


@dataclass
class Context:
    """What Lambda tells a function of its invocation."""

    clock: Clock
    aws_request_id = "a-request-id"

    def get_remaining_time_in_millis(self) -> int:
        """Return what is left."""
        return round(self.clock.left * 1000)


@dataclass
class Said:
    """What came of one run."""

    errors: list[dict[str, Any]]
    infos: list[str]
    metrics: dict[str, float]
    raised: RotationError | None = None

    @property
    def error(self) -> dict[str, Any]:
        """The one error."""
        [error] = self.errors
        return error


@dataclass
class Account:
    """An account with the stack and its secrets."""

    service: LocalSecretsManager
    stack: Stack
    run: Callable[..., Said] = field(init=False)
    steps: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Let the functions write down what they are called for."""
        self.client = self.service.client()
        self.functions = {
            engine: self.service.register(f"rotation-{engine}", self._noting(engine)) for engine in template.engines()
        }

    def _noting(self, engine: str) -> Callable[[dict[str, object]], None]:
        return lambda event: self.steps.append((engine, str(event["Step"])))

    def new(self, value: str | None = None, *, content: str = "{}", **tags: str) -> str:
        """Make a secret, with the tag if it has a value; return its ARN."""
        keys = {f"{KEY}-{name}": text for name, text in tags.items()} | ({KEY: value} if value is not None else {})
        said = [{"Key": key, "Value": text} for key, text in keys.items()]
        return self.client.create_secret(Name=f"app-{uuid4()}", SecretString=content, Tags=said)["ARN"]  # type: ignore[arg-type]

    def tag(self, arn: str, value: str, key: str = KEY) -> None:
        """Tag a secret, as its owner."""
        self.client.tag_resource(SecretId=arn, Tags=[{"Key": key, "Value": value}])

    def untag(self, arn: str, key: str = KEY) -> None:
        """Remove a tag, as the secret's owner."""
        self.client.untag_resource(SecretId=arn, TagKeys=[key])

    def attach(self, arn: str, function: str) -> None:
        """Attach a secret by hand."""
        self.client.rotate_secret(SecretId=arn, RotationLambdaARN=function, RotateImmediately=False)
        self.service.wait(arn)

    def state(self, arn: str) -> tuple[str, bool, str]:
        """Return the secret's function, without what all have, whether it rotates, and our mark."""
        said: Any = self.client.describe_secret(SecretId=arn)
        tags = {tag["Key"]: tag["Value"] for tag in said.get("Tags", [])}
        names = [said.get("RotationLambdaARN", ""), *tags.get(MARK, "").split(" ")]
        function, *mark = [name.rpartition("rotation-")[2] for name in names]
        return function, said.get("RotationEnabled", False), mark[0]

    def rules(self, arn: str) -> object:
        """Return when the secret rotates."""
        return self.client.describe_secret(SecretId=arn)["RotationRules"]

    def changes(self) -> list[str]:
        """Return the operations so far that change something."""
        reads = ("ListSecrets", "DescribeSecret")
        return [call.operation for call in self.service.calls if call.operation not in reads]


@pytest.fixture(scope="module")
def _account() -> Iterator[Account]:
    with LocalSecretsManager(attempts=1) as service:
        stack = Stack.deploy(
            template.SOURCE,
            name="rotation",
            region=REGION,
            account_id=service.account_id,
            parameters={"AttachTagKey": KEY, "KmsKeyArns": KMS_KEY},
        )
        yield Account(service, stack)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Lambda's time; waiting takes none of ours."""
    clock = Clock(left=900)
    monkeypatch.setattr(deadline, "time", clock)
    return clock


@pytest.fixture
def account(
    _account: Account, clock: Clock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Account]:
    """An account without secrets, in which the handler has its role and its environment."""
    account, service, stack = _account, _account.service, _account.stack

    def act_as(function: str) -> None:
        role = service.acting_as(stack.role_of(function))
        for name, value in {**stack.environment(function), **role}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # it keeps the credentials that it found first
        own_clients.cache_clear()

    def engine(event: object) -> dict[str, str]:
        act_as("EngineFunction")
        answer = app.engine(event, Context(Clock(left=10)))  # type: ignore[arg-type]
        act_as("AttachFunction")
        return answer

    def run(event: object = None) -> Said:
        raised = None
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(lambda_handler.logger.registered_handler, "stream", sys.stdout)
            try:
                app.attach(event, Context(clock))  # type: ignore[arg-type]
            except RotationError as error:
                raised = error
        out = capsys.readouterr().out
        assert PASSWORD not in out
        lines = [json.loads(line) for line in out.splitlines()]
        metrics = {name: line[name][0] for line in lines for name in line if name.startswith("Secrets")}
        logged = [line for line in lines if "_aws" not in line]
        errors = [line for line in logged if line["level"] == "ERROR"]
        return Said(errors, [line["message"] for line in logged if line["level"] == "INFO"], metrics, raised)

    service.register(stack.resolver.arn("EngineFunction").rpartition(":")[2], engine)
    act_as("AttachFunction")
    account.run = run
    account.steps.clear()
    service.calls.clear()
    service.outcomes.clear()
    yield account
    service.intercept = None
    service.forget()
    own_clients.cache_clear()


def event_of(name: str, **detail: object) -> dict[str, object]:
    """Return an event of CloudTrail."""
    return {"detail-type": "AWS API Call via CloudTrail", "detail": {"eventName": name, **detail}}


# What the tag asks for


def test_each_secret_with_the_tag_is_attached_to_the_function_of_its_engine(account: Account) -> None:
    engines = {engine.lower(): engine for engine in template.engines()}
    secrets = {engine: account.new(engine) for engine in engines}
    other = account.new()
    said = account.run()
    for engine, arn in secrets.items():
        account.service.wait(arn)
        assert account.state(arn) == (engines[engine], True, engines[engine])
        assert account.rules(arn) == MONTHLY
    assert account.state(other) == ("", False, "")
    assert sorted(account.steps) == sorted((engine, "testSecret") for engine in engines.values())
    assert said.metrics == {"SecretsAttachedByTag": 6, "SecretsNotAttachable": 0}


def test_what_is_done_is_not_done_again(account: Account) -> None:
    for _ in range(3):
        account.new("mysql")
    account.run()
    account.service.calls.clear()
    said = account.run()
    assert [call.operation for call in account.service.calls] == ["ListSecrets"]
    assert said.metrics == {"SecretsAttachedByTag": 3, "SecretsNotAttachable": 0}


def test_further_tags_say_when_it_rotates_and_whether_at_once(account: Account) -> None:
    arn = account.new("postgresql", schedule="12 hours", window="3h", immediately="true")
    account.run()
    account.service.wait(arn)
    assert account.rules(arn) == {"ScheduleExpression": "rate(12 hours)", "Duration": "3h"}
    assert [step for _, step in account.steps] == ["createSecret", "setSecret", "testSecret", "finishSecret"]


def test_a_whole_expression_can_be_the_schedule(account: Account) -> None:
    arn = account.new("postgresql", schedule="cron(0 3 ? * SUN *)")
    account.run()
    assert account.rules(arn) == {"ScheduleExpression": "cron(0 3 ? * SUN *)", "Duration": "2h"}


@pytest.mark.parametrize(
    ("value", "tags", "key"),
    [
        ("", {}, KEY),
        ("postgres", {}, KEY),
        ("PostgreSQL", {}, KEY),
        ("mysql", {"schedule": "7"}, f"{KEY}-schedule"),
        ("mysql", {"schedule": "0 days"}, f"{KEY}-schedule"),
        ("mysql", {"schedule": "7 weeks"}, f"{KEY}-schedule"),
        ("mysql", {"window": "25h"}, f"{KEY}-window"),
        ("mysql", {"window": "3"}, f"{KEY}-window"),
        ("mysql", {"immediately": "now"}, f"{KEY}-immediately"),
    ],
)
def test_a_value_that_means_nothing_is_an_error_that_names_the_tag(
    account: Account, value: str, tags: dict[str, str], key: str
) -> None:
    arn = account.new(value, **tags)
    said = account.run()
    assert (said.error["secret_arn"], said.error["error"]) == (arn, "NotAttachable")
    assert said.error["remedy"] == f"Correct the tag {key}"
    assert said.metrics == {"SecretsAttachedByTag": 0, "SecretsNotAttachable": 1}
    assert account.state(arn) == ("", False, "")


def test_an_engine_without_a_function_is_an_error(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    for value, content in {"oracle": "{}", "auto": '{"engine": "oracle-ee"}'}.items():
        monkeypatch.setenv("ORACLE_FUNCTION_ARN", "")
        arn = account.new(value, content=content)
        said = account.run()
        assert said.error["cause"] == "this stack has no function for oracle"
        account.untag(arn)


def test_a_schedule_that_the_service_refuses_is_an_error_and_the_next_secret_is_attached(account: Account) -> None:
    refused, good = account.new("mysql", schedule="1 hour"), account.new("mysql")

    def too_often(call: Call, phase: str) -> None:
        if "1 hour" in str(call.parameters.get("RotationRules")) and phase == "before":
            raise ServiceError("InvalidParameterException", "The rotation interval is too short.")

    account.service.intercept = too_often
    said = account.run()
    assert (said.error["secret_arn"], "too short" in said.error["cause"]) == (refused, True)
    assert account.state(good) == ("MySql", True, "MySql")
    account.service.intercept = None
    account.tag(refused, "4 hours", f"{KEY}-schedule")
    assert not account.run().errors
    assert account.state(refused) == ("MySql", True, "MySql")


def test_a_tag_without_a_value_stops_nobody_else() -> None:
    """AWS's model of a tag requires neither part (https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_Tag.html)."""
    entry: Any = {"ARN": f"arn:aws:secretsmanager:{REGION}:1:secret:app-AbCdEf", "Tags": [{"Key": KEY}, {"Value": "x"}]}
    assert TaggedSecret.parse(entry).tags == {KEY: "", "": "x"}


def test_a_secret_that_was_deleted_meanwhile_is_no_error(account: Account) -> None:
    gone, scheduled, good = (account.new("mysql") for _ in range(3))

    def deleted(call: Call, phase: str) -> None:
        if (call.operation, phase) == ("ListSecrets", "after"):
            account.client.delete_secret(SecretId=gone, ForceDeleteWithoutRecovery=True)
            account.client.delete_secret(SecretId=scheduled)

    account.service.intercept = deleted
    said = account.run()
    assert said.metrics == {"SecretsAttachedByTag": 1, "SecretsNotAttachable": 0}
    assert account.state(good) == ("MySql", True, "MySql")


def test_secrets_that_take_all_the_time_do_not_keep_the_others_waiting_for_ever(account: Account, clock: Clock) -> None:
    """Without another order in each run, the last one would never be attached."""
    slow, good = [account.new("mysql") for _ in range(2)], account.new("mysql")

    def silent(call: Call, phase: str) -> None:
        if call.secret_id in slow and (call.operation, phase) == ("RotateSecret", "before"):
            clock.left = 0
            raise ServiceError("InternalServiceError", "no answer")

    account.service.intercept = silent
    for _ in range(60):  # by chance not once in 60 runs: (2/3) to the power of 60
        clock.left = 30
        account.run()
        if account.state(good)[1]:
            return
    pytest.fail("it was never attached")


# Tags that change


def test_a_secret_that_loses_its_tag_is_detached_and_can_get_it_again(account: Account) -> None:
    arn = account.new("mysql")
    for _ in range(2):
        account.run()
        assert account.state(arn) == ("MySql", True, "MySql")
        account.untag(arn)
        account.run()
        assert account.state(arn) == ("MySql", False, "detached")
        account.service.calls.clear()
        account.run()
        assert not account.changes()
        account.tag(arn, "mysql")


def test_another_engine_or_schedule_is_followed_and_nothing_rotates_again(account: Account) -> None:
    arn = account.new("mysql")
    account.run()
    account.service.wait(arn)
    account.tag(arn, "true", f"{KEY}-immediately")
    account.tag(arn, "mariadb")
    account.tag(arn, "90 days", f"{KEY}-schedule")
    account.steps.clear()
    account.run()
    account.service.wait(arn)
    assert account.state(arn) == ("MariaDb", True, "MariaDb")
    assert account.rules(arn) == {"ScheduleExpression": "rate(90 days)", "Duration": "2h"}
    assert account.steps == [("MariaDb", "testSecret")]


def test_a_schedule_that_was_changed_by_hand_stays(account: Account) -> None:
    arn = account.new("mysql")
    account.run()
    by_hand: Any = {"ScheduleExpression": "rate(5 days)", "Duration": "4h"}
    account.client.rotate_secret(SecretId=arn, RotationRules=by_hand, RotateImmediately=False)
    account.service.wait(arn)
    account.run()
    assert account.rules(arn) == by_hand


def test_if_the_new_value_means_nothing_the_secret_stays_attached(account: Account) -> None:
    arn = account.new("mysql")
    account.run()
    account.tag(arn, "my-sql")
    assert account.run().metrics["SecretsNotAttachable"] == 1
    assert account.state(arn) == ("MySql", True, "MySql")


# What others did


def test_what_was_attached_by_hand_is_left_alone_with_the_tag_and_without(account: Account) -> None:
    arn = account.new("mysql")
    account.attach(arn, account.functions["MySql"])
    account.service.calls.clear()
    said = account.run()
    assert "1 left to whoever attached them" in said.infos[-1]
    assert said.metrics == {"SecretsAttachedByTag": 0, "SecretsNotAttachable": 0}
    account.untag(arn)
    account.run()
    assert account.state(arn) == ("MySql", True, "")
    assert account.changes() == ["UntagResource"]


@pytest.mark.parametrize("name", ["rotation-PostgreSql", "rotation-production-MySql", "anything"])
def test_what_has_another_function_is_an_error_until_it_is_turned_off(account: Account, name: str) -> None:
    arn = account.new("mysql")
    function = account.service.register(name, lambda _: None)
    account.attach(arn, function)
    said = account.run()
    assert said.error["secret_arn"] == arn
    assert function in said.error["cause"]
    assert f"cancel-rotate-secret --secret-id {arn}" in said.error["remedy"]
    assert account.state(arn)[1:] == (True, "")
    account.client.cancel_rotate_secret(SecretId=arn)
    assert not account.run().errors
    assert account.state(arn) == ("MySql", True, "MySql")


def test_what_another_stack_attached_by_tag_is_left_to_it(account: Account) -> None:
    arn = account.new("mysql")
    other = account.service.register("rotation-production-MySql", lambda _: None)
    account.attach(arn, other)
    account.tag(arn, f"{other} 01234567", MARK)
    before = account.state(arn)
    assert len(account.run().errors) == 1
    account.untag(arn)
    assert not account.run().errors
    assert account.state(arn) == before


def test_a_rotation_that_somebody_turned_off_stays_off(account: Account) -> None:
    arn = account.new("mysql")
    account.run()
    account.client.cancel_rotate_secret(SecretId=arn)
    said = account.run()
    assert "turned its rotation off" in said.error["cause"]
    assert f"tag-resource --secret-id {arn} --tags Key={OFF_INTENDED}," in said.error["remedy"]
    assert account.state(arn) == ("MySql", False, "MySql")
    account.client.rotate_secret(SecretId=arn, RotateImmediately=False)
    assert account.run().metrics == {"SecretsAttachedByTag": 1, "SecretsNotAttachable": 0}


@pytest.mark.parametrize("by", ["tag", "hand", "nobody"])
def test_a_rotation_that_is_off_on_purpose_stays_off_and_is_no_error(account: Account, by: str) -> None:
    arn = account.new("mysql")
    if by == "hand":
        account.attach(arn, account.functions["MySql"])
    if by != "nobody":
        account.run()
        account.client.cancel_rotate_secret(SecretId=arn)
    account.tag(arn, "until May", OFF_INTENDED)
    before = account.state(arn)
    assert account.run().metrics["SecretsNotAttachable"] == 0
    assert account.state(arn) == before
    account.untag(arn, OFF_INTENDED)
    account.run()
    assert account.state(arn)[1] is (by != "tag")


def test_what_was_moved_by_hand_is_not_detached(account: Account) -> None:
    arn = account.new("mysql")
    account.run()
    account.attach(arn, account.service.register("anything", lambda _: None))
    account.untag(arn)
    account.run()
    assert account.state(arn) == (
        f"arn:aws:lambda:{REGION}:{account.service.account_id}:function:anything",
        True,
        "",
    )


def test_a_detached_secret_that_is_attached_by_hand_can_be_reported_as_off_again(account: Account) -> None:
    """With "detached", the watch would take a later turning off for intended."""
    arn = account.new("mysql")
    account.run()
    account.untag(arn)
    account.run()
    assert account.state(arn) == ("MySql", False, "detached")
    account.attach(arn, account.functions["MySql"])
    account.run()
    assert account.state(arn) == ("MySql", True, "")
    account.service.calls.clear()
    account.run()
    assert not account.changes()


def test_a_replica_is_an_error_unless_its_primary_is_attached_by_tag(account: Account) -> None:
    mark = f"arn:aws:lambda:eu-west-1:{account.service.account_id}:function:rotation-MySql 01234567"
    followed = account.service.replicate_here(f"app-{uuid4()}", "eu-west-1", {KEY: "mysql", MARK: mark})
    alone = account.service.replicate_here(f"app-{uuid4()}", "eu-west-1", {KEY: "mysql"})
    account.service.replicate_here(f"app-{uuid4()}", "eu-west-1", {MARK: mark})
    odd = account.service.replicate_here(f"app-{uuid4()}", "eu-west-1", {KEY: "mysql", MARK: "arn:x 01234567"})
    said = account.run()
    assert followed != alone
    assert {error["secret_arn"] for error in said.errors} == {alone, odd}
    for error in said.errors:
        assert error["remedy"] == "Create this stack in eu-west-1, too, with the same AttachTagKey"
    assert not [name for name in account.changes() if name != "CreateSecret"]


def test_a_secret_that_a_service_manages_is_an_error(account: Account) -> None:
    arn = account.service.manage_here(f"rds!db-{uuid4()}", "rds")
    account.tag(arn, "postgresql")
    said = account.run()
    assert said.error["remedy"] == f"Remove the tag {KEY} from the secret"
    assert account.state(arn)[1:] == (False, "")


# A run that ends early


@pytest.mark.parametrize("phase", ["before", "after"])
@pytest.mark.parametrize("calls", range(1, 6))
@pytest.mark.parametrize("change", ["attach", "move", "detach", "attach again"])
def test_wherever_a_run_is_killed_the_next_one_finishes(account: Account, change: str, calls: int, phase: str) -> None:
    arn = account.new("mysql")
    if change != "attach":
        account.run()
    if change in {"detach", "attach again"}:
        account.untag(arn)
    if change == "attach again":
        account.run()
    if change in {"move", "attach again"}:
        account.tag(arn, "mariadb")
    account.service.wait(arn) if change != "attach" else None
    left = iter(range(calls))

    def killed(_call: Call, moment: str) -> None:
        """Let nothing happen any more from one call on."""
        if moment == phase and next(left, None) is None:
            raise ServiceError("AccessDeniedException", "killed")

    account.service.intercept = killed
    account.run()
    account.service.intercept = None
    account.run()
    expected = {"attach": ("MySql", True, "MySql"), "detach": ("MySql", False, "detached")}
    assert account.state(arn) == expected.get(change, ("MariaDb", True, "MariaDb"))
    assert not account.run().errors


def test_the_list_is_old_and_the_secret_is_looked_at_before_it_is_changed(account: Account) -> None:
    arn = account.new("mysql")
    account.run()
    account.untag(arn)

    def tagged_again(call: Call, phase: str) -> None:
        if (call.operation, phase) == ("ListSecrets", "after"):
            account.tag(arn, "mysql")

    account.service.intercept = tagged_again
    account.run()
    assert account.state(arn) == ("MySql", True, "MySql")
    assert "CancelRotateSecret" not in account.changes()


def test_the_calls_stay_far_below_the_quotas(account: Account, clock: Clock) -> None:
    secrets = [account.new("mysql") for _ in range(40)]
    quotas = Quotas(lambda: -clock.left, share=0.22)
    account.service.intercept = quotas
    account.run()
    assert quotas.refused == 0
    account.service.intercept = None
    for arn in secrets:
        account.untag(arn)
    account.service.intercept = quotas = Quotas(lambda: -clock.left, share=0.22)
    account.run()
    assert quotas.refused == 0
    assert {account.state(arn) for arn in secrets} == {("MySql", False, "detached")}


def test_what_time_does_not_allow_is_left_to_the_next_run(account: Account, clock: Clock) -> None:
    secrets = [account.new("mysql") for _ in range(6)]
    clock.left = 22.2  # two pauses, the time that one secret can take, and what Lambda keeps back
    said = account.run()
    assert "left to the next run" in said.infos[-1]
    attached = [arn for arn in secrets if account.state(arn)[1]]
    assert 0 < len(attached) < 6
    assert said.metrics == {"SecretsAttachedByTag": len(attached), "SecretsNotAttachable": 0}
    clock.left = 900
    assert account.run().metrics == {"SecretsAttachedByTag": 6, "SecretsNotAttachable": 0}


def test_if_the_secrets_cannot_be_listed_lambda_counts_an_error(account: Account) -> None:
    def denied(_call: Call, _phase: str) -> None:
        raise ServiceError("AccessDeniedException", "no")

    account.service.intercept = denied
    said = account.run()
    assert isinstance(said.raised, ServiceFailed)
    assert (said.metrics, said.error["message"]) == ({}, str(said.raised))


@pytest.mark.thorough(number=[5000])
@pytest.mark.parametrize("number", [100, 5000])
def test_thousands_of_secrets_are_attached_in_a_few_runs(account: Account, clock: Clock, number: int) -> None:
    for _ in range(number):
        account.new("mysql")
    runs: list[int] = []
    # A pause takes its time, and each call a few hundredths of a second.
    passed = lambda: 3600 * len(runs) - clock.left + 0.03 * len(account.service.calls)  # noqa: E731 - it is used once
    account.service.intercept = quotas = Quotas(passed, share=0.5)
    for _ in range(2):
        runs.append(900)
        clock.left = runs[-1]
        account.run()
    assert quotas.refused == 0
    account.service.calls.clear()
    clock.left = 900
    said = account.run()
    assert {call.operation for call in account.service.calls} == {"ListSecrets"}
    assert said.metrics == {"SecretsAttachedByTag": number, "SecretsNotAttachable": 0}


# Events


@pytest.mark.parametrize("said", ["arn", "aRN"])
def test_an_event_is_about_one_secret_and_nothing_else_is_looked_at(account: Account, said: str) -> None:
    account.new("mysql")
    arn = account.new("mysql")
    account.service.calls.clear()
    assert account.run(event_of("CreateSecret", responseElements={said: arn})).metrics == {}
    assert account.state(arn) == ("MySql", True, "MySql")
    operations = [call.operation for call in account.service.calls]
    assert operations[:4] == ["DescribeSecret", "TagResource", "RotateSecret", "TagResource"]
    assert {call.secret_id for call in account.service.calls} == {arn}


@pytest.mark.parametrize("parameter", ["secretId", "name"])
def test_an_event_without_an_answer_names_the_secret_as_the_caller_did(account: Account, parameter: str) -> None:
    arn = account.new("mysql")
    name = account.client.describe_secret(SecretId=arn)["Name"]
    account.run(event_of("TagResource", responseElements=None, requestParameters={parameter: name}))
    assert account.state(arn) == ("MySql", True, "MySql")


def test_an_event_about_a_secret_without_the_tag_changes_nothing(account: Account) -> None:
    arn = account.new()
    account.service.calls.clear()
    assert not account.run(event_of("CreateSecret", responseElements={"arn": arn})).errors
    assert [call.operation for call in account.service.calls] == ["DescribeSecret"]


def test_an_event_that_names_no_secret_is_as_the_schedule(account: Account) -> None:
    arn = account.new("mysql")
    account.run(event_of("TagResource"))
    assert account.state(arn) == ("MySql", True, "MySql")


# The engine that the secret names


def test_with_auto_the_secret_names_its_engine_and_is_asked_once(account: Account) -> None:
    secret = json.dumps({"engine": "aurora-postgresql", "password": PASSWORD})
    arn = account.new("auto", content=secret)
    account.run()
    assert account.state(arn) == ("PostgreSql", True, "PostgreSql")
    account.tag(arn, "8 days", f"{KEY}-schedule")
    account.run()
    assert [call.operation for call in account.service.calls].count("GetSecretValue") == 1


@pytest.mark.parametrize("secret", [f'{{"password": "{PASSWORD}"}}', f'{{"engine": "{PASSWORD}"}}', PASSWORD])
def test_a_secret_that_names_no_engine_is_an_error_that_shows_nothing_of_it(account: Account, secret: str) -> None:
    arn = account.new("auto", content=secret)
    said = account.run()
    assert {error["error"] for error in said.errors} == {"InvalidSecret", "NotAttachable"}
    assert said.metrics["SecretsNotAttachable"] == 1
    assert account.state(arn) == ("", False, "")


def test_every_name_of_an_engine_is_known() -> None:
    kinds = {
        "postgresql": postgresql.KIND,
        "mysql": mysql.KIND,
        "mariadb": mariadb.KIND,
        "oracle": oracle.KIND,
        "sqlserver": sqlserver.KIND,
        "db2": db2.KIND,
    }
    for word, kind in kinds.items():
        assert {engine_word(name) for name in kind.engine_values} == {word}
    assert engine_word("mongo") is None


# Who may do what


def may(account: Account, function: str, action: str, **context: Any) -> bool:  # noqa: ANN401 - as IAM has it
    """Tell whether a function's role allows a call about a secret with these tags, and these other keys."""
    arn = f"arn:aws:secretsmanager:{REGION}:{account.service.account_id}:secret:app-AbCdEf"
    keys = {f"aws:ResourceTag/{key}": text for key, text in context.pop("tags", {}).items()}
    return account.stack.role_of(function).allows(Request(action, arn, {"aws:ResourceTag/*": None, **keys, **context}))


def test_every_permission_is_used_and_no_call_is_refused(account: Account) -> None:
    """Those of the logs aside, which Lambda writes in the name of the role."""
    roles = [account.stack.role_of(name) for name in ("AttachFunction", "EngineFunction")]
    for role in roles:
        role.used.clear()
        role.refused.clear()
    secret, tags = json.dumps({"engine": "postgres"}), [{"Key": KEY, "Value": "auto"}]
    made = account.client.create_secret(Name=f"app-{uuid4()}", SecretString=secret, KmsKeyId=KMS_KEY, Tags=tags)  # type: ignore[arg-type]
    account.run()
    account.untag(made["ARN"])
    account.run()
    assert account.state(made["ARN"]) == ("PostgreSql", False, "detached")
    for role in roles:
        assert role.used.keys() == {one for one in role.permissions() if one.sid != "WriteLogs"}
        assert role.refused == []


def test_only_tagged_secrets_get_only_functions_of_the_stack(account: Account) -> None:
    for tags, function, expected in (
        ({KEY: "mysql"}, account.functions["MySql"], True),
        ({}, account.functions["MySql"], False),
        ({KEY: "mysql"}, account.functions["MySql"].replace("rotation-", "other-"), False),
        ({KEY: "mysql"}, account.functions["MySql"].replace("rotation-", "rotation-production-"), False),
        ({KEY: "mysql"}, None, False),
    ):
        chosen = {"secretsmanager:RotationLambdaARN": function}
        assert may(account, "AttachFunction", "secretsmanager:RotateSecret", tags=tags, **chosen) is expected


def test_only_a_secret_of_the_stack_that_lost_its_tag_is_detached(account: Account) -> None:
    ours = account.functions["MySql"]
    theirs = ours.replace("rotation-", "other-")
    for tags, function, expected in (
        ({MARK: f"{ours} 01234567"}, ours, True),
        ({MARK: f"attaching {ours}"}, ours, True),
        ({MARK: f"{ours} 01234567", KEY: "mysql"}, ours, False),
        ({MARK: f"{theirs} 01234567"}, ours, False),
        ({MARK: f"{ours} 01234567"}, theirs, False),
        ({MARK: f"{ours} 01234567"}, ours.replace("rotation-", "rotation-production-"), False),
        ({}, ours, False),
    ):
        chosen = {"secretsmanager:resource/AllowRotationLambdaArn": function}
        assert may(account, "AttachFunction", "secretsmanager:CancelRotateSecret", tags=tags, **chosen) is expected


def test_only_the_mark_is_written(account: Account) -> None:
    for keys, expected in (((MARK,), True), ((KEY,), False), ((MARK, KEY), False)):
        allowed = may(account, "AttachFunction", "secretsmanager:TagResource", **{"aws:TagKeys": keys})
        assert allowed is expected


def test_what_attaches_reads_no_secret_and_what_reads_attaches_none(account: Account) -> None:
    read = "secretsmanager:GetSecretValue"
    assert not may(account, "AttachFunction", read, tags={KEY: "auto"})
    assert may(account, "EngineFunction", read, tags={KEY: "auto"})
    for tags in ({KEY: "mysql"}, {}, {MARK: "auto"}):
        assert not may(account, "EngineFunction", read, tags=tags)
    chosen = {"secretsmanager:RotationLambdaARN": account.functions["MySql"]}
    assert not may(account, "EngineFunction", "secretsmanager:RotateSecret", tags={KEY: "auto"}, **chosen)
