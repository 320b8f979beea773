"""What does Oracle's data dictionary say of a user?"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from rotation.engines.oracle.proof import ProvenSession
from rotation.engines.oracle.rights import NAMED_TYPES, Right, Sort, collected, quoted, whole
from rotation.errors import Unsupported
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

NO_ROLES, ALL_ROLES = "NO CLIENT ROLES MAY BE ACTIVATED", "PROXY MAY ACTIVATE ALL CLIENT ROLES"
ALL_BUT = "PROXY MAY NOT ACTIVATE ROLE"
"""What DBA_PROXIES says of the roles that a proxy gets
(https://docs.oracle.com/en/database/oracle/oracle-database/19/refrn/DBA_PROXIES.html); else it is the roles named."""

UNLIMITED = -1

LINK = re.compile(r"[A-Za-z][A-Za-z0-9_$#]*(\.[A-Za-z0-9_$#]+)*(@[A-Za-z0-9_$#]+)?")
"""The name of a database link, which no statement takes in quotes."""

OWNED = frozenset(
    {
        "CLUSTER",
        "FUNCTION",
        "LIBRARY",
        "MATERIALIZED VIEW",
        "OPERATOR",
        "PACKAGE",
        "PROCEDURE",
        "QUEUE",
        "SEQUENCE",
        "TABLE",
        "TYPE",
        "VIEW",
    }
)
"""The types of objects that others may be granted something on; the rest goes with them."""

SCHEMA_PRIVILEGES = (23,)
"""The first version with DBA_SCHEMA_PRIVS
(https://docs.oracle.com/en/database/oracle/oracle-database/23/refrn/DBA_SCHEMA_PRIVS.html)."""

ON_USERS = "USER"
"""Of these rights each user gives its own: INHERIT PRIVILEGES is what the code of the one may do when the other runs it
(https://docs.oracle.com/en/database/oracle/oracle-database/19/dbseg/managing-security-for-definer-rights-and-invoker-rights.html).
The code stays the one's, so its clone needs none of them."""

DROPPED = "BIN$"
"""How the names begin of what was dropped, which keeps its grants."""

FEW = 3


@dataclass(frozen=True, order=True)
class Proxy:
    """Who may connect as whom, through its own login."""

    client: str
    proxy: str
    roles: tuple[str, ...]
    constraint: str
    authenticated: bool

    @property
    def clauses(self) -> str:
        """What GRANT CONNECT THROUGH says of it."""
        named = ", ".join(map(quoted, self.roles))
        text = {NO_ROLES: " WITH NO ROLES", ALL_ROLES: "", ALL_BUT: f" WITH ROLE ALL EXCEPT {named}"}.get(
            self.constraint, f" WITH ROLE {named}"
        )
        return text + (" AUTHENTICATION REQUIRED" if self.authenticated else "")

    def __str__(self) -> str:
        return f"the connection as {self.client} through {self.proxy}{self.clauses}"


@dataclass(frozen=True, order=True)
class Synonym:
    """A private synonym."""

    name: str
    owner: str
    item: str
    link: str

    @property
    def target(self) -> str:
        """What it stands for, as CREATE SYNONYM takes it."""
        schema = f"{quoted(self.owner)}." if self.owner else ""
        return f"{schema}{quoted(self.item)}{f'@{self.link}' if self.link else ''}"


@dataclass(frozen=True)
class Shape:
    """All that a user is and may do, its name, its password and its partner aside."""

    attributes: Mapping[str, str]
    rights: frozenset[Right]
    strangers: frozenset[Right]
    """What is no difference, because no admin can take it."""
    default_roles: frozenset[str]
    quotas: Mapping[str, int]
    groups: Mapping[str, bool]
    """The consumer groups that it may switch to, and whether it may pass that on."""
    initial_group: str
    proxies: frozenset[Proxy]
    synonyms: frozenset[Synonym]

    def sentences(self) -> frozenset[str]:
        """Say what it is, a sentence for each thing."""
        return frozenset(
            [
                *(f"the {name} {value}" for name, value in self.attributes.items()),
                *(f"the {right}" for right in self.rights),
                *(f"{role} as a default role" for role in self.default_roles),
                *(f"a quota of {sized(quota)} on {tablespace}" for tablespace, quota in self.quotas.items()),
                *(f"the consumer group {group}{' to pass on' * option}" for group, option in self.groups.items()),
                f"the initial consumer group {self.initial_group}",
                *map(str, self.proxies),
                *(f"the synonym {synonym.name} for {synonym.target}" for synonym in self.synonyms),
            ]
        )

    def without(self, rights: AbstractSet[Right]) -> "Shape":
        """Return the same, but for some rights."""
        roles = {right.name for right in rights if right.sort is Sort.ROLE}
        others = frozenset(right for right in self.rights if whole(right) not in rights)
        return replace(self, rights=others, default_roles=self.default_roles - roles)


class CatalogSession(ProvenSession):
    """A session that reads what users are."""

    def _users(self, *names: str) -> dict[str, dict[str, str]]:
        operation = f"looking for {' and '.join(names)}"
        rows = self.read(operation, "dba_users", ["username"], USER_COLUMNS, names)
        users = {name: dict(zip(USER_COLUMNS, row, strict=True)) for name, *row in rows}
        for name, row in users.items():
            self.require_still_proven(name, row["user_id"], operation)
        return users

    def _rows(self, user: str, what: str, view: str, key: str, *columns: str) -> Iterator[tuple[str, ...]]:
        """Yield the columns of what a view says of a user."""
        for _, *row in self.read(f"reading the {what} of {user}", view, [key], columns, [user]):
            yield tuple(row)

    def _shape(self, user: str, partner: str, admin: str = "") -> Shape:
        """Return what a user is; what it has to do with its partner is said in the same words for both.

        With an admin, what strangers gave it is apart: they may take it back any time, and nobody else may.
        """
        row = self._users(user, partner)[user]
        columns = ("granted_role", "admin_option", "delegate_option", "default_role")
        roles = [*self._rows(user, "roles", "dba_role_privs", "grantee", *columns)]
        rights = [right for right in self._privileges(user) if right.owner not in (user, partner)]
        strangers = {right for right in rights if admin and right.is_strangers(admin)}
        ours = [right for right in rights if not (admin and right.is_strangers(admin))]
        return Shape(
            attributes={name: row[name] for name in ("profile", "default_tablespace", "temporary_tablespace")},
            rights=collected(
                [
                    *(
                        Right(Sort.ROLE, role, option=option == "YES", delegate=delegate == "YES")
                        for role, option, delegate, _ in roles
                    ),
                    *ours,
                ]
            ),
            strangers=frozenset(strangers),
            default_roles=frozenset(role for role, *_, default in roles if default == "YES"),
            quotas=self._quotas(user),
            groups=self._groups(user),
            initial_group=row["initial_rsrc_consumer_group"] or "",
            proxies=frozenset(self._proxies(user, partner)),
            synonyms=frozenset(self._synonyms(user, partner)),
        )

    def _privileges(self, user: str) -> Iterator[Right]:
        rows = self._rows(user, "privileges", "dba_sys_privs", "grantee", "privilege", "admin_option")
        for privilege, option in rows:
            yield Right(Sort.SYSTEM, privilege, option=option == "YES")
        if self.version >= SCHEMA_PRIVILEGES:
            columns = ("privilege", "schema", "admin_option")
            for privilege, schema, option in self._rows(user, "privileges", "dba_schema_privs", "grantee", *columns):
                yield Right(Sort.SCHEMA, privilege, item=schema, option=option == "YES")
        yield from self._on_objects(user)
        yield from self._on_columns(user)

    def _on_objects(self, user: str) -> Iterator[Right]:
        columns = ("privilege", "owner", "table_name", "type", "grantor", "grantable", "hierarchy")
        rows = self._rows(user, "privileges", "dba_tab_privs", "grantee", *columns)
        for privilege, owner, item, kind, grantor, option, hierarchy in rows:
            if kind != ON_USERS and not item.startswith(DROPPED):
                named = kind if kind in NAMED_TYPES else ""
                right = Right(Sort.OBJECT, privilege, owner, item, named, grantor=grantor)
                yield replace(right, option=option == "YES", hierarchy=hierarchy == "YES")

    def _on_columns(self, user: str) -> Iterator[Right]:
        columns = ("privilege", "owner", "table_name", "column_name", "grantor", "grantable")
        rows = self._rows(user, "privileges", "dba_col_privs", "grantee", *columns)
        for privilege, owner, item, column, grantor, option in rows:
            if not item.startswith(DROPPED):
                right = Right(Sort.OBJECT, privilege, owner, item, column=column, grantor=grantor)
                yield replace(right, option=option == "YES")

    def _quotas(self, user: str) -> dict[str, int]:
        rows = self._rows(user, "quotas", "dba_ts_quotas", "username", "tablespace_name", "max_bytes", "dropped")
        return {name: int(size) for name, size, dropped in rows if dropped == "NO" and int(size)}

    def _groups(self, user: str) -> dict[str, bool]:
        view, columns = "dba_rsrc_consumer_group_privs", ("granted_group", "grant_option")
        rows = self._rows(user, "consumer groups", view, "grantee", *columns)
        return {group: option == "YES" for group, option in rows}

    def _connections(self, user: str) -> Iterator[Proxy]:
        """Yield who may connect as the user, and as whom it may connect."""
        operation, columns = f"reading the proxies of {user}", ("authentication", "authorization_constraint", "role")
        roles: dict[tuple[str, ...], list[str]] = defaultdict(list)
        for client, proxy, authentication, constraint, role in self.read(
            operation, "dba_proxies", ["client", "proxy"], columns, [user]
        ):
            roles[client, proxy or "", authentication, constraint].extend([role] if role else [])
        for (client, proxy, authentication, constraint), named in roles.items():
            yield Proxy(client, proxy, tuple(sorted(named)), constraint, authentication == "YES")

    def _proxies(self, user: str, partner: str) -> Iterator[Proxy]:
        """Yield the same, but for the pair itself, and with an empty name in the place of the user's."""
        for proxy in self._connections(user):
            if {proxy.client, proxy.proxy} != {user, partner}:
                client, through = ("\0" if name == user else name for name in (proxy.client, proxy.proxy))
                yield Proxy(client, through, proxy.roles, proxy.constraint, proxy.authenticated)

    def _synonyms(self, user: str, partner: str) -> Iterator[Synonym]:
        columns = ("synonym_name", "table_owner", "table_name", "db_link")
        for name, owner, item, link in self._rows(user, "synonyms", "dba_synonyms", "owner", *columns):
            if link and not LINK.fullmatch(link):
                cause = f"its synonym {said(name)} is for something at {said(link)!r}, which is no plain link"
                raise Unsupported(f"reading the synonyms of {user}", cause, "Drop it, or use another strategy")
            if owner not in (user, partner):
                yield Synonym(name, owner or "", item, link or "")

    def _owned(self, user: str) -> list[tuple[str, ...]]:
        """Return type and name of what a user owns."""
        return [*self._rows(user, "objects", "dba_objects", "owner", "object_type", "object_name")]

    def _unshared(self, user: str, other: str) -> list[str]:
        """Return what `user` owns, and `other` was granted nothing on."""
        owned = {(item, kind) for kind, item in self._owned(user) if kind in OWNED and not item.startswith(DROPPED)}
        shared = {right.item for right in self._privileges(other) if right.owner == user} if owned else set()
        things = [f"the {kind.lower()} {item}" for item, kind in sorted(owned) if item not in shared]
        return things[:FEW] + ([f"{len(things) - FEW} more objects"] if len(things) > FEW else [])

    def _is_marked(self, user: str, other: str) -> bool:
        return any(
            {proxy.client, proxy.proxy} == {user, other} and proxy.constraint == NO_ROLES and proxy.authenticated
            for proxy in self._connections(other)
        )

    def _is_untouched(self, user: str, row: Mapping[str, str]) -> bool:
        status = row["account_status"]
        if "LOCKED" not in status or "LOCKED(TIMED)" in status:
            return False
        roles = [*self._rows(user, "roles", "dba_role_privs", "grantee", "granted_role")]
        has = (roles, self._owned(user), list(self._privileges(user)), list(self._connections(user)))
        return not any(has) and not self._quotas(user)


def sized(quota: int) -> str:
    """Return a quota as statements take it."""
    return "UNLIMITED" if quota == UNLIMITED else str(quota)
