"""What do the answers of an SQL Server mean, and what can be done about them?

An answer is recognised by its number, because servers say the rest in many languages. docs/answers/sql-server.md lists
them all; Microsoft's list is
https://learn.microsoft.com/en-us/sql/relational-databases/errors-events/database-engine-events-and-errors.
"""

import struct
from collections.abc import Mapping
from typing import Self

from rotation.credential import Credential
from rotation.engines.driver import (
    BUSY,
    CORRECT_CAUSE,
    EXPIRED,
    NO_ANSWER,
    NO_REDIRECT,
    POLICY,
    REPLICA,
    STARTING,
    TOO_MANY,
    WRONG_DATABASE,
    Problem,
    find_lock_holder,
    lacks_right,
    problem,
)
from rotation.engines.sqlserver.rights import identifier
from rotation.engines.sqlserver.wire import (
    REQUIRES_TLS,
    AnswerTooLong,
    UnexpectedRedirect,
    error_numbers,
)
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
)
from rotation.redaction import said
from rotation.values import dataclass

# In remedies of this module, {login} and {database} stand for the quoted names of the login.

NO_USER = f"{WRONG_DATABASE} (CREATE USER {{login}} FOR LOGIN {{login}}, in the database)"
NO_DEFAULT = "ALTER LOGIN {login} WITH DEFAULT_DATABASE = [master]"
NEW_PASSWORD = f"{EXPIRED} (ALTER LOGIN {{login}} WITH PASSWORD = '***')"
DISABLED = "ALTER LOGIN {login} ENABLE, and find out who disabled it"
UNLOCK = "ALTER LOGIN {login} WITH PASSWORD = '***' UNLOCK, and find out what locked it"
WINDOWS_ONLY = "Switch the server to mixed authentication: it accepts logins of Windows only"
TRIGGER = "Check the server's logon triggers (sys.server_triggers): one of them refuses the function"
UPGRADING = f"Wait until the upgrade of the server has ended. {RETRIED}"
SINGLE_USER = f"Wait until the server has left single-user mode. {RETRIED}"
MULTI_USER = "ALTER DATABASE {database} SET MULTI_USER"
RECOVER = "Run RESTORE DATABASE {database} WITH RECOVERY, unless it is the copy of a database on another server"
ONLINE = "ALTER DATABASE {database} SET ONLINE (on RDS: EXEC rdsadmin.dbo.rds_set_database_online {database})"
REPAIR = "Repair the database, or restore it from a backup: the server cannot open its files"
NO_SQL_SERVER = 'Correct "host", "port", "username" and "password" in the secret'
TAKEN = "Rename or drop that user in the database: it has the name of the clone, and belongs to another login"
READ_ONLY = (
    "ALTER DATABASE … SET READ_WRITE until a rotation has ended; or, if this host is a replica, name the primary in"
    ' "host", or an admin in "masterarn"'
)
LOCKED = find_lock_holder("sys.dm_tran_locks")
LESS = "Ask for less: TOP (1) in a statement of verify, permissions on schemas or roles instead of single objects"
YOUNG = f"Lower the server's minimum password age, or rotate less often. {RETRIED}"
FULL_LOG = "Make room in the transaction log of the database (sys.databases, log_reuse_wait_desc)"
BY_ADMIN = 'Name an admin in "masterarn", who sets the password'

LOGIN_PROBLEMS: Mapping[int, Problem] = {
    18456: (LoginRefused, WRONG_PASSWORD),
    701: (LoginBlocked, BUSY),
    916: (LoginBlocked, NO_USER),
    921: (LoginBlocked, STARTING),
    922: (LoginBlocked, STARTING),
    923: (LoginBlocked, MULTI_USER),
    924: (LoginBlocked, MULTI_USER),
    926: (LoginBlocked, REPAIR),
    927: (LoginBlocked, RECOVER),
    942: (LoginBlocked, ONLINE),
    945: (LoginBlocked, REPAIR),
    952: (LoginBlocked, STARTING),
    954: (LoginBlocked, REPLICA),
    955: (LoginBlocked, STARTING),
    956: (LoginBlocked, STARTING),
    976: (LoginBlocked, REPLICA),
    978: (LoginBlocked, REPLICA),
    979: (LoginBlocked, REPLICA),
    983: (LoginBlocked, REPLICA),
    988: (LoginBlocked, STARTING),
    4060: (LoginBlocked, NO_USER),
    4063: (LoginBlocked, NO_USER),
    4064: (LoginBlocked, NO_DEFAULT),
    6005: (LoginBlocked, STARTING),
    17142: (LoginBlocked, STARTING),
    17187: (LoginBlocked, STARTING),
    17188: (LoginBlocked, STARTING),
    17189: (LoginBlocked, BUSY),
    17197: (LoginBlocked, BUSY),
    17300: (LoginBlocked, TOO_MANY),
    17803: (LoginBlocked, BUSY),
    17809: (LoginBlocked, TOO_MANY),
    17835: (LoginBlocked, REQUIRES_TLS),
    17892: (LoginBlocked, TRIGGER),
    18401: (LoginBlocked, UPGRADING),
    18451: (LoginBlocked, UPGRADING),
    18452: (LoginBlocked, WINDOWS_ONLY),
    18458: (LoginBlocked, TOO_MANY),
    18459: (LoginBlocked, TOO_MANY),
    18460: (LoginBlocked, TOO_MANY),
    18461: (LoginBlocked, SINGLE_USER),
    18470: (LoginBlocked, DISABLED),
    18486: (LoginBlocked, UNLOCK),
    18487: (LoginBlocked, NEW_PASSWORD),
    18488: (LoginBlocked, NEW_PASSWORD),
}
"""What a refused login means. A wrong password, an unknown login and a wrong authentication mode are all 18456: the
server writes the difference to its own log only (…/mssqlserver-18456-database-engine-error)."""

