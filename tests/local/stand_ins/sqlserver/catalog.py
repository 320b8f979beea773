"""What does the stand-in for SQL Server know, and who has which permission?

All of it is in tables of one SQLite database in memory, in the shape of SQL Server's catalog views. So a query is
really evaluated, and a transaction is really rolled back. Permissions are looked up as the documentation says: DENY
wins, roles pass permissions to their members, and a permission on a higher scope covers the lower ones
(https://learn.microsoft.com/en-us/sql/relational-databases/security/permissions-hierarchy-database-engine).
"""

import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tests.local.stand_ins.sqlserver import things
from tests.local.stand_ins.sqlserver.backend import SqlError, Value
from tests.local.stand_ins.sqlserver.tables import (
    DATABASE,
    DB_OWNER,
    DBO,
    GUEST,
    OBJECT,
    OF_SCHEMA,
    OF_SERVER,
    PRINCIPAL,
    PUBLIC,
    RESTRICTED_USER,
    ROLES_GIVE,
    SCHEMA,
    SECURITYADMIN,
    SERVER,
    SERVER_PRINCIPAL,
    SERVER_PUBLIC,
    SINGLE_USER,
    SYSADMIN,
    WHOLE_DATABASE,
    WHOLE_SERVER,
    Securable,
    Viewer,
)

STATE_ERRORS = {
    1: (927, ". It is in the middle of a restore"),
    5: (946, " because it is in emergency mode"),
    6: (942, " because it is offline"),
}
"""Which error USE gets in a database that is not online, by its state
(https://learn.microsoft.com/en-us/sql/relational-databases/errors-events/database-engine-events-and-errors). What a
login without sysadmin gets in the state EMERGENCY, no page says."""


