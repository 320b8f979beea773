"""What does every session on Oracle need? The way to the server, its errors, and how names are written."""

import re
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import oracledb

from rotation.credential import Credential
from rotation.deadline import Deadline
from rotation.engines.driver import CONNECT_SECONDS, NO_ANSWER, POLICY, STATEMENT_SECONDS, WRONG_PASSWORD, verify
from rotation.engines.network import look_up, tls_context
from rotation.engines.oracle.rights import quoted
from rotation.engines.oracle.wire import Elsewhere, Unbelievable, Watch, one_connection, watching
from rotation.errors import (
    RETRIED,
    DatabaseError,
    InvalidSecret,
    LoginBlocked,
    LoginRefused,
    NotPermitted,
    PasswordRefused,
    StatementFailed,
    Unreachable,
    Unsupported,
    Untrusted,
)
from rotation.redaction import said

TOO_MANY = "Raise the limit of the profile or of the server, or close connections"
UNLOCK = "Unlock the user (ALTER USER … ACCOUNT UNLOCK), and find out what locked it"
STARTING = f"Wait for the database to be open. {RETRIED}"
ITSELF = 'Name the server itself in "host", not one that hands connections on'
NO_SERVICE = 'Correct "dbname" in the secret: a service name that the listener knows, or an SID. On RDS: the DB name'
OLD_VERIFIER = (
    "Set the user's password anew, so that it gets a verifier that this client knows (SQLNET.ALLOWED_LOGON_VERSION_…)"
)
NATIVE_ENCRYPTION = (
    "Use TLS (on RDS: the option SSL), and do not have the server require native network encryption"
    " (SQLNET.ENCRYPTION_SERVER, SQLNET.CRYPTO_CHECKSUM_SERVER): this client does not know it"
)
TLS_PORT = (
    'Write the port that speaks TLS into the secret (on RDS: that of the option SSL, 2484 by default), or say "ssl":'
    " false to send statements in clear"
)
CERTIFICATE = "Have the server use a certificate of the RDS authorities for this host, or name its own in DB_CA_BUNDLE"
CIPHER_SUITE = (
    "Have the server offer a suite with ECDHE, and with SHA256 or SHA384 (on RDS: set SQLNET.CIPHER_SUITE of the option"
    " SSL to TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, say)"
)
TLS_VERSION = "Have the server speak TLS 1.2 (on RDS: set SQLNET.SSL_VERSION of the option SSL to it)"
TOO_LONG = (
    "It is the user's name or the password. Names have 128 bytes at most, suffix included, and 30 before 12.2: take a"
    " shorter one. Passwords have 30 before 23ai: lower PASSWORD_LENGTH"
)
REPLICA = 'The database is read-only: name the primary in "host", or an admin in "masterarn"'

