"""What is in a deployed stack, and how is it protected from deletion, and deleted?

A stack with termination protection is not deleted by anybody who does not lift the protection first: the attempt
fails, and the stack is as before
(https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-protect-stacks.html).
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from botocore.exceptions import WaiterError

from operations.calls import Stopped, called
from rotation.errors import ServiceFailed

type Client = Any
"""A client of CloudFormation: boto3's, which has no types here."""

FUNCTION, SCHEDULE = "AWS::Lambda::Function", "AWS::SecretsManager::RotationSchedule"
NEVER_CREATED = "REVIEW_IN_PROGRESS"
"""The status of a stack whose first change set was not executed."""
SECONDS_BETWEEN_LOOKS, LOOKS = 5.0, 1440
"""How a deletion is waited for: two hours. Lambda's network interfaces in a VPC alone can take half an hour."""


@dataclass(frozen=True)
class Stack:
    """A deployed stack, as it was when it was read."""

    arn: str
    name: str
    status: str
    is_protected: bool
    other_accounts: Sequence[str]
    """The accounts whose secrets can name its functions too (the parameter SecretAccountIds)."""
    log_group: str
    name_prefix: str = ""
    """How the names of the rotation functions begin: the parameter NamePrefix, else the stack's name."""
    function_arns: frozenset[str] = frozenset()
    scheduled_secret_arns: frozenset[str] = frozenset()
    """The secrets whose rotation this stack turned on; it turns it off by deleting their schedules."""


def find(client: Client, name: str) -> Stack | None:
    """Return a stack without its resources; None if there is no stack of this name. Raises ServiceFailed."""
    operation = f"looking for the stack {name}"
    try:
        answer = called(operation, "cloudformation:DescribeStacks", lambda: client.describe_stacks(StackName=name))
    except ServiceFailed as error:
        if "does not exist" in error.cause:
            return None
        raise
    [found] = answer["Stacks"]
    return None if found["StackStatus"] == NEVER_CREATED else _parsed(found)


def read(client: Client, name: str) -> Stack:
    """Return a stack with its resources. Raises Stopped if there is none, or if it is changing; ServiceFailed."""
    stack, operation = find(client, name), f"reading the stack {name}"
    if stack is None:
        raise Stopped(operation, "there is no such stack in this account and Region", "Check the name and the Region")
    if stack.status.endswith("_IN_PROGRESS"):
        raise Stopped(operation, f"it is {stack.status}", "Wait until that is over, then run this again")
    resources = list(_resources(client, stack.arn))
    return replace(
        stack,
        function_arns=frozenset(_function_arn(stack.arn, one) for kind, one in resources if kind == FUNCTION),
        scheduled_secret_arns=frozenset(one for kind, one in resources if kind == SCHEDULE),
    )


def protect(client: Client, stack: Stack, *, on: bool) -> None:
    """Switch termination protection on or off. Can be repeated. Raises ServiceFailed."""
    called(
        f"switching the termination protection of the stack {stack.name} {'on' if on else 'off'}",
        "cloudformation:UpdateTerminationProtection",
        lambda: client.update_termination_protection(StackName=stack.arn, EnableTerminationProtection=on),
    )


def delete(client: Client, stack: Stack, seconds: float = SECONDS_BETWEEN_LOOKS) -> None:
    """Delete a stack that is not protected, and return when it is gone. Raises ServiceFailed with what stays."""
    operation = f"deleting the stack {stack.name}"
    called(operation, "cloudformation:DeleteStack", lambda: client.delete_stack(StackName=stack.arn))
    waiter = client.get_waiter("stack_delete_complete")
    try:
        waiter.wait(StackName=stack.arn, WaiterConfig={"Delay": seconds, "MaxAttempts": LOOKS})
    except WaiterError:
        cause = "; ".join(_failures(client, stack)) or "CloudFormation did not finish within two hours"
        raise ServiceFailed(operation, cause, "Correct the cause, then run this again") from None


def _parsed(found: Mapping[str, Any]) -> Stack:
    parameters = {one["ParameterKey"]: one.get("ParameterValue", "") for one in found.get("Parameters", ())}
    outputs = {one["OutputKey"]: one["OutputValue"] for one in found.get("Outputs", ())}
    return Stack(
        arn=found["StackId"],
        name=found["StackName"],
        status=found["StackStatus"],
        is_protected=found.get("EnableTerminationProtection", False),
        other_accounts=[account for account in parameters.get("SecretAccountIds", "").split(",") if account.isdigit()],
        log_group=outputs.get("LogGroupName", ""),
        name_prefix=parameters.get("NamePrefix") or found["StackName"],
    )


def _resources(client: Client, stack: str) -> Iterator[tuple[str, str]]:
    """Yield type and physical id of each resource that is there."""
    pages = client.get_paginator("list_stack_resources").paginate(StackName=stack)
    listed = called("listing the stack's resources", "cloudformation:ListStackResources", lambda: list(pages))
    for page in listed:
        for resource in page["StackResourceSummaries"]:
            if resource["ResourceStatus"] != "DELETE_COMPLETE" and "PhysicalResourceId" in resource:
                yield resource["ResourceType"], resource["PhysicalResourceId"]


def _function_arn(stack: str, function: str) -> str:
    """Return the ARN of a function, which is in the stack's account and Region."""
    partition, _, region, account = stack.split(":")[1:5]
    return f"arn:{partition}:lambda:{region}:{account}:function:{function}"


def _failures(client: Client, stack: Stack) -> list[str]:
    """Return which resources could not be deleted, and why, from the last attempt."""
    answer = called(
        "reading the stack's events",
        "cloudformation:DescribeStackEvents",
        lambda: client.describe_stack_events(StackName=stack.arn),
    )
    events = itertools.takewhile(lambda event: not _begins_deletion(event, stack), answer["StackEvents"])
    failed = [
        event
        for event in events
        if event["ResourceStatus"] == "DELETE_FAILED" and event["PhysicalResourceId"] != stack.arn
    ]
    return [f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', 'no reason given')}" for event in failed]


def _begins_deletion(event: Mapping[str, Any], stack: Stack) -> bool:
    return (event["PhysicalResourceId"], event["ResourceStatus"]) == (stack.arn, "DELETE_IN_PROGRESS")
