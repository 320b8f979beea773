"""How is an account of MySQL or MariaDB given rights on objects, some of which can be gone?"""

from dataclasses import field

from rotation.engines.driver import ExpectedError
from rotation.engines.mysql.connection import MySQLConnection
from rotation.engines.mysql.names import Account
from rotation.engines.mysql.problems import GONE
from rotation.engines.mysql.rights import Change, Right
from rotation.values import dataclass


@dataclass(frozen=True)
class Granting:
    """Gives another account the rights of an account, statement by statement."""

    connection: MySQLConnection
    account: Account
    other: Account
    kept: frozenset[Right] = frozenset()
    """The rights that the other account had before, and keeps."""
    gone: set[Right] = field(default_factory=set)
    """Gets the rights that could not be granted, because their object is gone."""

    def operation(self, change: Change) -> str:
        """Return what a change is for."""
        return f"giving {self.other} the grants of {self.account}, {change.what}"

    def allow(self, change: Change) -> str:
        """Return the remedy if the admin cannot make a change."""
        verb, holder = ("grant", self.account) if change.given else ("revoke", self.other)
        return (
            f"Let {self.connection.username} {verb} it (WITH GRANT OPTION, ROLE_ADMIN), or take it from {holder}:"
            f" {change.statement}"
        )

    def make(self, change: Change, gone: frozenset[int] = GONE) -> None:
        """Grant rights to the other account, or revoke them.

        Rights on an object that is gone stay where they are, because they cannot be granted. `gone` are the server's
        errors that mean this.
        """
        if self._was_made(change, gone if change.given else frozenset()):
            return
        one_by_one = change.single(self.other.quoted)
        for single in one_by_one:
            self.make(single, gone)
        if not one_by_one and not self._make_beside_create(change, gone):
            self.gone.update(change.given)

    def _make_beside_create(self, change: Change, gone: frozenset[int]) -> bool:
        """Grant rights on a table that does not exist, if the other account has CREATE there; False if it has not."""
        beside = change.beside_create(self.other.quoted, self.kept)
        return beside is not None and self._was_made(beside, gone)

    def _was_made(self, change: Change, gone: frozenset[int]) -> bool:
        """Run a statement; False if its object is gone."""
        try:
            self.connection.execute(self.operation(change), change.statement, self.allow(change), gone)
        except ExpectedError:
            return False
        return True
