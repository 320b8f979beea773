"""Which permissions does a call of AWS's API need, and does its caller have them?

The access key id of the call's signature tells who calls. One that stands for a role may do what the role may, and
is answered as AWS answers otherwise; all others may do everything.
"""

from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl
from uuid import uuid4
from xml.sax.saxutils import escape

from werkzeug.wrappers import Request as HttpRequest
from werkzeug.wrappers import Response

from tests.local.aws.iam import AccessDenied, Request, Role, Value
from tests.local.aws.secrets_manager_versions import ServiceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from wsgiref.types import WSGIEnvironment

    from moto.secretsmanager.models import FakeSecret, ReplicaSecret, SecretsStore

_CREDENTIAL: Final = re.compile(r"Credential=(?P<key_id>[^/]+)/[^/]+/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request")

# https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssecretsmanager.html
_WITHOUT_RESOURCE: Final = {"BatchGetSecretValue", "GetRandomPassword", "ListSecrets"}
_CHOSEN_FUNCTION: Final = "secretsmanager:resource/AllowRotationLambdaArn"

# To write a value under a key needs both, to read one needs Decrypt:
# https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html#security-encryption-authz
_USE_OF_KEY: Final[Mapping[str, tuple[str, ...]]] = {
    "GetSecretValue": ("kms:Decrypt",),
    "PutSecretValue": ("kms:GenerateDataKey", "kms:Decrypt"),
}

# RDS takes a name or an ARN; a call with neither is about all.
_DATABASES: Final = {
    "DescribeDBClusters": ("DBClusterIdentifier", "cluster"),
    "DescribeDBInstances": ("DBInstanceIdentifier", "db"),
}

_EVENTS: Final = "AWSEvents."

_DENIED: Final = (
    "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>{}</Message></Error>"
    "<RequestId>{}</RequestId></ErrorResponse>"
)


@dataclass(frozen=True)
class Gate:
    """Receives the calls to an account."""

    account_id: str
    roles: dict[str, Role] = field(default_factory=dict)
    """By access key id."""

    def check_call(
        self, environ: WSGIEnvironment, operation: str, parameters: Mapping[str, Any], secrets: SecretsStore
    ) -> None:
        """Let a call of Secrets Manager in, or raise its refusal."""
        if not (caller := self._caller(environ)):
            return
        secret = secrets.get(secret_id) if (secret_id := parameters.get("SecretId")) else None
        try:
            caller.role.authorize(_call(operation, parameters, secret, caller.region, self.account_id))
            if operation == "RotateSecret":
                # https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_RotateSecret.html
                function = parameters.get("RotationLambdaARN") or getattr(secret, "rotation_lambda_arn", None) or ""
                caller.role.authorize(Request("lambda:InvokeFunction", function))
        except AccessDenied as error:
            raise ServiceError("AccessDeniedException", str(error)) from None
        try:
            for request in _uses_of_key(operation, secret, caller.region):
                caller.role.authorize(request)
        except AccessDenied:
            raise ServiceError("AccessDeniedException", "Access to KMS is not allowed") from None

    def refuse_function(self, environ: WSGIEnvironment, operation: str, function_arn: str) -> Response | None:
        """Let a call of Lambda about a function in, or return its refusal."""
        if caller := self._caller(environ):
            try:
                caller.role.authorize(Request(f"lambda:{operation}", function_arn))
            except AccessDenied as error:
                return _denied(error, 403)
        return None

    def refuse_other(self, environ: WSGIEnvironment) -> Response | None:
        """Let a call of RDS, STS, S3, EventBridge or CloudWatch Logs in, or return its refusal."""
        if not (caller := self._caller(environ)):
            return None
        body, target = HttpRequest(environ).get_data(), environ.get("HTTP_X_AMZ_TARGET", "")
        environ["wsgi.input"] = io.BytesIO(body)
        if target.startswith(_EVENTS):
            return self._refuse_events(caller, target, json.loads(body))
        try:
            caller.role.authorize(self._request(caller, environ, target, body))
        except AccessDenied as error:
            return _denied(error) if target else _denied_query(error)
        return None

    def _request(self, caller: _Caller, environ: WSGIEnvironment, target: str, body: bytes) -> Request:
        if caller.service == "s3":
            return _object(environ)
        if target:
            return _of_logs(caller, target, json.loads(body), self.account_id)
        return _query(caller, dict(parse_qsl(body.decode())), self.account_id)

    def _refuse_events(self, caller: _Caller, target: str, parameters: Mapping[str, Any]) -> Response | None:
        """Each entry must be allowed."""
        try:
            for entry in parameters.get("Entries", [{}]):
                caller.role.authorize(_entry(caller, target.removeprefix(_EVENTS), entry, self.account_id))
        except AccessDenied as error:
            return _denied(error)
        return None

    def _caller(self, environ: WSGIEnvironment) -> _Caller | None:
        match = _CREDENTIAL.search(environ.get("HTTP_AUTHORIZATION", ""))
        role = self.roles.get(match["key_id"]) if match else None
        return _Caller(role, match["region"], match["service"]) if match and role else None


