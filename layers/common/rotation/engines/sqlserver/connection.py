"""How is an SQL Server reached, and what do its errors mean?"""

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import pytds  # type: ignore[import-untyped]  # annotated, but not marked so (PEP 561)

from rotation.credential import Credential
from rotation.deadline import Deadline
from rotation.engines.driver import (
    CONNECT_SECONDS,
    CORRECT_CAUSE,
    EXPIRED,
    NO_ANSWER,
    NO_REDIRECT,
    POLICY,
    STATEMENT_SECONDS,
    TOO_MANY,
    WRONG_DATABASE,
    ExpectedError,
    Problem,
    find_lock_holder,
    lacks_right,
    problem,
)
from rotation.engines.network import open_socket, tls_context
from rotation.engines.sqlserver.wire import LOGIN_BYTES, AnswerTooLong, BoundedSocket, UnexpectedRedirect
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
)
from rotation.redaction import said

NO_USER = f"{WRONG_DATABASE} (CREATE USER … FOR LOGIN …)"
NEW_PASSWORD = f"{EXPIRED} (ALTER LOGIN … WITH PASSWORD = …)"
UNLOCK = "Unlock the login (ALTER LOGIN … WITH PASSWORD = … UNLOCK), and find out what locked it"
NO_SQL_SERVER = 'Correct "host", "port", "username" and "password" in the secret'
TAKEN = "Rename or drop that user in the database: it has the name of the clone, and belongs to another login"
READ_ONLY = (
    "ALTER DATABASE … SET READ_WRITE until a rotation has ended; or, if this host is a replica, name the primary in"
    ' "host", or an admin in "masterarn"'
)
LOCKED = find_lock_holder("sys.dm_tran_locks")
LESS = "Ask for less: TOP (1) in a statement of verify, permissions on schemas or roles instead of single objects"

LOGIN_PROBLEMS: Mapping[int, Problem] = {
    18456: (LoginRefused, WRONG_PASSWORD),
    4060: (LoginBlocked, NO_USER),
    4063: (LoginBlocked, NO_USER),
    4064: (LoginBlocked, NO_USER),  # the default database of the login
    916: (LoginBlocked, NO_USER),
    18452: (LoginBlocked, "Switch the server to mixed authentication: it accepts logins of Windows only"),
    18470: (LoginBlocked, "Enable the login (ALTER LOGIN … ENABLE), and find out who disabled it"),
    18486: (LoginBlocked, UNLOCK),
    18487: (LoginBlocked, NEW_PASSWORD),
    18488: (LoginBlocked, NEW_PASSWORD),
    17892: (LoginBlocked, "Check the server's logon triggers (sys.server_triggers): one of them refuses the function"),
    17809: (LoginBlocked, TOO_MANY),
    18401: (LoginBlocked, f"Wait until the upgrade of the server has ended. {RETRIED}"),
    18461: (LoginBlocked, f"Wait until the server has left single-user mode. {RETRIED}"),
}
"""What a refused login means
(https://learn.microsoft.com/en-us/sql/relational-databases/errors-events/database-engine-events-and-errors). A wrong
password, an unknown login and a wrong authentication mode are all 18456: the server writes the difference to its own
log only (…/mssqlserver-18456-database-engine-error)."""

WRONG_LOGIN, NO_DATABASE = 18456, 4060

STATEMENT_PROBLEMS: Mapping[int, Problem] = {
    # 15151 is also the answer if there is no such thing: the server does not tell the two apart.
    **dict.fromkeys((229, 230, 262, 297, 300, 916, 2760, 4613, 15151, 15165, 15247, 15562), (NotPermitted, "")),
    3906: (NotPermitted, READ_ONLY),
    15114: (StatementFailed, f"Lower the server's minimum password age, or rotate less often. {RETRIED}"),
    **dict.fromkeys(range(15115, 15120), (PasswordRefused, POLICY)),
    1222: (StatementFailed, LOCKED),
    1205: (StatementFailed, RETRIED),  # the victim of a deadlock
    15025: (StatementFailed, RETRIED),  # another invocation of this step has just created it
    15023: (StatementFailed, TAKEN),
    15433: (StatementFailed, "Drop the login that has this SID: it is the clone, under another name"),
}
"""What a refused statement means."""

OVERTAKEN = frozenset({1205, 15023, 15025, 15063, 15151})
"""Errors of a statement whose work another invocation of the same step has just done, or undone: it was a deadlock's
victim, or the name or SID exists now, or there is no such thing any more."""
ATTEMPTS = 3
"""How often something is done while another invocation does the same."""

