"""What do GRANT, DENY and REVOKE do?"""

from tests.local.stand_ins.sqlserver.backend import SqlError, Value
from tests.local.stand_ins.sqlserver.statement import Statements, record, refusal
from tests.local.stand_ins.sqlserver.tables import (
    DATABASE,
    DB_OWNER,
    DBO,
    OBJECT,
    OF_SCHEMA,
    OF_SERVER,
    PRINCIPAL,
    SA,
    SERVER,
    SERVER_PRINCIPAL,
    Securable,
)
from tests.local.stand_ins.sqlserver.things import THINGS, Thing, thing_named
from tests.local.stand_ins.sqlserver.tsql import syntax_error

SERVER_PERMISSIONS = frozenset({
    "ADMINISTER BULK OPERATIONS", "ALTER ANY CONNECTION", "ALTER ANY CREDENTIAL", "ALTER ANY LINKED SERVER",
    "ALTER ANY LOGIN", "ALTER ANY SERVER ROLE", "ALTER SERVER STATE", "ALTER SETTINGS", "ALTER TRACE", "CONNECT SQL",
    "CONTROL SERVER", "CREATE ANY DATABASE", "VIEW ANY DATABASE", "VIEW ANY DEFINITION", "VIEW SERVER STATE",
})  # fmt: skip
DATABASE_PERMISSIONS = frozenset({
    "ALTER ANY DATABASE DDL TRIGGER", "ALTER ANY ROLE", "ALTER ANY USER", "CONNECT", "CONTROL", "CREATE ROLE",
    "CREATE SCHEMA", "CREATE TABLE", "CREATE VIEW", "DELETE", "EXECUTE", "INSERT", "SELECT", "SHOWPLAN", "UPDATE",
    "VIEW DEFINITION",
})  # fmt: skip
_ON_TABLES = {"ALTER", "CONTROL", "DELETE", "EXECUTE", "INSERT", "REFERENCES", "SELECT", "UPDATE", "VIEW DEFINITION"}
_ON_THINGS = {
    "ALTER", "CONNECT", "CONTROL", "EXECUTE", "REFERENCES", "SEND", "TAKE OWNERSHIP", "VIEW DEFINITION",
}  # fmt: skip
_ON_PRINCIPALS = {"ALTER", "CONTROL", "IMPERSONATE", "TAKE OWNERSHIP", "VIEW DEFINITION"}
PERMISSIONS_ON = {
    **dict.fromkeys(THINGS, _ON_THINGS),
    OBJECT: _ON_TABLES, OF_SCHEMA: _ON_TABLES, PRINCIPAL: _ON_PRINCIPALS, SERVER_PRINCIPAL: _ON_PRINCIPALS,
}  # fmt: skip

GRANTABLE, OPTION_ONLY, NOTHING = "GRANT_WITH_GRANT_OPTION", "GRANT OPTION FOR", ""


