"""What makes two accounts of MySQL or MariaDB the same, host by host?

An application's user may have several accounts, one for each host pattern, each with rights of its own. The other
user of an alternating pair has the same ones. Each statement is committed at once, so the order is one that may end
anywhere:

    create the account locked and marked  →  attributes  →  rights taken, rights given  →  default roles  →  (password)

The current user is the reference, in both directions: what it has, the other one gets; what it does not have, the
other one loses. Nothing is ever written to the current user.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from rotation.engine import Standing
from rotation.engines.mysql_rights import Right, Sort, Unreadable, parse, statements
from rotation.engines.mysql_session import Account, MySQLFamilySession
from rotation.errors import StatementFailed, Unsafe


class PairSession(MySQLFamilySession, ABC):
    """A session that can make accounts alike; what differs between the servers is abstract."""

    def standing(self, user: str, other: str) -> Standing:
        """Tell what is known about the pair; see `rotation.engine.Session`."""
        accounts, others = self.accounts(user), self.accounts(other)
        if not accounts:
            raise Unsafe(
                f"looking for {user}",
                f"there is no user {user} on the admin's server",
                "Correct the host of the admin secret",
            )
        if not others:
            return Standing.ABSENT
        ours = all(self.is_marked(account, user) for account in others) or any(
            self.is_marked(account, other) for account in accounts
        )
        return Standing.OURS if ours else Standing.UNKNOWN

    def mirror(self, user: str, other: str) -> None:
        """Make `other` what `user` is, on every host; see `rotation.engine.Session`."""
        accounts, others = self.accounts(user), self.accounts(other)
        for account in accounts:
            clone = Account(other, account.host)
            if clone not in others:
                self.create_locked(clone, account)
            self.copy_attributes(account, clone)
            self._copy_rights(account, clone)
            self.copy_default_roles(account, clone)
        for left in set(others) - {Account(other, account.host) for account in accounts}:
            self.execute(f"dropping {left}, because there is no {user}@{left.host}", f"DROP USER {self.account(left)}")

    def differences(self, user: str, other: str) -> Sequence[str]:
        """Say in what the two differ, on any host; see `rotation.engine.Session`."""
        accounts, others = self.accounts(user), self.accounts(other)
        hosts = {account.host for account in accounts} ^ {account.host for account in others}
        differences = [f"there is only one of {user} and {other} for the host {host}" for host in sorted(hosts)]
        for account in accounts:
            if account.host not in hosts:
                clone = Account(other, account.host)
                differences += self.attribute_differences(account, clone) + self._right_differences(account, clone)
        return differences

    @abstractmethod
    def is_marked(self, account: Account, partner: str) -> bool:
        """Tell whether the account carries our mark, as the one that takes turns with `partner`."""

    @abstractmethod
    def create_locked(self, clone: Account, account: Account) -> None:
        """Create the clone of an account: marked, and unable to log in."""

    @abstractmethod
    def copy_attributes(self, account: Account, clone: Account) -> None:
        """Give the clone what an account has besides rights and its password, and the mark."""

    @abstractmethod
    def copy_default_roles(self, account: Account, clone: Account) -> None:
        """Give the clone the default roles of the account."""

    @abstractmethod
    def attribute_differences(self, account: Account, clone: Account) -> list[str]:
        """Say in which attributes and default roles the two differ."""

    def proxies(self, account: Account) -> set[tuple[Account, bool]]:
        """Return the accounts that this one may act as, and whether it may pass that on."""
        query = "SELECT proxied_user, proxied_host, with_grant FROM mysql.proxies_priv"
        rows = self.execute(
            f"reading the proxies of {account}", f"{query} WHERE {self.matches('user', 'host', account)}"
        )
        return {(Account(user, host), bool(grantable)) for user, host, grantable in rows}

    def rights(self, account: Account) -> frozenset[Right]:
        """Return what the account may do; raises StatementFailed where the server's answer cannot be read."""
        doing = f"reading the grants of {account}"
        rows = self.execute(
            doing, f"SHOW GRANTS FOR {self.account(account)}", f"GRANT SELECT ON mysql.* TO {self.username}"
        )
        try:
            return parse(row for (row,) in rows)
        except Unreadable:
            remedy = "Use the single-user strategy, and report the server's version"
            raise StatementFailed(doing, "a row of SHOW GRANTS is not in the known grammar", remedy) from None

    def _copy_rights(self, account: Account, clone: Account) -> None:
        wanted, present = self._grants(account), self._grants(clone)
        for statement in statements(present, wanted, self.account(clone)):
            doing = f"giving {clone} the grants of {account}"
            remedy = (
                f"Let {self.username} grant it (WITH GRANT OPTION, ROLE_ADMIN), or take it from {account}: {statement}"
            )
            self.execute(doing, statement, remedy)
        self._copy_proxies(account, clone)

    def _copy_proxies(self, account: Account, clone: Account) -> None:
        wanted, present = self.proxies(account), self.proxies(clone)
        remedy = f"GRANT PROXY ON ''@'' TO {self.username} WITH GRANT OPTION, or take the proxy from {account}"
        doing = f"giving {clone} the proxies of {account}"
        for proxied, _ in sorted(present - wanted):
            self.execute(doing, f"REVOKE PROXY ON {self.account(proxied)} FROM {self.account(clone)}", remedy)
        for proxied, grantable in sorted(wanted - present):
            option = " WITH GRANT OPTION" if grantable else ""
            self.execute(doing, f"GRANT PROXY ON {self.account(proxied)} TO {self.account(clone)}{option}", remedy)

    def _right_differences(self, account: Account, clone: Account) -> list[str]:
        wanted, present = self._grants(account), self._grants(clone)
        proxies, others = self.proxies(account), self.proxies(clone)
        return [
            *(f"{clone} lacks {right}" for right in sorted(wanted - present)),
            *(f"{clone} has {right}, {account} has not" for right in sorted(present - wanted)),
            *(f"{clone} lacks the proxy {proxied}" for proxied, _ in sorted(proxies - others)),
            *(f"{clone} has the proxy {proxied}, {account} has not" for proxied, _ in sorted(others - proxies)),
        ]

    def _grants(self, account: Account) -> frozenset[Right]:
        """Return the rights on things that exist: a dropped table keeps its grants, and nobody can copy them."""
        rights = (right for right in self.rights(account) if right.sort is not Sort.DEFAULT_ROLE)
        return frozenset(right for right in rights if self._exists(right))

    def _exists(self, right: Right) -> bool:
        if right.sort is not Sort.PRIVILEGE or not right.item.startswith("`") or right.item.endswith("`.*"):
            return True
        schema, table = (name.replace("``", "`") for name in _names(right.item))
        found = self.execute(
            f"looking for {right.item}",
            "SELECT 1 FROM information_schema.tables"  # noqa: S608 - quoted
            f" WHERE table_schema = {self.text(schema)} AND table_name = {self.text(table)}",
        )
        return bool(found) or right.name == "CREATE"


def _names(item: str) -> tuple[str, str]:
    """Return the two names of "`schema`.`table`"."""
    schema, _, table = item[1:-1].partition("`.`")
    return schema, table
