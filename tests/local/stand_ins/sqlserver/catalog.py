"""What does the stand-in for SQL Server know, and who may do what?

All of it is in tables of one SQLite database in memory, in the shape of SQL Server's catalog views, so that a query is
evaluated and a transaction is rolled back for real. Permissions are looked up as the documentation says: what is denied
wins, roles hand on, a higher scope covers a lower one
(https://learn.microsoft.com/en-us/sql/relational-databases/security/permissions-hierarchy-database-engine).
"""

import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.local.stand_ins.sqlserver.tsql import Token, Tokens, syntax_error
from tests.local.stand_ins.sqlserver.wire import Rows, SqlError, Value

SCHEMA = """
    CREATE TABLE databases (
        name TEXT COLLATE NOCASE PRIMARY KEY, database_id INTEGER, owner_sid BLOB, state INTEGER DEFAULT 0,
        containment INTEGER, is_read_only INTEGER DEFAULT 0, user_access INTEGER DEFAULT 0,
        has_guest INTEGER DEFAULT 0);
    CREATE TABLE server_principals (
        principal_id INTEGER PRIMARY KEY, name TEXT COLLATE NOCASE UNIQUE, sid BLOB UNIQUE, type TEXT,
        is_disabled INTEGER DEFAULT 0, default_database_name TEXT, default_language_name TEXT, credential_id INTEGER,
        owning_principal_id INTEGER, is_fixed_role INTEGER DEFAULT 0, is_policy_checked INTEGER,
        is_expiration_checked INTEGER, password TEXT, must_change INTEGER DEFAULT 0, failures INTEGER DEFAULT 0);
    CREATE TABLE server_role_members (role_principal_id INTEGER, member_principal_id INTEGER);
    CREATE TABLE server_permissions (
        class INTEGER, class_desc TEXT, major_id INTEGER, minor_id INTEGER, grantee_principal_id INTEGER,
        grantor_principal_id INTEGER, permission_name TEXT, state_desc TEXT);
    CREATE TABLE database_principals (
        db TEXT, principal_id INTEGER, name TEXT COLLATE NOCASE, sid BLOB, type TEXT, default_schema_name TEXT,
        default_language_name TEXT, owning_principal_id INTEGER, authentication_type INTEGER,
        is_fixed_role INTEGER DEFAULT 0, allow_encrypted_value_modifications INTEGER DEFAULT 0, password TEXT,
        PRIMARY KEY (db, principal_id), UNIQUE (db, name));
    CREATE TABLE database_role_members (db TEXT, role_principal_id INTEGER, member_principal_id INTEGER);
    CREATE TABLE database_permissions (
        db TEXT, class INTEGER, class_desc TEXT, major_id INTEGER, minor_id INTEGER, grantee_principal_id INTEGER,
        grantor_principal_id INTEGER, permission_name TEXT, state_desc TEXT);
    CREATE TABLE schemas (db TEXT, name TEXT COLLATE NOCASE, schema_id INTEGER, principal_id INTEGER);
    CREATE TABLE all_objects (
        db TEXT, object_id INTEGER, name TEXT COLLATE NOCASE, schema_id INTEGER, principal_id INTEGER, type TEXT);
    CREATE TABLE all_columns (db TEXT, object_id INTEGER, column_id INTEGER, name TEXT COLLATE NOCASE);
    CREATE TABLE dm_exec_sessions (
        session_id INTEGER PRIMARY KEY, original_login_name TEXT, original_security_id BLOB,
        authenticating_database_id INTEGER);
    CREATE TABLE triggers (
        db TEXT, object_id INTEGER, name TEXT COLLATE NOCASE, parent_class INTEGER, is_disabled INTEGER DEFAULT 0,
        runs_as INTEGER, body TEXT, definition TEXT);
    CREATE TABLE trigger_events (db TEXT, object_id INTEGER, type_desc TEXT);
"""

