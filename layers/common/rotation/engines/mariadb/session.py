"""MariaDB, and Amazon RDS for MariaDB (10.4 and later).

What differs from MySQL: the general log shows passwords as they come, so hashes are sent; users may not `ALTER USER`
themselves; an account has one or more authentication methods, any of which lets it in; and accounts carry no comment.

Two methods make two passwords, and another one makes our mark: a hash that no password has, made of the partner's
name. The server's own `'invalid'` is of that kind
(https://mariadb.com/docs/server/reference/plugins/authentication-plugins). SET PASSWORD lets any user write such a
hash, too, but only into the first method that is a password. So a mark counts where such a method comes before it:
nobody but an admin can have written that. Where a policy refuses hashes, the mark is one of unix_socket, which it does
not judge: the name of a user that no system has.
"""

import hashlib
import json
import logging
import re
import secrets
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from rotation.credential import Credential
from rotation.deadline import Deadline
from rotation.engines.mysql.connection import Account, ExpectedError, MySQLFamilySession, connect
from rotation.engines.mysql.hashes import ED25519, NATIVE, PARSEC, ed25519, matches, native
from rotation.engines.mysql.pair import GONE, PairSession
from rotation.engines.mysql.rights import Change, Sort
from rotation.errors import NotPermitted, Unsupported
from rotation.kind import EngineKind, Strategy
from rotation.redaction import said

KIND = EngineKind(
    name="MariaDB",
    engine_values=frozenset({"mariadb"}),
    default_port=3306,
    default_database=None,
    username_limit=128,
    password_limit=128,
    strategies=frozenset(Strategy),
    clone_may_lack_mark=True,  # a strict password policy takes no hash, and so no mark
    dual_password_needs_admin=True,
    admin_needs_database=False,
)

HASHED = (NATIVE, ED25519)
"""The plugins whose hashes can be made here."""

PASSWORDS = (*HASHED, PARSEC)
"""The plugins whose hashes a policy may refuse."""

SOCKET = "unix_socket"

NO_TABLE = frozenset({1031, 1347})
"""ER_ILLEGAL_HA: the engine of the table cannot be held; ER_WRONG_OBJECT: it is a view."""

log = logging.getLogger(__name__)


class MariaDB:
    """The engine; implements `rotation.engine.Engine`."""

    kind = KIND

    def connect(self, credential: Credential, deadline: Deadline) -> AbstractContextManager["MariaDBSession"]:
        """Log in; see `rotation.engine.Engine.connect`."""
        return connect(MariaDBSession, credential, deadline)


@dataclass(frozen=True)
class Method:
    """One way to log in to an account."""

    plugin: str
    secret: str
    """The hash, as `USING` takes it."""


