"""Is AWS called in the role that it should be called in, and does nothing of the session get out?

What is sent is seen where boto3 sends it: which call, and whose key signed it. STS is moto's, which lets anybody assume
any role; if it must not, another stands in for it.
"""

import json
import re
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs

import pytest

from rotation.aws import own_clients, session
from rotation.errors import InvalidConfiguration, ServiceFailed
from tests.clients import forget_clients
from tests.fakes import KIND, PRIMARY, FakeDatabase, reading
from tests.laboratories import ORDERS
from tests.local.aws.secrets_manager import Call, LocalSecretsManager, ServiceError
from tests.service.invoking import STEPS, Context, Invoke, event
from tests.service.invoking import Call as Outcome
from tests.service.scenario import VALUE, Scenario

OWN_KEY = "test"
ADMIN = "the-admins-password"
KEY = re.compile(r"Credential=(?P<id>[^/]+)/")


@dataclass(frozen=True)
class Sent:
    """One request, and whose key signed it."""

    operation: str
    key: str
    token: str
    """Of the session that the key belongs to."""
    body: str


@dataclass
class Wire:
    """What went over it."""

    sent: list[Sent] = field(default_factory=list)
    sessions: list[dict[str, str]] = field(default_factory=list)
    """The credentials that STS gave."""
    host_of_instances: str = ""
    """What RDS shall call every instance, other than moto does."""

    def on_request(self, request: Any, event_name: str, **_: object) -> None:  # noqa: ANN401 - botocore's
        """Note it."""
        match = KEY.search(_text(request.headers["Authorization"]))
        assert match
        token = _text(request.headers.get("X-Amz-Security-Token", ""))
        self.sent.append(Sent(event_name.rpartition(".")[2], match["id"], token, _text(request.body)))

    def on_session(self, parsed: dict[str, Any], **_: object) -> None:
        """Note it."""
        if "Credentials" in parsed:
            self.sessions.append(parsed["Credentials"])

    def on_instances(self, parsed: dict[str, Any], **_: object) -> None:
        """Give them the host that the test wants."""
        for instance in parsed.get("DBInstances", []):
            instance["Endpoint"]["Address"] = self.host_of_instances or instance["Endpoint"]["Address"]

    def operations(self) -> list[str]:
        """Return the calls so far."""
        return [sent.operation for sent in self.sent]

    def keys(self) -> set[str]:
        """Return whose keys signed the calls about secrets."""
        return {sent.key for sent in self.sent if sent.operation != "AssumeRole"}


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


@pytest.fixture
def wire(_connected: None) -> Iterator[Wire]:
    """What the function sends."""
    wire = Wire()
    forget_clients()
    events = session().get_component("event_emitter")
    events.register("before-send", wire.on_request)
    events.register("after-call.sts.AssumeRole", wire.on_session)
    events.register("after-call.rds.DescribeDBInstances", wire.on_instances)
    yield wire
    forget_clients()


@dataclass
class Function:
    """A rotation function, with a secret to be rotated by alternating users."""

    scenario: Scenario
    database: FakeDatabase
    wire: Wire
    invoke: Invoke

    def do(self, step: str) -> Outcome:
        """Do a step."""
        return self.invoke(self.database, event(self.scenario, step))

    def rotate(self) -> None:
        """Do all steps, which succeed."""
        self.scenario.begin()
        for step in STEPS:
            assert self.do(step).error is None
        assert self.database.accepts(self.scenario.secret().current().credential)


@pytest.fixture
def function(invoke: Invoke, service: LocalSecretsManager, wire: Wire) -> Function:
    """The function, and its secret."""
    database = FakeDatabase()
    database.new_user("admin", ADMIN, is_admin=True)
    database.new_user("app", str(VALUE["password"]), reading(ORDERS))
    admin = Scenario(service, username="admin", password=ADMIN)
    return Function(Scenario(service, masterarn=admin.arn), database, wire, invoke)


@pytest.fixture
def role(service: LocalSecretsManager, monkeypatch: pytest.MonkeyPatch) -> str:
    """The role that the function is to assume for secrets of the service's account."""
    arn = f"arn:aws:iam::{service.account_id}:role/rotation"
    monkeypatch.setenv("SECRET_ROLE_ARNS", f"arn:aws:iam::999999999999:role/rotation, {arn}")
    return arn


# In the role


def test_each_invocation_assumes_the_role_anew_and_makes_all_its_calls_in_it(function: Function, role: str) -> None:
    wire = function.wire
    function.scenario.begin()
    for step in STEPS:
        wire.sent.clear()
        assert function.do(step).error is None
        assume, *others = wire.sent
        assert (assume.operation, assume.key) == ("AssumeRole", OWN_KEY)
        asked = parse_qs(assume.body)
        assert asked["RoleArn"] == [role]
        assert asked["RoleSessionName"] == [Context.function_name]
        assert asked["DurationSeconds"] == ["900"]
        session = wire.sessions[-1]
        assert {(sent.key, sent.token) for sent in others} == {(session["AccessKeyId"], session["SessionToken"])}
    assert len({session["AccessKeyId"] for session in wire.sessions}) == len(STEPS)
    assert function.database.accepts(function.scenario.secret().current().credential)


