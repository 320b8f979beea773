"""What makes two logins of SQL Server the same, on the server and in every database? See `pair`."""

import logging
from collections.abc import Iterator, Sequence
from itertools import batched
from typing import Any

from rotation.engine import Comparison, Unshared
from rotation.engines.driver import CORRECT_CAUSE, unread_password
from rotation.engines.sqlserver import catalog
from rotation.engines.sqlserver.accounts import SQLServerAccount
from rotation.engines.sqlserver.admin import AdminsPart, lacking_for_pair, lacking_for_password, new_login
from rotation.engines.sqlserver.comparing import ComparedPart, compared
from rotation.engines.sqlserver.connection import Question
from rotation.engines.sqlserver.databases import DATABASES_WITHOUT_USERS, ENTERED_AT_ONCE, SQLServerDatabase
from rotation.engines.sqlserver.here import DATABASES_WITH_GUESTS, DatabaseUsers, Here
from rotation.engines.sqlserver.kind import DATABASES, KIND, normal_name
from rotation.engines.sqlserver.pair import SID_DIGITS, SQLServerPair, clone_sid
from rotation.engines.sqlserver.principals import DBO, Principal, changes, option_list, owned_alone
from rotation.engines.sqlserver.rights import binary, identifier, literal
from rotation.engines.sqlserver.triggers import require_no_triggers
from rotation.engines.sqlserver.unshared import bound_by_predicates, bound_to_login, for_everybody
from rotation.errors import NotPermitted, StatementFailed, Unsafe, Unsupported
from rotation.redaction import said

logger = logging.getLogger(__name__)

USUAL_DATABASE = ("DEFAULT_DATABASE", "[master]")
"""What CREATE LOGIN gives a login if it is not told otherwise."""
MOST_NAMED = 20
"""How many databases a message names at most."""


