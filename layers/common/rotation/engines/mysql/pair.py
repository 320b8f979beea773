"""What makes two users of MySQL or MariaDB the same, account by account?

A user of an application can have several accounts, one for each host pattern, each with its own rights. The other user
of an alternating pair has the same ones. Each statement is committed at once, so the order is one that can be
interrupted anywhere:

    mark  →  create the account, locked and marked  →  attributes  →  rights revoked, rights granted  →  default roles
          →  (password)

The current user is the reference, in both directions: the other one gets what it has, and loses what it does not have.
Nothing but our mark is ever written to the current user.

The mark of a pair of MySQL is a random number, a nonce, that both accounts carry in their attributes. Any user may
write anything into the attributes of its own account, together with a new password, so a mark on one of the two proves
nothing. The same number is on both only if an admin wrote it there, or someone who holds both.

The admin reads nothing but the server's own tables. It learns from the answer to a GRANT that an object is gone.
"""

import itertools
import logging
import secrets
from collections.abc import Collection, Sequence
from contextlib import suppress

from rotation.engine import CloneStatus, Comparison, Unshared
from rotation.engines.driver import ADMIN_HOST
from rotation.engines.mysql import catalog, wider
from rotation.engines.mysql.accounts import AccountPairs, MySQLAccounts
from rotation.engines.mysql.comparison import AccountsCompared, missing_users
from rotation.engines.mysql.connection import MAY_CREATE, MySQLConnection
from rotation.engines.mysql.definers import MOST_NAMED, Definers
from rotation.engines.mysql.definition import (
    MARK,
    attribute_clause,
    attributes,
    nonces,
    notes,
    option_clause,
    options,
    patch,
    unprinted_restrictions,
)
from rotation.engines.mysql.differences import MAY_GRANT, AccountState
from rotation.engines.mysql.granting import Granting
from rotation.engines.mysql.locks import take_turn
from rotation.engines.mysql.names import Account, identifier, literal
from rotation.engines.mysql.problems import BROKEN_VIEW, GONE
from rotation.engines.mysql.rights import GLOBAL, GRANT_OPTION, Change, Right, RightKind, cannot_grant, changes
from rotation.engines.mysql.two_passwords import PLUGINS
from rotation.errors import RETRIED, NotPermitted, RightsDiffer, Unsafe, Unsupported
from rotation.redaction import said

EVERYTHING = frozenset({"SELECT", "EXECUTE"})
"""A user with these on *.* may use what is in any view."""

ALTERNATING = (8, 0, 22)
"""The first version with which two users can take turns. ATTRIBUTE came with 8.0.21. From 8.0.22 on statements are
prepared once, and preparing one calls no stored function, so none is called when columns of a view are granted
(https://dev.mysql.com/doc/relnotes/mysql/8.0/en/news-8-0-22.html)."""

SPLIT = (8, 2)
"""The first version in which SET_USER_ID is two rights."""

SYSTEM_USER = "SYSTEM_USER"

log = logging.getLogger(__name__)


