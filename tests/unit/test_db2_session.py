"""Does the client get what the secret says, and what do its errors mean?"""

import gc
import queue
import threading
import weakref
from dataclasses import replace
from types import MappingProxyType

import pytest

from rotation.credential import Credential
from rotation.engines.db2 import client as db2_client
from rotation.engines.db2.client import ClientConnection, ServerError
from rotation.engines.db2.connection import connection_string
from rotation.engines.db2.kind import KIND
from rotation.engines.db2.problems import login_failure, statement_failure
from rotation.errors import (
    InvalidSecret,
    LoginBlocked,
    LoginRefused,
    NotPermitted,
    RotationError,
    StatementFailed,
    Unreachable,
    Unsafe,
    Untrusted,
)
from tests.unit.managed import HOST, ManagedAdmin

CREDENTIAL = Credential(
    engine="db2", host="db.example", port=50443, database="TESTDB", username="app", password="p=}{ \"'", tls=True
)

CLI = "[IBM][CLI Driver] "
SERVER = "[IBM][CLI Driver][DB2/LINUXX8664] "


def test_what_is_verified_stands_before_what_the_secret_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_CA_BUNDLE", "/ca.pem")
    assert connection_string(CREDENTIAL, 9.9, "new") == (
        "Database=TESTDB;Hostname=db.example;Port=50443;Protocol=TCPIP;Security=SSL;SSLServerCertificate=/ca.pem;"
        "SSLClientHostnameValidation=Basic;ConnectTimeout=10;QueryTimeoutInterval=1;UID=app;PWD=p=}{ \"';NewPWD=new;"
    )


def test_a_bundle_whose_name_would_end_the_value_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_CA_BUNDLE", "/ca.pem;SSLClientHostnameValidation=OFF")
    with pytest.raises(InvalidSecret, match="DB_CA_BUNDLE"):
        connection_string(CREDENTIAL, 9.9)


class Account(ManagedAdmin):
    """A master of Db2 that RDS manages: its endpoint has the port without TLS."""

    kind = KIND
    secret = MappingProxyType({"engine": "db2-se", "username": "app", "password": "p", "dbname": "TESTDB"})


def test_a_master_that_rds_manages_logs_in_over_tls_at_the_port_that_the_secret_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DB_CA_BUNDLE", "/ca.pem")
    admin = Account().find(port=50443)
    assert connection_string(admin, 9.9).startswith(
        f"Database=TESTDB;Hostname={HOST};Port=50443;Protocol=TCPIP;Security=SSL;"
    )
    with pytest.raises(Unsafe, match="over TLS only"):
        Account().find(port=50443, ssl=False)


