"""How does one log in to a MySQL or MariaDB server and run statements, and what do the server's errors mean?"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import wraps
from typing import Any, Concatenate, Final

import pymysql
from pymysql.constants import CLIENT
from pymysql.cursors import Cursor, DictCursor, SSCursor

from rotation.credential import Credential
from rotation.deadline import Deadline
from rotation.engines.driver import STATEMENT_SECONDS, ExpectedError, accepts, lacks_right
from rotation.engines.mysql import policy, rsa
from rotation.engines.mysql.answers import Answers
from rotation.engines.mysql.dialect import MYSQL, Dialect
from rotation.engines.mysql.names import literal
from rotation.engines.mysql.problems import (
    NEEDS_PRIVILEGE,
    PRIVILEGES,
    ServerError,
    login_failure,
    statement_failure,
)
from rotation.engines.mysql.wire import (
    EXPIRED_PASSWORD,
    REVEALING,
    UNKNOWN_VARIABLE,
    VERIFY_BYTES,
    VERIFY_PACKETS,
    WRONG_SERVER,
    BoundedConnection,
    RefusedPlugin,
    understood,
)
from rotation.engines.network import open_socket, tls_context
from rotation.engines.other_engine import login_seconds, name_engine, of_mysql, wrong_engine
from rotation.engines.password_rules import PasswordRules
from rotation.errors import DatabaseError, StatementFailed, Unreachable, Unsupported
from rotation.passwords import Rule

MAY_READ, MAY_CREATE = "SELECT ON mysql.*", "CREATE USER ON *.*"
"""The rights that an admin needs: to read about accounts, and to change them."""

SETTINGS = (
    "SET NAMES utf8mb4, autocommit = 1, sql_quote_show_create = 1, @application_sql_mode = @@SESSION.sql_mode,"
    " sql_mode = '{sql_mode}', @application_sql_big_selects = @@SESSION.sql_big_selects, sql_big_selects = 1,"
    " sql_select_limit = 18446744073709551615, completion_type = 0, wait_timeout = 60, {limits}{more}"
)
"""These make what we send, and what the server prints, independent of the server's configuration: it leaves no row out,
refuses no question because of its size, and a ROLLBACK does not end the session. What an application would find is kept
in variables: the server's settings, or those of init_connect. If the function is killed, the server ends an idle
session, and the locks that it holds, after a minute."""

APPLICATIONS: Final = (
    "SET SESSION sql_mode = @application_sql_mode, sql_big_selects = @application_sql_big_selects, autocommit = 0"
)
"""Begins a transaction of a session like the application's; `MySQLConnection.end_transaction` ends it."""

NOT_SHOWN: Final = 0
"""The number of a warning that the server has, and does not show: with max_error_count = 0 it shows none."""

READS: Final = re.compile(r"\(?SELECT |SHOW ")
"""How a statement begins that changes no account."""

STOP_SECONDS: Final = 1.0
"""How long it can take to end a statement of `verify` that takes too long."""

SHORTER: Final = "Make the statement of verify shorter, or take it out"


