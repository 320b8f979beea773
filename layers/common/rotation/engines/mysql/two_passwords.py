"""How does a user of MySQL get a second password, and keep the one that applications use?

A user has a primary password and a secondary one. RETAIN CURRENT PASSWORD makes the primary one the secondary one, so a
repeated statement would lose the password that must stay. For oneself, REPLACE names the password that must be the
primary one, and the server compares and sets. For others there is no such clause: an admin takes a lock, and then looks
at the hashes.
"""

import re
from contextlib import suppress

from rotation.engines.driver import ADMIN_HOST, ExpectedError
from rotation.engines.mysql import catalog
from rotation.engines.mysql.accounts import MySQLAccounts
from rotation.engines.mysql.connection import MAY_CREATE, MySQLConnection
from rotation.engines.mysql.definition import Row, primary_hash, secondary_hash
from rotation.engines.mysql.hashes import matches
from rotation.engines.mysql.locks import server_lock
from rotation.engines.mysql.names import Account, literal
from rotation.errors import RETRIED, NotPermitted, StatementFailed, Unsupported

REPLACE, RETAIN = (8, 0, 13), (8, 0, 14)
"""The first versions with these clauses of ALTER USER (https://dev.mysql.com/doc/refman/8.0/en/alter-user.html)."""

PLUGINS = frozenset({"caching_sha2_password", "sha256_password", "mysql_native_password"})
"""The authentication plugins that keep a password, or two, in mysql.user."""

WRONG_CURRENT, NEEDS_CURRENT, IN_HISTORY = 3891, 3892, 3638
"""REPLACE named a password that is not the primary one; the statement needs REPLACE; a policy refuses a password that
the account had before."""

TOO_ALIKE = 4165
"""The password is too like the old one: the server says so after it has compared the one that REPLACE names."""

POLICIES = frozenset({1819, IN_HISTORY, TOO_ALIKE})
"""The server's rules refuse a password: for what it is, as one that the account had, or as too like the old one."""

PUT_ADMIN = 'Put an admin into "masterarn"'
OTHER_STRATEGY = "Use another strategy"


