"""How does one connection to Db2 log in and run statements, and what do the server's errors mean?"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

from rotation.credential import Credential
from rotation.deadline import Deadline
from rotation.engines.db2 import client as db2_client
from rotation.engines.db2.client import CLIENT_CODE, ClientConnection, Row, ServerError
from rotation.engines.db2.kind import CREDENTIAL_BYTES
from rotation.engines.driver import (
    BUSY,
    CERTIFICATE,
    CONNECT_SECONDS,
    CORRECT_CAUSE,
    EXPIRED,
    HOST_NAME,
    NO_ANSWER,
    NO_BUNDLE,
    POLICY,
    REPLICA,
    STATEMENT_SECONDS,
    TOO_MANY,
    WRONG_DATABASE,
    ExpectedError,
    Problem,
    find_lock_holder,
    lacks_right,
    problem,
)
from rotation.engines.network import ca_bundle, open_socket
from rotation.errors import (
    RETRIED,
    WRONG_PASSWORD,
    DatabaseError,
    InvalidSecret,
    LoginBlocked,
    LoginRefused,
    NotPermitted,
    StatementFailed,
    Unreachable,
    Untrusted,
)
from rotation.redaction import said

DATABASE: Final = re.compile(r"[A-Za-z@#$][A-Za-z0-9_@#$]{0,7}")
"""https://www.ibm.com/docs/en/db2/11.5?topic=rules-database-database-alias-naming"""

NO_TLS = (
    'Write the TLS port of the server into "port" (on RDS: the parameter ssl_svcename), or write "ssl": false into'
    " the secret to send everything in clear"
)
NO_CONNECT = "GRANT CONNECT ON DATABASE to the user, or to a group or role of the user"
NOT_NOW = f"Check the state of the database. {RETRIED}"
DISABLED = "Enable the user, and find out what disabled it"
LICENSE = "Correct the license of the server, or of the client"
LOCKED = find_lock_holder("MON_GET_APPL_LOCKWAIT")
BY_ADMIN = 'Name an admin in "masterarn", who sets the password'
OTHER_PASSWORD = f'{POLICY}, or name an admin in "masterarn", who sets the password'
WRONG_HOST = 'Correct "host" in the secret, or the DNS of the function\'s VPC'

