"""How are AWS's services called, and what do their errors mean?"""

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict, Unpack

import boto3
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

if TYPE_CHECKING:
    from mypy_boto3_rds import RDSClient
    from mypy_boto3_secretsmanager import SecretsManagerClient

CONFIG = Config(connect_timeout=3, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 3})
"""Without an endpoint in the function's subnets a call takes 3 s three times, which leaves a 30 s timeout room to say
so."""

NO_ENDPOINT = (ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError)


class Credentials(TypedDict, total=False):
    """What calls are signed with, in boto3's words; empty: what the environment has, on Lambda the function's role."""

    aws_access_key_id: str
    aws_secret_access_key: str
    aws_session_token: str


@dataclass(frozen=True)
class Clients:
    """All that calls AWS about a secret, in one role."""

    secrets_manager: "SecretsManagerClient"
    rds: "Callable[[str], RDSClient]"
    """Returns RDS's client for a Region."""


def new_clients(**credentials: Unpack[Credentials]) -> Clients:
    """Return clients that sign with these credentials."""
    # AWS's templates read this variable; the SDK's own AWS_ENDPOINT_URL… work as well.
    endpoint = os.environ.get("SECRETS_MANAGER_ENDPOINT") or None
    return Clients(
        boto3.client("secretsmanager", config=CONFIG, endpoint_url=endpoint, **credentials),
        functools.cache(lambda region: boto3.client("rds", region_name=region, config=CONFIG, **credentials)),
    )


@functools.cache
def own_clients() -> Clients:
    """Return the clients of the function's own role: made once, and kept from one invocation to the next."""
    return new_clients()


@contextmanager
def calling(doing: str, permission: str, *, if_denied: str | None = None) -> Iterator[None]:
    """Translate what botocore raises inside the block into ServiceFailed.

    `permission` is the IAM action that the call needs, `if_denied` the remedy where allowing it is not enough. No text
    of a request goes into the error: requests hold passwords.
    """
    try:
        yield
    except ClientError as error:
        raise _refused(error, doing, permission, if_denied) from None
    except BotoCoreError as error:
        raise _unanswered(error, doing, permission) from None


def error_code(error: ClientError) -> str:
    """Return AWS's name for the error."""
    return error.response.get("Error", {}).get("Code", "")


def _refused(error: ClientError, doing: str, permission: str, if_denied: str | None) -> ServiceFailed:
    code, message = error_code(error), error.response.get("Error", {}).get("Message", "")
    role = "the function's role, or to the role that it assumed"
    remedies = {
        "AccessDeniedException": if_denied or f"Allow {permission} to {role}, and the use of the secret's KMS key",
        "AccessDenied": if_denied or f"Allow {permission} to {role}",
        "DecryptionFailure": f"Allow kms:Decrypt on the secret's KMS key (KmsKeyArns) to {role}",
        "EncryptionFailure": f"Allow kms:GenerateDataKey on the secret's KMS key (KmsKeyArns) to {role}",
        "ResourceNotFoundException": "Look whether the secret and its versions are still there",
        "ThrottlingException": "The rotation is tried again by itself",
        "Throttling": "The rotation is tried again by itself",
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
