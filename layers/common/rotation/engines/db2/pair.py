"""What makes two Db2 users a pair, and how does one get the rights of the other in a database?

A clone is marked by a group, `rotates_` and the name of the user that it takes turns with. Users have no comment. Roles
have one, but only a SECADM can create roles, and nobody is SECADM on RDS. RDS creates a group with its first member. So
the call that creates a user also marks it, in all databases of the server. Only the master user can add a user to a
group. Each user of a pair has its own mark, and only the mark of `other` counts: a user that was dropped and created
again has none.
"""

import logging
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from rotation.engine import CloneStatus, Comparison
from rotation.engines.db2.access import read_access
from rotation.engines.db2.by_rds import call
from rotation.engines.db2.comparison import Db2Comparison, Side
from rotation.engines.db2.connection import NOTHING_TO_REVOKE, UNKNOWN_NAME, Db2Connection
from rotation.engines.db2.dependents import lost
from rotation.engines.db2.kind import KIND, NAME, granted, normal_name
from rotation.engines.db2.rights import (
    COUNTS,
    VIEWS,
    Change,
    Rights,
    Unreadable,
    View,
    changes,
    joined,
    read,
)
from rotation.engines.db2.users import Db2Users
from rotation.engines.driver import ExpectedError, unread_password
from rotation.errors import RETRIED, NotPermitted, RightsDiffer, StatementFailed, Unsupported
from rotation.redaction import said

logger = logging.getLogger(__name__)

MARK: Final = "rotates_"

GROUPS: Final = 'SELECT T."GROUP" FROM TABLE(SYSPROC.AUTH_LIST_GROUPS_FOR_AUTHID(CAST(? AS VARCHAR(128)))) AS T'

MOST_DATABASES: Final = 10
"""How many databases a warning names at most."""

MIRROR_ROUNDS: Final = 3
"""How often rights are compared and changed. More than once, because a grant of CONTROL brings other rights with it."""

DEADLOCK: Final = re.compile(r"SQL0911N .*\b[Rr]eason code\W+2\b")
"""The server rolled a transaction back to end a deadlock. Reason 68 is a lock that was waited for too long."""