class PermissionStatements(Statements):
    """Permissions on the server, databases and what is in them."""

    def grant(self) -> None:
        """GRANT permissions."""
        permissions, on, columns = self._permissions()
        self._tokens.expect("TO")
        grantee = self._tokens.name()
        state = GRANTABLE if self._tokens.took("WITH", "GRANT", "OPTION") else "GRANT"
        self._change("GRANT", permissions, on, columns, grantee, state)

    def deny(self) -> None:
        """DENY permissions."""
        permissions, on, columns = self._permissions()
        self._tokens.expect("TO")
        self._change("DENY", permissions, on, columns, self._tokens.name(), "DENY")

    def revoke(self) -> None:
        """REVOKE permissions."""
        state = OPTION_ONLY if self._tokens.took("GRANT", "OPTION", "FOR") else NOTHING
        permissions, on, columns = self._permissions()
        self._tokens.one_of("FROM", "TO")
        self._change("REVOKE", permissions, on, columns, self._tokens.name(), state)

    def _permissions(self) -> tuple[list[str], Securable | None, list[str]]:
        """Read the permissions, their securable (None for the server or the database), and its columns."""
        names: list[str] = []
        while not names or self._tokens.took(","):
            words = []
            while self._tokens.peek().spelling.upper() not in {",", "ON", "TO", "FROM"}:
                words.append(self._tokens.name().upper())
            names.append(" ".join(words))
        on, columns = self._securable() if self._tokens.took("ON") else (None, [])
        allowed = PERMISSIONS_ON[on.class_id] if on else SERVER_PERMISSIONS | DATABASE_PERMISSIONS
        for name in set(names) - allowed:
            raise syntax_error(name)
        return names, on, columns

    def _securable(self) -> tuple[Securable, list[str]]:
        if thing := thing_named(self._tokens, "::"):
            return self._thing(thing, self._tokens.names()), []
        keywords = ("SERVER ROLE", "OBJECT", "SCHEMA", "USER", "ROLE", "LOGIN")
        keyword = next((word for word in keywords if self._tokens.took(*word.split(), "::")), "OBJECT")
        names, columns = self._tokens.names(), list[str]()
        if self._tokens.took("("):
            while not columns or self._tokens.took(","):
                columns.append(self._tokens.name())
            self._tokens.expect(")")
        found: int | None
        match keyword:
            case "LOGIN" | "SERVER ROLE":
                place, found = SERVER_PRINCIPAL, self._server_principal(names[0], "find", keyword.lower())
            case "OBJECT":
                place, found = OBJECT, self._catalog.object_named(self._viewer, names)
            case "SCHEMA":
                place, found = OF_SCHEMA, self._catalog.get("schemas", "schema_id", db=self._here, name=names[0])
            case _:
                place, found = PRINCIPAL, self._principal(names[0], "find", keyword.lower())
        if found is None:
            raise refusal("find", keyword.lower(), names[-1])
        return Securable(place, found), columns

    def _thing(self, thing: Thing, names: list[str]) -> Securable:
        found = self._thing_id(thing, names)
        if found is None:
            raise refusal("find", thing.keyword.lower(), names[-1])
        return Securable(thing.class_id, found)

    def _change(  # noqa: PLR0913, PLR0917 - the parts of a statement
        self, verb: str, permissions: list[str], on: Securable | None, columns: list[str], grantee: str, state: str
    ) -> None:
        cascade = self._tokens.took("CASCADE")
        grantor = self._tokens.name() if verb == "REVOKE" and self._tokens.took("AS") else ""
        for permission in permissions:
            of_server = on.class_id in OF_SERVER if on else permission in SERVER_PERMISSIONS
            if of_server and self._here.lower() != "master":
                text = "Permissions at the server scope can only be granted when the current database is master"
                raise SqlError(4621, text)
            place = on or Securable(SERVER if of_server else DATABASE)
            if not self._catalog.can_grant(self._viewer, permission, place):
                text = "Grantor does not have GRANT permission."
                raise refusal("find", "object", "it") if on else SqlError(4613, text)
            find = self._server_principal if of_server else self._principal
            to = find(grantee, "find", "user")
            if to == (SA if of_server else DBO) or to == self._catalog.owner(self._here, place):
                text = "Cannot grant, deny, or revoke permissions to sa, dbo, entity owner, or yourself."
                raise SqlError(4624, text)
            self._statement.event = "" if of_server else f"{verb}_DATABASE"
            by = self._grantor(grantor, of_server=of_server)
            for minor in self._minors(place, columns):
                self._set(Securable(place.class_id, place.major, minor), to, permission, state, by, cascade=cascade)

    def _grantor(self, name: str, *, of_server: bool) -> int:
        """Return the grantor that is recorded, or whose grants are revoked: the viewer, dbo for it, or the one in AS.

        "Use the AS principal clause to indicate that you are revoking a permission that was granted by a principal
        other than you" (revoke-transact-sql). It takes membership in db_owner, or the right to act as that principal
        (grant-object-permissions-transact-sql, and those of the other securables).
        """
        if of_server:
            if name and not self._catalog.allows_server(self._viewer, "CONTROL SERVER"):
                raise refusal("find", "user", name)
            return self._server_principal(name, "find", "user") if name else int(self._viewer.login or 0)
        user = self._catalog.user_in(self._viewer, self._here) or 0
        if name and not {DBO, DB_OWNER} & self._catalog.database_groups(self._here, user):
            raise refusal("find", "user", name)
        if name:
            return self._principal(name, "find", "user")
        return DBO if DB_OWNER in self._catalog.database_groups(self._here, user) else user

    def _minors(self, on: Securable, columns: list[str]) -> list[int]:
        key: dict[str, Value] = {"db": self._here, "object_id": on.major}
        found = [self._catalog.get("all_columns", "column_id", **key, name=column) for column in columns]
        if None in found:
            raise SqlError(1911, "Column name does not exist in the target table.")
        return found or [0]

    def _set(  # noqa: PLR0913 - the columns of the table
        self, on: Securable, to: int, permission: str, state: str, grantor: int, *, cascade: bool
    ) -> None:
        of_server = on.class_id in OF_SERVER
        table = "server_permissions" if of_server else "database_permissions"
        thing: dict[str, Value] = {"class": on.class_id, "major_id": on.major, "grantee_principal_id": to}
        thing |= {"permission_name": permission, "grantor_principal_id": grantor}
        thing |= {} if of_server else {"db": self._here}
        before = self._catalog.get(table, "state_desc", **thing, minor_id=on.minor)
        if before == GRANTABLE and state in (NOTHING, OPTION_ONLY, "DENY") and not cascade:
            raise SqlError(4611, "To revoke or deny grantable privileges, specify the CASCADE option.")
        if not of_server:
            self._require_writable()
        if state == OPTION_ONLY:
            # "If the principal has the specified permission without the GRANT option, the permission itself will be
            # revoked" (revoke-transact-sql).
            state = "GRANT" if before == GRANTABLE else NOTHING
        elif (before, state) == (GRANTABLE, "GRANT"):
            state = GRANTABLE  # only REVOKE GRANT OPTION FOR takes it back
        if on.minor:
            self._catalog.delete(table, **thing, minor_id=on.minor)
            of_all = self._catalog.get(table, "state_desc", **thing, minor_id=0)
            # "For columns, there is a row for every permission that is different from the corresponding object-level
            # permission" (sys-database-permissions-transact-sql).
            state = "REVOKE" if of_all and not state else NOTHING if state == of_all else state
        else:
            self._catalog.delete(table, **thing)
        if state:
            record(self._catalog, "" if of_server else self._here, on, to, permission, state, grantor)