WRONG_LOGIN = 18456
"""Also the last of several messages. Then the first one says what else was wrong, and the password was right."""

EXPIRED_PASSWORDS = frozenset({18487, 18488})
"""The password has expired, or must be changed. The server says so only to the right password: Windows, whose policy it
asks, compares the password first (https://learn.microsoft.com/en-us/openspecs/windows_protocols/ms-samr/6f716311-e64a-4d83-b00a-8d74fb9b9fd4).
Only logins expire, and no contained user (https://learn.microsoft.com/en-us/sql/relational-databases/databases/security-best-practices-with-contained-databases)."""

CHANGE_PROBLEMS: Mapping[int, Problem] = {
    18462: (StatementFailed, YOUNG),
    **dict.fromkeys(range(18463, 18468), (PasswordRefused, POLICY)),
    18468: (StatementFailed, RETRIED),
    18471: (NotPermitted, BY_ADMIN),
    40620: (NotPermitted, BY_ADMIN),
    **dict.fromkeys(EXPIRED_PASSWORDS, (NotPermitted, BY_ADMIN)),
}
"""What it means if a login that was to change the password is refused; other numbers mean what they mean at a login. An
expired password means that the server has not changed it."""

STATEMENT_PROBLEMS: Mapping[int, Problem] = {
    # 15151 is also the answer if there is no such thing: the server does not tell the two apart.
    **dict.fromkeys((229, 230, 262, 297, 300, 916, 2760, 4613, 15151, 15165, 15247, 15562), (NotPermitted, "")),
    596: (StatementFailed, RETRIED),
    701: (StatementFailed, BUSY),
    976: (NotPermitted, REPLICA),
    978: (NotPermitted, REPLICA),
    1204: (StatementFailed, BUSY),
    1205: (StatementFailed, RETRIED),  # the victim of a deadlock
    1222: (StatementFailed, LOCKED),
    3906: (NotPermitted, READ_ONLY),
    3960: (StatementFailed, RETRIED),
    6005: (StatementFailed, STARTING),
    8645: (StatementFailed, BUSY),
    9002: (StatementFailed, FULL_LOG),
    15023: (StatementFailed, TAKEN),
    15025: (StatementFailed, RETRIED),  # another invocation of this step has just created it
    15114: (StatementFailed, YOUNG),
    **dict.fromkeys(range(15115, 15120), (PasswordRefused, POLICY)),
    15120: (StatementFailed, RETRIED),
    15433: (StatementFailed, "Drop the login that has this SID: it is the clone, under another name"),
}
"""What a refused statement means."""

SYNTAX_ERRORS = frozenset({102, 103, 105, 132, 156, 319})
"""Errors whose texts quote the statement."""

UNREADABLE_ANSWER = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)
"""What python-tds raises if it does not understand an answer."""


@dataclass(frozen=True)
class ServerError:
    """An error as python-tds reports it."""

    number: int
    """The server's number; 0 for an error of the client's own."""
    cause: str
    reason: int = 0
    """The number of the message that says why: of several that end a login, the last one does not."""

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
        return cls(number, cause, next((one for one in error_numbers(error) if one != WRONG_LOGIN), number))


class ExpiredPassword(Exception):
    """The server says that the password is right, and has expired."""

    def __init__(self, failure: DatabaseError) -> None:
        """Take what it means if nobody renews it."""
        super().__init__(failure)
        self.failure = failure


def login_failure(
    error: Exception, credential: Credential, operation: str, *, is_change: bool = False
) -> DatabaseError:
    """Return what it means that a login failed; `is_change` tells whether it was to change the password.

    Raises ExpiredPassword if the password is right.
    """
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
    table = {**LOGIN_PROBLEMS, **CHANGE_PROBLEMS} if is_change else LOGIN_PROBLEMS
    kind, remedy = problem(table, server_error.reason, (LoginBlocked, CORRECT_CAUSE))
    for name, text in {"login": credential.username, "database": credential.database or "master"}.items():
        remedy = remedy.replace(f"{{{name}}}", identifier(text))
    failure = kind(operation, f"{server_error.cause} (error {server_error.reason})", remedy)
    if server_error.reason in EXPIRED_PASSWORDS and not is_change:
        raise ExpiredPassword(failure) from None
    return failure


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
