"""What does a Db2 instance of RDS do? A stand-in, as far as users, rights and statements about them go.

No Db2 can be run here, so this is made from IBM's and AWS's documentation, and the places that say what is imitated are
beside it. It was never compared with a server. What it takes care of:

- users and groups are the instance's, rights are a database's; nobody logs in to a database without CONNECT;
- databases are RESTRICTIVE: a user runs nothing without EXECUTE on the packages of dynamic SQL;
- the master user has what RDS says, which is not SECADM, and RDSADMIN is its alone;
- the procedures of RDSADMIN take effect a moment after they have returned, and their tasks say when;
- GRANT and REVOKE are transactional, need the right to make them, and refuse what Db2 refuses; users are not;
- a statement that is not understood is SQL0104N.
"""

# ruff: noqa: S608 - the catalog's own names, and statements that were understood before

import re
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.local.stand_ins.db2 import rdsadmin as db2_rdsadmin
from tests.local.stand_ins.db2.catalog import (
    KINDS,
    SYSTEM,
    Clause,
    Db2Error,
    Item,
    Tokens,
    is_catalog,
    read,
    schema,
)
from tests.local.stand_ins.db2.grants import Grants
from tests.local.stand_ins.db2.wire import Column, Value

RDSADMIN = "RDSADMIN"
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
BY_SECADM = frozenset({"ACCESSCTRL", "CREATE_SECURE_OBJECT", "DATAACCESS", "DBADM", "SECADM"})
BY_SYSADM = frozenset({"CREATE_EXTERNAL_ROUTINE", "CREATE_NOT_FENCED_ROUTINE"})
"""Who may grant what: https://www.ibm.com/docs/en/db2/11.5?topic=statements-grant-database-authorities."""
DEFAULT_ROLES = ("ROLE_NULLID_PACKAGES", "ROLE_TABLESPACES", "ROLE_PROCEDURES")
OWNER = "RDSDB"
"""The instance's owner, who may do everything, and as whom nobody logs in."""
INTEGERS = frozenset({"TASK_ID", "ID", "1", "2"})
WITH_DATA = {"SELECT": "SELECT", "INSERT": "INSERT", "UPDATE": "UPDATE", "DELETE": "DELETE"}


@dataclass
class User:
    """A user of the instance."""

    name: str
    password: str
    groups: set[str] = field(default_factory=set)
    is_disabled: bool = False
    is_expired: bool = False

    def change_password(self, password: str) -> None:
        """Have another password."""
        self.password, self.is_expired = password, False


@dataclass
class Task:
    """What RDS was asked to do."""

    number: int
    kind: str
    database: str
    lifecycle: str = "CREATED"
    output: str = ""


class Instance:
    """The users, the databases, and what RDS does for its master user."""

    def __init__(self, directory: Path, master: str, password: str, databases: Sequence[str]) -> None:
        """Make an instance in an empty directory."""
        self.lock = threading.RLock()
        self.users = {master: User(master, password, {"masterdba"})}
        self.master = master
        self.tasks: list[Task] = []
        self.log: list[str] = []
        self.sessions: list[Session] = []
        """All that ever began."""
        self.tried = self.refused = 0
        self.changes_passwords = True
        """Whether users may change their passwords when they log in."""
        self.shortest_password = 0
        """How many bytes the rules ask for, where users change their passwords."""
        self.delay: float | None = None
        """Seconds from the call of a procedure to its effect; else it comes when somebody has looked once in vain, or
        logs in: so often is looked, whatever the machine is busy with."""
        self._waiting: list[Callable[[], None]] = []
        self.databases = {name: Database(self, name, directory / f"{name}.db") for name in (*databases, RDSADMIN)}

    def user(self, name: str) -> User | None:
        """Return a user; names are folded."""
        return self.users.get(name.lower())

    def add(self, name: str, password: str, groups: set[str]) -> None:
        """Make a user, unless it is there."""
        self.users.setdefault(name.lower(), User(name.lower(), password, groups))

    def groups(self, authid: str) -> set[str]:
        """Return the groups of a user, as databases see them."""
        user = self.user(authid)
        return {group.upper() for group in user.groups} if user else set()

    def submit(self, kind: str, database: str, act: Callable[[], object]) -> int:
        """Do something a moment later, and note it."""
        with self.lock:
            task = Task(len(self.tasks) + 1, kind, database)
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

    def settle(self) -> None:
        """Do what was submitted."""
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
        """Make the catalog, and what RDS puts into it."""
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
        """Open the file."""
        store = sqlite3.connect(self.file, isolation_level=None, check_same_thread=False)
        store.setconfig(sqlite3.SQLITE_DBCONFIG_DQS_DML, False)  # noqa: FBT003 - SQLite's; "x" is a name, never a text
        try:
            yield store
        finally:
            store.close()


