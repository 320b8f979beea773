"""How does an admin look at other users and change them, without running or showing what users wrote?

**Names.** A logon trigger can set the schema in which names are looked up. We name views with SYS before them; but a
function is looked up in the current schema first, and so is the first part of a package's name, even if it is SYS
(https://docs.oracle.com/en/database/oracle/oracle-database/19/admin/managing-schema-objects.html, "Managing Object Name
Resolution"). So the current schema is SYS before anything is called: only SYS can have objects there.

**Comparisons.** With NLS_COMP and NLS_SORT, which the database or a trigger can set, names that differ in case only
can be equal. So each row is compared with the name again, here.

**Many views.** What is asked of several views about the same users is asked in one statement (UNION ALL): one round
trip. Its answers count as those to the single questions. If it has too many rows, or takes too long, or fails because
one of the views cannot be read or has a column of another type, each question is asked alone, and fails alone.

**Triggers.** A trigger on the database, or on the admin's schema, runs with the rights of its owner, and gains none of
the admin's (https://docs.oracle.com/en/database/oracle/oracle-database/19/lnpls/system-triggers.html). But it can read
the statement that fired it (ORA_SQL_TXT), which can hold a new password, and it can refuse the statement. Its
author needs ADMINISTER DATABASE TRIGGER or CREATE ANY TRIGGER. Unless the operator trusts such authors, nothing is
changed in such a database.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from rotation.engines.driver import ExpectedError, foreign_triggers_allowed, refuse_foreign_triggers
from rotation.engines.look import Look
from rotation.engines.oracle.connection import OracleConnection, Rows
from rotation.engines.oracle.rights import SYS, identifier, packaged_name
from rotation.errors import NotPermitted
from rotation.values import dataclass

NO_SUCH_TABLE = "ORA-00942"

VIEW = re.compile(r" FROM sys\.(\S+)")
"""The view that a query of ours reads."""

TRIGGERS = (
    "SELECT owner, trigger_name, base_object_type, table_owner, triggering_event, when_clause FROM sys.dba_triggers"
    " WHERE status = 'ENABLED' AND base_object_type NOT IN ('TABLE', 'VIEW')"
)
ON_SCHEMA = "SCHEMA"
EVENTS_WITH_STATEMENT = frozenset({"ALTER", "CREATE", "DDL", "DROP", "ERROR", "GRANT", "REVOKE", "SERVERERROR"})
"""The events that an admin's statement raises, as DBA_TRIGGERS spells them
(https://docs.oracle.com/en/database/oracle/oracle-database/19/refrn/ALL_TRIGGERS.html). The events of a login show no
statement."""

RDS = "RDSADMIN"
"""The owner of the objects that RDS has on its servers."""

NUMBERS: Final = frozenset({"job", "lower_port", "max_bytes", "upper_port", "user_id"})
"""The columns that are numbers, of those that are read; all others are texts."""

NOT_TOGETHER: Final = frozenset(
    {NO_SUCH_TABLE, "ORA-00932", "ORA-00997", "ORA-01790", "ORA-12704", "ORA-01013", "DPY-4024"}
)
"""A view is missing or cannot be read; columns of two views have other types, or other character sets; it took too
long (two codes)."""

NAMES_OF_SYS = "ALTER SESSION SET CURRENT_SCHEMA = SYS"


@dataclass(frozen=True)
class Question:
    """What `OracleAdmin.read` is asked of a view of SYS; without keys, all of its rows."""

    view: str
    keys: tuple[str, ...]
    columns: tuple[str, ...]

    def query(self, binds: Iterable[str]) -> str:
        """Return the query, for the bind variables that have the names."""
        return f"SELECT {', '.join([*self.keys, *self.columns])}{self._source(binds)}"

    def part(self, number: int, width: int, binds: Iterable[str]) -> str:
        """Return this query as a part of a larger one: after its number, its columns as texts, filled up with NULL."""
        texts = [f"TO_CHAR({column})" if column in NUMBERS else column for column in (*self.keys, *self.columns)]
        filled = [f"'{number}'", *texts, *["NULL"] * (width - len(texts))]
        return f"SELECT {', '.join(filled)}{self._source(binds)}"

    def _source(self, binds: Iterable[str]) -> str:
        condition = " OR ".join(f"{key} = :{bind}" for key in self.keys for bind in binds)
        return f" FROM sys.{self.view}{f' WHERE {condition}' if condition else ''}"


class OracleAdmin:
    """Reads the data dictionary, and changes other users, over one connection."""

    def __init__(self, connection: OracleConnection) -> None:
        self.connection = connection
        self.look = Look()
        """What was read of the data dictionary."""
        self._schema = ""
        """The current schema as this session has set it; empty: that of the login."""
        self._known_triggers: Rows | None = None
        self._has_checked_triggers = False

    def read(
        self, operation: str, view: str, keys: Sequence[str], columns: Sequence[str], names: Iterable[str]
    ) -> Rows:
        """Return keys and columns of those rows of a view of SYS in which a key is exactly one of the names."""
        binds = _binds(names)
        rows = self._query(operation, Question(view, tuple(keys), tuple(columns)).query(binds), binds)
        return [row for row in rows if not set(binds.values()).isdisjoint(row[: len(keys)])]

    def read_all(self, operation: str, view: str, columns: Sequence[str]) -> Rows:
        """Return columns of all rows of a view of SYS."""
        return self._query(operation, Question(view, (), tuple(columns)).query(()), {})

    def read_ahead(self, operation: str, questions: Sequence[Question], names: Iterable[str]) -> None:
        """Ask all of this in one statement, if that is possible; `read` and `read_all` find the answers in the look."""
        binds = _binds(names)
        asked = [one.query(binds) for one in questions]
        self.look.once(("together", *asked, *binds.values()), lambda: self._ask_together(operation, questions, binds))

    def _ask_together(self, operation: str, questions: Sequence[Question], binds: Mapping[str, str]) -> tuple[()]:
        width = max(len(one.keys) + len(one.columns) for one in questions)
        query = " UNION ALL ".join(one.part(number, width, binds) for number, one in enumerate(questions))
        self.resolve_in_sys(operation)
        rows = None
        with suppress(ExpectedError):
            rows = self.connection.at_once(operation, query, binds, NOT_TOGETHER)
        for one, answer in zip(questions, _apart(rows, len(questions)), strict=False):
            self._keep(one, answer, binds)
        return ()

    def _keep(self, question: Question, rows: Rows, binds: Mapping[str, str]) -> None:
        """Let the look have these rows as the answer to a question."""
        values = binds.values() if question.keys else ()
        width = len(question.keys) + len(question.columns)
        self.look.once((question.query(binds), *values), lambda: [row[:width] for row in rows])

    def change(self, operation: str, statement: str, remedy: str, expected: frozenset[str] = frozenset()) -> None:
        """Run a statement that changes another user; see `OracleConnection.execute`."""
        self.look.end()
        self.refuse_foreign_triggers(operation)
        self.connection.execute(operation, statement, {}, remedy, expected)

    def call_package(
        self,
        operation: str,
        calls: str,
        arguments: Mapping[str, str],
        remedy: str,
        expected: frozenset[str] = frozenset(),
    ) -> None:
        """Call procedures of SYS's packages; `calls` names them without SYS."""
        self.look.end()
        self.refuse_foreign_triggers(operation)
        self.connection.execute(operation, NAMES_OF_SYS)  # again: statements since then can have fired a trigger
        self.connection.execute(operation, f"BEGIN {calls} END;", arguments, remedy, expected)

    def triggers(self, operation: str) -> Rows:
        """Return all enabled triggers on the database or a schema, as TRIGGERS says; read once."""
        if self._known_triggers is None:
            self._known_triggers = self._query(operation, TRIGGERS, {})
        return self._known_triggers

    def resolve_in_sys(self, operation: str) -> None:
        """Make SYS the schema in which names are looked up; done once."""
        if self._schema != SYS:
            self.connection.execute(operation, NAMES_OF_SYS)
            self._schema = SYS

    def resolve_in_own_schema(self) -> None:
        """Resolve names in the user's own schema: views of the own account depend on it, and a trigger can set it."""
        schema = self.connection.username
        statement = f"ALTER SESSION SET CURRENT_SCHEMA = {identifier(schema)}"
        self.connection.execute("choosing the user's own schema", statement)
        self._schema = schema

    def be_as_at_login(self) -> None:
        """Log in again, if this session has set the current schema: it can have been that of a logon trigger."""
        if self._schema:
            self.connection.log_in_again()
            self._schema = ""

    def refuse_foreign_triggers(self, operation: str) -> None:
        """Raise Unsafe if triggers of others would see what is sent; looked up once."""
        if self._has_checked_triggers or foreign_triggers_allowed():
            return
        found = self._fired(f"looking up triggers before {operation}")
        owners = sorted({owner for owner, _ in found} - {self.connection.username, RDS})
        if owners:
            rows = self.read(operation, "all_users", ["username"], ["oracle_maintained"], owners)
            foreign = set(owners) - {name for name, maintained in rows if maintained == "Y"}
            refuse_foreign_triggers(operation, sorted(name for owner, name in found if owner in foreign))
        self._has_checked_triggers = True

    def _query(self, operation: str, query: str, arguments: Mapping[str, str]) -> Rows:
        """Query the data dictionary, once in a look."""
        return self.look.once((query, *arguments.values()), lambda: self._query_now(operation, query, arguments))

    def _query_now(self, operation: str, query: str, arguments: Mapping[str, str]) -> Rows:
        """Query the data dictionary; a user without the right to see a view gets the error that it does not exist."""
        self.resolve_in_sys(operation)
        try:
            return self.connection.execute(operation, query, arguments, expected=frozenset({NO_SUCH_TABLE}))
        except ExpectedError:
            username = self.connection.username
            [view] = VIEW.findall(query)
            cause = f"SYS.{view.upper()} cannot be read"
            name = packaged_name(username)
            remedy = f"GRANT SELECT_CATALOG_ROLE TO {name}; or GRANT SELECT ON SYS.{view.upper()} TO {name}"
            raise NotPermitted(f"{operation} as {username}", cause, remedy) from None

    def _fired(self, operation: str) -> list[tuple[str, str]]:
        """Return owners and names of the triggers that an admin's statement fires."""
        return [
            (str(owner), f"{owner}.{name}")
            for owner, name, base, schema, events, _ in self.triggers(operation)
            if (base.strip() != ON_SCHEMA or schema == self.connection.username)
            and EVENTS_WITH_STATEMENT & set(events.split())
        ]


def _apart(rows: Rows | None, questions: int) -> list[Rows]:
    """Return the answer to each question; none if there is a row of no question. A number can come with blanks."""
    answers = [[row[1:] for row in rows or () if str(row[0]).strip() == str(number)] for number in range(questions)]
    return answers if rows is not None and sum(map(len, answers)) == len(rows) else []


def _binds(names: Iterable[str]) -> dict[str, str]:
    """Return names as bind variables."""
    return {f"n{number}": name for number, name in enumerate(names)}
