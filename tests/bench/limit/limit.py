"""What is the limit of a cold start? A function that does nothing but to call Secrets Manager, by botocore alone."""

from typing import TYPE_CHECKING, cast

import botocore.session

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient


def handler(event: dict[str, str], _: object) -> None:
    """Ask for the secret, if one is named."""
    made = botocore.session.get_session().create_client("secretsmanager")
    client = cast("SecretsManagerClient", made)
    client.describe_secret(SecretId=event["SecretId"])
