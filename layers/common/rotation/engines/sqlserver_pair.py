"""What makes two logins, or two contained users, of SQL Server the same?

A *login* is let in by the server, and acts in each database as the *user* that has its SID, a number that stays with
it. A *contained user* is let in by its database, and has no login. Either is rotated, whichever the secret's user is.

The current one is the reference, in both directions: what it has, the other one gets; what it does not have, the other
one loses. Nothing is ever written to the current one.

    what                                      where
    options, server roles, server permissions  the server (logins only)
    the user itself, default schema, roles, permissions   each database that the admin may enter

Who owns a schema, a role or a table has all permissions on it; there can be no second owner, so the other one gets
CONTROL of it, with the right to pass it on.

Each statement on the server is committed at once, so its order is one that may end anywhere; what is done in one
database is done in one transaction. Transactions over several databases are not used: where databases are mirrored,
they may end half done.

**Our mark** is the SID. That of a clone is derived from that of its original when it is created, and can never be
changed. It comes with the creation, so there is no instant without it, and users that are left in a database when a
clone is dropped by hand are its own again.
"""

import hashlib
import logging
import secrets
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from rotation.engine import Standing
from rotation.engines import sqlserver_catalog as catalog
from rotation.engines.sqlserver_accounts import BY_SERVER, Account
from rotation.engines.sqlserver_rights import STRENGTH, Right, Rights, State, binary, name, statements, text
from rotation.errors import NotPermitted, StatementFailed, Unsafe, Unsupported

logger = logging.getLogger(__name__)

DBO, DB_OWNER = 1, "db_owner"
"""The id of the user that the owner of a database is, and the role that has the same rights."""
CONNECT = Right("", "", "CONNECT")
"""What a user has when it is created."""
NO_USERS = frozenset({"model", "rdsadmin"})
"""Databases for no user: what new ones are made of, and RDS's own."""
SID_DIGITS = 16

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

    def execute(self, doing: str, statement: str, arguments: Arguments = (), remedy: str = "") -> list[tuple[Any, ...]]:
        """Run one statement and return its rows; raises a DatabaseError."""

    def transaction(self, doing: str) -> AbstractContextManager[None]:
        """Have what is done in the block done whole."""


@dataclass(frozen=True)
class Principal:
    """A login, or the user that it is in a database."""

    id: int
    name: str
    sid: bytes
    options: Mapping[str, str]
    """Under the words of ALTER LOGIN and ALTER USER, as these take them."""
    roles: frozenset[str] = frozenset()
    rights: Rights = field(default_factory=dict)
    owned: frozenset[str] = frozenset()
    """What belongs to it, as statements name it."""
    has_credential: bool = False
    """Whether it is somebody else, too, outside of the server."""
    let_in_by: int = BY_SERVER
    """The id of its database, of a contained user."""


