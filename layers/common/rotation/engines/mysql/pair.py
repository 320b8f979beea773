"""What makes two accounts of MySQL or MariaDB the same, host by host?

An application's user may have several accounts, one for each host pattern, each with rights of its own. The other
user of an alternating pair has the same ones. Each statement is committed at once, so the order is one that may end
anywhere:

    mark  →  create the account locked and marked  →  attributes  →  rights taken, rights given  →  default roles
          →  (password)

The current user is the reference, in both directions: what it has, the other one gets; what it does not have, the
other one loses. Nothing but our mark is ever written to the current user.

The admin looks at nothing that is not the server's own. That an object is gone it learns from the answer to the GRANT.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence

from rotation.credential import Credential
from rotation.deadline import Deadline
from rotation.engines.mysql.accounts import AccountsSession
from rotation.engines.mysql.connection import Account, ExpectedError
from rotation.engines.mysql.rights import MOST, Change, Right, Sort, TooMany, Unreadable, changes, parse
from rotation.engines.mysql.wire import Connection
from rotation.errors import StatementFailed
from rotation.redaction import said

GONE = frozenset({1049, 1054, 1146, 1305})
"""ER_BAD_DB_ERROR, ER_BAD_FIELD_ERROR, ER_NO_SUCH_TABLE, ER_SP_DOES_NOT_EXIST."""

log = logging.getLogger(__name__)


class PairSession(AccountsSession, ABC):
    """A session that can make accounts alike; what differs between the servers is abstract."""

    def __init__(self, connection: Connection, credential: Credential, deadline: Deadline) -> None:
        super().__init__(connection, credential, deadline)
        self._mirrored: dict[str, list[Account]] = {}
        """The accounts that this session has mirrored onto and that are to be opened, by their name."""
        self.gone: set[Right] = set()
        """The rights that this session could not grant, because what they are for is gone."""

    def mirror(self, user: str, other: str) -> None:
        """Make `other` what `user` is, on every host that is meant; see `rotation.engine.Session`."""
        found = self.pairs(user, other)
        for account, _ in found.pairs:
            self.require_copiable(account)
        for account in found.alone:
            log.warning(said(f"{account} is left alone: the password that logged in as {user} does not open it"))
        for clone in found.left:
            self.execute(f"dropping {clone}, whose other is gone", f"DROP USER {self.account(clone)}")
        self.mark(user, other)
        self._mirrored[other] = []
        for account, clone in found.pairs:
            if clone in found.absent:
                self.create_locked(clone, account)
            self.copy_attributes(account, clone)
            self._copy_lock(account, clone)
            self._copy_rights(account, clone)
            self.copy_default_roles(account, clone)

    def differences(self, user: str, other: str) -> Sequence[str]:
        """Say in what the two differ, on any host that is meant; see `rotation.engine.Session`."""
        found = self.pairs(user, other)
        alone = sorted([*found.absent, *found.left])
        differences = [f"there is only one of {user} and {other} for the host {clone.host}" for clone in alone]
        for account, clone in found.pairs:
            if clone not in found.absent:
                differences += self.attribute_differences(account, clone) + self._right_differences(account, clone)
                if self.is_locked(account) and not self.is_locked(clone):
                    differences.append(f"{account} is locked, {clone} is not")
        return differences

    @abstractmethod
    def require_copiable(self, account: Account) -> None:
        """Raise Unsupported or NotPermitted where there can be no clone of this account."""

    @abstractmethod
    def mark(self, user: str, other: str) -> None:
        """Note at the accounts of the current user what our mark needs there."""

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

    @abstractmethod
    def grant_columns(self, grants: Sequence[Change], account: Account, clone: Account) -> None:
        """Have `change` grant rights on columns, so that nothing is evaluated that is in a view."""

    def proxies(self, account: Account) -> set[tuple[Account, bool]]:
        """Return the accounts that this one may act as, and whether it may pass that on.

        What an account has granted of itself is left out: any account may do that, and the admin may not undo it
        (https://dev.mysql.com/doc/refman/8.4/en/proxy-users.html).
        """
        query = "SELECT proxied_user, proxied_host, with_grant, grantor FROM mysql.proxies_priv"
        rows = self.execute(
            f"reading the proxies of {account}", f"{query} WHERE {self.matches('user', 'host', account)}"
        )
        return {
            (Account(user, host), bool(grantable))
            for user, host, grantable, grantor in rows
            if not user or grantor.rpartition("@")[0] != user
        }

    def rights(self, account: Account | None = None) -> frozenset[Right]:
        """Return what an account, or who is logged in, may do; raises StatementFailed where that cannot be read."""
        operation, name = f"reading the grants of {account or self.username}", "CURRENT_USER()"
        if account:
            name = self.account(account)
        rows = self.execute(operation, f"SHOW GRANTS FOR {name}", f"GRANT SELECT ON mysql.* TO {self.username}")
        try:
            return parse(row for (row,) in rows)
        except TooMany:
            cause = f"it has more than {MOST:,} rights"
            raise StatementFailed(
                operation, cause, "Grant whole databases or roles in place of tables and columns"
            ) from None
        except Unreadable:
            remedy = "Use the single-user strategy, and report the server's version"
            raise StatementFailed(operation, "a row of SHOW GRANTS is not in the known grammar", remedy) from None

    def accounts_to_open(self, username: str) -> list[Account]:
        """Return the accounts that are to get a password; raises StatementFailed where there is none."""
        accounts = self._mirrored[username] if username in self._mirrored else self.accounts(username)
        if not accounts:
            raise StatementFailed(
                f"setting the password of {username}", "there is no such user", "The rotation is tried again by itself"
            )
        return accounts

    def change(self, change: Change, account: Account, clone: Account, gone: frozenset[int] = GONE) -> None:
        """Give the clone rights, or take some from it.

        Rights on what is gone stay where they are, for nobody can copy them; `gone` is how the server says so.
        """
        operation, statement = f"giving {clone} the grants of {account}, {change.what}", change.statement
        remedy = f"Let {self.username} grant it (WITH GRANT OPTION, ROLE_ADMIN), or take it from {account}: {statement}"
        if not change.given:
            remedy = (
                f"Let {self.username} revoke it (WITH GRANT OPTION, ROLE_ADMIN), or take it from {clone}: {statement}"
            )
        try:
            self.execute(operation, statement, remedy, gone if change.given else frozenset())
        except ExpectedError:
            single = change.single(self.account(clone))
            for one in single:
                self.change(one, account, clone, gone)
            if not single:
                self.gone |= set(change.given)

    def _copy_lock(self, account: Account, clone: Account) -> None:
        """Lock the clone where the account is locked, so that no other account lets the same host in."""
        if self.is_locked(account):
            self._lock_account(clone)
        else:
            self._mirrored[clone.user].append(clone)

    def _lock_account(self, clone: Account) -> None:
        if not self.is_locked(clone):
            self.execute(f"locking {clone}", f"ALTER USER {self.account(clone)} ACCOUNT LOCK")

    def _copy_rights(self, account: Account, clone: Account) -> None:
        wanted, present = self._grants(account), self._grants(clone)
        if any(right.sort is Sort.RESTRICTION for right in wanted - present):
            self._lock_account(clone)  # it is going to have too much for an instant
        on_columns = []
        for change in changes(present, wanted, self.account(clone)):
            if change.is_for_columns:
                on_columns.append(change)
            else:
                self.change(change, account, clone)
        if on_columns:
            self.grant_columns(on_columns, account, clone)
        self._copy_proxies(account, clone)

    def _copy_proxies(self, account: Account, clone: Account) -> None:
        wanted, present = self.proxies(account), self.proxies(clone)
        remedy = f"GRANT PROXY ON ''@'' TO {self.username} WITH GRANT OPTION, or take the proxy from {account}"
        operation = f"giving {clone} the proxies of {account}"
        for proxied, _ in sorted(present - wanted):
            self.execute(operation, f"REVOKE PROXY ON {self.account(proxied)} FROM {self.account(clone)}", remedy)
        for proxied, grantable in sorted(wanted - present):
            option = " WITH GRANT OPTION" if grantable else ""
            self.execute(operation, f"GRANT PROXY ON {self.account(proxied)} TO {self.account(clone)}{option}", remedy)

    def _right_differences(self, account: Account, clone: Account) -> list[str]:
        wanted, present = self._grants(account), self._grants(clone)
        proxies, others = self.proxies(account), self.proxies(clone)
        return [
            *(f"{clone} lacks {right}" for right in sorted(wanted - present - self.gone)),
            *(f"{clone} has {right}, {account} has not" for right in sorted(present - wanted)),
            *(f"{clone} lacks the proxy {proxied}" for proxied, _ in sorted(proxies - others)),
            *(f"{clone} has the proxy {proxied}, {account} has not" for proxied, _ in sorted(others - proxies)),
        ]

    def _grants(self, account: Account) -> frozenset[Right]:
        return frozenset(right for right in self.rights(account) if right.sort is not Sort.DEFAULT_ROLE)
