"""How does the stand-in for Db2 run SELECT, INSERT, UPDATE, DELETE and VALUES? In SQLite, with its own names."""

# ruff: noqa: S608 - the catalog's own names, and statements that were parsed before

import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.local.stand_ins.db2.answer import Answer, Prepared
from tests.local.stand_ins.db2.catalog import Db2Error, Tokens, is_catalog
from tests.local.stand_ins.db2.privileges import HELD_AS
from tests.local.stand_ins.db2.rdsadmin import RDSADMIN
from tests.local.stand_ins.db2.wire import Column, Value

if TYPE_CHECKING:
    from tests.local.stand_ins.db2.session import Session

INTEGERS = frozenset({"TASK_ID", "ID", "AMOUNT", "1", "2"})
"""Columns that are numbers."""

ASKING = ("DATAACCESS", "DBADM", "SQLADM")
"""Who may ask functions for groups and authorities, of those who have no EXECUTE on them
(https://www.ibm.com/support/knowledgecenter/en/SSEPGG_11.1.0/com.ibm.db2.luw.sql.rtn.doc/doc/r0052898.html)."""

TASK_COLUMNS = ("TASK_ID", "TASK_TYPE", "DATABASE_NAME", "LIFECYCLE", "TASK_OUTPUT")


@dataclass(frozen=True)
class Data:
    """The tables and registers of a session."""

    session: "Session"

    def prepare(self, tokens: Tokens, text: str, verb: str) -> Prepared:
        """Parse a SELECT, INSERT, UPDATE or DELETE; raises Db2Error if the user may not run it."""
        statement, tables = self._resolved(tokens, verb)
        for table, operation in tables:
            self.session.privileges.require_table(operation, table)
        markers = [Column("", length=255)] * tokens.markers
        if verb == "SELECT":
            columns = self._columns(statement, text, len(markers))
            return Prepared(columns or None, markers, lambda values: Answer(columns, self._rows(text, values)))
        return Prepared(None, markers, lambda values: self.session.write(lambda: self._change(statement, text, values)))

    def registers(self, tokens: Tokens) -> Prepared:
        """Answer VALUES (register, …), which needs no right.

        https://www.ibm.com/docs/en/db2/11.5?topic=elements-special-registers
        """
        tokens.require("VALUES", "(")
        values = [self._register(tokens)]
        while tokens.take(","):
            values.append(self._register(tokens))
        tokens.require(")")
        tokens.end()
        columns = [Column(str(number), length=128) for number, _ in enumerate(values, 1)]
        return Prepared(columns, [], lambda _: Answer(columns, [values]))

    def _columns(self, statement: str, text: str, markers: int) -> list[Column]:
        with _translated(text):
            nothing = f"SELECT * FROM ({statement}) LIMIT 0"
            described = self.session.store.execute(nothing, [None] * markers).description
        return [Column(str(name).upper(), str(name).upper() in INTEGERS) for name, *_ in described]

    def _rows(self, text: str, values: Sequence[Value]) -> list[Sequence[Value]]:
        with _translated(text):
            # Parsed again: a table function is called when the statement runs.
            current, _ = self._resolved(Tokens(text), "SELECT")
            return self.session.store.execute(current, values).fetchall()

    def _change(self, statement: str, text: str, values: Sequence[Value]) -> Answer:
        with _translated(text):
            self.session.store.execute(statement, values)
        return Answer()

    def _register(self, tokens: Tokens) -> str:
        if tokens.take("CURRENT", "SERVER"):
            return self.session.database.name
        if tokens.take("CURRENT", "SCHEMA"):
            return self.session.authid
        if tokens.take("CURRENT", "PATH"):
            return f'"SYSIBM","SYSFUN","SYSPROC","SYSIBMADM","{self.session.authid}"'
        if tokens.take("SYSTEM_USER"):
            return self.session.system_user
        if tokens.take("SESSION_USER"):
            return self.session.authid
        raise tokens.unexpected("<special register>")

    def _resolved(self, tokens: Tokens, verb: str) -> tuple[str, list[tuple[str, str]]]:
        """Return the statement for SQLite, with the tables as they are named there; and each table and operation."""
        words: list[str] = []
        tables: list[tuple[str, str]] = []
        seen_from = verb != "SELECT"
        while tokens.at < len(tokens.all):
            token = tokens.all[tokens.at]
            word = tokens.peek()
            if word == "TABLE" and tokens.peek(1) == "(":
                words.append(self._table_function(tokens))
                continue
            if tokens.take("FETCH", "FIRST"):
                words += ["LIMIT", tokens.all[tokens.at].text]
                tokens.at += 1
                tokens.require("ROWS", "ONLY")
                continue
            tokens.at += 1
            words.append(token.text)
            if word in {"FROM", "JOIN", "INTO"} or (word == "UPDATE" and not words[:-1]):
                seen_from = True
                if tokens.peek() == "TABLE":
                    continue
                table = self._table(tokens)
                tables.append((table, "SELECT" if tables else verb))
                words.append(f'"{table}"')
        if not seen_from:
            raise tokens.unexpected("FROM")  # before 12.1, SELECT needs it
        return " ".join(words), tables

    def _table(self, tokens: Tokens) -> str:
        is_qualified = tokens.peek(1) == "."
        schema, name = tokens.qualified(self.session.authid)
        if is_catalog(schema, name) or self.session.registered("TABLE", schema, name):
            return f"{schema}.{name}"
        alias = self.session.registered("ALIAS", schema if is_qualified else "SYSPUBLIC", name)
        if alias:
            return alias[0]
        raise Db2Error(-204, "42704", f"{schema}.{name}")

    def _table_function(self, tokens: Tokens) -> str:
        """Call TABLE(schema.function(argument, …)); return a query for its rows."""
        tokens.require("TABLE", "(")
        function = ".".join(tokens.qualified("SYSPROC"))
        arguments = _arguments(tokens)
        if not any(self.session.privileges.has(authority) for authority in ASKING):
            raise self.session.privileges.no_privilege("EXECUTE", function)
        if function == "SYSPROC.AUTH_LIST_AUTHORITIES_FOR_AUTHID":
            return self._authorities(" ".join(arguments).rpartition(",")[0])
        if function == "SYSPROC.AUTH_LIST_GROUPS_FOR_AUTHID":
            return self._groups(" ".join(arguments))
        if function == "RDSADMIN.GET_TASK_STATUS" and self.session.database.name == RDSADMIN:
            return self._tasks(*"".join(arguments).split(","))
        if function == "RDSADMIN.LIST_DATABASES" and self.session.database.name == RDSADMIN:
            # https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/db2-user-defined-functions.html
            self._fill(
                "databases", ("DATABASE_NAME", "CREATE_TIME"), [(name, "") for name in self.session.instance.databases]
            )
            return "(SELECT * FROM temp.databases)"
        raise Db2Error(-440, "42884", function, "FUNCTION")

    def _groups(self, authid: str) -> str:
        """Return a query for the groups of an authorization ID, which is an expression of SQL."""
        instance = self.session.instance
        rows = [(name.upper(), group) for name in instance.users for group in sorted(instance.groups(name))]
        self._fill("groups_of", ("AUTHID", "GROUP"), rows)
        return f'(SELECT "GROUP" FROM temp.groups_of WHERE AUTHID = {authid})'

    def _authorities(self, authid: str) -> str:
        """Return a query for the authorities of a user, whose name is an expression of SQL."""
        rows = [
            (name.upper(), *row)
            for name in self.session.instance.users
            for row in self.session.privileges.authorities(name.upper())
        ]
        self._fill("authorities_of", ("AUTHID", "AUTHORITY", *HELD_AS), rows)
        return f"(SELECT * FROM temp.authorities_of WHERE AUTHID = {authid})"

    def _tasks(self, number: str, database: str, kind: str) -> str:
        instance = self.session.instance
        with instance.lock:
            tasks = [
                (task.number, task.kind, task.database, task.lifecycle, task.output)
                for task in instance.tasks
                if task.is_listed()
            ]
        self._fill("tasks", TASK_COLUMNS, tasks)
        instance.run_tasks()
        return (
            f"(SELECT * FROM temp.tasks WHERE TASK_ID = coalesce({number}, TASK_ID)"
            f" AND DATABASE_NAME = coalesce({database}, DATABASE_NAME)"
            f" AND TASK_TYPE = coalesce(upper({kind}), TASK_TYPE))"
        )

    def _fill(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Value]]) -> None:
        store, names = self.session.store, ", ".join(f'"{column}"' for column in columns)
        store.execute(f"CREATE TABLE IF NOT EXISTS temp.{name} ({names})")
        store.execute(f"DELETE FROM temp.{name}")
        store.executemany(f"INSERT INTO temp.{name} VALUES ({', '.join('?' * len(columns))})", rows)


def _arguments(tokens: Tokens) -> list[str]:
    """Read `(argument, …))`; return what is inside."""
    depth, first = 0, tokens.at
    while not (tokens.peek() == ")" and depth == 1):
        depth += {"(": 1, ")": -1}.get(tokens.peek(), 0)
        tokens.at += 1
    arguments = [token.text for token in tokens.all[first + 1 : tokens.at]]
    tokens.require(")", ")")
    return arguments


@contextmanager
def _translated(text: str) -> Iterator[None]:
    """Raise Db2Error for an error of SQLite."""
    try:
        yield
    except sqlite3.Error as error:
        if missing := re.search(r"no such column: (\S+)", str(error)):
            raise Db2Error(-206, "42703", missing[1]) from None
        raise Db2Error(-104, "42601", str(error)[:30], text[:20], "?") from None
