"""How is a Db2 server logged in to, and what do its answers mean?"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from rotation.credential import Credential
from rotation.deadline import Deadline
from rotation.engines.db2 import client as db2_client
from rotation.engines.db2.client import OWN_CODE, ClientError, Connection, Row
from rotation.engines.driver import CONNECT_SECONDS, NO_ANSWER, POLICY, STATEMENT_SECONDS, WRONG_PASSWORD, verify
from rotation.engines.network import ca_bundle, open_socket
from rotation.errors import (
    RETRIED,
    DatabaseError,
    InvalidSecret,
    LoginBlocked,
    LoginRefused,
    NotPermitted,
    RotationError,
    StatementFailed,
    Unreachable,
    Untrusted,
)
from rotation.redaction import said

DATABASE = re.compile(r"[A-Za-z@#$][A-Za-z0-9_@#$]{0,7}")
"""https://www.ibm.com/docs/en/db2/11.5?topic=rules-database-database-alias-naming"""

LONGEST = 255
"""Bytes of a user name or password that the client takes (tried: one more is CLI0124E)."""

CERTIFICATE = "Have the server use a certificate of the RDS authorities, or name its own in DB_CA_BUNDLE"
HOST_NAME = "Write the host name that the certificate is for into the secret, not an alias"
NO_TLS = (
    'Write the port on which the server speaks TLS into "port" (on RDS: the parameter ssl_svcename), or say'
    ' "ssl": false in the secret to send everything in clear'
)
NO_BUNDLE = "Correct DB_CA_BUNDLE: it must name a readable PEM file"
WRONG_DATABASE = 'Correct "dbname" in the secret'
NO_CONNECT = "GRANT CONNECT ON DATABASE to the user, or to a group or role of it"
TOO_MANY = "Raise the limit of the database or the server, or close connections"
NOT_NOW = "Look at the state of the database. " + RETRIED
DISABLED = "Enable the user, and find out what disabled it"
EXPIRED = "Give the user a new password by hand: it has expired"
LICENSE = "Look at the license of the server, or of the client"
REPLICA = 'The host is a replica, or read-only: name the primary in "host", or an admin in "masterarn"'
LOCKED = "Look who holds the lock (MON_GET_APPL_LOCKWAIT). " + RETRIED

LOGIN_PROBLEMS: dict[int, tuple[type[DatabaseError], str]] = {
    -1336: (Unreachable, 'Correct "host" in the secret, or the DNS of the function\'s VPC'),
    -30081: (Unreachable, NO_ANSWER),
    -1224: (Unreachable, NO_ANSWER),  # the database manager is going down
    -20576: (Untrusted, HOST_NAME),
    -10013: (Untrusted, NO_BUNDLE),  # GSKit cannot read it
    -1013: (LoginBlocked, WRONG_DATABASE),
    -1031: (LoginBlocked, WRONG_DATABASE),
    -30061: (LoginBlocked, WRONG_DATABASE),
    -1060: (LoginBlocked, NO_CONNECT),
    -30060: (LoginBlocked, NO_CONNECT),
    -1040: (LoginBlocked, TOO_MANY),
    -1226: (LoginBlocked, TOO_MANY),
    -1643: (LoginBlocked, TOO_MANY),  # https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/db2-troubleshooting.html
    -1776: (LoginBlocked, REPLICA),
    -8002: (LoginBlocked, LICENSE),
    -1598: (LoginBlocked, LICENSE),
}
"""What a refused connection means (https://www.ibm.com/docs/en/db2/11.5?topic=messages-sql). Codes that are not here
are the server's, and mean: not now."""

REASONS: dict[str, tuple[type[DatabaseError], str]] = {
    "24": (LoginRefused, WRONG_PASSWORD),
    "1": (LoginBlocked, EXPIRED),
    "7": (LoginBlocked, DISABLED),
    "19": (LoginBlocked, DISABLED),
    "25": (LoginBlocked, NO_CONNECT),
}
"""What the server says of a login in SQL30082N. Only 24 says that user or password are wrong: 15 says that the server
could not find out (https://www.ibm.com/docs/en/db2/11.5?topic=messages-sql30000-sql30999)."""