SYNTAX_ERRORS = frozenset({102, 103, 105, 132, 156, 319})
"""Errors whose texts quote the statement."""

ANSWER_BYTES, ANSWER_VALUES = 4 * 1024 * 1024, 250_000
"""How long the answer to a statement can be, and how many values are kept of it. A function has 256 MB, and python-tds
needs up to 25 bytes of memory for each byte. That is room for 30,000 permissions of a pair in one database."""
UNREADABLE_ANSWER = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    struct.error,
)
"""What python-tds raises if it does not understand an answer."""

type Arguments = Sequence[object]
type Rows = list[tuple[Any, ...]]


class SQLServerConnection:
    """One connection. Each statement is committed at once, except those of `transaction`."""

    def __init__(self, credential: Credential, deadline: Deadline) -> None:
        """Log in, once."""
        self.credential = credential
        self._deadline = deadline
        operation = f"logging in as {credential} to {credential.database}"
        self._expected: frozenset[int] = frozenset()
        """Errors of statements that are raised as ExpectedError."""
        self._socket, self._client = _log_in(credential, deadline, operation)

    @property
    def username(self) -> str:
        """Who is logged in."""
        return self.credential.username

    @property
    def database(self) -> str:
        """The database that the login named."""
        return self.credential.database or "master"

    def limit_locks(self) -> None:
        """Limit how long a statement waits for a lock, so that the server's error comes before our timeout."""
        operation = "setting the lock timeout"
        milliseconds = int(900 * self._deadline.allow(STATEMENT_SECONDS, operation))
        self.execute(operation, f"SET LOCK_TIMEOUT {milliseconds}")

    def execute(self, operation: str, statement: str, arguments: Arguments = (), remedy: str = "") -> Rows:
        """Run one statement, until the deadline at most, and return the rows of its first result.

        Raises a DatabaseError; `remedy` is what to do if the user lacks a right.
        """
        self._socket.limit(self._deadline.allow(STATEMENT_SECONDS, operation), ANSWER_BYTES)
        try:
            return self._run(statement, arguments)
        except (pytds.Error, OSError, AnswerTooLong, *UNREADABLE_ANSWER) as error:
            if ServerError.read(error).number in self._expected:
                raise ExpectedError(ServerError.read(error).number) from None
            raise statement_failure(error, f"{operation} as {self.username}", remedy, self.username) from None

    def in_transaction(self, operation: str, work: Callable[[], None]) -> None:
        """Do all of the work or nothing; an error ends the session, and so the transaction. See `again`."""

        def whole() -> None:
            self.execute(operation, "BEGIN TRANSACTION")
            work()
            self.execute(operation, "COMMIT TRANSACTION")

        self.again(operation, whole)

    def again(self, operation: str, work: Callable[[], None]) -> None:
        """Do the work, and do it again if another invocation of the same step got ahead of it.

        The work begins with reading what there is.
        """
        for _ in range(ATTEMPTS - 1):
            self._expected = OVERTAKEN
            try:
                return work()
            except ExpectedError:
                self._expected = frozenset()
                self.execute(operation, "IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION")
            finally:
                self._expected = frozenset()
        return work()

    def accepts(self, password: str) -> bool:
        """Tell whether the server takes this password of the same user now."""
        try:
            SQLServerConnection(replace(self.credential, password=password), self._deadline).close()
        except LoginRefused:
            return False
        return True

    def close(self) -> None:
        """Close the connection; the server rolls an open transaction back."""
        self._client.close()

    def _run(self, statement: str, arguments: Arguments) -> Rows:
        with self._client.cursor() as cursor:
            cursor.execute(statement, tuple(map(_bound, arguments)) or None)
            rows = _fetch(cursor) if cursor.description else []
            while cursor.nextset():
                pass
            return rows


def _log_in(credential: Credential, deadline: Deadline, operation: str) -> tuple[BoundedSocket, Any]:
    if max(f"{credential.username}{credential.password}{credential.database}") > "\uffff":
        cause = "python-tds cannot send a character beyond U+FFFF, which is in the user, the password or the database"
        raise Unsupported(operation, cause, "Take the character out of the secret and of the server")
    connected = open_socket(credential, deadline, operation)
    bounded = BoundedSocket(connected)
    try:
        bounded.limit(deadline.allow(CONNECT_SECONDS, operation), LOGIN_BYTES)
        if credential.tls:
            bounded.begin_tls(credential.host, tls_context(), operation)
        else:
            bounded.begin_without_tls(operation)
        client = _log_in_through(bounded, credential)
    except (pytds.Error, OSError, UnexpectedRedirect, AnswerTooLong, *UNREADABLE_ANSWER) as error:
        connected.close()
        raise login_failure(error, operation) from None
    except BaseException:
        connected.close()
        raise
    return bounded, client


