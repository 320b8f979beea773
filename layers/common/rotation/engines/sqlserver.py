"""SQL Server, Amazon RDS for SQL Server, and RDS Custom for SQL Server (versions 2016 to 2025)."""

import logging
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytds  # type: ignore[import-untyped]  # annotated, but not marked so (PEP 561)

from rotation.credential import Credential
from rotation.deadline import Deadline
from rotation.engine import Proof, Standing
from rotation.engines import sqlserver_catalog as catalog
from rotation.engines.server import (
    CONNECT_SECONDS,
    NO_ANSWER,
    POLICY,
    RETRIED,
    STATEMENT_SECONDS,
    WRONG_PASSWORD,
    one_line,
    open_way,
    tls_context,
)
from rotation.engines.sqlserver_accounts import BY_SERVER, Account
from rotation.engines.sqlserver_contained_pair import ContainedPair, is_contained
from rotation.engines.sqlserver_login_pair import LoginPair
from rotation.engines.sqlserver_pair import Arguments, Pair
from rotation.engines.sqlserver_rights import name, text
from rotation.engines.sqlserver_way import Astray, Way
from rotation.errors import (
    DatabaseError,
    LoginBlocked,
    LoginRefused,
    NotPermitted,
    PasswordRefused,
    StatementFailed,
    Unreachable,
    Unsafe,
    Unsupported,
)
from rotation.kind import EngineKind, Strategy

EDITIONS = ("ee", "se", "ex", "web", "dev-ee", "dev-se")
CUSTOM_EDITIONS = ("ee", "se", "web", "dev")

KIND = EngineKind(
    name="SQL Server",
    engine_values=frozenset({
        "sqlserver",
        *(f"sqlserver-{edition}" for edition in EDITIONS),
        *(f"custom-sqlserver-{edition}" for edition in CUSTOM_EDITIONS),
    }),
    default_port=1433,
    default_database="master",
    username_limit=128,
    # With the server's usual collation; where another one tells them apart, this is too careful.
    normal_name=str.lower,
    # https://learn.microsoft.com/en-us/sql/t-sql/statements/create-login-transact-sql: "cannot exceed 128 characters",
    # "cannot contain single quotes".
    password_limit=128,
    unusable_in_passwords="'",
    strategies=frozenset({Strategy.SINGLE_USER, Strategy.ALTERNATING_USERS}),
)  # fmt: skip

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

SYNTAX_ERRORS = frozenset({102, 103, 105, 132, 156, 319})
"""Their texts are made of the statement."""

READING = ("SELECT", "WITH", "INSERT", "UPDATE", "DELETE", "MERGE")
"""What a statement of verify may begin with: all of it is undone with the transaction."""
LASTING = frozenset(
    {
        "COMMIT",
        "ROLLBACK",
        "EXEC",
        "EXECUTE",
        "KILL",
        "SHUTDOWN",
        "RECONFIGURE",
        "BACKUP",
        "RESTORE",
        "DBCC",
    }
)
"""What ends the transaction, may hide what does, or does not care for it: keywords, of which the server needs no
semicolon between two statements."""
WORD = re.compile(
    r"--[^\r\n]*|/\*.*?\*/|[\s(;]+|(?P<word>\w+)|'(?:[^']|'')*'|\[(?:[^\]]|\]\])*\]|\"(?:[^\"]|\"\")*\"|.", re.DOTALL
)
"""A word, where it is none of a text, a quoted name or a comment. A comment within a comment is not looked for: there,
a word too many is refused."""
BLANK = ("--", "/*", " ", "\t", "\r", "\n", "(", ";")


class SQLServer:
    """The engine; implements `rotation.engine.Engine`."""

    kind = KIND
    clone_sees_rights = False

    @contextmanager
    def connect(self, credential: Credential, deadline: Deadline) -> Iterator["SQLServerSession"]:
        """Log in; see `rotation.engine.Engine.connect`."""
        way, connection = _open(credential, deadline, f"logging in as {credential} to {credential.database}")
        try:
            yield SQLServerSession(way, connection, credential, deadline)
        finally:
            connection.close()


