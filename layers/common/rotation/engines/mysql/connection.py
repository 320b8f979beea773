"""How does one log in to a MySQL or MariaDB server and run statements, and what do the server's errors mean?"""

import re
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self

import pymysql
from pymysql.cursors import Cursor, DictCursor, SSCursor

from rotation.credential import Credential
from rotation.deadline import Deadline
from rotation.engines.driver import (
    ANOTHER_PASSWORD,
    BUSY,
    CERTIFICATE,
    CORRECT_CAUSE,
    EXPIRED,
    HOST_NAME,
    NO_ANSWER,
    NO_TLS,
    POLICY,
    REPLICA,
    STARTING,
    STATEMENT_SECONDS,
    TOO_MANY,
    UNKNOWN_SERVER,
    WRONG_DATABASE,
    ExpectedError,
    Problem,
    accepts,
    find_lock_holder,
    lacks_right,
    problem,
)
from rotation.engines.mysql import policy
from rotation.engines.mysql.kind import KIND
from rotation.engines.mysql.wire import (
    ACCESS_DENIED,
    MALFORMED,
    NO_HANDSHAKE,
    NO_PASSWORD_ACCESS,
    REVEALING,
    REVEALS,
    TOO_LARGE,
    VERIFY_BYTES,
    VERIFY_PACKETS,
    BoundedConnection,
    RefusedPlugin,
    understood,
)
from rotation.engines.network import open_socket, tls_context
from rotation.engines.password_rules import PasswordRules
from rotation.errors import (
    RETRIED,
    WRONG_PASSWORD,
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

UNLOCK = "Unlock the account (ALTER USER … ACCOUNT UNLOCK), and find out what locked it"
OTHER_PLUGIN = "Change the account's plugin to caching_sha2_password, or to another one that this function's client has"
LOAD_PLUGIN = "Load the account's authentication plugin into the server, or use another"
OTHER_DEFINER = (
    "Give the objects whose definer is this account another one, or GRANT ALLOW_NONEXISTENT_DEFINER (before MySQL 8.2"
    " SET_USER_ID) ON *.* TO the admin"
)
INVALID_VIEW = (
    "Repair or drop the view, or take the rights on its columns from the user; if the view works for its users, grant"
    " the admin SELECT and EXECUTE on what is in it"
)
HOLDER = find_lock_holder("performance_schema.metadata_locks")

LOGIN_PROBLEMS: Mapping[int, Problem] = {
    ACCESS_DENIED: (LoginRefused, WRONG_PASSWORD),
    NO_PASSWORD_ACCESS: (LoginRefused, WRONG_PASSWORD),
    1044: (LoginBlocked, WRONG_DATABASE),  # ER_DBACCESS_DENIED_ERROR
    1049: (LoginBlocked, WRONG_DATABASE),  # ER_BAD_DB_ERROR
    3118: (LoginBlocked, UNLOCK),  # ER_ACCOUNT_HAS_BEEN_LOCKED
    4151: (LoginBlocked, UNLOCK),  # the same in MariaDB
    3955: (LoginBlocked, UNLOCK),  # ER_USER_ACCESS_DENIED_FOR_USER_ACCOUNT_BLOCKED_BY_PASSWORD_LOCK
    4150: (LoginBlocked, UNLOCK),  # ER_USER_IS_BLOCKED in MariaDB
    1862: (LoginBlocked, EXPIRED),  # ER_MUST_CHANGE_PASSWORD_LOGIN
    1820: (LoginBlocked, EXPIRED),  # ER_MUST_CHANGE_PASSWORD
    3159: (
        LoginBlocked,
        'Take "ssl": false out of the secret: the server requires TLS',
    ),  # ER_SECURE_TRANSPORT_REQUIRED
    1040: (LoginBlocked, TOO_MANY),  # ER_CON_COUNT_ERROR
    1203: (LoginBlocked, TOO_MANY),  # ER_TOO_MANY_USER_CONNECTIONS
    1226: (LoginBlocked, TOO_MANY),  # ER_USER_LIMIT_REACHED
    3032: (LoginBlocked, f"Wait until the server's offline mode ends. {RETRIED}"),  # ER_SERVER_OFFLINE_MODE
    1053: (LoginBlocked, STARTING),  # ER_SERVER_SHUTDOWN
    1129: (LoginBlocked, "Run FLUSH HOSTS: the server blocks the function's address"),  # ER_HOST_IS_BLOCKED
    1130: (LoginBlocked, "Create an account whose host part matches the function's address"),  # ER_HOST_NOT_PRIVILEGED
    2059: (LoginBlocked, OTHER_PLUGIN),
    1524: (LoginBlocked, LOAD_PLUGIN),
    NO_HANDSHAKE: (Untrusted, UNKNOWN_SERVER),
    TOO_LARGE: (Untrusted, UNKNOWN_SERVER),
    MALFORMED: (Unreachable, 'Correct "host" and "port" in the secret'),
    REVEALS: (
        Untrusted,
        "Change the account's plugin to caching_sha2_password, or to another one that sends no password",
    ),
}
"""What a refused login means (https://dev.mysql.com/doc/mysql-errors/9.1/en/server-error-reference.html)."""

FORBIDDEN = frozenset({1044, 1045, 1142, 1143, 1227, 1370, 1410, 1698, 3523, 3530})
"""The user may not run the statement. 1045 is among them: the server answers so to a GRANT on *.* that one may not
make."""

BREAKS_RULES = frozenset({1819, 4165})
"""The server's variables say what it asks for."""

STATEMENT_PROBLEMS: Mapping[int, Problem] = {
    1836: (NotPermitted, REPLICA),  # ER_READ_ONLY_MODE
    3032: (NotPermitted, REPLICA),  # ER_SERVER_OFFLINE_MODE
    1819: (PasswordRefused, POLICY),  # ER_NOT_VALID_PASSWORD
    4165: (PasswordRefused, ANOTHER_PASSWORD),  # too like the old one: changed_characters_percentage
    3638: (PasswordRefused, ANOTHER_PASSWORD),  # ER_CREDENTIALS_CONTRADICT_TO_HISTORY
    1205: (StatementFailed, HOLDER),  # ER_LOCK_WAIT_TIMEOUT
    1969: (StatementFailed, BUSY),  # MariaDB's max_statement_time
    3024: (StatementFailed, BUSY),  # ER_QUERY_TIMEOUT
    1524: (StatementFailed, LOAD_PLUGIN),
    1356: (StatementFailed, INVALID_VIEW),  # ER_VIEW_INVALID
    4006: (StatementFailed, OTHER_DEFINER),  # ER_CANNOT_USER_REFERENCED_AS_DEFINER
    TOO_LARGE: (
        StatementFailed,
        "Make the answer smaller: at most 3 MB and 50,000 rows, or 16 MB for a statement of verify",
    ),
}
"""What it means that a statement failed, if it is not forbidden."""

LOST = frozenset({0, 2003, 2006, 2013, MALFORMED, 2055, 1053, 1927, 3169, 4031})
"""The connection is lost, as the client reports
(https://dev.mysql.com/doc/mysql-errors/9.1/en/client-error-reference.html), or is about to be lost, as the server
reports: it shuts down, or the session was killed."""

SYNTAX_ERROR, CANNOT_USER = 1064, 1396

NEEDS_PRIVILEGE: Final = 1227
"""ER_SPECIFIC_ACCESS_DENIED_ERROR: its text names the privileges of which one is enough."""

PRIVILEGES = re.compile(r"\b[A-Z]+(?:[_ ][A-Z]+)+\b|\b[A-Z]{4,}\b")
"""These are written in capitals, in messages of every language."""

ACL_FAILED: Final = 3501
"""ER_ACL_OPERATION_FAILED: only its text has the error of the storage engine."""

READ_ONLY_TABLE = re.compile(r"\b165\b")
"""HA_ERR_TABLE_READONLY, as with innodb_read_only on a reader of Aurora."""

OPTION_PREVENTS: Final = 1290
"""ER_OPTION_PREVENTS_STATEMENT: only its text names the option. Only with a read-only option another server helps."""

MISMATCHES = frozenset({62, 64})
"""OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH."""

MAY_READ, MAY_CREATE = "SELECT ON mysql.*", "CREATE USER ON *.*"
"""The rights that an admin needs: to read about accounts, and to change them."""

APPLICATION_SQL_MODE: Final = "@application_sql_mode"
"""The variable that keeps the SQL mode in which a session of the application begins: the server's, or the one that
init_connect sets."""

SETTINGS = f"sql_quote_show_create = 1, {APPLICATION_SQL_MODE} = @@SESSION.sql_mode, sql_mode = '', wait_timeout = 60"
"""These make what we send, and what the server prints, independent of the server's configuration. If the function is
killed, the server ends an idle session, and the locks that it holds, after a minute."""

LIMITS = "lock_wait_timeout = {seconds}, innodb_lock_wait_timeout = {seconds}"
"""The settings that limit how long the server may take for a statement; the defaults are a year, and 50 seconds."""


@dataclass(frozen=True)
class ServerError:
    """An error of the server, or of the client itself, as PyMySQL raises it."""

    number: int
    """0 if the error has none."""
    raw: str = field(repr=False)
    """What the error says: it can hold secrets, so it is compared and never quoted."""

    @classmethod
    def of(cls, error: Exception) -> Self:
        """Read the arguments of an exception."""
        has_number = isinstance(error, pymysql.MySQLError) and error.args and isinstance(error.args[0], int)
        return cls(error.args[0] if has_number else 0, str(error.args[-1]) if error.args else "")

    @property
    def text(self) -> str:
        """What the error says, as it may be quoted."""
        return said(self.raw)


class MySQLConnection:
    """One login to a MySQL or MariaDB server; each statement is committed at once."""

    def __init__(self, client: BoundedConnection, credential: Credential, deadline: Deadline, limits: str) -> None:
        self.credential = credential
        """Of the user who is logged in; with the new password, if the session has changed it."""
        self.deadline = deadline
        self.locks: set[str] = set()
        """The names of the locks that are held to the end of the session, or need not be waited for any more."""
        self._client = client
        self._limits = limits

    @property
    def username(self) -> str:
        """The user who is logged in."""
        return self.credential.username

    def execute(
        self, operation: str, statement: str, remedy: str = "", expected: frozenset[int] = frozenset()
    ) -> list[tuple[Any, ...]]:
        """Run one statement, for the deadline at most, and return its rows.

        `remedy` is what to do if the user may not run it. Raises a DatabaseError, or ExpectedError for these numbers.
        """
        return list(self._rows(Cursor, operation, statement, remedy, expected))

    def execute_by_name(self, operation: str, statement: str, remedy: str = "") -> list[dict[str, Any]]:
        """Run one statement and return its rows, each value under the name of its column, in lower case."""
        rows = self._rows(DictCursor, operation, statement, remedy)
        return [{name.lower(): value for name, value in row.items()} for row in rows]

    def execute_and_discard(self, operation: str, statement: str) -> None:
        """Run one statement that is not ours, and drop its rows."""
        with self._bounded(operation):
            self._client.limit_size(VERIFY_BYTES, VERIFY_PACKETS)
            with self._client.cursor(SSCursor) as cursor:
                cursor.execute(statement)
                for _ in cursor:
                    pass

    def warnings(self) -> list[ServerError]:
        """Return the warnings of the last statement; none if the server does not answer."""
        try:
            with self._client.cursor() as cursor:
                cursor.execute("SHOW WARNINGS")
                return [ServerError(int(number), message) for _, number, message in cursor.fetchall()]
        except (pymysql.MySQLError, OSError):
            return []

    def password_rules(self) -> PasswordRules:
        """Return what the server asks of every password; nothing if the server does not answer."""
        try:
            with self._client.cursor() as cursor:
                cursor.execute(policy.VARIABLES)
                return policy.rules(dict(cursor.fetchall()))
        except (pymysql.MySQLError, OSError):
            return PasswordRules()

    def version(self) -> tuple[int, ...]:
        """Return the server's version, such as (8, 4, 3); Aurora reports the version of MySQL that it matches."""
        [(text,)] = self.execute("asking for the version", "SELECT VERSION()")
        return tuple(int(number) for number in re.findall(r"\d{1,9}", text)[:3])

    def accepts(self, username: str, password: str) -> bool:
        """Tell whether this server takes this password now."""
        return accepts(connect, replace(self.credential, username=username, password=password), self.deadline)

    def needs(self, right: str) -> str:
        """Return the remedy if the user who is logged in lacks this right."""
        return f"GRANT {right} TO {self.username}"

    def _rows(
        self,
        kind: type[Cursor],
        operation: str,
        statement: str,
        remedy: str = "",
        expected: frozenset[int] = frozenset(),
    ) -> Sequence[Any]:
        with self._bounded(operation, remedy, expected), self._client.cursor(kind) as cursor:
            cursor.execute(statement)
            return cursor.fetchall()

    @contextmanager
    def _bounded(self, operation: str, remedy: str = "", expected: frozenset[int] = frozenset()) -> Iterator[None]:
        """Limit the time of a statement, and the size of its answer; translate the client's errors."""
        seconds = self.deadline.allow(STATEMENT_SECONDS, operation)
        try:
            server_limit = self._client.limit_time(seconds)
            self._client.limit_size()
            with understood():
                if server_limit:
                    with self._client.cursor() as cursor:
                        cursor.execute(f"SET SESSION {self._limits.format(seconds=server_limit)}")
                yield
        except (pymysql.MySQLError, OSError, RuntimeError) as exception:
            error = ServerError.of(exception)
            if error.number in expected:
                raise ExpectedError(error.number) from None
            operation_as = f"{operation} as {self.username}"
            raise statement_failure(
                error, operation_as, remedy or self._lacking(error), self.warnings, self.password_rules
            ) from None

    def _lacking(self, error: ServerError) -> str:
        """Return the remedy if the user who is logged in may not run a statement."""
        named = PRIVILEGES.findall(error.raw) if error.number == NEEDS_PRIVILEGE else []
        narrow = [privilege for privilege in named if privilege != "SUPER"]
        return self.needs(f"{narrow[-1]} ON *.*") if narrow else lacks_right(self.username)


@contextmanager
def connect(credential: Credential, deadline: Deadline, limits: str = LIMITS) -> Iterator[MySQLConnection]:
    """Log in; see `rotation.engine.Engine.connect`. `limits` are the settings that limit the server's time."""
    operation = f"logging in as {credential}{f' to {credential.database}' if credential.database else ''}"
    client = _log_in(credential, deadline, operation, limits)
    try:
        yield MySQLConnection(client, credential, deadline, limits)
    finally:
        if client.open:
            client.close()


def _log_in(credential: Credential, deadline: Deadline, operation: str, limits: str) -> BoundedConnection:
    socket = open_socket(credential, deadline, operation)
    seconds = deadline.allow(STATEMENT_SECONDS, operation)
    try:
        client = BoundedConnection(
            host=credential.host,
            port=credential.port,
            user=credential.username,
            password=credential.password.encode(),  # a text would be sent as Latin-1
            database=credential.database,
            charset="utf8mb4",
            autocommit=True,
            defer_connect=True,
            auth_plugin_map=dict.fromkeys(REVEALING, RefusedPlugin),
            **({"ssl": tls_context()} if credential.tls else {"ssl_disabled": True}),
        )
        client.init_command = f"SET SESSION {SETTINGS}, {limits.format(seconds=client.limit_time(seconds))}"
        with understood():
            client.connect(socket)
    except (pymysql.MySQLError, OSError, RuntimeError) as error:
        socket.close()
        raise login_failure(error, operation) from None
    except BaseException:
        socket.close()
        raise
    return client


def login_failure(error: Exception, operation: str) -> DatabaseError | Unsupported:
    """Return what it means that a login failed."""
    cause, found = getattr(error, "original_exception", error), ServerError.of(error)
    if isinstance(cause, ssl.SSLError):
        text = said(getattr(cause, "verify_message", "") or cause.reason or "the TLS handshake failed")
        return Untrusted(operation, text, HOST_NAME if getattr(cause, "verify_code", 0) in MISMATCHES else CERTIFICATE)
    if isinstance(error, RuntimeError):
        return Unsupported(operation, found.text, 'Take "ssl": false out of the secret, or use another plugin')
    if "SSL connection error" in found.raw or "server doesn't support" in found.raw.lower():
        return Untrusted(operation, found.text, NO_TLS)
    kind, remedy = problem(LOGIN_PROBLEMS, found.number, (Unreachable, NO_ANSWER))
    return kind(
        operation, f"{found.text} (error {found.number})" if found.number else found.text or "no answer", remedy
    )


def statement_failure(
    error: ServerError,
    operation: str,
    remedy: str,
    warnings: Callable[[], Sequence[ServerError]],
    rules: Callable[[], PasswordRules] = PasswordRules,
) -> DatabaseError:
    """Return what it means that a statement failed; `remedy` is what to do if the user may not run it.

    `warnings` and `rules` are what the server says of the statement, and asks of passwords.
    """
    number, text = error.number, error.text
    if number in LOST:
        return Unreachable(operation, text or "the connection was lost", NO_ANSWER)
    if number == SYNTAX_ERROR:  # its text quotes the statement
        return StatementFailed(operation, f"the statement has a syntax error (error {number})", "Correct the statement")
    is_read_only = number == OPTION_PREVENTS and "read" in error.raw
    if is_read_only or (number == ACL_FAILED and READ_ONLY_TABLE.search(error.raw)):
        return NotPermitted(operation, f"{text} (error {number})", REPLICA)
    if number == CANNOT_USER:  # the warnings say why
        causes = [warning for warning in warnings() if warning.number != CANNOT_USER]
        number = next((cause.number for cause in causes if cause.number in STATEMENT_PROBLEMS), number)
        text = "; ".join([text, *(cause.text for cause in causes)])
    otherwise: Problem = (StatementFailed, CORRECT_CAUSE)
    kind, usual = problem(STATEMENT_PROBLEMS, number, (NotPermitted, "") if number in FORBIDDEN else otherwise, remedy)
    if number in BREAKS_RULES:
        return rules().explain(PasswordRefused(operation, f"{text} (error {number})", usual), KIND)
    return kind(operation, f"{text} (error {number})", usual)
