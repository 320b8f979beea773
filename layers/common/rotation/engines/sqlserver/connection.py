"""How is an SQL Server reached? What its errors mean is in `problems`.

Each message costs a round trip, so questions can be asked **together**: several SELECT in one message. Each is still a
statement of its own, committed at once, and has a result of its own ([MS-TDS] 2.2.7.5, DONE_MORE). If one of them
fails, the server can go on with the next, or not
(https://learn.microsoft.com/en-us/previous-versions/sql/sql-server-2008-r2/ms175502(v=sql.105)). So no answer of such a
message counts then, and each question is asked by itself, whose error says what is wrong. It is the same if there are
more results than questions, or fewer. Nothing that writes is sent together with something else.

A question about another database has USE before it. USE works from there on
(https://learn.microsoft.com/en-us/sql/t-sql/language-elements/use-transact-sql), and ends with the call of
sp_executesql in which it is (…/relational-databases/system-stored-procedures/sp-executesql-transact-sql): after the
message the session is where it was.
"""

from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

import pytds  # type: ignore[import-untyped]  # annotated, but not marked so (PEP 561)

from rotation.credential import Credential
from rotation.deadline import Deadline
from rotation.engines.driver import BUSY, CONNECT_SECONDS, STATEMENT_SECONDS, ExpectedError
from rotation.engines.look import Look
from rotation.engines.network import open_socket, tls_context
from rotation.engines.other_engine import login_seconds, name_engine
from rotation.engines.sqlserver.kind import KIND
from rotation.engines.sqlserver.problems import (
    UNREADABLE_ANSWER,
    ExpiredPassword,
    ServerError,
    login_failure,
    statement_failure,
)
from rotation.engines.sqlserver.rights import identifier
from rotation.engines.sqlserver.wire import LOGIN_BYTES, NEWEST_TLS, AnswerTooLong, BoundedSocket, UnexpectedRedirect
from rotation.errors import DatabaseError, LoginRefused, StatementFailed, Unsupported
from rotation.values import dataclass

CANCEL_SECONDS = 2.0
"""How long a server has to give up a statement that takes too long."""

OVERTAKEN = frozenset({1205, 15023, 15025, 15063, 15151})
"""Errors of a statement whose work another invocation of the same step has just done, or undone: it was a deadlock's
victim, or the name or SID exists now, or there is no such thing any more."""
WRONG_NUMBER: Final = 0
"""Stands for an error's number if there are more results than questions, or fewer."""
ATTEMPTS = 3
"""How often something is done while another invocation does the same."""

ANSWER_BYTES, ANSWER_VALUES = 4 * 1024 * 1024, 250_000
"""How long the answer to a statement can be, and how many values are kept of it. It was chosen for 256 MB; python-tds
needs up to 25 bytes of memory for each byte. That is room for 30,000 permissions of a pair in one database."""
type Arguments = Sequence[object]
type Rows = list[tuple[Any, ...]]


@dataclass(frozen=True)
class Question:
    """A query that changes nothing."""

    database: str | None
    """Which database it is about: None is the one of the login, if it named none. Empty if the server has one answer in
    all databases."""
    text: str
    arguments: tuple[object, ...] = ()


class _AnyError:
    """All errors that a server gives a number: not the silence of a server, and no answer that makes no sense."""

    def __contains__(self, number: object) -> bool:
        return bool(number)


ANY_ERROR: Final = _AnyError()


