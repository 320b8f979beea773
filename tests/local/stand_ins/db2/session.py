"""How does a session of the stand-in for Db2 run statements, and who may log in?"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.local.stand_ins.db2.answer import Answer, Prepared
from tests.local.stand_ins.db2.catalog import KINDS, SYSTEM, Clause, Db2Error, Item, Tokens, read
from tests.local.stand_ins.db2.data import Data
from tests.local.stand_ins.db2.grants import Grants
from tests.local.stand_ins.db2.privileges import Privileges
from tests.local.stand_ins.db2.rdsadmin import PROCEDURES, RDSADMIN, refused
from tests.local.stand_ins.db2.wire import Column, Value

if TYPE_CHECKING:
    from tests.local.stand_ins.db2.database import Database, Instance

OWNER = "RDSDB"
"""The owner of the instance, who may do everything. Nobody logs in as this user."""

ROUTINES = frozenset({"FUNCTION", "PROCEDURE"})
WITH_SCHEMA = frozenset({"TABLE", "ALIAS", "SEQUENCE", "VARIABLE", "MODULE"}) | ROUTINES
WITHOUT_SCHEMA = frozenset({"ROLE", "SCHEMA"})

LONGEST_VALUE = 30000


@dataclass
class Session(Grants):
    """A user who is logged in to a database."""

    instance: "Instance"
    database: "Database"
    authid: str
    store: sqlite3.Connection
    lock_seconds: int = 30
    system_user: str = field(init=False)
    """Who connected; `authid` is the SESSION_USER."""
    statements: list[str] = field(default_factory=list)
    """What the driver sent, without what the client sends by itself."""

    def __post_init__(self) -> None:
        """Begin as the user who connected."""
        self.system_user = self.authid
        self.privileges = Privileges(self)
        self._data = Data(self)

    @property
    def is_owner(self) -> bool:
        """Whether this is the owner of the instance."""
        return self.authid == OWNER

    def prepare(self, text: str, *, is_clients_own: bool = False) -> Prepared:
        """Parse a statement; raises Db2Error."""
        self.instance.log.append(f"{self.authid} {self.database.name}: {text}")
        tokens = Tokens(text)
        verb = tokens.peek()
        if not is_clients_own:
            self.statements.append(text)
            self.privileges.require_dynamic_sql()
        markers = [Column("", length=255)] * tokens.markers
        match verb:
            case "GRANT" | "REVOKE":
                clause = read(tokens, self.authid)
                return Prepared(None, markers, lambda _: self.write(lambda: self._change_rights(clause)))
            case "CALL":
                return self._prepare_call(tokens)
            case "CREATE":
                return Prepared(None, markers, lambda _: self.write(lambda: self._create(tokens)))
            case "SET":
                return Prepared(None, markers, lambda _: self._set(tokens))
            case "VALUES":
                return self._data.registers(tokens)
            case "SELECT" | "INSERT" | "UPDATE" | "DELETE":
                return self._data.prepare(tokens, text, verb)
        raise tokens.unexpected("<statement>")

    def commit(self) -> None:
        """Commit the transaction."""
        if self.store.in_transaction:
            self.store.execute("COMMIT")

    def rollback(self) -> None:
        """Roll the transaction back."""
        if self.store.in_transaction:
            self.store.execute("ROLLBACK")

    def may_connect(self) -> bool:
        """Tell whether the user may use this database."""
        if self.database.name == RDSADMIN:
            return self.authid == self.instance.master.upper()
        return self.privileges.has("CONNECT") or self.privileges.has("DBADM")

    def write(self, change: Callable[[], Answer]) -> Answer:
        """Run a statement that changes something; it waits for locks of other transactions, for a limited time."""
        if not self.store.in_transaction:
            self.store.execute(f"PRAGMA busy_timeout = {1000 * self.lock_seconds}")
            try:
                self.store.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                raise Db2Error(-911, "40001", "68") from None
        self.store.execute("SAVEPOINT statement")
        try:
            answer = change()
        except BaseException:
            self.store.execute("ROLLBACK TO statement")
            raise
        self.store.execute("RELEASE statement")
        return answer

    def submit(self, kind: str, name: str, change: Callable[["Session"], object]) -> int:
        """Let RDS change something later, in another database, as the owner of the instance; return the task."""
        database = self.instance.databases.get(name.upper())
        if not database:
            raise refused(f"Database {name} does not exist")

        def run() -> None:
            with database.open() as store:
                owner = Session(self.instance, database, OWNER, store, lock_seconds=5)
                owner.write(lambda: (change(owner), Answer())[1])
                owner.commit()

        return self.instance.submit(kind, name.upper(), run)

    def _change_rights(self, clause: Clause) -> Answer:
        for item in clause.items:
            self.privileges.require_grant(item, clause)
            if clause.grants:
                self.give(item, clause.grantee, clause.grantee_kind, clause.option)
            else:
                self.take(item, clause.grantee, clause.grantee_kind)
        return Answer()

    def _create(self, tokens: Tokens) -> Answer:
        tokens.require("CREATE")
        is_public = tokens.take("PUBLIC")
        kind = tokens.identifier()
        if kind not in WITH_SCHEMA | WITHOUT_SCHEMA:
            raise tokens.unexpected("TABLE")
        default = "SYSPUBLIC" if is_public else self.authid
        schema, name = ("", tokens.identifier()) if kind in WITHOUT_SCHEMA else tokens.qualified(default)
        self.privileges.require_create(kind, schema)
        if self.registered(kind, schema, name):
            raise Db2Error(-601, "42710", f"{schema}.{name}", kind)
        target = ""
        if kind == "ALIAS":
            tokens.require("FOR", "TABLE")
            target = ".".join(tokens.qualified(self.authid))
        if kind == "TABLE":
            self.store.execute(f'CREATE TABLE "{schema}.{name}" (ID INTEGER)')
            if any(token.text == "PRIMARY" for token in tokens.all):
                # An unnamed key has an index of SYSIBM: https://www.ibm.com/docs/en/db2/11.5?topic=statements-create-table
                index = (SYSTEM, f"SQL{len(self.instance.log):015}")
                self.register("INDEX", *index)
                self._own("INDEX", index)
        self.register("ROUTINE" if kind in ROUTINES else kind, schema, name, target)
        self._own(kind, (schema, name) if schema else (name,))
        return Answer()

    def _own(self, kind: str, keys: tuple[str, ...]) -> None:
        """Give the user what the owner of a new object gets."""
        if kind in ROUTINES:
            kind, keys = "ROUTINE", (*keys, kind[0])
        if kind in KINDS:
            for privilege in {"CONTROL"} & KINDS[kind].privileges.keys() or KINDS[kind].privileges:
                self.give(Item(privilege, kind, keys), self.authid, "U", "GRANT", SYSTEM)

    def _set(self, tokens: Tokens) -> Answer:
        tokens.require("SET")
        if tokens.take("CURRENT", "LOCK", "TIMEOUT"):
            self.lock_seconds = int(tokens.all[tokens.at].text)
            tokens.at += 1
            tokens.end()
        elif tokens.peek() not in {"CURRENT", "CLIENT"}:
            raise tokens.unexpected("CURRENT")
        return Answer()

    def _prepare_call(self, tokens: Tokens) -> Prepared:
        tokens.require("CALL")
        schema, name = tokens.qualified("SYSPROC")
        procedure = PROCEDURES.get(name) if schema == self.database.name == RDSADMIN else None
        if not procedure:
            raise Db2Error(-440, "42884", f"{schema}.{name}", "PROCEDURE")
        returns_task = procedure.returns_task
        parameters = list(_parameters(tokens))
        if returns_task and parameters[:1] != [None]:
            raise Db2Error(-440, "42884", f"{schema}.{name}", "PROCEDURE")
        markers = [Column("", is_integer=returns_task and not at, length=255) for at in range(parameters.count(None))]

        def run(values: Sequence[Value]) -> Answer:
            left = iter(values)
            given = [next(left) if parameter is None else parameter for parameter in parameters]
            arguments = [str(value or "") for value in given[1 if returns_task else 0 :]]
            outcome = procedure.run(self, *arguments)
            if isinstance(outcome, str):
                return Answer([Column("1", length=LONGEST_VALUE)], list(_values(outcome)))
            return Answer(outputs=[outcome, *arguments]) if returns_task else Answer()

        return Prepared(None, markers, run)


def _parameters(tokens: Tokens) -> Iterator[str | None]:
    """Read `(parameter, …)`: yield the text of a literal, and None for a marker."""
    tokens.require("(")
    while not tokens.take(")"):
        token = tokens.all[tokens.at] if tokens.at < len(tokens.all) else None
        if not token or (token.kind != "text" and token.text != "?"):
            raise tokens.unexpected("<parameter>")
        tokens.at += 1
        yield None if token.text == "?" else token.text[1:-1].replace("''", "'")
        if tokens.peek() != ")":
            tokens.require(",")
    tokens.end()


def _values(text: str) -> Iterator[tuple[str]]:
    """Yield a text as one value; a longer one as several, cut between lines."""
    while len(text) > LONGEST_VALUE:
        cut = text.rindex("\n", 0, LONGEST_VALUE)
        yield (text[:cut],)
        text = text[cut + 1 :]
    yield (text,)