VIEWS = {
    "databases": "sees_database(name)",
    "server_principals": "sees_server_principal(principal_id)",
    "sql_logins": "type = 'S' AND sees_server_principal(principal_id)",
    "server_role_members": "sees_server_principal(role_principal_id)",
    "server_permissions": "sees_server_principal(grantee_principal_id)",
    "database_principals": "db = current_database() AND sees_database_principal(principal_id)",
    "database_role_members": "db = current_database() AND sees_database_principal(member_principal_id)",
    "database_permissions": "db = current_database() AND sees_database_principal(grantee_principal_id)",
    "schemas": "db = current_database()",
    "all_objects": "db = current_database() AND sees_object(object_id)",
    "all_columns": "db = current_database() AND sees_object(object_id)",
    "triggers": "db = current_database() AND sees_definitions()",
    "trigger_events": "db = current_database() AND sees_definitions()",
    "dm_exec_sessions": "session_id = SPID() OR sees_sessions()",
}
"""The catalog views, and which rows of them one sees
(https://learn.microsoft.com/en-us/sql/relational-databases/security/metadata-visibility-configuration). "Everyone can
see their own session information" (…/system-dynamic-management-views/sys-dm-exec-sessions-transact-sql). Of the
databases one sees one's own, master and tempdb, and all with VIEW ANY DATABASE
(…/system-catalog-views/sys-databases-transact-sql)."""

HIDDEN = frozenset({"db", "password", "failures", "must_change", "has_guest", "runs_as", "body"})
"""What no view shows."""
OF_SQL_LOGINS = frozenset({"is_policy_checked", "is_expiration_checked"})

SA, SERVER_PUBLIC, SYSADMIN, SECURITYADMIN = 1, 2, 3, 4
SERVER_ROLES = ("sysadmin", "securityadmin", "serveradmin", "setupadmin", "processadmin", "diskadmin", "dbcreator")
PUBLIC, DBO, GUEST, DB_OWNER = 0, 1, 2, 16384
DATABASE_ROLES = {
    DB_OWNER: "db_owner", 16385: "db_accessadmin", 16386: "db_securityadmin", 16387: "db_ddladmin",
    16389: "db_backupoperator", 16390: "db_datareader", 16391: "db_datawriter",
}  # fmt: skip
ROLES_GIVE = {
    16385: {"ALTER ANY USER"},
    16386: {"ALTER ANY ROLE"},
    16387: {"ALTER ANY DATABASE DDL TRIGGER"},
    16390: {"SELECT"},
    16391: {"INSERT", "UPDATE", "DELETE"},
}

NO_AUTHENTICATION, BY_INSTANCE, BY_DATABASE = 0, 1, 2

SERVER, SERVER_PRINCIPAL = 100, 101
DATABASE, OBJECT, OF_SCHEMA, PRINCIPAL = 0, 1, 3, 4
CLASSES = {
    SERVER: "SERVER", SERVER_PRINCIPAL: "SERVER_PRINCIPAL",
    DATABASE: "DATABASE", OBJECT: "OBJECT_OR_COLUMN", OF_SCHEMA: "SCHEMA", PRINCIPAL: "DATABASE_PRINCIPAL",
}  # fmt: skip

SINGLE_USER, RESTRICTED_USER = 1, 2

HALF = "\uf8ff"
"""What stands in a name for half a character, which a name can hold on a server, and which SQLite cannot keep."""

GRANTED = ("GRANT", "GRANT_WITH_GRANT_OPTION")

FUNCTIONS = frozenset({
    "HAS_DBACCESS", "HAS_PERMS_BY_NAME", "DB_ID", "DB_NAME", "DATABASE_PRINCIPAL_ID", "LOGINPROPERTY", "SUSER_ID",
    "SUSER_SID", "OBJECT_DEFINITION",
})  # fmt: skip


