"""MariaDB, and Amazon RDS for MariaDB (10.4 and later).

What differs from MySQL: the general log shows passwords as they are sent, so hashes are sent; users may not ALTER USER
themselves; an account has one or more authentication methods (see `rotation.engines.mariadb.methods`); and accounts
have no comment.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from rotation.credential import Credential
from rotation.deadline import Deadline
from rotation.engines.driver import ADMIN_HOST
from rotation.engines.mariadb import catalog
from rotation.engines.mariadb.accounts import MariaDBAccounts
from rotation.engines.mariadb.kind import KIND
from rotation.engines.mariadb.methods import PASSWORDS, Method, first_password, password_hash, require_native
from rotation.engines.mariadb.pair import MariaDBPair
from rotation.engines.mysql import connection as mysql
from rotation.engines.mysql.hashes import NATIVE, native
from rotation.engines.mysql.locks import take_turn
from rotation.engines.mysql.names import Account, identifier
from rotation.engines.mysql.session import MySQLSession
from rotation.engines.mysql.two_passwords import PUT_ADMIN
from rotation.errors import NotPermitted, Unsupported

LIMITS = f"{mysql.LIMITS}, max_statement_time = {{seconds}}"
"""The first ones are for locks of tables and rows, the last one for the rest: ALTER USER behind a global read lock."""


class MariaDB:
    """The engine; implements `rotation.engine.Engine`."""

    kind = KIND

    @contextmanager
    def connect(self, credential: Credential, deadline: Deadline) -> Iterator["MariaDBSession"]:
        """Log in; see `rotation.engine.Engine.connect`."""
        with mysql.connect(credential, deadline, LIMITS) as connection:
            yield MariaDBSession(connection)


class MariaDBSession(MySQLSession):
    """One connection; implements `rotation.engine.Session` and `rotation.engine.KeepsOldPassword`."""

    accounts_type = MariaDBAccounts
    pair_type = MariaDBPair

    def _change_own_password(self, password: str, operation: str) -> None:
        """Let SET PASSWORD change the first method of the account, and keep its plugin."""
        plugin = catalog.own_plugins(self.connection, operation)[0]
        clause = catalog.password_clause(self.connection, plugin, password, operation)
        self.connection.execute(operation, f"SET PASSWORD = {clause}")

    def require_two_passwords(self) -> None:
        """Raise Unsupported if the user cannot have two; see `rotation.engine.KeepsOldPassword`.

        Clients cannot try a second method if the first one has another plugin.
        """
        username = self.connection.username
        operation = f"checking that {username} can have two passwords"
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
        if not set(methods) & set(wanted):
            return False
        require_native(account, (method.plugin for method in methods), operation)
        if methods != wanted:
            both = " OR ".join(self._method(NATIVE, each, operation) for each in (password, current))
            statement = f"ALTER USER {account.quoted} IDENTIFIED VIA {both}"
            self.connection.execute(operation, statement, self.connection.needs(mysql.MAY_CREATE))
        return True

    def _with_password(self, account: Account, password: str, operation: str) -> str:
        """Return the account as ALTER USER takes it; the password replaces the first one, if it is new."""
        methods = catalog.methods(self.connection, account)
        first = first_password(account, methods)
        if password_hash(first.plugin, password) == first.secret:
            return account.quoted  # this step was repeated, and a policy can refuse the same password again
        # A policy that must judge passwords refuses the whole statement if one method is a hash.
        hashes_refused = catalog.refuses_hashes(self.connection, operation)
        kept = [
            method.quoted
            for method in methods
            if method is not first and not (hashes_refused and method.plugin in PASSWORDS)
        ]
        changed = [self._method(first.plugin, password, operation), *kept]
        return f"{account.quoted} IDENTIFIED VIA {' OR '.join(changed)}"

    def _method(self, plugin: str, password: str, operation: str) -> str:
        clause = catalog.password_clause(self.connection, plugin, password, operation)
        return f"{identifier(plugin)} USING {clause}"
