"""What does a query return? It is rewritten for SQLite, and sees only the rows that its viewer sees."""

import sqlite3
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from tests.local.stand_ins.sqlserver.backend import Rows, SqlError, Value
from tests.local.stand_ins.sqlserver.catalog import Catalog
from tests.local.stand_ins.sqlserver.tables import (
    DATABASE_ROLES,
    DBO,
    GUEST,
    HALF,
    HIDDEN,
    OBJECT,
    OF_SQL_LOGINS,
    PUBLIC,
    SA,
    SERVER_PRINCIPAL,
    VIEWS,
    Securable,
    Viewer,
    is_locked,
    table_name,
)
from tests.local.stand_ins.sqlserver.tsql import Token, Tokens, syntax_error

FUNCTIONS = frozenset({
    "HAS_DBACCESS", "HAS_PERMS_BY_NAME", "DB_ID", "DB_NAME", "DATABASE_PRINCIPAL_ID", "LOGINPROPERTY", "SUSER_ID",
    "SUSER_SID", "OBJECT_DEFINITION", "DATABASEPROPERTYEX", "CHARINDEX", "QUOTENAME", "USER_NAME",
    "SCHEMA_NAME", "SERVERPROPERTY", "IS_SRVROLEMEMBER",
})  # fmt: skip

PRODUCT_VERSION = "16.0.4165.4"
"""That of an SQL Server 2022."""

KEYWORDS = frozenset({
    "ALL", "AND", "AS", "BY", "CASE", "CAST", "CROSS", "DISTINCT", "ELSE", "END", "EXISTS", "FROM", "GROUP", "IN",
    "INNER", "INTO", "IS", "JOIN", "LEFT", "LIKE", "NOT", "NULL", "NVARCHAR", "ON", "OR", "ORDER", "OUTER",
    "SELECT", "SET", "THEN", "UNION", "VALUES", "WHEN", "WHERE",
})  # fmt: skip


CALLED = FUNCTIONS | KEYWORDS
"""What can stand before a parenthesis."""


