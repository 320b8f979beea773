"""In what do the two users of a pair differ, account by account? Pure: see `rotation.engine.Comparison`."""

from collections.abc import Collection, Iterator, Mapping, Sequence

from rotation.engine import Comparison, Difference, state
from rotation.engines.mysql.accounts import AccountPairs
from rotation.engines.mysql.differences import AccountDifferences, AccountState
from rotation.engines.mysql.names import Account
from rotation.engines.mysql.rights import Right
from rotation.values import dataclass


@dataclass(frozen=True)
class AccountsCompared:
    """The accounts of the two users of a pair, as the server has them."""

    user: str
    other: str
    found: AccountPairs
    states: Mapping[Account, AccountState]
    """Of all these accounts that exist."""
    gone: frozenset[Right]

    def comparison(self) -> Comparison:
        """Return the comparison of the two users."""
        return Comparison(
            differences=[*self._alone(), *self._differences()],
            user_state=self._state(self.user),
            other_state=self._state(self.other),
            unlock=self._unlock(),
            passing=set(self._passing()),
        )

    def _alone(self) -> Iterator[Difference]:
        """Yield a difference for each host for which only one of the two has an account."""
        for other in sorted([*self.found.absent, *self.found.left]):
            account = Account(self.user, other.host)
            in_words = (_creating(other), _dropping(account))
            if other in self.states:
                in_words = (_dropping(other), _creating(account))
            what = f"there is only one of {self.user} and {self.other} for the host {other.host}"
            yield Difference(what, *in_words)

    def _differences(self) -> Iterator[Difference]:
        for account, other in self.found.pairs:
            if other in self.states:
                yield from AccountDifferences(self.states[account], self.states[other], self.gone)

    def _passing(self) -> Iterator[str]:
        """Yield what can differ on the way: also all that an account lacks that is about to be created."""
        locked: list[str] = []
        for account, other in self.found.pairs:
            user_state = self.states[account]
            compared = AccountDifferences(user_state, self.states.get(other, type(user_state)(other)))
            yield from compared.passing()
            if other not in self.states:
                yield from (difference.what for difference in compared)
            if (other not in self.states or compared.locks) and not user_state.is_locked:
                locked.append(other.quoted)
                yield _unlocking(locked)

    def _state(self, name: str) -> str:
        """Return what stands for the accounts of a name that belong to the pair, whichever of the two is current."""
        accounts = [account for account in self.found.ours if account.user == name]
        return state(thing for one in accounts for thing in self.states[one].things(is_locked=self._stays_locked(one)))

    def _stays_locked(self, account: Account) -> bool:
        """Tell whether an account is locked, and is not one that the rotation has locked and will unlock."""
        users = {other: user for user, other in self.found.pairs}
        return all(self.states[one].is_locked for one in (account, users.get(account, account)))

    def _unlock(self) -> str | None:
        locked = [
            other.quoted
            for account, other in self.found.pairs
            if other in self.states and self.states[other].is_locked and not self.states[account].is_locked
        ]
        return _unlocking(locked) if locked else None


def _unlocking(accounts: Sequence[str]) -> str:
    return f"ALTER USER {', '.join(accounts)} ACCOUNT UNLOCK"


def missing_users(names: Collection[str], found: AccountPairs) -> list[str]:
    """Return which of these users have no account that belongs to the pair."""
    return [name for name in names if name not in {account.user for account in found.ours}]


def _creating(account: Account) -> str:
    return (
        f"create {account} with CREATE USER {account.quoted}, and with the password of {account.user} in the newest"
        " version of the secret that has one"
    )


def _dropping(account: Account) -> str:
    return f"drop {account} with DROP USER {account.quoted}, if nobody needs it"
