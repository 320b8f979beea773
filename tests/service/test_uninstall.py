"""Does `make uninstall` delete a stack only after each secret that rotates with it was released, or stop before?

CloudFormation is played by a few lines here; tests/e2e/test_deploy.py has the same with a deployed stack.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError, WaiterError

from operations import protect, uninstall
from operations.calls import Stopped, new_session
from operations.uninstall import Choice, Uninstall
from rotation.errors import RotationError, ServiceFailed
from tests.local.aws.secrets_manager import Call, LocalSecretsManager, ServiceError

MONTHLY: Any = {"ScheduleExpression": "rate(30 days)", "Duration": "2h"}


class CloudFormation:
    """One stack, with a function, and the schedules of the secrets that it attached itself."""

    def __init__(self, service: LocalSecretsManager) -> None:
        """Create the stack; a protected one."""
        self.name = f"rotation-{uuid4().hex[:8]}"
        self.arn = f"arn:aws:cloudformation:us-east-1:{service.account_id}:stack/{self.name}/1"
        self.status, self.is_protected = "UPDATE_COMPLETE", True
        self.accounts = self.prefix = ""
        self.schedules: list[str] = []
        self.turns_off = True
        self.fails_on: str | None = None
        self._secrets = service.client()

    def _find(self, name: str) -> None:
        if name not in {self.name, self.arn} or self.status == "DELETE_COMPLETE":
            raise refused("ValidationError", f"Stack with id {name} does not exist")

    def describe_stacks(self, *, StackName: str) -> dict[str, Any]:  # noqa: N803 - AWS's names
        """Describe the stack."""
        self._find(StackName)
        stack = {
            "StackId": self.arn,
            "StackName": self.name,
            "StackStatus": self.status,
            "EnableTerminationProtection": self.is_protected,
            "Parameters": [
                {"ParameterKey": "SecretAccountIds", "ParameterValue": self.accounts},
                {"ParameterKey": "NamePrefix", "ParameterValue": self.prefix},
            ],
            "Outputs": [{"OutputKey": "LogGroupName", "OutputValue": "the-log"}],
        }
        return {"Stacks": [stack]}

    def get_paginator(self, _operation: str) -> "CloudFormation":
        """List resources in pages."""
        return self

    def paginate(self, *, StackName: str) -> Iterator[dict[str, Any]]:  # noqa: N803
        """Yield a page of functions, and one of schedules."""
        self._find(StackName)
        function = resource("AWS::Lambda::Function", f"{self.name}-PostgreSql")
        yield {
            "StackResourceSummaries": [function, {"ResourceType": "Custom::Later", "ResourceStatus": "CREATE_FAILED"}]
        }
        schedules = [resource("AWS::SecretsManager::RotationSchedule", arn) for arn in self.schedules]
        yield {"StackResourceSummaries": schedules}

    def update_termination_protection(self, *, StackName: str, EnableTerminationProtection: bool) -> dict[str, Any]:  # noqa: N803
        """Switch it."""
        self._find(StackName)
        self.is_protected = EnableTerminationProtection
        return {}

    def delete_stack(self, *, StackName: str) -> dict[str, Any]:  # noqa: N803
        """Delete it, unless it is protected; a schedule that is deleted turns its secret's rotation off."""
        self._find(StackName)
        if self.is_protected:
            raise refused("ValidationError", "Stack cannot be deleted while TerminationProtection is enabled")
        for arn in self.schedules if self.turns_off else ():
            self._secrets.cancel_rotate_secret(SecretId=arn)
        self.status = "DELETE_FAILED" if self.fails_on else "DELETE_COMPLETE"
        return {}

    def get_waiter(self, _name: str) -> "CloudFormation":
        """Wait for the end, which has come."""
        return self

    def wait(self, *, StackName: str, WaiterConfig: object) -> None:  # noqa: ARG002, N803
        """Fail if the deletion has."""
        if self.status != "DELETE_COMPLETE":
            raise WaiterError("stack_delete_complete", "failed", {})

    def describe_stack_events(self, *, StackName: str) -> dict[str, Any]:  # noqa: ARG002, N803
        """Return the last attempt's events, and one of the attempt before."""
        return {
            "StackEvents": [
                {"PhysicalResourceId": self.arn, "LogicalResourceId": self.name, "ResourceStatus": "DELETE_FAILED"},
                event("FunctionSecurityGroup", "DELETE_FAILED", self.fails_on),
                {
                    "PhysicalResourceId": self.arn,
                    "LogicalResourceId": self.name,
                    "ResourceStatus": "DELETE_IN_PROGRESS",
                },
                event("Endpoint", "DELETE_FAILED", "an old story"),
            ]
        }


