"""Which of the accounts of one name are meant? A user of MySQL or MariaDB has an account for each pattern of hosts.

Accounts of one name can be different people's. A password tells them apart: the account that logged in is meant, and
each other one of its name that the same password opens, as the hashes say. All others are somebody else's, and are
left alone. So that they keep nobody out that the user's own account lets in, there is one exception: an account of the
name that is locked keeps a host out on purpose, and so has a locked clone.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rotation.credential import Credential
from rotation.deadline import Deadline
from rotation.engine import CloneStatus, Proof
from rotation.engines.mysql.connection import Account, MySQLFamilySession
from rotation.engines.mysql.wire import Connection
from rotation.errors import Unsafe
from rotation.kind import CLONE_SUFFIX


@dataclass(frozen=True)
class Pairs:
    """The accounts of a user and of its clone."""

    pairs: Sequence[tuple[Account, Account]]
    """Each account that is meant, and what is or will be its clone."""
    absent: frozenset[Account]
    """The clones that are not there."""
    left: Sequence[Account]
    """The clones of ours whose other one is gone."""
    alone: Sequence[Account]
    """The accounts of the user's name that are not meant."""


class AccountsSession(MySQLFamilySession, ABC):
    """A session that knows which accounts of a name are meant; what differs between the servers is abstract."""

    def __init__(self, connection: Connection, credential: Credential, deadline: Deadline) -> None:
        super().__init__(connection, credential, deadline)
        self._proofs: dict[str, Proof] = {}

    def require_proven(self, proof: Proof) -> None:
        """Bind this session to an account that logged in; see `rotation.engine.Session`."""
        if proof.principal not in map(str, self.every_account(proof.username)):
            raise Unsafe(
                f"looking for {proof.principal}, which logged in, as {self.username}",
                "the server that the admin is logged in to has no such account",
                "Correct the host of the admin secret: it must be the one server that also lets the user in",
            )
        self._proofs[proof.username] = proof

    def accounts(self, username: str) -> list[Account]:
        """Return the accounts of a user name that are meant: all of them, where nobody has logged in as one."""
        return [account for account in self.every_account(username) if self._is_meant(account)]

    def clone_status(self, user: str, other: str) -> CloneStatus:
        """Tell what is known about the pair; see `rotation.engine.Session`."""
        accounts = self.accounts(user)
        if not accounts:
            raise Unsafe(
                f"looking for {user}",
                f"there is no user {user} on the admin's server",
                "Correct the host of the admin secret",
            )
        clones = {Account(other, account.host) for account in accounts} & set(self.every_account(other))
        if not clones:
            return CloneStatus.ABSENT
        return CloneStatus.OURS if self.marked(clones, user) == clones else CloneStatus.UNKNOWN

    def pairs(self, user: str, other: str) -> Pairs:
        """Return which accounts belong together; raises Unsafe where one of them would be another's."""
        accounts, others = self.accounts(user), self.every_account(other)
        known = self.marked(others, user) | set(filter(self._is_proven, others))
        foreign = [account for account in self.every_account(user) if account not in accounts]
        strange = set(others) - known
        twins = [a for a in foreign if Account(other, a.host) not in strange and self.is_locked(a)]
        pairs = [(account, Account(other, account.host)) for account in [*accounts, *twins]]
        clones = {clone for _, clone in pairs}
        _require_known(strange & clones, user, other)
        _require_out_of_the_way(strange - clones, user, {account.host for account in foreign})
        return Pairs(
            pairs,
            absent=frozenset(clones - set(others)),
            left=[account for account in others if account in known - clones],
            alone=[account for account in foreign if account not in twins],
        )

    @abstractmethod
    def marked(self, clones: Iterable[Account], user: str) -> set[Account]:
        """Return those that take turns with `user`, as nobody but an admin can have noted on the server."""

    @abstractmethod
    def is_locked(self, account: Account) -> bool:
        """Tell whether the account is locked."""

    @abstractmethod
    def has_password(self, account: Account, password: str) -> bool:
        """Tell whether the hashes of the account say that this password opens it."""

    def _is_meant(self, account: Account) -> bool:
        return account.user not in self._proofs or self._is_proven(account)

    def _is_proven(self, account: Account) -> bool:
        """Tell whether this account logged in, or would with the same password."""
        proof = self._proofs.get(account.user)
        if not proof:
            return False
        return str(account) == proof.principal or self.has_password(account, proof.password)


def _require_known(strange: set[Account], user: str, other: str) -> None:
    for account in sorted(strange):
        raise Unsafe(
            f"preparing {other}, with which {user} takes turns",
            f"{account} exists, has no mark of ours, and the secret holds no password of it: it may be another's",
            f"Rename or drop {account}, or use the single-user strategy",
        )


def _require_out_of_the_way(strange: set[Account], user: str, hosts: set[str]) -> None:
    """Let no account of the clone's name keep out a host from which the user logs in.

    Where the user's name has another's account for those hosts, too, it is that one which keeps the host out already.
    """
    for account in sorted(strange):
        if account.user.endswith(CLONE_SUFFIX) and account.host not in hosts:
            raise Unsafe(
                f"looking for the other of {account}",
                f"there is no {user}@{account.host}, and {account} has no mark of ours: it may be another's, and would"
                f" keep hosts out that let {user} in",
                f"Drop {account}, or create {user}@{account.host}",
            )