REASON = re.compile(r'reason\s+"(\d+)"')
SECURITY_FAILED, CHANGE_FAILED = -30082, -30083

NEW_PASSWORD_INVALID = frozenset({(CHANGE_FAILED, "2"), (SECURITY_FAILED, "16")})
"""The new password is against the server's rules, as IBM's messages say of these reasons; where none can be changed, it
is 17. With which of them its servers answer, RDS does not document: so this is no PasswordRefused, which would be
final."""

IN_HANDSHAKE = "sqlccSSLSocketSetup"
GSKIT = re.compile(r'specific error code\(s\):\s+"(\d+)"')
CERTIFICATE_ERRORS = frozenset({"401", "402", "414", "415", "431", "433", "434"})
"""GSKit's numbers that speak of certificates
(https://www.ibm.com/docs/en/ibm-mq/9.3?topic=codes-gskit-return)."""

CANNOT_READ = "HY507"
"""The SQLSTATE of the client's CLI0157E: there is no such file."""

STATEMENT_PROBLEMS: dict[int, tuple[type[DatabaseError], str]] = {
    -911: (StatementFailed, LOCKED),
    -913: (StatementFailed, LOCKED),
    -952: (StatementFailed, f"Look what the server is busy with. {RETRIED}"),
    -1773: (NotPermitted, REPLICA),
    -1776: (NotPermitted, REPLICA),
    -30081: (Unreachable, NO_ANSWER),
    -1224: (Unreachable, NO_ANSWER),
    -30108: (Unreachable, NO_ANSWER),  # the client has connected anew; what was done is lost
}
FORBIDDEN = frozenset({-551, -552, -553, -567, -1060, -1092, -20188})
"""A statement that the user may not run."""
UNKNOWN_NAME, UNKNOWN_TOKEN = -204, -104

TRANSACTIONAL = ("SELECT", "WITH", "VALUES", "INSERT", "UPDATE", "DELETE", "MERGE")
"""The statements that a transaction surely takes back. DDL is, too; CALL, COMMIT and TRUNCATE … IMMEDIATE are not."""