def refused(code: str, message: str) -> ClientError:
    """Return a refusal of AWS."""
    return ClientError({"Error": {"Code": code, "Message": message}}, "any")


def resource(kind: str, physical_id: str) -> dict[str, str]:
    """Return an entry of the list of resources."""
    return {"ResourceType": kind, "PhysicalResourceId": physical_id, "ResourceStatus": "CREATE_COMPLETE"}


def event(resource_id: str, status: str, reason: str | None) -> dict[str, str]:
    """Return an event of a resource."""
    return {
        "PhysicalResourceId": f"physical-{resource_id}",
        "LogicalResourceId": resource_id,
        "ResourceStatus": status,
        "ResourceStatusReason": str(reason),
    }


@dataclass
class Person:
    """Answers questions in this order; then nobody is there."""

    answers: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def tell(self, text: str) -> None:
        """Remember what is shown."""
        self.told.append(text)

    def ask(self, question: str) -> str:
        """Answer."""
        self.told.append(question)
        return self.answers.pop(0) if self.answers else ""

    @property
    def read(self) -> str:
        """All that was shown."""
        return "\n".join(self.told)


@dataclass
class Deployed:
    """A stack, its secrets, and who uninstalls it."""

    service: LocalSecretsManager
    cloudformation: CloudFormation

    def function(self, stack: str) -> str:
        """Return the ARN of a function that rotates nothing, of a stack."""
        return self.service.register(f"{stack}-PostgreSql", lambda _: None)

    def attach(self) -> str:
        """Return the ARN of a new secret that rotates with the stack."""
        client = self.service.client()
        arn = client.create_secret(Name=f"app-{uuid4().hex[:8]}", SecretString="{}")["ARN"]
        function = self.function(self.cloudformation.name)
        client.rotate_secret(SecretId=arn, RotationLambdaARN=function, RotationRules=MONTHLY, RotateImmediately=False)
        self.service.wait(arn)
        return arn

    def uninstall(self, person: Person, choice: Choice | None = None, *, asks: bool = True) -> None:
        """Run the command."""
        client: Any = self.cloudformation
        Uninstall(client, self.service.client(), person, choice, asks=asks).run(self.cloudformation.name)

    def described(self, secret: str) -> Any:  # noqa: ANN401 - an answer of botocore
        """Describe a secret."""
        return self.service.client().describe_secret(SecretId=secret)

    @property
    def is_as_before(self) -> bool:
        """Whether the stack is there, and protected."""
        return (self.cloudformation.status, self.cloudformation.is_protected) == ("UPDATE_COMPLETE", True)


@pytest.fixture
def deployed(service: LocalSecretsManager) -> Deployed:
    """A stack of a name that nobody else has."""
    return Deployed(service, CloudFormation(service))


def name_of(secret: str) -> str:
    """Return the name in an ARN."""
    return secret.partition(":secret:")[2][:-7]


def test_a_stack_that_no_secret_needs_goes_once_its_name_was_typed(deployed: Deployed) -> None:
    person = Person([deployed.cloudformation.name])
    deployed.uninstall(person)
    assert deployed.cloudformation.status == "DELETE_COMPLETE"
    assert "The log group the-log stays." in person.read


@pytest.mark.parametrize("answers", [[], ["y"], ["another-stack"]])
def test_a_stack_whose_name_was_not_typed_stays(deployed: Deployed, answers: list[str]) -> None:
    with pytest.raises(Stopped, match="its name was not typed"):
        deployed.uninstall(Person(answers))
    assert deployed.is_as_before


