"""How is one connection to PostgreSQL opened, and what do its errors mean?"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace

import psycopg2
from psycopg2 import extensions, sql
from psycopg2.sql import SQL, Literal

from rotation.credential import Credential
from rotation.deadline import Deadline
from rotation.engines.driver import CONNECT_SECONDS, STATEMENT_SECONDS, ExpectedError, Problem
from rotation.engines.network import open_socket
from rotation.engines.other_engine import login_seconds, name_engine
from rotation.engines.postgresql import catalog
from rotation.engines.postgresql.kind import KIND
from rotation.engines.postgresql.problems import (
    LOCK_CODES,
    answer_at_the_end,
    cause,
    changed_meanwhile,
    lock_failure,
    login_failure,
    statement_failure,
)
from rotation.engines.postgresql.questions import Arguments, Question, Rows, joined, rows
from rotation.engines.postgresql.wire import METHODS, SCRAM, BoundedSocket, ServerError, connect, wait
from rotation.errors import LoginBlocked, NotPermitted, RotationError, StatementFailed, Unreachable, Untrusted

NO_PROBLEMS: Mapping[str, Problem] = {}

OWN_SETTINGS = SQL("SET LOCAL role TO none; SET LOCAL search_path TO pg_catalog, pg_temp; SET LOCAL timezone TO 'UTC'")
"""Each session sets these itself, because the owner of a database chooses the settings of the database, and a role its
own. It acts as the user who logged in, and as nobody else, it finds no names but the system's, and reads the same
times whatever the database says. How quotes are read
(standard_conforming_strings) the server reports to libpq, which quotes accordingly; psycopg2 sets a date style that can
be read in one way only."""

TIMEOUTS = SQL("SET LOCAL statement_timeout TO {statement}; SET LOCAL lock_timeout TO {lock}")
"""Limits on the server expire before ours, so we get an error, and nothing completes after we have left."""

IDLE_TIMEOUT = SQL("SET LOCAL idle_in_transaction_session_timeout TO {}")
"""If this program is gone, or stopped, the server ends the transaction, and with it the locks that others wait for."""

NO_TRANSACTION_TIMEOUT = SQL("SET LOCAL transaction_timeout TO 0")
"""This one counts from BEGIN on, whatever happens. Once it runs it can be ended, and not made longer
(assign_transaction_timeout in PostgreSQL's src/backend/tcop/postgres.c). The limits above remain."""

TRANSACTION_TIMEOUT = 170000
"""The first version that has it."""

MOST_ITERATIONS = 100_000
"""How often a verifier hashes a password at most. Each login takes the client that much work, and some clients refuse
more (node-postgres; pgjdbc has a limit, too). Whoever owns the database can ask for 2,147,483,647: that is an hour."""

IS_STANDBY = "SELECT pg_catalog.pg_is_in_recovery()"
"""For servers before version 14, and poolers, which do not report it. It is asked outside of a transaction."""

SHORT_LOCK_TIMEOUT = 2000
"""Milliseconds to wait for a lock for which others must wait behind us."""

type Statement = str | sql.Composable


ROUNDS = 3
"""How often something is tried that another session changes at the same time."""


class PostgreSQLConnection:
    """One connection. Outside of a transaction, each statement begins one, in the same message.

    A round trip costs more than a statement. So what has no answer is sent with what comes next.
    """

    def __init__(self, credential: Credential, deadline: Deadline, methods: str = METHODS) -> None:
        """Log in, by one of these methods."""
        operation = f"logging in as {credential} to {credential.database}"
        self.credential = credential
        self.deadline = deadline
        self._statement_timeout = 0
        """How many milliseconds the server gives a statement; 0 if this transaction has not set it."""
        self._lock_timeout: int | None = None
        """How many milliseconds the server waits for a lock, if that is less."""
        self._locked_owner = 0
        """Whose tables are locked, by oid."""
        self.function_remedy = ""
        """What to do if a function fails that an event trigger runs."""
        self.is_repeatable = False
        """Whether a statement raises ExpectedError if another session changed the same thing at the same time."""
        self._is_attempt = False
        """Whether a statement is allowed to fail."""
        self._before_next: list[str] = []
        """What the next message begins with."""
        self._is_applications = False
        """Whether the next message begins a transaction as an application does, without our own settings."""
        self._answers: dict[str, Rows] = {}
        """What has been answered, by the question: see `rotation.engines.postgresql.questions`."""
        self.logged_in: Rows = []
        """Who the server says is logged in: the rows of catalog.LOGGED_IN."""
        self._has_begun = False
        """Whether there was a transaction: a pooler logs in to the server no earlier."""
        self._socket = BoundedSocket(open_socket(credential, deadline, operation))
        try:
            self._libpq = self._log_in(operation, methods)
        except BaseException:
            self._socket.close()
            raise

    def close(self) -> None:
        """Log out; what was not committed is gone."""
        self._libpq.close()
        self._socket.close()

    @property
    def username(self) -> str:
        """Who is logged in."""
        return self.credential.username

    @property
    def server_version(self) -> int:
        """The server's version as libpq reports it: 160004 is 16.4."""
        return self._libpq.server_version

    @property
    def memberships_have_options(self) -> bool:
        """Whether each membership has INHERIT and SET of its own, and CREATEROLE alone administers no role."""
        return self.server_version >= catalog.MEMBERSHIP_OPTIONS

    @property
    def act_as(self) -> str:
        """The word by which pg_has_role asks for the right to act as a role."""
        return "SET" if self.memberships_have_options else "MEMBER"

    def execute(
        self,
        operation: str,
        statement: Statement,
        arguments: Arguments = (),
        remedy: str = "",
        problems: Mapping[str, Problem] = NO_PROBLEMS,
    ) -> Rows:
        """Run one statement, no longer than the deadline allows, and return its rows. What was answered is forgotten.

        Raises a DatabaseError. `remedy` is what to do if the user is not permitted to do this; `problems` says what
        SQLSTATEs mean for this statement alone.
        """
        self.forget()
        return self._send(operation, self._text(operation, statement, arguments), remedy, problems)

    def ask(self, operation: str, question: Question, remedy: str = "") -> Rows:
        """Return the rows that answer a question: those that are known, if they are, see `questions`."""
        text = self._text(operation, *question)
        if text not in self._answers:
            self._answers[text] = self._send(operation, text, remedy)
        return self._answers[text]

    def ask_all(self, operation: str, questions: Iterable[Question], remedy: str = "") -> None:
        """Ask all of these in one message, as far as the answers are not known. They are known then."""
        texts = [self._text(operation, *question) for question in questions]
        if texts := [text for text in texts if text not in self._answers]:
            [found] = self._send(operation, joined(texts), remedy)
            self._answers |= {text: rows(answer) for text, answer in zip(texts, found, strict=True) if answer}

    def forget(self) -> None:
        """Let each question be asked anew."""
        self._answers.clear()

    def _send(self, operation: str, text: str, remedy: str = "", problems: Mapping[str, Problem] = NO_PROBLEMS) -> Rows:
        """Run one statement, with what must come before it."""
        seconds = self.deadline.allow(STATEMENT_SECONDS, operation)
        try:
            parts = [*self._before(seconds, operation), *self._before_next, text]
            self._before_next.clear()
            return self._run("; ".join(parts), seconds, operation)
        except psycopg2.Error as error:
            operation = f"{operation} as {self.username}"
            if not self._has_begun and (answer := answer_at_the_end(error)).code:
                raise login_failure(answer, self.credential, operation) from None
            if self.is_repeatable and not self._is_attempt and changed_meanwhile(error):
                raise ExpectedError(error.pgcode or "") from None
            if error.pgcode in LOCK_CODES and not self._is_attempt and (sessions := self._lock_holders()):
                raise lock_failure(error, operation, sessions) from None
            if error.diag.context and self.function_remedy:
                raise StatementFailed(operation, cause(error), self.function_remedy) from None
            raise statement_failure(error, operation, self.username, remedy, problems) from None

    def attempt(self, operation: str, statements: Sequence[Statement]) -> bool:
        """Run all of the statements, or none; return which. Raises nothing if the server refuses one."""
        self.before_next("SAVEPOINT attempt")
        self._is_attempt = True
        try:
            for statement in statements:
                self.execute(operation, statement)
        except (NotPermitted, StatementFailed):
            self.execute(operation, "ROLLBACK TO SAVEPOINT attempt")
            return False
        finally:
            self._is_attempt = False
        self.before_next("RELEASE SAVEPOINT attempt")
        return True

    def execute_again(
        self, operation: str, statement: Statement, remedy: str = "", problems: Mapping[str, Problem] = NO_PROBLEMS
    ) -> Rows:
        """Run a statement as `execute` does; if another session changed the same thing meanwhile, run it again."""
        for _ in range(ROUNDS - 1):
            self.before_next("SAVEPOINT attempt")
            with self.repeatable():
                found = self.execute(operation, statement, remedy=remedy, problems=problems)
                self.before_next("RELEASE SAVEPOINT attempt")
                return found
            self.execute(operation, "ROLLBACK TO SAVEPOINT attempt")
        return self.execute(operation, statement, remedy=remedy, problems=problems)

    def before_next(self, statement: str) -> None:
        """Send this with the next statement of the transaction, before it; never, if there is none.

        So it must be nothing that outlives the transaction, and nothing that a server refuses.
        """
        self._before_next.append(statement)

    @contextmanager
    def repeatable(self) -> Iterator[None]:
        """End the block if another session changed the same thing at the same time: the caller does it again."""
        self.is_repeatable = True
        try:
            with suppress(ExpectedError):
                yield
        finally:
            self.is_repeatable = False

    def as_application(self) -> None:
        """Undo what this transaction did; from the next statement on it has the settings that an application finds.

        A login trigger, or a pooler (connect_query of PgBouncer), can set them for the session. `SET … TO DEFAULT` is
        what the roles and the database say.
        """
        self._is_applications = True

    def give_way(self, operation: str, owner: int = 0) -> None:
        """From now on until the transaction ends, wait for each lock for a short time only.

        What waits for a strong lock makes everybody wait who comes later, and what has got one makes everybody wait
        until the transaction ends. The tables that are locked belong to the role with the oid `owner`, if any.
        """
        self._locked_owner = owner or self._locked_owner
        self._lock_timeout = SHORT_LOCK_TIMEOUT
        self.execute(operation, self._timeouts())

    def is_failed(self) -> bool:
        """Return whether the transaction can only be rolled back."""
        return bool(self._libpq.info.transaction_status == extensions.TRANSACTION_STATUS_INERROR)

    def begin(self) -> None:
        """Begin the first transaction, and ask who is logged in: only then has a pooler logged in to the server."""
        self.logged_in = self.execute("beginning a transaction", catalog.LOGGED_IN)
        self._has_begun = True

    def commit(self) -> None:
        """End the transaction, and keep what it did."""
        self._end("committing", "COMMIT")

    def rollback(self) -> None:
        """End the transaction, and undo what it did."""
        self._end("rolling back", "ROLLBACK")

    def quoted(self, part: sql.Composable) -> str:
        """Return the text of a part of a statement, quoted for this server."""
        return part.as_string(self._libpq)

    def logs_in_by_scram(self, username: str, password: str) -> bool:
        """Tell whether the server asks this user, who has just logged in, for SCRAM. No password is sent otherwise."""
        user = replace(self.credential, username=username, password=password)
        try:
            PostgreSQLConnection(user, self.deadline, SCRAM).close()
        except Untrusted:
            return False
        except LoginBlocked:  # what blocks it, such as a limit of connections, comes after the password
            return True
        return True

    def verifier(self, username: str, password: str, algorithm: str) -> str:
        """Return what the server keeps instead of a password."""
        if int(self._libpq.info.parameter_status("scram_iterations") or 0) > MOST_ITERATIONS:
            setting = f"SET LOCAL scram_iterations TO {MOST_ITERATIONS}"
            self.execute(f"limiting the work of each login as {username}", setting)  # libpq hears of it, and counts so
        return str(extensions.encrypt_password(password, username, scope=self._libpq, algorithm=algorithm))

    def _log_in(self, operation: str, methods: str) -> extensions.connection:
        seconds = login_seconds(CONNECT_SECONDS, self.deadline, operation)
        try:
            return connect(self.credential, self._socket, seconds, operation, methods)
        except ServerError as error:
            failure = login_failure(error, self.credential, operation)
        except Unreachable as silence:
            failure = silence
        if isinstance(failure, Unreachable):
            failure = name_engine(failure, self.credential, KIND, self.deadline)
        raise failure

    def _is_idle(self) -> bool:
        """Return whether there is no transaction."""
        return bool(self._libpq.info.transaction_status == extensions.TRANSACTION_STATUS_IDLE)

    def _before(self, seconds: float, operation: str) -> Iterator[str]:
        """Yield what must come before a statement, in the same message."""
        is_idle, is_applications, self._is_applications = self._is_idle(), self._is_applications, False
        if is_idle or is_applications:
            yield from [] if is_idle else ["ROLLBACK"]
            yield from self._beginning(seconds, operation, () if is_applications else (OWN_SETTINGS,))
        else:
            yield from self._shortening(seconds)

    def _beginning(self, seconds: float, operation: str, settings: Iterable[sql.Composable]) -> Iterator[str]:
        """Yield what begins a transaction with these settings, which the server ends if this program is gone."""
        mode = "READ ONLY" if self._is_standby(seconds, operation) else "READ WRITE"
        self._statement_timeout, self._lock_timeout = _milliseconds(seconds), None
        # It sits idle while other sessions of ours work, or while this program is stopped; after that, nobody is there.
        idle = IDLE_TIMEOUT.format(Literal(int(1000 * self.deadline.left())))
        yield f"BEGIN ISOLATION LEVEL READ COMMITTED, {mode}"
        whole = [NO_TRANSACTION_TIMEOUT] if self.server_version >= TRANSACTION_TIMEOUT else []
        yield from map(self.quoted, (*settings, *whole, idle, self._timeouts()))

    def _is_standby(self, seconds: float, operation: str) -> bool:
        """Return whether the server copies another one: nothing can be written, and READ WRITE is an error."""
        reported = self._libpq.info.parameter_status("in_hot_standby")
        if reported:
            return bool(reported == "on")
        [(is_standby,)] = self._run(IS_STANDBY, seconds, operation)
        return bool(is_standby)

    def _shortening(self, seconds: float) -> Iterator[str]:
        """Yield what gives the statements of this transaction no more time than is left, unless it has failed."""
        if _milliseconds(seconds) < self._statement_timeout and not self.is_failed():
            self._statement_timeout = _milliseconds(seconds)
            yield self.quoted(self._timeouts())

    def _end(self, operation: str, statement: str) -> None:
        self._before_next.clear()
        self._is_applications = False
        self._statement_timeout = 0  # a transaction that has failed takes no SET any more
        if not self._is_idle():
            self.execute(operation, statement)

    def _timeouts(self) -> sql.Composed:
        lock = min(filter(None, (self._statement_timeout, self._lock_timeout)))
        return TIMEOUTS.format(statement=Literal(self._statement_timeout), lock=Literal(lock))

    def _text(self, operation: str, statement: Statement, arguments: Arguments) -> str:
        """Return the statement with its arguments; raises Unreachable if the connection is lost already."""
        try:
            text: bytes = self._libpq.cursor().mogrify(statement, arguments or None)
        except psycopg2.Error as error:
            raise statement_failure(error, f"{operation} as {self.username}", self.username, "", NO_PROBLEMS) from None
        return text.decode()

    def _run(self, statement: str, seconds: float, operation: str) -> Rows:
        """Run statements, and return the rows of the last one."""
        cursor = self._libpq.cursor()
        cursor.execute(statement)
        wait(self._libpq, self._socket, seconds, operation)
        return cursor.fetchall() if cursor.description else []

    def _lock_holders(self) -> list[tuple[int, str]]:
        """Return which sessions, and whose, hold the locks; in a new transaction, because the old one failed."""
        self._is_attempt = True
        with suppress(RotationError):
            self.rollback()
            found = self.execute("reading who holds the lock", catalog.HELD_LOCKS, (self._locked_owner,))
            return [(pid, str(name)) for pid, name in found]
        return []


@contextmanager
def transaction(credential: Credential, deadline: Deadline) -> Iterator[PostgreSQLConnection]:
    """Log in, in one transaction; commit it if the block ends well, and close the connection in any case."""
    connection = PostgreSQLConnection(credential, deadline)
    try:
        connection.begin()
        yield connection
        connection.commit()
    finally:
        connection.close()


def _milliseconds(seconds: float) -> int:
    """Return how long the server may take if we wait for so many seconds: whole seconds if that is more than one."""
    return 1000 * int(0.9 * seconds) or int(900 * seconds)
