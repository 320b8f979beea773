"""What makes two users of a contained database of SQL Server the same? See `sqlserver_pair`."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rotation.engines.sqlserver import catalog
from rotation.engines.sqlserver.pair import Connection, Pair, clone_sid, unread_password, user_of
from rotation.engines.sqlserver.principals import Principal, changes, listed, owned_alone
from rotation.engines.sqlserver.rights import binary, name, text
from rotation.errors import NotPermitted, Unsafe


class ContainedPair(Pair):
    """Two users of a contained database."""

    kind = "USER"
    marked = catalog.MARKED_USERS

    def __init__(self, connection: Connection, user: str, other: str) -> None:
        """`user` is the one that AWSCURRENT names; they are of the database that the session is in."""
        super().__init__(connection, user, other)
        self._place = f" in the database {connection.database}"

    def mirror(self) -> None:
        """Make the other one what the current one is; see `Pair`."""
        user = self._require(self.user)
        self._require_no_triggers()
        with self._connection.transaction(f"preparing {self.other}"):
            other = self._require(self.other) if self._find(self.other) else self._create(user)
            self._mark(user, other)
            self._change(changes(self.kind, *self._reader().read(user, other)))

    def set_password(self, password: str) -> None:
        """Give the current one a password; see `Pair`."""
        self._require_permissions("'DATABASE'", catalog.SEES_DATABASE, "GRANT {permissions} TO {admin}")
        user = self._to_alter()
        self._require_no_triggers(catalog.TRIGGERS_OF_PASSWORDS)
        statement = f"ALTER USER {name(user.name)} WITH PASSWORD = {text(password)}"
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
        user, other = self._reader().read(user, other)
        owned = [f"{self.other} owns {thing}, {self.user} does not" for thing in owned_alone(user, other)]
        return [*self._differing(changes(self.kind, user, other)), *owned]

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
        options = f"PASSWORD = {password}, SID = {sid}, {listed(user.options)}"
        self._run(f"creating {self.other}", f"CREATE USER {name(self.other)} WITH {options}")
        return self._require(self.other)


def is_contained(connection: Connection, username: str) -> bool:
    """Tell whether a name is that of a contained user of this database; raises NotPermitted if that cannot be seen."""
    operation = f"looking for {username} as {connection.username}"
    [(containment, sees_users, authentication)] = connection.execute(operation, catalog.KIND, (username,))
    if authentication == catalog.BY_DATABASE:
        return True
    if containment and not sees_users:
        cause = f"{connection.database} is a contained database, and {username} may be a user of it that cannot be seen"
        remedy = f"Let the admin see its users (there: GRANT VIEW DEFINITION TO {name(connection.username)})"
        raise NotPermitted(operation, cause, remedy)
    return False


def _contained_user(row: Sequence[Any]) -> Principal:
    *of_any_user, language, here = row
    user = user_of(of_any_user)
    options = {**user.options, "DEFAULT_LANGUAGE": name(language) if language else "NONE"}
    return replace(user, options=options, let_in_by=here)