class SQLServerConnection:
    """One connection. Each statement is committed at once, except those of `transaction`."""

    def __init__(self, credential: Credential, deadline: Deadline, new_password: str | None = None) -> None:
        """Log in, once, and give the user `new_password` if there is one; raises ExpiredPassword."""
        self._begin(credential, deadline)
        operation = f"logging in as {credential} to {credential.database}"
        if new_password is not None:
            operation = f"renewing the expired password of {credential}"
        self._socket, self._client = _log_in(credential, deadline, operation, new_password)

    def _begin(self, credential: Credential, deadline: Deadline) -> None:
        self.credential = credential
        self._deadline = deadline
        self.look = Look()
        """What `ask` has read."""
        self._entered = self._place = credential.database
        """The database that the session is in, if that is known, and the one that it is to be in when it sends
        something."""
        self._expected: Container[int] = frozenset()
        """Errors of statements that are raised as ExpectedError."""

    @property
    def username(self) -> str:
        """Who is logged in."""
        return self.credential.username

    @property
    def database(self) -> str:
        """The database that the login named."""
        return self.credential.database or "master"

    def begin(self, *questions: str) -> dict[str, Rows]:
        """Limit how long a statement waits for a lock, so that the server's error comes before our timeout.

        Return the answers to the questions, which are asked in the same message; none if one of them failed.
        """
        operation = "setting the lock timeout"
        limit = f"SET LOCK_TIMEOUT {int(500 * self._deadline.allow(STATEMENT_SECONDS, operation))}"
        try:
            answers = self._send_together(operation, "; ".join([limit, *questions]), (), len(questions))
        except ExpectedError:
            self.execute(operation, limit)
            return {}
        return dict(zip(questions, answers, strict=True))

    def enter(self, database: str) -> None:
        """Go to a database: all that follows is asked, and runs, there.

        Raises a DatabaseError if that is not possible. A database that this look has entered already is entered again
        only with the next statement that is sent.
        """
        self._place = database
        self.look.once(("entered", database), self._go)

    def ask(self, operation: str, question: str, arguments: Arguments = ()) -> Rows:
        """Return the rows of a query about this database, which is asked once in a look; see `rotation.engines.look`.

        It changes nothing, and nobody changes the rows. Raises what `execute` does.
        """
        asked = Question(self._place, question, tuple(arguments))
        return self.look.once(asked, lambda: self._fresh(asked, lambda: self._send(operation, question, arguments)))

    def ask_server(self, operation: str, question: str, arguments: Arguments = ()) -> Rows:
        """Do the same with a query about the server, which has one answer in all databases: so it is asked in any."""
        asked = Question("", question, tuple(arguments))
        return self.look.once(
            asked, lambda: self._fresh(asked, lambda: self._send_here(operation, question, arguments))
        )

    def _fresh(self, question: Question, send: Callable[[], Rows]) -> Rows:
        """Return the answer that `ask_together` got in this look, once: whether it is kept, the look decides."""
        answers = self.look.once(("answer", question), list[Rows])
        return answers.pop() if answers else send()

    def ask_together(self, operation: str, questions: Sequence[Question]) -> None:
        """Ask several questions in one message: `ask` and `ask_server` then find the answers in the look.

        If one of them fails, nothing is found, and each is asked when its turn comes. Not for the inside of a
        transaction, which an error can end. Questions without any arguments are about this database, or the server.
        """
        self.look.once(("together", *questions), lambda: self._ask_together(operation, questions))

    def _ask_together(self, operation: str, questions: Sequence[Question]) -> Rows:
        arguments = [argument for question in questions for argument in question.arguments]
        if not arguments:  # this is no call, which USE would end with
            self._go()
        text = "; ".join(_joined(questions, self._entered, has_arguments=bool(arguments)))
        try:
            answers = self._send_together(operation, text, arguments, len(questions))
        except ExpectedError:
            self._entered = None  # no page says where a call that failed leaves the session
            return []
        for question, rows in zip(questions, answers, strict=True):
            self.look.once(("answer", question), partial(list, [rows]))
            if question.database:
                self.look.once(("entered", question.database), list)
        return []

    def _send_together(self, operation: str, text: str, arguments: Arguments, number: int) -> list[Rows]:
        """Return the rows of this many results.

        Raises ExpectedError if the server refuses one of the statements, or if there are more results, or fewer: then
        nothing says which of them is the answer to which question.
        """
        before, self._expected = self._expected, ANY_ERROR
        try:
            answers = self._send_all(operation, text, arguments, number + 1)
        finally:
            self._expected = before
        if len(answers) != number:
            raise ExpectedError(WRONG_NUMBER)
        return answers

    def execute(self, operation: str, statement: str, arguments: Arguments = (), remedy: str = "") -> Rows:
        """Run one statement, until the deadline at most, and return the rows of its first result. The look ends.

        Raises a DatabaseError; `remedy` is what to do if the user lacks a right.
        """
        self.look.end()
        return self._send(operation, statement, arguments, remedy)

    def _send(self, operation: str, statement: str, arguments: Arguments, remedy: str = "") -> Rows:
        self._go()
        return self._send_here(operation, statement, arguments, remedy)

    def _go(self) -> Rows:
        if self._place and self._place != self._entered:
            self._send_here(f"entering the database {self._place}", f"USE {identifier(self._place)}")
            self._entered = self._place
        return []

    def _send_here(self, operation: str, statement: str, arguments: Arguments = (), remedy: str = "") -> Rows:
        return next(iter(self._send_all(operation, statement, arguments, 1, remedy)), [])

    def _send_all(
        self, operation: str, statement: str, arguments: Arguments, number: int, remedy: str = ""
    ) -> list[Rows]:
        allowed = self._deadline.allow(STATEMENT_SECONDS, operation)
        cancelling = min(CANCEL_SECONDS, allowed / 4)
        self._socket.limit(allowed - cancelling, ANSWER_BYTES)
        try:
            return self._run(statement, arguments, number)
        except (pytds.Error, OSError, AnswerTooLong, *UNREADABLE_ANSWER) as error:
            if ServerError.read(error).number in self._expected:
                raise ExpectedError(ServerError.read(error).number) from None
            if isinstance(error, TimeoutError) and self._socket.cancel(cancelling):
                cause = f"the server had not finished this after {allowed - cancelling:.0f} s, so it was cancelled"
                raise StatementFailed(f"{operation} as {self.username}", cause, BUSY) from None
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
        except ExpiredPassword as expired:
            raise expired.failure from None
        return True

    def close(self) -> None:
        """Close the connection; the server rolls an open transaction back."""
        self._client.close()

    def _run(self, statement: str, arguments: Arguments, number: int) -> list[Rows]:
        """Return the rows of the first results, this many; raises an error of any of them, also of those after."""
        with self._client.cursor() as cursor:
            cursor.execute(statement, tuple(map(_bound, arguments)) or None)
            found = [_fetch(cursor)] if cursor.description else []
            while cursor.nextset():
                if cursor.description and len(found) < number:
                    found.append(_fetch(cursor))
            return found