@dataclass(frozen=True)
class _Caller:
    """A caller that has a role, and calls a service in a Region."""

    role: Role
    region: str
    service: str


def _call(
    operation: str,
    parameters: Mapping[str, Any],
    secret: FakeSecret | ReplicaSecret | None,
    region: str,
    account_id: str,
) -> Request:
    action, secret_id = f"secretsmanager:{operation}", parameters.get("SecretId")
    if secret_id is None or operation in _WITHOUT_RESOURCE:
        return Request(action, "*")
    arn = (
        secret_id
        if secret_id.startswith("arn:")
        else f"arn:aws:secretsmanager:{region}:{account_id}:secret:{secret_id}"
    )
    context: dict[str, Value] = {_CHOSEN_FUNCTION: getattr(secret, "rotation_lambda_arn", None) or None}
    context["aws:ResourceTag/*"] = None
    context |= {f"aws:ResourceTag/{tag['Key']}": tag["Value"] for tag in getattr(secret, "tags", None) or []}
    if operation == "RotateSecret":
        context["secretsmanager:RotationLambdaARN"] = parameters.get("RotationLambdaARN")
    if operation == "TagResource":
        context["aws:TagKeys"] = tuple(tag["Key"] for tag in parameters["Tags"])
    return Request(action, secret.arn if secret else arn, context)


def _uses_of_key(operation: str, secret: FakeSecret | ReplicaSecret | None, region: str) -> Iterator[Request]:
    key = getattr(secret, "kms_key_id", None) or ""
    # The key aws/secretsmanager may be used by everybody who may use the secret.
    if key.startswith("arn:"):
        for action in _USE_OF_KEY.get(operation, ()):
            yield Request(action, key, {"kms:ViaService": f"secretsmanager.{region}.amazonaws.com"})


def _of_logs(caller: _Caller, target: str, parameters: Mapping[str, Any], account_id: str) -> Request:
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/iam-access-control-overview-cwl.html
    group = f"arn:aws:logs:{caller.region}:{account_id}:log-group:{parameters['logGroupName']}:*"
    return Request(f"{caller.service}:{target.partition('.')[2]}", group)


def _denied(error: AccessDenied, status: int = 400) -> Response:
    """Return the refusal of a service that speaks JSON."""
    code = "AccessDeniedException"
    said = json.dumps({"__type": code, "message": str(error)})
    return Response(said, status, {"x-amzn-ErrorType": code}, content_type="application/x-amz-json-1.1")


def _denied_query(error: AccessDenied) -> Response:
    """Return the refusal of a service that speaks XML."""
    return Response(_DENIED.format(escape(str(error)), uuid4()), 403, content_type="text/xml")


def _object(environ: WSGIEnvironment) -> Request:
    """Return what a call about one object in a bucket asks for; the path names both."""
    actions = {"GET": "s3:GetObject", "PUT": "s3:PutObject"}
    return Request(actions.get(environ["REQUEST_METHOD"], "s3:?"), f"arn:aws:s3:::{environ['PATH_INFO'].lstrip('/')}")


def _query(caller: _Caller, form: Mapping[str, Any], account_id: str) -> Request:
    operation, resource = form["Action"], "*"
    if operation in _DATABASES:
        parameter, kind = _DATABASES[operation]
        asked = form.get(parameter, "*")
        resource = asked if asked.startswith("arn:") else f"arn:aws:rds:{caller.region}:{account_id}:{kind}:{asked}"
    elif operation == "AssumeRole":
        resource = form["RoleArn"]
    return Request(f"{caller.service}:{operation}", resource)


def _entry(caller: _Caller, operation: str, entry: Mapping[str, Any], account_id: str) -> Request:
    # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-conditions.html
    bus = entry.get("EventBusName", "default")
    arn = bus if bus.startswith("arn:") else f"arn:aws:events:{caller.region}:{account_id}:event-bus/{bus}"
    return Request(
        f"events:{operation}",
        arn,
        {"events:source": entry.get("Source"), "events:detail-type": entry.get("DetailType")},
    )