class MySQLConnection:
    """One login to a MySQL or MariaDB server; each statement is committed at once."""

    def __init__(self, client: BoundedConnection, credential: Credential, deadline: Deadline, dialect: Dialect) -> None:
        self.credential = credential
        """Of the user who is logged in; with the new password, if the session has changed it."""
        self.deadline = deadline
        self.dialect = dialect
        self.turn: frozenset[str] = frozenset()
        """The users whose turn this session has, to its end: see `rotation.engines.mysql.locks`."""
        self.answers = Answers()
        self._client = client
        self._version: tuple[int, ...] = ()
        self._settings: list[str] = []
        """What to set before the next statement."""

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
        """Run one statement that is not ours, and drop its rows.

        If it takes too long, and the server does not end it by itself, it is ended from a second connection.
        """
        try:
            with self._bounded(operation, reserve=STOP_SECONDS):
                self._client.limit_size(VERIFY_BYTES, VERIFY_PACKETS)
                with self._client.cursor(SSCursor) as cursor:
                    cursor.execute(statement)
                    for _ in cursor:
                        pass
        except Unreachable:
            if self._client.is_late and self._stop():
                cause = "it took longer than the time allows, and was ended"
                raise StatementFailed(f"{operation} as {self.username}", cause, SHORTER) from None
            raise

    def begin_transaction(self, operation: str) -> None:
        """From here on, run statements as the application would: in its SQL mode, not in ours.

        Without autocommit, the first statement begins a transaction, and so does one that comes after the server has
        rolled back by itself.
        """
        self.execute(operation, APPLICATIONS)

    def end_transaction(self, operation: str) -> list[ServerError]:
        """Roll back, and return the warnings, which are asked for only if the server says that there are any.

        The session's own settings come back before its next statement. Most often there is none.
        """
        with self._bounded(operation), self._client.cursor() as cursor:
            cursor.execute("ROLLBACK")
            warnings = self.warnings() or [ServerError(NOT_SHOWN, "")] if cursor.warning_count else []
        self._settings.append(f"sql_mode = '{self.dialect.sql_mode}', sql_big_selects = 1, autocommit = 1")
        return warnings

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

    def rules_for_clear_text(self) -> Sequence[Rule]:
        """Return what the server asks of passwords that it gets in clear, and of others nothing.

        If the password of the user has expired, the server does not say.
        """
        expired = frozenset({EXPIRED_PASSWORD})
        with suppress(ExpectedError):
            rows = self.execute("reading what the server asks of passwords", policy.VARIABLES, expected=expired)
            return policy.rules_for_clear_text(dict(rows))
        return ()

    def version(self) -> tuple[int, ...]:
        """Return the server's version, such as (8, 4, 3); Aurora reports the version of MySQL that it matches."""
        if not self._version:
            [(text,)] = self.execute("asking for the version", "SELECT VERSION()")
            self.note_version(text)
        return self._version

    def note_version(self, text: str) -> None:
        """Take what `VERSION()` was found to be, which then is not asked for."""
        self._version = tuple(int(number) for number in re.findall(r"\d{1,9}", text)[:3])

    @property
    def greeting(self) -> tuple[str, str]:
        """What the server said before the login was done: its version, and the plugin that it asked for."""
        return self._client.server_version, self._client.plugin

    def begin(self) -> None:
        """Begin the session, if the password was expired when it logged in, and no longer is."""
        with self._bounded(f"beginning the session of {self.username}"):
            self._client.begin()

    def accepts(self, username: str, password: str) -> bool:
        """Tell whether this server takes this password now."""
        credential = replace(self.credential, username=username, password=password)
        return accepts(lambda user, until: connect(user, until, self.dialect), credential, self.deadline)

    def needs(self, right: str) -> str:
        """Return the remedy if the user who is logged in lacks this right."""
        plain = re.fullmatch(r"[A-Za-z_]\w*", self.username, re.ASCII)
        return f"GRANT {right} TO {self.username if plain else literal(self.username)}"

    def _rows(
        self,
        kind: type[Cursor],
        operation: str,
        statement: str,
        remedy: str = "",
        expected: frozenset[int] = frozenset(),
    ) -> Sequence[Any]:
        if not READS.match(statement):
            self.answers.forget()
        with self._bounded(operation, remedy, expected), self._client.cursor(kind) as cursor:
            cursor.execute(statement)
            return cursor.fetchall()

    @contextmanager
    def _bounded(
        self, operation: str, remedy: str = "", expected: frozenset[int] = frozenset(), reserve: float = 0.0
    ) -> Iterator[None]:
        """Limit the time of a statement, and the size of its answer; translate the client's errors.

        `reserve` is the time to keep for what comes after it.
        """
        seconds = self.deadline.allow(STATEMENT_SECONDS, operation)
        if self.deadline.outlasts(2 * reserve):
            seconds = min(seconds, self.deadline.left() - reserve)
        try:
            server_limit = self._client.limit_time(seconds)
            self._client.limit_size()
            with understood():
                if server_limit:
                    self._settings.append(self.dialect.limits.format(seconds=server_limit))
                self._set()
                yield
        except (pymysql.MySQLError, OSError, RuntimeError) as exception:
            error = ServerError.of(exception)
            if error.number in expected:
                raise ExpectedError(error.number) from None
            operation_as = f"{operation} as {self.username}"
            raise statement_failure(
                error, operation_as, remedy or self._lacking(error), self.warnings, self.password_rules
            ) from None

    def _set(self) -> None:
        if self._settings:
            with self._client.cursor() as cursor:
                cursor.execute(f"SET SESSION {', '.join(self._settings)}")
            self._settings.clear()

    def _stop(self) -> bool:
        """End the session at the server; tell whether that was possible. Every user can end its own."""
        with suppress(DatabaseError), connect(self.credential, self.deadline, self.dialect) as second:
            second.execute("ending a statement", f"KILL {self._client.number}")
            return True
        return False

    def _lacking(self, error: ServerError) -> str:
        """Return the remedy if the user who is logged in may not run a statement."""
        named = PRIVILEGES.findall(error.raw) if error.number == NEEDS_PRIVILEGE else []
        narrow = [privilege for privilege in named if privilege != "SUPER"]
        return self.needs(f"{narrow[-1]} ON *.*") if narrow else lacks_right(self.username)