def _log_in_through(bounded: BoundedSocket, credential: Credential) -> Any:  # noqa: ANN401 - python-tds has no types
    client = pytds.connect(
        dsn=credential.host,
        port=credential.port,
        database=credential.database,
        user=credential.username,
        password=credential.password,
        autocommit=True,
        appname="secret-rotation",
        sock=bounded,
        # python-tds would try again after errors that it does not know, a disabled login among them. With no time for
        # that it raises TimeoutError, with the error as its cause. The login ends by our deadline.
        login_timeout=0,
    )
    bounded.is_logged_in = True
    return client


def _bound(argument: object) -> object:
    """Return an argument as python-tds binds it."""
    return pytds.Binary(argument) if isinstance(argument, bytes) else argument


def _fetch(cursor: Any) -> Rows:  # noqa: ANN401 - python-tds has no types
    """Return the rows of a result; raises AnswerTooLong."""
    rows: Rows = []
    most_rows = ANSWER_VALUES // len(cursor.description)
    while (row := cursor.fetchone()) is not None:
        if len(rows) == most_rows:
            raise AnswerTooLong
        rows.append(row)
    return rows


@dataclass(frozen=True)
class ServerError:
    """An error as python-tds reports it."""

    number: int
    """The server's number; 0 for an error of the client's own."""
    cause: str

    @classmethod
    def read(cls, error: Exception) -> Self:
        """Read an error, without texts that quote a statement."""
        number = getattr(error, "number", 0)
        number = number if isinstance(number, int) else 0
        if isinstance(error, TimeoutError):
            cause = "the server gave no answer in time"
        elif isinstance(error, OSError):
            cause = said(error.strerror or str(error))
        elif number in SYNTAX_ERRORS:
            cause = "the statement has a syntax error"
        else:
            cause = said(str(error.args[0]) if error.args else "")
        return cls(number, cause)


def login_failure(error: Exception, operation: str) -> DatabaseError:
    """Return what it means that a login failed."""
    if isinstance(error, TimeoutError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    if isinstance(error, UnexpectedRedirect):
        cause = "the server redirects the login to another server, or its answer makes no sense"
        return LoginBlocked(operation, cause, NO_REDIRECT)
    if isinstance(error, (AnswerTooLong, *UNREADABLE_ANSWER)):
        cause = f"this is no SQL Server, or no login of one ({type(error).__name__})"
        return LoginBlocked(operation, cause, NO_SQL_SERVER)
    server_error = ServerError.read(error)
    if not server_error.number:
        return Unreachable(operation, server_error.cause or "no answer", NO_ANSWER)
    number = NO_DATABASE if _has_right_password(error, server_error.number) else server_error.number
    kind, remedy = problem(LOGIN_PROBLEMS, number, (LoginBlocked, CORRECT_CAUSE))
    return kind(operation, f"{server_error.cause} (error {number})", remedy)


def _has_right_password(error: Exception, number: int) -> bool:
    """Tell whether a failed login is the last of several messages: then the first one says what else was wrong."""
    return number == WRONG_LOGIN and bool(error.args) and str(error.args[0]) != getattr(error, "text", "")


def statement_failure(error: Exception, operation: str, remedy: str, username: str) -> DatabaseError:
    """Return what it means that a statement failed; `remedy` is what to do if `username` lacks a right."""
    if isinstance(error, AnswerTooLong):
        return StatementFailed(operation, "the answer is longer than a function has room for", LESS)
    if isinstance(error, UNREADABLE_ANSWER):
        return StatementFailed(operation, f"the answer makes no sense ({type(error).__name__})", RETRIED)
    server_error = ServerError.read(error)
    if not server_error.number:
        return Unreachable(operation, server_error.cause or "the connection was lost", NO_ANSWER)
    otherwise: Problem = (StatementFailed, CORRECT_CAUSE)
    kind, remedy = problem(STATEMENT_PROBLEMS, server_error.number, otherwise, remedy or lacks_right(username))
    return kind(operation, f"{server_error.cause} (error {server_error.number})", remedy)
