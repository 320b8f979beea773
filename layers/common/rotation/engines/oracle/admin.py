"""What keeps an admin's session from running, and from showing, what a user wrote?

**Names.** A trigger at login can set the schema in which names are looked for. Views are named with SYS before them; a
function is looked for in the current schema first, and so is the first part of a package's name, be it SYS
(https://docs.oracle.com/en/database/oracle/oracle-database/19/admin/managing-schema-objects.html, "Managing Object Name
Resolution"). So the current schema is SYS before anything is called: only SYS can have an object there.

**Comparisons.** NLS_COMP and NLS_SORT, of the database or of a trigger, can have two names that differ in their case be
one. So each row is compared with the name again, here.

**Triggers.** One on the database, or on the admin's schema, runs with the rights of its owner, and gains none of an
admin's (https://docs.oracle.com/en/database/oracle/oracle-database/19/lnpls/system-triggers.html). But it can read the
statement that fired it (ORA_SQL_TXT), which may hold a new password, and can refuse it. Who makes such triggers has
ADMINISTER DATABASE TRIGGER or CREATE ANY TRIGGER. Unless the operator trusts them, nothing is changed in such a
database.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rotation.engines.driver import foreign_triggers_allowed, refuse_foreign_triggers
from rotation.engines.oracle.connection import NO_SUCH_TABLE, BasicSession, ExpectedError
from rotation.errors import NotPermitted

DICTIONARY = "GRANT SELECT_CATALOG_ROLE TO"

TRIGGERS = (
    "SELECT owner, trigger_name, base_object_type, table_owner, triggering_event FROM sys.dba_triggers"
    " WHERE status = 'ENABLED' AND base_object_type NOT IN ('TABLE', 'VIEW')"
)
OF_SCHEMA = "SCHEMA"
READING = frozenset({"ALTER", "CREATE", "DDL", "DROP", "ERROR", "GRANT", "REVOKE", "SERVERERROR"})
"""The events that a statement of an admin's raises, as DBA_TRIGGERS spells them
(https://docs.oracle.com/en/database/oracle/oracle-database/19/refrn/ALL_TRIGGERS.html). Those of a login show no
statement."""

RDS = "RDSADMIN"
"""The owner of what RDS has on its servers."""

NAMES_OF_SYS = "ALTER SESSION SET CURRENT_SCHEMA = SYS"


class AdminSession(BasicSession):
    """A session that looks at other users, and changes them."""

    _is_bound_to_sys = False
    _has_seen_triggers = False

    def read(
        self, operation: str, view: str, keys: Sequence[str], columns: Sequence[str], names: Iterable[str]
    ) -> list[tuple[Any, ...]]:
        """Return the keys and columns of the rows of a view of SYS's, one of whose keys is exactly one of the names."""
        binds = {f"n{number}": name for number, name in enumerate(names)}
        condition = " OR ".join(f"{key} = :{bind}" for key in keys for bind in binds)
        query = f"SELECT {', '.join([*keys, *columns])} FROM sys.{view} WHERE {condition}"  # noqa: S608 - constants
        rows = self._ask(operation, query, binds)
        return [row for row in rows if not set(binds.values()).isdisjoint(row[: len(keys)])]

    def command(
        self, operation: str, statement: str, remedy: str, expected: frozenset[str] = frozenset(), **arguments: str
    ) -> None:
        """Run a statement that changes another user; see `execute`."""
        self._require_own_triggers(operation)
        self.execute(operation, statement, arguments, remedy, expected)

    def call_package(self, operation: str, calls: str, remedy: str, **arguments: str) -> None:
        """Call procedures of SYS's packages, named without SYS."""
        self._require_own_triggers(operation)
        self.execute(operation, NAMES_OF_SYS)  # again: what came between may have fired a trigger
        self.execute(operation, f"BEGIN {calls} END;", arguments, remedy)

    def _ask(self, operation: str, query: str, arguments: Mapping[str, str]) -> list[tuple[Any, ...]]:
        """Run a query on the data dictionary, which tells a user that may not see it that it is not there."""
        self._look_in_sys(operation)
        try:
            return self.execute(operation, query, arguments, expected=frozenset({NO_SUCH_TABLE}))
        except ExpectedError:
            cause = "the data dictionary cannot be read"
            raise NotPermitted(f"{operation} as {self.username}", cause, f"{DICTIONARY} {self.username}") from None

    def _look_in_sys(self, operation: str) -> None:
        if not self._is_bound_to_sys:
            self.execute(operation, NAMES_OF_SYS)
            self._is_bound_to_sys = True

    def _require_own_triggers(self, operation: str) -> None:
        """Raise Unsafe if triggers of others would see what is sent; asked once."""
        if self._has_seen_triggers or foreign_triggers_allowed():
            return
        found = [
            (str(owner), f"{owner}.{name}")
            for owner, name, base, schema, events in self._ask(f"looking for triggers before {operation}", TRIGGERS, {})
            if (base.strip() != OF_SCHEMA or schema == self.username) and READING & set(events.split())
        ]
        owners = sorted({owner for owner, _ in found} - {self.username, RDS})
        if owners:
            rows = self.read(operation, "all_users", ["username"], ["oracle_maintained"], owners)
            foreign = set(owners) - {name for name, maintained in rows if maintained == "Y"}
            refuse_foreign_triggers(operation, sorted(name for owner, name in found if owner in foreign))
        self._has_seen_triggers = True
