"""How is one connection to Oracle opened, used within its time limits, and closed?

What its errors mean is in `rotation.engines.oracle.problems`.

**Expired passwords.** The server says ORA-28001 only after the right password
(https://docs.oracle.com/en/database/oracle/oracle-database/19/dbseg/configuring-authentication.html, "Password Change
Life Cycle"), and takes a new one at the next login, which is what SQL*Plus does. So such a connection is no refusal. It
is opened later, with the first call. If that is a change of the password, it logs in with the new one. Any other call
renews the password by itself, if the profile allows that.
"""

import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any

import oracledb

from rotation.credential import Credential
from rotation.deadline import Deadline, within
from rotation.engines.driver import (
    CONNECT_SECONDS,
    NO_ANSWER,
    STATEMENT_SECONDS,
    ExpectedError,
    accepts,
    lacks_right,
)
from rotation.engines.network import look_up, new_tls_context
from rotation.engines.oracle.kind import KIND, normal_name
from rotation.engines.oracle.problems import (
    EXPIRED_CODE,
    REUSED,
    WAS_LOST,
    ServerError,
    change_failure,
    held_back,
    login_failure,
    not_renewed,
    statement_failure,
)
from rotation.engines.oracle.rights import identifier
from rotation.engines.oracle.wire import AnswerCheck, checked, one_connection
from rotation.engines.other_engine import login_seconds, name_engine
from rotation.errors import InvalidSecret, PasswordRefused, StatementFailed, Unreachable
from rotation.redaction import said

log = logging.getLogger(__name__)

LOGIN_SECONDS = 25.0
"""How long a login can take, with its TCP connection. A server answers a failed login up to 10 s later, and lets no
login of the same user pass meanwhile, also with the right password (Oracle's note 7715339.8)."""

NO_SUCH_SERVICE = frozenset({"ORA-12514", "DPY-6001"})

SERVICE = re.compile(r"[\w.$#-]+")
"""What `dbname` can be: it becomes a part of a connect descriptor, in which parentheses would add something."""

FETCHED_AT_ONCE, VERIFY_ROWS = 1000, 10
MOST_ROWS = 50_000
"""How many rows are kept, of both users of a pair: those with so many rights cannot be mirrored in time either."""

PROGRAM = "secret-rotation"
"""What the server shows as the program of a session."""

type Rows = list[tuple[Any, ...]]