class Db2Pair:
    """Two users that take turns, seen in one database."""

    def __init__(
        self, connection: Db2Connection, connect_to_users: Callable[[], Db2Users], user: str, other: str
    ) -> None:
        """Take the connection to the database, and what returns the users of its server."""
        self._connection = connection
        self._connect_to_users = connect_to_users
        self.user = user
        self.other = other

    def clone_status(self) -> CloneStatus:
        """Tell what the server knows about the other user; raises Unsafe if the user does not exist."""
        self._require_names()
        users = self._connect_to_users()
        users.require(self.user, f"looking for {self.user}")
        if not users.exists(self.other):
            return CloneStatus.ABSENT
        return CloneStatus.OURS if self._is_marked(self.other, self.user) else CloneStatus.UNKNOWN

    def mirror(self) -> None:
        """Give the other user the groups and rights of the user; create it if it does not exist.

        Changes of users and groups come first, because they cannot be rolled back. Then the rights change in one
        transaction, except those that only RDS can grant.
        """
        self._require_names()
        users = self._connect_to_users()
        self._warn_of_other_databases(users)
        needed = self.needed_changes()
        self.require_nothing_lost(needed)
        self._mirror_groups(users)
        for left in reversed(range(MIRROR_ROUNDS)):
            if not needed:
                break
            try:
                self._mirror_rights(users, needed)
            except StatementFailed as error:
                # The same step, delivered twice: one of the two was rolled back, and begins anew.
                if not left or not DEADLOCK.search(error.cause):
                    raise
            needed = self.needed_changes()

    def compare(self) -> Comparison:
        """Compare the two; raises RightsDiffer if one of them is gone."""
        operation = f"comparing {self.other} with {self.user}"
        users = self._connect_to_users()
        for name in (self.user, self.other):
            if not users.exists(name):
                raise RightsDiffer(operation, f"there is no user {name}", f"Create {name}. {RETRIED}")
        user_rights, other_rights = self._rights()
        return Db2Comparison(
            Side(self.user, self._groups(self.user, self.other), user_rights),
            Side(self.other, self._groups(self.other, self.user), other_rights),
            self._database,
            lambda: read_access(self._connection, operation, remedy_to_read(self._connection)),
        ).result()

    def _require_names(self) -> None:
        for name in (self.user, self.other):
            if not NAME.fullmatch(name):
                cause = f"{name!r} is not made of letters, digits and _, or does not begin with a letter"
                remedy = "Use another name, or the single-user strategy"
                raise Unsupported(f"looking at {self.user} and {self.other}", cause, remedy)

    def other_databases(self, users: Db2Users) -> str:
        """Return the names of the databases that this session does not enter; empty if there are none.

        Each can run a procedure at the connect, with the rights of the admin.
        """
        names = users.other_databases(self._database)
        return said(", ".join(names[:MOST_DATABASES]) + (", …" if len(names) > MOST_DATABASES else ""))

    def _warn_of_other_databases(self, users: Db2Users) -> None:
        if names := self.other_databases(users):
            logger.warning(
                said(
                    f"{self.other} gets rights in {self._database} only. The server has other databases: {names}."
                    f" If {self.user} has rights in one of them, grant them to {self.other} by hand"
                )
            )

    # Groups

    def _mirror_groups(self, users: Db2Users) -> None:
        # Db2 shows names of groups in upper case. The operating system keeps them in lower case.
        user, other = self.user, self.other
        user_groups = {name.lower() for name in self._groups(user, other)}
        mark = (MARK + user).lower()
        if not self._is_marked(user, other):
            self._add_groups(users, user, [(MARK + other).lower()])
        if not users.exists(other):
            users.add(
                other, unread_password(KIND, other), [mark, *sorted(user_groups)], lambda: self._is_created(users)
            )
            return
        other_groups = {name.lower() for name in self._groups(other, user)}
        missing = sorted(user_groups - other_groups) + ([] if self._is_marked(other, user) else [mark])
        if missing:
            self._add_groups(users, other, missing)
        if surplus := sorted(other_groups - user_groups):
            gone = frozenset(map(normal_name, surplus))
            users.remove_groups(other, surplus, lambda: not gone & self._memberships(other))

    def _add_groups(self, users: Db2Users, username: str, groups: Sequence[str]) -> None:
        wanted = frozenset(map(normal_name, groups))
        users.add_groups(username, groups, lambda: wanted <= self._memberships(username))

    def _is_created(self, users: Db2Users) -> bool:
        """Tell whether the other user exists and is ours: a user that somebody else has created has no mark."""
        return users.exists(self.other) and self._is_marked(self.other, self.user)

    def _groups(self, username: str, counterpart: str) -> frozenset[str]:
        """Return the groups that both are to be in: not the marks, nor groups with the name of one of the two."""
        names = [username, counterpart, MARK + username, MARK + counterpart]
        return self._memberships(username) - set(map(normal_name, names))

    def _is_marked(self, username: str, counterpart: str) -> bool:
        return normal_name(MARK + counterpart) in self._memberships(username)

    def _memberships(self, username: str) -> frozenset[str]:
        operation = f"reading the groups of {username}"
        rows = self._connection.ask(operation, GROUPS, (normal_name(username),), remedy_to_read(self._connection))
        return frozenset(row["GROUP"] for row in rows)

    # Rights

    def _rights(self) -> tuple[Rights, Rights]:
        """Return the rights of user and other in this database."""
        parts = [part for view in self._views() if (part := self._rights_in(view))]
        return joined(user for user, _ in parts), joined(other for _, other in parts)

    def _views(self) -> Sequence[View]:
        """Return all views but those without any row of the two; all, if this version of Db2 has not all of them.

        If constants are CHAR (DB2_COMPATIBILITY_VECTOR), the names come filled up with blanks
        (https://www.ibm.com/docs/en/db2/11.5.x?topic=oracle-implicit-casting-character-graphic-constants).
        """
        parameters = (normal_name(self.user), normal_name(self.other)) * len(VIEWS)
        remedy, expected = remedy_to_read(self._connection), frozenset({UNKNOWN_NAME})
        operation = f"looking where {self.user} and {self.other} have rights"
        try:
            rows = self._connection.ask(operation, COUNTS, parameters, remedy, expected)
        except ExpectedError:
            return VIEWS
        empty = {row["KIND"].strip() for row in rows if not row["AMOUNT"]}
        return [view for view in VIEWS if view.name not in empty]

    def _rights_in(self, view: View) -> tuple[Rights, Rights] | None:
        """Return the rights that a view shows, or None if this version of Db2 has no such view: then no such right."""
        operation = f"reading the rights of {self.user} and {self.other}"
        user, other = normal_name(self.user), normal_name(self.other)
        remedy, expected = remedy_to_read(self._connection), frozenset({UNKNOWN_NAME})
        try:
            rows = self._connection.ask(operation, view.query, (user, other), remedy, expected)
            return read(view, rows, user), read(view, rows, other)
        except ExpectedError:
            return None
        except Unreadable as error:
            cause = f"{error} is a right that is not known to this program"
            raise StatementFailed(operation, cause, "Use the single-user strategy, and report the right") from None

    def needed_changes(self) -> list[Change]:
        """Return what gives the other user the rights of the user, none if they are equal. Changes nothing."""
        return list(changes(*self._rights(), normal_name(self.other)))

    def require_nothing_lost(self, needed: Sequence[Change]) -> None:
        """Raise Unsupported if a view or trigger of the other user would become inoperative. Changes nothing."""
        if all(change.grants for change in needed):
            return
        remedy, (_, other_rights) = remedy_to_read(self._connection), self._rights()
        if found := lost(self._connection, self.other, other_rights, needed, remedy):
            raise Unsupported(
                f"revoking from {self.other} what {self.user} does not have",
                said(f"{self.other} owns {', '.join(found)}, which would become inoperative"),
                said(f"TRANSFER OWNERSHIP OF {found[0]} TO USER … PRESERVE PRIVILEGES, to one who has these rights")
                + "; or DROP it",
            )

    def _mirror_rights(self, users: Db2Users, needed: Sequence[Change]) -> None:
        """Make these changes. Raises NotPermitted."""
        refused: list[tuple[Change, NotPermitted]] = []
        for change in needed:
            try:
                self._change(change)
            except NotPermitted as error:
                refused.append((change, error))
        # RDS has a session of its own, which must not wait for the locks of this one.
        self._connection.commit()
        for change, refusal in refused:
            if not self._change_by_procedure(users, change):
                raise refusal from None

    def _change(self, change: Change) -> None:
        # The same step, delivered twice, can have revoked the right since we read it. To grant it twice is no error.
        gone = frozenset[int]() if change.grants else frozenset({NOTHING_TO_REVOKE})
        with suppress(ExpectedError):
            self._connection.execute(self._operation, change.statement, (), self._remedy_to_change(change), gone)

    @property
    def _operation(self) -> str:
        return f"giving {self.other} the rights of {self.user}"

    def _remedy_to_change(self, change: Change) -> str:
        holder = self.user if change.grants else self.other
        return f"Run this as a user who may: {change.statement}. Or revoke the right from {holder}"

    def _change_by_procedure(self, users: Db2Users, change: Change) -> bool:
        """Change by a procedure of RDS what its master user may not change; return False if there is none for it."""
        procedure = call(change, self._database)
        if not procedure:
            return False
        try:
            users.run(self._operation, procedure.procedure, *procedure.arguments)
        except StatementFailed:
            if change in self.needed_changes():
                raise
        return True

    @property
    def _database(self) -> str:
        return str(self._connection.credential.database).upper()


def remedy_to_read(connection: Db2Connection) -> str:
    """Return the remedy for a user that may not read the catalog."""
    user = granted(connection.username)
    return f"GRANT DBADM ON DATABASE TO USER {user}, or put the master user of RDS into the admin secret"
