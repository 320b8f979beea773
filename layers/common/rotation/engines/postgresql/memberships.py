"""Of which roles is the clone a member by itself, and how does its original become one?

The same holds as for rights (`rotation.engines.postgresql.holdings`). What an operator gave is handed over, or the
rotation is refused. What a stranger gave, who can grant a role to others, is handed over if possible, and left if not.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from psycopg2.sql import SQL, Composable, Identifier

from rotation.engines.postgresql import catalog
from rotation.engines.postgresql.admin import admin_option
from rotation.engines.postgresql.connection import PostgreSQLConnection
from rotation.engines.postgresql.rights import boolean
from rotation.engines.postgresql.roles import PairRoles, listed
from rotation.redaction import said

MOST_FAILURES = 3
"""After so many, no other membership that a stranger gave is tried: each can take as long as waiting for a lock."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Membership:
    """A membership that the clone has, and the original lacks: a row of catalog.EXTRA_MEMBERSHIPS."""

    role: str
    admin: bool
    inherits: bool
    sets: bool
    grantor: str
    by_operator: bool
    original_admin: bool | None
    """Whether the original's own membership has the ADMIN option; None if the original is no member."""
    original_inherits: bool | None
    original_sets: bool | None

    def __str__(self) -> str:
        return self.role

    def handing_over(self, roles: PairRoles, *, has_options: bool) -> list[Composable]:
        """Return the statements that end the clone's membership, and begin the original's if the clone is current."""
        role = Identifier(self.role)
        by = SQL(" GRANTED BY {}").format(Identifier(self.grantor)) if has_options else SQL("")
        revoke = SQL("REVOKE {} FROM {}").format(role, Identifier(roles.clone)) + by
        if not roles.clone_is_current:
            return [revoke]
        grant = SQL("GRANT {} TO {}").format(role, Identifier(roles.original))
        return [grant + SQL(self._options() if has_options else self._admin_option()), revoke]

    def _options(self) -> str:
        """Return its options together with those that the original has (version 16 and later)."""
        admin, inherits, sets = (
            boolean(clones or bool(originals))
            for clones, originals in (
                (self.admin, self.original_admin),
                (self.inherits, self.original_inherits),
                (self.sets, self.original_sets),
            )
        )
        return f" WITH ADMIN {admin}, INHERIT {inherits}, SET {sets}"

    def _admin_option(self) -> str:
        """Return the only option of earlier versions."""
        return " WITH ADMIN OPTION" if self.admin else ""


class PostgreSQLMemberships:
    """The memberships that the clone has, and its original lacks; all databases share them."""

    def __init__(self, connection: PostgreSQLConnection, roles: PairRoles) -> None:
        """Take the pair."""
        self._connection = connection
        self._roles = roles

    def differences(self) -> list[str]:
        """Return the roles of which the clone alone is a member, except for those that strangers gave it."""
        clone, original = self._roles.clone, self._roles.original
        return [f"{clone} is a member of {one}, {original} is not" for one in self._extra() if one.by_operator]

    def hand_over(self) -> None:
        """Make the original a member, for both, with the same options. Raises NotPermitted."""
        if not (extra := self._extra()):
            return
        with self._connection.short_lock_timeout(f"handing over what {self._roles.clone} is a member of"):
            self._hand_over_from_operators([one for one in extra if one.by_operator])
            self._hand_over_from_strangers([one for one in extra if not one.by_operator])
        if any(not one.by_operator for one in extra) and (left := self._extra()):
            log.warning(said(f"{self._roles.clone} stays a member of roles that strangers gave it: {listed(left)}"))

    def _hand_over_from_operators(self, memberships: Sequence[Membership]) -> None:
        for one in memberships:
            remedy = admin_option(self._connection.username, one.role)
            for statement in self._statements(one):
                self._connection.execute(self._operation(one), statement, remedy=remedy)

    def _hand_over_from_strangers(self, memberships: Sequence[Membership]) -> None:
        failures = 0
        for one in memberships:
            if failures < MOST_FAILURES:
                failures += not all(
                    self._connection.attempt(self._operation(one), [statement]) for statement in self._statements(one)
                )

    def _operation(self, one: Membership) -> str:
        return f"handing over to {self._roles.original} that {self._roles.clone} is a member of {one}"

    def _statements(self, one: Membership) -> list[Composable]:
        return one.handing_over(self._roles, has_options=self._connection.memberships_have_options)

    def _extra(self) -> list[Membership]:
        options = catalog.FROM_16 if self._connection.memberships_have_options else catalog.BEFORE_16
        query = catalog.EXTRA_MEMBERSHIPS.format(**options)
        rows = self._connection.execute("reading the memberships", query, self._roles.oids)
        return [Membership(*row) for row in rows]