class SQLServerSession:
    """One connection; implements `rotation.engine.Session`.

    Each statement is committed at once, but for those of `transaction`. Passwords are sent in clear, inside of TLS, as
    statements of their own: the server hides these in its traces, which it does not do with the parameters of a call.
    Hashes it does not take from users whose passwords it is to check, and not for routine at all
    (https://learn.microsoft.com/en-us/sql/t-sql/statements/alter-login-transact-sql, HASHED).
    """

    def __init__(self, way: Way, connection: Any, credential: Credential, deadline: Deadline) -> None:  # noqa: ANN401 - python-tds has no types
        self._way = way
        self._connection = connection
        self._credential = credential
        self._deadline = deadline
        self._accounts: dict[str, Account] = {}
        """Which account is meant by a name, where that is known."""
        milliseconds = int(900 * deadline.allow(STATEMENT_SECONDS, "beginning"))
        self.execute("beginning", f"SET LOCK_TIMEOUT {milliseconds}")

    def proof(self) -> Proof:
        """Return who is logged in; see `rotation.engine.Session`."""
        return Proof(self.username, self._credential.password, str(self._who()))

    def require_proven(self, proof: Proof) -> None:
        """Bind this session, an admin's, to an account; see `rotation.engine.Session`."""
        account = Account.parse(proof.principal)
        if account == self._who():
            cause = f"{proof.username} is the admin itself, {self.username}"
            raise Unsafe(f"looking for {proof.username}", cause, "Put a user of the application into the secret")
        self.bind(proof.username, account)
        self._pair(proof.username, proof.username).require_bound()

    def change_own_password(self, password: str) -> None:
        """Give the user who is logged in this password; see `rotation.engine.Session`."""
        current = self._credential.password
        if password == current:  # a history of passwords would refuse it
            return
        doing = f"changing the password of {self.username}"
        kind = "LOGIN" if self._who().database == BY_SERVER else "USER"
        # The password that logged in, whatever the secret says is current.
        statement = (
            f"ALTER {kind} {name(self.username)} WITH PASSWORD = {text(password)} OLD_PASSWORD = {text(current)}"
        )
        self.execute(doing, statement)
        self._credential = replace(self._credential, password=password)

    def standing(self, user: str, other: str) -> Standing:
        """Tell what is known about the pair; see `rotation.engine.Session`."""
        return self._pair(user, other).standing()

    def mirror(self, user: str, other: str) -> None:
        """Make `other` what `user` is; see `rotation.engine.Session`."""
        self._pair(user, other).mirror()

    def set_password(self, username: str, password: str) -> None:
        """Give another user this password; see `rotation.engine.Session`."""
        self._pair(username, username).set_password(password)

    def reset_password(self, username: str, password: str) -> None:
        """Give another user this password; see `rotation.engine.Session`."""
        self._pair(username, username).reset_password(password)

    def differences(self, user: str, other: str) -> Sequence[str]:
        """Say in what the two differ; see `rotation.engine.Session`."""
        return self._pair(user, other).differences()

    def verify(self, statements: Sequence[str]) -> None:
        """Run the statements, and roll everything back; see `rotation.engine.Session`.

        A transaction can be ended by any statement in it. So those that might are not run at all.
        """
        if not statements:
            return
        self.execute("preparing to verify", "BEGIN TRANSACTION")
        for number, statement in enumerate(statements, 1):
            doing = f"running statement {number} of verify"
            if not _can_be_undone(statement):
                remedy = f"Begin it with one of {', '.join(READING)}, and leave {', '.join(sorted(LASTING))} out"
                raise StatementFailed(doing, "it could not be rolled back", remedy)
            self.execute(doing, statement)
        self.execute("rolling back", "ROLLBACK TRANSACTION")

    def execute(self, doing: str, statement: str, arguments: Arguments = (), remedy: str = "") -> list[tuple[Any, ...]]:
        """Run one statement, for the deadline at most, and return the rows of its first result.

        Raises a DatabaseError; `remedy` is what to do where the user may not.
        """
        self._way.allow(self._deadline.allow(STATEMENT_SECONDS, doing))
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(statement, tuple(map(_bound, arguments)) or None)
                rows = cursor.fetchall() if cursor.description else []
                while cursor.nextset():
                    pass
                return list(rows)
        except (pytds.Error, OSError) as error:
            raise _failure(error, f"{doing} as {self.username}", remedy) from None

    @contextmanager
    def transaction(self, doing: str) -> Iterator[None]:
        """Have what is done in the block done whole; an error in it ends the session, and so the transaction."""
        self.execute(doing, "BEGIN TRANSACTION")
        yield
        self.execute(doing, "COMMIT TRANSACTION")

    def account(self, username: str) -> Account | None:
        """Return which account is meant by this name, if that is known."""
        return self._accounts.get(username)

    def bind(self, username: str, account: Account) -> None:
        """Have this account meant by the name, until the session ends."""
        self._accounts[username] = account

    def _pair(self, user: str, other: str) -> Pair:
        """Return a pair of what `user` is: what it logged in as, if that is known.

        Else, if the database has a contained user of that name, it is not the login
        (https://learn.microsoft.com/en-us/sql/relational-databases/databases/security-best-practices-with-contained-databases).
        """
        account = self.account(user)
        of_database = account.database != BY_SERVER if account else is_contained(self, user)
        return (ContainedPair if of_database else LoginPair)(self, user, other)

    def _who(self) -> Account:
        rows = self.execute(f"asking the server who {self.username} is", catalog.WHO)
        return Account.of_session(rows, self.username)

    @property
    def username(self) -> str:
        """Who is logged in."""
        return self._credential.username

    @property
    def database(self) -> str:
        """Where."""
        return self._credential.database or "master"