class MariaDBSession(PairSession):
    """One connection; implements `rotation.engine.Session` and `rotation.engine.KeepsOldPassword`."""

    # The one is for tables, the other for the rest: ALTER USER behind a global read lock, say.
    limits = "lock_wait_timeout = {seconds}, innodb_lock_wait_timeout = {seconds}, max_statement_time = {seconds}"
    users_only = " AND is_role = 'N'"

    def change_own_password(self, password: str) -> None:
        """Give the user who is logged in this password; see `rotation.engine.Session`.

        SET PASSWORD is for the first method of the account, and keeps its plugin.
        """
        self.proof()
        operation = f"changing the password of {self.username}"
        self.execute(operation, f"SET PASSWORD = {self._secret(self._own_plugins(operation)[0], password, operation)}")

    def set_password(self, username: str, password: str) -> None:
        """Give another user this password, on every host at once; see `rotation.engine.Session`.

        It takes the place of the first one that there is.
        """
        self._set_password(username, password, " ACCOUNT UNLOCK")

    def reset_password(self, username: str, password: str) -> None:
        """Give another user this password, on every host at once; see `rotation.engine.Session`."""
        self._set_password(username, password)

    def _set_password(self, username: str, password: str, option: str = "") -> None:
        operation, users = f"setting the password of {username}", []
        for account in self.accounts_to_open(username):
            methods = self._methods(account)
            first = _first(account, methods)
            if _hash(first.plugin, password) == first.secret:
                users.append(self.account(account))  # an earlier delivery has set it: a policy may refuse it now
                continue
            # A policy that wants to see passwords refuses the whole statement for the sake of one hash.
            hidden = self._refuses_hashes(operation)
            others = (method for method in methods if method is not first)
            ways = [self._way(method) for method in others if not hidden or method.plugin not in PASSWORDS]
            ways.insert(0, f"{self.name(first.plugin)} USING {self._secret(first.plugin, password, operation)}")
            users.append(f"{self.account(account)} IDENTIFIED VIA {' OR '.join(ways)}")
        remedy = f"GRANT CREATE USER ON *.* TO {self.username}"
        self.execute(operation, f"ALTER USER {', '.join(users)}{option}", remedy)

    def require_two_passwords(self) -> None:
        """See `rotation.engine.KeepsOldPassword`.

        Clients cannot try a second method after another plugin's first one.
        """
        operation = f"asking whether {self.username} can have two passwords"
        _require_native(self.username, self._own_plugins(operation), operation)

    def add_password(self, username: str, current: str, password: str) -> None:
        """Have the user accept both; see `rotation.engine.KeepsOldPassword`.

        The statement says which two passwords there are, whatever there was before.
        """
        operation = f"giving {username} a second password"
        if username == self.username:
            cause = "a user may set its first password only, and not keep it"
            raise NotPermitted(operation, cause, 'Put an admin into "masterarn"')
        known = False
        for account in self.accounts(username):
            methods = self._methods(account)
            wanted = [Method(NATIVE, native(password)), Method(NATIVE, native(current))]
            if not set(methods) & set(wanted):
                continue  # an account that has neither password is not the secret's, and is left alone
            known = True
            _require_native(account, (method.plugin for method in methods), operation)
            if methods != wanted:
                ways = [
                    f"{self.name(NATIVE)} USING {self._secret(NATIVE, text, operation)}" for text in (password, current)
                ]
                statement = f"ALTER USER {self.account(account)} IDENTIFIED VIA {' OR '.join(ways)}"
                self.execute(operation, statement, f"GRANT CREATE USER ON *.* TO {self.username}")
        if not known:
            cause = f"no account of {username} on this server has the password that is to stay"
            raise Unsupported(operation, cause, "Correct the host of the admin secret")

    def marked(self, clones: Iterable[Account], user: str) -> set[Account]:
        """See `AccountsSession`. One of the two carries the mark: it names the other."""
        return {
            clone
            for clone in clones
            if self._has_mark(clone, user) or self._has_mark(Account(user, clone.host), clone.user)
        }

    def has_password(self, account: Account, password: str) -> bool:
        """See `AccountsSession`."""
        return any(matches(password, method.secret.encode(), method.plugin) for method in self._methods(account))

    def mark(self, user: str, other: str) -> None:
        """See `PairSession`. The clone's mark is enough."""

    def is_locked(self, account: Account) -> bool:
        """See `AccountsSession`."""
        return bool(self._privileges(account).get("account_locked"))

    def require_copiable(self, account: Account) -> None:
        """See `PairSession`."""
        _first(account, self._methods(account))

    def create_locked(self, clone: Account, account: Account) -> None:
        """See `PairSession`. The first method is a password that nobody keeps, the second one is the mark."""
        operation = f"creating {clone}, locked"
        ways = self._throw_away(account, hidden=self._refuses_hashes(operation))
        statement = f"CREATE USER {self.account(clone)} IDENTIFIED VIA {ways} ACCOUNT LOCK"
        self.execute(operation, statement, f"GRANT CREATE USER ON *.* TO {self.username}")

    def copy_attributes(self, account: Account, clone: Account) -> None:
        """See `PairSession`. A policy that refuses hashes has the password of a clone that is to be marked end."""
        operation, name = f"giving {clone} the attributes of {account}", self.account(clone)
        methods, hidden = self._methods(clone), self._refuses_hashes(operation)
        wanted = self._wanted_methods(account, clone, hidden=hidden)
        if hidden:
            marks = set(wanted[1:])
            if methods[0].plugin != wanted[0].plugin or not marks <= set(methods):
                self.execute(operation, f"ALTER USER {name} IDENTIFIED VIA {self._throw_away(account, hidden=True)}")
        elif methods != wanted:
            self.execute(operation, f"ALTER USER {name} IDENTIFIED VIA {' OR '.join(map(self._way, wanted))}")
        definition = self._definition(account)
        if definition != self._definition(clone):
            self.execute(operation, f"ALTER USER {name} {definition}")

    def grant_columns(self, grants: Sequence[Change], account: Account, clone: Account) -> None:
        """See `PairSession`.

        The server prepares a view to find its columns, and calls functions that are in it: with the admin's rights, if
        view and function are for who invokes them. So columns of a table only are granted, and a second session holds
        it, lest somebody puts a view in its place just then.
        """
        with self.as_user(self._credential) as keeper:
            for change in grants:
                if self._hold(keeper, change, account, clone):
                    self.change(change, account, clone)
                    keeper.execute(f"letting {change.what} go", "HANDLER `rotation` CLOSE")

    def _hold(self, keeper: MySQLFamilySession, change: Change, account: Account, clone: Account) -> bool:
        """Have `keeper` hold a table as it is; False where it is gone. Raises Unsupported where it is none."""
        operation, item = f"giving {clone} the grants of {account}, {change.what}", change.what
        try:
            remedy = f"GRANT SELECT ON {item} TO {self.username}"
            keeper.execute(operation, f"HANDLER {item} OPEN AS `rotation`", remedy, NO_TABLE | GONE)
        except ExpectedError as refusal:
            if refusal.number in GONE:
                self.gone |= set(change.given)
                return False
            cause = "it is no plain table, and MariaDB calls what is in a view to grant columns of it"
            remedy = f"Run it yourself, if that is safe, or take the right from {account}: {change.statement}"
            raise Unsupported(operation, cause, remedy) from None
        return True

    def copy_default_roles(self, account: Account, clone: Account) -> None:
        """See `PairSession`."""
        wanted = self._default_role(account)
        if wanted != self._default_role(clone):
            role = self.name(wanted) if wanted else "NONE"
            operation = f"giving {clone} the default role of {account}"
            self.execute(operation, f"SET DEFAULT ROLE {role} FOR {self.account(clone)}")

    def attribute_differences(self, account: Account, clone: Account) -> list[str]:
        """See `PairSession`."""
        differences = []
        mine, other = self._definition(account), self._definition(clone)
        if mine != other:
            differences.append(f"{clone} is not defined as {account} is: see SHOW CREATE USER of both")
        plugin, others = _first(account, self._methods(account)).plugin, self._methods(clone)
        if plugin not in {method.plugin for method in others}:
            differences.append(f"{clone} has the plugin {others[0].plugin}, {account} has {plugin}")
        if self._default_role(account) != self._default_role(clone):
            differences.append(f"the default role of {clone} is not that of {account}")
        return differences

    def _own_plugins(self, operation: str) -> list[str]:
        """Return the plugins of the methods of the user who is logged in, in their order."""
        definition = self.own_definition(operation)
        methods = re.split(r" REQUIRE | WITH | ACCOUNT | PASSWORD EXPIRE", definition.partition(" IDENTIFIED ")[2])[0]
        return re.findall(r"(?:^VIA|\bOR) (\w+)", methods) or [NATIVE]

    def _methods(self, account: Account) -> list[Method]:
        """Return how one logs in to the account, in the order in which the server tries it."""
        whole = self._privileges(account)
        # An empty entry stands for what the account has outside of the list.
        entries = [entry or whole for entry in whole.get("auth_or", [{}])]
        return [Method(entry.get("plugin", ""), entry.get("authentication_string", "")) for entry in entries]

    def _wanted_methods(self, account: Account, clone: Account, *, hidden: bool) -> list[Method]:
        """Return the clone's own password, of the account's plugin, and our mark, if the account does not carry it."""
        plugin = _first(account, self._methods(account)).plugin
        marks = {*_marks(account.user), *_marks(clone.user)}
        own = [method for method in self._methods(clone) if method.plugin == plugin and method not in marks]
        first = own[0] if own else Method(plugin, _hash(plugin, secrets.token_urlsafe()))
        return [first] if self._has_mark(account, clone.user) else [first, _mark(account.user, hidden=hidden)]

    def _has_mark(self, account: Account, partner: str) -> bool:
        """Tell whether an account carries our mark, and comes with it after what its user may write."""
        methods = self._methods(account)
        writable = next((at for at, method in enumerate(methods) if method.plugin in HASHED), len(methods))
        return any(mark in methods[writable + 1 :] for mark in _marks(partner))

    def _default_role(self, account: Account) -> str:
        """Return the default role, if it is granted: the server forgets neither when it is revoked."""
        role: str = self.row(account)["default_role"]
        granted = {right.name for right in self.rights(account) if right.sort is Sort.ROLE}
        return role if self.name(role) in granted else ""

    def _throw_away(self, account: Account, *, hidden: bool) -> str:
        """Return the ways to log in of a clone whose password nobody knows, of the account's plugin."""
        plugin, password = _first(account, self._methods(account)).plugin, secrets.token_urlsafe(24) + "-aA1"
        first = self._way(Method(plugin, _hash(plugin, password)))
        if hidden:
            first = f"{self.name(plugin)} USING PASSWORD({self.text(password)})"
        return f"{first} OR {self._way(_mark(account.user, hidden=hidden))}"

    def _definition(self, account: Account) -> str:
        """Return what an account is but for its name, password, rights and role, as ALTER USER takes it."""
        row, lifetime = self.row(account), self._privileges(account).get("password_lifetime", -1)
        expiry = {-1: "DEFAULT", 0: "NEVER"}.get(lifetime, f"INTERVAL {lifetime} DAY")
        return " ".join([
            f"REQUIRE {self.requirement(row)}",
            f"WITH MAX_QUERIES_PER_HOUR {row['max_questions']} MAX_UPDATES_PER_HOUR {row['max_updates']}",
            f"MAX_CONNECTIONS_PER_HOUR {row['max_connections']} MAX_USER_CONNECTIONS {row['max_user_connections']}",
            f"MAX_STATEMENT_TIME {row['max_statement_time']}",
            f"PASSWORD EXPIRE {expiry}",
        ])  # fmt: skip

    def _privileges(self, account: Account) -> dict[str, Any]:
        operation, remedy = f"reading {account}", f"GRANT SELECT ON mysql.* TO {self.username}"
        query = f"SELECT priv FROM mysql.global_priv WHERE {self.matches('user', 'host', account)}"  # noqa: S608 - quoted
        rows = self.execute(operation, query, remedy)
        privileges: dict[str, Any] = json.loads(rows[0][0]) if rows else {}
        return privileges

    def _way(self, method: Method) -> str:
        name = self.name(method.plugin)
        return f"{name} USING {self.text(method.secret)}" if method.secret else name

    def _secret(self, plugin: str, password: str, operation: str) -> str:
        """Return what USING takes for a password: its hash, or, where a policy wants to see it, the password itself."""
        known = _hash(plugin, password)
        if known and not self._refuses_hashes(operation):
            return self.text(known)
        log.warning(said(f"{operation}: the server's password policy, or the plugin {plugin}, wants the clear text"))
        return f"PASSWORD({self.text(password)})"

    def _refuses_hashes(self, operation: str) -> bool:
        """Tell whether the server wants to judge passwords, which it cannot by their hash."""
        # Selected beside an aggregate, the variable is 0, whatever it is.
        statement = (
            "SELECT plugin_name FROM information_schema.plugins WHERE plugin_type = 'PASSWORD VALIDATION'"
            " AND plugin_status = 'ACTIVE' AND @@strict_password_validation"
        )
        return bool(self.execute(operation, statement))


