"""What makes two logins, or two contained users, of SQL Server the same?

The server authenticates a *login*. In each database the login acts as the *user* with its SID, a number that never
changes. A database authenticates a *contained user*, which has no login. A rotation works on logins or on contained
users, whichever the secret's user is.

The current user of the pair is the reference, in both directions: the other one gets what it has, and loses what it
does not have. Nothing but our mark is ever written to the current user.

    what                                                  where
    options, server roles, server permissions             the server (logins only)
    the user itself, default schema, roles, permissions   each database that the admin can enter, and in which the
                                                          current one is a user

The owner of a schema, a role or a table has all permissions on it. There can be no second owner, so the other one gets
CONTROL of it, WITH GRANT OPTION.

Each statement on the server is committed at once, and can be the last one before a crash. So they have a safe order: a
login is created together with its mark. All changes in one database are one transaction. There is no transaction over
several databases: with database mirroring it can end half done.

**Our mark** is that each of the two is denied IMPERSONATE on the other. To deny it on an account takes CONTROL of that
account, or ALTER ANY LOGIN
(https://learn.microsoft.com/en-us/sql/t-sql/statements/deny-server-principal-permissions-transact-sql,
…/deny-database-principal-permissions-transact-sql). So whoever could forge the mark on another user's account could
take over that account anyway. What is written on the current user's own account proves nothing.

The SID of a clone is derived from the SID of its original. That is no mark, because whoever creates an account chooses
its SID. But if a clone is dropped by hand, its users that remain in databases belong to it again after its return.

**A database of a stranger** can have users of these logins as well, because its owner creates what she likes. A
database in which the current login has no user is left alone, even if the other one has a user there. No user is ever
dropped. A database in which the current login has a user, and that cannot be prepared for the other one, ends the
rotation, unless the secret accepts that.
"""

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import field
from typing import Any

from rotation.engine import CloneStatus, Comparison, Unshared
from rotation.engines.sqlserver.accounts import SQLServerAccount
from rotation.engines.sqlserver.admin import AdminsPart, part_in_database
from rotation.engines.sqlserver.connection import Arguments, Rows, SQLServerConnection
from rotation.engines.sqlserver.kind import normal_name
from rotation.engines.sqlserver.principals import Principal, PrincipalReader, lost_by_others
from rotation.engines.sqlserver.rights import identifier
from rotation.engines.sqlserver.triggers import unsafe_triggers
from rotation.errors import RETRIED, NotPermitted, RightsDiffer, StatementFailed, Unsafe, Unsupported
from rotation.values import dataclass

SID_DIGITS = 16
ROUNDS = 3
"""How often rights are changed and read again: a new user is created, its rights change, then those of each grantor."""

OPTIONS = re.compile(r" WITH (?!LOGIN\b)\w+ = .*", re.DOTALL)
"""The options of a statement. Users can set some of their values, to any text."""


@dataclass(frozen=True)
class Known:
    """What a session knows about users, by their names."""

    accounts: dict[str, SQLServerAccount] = field(default_factory=dict)
    """Which account a name means in this session."""
    databases: dict[str, frozenset[str]] = field(default_factory=dict)
    """In which databases a user that logged in has said that it has a user."""
    left: set[str] = field(default_factory=set)
    """The databases that `unshared` has named: if the rotation goes on, they are left as they are."""


