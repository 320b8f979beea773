"""Does CloudFormation create the built stack, does it rotate, and can it be deleted when it is not needed?

SAM's command line deploys the built template with samconfig.toml, as a user would, to an AWS on this machine. This AWS,
and its limits, are described in tests/local/aws/cloudformation.py.
"""

import json
import secrets
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from botocore.exceptions import ClientError, WaiterError

from operations import protect
from operations.uninstall import Choice, Uninstall
from rotation.credential import Credential
from tests.laboratories.postgresql import PostgreSQLLaboratory
from tests.local.aws import cloudformation, template
from tests.local.aws.cloudformation import LocalAws
from tests.local.aws.secrets_manager import REGION, LocalSecretsManager
from tests.local.aws.secrets_manager_rotation import STEPS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the libraries in the artifacts are for Linux")

ONLY_POSTGRESQL = {f"Deploy{engine}": "false" for engine in template.engines() if engine != "PostgreSql"}
AT_ONCE = {"Delay": 0.1, "MaxAttempts": 600}


@dataclass(frozen=True)
class Stack:
    """A stack that was deployed under a name."""

    aws: LocalAws
    name: str

    @property
    def cloudformation(self) -> Any:  # noqa: ANN401 - as LocalAws.client
        """A client."""
        return self.aws.client("cloudformation")

    @property
    def description(self) -> dict[str, Any]:
        """Its description by CloudFormation."""
        [description] = self.cloudformation.describe_stacks(StackName=self.name)["Stacks"]
        return dict(description)

    @property
    def outputs(self) -> dict[str, str]:
        """Its outputs, by name."""
        return {output["OutputKey"]: output["OutputValue"] for output in self.description["Outputs"]}

    @property
    def events(self) -> list[tuple[str, str, str]]:
        """Logical id, status and reason of each event of a resource, from the first to the latest."""
        events = self.cloudformation.describe_stack_events(StackName=self.name)["StackEvents"]
        return [
            (event["LogicalResourceId"], event["ResourceStatus"], event.get("ResourceStatusReason", ""))
            for event in reversed(events)
        ]

    @property
    def functions(self) -> set[str]:
        """The names of its functions."""
        functions = self.aws.client("lambda").list_functions()["Functions"]
        return {name for one in functions if (name := one["FunctionName"]).startswith(f"{self.name}-")}

    def physical_id(self, logical_id: str) -> str:
        """Return the name of a resource."""
        found = self.cloudformation.describe_stack_resource(StackName=self.name, LogicalResourceId=logical_id)
        return str(found["StackResourceDetail"]["PhysicalResourceId"])

    def update(self, **parameters: str) -> None:
        """Update its parameters, and wait until that is done or undone."""
        given = {one["ParameterKey"]: one["ParameterValue"] for one in self.description["Parameters"]} | parameters
        self.cloudformation.update_stack(
            StackName=self.name,
            TemplateURL=url_of_template(self.aws),
            Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in given.items()],
            Capabilities=self.description["Capabilities"],
        )
        self.cloudformation.get_waiter("stack_rollback_complete").wait(StackName=self.name, WaiterConfig=AT_ONCE)

    def delete(self) -> None:
        """Delete it. Raises WaiterError if that fails."""
        self.cloudformation.delete_stack(StackName=self.name)
        self.cloudformation.get_waiter("stack_delete_complete").wait(StackName=self.name, WaiterConfig=AT_ONCE)


@dataclass
class Person:
    """Runs a command, and is asked nothing."""

    told: list[str] = field(default_factory=list)

    def tell(self, text: str) -> None:
        """Remember what is shown."""
        self.told.append(text)

    def ask(self, question: str) -> str:
        """Fail: there is nobody."""
        raise AssertionError(question)


@pytest.fixture(scope="module")
def service() -> Iterator[LocalSecretsManager]:
    """A Secrets Manager that tries a rotation once."""
    with LocalSecretsManager(attempts=1) as service:
        yield service


@pytest.fixture(scope="module")
def stack(service: LocalSecretsManager) -> Iterator[Stack]:
    """A stack with one engine."""
    with cloudformation.start(service) as running:
        running.deploy("deployed", **ONLY_POSTGRESQL)
        yield Stack(running, "deployed")