class Queries:
    """Runs queries; one viewer at a time."""

    def __init__(self, catalog: Catalog) -> None:
        """Take the tables, and define SQL Server's functions in them."""
        self._catalog = catalog
        self._viewer = Viewer(SA, 0, "master")
        self._sight: dict[str, set[int] | None] = {}
        """For one statement: which principals the viewer sees; None for all."""
        self._define()

    def query(self, viewer: Viewer, tokens: Tokens, values: Mapping[str, Value]) -> Rows | None:
        """Run a SELECT, INSERT, UPDATE or DELETE for a viewer."""
        statement = " ".join(self._rewritten(viewer, list(tokens)))
        try:
            cursor = self._catalog.sqlite.execute(
                statement, {name.lstrip("@"): value for name, value in values.items()}
            )
        except sqlite3.Error as error:
            number = {"no such column": 207, "no such function": 195}.get(str(error).partition(":")[0], 102)
            raise SqlError(number, f"the stand-in does not understand this: {error}", 15) from None
        return Rows([name for name, *_ in cursor.description], cursor.fetchall()) if cursor.description else None

    def seen_by(self, viewer: Viewer) -> None:
        """Answer from now on as this viewer sees it."""
        self._viewer = viewer
        self._sight.clear()

    def _rewritten(self, viewer: Viewer, tokens: list[Token]) -> Iterable[str]:
        """Yield the statement in SQLite's words; each table becomes the rows that the viewer sees."""
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
        if token.spelling.upper() not in CALLED:
            raise SqlError(195, f"'{token.spelling}' is not a recognized built-in function name.", 15)

    def _table(self, viewer: Viewer, parts: list[str], permission: str, *, aliased: bool) -> str:
        if len(parts) == 2 and parts[0].lower() == "sys":
            view = parts[1].lower()
            if view not in VIEWS:
                raise SqlError(208, f"Invalid object name 'sys.{view}'.")
            base = "server_principals" if view == "sql_logins" else view
            hidden = HIDDEN | (OF_SQL_LOGINS if view == "server_principals" else frozenset())
            shown = [
                f'"{name}"' for _, name, *_ in self._catalog.run(f"PRAGMA table_xinfo({base})") if name not in hidden
            ]
            return f"(SELECT {', '.join(shown)} FROM {base} WHERE {VIEWS[view]}){'' if aliased else f' AS {view}'}"  # noqa: S608
        if len(parts) == 3:
            if [part.lower() for part in parts[1:]] == ["sys", "database_principals"]:
                return self._users_elsewhere(viewer, parts[0])
            self._catalog.require_entry(viewer, parts[0])
            viewer, parts = replace(viewer, database=self._catalog.spelled(parts[0])), parts[1:]
        found = self._catalog.object_named(viewer, parts)
        if found is None:
            raise SqlError(208, f"Invalid object name '{'.'.join(parts)}'.")
        if self._catalog.get("all_objects", "type", db=viewer.database, object_id=found) != "U":
            self._catalog.record_user_code(viewer, ".".join(parts))
            return f"(SELECT 1 AS a WHERE FALSE){'' if aliased else ' AS code'}"
        if not self._catalog.allows(viewer, permission, Securable(OBJECT, found)):
            raise SqlError(
                229,
                f"The {permission} permission was denied on the object '{parts[-1]}', database '{viewer.database}',"
                " schema 'dbo'.",
                14,
            )
        return f'"{table_name(viewer.database, found)}"'

    def _users_elsewhere(self, viewer: Viewer, database: str) -> str:
        """Return the users of another database that everybody sees: "any user can see their own user name"."""
        user = self._catalog.require_entry(viewer, database)
        # The names come from the catalog: they are quoted as SQLite does it.
        here = self._catalog.spelled(database).replace("'", "''")
        return (
            f"(SELECT principal_id, name, sid FROM database_principals WHERE db = '{here}' AND principal_id = {user})"  # noqa: S608
        )

    def _sees_database(self, database: str) -> bool:
        always = {"master", "tempdb", self._viewer.database.lower()}
        return database.lower() in always or self._catalog.allows_server(self._viewer, "VIEW ANY DATABASE")

    def _own_sid(self) -> bytes | None:
        """Return the SID of a login; None for a contained user, because no page says what it is."""
        sid = self._catalog.get("server_principals", "sid", principal_id=self._viewer.login)
        return sid if isinstance(sid, bytes) else None

    def _sees_server_principal(self, principal: int) -> bool:
        if "server" not in self._sight:
            all_ = any(
                self._catalog.allows_server(self._viewer, name) for name in ("ALTER ANY LOGIN", "VIEW ANY DEFINITION")
            )
            fixed = {
                number
                for (number,) in self._catalog.run("SELECT principal_id FROM server_principals WHERE is_fixed_role")
            }
            self._sight["server"] = None if all_ else fixed | self._catalog.server_groups(self._viewer.login)
        seen = self._sight["server"]
        return seen is None or principal in seen

    def _sees_database_principal(self, principal: int) -> bool:
        if "database" not in self._sight:
            all_ = any(self._catalog.allows(self._viewer, name) for name in ("ALTER ANY USER", "VIEW DEFINITION"))
            user = self._catalog.user_in(self._viewer, self._viewer.database)
            own = self._catalog.database_groups(self._viewer.database, user) if user is not None else set()
            self._sight["database"] = None if all_ else {PUBLIC, DBO, GUEST, *DATABASE_ROLES} | own
        seen = self._sight["database"]
        return seen is None or principal in seen

    def _sees_object(self, identifier: int) -> bool:
        names = ("VIEW DEFINITION", "SELECT", "INSERT", "UPDATE", "DELETE", "EXECUTE")
        return any(self._catalog.allows(self._viewer, name, Securable(OBJECT, identifier)) for name in names)

    def _has_permission(self, securable: str | None, securable_class: str | None, permission: str) -> int | None:
        if securable_class == "OBJECT":
            database, *names = str(securable).split(".")
            elsewhere = replace(self._viewer, database=database)
            number = self._catalog.object_named(elsewhere, names)
            if number is None or self._catalog.user_in(elsewhere, database) is None:
                return None
            return int(self._catalog.allows(elsewhere, permission, Securable(OBJECT, number)))
        if securable_class in {"LOGIN", "SERVER ROLE"}:
            return self._can_alter(str(securable), securable_class, permission)
        assert securable is None, "the stand-in takes no names here"
        if securable_class is None:
            return int(self._catalog.allows_server(self._viewer, permission))
        assert securable_class == "DATABASE"
        return int(self._catalog.allows(self._viewer, permission))

    def _can_alter(self, securable: str, securable_class: str, permission: str) -> int | None:
        """Tell whether the viewer has ALTER on a login or server role; NULL if it does not see it.

        ALTER ANY LOGIN and ALTER ANY SERVER ROLE imply it (permissions-database-engine).
        """
        assert permission == "ALTER"
        letter = "R" if securable_class == "SERVER ROLE" else "S"
        name = securable.removeprefix("[").removesuffix("]").replace("]]", "]")
        number = self._catalog.get("server_principals", "principal_id", name=name, type=letter)
        if number is None or not self._sees_server_principal(number):
            return None
        of_all = "ALTER ANY SERVER ROLE" if letter == "R" else "ALTER ANY LOGIN"
        return int(
            self._catalog.allows_server(self._viewer, of_all)
            or self._catalog.allows_server(self._viewer, "ALTER", Securable(SERVER_PRINCIPAL, number))
        )

    def _is_in_role(self, name: str) -> int | None:
        """Tell whether the viewer is in a server role; NULL if there is none (is-srvrolemember-transact-sql)."""
        number = self._catalog.get("server_principals", "principal_id", name=name, type="R")
        return None if number is None else int(number in self._catalog.server_groups(self._viewer.login))

    def _server_property(self, which: str) -> str:
        """Return the version, which all users can query (serverproperty-transact-sql)."""
        assert which == "ProductVersion"
        return PRODUCT_VERSION

    def _login_property(self, name: str, which: str) -> int | None:
        row = self._catalog.run(
            "SELECT is_policy_checked, failures, must_change FROM server_principals WHERE name = ? AND type = 'S'", name
        )
        if not row:
            return None
        return int(row[0][2]) if which == "IsMustChange" else int(is_locked(*row[0][:2]))

    def _database_property(self, name: str, which: str) -> str | None:
        """Return whether a database can be written; NULL if it "isn't started" (databasepropertyex-transact-sql)."""
        assert which == "Updateability"
        row = self._catalog.run("SELECT state, is_read_only, is_secondary FROM databases WHERE name = ?", name)
        if not row or row[0][0]:
            return None
        return "READ_ONLY" if row[0][1] or row[0][2] else "READ_WRITE"

    def _of_own_user(self, column: str) -> Value:
        """Return a column of the viewer's user in its database; guest looks for names in the schema guest."""
        user = self._catalog.user_in(self._viewer, self._viewer.database)
        found: Value = self._catalog.get("database_principals", column, db=self._viewer.database, principal_id=user)
        return found

    def _definition(self, number: int) -> str | None:
        """Return the text of a trigger or function of the current database, to those who see definitions."""
        if not self._catalog.allows(self._viewer, "VIEW DEFINITION"):
            return None
        key: dict[str, Value] = {"db": self._viewer.database, "object_id": number}
        found = self._catalog.get("triggers", "definition", **key) or self._catalog.get(
            "sql_modules", "definition", **key
        )
        return None if found is None else str(found)

    def _define(self) -> None:
        """Define the functions that views and queries call."""
        define: Callable[[str, int, Callable[..., Value]], None] = self._catalog.sqlite.create_function
        define("current_database", 0, lambda: self._viewer.database)
        define("DB_NAME", 0, lambda: self._viewer.database)
        define("USER_NAME", 0, lambda: self._of_own_user("name"))
        define("SCHEMA_NAME", 0, lambda: self._of_own_user("default_schema_name"))
        define("DB_ID", 0, lambda: self._catalog.get("databases", "database_id", name=self._viewer.database))
        define("DB_ID", 1, lambda name: self._catalog.get("databases", "database_id", name=name))
        define("SPID", 0, lambda: self._viewer.session)
        define("SUSER_SID", 0, self._own_sid)
        define("SUSER_ID", 0, lambda: self._viewer.login)
        define("utf_16", 1, lambda text: str(text).replace(HALF, "\ud800").encode("utf-16-le", "surrogatepass"))
        define("sees_database", 1, self._sees_database)
        define("sees_definitions", 0, lambda: self._catalog.allows(self._viewer, "VIEW DEFINITION"))
        define("sees_sessions", 0, lambda: self._catalog.allows_server(self._viewer, "VIEW SERVER STATE"))
        define("DATABASE_PRINCIPAL_ID", 0, lambda: self._catalog.user_in(self._viewer, self._viewer.database))
        define("sees_server_principal", 1, self._sees_server_principal)
        define("sees_database_principal", 1, self._sees_database_principal)
        define("sees_object", 1, self._sees_object)
        define("HAS_DBACCESS", 1, lambda name: int(self._catalog.user_in(self._viewer, name) is not None))
        define("DATABASEPROPERTYEX", 2, self._database_property)
        define("HAS_PERMS_BY_NAME", 3, self._has_permission)
        define("IS_SRVROLEMEMBER", 1, self._is_in_role)
        define("SERVERPROPERTY", 1, self._server_property)
        define("LOGINPROPERTY", 2, self._login_property)
        define("OBJECT_DEFINITION", 1, self._definition)
        define("CHARINDEX", 2, lambda part, text: None if text is None else text.lower().find(part.lower()) + 1)
        define("QUOTENAME", 2, lambda name, quote: f"{quote}{name.replace(quote, quote * 2)}{quote}")


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
    """Return the token in a cast to bytes that comes next; None if something else comes."""
    if tokens[at].spelling != CAST_TO_BYTES[0]:
        return None
    coming = tokens[at : at + len(CAST_TO_BYTES)]
    spelled = [token.spelling if expected else "" for token, expected in zip(coming, CAST_TO_BYTES, strict=False)]
    return coming[2] if spelled == list(CAST_TO_BYTES) else None


def _parts(tokens: list[Token], at: int) -> tuple[list[str], int]:
    """Read the name of a table; empty if a parenthesis comes."""
    if tokens[at].kind not in {"word", "name"}:
        return [], at
    parts = [tokens[at].name]
    while at + 2 < len(tokens) and tokens[at + 1].spelling == ".":
        at += 2
        parts.append(tokens[at].name)
    return parts, at + 1