class OracleConnection:
    """One connection. The server commits DDL at once, and nothing else is ever committed."""

    def __init__(self, client: oracledb.Connection | None, credential: Credential, deadline: Deadline) -> None:
        """Take the client's connection; None if the password is right and has expired."""
        self._opened = client
        self._deadline = deadline
        self.credential = credential
        self.was_renewed = False
        """Whether this connection has given the user its password once more, because that had expired."""

    @property
    def username(self) -> str:
        """Who is logged in, as the server keeps the name."""
        return normal_name(self.credential.username)

    @property
    def version(self) -> tuple[int, ...]:
        """The server's version, for example (19, 12, 0, 0, 0)."""
        return tuple(int(number) for number in self._client.version.split("."))

    @property
    def database_name(self) -> str:
        """The database's own name, from the answer to the login and not from a statement."""
        return self._client.db_name

    def execute(
        self,
        operation: str,
        statement: str,
        arguments: Mapping[str, str] | None = None,
        remedy: str = "",
        expected: frozenset[str] = frozenset(),
    ) -> Rows:
        """Run one statement, no longer than the deadline allows, and return its rows.

        Raises ExpectedError for the codes in `expected`, else a DatabaseError; `remedy` is what to do if the user lacks
        a right.
        """
        fetch = partial(self._fetch, statement, arguments or {}, FETCHED_AT_ONCE, MOST_ROWS + 1)
        rows = self._call(operation, fetch, remedy, expected)
        if len(rows) > MOST_ROWS:
            cause = f"the answer has more than {MOST_ROWS} rows"
            raise StatementFailed(operation, cause, "Grant the rights through roles, or use the single-user strategy")
        return rows

    def at_once(
        self, operation: str, query: str, arguments: Mapping[str, str], expected: frozenset[str]
    ) -> Rows | None:
        """Return the rows of a query, which come with its first answer; None if there are too many for that.

        It has half of the time that a statement has. Raises ExpectedError for the codes in `expected`.
        """
        fetch = partial(self._fetch, query, arguments, FETCHED_AT_ONCE, FETCHED_AT_ONCE)
        rows = self._call(operation, fetch, expected=expected, seconds=STATEMENT_SECONDS / 2)
        return rows if len(rows) < FETCHED_AT_ONCE else None

    def try_statement(self, operation: str, statement: str) -> None:
        """Run one statement of `verify`; of its rows, 10 at most are read."""
        self._call(operation, partial(self._fetch, statement, {}, VERIFY_ROWS, VERIFY_ROWS))

    def roll_back(self) -> None:
        """End the transaction without any effect."""
        self._call("rolling back", self._client.rollback)

    def change_password(self, operation: str, current: str, password: str, expected: frozenset[str]) -> None:
        """Change the password of the user who is logged in, over the wire protocol; see `execute`."""
        if self._opened:
            client = self._opened
            self._call(operation, lambda: client.changepassword(current, password), expected=expected)
        else:
            self._opened = _open(self.credential, self._deadline, operation, expected, password)

    def renew(self) -> None:
        """Make sure that the user can log in: give it its own password again, if that has expired."""
        if not self._opened:
            self._opened = self._renewed()

    def log_in_again(self) -> None:
        """Replace the session by a new one of the same user; what the old one has not committed is rolled back."""
        self.close()
        self._opened = _open(self.credential, self._deadline, f"logging in again as {self.credential}", frozenset())

    def pause(self, seconds: float, operation: str) -> None:
        """Wait; see `rotation.deadline.Deadline.pause`."""
        self._deadline.pause(seconds, operation)

    def accepts(self, username: str, password: str) -> bool:
        """Tell whether this server takes the password now; the name is as the server keeps it."""
        other = replace(self.credential, username=identifier(username), password=password)
        return accepts(connect, other, self._deadline)

    def close(self) -> None:
        """Log out.

        The client waits for the server's answer, and without limit if no call has set one. On a lost connection no
        limit can be set: the process would end (tried with 26.1).
        """
        if not self._opened:
            return
        with suppress(oracledb.Error, OSError):
            if self._opened.is_healthy():
                self._opened.call_timeout = _milliseconds(min(CONNECT_SECONDS, self._deadline.left()))
            self._opened.close()

    @property
    def _client(self) -> oracledb.Connection:
        """The client's connection; opens it if that has waited for a new password."""
        if not self._opened:
            self._opened = self._renewed()
        return self._opened

    def _renewed(self) -> oracledb.Connection:
        operation = f"renewing the password of {self.credential}, which has expired"
        try:
            client = _open(self.credential, self._deadline, operation, REUSED, self.credential.password)
        except (ExpectedError, PasswordRefused) as refused:
            raise not_renewed(refused, self.credential, operation) from None
        log.warning(said(f"{operation}: its profile allows the same password once more"))
        self.was_renewed = True
        return client

    def _fetch(self, statement: str, arguments: Mapping[str, str], at_once: int, most: int) -> Rows:
        """Run a statement; return its first rows."""
        with self._client.cursor() as cursor:
            cursor.prefetchrows = cursor.arraysize = at_once
            cursor.execute(statement, arguments)
            return cursor.fetchmany(most) if cursor.description else []

    def _call[T](
        self,
        operation: str,
        call: Callable[[], T],
        remedy: str = "",
        expected: frozenset[str] = frozenset(),
        seconds: float = STATEMENT_SECONDS,
    ) -> T:
        """Let the client call the server, no longer than the deadline allows; see `execute`."""
        seconds = self._deadline.allow(seconds, operation)
        operation_as = f"{operation} as {self.username}"
        if not self._client.is_healthy():  # calls nobody
            raise Unreachable(operation_as, WAS_LOST, NO_ANSWER)
        try:
            self._client.call_timeout = _milliseconds(seconds)
            return call()
        except (oracledb.Error, OSError) as error:
            problem = ServerError.read(error).of_statement()
            if problem.code in expected:
                raise ExpectedError(problem.code) from None
            raise statement_failure(problem, operation_as, remedy or lacks_right(self.username)) from None


