"""How are AWS's services called, and what do their errors mean?

Every call goes through `call_aws`, which repeats it for as long as time lasts where the failure may pass: throttling, a
service that has a problem of its own, a connection that was cut, an answer that does not come. That is safe, for every
call that this program makes may be repeated: it reads, or it writes the same value into the same version again, or it
moves a label from where it was seen, which is refused where an earlier try has moved it.
"""

import functools
import itertools
import logging
import os
import random
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict, Unpack

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    ParamValidationError,
    ReadTimeoutError,
)
from botocore.exceptions import (
    ConnectionError as NoConnection,
)
from botocore.parsers import ResponseParserError

from rotation.deadline import Deadline, within
from rotation.errors import ServiceFailed
from rotation.redaction import said

if TYPE_CHECKING:
    from mypy_boto3_rds import RDSClient
    from mypy_boto3_secretsmanager import SecretsManagerClient

# At the level DEBUG, whatever sets that, they log requests and answers whole.
for _module in ("botocore", "boto3", "urllib3"):
    logging.getLogger(_module).setLevel(logging.INFO)

CONFIG = Config(connect_timeout=3, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 1})
"""One try: botocore does not know how long the function may still run."""

TRY_SECONDS = 5.0
"""How long one try takes at most. botocore's limits are for each address of a name, and for each piece of an answer."""

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 1.0
"""Seconds until the next try; the first is doubled each time. Ten pauses fit into a function's timeout of 10 s."""

PASSING = frozenset({
    "InternalFailure",
    "InternalServiceError",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "RequestTimeout",
    "RequestTimeoutException",
    "ServiceUnavailable",
    "ServiceUnavailableException",
    "SlowDown",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
})  # fmt: skip
"""AWS's names for what goes away by itself."""

TOO_MANY_REQUESTS, SERVER_ERROR = 429, 500
"""HTTP's numbers for the same; all from the second on."""

NO_ENDPOINT = (ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError, TimeoutError)

AGAIN = "The rotation is tried again by itself"


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


def call_aws[T: Mapping[str, object]](  # noqa: PLR0913 - what a call is, each named by the caller
    call: Callable[[], T],
    deadline: Deadline,
    operation: str,
    permission: str,
    *,
    expected: Container[str] = (),
    if_denied: str | None = None,
) -> T:
    """Return AWS's answer to a call that may be repeated; it is repeated while time lasts.

    `permission` is the IAM action that the call needs, `if_denied` the remedy where allowing it is not enough. Raises
    ServiceFailed, in which there is no text of a request, for requests hold passwords; OutOfTime where there is no time
    for a first try; and botocore's ClientError where AWS's name for the error is among those to `expected`.
    """
    for tries in itertools.count(1):
        try:
            answer = within(deadline.allow(TRY_SECONDS, operation), call)
        except ClientError as error:
            if error_code(error) in expected:
                raise
            failure = _refused(error, permission, if_denied)
        except (BotoCoreError, ResponseParserError, TimeoutError) as error:
            failure = _unanswered(error, permission)
        else:
            if answer.keys() - {"ResponseMetadata"}:
                return answer
            # None of our calls is answered by nothing: botocore took what had arrived for the whole.
            failure = _Failure(f"{permission} gave an answer that was cut off", AGAIN, passes=True)
        pause = _pause(tries)
        if not failure.passes or not deadline.outlasts(pause):
            times = f" ({tries} times)" if tries > 1 else ""
            raise ServiceFailed(operation, f"{failure.cause}{times}", failure.remedy)
        deadline.pause(pause, operation)
    raise AssertionError


@dataclass(frozen=True)
class _Failure:
    """Why a try failed."""

    cause: str
    remedy: str
    passes: bool
    """Whether another try may succeed."""


def _pause(tries: int) -> float:
    """Return how long to wait after so many tries; functions that were throttled together do not come back together."""
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (tries - 1))
    return random.uniform(longest / 2, longest)  # noqa: S311 - nothing secret


def error_code(error: ClientError) -> str:
    """Return AWS's name for the error."""
    return error.response.get("Error", {}).get("Code", "")


def _refused(error: ClientError, permission: str, if_denied: str | None) -> _Failure:
    code, message = error_code(error), error.response.get("Error", {}).get("Message", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    passes = code in PASSING or status == TOO_MANY_REQUESTS or status >= SERVER_ERROR
    role = "the function's role, or to the role that it assumed"
    remedies = {
        "AccessDeniedException": if_denied or f"Allow {permission} to {role}, and the use of the secret's KMS key",
        "AccessDenied": if_denied or f"Allow {permission} to {role}",
        "DecryptionFailure": f"Allow kms:Decrypt on the secret's KMS key (KmsKeyArns) to {role}",
        "EncryptionFailure": f"Allow kms:GenerateDataKey on the secret's KMS key (KmsKeyArns) to {role}",
        "ResourceNotFoundException": "Look whether the secret and its versions are still there",
    }
    remedy = remedies.get(code, AGAIN if passes else "Correct the cause and rotate again")
    return _Failure(f"{permission} answered {said(f'{code}: {message}').rstrip('.')}", remedy, passes)


def _unanswered(error: Exception, permission: str) -> _Failure:
    service = permission.partition(":")[0]
    if isinstance(error, NO_ENDPOINT):
        remedy = f"Give the function's subnets a way to {service}: a VPC endpoint or a NAT gateway, open to it"
    elif isinstance(error, ParamValidationError):
        remedy = "A request was refused before it was sent: look whether the event comes from Secrets Manager unchanged"
    elif isinstance(error, NoCredentialsError):
        remedy = "Run this with AWS credentials; on Lambda they are the function's role"
    else:
        remedy = AGAIN
    passes = isinstance(error, (NoConnection, HTTPClientError, ResponseParserError, TimeoutError))
    return _Failure(f"{permission} gave no answer ({type(error).__name__})", remedy, passes)
