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
from contextlib import suppress

from rotation.credential import Credential
from rotation.deadline import Deadline
from rotation.engine import Standing
from rotation.engines.mysql_rights import Right, Sort, Unreadable, parse, statements
from rotation.engines.mysql_session import Account, Connection, MySQLFamilySession, Refusal
from rotation.errors import NotPermitted, StatementFailed, Unsafe

GONE = frozenset({1049, 1054, 1146, 1305})
"""ER_BAD_DB_ERROR, ER_BAD_FIELD_ERROR, ER_NO_SUCH_TABLE, ER_SP_DOES_NOT_EXIST."""
NO_ROUTINE = frozenset({1305})


class PairSession(MySQLFamilySession, ABC):
    """A session that can make accounts alike; what differs between the servers is abstract."""

    def __init__(self, connection: Connection, credential: Credential, deadline: Deadline) -> None:
        super().__init__(connection, credential, deadline)
        self._kept_locked: set[Account] = set()
        """The clones, met by this session, of accounts that are locked."""

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
            self.require_copiable(account)
        for left in set(others) - {Account(other, account.host) for account in accounts}:
            self._drop(left, user)
        for account in accounts:
            clone = Account(other, account.host)
            if clone not in others:
                self.create_locked(clone, account)
            self.copy_attributes(account, clone)
            self._copy_lock(account, clone)
            self._copy_rights(account, clone)
            self.copy_default_roles(account, clone)

    def differences(self, user: str, other: str) -> Sequence[str]:
        """Say in what the two differ, on any host; see `rotation.engine.Session`."""
        accounts, others = self.accounts(user), self.accounts(other)
        hosts = {account.host for account in accounts} ^ {account.host for account in others}
        differences = [f"there is only one of {user} and {other} for the host {host}" for host in sorted(hosts)]
        for account in accounts:
            if account.host not in hosts:
                clone = Account(other, account.host)
                differences += self.attribute_differences(account, clone) + self._right_differences(account, clone)
                if self.is_locked(account) and not self.is_locked(clone):
                    differences.append(f"{account} is locked, {clone} is not")
        return differences

    @abstractmethod
    def is_marked(self, account: Account, partner: str) -> bool:
        """Tell whether the account carries our mark, as the one that takes turns with `partner`."""

    @abstractmethod
    def is_locked(self, account: Account) -> bool:
        """Tell whether the account is locked."""

    @abstractmethod
    def require_copiable(self, account: Account) -> None:
        """Raise Unsupported or NotPermitted where there can be no clone of this account."""

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

    def accounts_to_open(self, username: str) -> list[Account]:
        """Return the accounts that are to get a password; raises StatementFailed where there is none."""
        accounts = [account for account in self.accounts(username) if account not in self._kept_locked]
        if not accounts:
            raise StatementFailed(
                f"setting the password of {username}", "there is no such user", "The rotation is tried again by itself"
            )
        return accounts

    def _drop(self, account: Account, user: str) -> None:
        """Drop an account on a host that the user has no longer, where it is ours."""
        doing = f"looking for the other of {account}"
        if not self.is_marked(account, user):
            cause = f"there is no {user}@{account.host}, and {account} has no mark of ours: it may be another's"
            raise Unsafe(doing, cause, f"Drop {account}, or create {user}@{account.host}")
        self.execute(f"dropping {account}, whose other is gone", f"DROP USER {self.account(account)}")

    def _copy_lock(self, account: Account, clone: Account) -> None:
        """Lock the clone where the account is locked, so that no other account lets the same host in."""
        if self.is_locked(account):
            self._lock_account(clone)
            self._kept_locked.add(clone)

    def _lock_account(self, clone: Account) -> None:
        if not self.is_locked(clone):
            self.execute(f"locking {clone}", f"ALTER USER {self.account(clone)} ACCOUNT LOCK")

    def _copy_rights(self, account: Account, clone: Account) -> None:
        present = self._grants(clone)
        # A routine is not looked for: the server does not tell a user that may not see it from one that is gone.
        wanted = frozenset(
            right for right in self._grants(account) if right in present or right.is_for_routine or self._exists(right)
        )
        if any(right.sort is Sort.RESTRICTION for right in wanted - present):
            self._lock_account(clone)  # it is going to have too much for an instant
        for statement in statements(present, wanted, self.account(clone)):
            remedy = f"Let {self.username} grant it (WITH GRANT OPTION, ROLE_ADMIN), or take it from {account}"
            if statement.startswith("REVOKE"):
                remedy = f"Let {self.username} revoke it (WITH GRANT OPTION, ROLE_ADMIN), or take it from {clone}"
            with suppress(Refusal):
                self.execute(f"giving {clone} the grants of {account}", statement, f"{remedy}: {statement}", NO_ROUTINE)
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
            *(f"{clone} lacks {right}" for right in sorted(wanted - present) if self._exists(right)),
            *(f"{clone} has {right}, {account} has not" for right in sorted(present - wanted)),
            *(f"{clone} lacks the proxy {proxied}" for proxied, _ in sorted(proxies - others)),
            *(f"{clone} has the proxy {proxied}, {account} has not" for proxied, _ in sorted(others - proxies)),
        ]

    def _grants(self, account: Account) -> frozenset[Right]:
        return frozenset(right for right in self.rights(account) if right.sort is not Sort.DEFAULT_ROLE)

    def _exists(self, right: Right) -> bool:
        """Tell whether the server does not say that what the right is for is gone."""
        try:
            if probe := right.probe():
                self.execute(f"looking for {right.item}", probe, tell=GONE)
        except Refusal:
            return False
        except (NotPermitted, StatementFailed):  # it is there, or it is not ours to know
            return True
        return True
