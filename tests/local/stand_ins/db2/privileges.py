"""What may a user of the stand-in for Db2 do, by itself, a group or a role?"""

# ruff: noqa: S608 - the catalog's own names

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.local.stand_ins.db2.catalog import KINDS, SYSTEM, Clause, Db2Error, Item, is_catalog

if TYPE_CHECKING:
    from tests.local.stand_ins.db2.session import Session

BY_SECADM = frozenset({"ACCESSCTRL", "CREATE_SECURE_OBJECT", "DATAACCESS", "DBADM", "SECADM"})
BY_SYSADM = frozenset({"CREATE_EXTERNAL_ROUTINE", "CREATE_NOT_FENCED_ROUTINE"})
"""Who may grant what: https://www.ibm.com/docs/en/db2/11.5?topic=statements-grant-database-authorities."""

HELD_AS = ("D_USER", "D_GROUP", "D_PUBLIC", "ROLE_USER", "ROLE_GROUP", "ROLE_PUBLIC", "D_ROLE")
"""Through what a user can hold an authority."""

DYNAMIC_SQL = ("NULLID", "SYSSH200")
"""The package of dynamic SQL."""


@dataclass(frozen=True)
class Privileges:
    """The privileges and authorities of a session's user."""

    session: "Session"

    def has(self, authority: str) -> bool:
        """Tell whether the user has an authority on the database."""
        kind = KINDS["DATABASE"]
        return self.session.is_owner or self.holds(kind.view, (), kind.privileges[authority])

    def holds(self, view: str, keys: Sequence[str], column: str, values: str = "YG") -> bool:
        """Tell whether the user, a group or a role has one of these values in a column of a view."""
        condition = "".join(f" AND {key} = ?" for key in next(k.keys for k in KINDS.values() if k.view == view))
        query = f'SELECT {column} FROM "SYSCAT.{view}" WHERE GRANTEE = ? AND GRANTEETYPE = ?{condition}'
        found = (self.session.store.execute(query, (*identity, *keys)) for identity in self._identities())
        return any(value in values for rows in found for (value,) in rows)

    def require_dynamic_sql(self) -> None:
        """Raise SQL0551N if the user may not run the package of dynamic SQL."""
        if not (self.has("DATAACCESS") or self.holds("PACKAGEAUTH", DYNAMIC_SQL, "EXECUTEAUTH")):
            raise self.no_privilege("EXECUTE", ".".join(DYNAMIC_SQL))

    def require_table(self, operation: str, table: str) -> None:
        """Raise SQL0551N if the user may not do this to a table."""
        schema, _, name = table.partition(".")
        if self.has("DATAACCESS"):
            return
        held = self.holds("TABAUTH", (schema, name), KINDS["TABLE"].privileges[operation])
        if not held and not self.holds("SCHEMAAUTH", (schema,), f"{operation}INAUTH"):
            raise self.no_privilege(operation, table)

    def require_create(self, kind: str, schema: str) -> None:
        """Raise SQL0552N if the user may not create an object of this kind."""
        if kind == "ROLE" and not (self.session.is_owner or self.has("SECADM")):
            raise self._no_authority("CREATE ROLE")
        creates_here = schema and self.holds("SCHEMAAUTH", (schema,), "CREATEINAUTH")
        is_own = schema == self.session.authid and self.has("CREATETAB")
        if not (self.has("DBADM") or creates_here or is_own):
            raise self._no_authority(f"CREATE {kind}")

    def require_grant(self, item: Item, clause: Clause) -> None:
        """Raise Db2Error if the object does not exist, or if the user may not grant or revoke this."""
        self._require_object(item)
        operation = "GRANT" if clause.grants else "REVOKE"
        if clause.grants and (clause.grantee, clause.grantee_kind) == (self.session.authid, "U"):
            raise Db2Error(-554, "42502", self.session.authid)
        if self.session.is_owner or self.has("SECADM"):
            return
        if item.kind in {"LABEL", "EXEMPTION", "SURROGATE"}:
            raise self._no_authority(operation)
        if item.kind == "ROLE":
            if clause.option == "ADMIN" or not self._administers(item.keys[0]):
                raise self.no_privilege(operation, item.keys[0])
        elif item.kind == "DATABASE":
            if item.privilege in BY_SECADM | BY_SYSADM or not self.has("ACCESSCTRL"):
                raise self._no_authority(operation)
        elif not self.has("ACCESSCTRL") and not self._has_grant_option(item):
            raise self.no_privilege(operation, ".".join(item.keys))

    def no_privilege(self, operation: str, thing: str) -> Db2Error:
        """Return SQL0551N."""
        return Db2Error(-551, "42501", self.session.authid, operation, thing)

    def _no_authority(self, operation: str) -> Db2Error:
        return Db2Error(-552, "42502", self.session.authid, operation)

    def authorities(self, authid: str) -> Iterator[tuple[str, ...]]:
        """Yield each authority of a user on the database, and Y or N for each of `HELD_AS`; `*` stands for a role."""
        user, groups, public = self._origins(authid)
        origins = [*(user, groups, public), *(self._with_roles(each) - each for each in (user, groups, public))]
        kind = KINDS["DATABASE"]
        for authority, column in kind.privileges.items():
            query = f"SELECT GRANTEE, GRANTEETYPE FROM \"SYSCAT.{kind.view}\" WHERE {column} = 'Y'"
            holders = set(self.session.store.execute(query).fetchall())
            if holders & set().union(*origins):
                yield authority, *("NY"[bool(holders & origin)] for origin in origins), "*"

    def _origins(self, authid: str) -> tuple[set[tuple[str, str]], ...]:
        groups = {(group, "G") for group in self.session.instance.groups(authid)}
        return {(authid, "U")}, groups, {("PUBLIC", "G")}

    def _identities(self) -> set[tuple[str, str]]:
        """Return the user, its groups, PUBLIC, and all roles of which these are members."""
        return self._with_roles(set().union(*self._origins(self.session.authid)))

    def _with_roles(self, members: set[tuple[str, str]]) -> set[tuple[str, str]]:
        found, unasked = set(members), list(members)
        query = 'SELECT ROLENAME FROM "SYSCAT.ROLEAUTH" WHERE GRANTEE = ? AND GRANTEETYPE = ?'
        while unasked:
            more = {(role, "R") for (role,) in self.session.store.execute(query, unasked.pop())} - found
            found |= more
            unasked += more
        return found

    def _administers(self, role: str) -> bool:
        query = "SELECT 1 FROM \"SYSCAT.ROLEAUTH\" WHERE GRANTEE = ? AND ROLENAME = ? AND ADMIN = 'Y'"
        return bool(self.session.store.execute(query, (self.session.authid, role)).fetchone())

    def _has_grant_option(self, item: Item) -> bool:
        if item.kind == "SERVER":
            return False
        kind = KINDS[item.kind]
        if "CONTROL" in kind.privileges and self.holds(kind.view, item.keys, kind.privileges["CONTROL"], "Y"):
            return item.privilege != "CONTROL"
        return self.holds(kind.view, item.keys, kind.privileges[item.privilege], "G")

    def _require_object(self, item: Item) -> None:
        if item.kind in {"DATABASE", "LABEL", "EXEMPTION", "SURROGATE"}:
            return
        if item.kind == "ROUTINE" and not item.keys[1]:
            return
        schema, name = ("", item.keys[0]) if len(item.keys) == 1 else item.keys[:2]
        if item.kind == "INDEX" and schema == SYSTEM:
            # No document says so. The driver must do without.
            raise Db2Error(-607, "42832", "GRANT")
        if item.kind == "TABLE" and is_catalog(schema, name):
            return
        if not self.session.registered(item.kind, schema, name):
            raise Db2Error(-204, "42704", ".".join(filter(None, (schema, name))))