@pytest.mark.parametrize(
    ("text", "error", "remedy"),
    [
        (
            'SQL30082N  Security processing failed with reason "24" ("USERNAME AND/OR PASSWORD INVALID").',
            LoginRefused,
            "real password",
        ),
        ('SQL30082N  Security processing failed with reason "1" ("PASSWORD EXPIRED").', LoginBlocked, "expired"),
        ('SQL30082N  Security processing failed with reason "15" ("PROCESSING FAILURE").', LoginBlocked, "state"),
        (
            'SQL30082N  Security processing failed with reason "19" ("USERID DISABLED or RESTRICTED").',
            LoginBlocked,
            "Enable",
        ),
        (
            'SQL30083N  Attempt to change password for user id "app" failed with security reason "17".',
            NotPermitted,
            "masterarn",
        ),
        (
            'SQL30083N  Attempt to change password for user id "app" failed with security reason "2".',
            NotPermitted,
            "PASSWORD_LENGTH",
        ),
        (
            'SQL30082N  Security processing failed with reason "16" ("NEW PASSWORD INVALID").',
            LoginBlocked,
            "state",
        ),
        ('SQL30082N  Security processing failed with reason "2" ("PASSWORD INVALID").', LoginRefused, "real"),
        ('SQL30082N  Security processing failed with reason "7" ("USERID REVOKED").', LoginBlocked, "Enable"),
        ('SQL1060N  User "APP" does not have the CONNECT privilege.', LoginBlocked, "CONNECT"),
        (
            'SQL30061N  The database alias or database name "X" was not found at the remote node.',
            LoginBlocked,
            "dbname",
        ),
        ('SQL1336N  The remote host "nowhere" was not found.', Unreachable, '"host"'),
        ('SQL20576N  A TLS connection could not be established with reason "1".', Untrusted, "host name"),
        ('SQL10013N  The specified library "GSKit Error: 2" could not be loaded.', Untrusted, "DB_CA_BUNDLE"),
        (
            'SQL30081N  … "sqlccSSLSocketSetup".  Protocol specific error code(s): "414", "*", "*".',
            Untrusted,
            "certificate",
        ),
        (
            'SQL30081N  … "sqlccSSLSocketSetup".  Protocol specific error code(s): "420", "*", "*".',
            Untrusted,
            "ssl_svcename",
        ),
        ('SQL30081N  … "connect".  Protocol specific error code(s): "111", "*", "*".', Unreachable, "security groups"),
        ("SQL1040N  The maximum number of applications is already connected to the database.", LoginBlocked, "limit"),
        ("SQL20157N  User failed to attach to a quiesced instance.", LoginBlocked, "UNQUIESCE"),
    ],
)
def test_a_login_that_fails_is_told_by_its_code(text: str, error: type[RotationError], remedy: str) -> None:
    code = text.partition("N ")[0].removeprefix("SQL")
    found = login_failure(
        ServerError(f"{CLI}{text}  SQLSTATE=08001 SQLCODE=-{code}"), CREDENTIAL, "logging in", is_change=False
    )
    assert type(found) is error
    assert remedy in found.remedy
    assert found.cause.startswith(f"SQL{code}N")
    assert "SQLSTATE" not in found.cause


@pytest.mark.parametrize(
    ("code", "user", "statement"),
    [
        (1060, "app", "GRANT CONNECT ON DATABASE TO USER app, or"),
        (1060, "app; GRANT DBADM", 'GRANT CONNECT ON DATABASE TO USER "APP; GRANT DBADM", or'),
        (1060, 'my"app', 'GRANT CONNECT ON DATABASE TO USER "MY""APP", or'),
        (30082, "o'hara", "CALL RDSADMIN.CHANGE_PASSWORD('o''hara', "),
    ],
)
def test_a_remedy_is_one_statement_whatever_the_name_of_the_user(code: int, user: str, statement: str) -> None:
    error = ServerError(f'{CLI}SQL{code}N  failed with reason "1".  SQLSTATE=08001 SQLCODE=-{code}')
    found = login_failure(error, replace(CREDENTIAL, username=user), "logging in", is_change=False)
    assert statement in found.remedy


def test_a_bundle_that_does_not_exist_is_known_by_its_state() -> None:
    error = ServerError(f"{CLI}CLI0157E  Error opening a file. SQLSTATE=HY507 SQLCODE=-99999")
    assert isinstance(login_failure(error, CREDENTIAL, "logging in", is_change=False), Untrusted)
    other = ServerError(f"{CLI}CLI0124E  Invalid argument value. SQLSTATE=HY009 SQLCODE=-99999")
    assert isinstance(login_failure(other, CREDENTIAL, "logging in", is_change=False), Unreachable)


