"""What makes two logins, or two contained users, of SQL Server the same?

A *login* is let in by the server, and acts in each database as the *user* that has its SID, a number that stays with
it. A *contained user* is let in by its database, and has no login. Either is rotated, whichever the secret's user is.

The current one is the reference, in both directions: what it has, the other one gets; what it does not have, the other
one loses. Nothing but our mark is ever written to the current one.

    what                                      where
    options, server roles, server permissions  the server (logins only)
    the user itself, default schema, roles, permissions   each database that the admin may enter, and where the
                                                          current one is a user

Who owns a schema, a role or a table has all permissions on it; there can be no second owner, so the other one gets
CONTROL of it, with the right to pass it on.

Each statement on the server is committed at once, so its order is one that may end anywhere; a login is created with
its mark, and what is done in one database is done there, in one transaction. Transactions over several databases are
not used: where databases are mirrored, they may end half done.

**Our mark** is that each of the two is denied to act as the other (DENY IMPERSONATE). It takes CONTROL of the one, or
ALTER ANY LOGIN, to deny it to the other
(https://learn.microsoft.com/en-us/sql/t-sql/statements/deny-server-principal-permissions-transact-sql,
…/deny-database-principal-permissions-transact-sql). So whoever could write it upon another user's account could take
that account anyway, and what is written upon the current one's own proves nothing.

The SID of a clone is derived from that of its original. It is no mark, for whoever creates an account chooses its SID;
but so users that are left in a database when a clone is dropped by hand are its own again.

**A database of somebody else's** may have users of these logins as well: its owner makes them as she likes. A database
where the current one is no user is left alone, whatever the other one is there. No user is ever dropped.
"""

import hashlib
import re
import secrets
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from rotation.engine import CloneStatus
from rotation.engines.driver import foreign_triggers_allowed
from rotation.engines.sqlserver import catalog
from rotation.engines.sqlserver.accounts import Account
from rotation.engines.sqlserver.principals import Principal, Reader
from rotation.engines.sqlserver.rights import name
from rotation.errors import NotPermitted, StatementFailed, Unsafe

SID_DIGITS = 16

OPTIONS = re.compile(r" WITH (?!LOGIN\b)\w+ = .*", re.DOTALL)

TRIGGERS_OF_RDS = frozenset({
    "7bd4e0d5efe3f80b302f19601315468a86f068c8329ab8e3a60523c9c6601bfc",
    "fe0417243aa5dfb4f81da3f6f449ca9932f44923694dfd4e5c492a4451d259b3",
})  # fmt: skip
"""The digests of rds_deny_backups_trigger, as people have published it (2013 to 2017): RDS made it in new databases. It
denies BACKUP DATABASE and BACKUP LOG to new members of db_owner, and runs no code of a user's."""

type Arguments = Sequence[object]


