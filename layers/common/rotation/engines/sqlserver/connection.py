"""How is an SQL Server reached, and what do its refusals mean?"""

import logging
import struct
from collections.abc import Mapping
from typing import Any

import pytds  # type: ignore[import-untyped]  # annotated, but not marked so (PEP 561)

from rotation.credential import Credential
from rotation.deadline import Deadline
from rotation.engines.driver import CONNECT_SECONDS, NO_ANSWER, POLICY, WRONG_PASSWORD
from rotation.engines.network import open_socket, tls_context
from rotation.engines.sqlserver.wire import LOGIN_BYTES, Astray, TooMuch, Way
from rotation.errors import (
    RETRIED,
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

# python-tds logs the beginning of every statement, at the level INFO: what changes a password has it there.
logging.getLogger("pytds").disabled = True
for _module in ("tds_socket", "tls", "login", "smp"):
    logging.getLogger(f"pytds.{_module}").disabled = True

WRONG_DATABASE = 'Correct "dbname" in the secret, or make the user a user of that database'
UNLOCK = "Unlock the login (ALTER LOGIN … WITH PASSWORD = … UNLOCK), and find out what locked it"
EXPIRED = "Give the login a new password by hand (ALTER LOGIN … WITH PASSWORD = …): it has expired, or must be changed"
READ_ONLY = 'The database is read-only, or a replica: name the primary in "host", or an admin in "masterarn"'
TAKEN = "Rename or drop that user in the database: it has the name of the clone, and belongs to another login"

LOGIN_PROBLEMS: Mapping[int, tuple[type[DatabaseError], str]] = {
    18456: (LoginRefused, WRONG_PASSWORD),
    4060: (LoginBlocked, WRONG_DATABASE),
    4063: (LoginBlocked, WRONG_DATABASE),
    4064: (LoginBlocked, WRONG_DATABASE),  # the default database of the login
    916: (LoginBlocked, WRONG_DATABASE),
    18452: (LoginBlocked, "Let the server authenticate by itself, too (mixed mode), not by Windows only"),
    18470: (LoginBlocked, "Enable the login (ALTER LOGIN … ENABLE), and find out who disabled it"),
    18486: (LoginBlocked, UNLOCK),
    18487: (LoginBlocked, EXPIRED),
    18488: (LoginBlocked, EXPIRED),
    17892: (LoginBlocked, "Look at the server's logon triggers: one of them refuses the function"),
    17809: (LoginBlocked, "Raise the server's limit of user connections, or close some"),
    18401: (LoginBlocked, f"Wait for the server's upgrade to end. {RETRIED}"),
    18461: (LoginBlocked, f"Wait for the server to leave single-user mode. {RETRIED}"),
}
"""What a refused login means
(https://learn.microsoft.com/en-us/sql/relational-databases/errors-events/database-engine-events-and-errors). A wrong
password, an unknown login and a wrong authentication mode are all 18456: the server tells the difference to its own
log only (…/mssqlserver-18456-database-engine-error)."""

FORBIDDEN = frozenset({229, 230, 262, 297, 300, 916, 2760, 4613, 15151, 15165, 15247, 15562})
"""A statement that the user may not run. 15151 is also the answer where there is no such thing: the server does not
tell the two apart."""

STATEMENT_PROBLEMS: Mapping[int, tuple[type[DatabaseError], str]] = {
    3906: (NotPermitted, READ_ONLY),
    15114: (StatementFailed, f"Rotate less often than the server's minimum age of passwords, or lower that. {RETRIED}"),
    **dict.fromkeys(range(15115, 15120), (PasswordRefused, POLICY)),
    1222: (StatementFailed, f"Look who holds the lock. {RETRIED}"),
    1205: (StatementFailed, RETRIED),  # the victim of a deadlock
    15025: (StatementFailed, RETRIED),  # another delivery of this step has just created it
    15023: (StatementFailed, TAKEN),
    15433: (StatementFailed, "Drop the login that has this SID: it is the clone, under another name"),
}

ANSWER_BYTES, ANSWER_CELLS = 4 * 1024 * 1024, 250_000
"""How long the answer to a statement may be, and how many values are kept of it. A function has 256 MB, and python-tds
makes up to 25 bytes of one. That is room for 30,000 permissions of a pair in one database."""
LESS = "Ask for less: TOP (1) in a statement of verify, permissions on schemas or roles in place of single things"
NONSENSE = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError, struct.error)
"""What python-tds raises of an answer that it does not understand."""

