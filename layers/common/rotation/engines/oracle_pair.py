"""What makes two users of Oracle the same?

The current user is the reference: what it has, the other one gets; what it does not have, the other one loses. Nothing
is ever written to the current user. DDL is committed at once, so the order is one that may end anywhere:

    create the user locked  →  mark  →  attributes  →  rights taken, rights given  →  default roles, quotas, consumer
    groups, proxies, synonyms  →  (password)

**The mark.** Users of Oracle have no comment. What can be noted at one is who may connect through it, so the mark of
a clone is

    ALTER USER clone GRANT CONNECT THROUGH original WITH NO ROLES AUTHENTICATION REQUIRED

which lets nobody do anything: the original would have to give the clone's own password, with which anybody logs in as
the clone directly, and with its roles
(https://docs.oracle.com/en/database/oracle/oracle-database/19/sqlrf/ALTER-USER.html, db_user_proxy_clauses).

**What a user owns** is its alone: nobody else can be given an owner's rights. Private synonyms are copied. Of all
else, the other one must have been granted something by hand; and what it was granted on the objects of its partner,
it keeps.
"""

import secrets
import string
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rotation.engine import Standing
from rotation.engines.oracle_rights import NAMED_TYPES, Right, Sort, collected, quoted, remedy, statements
from rotation.engines.oracle_session import NO_SUCH_TABLE, BasicSession, Refusal, normal
from rotation.errors import NotPermitted, Unsafe, Unsupported

USER_COLUMNS = (
    "username",
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
                *(f"a quota of {_size(quota)} on {tablespace}" for tablespace, quota in self.quotas.items()),
                *(f"the consumer group {group}{' to pass on' * option}" for group, option in self.groups.items()),
                f"the initial consumer group {self.initial_group}",
                *map(str, self.proxies),
                *(f"the synonym {synonym.name} for {synonym.target}" for synonym in self.synonyms),
            ]
        )


