"""Which accounts of one name are meant? A user of MySQL or MariaDB has an account for each pattern of hosts.

Accounts of one name can belong to different people. A password distinguishes them: what is meant is the account that
logged in, and each other account of its name that the same password opens, as the hashes say. All others belong to
someone else, and are left alone. With one exception: an account of the name that is locked keeps its hosts out on
purpose, so it has a locked clone, which keeps the same hosts out. Otherwise the clone would let them in.
"""

from collections.abc import Collection, Iterable, Sequence

from rotation.engine import Proof
from rotation.engines.driver import ADMIN_HOST
from rotation.engines.mysql import catalog
from rotation.engines.mysql.connection import MySQLConnection
from rotation.engines.mysql.definition import has_password, nonces
from rotation.engines.mysql.hashes import READABLE
from rotation.engines.mysql.names import Account
from rotation.errors import RETRIED, NotPermitted, StatementFailed, Unsafe
from rotation.kind import CLONE_SUFFIX
from rotation.values import dataclass

UNKNOWN_OWNER = (
    "was not created by this rotation, and no version of the secret has its password: it may belong to someone else"
)

MOST_ACCOUNTS = 20
"""Of so many accounts of one name the hashes are computed, a few hundredths of a second each."""


@dataclass(frozen=True)
class AccountPairs:
    """The accounts of the two users of a pair."""

    pairs: Sequence[tuple[Account, Account]]
    """Each account of the user that is meant, and the other user's account for the same hosts."""
    absent: Collection[Account]
    """The accounts of the other user that do not exist yet."""
    left: Sequence[Account]
    """The other user's accounts of ours that have no account of the user any more."""
    foreign: Sequence[Account]
    """The accounts of the user's name that are not meant."""
    ours: Collection[Account]
    """All accounts of the two that belong to the pair, whichever of the two is the current one."""