@pytest.mark.parametrize("answers", [[], ["stop"], ["hand over"], ["d"], ["detach", "no"]])
def test_nothing_changes_while_a_secret_rotates_and_nobody_chooses(deployed: Deployed, answers: list[str]) -> None:
    secret, person = deployed.attach(), Person(answers)
    with pytest.raises(Stopped, match="so it was not deleted"):
        deployed.uninstall(person)
    assert f"{name_of(secret)}: rotates" in person.read
    assert deployed.is_as_before
    assert deployed.described(secret)["RotationEnabled"]


def test_without_questions_a_choice_is_needed(deployed: Deployed) -> None:
    deployed.attach()
    with pytest.raises(Stopped, match=r"secrets still rotate with it \(1\).*--detach, or with --hand-over-to"):
        deployed.uninstall(Person(), asks=False)
    assert deployed.is_as_before


def test_detached_secrets_are_off_when_the_stack_goes(deployed: Deployed) -> None:
    secrets = [deployed.attach() for _ in range(2)]
    deployed.uninstall(Person(["detach", deployed.cloudformation.name]))
    assert deployed.cloudformation.status == "DELETE_COMPLETE"
    assert [deployed.described(secret)["RotationEnabled"] for secret in secrets] == [False, False]


def test_secrets_that_are_handed_over_keep_their_schedule_and_are_only_tested(deployed: Deployed) -> None:
    secret, other = deployed.attach(), deployed.function("other")
    deployed.uninstall(Person(["hand over", other, deployed.cloudformation.name]))
    deployed.service.wait(secret)
    found = deployed.described(secret)
    assert (found["RotationEnabled"], found["RotationLambdaARN"]) == (True, other)
    assert found["RotationRules"] == MONTHLY
    [call] = [call for call in deployed.service.calls if call.parameters.get("RotationLambdaARN") == other]
    assert (call.parameters["RotateImmediately"], call.parameters["RotationRules"]) == (False, MONTHLY)
    assert deployed.cloudformation.status == "DELETE_COMPLETE"


def test_a_secret_of_the_stacks_own_schedule_is_handed_over_after_the_deletion(deployed: Deployed) -> None:
    """Before, the deletion of its schedule would turn it off."""
    secret, other, person = deployed.attach(), deployed.function("other"), Person()
    deployed.cloudformation.schedules = [secret]
    deployed.uninstall(person, Choice(other), asks=False)
    found = deployed.described(secret)
    assert (found["RotationEnabled"], found["RotationLambdaARN"]) == (True, other)
    assert found["RotationRules"] == MONTHLY
    assert "by a schedule of this stack that is deleted with it" in person.read
    assert f"--secret-id {secret} --rotation-lambda-arn {other} --no-rotate-immediately" in person.read


def test_a_secret_of_the_stacks_own_schedule_is_not_lost_unsaid(deployed: Deployed) -> None:
    secret = deployed.attach()
    deployed.cloudformation.schedules = [secret]
    with pytest.raises(Stopped, match="still rotate with it"):
        deployed.uninstall(Person(), asks=False)
    deployed.uninstall(Person(), Choice(), asks=False)
    assert not deployed.described(secret)["RotationEnabled"]


def test_a_schedule_that_goes_and_leaves_its_secret_on_is_turned_off_all_the_same(deployed: Deployed) -> None:
    secret = deployed.attach()
    deployed.cloudformation.schedules = [secret]
    deployed.cloudformation.turns_off = False
    deployed.uninstall(Person(), Choice(), asks=False)
    assert not deployed.described(secret)["RotationEnabled"]


def test_what_its_tag_attaches_again_during_the_deletion_is_turned_off_after_it(deployed: Deployed) -> None:
    """The stack attaches secrets by their tag until CloudFormation deletes the function that does so."""
    secret, delete = deployed.attach(), deployed.cloudformation.delete_stack

    def attach_and_delete(*, StackName: str) -> dict[str, Any]:  # noqa: N803 - AWS's names
        deployed.service.client().rotate_secret(SecretId=secret, RotateImmediately=False)
        deployed.service.wait(secret)
        return delete(StackName=StackName)

    deployed.cloudformation.delete_stack = attach_and_delete  # type: ignore[method-assign]
    deployed.uninstall(Person(), Choice(), asks=False)
    assert not deployed.described(secret)["RotationEnabled"]


