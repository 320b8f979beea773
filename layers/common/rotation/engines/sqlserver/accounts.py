"""Which account of an SQL Server has logged in?

A name does not tell. A contained database can have a user with the name of a login. The owner of that database can
create such a user, and decides what an admin sees there. So an account is identified by who authenticates it, the
server or a database, and by its SID there. The account's own session reports both.
"""

from collections.abc import Sequence
from typing import Any, Self

from rotation.errors import Unsafe
from rotation.values import dataclass

BY_SERVER = 0
"""Stands for the server where a contained user has the id of its database."""

REPORTED_FOR_LOGINS = (BY_SERVER, 1)
"""What a server reports for a login: 0 according to the reference; 1, which is master, according to Microsoft's
security team (https://techcommunity.microsoft.com/t5/sql-server-blog/contained-database-authentication-how-to-control-which-databases/ba-p/383704).
We had no server to find out. master cannot be contained, so no contained user makes the server report 1."""


@dataclass(frozen=True)
class SQLServerAccount:
    """What identifies an account."""

    database: int
    """The id of the database that authenticates it; BY_SERVER for a login."""
    sid: bytes

    @classmethod
    def of_session(cls, rows: Sequence[Sequence[Any]], username: str) -> Self:
        """Return the account of a session from the answer to `catalog.OWN_ACCOUNT`; raises Unsafe if it is unclear."""
        if len(rows) == 1:
            [(reported, database, login_sid, user_sid)] = rows
            authenticated_by = BY_SERVER if reported in REPORTED_FOR_LOGINS else reported
            sid = login_sid if authenticated_by == BY_SERVER else user_sid
            if sid and authenticated_by in (BY_SERVER, database):
                return cls(authenticated_by, bytes(sid))
        raise Unsafe(
            f"asking the server who {username} is",
            "the server does not tell which database authenticated the session, or the SID of the account there",
            f"Revoke what denies {username} SELECT on sys.dm_exec_sessions, or VIEW DEFINITION in its database",
        )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` has written."""
        database, _, sid = text.partition(":")
        return cls(int(database), bytes.fromhex(sid))

    def __str__(self) -> str:
        return f"{self.database}:{self.sid.hex()}"


UNNAMED_LOGIN = SQLServerAccount(BY_SERVER, b"")
"""Stands for the one login of a name, if the server could not be asked for its SID."""
