"""What is a user of Oracle, its name and its password aside? Values only: no connection is needed."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace

from rotation.engines.oracle.rights import Right, RightKind, collected, identifier, whole
from rotation.values import dataclass

NO_ROLES, ALL_ROLES = "NO CLIENT ROLES MAY BE ACTIVATED", "PROXY MAY ACTIVATE ALL CLIENT ROLES"
ALL_EXCEPT = "PROXY MAY NOT ACTIVATE ROLE"
"""What DBA_PROXIES says of the roles that a proxy gets
(https://docs.oracle.com/en/database/oracle/oracle-database/19/refrn/DBA_PROXIES.html); else it is the roles named."""

THE_USER = "\0"
"""In a proxy of a definition: the user that is defined, whatever its name is."""

UNLIMITED = -1

ATTRIBUTES = {
    "default_tablespace": "DEFAULT TABLESPACE",
    "temporary_tablespace": "TEMPORARY TABLESPACE",
    "profile": "PROFILE",
}
"""Columns of DBA_USERS, and the clauses that set them to a name."""

LATER_ATTRIBUTES = {"default_collation": (12, 2), "read_only": (23, 4)}
"""Columns that came later: what collation the user's own tables get, and whether the user can only read
(https://docs.oracle.com/en/database/oracle/oracle-database/23/sqlrf/ALTER-USER.html)."""

READ_ONLY = {"YES": "READ ONLY", "NO": "READ WRITE"}


@dataclass(frozen=True, order=True)
class Proxy:
    """A user that can connect as another one (the client), with its own login."""

    client: str
    proxy: str
    """Empty: the users of a directory."""
    roles: tuple[str, ...]
    constraint: str
    authenticated: bool

    def renamed(self, old: str, new: str) -> "Proxy":
        """Return the same with another user in it."""
        client, proxy = (new if name == old else name for name in (self.client, self.proxy))
        return replace(self, client=client, proxy=proxy)

    @property
    def through(self) -> str:
        """The clause that REVOKE takes, in ALTER USER."""
        return f"CONNECT THROUGH {identifier(self.proxy) if self.proxy else 'ENTERPRISE USERS'}"

    @property
    def clauses(self) -> str:
        """What GRANT takes after that."""
        named = ", ".join(map(identifier, self.roles))
        text = {NO_ROLES: " WITH NO ROLES", ALL_ROLES: "", ALL_EXCEPT: f" WITH ROLE ALL EXCEPT {named}"}.get(
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
        schema = f"{identifier(self.owner)}." if self.owner else ""
        return f"{schema}{identifier(self.item)}{f'@{self.link}' if self.link else ''}"


@dataclass(frozen=True)
class Definition:
    """All that a user is and can do."""

    attributes: Mapping[str, str]
    rights: frozenset[Right]
    irrevocable: frozenset[Right]
    """Rights that count as no difference, because the admin cannot revoke them."""
    default_roles: frozenset[str]
    quotas: Mapping[str, int]
    groups: Mapping[str, bool]
    """The consumer groups that the user can switch to, and whether it can pass that on."""
    initial_group: str
    proxies: frozenset[Proxy]
    synonyms: frozenset[Synonym]

    def things(self) -> list[str]:
        """Describe all that a rotation copies, a phrase for each thing, also what the admin cannot revoke."""
        return [
            *(f"the {name} {value}" for name, value in self.attributes.items()),
            *(f"the {right}" for right in collected(self.rights | self.irrevocable)),
            *(f"{role} as a default role" for role in self.default_roles),
            *(f"a quota of {quota_size(quota)} on {tablespace}" for tablespace, quota in self.quotas.items()),
            *(f"the consumer group {group}{' to pass on' * option}" for group, option in self.groups.items()),
            f"the initial consumer group {self.initial_group}",
            *map(str, self.proxies),
            *(f"the synonym {synonym.name} for {synonym.target}" for synonym in self.synonyms),
        ]

    @property
    def default_role_clause(self) -> str:
        """What sets the default roles, in ALTER USER. ALL counts for roles that are granted later, too."""
        return "ALL" if self.default_roles == self.roles else role_list(self.default_roles)

    @property
    def roles(self) -> set[str]:
        """The roles that the user has, default roles or not."""
        return {right.name for right in self.rights if right.kind is RightKind.ROLE}

    def without(self, rights: AbstractSet[Right]) -> "Definition":
        """Return the same without some rights."""
        roles = {right.name for right in rights if right.kind is RightKind.ROLE}
        others = frozenset(right for right in self.rights if whole(right) not in rights)
        return replace(self, rights=others, default_roles=self.default_roles - roles)


NOTHING = Definition(
    attributes={},
    rights=frozenset(),
    irrevocable=frozenset(),
    default_roles=frozenset(),
    quotas={},
    groups={},
    initial_group="DEFAULT_CONSUMER_GROUP",
    proxies=frozenset(),
    synonyms=frozenset(),
)
"""What a user is and can do that was just created."""


def attribute_clauses(attributes: Mapping[str, str]) -> str:
    """Return what sets these attributes, as CREATE USER and ALTER USER take it."""
    clauses = [f"{clause} {identifier(attributes[name])}" for name, clause in ATTRIBUTES.items() if name in attributes]
    if "default_collation" in attributes:
        clauses.append(f"DEFAULT COLLATION {attributes['default_collation']}")
    if "read_only" in attributes:
        clauses.append(READ_ONLY[attributes["read_only"]])
    return " ".join(clauses)


def changed_groups(user_has: Definition, other_has: Definition) -> list[str]:
    """Return the consumer groups in which two users differ."""
    groups = user_has.groups.keys() | other_has.groups.keys()
    return sorted(group for group in groups if user_has.groups.get(group) != other_has.groups.get(group))


def role_list(roles: AbstractSet[str]) -> str:
    """Return roles as the clause DEFAULT ROLE takes them."""
    return ", ".join(map(identifier, sorted(roles))) or "NONE"


def quota_size(quota: int) -> str:
    """Return a quota as statements take it."""
    return "UNLIMITED" if quota == UNLIMITED else str(quota)
