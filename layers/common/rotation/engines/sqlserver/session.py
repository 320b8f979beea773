"""SQL Server, Amazon RDS for SQL Server, and RDS Custom for SQL Server (versions 2016 to 2025)."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytds  # type: ignore[import-untyped]  # annotated, but not marked so (PEP 561)

from rotation.credential import Credential
from rotation.deadline import Deadline
from rotation.engine import CloneStatus, Proof
from rotation.engines.driver import STATEMENT_SECONDS
from rotation.engines.sqlserver import catalog
from rotation.engines.sqlserver.accounts import BY_SERVER, Account
from rotation.engines.sqlserver.connection import ANSWER_BYTES, LESS, NONSENSE, failure, kept, open_connection
from rotation.engines.sqlserver.contained_pair import ContainedPair, is_contained
from rotation.engines.sqlserver.login_pair import LoginPair
from rotation.engines.sqlserver.pair import Arguments, Pair
from rotation.engines.sqlserver.rights import name, text
from rotation.engines.sqlserver.wire import TooMuch, Way
from rotation.errors import RETRIED, StatementFailed, Unsafe
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

    @contextmanager
    def connect(self, credential: Credential, deadline: Deadline) -> Iterator["SQLServerSession"]:
        """Log in; see `rotation.engine.Engine.connect`."""
        way, connection = open_connection(credential, deadline, f"logging in as {credential} to {credential.database}")
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
        operation = f"changing the password of {self.username}"
        kind = "LOGIN" if self._who().database == BY_SERVER else "USER"
        # The password that logged in, whatever the secret says is current.
        statement = (
            f"ALTER {kind} {name(self.username)} WITH PASSWORD = {text(password)} OLD_PASSWORD = {text(current)}"
        )
        self.execute(operation, statement)
        self._credential = replace(self._credential, password=password)

    def clone_status(self, user: str, other: str) -> CloneStatus:
        """Tell what is known about the pair; see `rotation.engine.Session`."""
        return self._pair(user, other).clone_status()

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
            operation = f"running statement {number} of verify"
            if not _can_be_undone(statement):
                remedy = f"Begin it with one of {', '.join(READING)}, and leave {', '.join(sorted(LASTING))} out"
                raise StatementFailed(operation, "it could not be rolled back", remedy)
            self.execute(operation, statement)
        self.execute("rolling back", "ROLLBACK TRANSACTION")

    def execute(
        self, operation: str, statement: str, arguments: Arguments = (), remedy: str = ""
    ) -> list[tuple[Any, ...]]:
        """Run one statement, for the deadline at most, and return the rows of its first result.

        Raises a DatabaseError; `remedy` is what to do where the user may not.
        """
        doing_as = f"{operation} as {self.username}"
        self._way.allow(self._deadline.allow(STATEMENT_SECONDS, operation), ANSWER_BYTES)
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(statement, tuple(map(_bound, arguments)) or None)
                rows = kept(cursor) if cursor.description else []
                while cursor.nextset():
                    pass
                return rows
        except (pytds.Error, OSError) as error:
            raise failure(error, doing_as, remedy) from None
        except TooMuch:
            raise StatementFailed(doing_as, "the answer is longer than a function has room for", LESS) from None
        except NONSENSE as error:
            cause = f"the answer makes no sense ({type(error).__name__})"
            raise StatementFailed(doing_as, cause, RETRIED) from None

    @contextmanager
    def transaction(self, operation: str) -> Iterator[None]:
        """Have what is done in the block done whole; an error in it ends the session, and so the transaction."""
        self.execute(operation, "BEGIN TRANSACTION")
        yield
        self.execute(operation, "COMMIT TRANSACTION")

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