class Pair(ABC):
    """Two principals that take turns."""

    kind: str
    """What ALTER calls them."""

    def __init__(self, connection: Connection, user: str, other: str) -> None:
        """`user` is the one that AWSCURRENT names."""
        self._connection = connection
        self.user = user
        self.other = other

    @staticmethod
    def of(connection: Connection, user: str, other: str) -> "Pair":
        """Return a pair of what `user` is: what it logged in as, if that is known.

        Else, if a database has a contained user of that name, it is not the login
        (https://learn.microsoft.com/en-us/sql/relational-databases/databases/security-best-practices-with-contained-databases).
        """
        account = connection.account(user)
        is_contained = account.database != BY_SERVER if account else _is_contained(connection, user)
        return (ContainedPair if is_contained else LoginPair)(connection, user, other)

    def require_bound(self) -> None:
        """Raise Unsafe unless the account that is meant by the name of the current one is there, under that name."""
        found = self._find(self.user)
        if not found:
            raise self._unseen()
        if found.name.lower() != self.user.lower():
            cause = f"the server calls the account that logged in {found.name}"
            raise Unsafe(f"looking for {self.user}", cause, f'Write "username": "{found.name}" into the secret')

    def standing(self) -> Standing:
        """Tell what the server knows about the other one; see `rotation.engine.Session`."""
        self._require_sight()
        user, other = self._find(self.user), self._find(self.other)
        if not user:
            cause = f"there is no {self.kind} {self.user} that has a password"
            raise Unsafe(
                f"looking for {self.user}", cause, "Correct the host of the admin secret, or the secret's user"
            )
        if not other:
            return Standing.ABSENT
        ours = clone_sid(user.sid) == other.sid or clone_sid(other.sid) == user.sid
        return Standing.OURS if ours else Standing.UNKNOWN

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

    def _require(self, username: str) -> Principal:
        found = self._find(username)
        if not found:
            raise StatementFailed(f"looking for {username}", "it is gone", "The rotation is tried again by itself")
        self._connection.bind(username, Account(found.let_in_by, found.sid))
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

    @abstractmethod
    def _may_alter(self) -> str:
        """Return what lets an admin set the password of the current one."""

    def _require_permissions(self, securable: str, needed: Sequence[str], how: str) -> None:
        asked = ", ".join(f"HAS_PERMS_BY_NAME(NULL, {securable}, '{permission}')" for permission in needed)
        [row] = self._run("asking what the admin may do", f"SELECT {asked}")
        missing = [permission for permission, has in zip(needed, row, strict=True) if not has]
        if missing:
            username = name(self._connection.username)
            raise NotPermitted(
                f"looking for {self.user} as {self._connection.username}",
                f"it has not {', '.join(missing)}, and would not see all of what there is",
                how.format(permissions=", ".join(missing), admin=username),
            )

    def _change(self, changes: Sequence[str]) -> None:
        for statement in changes:
            doing = f"giving {self.other} what {self.user} has"
            remedy = f"Let {self._connection.username} do this, or take from {self.user} what it is about: {statement}"
            self._run(doing, statement, remedy=remedy)

    def _run(self, doing: str, statement: str, arguments: Arguments = (), remedy: str = "") -> list[tuple[Any, ...]]:
        return self._connection.execute(doing, statement, arguments, remedy)

    # What a principal has

    def _read(self, *principals: Principal, of_server: bool = False) -> list[Principal]:
        """Return the same with their roles and permissions, and what they own, of the server or in this database."""
        doing = f"reading the rights of {self.user} and {self.other}"
        numbers = {principal.id for principal in principals}
        ids, themselves = _list(numbers), catalog.SERVER_PRINCIPAL if of_server else catalog.DATABASE_PRINCIPAL
        roles = self._run(doing, (catalog.SERVER_ROLES if of_server else catalog.DATABASE_ROLES).format(ids=ids))
        rows = self._run(doing, (catalog.SERVER_RIGHTS if of_server else catalog.DATABASE_RIGHTS).format(ids=ids))
        # The owner of the database owns what comes with it, and is in the role db_owner, which may do all with it. On
        # itself, nobody can be granted anything.
        rows = [row for row in rows if row[0] != DBO and not (row[1] == themselves and row[3] in numbers)]
        names = self._names(doing, {(row[1], row[3]) for row in rows})
        columns = self._columns(doing, {row[3] for row in rows if row[1] == catalog.OBJECT and row[4]})
        found = [(row[0], *self._right(doing, row[1:], names, columns)) for row in rows]
        return [
            replace(
                principal,
                roles=frozenset(role for member, role in roles if member == principal.id),
                rights=_strongest((right, state) for whose, right, state in found if whose == principal.id and state),
                owned=frozenset(right.on for whose, right, state in found if whose == principal.id and not state),
            )
            for principal in principals
        ]

    def _right(
        self,
        doing: str,
        row: tuple[Any, ...],
        names: Mapping[tuple[int, int], str],
        columns: Mapping[tuple[int, int], str],
    ) -> tuple[Right, State | None]:
        """Return a permission and its state, which is none where the row says that the thing is one's own."""
        sort, description, major, minor, permission, state = row
        on = "" if sort in catalog.WHOLE else names.get((sort, major))
        column = columns.get((major, minor)) if sort == catalog.OBJECT and minor else ""
        if on is None or column is None:
            cause = f"{permission} is granted on a {description} (number {major}) that is not known here"
            raise Unsupported(doing, cause, "Revoke it, or use the single-user strategy")
        return Right(column, on, permission or ""), None if state == catalog.OWNED else State(state)

    def _names(self, doing: str, things: set[tuple[int, int]]) -> dict[tuple[int, int], str]:
        """Return what statements call these things, by class and number."""
        by_class: dict[int, set[int]] = defaultdict(set)
        for sort, major in things:
            by_class[sort].add(major)
        found = {}
        for sort, numbers in by_class.items():
            if query := catalog.NAMES.get(sort):
                for number, keyword, schema, its_name in self._run(doing, query.format(ids=_list(numbers))):
                    parts = filter(None, (schema, its_name))
                    found[sort, number] = f"{keyword}::{'.'.join(map(name, parts))}"
        return found

    def _columns(self, doing: str, objects: set[int]) -> dict[tuple[int, int], str]:
        if not objects:
            return {}
        rows = self._run(doing, catalog.COLUMNS.format(ids=_list(objects)))
        return {(number, column): name(its_name) for number, column, its_name in rows}

    def _database_changes(self, user: Principal, other: Principal) -> list[str]:
        """Return the statements that make a user what the other one is, in one database."""
        if other.id == DBO:
            return []
        return [
            *self._option_changes("USER", user, other),
            *_role_changes("ROLE", user, other),
            *_right_changes(user, other),
        ]

    def _option_changes(self, kind: str, user: Principal, other: Principal) -> list[str]:
        if user.options == other.options:
            return []
        return [f"ALTER {kind} {name(other.name)} WITH {_options(user.options)}"]

    def _differing(self, changes: Sequence[str], place: str) -> list[str]:
        return [
            f"{self.other} is not what {self.user} is{place}: {statement} would change that" for statement in changes
        ]