@dataclass(frozen=True)
class Securable:
    """What a permission is on."""

    sort: int
    major: int = 0
    minor: int = 0


@dataclass
class Viewer:
    """Who asks."""

    login: int | None
    """The id of the login; None for a user of a contained database."""
    user: int
    """The id of that user; of no meaning where there is a login."""
    database: str
    session: int = 0


class Catalog:
    """The tables, and the questions that are asked of them."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._database = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        self._database.executescript(SCHEMA)
        self._viewer = Viewer(SA, 0, "master")
        self._sight: dict[str, set[int] | None] = {}
        """For one statement: which principals the viewer sees, None where all."""
        self.sprung: list[tuple[str, str]] = []
        """Who has run code of a user's, and which."""
        self._define()

    def run(self, statement: str, *values: Value) -> list[tuple[Any, ...]]:
        """Run a statement of SQLite's."""
        return self._database.execute(statement, values).fetchall()

    def one(self, statement: str, *values: Value) -> Any:  # noqa: ANN401 - whatever the cell holds
        """Return the first cell, None where there is none."""
        rows = self.run(statement, *values)
        return rows[0][0] if rows else None

    def get(self, table: str, column: str, **where: Value) -> Any:  # noqa: ANN401 - whatever the cell holds
        """Return a cell of the row that has these values, None where there is none."""
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
        """Take them away."""
        self.run(f"DELETE FROM {table}{_where(where)}", *where.values())  # noqa: S608 - constants

    def next_id(self, table: str, column: str, first: int) -> int:
        """Return an id that is free, and not among those of what comes with a database."""
        return int(
            self.one(f"SELECT max({first}, coalesce(max({column}) + 1, 0)) FROM {table} WHERE {column} < {DB_OWNER}")  # noqa: S608
        )

    # Who may do what

    def server_groups(self, login: int | None) -> set[int]:
        """Return a login and its roles."""
        found, new = {SERVER_PUBLIC}, {login} if login is not None else set()
        while new:
            found |= new
            roles = "SELECT role_principal_id FROM server_role_members WHERE member_principal_id = ?"
            new = {row[0] for member in new for row in self.run(roles, member)} - found
        return found

    def allows_server(self, viewer: Viewer, permission: str, on: Securable = Securable(SERVER)) -> bool:
        """Tell whether somebody has a permission of the server, or on a login or role."""
        groups = self.server_groups(viewer.login)
        if SYSADMIN in groups:
            return True
        if permission == "ALTER ANY LOGIN" and SECURITYADMIN in groups:
            return True
        wanted = {permission, "CONTROL"} if on.sort == SERVER_PRINCIPAL else {permission, "CONTROL SERVER"}
        states = self._states("server_permissions", "TRUE", groups, on, wanted)
        if "DENY" in states:
            return False
        return bool(states) or (on.sort != SERVER and self.allows_server(viewer, "CONTROL SERVER"))

    def user_in(self, viewer: Viewer, database: str) -> int | None:
        """Return as whom somebody enters a database; None where it may not."""
        row = self.run("SELECT owner_sid, has_guest, state, user_access FROM databases WHERE name = ?", database)
        if not row or row[0][2]:
            return None
        user = self._user_in(viewer, database, *row[0][:2])
        here = viewer.database.lower() == database.lower()
        if row[0][3] == SINGLE_USER:
            return user if here else None
        if row[0][3] == RESTRICTED_USER and user is not None:
            return user if {DBO, DB_OWNER} & self.database_groups(self.spelled(database), user) else None
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
        return found if found is not None else (GUEST if has_guest else None)

    def spelled(self, database: str) -> str:
        """Return a database's name as it was given to it."""
        return str(self.one("SELECT name FROM databases WHERE name = ?", database))

    def database_groups(self, database: str, user: int) -> set[int]:
        """Return a user and its roles."""
        found, new = {PUBLIC}, {user}
        while new:
            found |= new
            roles = "SELECT role_principal_id FROM database_role_members WHERE db = ? AND member_principal_id = ?"
            new = {row[0] for member in new for row in self.run(roles, database, member)} - found
        return found

    def allows(self, viewer: Viewer, permission: str, on: Securable = Securable(DATABASE)) -> bool:
        """Tell whether somebody has a permission in the database that it is in."""
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
                "database_permissions", "db = current_database()", groups, scope, self._covering(permission, on, scope)
            )
        ]
        if "DENY" in states:
            return False
        by_role = any(permission in ROLES_GIVE.get(group, ()) for group in groups)
        return bool(
            states or by_role or DB_OWNER in groups or self.owner(viewer.database, on) in groups
        ) or self.allows_server(viewer, "VIEW ANY DEFINITION" if permission == "VIEW DEFINITION" else "CONTROL SERVER")

    def may_grant(self, viewer: Viewer, permission: str, on: Securable) -> bool:
        """Tell whether somebody may pass a permission on: it controls the thing, or may do so with this permission."""
        if on.sort in (SERVER, SERVER_PRINCIPAL):
            rows = self._states("server_permissions", "TRUE", self.server_groups(viewer.login), on, {permission})
            control = self.allows_server(viewer, "CONTROL SERVER" if on.sort == SERVER else "CONTROL", on)
            if on.sort == SERVER_PRINCIPAL:
                # "For logins, requires CONTROL permission on the login or ALTER ANY LOGIN permission on the server"
                # (grant-server-principal-permissions-transact-sql), of roles alike.
                sort = self.get("server_principals", "type", principal_id=on.major)
                control |= self.allows_server(viewer, "ALTER ANY SERVER ROLE" if sort == "R" else "ALTER ANY LOGIN")
        else:
            user = self.user_in(viewer, viewer.database)
            groups = self.database_groups(viewer.database, user) if user is not None else set()
            rows = self._states("database_permissions", "db = current_database()", groups, on, {permission})
            control = self.allows(viewer, "CONTROL", on)
        return control or "GRANT_WITH_GRANT_OPTION" in rows

    def _covering(self, permission: str, on: Securable, scope: Securable) -> set[str]:
        wanted = {permission, "CONTROL"}
        if scope != on and on.sort == PRINCIPAL and permission in {"ALTER", "VIEW DEFINITION"}:
            wanted |= {"ALTER ANY USER", "ALTER ANY ROLE"}
        return wanted

    def _scopes(self, database: str, on: Securable) -> list[Securable]:
        """Return a thing and what contains it."""
        scopes = [on]
        if on.sort == OBJECT:
            home = "SELECT schema_id FROM all_objects WHERE db = ? AND object_id = ?"
            scopes.append(Securable(OF_SCHEMA, self.one(home, database, on.major)))
        return [*scopes, Securable(DATABASE)] if on.sort != DATABASE else scopes

    def owner(self, database: str, on: Securable) -> int | None:
        """Return to whom a thing of a database belongs; None where that is not asked here."""
        if on.sort == OBJECT:
            schema, owner = (
                self.get("all_objects", column, db=database, object_id=on.major)
                for column in ("schema_id", "principal_id")
            )
            return _number(owner) or self.owner(database, Securable(OF_SCHEMA, schema))
        if on.sort == OF_SCHEMA:
            return _number(self.get("schemas", "principal_id", db=database, schema_id=on.major))
        if on.sort == PRINCIPAL:
            return _number(self.get("database_principals", "owning_principal_id", db=database, principal_id=on.major))
        return None

    def _states(self, table: str, where: str, groups: Iterable[int], on: Securable, wanted: set[str]) -> list[str]:
        statement = f"""
            SELECT state_desc FROM {table} WHERE {where} AND class = ? AND major_id = ? AND minor_id IN (0, ?)
              AND grantee_principal_id IN ({", ".join(map(str, groups))})
              AND permission_name IN ({", ".join(f"'{name}'" for name in wanted)})"""  # noqa: S608 - ids and keywords
        return [state for (state,) in self.run(statement, on.sort, on.major, on.minor) if state != "REVOKE"]

    # Queries

    def query(self, viewer: Viewer, tokens: Tokens, values: Mapping[str, Value]) -> Rows | None:
        """Run a SELECT, INSERT, UPDATE or DELETE as somebody."""
        statement = " ".join(self._rewritten(viewer, list(tokens)))
        try:
            cursor = self._database.execute(statement, {name.lstrip("@"): value for name, value in values.items()})
        except sqlite3.Error as error:
            number = {"no such column": 207, "no such function": 195}.get(str(error).partition(":")[0], 102)
            raise SqlError(number, f"Not understood by the stand-in: {error}", 15) from None
        return Rows([name for name, *_ in cursor.description], cursor.fetchall()) if cursor.description else None

    def seen_by(self, viewer: Viewer) -> None:
        """Answer from now on as to this one."""
        self._viewer = viewer
        self._sight.clear()

    def _rewritten(self, viewer: Viewer, tokens: list[Token]) -> Iterable[str]:
        """Yield the statement in SQLite's words; tables become what this user sees of them."""
        verb, at = tokens[0].spelling.upper(), 0
        while at < len(tokens):
            if in_bytes := _cast_to_bytes(tokens, at):
                yield f"utf_16({_in_sqlite(in_bytes)})"
                at += len(CAST_TO_BYTES)
                continue
            token = tokens[at]
            at += 1
            if token.kind == "word" and at < len(tokens) and tokens[at].spelling == "(":
                self._require_function(token)
            yield _in_sqlite(token)
            if token.kind == "word" and token.spelling.upper() in {"FROM", "JOIN", "INTO", "UPDATE"}:
                parts, at = _parts(tokens, at)
                if parts:
                    permission = "SELECT" if token.spelling.upper() in {"FROM", "JOIN"} and verb != "DELETE" else verb
                    aliased = at < len(tokens) and (
                        tokens[at].kind == "name"
                        or (tokens[at].kind == "word" and tokens[at].spelling.upper() not in KEYWORDS)
                        or tokens[at].spelling.upper() == "AS"
                    )
                    yield self._table(viewer, parts, permission, aliased=aliased)

    def _require_function(self, token: Token) -> None:
        if token.spelling.upper() not in FUNCTIONS | KEYWORDS:
            raise SqlError(195, f"'{token.spelling}' is not a recognized built-in function name.", 15)

    def _table(self, viewer: Viewer, parts: list[str], permission: str, *, aliased: bool) -> str:
        if len(parts) == 2 and parts[0].lower() == "sys":
            view = parts[1].lower()
            if view not in VIEWS:
                raise SqlError(208, f"Invalid object name 'sys.{view}'.")
            base = "server_principals" if view == "sql_logins" else view
            hidden = HIDDEN | (OF_SQL_LOGINS if view == "server_principals" else frozenset())
            shown = [f'"{name}"' for _, name, *_ in self.run(f"PRAGMA table_info({base})") if name not in hidden]
            return f"(SELECT {', '.join(shown)} FROM {base} WHERE {VIEWS[view]}){'' if aliased else f' AS {view}'}"  # noqa: S608
        found = self.object_named(viewer, parts)
        if found is None:
            raise SqlError(208, f"Invalid object name '{'.'.join(parts)}'.")
        if self.get("all_objects", "type", db=viewer.database, object_id=found) != "U":
            self.spring(viewer, ".".join(parts))
            return f"(SELECT 1 AS a WHERE FALSE){'' if aliased else ' AS code'}"
        if not self.allows(viewer, permission, Securable(OBJECT, found)):
            raise SqlError(
                229,
                f"The {permission} permission was denied on the object '{parts[-1]}', database '{viewer.database}',"
                " schema 'dbo'.",
                14,
            )
        return f'"{table_name(viewer.database, found)}"'

    def spring(self, viewer: Viewer, what: str) -> None:
        """Note that somebody has run code of a user's: a view, a synonym, a trigger."""
        who = self.get("server_principals", "name", principal_id=viewer.login)
        self.sprung.append((str(who), what))

    def object_named(self, viewer: Viewer, parts: list[str]) -> int | None:
        """Return the id of a table of the database; names without a schema are looked for as the server does."""
        user = self.user_in(viewer, viewer.database)
        own = "SELECT default_schema_name FROM database_principals WHERE db = ? AND principal_id = ?"
        places = [parts[-2]] if len(parts) > 1 else [self.one(own, viewer.database, user), "dbo"]
        statement = (
            "SELECT object_id FROM all_objects o JOIN schemas s ON s.db = o.db AND s.schema_id = o.schema_id"
            " WHERE o.db = ? AND s.name = ? AND o.name = ?"
        )
        ids = (self.one(statement, viewer.database, place, parts[-1]) for place in places)
        return next((found for found in ids if found is not None), None)

    def _define(self) -> None:
        """Define what the views and the queries call."""
        define: Callable[[str, int, Callable[..., Value]], None] = self._database.create_function
        define("current_database", 0, lambda: self._viewer.database)
        define("DB_NAME", 0, lambda: self._viewer.database)
        define("DB_ID", 0, lambda: self.get("databases", "database_id", name=self._viewer.database))
        define("SPID", 0, lambda: self._viewer.session)
        define("SUSER_SID", 0, self._own_sid)
        define("SUSER_ID", 0, lambda: self._viewer.login)
        define("utf_16", 1, lambda text: str(text).replace(HALF, "\ud800").encode("utf-16-le", "surrogatepass"))
        define("sees_database", 1, self._sees_database)
        define("sees_definitions", 0, lambda: self.allows(self._viewer, "VIEW DEFINITION"))
        define("sees_sessions", 0, lambda: self.allows_server(self._viewer, "VIEW SERVER STATE"))
        define("DATABASE_PRINCIPAL_ID", 0, lambda: self.user_in(self._viewer, self._viewer.database))
        define("sees_server_principal", 1, self._sees_server_principal)
        define("sees_database_principal", 1, self._sees_database_principal)
        define("sees_object", 1, self._sees_object)
        define("HAS_DBACCESS", 1, lambda name: int(self.user_in(self._viewer, name) is not None))
        define("HAS_PERMS_BY_NAME", 3, self._has_permission)
        define("LOGINPROPERTY", 2, self._login_property)
        define("OBJECT_DEFINITION", 1, lambda number: self.get("triggers", "definition", object_id=number))

    def _sees_database(self, database: str) -> bool:
        always = {"master", "tempdb", self._viewer.database.lower()}
        return database.lower() in always or self.allows_server(self._viewer, "VIEW ANY DATABASE")

    def _own_sid(self) -> bytes | None:
        """Return the SID of a login; what it is of a contained user, no page says."""
        sid = self.get("server_principals", "sid", principal_id=self._viewer.login)
        return sid if isinstance(sid, bytes) else None

    def _sees_server_principal(self, principal: int) -> bool:
        if "server" not in self._sight:
            all_ = any(self.allows_server(self._viewer, name) for name in ("ALTER ANY LOGIN", "VIEW ANY DEFINITION"))
            fixed = {number for (number,) in self.run("SELECT principal_id FROM server_principals WHERE is_fixed_role")}
            self._sight["server"] = None if all_ else fixed | self.server_groups(self._viewer.login)
        seen = self._sight["server"]
        return seen is None or principal in seen

    def _sees_database_principal(self, principal: int) -> bool:
        if "database" not in self._sight:
            all_ = any(self.allows(self._viewer, name) for name in ("ALTER ANY USER", "VIEW DEFINITION"))
            user = self.user_in(self._viewer, self._viewer.database)
            own = self.database_groups(self._viewer.database, user) if user is not None else set()
            self._sight["database"] = None if all_ else {PUBLIC, DBO, GUEST, *DATABASE_ROLES} | own
        seen = self._sight["database"]
        return seen is None or principal in seen

    def _sees_object(self, identifier: int) -> bool:
        names = ("VIEW DEFINITION", "SELECT", "INSERT", "UPDATE", "DELETE", "EXECUTE")
        return any(self.allows(self._viewer, name, Securable(OBJECT, identifier)) for name in names)

    def _has_permission(self, securable: str | None, sort: str | None, permission: str) -> int | None:
        assert securable is None, "with a name, which names are understood as one is another question"
        if sort is None:
            return int(self.allows_server(self._viewer, permission))
        assert sort == "DATABASE"
        return int(self.allows(self._viewer, permission))

    def _login_property(self, name: str, which: str) -> int | None:
        assert which == "IsLocked"
        row = self.run("SELECT is_policy_checked, failures FROM server_principals WHERE name = ? AND type = 'S'", name)
        return int(is_locked(*row[0])) if row else None


