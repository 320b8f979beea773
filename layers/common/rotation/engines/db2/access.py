"""Through which rights, groups and roles do users enter a database, and run statements in it?

A user needs CONNECT, which DBADM includes; and the packages of dynamic SQL, because the databases of RDS are
RESTRICTIVE (https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/db2-default-roles.html).
"""

from collections.abc import Collection, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final

from rotation.engines.db2.connection import Db2Connection
from rotation.engines.db2.rights import DBADM_RIGHT, Rights, identifier
from rotation.values import dataclass

CONNECT: Final = (
    "SELECT GRANTEE, GRANTEETYPE FROM SYSCAT.DBAUTH"
    " WHERE GRANTEETYPE IN ('G', 'R') AND (CONNECTAUTH = 'Y' OR DBADMAUTH = 'Y')"
)

ROLES: Final = "SELECT GRANTEE, GRANTEETYPE, ROLENAME FROM SYSCAT.ROLEAUTH WHERE GRANTEETYPE IN ('G', 'R')"

PACKAGES: Final = 'ROLE "ROLE_NULLID_PACKAGES"'

BY_ITSELF: Final = frozenset({"CONNECT ON DATABASE", DBADM_RIGHT.what})


@dataclass(frozen=True)
class Access:
    """What lets a user in, and what lets it run statements: rights, roles and groups that have them."""

    enters: frozenset[str]
    runs: frozenset[str]

    def is_lost(
        self, rights: Rights, groups: AbstractSet[str], later_rights: Rights, later_groups: AbstractSet[str]
    ) -> bool:
        """Tell whether a user who could work cannot do so later."""
        before, after = set(_holdings(rights, groups)), set(_holdings(later_rights, later_groups))
        return any(before & needed and not after & needed for needed in (self.enters, self.runs))


def read_access(connection: Db2Connection, operation: str, remedy: str) -> Access:
    """Ask which groups and roles have what a user needs, also through a role that they have."""
    entering = connection.ask(operation, CONNECT, remedy=remedy)
    members = [(_holder(row), _role(row["ROLENAME"])) for row in connection.ask(operation, ROLES, remedy=remedy)]
    return Access(_reaching({*BY_ITSELF, *map(_holder, entering)}, members), _reaching({PACKAGES}, members))


def _reaching(needed: AbstractSet[str], members: Collection[tuple[str, str]]) -> frozenset[str]:
    """Return what is needed, and all that has it through a role."""
    found = set(needed)
    while more := {holder for holder, role in members if role in found} - found:
        found |= more
    return frozenset(found)


def _holdings(rights: Rights, groups: AbstractSet[str]) -> Iterator[str]:
    yield from (right.what for right in rights.all)
    yield from map(_group, groups)
    yield _group("PUBLIC")


def _holder(row: Mapping[str, Any]) -> str:
    return (_role if row["GRANTEETYPE"] == "R" else _group)(row["GRANTEE"])


def _role(name: str) -> str:
    return f"ROLE {identifier(name)}"


def _group(name: str) -> str:
    return f"GROUP {name}"