class LoginPair(Pair):
    """Two logins, and their users in all databases."""

    kind = "LOGIN"

    def mirror(self) -> None:
        """Make the other one what the current one is; see `Pair`."""
        user = self._require(self.user)
        if user.has_credential:
            cause = f"{self.user} has a credential, which cannot be copied"
            raise Unsupported(
                f"preparing {self.other}", cause, "Use the single-user strategy, or ALTER LOGIN … NO CREDENTIAL"
            )
        other = self._require(self.other) if self._find(self.other) else self._create(user)
        for _ in self._in(["master"]):  # where alone permissions of the server can be granted
            self._change(self._server_changes(user, other))
        for database in self._in(self._databases()):
            changes = self._changes_in_database(*self._users(user, other))
            if changes:
                with self._connection.transaction(f"preparing {self.other} in {database}"):
                    self._change(changes)

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
        doing, remedy = f"setting the password of {self.user}", self._may_alter()
        self._run(doing, f"ALTER LOGIN {name(user.name)} {change}", remedy=remedy)

    def _may_alter(self) -> str:
        admin = name(self._connection.username)
        return f"GRANT ALTER ANY LOGIN TO {admin}. Only who has CONTROL SERVER may alter a login that has it"

    def differences(self) -> list[str]:
        """Say in what the two differ; see `Pair`."""
        self._require_sight()
        user, other = self._find(self.user), self._find(self.other)
        if not user or not other:
            return [f"there is no login {found}" for found, one in ((self.user, user), (self.other, other)) if not one]
        differences = self._differing(self._server_changes(user, other), "")
        for database in self._in(self._databases()):
            mine, theirs, orphan = self._users(user, other)
            place = f" in the database {database}"
            differences += self._differing(self._changes_in_database(mine, theirs, orphan), place)
            differences += [
                f"{self.other} owns {thing}{place}, {self.user} does not" for thing in _owned_alone(mine, theirs)
            ]
        return differences

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

    def _create(self, user: Principal) -> Principal:
        """Create the clone, with a password that nobody reads: so nobody can log in."""
        sid, password = binary(clone_sid(user.sid)), text(unread_password())
        options = f"PASSWORD = {password}, SID = {sid}, {_options(user.options)}"
        self._run(f"creating {self.other}", f"CREATE LOGIN {name(self.other)} WITH {options}")
        return self._require(self.other)

    def _server_changes(self, user: Principal, other: Principal) -> list[str]:
        user, other = self._read(user, other, of_server=True)
        return [
            *self._option_changes("LOGIN", user, other),
            *_role_changes("SERVER ROLE", user, other),
            *_right_changes(user, other),
        ]

    def _databases(self) -> list[str]:
        """Return the databases that the admin may enter."""
        rows = self._run("looking for databases", catalog.DATABASES)
        closed = [database for database, may_enter in rows if not may_enter and database not in NO_USERS]
        if closed:
            logger.warning(
                "What %s may do in %s was not looked at: %s is no user there",
                self.user, ", ".join(closed), self._connection.username,
            )  # fmt: skip
        return [database for database, may_enter in rows if may_enter]

    def _in(self, databases: Sequence[str]) -> Iterator[str]:
        """Yield each database while being in it, and go back."""
        for database in databases:
            self._run(f"entering the database {database}", f"USE {name(database)}")
            yield database
        self._run("going back", f"USE {name(self._connection.database)}")

    def _users(self, user: Principal, other: Principal) -> tuple[Principal | None, Principal | None, bool]:
        """Return the users of the two in this database, and whether the second is an orphan: the SID of no login.

        A user of the clone's name is left like this where a database comes from another server. Nobody can log in as
        it, and the name is taken, so it becomes the clone's.
        """
        rows = self._run("looking for users", catalog.USERS_BY_SID, (user.sid, other.sid))
        users = {row[2]: _user(row) for row in rows}
        mine, theirs, is_orphan = users.get(user.sid), users.get(other.sid), False
        if mine and not theirs:
            named = self._run("looking for users", catalog.USER_OF_LOGIN_BY_NAME, (self.other,))
            if named and not self._run("looking for a login", catalog.HAS_LOGIN, (named[0][2],)):
                theirs, is_orphan = _user(named[0]), True
        present = [one for one in (mine, theirs) if one]
        read = {one.id: one for one in self._read(*present)} if present else {}
        return mine and read[mine.id], theirs and read[theirs.id], is_orphan

    def _changes_in_database(self, user: Principal | None, other: Principal | None, is_orphan: bool) -> list[str]:  # noqa: FBT001
        if not user:
            return [f"DROP USER {name(other.name)}"] if other and other.id != DBO else []
        adopted = [f"ALTER USER {name(self.other)} WITH LOGIN = {name(self.other)}"] if is_orphan else []
        if not other:
            other = Principal(0, self.other, b"", user.options, rights={CONNECT: State.GRANT})
            login = name(self.other)
            adopted = [f"CREATE USER {login} FOR LOGIN {login} WITH {_options(user.options)}"]
        return [*adopted, *self._database_changes(user, other)]