@dataclass(frozen=True)
class Prepared:
    """A statement that was understood."""

    text: str
    verb: str
    columns: Sequence[Column] | None
    parameters: Sequence[Column]
    run: Callable[[Sequence[Value]], "Answer"]


@dataclass(frozen=True)
class Answer:
    """What a statement returned."""

    columns: Sequence[Column] = ()
    rows: Sequence[Sequence[Value]] = ()
    outputs: Sequence[Value] | None = None


@dataclass
class Session(Grants):
    """A user, logged in to a database."""

    instance: Instance
    database: Database
    authid: str
    store: sqlite3.Connection
    lock_seconds: int = 30
    system_user: str = field(init=False)
    """Who made the connection; `authid` is the SESSION_USER."""
    statements: list[str] = field(default_factory=list)
    """What was sent; not what the client sends of its own."""

    def __post_init__(self) -> None:
        """Begin as who made the connection."""
        self.system_user = self.authid

    # What a client asks for

    def prepare(self, text: str, *, is_clients_own: bool = False) -> Prepared:
        """Understand a statement; raises Db2Error."""
        self.instance.log.append(f"{self.authid} {self.database.name}: {text}")
        tokens = Tokens(text)
        verb = tokens.peek()
        if not is_clients_own:
            self.statements.append(text)
            self._require_package()
        markers = [Column("", length=255)] * tokens.markers
        match verb:
            case "GRANT" | "REVOKE":
                clause = read(tokens, self.authid)
                return Prepared(text, verb, None, markers, lambda _: self._write(lambda: self._apply(clause)))
            case "CALL":
                return self._prepare_call(tokens, text)
            case "CREATE":
                return Prepared(text, verb, None, markers, lambda _: self._write(lambda: self._create(tokens)))
            case "SET":
                return Prepared(text, verb, None, markers, lambda _: self._set(tokens))
            case "VALUES":
                return self._prepare_registers(tokens, text)
            case "SELECT" | "INSERT" | "UPDATE" | "DELETE":
                return self._prepare_data(tokens, text, verb, markers)
        raise tokens.unexpected("<statement>")

    def commit(self) -> None:
        """End the transaction well."""
        if self.store.in_transaction:
            self.store.execute("COMMIT")

    def rollback(self) -> None:
        """Take the transaction back."""
        if self.store.in_transaction:
            self.store.execute("ROLLBACK")

    def may_connect(self) -> bool:
        """Tell whether the user may be here at all."""
        if self.database.name == RDSADMIN:
            return self.authid == self.instance.master.upper()
        return self.has("CONNECT") or self.has("DBADM")

    # What the user may do

    def has(self, authority: str) -> bool:
        """Tell whether the user has an authority on the database, by itself, a group or a role."""
        return self.authid == OWNER or self._holds(KINDS["DATABASE"].view, (), KINDS["DATABASE"].privileges[authority])

    def _require_package(self) -> None:
        package = ("NULLID", "SYSSH200")
        if not (self.has("DATAACCESS") or self._holds("PACKAGEAUTH", package, "EXECUTEAUTH")):
            raise self._no_privilege("EXECUTE", ".".join(package))

    def _holds(self, view: str, keys: Sequence[str], column: str, values: str = "YG") -> bool:
        condition = "".join(f" AND {key} = ?" for key in next(k.keys for k in KINDS.values() if k.view == view))
        query = f'SELECT GRANTEE, GRANTEETYPE, {column} FROM "SYSCAT.{view}" WHERE 1{condition}'
        found = self.store.execute(query, tuple(keys))
        mine = self._identities()
        return any((grantee, kind) in mine and value in values for grantee, kind, value in found)

    def _identities(self) -> set[tuple[str, str]]:
        """Return the user, its groups, PUBLIC, and all roles that these are members of."""
        found = {(self.authid, "U"), ("PUBLIC", "G"), *((group, "G") for group in self.instance.groups(self.authid))}
        roles = self.store.execute('SELECT GRANTEE, GRANTEETYPE, ROLENAME FROM "SYSCAT.ROLEAUTH"').fetchall()
        while True:
            more = {(role, "R") for grantee, kind, role in roles if (grantee, kind) in found} - found
            if not more:
                return found
            found |= more

    def _no_privilege(self, operation: str, thing: str) -> Db2Error:
        return Db2Error(-551, "42501", self.authid, operation, thing)

    def _no_authority(self, operation: str) -> Db2Error:
        return Db2Error(-552, "42502", self.authid, operation)

    # GRANT and REVOKE

    def _apply(self, clause: Clause) -> Answer:
        for item in clause.items:
            self._require_object(item)
            self._require_may_grant(item, clause)
            if clause.grants:
                self.give(item, clause.grantee, clause.grantee_kind, clause.option)
            else:
                self.take(item, clause.grantee, clause.grantee_kind)
        return Answer()

    def _require_may_grant(self, item: Item, clause: Clause) -> None:
        operation = "GRANT" if clause.grants else "REVOKE"
        if (clause.grantee, clause.grantee_kind) == (self.authid, "U") and clause.grants:
            raise Db2Error(-554, "42502", self.authid)
        if self.authid == OWNER or self.has("SECADM"):
            return
        if item.kind in {"LABEL", "EXEMPTION", "SURROGATE"}:
            raise self._no_authority(operation)
        if item.kind == "ROLE":
            admin = self.store.execute(
                "SELECT 1 FROM \"SYSCAT.ROLEAUTH\" WHERE GRANTEE = ? AND ROLENAME = ? AND ADMIN = 'Y'",
                (self.authid, item.keys[0]),
            ).fetchone()
            if not admin or clause.option == "ADMIN":
                raise self._no_privilege(operation, item.keys[0])
        elif item.kind == "DATABASE":
            if item.privilege in BY_SECADM | BY_SYSADM or not self.has("ACCESSCTRL"):
                raise self._no_authority(operation)
        elif not self.has("ACCESSCTRL") and not self._may_pass_on(item):
            raise self._no_privilege(operation, ".".join(item.keys))

    def _may_pass_on(self, item: Item) -> bool:
        if item.kind == "SERVER":
            return False
        kind = KINDS[item.kind]
        if "CONTROL" in kind.privileges and self._holds(kind.view, item.keys, kind.privileges["CONTROL"], "Y"):
            return item.privilege != "CONTROL"
        return self._holds(kind.view, item.keys, kind.privileges[item.privilege], "G")

    def _require_object(self, item: Item) -> None:
        if item.kind == "DATABASE" or item.kind in {"LABEL", "EXEMPTION", "SURROGATE"}:
            return
        if item.kind == "ROUTINE" and not item.keys[1]:
            return
        place, name = ("", item.keys[0]) if len(item.keys) == 1 else item.keys[:2]
        if item.kind == "TABLE" and is_catalog(place, name):
            return
        if not self.registered(item.kind, place, name):
            raise Db2Error(-204, "42704", ".".join(filter(None, (place, name))))

    # Objects and data

    def _create(self, tokens: Tokens) -> Answer:
        tokens.require("CREATE")
        is_public = tokens.take("PUBLIC")
        kind = tokens.identifier()
        if kind in {"ROLE", "SCHEMA"}:
            place, name = "", tokens.identifier()
        elif kind in {"TABLE", "ALIAS", "SEQUENCE", "VARIABLE", "MODULE", "FUNCTION", "PROCEDURE"}:
            place, name = tokens.qualified("SYSPUBLIC" if is_public else self.authid)
        else:
            raise tokens.unexpected("TABLE")
        if kind == "ROLE" and not (self.authid == OWNER or self.has("SECADM")):
            raise self._no_authority("CREATE ROLE")
        creates_here = place and self._holds("SCHEMAAUTH", (place,), "CREATEINAUTH")
        if not (self.has("DBADM") or creates_here or (place == self.authid and self.has("CREATETAB"))):
            raise self._no_authority(f"CREATE {kind}")
        if self.registered(kind, place, name):
            raise Db2Error(-601, "42710", f"{place}.{name}", kind)
        target = ""
        if kind == "ALIAS":
            tokens.require("FOR", "TABLE")
            target = ".".join(tokens.qualified(self.authid))
        if kind == "TABLE":
            self.store.execute(f'CREATE TABLE "{place}.{name}" (ID INTEGER)')
        self.register("ROUTINE" if kind in {"FUNCTION", "PROCEDURE"} else kind, place, name, target)
        keys = (place, name) if place else (name,)
        owned = "ROUTINE" if kind in {"FUNCTION", "PROCEDURE"} else kind
        if owned in KINDS:
            keys = (*keys, kind[0]) if owned == "ROUTINE" else keys
            for privilege in {"CONTROL"} & KINDS[owned].privileges.keys() or KINDS[owned].privileges:
                self.give(Item(privilege, owned, keys), self.authid, "U", "GRANT", SYSTEM)
        return Answer()

    def _prepare_data(self, tokens: Tokens, text: str, verb: str, markers: Sequence[Column]) -> Prepared:
        statement, tables = self._resolved(tokens, verb)
        for table, operation in tables:
            self._require_may(operation, table)
        described: Sequence[Sequence[object]] = ()
        if verb == "SELECT":
            with self._translated(text):
                nothing = f"SELECT * FROM ({statement}) LIMIT 0"
                described = self.store.execute(nothing, [None] * len(markers)).description
        columns = [Column(str(name).upper(), str(name).upper() in INTEGERS) for name, *_ in described]

        def run(values: Sequence[Value]) -> Answer:
            if verb == "SELECT":
                with self._translated(text):
                    # Read again: a table function is called when the statement runs.
                    current, _ = self._resolved(Tokens(text), verb)
                    rows = self.store.execute(current, values).fetchall()
                return Answer(columns, rows)

            def change() -> Answer:
                with self._translated(text):
                    self.store.execute(statement, values)
                return Answer()

            return self._write(change)

        return Prepared(text, verb, columns or None, markers, run)

    def _prepare_registers(self, tokens: Tokens, text: str) -> Prepared:
        """Answer VALUES (register, …), which needs no right.

        https://www.ibm.com/docs/en/db2/11.5?topic=elements-special-registers
        """
        tokens.require("VALUES", "(")
        values: list[str] = []
        while not tokens.take(")"):
            if values:
                tokens.require(",")
            values.append(self._register_of_session(tokens))
        tokens.end()
        columns = [Column(str(number), length=128) for number, _ in enumerate(values, 1)]
        return Prepared(text, "VALUES", columns, [], lambda _: Answer(columns, [values]))

    def _register_of_session(self, tokens: Tokens) -> str:
        if tokens.take("CURRENT", "SERVER"):
            return self.database.name
        if tokens.take("SYSTEM_USER"):
            return self.system_user
        if tokens.take("SESSION_USER"):
            return self.authid
        raise tokens.unexpected("<special register>")

    def _resolved(self, tokens: Tokens, verb: str) -> tuple[str, list[tuple[str, str]]]:
        """Return the statement for SQLite, each table by the name that it has there, and which those are."""
        words: list[str] = []
        tables: list[tuple[str, str]] = []
        seen_from = verb != "SELECT"
        while tokens.at < len(tokens.all):
            token = tokens.all[tokens.at]
            word = tokens.peek()
            if word == "TABLE" and tokens.peek(1) == "(":
                words.append(self._table_function(tokens))
                continue
            tokens.at += 1
            words.append(token.text)
            if word in {"FROM", "JOIN", "INTO"} or (word == "UPDATE" and not words[:-1]):
                seen_from = True
                if tokens.peek() == "TABLE":
                    continue
                table = self._table(tokens)
                tables.append((table, "SELECT" if tables else WITH_DATA[verb]))
                words.append(f'"{table}"')
        if not seen_from:
            raise tokens.unexpected("FROM")  # before 12.1, SELECT wants it
        return " ".join(words), tables

    def _table(self, tokens: Tokens) -> str:
        is_qualified = tokens.peek(1) == "."
        place, name = tokens.qualified(self.authid)
        if is_catalog(place, name) or self.registered("TABLE", place, name):
            return f"{place}.{name}"
        alias = self.registered("ALIAS", place if is_qualified else "SYSPUBLIC", name)
        if alias:
            return alias[0]
        raise Db2Error(-204, "42704", f"{place}.{name}")

    def _require_may(self, operation: str, table: str) -> None:
        place, _, name = table.partition(".")
        if self.has("DATAACCESS"):
            return
        column = KINDS["TABLE"].privileges[operation]
        held = self._holds("TABAUTH", (place, name), column)
        if not held and not self._holds("SCHEMAAUTH", (place,), f"{operation}INAUTH"):
            raise self._no_privilege(operation, table)

    def _table_function(self, tokens: Tokens) -> str:
        """Call TABLE(schema.function(argument, …)); return the table that its rows are in."""
        tokens.require("TABLE", "(")
        function = ".".join(tokens.qualified("SYSPROC"))
        depth, first = 0, tokens.at
        while not (tokens.peek() == ")" and depth == 1):
            depth += {"(": 1, ")": -1}.get(tokens.peek(), 0)
            tokens.at += 1
        arguments = [token.text for token in tokens.all[first + 1 : tokens.at]]
        tokens.require(")", ")")
        if not self.has("DBADM"):
            raise self._no_privilege("EXECUTE", function)
        if function == "SYSPROC.AUTH_LIST_GROUPS_FOR_AUTHID":
            # The authorization ID is its argument, here a condition on all that there are.
            rows = [
                (name.upper(), group) for name in self.instance.users for group in sorted(self.instance.groups(name))
            ]
            self._fill("groups_of", ("AUTHID", "GROUP"), rows)
            return f'(SELECT "GROUP" FROM temp.groups_of WHERE AUTHID = {" ".join(arguments)})'
        if function == "RDSADMIN.GET_TASK_STATUS" and self.database.name == RDSADMIN:
            number, database, kind = "".join(arguments).split(",")
            with self.instance.lock:
                tasks = [(t.number, t.kind, t.database, t.lifecycle, t.output) for t in self.instance.tasks]
            self._fill("tasks", ("TASK_ID", "TASK_TYPE", "DATABASE_NAME", "LIFECYCLE", "TASK_OUTPUT"), tasks)
            self.instance.settle()
            return (
                f"(SELECT * FROM temp.tasks WHERE TASK_ID = coalesce({number}, TASK_ID)"
                f" AND DATABASE_NAME = coalesce({database}, DATABASE_NAME)"
                f" AND TASK_TYPE = coalesce(upper({kind}), TASK_TYPE))"
            )
        raise Db2Error(-440, "42884", function, "FUNCTION")

    def _fill(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Value]]) -> None:
        names = ", ".join(f'"{column}"' for column in columns)
        self.store.execute(f"CREATE TABLE IF NOT EXISTS temp.{name} ({names})")
        self.store.execute(f"DELETE FROM temp.{name}")
        self.store.executemany(f"INSERT INTO temp.{name} VALUES ({', '.join('?' * len(columns))})", rows)

    def _set(self, tokens: Tokens) -> Answer:
        tokens.require("SET")
        if tokens.take("CURRENT", "LOCK", "TIMEOUT"):
            self.lock_seconds = int(tokens.all[tokens.at].text)
            tokens.at += 1
            tokens.end()
        elif tokens.peek() not in {"CURRENT", "CLIENT"}:
            raise tokens.unexpected("CURRENT")
        return Answer()

    def _write(self, act: Callable[[], Answer]) -> Answer:
        """Run a statement that changes something; it waits for another transaction that does, for a while."""
        if not self.store.in_transaction:
            self.store.execute(f"PRAGMA busy_timeout = {1000 * self.lock_seconds}")
            try:
                self.store.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                raise Db2Error(-911, "40001", "68") from None
        self.store.execute("SAVEPOINT statement")
        try:
            answer = act()
        except BaseException:
            self.store.execute("ROLLBACK TO statement")
            raise
        self.store.execute("RELEASE statement")
        return answer

    @contextmanager
    def _translated(self, text: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if missing := re.search(r"no such column: (\S+)", str(error)):
                raise Db2Error(-206, "42703", missing[1]) from None
            raise Db2Error(-104, "42601", str(error)[:30], text[:20], "?") from None

    def elsewhere(self, kind: str, name: str, act: Callable[["Session"], object]) -> int:
        """Have RDS do something as the instance's owner, in another database, a moment later."""
        database = self.instance.databases.get(name.upper())
        if not database:
            raise db2_rdsadmin.refused(f"Database {name} does not exist")

        def run() -> None:
            with database.open() as store:
                owner = Session(self.instance, database, OWNER, store, lock_seconds=5)
                owner._write(lambda: (act(owner), Answer())[1])
                owner.commit()

        return self.instance.submit(kind, name.upper(), run)

    def _prepare_call(self, tokens: Tokens, text: str) -> Prepared:
        tokens.require("CALL")
        place, name = tokens.qualified("SYSPROC")
        procedure = db2_rdsadmin.PROCEDURES.get(name) if place == self.database.name == RDSADMIN else None
        if not procedure:
            raise Db2Error(-440, "42884", f"{place}.{name}", "PROCEDURE")
        markers = [Column("", is_integer=procedure.tells_task and not at, length=255) for at in range(tokens.markers)]

        def run(values: Sequence[Value]) -> Answer:
            arguments = [str(value or "") for value in values[1 if procedure.tells_task else 0 :]]
            outcome = procedure.run(self, *arguments)
            if isinstance(outcome, str):
                return Answer([Column("1", length=LONGEST_VALUE)], list(_values(outcome)))
            return Answer(outputs=[outcome, *arguments]) if procedure.tells_task else Answer()

        return Prepared(text, "CALL", None, markers, run)


LONGEST_VALUE = 30000


def _values(text: str) -> Iterator[tuple[str]]:
    """Yield a text as one value, or more, cut at lines, where it is longer than a value may be."""
    while len(text) > LONGEST_VALUE:
        cut = text.rindex("\n", 0, LONGEST_VALUE)
        yield (text[:cut],)
        text = text[cut + 1 :]
    yield (text,)