KEYWORDS = frozenset({
    "ALL", "AND", "AS", "BY", "CASE", "CAST", "CROSS", "DISTINCT", "ELSE", "END", "EXISTS", "FROM", "GROUP", "IN",
    "INNER", "INTO", "IS", "JOIN", "LEFT", "LIKE", "NOT", "NULL", "ON", "OR", "ORDER", "OUTER", "SELECT", "SET",
    "THEN", "UNION", "VALUES", "WHEN", "WHERE",
})  # fmt: skip

FAILURES_ALLOWED = 10
"""Refused logins in a row, until a login whose policy is checked is locked; what it is on a server, Windows says."""


def is_locked(is_policy_checked: int, failures: int) -> bool:
    """Tell whether a login was refused too often."""
    return bool(is_policy_checked) and failures >= FAILURES_ALLOWED


def table_name(database: str, identifier: int) -> str:
    """Return what SQLite calls a table."""
    return f"{database} {identifier}".replace('"', '""')


def _number(cell: object) -> int | None:
    return cell if isinstance(cell, int) else None


def _where(values: Mapping[str, Value]) -> str:
    return " WHERE " + " AND ".join(f"{column} = ?" for column in values)


def _in_sqlite(token: Token) -> str:
    if token.kind == "text":
        return "'" + token.text.replace("'", "''") + "'"
    if token.kind == "name":
        return '"' + token.name.replace('"', '""') + '"'
    if token.kind == "binary":
        return f"X'{token.spelling[2:]}'"
    if token.kind == "variable":
        if token.spelling.upper() == "@@SPID":
            return "SPID()"
        if token.spelling.startswith("@@"):
            raise syntax_error(token.spelling)
        return ":" + token.spelling[1:]
    return token.spelling


CAST_TO_BYTES = ("CAST", "(", "", "AS", "varbinary", "(", "256", ")", ")")


def _cast_to_bytes(tokens: list[Token], at: int) -> Token | None:
    """Return what a text is that comes next, to be cast to bytes; None where something else comes."""
    coming = tokens[at : at + len(CAST_TO_BYTES)]
    spelled = [token.spelling if expected else "" for token, expected in zip(coming, CAST_TO_BYTES, strict=False)]
    return coming[2] if spelled == list(CAST_TO_BYTES) else None


def _parts(tokens: list[Token], at: int) -> tuple[list[str], int]:
    """Read the name of a table; none where a parenthesis opens."""
    if tokens[at].kind not in {"word", "name"}:
        return [], at
    parts = [tokens[at].name]
    while at + 2 < len(tokens) and tokens[at + 1].spelling == ".":
        at += 2
        parts.append(tokens[at].name)
    return parts, at + 1
