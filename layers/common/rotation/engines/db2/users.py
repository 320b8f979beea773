"""How are users created and changed on RDS for Db2?

Users and groups do not belong to the database: the server asks its operating system, or what replaces it, and only RDS
can change them. The master user calls procedures in the database RDSADMIN
(https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/db2-sp-granting-revoking-privileges.html). RDS records each call
as a task, which can begin and end after the call
(https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/db2-user-defined-functions.html). We wait for the task while
there is time. None of it can be rolled back.

RDS does not document what happens if it refuses a password: the task fails, like any other.

Most procedures do not return the number of their task, and no documented column says whose task a row is. Another
secret of the same server can have tasks of the same kind at the same time, and another delivery of the same step can do
the same thing first. So the effect decides if there is a doubt: whether the user exists, is in the groups, or logs in.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Final

from rotation.credential import Credential
from rotation.deadline import Deadline
from rotation.engines.db2 import connection as db2_connection
from rotation.engines.db2.client import Row
from rotation.engines.db2.connection import UNKNOWN_ROUTINE, Db2Connection
from rotation.engines.db2.problems import HAS_EXPIRED
from rotation.engines.driver import ADMIN_HOST, CORRECT_CAUSE, ExpectedError, accepts
from rotation.engines.look import Look
from rotation.errors import LoginBlocked, NotPermitted, StatementFailed, Unsafe
from rotation.redaction import said
from rotation.values import dataclass

RDSADMIN: Final = "RDSADMIN"

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0
"""Seconds between two queries for a task; doubled each time."""

SUCCESS, ERROR = "SUCCESS", "ERROR"

LATE_LOOKS: Final = 4
"""How often we look again for our own task, after all others of its kind have ended, and what we want is not there."""

type Effect = Callable[[], bool | None]
"""Tells whether what we want is there; None if nobody can see it."""

NO_CONNECT: Final = "SQL1060N"
"""The user may not connect to this database."""

TASKS: Final = (
    "SELECT T.TASK_ID, T.LIFECYCLE, CAST(T.TASK_OUTPUT AS VARCHAR(500)) AS TASK_OUTPUT"
    " FROM TABLE(RDSADMIN.GET_TASK_STATUS({which}, NULL, {kind})) AS T"
)

DATABASES: Final = "SELECT T.DATABASE_NAME FROM TABLE(RDSADMIN.LIST_DATABASES()) AS T"
"""A server has 50 at most."""


@dataclass(frozen=True)
class Db2Users:
    """The users of a server, as its master user sees and changes them."""

    connection: Db2Connection
    """A connection to RDSADMIN."""
    master: Credential
    """The master user, in the database of the pair."""

    def exists(self, username: str) -> bool:
        """Tell whether there is such a user.

        The list is one text, with a heading and a count. Each user has a line: the name, a tab, the groups. Only AWS's
        rotation template documents this
        (https://github.com/aws-samples/aws-secrets-manager-rotation-lambdas, SecretsManagerRDSDb2RotationMultiUser).
        """
        statement = "CALL RDSADMIN.LIST_USERS()"
        rows = self.connection.ask("listing the users", statement, remedy=self._remedy)
        text = "\n".join(value for row in rows for value in row.values() if isinstance(value, str))
        names = (line.split()[0] for line in text.splitlines() if line.strip())
        return any(name.upper() == username.upper() for name in names)

    def require(self, username: str, operation: str) -> None:
        """Raise Unsafe if there is no such user."""
        if not self.exists(username):
            cause = f"there is no user {username} on the admin's server"
            raise Unsafe(operation, cause, ADMIN_HOST)

    def add(self, username: str, password: str, groups: Iterable[str], is_there: Effect) -> None:
        """Create a user as a member of these groups. RDS creates groups that do not exist."""
        statement, arguments = "CALL RDSADMIN.ADD_USER(?, ?, ?)", (username, password, ",".join(groups))
        self._run_task(f"creating {username}", "ADD_USER", statement, arguments, is_there)

    def set_password(self, username: str, password: str) -> None:
        """Give a user this password."""
        statement, arguments = "CALL RDSADMIN.CHANGE_PASSWORD(?, ?)", (username, password)
        operation = f"setting the password of {username}"
        self._run_task(operation, "CHANGE_PASSWORD", statement, arguments, lambda: self._logs_in(username, password))

    def add_groups(self, username: str, groups: Iterable[str], is_there: Effect) -> None:
        """Add a user to groups."""
        statement, arguments = "CALL RDSADMIN.ADD_GROUPS(?, ?)", (username, ",".join(groups))
        self._run_task(f"adding {username} to groups", "ADD_GROUPS", statement, arguments, is_there)

    def remove_groups(self, username: str, groups: Iterable[str], is_there: Effect) -> None:
        """Remove a user from groups."""
        statement, arguments = "CALL RDSADMIN.REMOVE_GROUPS(?, ?)", (username, ",".join(groups))
        self._run_task(f"removing {username} from groups", "REMOVE_GROUPS", statement, arguments, is_there)

    def run(self, operation: str, procedure: str, *arguments: str) -> None:
        """Call a procedure that returns the number of its task, and wait for that task."""
        number, *_ = self.connection.call(operation, procedure, (0, *arguments), self._remedy)
        self.connection.commit()
        for _ in self._looks(operation):
            tasks = self._tasks(operation, str(int(number)), "NULL")
            for failed in _failed(tasks):
                raise _failure(failed, operation)
            if tasks and not _unfinished(tasks):
                return

    def other_databases(self, database: str) -> list[str]:
        """Return the other databases of the server, without RDS's own; none if this RDSADMIN cannot list them."""
        operation, unknown = "listing the databases of the server", frozenset({UNKNOWN_ROUTINE})
        try:
            rows = self.connection.ask(operation, DATABASES, remedy=self._remedy, expected=unknown)
        except ExpectedError:
            return []
        return sorted({str(row["DATABASE_NAME"]).strip().upper() for row in rows} - {RDSADMIN, database.upper()})

    @property
    def _remedy(self) -> str:
        username = self.connection.username
        return f"Put the master user into the admin secret: {username} may not call the rdsadmin procedures"

    def _run_task(self, operation: str, kind: str, statement: str, arguments: Sequence[str], is_there: Effect) -> None:
        """Call a procedure that does not return the number of its task, and wait for that task, or for its effect."""
        before = {row["TASK_ID"] for row in self._tasks(operation, "NULL", f"'{kind}'")}
        try:
            self.connection.execute(operation, statement, arguments, self._remedy)
        except StatementFailed:
            if is_there():  # somebody else was faster
                return
            raise
        self.connection.commit()
        self._wait(operation, kind, before, is_there)

    def _wait(self, operation: str, kind: str, before: AbstractSet[int], is_there: Effect) -> None:
        """Wait until our task has ended: one of the new tasks of its kind, and it can appear late."""
        seen, late = 0, 0
        for _ in self._looks(operation):
            tasks = [row for row in self._tasks(operation, "NULL", f"'{kind}'") if row["TASK_ID"] not in before]
            if not tasks or _unfinished(tasks):
                continue
            failed = _failed(tasks)
            # The effect is looked at only if there is news: to look can be a login with a wrong password.
            there = is_there() if len(tasks) > seen else False
            if there or (there is None and not failed):
                return
            if late == LATE_LOOKS:
                for task in failed:
                    raise _failure(task, operation)
                return  # RDS says that all is done. Another secret can have changed it since; testSecret decides
            seen, late = len(tasks), late + 1

    def _looks(self, operation: str) -> Iterator[None]:
        """Yield whenever it is time to look again; raises OutOfTime."""
        pause = FIRST_PAUSE
        while True:
            yield
            self.connection.deadline.pause(pause, f"waiting for RDS: {operation}")
            pause = min(2 * pause, LONGEST_PAUSE)

    def _logs_in(self, username: str, password: str) -> bool | None:
        """Tell whether the user logs in with this password; None if something else keeps it out."""
        credential = replace(self.master, username=username, password=password)
        try:
            return accepts(db2_connection.connect, credential, self.connection.deadline)
        except LoginBlocked:
            return None

    def _tasks(self, operation: str, which: str, kind: str) -> list[Row]:
        # Asked anew each time, because we wait for news. No argument holds text that a user could write. Other columns
        # hold the arguments of the task: we do not read them.
        return self.connection.execute(operation, TASKS.format(which=which, kind=kind), remedy=self._remedy)


def _unfinished(tasks: Iterable[Row]) -> list[Row]:
    return [task for task in tasks if task["LIFECYCLE"] not in {SUCCESS, ERROR}]


def _failed(tasks: Iterable[Row]) -> list[Row]:
    return [task for task in tasks if task["LIFECYCLE"] == ERROR]


def _failure(task: Row, operation: str) -> StatementFailed:
    output = said(task["TASK_OUTPUT"] or "no reason given")
    return StatementFailed(operation, f"RDS's task {task['TASK_ID']} failed: {output}", CORRECT_CAUSE)


@contextmanager
def connect(master: Credential, deadline: Deadline, look: Look) -> Iterator[Db2Users]:
    """Log in to RDSADMIN, in a session that looks there as well; raises NotPermitted if this is not the master user."""
    with ExitStack() as stack:
        try:
            login = db2_connection.connect(replace(master, database=RDSADMIN), deadline, look=look)
            connection = stack.enter_context(login)
        except LoginBlocked as error:
            raise _not_the_master(error) from None
        yield Db2Users(connection, master)


def _not_the_master(error: LoginBlocked) -> NotPermitted | LoginBlocked:
    if HAS_EXPIRED.search(error.cause):
        return error
    remedy = "Put the master user of RDS into the admin secret: no other user administers users"
    if NO_CONNECT in error.cause:
        return NotPermitted(error.operation, error.cause, remedy)
    return LoginBlocked(error.operation, error.cause, f"{remedy}. Other servers have no {RDSADMIN}")
