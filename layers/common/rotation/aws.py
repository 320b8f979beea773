"""How are AWS's services called, and what do their errors mean?

Every call goes through `call_aws`, which repeats it while time lasts if the failure can pass: throttling, a problem of
the service itself, a connection that was cut, an answer that does not come. That is safe because every call that this
program makes can be repeated: it reads, or it writes the same value into the same version again, or it moves a label
away from a version. AWS refuses the last if an earlier try has already moved the label.
"""

import functools
import itertools
import logging
import os
import random
from collections.abc import Callable, Container, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack, cast

from botocore import __version__ as botocore_version
from botocore.config import Config
from botocore.credentials import ContainerProvider, CredentialResolver, EnvProvider
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
from botocore.loaders import Loader
from botocore.parsers import ResponseParserError
from botocore.session import Session

from rotation.deadline import Deadline, within
from rotation.errors import RETRIED, ServiceFailed
from rotation.redaction import said
from rotation.values import dataclass

if TYPE_CHECKING:
    from botocore.client import BaseClient
    from mypy_boto3_rds import RDSClient
    from mypy_boto3_secretsmanager import SecretsManagerClient

# At the level DEBUG, whoever sets it, they log whole requests and answers.
for _module in ("botocore", "urllib3"):
    logging.getLogger(_module).setLevel(logging.INFO)

USER_AGENT = f"secret-rotation Botocore/{botocore_version}"
"""What CloudTrail shows as `userAgent`. botocore would put its own together twice for each call, in 0.2 ms of
processor time, a sixth of the call."""

CONFIG = Config(
    user_agent=USER_AGENT,
    connect_timeout=3,
    read_timeout=5,
    retries={"mode": "standard", "total_max_attempts": 1},
)
"""One try: botocore does not know how much time the function has left."""

TRY_SECONDS = 5.0
"""How long one try can take. botocore's limits are for each address of a name, and for each piece of an answer."""

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 1.0
"""Seconds before the next try. The pause doubles each time. Ten pauses fit into a function's timeout of 10 s."""

