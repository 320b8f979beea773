"""What is the limit of a cold start? A function that does nothing but to call Secrets Manager, by botocore alone."""

from typing import TYPE_CHECKING, cast

import botocore.session

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient


def handler(event: dict[str, str], _: object) -> None:
    """Ask for the secret; an event that names none fails before a client is made, as in a rotation function."""
    secret = event["SecretId"]
    made = botocore.session.get_session().create_client("secretsmanager")
    client = cast("SecretsManagerClient", made)
    client.describe_secret(SecretId=secret)