class ExpectedError(Exception):
    """The server refused a statement with a code that the caller asked to be told."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Session:
    """One connection, in one transaction."""

    def __init__(self, connection: Connection, credential: Credential, deadline: Deadline) -> None:
        self._connection = connection
        self._credential = credential
        self._deadline = deadline
        self._is_limited = False

    def execute(
        self,
        operation: str,
        statement: str,
        parameters: Sequence[object] = (),
        remedy: str = "",
        expected: frozenset[int] = frozenset(),
    ) -> list[Row]:
        """Run one statement, for the deadline at most, and return its rows.

        Raises a DatabaseError, for which `remedy` is what to do where the user may not, or Refusal for the codes to
        tell.
        """
        self._limit(operation)
        seconds = self._deadline.allow(STATEMENT_SECONDS, operation)
        with self._asking(operation, seconds, remedy, expected):
            return self._connection.execute(statement, parameters, seconds)

    def call(self, operation: str, procedure: str, parameters: Sequence[object], remedy: str = "") -> Sequence[Any]:
        """Call a procedure, and return its parameters after the call."""
        seconds = self._deadline.allow(STATEMENT_SECONDS, operation)
        with self._asking(operation, seconds, remedy):
            return self._connection.call(procedure, parameters, seconds)

    def commit(self) -> None:
        """End the transaction well."""
        seconds = self._deadline.allow(STATEMENT_SECONDS, "committing")
        with self._asking("committing", seconds):
            self._connection.commit(seconds)

    def rollback(self) -> None:
        """Take the transaction back."""
        seconds = self._deadline.allow(STATEMENT_SECONDS, "rolling back")
        with self._asking("rolling back", seconds):
            self._connection.rollback(seconds)

    def verify(self, statements: Sequence[str]) -> None:
        """Run the statements, and roll everything back; see `rotation.engine.Session`."""
        verify(statements, self.execute, TRANSACTIONAL)
        self.rollback()

    @property
    def username(self) -> str:
        """Who is logged in."""
        return self._credential.username

    @property
    def deadline(self) -> Deadline:
        """When this session must have answered."""
        return self._deadline

    def _limit(self, operation: str) -> None:
        """Have nothing wait for a lock for ever, which is what Db2 does unless told.

        Not when logging in: in a RESTRICTIVE database, which those of RDS are, a user without ROLE_NULLID_PACKAGES may
        log in and run nothing (https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/db2-default-roles.html).
        """
        if not self._is_limited:
            self._is_limited = True
            seconds = self._deadline.allow(STATEMENT_SECONDS, operation)
            with self._asking(operation, seconds, "GRANT ROLE ROLE_NULLID_PACKAGES to the user, or to a group of it"):
                self._connection.execute(f"SET CURRENT LOCK TIMEOUT {max(1, int(seconds) - 2)}", (), seconds)

    @contextmanager
    def _asking(
        self, operation: str, seconds: float, remedy: str = "", expected: frozenset[int] = frozenset()
    ) -> Iterator[None]:
        try:
            yield
        except TimeoutError:
            raise Unreachable(operation, f"the server gave no answer within {seconds:.0f} s", NO_ANSWER) from None
        except ClientError as error:
            if error.code in expected:
                raise ExpectedError(error.code) from None
            raise failure(error, f"{operation} as {self.username}", remedy) from None


@contextmanager
def connect[S: Session](
    kind: Callable[[Connection, Credential, Deadline], S],
    credential: Credential,
    deadline: Deadline,
    new_password: str | None = None,
) -> Iterator[S]:
    """Log in, and change one's password where there is a new one; see `rotation.engine.Engine.connect`."""
    operation = f"logging in as {credential} to {credential.database}"
    if new_password is not None:
        operation = f"changing the password of {credential}"
    connection = _open(credential, deadline, operation, new_password)
    try:
        session = kind(connection, credential, deadline)
        yield session
        session.commit()
    finally:
        connection.close(min(CONNECT_SECONDS, deadline.left()))


def _open(credential: Credential, deadline: Deadline, operation: str, new_password: str | None) -> Connection:
    # Is anybody there? Where the port refuses, the client says after 5 s that there was no answer (tried with 12.1.4).
    with open_socket(credential, deadline, operation) as way:
        place = way.getpeername()[0]
    if not credential.tls:
        # The client would look the name up once more, and that may lead elsewhere by then. With TLS it must have the
        # name, which the certificate is for: whoever is there then learns no more than that somebody wants TLS.
        credential = replace(credential, host=place)
    seconds = deadline.allow(CONNECT_SECONDS, operation)
    keywords = connection_string(credential, seconds, new_password)
    try:
        return db2_client.connect(keywords, seconds)
    except TimeoutError:
        raise Unreachable(operation, f"the server gave no answer within {seconds:.0f} s", NO_ANSWER) from None
    except ClientError as error:
        raise login_failure(error, operation, is_change=new_password is not None) from None