SYNTAX_ERRORS = frozenset({102, 103, 105, 132, 156, 319})
"""Their texts are made of the statement."""


def open_connection(credential: Credential, deadline: Deadline, operation: str) -> tuple[Way, Any]:
    """Connect and log in, once: python-tds would try a disabled login again and again."""
    if max(f"{credential.username}{credential.password}{credential.database}") > "\uffff":
        cause = "a character beyond U+FFFF is in the user, the password or the database: python-tds cannot send it"
        raise Unsupported(operation, cause, "Take it out of the secret and of the server")
    socket = open_socket(credential, deadline, operation)
    way = Way(socket)
    try:
        way.allow(deadline.allow(CONNECT_SECONDS, operation), LOGIN_BYTES)
        if credential.tls:
            way.begin_tls(credential.host, tls_context(), operation)
        else:
            way.greet_in_clear(operation)
        connection = pytds.connect(
            dsn=credential.host,
            port=credential.port,
            database=credential.database,
            user=credential.username,
            password=credential.password,
            autocommit=True,
            appname="secret-rotation",
            sock=way,
            # It ends by our deadline; an error that python-tds would try again becomes the cause of its TimeoutError.
            login_timeout=0,
        )
        way.is_logged_in = True
    except (pytds.Error, OSError, Astray, TooMuch, *NONSENSE) as error:
        socket.close()
        raise _login_failure(error, operation) from None
    except BaseException:
        socket.close()
        raise
    return way, connection


def kept(cursor: Any) -> list[tuple[Any, ...]]:  # noqa: ANN401 - python-tds has no types
    """Return the rows of a result; raises TooMuch."""
    rows: list[tuple[Any, ...]] = []
    most = ANSWER_CELLS // len(cursor.description)
    while (row := cursor.fetchone()) is not None:
        if len(rows) == most:
            raise TooMuch
        rows.append(row)
    return rows


def _login_failure(error: Exception, operation: str) -> DatabaseError:
    if isinstance(error, TimeoutError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    if isinstance(error, Astray):
        remedy = 'Name the server itself in "host", not one that hands connections on'
        return LoginBlocked(
            operation, "the answer to the login makes no sense, or sends the function elsewhere", remedy
        )
    if isinstance(error, (TooMuch, *NONSENSE)):
        remedy = 'Correct "host", "port", "username" and "password" in the secret'
        return LoginBlocked(operation, f"this is no SQL Server, or no login ({type(error).__name__})", remedy)
    number, cause = _number(error), _text(error)
    if number == 18456 and len(error.args) and str(error.args[0]) != getattr(error, "text", ""):  # noqa: PLR2004 - the server's number
        # It is the last of several messages: the password was right, and what comes before says what was wrong.
        number = 4060
    if number:
        problem, remedy = LOGIN_PROBLEMS.get(number, (LoginBlocked, f"Correct the cause. {RETRIED}"))
        return problem(operation, f"{cause} (error {number})", remedy)
    return Unreachable(operation, cause or "no answer", NO_ANSWER)


def failure(error: Exception, operation: str, remedy: str) -> DatabaseError:
    """Return what it means that a statement failed; `remedy` is what to do where the user may not."""
    number, cause = _number(error), _text(error)
    if not number:
        return Unreachable(operation, cause or "the connection was lost", NO_ANSWER)
    problem, usual = STATEMENT_PROBLEMS.get(number, (StatementFailed, f"Correct the cause. {RETRIED}"))
    if number in FORBIDDEN:
        problem, usual = NotPermitted, remedy or "Grant the user what it lacks"
    return problem(operation, f"{cause} (error {number})", usual)


def _number(error: Exception) -> int:
    """Return the server's number; the client's own errors have none."""
    number = getattr(error, "number", 0)
    return number if isinstance(number, int) else 0


def _text(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "the server gave no answer in time"
    if isinstance(error, OSError):
        return said(error.strerror or str(error))
    if _number(error) in SYNTAX_ERRORS:
        return "the server does not understand the statement"
    return said(str(error.args[0]) if error.args else "")
