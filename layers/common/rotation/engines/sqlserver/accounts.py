"""Which account of an SQL Server is it that logged in?

A name does not tell. A contained database can have a user of the name of a login, whoever owns that database can make
one, and what an admin sees there is up to the owner. So an account is told by who lets it in, the server or which
database, and by its SID there. Its own session says both.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from rotation.errors import Unsafe

BY_SERVER = 0
"""What stands for the server in place of a database's id."""

OF_SERVER = (BY_SERVER, 1)
"""What a server says of a login: 0 according to the reference; 1, which is master, according to Microsoft's security
team (https://techcommunity.microsoft.com/t5/sql-server-blog/contained-database-authentication-how-to-control-which-databases/ba-p/383704).
No server was at hand to ask. master cannot be contained, so nobody else can have it say 1."""


@dataclass(frozen=True)
class Account:
    """An account, as nobody else is it."""

    database: int
    """The id of the database that lets it in; BY_SERVER for a login."""
    sid: bytes

    @classmethod
    def of_session(cls, rows: Sequence[Sequence[Any]], username: str) -> Self:
        """Return whose session this is, by the answer to WHO; raises Unsafe if that does not tell."""
        if len(rows) == 1:
            [(said, here, sid_of_login, sid_of_user)] = rows
            authenticated_by = BY_SERVER if said in OF_SERVER else said
            sid = sid_of_login if authenticated_by == BY_SERVER else sid_of_user
            if sid and authenticated_by in (BY_SERVER, here):
                return cls(authenticated_by, bytes(sid))
        raise Unsafe(
            f"asking the server who {username} is",
            "it does not tell by which database it was let in, and what its SID is there",
            f"Let {username} see itself: revoke what denies it SELECT on sys.dm_exec_sessions, or VIEW DEFINITION",
        )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` has made of one."""
        database, _, sid = text.partition(":")
        return cls(int(database), bytes.fromhex(sid))

    def __str__(self) -> str:
        return f"{self.database}:{self.sid.hex()}"
