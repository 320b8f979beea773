"""How does the stand-in for Db2 store rights, and the objects that they are for?"""

# ruff: noqa: S608 - the catalog's own names

import sqlite3
from collections.abc import Mapping, Sequence

from tests.local.stand_ins.db2.catalog import COLUMN_PRIVILEGES, GRANT, KINDS, SYSTEM, Db2Error, Item
from tests.local.stand_ins.db2.wire import Value

INCLUDED_IN = {
    **dict.fromkeys(
        (
            *("BINDADD", "CONNECT", "CREATETAB", "CREATE_NOT_FENCED_ROUTINE"),
            *("IMPLICIT_SCHEMA", "LOAD", "QUIESCE_CONNECT"),
        ),
        ("DBADM",),
    ),
    "CREATE_EXTERNAL_ROUTINE": ("DBADM", "CREATE_NOT_FENCED_ROUTINE"),
}
"""What cannot be revoked from a user who has another authority, which includes it
(https://www.ibm.com/docs/en/db2/12.1?topic=statements-revoke-database-authorities)."""

UNTYPED_GRANT = ("GRANTOR", "GRANTEE", "GRANTEETYPE")


def _named(names: Sequence[str], who: Sequence[str], *values: Value) -> dict[str, Value]:
    return dict(zip(names, (*who, *values), strict=True))


