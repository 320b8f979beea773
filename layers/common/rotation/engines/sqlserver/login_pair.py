"""What makes two logins of SQL Server the same, on the server and in every database? See `sqlserver_pair`."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

from rotation.engines.sqlserver import catalog
from rotation.engines.sqlserver.pair import SID_DIGITS, Pair, clone_sid, unread_password, user_of
from rotation.engines.sqlserver.principals import DBO, Principal, changes, listed, owned_alone
from rotation.engines.sqlserver.rights import binary, name, text
from rotation.errors import NotPermitted, StatementFailed, Unsafe, Unsupported
from rotation.redaction import said

logger = logging.getLogger(__name__)

NO_USERS = frozenset({"model", "rdsadmin"})
"""Databases for no user: what new ones are made of, and RDS's own."""
GUEST, GUESTS_ARE_NORMAL = 2, frozenset({"master", "msdb", "tempdb"})
"""The id of the user that everybody is who has none, if a database lets guests in, and where all do
(https://learn.microsoft.com/en-us/sql/relational-databases/security/authentication-access/principals-database-engine)."""
UNREADABLE = "\ufffd"
MOST_NAMED = 20
"""How many databases a warning names at most."""


@dataclass(frozen=True)
class Users:
    """What two logins are in one database, with all that they have there."""

    user: Principal | None
    other: Principal | None
    is_orphan: bool = False
    """Whether the other one is a user of that name whose SID is no login's.

    A user of the clone's name is left like this where a database comes from another server. Nobody can log in as it,
    and the name is taken, so it becomes the clone's.
    """