class MySQLAccounts:
    """The accounts of the server that a connection, an admin's, is logged in to."""

    def __init__(self, connection: MySQLConnection) -> None:
        self._connection = connection
        self._proofs: dict[str, Proof] = {}
        self._only: dict[str, list[Account]] = {}
        """The account that logged in, of the names that had no other one."""
        self._mirrored: dict[str, list[Account]] = {}

    def require_proven(self, proof: Proof) -> None:
        """Bind a name to an account that logged in; see `rotation.engine.Session`."""
        accounts = self.named(proof.username)
        if not any(self._logged_in(account, proof) for account in accounts):
            raise Unsafe(
                f"looking for {proof.principal or proof.username}, which logged in, as {self._connection.username}",
                "the server that the admin is logged in to has no such account",
                ADMIN_HOST,
            )
        self._proofs[proof.username] = proof
        self._only[proof.username] = accounts if len(accounts) == 1 else []

    def is_proven(self, username: str) -> bool:
        """Tell whether an account of this name logged in."""
        return username in self._proofs

    def only(self, username: str) -> Sequence[Account]:
        """Return the account of this name that logged in, if it was the only one then; asks nothing."""
        return self._only.get(username, [])

    def proof_of(self, username: str) -> Proof | None:
        """Return the proof that an account of this name logged in, if there is one."""
        return self._proofs.get(username)

    def accepted(self, username: str, passwords: Sequence[str]) -> Sequence[str] | None:
        """Return those of the passwords that open an account of this name; None if the hashes do not say it."""
        try:
            with self._connection.answers.kept():
                accounts = self.named(username)
                if len(accounts) > MOST_ACCOUNTS or not all(map(self.shows_passwords, accounts)):
                    return None
                return [one for one in passwords if any(self.has_password(account, one) for account in accounts)]
        except NotPermitted:
            return None

    def shows_passwords(self, account: Account) -> bool:
        """Tell whether the hashes of an account say which passwords open it."""
        return catalog.row(self._connection, account)["plugin"] in READABLE

    def named(self, username: str) -> list[Account]:
        """Return all accounts of a user name."""
        return catalog.accounts(self._connection, username)

    def meant(self, username: str) -> list[Account]:
        """Return the accounts of a user name that are meant: all of them, if nobody has logged in as one."""
        return [account for account in self.named(username) if not self.is_proven(username) or self._is_ours(account)]

    def begin_mirror(self, username: str) -> None:
        """From now on, `to_open` returns the accounts of this name that `add_mirrored` adds."""
        self._mirrored[username] = []

    def add_mirrored(self, account: Account) -> None:
        """Add an account that `set_password` is to open."""
        self._mirrored[account.user].append(account)

    def to_open(self, username: str) -> list[Account]:
        """Return the accounts that are to get a password; raises StatementFailed if there is none."""
        accounts = self._mirrored[username] if username in self._mirrored else self.meant(username)
        if not accounts:
            operation = f"setting the password of {username}"
            cause = "there is no such user, or somebody has locked the user with which it takes turns"
            raise StatementFailed(operation, cause, RETRIED)
        return accounts

    def pairs(self, user: str, other: str) -> AccountPairs:
        """Return which accounts belong together; raises Unsafe if one of them can belong to someone else."""
        accounts, others = self.meant(user), self.named(other)
        known = self.marked(others, user) | set(filter(self._is_ours, others))
        foreign = [account for account in self.named(user) if account not in accounts]
        unknown = set(others) - known
        locked = [a for a in foreign if Account(other, a.host) not in unknown and self.is_locked(a)]
        pairs = [(account, Account(other, account.host)) for account in [*accounts, *locked]]
        wanted = {paired for _, paired in pairs}
        _require_known(unknown & wanted, user, other)
        _require_no_obstacle(unknown - wanted, user, {account.host for account in foreign})
        return AccountPairs(
            pairs,
            absent=wanted - set(others),
            left=[account for account in others if account in known - wanted],
            foreign=[account for account in foreign if account not in locked],
            ours={*accounts, *self.marked(self.named(user), other), *known},
        )

    def marked(self, others: Iterable[Account], user: str) -> set[Account]:
        """Return those that take turns with `user`, as only an admin can have written it on the server."""
        found = {other: nonces(catalog.row(self._connection, other)) for other in others}
        accounts = self.meant(user) if found else []
        wanted = {nonce for account in accounts for nonce in nonces(catalog.row(self._connection, account))}
        return {other for other, carried in found.items() if carried & wanted}

    def is_locked(self, account: Account) -> bool:
        """Tell whether the account is locked."""
        return bool(catalog.row(self._connection, account)["account_locked"] == "Y")

    def has_password(self, account: Account, password: str) -> bool:
        """Tell whether this password opens the account, as its hashes say."""
        return has_password(catalog.row(self._connection, account), password)

    def _is_ours(self, account: Account) -> bool:
        """Tell whether this account logged in, or would with the same password."""
        proof = self._proofs.get(account.user)
        if not proof:
            return False
        return self._logged_in(account, proof) or self.has_password(account, proof.password)

    def _logged_in(self, account: Account, proof: Proof) -> bool:
        """Tell whether it is this account that logged in.

        If its password has expired, the server does not say which account it is: it is one that the password opens.
        """
        return str(account) == proof.principal if proof.principal else self.has_password(account, proof.password)


def _require_known(unknown: set[Account], user: str, other: str) -> None:
    for account in sorted(unknown):
        raise Unsafe(
            f"preparing {other}, which takes turns with {user}",
            f"{account} {UNKNOWN_OWNER}",
            f"Rename or drop {account}, or use the single-user strategy",
        )


def _require_no_obstacle(unknown: set[Account], user: str, hosts: set[str]) -> None:
    """Require that no account of the clone's name keeps out hosts from which the user logs in.

    If someone else has an account of the user's name for those hosts, that account keeps them out already.
    """
    for account in sorted(unknown):
        if account.user.endswith(CLONE_SUFFIX) and account.host not in hosts:
            raise Unsafe(
                f"looking for the account that {account} takes turns with",
                f"there is no {user}@{account.host}, and {account} {UNKNOWN_OWNER}. It would keep hosts out from which"
                f" {user} can log in",
                f"Drop {account}, or create {user}@{account.host}",
            )