@pytest.fixture
def brief_stack(stack: Stack) -> Stack:
    """Another stack of the same artifacts, to be deleted."""
    twin = replace(stack, name=f"brief{secrets.token_hex(4)}")
    twin.cloudformation.create_stack(
        StackName=twin.name,
        TemplateURL=url_of_template(stack.aws),
        Parameters=stack.description["Parameters"],
        Capabilities=stack.description["Capabilities"],
    )
    twin.cloudformation.get_waiter("stack_create_complete").wait(StackName=twin.name, WaiterConfig=AT_ONCE)
    return twin


def url_of_template(running: LocalAws) -> str:
    """Return the place of the one template that SAM deployed."""
    s3 = running.client("s3")
    [bucket] = [one["Name"] for one in s3.list_buckets()["Buckets"]]
    keys = [one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    [key] = [key for key in keys if key.endswith(".template")]
    return f"{running.endpoint_url}/{bucket}/{key}"


def attach(service: LocalSecretsManager, stack: Stack, **value: str) -> str:
    """Create a secret that chooses the stack's function for its rotation; return its name after one rotation."""
    function_arn = stack.outputs["PostgreSqlFunctionArn"]
    registered = service.register(f"{stack.name}-PostgreSql", lambda event: stack.aws.invoke(function_arn, event))
    assert registered == function_arn
    name = f"secret-{secrets.token_hex(4)}"
    service.client().create_secret(Name=name, SecretString=json.dumps(value))
    service.client().rotate_secret(SecretId=name, RotationLambdaARN=function_arn)
    service.wait(name)
    return name


def test_the_wanted_functions_are_there_and_the_outputs_name_them(stack: Stack, service: LocalSecretsManager) -> None:
    assert stack.description["StackStatus"] == "CREATE_COMPLETE"
    assert stack.functions == {"deployed-PostgreSql", *map(stack.physical_id, ("OverdueFunction", "GuardFunction"))}
    arns = {name: value for name, value in stack.outputs.items() if name.endswith("FunctionArn")}
    arn = f"arn:aws:lambda:{REGION}:{service.account_id}:function:deployed-PostgreSql"
    assert arns == {"PostgreSqlFunctionArn": arn}


def test_to_deploy_the_same_again_changes_nothing(stack: Stack) -> None:
    before = stack.events
    stack.aws.deploy(stack.name, **ONLY_POSTGRESQL)
    assert stack.events == before


def test_the_deployed_function_rotates_the_password_of_a_database(
    stack: Stack, service: LocalSecretsManager, postgresql: PostgreSQLLaboratory
) -> None:
    trust(stack, postgresql)
    user = postgresql.new_user()
    secret = attach(service, stack, **value_for(user))
    outcome = service.wait(secret)
    assert (outcome.result, outcome.error) == ("succeeded", None)
    assert [event.step for event in outcome.events if event.state == "finished"] == list(STEPS)
    current = service.client().get_secret_value(SecretId=secret)
    assert current["VersionId"] == outcome.version_token
    assert postgresql.logs_in(replace(user, password=json.loads(current["SecretString"])["password"]))
    assert not postgresql.logs_in(user)


def test_the_deployed_watch_writes_its_figures_into_the_log_of_the_stack(
    stack: Stack, service: LocalSecretsManager
) -> None:
    attach(service, stack)
    stack.aws.invoke(stack.physical_id("OverdueFunction"), {})
    figures = [json.loads(line) for line in logged(stack, stack.outputs["LogGroupName"]) if '"_aws"' in line]
    counts = {name: line[name] for line in figures if line["service"] == stack.name for name in line}
    assert counts["SecretsAttached"] >= [1]
    assert [counts[f"Secrets{what}"] for what in ("Off", "Failed", "Overdue")] == [[0], [0], [0]]
    assert counts["DaysSinceRotation"][0] < 1


def test_an_engine_that_a_secret_needs_is_not_turned_off_and_a_deletion_says_what_it_leaves_behind(
    brief_stack: Stack, service: LocalSecretsManager
) -> None:
    """A refused update is rolled back before anything is deleted. A deletion would go on: so it is not refused."""
    secret, log_group = attach(service, brief_stack), brief_stack.outputs["LogGroupName"]
    functions = brief_stack.functions
    brief_stack.update(DeployPostgreSql="false", DeployMySql="true")
    assert brief_stack.description["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    [(_, _, reason)] = [event for event in brief_stack.events if event[:2] == ("Guard", "UPDATE_FAILED")]
    assert f"Nothing would rotate these secrets any more: {secret}." in reason
    assert brief_stack.functions == functions
    brief_stack.delete()
    assert not brief_stack.functions
    assert service.client().describe_secret(SecretId=secret)["RotationEnabled"]
    assert any(
        "nothing rotates these secrets any more" in line and secret in line for line in logged(brief_stack, log_group)
    )


def test_a_resource_that_cannot_be_deleted_keeps_nothing_that_it_depends_on(brief_stack: Stack) -> None:
    """So the guard must not refuse a deletion: what it would keep goes all the same, and its own function with it."""
    brief_stack.aws.client("lambda").delete_function(FunctionName=brief_stack.physical_id("GuardFunction"))
    with pytest.raises(WaiterError, match="DELETE_FAILED"):
        brief_stack.delete()
    assert [event[0] for event in brief_stack.events if event[1] == "DELETE_FAILED"][:1] == ["Guard"]
    assert not brief_stack.functions


def test_a_protected_stack_is_deleted_by_uninstall_once_no_secret_needs_it_and_leaves_its_log(
    brief_stack: Stack, service: LocalSecretsManager, stack: Stack
) -> None:
    log_group, functions = brief_stack.outputs["LogGroupName"], brief_stack.functions
    kept, given = attach(service, brief_stack), attach(service, brief_stack)
    for secret in (kept, given):
        service.client().update_secret_version_stage(**unfinished(service, secret))
    protect.protected({"stack_name": brief_stack.name}, brief_stack.cloudformation)
    with pytest.raises(ClientError, match="TerminationProtection is enabled"):
        brief_stack.delete()
    assert brief_stack.functions == functions
    service.client().rotate_secret(
        SecretId=given, RotationLambdaARN=stack.outputs["PostgreSqlFunctionArn"], RotateImmediately=False
    )
    person = Person()
    uninstall = Uninstall(
        brief_stack.cloudformation, service.client(), person, Choice(), asks=False, seconds_between_looks=0.1
    )
    uninstall.run(brief_stack.name)
    assert any(kept in line for line in person.told)
    assert not any(given in line for line in person.told)
    assert not brief_stack.functions
    assert not service.client().describe_secret(SecretId=kept)["RotationEnabled"]
    assert service.client().describe_secret(SecretId=given)["RotationEnabled"]
    assert any("createSecret" in line for line in logged(brief_stack, log_group))


def value_for(user: Credential) -> dict[str, str]:
    """Return the value of a user's secret."""
    return {
        "engine": user.engine,
        "host": user.host,
        "port": str(user.port),
        "username": user.username,
        "password": user.password,
    }


def unfinished(service: LocalSecretsManager, secret: str) -> dict[str, str]:
    """Return what takes AWSPENDING from the version that a failed rotation left."""
    labels = service.client().describe_secret(SecretId=secret)["VersionIdsToStages"]
    [version] = [version for version, own in labels.items() if "AWSPENDING" in own]
    return {"SecretId": secret, "VersionStage": "AWSPENDING", "RemoveFromVersionId": version}


def trust(stack: Stack, laboratory: PostgreSQLLaboratory) -> None:
    """Give the function the authority of the test server's certificate, and allow it local hosts."""
    client, name = stack.aws.client("lambda"), f"{stack.name}-PostgreSql"
    variables = client.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    variables |= {"ALLOW_LOCAL_HOSTS": "true", "DB_CA_BUNDLE": str(laboratory.ca_bundle)}
    client.update_function_configuration(FunctionName=name, Environment={"Variables": variables})


def logged(stack: Stack, log_group: str) -> list[str]:
    """Return the lines of a log group."""
    events = stack.aws.client("logs").filter_log_events(logGroupName=log_group)["events"]
    return [event["message"] for event in events]