class Connection(Protocol):
    """What a pair needs of a session."""

    @property
    def username(self) -> str:
        """Who is logged in."""

    @property
    def database(self) -> str:
        """Where."""

    def account(self, username: str) -> Account | None:
        """Return which account is meant by a name, if that is known."""

    def bind(self, username: str, account: Account) -> None:
        """Have this account meant by the name, until the session ends."""

    def execute(
        self, operation: str, statement: str, arguments: Arguments = (), remedy: str = ""
    ) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows; raises a DatabaseError."""

    def transaction(self, operation: str) -> AbstractContextManager[None]:
        """Have what is done in the block done whole."""


class Pair(ABC):
    """Two principals that take turns."""

    kind: str
    """What ALTER calls them."""
    marked: str
    """The query for our marks."""

    def __init__(self, connection: Connection, user: str, other: str) -> None:
        """`user` is the one that AWSCURRENT names."""
        self._connection = connection
        self.user = user
        self.other = other
        self._place = ""
        """Where what is done is done, as it is said."""

    def require_bound(self) -> None:
        """Raise Unsafe unless the account that is meant by the name of the current one is there, under that name."""
        found = self._find(self.user)
        if not found:
            raise self._unseen()
        if found.name.lower() != self.user.lower():
            cause = f"the server calls the account that logged in {found.name}"
            raise Unsafe(f"looking for {self.user}", cause, f'Write "username": "{found.name}" into the secret')

    def clone_status(self) -> CloneStatus:
        """Tell what the server knows about the other one; see `rotation.engine.Session`."""
        self._require_sight()
        user, other = self._find(self.user), self._find(self.other)
        if not user:
            cause = f"there is no {self.kind} {self.user} that has a password"
            raise Unsafe(
                f"looking for {self.user}", cause, "Correct the host of the admin secret, or the secret's user"
            )
        if not other:
            return CloneStatus.ABSENT
        return CloneStatus.OURS if user.id in self._marks(user, other) else CloneStatus.UNKNOWN

    @abstractmethod
    def mirror(self) -> None:
        """Make the other one what the current one is; see `rotation.engine.Session`."""

    @abstractmethod
    def set_password(self, password: str) -> None:
        """Give the current one a password, as an admin, and let it log in; see `rotation.engine.Session`."""

    @abstractmethod
    def reset_password(self, password: str) -> None:
        """Give the current one a password, as an admin; see `rotation.engine.Session`."""

    @abstractmethod
    def differences(self) -> list[str]:
        """Say in what the two differ; see `rotation.engine.Session`."""

    @abstractmethod
    def _find(self, username: str) -> Principal | None:
        """Return one of the two, without roles and rights: the account that is meant by the name, and no other."""

    @abstractmethod
    def _unseen(self) -> Unsafe:
        """Return the error for an account that logged in, and that the admin does not find."""

    @abstractmethod
    def _require_sight(self) -> None:
        """Raise NotPermitted where the one who is logged in may not see all of what is compared."""

    @abstractmethod
    def _may_alter(self) -> str:
        """Return what lets an admin set the password of the current one."""

    def _require(self, username: str) -> Principal:
        """Return one of the two, which is meant by its name from now on."""
        found = self._find(username)
        if not found:
            raise StatementFailed(f"looking for {username}", "it is gone", "The rotation is tried again by itself")
        self._connection.bind(username, found.account)
        return found

    def _to_alter(self) -> Principal:
        """Return the current one, to be given a password; raises NotPermitted if it is not seen, as the server would.

        "It does not exist or you do not have permission" is one answer there.
        """
        found = self._find(self.user)
        if not found:
            cause = f"{self._connection.username} sees no such {self.kind}"
            raise NotPermitted(f"setting the password of {self.user}", cause, self._may_alter())
        return found

    def _require_permissions(self, securable: str, needed: Sequence[str], how: str) -> None:
        asked = ", ".join(f"HAS_PERMS_BY_NAME(NULL, {securable}, '{permission}')" for permission in needed)
        [row] = self._run("asking what the admin may do", f"SELECT {asked}")
        missing = [permission for permission, has in zip(needed, row, strict=True) if not has]
        if missing:
            username = name(self._connection.username)
            raise NotPermitted(
                f"looking for {self.user} as {self._connection.username}{self._place}",
                f"it has not {', '.join(missing)}, and would not see all of what there is",
                how.format(permissions=", ".join(missing), admin=username),
            )

    def _require_no_triggers(self, triggers: str = catalog.TRIGGERS) -> None:
        """Raise Unsafe where a DDL trigger of the database would fire, unless the operator lets it.

        It could do all that the admin may: it runs as whoever makes it fire, and where it was made to run as somebody
        else, EXECUTE AS CALLER in it takes that back
        (https://learn.microsoft.com/en-us/sql/relational-databases/triggers/manage-trigger-security,
        …/t-sql/statements/execute-as-transact-sql). So neither what it says, nor who made it, nor its name tells that
        it is harmless: whoever may make one may change each of them. Its text does, and by that RDS's own is known.
        Triggers of the whole server take CONTROL SERVER.
        """
        if foreign_triggers_allowed():
            return
        found = self._run("looking for DDL triggers", triggers)
        foreign = [its_name for its_name, definition in found if digest(definition or "") not in TRIGGERS_OF_RDS]
        if foreign:
            named, admin = ", ".join(map(name, foreign)), self._connection.username
            raise Unsafe(
                f"preparing {self.other}{self._place}",
                f"its DDL trigger {named} would run with all rights of {admin}",
                f"Disable it there (DISABLE TRIGGER {named} ON DATABASE), or set ALLOW_FOREIGN_TRIGGERS (parameter"
                f" AllowForeignTriggers) to true. That is off, because whoever may make DDL triggers in a database that"
                f" {admin} enters could then do all that {admin} may",
            )

    def _marks(self, user: Principal, other: Principal) -> set[int]:
        """Return who of the two is denied to act as the other."""
        ids = f"{user.id}, {other.id}"
        return {marked for (marked,) in self._run("looking for our mark", self.marked.format(ids=ids))}

    def _mark(self, user: Principal, other: Principal) -> None:
        marked = self._marks(user, other)
        for one, another in ((user, other), (other, user)):
            if one.id not in marked:
                statement = f"DENY IMPERSONATE ON {self.kind}::{name(another.name)} TO {name(one.name)}"
                remedy = f"GRANT CONTROL ON {self.kind}::{name(another.name)} TO {name(self._connection.username)}"
                self._run(f"marking {self.user} and {self.other} as a pair", statement, remedy=remedy)

    def _change(self, statements: Sequence[str]) -> None:
        for statement in statements:
            operation = f"giving {self.other} what {self.user} has"
            what = _shown(statement)
            remedy = f"Let {self._connection.username} do this, or take from {self.user} what it is about: {what}"
            self._run(operation, statement, remedy=remedy)

    def _differing(self, statements: Sequence[str]) -> list[str]:
        return [
            f"{self.other} is not what {self.user} is{self._place}: {_shown(statement)} would change that"
            for statement in statements
        ]

    def _reader(self, *, of_server: bool = False) -> Reader:
        operation = f"reading the rights of {self.user} and {self.other}"
        return Reader(lambda query: self._run(operation, query), operation, of_server)

    def _run(
        self, operation: str, statement: str, arguments: Arguments = (), remedy: str = ""
    ) -> list[tuple[Any, ...]]:
        return self._connection.execute(f"{operation}{self._place}", statement, arguments, remedy)


def clone_sid(sid: bytes) -> bytes:
    """Return the SID of the clone of who has this one; what comes before the last 16 bytes says of what kind it is."""
    return sid[:-SID_DIGITS] + hashlib.sha256(b"rotation of " + sid).digest()[:SID_DIGITS]


def unread_password() -> str:
    """Return a password that any policy takes, and that is forgotten at once."""
    return f"{secrets.token_urlsafe()}-Aa1"


def user_of(row: Sequence[Any]) -> Principal:
    """Return the user that a row of the catalog is about."""
    number, its_name, sid, schema, encrypted = row
    options = {
        "DEFAULT_SCHEMA": name(schema or "dbo"),
        "ALLOW_ENCRYPTED_VALUE_MODIFICATIONS": "ON" if encrypted else "OFF",
    }
    return Principal(number, its_name, sid, options)


def _shown(statement: str) -> str:
    """Return a statement without the values of options, some of which any user may set, to whatever text."""
    return OPTIONS.sub(" WITH …", statement)


def digest(definition: str) -> str:
    """Return what a text of T-SQL is known by, whatever its white space, and capitals or not."""
    return hashlib.sha256(" ".join(definition.split()).casefold().encode()).hexdigest()
