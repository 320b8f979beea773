"""What do sessions on MySQL and MariaDB share? How statements are run, what refusals mean, how accounts are written."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pymysql
from pymysql.converters import escape_string
from pymysql.cursors import Cursor, DictCursor, SSCursor

from rotation.credential import Credential
from rotation.deadline import Deadline
from rotation.engine import Proof
from rotation.engines.driver import NO_ANSWER, POLICY, REPLICA, STATEMENT_SECONDS, verify
from rotation.engines.mysql.wire import (
    MALFORMED,
    TOO_LARGE,
    Connection,
    error_number,
    error_text,
    open_connection,
    raw_text,
    understood,
)
from rotation.errors import (
    RETRIED,
    DatabaseError,
    LoginRefused,
    NotPermitted,
    PasswordRefused,
    StatementFailed,
    Unreachable,
    Unsafe,
)

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
    TOO_LARGE: (StatementFailed, "Have the answer be smaller: 3 MB in 50,000 rows; for a statement of verify 16 MB"),
}

LOST = frozenset({0, 2003, 2006, 2013, MALFORMED, 2055, 1053, 1927, 3169, 4031})
"""The connection is gone, as the client says
(https://dev.mysql.com/doc/mysql-errors/9.1/en/client-error-reference.html), or is about to be, as the server does: it
shuts down, or somebody or something has killed the session."""

SYNTAX_ERROR, CANNOT_USER = 1064, 1396

OPTION_PREVENTS = 1290
"""ER_OPTION_PREVENTS_STATEMENT: only its text tells which option, and only read-only means another server."""

NOT_ROLLED_BACK = 1196
"""ER_WARNING_NOT_COMPLETE_ROLLBACK, a warning: a table of an engine like MyISAM keeps what was done to it."""

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

VERIFY_BYTES, VERIFY_PACKETS = 16 * 1024 * 1024, 1_000_000
"""How much of the answer to a statement of `verify` is read, and dropped as it comes."""

QUOTED_NAME = re.compile(r"`(?:[^`]|``)*`")


@dataclass(frozen=True, order=True)
class Account:
    """A user, as from certain hosts."""

    user: str
    host: str

    def __str__(self) -> str:
        return f"{self.user}@{self.host}"


class ExpectedError(Exception):
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

    def __init__(self, connection: Connection, credential: Credential, deadline: Deadline) -> None:
        self._connection = connection
        self._credential = credential
        self._deadline = deadline

    def proof(self) -> Proof:
        """Return who is logged in; see `rotation.engine.Session`.

        The server lets an anonymous account in for a name that it does not know, and puts one account in the place of
        another that is its proxy. An account is told from others of its name by its host.
        """
        operation = f"asking which account {self.username} is"
        [(account, proxy)] = self.execute(operation, "SELECT CURRENT_USER(), @@proxy_user")
        if proxy is None and account.startswith(f"{self.username}@"):
            return Proof(self.username, self._credential.password, account)
        other = Account(*account.rsplit("@", 1))
        remedy = f"REVOKE PROXY ON {self.account(other)} FROM {proxy}" if proxy else f"DROP USER {self.account(other)}"
        raise Unsafe(operation, f"the server logged it in as {account}, which is another account", remedy)

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
        verify(statements, self._run, TRANSACTIONAL)
        self.execute("rolling back", "ROLLBACK")
        if any(number == NOT_ROLLED_BACK for number, _ in self._warnings()):
            remedy = "Take statements that change such tables out of verify, and undo by hand what they did"
            raise StatementFailed("rolling back", "a table that knows no transactions was changed", remedy)
        self.execute("rolling back", "SET SESSION sql_mode = ''")

    def execute(
        self, operation: str, statement: str, remedy: str = "", expected: frozenset[int] = frozenset()
    ) -> list[tuple[Any, ...]]:
        """Run one statement, for the deadline at most, and return its rows.

        Raises a DatabaseError, for which `remedy` is what to do where the user may not, or Refusal for the numbers to
        tell.
        """
        return list(self._execute(Cursor, operation, statement, remedy, expected))

    def _execute(
        self,
        kind: type[Cursor],
        operation: str,
        statement: str,
        remedy: str = "",
        expected: frozenset[int] = frozenset(),
    ) -> Sequence[Any]:
        with self._asking(operation, remedy, expected), self._connection.cursor(kind) as cursor:
            cursor.execute(statement)
            return cursor.fetchall()

    def _run(self, operation: str, statement: str) -> None:
        """Run a statement that is not ours, and drop its rows."""
        with self._asking(operation):
            self._connection.admit(VERIFY_BYTES, VERIFY_PACKETS)
            with self._connection.cursor(SSCursor) as cursor:
                cursor.execute(statement)
                for _ in cursor:
                    pass

    @contextmanager
    def _asking(self, operation: str, remedy: str = "", expected: frozenset[int] = frozenset()) -> Iterator[None]:
        """Bound what the server may take for a statement and for its answer, and translate the client's errors."""
        seconds = self._deadline.allow(STATEMENT_SECONDS, operation)
        try:
            limits = self._connection.allow(seconds)
            self._connection.admit()
            with understood():
                if limits:
                    with self._connection.cursor() as cursor:
                        cursor.execute(f"SET SESSION {self.limits.format(seconds=limits)}")
                yield
        except (pymysql.MySQLError, OSError, RuntimeError) as error:
            number = error_number(error)
            if number in expected:
                raise ExpectedError(number) from None
            raise self._failure(error, f"{operation} as {self.username}", remedy) from None

    @property
    def username(self) -> str:
        """Who is logged in."""
        return self._credential.username

    def every_account(self, username: str) -> list[Account]:
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

    def own_definition(self, operation: str) -> str:
        """Return what SHOW CREATE USER says of the user who is logged in, but for names, which may hold anything."""
        [(definition, *_), *_] = self.execute(operation, "SHOW CREATE USER CURRENT_USER()")
        return QUOTED_NAME.sub("``", definition)

    def version(self) -> tuple[int, ...]:
        """Return the server's version, (8, 4, 3) say; Aurora tells the version of MySQL that it speaks."""
        [(text,)] = self.execute("asking for the version", "SELECT VERSION()")
        return tuple(int(number) for number in re.findall(r"\d{1,9}", text)[:3])

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

    def _failure(self, error: Exception, operation: str, remedy: str) -> DatabaseError:
        number, text = error_number(error), error_text(error)
        if number in LOST or isinstance(error, OSError):
            return Unreachable(operation, text or "the connection was lost", NO_ANSWER)
        if number == SYNTAX_ERROR:  # its text is made of the statement
            return StatementFailed(operation, "the server does not understand the statement (error 1064)", "Correct it")
        if number == CANNOT_USER:
            warnings = [(told, more) for told, more in self._warnings() if told != CANNOT_USER]
            number = next((told for told, _ in warnings if told in STATEMENT_PROBLEMS), number)
            text = "; ".join([text, *(more for _, more in warnings)])
        problem, usual = STATEMENT_PROBLEMS.get(number, (StatementFailed, f"Correct the cause. {RETRIED}"))
        if number == OPTION_PREVENTS and "read" in raw_text(error):
            problem, usual = NotPermitted, REPLICA
        if number in FORBIDDEN:
            problem, usual = NotPermitted, remedy or f"Grant {self.username} what it lacks"
        return problem(operation, f"{text} (error {number})", usual)

    def _warnings(self) -> list[tuple[int, str]]:
        """Return what the server adds to an answer that says nothing."""
        try:
            with self._connection.cursor() as cursor:
                cursor.execute("SHOW WARNINGS")
                return [(int(number), error_text(Exception(message))) for _, number, message in cursor.fetchall()]
        except (pymysql.MySQLError, OSError):
            return []


@contextmanager
def connect[S: MySQLFamilySession](kind: type[S], credential: Credential, deadline: Deadline) -> Iterator[S]:
    """Log in; see `rotation.engine.Engine.connect`."""
    operation = f"logging in as {credential}{f' to {credential.database}' if credential.database else ''}"
    connection = open_connection(credential, deadline, operation, kind.limits)
    try:
        yield kind(connection, credential, deadline)
    finally:
        if connection.open:
            connection.close()


def _decoded(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
