"""What do the tests of the laptop-sized Secrets Manager ask of it again and again?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_secretsmanager import SecretsManagerClient

    from tests.local.aws.secrets_manager import LocalSecretsManager


FAST = 0.03
STEPS = ["createSecret", "setSecret", "testSecret", "finishSecret"]


class Rotator:
    """A rotation function that keeps what it was given, and fails if a test says so."""

    def __init__(self, client: SecretsManagerClient) -> None:
        self.client = client
        self.events: list[dict[str, Any]] = []
        self.before: dict[str, Callable[[dict[str, Any]], object]] = {}

    def __call__(self, event: dict[str, Any]) -> None:
        """Do one step."""
        self.events.append(event)
        step, arn, token = event["Step"], event["SecretId"], event["ClientRequestToken"]
        if step in self.before:
            self.before[step](event)
        if step == "createSecret":
            self.client.put_secret_value(
                SecretId=arn,
                ClientRequestToken=token,
                SecretString=f"made for {token}",
                VersionStages=["AWSPENDING"],
                RotationToken=event["RotationToken"],
            )
        if step == "finishSecret":
            move_current(self.client, arn, token)

    @property
    def steps(self) -> list[str]:
        """The steps in the order in which they came."""
        return [event["Step"] for event in self.events]


class StepError(Exception):
    """A rotation function's failure."""


def fail(_event: object) -> None:
    """Fail a step."""
    message = "the database said no"
    raise StepError(message)


def fail_times(times: int) -> Callable[[object], None]:
    """Fail a step the first times only."""
    left = iter(range(times))
    return lambda event: fail(event) if next(left, None) is not None else None


def token() -> str:
    """Return a new version token."""
    return str(uuid4())


def labels(client: SecretsManagerClient, secret_id: str) -> dict[str, set[str]]:
    """Return the labelled versions and their labels."""
    described = client.describe_secret(SecretId=secret_id)
    return {version: set(names) for version, names in described.get("VersionIdsToStages", {}).items()}


def holder(client: SecretsManagerClient, secret_id: str, label: str) -> str:
    """Return the one version that has the label."""
    [version] = [version for version, names in labels(client, secret_id).items() if label in names]
    return version


def move_current(client: SecretsManagerClient, secret_id: str, version_id: str) -> None:
    """Move AWSCURRENT to the version."""
    client.update_secret_version_stage(
        SecretId=secret_id,
        VersionStage="AWSCURRENT",
        MoveToVersionId=version_id,
        RemoveFromVersionId=holder(client, secret_id, "AWSCURRENT"),
    )


def refusal(call: Callable[..., object], /, **parameters: object) -> tuple[str, str]:
    """Return the name and the message with which the service refuses a call."""
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    response: Any = caught.value.response
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 400
    return response["Error"]["Code"], response["Error"]["Message"]


def rotate(service: LocalSecretsManager, client: SecretsManagerClient, secret_id: str, **more: Any) -> str:  # noqa: ANN401 - RotateSecret's
    """Begin a rotation and return its version token."""
    arn = f"arn:aws:lambda:us-east-1:{service.account_id}:function:rotator"
    return client.rotate_secret(SecretId=secret_id, RotationLambdaARN=arn, **more)["VersionId"]
