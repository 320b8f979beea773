"""Which databases has a server, and in which of them can a rotation prepare the other user of a pair?

If the admin cannot enter a database, only the current user can say whether it has a user there, about itself, in its
own session. That answer is part of its proof. A database in which the current user has no user is left as it is. Any
other database that cannot be prepared is one that the two cannot share (`Unshared`).
"""

from collections.abc import Sequence
from itertools import batched
from typing import Any, Self

from rotation.engine import Proof, Unshared
from rotation.engines.sqlserver import catalog
from rotation.engines.sqlserver.connection import SQLServerConnection
from rotation.engines.sqlserver.kind import DATABASES
from rotation.engines.sqlserver.rights import identifier, literal
from rotation.errors import NotPermitted, StatementFailed
from rotation.redaction import said
from rotation.values import dataclass

DATABASES_WITHOUT_USERS = frozenset({"model", "rdsadmin"})
"""The template of new databases, and RDS's own database."""
UNREADABLE = "\ufffd"
"""Stands in a name for half a character, which a name can hold on a server, and which no client can send."""

AT_ONCE = 20
"""How many databases are asked in one statement whether a login has a user there."""
ENTERED_AT_ONCE = 10
"""How many databases are entered in one message: together they have the time of one statement."""

ONLINE, MULTI_USER, READ_ONLY = "ONLINE", "MULTI_USER", "READ_ONLY"

REMEDIES = {
    "OFFLINE": "ALTER DATABASE {name} SET ONLINE (on RDS: EXEC rdsadmin.dbo.rds_set_database_online {text})",
    "RESTORING": "RESTORE DATABASE {name} WITH RECOVERY, unless it is the copy of a database on another server",
    "EMERGENCY": "ALTER DATABASE {name} SET ONLINE",
}
"""What ends the state of a database
(https://learn.microsoft.com/en-us/sql/relational-databases/databases/database-states,
https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/Appendix.SQLServer.CommonDBATasks.TransitionOnline.html)."""
WAIT = "wait until its state in sys.databases is ONLINE"


@dataclass(frozen=True)
class SQLServerProof(Proof):
    """The proof of a login, with what it says about itself."""

    databases: frozenset[str] | None = None
    """The databases in which it has a user, and which it can enter; None if it does not see all databases."""


