"""What does an admin of SQL Server lack for a rotation of logins, and which statements give it? Looks only.

Who makes one login what another one is must be able to give it each role and each permission. A member of a fixed role
can add members to it, and nobody else but sysadmin
(https://learn.microsoft.com/en-us/sql/t-sql/statements/alter-server-role-transact-sql). A permission takes the same
permission WITH GRANT OPTION, or CONTROL SERVER.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Self

from rotation.engines.sqlserver import catalog
from rotation.engines.sqlserver.principals import (
    CONNECT_SQL,
    GivenRight,
    Principal,
    PrincipalReader,
    rights_to_copy,
)
from rotation.engines.sqlserver.rights import RightState, SQLServerRight, identifier
from rotation.errors import Unsafe
from rotation.values import dataclass

SYSADMIN, CONTROL_SERVER = "sysadmin", SQLServerRight("", "", "CONTROL SERVER")
ROLE = "R"
"""The `type` of a role."""

type Ask = Callable[[str, Sequence[object]], Sequence[Sequence[Any]]]
"""Runs a query with arguments, and returns its rows."""


@dataclass(frozen=True)
class AdminsPart:
    """What stands between an admin and its part of a rotation."""

    lacking: Sequence[str] = ()
    """Statements, to be run in master: without what they give the rotation fails."""
    limited: Sequence[str] = ()
    """Databases in which the admin can give only what it has itself."""
    unsafe: Sequence[Unsafe] = ()
    """Code of others that would run as the admin."""

    @classmethod
    def of_all(cls, parts: Iterable["AdminsPart"]) -> Self:
        """Return what all of them say."""
        found = list(parts)
        return cls(
            lacking=[statement for part in found for statement in part.lacking],
            limited=[database for part in found for database in part.limited],
            unsafe=[error for part in found for error in part.unsafe],
        )


def part_in_database(ask: Ask, admin: str, database: str, unsafe: Sequence[Unsafe]) -> AdminsPart:
    """Say what the admin can do in the database that the session is in, which a rotation has to change.

    `db_owner` is all that it takes, and the only thing that can be looked for as a whole.
    """
    [(controls, can_alter_users)] = ask(catalog.ADMIN_IN_DATABASE, ())
    if controls:
        return AdminsPart(unsafe=unsafe)
    if not can_alter_users:
        return AdminsPart(lacking=[db_owner(admin, database)], unsafe=unsafe)
    return AdminsPart(limited=[database], unsafe=unsafe)


def db_owner(admin: str, database: str) -> str:
    """Return the statement that lets the admin do everything in a database in which it is a user."""
    return f"USE {identifier(database)}; ALTER ROLE db_owner ADD MEMBER {identifier(admin)}"


def lacking_for_password(ask: Ask, admin: str, user: Principal) -> list[str]:
    """Return the statement that lets the admin set the password of this login; none if it can.

    The roles and rights of `user` on the server were read.
    """
    [(can_alter, can_alter_any, controls_server)] = ask(catalog.CAN_ALTER_LOGIN, (identifier(user.name),))
    if not can_alter and not can_alter_any:
        return [f"GRANT ALTER ANY LOGIN TO {identifier(admin)}"]
    if _controls_server(user) and not controls_server:
        return [f"GRANT CONTROL SERVER TO {identifier(admin)}"]
    return []


def lacking_for_pair(ask: Ask, reader: PrincipalReader, user: Principal, other: Principal) -> list[str]:
    """Return the statements that let the admin make `other` what `user` is on the server; none if it can.

    The roles and rights of both were read.
    """
    admin = ServerAdmin.read(ask)
    lacking = lacking_for_password(ask, admin.name, user)
    if SYSADMIN in admin.roles:
        return lacking
    return [*lacking, *admin.roles_lacking(ask, user.roles ^ other.roles), *admin.rights_lacking(reader, user, other)]


def new_login(name: str) -> Principal:
    """Return what a login is that was just created."""
    return Principal(0, name, b"", {}, given=(GivenRight(CONNECT_SQL, RightState.GRANT, "", is_ours=True),))


@dataclass(frozen=True)
class ServerAdmin:
    """The login that is logged in, as the server sees it."""

    name: str
    principals: Sequence[Principal]
    """Itself, and the roles that it is in; what they have was not read."""
    fixed_roles: frozenset[str]
    """All that the server has, whoever is in them."""
    can_alter_roles: bool
    """Whether it has ALTER ANY SERVER ROLE."""
    controls_server: bool
    """Whether it has CONTROL SERVER."""

    @classmethod
    def read(cls, ask: Ask) -> Self:
        """Ask the server."""
        rows = ask(catalog.ADMIN_ON_SERVER, ())
        return cls(
            name=next(name for _, name, kind, *_ in rows if kind != ROLE),
            principals=[Principal(row[0], row[1], b"", {}) for row in rows if row[2] != ROLE or row[4]],
            fixed_roles=frozenset(name for _, name, kind, is_fixed, *_ in rows if kind == ROLE and is_fixed),
            can_alter_roles=all(row[5] for row in rows),
            controls_server=all(row[6] for row in rows),
        )

    @property
    def roles(self) -> frozenset[str]:
        """The roles that it is in."""
        return frozenset(one.name for one in self.principals)

    def roles_lacking(self, ask: Ask, roles: frozenset[str]) -> Iterator[str]:
        """Yield the statements that let it change who is in these roles."""
        for role in sorted(roles):
            if role in self.fixed_roles:
                if role not in self.roles:
                    yield f"ALTER SERVER ROLE {identifier(role)} ADD MEMBER {identifier(self.name)}"
            elif not self.can_alter_roles and not ask(catalog.CAN_ALTER_ROLE, (identifier(role),))[0][0]:
                yield f"GRANT ALTER ON SERVER ROLE::{identifier(role)} TO {identifier(self.name)}"

    def rights_lacking(self, reader: PrincipalReader, user: Principal, other: Principal) -> Iterator[str]:
        """Yield the statements that let it grant, deny and revoke what the two do not have in common."""
        wanted, present = rights_to_copy(user, other), other.rights
        differing = [
            right
            for right in sorted(wanted.keys() | present.keys())
            if wanted.get(right) is not present.get(right) and not self._grants_by_office(right)
        ]
        own = [reader.read(one)[0].rights for one in self.principals] if differing else []
        for right in differing:
            if not any(rights.get(right) is RightState.GRANTABLE for rights in own):
                yield f"GRANT {right} TO {identifier(self.name)} WITH GRANT OPTION"

    def _grants_by_office(self, right: SQLServerRight) -> bool:
        """Tell whether it can grant this right because of what it can do with all logins, roles, or everything.

        (https://learn.microsoft.com/en-us/sql/t-sql/statements/grant-server-principal-permissions-transact-sql)
        """
        keyword = right.securable.partition("::")[0]
        return self.controls_server or keyword == "LOGIN" or (keyword == "SERVER ROLE" and self.can_alter_roles)


def _controls_server(user: Principal) -> bool:
    state = user.rights.get(CONTROL_SERVER)
    return SYSADMIN in user.roles or state in (RightState.GRANT, RightState.GRANTABLE)
