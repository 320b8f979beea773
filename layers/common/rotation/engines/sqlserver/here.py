"""What does an admin see of two logins in one database of SQL Server?"""

from collections.abc import Iterator, Sequence
from typing import Any

from rotation.engines.sqlserver import catalog
from rotation.engines.sqlserver.connection import Rows
from rotation.engines.sqlserver.pair import database_user
from rotation.engines.sqlserver.principals import Principal
from rotation.values import dataclass

GUEST, DATABASES_WITH_GUESTS = 2, frozenset({"master", "msdb", "tempdb"})
"""The id of the user `guest`, which every login without a user is if a database lets guests in, and the databases that
always do (https://learn.microsoft.com/en-us/sql/relational-databases/security/authentication-access/principals-database-engine)."""


@dataclass(frozen=True)
class Here:
    """What the admin sees in one database: an answer to `catalog.HERE`."""

    rows: Rows

    @property
    def sees_all(self) -> bool:
        """Whether the admin sees all users."""
        return bool(self.rows[0][0])

    @property
    def is_guest(self) -> bool:
        """Whether the admin is there as every other login is."""
        return bool(self.rows[0][1] == GUEST)

    def user(self, sid: bytes) -> Principal | None:
        """Return the user with this SID."""
        return next((database_user(user) for *_, user in self._principals() if bytes(user[2] or b"") == sid), None)

    def namesakes(self) -> list[tuple[bool, Principal]]:
        """Return who has the other login's name, and whether that is the user of a login with a password."""
        of_logins = (catalog.SQL_USER, catalog.BY_INSTANCE)
        return [(kind == of_logins, database_user(user)) for is_named, kind, user in self._principals() if is_named]

    def _principals(self) -> Iterator[tuple[bool, tuple[object, object], Sequence[Any]]]:
        for _, _, is_named, kind, authentication, *user in self.rows:
            if user[0] is not None:
                yield bool(is_named), (kind, authentication), user


@dataclass(frozen=True)
class DatabaseUsers:
    """The users of two logins in one database, with roles and rights."""

    user: Principal | None
    other: Principal | None
    is_orphan: bool = False
    """Whether the user has the other login's name, and a SID that belongs to no login.

    A user of the clone's name remains like this if the database comes from another server. Nobody can log in as it, and
    its name is taken, so it becomes the clone's user.
    """
