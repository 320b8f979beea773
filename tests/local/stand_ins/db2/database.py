"""What does the stand-in for RDS for Db2 know? Users, tasks and databases.

Db2 cannot run here. So this is written from the documentation of IBM and AWS, which is linked beside the code. It was
never compared with a server. It follows these rules:

- users and groups belong to the instance, rights belong to a database; nobody logs in to a database without CONNECT;
- databases are RESTRICTIVE: a user runs nothing without EXECUTE on the packages of dynamic SQL;
- the master user has the authorities that RDS documents, without SECADM; only the master user enters RDSADMIN;
- the procedures of RDSADMIN take effect after they return, and their tasks say when;
- GRANT and REVOKE are transactional, need the right to grant, and refuse what Db2 refuses; changes of users are not
  transactional;
- an unknown statement is SQL0104N.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.local.stand_ins.db2.catalog import Db2Error, Item, schema
from tests.local.stand_ins.db2.rdsadmin import RDSADMIN
from tests.local.stand_ins.db2.session import OWNER, Session

MASTER_AUTHORITIES = (
    "DBADM",
    "DATAACCESS",
    "ACCESSCTRL",
    "BINDADD",
    "CONNECT",
    "CREATETAB",
    "CREATE_SECURE_OBJECT",
    "EXPLAIN",
    "IMPLICIT_SCHEMA",
    "LOAD",
    "SQLADM",
    "WLMADM",
)
"""https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.MasterAccounts.html"""
DEFAULT_ROLES = ("ROLE_NULLID_PACKAGES", "ROLE_TABLESPACES", "ROLE_PROCEDURES")


@dataclass
class User:
    """A user of the instance."""

    name: str
    password: str
    groups: set[str] = field(default_factory=set)
    is_disabled: bool = False
    is_expired: bool = False

    def change_password(self, password: str) -> None:
        """Replace the password."""
        self.password, self.is_expired = password, False


@dataclass
class Task:
    """Work for RDS, from the call of a procedure."""

    number: int
    kind: str
    database: str
    lifecycle: str = "CREATED"
    output: str = ""
    hidden: int = 0
    """How many queries for tasks do not list it: no document says that a task is there when its call returns."""

    def is_listed(self) -> bool:
        """Tell whether a query lists it, which is asked once per query."""
        self.hidden, is_hidden = max(0, self.hidden - 1), self.hidden > 0
        return not is_hidden


class Instance:
    """The users and databases, and the tasks that RDS runs for its master user."""

    def __init__(self, directory: Path, master: str, password: str, databases: Sequence[str]) -> None:
        """Create an instance in an empty directory."""
        self.lock = threading.RLock()
        self.users = {master: User(master, password, {"masterdba"})}
        self.master = master
        self.tasks: list[Task] = []
        self.log: list[str] = []
        self.sessions: list[Session] = []
        """All sessions since the start."""
        self.tried = self.refused = 0
        self.changes_passwords = True
        """Whether users can change their passwords when they log in."""
        self.shortest_password = 0
        """How many bytes the server's rules ask for if users change their passwords."""
        self.delay: float | None = None
        """Seconds from the call of a procedure to its effect. If None, tasks run at the next login, or after the next
        query for tasks, so that the speed of the machine does not change the number of queries."""
        self.hidden = 0
        """How many queries for tasks do not list a new task."""
        self._waiting: list[Callable[[], None]] = []
        self.databases = {name: Database(self, name, directory / f"{name}.db") for name in (*databases, RDSADMIN)}

    def user(self, name: str) -> User | None:
        """Return a user, whatever the case of the name."""
        return self.users.get(name.lower())

    def add(self, name: str, password: str, groups: set[str]) -> None:
        """Create a user; a task finds one that another task has created since the call."""
        if self.user(name):
            raise Db2Error(-438, "75000", f"Username {name} already exists")
        self.users[name.lower()] = User(name.lower(), password, groups)

    def groups(self, authid: str) -> set[str]:
        """Return the groups of a user, in upper case as databases show them."""
        user = self.user(authid)
        return {group.upper() for group in user.groups} if user else set()

    def submit(self, kind: str, database: str, act: Callable[[], object]) -> int:
        """Record a task, and run it later; return its number."""
        with self.lock:
            task = Task(len(self.tasks) + 1, kind, database, hidden=self.hidden)
            self.tasks.append(task)

        def run() -> None:
            with self.lock:
                task.lifecycle = "IN_PROGRESS"
                try:
                    act()
                except Db2Error as error:
                    task.output = f"Caught exception during executing task id {task.number}, Aborting task. {error}"
                    task.lifecycle = "ERROR"
                else:
                    task.output, task.lifecycle = "Task execution has completed successfully", "SUCCESS"

        if self.delay is None:
            self._waiting.append(run)
        else:
            timer = threading.Timer(self.delay, run)
            timer.daemon = True
            timer.start()
        return task.number

    def run_tasks(self) -> None:
        """Run the tasks that wait."""
        with self.lock:
            waiting, self._waiting = self._waiting, []
            for run in waiting:
                run()


@dataclass
class Database:
    """A database of the instance."""

    instance: Instance
    name: str
    file: Path

    def __post_init__(self) -> None:
        """Create the catalog, and what RDS puts into it."""
        with self.open() as store:
            store.execute("PRAGMA journal_mode = WAL")
            store.execute("PRAGMA synchronous = OFF")
            store.execute("BEGIN")
            for statement in schema():
                store.execute(statement)
            owner = Session(self.instance, self, OWNER, store)
            master = self.instance.master.upper()
            for kind, place, name in (
                ("TABLESPACE", "", "USERSPACE1"),
                ("WORKLOAD", "", "SYSDEFAULTUSERWORKLOAD"),
                ("PACKAGE", "NULLID", "SYSSH200"),
                *(("ROLE", "", role) for role in DEFAULT_ROLES),
            ):
                owner.register(kind, place, name)
            for privilege in MASTER_AUTHORITIES:
                owner.give(Item(privilege, "DATABASE", without=frozenset({"DATAACCESS", "ACCESSCTRL"})), master, "U")
            for role in DEFAULT_ROLES:
                owner.give(Item("ROLE", "ROLE", (role,)), master, "U", "ADMIN")
            owner.give(Item("EXECUTE", "PACKAGE", ("NULLID", "SYSSH200")), "ROLE_NULLID_PACKAGES", "R")
            owner.give(Item("USAGE", "WORKLOAD", ("SYSDEFAULTUSERWORKLOAD",)), "PUBLIC", "G")
            store.execute("COMMIT")

    @contextmanager
    def open(self) -> Iterator[sqlite3.Connection]:
        """Open the file for the time of the block."""
        store = self.connect()
        try:
            yield store
        finally:
            store.close()

    def connect(self) -> sqlite3.Connection:
        """Open the file."""
        store = sqlite3.connect(self.file, isolation_level=None, check_same_thread=False)
        store.setconfig(sqlite3.SQLITE_DBCONFIG_DQS_DML, False)  # noqa: FBT003 - SQLite's; "x" is a name, never a text
        return store