class TwoPasswords:
    """The two passwords of a user of MySQL."""

    def __init__(self, connection: MySQLConnection, accounts: MySQLAccounts) -> None:
        self._connection = connection
        self._accounts = accounts

    def require_possible(self) -> None:
        """Raise Unsupported if the user who is logged in can have one password only."""
        operation = f"checking that {self._connection.username} can have two passwords"
        if self._connection.version() < RETAIN:
            version = ".".join(map(str, self._connection.version()))
            cause = f"MySQL {version} keeps one password; 8.0.14 was the first to keep two"
            raise Unsupported(operation, cause, OTHER_STRATEGY)
        plugin = re.search(r"IDENTIFIED WITH '(\w+)", catalog.own_definition(self._connection, operation))
        if not plugin or plugin[1] not in PLUGINS:
            cause = f"the authentication plugin {plugin[1] if plugin else 'of the account'} keeps one password"
            raise Unsupported(operation, cause, f"{OTHER_STRATEGY}, or another plugin")

    def add_own(self, current: str, password: str) -> None:
        """Add a password for the user who is logged in."""
        username = self._connection.username
        operation = f"giving {username} a second password"
        try:
            self._compare_and_set(current, password, operation)
        except ExpectedError:
            # The primary one is the new password already, or an abandoned rotation left it. (A server with a history
            # of passwords says that the new one is in it before it compares.) To replace that one does not compare, so
            # it could undo what another invocation of this step has just done: one at a time.
            with server_lock(self._connection, username, operation):
                if not is_primary(self._connection, password, operation):
                    self._replace_abandoned(current, password, operation)

    def add_for(self, username: str, current: str, password: str) -> None:
        """Add a password for another user, on each of its accounts that has the current one."""
        operation = f"giving {username} a second password"
        with server_lock(self._connection, username, operation), self._connection.answers.kept():
            accounts = self._accounts.meant(username)
            added = [self._add_to_account(account, current, password, operation) for account in accounts]
        # All accounts that are meant have the current one. If nobody has logged in, those without it are not ours.
        if not any(added) or (self._accounts.is_proven(username) and not all(added)):
            cause = f"no account of {username} on this server has the current password, in a format known here"
            raise Unsupported(operation, cause, f"{ADMIN_HOST}. Or use another strategy or plugin")

    def _compare_and_set(self, current: str, password: str, operation: str) -> None:
        """Raise ExpectedError if the current password is not the primary one, or the account had the new one before."""
        statement = (
            f"ALTER USER USER() IDENTIFIED BY {literal(password)} REPLACE {literal(current)} RETAIN CURRENT PASSWORD"
        )
        remedy = f'{self._connection.needs("APPLICATION_PASSWORD_ADMIN ON *.*")}, or put an admin into "masterarn"'
        self._connection.execute(operation, statement, remedy, frozenset({WRONG_CURRENT, IN_HISTORY}))

    def _replace_abandoned(self, current: str, password: str, operation: str) -> None:
        """Add a password if an abandoned rotation left the primary one."""
        make_primary(self._connection, current, operation)
        with suppress(ExpectedError):  # from here on, the first statement of another invocation succeeds, too
            self._compare_and_set(current, password, operation)
            return
        if not is_primary(self._connection, password, operation):
            raise StatementFailed(operation, "another rotation changes the password", RETRIED) from None

    def _add_to_account(self, account: Account, current: str, password: str, operation: str) -> bool:
        """Add the password to an account; False if it does not have the current one, and so is not the secret's."""
        row = catalog.row(self._connection, account)
        plugin, primary, secondary = row["plugin"], primary_hash(row), secondary_hash(row)
        alter, remedy = f"ALTER USER {account.quoted}", self._connection.needs(MAY_CREATE)
        if not matches(current, primary, plugin):
            if not matches(current, secondary, plugin):
                return False
            if matches(password, primary, plugin):
                return True
            promote(self._connection, account, row, operation)  # an abandoned rotation left the primary one
        added = f"IDENTIFIED BY {literal(password)} RETAIN CURRENT PASSWORD"
        self._connection.execute(operation, f"{alter} {added}", remedy)
        return True


def promote(connection: MySQLConnection, account: Account, row: Row, operation: str) -> None:
    """Replace the primary password of an account by its second one. As a hash, it meets every password policy."""
    hashed = f"IDENTIFIED WITH {literal(row['plugin'])} AS 0x{secondary_hash(row).hex()}"
    connection.execute(operation, f"ALTER USER {account.quoted} {hashed}", connection.needs(MAY_CREATE))


def is_primary(connection: MySQLConnection, password: str, operation: str) -> bool:
    """Tell whether this is the primary password of the user who is logged in; the second one stays.

    The server compares before it sets the same password again. So that is no login, which could be a refused one.
    """
    statement = f"ALTER USER USER() IDENTIFIED BY {literal(password)} REPLACE {literal(password)}"
    try:
        connection.execute(operation, statement, expected=frozenset({WRONG_CURRENT, IN_HISTORY, TOO_ALIKE}))
    except ExpectedError as refused:
        if refused.code == IN_HISTORY:  # which the server says before it compares: the account had this password once
            return connection.accepts(connection.username, password)
        return refused.code == TOO_ALIKE
    return True


def make_primary(connection: MySQLConnection, current: str, operation: str) -> None:
    """Replace the primary password by the second one, with which we are logged in and which stays valid."""
    try:
        statement = f"ALTER USER USER() IDENTIFIED BY {literal(current)}"
        connection.execute(operation, statement, expected=POLICIES | {NEEDS_CURRENT})
    except ExpectedError as expected:
        cause = f"an abandoned rotation left a password that the user may not replace (error {expected.code})"
        raise NotPermitted(operation, cause, PUT_ADMIN) from None