def _first(account: Account, methods: Sequence[Method]) -> Method:
    """Return the first of an account's methods that is a password; raises Unsupported where there is none."""
    for method in methods:
        if method.plugin in HASHED:
            return method
    plugins = ", ".join(method.plugin for method in methods)
    raise Unsupported(f"preparing {account}", f"it logs in with {plugins}", f"Use {' or '.join(HASHED)}")


def _require_native(who: Account | str, plugins: Iterable[str], operation: str) -> None:
    """Raise Unsupported unless all methods are of the one plugin of which an account can have two passwords."""
    if others := set(plugins) - {NATIVE}:
        cause = f"{who} logs in with {', '.join(sorted(others))}"
        raise Unsupported(operation, cause, f"Use another strategy, or an account with {NATIVE} alone")


def _mark(partner: str, *, hidden: bool) -> Method:
    """Return the mark of an account that takes turns with `partner`: a hash of a text cannot be the hash of a hash.

    Where a policy wants to see passwords, hashes are hidden, and it takes another plugin.
    """
    text = f"This account takes turns with {partner}: rotated by AWS Secrets Manager"
    hashed = "*" + hashlib.sha1(text.encode()).hexdigest().upper()  # noqa: S324 - as the server
    return Method(SOCKET if hidden else NATIVE, hashed)


def _marks(partner: str) -> list[Method]:
    return [_mark(partner, hidden=hidden) for hidden in (False, True)]


def _hash(plugin: str, password: str) -> str:
    """Return what a plugin keeps of a password; nothing where it is not known here."""
    if plugin == NATIVE:
        return native(password)
    return ed25519(password) if plugin == ED25519 else ""