@dataclass(frozen=True)
class SQLServerDatabase:
    """One database, as the user who is logged in sees it from outside."""

    name: str
    can_enter: bool
    state: str
    access: str
    is_read_only: bool
    is_snapshot: bool
    is_replica: bool
    """Whether it is a secondary of an availability group: it cannot be written, and perhaps not entered."""

    @classmethod
    def of_row(cls, row: Sequence[Any]) -> Self:
        """Read a row of `catalog.DATABASES`."""
        in_bytes, can_enter, state, access, is_read_only, source, updateability = row
        name = bytes(in_bytes).decode("utf-16-le", errors="replace")
        return cls(
            name=name,
            can_enter=bool(can_enter) and UNREADABLE not in name,
            state=state,
            access=access,
            is_read_only=bool(is_read_only) or updateability == READ_ONLY,
            is_snapshot=source is not None,
            is_replica=updateability == READ_ONLY and not is_read_only,
        )

    @property
    def shows_who_enters(self) -> bool:
        """Whether a login that cannot enter it now has no user there; in other states it keeps everybody out."""
        return self.state == ONLINE and self.access == MULTI_USER and not self.is_replica

    def why_closed(self, user: str, other: str, admin: str, *, is_user: bool) -> Unshared:
        """Return what the two cannot share, because the admin cannot enter, or does not see all users."""
        has = f"{user} has a user" if is_user else f"it is not known whether {user} has a user"
        let_in = f"CREATE USER {identifier(admin)} FOR LOGIN {identifier(admin)}"
        let_in += f"; ALTER ROLE db_owner ADD MEMBER {identifier(admin)}"
        remedy, why = f"to let it in, run there {let_in}", f"{admin} cannot enter it, or cannot see all users"
        if self.state != ONLINE:
            why = f"it is {self.state}"
            ends = REMEDIES.get(self.state, WAIT).format(name=identifier(self.name), text=literal(self.name))
            remedy = f"to end that, {ends}"
        elif self.is_replica:
            why, remedy = "it is a replica of another server", 'to end that, name the primary in "host"'
        elif self.access != MULTI_USER:
            why, remedy = f"it is {self.access}", f"to end that, ALTER DATABASE {identifier(self.name)} SET MULTI_USER"
        lost = f"{has} in the database {said(self.name)}, which {other} would not get, because {why}; {remedy}"
        return Unshared(DATABASES, lost)

    def why_taken(self, user: str, other: str) -> Unshared:
        """Return what the two cannot share, because somebody else has the name that the other user would get there."""
        rename = f"USE {identifier(self.name)}; ALTER USER {identifier(other)} WITH NAME = …, or ALTER ROLE likewise"
        why = f"because a role or another user there has its name; to end that, {rename}"
        return Unshared(
            DATABASES, f"{user} has a user in the database {said(self.name)}, which {other} would not get, {why}"
        )

    def why_owned(self, user: str, other: str, securable: str) -> Unshared:
        """Return what the two cannot share, because the orphan that the other user would get owns something alone."""
        orphan = f"the user {other} there belongs to no login, and owns {securable}, which {user} does not"
        ends = f"to end that, USE {identifier(self.name)}; ALTER AUTHORIZATION ON {securable} TO …"
        has = f"{user} has a user in the database {said(self.name)}"
        return Unshared(DATABASES, f"{has}, which {other} would not get, because {orphan}; {ends}")

    def why_read_only(self, user: str, other: str) -> Unshared:
        """Return what the two cannot share, because a change that is necessary is not possible."""
        lost = f"in the database {self.name}: it is read-only, so {other} cannot get there what {user} has"
        if self.is_snapshot:
            remedy = f"it is a snapshot, so DROP DATABASE {identifier(self.name)}, and create it again after a rotation"
        elif self.is_replica:
            remedy = 'it is a replica, so name the primary in "host"'
        else:
            remedy = f"to end that until a rotation has ended, ALTER DATABASE {identifier(self.name)} SET READ_WRITE"
        return Unshared(DATABASES, f"{lost}; {remedy}")


def own_databases(connection: SQLServerConnection) -> frozenset[str] | None:
    """Return in which databases the login that is logged in has a user of its own; None if it does not see them all.

    In some databases it is `guest`, or has a permission of the server: the other login has that as well.
    """
    operation = f"asking the server where {connection.username} has a user"
    rows = connection.execute(operation, catalog.OWN_DATABASES)
    if not all(sees_all for _, sees_all in rows):
        return None
    names = {bytes(in_bytes).decode("utf-16-le", errors="replace") for in_bytes, _ in rows} - DATABASES_WITHOUT_USERS
    unreadable = {name for name in names if UNREADABLE in name}
    parts = batched(sorted(names - unreadable), AT_ONCE, strict=False)
    return frozenset(unreadable.union(*(_with_user(connection, operation, part) for part in parts)))


def _with_user(connection: SQLServerConnection, operation: str, databases: Sequence[str]) -> set[str]:
    """Return in which of these databases, which it can enter, the login has a user.

    If one of them keeps it out meanwhile, there is no answer about the others: then each is asked for itself. One that
    nobody answers for can have such a user.
    """
    questions = [
        catalog.OWN_USER.format(number=number, database=identifier(name)) for number, name in enumerate(databases)
    ]
    try:
        rows = connection.ask(operation, " UNION ALL ".join(questions))
    except (NotPermitted, StatementFailed):
        if len(databases) == 1:
            return set(databases)
        return {name for one in databases for name in _with_user(connection, operation, [one])}
    return {databases[number] for (number,) in rows}
