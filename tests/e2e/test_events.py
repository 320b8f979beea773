"""Do the examples in examples/events do what they say, when the handler itself tells of a rotation?

Secrets Manager is ours, the database is the fake one, and the rest is MiniStack (tests/local/aws/cloudformation.py):
the bus, the rules with their patterns and targets, Step Functions, ECS without tasks, SNS. It asks no role for
permission.
"""

import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from rotation.lambda_handler import rotation_handler
from tests.clients import forget_clients
from tests.fakes import PRIMARY, FakeDatabase
from tests.local.aws import cloudformation
from tests.local.aws.cloudformation import LocalAws
from tests.local.aws.secrets_manager import LocalSecretsManager, Outcome
from tests.service.invoking import Context

EXAMPLES = Path(__file__).parents[2] / "examples/events"
AT_ONCE = {"Delay": 0.1, "MaxAttempts": 300}


@dataclass
class World:
    """Secrets that rotate by the handler, which tells the bus `default`."""

    service: LocalSecretsManager
    aws: LocalAws
    database: FakeDatabase

    def secret(self, *, works: bool = True) -> str:
        """Make a secret, whose password works or not; return its ARN."""
        name = f"secret-{uuid.uuid4()}"
        self.database.new_user(name, f"{name}-password")
        value = {"host": PRIMARY, "username": name, "password": f"{name}-password" if works else "another one"}
        made = self.service.client().create_secret(Name=name, SecretString=json.dumps({"engine": "fake", **value}))
        return str(made["ARN"])

    def rotate(self, arn: str) -> Outcome:
        """Rotate it."""
        handler = rotation_handler(self.database)
        function = self.service.register("rotation", lambda event: handler(event, Context()))  # type: ignore[arg-type]
        self.service.client().rotate_secret(SecretId=arn, RotationLambdaARN=function)
        return self.service.wait(arn)

    def deploy(self, example: str, **parameters: str) -> dict[str, str]:
        """Deploy an example; return its outputs."""
        client, name = self.aws.client("cloudformation"), f"stack-{uuid.uuid4()}"
        client.create_stack(
            StackName=name,
            TemplateBody=(EXAMPLES / example).read_text(),
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
            Capabilities=["CAPABILITY_IAM"],
        )
        client.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig=AT_ONCE)
        [stack] = client.describe_stacks(StackName=name)["Stacks"]
        return {one["OutputKey"]: one["OutputValue"] for one in stack.get("Outputs", [])}


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """An AWS in which nothing is deployed."""
    with (
        LocalSecretsManager(attempts=1) as service,
        cloudformation.start(service) as aws,
        pytest.MonkeyPatch.context() as patch,
    ):
        told = {"EVENT_BUS_NAME": "default", "EVENTS_ENDPOINT": aws.endpoint_url}
        for name, value in {**service.environment, **told}.items():
            patch.setenv(name, value)
        forget_clients()
        yield World(service, aws, FakeDatabase())
    forget_clients()


def test_the_service_is_deployed_anew_when_its_secret_has_rotated_and_no_other(world: World) -> None:
    ecs, machines = world.aws.client("ecs"), world.aws.client("stepfunctions")
    ecs.create_cluster(clusterName="shop")
    ecs.register_task_definition(family="orders", containerDefinitions=[{"name": "orders", "image": "orders"}])
    ecs.create_service(cluster="shop", serviceName="orders", taskDefinition="orders", desiredCount=0)

    def deployment() -> str:
        [described] = ecs.describe_services(cluster="shop", services=["orders"])["services"]
        return str(described["deployments"][0]["id"])

    def ran() -> list[str]:
        [machine] = machines.list_state_machines()["stateMachines"]
        executions = machines.list_executions(stateMachineArn=machine["stateMachineArn"])["executions"]
        return [one["status"] for one in executions]

    arn, before = world.secret(), deployment()
    world.deploy("restart-ecs-service.yaml", SecretArn=arn, Cluster="shop", Service="orders")
    assert not world.rotate(world.secret()).error
    assert (ran(), deployment()) == ([], before)
    assert not world.rotate(arn).error
    ends = time.monotonic() + 30
    while ran() != ["SUCCEEDED"]:
        assert time.monotonic() < ends, ran()
        time.sleep(0.02)
    assert deployment() != before


def test_a_ticket_has_what_a_human_needs(world: World) -> None:
    topic = world.deploy("ticket-by-sns.yaml")["TopicArn"]
    sqs = world.aws.client("sqs")
    queue = sqs.create_queue(QueueName="tickets")["QueueUrl"]
    [queue_arn] = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"].values()
    world.aws.client("sns").subscribe(
        TopicArn=topic, Protocol="sqs", Endpoint=queue_arn, Attributes={"RawMessageDelivery": "true"}
    )
    assert not world.rotate(world.secret()).error
    arn = world.secret(works=False)
    assert world.rotate(arn).error
    messages = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=10)["Messages"]
    [ticket] = [json.loads(message["Body"]) for message in messages]
    stages = world.service.client().describe_secret(SecretId=arn)["VersionIdsToStages"]
    [version] = [one for one, labels in stages.items() if "AWSPENDING" in labels]
    assert (ticket["secret"], ticket["version"], ticket["step"]) == (arn, version, "setSecret")
    assert ticket["error"] == "LoginRefused"
    assert ticket["cause"]
    assert ticket["remedy"]