def _bound(argument: object) -> object:
    """Return an argument as python-tds binds it."""
    return pytds.Binary(argument) if isinstance(argument, bytes) else argument


def _can_be_undone(statement: str) -> bool:
    """Tell whether a transaction can take back all that a statement does; what is not understood cannot."""
    tokens = [match for match in WORD.finditer(statement) if not match[0].startswith(BLANK)]
    words = [(match["word"] or "").upper() for match in tokens]
    return bool(words) and words[0] in READING and not LASTING.intersection(words)


def _open(credential: Credential, deadline: Deadline, doing: str) -> tuple[Way, Any]:
    """Connect and log in, once: python-tds would try a disabled login again and again."""
    if max(f"{credential.username}{credential.password}{credential.database}") > "\uffff":
        cause = "a character beyond U+FFFF is in the user, the password or the database: python-tds cannot send it"
        raise Unsupported(doing, cause, "Take it out of the secret and of the server")
    socket = open_way(credential, deadline, doing)
    way = Way(socket)
    try:
        way.allow(deadline.allow(CONNECT_SECONDS, doing))
        if credential.tls:
            way.begin_tls(credential.host, tls_context(), doing)
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
    except (pytds.Error, OSError, Astray, ValueError, LookupError, struct.error) as error:
        socket.close()
        raise _login_failure(error, doing) from None
    except BaseException:
        socket.close()
        raise
    return way, connection


def _login_failure(error: Exception, doing: str) -> DatabaseError:
    if isinstance(error, TimeoutError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    if isinstance(error, Astray):
        remedy = 'Name the server itself in "host", not one that hands connections on'
        return LoginBlocked(doing, "the answer to the login makes no sense, or sends the function elsewhere", remedy)
    if isinstance(error, (ValueError, LookupError, struct.error)):
        remedy = 'Correct "host", "port", "username" and "password" in the secret'
        return LoginBlocked(doing, f"this is no SQL Server, or no login ({type(error).__name__})", remedy)
    number, cause = _number(error), _text(error)
    if number == 18456 and len(error.args) and str(error.args[0]) != getattr(error, "text", ""):  # noqa: PLR2004 - the server's number
        # It is the last of several messages: the password was right, and what comes before says what was wrong.
        number = 4060
    if number:
        problem, remedy = LOGIN_PROBLEMS.get(number, (LoginBlocked, f"Correct the cause. {RETRIED}"))
        return problem(doing, f"{cause} (error {number})", remedy)
    if "encryption" in cause and type(error) is pytds.Error:
        return LoginBlocked(doing, cause, 'Take "ssl": false out of the secret: the server wants TLS')
    return Unreachable(doing, cause or "no answer", NO_ANSWER)


def _failure(error: Exception, doing: str, remedy: str) -> DatabaseError:
    number, cause = _number(error), _text(error)
    if not number:
        return Unreachable(doing, cause or "the connection was lost", NO_ANSWER)
    problem, usual = STATEMENT_PROBLEMS.get(number, (StatementFailed, f"Correct the cause. {RETRIED}"))
    if number in FORBIDDEN:
        problem, usual = NotPermitted, remedy or "Grant the user what it lacks"
    return problem(doing, f"{cause} (error {number})", usual)


def _number(error: Exception) -> int:
    """Return the server's number; the client's own errors have none."""
    number = getattr(error, "number", 0)
    return number if isinstance(number, int) else 0


def _text(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "the server gave no answer in time"
    if isinstance(error, OSError):
        return one_line(error.strerror or str(error))
    if _number(error) in SYNTAX_ERRORS:
        return "the server does not understand the statement"
    return one_line(str(error.args[0]) if error.args else "")