@pytest.mark.parametrize("is_deleted", [False, True])
def test_a_secret_that_fails_after_the_deletion_stops_no_other(deployed: Deployed, *, is_deleted: bool) -> None:
    """The stack is gone, so nobody would come to the others. A secret that is gone needs nothing."""
    secrets = [deployed.attach() for _ in range(3)]
    deployed.cloudformation.schedules, delete = secrets, deployed.cloudformation.delete_stack
    other, person = deployed.function("other"), Person()

    def refuse(call: Call, phase: str) -> None:
        if (call.operation, call.secret_id, phase) == ("RotateSecret", secrets[0], "before"):
            code = "ResourceNotFoundException" if is_deleted else "AccessDeniedException"
            raise ServiceError(code, "no")

    def fail_from_now_on(*, StackName: str) -> dict[str, Any]:  # noqa: N803 - AWS's names
        answer = delete(StackName=StackName)
        deployed.service.intercept = refuse
        return answer

    deployed.cloudformation.delete_stack = fail_from_now_on  # type: ignore[method-assign]
    failure = None
    try:
        deployed.uninstall(person, Choice(other), asks=False)
    except Stopped as error:
        failure = error
    deployed.service.intercept = None
    assert (failure is None) is is_deleted
    assert [deployed.described(secret)["RotationLambdaARN"] for secret in secrets[1:]] == [other] * 2
    assert "is deleted. Users, passwords and secrets are as before" in person.read


def test_a_function_of_the_stack_itself_cannot_take_over(deployed: Deployed) -> None:
    deployed.attach()
    own = deployed.function(deployed.cloudformation.name)
    with pytest.raises(Stopped, match="one of this stack"):
        deployed.uninstall(Person(), Choice(f"{own}:live"), asks=False)
    assert deployed.is_as_before


def test_if_the_other_function_is_refused_the_stack_stays(deployed: Deployed) -> None:
    secret = deployed.attach()
    with pytest.raises(ServiceFailed, match="handing"):
        deployed.uninstall(Person(), Choice("arn:aws:lambda:us-east-1:123456789012:function:none"), asks=False)
    assert deployed.is_as_before
    assert deployed.described(secret)["RotationEnabled"]


def test_a_secret_that_was_attached_again_meanwhile_keeps_the_stack(deployed: Deployed) -> None:
    deployed.attach()

    def cancel_is_forgotten(call: Any, phase: str) -> None:  # noqa: ANN401
        if (call.operation, phase) == ("CancelRotateSecret", "after"):
            function = deployed.function(deployed.cloudformation.name)
            deployed.service.client().rotate_secret(
                SecretId=call.secret_id, RotationLambdaARN=function, RotateImmediately=False
            )

    deployed.service.intercept = cancel_is_forgotten
    with pytest.raises(Stopped, match="still rotates with it"):
        deployed.uninstall(Person(), Choice(), asks=False)
    assert deployed.is_as_before


def test_an_unfinished_rotation_is_finished_first(deployed: Deployed) -> None:
    """Its password can be in the database already, and nowhere else."""
    secret = deployed.attach()
    deployed.service.client().rotate_secret(SecretId=secret)
    deployed.service.wait(secret)
    with pytest.raises(Stopped, match=f"not finished: {name_of(secret)}"):
        deployed.uninstall(Person(), Choice(), asks=False)
    assert deployed.is_as_before
    deployed.service.client().cancel_rotate_secret(SecretId=secret)
    deployed.uninstall(Person(), asks=False)
    assert deployed.cloudformation.status == "DELETE_COMPLETE"


def test_who_was_interrupted_goes_on(deployed: Deployed) -> None:
    first, second = deployed.attach(), deployed.attach()
    deployed.service.client().cancel_rotate_secret(SecretId=first)
    deployed.uninstall(Person(), Choice(), asks=False)
    assert not deployed.described(second)["RotationEnabled"]