class Grants:
    """The rights in a database. Nothing here asks whether the user may change them."""

    authid: str
    store: sqlite3.Connection

    def give(self, item: Item, grantee: str, kind: str, option: str = "", grantor: str = "") -> None:
        """Grant; without a grantor, the user who is logged in grants."""
        who = (grantor or self.authid, "S" if grantor == SYSTEM else "U", grantee, kind)
        grantor, _, *_ = who
        match item.kind:
            case "ROLE":
                self._put("ROLEAUTH", _named((*GRANT, "ROLENAME"), who, *item.keys), {"ADMIN": "NY"[option == "ADMIN"]})
            case "SERVER":
                self._put("PASSTHRUAUTH", _named((*GRANT, "SERVERNAME"), who, *item.keys), {})
            case "SURROGATE":
                names = ("GRANTOR", "TRUSTEDID", "TRUSTEDIDTYPE", "SURROGATEAUTHID", "SURROGATEAUTHIDTYPE")
                self._put("SURROGATEAUTHIDS", _named(names, (grantor, grantee, kind), *item.keys), {})
            case "LABEL":
                names = (*UNTYPED_GRANT, "SECLABELID", "SECPOLICYID")
                keys = _named(names, (grantor, grantee, kind), *self._label(*item.keys))
                self._put("SECURITYLABELACCESS", keys, {"ACCESSTYPE": {"ALL": "B"}.get(option, option[:1])})
            case "EXEMPTION":
                policy, rule, action = item.keys
                keys = _named(
                    (*UNTYPED_GRANT, "SECPOLICYID", "ACCESSRULENAME", "ACTIONALLOWED"),
                    (grantor, grantee, kind),
                    self._policy(policy),
                    rule,
                    action,
                )
                self._put("SECURITYPOLICYEXEMPTIONS", keys, {})
            case _:
                self._give_privilege(item, who, option)

    def _give_privilege(self, item: Item, who: tuple[str, ...], option: str) -> None:
        kind = KINDS[item.kind]
        for column in item.columns:
            names = (*GRANT, *kind.keys, "COLNAME", "PRIVTYPE")
            keys = _named(names, who, *item.keys, column, item.privilege[0])
            self._put("COLAUTH", keys, {"GRANTABLE": "G" if option else "N"})
        if item.columns:
            return
        values = {item.privilege: "G" if option and item.privilege not in kind.never_grantable else "Y"}
        if item.privilege == "CONTROL":
            values |= {name: "G" for name in kind.privileges if name != "CONTROL"}
        if item.privilege == "DBADM":
            values |= dict.fromkeys({"DATAACCESS", "ACCESSCTRL"} - item.without, "Y")
        if item.privilege == "CREATE_NOT_FENCED_ROUTINE":
            values["CREATE_EXTERNAL_ROUTINE"] = "Y"
        place = _named((*GRANT, *kind.keys), who, *self._keys(item))
        present = self._row(kind.view, place)
        columns = {kind.privileges[name]: value for name, value in values.items()}
        self._put(kind.view, place, {c: v for c, v in columns.items() if present.get(c) != "G"})

    def take(self, item: Item, grantee: str, grantee_kind: str) -> None:
        """Revoke what any grantor but the system granted; raises SQL0556N if there is nothing."""
        where = f"GRANTEE = ? AND GRANTEETYPE = ? AND GRANTOR <> '{SYSTEM}'"
        match item.kind:
            case "ROLE":
                changed = self._delete("ROLEAUTH", f"{where} AND ROLENAME = ?", grantee, grantee_kind, *item.keys)
            case "SERVER":
                changed = self._delete("PASSTHRUAUTH", f"{where} AND SERVERNAME = ?", grantee, grantee_kind, *item.keys)
            case "SURROGATE":
                condition = "TRUSTEDID = ? AND TRUSTEDIDTYPE = ? AND SURROGATEAUTHID = ? AND SURROGATEAUTHIDTYPE = ?"
                changed = self._delete("SURROGATEAUTHIDS", condition, grantee, grantee_kind, *item.keys)
            case "LABEL":
                condition = f"{where} AND SECLABELID = ? AND SECPOLICYID = ?"
                changed = self._delete(
                    "SECURITYLABELACCESS", condition, grantee, grantee_kind, *self._label(*item.keys)
                )
            case "EXEMPTION":
                policy, rule, action = item.keys
                condition = f"{where} AND SECPOLICYID = ? AND ACCESSRULENAME = ? AND ACTIONALLOWED = ?"
                values = (grantee, grantee_kind, self._policy(policy), rule, action)
                changed = self._delete("SECURITYPOLICYEXEMPTIONS", condition, *values)
            case _:
                changed = self._take_privilege(item, where, grantee, grantee_kind)
        if not changed:
            raise Db2Error(-556, "42504", grantee)
        if item.kind in {"TABLE", "ROLE"}:
            self._end_dependents(item, grantee)

    def _end_dependents(self, item: Item, owner: str) -> None:
        """Make views and triggers inoperative whose owner has lost a right on a table that they use, or a role.

        "All entries in the SYSCAT.TABDEP, SYSCAT.TABAUTH … catalog views are removed"
        (https://www.ibm.com/docs/en/db2/11.5.x?topic=views-recovering-inoperative). Only for roles it is looked at, and
        roughly, whether the owner has the right from elsewhere.
        """
        base = "BSCHEMA = ? AND BNAME = ?" if item.kind == "TABLE" else "? <> ''"
        if item.kind == "ROLE":
            base += (
                ' AND NOT EXISTS (SELECT 1 FROM "SYSCAT.TABAUTH" A WHERE A.GRANTEE = OWNER'
                " AND A.TABSCHEMA = BSCHEMA AND A.TABNAME = BNAME)"
            )
        found = self.store.execute(
            f'SELECT TABSCHEMA, TABNAME FROM "SYSCAT.TABDEP" WHERE OWNER = ? AND {base}', (owner, *item.keys)
        ).fetchall()
        for place in found:
            for view in ("TABDEP", "TABAUTH"):
                self._delete(view, "TABSCHEMA = ? AND TABNAME = ?", *place)
        self.store.execute(
            "UPDATE \"SYSCAT.TRIGGERS\" AS T SET VALID = 'X' WHERE OWNER = ? AND EXISTS (SELECT 1 FROM"
            f' "SYSCAT.TRIGDEP" D WHERE D.TRIGSCHEMA = T.TRIGSCHEMA AND D.TRIGNAME = T.TRIGNAME AND {base})',
            (owner, *item.keys),
        )

    def _take_privilege(self, item: Item, where: str, grantee: str, grantee_kind: str) -> int:
        if item.columns:
            raise Db2Error(-104, "42601", "(", item.privilege, "ON")
        kind = KINDS[item.kind]
        columns = [kind.privileges[item.privilege]]
        for including in INCLUDED_IN.get(item.privilege, ()) if item.kind == "DATABASE" else ():
            query = f"SELECT 1 FROM \"SYSCAT.DBAUTH\" WHERE {where} AND {kind.privileges[including]} = 'Y'"
            if self.store.execute(query, (grantee, grantee_kind)).fetchone():
                return 0
        condition = where + "".join(f" AND {key} = ?" for key in kind.keys)
        values = (grantee, grantee_kind, *self._keys(item))
        changed = self.store.execute(
            f'UPDATE "SYSCAT.{kind.view}" SET {", ".join(f"{c} = 'N'" for c in columns)}'
            f" WHERE {condition} AND {columns[0]} <> 'N'",
            values,
        ).rowcount
        if (item.kind, item.privilege) in COLUMN_PRIVILEGES:
            changed += self._delete("COLAUTH", f"{condition} AND PRIVTYPE = ?", *values, item.privilege[0])
        nothing = " AND ".join(f"{column} = 'N'" for column in kind.privileges.values())
        self._delete(kind.view, f"{condition} AND {nothing}", *values)
        return changed

    def _keys(self, item: Item) -> tuple[str | None, ...]:
        if item.kind != "XSROBJECT":
            return item.keys
        found = self.store.execute(
            'SELECT OBJECTID FROM "SYSCAT.XSROBJECTS" WHERE OBJECTSCHEMA = ? AND OBJECTNAME = ?', item.keys
        ).fetchone()
        return (found[0],)

    def _policy(self, name: str) -> int:
        found = self.store.execute(
            'SELECT SECPOLICYID FROM "SYSCAT.SECURITYPOLICIES" WHERE SECPOLICYNAME = ?', (name,)
        ).fetchone()
        if not found:
            raise Db2Error(-204, "42704", name)
        return int(found[0])

    def _label(self, policy: str, label: str) -> tuple[int, int]:
        number = self._policy(policy)
        found = self.store.execute(
            'SELECT SECLABELID FROM "SYSCAT.SECURITYLABELS" WHERE SECLABELNAME = ? AND SECPOLICYID = ?', (label, number)
        ).fetchone()
        if not found:
            raise Db2Error(-204, "42704", f"{policy}.{label}")
        return int(found[0]), number

    def _row(self, view: str, keys: Mapping[str, Value]) -> dict[str, Value]:
        cursor = self.store.execute(
            f'SELECT * FROM "SYSCAT.{view}" WHERE {" AND ".join(f"{key} IS ?" for key in keys)}',
            tuple(keys.values()),
        )
        row = cursor.fetchone()
        return dict(zip((d[0] for d in cursor.description), row, strict=True)) if row else {}

    def _put(self, view: str, keys: Mapping[str, Value], values: Mapping[str, str]) -> None:
        if not self._row(view, keys):
            names = ", ".join(keys)
            self.store.execute(
                f'INSERT INTO "SYSCAT.{view}" ({names}) VALUES ({", ".join("?" * len(keys))})',
                tuple(keys.values()),
            )
        if values:
            self.store.execute(
                f'UPDATE "SYSCAT.{view}" SET {", ".join(f"{c} = ?" for c in values)}'
                f" WHERE {' AND '.join(f'{key} IS ?' for key in keys)}",
                (*values.values(), *keys.values()),
            )

    def _delete(self, view: str, condition: str, *values: Value) -> int:
        return self.store.execute(f'DELETE FROM "SYSCAT.{view}" WHERE {condition}', values).rowcount

    def register(self, kind: str, place: str, name: str, target: str = "") -> None:
        """Record an object."""
        self.store.execute("INSERT INTO objects VALUES (?, ?, ?, ?)", (kind, place, name, target))

    def registered(self, kind: str, place: str, name: str) -> tuple[str] | None:
        """Return the table of an alias, and an empty text for other objects; None if there is no such object."""
        found: tuple[str] | None = self.store.execute(
            'SELECT target FROM objects WHERE kind = ? AND "schema" = ? AND name = ?', (kind, place, name)
        ).fetchone()
        return found
