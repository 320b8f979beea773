"""Of which roles is the clone a member by itself, and how does its original become one?

The same holds as for rights (`rotation.engines.postgresql.rights`): what an operator gave is handed over, or the
rotation is refused; what a stranger gave, who may pass a role on, is handed over if that can be, or else left.
"""

import logging
from dataclasses import dataclass

from psycopg2 import sql
from psycopg2.sql import SQL, Identifier

from rotation.engines.postgresql import catalog
from rotation.engines.postgresql.connection import Connection
from rotation.engines.postgresql.rights import INHERIT_AND_SET, Couple, administering, named, truth
from rotation.redaction import said

FAILURES = 3
"""After so many, no other membership that a stranger gave is tried: each can cost the time of waiting for a lock."""

log = logging.getLogger(__name__)


class Memberships:
    """Those that the clone has, and its original has not."""

    def __init__(self, connection: Connection, couple: Couple) -> None:
        """Look at them; all databases share them."""
        self._connection = connection
        self._couple = couple

    def differences(self) -> list[str]:
        """Say of what the clone alone is a member, and not what strangers made it one of."""
        clone, original = self._couple.clone, self._couple.original
        return [f"{clone} is a member of {one}, {original} is not" for one in self._uncovered() if one.by_operator]

    def hand_over(self) -> None:
        """Have the original be a member for both, with the same options. Raises NotPermitted."""
        if not (uncovered := self._uncovered()):
            return
        with self._connection.briefly(f"handing over what {self._couple.clone} is a member of"):
            self._pass_on(uncovered)
        if any(not one.by_operator for one in uncovered) and (left := self._uncovered()):
            log.warning(said(f"{self._couple.clone} is left a member of what strangers made it one of: {named(left)}"))

    def _pass_on(self, uncovered: "list[Membership]") -> None:
        failures = 0
        for one in uncovered:
            operation = f"handing over to {self._couple.original} that {self._couple.clone} is a member of {one}"
            if one.by_operator:
                for statement in self._passing_on(one):
                    self._connection.execute(operation, statement, remedy=administering(self._connection, one.role))
            elif failures < FAILURES:
                failures += not all(
                    self._connection.attempt(operation, [statement]) for statement in self._passing_on(one)
                )

    def _passing_on(self, one: "Membership") -> list[sql.Composable]:
        """Return what makes the original a member if the clone is current, and the clone none."""
        role, explicit = Identifier(one.role), self._connection.server_version >= INHERIT_AND_SET
        by = SQL(" GRANTED BY {}").format(Identifier(one.grantor)) if explicit else SQL("")
        revoke = SQL("REVOKE {} FROM {}").format(role, Identifier(self._couple.clone)) + by
        if not self._couple.clone_is_current:
            return [revoke]
        grant = SQL("GRANT {} TO {}").format(role, Identifier(self._couple.original))
        return [grant + SQL(one.options() if explicit else one.admin_option()), revoke]

    def _uncovered(self) -> "list[Membership]":
        is_explicit = self._connection.server_version >= INHERIT_AND_SET
        query = catalog.MEMBERSHIPS.format(**catalog.FROM_16 if is_explicit else catalog.BEFORE_16)
        rows = self._connection.execute("reading the memberships", query, self._couple.oids)
        return [Membership(*row) for row in rows]


@dataclass(frozen=True)
class Membership:
    """A row of catalog.MEMBERSHIPS."""

    role: str
    admin: bool
    inherits: bool
    sets: bool
    grantor: str
    by_operator: bool
    has_admin: bool | None
    """Whether the original is a member that may pass it on; None if it is no member."""
    has_inherits: bool | None
    has_sets: bool | None

    def __str__(self) -> str:
        return self.role

    def options(self) -> str:
        """Return the options that it has, besides those that the original has (version 16 and later)."""
        admin, inherits, sets = (
            truth(new or bool(old))
            for new, old in (
                (self.admin, self.has_admin),
                (self.inherits, self.has_inherits),
                (self.sets, self.has_sets),
            )
        )
        return f" WITH ADMIN {admin}, INHERIT {inherits}, SET {sets}"

    def admin_option(self) -> str:
        """Return the only option that earlier versions know."""
        return " WITH ADMIN OPTION" if self.admin else ""
