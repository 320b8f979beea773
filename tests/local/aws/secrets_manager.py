"""Serve a laptop-sized Secrets Manager to real AWS clients over HTTP on 127.0.0.1.

moto keeps the secrets. Where moto and the service differ, the service's rules hold:

- *Labels.* A label is on one version at most. AWSCURRENT leaves AWSPREVIOUS behind when it moves; moving it
  to where it is changes nothing. `UpdateSecretVersionStage` must name the version that has the label now.
- *Versions.* A version gets its value once: the same token with the same value is a no-op, with another value
  it is refused. An unlabelled version can be read by its id and is listed with `IncludeDeprecated` only.
- *Rotation.* `RotateSecret` attaches AWSPENDING to a version without a value, answers at once and invokes the
  function for the four steps on a thread. After a failure all of it begins again with the same token, a few
  times. While AWSPENDING is on a version other than AWSCURRENT, another token is refused, and the same token
  is a new attempt. A current value that somebody else puts abandons the rotation. `RotateImmediately=False`
  runs testSecret only, on a temporary version.
- *Answers.* Refusals are HTTP 400 with the service's names and words. A value has at most 64 KiB, a version
  at most 20 labels.
- *Tags.* At most 50, of 128 and 256 characters; none that begins with `aws:` can be written. A replica has those of
  its primary.
- *Permissions.* A process `acting_as` a role may do what the role's policies allow, also with the KMS key of a
  secret, with RDS, with STS, with Lambda and with CloudWatch Logs; everybody else may do everything.

It is a stand-in: one account and one Region, no policies of secrets and keys, no encryption, no quotas (but see
quotas.py), no schedule that fires, and versions are never pruned. What nobody wrote down is our choice: a
`RotationToken` that is not the rotation's own is an InvalidParameterException; no step begins once the rotation
is cancelled or abandoned; a refused `RotateSecret` starts no new attempt. moto's RDS, STS, CloudWatch Logs and
CloudFormation answer at the same endpoint, as moto has them; and of Lambda, Invoke and GetFunctionConfiguration of
registered functions.
"""

from __future__ import annotations

import itertools
import json
import re
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from threading import RLock, Thread
from typing import TYPE_CHECKING, Any, Final, Literal, Self
from uuid import uuid4

import boto3
from botocore.config import Config
from moto.core.exceptions import JsonRESTError
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.secretsmanager.models import SecretsStore, secretsmanager_backends
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from tests.local.aws.authorization import Gate
from tests.local.aws.lambda_logs import group_of
from tests.local.aws.secrets_manager_api import RotationService, SecretsManagerApi
from tests.local.aws.secrets_manager_rotation import Outcome, StepEvent
from tests.local.aws.secrets_manager_rules import SecretsManagerRules
from tests.local.aws.secrets_manager_versions import ServiceError
from tests.local.evidence import keep_password

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from types import TracebackType
    from wsgiref.types import StartResponse, WSGIEnvironment

    from mypy_boto3_rds import RDSClient
    from mypy_boto3_secretsmanager import SecretsManagerClient

    from tests.local.aws.iam import Role
    from tests.local.aws.secrets_manager_rotation import Function, Observer

__all__ = ["REGION", "Call", "LocalSecretsManager", "Outcome", "ServiceError", "StepEvent"]

REGION: Final = "us-east-1"

type Phase = Literal["before", "after"]
type Intercept = Callable[[Call, Phase], object]
type Staleness = Callable[[Call], int]

_TARGET: Final = "secretsmanager."
_FUNCTION: Final = re.compile(r"/2015-03-31/functions/(?P<function>.+)/(?P<what>invocations|configuration)")
_NOT_FOUND: Final = 404
_READING: Final = {"DescribeSecret", "GetSecretValue", "ListSecretVersionIds"}
_OPERATOR: Final = "operator"
"""What a client of ours says of itself: who puts a value with another one is a function, which has generated it."""
_ONE_TRY: Final = Config(retries={"total_max_attempts": 1}, proxies={}, user_agent_extra=_OPERATOR)
_SENSITIVE: Final = {"SecretString", "SecretBinary", "RotationToken"}
# moto keeps its stores per account for the whole process: each server is an account of its own.
_ACCOUNTS: Final = itertools.count(123456789012)


@dataclass(frozen=True)
class Call:
    """One call of the API, without the parameters that nobody may see."""

    operation: str
    parameters: Mapping[str, Any]

    @property
    def secret_id(self) -> str | None:
        """Name the secret as the caller did."""
        return self.parameters.get("SecretId")