@contextmanager
def connect(credential: Credential, deadline: Deadline) -> Iterator[OracleConnection]:
    """Log in; see `rotation.engine.Engine.connect`."""
    operation = f"logging in as {credential} to {credential.database}"
    client = None
    with suppress(ExpectedError):
        client = _open(credential, deadline, operation, frozenset({EXPIRED_CODE}))
    connection = OracleConnection(client, credential, deadline)
    try:
        yield connection
    finally:
        connection.close()


def _open(
    credential: Credential, deadline: Deadline, operation: str, expected: frozenset[str], new_password: str = ""
) -> oracledb.Connection:
    """Connect to the service that `dbname` names, or to the SID if the listener knows no such service.

    With a new password, the login changes the one of the credential. Raises ExpectedError for the codes in `expected`.
    """
    database = credential.database or ""
    if not SERVICE.fullmatch(database):
        cause = 'its "dbname" is missing' if not database else 'its "dbname" is neither a service name nor an SID'
        raise InvalidSecret(operation, cause, "Write a service name, or an SID, into the secret. On RDS: the DB name")
    addresses = look_up(credential, deadline, operation)
    parameters = _parameters(credential) | ({"newpassword": new_password} if new_password else {})
    for naming in ("service_name", "sid"):
        parameters["tcp_connect_timeout"] = deadline.share(CONNECT_SECONDS, len(addresses), operation)
        try:
            seconds = login_seconds(LOGIN_SECONDS, deadline, operation)
            return _log_in({**parameters, naming: database}, addresses, seconds, operation)
        except (oracledb.Error, OSError, ValueError, LookupError) as error:  # the last two if it misreads an answer
            problem = ServerError.read(error)
            if problem.code in expected:
                raise ExpectedError(problem.code) from None
            if naming == "sid" or problem.code not in NO_SUCH_SERVICE:
                failure = (change_failure if new_password else login_failure)(problem, credential, operation)
                if problem.is_no_answer:
                    failure = name_engine(failure, credential, KIND, deadline)
                raise failure from None
        except Unreachable as silence:
            raise name_engine(silence, credential, KIND, deadline) from None
    raise AssertionError


def _parameters(credential: Credential) -> dict[str, Any]:
    return {
        "user": identifier(normal_name(credential.username)),
        "password": credential.password,
        "host": credential.host,
        "port": credential.port,
        "protocol": "tcps" if credential.tls else "tcp",
        "retry_count": 0,
        # Urgent data does not pass every network, and we interrupt nothing.
        "disable_oob": True,
        "program": PROGRAM,
        "ssl_server_dn_match": credential.tls,
    }


def _log_in(
    parameters: Mapping[str, Any], addresses: Sequence[str], seconds: float, operation: str
) -> oracledb.Connection:
    """Log in at one of these addresses, within so many seconds.

    The client's own limit is for the TCP connection only: it would wait without end for a server that accepts the
    connection and then says nothing. So it runs in a thread, and we close its socket if it takes too long.
    """
    check = AnswerCheck()
    tls = (
        {"ssl_context": checked(new_tls_context(parameters["host"]), check)} if parameters["protocol"] == "tcps" else {}
    )

    def log_in() -> oracledb.Connection:
        with one_connection(addresses, parameters["port"], check):
            client = oracledb.connect(**parameters, **tls)
        check.trust()
        return client

    try:
        return within(seconds, log_in, lambda client: client.close())
    except TimeoutError:
        check.hang_up()
        if check.has_greeting:
            raise held_back(seconds, operation) from None
        raise Unreachable(operation, f"the server gave no answer within {seconds:.0f} s", NO_ANSWER) from None


def _milliseconds(seconds: float) -> int:
    """Return the limit of a call that can take so many seconds.

    It is half of them: when the limit is reached, the client cancels the call, and waits as long again for that.
    """
    return max(1, int(seconds / 2 * 1000))
