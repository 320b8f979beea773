"""How are users made on RDS for Db2?

Users and groups are not the database's: the server asks its operating system, or what stands for it, and only RDS can
change that. The master user calls procedures in the database RDSADMIN
(https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/db2-sp-granting-revoking-privileges.html). Each is recorded as a
task that may begin and end later (https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/db2-user-defined-functions.html):
it is waited for, while there is time. None of it can be rolled back.

How RDS says that it does not take a password is not documented: it is a task that failed, like any other.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from rotation.credential import Credential
from rotation.deadline import Deadline
from rotation.engines.db2 import connection as db2_session
from rotation.engines.db2.client import Row
from rotation.engines.db2.connection import Session
from rotation.errors import LoginBlocked, NotPermitted, StatementFailed
from rotation.redaction import said

RDSADMIN = "RDSADMIN"

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0
"""Seconds between two looks at a task; doubled each time."""

SUCCESS, ERROR = "SUCCESS", "ERROR"

NO_CONNECT = "SQL1060N"
"""The user may not connect to this database."""

TASKS = (
    "SELECT T.TASK_ID, T.LIFECYCLE, CAST(T.TASK_OUTPUT AS VARCHAR(500)) AS TASK_OUTPUT"
    " FROM TABLE(RDSADMIN.GET_TASK_STATUS({which}, NULL, {kind})) AS T"
)


@dataclass(frozen=True)
class Users:
    """The users of a server, seen by its master user."""

    session: Session

    def exists(self, username: str) -> bool:
        """Tell whether there is such a user.

        The list comes as a text, with heading and count: a line for each user, its name first, and a tab. Nothing but
        AWS's own rotation template says so
        (https://github.com/aws-samples/aws-secrets-manager-rotation-lambdas, SecretsManagerRDSDb2RotationMultiUser).
        """
        rows = self.session.execute("listing the users", "CALL RDSADMIN.LIST_USERS()", remedy=self._remedy)
        text = "\n".join(value for row in rows for value in row.values() if isinstance(value, str))
        names = (line.split()[0] for line in text.splitlines() if line.strip())
        return any(name.upper() == username.upper() for name in names)

    def add(self, username: str, password: str, groups: Iterable[str]) -> None:
        """Make a user, a member of these groups, which are made where they are not there."""
        operation = f"creating {username}"
        self._call(operation, "ADD_USER", "CALL RDSADMIN.ADD_USER(?, ?, ?)", username, password, ",".join(groups))

    def set_password(self, username: str, password: str) -> None:
        """Give a user this password."""
        operation = f"setting the password of {username}"
        self._call(operation, "CHANGE_PASSWORD", "CALL RDSADMIN.CHANGE_PASSWORD(?, ?)", username, password)

    def join(self, username: str, groups: Iterable[str]) -> None:
        """Make a user a member of more groups."""
        operation = f"giving {username} its groups"
        self._call(operation, "ADD_GROUPS", "CALL RDSADMIN.ADD_GROUPS(?, ?)", username, ",".join(groups))

    def leave(self, username: str, groups: Iterable[str]) -> None:
        """Make a user a member of fewer groups."""
        operation = f"taking groups from {username}"
        self._call(operation, "REMOVE_GROUPS", "CALL RDSADMIN.REMOVE_GROUPS(?, ?)", username, ",".join(groups))

    def run(self, operation: str, procedure: str, *arguments: str) -> None:
        """Run a procedure that tells the number of its task, and wait for that one."""
        number, *_ = self.session.call(operation, procedure, (0, *arguments), self._remedy)
        self.session.commit()
        self._wait(operation, lambda: self._tasks(operation, str(int(number)), "NULL"))

    @property
    def _remedy(self) -> str:
        return (
            f"Put the master user into the admin secret: {self.session.username} may not call the rdsadmin procedures"
        )

    def _call(self, operation: str, kind: str, statement: str, *arguments: str) -> None:
        """Run a procedure that does not tell the number of its task; wait for all of that kind that began since.

        Another's may be among them. If one of those fails, this fails, and the rotation is tried again.
        """
        before = {row["TASK_ID"] for row in self._tasks(operation, "NULL", f"'{kind}'")}
        self.session.execute(operation, statement, arguments, self._remedy)
        self.session.commit()
        self._wait(
            operation,
            lambda: [row for row in self._tasks(operation, "NULL", f"'{kind}'") if row["TASK_ID"] not in before],
        )

    def _tasks(self, operation: str, which: str, kind: str) -> list[Row]:
        # No argument of it holds what a user could write. Its columns include the arguments of the task: not read.
        return self.session.execute(operation, TASKS.format(which=which, kind=kind), remedy=self._remedy)

    def _wait(self, operation: str, tasks: Callable[[], list[Row]]) -> None:
        pause = FIRST_PAUSE
        while unfinished := [row for row in tasks() if row["LIFECYCLE"] != SUCCESS]:
            for row in unfinished:
                if row["LIFECYCLE"] == ERROR:
                    output = said(row["TASK_OUTPUT"] or "no reason given")
                    remedy = "Correct the cause. The rotation is tried again by itself"
                    raise StatementFailed(operation, f"RDS's task {row['TASK_ID']} failed: {output}", remedy)
            self.session.deadline.pause(pause, f"waiting for RDS: {operation}")
            pause = min(2 * pause, LONGEST_PAUSE)


@contextmanager
def users(master: Credential, deadline: Deadline) -> Iterator[Users]:
    """Log in to RDSADMIN; raises NotPermitted where that is not the master user's to do."""
    with ExitStack() as stack:
        try:
            session = stack.enter_context(db2_session.connect(Session, replace(master, database=RDSADMIN), deadline))
        except LoginBlocked as error:
            remedy = "Put the master user of RDS into the admin secret: it alone administers users"
            if NO_CONNECT in error.cause:
                raise NotPermitted(error.operation, error.cause, remedy) from None
            raise LoginBlocked(error.operation, error.cause, f"{remedy}. Other servers have no {RDSADMIN}") from None
        yield Users(session)
