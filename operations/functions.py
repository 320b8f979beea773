"""Which rotation function is asked about a secret, and what does it answer?

A question is asked once. A function that has not answered yet goes on, and each question can cost failed logins.
"""

import contextlib
import json
from collections.abc import Mapping
from typing import Any

import boto3
from botocore.config import Config

from operations import stacks
from operations.calls import Stopped, called
from rotation.errors import ServiceFailed

type Client = Any
"""A client of CloudFormation or Lambda: boto3's, which have no types here."""

type Answer = dict[str, Any]
"""What `rotation.preflight` or `rotation.doctor` answers."""

OUTPUT = "FunctionArn"

CONFIG = Config(connect_timeout=10, read_timeout=910, retries={"mode": "standard", "total_max_attempts": 1})
"""One try, which waits as long as a function can run (900 s): botocore's own gives up after 60, and asks again."""


def new_client(session: boto3.Session) -> Client:
    """Return a client of Lambda that asks once."""
    return session.client("lambda", config=CONFIG)


def of_engine(client: Client, stack: str, engine: str) -> str:
    """Return the ARN of a stack's function for an engine, whatever its capitals: postgresql, mysql and so on.

    Raises Stopped if the stack, or its function, is not there; ServiceFailed.
    """
    operation = f"looking for the function for {engine} in the stack {stack}"
    found = {
        name.removesuffix(OUTPUT).lower(): value
        for name, value in outputs(client, stack, operation, "or the function with --function").items()
        if name.endswith(OUTPUT)
    }
    if engine.lower() not in found:
        raise Stopped(operation, "it has none", f"Name one of {', '.join(sorted(found)) or 'another stack'}")
    return found[engine.lower()]


def outputs(client: Client, stack: str, operation: str, otherwise: str = "") -> dict[str, str]:
    """Return the outputs of a stack. Raises Stopped if there is no such stack, ServiceFailed."""
    if stacks.find(client, stack) is None:
        cause = "there is no such stack in this account and Region"
        raise Stopped(operation, cause, ", ".join(filter(None, ['Name it with OPERATION_ARGS="--stack …"', otherwise])))
    answer = called(operation, "cloudformation:DescribeStacks", lambda: client.describe_stacks(StackName=stack))
    return {output["OutputKey"]: str(output["OutputValue"]) for output in answer["Stacks"][0].get("Outputs", [])}


def ask(client: Client, function: str, event: Mapping[str, object]) -> Answer:
    """Invoke a function with a question, and return its answer. Raises ServiceFailed if it does not answer it."""
    operation = f"asking {function}"
    answer = called(
        operation,
        "lambda:InvokeFunction",
        lambda: client.invoke(FunctionName=function, Payload=json.dumps(event)),
    )
    said = None
    with contextlib.suppress(ValueError):
        said = json.loads(answer["Payload"].read())
    if "FunctionError" in answer:
        cause = str(said.get("errorMessage", said) if isinstance(said, dict) else said)
        raise ServiceFailed(operation, cause, "Correct the cause; the function's log says more")
    if not isinstance(said, dict) or "Findings" not in said:
        cause = "it is no rotation function that answers questions"
        raise ServiceFailed(operation, cause, "Deploy this version of the stack, or name another function")
    return said