class MySQLPair:
    """Two users who take turns."""

    definers_type: type[Definers] = Definers
    state_type: type[AccountState] = AccountState

    def __init__(self, connection: MySQLConnection, accounts: MySQLAccounts, user: str, other: str) -> None:
        self.user = user
        self.other = other
        self._connection = connection
        self._accounts = accounts
        self._definers = self.definers_type(connection)
        self._nonce = secrets.token_hex(16)
        """The pair's; replaced as soon as `_mark` has found one."""
        self._gone: set[Right] = set()
        """The rights that could not be granted, because their object is gone."""
        self._is_compared = False
        """Whether the two were compared, and nobody has asked for `mirror` since."""

    def clone_status(self) -> CloneStatus:
        """Tell what is known about the other one; see `rotation.engine.Session`.

        From here to the end of the session, no other invocation changes one of the two.
        """
        is_first = not {self.user, self.other} <= self._connection.turn
        self._take_turn(f"looking for {self.other}, which takes turns with {self.user}")
        self._connection.answers.forget()
        if is_first:  # what takes its time comes before the two are read, and they need not be read again after it
            with suppress(NotPermitted):  # `unshared` says it
                self._definers.objects(self._accounts.only(self.user))
        return self.status()

    def status(self) -> CloneStatus:
        """Tell what is known about the other one, and keep nobody out."""
        accounts = self._accounts.meant(self.user)
        if not accounts:
            cause = f"there is no user {self.user} on the admin's server"
            raise Unsafe(f"looking for {self.user}", cause, ADMIN_HOST)
        others = {Account(self.other, account.host) for account in accounts} & set(self._accounts.named(self.other))
        if not others:
            return CloneStatus.ABSENT
        return CloneStatus.OURS if self._accounts.marked(others, self.user) == others else CloneStatus.UNKNOWN

    def unshared(self) -> Sequence[Unshared]:
        """Return what the other one cannot have; see `rotation.engine.Session`."""
        objects = self._definers.unshared(self._accounts.meant(self.user), self.other)
        lent = wider.unshared(self._connection, self._accounts, self.user, self.other, self._by_roles)
        return [*objects, *lent]

    def mirror(self) -> None:
        """Make the other one what the user is, on every host that is meant; see `rotation.engine.Session`.

        From here to the end of the session, no other invocation changes one of the two.
        """
        self._take_turn(f"preparing {self.other}, which takes turns with {self.user}")
        self._is_compared = False
        found = self.require_possible()
        for account in found.foreign:
            log.warning(said(f"{account} is left alone: the password that logged in as {self.user} does not open it"))
        for left in found.left:
            self._connection.execute(_dropping(left, Account(self.user, left.host)), f"DROP USER {left.quoted}")
        self._mark()
        self._accounts.begin_mirror(self.other)
        for account, other in found.pairs:
            if other in found.absent:
                self._create_locked(account, other)
            self._copy_attributes(account, other)
            self._copy_lock(account, other)
            self._copy_rights(account, other)
            self._copy_default_roles(account, other)
        if self._gone:
            listed = ", ".join(map(str, sorted(self._gone)[:MOST_NAMED]))
            log.warning(said(f"{self.other} lacks {listed}: it is gone. Grant it again once it is there"))

    def require_possible(self) -> AccountPairs:
        """Return the accounts that `mirror` changes; raise what ends it before it changes anything."""
        found = self._accounts.pairs(self.user, self.other)
        for account, _ in found.pairs:
            self._require_copiable(account)
        self._require_creatable(found.absent)
        for left in found.left:
            self._require_droppable(left)
        for account, other in found.pairs:
            self._require_grantable(account, other, is_absent=other in found.absent)
        return found

    def lacked(self, account: Account, other: Account, *, is_absent: bool) -> list[Change]:
        """Return what the other account lacks, and the admin's own rights say that it cannot grant."""
        other_rights = frozenset[Right]() if is_absent else self._rights(other)
        planned = [one for one in changes(other_rights, self._rights(account), other.quoted) if one.given]
        own = catalog.rights(self._connection) if planned else frozenset()
        return [one for one in planned if any(cannot_grant(own, right) for right in one.given)]

    def compare(self) -> Comparison:
        """Compare the two, on all hosts that are meant; see `rotation.engine.Session`.

        From here to the end of the session, no other invocation changes one of the two.
        """
        operation = f"comparing the rights of {self.other} with those of {self.user}"
        self._take_turn(operation)
        answers = self._connection.answers
        if self._is_compared:  # who compares again wants to know what others have changed
            answers.forget()
        self._is_compared = True
        comparison = answers.once((self, MySQLPair.compare), lambda: self._comparison(operation))
        if comparison.differences or comparison.unlock:
            answers.forget()
        return comparison

    def _take_turn(self, operation: str) -> None:
        take_turn(self._connection, [self.user, self.other], operation)

    def _comparison(self, operation: str) -> Comparison:
        found = self._accounts.pairs(self.user, self.other)
        for name in missing_users([self.user, self.other], found):
            raise RightsDiffer(operation, f"there is no user {name} any more", f"Create {name}. {RETRIED}")
        needed = {*found.ours, *itertools.chain(*found.pairs)} - {*found.absent}
        states = {account: self._state(account) for account in sorted(needed)}
        return AccountsCompared(self.user, self.other, found, states, frozenset(self._gone)).comparison()

    # What MariaDB does in another way

    def _require_copiable(self, account: Account) -> None:
        """Raise Unsupported or NotPermitted if this account can have no other one.

        An admin without SYSTEM_USER could never change an account that has it.
        """
        operation = f"preparing {self.other} for {account}"
        if self._connection.version() < ALTERNATING:
            cause = "MySQL before 8.0.22 cannot do it safely"
            raise Unsupported(operation, cause, "Use the single-user strategy")
        if (plugin := catalog.row(self._connection, account)["plugin"]) not in PLUGINS:
            cause = f"{account} logs in with {plugin}, not with a password that we can set"
            raise Unsupported(operation, cause, f"Use one of {', '.join(sorted(PLUGINS))}, or drop that account")
        if SYSTEM_USER in self._right_names(account) and SYSTEM_USER not in self._right_names():
            cause = f"{account} has SYSTEM_USER, {self._connection.username} does not"
            remedy = f"Revoke SYSTEM_USER from {account}, or {self._connection.needs('SYSTEM_USER ON *.*')}"
            raise NotPermitted(operation, cause, remedy)

    def _require_creatable(self, absent: Collection[Account]) -> None:
        """Raise Unsupported if the server refuses to create one of these accounts, because objects name it.

        A dump of the other user's turn, or an account that was dropped, leaves them behind.
        """
        objects = self._definers.objects(absent)
        if not objects:
            return
        right = "ALLOW_NONEXISTENT_DEFINER" if self._connection.version() >= SPLIT else "SET_USER_ID"
        if right not in self._right_names():
            listed = "; ".join(map(str, objects))
            raise Unsupported(
                f"preparing {self.other}, which takes turns with {self.user}",
                f"{listed}: their definer is {self.other}, so the server creates no such account",
                f"Give them another definer, or {self._connection.needs(f'{right} ON *.*')}",
            )

    def _borrowers(self, account: Account) -> list[Account]:
        """Return the accounts that may act as this one, or have it as a role."""
        return catalog.proxy_users(self._connection, account) + catalog.role_users(self._connection, account)

    def _mark(self) -> None:
        """Write our mark to the accounts of the user. It comes first: the next try takes the nonce that is there."""
        carried = {
            account: nonces(catalog.row(self._connection, account)) for account in self._accounts.meant(self.user)
        }
        self._nonce = min(set().union(*carried.values()), default=self._nonce)
        for account, its in carried.items():
            if self._nonce not in its:
                statement = f"ALTER USER {account.quoted} {attribute_clause(self._mark_attributes())}"
                operation = f"marking {account}, with which {self.other} takes turns"
                self._connection.execute(operation, statement, self._connection.needs(MAY_CREATE))

    def _create_locked(self, account: Account, other: Account) -> None:
        """Create the other account: marked, and unable to log in.

        A policy can refuse a user without a password, so the server gives it one that nobody reads.
        """
        plugin = literal(catalog.row(self._connection, account)["plugin"])
        password = f"IDENTIFIED WITH {plugin} BY RANDOM PASSWORD"
        mark = attribute_clause(self._mark_attributes())
        statement = f"CREATE USER {other.quoted} {password} ACCOUNT LOCK {mark}"
        self._connection.execute(f"creating {other}, locked", statement, self._connection.needs(MAY_CREATE))

    def _copy_attributes(self, account: Account, other: Account) -> None:
        """Give the other account the mark, and all besides rights and password.

        A plugin is changed together with the password, because the server does not change it alone.
        """
        user_row, other_row = catalog.row(self._connection, account), catalog.row(self._connection, other)
        changed = patch(notes(user_row), notes(other_row))
        if self._nonce not in nonces(other_row):
            changed |= self._mark_attributes()
        clauses = []
        if changed:  # the mark is among them: from here on nothing needs the password that ends below
            clauses.append(attribute_clause(changed))
        if user_row["plugin"] != other_row["plugin"]:
            clauses.append(f"IDENTIFIED WITH {literal(user_row['plugin'])} BY RANDOM PASSWORD")
        if options(user_row) != options(other_row):
            clauses.append(option_clause(options(user_row)))
        if "additional_password" in attributes(other_row):
            clauses.append("DISCARD OLD PASSWORD")
        for clause in clauses:
            operation = f"giving {other} the attributes of {account}"
            self._connection.execute(operation, f"ALTER USER {other.quoted} {clause}")

    def _grant_columns(self, grants: Sequence[Change], granting: Granting) -> None:
        """Grant rights on columns, so that nothing in a view is evaluated.

        The server opens a view to find its columns, and calls nothing that is in it.
        """
        own = {right.name for right in catalog.rights(self._connection) if right.item == GLOBAL}
        gone = GONE | {BROKEN_VIEW} if own >= EVERYTHING else GONE
        for change in grants:
            granting.make(change, gone)

    def _state(self, account: Account) -> AccountState:
        """Return all of an account that is copied."""
        row = catalog.row(self._connection, account)
        return AccountState(
            account,
            options=options(row),
            plugin=row["plugin"],
            notes=notes(row),
            rights=self._rights(account),
            proxies=dict(catalog.proxies(self._connection, account)),
            default_roles=self._default_roles(account),
            is_locked=row["account_locked"] == "Y",
        )

    def _default_roles(self, account: Account) -> list[str]:
        """Return the roles that are active at login, as SHOW GRANTS prints them."""
        return [role.as_role for role in catalog.default_roles(self._connection, account)]

    def _by_roles(self, account: Account) -> frozenset[Right] | None:
        """Return which rights an account has by roles at login, besides rights by accounts of others; None: no others.

        If a role is active, the server looks for the rights of this one account, and of the role.
        """
        return None if catalog.has_active_role(self._connection, account) else frozenset()

    def _unprinted(self, account: Account) -> frozenset[Right]:
        """Return what SHOW GRANTS does not list of an account."""
        databases = unprinted_restrictions(catalog.row(self._connection, account))
        places = [f"{identifier(database)}.*" for database in databases]
        return frozenset(Right(RightKind.RESTRICTION, GRANT_OPTION, place) for place in places)

    # What MySQL and MariaDB do alike

    def _require_droppable(self, left: Account) -> None:
        """Raise Unsupported if others work with the rights of an account that is about to be dropped."""
        objects, users = self._definers.objects([left]), self._borrowers(left)
        if objects or users:
            listed = "; ".join(map(str, [*objects, *users]))
            twin = Account(self.user, left.host)
            raise Unsupported(
                _dropping(left, twin),
                f"its rights are still used, by {listed}",
                f"Give the objects another definer, and revoke proxy and role; or CREATE USER {twin.quoted}",
            )

    def _require_grantable(self, account: Account, other: Account, *, is_absent: bool) -> None:
        """Raise NotPermitted if the admin's own rights say that it cannot grant what the other account lacks."""
        for change in self.lacked(account, other, is_absent=is_absent):
            cause = f"{self._connection.username} has no right to grant it"
            granting = Granting(self._connection, account, other)
            raise NotPermitted(granting.operation(change), cause, granting.allow(change))
        present = {} if is_absent else dict(catalog.proxies(self._connection, other))
        wanted = dict(catalog.proxies(self._connection, account))
        if wanted.items() - present.items() and not catalog.may_grant_proxies(self._connection):
            operation = f"giving {other} the proxies of {account}"
            cause = f"{self._connection.username} has no right to grant them"
            raise NotPermitted(operation, cause, self._allow_proxies(account))

    def _allow_proxies(self, account: Account) -> str:
        return f"{self._connection.needs("PROXY ON ''@''")} WITH GRANT OPTION, or take the proxy from {account}"

    def _copy_lock(self, account: Account, other: Account) -> None:
        """Lock the other account if the user's is locked, so that no account of its name lets the same host in."""
        if self._accounts.is_locked(account):
            self._lock(other)
        else:
            self._accounts.add_mirrored(other)

    def _lock(self, other: Account) -> None:
        if not self._accounts.is_locked(other):
            self._connection.execute(f"locking {other}", f"ALTER USER {other.quoted} ACCOUNT LOCK")

    def _copy_rights(self, account: Account, other: Account) -> None:
        self._copy_proxies(account, other)  # before the rights: a proxy can come with a right
        user_rights, other_rights = self._rights(account), self._rights(other)
        if any(right.kind is RightKind.RESTRICTION for right in user_rights - other_rights):
            self._lock(other)  # for an instant it will have too many rights
        granting = Granting(self._connection, account, other, user_rights & other_rights, self._gone)
        on_columns = []
        for change in changes(other_rights, user_rights, other.quoted):
            if change.is_for_columns:
                on_columns.append(change)
            else:
                granting.make(change)
        if on_columns:
            self._grant_columns(on_columns, granting)

    def _copy_proxies(self, account: Account, other: Account) -> None:
        user_proxies = catalog.proxies(self._connection, account)
        other_proxies = catalog.proxies(self._connection, other)
        remedy = self._allow_proxies(account)
        operation = f"giving {other} the proxies of {account}"
        for proxied, _ in sorted(other_proxies - user_proxies):
            self._connection.execute(operation, f"REVOKE PROXY ON {proxied.quoted} FROM {other.quoted}", remedy)
        granted = sorted(user_proxies - other_proxies)
        if any(grantable for _, grantable in granted) and MAY_GRANT not in self._rights(account):
            self._lock(other)  # for an instant it will have GRANT OPTION on everything
        for proxied, grantable in granted:
            option = " WITH GRANT OPTION" if grantable else ""
            statement = f"GRANT PROXY ON {proxied.quoted} TO {other.quoted}{option}"
            self._connection.execute(operation, statement, remedy)

    def _copy_default_roles(self, account: Account, other: Account) -> None:
        """Give the other account the default roles of the user's."""
        wanted = self._default_roles(account)
        if wanted != self._default_roles(other):
            operation = f"giving {other} the default roles of {account}"
            self._connection.execute(operation, self.state_type(other).with_default_roles(wanted))

    def _rights(self, account: Account) -> frozenset[Right]:
        found = catalog.rights(self._connection, account) | self._unprinted(account)
        return frozenset(right for right in found if right.kind is not RightKind.DEFAULT_ROLE)

    def _right_names(self, account: Account | None = None) -> set[str]:
        return {right.name for right in catalog.rights(self._connection, account)}

    def _mark_attributes(self) -> dict[str, dict[str, bool]]:
        return {MARK: {self._nonce: True}}


def _dropping(left: Account, twin: Account) -> str:
    return f"dropping {left}, because {twin} is gone"
