"""Which accounts of one name are meant on a MariaDB server? See `rotation.engines.mysql.accounts`."""

from collections.abc import Iterable

from rotation.engines.mariadb import catalog
from rotation.engines.mariadb.methods import SOCKET, is_marked
from rotation.engines.mysql.accounts import MySQLAccounts
from rotation.engines.mysql.hashes import READABLE, matches
from rotation.engines.mysql.names import Account


class MariaDBAccounts(MySQLAccounts):
    """The accounts of a MariaDB server."""

    def marked(self, others: Iterable[Account], user: str) -> set[Account]:
        """Return those that take turns with `user`. One of the two carries the mark: it names the other one."""
        return {
            other
            for other in others
            if self._is_marked(other, user) or self._is_marked(Account(user, other.host), other.user)
        }

    def is_locked(self, account: Account) -> bool:
        """Tell whether the account is locked."""
        return bool(catalog.privileges(self._connection, account).get("account_locked"))

    def has_password(self, account: Account, password: str) -> bool:
        """Tell whether this password opens the account, as its hashes say."""
        methods = catalog.methods(self._connection, account)
        return any(matches(password, method.secret.encode(), method.plugin) for method in methods)

    def shows_passwords(self, account: Account) -> bool:
        """Tell whether the hashes of an account say which passwords open it."""
        return all(
            method.plugin in READABLE or method.plugin == SOCKET
            for method in catalog.methods(self._connection, account)
        )

    def _is_marked(self, account: Account, other: str) -> bool:
        is_there = account in self.named(account.user)
        return is_there and is_marked(catalog.methods(self._connection, account), other)