def connection_string(credential: Credential, seconds: float, new_password: str | None = None) -> str:
    """Return what the client takes; raises InvalidSecret for what cannot be said in it.

    IBM documents no way to quote a value, and there is none (tried with 12.1.4: `;` ends a value, be it in braces or in
    quotes; spaces before it are dropped; all else arrives as it is). Where a keyword comes twice, the first one counts:
    so nothing in a value could undo what is written before it.
    """
    operation = f"reading the credential of {credential}"
    database = credential.database or ""
    if not DATABASE.fullmatch(database):
        raise InvalidSecret(
            operation,
            'its "dbname" is no name of a Db2 database',
            "Write the database's name, which Db2 needs",
        )
    keywords = {"Database": database, "Hostname": credential.host, "Port": str(credential.port), "Protocol": "TCPIP"}
    if credential.tls:
        # https://www.ibm.com/docs/en/db2/11.5?topic=parameters-sslclienthostnamevalidation: OFF by default before 12.1.
        keywords["Security"] = "SSL"
        keywords["SSLServerCertificate"] = _value(ca_bundle(), "DB_CA_BUNDLE", operation)
        keywords["SSLClientHostnameValidation"] = "Basic"
    keywords["ConnectTimeout"] = str(int(seconds) + 1)  # whole seconds: we give up first
    keywords["QueryTimeoutInterval"] = "1"  # else the client looks at its statements' limits every 5 s
    keywords["UID"] = _value(credential.username, "username", operation, unusable=';"')
    keywords["PWD"] = _value(credential.password, "password", operation)
    if new_password is not None:
        keywords["NewPWD"] = _value(new_password, "password", operation)
    return "".join(f"{name}={value};" for name, value in keywords.items())


def _value(text: str, field: str, operation: str, unusable: str = ";") -> str:
    if any(character in text for character in unusable) or text[:1].isspace() or len(text.encode()) > LONGEST:
        cause = f'its "{field}" holds one of {unusable}, begins with a space, or is longer than {LONGEST} bytes'
        raise InvalidSecret(operation, f"{cause}: IBM's client cannot take that", f"Change the {field}")
    return text


def login_failure(error: ClientError, operation: str, *, is_change: bool) -> RotationError:
    """Return what a login that failed means; `is_change` where it was to change the password."""
    cause = said(error.text)
    reason = REASON.search(error.text)
    problem: type[DatabaseError]
    if error.code == CHANGE_FAILED or (is_change and error.code == SECURITY_FAILED):
        # The login worked a moment ago. A server that never changes passwords says so in several ways, and one that
        # merely dislikes this password will tell the admin, too.
        problem, remedy = NotPermitted, 'Put an admin into "masterarn": it sets the password'
        if reason and (error.code, reason[1]) in NEW_PASSWORD_INVALID:
            remedy = f'{POLICY}. Or put an admin into "masterarn": it sets the password where users cannot'
    elif error.code == SECURITY_FAILED:
        problem, remedy = REASONS.get(reason[1] if reason else "", (LoginBlocked, NOT_NOW))
    elif IN_HANDSHAKE in error.text:
        number = GSKIT.search(error.text)
        problem, remedy = Untrusted, CERTIFICATE if number and number[1] in CERTIFICATE_ERRORS else NO_TLS
    elif (error.code, error.state) == (OWN_CODE, CANNOT_READ):
        problem, remedy = Untrusted, NO_BUNDLE
    else:
        usual = (Unreachable, NO_ANSWER) if error.code == OWN_CODE else (LoginBlocked, NOT_NOW)
        problem, remedy = LOGIN_PROBLEMS.get(error.code, usual)
    return problem(operation, cause or "the client gave no reason", remedy)


def failure(error: ClientError, operation: str, remedy: str) -> DatabaseError:
    """Return what a statement that failed means; `remedy` is what to do where the user may not."""
    if error.code == UNKNOWN_TOKEN:  # its text is made of the statement
        return StatementFailed(operation, "the server does not understand the statement (SQL0104N)", "Correct it")
    problem, usual = STATEMENT_PROBLEMS.get(error.code, (StatementFailed, remedy or f"Correct the cause. {RETRIED}"))
    if error.code in FORBIDDEN:
        problem, usual = NotPermitted, remedy or "Grant the user what it lacks"
    return problem(operation, said(error.text) or "the connection was lost", usual)