LOGIN_PROBLEMS: dict[str, tuple[type[DatabaseError], str]] = {
    "ORA-01017": (LoginRefused, WRONG_PASSWORD),  # invalid credential or not authorized; logon denied
    "ORA-01005": (LoginRefused, WRONG_PASSWORD),  # null password given
    "ORA-28000": (LoginBlocked, UNLOCK),  # the account is locked
    "ORA-28001": (LoginBlocked, "Give the user a new password by hand: it has expired"),
    "ORA-28032": (LoginBlocked, "Give the user a new password on the primary: it has expired"),
    "ORA-01045": (LoginBlocked, "GRANT CREATE SESSION to the user"),
    "ORA-01035": (LoginBlocked, "End the restricted mode of the database"),
    "ORA-28009": (LoginBlocked, "Put an ordinary user into the secret: SYS can log in as SYSDBA only"),
    "ORA-28040": (LoginBlocked, OLD_VERIFIER),  # no matching authentication protocol
    "DPY-3015": (LoginBlocked, OLD_VERIFIER),  # password verifier type is not supported
    "ORA-12660": (LoginBlocked, NATIVE_ENCRYPTION),
    "DPY-3001": (LoginBlocked, NATIVE_ENCRYPTION),
    "DPY-3010": (LoginBlocked, "Upgrade the database: this client speaks to Oracle 12.1 and later"),
    "ORA-12514": (LoginBlocked, NO_SERVICE),
    "DPY-6001": (LoginBlocked, NO_SERVICE),  # the client's word for it
    "ORA-12505": (LoginBlocked, NO_SERVICE),
    "DPY-6003": (LoginBlocked, NO_SERVICE),
    "ORA-00018": (LoginBlocked, TOO_MANY),
    "ORA-00020": (LoginBlocked, TOO_MANY),
    "ORA-02391": (LoginBlocked, TOO_MANY),  # SESSIONS_PER_USER
    "ORA-12516": (LoginBlocked, TOO_MANY),
    "ORA-12519": (LoginBlocked, TOO_MANY),
    "ORA-12520": (LoginBlocked, TOO_MANY),
    "ORA-12526": (LoginBlocked, "End the restricted mode of the instances"),
    "ORA-12528": (LoginBlocked, STARTING),
    "ORA-01033": (LoginBlocked, STARTING),
    "ORA-01034": (LoginBlocked, STARTING),
    "ORA-01089": (LoginBlocked, STARTING),
    "ORA-01090": (LoginBlocked, STARTING),
    "ORA-16000": (LoginBlocked, "Set ADG_ACCOUNT_INFO_TRACKING to GLOBAL on the standby, or rotate on the primary"),
    "DPY-6002": (Untrusted, CERTIFICATE),
    "DPY-6006": (Untrusted, CERTIFICATE),  # the certificate is for another host
}
"""What keeps a login out (https://docs.oracle.com/en/error-help/db/, and for DPY-… the client's own numbers,
https://python-oracledb.readthedocs.io/en/latest/user_guide/troubleshooting.html)."""

STATEMENT_PROBLEMS: dict[str, tuple[type[DatabaseError], str]] = {
    "ORA-01031": (NotPermitted, ""),  # insufficient privileges
    "ORA-41900": (NotPermitted, ""),  # the same, said in more words (23ai)
    "ORA-01749": (NotPermitted, ""),  # you may not GRANT/REVOKE privileges to/from yourself
    "ORA-01720": (NotPermitted, ""),  # grant option does not exist
    "ORA-01927": (NotPermitted, ""),  # cannot REVOKE privileges you did not grant
    "ORA-01929": (NotPermitted, ""),  # no privileges to GRANT
    "ORA-01932": (NotPermitted, ""),  # ADMIN option not granted for role
    "ORA-16000": (NotPermitted, REPLICA),
    "ORA-28003": (PasswordRefused, POLICY),  # password verification for the specified password failed
    "ORA-28007": (PasswordRefused, POLICY),  # the password cannot be reused
    "ORA-28219": (PasswordRefused, POLICY),  # the mandatory profile's verification failed
    "ORA-00988": (PasswordRefused, POLICY),  # missing or invalid password
    "ORA-00972": (StatementFailed, TOO_LONG),  # identifier is too long: that is what names are, and passwords
    "ORA-28008": (StatementFailed, f"Another rotation changed the password meanwhile. {RETRIED}"),
    "ORA-00054": (StatementFailed, f"Look who holds the lock. {RETRIED}"),
    "ORA-04020": (StatementFailed, f"Look who holds the lock. {RETRIED}"),
    "ORA-04021": (StatementFailed, f"Look who holds the lock. {RETRIED}"),
}

TLS_PROBLEMS: dict[str, tuple[str, str]] = {
    "HANDSHAKE_FAILURE": ("server and function have no cipher suite in common", CIPHER_SUITE),
    "PROTOCOL_VERSION": ("server and function have no version of TLS in common", TLS_VERSION),
    "UNSUPPORTED_PROTOCOL": ("server and function have no version of TLS in common", TLS_VERSION),
}
"""How OpenSSL's word ends where a server does speak TLS, and not as `tls_context` wants it. That stays strict: with the
suite that RDS presets, who listens now can read all of it later, with the server's key."""

LOST = frozenset({"DPY-1001", "DPY-4011", "DPY-4024", "DPY-4033", "ORA-00028", "ORA-01012", "ORA-03113", "ORA-03135"})
"""The connection is gone, or there was no answer in time."""

QUOTES_STATEMENT = frozenset({"ORA-03048", "ORA-03049", "ORA-03050"})
"""Syntax errors of 23ai, whose text repeats a part of the statement."""