class SQLServerPair(ABC):
    """Two principals that take turns."""

    keyword: str
    """What ALTER calls them."""
    marked: str
    """The query for our marks."""

    def __init__(self, connection: SQLServerConnection, known: Known, user: str, other: str) -> None:
        """`user` is the one that AWSCURRENT names."""
        self._connection = connection
        self._known = known
        self.user = user
        self.other = other
        self._place = ""
        """Where the statements run, as messages say it."""

    @property
    def is_of_logins(self) -> bool:
        """Whether they are logins, and not contained users."""
        return self.keyword == "LOGIN"

    def require_bound(self) -> None:
        """Raise Unsafe unless the account that `user` means is there, and has that name."""
        found = self._find(self.user)
        if not found:
            raise self._not_found()
        if normal_name(found.name) != normal_name(self.user):
            cause = f"the server calls the account that logged in {found.name}"
            raise Unsafe(f"looking for {self.user}", cause, f'Write "username": "{found.name}" into the secret')

    def clone_status(self) -> CloneStatus:
        """Tell what the server knows about `other`; see `rotation.engine.Session`."""
        self._require_visibility()
        user, other = self._find(self.user), self._find(self.other)
        if not user:
            cause = f"there is no {self.keyword} {self.user} that has a password"
            remedy = 'Correct "host" in the admin secret, or "username" in the secret'
            raise Unsafe(f"looking for {self.user}", cause, remedy)
        if not other:
            return CloneStatus.ABSENT
        return CloneStatus.OURS if user.id in self._marks(user, other) else CloneStatus.UNKNOWN

    @abstractmethod
    def unshared(self) -> list[Unshared]:
        """Return what `other` can never have; see `rotation.engine.Session`."""

    @abstractmethod
    def mirror(self) -> None:
        """Make `other` what `user` is; see `rotation.engine.Session`."""

    @abstractmethod
    def set_password(self, password: str) -> None:
        """Give `user` a password, as an admin, and let it log in; see `rotation.engine.Session`."""

    @abstractmethod
    def reset_password(self, password: str) -> None:
        """Give `user` a password, as an admin; see `rotation.engine.Session`."""

    @abstractmethod
    def compare(self) -> Comparison:
        """Compare the two; see `rotation.engine.Session`."""

    @abstractmethod
    def part_for_password(self) -> AdminsPart:
        """Say what the admin lacks to set the password of `user`. Changes nothing."""

    @abstractmethod
    def part_for_both(self) -> AdminsPart:
        """Say what the admin lacks to make `other` what `user` is now. Changes nothing."""

    @abstractmethod
    def _find(self, username: str) -> Principal | None:
        """Return one of the two, without roles and rights: the account that the name means, and no other."""

    @abstractmethod
    def _not_found(self) -> Unsafe:
        """Return the error for an account that logged in, and that the admin does not find."""

    @abstractmethod
    def _require_visibility(self) -> None:
        """Raise NotPermitted if the user who is logged in cannot see all that is compared."""

    @abstractmethod
    def _grant_alter(self) -> str:
        """Return the remedy for an admin that cannot set the password of `user`."""

    def _require(self, username: str) -> Principal:
        """Return one of the two, and bind its name to this account."""
        found = self._find(username)
        if not found:
            raise self._dropped(username)
        self._known.accounts[username] = found.account
        return found

    def _dropped(self, username: str) -> StatementFailed:
        return StatementFailed(f"looking for {username}", "the account was dropped during the rotation", RETRIED)

    def _both(self) -> tuple[Principal, Principal]:
        """Return the two; raises RightsDiffer if one of them is gone."""
        user, other = self._find(self.user), self._find(self.other)
        if not user or not other:
            gone = self.other if user else self.user
            operation, cause = f"comparing {self.other} with {self.user}", f"there is no {self.keyword} {gone}"
            raise RightsDiffer(operation, cause, f"Find out who has dropped it. {RETRIED}")
        return user, other

    def _user_to_alter(self) -> Principal:
        """Return `user`; raises NotPermitted if the admin does not see it, as the server would.

        The server gives one answer to both: "It does not exist or you do not have permission".
        """
        found = self._find(self.user)
        if not found:
            cause = f"{self._connection.username} sees no such {self.keyword}"
            raise NotPermitted(f"setting the password of {self.user}", cause, self._grant_alter())
        return found

    def _require_permissions(self, securable: str, needed: Sequence[str], where: str) -> None:
        read = self._read_server if securable == "NULL" else self._read
        checks = ", ".join(f"HAS_PERMS_BY_NAME(NULL, {securable}, '{permission}')" for permission in needed)
        [row] = read("asking for the permissions of the admin", f"SELECT {checks}")
        missing = ", ".join(permission for permission, has in zip(needed, row, strict=True) if not has)
        if missing:
            admin = self._connection.username
            operation = f"looking for {self.user} as {admin}{self._place}"
            cause = f"{admin} lacks {missing}, and does not see all that is compared"
            raise NotPermitted(operation, cause, f"GRANT {missing} TO {identifier(admin)}, in {where}")

    def _marks(self, user: Principal, other: Principal) -> set[int]:
        """Return which of the two is denied IMPERSONATE on the other."""
        ids = f"{user.id}, {other.id}"
        read = self._read_server if self.is_of_logins else self._read
        return {marked for (marked,) in read("looking for our mark", self.marked.format(ids=ids))}

    def _mark(self, user: Principal, other: Principal) -> None:
        marked = self._marks(user, other)
        for one, another in ((user, other), (other, user)):
            if one.id not in marked:
                securable = f"{self.keyword}::{identifier(another.name)}"
                statement = f"DENY IMPERSONATE ON {securable} TO {identifier(one.name)}"
                remedy = f"GRANT CONTROL ON {securable} TO {identifier(self._connection.username)}"
                self._run(f"marking {self.user} and {self.other} as a pair", statement, remedy=remedy)

    def _change_until_equal(self, changes_left: Callable[[bool], Sequence[str]]) -> None:
        """Run the statements that are still necessary, until none is.

        A new user has rights at once, and no page says who is their grantor, so rights are read again. The server
        reports success for a REVOKE that has taken back nothing, because somebody else has granted it. `changes_left`
        returns the statements; with True, such that name each grantor.
        """
        for attempt in range(ROUNDS + 1):
            statements = changes_left(attempt > 0)
            if not statements:
                return
            if attempt == ROUNDS:
                cause = f"the server reported success, and has not done this: {_without_options(statements[0])}"
                remedy = "Run this statement as the grantor, or as a member of db_owner or sysadmin"
                raise StatementFailed(f"giving {self.other} what {self.user} has{self._place}", cause, remedy)
            self._change(statements)

    def _require_nothing_lost(self, user: Principal, other: Principal) -> None:
        """Raise Unsupported if somebody else would lose a permission with `other`."""
        if lost := lost_by_others(user, other):
            operation = f"giving {self.other} what {self.user} has{self._place}"
            more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
            cause = f"to take a grant option from {self.other} would take {lost[0]}{more}"
            name = identifier(user.name)
            raise Unsupported(
                operation, cause, f"REVOKE it by hand with CASCADE; or GRANT it to {name} WITH GRANT OPTION"
            )

    def _change(self, statements: Sequence[str]) -> None:
        for statement in statements:
            allow, shown = f"Allow {self._connection.username} to run this", _without_options(statement)
            remedy = f"{allow}, or take away from {self.user} what makes it necessary: {shown}"
            if shown.startswith("REVOKE "):
                remedy = f"{allow}, or run it as the grantor or as a member of db_owner or sysadmin: {shown}"
            self._run(f"giving {self.other} what {self.user} has", statement, remedy=remedy)

    def _reader(self, *, of_server: bool = False) -> PrincipalReader:
        operation = f"reading the rights of {self.user} and {self.other}"
        read = self._read_server if of_server else self._read
        return PrincipalReader(lambda query: read(operation, query), operation, of_server)

    def _query(self, statement: str, arguments: Arguments) -> Rows:
        return self._read(f"looking for what {self.other} cannot have", statement, arguments)

    def _ask(self, statement: str, arguments: Arguments = ()) -> Rows:
        return self._read(f"asking what {self._connection.username} can do", statement, arguments)

    def _part_here(self, database: str, triggers: str) -> AdminsPart:
        """Say what the admin lacks in the database that the session is in."""
        unsafe = unsafe_triggers(self._connection, triggers, self.other, self._place)
        return part_in_database(self._ask, self._connection.username, database, unsafe)

    def _read(self, operation: str, question: str, arguments: Arguments = ()) -> Rows:
        """Return the rows of a query about this database: see `SQLServerConnection.ask`."""
        return self._connection.ask(f"{operation}{self._place}", question, arguments)

    def _read_server(self, operation: str, question: str, arguments: Arguments = ()) -> Rows:
        """Return the rows of a query about the server: see `SQLServerConnection.ask_server`."""
        return self._connection.ask_server(f"{operation}{self._place}", question, arguments)

    def _run(self, operation: str, statement: str, arguments: Arguments = (), remedy: str = "") -> Rows:
        return self._connection.execute(f"{operation}{self._place}", statement, arguments, remedy)


def clone_sid(sid: bytes) -> bytes:
    """Return the SID of the clone; what precedes the last 16 bytes of a SID is the kind of account."""
    return sid[:-SID_DIGITS] + hashlib.sha256(b"rotation of " + sid).digest()[:SID_DIGITS]


def database_user(row: Sequence[Any]) -> Principal:
    """Return the user of a database that a row of the catalog is about."""
    number, name, sid, schema, encrypted = row
    options = {
        "DEFAULT_SCHEMA": identifier(schema or "dbo"),
        "ALLOW_ENCRYPTED_VALUE_MODIFICATIONS": "ON" if encrypted else "OFF",
    }
    return Principal(number, name, sid, options)


def _without_options(statement: str) -> str:
    return OPTIONS.sub(" WITH …", statement)
