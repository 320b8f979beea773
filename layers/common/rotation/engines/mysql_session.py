"""What do MySQL and MariaDB share? Their protocol, their errors, and how accounts are written."""

import io
import re
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NoReturn, Self

import pymysql
from pymysql.converters import escape_string
from pymysql.cursors import Cursor, DictCursor

from rotation.credential import Credential
from rotation.deadline import Deadline
from rotation.engines.server import (
    NO_ANSWER,
    POLICY,
    REPLICA,
    RETRIED,
    STATEMENT_SECONDS,
    WRONG_PASSWORD,
    open_way,
    require_reversible,
    tls_context,
)
from rotation.errors import (
    DatabaseError,
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

TOO_MANY = "Raise the limit of the account or of the server, or close connections"
WRONG_DATABASE = 'Correct "dbname" in the secret, or grant the user something in that database'
UNLOCK = "Unlock the account (ALTER USER … ACCOUNT UNLOCK), and find out what locked it"

LOGIN_PROBLEMS: dict[int, tuple[type[DatabaseError], str]] = {
    1045: (LoginRefused, WRONG_PASSWORD),  # ER_ACCESS_DENIED_ERROR
    1698: (LoginRefused, WRONG_PASSWORD),  # ER_ACCESS_DENIED_NO_PASSWORD_ERROR
    1044: (LoginBlocked, WRONG_DATABASE),  # ER_DBACCESS_DENIED_ERROR
    1049: (LoginBlocked, WRONG_DATABASE),  # ER_BAD_DB_ERROR
    3118: (LoginBlocked, UNLOCK),  # ER_ACCOUNT_HAS_BEEN_LOCKED
    4151: (LoginBlocked, UNLOCK),  # the same in MariaDB
    3955: (LoginBlocked, UNLOCK),  # ER_USER_ACCESS_DENIED_FOR_USER_ACCOUNT_BLOCKED_BY_PASSWORD_LOCK
    4150: (LoginBlocked, UNLOCK),  # ER_USER_IS_BLOCKED in MariaDB
    1862: (LoginBlocked, "Give the account a new password by hand: it has expired"),  # ER_MUST_CHANGE_PASSWORD_LOGIN
    1820: (LoginBlocked, "Give the account a new password by hand: it has expired"),  # ER_MUST_CHANGE_PASSWORD
    3159: (LoginBlocked, 'Take "ssl": false out of the secret: the server wants TLS'),  # ER_SECURE_TRANSPORT_REQUIRED
    1040: (LoginBlocked, TOO_MANY),  # ER_CON_COUNT_ERROR
    1203: (LoginBlocked, TOO_MANY),  # ER_TOO_MANY_USER_CONNECTIONS
    1226: (LoginBlocked, TOO_MANY),  # ER_USER_LIMIT_REACHED
    3032: (LoginBlocked, f"Wait for the server's offline mode to end. {RETRIED}"),  # ER_SERVER_OFFLINE_MODE
    1053: (LoginBlocked, f"Wait for the server to be up. {RETRIED}"),  # ER_SERVER_SHUTDOWN
    1129: (LoginBlocked, "Run FLUSH HOSTS: the server blocks the function's address"),  # ER_HOST_IS_BLOCKED
    1130: (LoginBlocked, "Have an account for the function's address: see its host part"),  # ER_HOST_NOT_PRIVILEGED
    2059: (LoginBlocked, "Use caching_sha2_password, or another plugin that this function's client knows"),
    1524: (LoginBlocked, "Load the account's authentication plugin into the server, or use another"),
    2012: (Untrusted, "Look who answers at the host and port of the secret"),  # CR_SERVER_HANDSHAKE_ERR
    2061: (Untrusted, "Have the account use caching_sha2_password, or another plugin that shows no password"),
}
"""What a refused connection means (https://dev.mysql.com/doc/mysql-errors/9.1/en/server-error-reference.html)."""

FORBIDDEN = frozenset({1044, 1045, 1142, 1143, 1227, 1370, 1410, 1698, 3523, 3530})
"""A statement that the user may not run. 1045 is among them: a GRANT on *.* that one may not make answers so."""

STATEMENT_PROBLEMS: dict[int, tuple[type[DatabaseError], str]] = {
    1836: (NotPermitted, REPLICA),  # ER_READ_ONLY_MODE
    3032: (NotPermitted, REPLICA),  # ER_SERVER_OFFLINE_MODE
    1819: (PasswordRefused, POLICY),  # ER_NOT_VALID_PASSWORD
    4165: (PasswordRefused, POLICY),  # ER_SINGLE_DATA…: too like the old one
    3638: (PasswordRefused, POLICY),  # ER_CREDENTIALS_CONTRADICT_TO_HISTORY
    1205: (StatementFailed, f"Look who holds the lock. {RETRIED}"),  # ER_LOCK_WAIT_TIMEOUT
    1969: (StatementFailed, f"Look what the server is busy with. {RETRIED}"),  # MariaDB's max_statement_time
    3024: (StatementFailed, f"Look what the server is busy with. {RETRIED}"),  # ER_QUERY_TIMEOUT
    1524: (StatementFailed, "Load the account's authentication plugin into the server, or use another"),
}

LOST = frozenset({0, 2003, 2006, 2013, 2055, 1053, 1927, 3169, 4031})
"""The connection is gone, as the client says
(https://dev.mysql.com/doc/mysql-errors/9.1/en/client-error-reference.html), or is about to be, as the server does: it
shuts down, or somebody or something has killed the session."""

SYNTAX_ERROR, CANNOT_USER = 1064, 1396

OPTION_PREVENTS = 1290
"""ER_OPTION_PREVENTS_STATEMENT: only its text tells which option, and only read-only means another server."""

REVEALING = ("mysql_clear_password", "dialog", "mysql_old_password")
"""The plugins that have the client send its password, or a hash that is as good. No account whose password we set has
one of them: who asks for one has something else in mind."""

NOT_ROLLED_BACK = 1196
"""ER_WARNING_NOT_COMPLETE_ROLLBACK, a warning: a table of an engine like MyISAM keeps what was done to it."""

SETTINGS = "sql_mode = '', sql_quote_show_create = 1"

TRANSACTIONAL = (
    "SELECT",
    "WITH",
    "TABLE",
    "VALUES",
    "SHOW",
    "DESCRIBE",
    "EXPLAIN",
    "INSERT",
    "UPDATE",
    "DELETE",
    "REPLACE",
)
"""The statements that a transaction can take back. All others, DDL and COMMIT and CALL, commit, or may."""

QUOTED_NAME = re.compile(r"`(?:[^`]|``)*`")


@dataclass(frozen=True, order=True)
class Account:
    """A user, as from certain hosts."""

    user: str
    host: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what CURRENT_USER() says: the host comes after the last @."""
        user, _, host = text.rpartition("@")
        return cls(user, host)

    def __str__(self) -> str:
        return f"{self.user}@{self.host}"


class Refusal(Exception):
    """The server refused a statement with a number that the caller asked to be told."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class MySQLFamilySession:
    """One connection to either server; each statement is committed at once."""

    limits = "lock_wait_timeout = {seconds}, innodb_lock_wait_timeout = {seconds}"
    """The settings that bound how long the server may take for a statement."""

    users_only = ""
    """The condition by which mysql.user shows users, where it shows roles that are no accounts too."""

    def __init__(self, connection: "Connection", credential: Credential, deadline: Deadline) -> None:
        self._connection = connection
        self._credential = credential
        self._deadline = deadline

    def verify(self, statements: Sequence[str]) -> None:
        """Run the statements, and roll everything back; see `rotation.engine.Session`.

        The server commits before and after DDL, and when told to: such statements are not run at all
        (https://dev.mysql.com/doc/refman/8.4/en/implicit-commit.html).
        """
        if not statements:
            return
        # As the application would: with the server's SQL mode, not with ours.
        self.execute("preparing to verify", "SET SESSION sql_mode = @@GLOBAL.sql_mode")
        self.execute("preparing to verify", "START TRANSACTION")
        for number, statement in enumerate(statements, 1):
            doing = f"running statement {number} of verify"
            require_reversible(statement, TRANSACTIONAL, doing)
            self.execute(doing, statement)
        self.execute("rolling back", "ROLLBACK")
        if any(number == NOT_ROLLED_BACK for number, _ in self._warnings()):
            remedy = "Take statements that change such tables out of verify, and undo by hand what they did"
            raise StatementFailed("rolling back", "a table that knows no transactions was changed", remedy)
        self.execute("rolling back", "SET SESSION sql_mode = ''")

    def execute(
        self, doing: str, statement: str, remedy: str = "", tell: frozenset[int] = frozenset()
    ) -> list[tuple[Any, ...]]:
        """Run one statement, for the deadline at most, and return its rows.

        Raises a DatabaseError, for which `remedy` is what to do where the user may not, or Refusal for the numbers to
        tell.
        """
        return list(self._execute(Cursor, doing, statement, remedy, tell))

    def _execute(
        self, kind: type[Cursor], doing: str, statement: str, remedy: str = "", tell: frozenset[int] = frozenset()
    ) -> Sequence[Any]:
        seconds = self._deadline.allow(STATEMENT_SECONDS, doing)
        try:
            limits = self._connection.allow(seconds)
            with self._connection.cursor(kind) as cursor:
                if limits:
                    cursor.execute(f"SET SESSION {self.limits.format(seconds=limits)}")
                cursor.execute(statement)
                return cursor.fetchall()
        except (pymysql.MySQLError, OSError) as error:
            number = _number(error)
            if number in tell:
                raise Refusal(number) from None
            raise self._failure(error, f"{doing} as {self.username}", remedy) from None

    @property
    def username(self) -> str:
        """Who is logged in."""
        return self._credential.username

    def own_account(self) -> Account:
        """Return the account that the login was for."""
        [(account,)] = self.execute("asking for the account", "SELECT CURRENT_USER()")
        return Account.parse(account)

    def accounts(self, username: str) -> list[Account]:
        """Return all accounts of a user name; needs SELECT on mysql.user."""
        statement = (
            f"SELECT user, host FROM mysql.user WHERE user = {self.text(username)}{self.users_only} ORDER BY host"  # noqa: S608 - quoted
        )
        rows = self.execute(f"looking for {username}", statement, self._remedy_to_read)
        return [Account(user, host) for user, host in rows]

    def row(self, account: Account) -> dict[str, Any]:
        """Return the account's row of mysql.user, names in lower case."""
        statement = f"SELECT * FROM mysql.user WHERE {self.matches('user', 'host', account)}"  # noqa: S608 - quoted
        [row] = self._execute(DictCursor, f"reading {account}", statement, self._remedy_to_read)
        return {name.lower(): value for name, value in row.items()}

    @property
    def _remedy_to_read(self) -> str:
        return f"GRANT SELECT ON mysql.* TO {self.username}"

    def own_definition(self, doing: str) -> str:
        """Return what SHOW CREATE USER says of the user who is logged in, but for names, which may hold anything."""
        [(definition, *_), *_] = self.execute(doing, "SHOW CREATE USER CURRENT_USER()")
        return QUOTED_NAME.sub("``", definition)

    def version(self) -> tuple[int, ...]:
        """Return the server's version, (8, 4, 3) say; Aurora tells the version of MySQL that it speaks."""
        [(text,)] = self.execute("asking for the version", "SELECT VERSION()")
        return tuple(int(number) for number in re.findall(r"\d+", text)[:3])

    def matches(self, user: str, host: str, account: Account) -> str:
        """Return the condition that two columns hold this account."""
        return f"{user} = {self.text(account.user)} AND {host} = {self.text(account.host)}"

    def requirement(self, row: Mapping[str, Any]) -> str:
        """Return what a row of mysql.user says of TLS, as REQUIRE takes it."""
        if row["ssl_type"] != "SPECIFIED":
            return {"": "NONE", "ANY": "SSL", "X509": "X509"}[row["ssl_type"]]
        parts = {"SUBJECT": row["x509_subject"], "ISSUER": row["x509_issuer"], "CIPHER": row["ssl_cipher"]}
        return " AND ".join(f"{name} {self.text(_decoded(value))}" for name, value in parts.items() if value)

    def text(self, value: str) -> str:
        """Return the text as a literal. The session's sql_mode is empty, so a backslash escapes."""
        return f"'{escape_string(value)}'"

    def name(self, name: str) -> str:
        """Return a name as an identifier."""
        return "`" + name.replace("`", "``") + "`"

    def account(self, account: Account) -> str:
        """Return the account as statements take it."""
        return f"{self.text(account.user)}@{self.text(account.host)}"

    @contextmanager
    def as_user(self, credential: Credential) -> "Iterator[MySQLFamilySession]":
        """Log in besides, as somebody else."""
        with connect(MySQLFamilySession, credential, self._deadline) as session:
            yield session

    def accepts(self, username: str, password: str) -> bool:
        """Tell whether the server of the secret takes this password now."""
        try:
            with self.as_user(replace(self._credential, username=username, password=password)):
                return True
        except LoginRefused:
            return False

    def _failure(self, error: Exception, doing: str, remedy: str) -> DatabaseError:
        number, raw = _number(error), str(error.args[-1]) if error.args else ""
        text = said(raw)
        if number in LOST or isinstance(error, OSError):
            return Unreachable(doing, text or "the connection was lost", NO_ANSWER)
        if number == SYNTAX_ERROR:  # its text is made of the statement
            return StatementFailed(doing, "the server does not understand the statement (error 1064)", "Correct it")
        if number == CANNOT_USER:
            warnings = [(told, more) for told, more in self._warnings() if told != CANNOT_USER]
            number = next((told for told, _ in warnings if told in STATEMENT_PROBLEMS), number)
            text = "; ".join([text, *(more for _, more in warnings)])
        problem, usual = STATEMENT_PROBLEMS.get(number, (StatementFailed, f"Correct the cause. {RETRIED}"))
        if number == OPTION_PREVENTS and "read" in raw:
            problem, usual = NotPermitted, REPLICA
        if number in FORBIDDEN:
            problem, usual = NotPermitted, remedy or f"Grant {self.username} what it lacks"
        return problem(doing, f"{text} (error {number})", usual)

    def _warnings(self) -> list[tuple[int, str]]:
        """Return what the server adds to an answer that says nothing."""
        try:
            with self._connection.cursor() as cursor:
                cursor.execute("SHOW WARNINGS")
                return [(int(number), said(str(message))) for _, number, message in cursor.fetchall()]
        except (pymysql.MySQLError, OSError):
            return []


class Connection(pymysql.Connection):
    """A connection on which no answer takes longer than it may.

    The client's own limit is for a piece of an answer: a server that sends a byte now and then would never meet it.
    """

    _sock: socket.socket
    _rfile: io.BufferedReader
    _force_close: Callable[[], None]

    _ends = 0.0
    _limit = int(STATEMENT_SECONDS)

    def allow(self, seconds: float) -> int:
        """Give the next answers so much time; return the server's limit in seconds where it must be told a new one."""
        self._ends = time.monotonic() + seconds
        # The server is to give up before the client does, and to say why.
        limit = max(1, int(seconds) - 1)
        lower, self._limit = limit < self._limit, min(limit, self._limit)
        return limit if lower else 0

    def _write_bytes(self, data: bytes) -> None:
        # TLS, too, begins with what is set here.
        self._write_timeout = max(0.001, self._ends - time.monotonic())
        super()._write_bytes(data)  # type: ignore[misc] # the client's own

    def _get_server_information(self) -> None:
        """Read the greeting.

        Who says at this point that the password is wrong has heard neither user nor password, and has not proved who it
        is: it is not to make us try another credential.
        """
        try:
            super()._get_server_information()  # type: ignore[misc]  # its stubs leave it out
        except pymysql.MySQLError as error:
            if LOGIN_PROBLEMS.get(_number(error), (None,))[0] is LoginRefused:
                raise pymysql.OperationalError(2012, "the login was refused before anybody logged in") from None
            raise

    def _read_bytes(self, num_bytes: int) -> bytes:
        data = b""
        while len(data) < num_bytes:
            data += self._read_some(num_bytes - len(data))
        return data

    def _read_some(self, most: int) -> bytes:
        cause = ""
        try:
            self._sock.settimeout(max(0.001, self._ends - time.monotonic()))
            if some := self._rfile.read1(most):
                return bytes(some)
        except OSError as error:
            cause = f" ({error})"
        self._force_close()
        raise pymysql.OperationalError(2013, f"Lost connection to the server{cause}")


class _Refusing:
    """Answers a server that asks for too much; in the form that the client wants of an authentication plugin."""

    def __init__(self, connection: pymysql.Connection) -> None:
        """Need nothing of the connection."""

    def authenticate(self, _: object) -> NoReturn:
        """Send nothing."""
        raise pymysql.OperationalError(2061, "the server asks for the password in clear, or as good as that")


@contextmanager
def connect[S: MySQLFamilySession](kind: type[S], credential: Credential, deadline: Deadline) -> Iterator[S]:
    """Log in; see `rotation.engine.Engine.connect`."""
    doing = f"logging in as {credential}{f' to {credential.database}' if credential.database else ''}"
    connection = _open(kind, credential, deadline, doing)
    try:
        yield kind(connection, credential, deadline)
    finally:
        if connection.open:
            connection.close()


def _open(kind: type[MySQLFamilySession], credential: Credential, deadline: Deadline, doing: str) -> Connection:
    way = open_way(credential, deadline, doing)
    seconds = deadline.allow(STATEMENT_SECONDS, doing)
    try:
        connection = Connection(
            host=credential.host,
            port=credential.port,
            user=credential.username,
            password=credential.password.encode(),  # a text would be sent as Latin-1
            database=credential.database,
            charset="utf8mb4",
            autocommit=True,
            defer_connect=True,
            auth_plugin_map=dict.fromkeys(REVEALING, _Refusing),
            **({"ssl": tls_context()} if credential.tls else {"ssl_disabled": True}),
        )
        # Whatever the server is set to: names come in backticks, and nothing waits for a lock for a year.
        limits = kind.limits.format(seconds=connection.allow(seconds))
        connection.init_command = f"SET SESSION {SETTINGS}, {limits}"
        connection.connect(way)
    except (pymysql.MySQLError, OSError, RuntimeError, LookupError, ValueError, struct.error) as error:
        way.close()
        raise _login_failure(error, doing) from None
    except BaseException:
        way.close()
        raise
    return connection


def _login_failure(error: Exception, doing: str) -> DatabaseError | Unsupported:
    cause = getattr(error, "original_exception", error)
    if isinstance(cause, ssl.SSLError):
        remedy = (
            "Have the server use a certificate of the RDS authorities for this host, or name its own in DB_CA_BUNDLE"
        )
        return Untrusted(doing, said(getattr(cause, "verify_message", "") or cause.reason or "TLS failed"), remedy)
    if isinstance(error, RuntimeError):
        return Unsupported(doing, said(str(error)), 'Take "ssl": false out of the secret, or use another plugin')
    if isinstance(error, (LookupError, ValueError, struct.error)):  # the client does not understand the greeting
        return Unreachable(doing, "what answers is no MySQL or MariaDB", 'Correct "host" and "port" in the secret')
    number, raw = _number(error), str(error.args[-1]) if error.args else ""
    text = said(raw)
    if "SSL connection error" in raw or "server doesn't support" in raw.lower():
        return Untrusted(
            doing, text, 'Switch TLS on at the server, or say "ssl": false in the secret to send all in clear'
        )
    problem, remedy = LOGIN_PROBLEMS.get(number, (Unreachable, NO_ANSWER))
    return problem(doing, f"{text} (error {number})" if number else text or "no answer", remedy)


def _number(error: Exception) -> int:
    """Return the error's number; the client's own errors may have none."""
    return error.args[0] if error.args and isinstance(error.args[0], int) else 0


def _decoded(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