@pytest.mark.usefixtures("role")
def test_from_an_assumed_role_the_new_version_is_written_with_the_rotation_token(
    function: Function, service: LocalSecretsManager
) -> None:
    tokens: list[str] = []

    def invoked(event: dict[str, object]) -> None:
        tokens.append(str(event["RotationToken"]))
        if error := function.invoke(function.database, event).error:
            raise error

    arn = service.register("in-a-role", invoked)
    function.scenario.client.rotate_secret(SecretId=function.scenario.arn, RotationLambdaARN=arn)
    assert service.wait(function.scenario.arn).result == "succeeded"
    [put] = [sent for sent in function.wire.sent if sent.operation == "PutSecretValue"]
    assert json.loads(put.body)["RotationToken"] == tokens[0]
    assert put.key == function.wire.sessions[0]["AccessKeyId"]


@pytest.mark.usefixtures("role")
def test_the_admin_that_rds_manages_is_looked_up_in_the_role_too(
    function: Function, service: LocalSecretsManager
) -> None:
    made = service.rds().create_db_instance(
        DBInstanceIdentifier=f"db-{secrets.token_hex(4)}",
        DBInstanceClass="db.m5d.large",
        Engine="postgres",
        Port=KIND.default_port,
    )
    admin = service.client().create_secret(
        Name=f"admin-{secrets.token_hex(4)}",
        SecretString=json.dumps({"username": "admin", "password": ADMIN}),
        Tags=[{"Key": "aws:rds:primaryDBInstanceArn", "Value": made["DBInstance"]["DBInstanceArn"]}],
    )
    function.scenario = Scenario(service, masterarn=admin["ARN"])
    function.wire.host_of_instances = PRIMARY
    function.rotate()
    assert function.wire.operations().count("DescribeDBInstances") == 1
    assert function.wire.keys() == {session["AccessKeyId"] for session in function.wire.sessions}


# In the function's own


@pytest.mark.parametrize("listed", [None, "", "arn:aws:iam::999999999999:role/rotation"])
def test_for_an_account_without_a_role_sts_is_not_called(
    function: Function, monkeypatch: pytest.MonkeyPatch, listed: str | None
) -> None:
    if listed is not None:
        monkeypatch.setenv("SECRET_ROLE_ARNS", listed)
    function.rotate()
    assert "AssumeRole" not in function.wire.operations()
    assert len(function.wire.sent) == 15
    assert function.wire.keys() == {OWN_KEY}


@pytest.mark.usefixtures("role")
def test_a_role_is_left_if_the_next_secret_needs_none(function: Function, monkeypatch: pytest.MonkeyPatch) -> None:
    function.rotate()
    monkeypatch.delenv("SECRET_ROLE_ARNS")
    function.wire.sent.clear()
    function.rotate()
    assert function.wire.keys() == {OWN_KEY}


def test_the_clients_of_the_functions_own_role_are_made_once(function: Function) -> None:
    function.rotate()
    function.rotate()
    assert own_clients.cache_info().misses == 1


@pytest.mark.usefixtures("role")
def test_the_endpoint_that_awss_templates_name_is_called_in_either_role(
    function: Function, service: LocalSecretsManager, closed_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", closed_endpoint)
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", service.endpoint_url)
    monkeypatch.setenv("SECRETS_MANAGER_ENDPOINT", service.endpoint_url)
    function.rotate()
    monkeypatch.delenv("SECRET_ROLE_ARNS")
    function.rotate()


# What goes wrong


class _Refusing(BaseHTTPRequestHandler):
    """STS, which lets nobody assume a role."""

    def do_POST(self) -> None:
        """Refuse, in the words of STS."""
        self.rfile.read(int(self.headers["Content-Length"]))
        body = b"""<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>
            <Code>AccessDenied</Code><Message>User: arn:aws:sts::111111111111:assumed-role/function/f is not authorized
            to perform: sts:AssumeRole</Message></Error><RequestId>r</RequestId></ErrorResponse>"""
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def refusing_sts() -> Iterator[str]:
    """Where STS refuses everybody."""
    with HTTPServer(("127.0.0.1", 0), _Refusing) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_if_the_role_cannot_be_assumed_the_remedy_names_both_sides(
    function: Function, role: str, refusing_sts: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", refusing_sts)
    error = function.do("createSecret").error
    assert isinstance(error, ServiceFailed)
    assert error.operation == f"assuming the role {role}"
    assert error.cause.startswith("sts:AssumeRole answered AccessDenied: User: arn:aws:sts::111111111111:")
    assert "Allow the function's role to call sts:AssumeRole on this role (parameter SecretRoleArns)" in error.remedy
    assert "name the function's role in the trust policy of this role" in error.remedy
    assert function.wire.operations() == ["AssumeRole"]


def test_a_list_that_cannot_be_ends_a_step_before_anything_is_called(
    function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_ROLE_ARNS", "arn:aws:iam::999999999999:user/rotation")
    call = function.do("createSecret")
    assert isinstance(call.error, InvalidConfiguration)
    assert "SECRET_ROLE_ARNS" in call.line["message"]
    assert not function.wire.sent


@pytest.mark.usefixtures("role")
def test_what_a_session_signs_with_is_not_shown(function: Function, service: LocalSecretsManager) -> None:
    def quote_it(_: Call, __: str) -> None:
        raise ServiceError("AccessDeniedException", json.dumps(function.wire.sessions, default=str))

    function.scenario.begin()
    service.intercept = quote_it
    call = function.do("createSecret")
    assert isinstance(call.error, ServiceFailed)
    [session] = function.wire.sessions
    assert session["AccessKeyId"] in call.seen
    assert session["SecretAccessKey"] not in call.seen
    assert session["SessionToken"] not in call.seen
    assert call.error.cause.count("***") == 2