LOGIN_PROBLEMS: Final[Mapping[int, Problem]] = {
    -1336: (Unreachable, WRONG_HOST),
    -30081: (Unreachable, NO_ANSWER),
    -1224: (Unreachable, NO_ANSWER),  # the database manager is stopping
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
"""What the code of a refused connection means (https://www.ibm.com/docs/en/db2/11.5?topic=messages-sql). Other codes of
the server mean: not now."""

REASON_PROBLEMS: Final[Mapping[str, Problem]] = {
    "24": (LoginRefused, WRONG_PASSWORD),
    "1": (LoginBlocked, EXPIRED),
    "7": (LoginBlocked, DISABLED),
    "19": (LoginBlocked, DISABLED),
    "25": (LoginBlocked, NO_CONNECT),
}
"""What the reason in SQL30082N means. Only 24 means that user or password are wrong: 15 means that the server could not
find out (https://www.ibm.com/docs/en/db2/11.5?topic=messages-sql30000-sql30999)."""

REASON = re.compile(r'reason\s+"(\d+)"')
SECURITY_FAILED, CHANGE_FAILED = -30082, -30083

NEW_PASSWORD_INVALID: Final = frozenset({(CHANGE_FAILED, "2"), (SECURITY_FAILED, "16")})
"""The new password breaks the server's rules, according to IBM's messages for these reasons; 17 means that no password
can be changed. RDS does not document which of them its servers answer. So this is not a PasswordRefused, which would be
final."""

TLS_HANDSHAKE = "sqlccSSLSocketSetup"
GSKIT = re.compile(r'specific error code\(s\):\s+"(\d+)"')
CERTIFICATE_ERRORS: Final = frozenset({"401", "402", "414", "415", "431", "433", "434"})
"""GSKit's error codes about certificates (https://www.ibm.com/docs/en/ibm-mq/9.3?topic=codes-gskit-return)."""

NO_FILE = "HY507"
"""The SQLSTATE of the client's CLI0157E: the file cannot be opened."""

STATEMENT_PROBLEMS: Final[Mapping[int, Problem]] = {
    -551: (NotPermitted, ""),
    -552: (NotPermitted, ""),
    -1060: (NotPermitted, ""),
    -1092: (NotPermitted, ""),
    -911: (StatementFailed, LOCKED),
    -913: (StatementFailed, LOCKED),
    -952: (StatementFailed, BUSY),
    -1773: (NotPermitted, REPLICA),
    -1776: (NotPermitted, REPLICA),
    -30081: (Unreachable, NO_ANSWER),
    -1224: (Unreachable, NO_ANSWER),
    -30108: (Unreachable, NO_ANSWER),  # the client reconnected; the transaction is lost
}
"""What the code of a refused statement means. On Db2 for z/OS, -567 and -553 are about
rights. Here they say that a name is not valid (SQL0567N, SQL0553N; the client has the texts of all codes)."""

UNKNOWN_NAME, UNKNOWN_ROUTINE, SYNTAX_ERROR, NOTHING_TO_REVOKE = -204, -440, -104, -556


class Db2Connection:
    """One connection, in one transaction."""

    def __init__(self, client: ClientConnection, credential: Credential, deadline: Deadline) -> None:
        self._client = client
        self.credential = credential
        self.deadline = deadline
        self._has_lock_timeout = False

    @property
    def username(self) -> str:
        """Who is logged in."""
        return self.credential.username

    def execute(
        self,
        operation: str,
        statement: str,
        parameters: Sequence[object] = (),
        remedy: str = "",
        expected: frozenset[int] = frozenset(),
    ) -> list[Row]:
        """Run one statement within the deadline, and return its rows.

        Raises ExpectedError for the codes in `expected`, and a DatabaseError for others. The error has `remedy` if the
        table knows none.
        """
        self._set_lock_timeout(operation)
        seconds = self.deadline.allow(STATEMENT_SECONDS, operation)
        with self._translating(operation, seconds, remedy, expected):
            return self._client.execute(statement, parameters, seconds)

    def call(self, operation: str, procedure: str, parameters: Sequence[object], remedy: str = "") -> Sequence[Any]:
        """Call a procedure, and return its parameters after the call."""
        seconds = self.deadline.allow(STATEMENT_SECONDS, operation)
        with self._translating(operation, seconds, remedy):
            return self._client.call(procedure, parameters, seconds)

    def commit(self) -> None:
        """Commit the transaction."""
        seconds = self.deadline.allow(STATEMENT_SECONDS, "committing")
        with self._translating("committing", seconds):
            self._client.commit(seconds)

    def rollback(self) -> None:
        """Roll the transaction back."""
        seconds = self.deadline.allow(STATEMENT_SECONDS, "rolling back")
        with self._translating("rolling back", seconds):
            self._client.rollback(seconds)

    def close(self) -> None:
        """Roll back what is not committed, and log off."""
        self._client.close(min(CONNECT_SECONDS, self.deadline.left()))

    def _set_lock_timeout(self, operation: str) -> None:
        """Limit how long statements wait for locks, before the first statement. By default, Db2 waits forever.

        The login cannot do this. The databases of RDS are RESTRICTIVE: a user without ROLE_NULLID_PACKAGES can log in
        and run nothing (https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/db2-default-roles.html).
        """
        if not self._has_lock_timeout:
            self._has_lock_timeout = True
            seconds = self.deadline.allow(STATEMENT_SECONDS, operation)
            remedy = f"GRANT ROLE ROLE_NULLID_PACKAGES TO USER {self.username}, or to a group of the user"
            with self._translating(operation, seconds, remedy):
                self._client.execute(f"SET CURRENT LOCK TIMEOUT {max(1, int(seconds) - 2)}", (), seconds)

    @contextmanager
    def _translating(
        self, operation: str, seconds: float, remedy: str = "", expected: frozenset[int] = frozenset()
    ) -> Iterator[None]:
        try:
            yield
        except TimeoutError:
            raise _no_answer(operation, seconds) from None
        except ServerError as error:
            if error.code in expected:
                raise ExpectedError(error.code) from None
            raise statement_failure(error, operation, self.username, remedy) from None


@contextmanager
def connect(credential: Credential, deadline: Deadline, new_password: str | None = None) -> Iterator[Db2Connection]:
    """Log in, and give the user `new_password` if there is one; see `rotation.engine.Engine.connect`."""
    operation = f"logging in as {credential} to {credential.database}"
    if new_password is not None:
        operation = f"changing the password of {credential}"
    client = _log_in(credential, deadline, operation, new_password)
    connection = Db2Connection(client, credential, deadline)
    try:
        yield connection
        connection.commit()
    finally:
        connection.close()


def _log_in(credential: Credential, deadline: Deadline, operation: str, new_password: str | None) -> ClientConnection:
    # If the port refuses, the client says after 5 s that there was no answer (tried with 12.1.4). So look first.
    with open_socket(credential, deadline, operation) as found:
        address = found.getpeername()[0]
    if not credential.tls:
        # The client would look the name up again, and could get another address. With TLS it needs the name, because
        # the certificate is for the name: another server then learns only that somebody wants TLS.
        credential = replace(credential, host=address)
    seconds = deadline.allow(CONNECT_SECONDS, operation)
    keywords = connection_string(credential, seconds, new_password)
    try:
        return db2_client.connect(keywords, seconds)
    except TimeoutError:
        raise _no_answer(operation, seconds) from None
    except ServerError as error:
        raise login_failure(error, operation, is_change=new_password is not None) from None


def connection_string(credential: Credential, seconds: float, new_password: str | None = None) -> str:
    """Return the credential as the client takes it; raises InvalidSecret for what cannot be written in it.

    A value cannot be quoted. IBM documents no way, and none works (tried with 12.1.4: `;` ends a value, even in braces
    or in quotes; spaces before a value are dropped; all other characters arrive unchanged). If a keyword comes twice,
    the first one counts: so no value can change what is written before it.
    """
    operation = f"reading the credential of {credential}"
    database = credential.database or ""
    if not DATABASE.fullmatch(database):
        cause = 'its "dbname" is not the name of a Db2 database'
        raise InvalidSecret(operation, cause, 'Write the name of the database into "dbname": Db2 needs it')
    keywords = {"Database": database, "Hostname": credential.host, "Port": str(credential.port), "Protocol": "TCPIP"}
    if credential.tls:
        # https://www.ibm.com/docs/en/db2/11.5?topic=parameters-sslclienthostnamevalidation: OFF by default before 12.1.
        keywords["Security"] = "SSL"
        keywords["SSLServerCertificate"] = _value(ca_bundle(), "DB_CA_BUNDLE", operation)
        keywords["SSLClientHostnameValidation"] = "Basic"
    keywords["ConnectTimeout"] = str(int(seconds) + 1)  # whole seconds; our own limit expires first
    keywords["QueryTimeoutInterval"] = "1"  # by default the client checks the limits of statements every 5 s
    keywords["UID"] = _value(credential.username, "username", operation, unusable=';"')
    keywords["PWD"] = _value(credential.password, "password", operation)
    if new_password is not None:
        keywords["NewPWD"] = _value(new_password, "password", operation)
    return "".join(f"{name}={value};" for name, value in keywords.items())


def _value(text: str, field: str, operation: str, unusable: str = ";") -> str:
    if any(character in text for character in unusable) or text[:1].isspace() or len(text.encode()) > CREDENTIAL_BYTES:
        limits = f"it contains {' or '.join(unusable)}, begins with a space, or has more than {CREDENTIAL_BYTES} bytes"
        raise InvalidSecret(operation, f'IBM\'s client cannot take "{field}": {limits}', f'Change "{field}"')
    return text


def _no_answer(operation: str, seconds: float) -> Unreachable:
    """Return the error for a call that took too long."""
    return Unreachable(operation, f"the server gave no answer within {seconds:.0f} s", NO_ANSWER)


def login_failure(error: ServerError, operation: str, *, is_change: bool) -> DatabaseError:
    """Return what a failed login means; `is_change` tells whether the login was to change the password."""
    kind, remedy = _login_problem(error, is_change=is_change)
    return kind(operation, said(error.text) or "the client gave no reason", remedy)


def _login_problem(error: ServerError, *, is_change: bool) -> Problem:
    found = REASON.search(error.text)
    reason = found[1] if found else ""
    if error.code == CHANGE_FAILED or (is_change and error.code == SECURITY_FAILED):
        # The same password logged in a moment ago. A server that never changes passwords has several codes for that. If
        # the server refuses only this password, the admin gets an error, too.
        is_invalid = (error.code, reason) in NEW_PASSWORD_INVALID
        return NotPermitted, OTHER_PASSWORD if is_invalid else BY_ADMIN
    if error.code == SECURITY_FAILED:
        return problem(REASON_PROBLEMS, reason, (LoginBlocked, NOT_NOW))
    if TLS_HANDSHAKE in error.text:
        number = GSKIT.search(error.text)
        return Untrusted, CERTIFICATE if number and number[1] in CERTIFICATE_ERRORS else NO_TLS
    if (error.code, error.state) == (CLIENT_CODE, NO_FILE):
        return Untrusted, NO_BUNDLE
    usual: Problem = (Unreachable, NO_ANSWER) if error.code == CLIENT_CODE else (LoginBlocked, NOT_NOW)
    return problem(LOGIN_PROBLEMS, error.code, usual)


def statement_failure(error: ServerError, operation: str, username: str, remedy: str) -> DatabaseError:
    """Return what a failed statement means; `remedy` counts if the table has none."""
    if error.code == SYNTAX_ERROR:  # the server quotes the statement
        return StatementFailed(
            f"{operation} as {username}", "the statement has a syntax error (SQL0104N)", "Correct the statement"
        )
    kind, known = problem(STATEMENT_PROBLEMS, error.code, (StatementFailed, ""), remedy)
    usual = lacks_right(username) if kind is NotPermitted else CORRECT_CAUSE
    return kind(f"{operation} as {username}", said(error.text) or "the connection was lost", known or usual)