class Catalog:
    """The tables, and what they say about users and permissions."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.sqlite = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None, cached_statements=1000)
        self.sqlite.executescript(SCHEMA + things.TABLES)
        self.user_code: list[tuple[str, str]] = []
        """Who has run code of a user, and which."""
        self._answers: dict[tuple[object, ...], Any] = {}
        """What was found out about users and permissions since the last change: each row of a view asks for it."""
        self._changes = 0

    def run(self, statement: str, *values: Value) -> list[tuple[Any, ...]]:
        """Run a statement of SQLite."""
        if statement.startswith("ROLLBACK"):  # SQLite does not count that as a change
            self._answers.clear()
        return self.sqlite.execute(statement, values).fetchall()

    def one(self, statement: str, *values: Value) -> Any:  # noqa: ANN401 - whatever the cell holds
        """Return the first cell; None if there is no row."""
        rows = self.run(statement, *values)
        return rows[0][0] if rows else None

    def get(self, table: str, column: str, **where: Value) -> Any:  # noqa: ANN401 - whatever the cell holds
        """Return a cell of the row that has these values; None if there is no such row."""
        return self.one(f"SELECT {column} FROM {table}{_where(where)}", *where.values())  # noqa: S608 - constants

    def insert(self, table: str, **values: Value) -> None:
        """Add a row."""
        marks = ", ".join("?" * len(values))
        self.run(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})", *values.values())  # noqa: S608 - constants

    def update(self, table: str, values: Mapping[str, Value], **where: Value) -> None:
        """Change the rows that have these values."""
        for column, value in values.items():
            self.run(f"UPDATE {table} SET {column} = ?{_where(where)}", value, *where.values())  # noqa: S608 - constants

    def delete(self, table: str, **where: Value) -> None:
        """Delete the rows that have these values."""
        self.run(f"DELETE FROM {table}{_where(where)}", *where.values())  # noqa: S608 - constants

    def next_id(self, table: str, column: str, first: int) -> int:
        """Return a free id that is below those of fixed database roles."""
        return int(
            self.one(f"SELECT max({first}, coalesce(max({column}) + 1, 0)) FROM {table} WHERE {column} < {DB_OWNER}")  # noqa: S608
        )

    # Who has which permission

    def _kept[T](self, answer: Callable[[], T], *question: object) -> T:
        """Return the answer to a question, which is the same until a row of any table changes."""
        if self._changes != self.sqlite.total_changes:
            self._answers.clear()
            self._changes = self.sqlite.total_changes
        if question not in self._answers:
            self._answers[question] = answer()
        found: T = self._answers[question]
        return found

    def server_groups(self, login: int | None) -> set[int]:
        """Return a login and its roles."""
        return self._kept(lambda: self._server_groups(login), "server groups", login)

    def _server_groups(self, login: int | None) -> set[int]:
        found, new = {SERVER_PUBLIC}, {login} if login is not None else set()
        while new:
            found |= new
            roles = "SELECT role_principal_id FROM server_role_members WHERE member_principal_id = ?"
            new = {row[0] for member in new for row in self.run(roles, member)} - found
        return found

    def allows_server(self, viewer: Viewer, permission: str, on: Securable = WHOLE_SERVER) -> bool:
        """Tell whether a viewer has a permission on the server, or on a login or server role."""
        question = ("on the server", *viewer.who, permission, on)
        return self._kept(lambda: self._allows_server(viewer, permission, on), *question)

    def _allows_server(self, viewer: Viewer, permission: str, on: Securable) -> bool:
        groups = self.server_groups(viewer.login)
        if SYSADMIN in groups:
            return True
        if permission == "ALTER ANY LOGIN" and SECURITYADMIN in groups:
            return True
        wanted = {permission, "CONTROL"} if on.class_id == SERVER_PRINCIPAL else {permission, "CONTROL SERVER"}
        states = self._states("server_permissions", "", groups, on, wanted)
        if "DENY" in states:
            return False
        return bool(states) or (on.class_id != SERVER and self.allows_server(viewer, "CONTROL SERVER"))

    def user_in(self, viewer: Viewer, database: str) -> int | None:
        """Return the user that a viewer is in a database; None if it cannot enter."""
        return self._kept(lambda: self._enters(viewer, database), "user in", *viewer.who, database)

    def _enters(self, viewer: Viewer, database: str) -> int | None:
        query = "SELECT owner_sid, has_guest, state OR is_secondary = 1, user_access FROM databases WHERE name = ?"
        row = self.run(query, database)
        if not row or row[0][2]:
            return None
        user = self._user_in(viewer, database, *row[0][:2])
        here = viewer.database.lower() == database.lower()
        if row[0][3] == SINGLE_USER:
            return user if here else None
        if row[0][3] == RESTRICTED_USER and user is not None:
            return user if {DBO, DB_OWNER} & self.database_groups(self.spelled(database), user) else None
        return user

    def require_entry(self, viewer: Viewer, database: str) -> int:
        """Return the user that a viewer is in a database; raises the error of one that it cannot enter."""
        if not self.get("databases", "1", name=database):
            raise SqlError(911, f"Database '{database}' does not exist. Make sure that the name is entered correctly.")
        if state := self.get("databases", "state", name=database):
            number, why = STATE_ERRORS[state]
            raise SqlError(number, f"Database '{database}' cannot be opened{why}.", 14)
        if self.get("databases", "is_secondary = 1", name=database):
            text = f"The target database, '{database}', is participating in an availability group and is currently not"
            raise SqlError(976, f"{text} accessible for queries.", 14)
        user = self.user_in(viewer, database)
        if user is None:
            raise SqlError(916, f'The server principal is not able to access the database "{database}".', 14)
        return user

    def _user_in(self, viewer: Viewer, database: str, owner_sid: bytes, has_guest: int) -> int | None:
        if viewer.login is None:
            return viewer.user if viewer.database.lower() == database.lower() else None
        if SYSADMIN in self.server_groups(viewer.login):
            return DBO
        sid = self.one("SELECT sid FROM server_principals WHERE principal_id = ?", viewer.login)
        if sid == owner_sid:
            return DBO
        found = self.one(
            "SELECT principal_id FROM database_principals WHERE db = ? AND sid = ?", self.spelled(database), sid
        )
        return found if found is not None else (GUEST if has_guest or self._lets_guests_in(database) else None)

    def _lets_guests_in(self, database: str) -> bool:
        """Tell whether guest has CONNECT, which lets in all who have no user (principals-database-engine)."""
        key: dict[str, Value] = {"db": self.spelled(database), "class": DATABASE, "grantee_principal_id": GUEST}
        return bool(self.get("database_permissions", "1", **key, permission_name="CONNECT", state_desc="GRANT"))

    def spelled(self, database: str) -> str:
        """Return a database's name as it was created."""
        return str(self.one("SELECT name FROM databases WHERE name = ?", database))

    def database_groups(self, database: str, user: int) -> set[int]:
        """Return a user and its roles."""
        return self._kept(lambda: self._database_groups(database, user), "database groups", database, user)

    def _database_groups(self, database: str, user: int) -> set[int]:
        found, new = {PUBLIC}, {user}
        while new:
            found |= new
            roles = "SELECT role_principal_id FROM database_role_members WHERE db = ? AND member_principal_id = ?"
            new = {row[0] for member in new for row in self.run(roles, database, member)} - found
        return found

    def allows(self, viewer: Viewer, permission: str, on: Securable = WHOLE_DATABASE) -> bool:
        """Tell whether a viewer has a permission in its database."""
        return self._kept(lambda: self._allows(viewer, permission, on), "allows", *viewer.who, permission, on)

    def _allows(self, viewer: Viewer, permission: str, on: Securable) -> bool:
        user = self.user_in(viewer, viewer.database)
        if user is None:
            return False
        if user == DBO:
            return True
        groups = self.database_groups(viewer.database, user)
        states = [
            state
            for scope in self._scopes(viewer.database, on)
            for state in self._states(
                "database_permissions", viewer.database, groups, scope, self._covering(permission, on, scope)
            )
        ]
        if "DENY" in states:
            return False
        by_role = any(permission in ROLES_GIVE.get(group, ()) for group in groups)
        return bool(
            states or by_role or DB_OWNER in groups or self.owner(viewer.database, on) in groups
        ) or self.allows_server(viewer, "VIEW ANY DEFINITION" if permission == "VIEW DEFINITION" else "CONTROL SERVER")

    def can_grant(self, viewer: Viewer, permission: str, on: Securable) -> bool:
        """Tell whether a viewer can grant a permission: it has CONTROL, or the permission WITH GRANT OPTION."""
        if on.class_id in OF_SERVER:
            rows = self._states("server_permissions", "", self.server_groups(viewer.login), on, {permission})
            control = self.allows_server(viewer, "CONTROL SERVER" if on.class_id == SERVER else "CONTROL", on)
            if on.class_id == SERVER_PRINCIPAL:
                # "For logins, requires CONTROL permission on the login or ALTER ANY LOGIN permission on the server"
                # (grant-server-principal-permissions-transact-sql), of roles alike.
                letter = self.get("server_principals", "type", principal_id=on.major)
                control |= self.allows_server(viewer, "ALTER ANY SERVER ROLE" if letter == "R" else "ALTER ANY LOGIN")
        else:
            user = self.user_in(viewer, viewer.database)
            groups = self.database_groups(viewer.database, user) if user is not None else set()
            rows = self._states("database_permissions", viewer.database, groups, on, {permission})
            control = self.allows(viewer, "CONTROL", on)
        return control or "GRANT_WITH_GRANT_OPTION" in rows

    def _covering(self, permission: str, on: Securable, scope: Securable) -> set[str]:
        wanted = {permission, "CONTROL"}
        if scope != on and on.class_id == PRINCIPAL and permission in {"ALTER", "VIEW DEFINITION"}:
            wanted |= {"ALTER ANY USER", "ALTER ANY ROLE"}
        return wanted

    def _scopes(self, database: str, on: Securable) -> list[Securable]:
        """Return a securable and those that contain it."""
        scopes = [on]
        if on.class_id == OBJECT:
            home = "SELECT schema_id FROM all_objects WHERE db = ? AND object_id = ?"
            scopes.append(Securable(OF_SCHEMA, self.one(home, database, on.major)))
        return [*scopes, Securable(DATABASE)] if on.class_id != DATABASE else scopes

    def owner(self, database: str, on: Securable) -> int | None:
        """Return the owner of a securable in a database; None if its owner has no special rights here."""
        if on.class_id == OBJECT:
            schema, owner = (
                self.get("all_objects", column, db=database, object_id=on.major)
                for column in ("schema_id", "principal_id")
            )
            return _number(owner) or self.owner(database, Securable(OF_SCHEMA, schema))
        if on.class_id == OF_SCHEMA:
            return _number(self.get("schemas", "principal_id", db=database, schema_id=on.major))
        if thing := things.THINGS.get(on.class_id):
            key: dict[str, Value] = {"db": database, thing.key: on.major}
            owner = _number(self.get(thing.view, "principal_id", **key))
            if owner is None and thing.has_schema:
                return self.owner(database, Securable(OF_SCHEMA, self.get(thing.view, "schema_id", **key)))
            return owner
        if on.class_id == PRINCIPAL:
            return _number(self.get("database_principals", "owning_principal_id", db=database, principal_id=on.major))
        return None

    def _states(self, table: str, database: str, groups: Iterable[int], on: Securable, wanted: set[str]) -> list[str]:
        where, key = ("db = ? AND", (database,)) if database else ("", ())
        statement = f"""
            SELECT state_desc FROM {table} WHERE {where} class = ? AND major_id = ? AND minor_id IN (0, ?)
              AND grantee_principal_id IN ({", ".join(map(str, groups))})
              AND permission_name IN ({", ".join(f"'{name}'" for name in wanted)})"""  # noqa: S608 - ids and keywords
        return [state for (state,) in self.run(statement, *key, on.class_id, on.major, on.minor) if state != "REVOKE"]

    def object_named(self, viewer: Viewer, parts: list[str]) -> int | None:
        """Return the id of a table; a name without a schema is looked up as the server does."""
        user = self.user_in(viewer, viewer.database)
        own = "SELECT default_schema_name FROM database_principals WHERE db = ? AND principal_id = ?"
        places = [parts[-2]] if len(parts) > 1 else [self.one(own, viewer.database, user), "dbo"]
        statement = (
            "SELECT object_id FROM all_objects o JOIN schemas s ON s.db = o.db AND s.schema_id = o.schema_id"
            " WHERE o.db = ? AND s.name = ? AND o.name = ?"
        )
        ids = (self.one(statement, viewer.database, place, parts[-1]) for place in places)
        return next((found for found in ids if found is not None), None)

    def record_user_code(self, viewer: Viewer, what: str) -> None:
        """Record that a viewer has run code of a user: a view, a synonym, or a trigger."""
        who = self.get("server_principals", "name", principal_id=viewer.login)
        self.user_code.append((str(who), what))


def _number(cell: object) -> int | None:
    return cell if isinstance(cell, int) else None


def _where(values: Mapping[str, Value]) -> str:
    return " WHERE " + " AND ".join(f"{column} = ?" for column in values)