class LoginPair(Pair):
    """Two logins, and their users in all databases."""

    kind = "LOGIN"
    marked = catalog.MARKED_LOGINS

    def mirror(self) -> None:
        """Make the other one what the current one is; see `Pair`."""
        user = self._require(self.user)
        if user.has_credential:
            cause = f"{self.user} has a credential, which cannot be copied"
            raise Unsupported(
                f"preparing {self.other}", cause, "Use the single-user strategy, or ALTER LOGIN … NO CREDENTIAL"
            )
        self._enter("master")  # where alone permissions of the server can be granted
        other = self._adopt(user) if self._find(self.other) else self._create(user)
        self._change(changes(self.kind, *self._reader(of_server=True).read(user, other)))
        for is_read_only in self._databases(warn=True):
            self._mirror_here(user, other, is_read_only=is_read_only)
        self._go_back()

    def _mirror_here(self, user: Principal, other: Principal, *, is_read_only: bool) -> None:
        found = self._users(user, other)
        operation, statements = f"preparing {self.other}{self._place}", self._changes_here(found)
        if found.other and not found.user:
            left = f"{self.other} is the user {found.other.name}{self._place}, where {self.user} is none"
            logger.warning(said(f"{left}: this was left as it is. To end it there: DROP USER {name(found.other.name)}"))
        if not statements:
            return
        if is_read_only:
            cause = f"it is read-only, so {self.other} cannot be given what {self.user} has there"
            remedy = "Let it be written to until a rotation has ended (ALTER DATABASE … SET READ_WRITE)"
            raise StatementFailed(operation, cause, f'{remedy}; on a replica, name the primary in "host"')
        self._require_no_triggers()
        with self._connection.transaction(operation):
            self._change(statements)
            if not found.other:  # what a new user has, it is asked: who has granted it that, no page says
                self._change(self._changes_here(self._users(user, other)))

    def set_password(self, password: str) -> None:
        """Give the current one a password, and let it log in; see `Pair`."""
        user = self._to_alter()
        [(is_disabled, is_locked)] = self._run(f"looking at {self.user}", catalog.STATE, (user.sid,))
        self._alter(user, f"WITH PASSWORD = {text(password)}{' UNLOCK' if is_locked else ''}")
        if is_disabled:
            self._alter(user, "ENABLE")

    def reset_password(self, password: str) -> None:
        """Give the current one a password; see `Pair`."""
        self._alter(self._to_alter(), f"WITH PASSWORD = {text(password)}")

    def _alter(self, user: Principal, change: str) -> None:
        operation, remedy = f"setting the password of {self.user}", self._may_alter()
        self._run(operation, f"ALTER LOGIN {name(user.name)} {change}", remedy=remedy)

    def _may_alter(self) -> str:
        admin = name(self._connection.username)
        return f"GRANT ALTER ANY LOGIN TO {admin}. Only who has CONTROL SERVER may alter a login that has it"

    def differences(self) -> list[str]:
        """Say in what the two differ; see `Pair`."""
        self._require_sight()
        user, other = self._find(self.user), self._find(self.other)
        if not user or not other:
            return [f"there is no login {found}" for found, one in ((self.user, user), (self.other, other)) if not one]
        differences = self._differing(changes(self.kind, *self._reader(of_server=True).read(user, other)))
        for _ in self._databases():
            differences += self._differences_here(self._users(user, other))
        self._go_back()
        return differences

    def _differences_here(self, found: Users) -> list[str]:
        owned = owned_alone(found.user, found.other) if found.user else []
        return [
            *self._differing(self._changes_here(found)),
            *(f"{self.other} owns {thing}{self._place}, {self.user} does not" for thing in owned),
        ]

    def _find(self, username: str) -> Principal | None:
        account = self._connection.account(username)
        query, key = (catalog.LOGIN_BY_SID, account.sid) if account else (catalog.LOGIN, username)
        rows = self._run(f"looking for {username}", query, (key,))
        if not rows:
            if not account and self._run(f"looking for {username}", catalog.OTHER_KIND, (username,)):
                cause = f"{username} is a role, or a login of Windows or of a certificate: it has no password"
                raise Unsafe(f"looking for {username}", cause, "Use a login with a password, or another name")
            return None
        [(number, its_name, sid, credential, database, language, policy, expiration)] = rows
        if len(sid) != SID_DIGITS:
            raise Unsafe(f"looking for {username}", f"{username} is the server's own", "Use a login that was created")
        options = {
            "DEFAULT_DATABASE": name(database or "master"),
            "DEFAULT_LANGUAGE": name(language or "us_english"),
            "CHECK_EXPIRATION": "ON" if expiration else "OFF",
            "CHECK_POLICY": "ON" if policy else "OFF",
        }
        return Principal(number, its_name, sid, options, has_credential=credential is not None)

    def _unseen(self) -> Unsafe:
        admin = self._connection.username
        cause = f"the login that logged in is not among the logins with a password that {admin} sees"
        remedy = f"Let {admin} see all logins (in master: GRANT VIEW ANY DEFINITION TO {name(admin)})"
        return Unsafe(f"looking for {self.user} as {admin}", cause, remedy)

    def _require_sight(self) -> None:
        self._require_permissions("NULL", catalog.SEES_SERVER, "In master: GRANT {permissions} TO {admin}")

    def _adopt(self, user: Principal) -> Principal:
        other = self._require(self.other)
        self._mark(user, other)
        return other

    def _create(self, user: Principal) -> Principal:
        """Create the clone, marked, and with a password that nobody reads: so nobody can log in."""
        sid, password = binary(clone_sid(user.sid)), text(unread_password())
        options = f"PASSWORD = {password}, SID = {sid}, {listed(user.options)}"
        with self._connection.transaction(f"creating {self.other}"):
            self._run(f"creating {self.other}", f"CREATE LOGIN {name(self.other)} WITH {options}")
            other = self._require(self.other)
            self._mark(user, other)
        return other

    # From database to database

    def _databases(self, *, warn: bool = False) -> Iterator[bool]:
        """Enter each database where the admin sees all users, and yield whether it is read-only.

        The secret's own must be one of them. Of the others, those that are closed to the admin are left as they are:
        their owners open and close them as they like.
        """
        closed = []
        for database, may_enter, is_read_only in self._listed():
            if may_enter and self._may_look_into(database):
                yield is_read_only
            elif database not in NO_USERS:
                closed.append(database)
        self._place = ""
        if closed and warn:
            why = f"{self._connection.username} is no user there, or may not see all users"
            logger.warning(said(f"What {self.user} may do in {_named(closed)} was not looked at: {why}"))

    def _listed(self) -> list[tuple[str, bool, bool]]:
        """Return the databases, and of each whether the admin may enter it, and whether it is read-only.

        No client can send the name of one that holds half a character.
        """
        rows = self._run("looking for databases", catalog.DATABASES)
        names = [bytes(in_bytes).decode("utf-16-le", errors="replace") for in_bytes, *_ in rows]
        return [
            (its_name, bool(may_enter) and UNREADABLE not in its_name, bool(is_read_only))
            for its_name, (_, may_enter, is_read_only) in zip(names, rows, strict=True)
        ]

    def _may_look_into(self, database: str) -> bool:
        is_home = database.lower() == self._connection.database.lower()
        try:
            self._enter(database)
        except (NotPermitted, StatementFailed):
            if is_home:
                raise
            return False
        self._place = f" in the database {database}"
        if is_home:
            how = "In the database: GRANT {permissions} TO {admin}"
            self._require_permissions("'DATABASE'", catalog.SEES_DATABASE[1:], how)
            return True
        [(has_sight, own_id)] = self._run("asking what the admin may see", catalog.HAS_SIGHT)
        # As the guest that an owner lets everybody be, the admin could see all and change nothing.
        return bool(has_sight) and (own_id != GUEST or database.lower() in GUESTS_ARE_NORMAL)

    def _enter(self, database: str) -> None:
        self._place = ""
        self._run(f"entering the database {database}", f"USE {name(database)}")

    def _go_back(self) -> None:
        self._enter(self._connection.database)

    def _users(self, user: Principal, other: Principal) -> Users:
        """Return the users of the two in this database."""
        rows = self._run("looking for users", catalog.USERS_BY_SID, (user.sid, other.sid))
        users = {bytes(row[2]): user_of(row) for row in rows}
        mine, theirs, is_orphan = users.get(user.sid), users.get(other.sid), False
        if not mine:
            return Users(None, theirs)
        if not theirs:
            named = self._run("looking for users", catalog.USER_OF_LOGIN_BY_NAME, (self.other,))
            if named and not self._run("looking for a login", catalog.HAS_LOGIN, (named[0][2],)):
                theirs, is_orphan = user_of(named[0]), True
        read = self._reader().read(*filter(None, (mine, theirs)))
        return Users(read[0], read[1] if theirs else None, is_orphan)

    def _changes_here(self, found: Users) -> list[str]:
        """Return what makes the other one's user what the current one's is; nothing where that is none."""
        user, other, login = found.user, found.other, name(self.other)
        if not user or (other and other.id == DBO):
            return []
        first = [f"ALTER USER {login} WITH LOGIN = {login}"] if found.is_orphan else []
        if not other:
            return [f"CREATE USER {login} FOR LOGIN {login} WITH {listed(user.options)}"]
        return [*first, *changes("USER", user, other)]


def _named(databases: list[str]) -> str:
    more = len(databases) - MOST_NAMED
    return ", ".join(databases[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
