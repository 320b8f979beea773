"""What does a state machine call, and how is it started and looked at?"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Thread
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.local.aws.iam import Role
from tests.local.aws.secrets_manager import REGION, LocalSecretsManager
from tests.local.aws.states import Failed, Machine, Unsupported

CONFIG = Config(
    retries={"total_max_attempts": 1}, max_pool_connections=100, proxies={}, s3={"addressing_style": "path"}
)


class LocalServices:
    """Lambda, Secrets Manager and S3, called in the role of the machine; implements `states.Services`."""

    def __init__(self, service: LocalSecretsManager, role: Role) -> None:
        who = service.acting_as(role)
        session = boto3.Session(who["AWS_ACCESS_KEY_ID"], "test", region_name=REGION)
        self._lambda: Any = session.client("lambda", endpoint_url=service.endpoint_url, config=CONFIG)
        self._s3: Any = session.client("s3", endpoint_url=service.endpoint_url, config=CONFIG)
        self._secrets_manager = session.client("secretsmanager", endpoint_url=service.endpoint_url, config=CONFIG)

    def call(self, resource: str, parameters: Mapping[str, Any]) -> Any:  # noqa: ANN401 - each service's own
        """Return the answer. Raises Failed."""
        match resource.split(":states:::")[1]:
            case "lambda:invoke":
                return self._invoked(parameters)
            case "s3:getObject":
                return json.loads(self._s3.get_object(**parameters)["Body"].read())
            case "aws-sdk:secretsmanager:rotateSecret":
                return self._rotated(parameters)
            case other:
                raise Unsupported(other)

    def _invoked(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        try:
            answer = self._lambda.invoke(**{**parameters, "Payload": json.dumps(parameters["Payload"])})
        except ClientError as error:
            raise Failed(f"Lambda.{error.response['Error']['Code']}", str(error)) from None
        said = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            raise Failed(said["errorType"], json.dumps(said))
        return {"Payload": said}

    def _rotated(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        client = self._secrets_manager
        try:
            return {"VersionId": client.rotate_secret(**parameters)["VersionId"]}
        except ClientError as error:
            # AWS's model of the service has no throttling and no missing permission among its errors.
            code = error.response["Error"]["Code"]
            known = code in client.meta.service_model.shape_names
            name = code.removesuffix("Exception") if known else "SecretsManager"
            raise Failed(f"SecretsManager.{name}Exception", error.response["Error"]["Message"]) from None


@dataclass
class LocalStates:
    """Answers like a client of Step Functions, for one machine."""

    machine: Machine
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)

    def start_execution(self, *, stateMachineArn: str, name: str, input: str) -> dict[str, Any]:  # noqa: A002, N803 - boto3's names
        """Start an execution; the same one again while it runs is no other one."""
        arn = f"{stateMachineArn.replace(':stateMachine:', ':execution:')}:{name}"
        if (known := self.runs.get(arn)) and (known["status"] != "RUNNING" or known["input"] != input):
            raise ClientError({"Error": {"Code": "ExecutionAlreadyExists", "Message": arn}}, "StartExecution")
        if not known:
            self.runs[arn] = {"status": "RUNNING", "startDate": datetime.now(UTC), "input": input}
            Thread(target=self._run, args=(arn, name, json.loads(input)), daemon=True).start()
        return {"executionArn": arn}

    def describe_execution(self, *, executionArn: str) -> dict[str, Any]:  # noqa: N803
        """Say how it is, and its output if it has ended."""
        return self.runs[executionArn]

    def list_executions(self, *, stateMachineArn: str, statusFilter: str, maxResults: int) -> dict[str, Any]:  # noqa: N803
        """List the executions in a status, without those of the items of maps."""
        prefix = f"{stateMachineArn.replace(':stateMachine:', ':execution:')}:"
        found = [arn for arn, run in self.runs.items() if arn.startswith(prefix) and run["status"] == statusFilter]
        return {"executions": [{"name": arn.removeprefix(prefix)} for arn in found[:maxResults]]}

    def _run(self, arn: str, name: str, value: object) -> None:
        ended: dict[str, Any] = {"status": "FAILED", "error": "the interpreter's own", "cause": ""}
        try:
            ended = {"status": "SUCCEEDED", "output": json.dumps(self.machine.run(name, value))}
        except Failed as failure:
            ended = {"status": "FAILED", "error": failure.error, "cause": failure.cause}
        finally:
            self.runs[arn] = {**self.runs[arn], **ended}