class LocalSecretsManager:
    """A running Secrets Manager, from `with` to the end of the block.

    `calls` lists the calls so far and `outcomes` the rotations that ended; clear them at will. `intercept` is
    called before each call and after each one that took effect. It may raise ServiceError (the caller gets
    that answer), raise ConnectionError (the connection is cut), or block. `staleness` is called before each call
    that reads, and returns how many changes ago the state is that answers it: the service is eventually
    consistent. Only changes since it was set are remembered.
    """

    def __init__(  # noqa: PLR0913 - each is a choice of its own
        self,
        *,
        account_id: str | None = None,
        attempts: int = 3,
        rotate_before_answering: bool = False,
        test_version_has_value: bool = True,
        observer: Observer | None = None,
        intercept: Intercept | None = None,
    ) -> None:
        """Choose what the service leaves open.

        account_id: the account; by default one of its own. Two servers of one process cannot have the same.
        attempts: how often a failing rotation is begun in all.
        rotate_before_answering: answer RotateSecret when the rotation is over, not at once.
        test_version_has_value: let the temporary version of a test-only rotation hold the current value.
        observer: called with each step as it happens, on the rotation's thread.
        """
        self.intercept = intercept
        self._staleness: Staleness | None = None
        self._past: list[SecretsStore] = []
        self.rotate_before_answering = rotate_before_answering
        self.calls: list[Call] = []
        self.account_id = account_id or f"{next(_ACCOUNTS):012d}"
        self._lock = RLock()
        self._gate = Gate(self.account_id)
        self._store = SecretsManagerRules(REGION, self.account_id)
        self._rotations = RotationService(self._store, self._lock, attempts, test_version_has_value, observer)
        self.outcomes = self._rotations.outcomes
        self._session = boto3.Session("test", "test", region_name=REGION)
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=_QuietHandler)
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self.endpoint_url = f"http://127.0.0.1:{self._server.port}"

    def __enter__(self) -> Self:
        # moto's RDS keeps its master secrets in the store that is entered here.
        secretsmanager_backends[self.account_id][REGION] = self._store
        self._thread.start()
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        del secretsmanager_backends[self.account_id]

    def client(self, config: Config | None = None) -> SecretsManagerClient:
        """Return a client; unless the config says else, a call is tried once and no retry hides a failure."""
        with self._lock:
            return self._session.client(
                "secretsmanager", endpoint_url=self.endpoint_url, config=_ONE_TRY.merge(config or Config())
            )

    def rds(self) -> RDSClient:
        """Return a client of moto's RDS in the same account."""
        with self._lock:
            return self._session.client("rds", endpoint_url=self.endpoint_url, config=_ONE_TRY)

    def logs(self) -> Any:  # noqa: ANN401 - it has no types here
        """Return a client of moto's CloudWatch Logs in the same account."""
        return self._client("logs")

    def cloudformation(self) -> Any:  # noqa: ANN401 - it has no types here
        """Return a client of moto's CloudFormation in the same account; its first call takes seconds."""
        return self._client("cloudformation")

    @property
    def environment(self) -> dict[str, str]:
        """What another process needs in its environment to call this endpoint."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "127.0.0.1",
        }

    def acting_as(self, role: Role) -> dict[str, str]:
        """Return the environment of a process that has a role."""
        self._gate.roles[role.name] = role
        return {**self.environment, "AWS_ACCESS_KEY_ID": role.name}

    def forget(self) -> None:
        """Remove every secret, also those that no call can delete."""
        with self._lock:
            self._store.secrets.clear()

    def replicate_here(self, name: str, region: str, tags: Mapping[str, str], value: str = "{}") -> str:
        """Make a secret in another Region with a replica in this one; return the replica's ARN."""
        source = secretsmanager_backends[self.account_id][region]
        said = [{"Key": key, "Value": value} for key, value in tags.items()]
        with self._lock:
            source.create_secret(name, value, None, None, said, None, None, [{"Region": REGION}], force_overwrite=False)
            return self._store.secrets[name].arn

    def manage_here(self, name: str, owner: str) -> str:
        """Make a secret that a service manages; return its ARN."""
        with self._lock:
            return self._store.create_managed_secret(owner, name, "{}").arn

    def register(self, function_name: str, function: Function) -> str:
        """Let RotateSecret invoke the function, an exception being its failure; return the function's ARN."""
        arn = f"arn:aws:lambda:{REGION}:{self.account_id}:function:{function_name}"
        self._rotations.functions[arn] = function
        return arn

    def wait(self, secret_id: str | None = None, timeout: float = 30) -> Outcome:
        """Return how the last rotation (of this secret) ended; raise TimeoutError if it does not end."""
        with self._lock:
            rotation = self._rotations.last(secret_id)
        return rotation.wait(timeout)

    @property
    def staleness(self) -> Staleness | None:
        """How old the state is that answers a call."""
        return self._staleness

    @staleness.setter
    def staleness(self, staleness: Staleness | None) -> None:
        with self._lock:
            self._staleness = staleness
            self._past = [deepcopy(self._store.secrets)] if staleness else []

    def _client(self, name: str) -> Any:  # noqa: ANN401 - boto3's has no types for most services
        with self._lock:
            return self._session.client(name, endpoint_url=self.endpoint_url, config=_ONE_TRY)  # type: ignore[call-overload]

    @contextmanager
    def _as_it_was(self, call: Call) -> Iterator[None]:
        """Let the block see the state of some changes ago, or remember what it changes."""
        if not self._staleness:
            yield
        elif call.operation in _READING:
            now, ago = self._store.secrets, min(self._staleness(call), len(self._past) - 1)
            self._store.secrets = self._past[-1 - ago] if ago else now
            try:
                yield
            finally:
                self._store.secrets = now
        else:
            yield
            self._past.append(deepcopy(self._store.secrets))

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        target: str = environ.get("HTTP_X_AMZ_TARGET", "")
        if match := _FUNCTION.fullmatch(environ.get("PATH_INFO", "")):
            answer = self._invoked if match["what"] == "invocations" else self._configuration
            return answer(match["function"], environ)(environ, start_response)
        if not target.startswith(_TARGET):
            return self._answer_as_moto(environ, start_response)
        parameters = json.loads(Request(environ).get_data())
        try:
            body, status = self._call(target.removeprefix(_TARGET), parameters, environ), 200
        except JsonRESTError as error:
            # moto's own not-found is a 404; the service's is a 400 like the rest.
            body, status = error.description, 400 if error.code == _NOT_FOUND else error.code
        response = Response(body, status, content_type="application/x-amz-json-1.1")
        response.headers["x-amzn-RequestId"] = str(uuid4())
        return response(environ, start_response)

    def _invoked(self, function_arn: str, environ: WSGIEnvironment) -> Response:
        """Answer for Lambda: invoke a function that was registered, and return what it returns."""
        if refusal := self._gate.refuse_function(environ, "InvokeFunction", function_arn):
            return refusal
        try:
            answer = self._rotations.functions[function_arn](json.loads(Request(environ).get_data()))
        except Exception as error:  # noqa: BLE001 - the caller is told, as Lambda does it
            said = {"errorMessage": str(error), "errorType": type(error).__name__}
            return Response(json.dumps(said), 200, {"X-Amz-Function-Error": "Unhandled"})
        return Response(json.dumps(answer), 200)

    def _configuration(self, function_arn: str, environ: WSGIEnvironment) -> Response:
        """Answer for Lambda: say where a function's log is."""
        refusal = self._gate.refuse_function(environ, "GetFunctionConfiguration", function_arn)
        group = {"LogFormat": "Text", "LogGroup": group_of(function_arn)}
        return refusal or Response(json.dumps({"FunctionArn": function_arn, "LoggingConfig": group}), 200)

    def _answer_as_moto(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ["HTTP_X_MOTO_ACCOUNT_ID"] = self.account_id
        with self._lock:
            answer: Iterable[bytes] = (self._gate.refuse_other(environ) or self._moto)(environ, start_response)
        return answer

    def _call(self, operation: str, parameters: dict[str, Any], environ: WSGIEnvironment) -> str:
        call = Call(operation, {name: value for name, value in parameters.items() if name not in _SENSITIVE})
        self.calls.append(call)
        if operation == "PutSecretValue" and _OPERATOR not in environ.get("HTTP_USER_AGENT", ""):
            keep_password(parameters.get("SecretString", ""))
        if self.intercept:
            self.intercept(call, "before")
        with self._lock:
            self._gate.check_call(environ, operation, parameters, self._store.secrets)
            with self._as_it_was(call):
                body = SecretsManagerApi(self._rotations, parameters).perform(operation)
        if self.rotate_before_answering and operation == "RotateSecret":
            self.wait(parameters["SecretId"], timeout=600)
        if self.intercept:
            self.intercept(call, "after")
        return body


class _QuietHandler(WSGIRequestHandler):
    """Write no access log, and close a connection that an interceptor cuts."""

    disable_nagle_algorithm = True

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing: a caller's log is for the caller."""

    def connection_dropped(
        self,
        error: BaseException,  # noqa: ARG002 - werkzeug's signature
        environ: WSGIEnvironment | None = None,  # noqa: ARG002
    ) -> None:
        """Close the connection, where werkzeug would wait on it for another request."""
        self.close_connection = True