NO_SUCH_TABLE = "ORA-00942"
NO_SUCH_SERVICE = frozenset({"ORA-12514", "DPY-6001"})

CODE = re.compile(r"\b(?:ORA|DPY|TNS)-\d{4,5}\b")
SIMILAR = re.compile(r"\(Similar to (ORA-\d{5})\)")

SERVICE = re.compile(r"[\w.$#-]+")
"""What `dbname` may be: it becomes a part of a connect descriptor, where parentheses would say more."""

TRANSACTIONAL = ("SELECT", "WITH", "INSERT", "UPDATE", "DELETE", "MERGE")
"""The statements that a transaction can take back. DDL and PL/SQL commit, or may."""

FETCHED_AT_ONCE, FEW_ROWS = 1000, 10
MOST_ROWS = 50_000
"""How many rows are kept: with so many things that a user may do, there is no time to mirror them either."""

PROGRAM = "secret-rotation"
"""What the server shows of a session, as its program."""

LOGIN = "oracle-login"
"""The name of the thread that waits for a login."""


class ExpectedError(Exception):
    """The server refused a statement with a code that the caller asked to be told."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def normal(name: str) -> str:
    """Return a user's name as the server keeps it: upper case, but exactly what is between double quotes.

    So read it the clients, sqlplus's command line, and AWS's templates (DBMS_ASSERT.ENQUOTE_NAME). Raises
    InvalidSecret for what can be no name.
    """
    is_quoted = len(name) > 1 and name[0] == name[-1] == '"'
    found = name[1:-1] if is_quoted else name.upper()
    if not found or '"' in found or "\0" in found:
        remedy = "Correct it in the JSON of the secret; a double quote may stand around the whole name only"
        raise InvalidSecret(f"reading the user name {name}", "it can be no name of an Oracle user", remedy)
    return found


class BasicSession:
    """One connection; DDL is committed at once, and nothing else is ever committed."""

    def __init__(self, connection: oracledb.Connection, credential: Credential, deadline: Deadline) -> None:
        self._connection = connection
        self._credential = credential
        self._deadline = deadline

    def verify(self, statements: Sequence[str]) -> None:
        """Run the statements, and roll everything back; see `rotation.engine.Session`.

        The server commits before and after DDL, and PL/SQL may commit: such statements are not run at all
        (https://docs.oracle.com/en/database/oracle/oracle-database/19/sqlrf/COMMIT.html).
        """
        verify(statements, self._run, TRANSACTIONAL)
        if statements:
            self.call("rolling back", self._connection.rollback)

    def _run(self, operation: str, statement: str) -> None:
        self.call(operation, partial(self._fetch, statement, {}, FEW_ROWS, FEW_ROWS))

    def execute(
        self,
        operation: str,
        statement: str,
        arguments: Mapping[str, str] | None = None,
        remedy: str = "",
        expected: frozenset[str] = frozenset(),
    ) -> list[tuple[Any, ...]]:
        """Run one statement, for the deadline at most, and return its rows.

        Raises a DatabaseError, for which `remedy` is what to do where the user may not, or Refusal for the codes to
        tell.
        """
        fetch = partial(self._fetch, statement, arguments or {}, FETCHED_AT_ONCE, MOST_ROWS + 1)
        rows = self.call(operation, fetch, remedy, expected)
        if len(rows) > MOST_ROWS:
            cause = f"there are more than {MOST_ROWS} rows"
            raise StatementFailed(operation, cause, "Grant it by means of roles, or use the single-user strategy")
        return rows

    def _fetch(self, statement: str, arguments: Mapping[str, str], at_once: int, most: int) -> list[tuple[Any, ...]]:
        """Run a statement; return its first rows."""
        with self._connection.cursor() as cursor:
            cursor.prefetchrows = cursor.arraysize = at_once
            cursor.execute(statement, arguments)
            return cursor.fetchmany(most) if cursor.description else []

    def call[T](
        self, operation: str, act: Callable[[], T], remedy: str = "", expected: frozenset[str] = frozenset()
    ) -> T:
        """Have the client call the server, for the deadline at most; see `execute`."""
        seconds = self._deadline.allow(STATEMENT_SECONDS, operation)
        if not self._connection.is_healthy():  # asks nobody
            raise Unreachable(f"{operation} as {self.username}", "the connection was lost", NO_ANSWER)
        try:
            self._connection.call_timeout = _milliseconds(seconds)
            return act()
        except (oracledb.Error, OSError) as error:
            told = Told.of(error)
            if told.code in expected:
                raise ExpectedError(told.code) from None
            raise _failure(
                told, f"{operation} as {self.username}", remedy or f"Grant {self.username} what it lacks"
            ) from None

    @property
    def username(self) -> str:
        """Who is logged in, as the server keeps it."""
        return normal(self._credential.username)

    @property
    def version(self) -> tuple[int, ...]:
        """The server's version, (19, 12, 0, 0, 0) say."""
        return tuple(int(number) for number in self._connection.version.split("."))

    def accepts(self, username: str, password: str) -> bool:
        """Tell whether the server of the secret takes this password now."""
        try:
            with connect(BasicSession, self.as_user(username, password), self._deadline):
                return True
        except LoginRefused:
            return False

    def as_user(self, username: str, password: str) -> Credential:
        """Return the login of another user, whose name is as the server keeps it, at the same place."""
        return replace(self._credential, username=quoted(username), password=password)


@dataclass(frozen=True)
class Told:
    """What the client or the server said."""

    code: str
    """ORA-01017, DPY-6005: empty where there is none."""
    text: str
    cause: BaseException | None = None

    @classmethod
    def of(cls, error: BaseException) -> "Told":
        """Read an error of the client's; what could not be connected to is told by the error behind it."""
        cause = error.__cause__
        if isinstance(cause, oracledb.Error) or (cause and isinstance(error, oracledb.Error)):
            return cls.of(cause)
        lines = [line for line in str(error).splitlines() if not line.startswith("Help: ")]
        codes = [code for line in lines for code in CODE.findall(line)[:1]]
        # The client puts a word of its own before some of the server's: what it says of a lost connection counts.
        return cls(codes[0] if codes else "", said("\n".join(lines)), error)


@contextmanager
def connect[S: BasicSession](kind: type[S], credential: Credential, deadline: Deadline) -> Iterator[S]:
    """Log in; see `rotation.engine.Engine.connect`."""
    operation = f"logging in as {credential} to {credential.database}"
    connection = _open(credential, deadline, operation)
    try:
        yield kind(connection, credential, deadline)
    finally:
        with suppress(oracledb.Error, OSError):
            # It takes leave, and waits for the answer: for ever, if nothing was called before that set a limit. To a
            # connection that is lost none can be set: the process would end (tried with 26.1).
            if connection.is_healthy():
                connection.call_timeout = _milliseconds(min(CONNECT_SECONDS, deadline.left()))
            connection.close()


def _open(credential: Credential, deadline: Deadline, operation: str) -> oracledb.Connection:
    """Connect to the service that `dbname` names, or, where the listener knows no such service, to the SID."""
    database = credential.database or ""
    if not SERVICE.fullmatch(database):
        cause = 'its "dbname" is missing' if not database else 'its "dbname" is no service name and no SID'
        raise InvalidSecret(operation, cause, "Write a service name, or an SID, into the secret. On RDS: the DB name")
    places = look_up(credential, deadline, operation)
    parameters: dict[str, Any] = {
        "user": quoted(normal(credential.username)),
        "password": credential.password,
        "host": credential.host,
        "port": credential.port,
        "protocol": "tcps" if credential.tls else "tcp",
        "retry_count": 0,
        # Urgent data does not pass every network, and nothing here is to be interrupted.
        "disable_oob": True,
        "program": PROGRAM,
        "ssl_server_dn_match": credential.tls,
    }
    for naming in ("service_name", "sid"):
        parameters["tcp_connect_timeout"] = deadline.share(CONNECT_SECONDS, len(places), operation)
        try:
            seconds = deadline.allow(CONNECT_SECONDS, operation)
            return _log_in({**parameters, naming: database}, places, seconds, operation)
        except (oracledb.Error, OSError, ValueError, LookupError) as error:  # it says these, too, of what it misreads
            told = Told.of(error)
            if naming == "sid" or told.code not in NO_SUCH_SERVICE:
                raise _login_failure(told, credential, operation) from None
    raise AssertionError


def _log_in(
    parameters: Mapping[str, Any], places: Sequence[str], seconds: float, operation: str
) -> oracledb.Connection:
    """Log in at one of these addresses, within the time.

    The client's own limit is for the TCP connection; it would wait for ever for a server that takes it and then says
    nothing. So it waits in a thread of its own, and when that is too late, it is hung up on.
    """
    future: Future[oracledb.Connection] = Future()
    watch = Watch()
    secured = {"ssl_context": watching(tls_context(), watch)} if parameters["protocol"] == "tcps" else {}

    def attempt() -> None:
        try:
            with one_connection(places, parameters["port"], watch):
                connection = oracledb.connect(**parameters, **secured)
            watch.trust()
        except Exception as error:  # noqa: BLE001 - it is raised again where somebody waits for it
            if future.set_running_or_notify_cancel():
                future.set_exception(error)
        else:
            if future.set_running_or_notify_cancel():
                future.set_result(connection)
            else:
                connection.close()

    threading.Thread(target=attempt, name=LOGIN, daemon=True).start()
    try:
        return future.result(seconds)
    except TimeoutError:
        if not future.cancel():  # it has come in this very moment
            return future.result()
        watch.close()
        raise Unreachable(operation, f"the server gave no answer within {seconds:.0f} s", NO_ANSWER) from None
    finally:
        future.cancel()


def _milliseconds(seconds: float) -> int:
    """Return the limit of a call that may take so long.

    Half of it: when the limit is met, the client takes the call back, and waits as long again for that.
    """
    return max(1, int(seconds / 2 * 1000))


def _login_failure(told: Told, credential: Credential, operation: str) -> DatabaseError | Unsupported:
    match told.cause:
        case ssl.SSLCertVerificationError():
            return Untrusted(operation, getattr(told.cause, "verify_message", "") or told.text, CERTIFICATE)
        case ssl.SSLError():
            return _tls_failure(getattr(told.cause, "reason", "") or told.text, operation)
        case Elsewhere():
            cause = "the listener, or the host's name, sends the function on to another place"
            return LoginBlocked(operation, cause, ITSELF)
        case Unbelievable():
            return Unreachable(operation, f"what answers there is no server of Oracle's: {told.text}", NO_ANSWER)
    return _refusal(told, credential, operation)


def _refusal(told: Told, credential: Credential, operation: str) -> DatabaseError | Unsupported:
    similar = SIMILAR.search(str(told.cause))
    codes = [told.code, *(similar.groups() if similar else ())]
    for code in codes:
        if code in LOGIN_PROBLEMS:
            problem, remedy = LOGIN_PROBLEMS[code]
            return problem(operation, told.text, remedy)
    if isinstance(told.cause, TimeoutError):
        return Unreachable(operation, told.text or "timed out", NO_ANSWER)
    # A listener that does not speak TLS hangs up on it, and one that does, on everything else.
    closed = isinstance(told.cause, ConnectionError) or told.code in LOST
    refused = isinstance(told.cause, ConnectionRefusedError)
    port = f"{NO_ANSWER}. {TLS_PORT}" if credential.tls else f'{NO_ANSWER}, and whether the port wants "ssl": true'
    return Unreachable(operation, told.text or "the connection was lost", port if closed and not refused else NO_ANSWER)


def _tls_failure(reason: str, operation: str) -> Untrusted:
    for end, (cause, remedy) in TLS_PROBLEMS.items():
        if reason.endswith(end):
            return Untrusted(operation, f"{cause} ({reason})", remedy)
    return Untrusted(operation, f"there is no TLS here: {reason}", TLS_PORT)


def _failure(told: Told, operation: str, remedy: str) -> DatabaseError:
    if told.code in LOST or isinstance(told.cause, OSError):
        return Unreachable(operation, told.text or "the connection was lost", NO_ANSWER)
    if told.code in QUOTES_STATEMENT:
        return StatementFailed(operation, f"the server does not understand the statement ({told.code})", "Correct it")
    problem, usual = STATEMENT_PROBLEMS.get(told.code, (StatementFailed, f"Correct the cause. {RETRIED}"))
    return problem(operation, told.text, usual or remedy)