class PairSession(BasicSession):
    """A session that can make users alike."""

    def standing(self, user: str, other: str) -> Standing:
        """Tell what is known about the pair; see `rotation.engine.Session`.

        A user that is locked and has nothing is ours, too: its creation was cut off before it got its mark.
        """
        user, other = normal(user), normal(other)
        users = self._users(user, other)
        self._require_possible(users, user, other)
        if other not in users:
            return Standing.ABSENT
        if self._is_marked(user, other) or self._is_untouched(users[other]):
            return Standing.OURS
        return Standing.UNKNOWN

    def mirror(self, user: str, other: str) -> None:
        """Make `other` what `user` is; see `rotation.engine.Session`."""
        user, other = normal(user), normal(other)
        users = self._users(user, other)
        self._require_possible(users, user, other)
        self._require_copiable(users[user], user)
        if other not in users:
            self._create_locked(other, users[user])
        if not self._is_marked(user, other):
            mark = Proxy(other, user, (), NO_ROLES, authenticated=True)
            self._alter(f"marking {other} as the other of {user}", other, f"GRANT {_connection(mark)}")
        self._require_shared(user, other)
        wanted, present = self._shape(user, other), self._shape(other, user)
        self._copy_attributes(user, other, wanted, present)
        self._copy_rights(user, other, wanted, present)
        self._copy_default_roles(user, other, wanted, present)
        self._copy_quotas(user, other, wanted, present)
        self._copy_groups(user, other, wanted, present)
        self._copy_proxies(user, other, wanted, present)
        self._copy_synonyms(user, other, wanted, present)

    def differences(self, user: str, other: str) -> Sequence[str]:
        """Say in what the two differ; see `rotation.engine.Session`."""
        user, other = normal(user), normal(other)
        missing = [f"there is no user {name}" for name in (user, other) if name not in self._users(user, other)]
        if missing:
            return missing
        mine, others = self._shape(user, other).sentences(), self._shape(other, user).sentences()
        return [
            *(f"{other} lacks {sentence}" for sentence in sorted(mine - others)),
            *(f"{other} has {sentence}, {user} has not" for sentence in sorted(others - mine)),
            *(f"{other} may do nothing with {thing}, which {user} owns" for thing in self._unshared(user, other)),
        ]

    # What there is

    def _users(self, *names: str) -> dict[str, dict[str, str]]:
        doing = f"looking for {' and '.join(names)}"
        columns = ", ".join(USER_COLUMNS)
        query = f"SELECT {columns} FROM sys.dba_users WHERE username IN (:a, :b)"  # noqa: S608 - constants
        rows = self.read(doing, query, dict(zip("ab", names, strict=True)))
        return {row[0]: dict(zip(USER_COLUMNS, row, strict=True)) for row in rows}

    def _rows(self, user: str, what: str, query: str) -> list[tuple[str, ...]]:
        return self.read(f"reading the {what} of {user}", query, {"name": user})

    def _shape(self, user: str, partner: str) -> Shape:
        """Return what a user is; what it has to do with its partner is said in the same words for both."""
        row = self._users(user, partner)[user]
        roles = self._rows(
            user,
            "roles",
            "SELECT granted_role, admin_option, default_role FROM sys.dba_role_privs WHERE grantee = :name",
        )
        return Shape(
            attributes={name: row[name] for name in ("profile", "default_tablespace", "temporary_tablespace")},
            rights=collected(
                [
                    *(Right(Sort.ROLE, role, option=admin == "YES") for role, admin, _ in roles),
                    *(right for right in self._privileges(user) if right.owner not in (user, partner)),
                ]
            ),
            default_roles=frozenset(role for role, _, default in roles if default == "YES"),
            quotas=self._quotas(user),
            groups=self._groups(user),
            initial_group=row["initial_rsrc_consumer_group"] or "",
            proxies=frozenset(self._proxies(user, partner)),
            synonyms=frozenset(self._synonyms(user, partner)),
        )

    def _privileges(self, user: str) -> Iterator[Right]:
        rows = self._rows(
            user, "privileges", "SELECT privilege, admin_option FROM sys.dba_sys_privs WHERE grantee = :name"
        )
        for privilege, option in rows:
            yield Right(Sort.SYSTEM, privilege, option=option == "YES")
        if self.version >= SCHEMA_PRIVILEGES:
            query = "SELECT privilege, schema, admin_option FROM sys.dba_schema_privs WHERE grantee = :name"
            for privilege, schema, option in self._rows(user, "privileges", query):
                yield Right(Sort.SCHEMA, privilege, item=schema, option=option == "YES")
        query = (
            "SELECT privilege, owner, table_name, type, grantable, hierarchy FROM sys.dba_tab_privs"
            " WHERE grantee = :name AND table_name NOT LIKE 'BIN$%'"  # what was dropped keeps its grants
        )
        for privilege, owner, item, kind, option, hierarchy in self._rows(user, "privileges", query):
            named = kind if kind in NAMED_TYPES else ""
            yield Right(
                Sort.OBJECT, privilege, owner, item, named, option=option == "YES", hierarchy=hierarchy == "YES"
            )
        query = (
            "SELECT privilege, owner, table_name, column_name, grantable FROM sys.dba_col_privs"
            " WHERE grantee = :name AND table_name NOT LIKE 'BIN$%'"
        )
        for privilege, owner, item, column, option in self._rows(user, "privileges", query):
            yield Right(Sort.OBJECT, privilege, owner, item, column=column, option=option == "YES")

    def _quotas(self, user: str) -> dict[str, int]:
        query = (
            "SELECT tablespace_name, max_bytes FROM sys.dba_ts_quotas"
            " WHERE username = :name AND dropped = 'NO' AND max_bytes <> 0"
        )
        return {tablespace: int(size) for tablespace, size in self._rows(user, "quotas", query)}

    def _groups(self, user: str) -> dict[str, bool]:
        query = "SELECT granted_group, grant_option FROM sys.dba_rsrc_consumer_group_privs WHERE grantee = :name"
        return {group: option == "YES" for group, option in self._rows(user, "consumer groups", query)}

    def _connections(self, user: str) -> Iterator[Proxy]:
        """Yield who may connect as the user, and as whom it may connect."""
        query = (
            "SELECT client, proxy, authentication, authorization_constraint, role FROM sys.dba_proxies"
            " WHERE client = :name OR proxy = :name"
        )
        roles: dict[tuple[str, ...], list[str]] = defaultdict(list)
        for client, proxy, authentication, constraint, role in self._rows(user, "proxies", query):
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
        query = "SELECT synonym_name, table_owner, table_name, db_link FROM sys.dba_synonyms WHERE owner = :name"
        for name, owner, item, link in self._rows(user, "synonyms", query):
            if owner not in (user, partner):
                yield Synonym(name, owner or "", item, link or "")

    def _unshared(self, user: str, other: str) -> list[str]:
        """Return what `user` owns, and `other` was granted nothing on."""
        query = "SELECT object_type, object_name FROM sys.dba_objects WHERE owner = :name"
        owned = {
            (item, kind)
            for kind, item in self._rows(user, "objects", query)
            if kind in OWNED and not item.startswith("BIN$")
        }
        shared = {right.item for right in self._privileges(other) if right.owner == user} if owned else set()
        things = [f"the {kind.lower()} {item}" for item, kind in sorted(owned) if item not in shared]
        return things[:FEW] + ([f"{len(things) - FEW} more objects"] if len(things) > FEW else [])

    def _is_marked(self, user: str, other: str) -> bool:
        return any(
            {proxy.client, proxy.proxy} == {user, other} and proxy.constraint == NO_ROLES and proxy.authenticated
            for proxy in self._connections(other)
        )

    def _is_untouched(self, row: Mapping[str, str]) -> bool:
        user, status = row["username"], row["account_status"]
        if "LOCKED" not in status or "LOCKED(TIMED)" in status:
            return False
        roles = self._rows(
            user, "roles", "SELECT granted_role, admin_option FROM sys.dba_role_privs WHERE grantee = :name"
        )
        owned = self._rows(user, "objects", "SELECT object_type, object_name FROM sys.dba_objects WHERE owner = :name")
        has = (roles, owned, list(self._privileges(user)), list(self._connections(user)))
        return not any(has) and not self._quotas(user)

    # What cannot be

    def _require_possible(self, users: Mapping[str, Mapping[str, str]], user: str, other: str) -> None:
        doing = f"looking for {user} and {other}"
        if user not in users:
            raise Unsafe(
                doing, f"there is no user {user} on the admin's server", "Correct the host of the admin secret"
            )
        for name, row in users.items():
            if row["oracle_maintained"] == "Y" or name == self.username:
                cause = f"{name} is {'the admin itself' if name == self.username else 'maintained by Oracle'}"
                raise Unsafe(doing, cause, "Put a user of the application into the secret")

    def _require_copiable(self, row: Mapping[str, str], user: str) -> None:
        doing = f"preparing the clone of {user}"
        if row["common"] == "YES":
            raise Unsupported(
                doing, "it is a common user, of all containers", "Use a local user, or the single-user strategy"
            )
        if row["authentication_type"] != "PASSWORD":
            cause = f"it logs in by {row['authentication_type']}, not with a password"
            raise Unsupported(doing, cause, "Use a user with a password")

    def _require_shared(self, user: str, other: str) -> None:
        if things := self._unshared(user, other):
            raise Unsupported(
                f"preparing {other}, which takes turns with {user}",
                f"{user} owns {', '.join(things)}, and nobody else can be given an owner's rights",
                f"Grant {other} what it needs of it, and have its sessions begin with ALTER SESSION SET CURRENT_SCHEMA"
                f" = {quoted(user)}; or move it into a schema that nobody logs in to; or use another strategy",
            )

    # What is done

    def _alter(self, doing: str, user: str, clauses: str) -> None:
        self.execute(doing, f"ALTER USER {quoted(user)} {clauses}", remedy=f"GRANT ALTER USER TO {self.username}")

    def _create_locked(self, other: str, row: Mapping[str, str]) -> None:
        """Create a user that cannot log in. A policy may refuse one without a password, so nobody keeps that one."""
        doing = f"creating {other}, locked"
        clauses = f"IDENTIFIED BY {quoted(_throw_away())} {_attributes(row)} ACCOUNT LOCK"
        self.execute(doing, f"CREATE USER {quoted(other)} {clauses}", remedy=f"GRANT CREATE USER TO {self.username}")

    def _copy_attributes(self, user: str, other: str, wanted: Shape, present: Shape) -> None:
        if wanted.attributes != present.attributes:
            self._alter(f"giving {other} the attributes of {user}", other, _attributes(wanted.attributes))

    def _copy_rights(self, user: str, other: str, wanted: Shape, present: Shape) -> None:
        doing = f"giving {other} the rights of {user}"
        for statement, right in statements(present.rights, wanted.rights, other):
            needed = remedy(statement, right, self.username)
            try:
                self.execute(doing, statement, remedy=needed, tell=frozenset({NO_SUCH_TABLE}))
            except Refusal:  # what is gone has no grants: it is there, and not for this admin to see
                cause = "it may not see the object"
                raise NotPermitted(f"{doing} as {self.username}", cause, needed) from None

    def _copy_default_roles(self, user: str, other: str, wanted: Shape, present: Shape) -> None:
        """Set the default roles; a role that was granted just now became one by itself, or did not."""
        roles = {right.name for right in wanted.rights if right.sort is Sort.ROLE}
        if wanted.default_roles == present.default_roles and wanted.rights == present.rights:
            return
        names = ", ".join(map(quoted, sorted(wanted.default_roles)))
        clause = "ALL" if wanted.default_roles == roles else names or "NONE"
        self._alter(f"giving {other} the default roles of {user}", other, f"DEFAULT ROLE {clause}")

    def _copy_quotas(self, user: str, other: str, wanted: Shape, present: Shape) -> None:
        doing = f"giving {other} the quotas of {user}"
        for tablespace in sorted(wanted.quotas.keys() | present.quotas.keys()):
            quota = wanted.quotas.get(tablespace, 0)
            if quota != present.quotas.get(tablespace, 0):
                self._alter(doing, other, f"QUOTA {_size(quota)} ON {quoted(tablespace)}")

    def _copy_groups(self, user: str, other: str, wanted: Shape, present: Shape) -> None:
        doing = f"giving {other} the consumer groups of {user}"
        for group in sorted(present.groups.keys() | wanted.groups.keys()):
            if wanted.groups.get(group) == present.groups.get(group):
                continue
            if group in present.groups:
                call = "dbms_resource_manager_privs.revoke_switch_consumer_group(:name, :grp)"
                self._manage(doing, f"sys.{call};", other, group)
            if group in wanted.groups:
                option = "TRUE" if wanted.groups[group] else "FALSE"
                call = f"dbms_resource_manager_privs.grant_switch_consumer_group(:name, :grp, {option})"
                self._manage(doing, f"sys.{call};", other, group)
        if wanted.initial_group != present.initial_group:
            steps = (
                "create_pending_area",
                "set_consumer_group_mapping(sys.dbms_resource_manager.oracle_user, :name, :grp)",
                "submit_pending_area",
            )
            block = " ".join(f"sys.dbms_resource_manager.{step};" for step in steps)
            self._manage(doing, block, other, wanted.initial_group)

    def _manage(self, doing: str, calls: str, user: str, group: str) -> None:
        name = user if user.isidentifier() and user == user.upper() else quoted(user)
        right = "dbms_resource_manager_privs.grant_system_privilege (ADMINISTER_RESOURCE_MANAGER)"
        self.execute(
            doing, f"BEGIN {calls} END;", {"name": name, "grp": group}, f"Let {self.username} do so with {right}"
        )

    def _copy_proxies(self, user: str, other: str, wanted: Shape, present: Shape) -> None:
        doing = f"giving {other} the proxies of {user}"
        for verb, proxies in (
            ("REVOKE", present.proxies - wanted.proxies),
            ("GRANT", wanted.proxies - present.proxies),
        ):
            for proxy in sorted(proxies):
                client, through = (other if name == "\0" else name for name in (proxy.client, proxy.proxy))
                real = Proxy(client, through, proxy.roles, proxy.constraint, proxy.authenticated)
                self._alter(doing, client, f"{verb} {_connection(real, with_clauses=verb == 'GRANT')}")

    def _copy_synonyms(self, user: str, other: str, wanted: Shape, present: Shape) -> None:
        doing = f"giving {other} the synonyms of {user}"
        names = {synonym.name for synonym in wanted.synonyms}
        remedy = f"GRANT CREATE ANY SYNONYM, DROP ANY SYNONYM TO {self.username}"
        for synonym in sorted(present.synonyms - wanted.synonyms):
            if synonym.name not in names:
                self.execute(doing, f"DROP SYNONYM {quoted(other)}.{quoted(synonym.name)}", remedy=remedy)
        for synonym in sorted(wanted.synonyms - present.synonyms):
            name = f"{quoted(other)}.{quoted(synonym.name)}"
            self.execute(doing, f"CREATE OR REPLACE SYNONYM {name} FOR {synonym.target}", remedy=remedy)


def _attributes(row: Mapping[str, str]) -> str:
    return " ".join(
        f"{clause} {quoted(row[name])}"
        for clause, name in (
            ("DEFAULT TABLESPACE", "default_tablespace"),
            ("TEMPORARY TABLESPACE", "temporary_tablespace"),
            ("PROFILE", "profile"),
        )
    )


def _connection(proxy: Proxy, *, with_clauses: bool = True) -> str:
    through = quoted(proxy.proxy) if proxy.proxy else "ENTERPRISE USERS"
    return f"CONNECT THROUGH {through}{proxy.clauses if with_clauses else ''}"


def _size(quota: int) -> str:
    return "UNLIMITED" if quota == UNLIMITED else str(quota)


def _throw_away() -> str:
    """Return a password of 30 characters that satisfies the verify functions that Oracle and RDS bring along."""
    classes = (string.ascii_lowercase, string.ascii_uppercase, string.digits, "_#$")
    characters = [secrets.choice(classes[place % len(classes)]) for place in range(30)]
    secrets.SystemRandom().shuffle(characters)
    return secrets.choice(string.ascii_letters) + "".join(characters[1:])