class ContainedPair(Pair):
    """Two users of a contained database."""

    kind = "USER"

    def mirror(self) -> None:
        """Make the other one what the current one is; see `Pair`."""
        user = self._require(self.user)
        with self._connection.transaction(f"preparing {self.other}"):
            other = self._require(self.other) if self._find(self.other) else self._create(user)
            self._change(self._database_changes(*self._read(user, other)))

    def set_password(self, password: str) -> None:
        """Give the current one a password; see `Pair`."""
        statement = f"ALTER USER {name(self._to_alter().name)} WITH PASSWORD = {text(password)}"
        self._run(f"setting the password of {self.user}", statement, remedy=self._may_alter())

    def reset_password(self, password: str) -> None:
        """Give the current one a password; see `Pair`. What would keep a contained user out is no property of it."""
        self.set_password(password)

    def _may_alter(self) -> str:
        return f"GRANT ALTER ANY USER TO {name(self._connection.username)}"

    def differences(self) -> list[str]:
        """Say in what the two differ; see `Pair`."""
        self._require_sight()
        user, other = self._find(self.user), self._find(self.other)
        if not user or not other:
            return [f"there is no user {found}" for found, one in ((self.user, user), (self.other, other)) if not one]
        user, other = self._read(user, other)
        owned = [f"{self.other} owns {thing}, {self.user} does not" for thing in _owned_alone(user, other)]
        return [*self._differing(self._database_changes(user, other), ""), *owned]

    def _find(self, username: str) -> Principal | None:
        account = self._connection.account(username)
        query = catalog.CONTAINED_USER_BY_SID if account else catalog.CONTAINED_USER
        rows = self._run(f"looking for {username}", query, (account.sid, account.database) if account else (username,))
        return _contained_user(rows[0]) if rows else None

    def _unseen(self) -> Unsafe:
        admin, database = self._connection.username, self._connection.database
        cause = (
            f"who logged in is a user of a contained database, with a password of its own, and {admin} sees no such"
            f" user in {database}: a login of that name is somebody else"
        )
        remedy = f"Let {admin} see the users of that database (there: GRANT VIEW DEFINITION TO {name(admin)})"
        return Unsafe(f"looking for {self.user} as {admin}", cause, remedy)

    def _require_sight(self) -> None:
        self._require_permissions("'DATABASE'", catalog.SEES_DATABASE, "GRANT {permissions} TO {admin}")

    def _create(self, user: Principal) -> Principal:
        """Create the clone, with a password that nobody reads: so nobody can log in."""
        sid, password = binary(clone_sid(user.sid)), text(unread_password())
        options = f"PASSWORD = {password}, SID = {sid}, {_options(user.options)}"
        self._run(f"creating {self.other}", f"CREATE USER {name(self.other)} WITH {options}")
        return self._require(self.other)


