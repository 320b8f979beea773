"""How is the rotation of one secret turned off, or given to another function?"""

from typing import TYPE_CHECKING

from operations.calls import called
from rotation.watch.attached import AttachedSecret, unqualified

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_secretsmanager.type_defs import (
        DescribeSecretResponseTypeDef,
        RotateSecretRequestTypeDef,
        RotationRulesTypeTypeDef,
    )


def turn_off(client: "SecretsManagerClient", secret: AttachedSecret) -> None:
    """Turn the rotation off; the secret still names its function. Can be repeated. Raises ServiceFailed."""
    called(
        f"turning the rotation of {secret.name} off",
        "secretsmanager:CancelRotateSecret",
        lambda: client.cancel_rotate_secret(SecretId=secret.arn),
    )


def hand_over(
    client: "SecretsManagerClient", secret: AttachedSecret, function: str, rules: "RotationRulesTypeTypeDef"
) -> None:
    """Let another function rotate the secret, by the same schedule; it is called once, to test. Raises ServiceFailed.

    Nothing is rotated. Can be repeated.
    """
    request: RotateSecretRequestTypeDef = {
        "SecretId": secret.arn,
        "RotationLambdaARN": function,
        "RotateImmediately": False,
    }
    if rules:
        request["RotationRules"] = rules
    called(
        f"handing {secret.name} over to {function}",
        "secretsmanager:RotateSecret",
        lambda: client.rotate_secret(**request),
    )


def rules(client: "SecretsManagerClient", secret: AttachedSecret) -> "RotationRulesTypeTypeDef":
    """Return the secret's schedule as RotateSecret takes it: an expression or a number of days, not both."""
    found = _described(client, secret).get("RotationRules", {})
    if "ScheduleExpression" in found:
        found.pop("AutomaticallyAfterDays", None)
    return found


def function(client: "SecretsManagerClient", secret: AttachedSecret) -> str:
    """Return the ARN of the function that rotates the secret now, without version or alias; empty if none does."""
    found = _described(client, secret)
    return unqualified(found.get("RotationLambdaARN", "")) if found.get("RotationEnabled") else ""


def _described(client: "SecretsManagerClient", secret: AttachedSecret) -> "DescribeSecretResponseTypeDef":
    return called(
        f"looking at {secret.name}",
        "secretsmanager:DescribeSecret",
        lambda: client.describe_secret(SecretId=secret.arn),
    )