class ExpiredConnection(SQLServerConnection):
    """A login whose password is right and has expired: the server runs no statement until it is renewed."""

    def __init__(self, credential: Credential, deadline: Deadline, failure: DatabaseError) -> None:
        """Keep what the login failed with, for everything but `renew`."""
        self._begin(credential, deadline)
        self.failure = failure

    def _send_all(
        self,
        operation: str,  # noqa: ARG002 - see SQLServerConnection
        statement: str,  # noqa: ARG002 - as above
        arguments: Arguments,  # noqa: ARG002 - as above
        number: int,  # noqa: ARG002 - as above
        remedy: str = "",  # noqa: ARG002 - as above
    ) -> list[Rows]:
        """Raise what the login failed with."""
        raise self.failure

    def renew(self, password: str) -> None:
        """Log in with the expired password, and so change it to this one."""
        SQLServerConnection(self.credential, self._deadline, new_password=password).close()

    def close(self) -> None:
        """Nothing is open."""


def _log_in(
    credential: Credential, deadline: Deadline, operation: str, new_password: str | None
) -> tuple[BoundedSocket, Any]:
    if max(f"{credential.username}{credential.password}{credential.database}{new_password}") > "\uffff":
        cause = "python-tds cannot send a character beyond U+FFFF, which is in the user, the password or the database"
        raise Unsupported(operation, cause, "Take the character out of the secret and of the server")
    connected = open_socket(credential, deadline, operation)
    bounded = BoundedSocket(connected)
    try:
        bounded.limit(login_seconds(CONNECT_SECONDS, deadline, operation), LOGIN_BYTES)
        if credential.tls:
            bounded.begin_tls(credential.host, tls_context(credential.host, NEWEST_TLS), operation)
        else:
            bounded.begin_without_tls(operation)
        if new_password is not None:
            bounded.change_password_at_login(new_password)
        client = _log_in_through(bounded, credential)
    except (pytds.Error, OSError, UnexpectedRedirect, AnswerTooLong, *UNREADABLE_ANSWER) as error:
        connected.close()
        failure = login_failure(error, credential, operation, is_change=new_password is not None)
        raise (failure if bounded.has_answered else name_engine(failure, credential, KIND, deadline)) from None
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


def _joined(questions: Sequence[Question], database: str | None, *, has_arguments: bool) -> Iterator[str]:
    """Yield the statements of a message that asks all this, in a session that is in `database`.

    python-tds takes a % for the beginning of a mark if there are arguments.
    """
    for question in questions:
        if question.database and question.database != database:
            database = question.database
            use = f"USE {identifier(database)}"
            yield use.replace("%", "%%") if has_arguments else use
        yield question.text.strip()


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