PASSING_ERRORS = frozenset({
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
"""AWS's codes of errors that pass by themselves."""

TOO_MANY_REQUESTS, SERVER_ERROR = 429, 500
"""HTTP's status codes of the same: 429, and all from 500 on."""

NO_ENDPOINT = (ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError, TimeoutError)
"""What botocore and `within` raise if nothing answers at the service's address."""


class Credentials(TypedDict, total=False):
    """What calls are signed with, in botocore's words. Empty: what the environment has; on Lambda that is the role."""

    aws_access_key_id: str
    aws_secret_access_key: str
    aws_session_token: str


@dataclass(frozen=True)
class Clients:
    """The clients that call AWS about a secret, in one role."""

    secrets_manager: "SecretsManagerClient"
    rds: "Callable[[str], RDSClient]"
    """Returns RDS's client of a Region."""


def new_clients(**credentials: Unpack[Credentials]) -> Clients:
    """Return clients that sign with these credentials."""
    # AWS's templates read this variable; the SDK's own AWS_ENDPOINT_URL… work as well.
    endpoint = os.environ.get("SECRETS_MANAGER_ENDPOINT") or None
    return Clients(
        cast("SecretsManagerClient", new_client("secretsmanager", endpoint_url=endpoint, **credentials)),
        functools.cache(lambda region: _rds(region, credentials)),
    )


def _rds(region: str, credentials: Credentials) -> "RDSClient":
    """Return RDS's client of a Region. RDS_ENDPOINT is for the function's own: an endpoint serves one Region."""
    endpoint = os.environ.get("RDS_ENDPOINT") if region == os.environ.get("AWS_REGION") else None
    made = new_client("rds", region_name=region, endpoint_url=endpoint or None, **credentials)
    return cast("RDSClient", made)


class Place(Credentials, total=False):
    """Where a client calls, and what its calls are signed with; what is left out, the environment says."""

    region_name: str
    endpoint_url: str | None


def new_client(service: str, **place: Unpack[Place]) -> "BaseClient":
    """Return a client of a service, with our limits."""
    return session().create_client(service, config=CONFIG, **place)


@functools.cache
def session() -> Session:
    """Return the session that makes all clients, and reads the description of each service once.

    It is botocore's: boto3 would import what moves files to S3. It looks for credentials where Lambda has them, and
    nowhere else: in the environment, or with SnapStart at the address that the environment names
    (https://docs.aws.amazon.com/lambda/latest/dg/snapstart-activate.html).
    """
    made = Session()
    made.register_component("data_loader", _Loader())
    made.register_component("credential_provider", CredentialResolver([EnvProvider(), ContainerProvider()]))
    return made


class _Loader(Loader):
    """Finds the description of a service by the name of its folder.

    botocore's own looks into the folders of all its 400 services, to tell which there are, twice for each client: 10 of
    the 31 ms of processor time that the first client takes.
    """

    def list_available_services(self, type_name: str) -> list[str]:  # noqa: ARG002 - botocore's signature
        """Return all names that a service can have."""
        places = [Path(path) for path in self.search_paths]
        return [folder.name for place in places if place.is_dir() for folder in place.iterdir()]

    def load_data_with_path(self, name: str) -> tuple[Any, str]:
        """Make "endpoints" of "partitions"; return all else as it is.

        "endpoints" is what botocore asked before each service had rules of its own, which decide today. Of it, a client
        takes the Region that it signs for. To read it takes 15 ms of processor time.
        """
        if name != "endpoints":
            return super().load_data_with_path(name)
        partitions, path = super().load_data_with_path("partitions")
        return {"version": 3, "partitions": [_endpoints(each) for each in partitions["partitions"]]}, path


def _endpoints(partition: dict[str, Any]) -> dict[str, Any]:
    """Return how endpoints are named in a partition, whatever the service."""
    suffix, dual = partition["outputs"]["dnsSuffix"], partition["outputs"]["dualStackDnsSuffix"]
    hosts = {("fips",): suffix, ("dualstack",): dual, ("dualstack", "fips"): dual}
    variants = [
        {
            "tags": list(tags),
            "dnsSuffix": host,
            "hostname": f"{{service}}{'-fips' * ('fips' in tags)}.{{region}}.{{dnsSuffix}}",
        }
        for tags, host in hosts.items()
    ]
    return {
        "partition": partition["id"],
        "regionRegex": partition["regionRegex"],
        "regions": partition["regions"],
        "dnsSuffix": suffix,
        "services": {},
        "defaults": {
            "hostname": "{service}.{region}.{dnsSuffix}",
            "protocols": ["https"],
            "signatureVersions": ["v4"],
            "variants": variants,
        },
    }


@functools.cache
def own_clients() -> Clients:
    """Return the clients of the function's own role, made once and kept from one invocation to the next."""
    return new_clients()


def call_aws[T: Mapping[str, object]](  # noqa: PLR0913 - all of them describe one call
    call: Callable[[], T],
    deadline: Deadline,
    operation: str,
    permission: str,
    *,
    expected: Container[str] = (),
    if_denied: str | None = None,
) -> T:
    """Return AWS's answer to a call; repeat the call while time lasts.

    `permission` is the IAM action that the call needs, `if_denied` the remedy if allowing it is not enough. Raises
    ServiceFailed, which quotes nothing of a request because requests hold passwords; OutOfTime if there is no time for
    a first try; botocore's ClientError if its code is in `expected`.
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
            # None of our calls has an empty answer: the answer was cut off, and botocore did not notice.
            failure = _Failure(f"{permission} gave an answer that was cut off", RETRIED, passes=True)
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
    """Whether another try can succeed."""


def _pause(tries: int) -> float:
    """Return how long to wait after so many tries.

    It is random, so that functions that were throttled together do not come back together.
    """
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (tries - 1))
    return random.uniform(longest / 2, longest)  # noqa: S311 - nothing secret


def error_code(error: ClientError) -> str:
    """Return AWS's code of the error."""
    return error.response.get("Error", {}).get("Code", "")


def _refused(error: ClientError, permission: str, if_denied: str | None) -> _Failure:
    code, message = error_code(error), error.response.get("Error", {}).get("Message", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    passes = code in PASSING_ERRORS or status == TOO_MANY_REQUESTS or status >= SERVER_ERROR
    role = "the function's role, or to the role that it assumed"
    remedies = {
        "AccessDeniedException": if_denied or f"Allow {permission} to {role}, and the use of the secret's KMS key",
        "AccessDenied": if_denied or f"Allow {permission} to {role}",
        "DecryptionFailure": f"Allow kms:Decrypt on the secret's KMS key (KmsKeyArns) to {role}",
        "EncryptionFailure": f"Allow kms:GenerateDataKey on the secret's KMS key (KmsKeyArns) to {role}",
        "ResourceNotFoundException": "Check that the secret and its versions still exist",
    }
    remedy = remedies.get(code, RETRIED if passes else "Correct the cause and rotate again")
    return _Failure(f"{permission} answered {said(f'{code}: {message}').rstrip('.')}", remedy, passes)


def _unanswered(error: Exception, permission: str) -> _Failure:
    service = permission.partition(":")[0]
    outcome = "gave no answer"
    if isinstance(error, NO_ENDPOINT):
        remedy = f"Give the function's subnets a route to {service}: a VPC endpoint or a NAT gateway that allows it"
    elif isinstance(error, ParamValidationError):
        outcome = "was not called: botocore refused the request"
        remedy = "Check that the event comes from Secrets Manager unchanged"
    elif isinstance(error, NoCredentialsError):
        remedy = "Run this with AWS credentials; on Lambda they are the function's role"
    else:
        remedy = RETRIED
    passes = isinstance(error, (NoConnection, HTTPClientError, ResponseParserError, TimeoutError))
    return _Failure(f"{permission} {outcome} ({type(error).__name__})", remedy, passes)