def test_if_the_deletion_fails_the_reasons_are_said_and_the_stack_is_protected_again(deployed: Deployed) -> None:
    deployed.cloudformation.fails_on = "an interface is in use"
    with pytest.raises(ServiceFailed) as failed:
        deployed.uninstall(Person(), asks=False)
    assert failed.value.cause == "FunctionSecurityGroup: an interface is in use"
    assert deployed.cloudformation.is_protected


def test_if_it_cannot_be_protected_again_the_reason_of_the_failure_is_not_lost(deployed: Deployed) -> None:
    """CloudFormation protects no stack that is being deleted: so it is after two hours of waiting."""
    deployed.cloudformation.fails_on = "an interface is in use"
    switch, person = deployed.cloudformation.update_termination_protection, Person()

    def only_off(*, StackName: str, EnableTerminationProtection: bool) -> dict[str, Any]:  # noqa: N803 - AWS's names
        if EnableTerminationProtection:
            raise refused("ValidationError", "Stack cannot be updated while it is being deleted")
        return switch(StackName=StackName, EnableTerminationProtection=EnableTerminationProtection)

    deployed.cloudformation.update_termination_protection = only_off  # type: ignore[method-assign]
    with pytest.raises(ServiceFailed, match="an interface is in use"):
        deployed.uninstall(person, asks=False)
    assert "is not protected any more" in person.read


def test_a_stack_that_was_not_protected_is_deleted_too(deployed: Deployed) -> None:
    deployed.cloudformation.is_protected = False
    deployed.uninstall(Person(), asks=False)
    assert deployed.cloudformation.status == "DELETE_COMPLETE"


def test_secrets_of_other_accounts_are_not_forgotten(deployed: Deployed) -> None:
    deployed.cloudformation.accounts = "210987654321,321098765432"
    person = Person([deployed.cloudformation.name])
    deployed.uninstall(person)
    assert "accounts 210987654321, 321098765432 can name these functions too, and cannot be seen" in person.read
    assert f":{deployed.service.account_id}:function:{deployed.cloudformation.name}-" in person.read


def test_secrets_of_other_accounts_are_looked_for_by_the_functions_names(deployed: Deployed) -> None:
    """With a NamePrefix the functions are not named after the stack: by its name, the command would find nothing."""
    deployed.cloudformation.accounts, deployed.cloudformation.prefix = "210987654321", "platform"
    person = Person([deployed.cloudformation.name])
    deployed.uninstall(person)
    assert f":{deployed.service.account_id}:function:platform-')" in person.read


@pytest.mark.parametrize("accounts", ["", "none"])
def test_without_other_accounts_nothing_is_said_of_them(deployed: Deployed, accounts: str) -> None:
    deployed.cloudformation.accounts = accounts
    person = Person()
    deployed.uninstall(person, asks=False)
    assert "cannot be seen" not in person.read


def test_what_another_stack_rotates_is_not_looked_at(deployed: Deployed, service: LocalSecretsManager) -> None:
    secret = Deployed(service, CloudFormation(service)).attach()
    person = Person()
    deployed.uninstall(person, asks=False)
    assert name_of(secret) not in person.read
    assert deployed.described(secret)["RotationEnabled"]


@pytest.mark.parametrize("status", ["UPDATE_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS"])
def test_a_stack_that_is_changing_is_left_alone(deployed: Deployed, status: str) -> None:
    deployed.cloudformation.status = status
    with pytest.raises(Stopped, match=f"it is {status}"):
        deployed.uninstall(Person(), Choice(), asks=False)


def test_a_stack_that_is_not_there_is_said_to_be_missing(deployed: Deployed) -> None:
    deployed.cloudformation.name = "renamed"
    with pytest.raises(Stopped, match="no such stack in this account and Region"):
        Uninstall(deployed.cloudformation, deployed.service.client(), Person()).run("rotation")


def test_if_the_secrets_cannot_be_listed_nothing_is_deleted(deployed: Deployed) -> None:
    def denied(_call: object, _phase: str) -> None:
        raise ServiceError("AccessDeniedException", "not authorized")

    deployed.service.intercept = denied
    with pytest.raises(ServiceFailed, match="Allow secretsmanager:ListSecrets to your role"):
        deployed.uninstall(Person(), Choice(), asks=False)
    assert deployed.is_as_before


# The command lines


