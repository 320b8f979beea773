"""How are AWS's services called, and what do their errors mean?"""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    ReadTimeoutError,
)

from rotation.errors import ServiceFailed

CONFIG = Config(connect_timeout=3, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 3})
"""Without an endpoint in the function's subnets a call takes 3 s three times, which leaves a 30 s timeout room to say
so."""

NO_ENDPOINT = (ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError)


@contextmanager
def calling(doing: str, permission: str) -> Iterator[None]:
    """Translate what botocore raises inside the block into ServiceFailed.

    `permission` is the IAM action that the call needs. No text of a request goes into the error: requests hold
    passwords.
    """
    try:
        yield
    except ClientError as error:
        raise _refused(error, doing, permission) from None
    except BotoCoreError as error:
        raise _unanswered(error, doing, permission) from None


def error_code(error: ClientError) -> str:
    """Return AWS's name for the error."""
    return error.response.get("Error", {}).get("Code", "")


def _refused(error: ClientError, doing: str, permission: str) -> ServiceFailed:
    code, message = error_code(error), error.response.get("Error", {}).get("Message", "")
    remedies = {
        "AccessDeniedException": f"Allow {permission} to the function's role, and the use of the secret's KMS key",
        "AccessDenied": f"Allow {permission} to the function's role",
        "DecryptionFailure": "Allow kms:Decrypt on the secret's KMS key to the function's role (KmsKeyArn)",
        "EncryptionFailure": "Allow kms:GenerateDataKey on the secret's KMS key to the function's role (KmsKeyArn)",
        "ResourceNotFoundException": "Look whether the secret and its versions are still there",
        "ThrottlingException": "The rotation is tried again by itself",
        "InternalServiceError": "The rotation is tried again by itself",
    }
    return ServiceFailed(
        doing,
        f"{permission} answered {code}: {message.rstrip('.')}",
        remedies.get(code, "Correct the cause and rotate again"),
    )


def _unanswered(error: BotoCoreError, doing: str, permission: str) -> ServiceFailed:
    service = permission.partition(":")[0]
    if isinstance(error, NO_ENDPOINT):
        remedy = f"Give the function's subnets a way to {service}: a VPC endpoint or a NAT gateway, open to it"
    elif isinstance(error, ParamValidationError):
        remedy = "A request was refused before it was sent: look whether the event comes from Secrets Manager unchanged"
    elif isinstance(error, NoCredentialsError):
        remedy = "Run this with AWS credentials; on Lambda they are the function's role"
    else:
        remedy = "The rotation is tried again by itself"
    return ServiceFailed(doing, f"{permission} gave no answer ({type(error).__name__})", remedy)