class SQLServerLoginPair(SQLServerPair):
    """Two logins, and their users in all databases."""

    keyword = "LOGIN"
    marked = catalog.MARKED_LOGINS

    def account(self) -> SQLServerAccount:
        """Return the account of the login `user`; raises Unsafe if there is none."""
        found = self._find(self.user)
        if not found:
            raise self._not_found()
        return found.account

    def unshared(self) -> list[Unshared]:
        """Return what `other` can never have; see `SQLServerPair`.

        The databases among this are left as they are, if the rotation goes on.
        """
        user, other = self._require(self.user), self._find(self.other)
        other_sid = other.sid if other else clone_sid(user.sid)
        of_all = [Question("master", *one) for one in for_everybody(user, other)]
        self._connection.ask_together("looking for databases", [*of_all, Question("", catalog.DATABASES)])
        self._enter("master")
        bound = bound_to_login(self._query, user, other, self.other)
        left: list[Unshared] = []
        for database, closed in self._databases(user.sid, other_sid):
            if not closed and self._here(user.sid, other_sid).user(user.sid):
                bound += bound_by_predicates(self._query, user, self.other, database.name)
            if lost := closed or self._unprepared(database, user.sid, other_sid):
                self._known.left.add(database.name)
                left.append(lost)
        self._go_back()
        if more := left[MOST_NAMED:]:
            left[MOST_NAMED:] = [Unshared(DATABASES, f"it is the same with {len(more)} more databases")]
        return [*bound, *left]

    def mirror(self) -> None:
        """Make `other` what `user` is; see `SQLServerPair`."""
        user = self._require(self.user)
        self._enter("master")  # the only database in which permissions on the server can be granted
        other = self._adopt(user) if self._find(self.other) else self._create(user)
        self._require_nothing_lost(*self._reader(of_server=True).read(user, other))
        self._end_must_change(user, other)
        self._connection.again(
            f"preparing {self.other}",
            lambda: self._change_until_equal(lambda as_ours: self._changes_of_server(as_ours=as_ours)),
        )
        for database, lost in self._databases(user.sid, other.sid):
            if database.name in self._known.left:
                continue
            if lost:
                raise self._not_shared(lost)
            self._mirror_here(user, other, database)
        self._go_back()
        if self._known.left:
            names = _first_names(sorted(self._known.left))
            logger.warning(said(f"{names} was not changed, because the secret accepts that"))

    def set_password(self, password: str) -> None:
        """Give `user` a password, and let it log in; see `SQLServerPair`."""
        if account := self._known.accounts.get(self.user):
            questions = [Question("", query, (account.sid,)) for query in (catalog.LOGIN_BY_SID, catalog.LOGIN_STATE)]
            self._connection.ask_together(f"looking for {self.user}", questions)
        user = self._user_to_alter()
        is_disabled, is_locked = self._only_row(self.user, user, catalog.LOGIN_STATE)
        self._alter(user, f"WITH PASSWORD = {literal(password)}{' UNLOCK' if is_locked else ''}")
        if is_disabled:
            self._alter(user, "ENABLE")

    def reset_password(self, password: str) -> None:
        """Give `user` a password; see `SQLServerPair`."""
        self._alter(self._user_to_alter(), f"WITH PASSWORD = {literal(password)}")

    def compare(self) -> Comparison:
        """Compare the two; see `SQLServerPair`."""
        self._require_visibility()
        user, other = self._both()
        state = Question("", catalog.LOGIN_STATE, (other.sid,))
        self._ask_for_rights("", user, other, state)
        is_disabled, _ = self._only_row(self.other, other, catalog.LOGIN_STATE)
        user, other = self._reader(of_server=True).read(user, other)
        server = ComparedPart(self.user, self.other, user, other)
        parts = [server]
        for database, lost in self._databases(user.sid, other.sid):
            if not lost and database.name not in self._known.left:
                here = self._here(user.sid, other.sid)
                self._ask_for_rights(database.name, here.user(user.sid), here.user(other.sid))
                found = self._users(user.sid, other.sid)
                parts.append(
                    ComparedPart(self.user, self.other, found.user, found.other, database.name, found.is_orphan)
                )
        self._go_back()
        enable = f"ALTER LOGIN {identifier(other.name)} ENABLE" if is_disabled else ""
        return compared(parts, list(server.passing()), [enable, server.unlock()], is_disabled=bool(enable))

    def part_for_password(self) -> AdminsPart:
        """Say what the admin lacks; see `SQLServerPair`."""
        [user] = self._reader(of_server=True).read(self._require(self.user))
        return AdminsPart(lacking_for_password(self._ask, self._connection.username, user))

    def part_for_both(self) -> AdminsPart:
        """Say what the admin lacks; see `SQLServerPair`. What `unshared` is for is not said again."""
        self._require_visibility()
        user, found = self._require(self.user), self._find(self.other)
        reader = self._reader(of_server=True)
        read = reader.read(*filter(None, (user, found)))
        on_server = lacking_for_pair(self._ask, reader, read[0], read[1] if found else new_login(self.other))
        other_sid = found.sid if found else clone_sid(user.sid)
        in_databases = [
            self._part_here(name, catalog.TRIGGERS) for name in self._databases_to_change(user.sid, other_sid)
        ]
        return AdminsPart.of_all([AdminsPart(on_server), *in_databases])

    # On the server

    def _find(self, username: str) -> Principal | None:
        operation, account = f"looking for {username}", self._known.accounts.get(username)
        query, key = (catalog.LOGIN_BY_SID, account.sid) if account else (catalog.LOGIN, username)
        rows = self._read_server(operation, query, (key,))
        if not rows:
            if not account and self._read_server(operation, catalog.ANY_PRINCIPAL, (username,)):
                cause = f"{username} is a role, or a login of Windows or of a certificate: it has no password"
                raise Unsafe(operation, cause, "Use a login with a password, or another name")
            return None
        [(number, name, sid, database, database_id, language, policy, expiration)] = rows
        if len(sid) != SID_DIGITS:
            raise Unsafe(operation, f"{username} is the server's own", "Use a login that an admin created")
        options = {
            # A database that is gone cannot be given to the other login (15010).
            **({"DEFAULT_DATABASE": identifier(database)} if database_id else {}),
            "DEFAULT_LANGUAGE": identifier(language or "us_english"),
            "CHECK_EXPIRATION": "ON" if expiration else "OFF",
            "CHECK_POLICY": "ON" if policy else "OFF",
        }
        return Principal(number, name, sid, options)

    def _only_row(self, username: str, login: Principal, query: str) -> Sequence[Any]:
        """Return what a query says of a login that was found; raises StatementFailed if it was dropped since."""
        rows = self._read_server(f"looking at {username}", query, (login.sid,))
        if not rows:
            raise self._dropped(username)
        return rows[0]

    def _not_found(self) -> Unsafe:
        admin = self._connection.username
        cause = f"the login that logged in is not among the logins with a password that {admin} sees"
        remedy = f"GRANT VIEW ANY DEFINITION TO {identifier(admin)}, in master"
        return Unsafe(f"looking for {self.user} as {admin}", cause, remedy)

    def _require_visibility(self) -> None:
        self._require_permissions("NULL", catalog.SEES_SERVER, "master")

    def _alter(self, user: Principal, change: str) -> None:
        operation, remedy = f"setting the password of {user.name}", self._grant_alter()
        self._run(operation, f"ALTER LOGIN {identifier(user.name)} {change}", remedy=remedy)

    def _grant_alter(self) -> str:
        admin = identifier(self._connection.username)
        return f"GRANT ALTER ANY LOGIN TO {admin}. A login with CONTROL SERVER can be altered only by another one"

    def _adopt(self, user: Principal) -> Principal:
        other = self._require(self.other)
        self._mark(user, other)
        return other

    def _create(self, user: Principal) -> Principal:
        """Create the clone, marked, and with a password that nobody reads: so nobody can log in."""
        sid, password = binary(clone_sid(user.sid)), literal(unread_password(KIND, self.other))
        # RDS advises against other default databases: https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_SQLServerMultiAZ.html
        given = {option: value for option, value in user.options.items() if (option, value) != USUAL_DATABASE}
        options = f"PASSWORD = {password}, SID = {sid}, {option_list(given)}"
        operation = f"creating {self.other}"

        def create() -> None:
            """Create it unless another invocation of this step has just done so: then it has the mark."""
            found = self._find(self.other)
            if not (found and user.id in self._marks(user, found)):
                self._run(operation, f"CREATE LOGIN {identifier(self.other)} WITH {options}")
                self._mark(user, self._require(self.other))

        self._connection.in_transaction(operation, create)
        return self._require(self.other)

    def _end_must_change(self, user: Principal, other: Principal) -> None:
        """Replace a password that `other` must change by one that nobody reads: until then its policy stays (15128)."""
        checks = ("CHECK_POLICY", "CHECK_EXPIRATION")
        if any((user.options[check], other.options[check]) == ("OFF", "ON") for check in checks):
            [must_change] = self._only_row(self.other, other, catalog.MUST_CHANGE)
            if must_change:
                self._alter(other, f"WITH PASSWORD = {literal(unread_password(KIND, self.other))}")

    def _changes_of_server(self, *, as_ours: bool) -> list[str]:
        user, other = self._require(self.user), self._require(self.other)
        return changes(self.keyword, *self._reader(of_server=True).read(user, other), as_ours=as_ours)

    # In one database

    def _mirror_here(self, user: Principal, other: Principal, database: SQLServerDatabase) -> None:
        found = self._users(user.sid, other.sid)
        operation, statements = f"preparing {self.other}{self._place}", self._changes_here(found)
        if found.other and not found.user:
            self._warn_of_left_user(found.other.name)
        if not statements:
            return
        if database.is_read_only:
            raise self._not_shared(database.why_read_only(self.user, self.other))
        require_no_triggers(self._connection, catalog.TRIGGERS, self.other, self._place)
        if found.user and found.other:
            self._require_nothing_lost(found.user, found.other)

        def left(as_ours: bool) -> list[str]:  # noqa: FBT001 - called by position
            return self._changes_here(self._users(user.sid, other.sid), as_ours=as_ours)

        self._connection.in_transaction(operation, lambda: self._change_until_equal(left))

    def _warn_of_left_user(self, name: str) -> None:
        left = f"{self.other} is the user {name}{self._place}, but {self.user} has no user there"
        logger.warning(said(f"{left}. Nothing was changed there. To remove the user: DROP USER {identifier(name)}"))

    def _unprepared(self, database: SQLServerDatabase, user_sid: bytes, other_sid: bytes) -> Unshared | None:
        """Return what the two cannot share because this database, which was entered, cannot be prepared."""
        here = self._here(user_sid, other_sid)
        names = here.namesakes() if here.user(user_sid) and not here.user(other_sid) else []
        for is_users, namesake in names:
            if not is_users or self._has_login(namesake):
                return database.why_taken(self.user, self.other)
            orphan = self._users(user_sid, other_sid)
            if owned := owned_alone(orphan.user, orphan.other):
                return database.why_owned(self.user, self.other, owned[0])
        if database.is_read_only and self._changes_here(self._users(user_sid, other_sid)):
            return database.why_read_only(self.user, self.other)
        return None

    def _not_shared(self, lost: Unshared) -> Unsupported:
        """Return the error for a database that `unshared` did not name: it has changed since, or nobody asked."""
        return Unsupported(f"preparing {self.other}", lost.what, CORRECT_CAUSE)

    def _users(self, user_sid: bytes, other_sid: bytes) -> DatabaseUsers:
        """Return the users of the two logins in this database."""
        here = self._here(user_sid, other_sid)
        user_here, other_here, is_orphan = here.user(user_sid), here.user(other_sid), False
        if not user_here:
            return DatabaseUsers(None, other_here)
        if not other_here:
            named = [namesake for is_users, namesake in here.namesakes() if is_users]
            if named and not self._has_login(named[0]):
                other_here, is_orphan = named[0], True
        read = self._reader().read(*filter(None, (user_here, other_here)))
        return DatabaseUsers(read[0], read[1] if other_here else None, is_orphan)

    def _here(self, user_sid: bytes, other_sid: bytes) -> Here:
        """Return what the admin sees in this database, of these two."""
        return Here(self._read("looking for users", catalog.HERE, self._of_here(user_sid, other_sid)))

    def _of_here(self, user_sid: bytes, other_sid: bytes) -> tuple[object, ...]:
        """Return the arguments of `catalog.HERE`."""
        return self.other, user_sid, other_sid, self.other

    def _ask_for_rights(self, database: str, user: Principal | None, other: Principal | None, *more: Question) -> None:
        """Ask together for what the two have, on the server or in a database; outside of a transaction."""
        if user and other:
            queries = self._reader(of_server=not database).queries(user, other)
            questions = [*more, *(Question(database, query) for query in queries)]
            self._connection.ask_together(f"reading the rights of {self.user} and {self.other}", questions)

    def _has_login(self, user: Principal) -> bool:
        return bool(self._read_server("looking for a login", catalog.HAS_LOGIN, (user.sid,)))

    def _changes_here(self, found: DatabaseUsers, *, as_ours: bool = False) -> list[str]:
        """Return the statements that make the two users equal; none if `user` has no user here."""
        user, other, login = found.user, found.other, identifier(self.other)
        if not user or (other and other.id == DBO):
            return []
        if not other:
            return [f"CREATE USER {login} FOR LOGIN {login} WITH {option_list(user.options)}"]
        adopt = [f"ALTER USER {login} WITH LOGIN = {login}"] if found.is_orphan else []
        return [*adopt, *changes("USER", user, other, as_ours=as_ours)]

    # From database to database

    def _databases(self, user_sid: bytes, other_sid: bytes) -> Iterator[tuple[SQLServerDatabase, Unshared | None]]:
        """Yield each database in which `user` can have a user: entered, or with what the two cannot share there.

        The secret's own database must be one that the admin sees. A database that is closed to the admin, and in which
        `user` has no user, is left out: its owner opens and closes it as she likes.
        """
        own, admin = self._known.databases.get(self.user), self._connection.username
        rows = self._read_server("looking for databases", catalog.DATABASES)
        databases = [one for one in map(SQLServerDatabase.of_row, rows) if one.name not in DATABASES_WITHOUT_USERS]
        arguments = self._of_here(user_sid, other_sid)
        for part in batched((one.name for one in databases if one.can_enter), ENTERED_AT_ONCE, strict=False):
            questions = [Question(name, catalog.HERE, arguments) for name in part]
            self._connection.ask_together("looking for users", questions)
        for database in databases:
            if database.can_enter and self._sees_all_in(database.name, user_sid, other_sid):
                yield database, None
            elif own is None or database.name in own or not database.shows_who_enters:
                is_user, self._place = own is not None and database.name in own, ""
                yield database, database.why_closed(self.user, self.other, admin, is_user=is_user)
        self._place = ""

    def _databases_to_change(self, user_sid: bytes, other_sid: bytes) -> Iterator[str]:
        """Yield each database that a rotation would change now, entered."""
        for database, closed in self._databases(user_sid, other_sid):
            if not closed and not database.is_read_only and self._changes_here(self._users(user_sid, other_sid)):
                yield database.name
        self._go_back()

    def _sees_all_in(self, database: str, user_sid: bytes, other_sid: bytes) -> bool:
        """Enter a database, and tell whether the admin sees all users; raises if it is the secret's own."""
        is_own = normal_name(database) == normal_name(self._connection.database)
        try:
            self._enter(database)
        except (NotPermitted, StatementFailed):
            if is_own:
                raise
            return False
        self._place = f" in the database {database}"
        here = self._here(user_sid, other_sid)
        if is_own:
            if not here.sees_all:
                self._require_permissions("'DATABASE'", catalog.SEES_DATABASE[1:], f"the database {database}")
            return True
        # If the owner lets every login in as guest, the admin can see all users as well, and change nothing.
        return here.sees_all and (not here.is_guest or normal_name(database) in DATABASES_WITH_GUESTS)

    def _enter(self, database: str) -> None:
        self._place = ""
        self._connection.enter(database)

    def _go_back(self) -> None:
        self._enter(self._connection.database)


def _first_names(databases: list[str]) -> str:
    more = len(databases) - MOST_NAMED
    return ", ".join(databases[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