@pytest.mark.parametrize("reason", ["17", "24", "15", "1"])
def test_while_a_password_is_changed_no_refusal_means_a_wrong_one(reason: str) -> None:
    error = ServerError(f'{CLI}SQL30082N  failed with reason "{reason}".  SQLSTATE=08001 SQLCODE=-30082')
    assert isinstance(login_failure(error, CREDENTIAL, "changing", is_change=True), NotPermitted)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (-551, NotPermitted),
        (-552, NotPermitted),
        (-1776, NotPermitted),
        (-911, StatementFailed),
        (-952, StatementFailed),
        (-438, StatementFailed),
        (-204, StatementFailed),
        (-30081, Unreachable),
        (-30108, Unreachable),
        (-1224, Unreachable),
    ],
)
def test_a_statement_that_fails_is_known_by_its_code(code: int, error: type[RotationError]) -> None:
    refused = ServerError(f"{SERVER}SQLxN  Something.  SQLSTATE=42501 SQLCODE={code}")
    found = statement_failure(refused, "asking", "app", "")
    assert type(found) is error
    assert found.cause == "SQLxN Something."


def test_the_frame_of_an_error_is_taken_off() -> None:
    error = ServerError(
        "Fetch Failure: [IBM][CLI Driver] CLI0115E  Invalid cursor state. SQLSTATE=24000 SQLCODE=-99999"
    )
    assert (error.code, error.state, error.text) == (-99999, "24000", "CLI0115E  Invalid cursor state.")
    assert ServerError("gone").text == "gone"


class Handle:
    """What the client gives for a statement."""


class FailingClient:
    """As much of ibm_db as a statement that fails needs."""

    SQL_ATTR_QUERY_TIMEOUT = 0

    SQL_PARAM_INPUT = SQL_VARCHAR = 0

    def __init__(self) -> None:
        """Remember what was made and freed."""
        self.made: list[weakref.ref[Handle]] = []
        self.freed = 0

    def prepare(self, *_: object) -> Handle:
        """Make a statement."""
        handle = Handle()
        self.made.append(weakref.ref(handle))
        return handle

    def set_option(self, *_: object) -> None:
        """Take anything."""

    def bind_param(self, *_: object) -> None:
        """Take anything."""

    def execute(self, *_: object) -> None:
        """Refuse."""
        raise Exception(f"{SERVER}SQL0551N  No.  SQLSTATE=42501 SQLCODE=-551")  # noqa: TRY002 - the client does so

    def free_stmt(self, _: Handle) -> None:
        """Count."""
        self.freed += 1


def test_a_statement_that_failed_is_freed_and_no_error_keeps_it_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    client = FailingClient()
    monkeypatch.setattr(db2_client, "ibm_db", client)
    gc.disable()
    try:
        with pytest.raises(ServerError) as caught:
            ClientConnection(object()).execute("SELECT 1", ("secret",), 5.0)
        assert [made() for made in client.made] == [None]
    finally:
        gc.enable()
    assert client.freed == 1
    assert caught.value.code == -551


def test_a_call_that_does_not_end_is_left_alone_and_its_connection_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    never = threading.Event()
    client = FailingClient()
    monkeypatch.setattr(client, "prepare", lambda *_: never.wait(), raising=False)
    monkeypatch.setattr(db2_client, "ibm_db", client)
    connection = ClientConnection(object())
    with pytest.raises(TimeoutError):
        connection.execute("SELECT 1", (), 0.05)
    connection.close(1)  # would fail, had it a handle left: this client has no `close`
    never.set()


def test_a_connection_that_opens_too_late_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    late = threading.Event()
    closed: queue.SimpleQueue[object] = queue.SimpleQueue()

    class LateClient(FailingClient):
        """A client whose login takes longer than it may."""

        SQL_ATTR_AUTOCOMMIT = SQL_AUTOCOMMIT_OFF = 0

        def connect(self, *_: object) -> str:
            """Wait for the test."""
            late.wait()
            return "a connection"

        def close(self, handle: object) -> None:
            """Remember it."""
            closed.put(handle)

    monkeypatch.setattr(db2_client, "ibm_db", LateClient())
    with pytest.raises(TimeoutError):
        db2_client.connect("Database=TESTDB;", 0.05)
    late.set()
    assert closed.get(timeout=10) == "a connection"
