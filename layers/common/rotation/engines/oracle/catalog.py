"""What does Oracle's data dictionary say about a user?"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from rotation.engines.oracle.admin import OracleAdmin, Question
from rotation.engines.oracle.connection import Rows
from rotation.engines.oracle.definition import (
    ATTRIBUTES,
    LATER_ATTRIBUTES,
    NO_ROLES,
    THE_USER,
    Definition,
    Proxy,
    Synonym,
)
from rotation.engines.oracle.proof import OracleProofs
from rotation.engines.oracle.rights import NAMED_TYPES, Right, RightKind, collected
from rotation.errors import RETRIED, StatementFailed, Unsupported
from rotation.redaction import said

USER_COLUMNS = (
    "user_id",
    "account_status",
    "authentication_type",
    "common",
    "oracle_maintained",
    "profile",
    "default_tablespace",
    "temporary_tablespace",
    "initial_rsrc_consumer_group",
)

PLAIN_LINK = re.compile(r"[A-Za-z][A-Za-z0-9_$#]*(\.[A-Za-z0-9_$#]+)*(@[A-Za-z0-9_$#]+)?")
"""The name of a database link, which no statement takes in quotes."""

GRANTABLE_TYPES = frozenset(
    {
        "ANALYTIC VIEW",
        "ATTRIBUTE DIMENSION",
        "CLUSTER",
        "CUBE",
        "CUBE DIMENSION",
        "DOMAIN",
        "FUNCTION",
        "HIERARCHY",
        "INDEXTYPE",
        "LIBRARY",
        "MATERIALIZED VIEW",
        "MLE ENVIRONMENT",
        "MLE MODULE",
        "OPERATOR",
        "PACKAGE",
        "PROCEDURE",
        "PROPERTY GRAPH",
        "QUEUE",
        "SEQUENCE",
        "SQL TRANSLATION PROFILE",
        "TABLE",
        "TYPE",
        "VIEW",
    }
)
"""The types of objects that others can use like the owner, once they were granted something on them
(https://docs.oracle.com/en/database/oracle/oracle-database/19/sqlrf/GRANT.html, "Object Privileges")."""

SCHEMA_PRIVILEGES = (23,)
"""The first version with DBA_SCHEMA_PRIVS
(https://docs.oracle.com/en/database/oracle/oracle-database/23/refrn/DBA_SCHEMA_PRIVS.html)."""

ON_USERS = "USER"
"""These rights each user gives on itself: INHERIT PRIVILEGES is what code of the grantee can do when the other runs it
(https://docs.oracle.com/en/database/oracle/oracle-database/19/dbseg/managing-security-for-definer-rights-and-invoker-rights.html).
The code still belongs to the grantee, so its clone does not need them."""

PUBLIC = "PUBLIC"
"""Everybody, as a grantee."""

DROPPED = "BIN$"
"""How the names of dropped objects begin, which keep their grants."""

OF_THE_SERVER = (DROPPED, "AQ$", "MLOG$_", "RUPD$_", "SYS_FBA_", "VECTOR$")
"""How names begin that the server gives by itself: for queue tables, logs of materialized views, flashback archives and
vector indexes. Only the server uses these objects. It shows most others of its own as GENERATED or SECONDARY."""

NAMED_OBJECTS = 3
"""How many objects an error names; it counts the rest."""

ROLES: Final = Question(
    "dba_role_privs", ("grantee",), ("granted_role", "admin_option", "delegate_option", "default_role")
)
PRIVILEGES: Final = Question("dba_sys_privs", ("grantee",), ("privilege", "admin_option"))
ON_SCHEMAS: Final = Question("dba_schema_privs", ("grantee",), ("privilege", "schema", "admin_option"))
ON_OBJECTS: Final = Question(
    "dba_tab_privs",
    ("grantee",),
    ("privilege", "owner", "table_name", "type", "grantor", "grantable", "hierarchy"),
)
ON_COLUMNS: Final = Question(
    "dba_col_privs", ("grantee",), ("privilege", "owner", "table_name", "column_name", "grantor", "grantable")
)
QUOTAS: Final = Question("dba_ts_quotas", ("username",), ("tablespace_name", "max_bytes", "dropped"))
GROUPS: Final = Question("dba_rsrc_consumer_group_privs", ("grantee",), ("granted_group", "grant_option"))
PROXIES: Final = Question("dba_proxies", ("client", "proxy"), ("authentication", "authorization_constraint", "role"))
SYNONYMS: Final = Question("dba_synonyms", ("owner",), ("synonym_name", "table_owner", "table_name", "db_link"))

type User = Mapping[str, str]
"""A row of DBA_USERS, by column."""


class OracleCatalog:
    """Reads what users are and can do, through an admin."""

    def __init__(self, admin: OracleAdmin, proofs: OracleProofs, *pair: str) -> None:
        """`pair` are two users of which what is asked of one is soon asked of the other: so both are asked at once."""
        self._pair = sorted(pair)
        self._admin = admin
        self._proofs = proofs

    def read_marks(self) -> None:
        """Ask in one statement what the status of the pair needs."""
        self._read_ahead([self._of_users(), PROXIES])

    def read_definitions(self) -> None:
        """Ask in one statement what the definitions of the pair need. What they own can be much, and is not in it."""
        rest = (ROLES, PRIVILEGES, ON_OBJECTS, ON_COLUMNS, QUOTAS, GROUPS, PROXIES, SYNONYMS)
        on_schemas = [ON_SCHEMAS] if self._admin.connection.version >= SCHEMA_PRIVILEGES else []
        self._read_ahead([self._of_users(), *rest, *on_schemas])

    def _read_ahead(self, questions: Sequence[Question]) -> None:
        if self._pair:
            self._admin.read_ahead(f"reading what {' and '.join(self._pair)} are", questions, self._pair)

    def _of_users(self) -> Question:
        return Question("dba_users", ("username",), (*USER_COLUMNS, *self._later_attributes()))

    def users(self, *names: str) -> dict[str, User]:
        """Return those of these users that exist, by name; raises Unsafe if one is not the account that logged in."""
        operation = f"looking up {' and '.join(names)}"
        asked = self._of_users()
        rows = self._admin.read(operation, asked.view, asked.keys, asked.columns, sorted(names))
        users: dict[str, User] = {name: dict(zip(asked.columns, row, strict=True)) for name, *row in rows}
        for name, row in users.items():
            self._proofs.require_same(name, row["user_id"], operation)
        return users

    def definition(self, user: str, other: str, admin: str = "") -> Definition:
        """Return what a user is; what it has to do with the other one of its pair reads the same for both.

        With an admin, rights that this admin cannot revoke are apart: only the user that granted them can. Raises
        StatementFailed if the user, which was there, is gone.
        """
        self.read_definitions()
        users = self.users(user, other)
        if user not in users:
            raise StatementFailed(f"reading what {user} is", "the account was dropped during the rotation", RETRIED)
        row = users[user]
        roles = [*self._answers(user, "roles", ROLES)]
        privileges = [right for right in self._privileges(user) if right.owner not in (user, other)]
        irrevocable = [right for right in privileges if admin and right.is_irrevocable(admin)]
        others = [right for right in privileges if not (admin and right.is_irrevocable(admin))]
        return Definition(
            attributes={name: row[name] for name in (*ATTRIBUTES, *self._later_attributes()) if row[name]},
            rights=collected([*_role_rights(roles), *others]),
            irrevocable=frozenset(irrevocable),
            default_roles=frozenset(role for role, *_, default in roles if default == "YES"),
            quotas=self._quotas(user),
            groups=self.groups(user),
            initial_group=row["initial_rsrc_consumer_group"] or "",
            proxies=frozenset(self._proxies(user, other)),
            synonyms=frozenset(self._synonyms(user, other)),
        )

    def rights(self, user: str) -> list[Right]:
        """Return what a user can do now; a right that several users granted is there several times."""
        roles = [*self._answers(user, "roles", ROLES)]
        return [*_role_rights(roles), *self._privileges(user)]

    def groups(self, user: str) -> dict[str, bool]:
        """Return the consumer groups that a user can switch to, and whether it can pass that on."""
        rows = self._answers(user, "consumer groups", GROUPS)
        return {group: option == "YES" for group, option in rows}

    def passed_on(self, user: str) -> Iterator[tuple[str, tuple[str, ...], bool]]:
        """Yield to whom a user has passed on what (privilege, owner and object), and whether with the option."""
        columns = ("grantee", "privilege", "owner", "table_name", "grantable")
        for view in ("dba_tab_privs", "dba_col_privs"):
            for grantee, *what, option in self._rows(user, "grants", view, "grantor", *columns):
                yield grantee, tuple(what), option == "YES"

    def is_marked(self, user: str, other: str) -> bool:
        """Tell whether the pair carries our mark, in whichever direction."""
        return any(
            {proxy.client, proxy.proxy} == {user, other} and proxy.constraint == NO_ROLES and proxy.authenticated
            for proxy in self._all_proxies(other)
        )

    def is_untouched(self, user: str, row: User) -> bool:
        """Tell whether a user is locked, and has and owns nothing. Who takes turns with it is read last."""
        if not is_locked(row):
            return False
        roles = [*self._rows(user, "roles", "dba_role_privs", "grantee", "granted_role")]
        has = (roles, self._objects(user), list(self._privileges(user)), self._quotas(user))
        return not any((*has, *self._all_proxies(user)))

    def owned(self, user: str) -> list[tuple[str, str]]:
        """Return type and name of each object that a user owns, but for those that the server made by itself."""
        return [
            (object_type, name)
            for object_type, name, generated, secondary in self._objects(user)
            if "Y" not in (generated, secondary) and not name.startswith(OF_THE_SERVER)
        ]

    def granted_on(self, user: str, other: str) -> set[str]:
        """Return the objects of `user` on which `other` can do something, or a role that `user` has, or PUBLIC.

        The other one of a pair gets the roles of the current one.
        """
        operation, columns = f"reading who was granted what of {user}", ("grantee", "table_name")
        granted = {
            (grantee, item)
            for view in ("dba_tab_privs", "dba_col_privs")
            for _, grantee, item in self._admin.read(operation, view, ["owner"], columns, [user])
        }
        grantees = {other, PUBLIC, *(self._roles(user) if granted else ())}
        return {item for grantee, item in granted if grantee in grantees}

    def ungranted(self, user: str, other: str) -> list[tuple[str, str]]:
        """Return type and name of the objects that `user` owns, and on which `other` has no right."""
        owned = {(kind, item) for kind, item in self.owned(user) if kind in GRANTABLE_TYPES}
        owned -= {("TABLE", item) for item in self._nested(user)} if owned else set()
        shared = self.granted_on(user, other) if owned else set()
        return sorted((kind, item) for kind, item in owned if item not in shared)

    def _roles(self, user: str) -> set[str]:
        """Return the roles that a user has, also through other roles."""
        found, new = set[str](), {user}
        while new:
            rows = self._admin.read(
                f"reading the roles of {user}", "dba_role_privs", ["grantee"], ["granted_role"], new
            )
            new = {role for _, role in rows} - found
            found |= new
        return found

    def _later_attributes(self) -> list[str]:
        """Return those that this version of the server has."""
        version = self._admin.connection.version
        return [name for name, since in LATER_ATTRIBUTES.items() if version >= since]

    def _answers(self, user: str, what: str, question: Question) -> Iterator[tuple[str, ...]]:
        """Yield the columns of what a question with one key says about a user."""
        [key] = question.keys
        return self._rows(user, what, question.view, key, *question.columns)

    def _rows(self, user: str, what: str, view: str, key: str, *columns: str) -> Iterator[tuple[str, ...]]:
        """Yield the columns of what a view says about a user."""
        for _, *row in self._read(user, f"reading the {what} of {user}", view, [key], columns):
            yield tuple(row)

    def _read(self, user: str, operation: str, view: str, keys: Sequence[str], columns: Sequence[str]) -> Rows:
        names = self._pair if user in self._pair else [user]
        return [row for row in self._admin.read(operation, view, keys, columns, names) if user in row[: len(keys)]]

    def _privileges(self, user: str) -> Iterator[Right]:
        for privilege, option in self._answers(user, "privileges", PRIVILEGES):
            yield Right(RightKind.SYSTEM, privilege, option=option == "YES")
        if self._admin.connection.version >= SCHEMA_PRIVILEGES:
            for privilege, schema, option in self._answers(user, "privileges", ON_SCHEMAS):
                yield Right(RightKind.SCHEMA, privilege, item=schema, option=option == "YES")
        yield from self._on_objects(user)
        yield from self._on_columns(user)

    def _on_objects(self, user: str) -> Iterator[Right]:
        rows = self._answers(user, "privileges", ON_OBJECTS)
        for privilege, owner, item, object_type, grantor, option, hierarchy in rows:
            if object_type != ON_USERS and not item.startswith(DROPPED):
                named = object_type if object_type in NAMED_TYPES else ""
                right = Right(RightKind.OBJECT, privilege, owner, item, named, grantor=grantor)
                yield replace(right, option=option == "YES", hierarchy=hierarchy == "YES")

    def _on_columns(self, user: str) -> Iterator[Right]:
        rows = self._answers(user, "privileges", ON_COLUMNS)
        for privilege, owner, item, column, grantor, option in rows:
            if not item.startswith(DROPPED):
                right = Right(RightKind.OBJECT, privilege, owner, item, column=column, grantor=grantor)
                yield replace(right, option=option == "YES")

    def _quotas(self, user: str) -> dict[str, int]:
        rows = self._answers(user, "quotas", QUOTAS)
        return {name: int(size) for name, size, dropped in rows if dropped == "NO" and int(size)}

    def _all_proxies(self, user: str) -> Iterator[Proxy]:
        """Yield who can connect as the user, and as whom the user can connect."""
        roles: dict[tuple[str, ...], list[str]] = defaultdict(list)
        rows = self._read(user, f"reading the proxies of {user}", PROXIES.view, PROXIES.keys, PROXIES.columns)
        for client, proxy, authentication, constraint, role in rows:
            roles[client, proxy or "", authentication, constraint].extend([role] if role else [])
        for (client, proxy, authentication, constraint), named in roles.items():
            yield Proxy(client, proxy, tuple(sorted(named)), constraint, authentication == "YES")

    def _proxies(self, user: str, other: str) -> Iterator[Proxy]:
        """Yield the same without those between the two, and with THE_USER for the user's name."""
        for proxy in self._all_proxies(user):
            if {proxy.client, proxy.proxy} != {user, other}:
                yield proxy.renamed(user, THE_USER)

    def _synonyms(self, user: str, other: str) -> Iterator[Synonym]:
        for name, owner, item, link in self._answers(user, "synonyms", SYNONYMS):
            if link and not PLAIN_LINK.fullmatch(link):
                cause = f"the synonym {said(name)} is for an object at {said(link)!r}, which is no plain link"
                raise Unsupported(f"reading the synonyms of {user}", cause, "Drop it, or use another strategy")
            if owner not in (user, other):
                yield Synonym(name, owner or "", item, link or "")

    def _objects(self, user: str) -> list[tuple[str, ...]]:
        """Return type and name of the objects that a user owns, and whether the server made them."""
        columns = ("object_type", "object_name", "generated", "secondary")
        return [*self._rows(user, "objects", "dba_objects", "owner", *columns)]

    def _nested(self, user: str) -> list[str]:
        """Return the tables that hold a column of another table: a grant on that one is enough."""
        return [name for (name,) in self._rows(user, "nested tables", "dba_nested_tables", "owner", "table_name")]


def is_locked(row: User) -> bool:
    """Tell whether somebody has locked a user; the server itself locks it for a time, after failed logins.

    https://docs.oracle.com/en/error-help/db/ora-28000/ has the two statuses. If PASSWORD_LOCK_TIME is UNLIMITED, the
    server's lock reads the same as that of an administrator (seen in a published session: no page says so).
    """
    return bool(re.search(r"LOCKED(?!\(TIMED\))", row["account_status"]))


def few(names: Sequence[str]) -> list[str]:
    """Return the first names, and how many more there are."""
    count = len(names) - NAMED_OBJECTS
    return [*names[:NAMED_OBJECTS], *([f"{count} more"] if count > 0 else [])]


def _role_rights(rows: Sequence[tuple[str, ...]]) -> Iterator[Right]:
    for role, option, delegate, _ in rows:
        yield Right(RightKind.ROLE, role, option=option == "YES", delegate=delegate == "YES")