@pytest.fixture
def account(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> Deployed:
    """An account with the stack, for a command line."""

    @dataclass
    class Session:
        def client(self, name: str) -> Any:  # noqa: ANN401 - clients of both services
            return deployed.cloudformation if name == "cloudformation" else deployed.service.client()

    monkeypatch.setattr(uninstall, "new_session", lambda *_: Session())
    return deployed


def test_the_command_line_ends_with_zero_if_the_stack_is_gone(
    account: Deployed, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = account.attach()
    assert uninstall.main([account.cloudformation.name, "--yes"]) == 1
    assert "--hand-over-to" in capsys.readouterr().err
    assert uninstall.main([account.cloudformation.name, "--yes", "--hand-over-to", account.function("other")]) == 0
    assert f"{name_of(secret)}: handed over" in capsys.readouterr().out


def test_if_there_is_nobody_to_ask_nothing_is_deleted(account: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(_question: str) -> str:
        raise EOFError

    monkeypatch.setattr("builtins.input", nobody)
    assert uninstall.main([account.cloudformation.name, "--detach"]) == 1
    assert account.is_as_before


def test_help_says_what_is_changed_and_when(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        uninstall.main(["--help"])
    out = capsys.readouterr().out
    for part in ("--detach", "--hand-over-to ARN", "--yes", "Before anything is changed"):
        assert part in out


# Protection


def test_a_deployed_stack_is_protected(deployed: Deployed) -> None:
    deployed.cloudformation.is_protected = False
    deployment = {"stack_name": deployed.cloudformation.name}
    for _ in range(2):
        assert f"make uninstall STACK={deployed.cloudformation.name}" in protect.protected(
            deployment, deployed.cloudformation
        )
        assert deployed.cloudformation.is_protected


@pytest.mark.parametrize("status", ["REVIEW_IN_PROGRESS", "DELETE_COMPLETE"])
def test_if_nothing_was_deployed_nothing_is_protected(deployed: Deployed, status: str) -> None:
    """Somebody has looked at the first change set and said no."""
    deployed.cloudformation.status, deployed.cloudformation.is_protected = status, False
    said = protect.protected({"stack_name": deployed.cloudformation.name}, deployed.cloudformation)
    assert "nothing is protected" in said
    assert not deployed.cloudformation.is_protected


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ("default", "secret-rotation"),
        ("staging", "secret-rotation-staging"),
        ("production", "secret-rotation-production"),
    ],
)
def test_the_stack_is_that_of_samconfig(environment: str, name: str) -> None:
    assert protect.settings(environment)["stack_name"] == name


def test_what_is_said_of_deploy_goes_before_what_is_said_of_all(tmp_path: Any) -> None:  # noqa: ANN401 - a path
    configuration = tmp_path / "samconfig.toml"
    configuration.write_text(
        '[a.global.parameters]\nstack_name = "one"\nregion = "eu-west-1"\n[a.deploy.parameters]\nstack_name = "two"\n'
    )
    assert protect.settings("a", configuration) == {"stack_name": "two", "region": "eu-west-1"}


def test_an_environment_without_a_stack_is_an_error_with_the_command(
    deployed: Deployed, capsys: pytest.CaptureFixture[str]
) -> None:
    assert protect.main(["--config-env", "none"], deployed.cloudformation) == 1
    assert "update-termination-protection --enable-termination-protection" in capsys.readouterr().err


def test_a_refusal_names_the_permission(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(**_: object) -> None:
        raise refused("AccessDenied", "no")

    deployed.cloudformation.is_protected = False
    monkeypatch.setattr(deployed.cloudformation, "update_termination_protection", denied)
    with pytest.raises(RotationError, match="your role needs cloudformation:UpdateTerminationProtection"):
        protect.protected({"stack_name": deployed.cloudformation.name}, deployed.cloudformation)


@pytest.mark.parametrize(("profile", "said"), [(None, "no Region is set"), ("missing", "Name a profile")])
def test_a_missing_configuration_is_said(monkeypatch: pytest.MonkeyPatch, profile: str | None, said: str) -> None:
    for variable in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    with pytest.raises(Stopped, match=said):
        new_session(profile, None)
