"""MariaDB, and Amazon RDS for MariaDB (10.4 and later).

What differs from MySQL: the general log shows passwords as they are sent, so hashes are sent; users may not ALTER USER
themselves; an account has one or more authentication methods (see `rotation.engines.mariadb.methods`); and accounts
have no comment.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from rotation.credential import Credential
from rotation.deadline import Deadline
from rotation.engines.driver import ADMIN_HOST, ExpectedError
from rotation.engines.mariadb import catalog
from rotation.engines.mariadb.accounts import MariaDBAccounts
from rotation.engines.mariadb.dialect import MARIADB
from rotation.engines.mariadb.inspection import MariaDBInspection, begin_tls
from rotation.engines.mariadb.kind import KIND
from rotation.engines.mariadb.methods import (
    PASSWORDS,
    Method,
    first_password,
    parse,
    password_hash,
    passwords,
    require_changeable,
    require_native,
)
from rotation.engines.mariadb.pair import MariaDBPair
from rotation.engines.mysql import connection as mysql
from rotation.engines.mysql.hashes import ED25519, NATIVE, native
from rotation.engines.mysql.locks import take_turn
from rotation.engines.mysql.names import Account, identifier, literal
from rotation.engines.mysql.session import NOT_RENEWED, MySQLSession
from rotation.engines.mysql.two_passwords import PUT_ADMIN
from rotation.engines.other_engine import reach
from rotation.errors import NotPermitted, Unsupported
from rotation.finding import Finding

STRICT = 1290
"""ER_OPTION_PREVENTS_STATEMENT: the server's strict_password_validation refuses hashes."""

IN_CLIENT = {"client_ed25519": ED25519}
"""Plugins whose name is another one for the client."""


class MariaDB:
    """The engine; implements `rotation.engine.Engine`."""

    kind = KIND

    @contextmanager
    def connect(self, credential: Credential, deadline: Deadline) -> Iterator["MariaDBSession"]:
        """Log in; see `rotation.engine.Engine.connect`."""
        with mysql.connect(credential, deadline, MARIADB) as connection:
            yield MariaDBSession(connection)

    def reach(self, credential: Credential, deadline: Deadline) -> Iterator[Finding]:
        """Say how far one gets without a login; see `rotation.engine.InspectedEngine`."""
        return reach(credential, deadline, self.kind, begin_tls)


class MariaDBSession(MySQLSession):
    """One connection; implements `rotation.engine.Session` and `rotation.engine.KeepsOldPassword`."""

    accounts_type = MariaDBAccounts
    pair_type = MariaDBPair
    inspection_type = MariaDBInspection

    def _set_expired(self, password: str, operation: str) -> None:
        """Give the user, whose password has expired, this one; raises ExpectedError if a policy refuses it.

        The server says neither the plugin nor the policy; but it has asked the client for the plugin.
        """
        _, asked = self.connection.greeting
        known = password_hash(IN_CLIENT.get(asked, asked), password)
        clear = f"PASSWORD({literal(password)})"
        try:
            self._set_own(literal(known) if known else clear, operation, STRICT)
        except ExpectedError as refused:
            if refused.code != STRICT:
                raise
            catalog.warn_of_clear_text(operation)
            self._set_own(clear, operation)

    def _set_own(self, clause: str, operation: str, *expected: int) -> None:
        """Run SET PASSWORD; raises ExpectedError also if a policy refuses the password."""
        self.connection.execute(operation, f"SET PASSWORD = {clause}", expected=frozenset({*NOT_RENEWED, *expected}))

    def _change_own_password(self, password: str, operation: str) -> None:
        """Let SET PASSWORD change the first method of the account, and keep its plugin.

        Only an admin can end a second password. And SET PASSWORD changes a password behind a method without one, but
        answers that it does not.
        """
        methods, username = catalog.own_methods(self.connection, operation), self.connection.username
        require_changeable(username, methods, operation)
        hashes_refused = bool(catalog.policies(self.connection, operation))
        clause = catalog.password_clause(methods[0].plugin, password, operation, hashes_refused=hashes_refused)
        self.connection.execute(operation, f"SET PASSWORD = {clause}")

    def require_two_passwords(self) -> None:
        """Raise Unsupported if the user cannot have two; see `rotation.engine.KeepsOldPassword`.

        Clients cannot try a second method if the first one has another plugin.
        """
        username = self.connection.username
        operation = f"checking that {username} can have two passwords"
        if self.has_expired():  # the server does not say
            return
        require_native(username, catalog.own_plugins(self.connection, operation), operation)

    def add_password(self, username: str, current: str, password: str) -> None:
        """Let the user log in with both; see `rotation.engine.KeepsOldPassword`.

        The statement names both passwords, whatever there was before.
        """
        operation = f"giving {username} a second password"
        if username == self.connection.username:
            cause = "a user may only replace its first password, and cannot keep it"
            raise NotPermitted(operation, cause, PUT_ADMIN)
        take_turn(self.connection, [username], operation)
        accounts = self.accounts.meant(username)
        added = [self._add_to_account(account, current, password, operation) for account in accounts]
        if not any(added):
            cause = f"no account of {username} on this server has the current password"
            raise Unsupported(operation, cause, ADMIN_HOST)

    def _add_to_account(self, account: Account, current: str, password: str, operation: str) -> bool:
        """Give an account both passwords; False if it has neither, and so is not the secret's."""
        methods = catalog.methods(self.connection, account)
        wanted = [Method(NATIVE, native(password)), Method(NATIVE, native(current))]
        if not any(self.accounts.has_password(account, each) for each in (current, password)):
            return False
        require_native(account, (method.plugin for method in methods), operation)
        if methods != wanted:
            catalog.require_no_history(self.connection, operation)
            refused = catalog.refuses_hashes(self.connection, account)
            both = " OR ".join(_method(NATIVE, each, operation, hashes_refused=refused) for each in (password, current))
            statement = f"ALTER USER {account.quoted} IDENTIFIED VIA {both}"
            self.connection.execute(operation, statement, self.connection.needs(mysql.MAY_CREATE))
        return True

    def _end_own_second(self, operation: str) -> None:
        """Do nothing: only an admin can."""

    def _end_second(self, account: Account, operation: str) -> None:
        """Do nothing: the statement that sets the password ends all others."""

    def _with_password(self, account: Account, password: str, operation: str) -> str:
        """Return the account as ALTER USER takes it; the password replaces all that there are, if it is new."""
        privileges = catalog.privileges(self.connection, account)
        methods = parse(privileges)
        first = first_password(account, methods)
        has_expired = privileges.get("password_last_changed") == 0
        is_only = passwords(methods, account.user) == [first]
        if password_hash(first.plugin, password) == first.secret and is_only and not has_expired:
            return account.quoted  # this step was repeated, and a policy can refuse the same password again
        # A policy that must judge passwords refuses the whole statement if one method is a hash.
        hashes_refused = catalog.refuses_hashes(self.connection, account)
        kept = [
            method.quoted
            for method in methods
            if method not in passwords(methods, account.user) and not (hashes_refused and method.plugin in PASSWORDS)
        ]
        changed = [_method(first.plugin, password, operation, hashes_refused=hashes_refused), *kept]
        return f"{account.quoted} IDENTIFIED VIA {' OR '.join(changed)}"


def _method(plugin: str, password: str, operation: str, *, hashes_refused: bool) -> str:
    clause = catalog.password_clause(plugin, password, operation, hashes_refused=hashes_refused)
    return f"{identifier(plugin)} USING {clause}"
