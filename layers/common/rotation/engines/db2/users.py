"""How are users created and changed on RDS for Db2?

Users and groups do not belong to the database: the server asks its operating system, or what replaces it, and only RDS
can change them. The master user calls procedures in the database RDSADMIN
(https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/db2-sp-granting-revoking-privileges.html). RDS records each call
as a task, which can begin and end after the call
(https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/db2-user-defined-functions.html). We wait for the task while
there is time. None of it can be rolled back.

RDS does not document what happens if it refuses a password: the task fails, like any other.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Final

from rotation.credential import Credential
from rotation.deadline import Deadline
from rotation.engines.db2 import connection as db2_connection
from rotation.engines.db2.client import Row
from rotation.engines.db2.connection import CORRECT_CAUSE, Db2Connection
from rotation.errors import LoginBlocked, NotPermitted, StatementFailed, Unsafe
from rotation.redaction import said

RDSADMIN: Final = "RDSADMIN"

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0
"""Seconds between two queries for a task; doubled each time."""

SUCCESS, ERROR = "SUCCESS", "ERROR"

NO_CONNECT: Final = "SQL1060N"
"""The user may not connect to this database."""

TASKS: Final = (
    "SELECT T.TASK_ID, T.LIFECYCLE, CAST(T.TASK_OUTPUT AS VARCHAR(500)) AS TASK_OUTPUT"
    " FROM TABLE(RDSADMIN.GET_TASK_STATUS({which}, NULL, {kind})) AS T"
)


@dataclass(frozen=True)
class Db2Users:
    """The users of a server, as its master user sees and changes them."""

    connection: Db2Connection
    """A connection to RDSADMIN."""

    def exists(self, username: str) -> bool:
        """Tell whether there is such a user.

        The list is one text, with a heading and a count. Each user has a line: the name, a tab, the groups. Only AWS's
        rotation template documents this
        (https://github.com/aws-samples/aws-secrets-manager-rotation-lambdas, SecretsManagerRDSDb2RotationMultiUser).
        """
        statement = "CALL RDSADMIN.LIST_USERS()"
        rows = self.connection.execute("listing the users", statement, remedy=self._remedy)
        text = "\n".join(value for row in rows for value in row.values() if isinstance(value, str))
        names = (line.split()[0] for line in text.splitlines() if line.strip())
        return any(name.upper() == username.upper() for name in names)

    def require(self, username: str, operation: str) -> None:
        """Raise Unsafe if there is no such user."""
        if not self.exists(username):
            cause = f"there is no user {username} on the admin's server"
            raise Unsafe(operation, cause, 'Correct "host" in the admin secret')

    def add(self, username: str, password: str, groups: Iterable[str]) -> None:
        """Create a user as a member of these groups. RDS creates groups that do not exist."""
        operation = f"creating {username}"
        self._run_task(operation, "ADD_USER", "CALL RDSADMIN.ADD_USER(?, ?, ?)", username, password, ",".join(groups))

    def set_password(self, username: str, password: str) -> None:
        """Give a user this password."""
        operation = f"setting the password of {username}"
        self._run_task(operation, "CHANGE_PASSWORD", "CALL RDSADMIN.CHANGE_PASSWORD(?, ?)", username, password)

    def add_groups(self, username: str, groups: Iterable[str]) -> None:
        """Add a user to groups."""
        operation = f"adding {username} to groups"
        self._run_task(operation, "ADD_GROUPS", "CALL RDSADMIN.ADD_GROUPS(?, ?)", username, ",".join(groups))

    def remove_groups(self, username: str, groups: Iterable[str]) -> None:
        """Remove a user from groups."""
        operation = f"removing {username} from groups"
        self._run_task(operation, "REMOVE_GROUPS", "CALL RDSADMIN.REMOVE_GROUPS(?, ?)", username, ",".join(groups))

    def run(self, operation: str, procedure: str, *arguments: str) -> None:
        """Call a procedure that returns the number of its task, and wait for that task."""
        number, *_ = self.connection.call(operation, procedure, (0, *arguments), self._remedy)
        self.connection.commit()
        self._wait(operation, lambda: self._tasks(operation, str(int(number)), "NULL"))

    @property
    def _remedy(self) -> str:
        username = self.connection.username
        return f"Put the master user into the admin secret: {username} may not call the rdsadmin procedures"

    def _run_task(self, operation: str, kind: str, statement: str, *arguments: str) -> None:
        """Call a procedure that does not return the number of its task; wait for all new tasks of that kind.

        Tasks of others can be among them. If one of those fails, this raises, and the rotation is tried again.
        """
        before = {row["TASK_ID"] for row in self._tasks(operation, "NULL", f"'{kind}'")}
        self.connection.execute(operation, statement, arguments, self._remedy)
        self.connection.commit()
        self._wait(
            operation,
            lambda: [row for row in self._tasks(operation, "NULL", f"'{kind}'") if row["TASK_ID"] not in before],
        )

    def _tasks(self, operation: str, which: str, kind: str) -> list[Row]:
        # No argument holds text that a user could write. Other columns hold the arguments of the task: we do not read
        # them.
        return self.connection.execute(operation, TASKS.format(which=which, kind=kind), remedy=self._remedy)

    def _wait(self, operation: str, tasks: Callable[[], list[Row]]) -> None:
        pause = FIRST_PAUSE
        while unfinished := [row for row in tasks() if row["LIFECYCLE"] != SUCCESS]:
            for row in unfinished:
                _require_no_error(row, operation)
            self.connection.deadline.pause(pause, f"waiting for RDS: {operation}")
            pause = min(2 * pause, LONGEST_PAUSE)


def _require_no_error(task: Row, operation: str) -> None:
    if task["LIFECYCLE"] == ERROR:
        output = said(task["TASK_OUTPUT"] or "no reason given")
        raise StatementFailed(operation, f"RDS's task {task['TASK_ID']} failed: {output}", CORRECT_CAUSE)


@contextmanager
def connect(master: Credential, deadline: Deadline) -> Iterator[Db2Users]:
    """Log in to RDSADMIN; raises NotPermitted if this is not the master user."""
    with ExitStack() as stack:
        try:
            login = db2_connection.connect(replace(master, database=RDSADMIN), deadline)
            connection = stack.enter_context(login)
        except LoginBlocked as error:
            raise _not_the_master(error) from None
        yield Db2Users(connection)


def _not_the_master(error: LoginBlocked) -> NotPermitted | LoginBlocked:
    remedy = "Put the master user of RDS into the admin secret: no other user administers users"
    if NO_CONNECT in error.cause:
        return NotPermitted(error.operation, error.cause, remedy)
    return LoginBlocked(error.operation, error.cause, f"{remedy}. Other servers have no {RDSADMIN}")
