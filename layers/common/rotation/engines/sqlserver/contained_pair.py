"""What makes two users of a contained database of SQL Server the same? See `pair`."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rotation.engine import Comparison, Unshared
from rotation.engines.driver import unread_password
from rotation.engines.sqlserver import catalog
from rotation.engines.sqlserver.admin import AdminsPart
from rotation.engines.sqlserver.comparing import ComparedPart, compared
from rotation.engines.sqlserver.connection import SQLServerConnection
from rotation.engines.sqlserver.kind import KIND
from rotation.engines.sqlserver.pair import Known, SQLServerPair, clone_sid, database_user
from rotation.engines.sqlserver.principals import Principal, changes, option_list
from rotation.engines.sqlserver.rights import binary, identifier, literal
from rotation.engines.sqlserver.triggers import require_no_triggers, unsafe_triggers
from rotation.engines.sqlserver.unshared import bound_by_predicates
from rotation.errors import NotPermitted, Unsafe

BOTH = 2
"""How many of a pair carry our mark, once it is made."""


class SQLServerContainedPair(SQLServerPair):
    """Two users of a contained database."""

    keyword = "USER"
    marked = catalog.MARKED_USERS

    def __init__(self, connection: SQLServerConnection, known: Known, user: str, other: str) -> None:
        """`user` is the one that AWSCURRENT names; both are users of the database that the session is in."""
        super().__init__(connection, known, user, other)
        self._place = f" in the database {connection.database}"

    def unshared(self) -> list[Unshared]:
        """Return what `other` can never have; see `SQLServerPair`. A contained user has nothing outside."""
        self._require_visibility()
        return bound_by_predicates(self._query, self._require(self.user), self.other, self._connection.database)

    def mirror(self) -> None:
        """Make `other` what `user` is; see `SQLServerPair`."""
        user = self._require(self.user)
        if self._is_mirrored(user):
            return
        require_no_triggers(self._connection, catalog.TRIGGERS, self.other, self._place)
        existed = self._find(self.other) is not None

        def prepare() -> None:
            found = self._find(self.other)
            # One that another invocation of this step has just created has the mark.
            is_ours = found and (existed or user.id in self._marks(user, found))
            other = self._require(self.other) if is_ours else self._create(user)
            self._mark(user, other)
            self._require_nothing_lost(*self._reader().read(user, other))
            self._change_until_equal(lambda as_ours: self._changes_left(as_ours=as_ours))

        self._connection.in_transaction(f"preparing {self.other}", prepare)

    def set_password(self, password: str) -> None:
        """Give `user` a password; see `SQLServerPair`."""
        self._require_visibility()
        user = self._user_to_alter()
        require_no_triggers(self._connection, catalog.TRIGGERS_OF_PASSWORDS, self.other, self._place)
        statement = f"ALTER USER {identifier(user.name)} WITH PASSWORD = {literal(password)}"
        self._run(f"setting the password of {self.user}", statement, remedy=self._grant_alter())

    def reset_password(self, password: str) -> None:
        """Give `user` a password; see `SQLServerPair`. Nothing about a contained user itself can block its login."""
        self.set_password(password)

    def compare(self) -> Comparison:
        """Compare the two; see `SQLServerPair`."""
        self._require_visibility()
        user, other = self._reader().read(*self._both())
        part = ComparedPart(self.user, self.other, user, other, self._connection.database)
        return compared([part], passing=[], unlock=[part.unlock()])

    def part_for_password(self) -> AdminsPart:
        """Say what the admin lacks; see `SQLServerPair`. What `_require_visibility` asks for is enough."""
        self._require_visibility()
        query = catalog.TRIGGERS_OF_PASSWORDS
        return AdminsPart(unsafe=unsafe_triggers(self._connection, query, self.other, self._place))

    def part_for_both(self) -> AdminsPart:
        """Say what the admin lacks; see `SQLServerPair`."""
        self._require_visibility()
        return self._part_here(self._connection.database, catalog.TRIGGERS)

    def _is_mirrored(self, user: Principal) -> bool:
        """Tell whether there is nothing to change, so that nothing needs a transaction."""
        other = self._find(self.other)
        return other is not None and len(self._marks(user, other)) == BOTH and not self._changes_left(as_ours=False)

    def _changes_left(self, *, as_ours: bool) -> list[str]:
        user, other = self._require(self.user), self._require(self.other)
        return changes(self.keyword, *self._reader().read(user, other), as_ours=as_ours)

    def _find(self, username: str) -> Principal | None:
        account = self._known.accounts.get(username)
        query = catalog.CONTAINED_USER_BY_SID if account else catalog.CONTAINED_USER
        rows = self._read(f"looking for {username}", query, (account.sid, account.database) if account else (username,))
        return _contained_user(rows[0]) if rows else None

    def _not_found(self) -> Unsafe:
        admin, database = self._connection.username, self._connection.database
        cause = (
            f"the account that logged in is a user of a contained database, and {admin} sees no such user in"
            f" {database}: a login of that name is somebody else"
        )
        remedy = f"GRANT VIEW DEFINITION TO {identifier(admin)}, in the database of the user"
        return Unsafe(f"looking for {self.user} as {admin}", cause, remedy)

    def _require_visibility(self) -> None:
        where = f"the database {self._connection.database}"
        self._require_permissions("'DATABASE'", catalog.SEES_DATABASE, where)

    def _grant_alter(self) -> str:
        return f"GRANT ALTER ANY USER TO {identifier(self._connection.username)}"

    def _create(self, user: Principal) -> Principal:
        """Create the clone, with a password that nobody reads: so nobody can log in."""
        sid, password = binary(clone_sid(user.sid)), literal(unread_password(KIND, self.other))
        options = f"PASSWORD = {password}, SID = {sid}, {option_list(user.options)}"
        self._run(f"creating {self.other}", f"CREATE USER {identifier(self.other)} WITH {options}")
        return self._require(self.other)


def is_contained(connection: SQLServerConnection, username: str) -> bool:
    """Tell whether this database has a contained user of this name; raises NotPermitted if the admin cannot see it."""
    operation = f"looking for {username} as {connection.username}"
    [(containment, sees_users, authentication)] = connection.ask(operation, catalog.AUTHENTICATION, (username,))
    if authentication == catalog.BY_DATABASE:
        return True
    if containment and not sees_users:
        admin, database = connection.username, connection.database
        cause = f"{database} is a contained database, and {admin} would not see {username} if it is a user there"
        raise NotPermitted(
            operation, cause, f"GRANT VIEW DEFINITION TO {identifier(admin)}, in the database {database}"
        )
    return False


def _contained_user(row: Sequence[Any]) -> Principal:
    *columns_of_any_user, language, database_id = row
    user = database_user(columns_of_any_user)
    options = {**user.options, "DEFAULT_LANGUAGE": identifier(language) if language else "NONE"}
    return replace(user, options=options, database_id=database_id)