def _is_contained(connection: Connection, username: str) -> bool:
    """Tell whether a name is that of a contained user of this database; raises NotPermitted if that cannot be seen."""
    doing = f"looking for {username} as {connection.username}"
    [(containment, sees_users, authentication)] = connection.execute(doing, catalog.KIND, (username,))
    if authentication == catalog.BY_DATABASE:
        return True
    if containment and not sees_users:
        cause = f"{connection.database} is a contained database, and {username} may be a user of it that cannot be seen"
        remedy = f"Let the admin see its users (there: GRANT VIEW DEFINITION TO {name(connection.username)})"
        raise NotPermitted(doing, cause, remedy)
    return False


def clone_sid(sid: bytes) -> bytes:
    """Return the SID of the clone of who has this one; what comes before the last 16 bytes says of what kind it is."""
    return sid[:-SID_DIGITS] + hashlib.sha256(b"rotation of " + sid).digest()[:SID_DIGITS]


def unread_password() -> str:
    """Return a password that any policy takes, and that is forgotten at once."""
    return f"{secrets.token_urlsafe()}-Aa1"


def _user(row: Sequence[Any]) -> Principal:
    number, its_name, sid, schema, encrypted = row
    options = {
        "DEFAULT_SCHEMA": name(schema or "dbo"),
        "ALLOW_ENCRYPTED_VALUE_MODIFICATIONS": "ON" if encrypted else "OFF",
    }
    return Principal(number, its_name, sid, options)


def _contained_user(row: Sequence[Any]) -> Principal:
    *of_any_user, language, here = row
    user = _user(of_any_user)
    options = {**user.options, "DEFAULT_LANGUAGE": name(language) if language else "NONE"}
    return replace(user, options=options, let_in_by=here)


def _strongest(found: Iterable[tuple[Right, State]]) -> dict[Right, State]:
    """Return the permissions: of what several have granted or denied, the strongest counts."""
    rights: dict[Right, State] = {}
    for right, state in found:
        rights[right] = max(state, rights.get(right, state), key=STRENGTH.__getitem__)
    return rights


def _role_changes(kind: str, user: Principal, other: Principal) -> list[str]:
    return [
        *(f"ALTER {kind} {name(role)} DROP MEMBER {name(other.name)}" for role in sorted(other.roles - user.roles)),
        *(f"ALTER {kind} {name(role)} ADD MEMBER {name(other.name)}" for role in sorted(user.roles - other.roles)),
    ]


def _right_changes(user: Principal, other: Principal) -> Iterator[str]:
    wanted = {**user.rights, **{Right("", thing, "CONTROL"): State.GRANTABLE for thing in user.owned}}
    # Who owns a thing may do everything with it, and can be granted nothing on it.
    wanted = {right: state for right, state in wanted.items() if right.on not in other.owned or state is State.DENY}
    return statements(other.rights, wanted, name(other.name))


def _owned_alone(user: Principal | None, other: Principal | None) -> list[str]:
    """Return what the other one owns, or has as the owner of the database, and the current one has not."""
    if not other or (user and DB_OWNER in user.roles):
        return []
    if other.id == DBO:
        return ["the database"]
    full = {Right("", thing, "CONTROL"): State.GRANTABLE for thing in other.owned - (user.owned if user else set())}
    return sorted(right.on for right, state in full.items() if not user or user.rights.get(right) is not state)


def _options(options: Mapping[str, str]) -> str:
    return ", ".join(f"{option} = {value}" for option, value in options.items())


def _list(numbers: set[int]) -> str:
    return ", ".join(map(str, sorted(numbers)))