def asked_once[**P, T](
    ask: Callable[Concatenate[MySQLConnection, P], T],
) -> Callable[Concatenate[MySQLConnection, P], T]:
    """Let a question have one answer as long as that is kept: see `rotation.engines.mysql.answers`."""

    @wraps(ask)
    def asked(connection: MySQLConnection, /, *arguments: P.args, **options: P.kwargs) -> T:
        question = (ask, arguments, tuple(options.items()))
        return connection.answers.once(question, lambda: ask(connection, *arguments, **options))

    return asked


@contextmanager
def connect(credential: Credential, deadline: Deadline, dialect: Dialect = MYSQL) -> Iterator[MySQLConnection]:
    """Log in; see `rotation.engine.Engine.connect`."""
    operation = f"logging in as {credential}{f' to {credential.database}' if credential.database else ''}"
    client = _log_in(credential, deadline, operation, dialect)
    try:
        yield MySQLConnection(client, credential, deadline, dialect)
    finally:
        if client.open:
            client.close()


def _log_in(credential: Credential, deadline: Deadline, operation: str, dialect: Dialect) -> BoundedConnection:
    client = _client(credential)
    socket = open_socket(credential, deadline, operation)
    client.refuses_mariadb = not dialect.greeted_as
    try:
        seconds = client.limit_time(login_seconds(STATEMENT_SECONDS, deadline, operation))
        limits = dialect.limits.format(seconds=seconds)
        client.settings = SETTINGS.format(sql_mode=dialect.sql_mode, limits=limits, more=dialect.more_settings)
        with understood():
            client.connect(socket)
    except (pymysql.MySQLError, OSError, RuntimeError) as error:
        socket.close()
        failure = _failure(error, client, credential, operation, dialect)
        if isinstance(failure, Unreachable) and not client.server_version:
            raise name_engine(failure, credential, dialect.kind, deadline) from None
        raise failure from None
    except BaseException:
        socket.close()
        raise
    return client


def _client(credential: Credential) -> BoundedConnection:
    if not credential.tls:
        rsa.provide()
    return BoundedConnection(
        host=credential.host,
        port=credential.port,
        user=credential.username,
        password=credential.password.encode(),  # a text would be sent as Latin-1
        database=credential.database,
        charset="utf8mb4",
        autocommit=None,  # as the settings say
        client_flag=CLIENT.HANDLE_EXPIRED_PASSWORDS,  # to renew a password that has expired
        defer_connect=True,
        auth_plugin_map=dict.fromkeys(REVEALING, RefusedPlugin),
        **({"ssl": tls_context(credential.host)} if credential.tls else {"ssl_disabled": True}),
    )


def _failure(
    error: Exception, client: BoundedConnection, credential: Credential, operation: str, dialect: Dialect
) -> DatabaseError | Unsupported:
    """Return what it means that a login failed. A server of the other kind does not know one of our limits."""
    if ServerError.of(error).number in {WRONG_SERVER, UNKNOWN_VARIABLE}:
        found = of_mysql(client.server_version)
        found = dialect.sibling if found.startswith(dialect.kind.name) else found  # a proxy greets as it likes
        return wrong_engine(found, credential, dialect.kind, operation)
    return login_failure(error, credential, operation, dialect.login_problems)
