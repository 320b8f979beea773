"""What makes two users of MariaDB the same? In other ways than MySQL: authentication methods, the mark, columns, roles.

The rest, and the order of all statements, is in `rotation.engines.mysql.pair`; the mark is in
`rotation.engines.mariadb.methods`.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from rotation.engines.driver import ExpectedError, unread_password
from rotation.engines.mariadb import catalog
from rotation.engines.mariadb.definers import MariaDBDefiners
from rotation.engines.mariadb.dialect import MARIADB
from rotation.engines.mariadb.kind import KIND
from rotation.engines.mariadb.methods import (
    HASHED,
    Method,
    first_password,
    is_marked,
    mark,
    marks,
    password_hash,
    without_passwords,
)
from rotation.engines.mariadb.state import MariaDBAccountState
from rotation.engines.mysql import catalog as accounts
from rotation.engines.mysql.connection import MAY_CREATE, MySQLConnection, connect
from rotation.engines.mysql.definition import option_clause
from rotation.engines.mysql.granting import Granting
from rotation.engines.mysql.names import Account, identifier, literal
from rotation.engines.mysql.pair import MySQLPair
from rotation.engines.mysql.problems import GONE
from rotation.engines.mysql.rights import Change, Right
from rotation.errors import PasswordRefused, StatementFailed, Unsupported

NO_TABLE = frozenset({1031, 1347})
"""ER_ILLEGAL_HA: the engine of the table cannot hold it; ER_WRONG_OBJECT: it is a view."""


class MariaDBPair(MySQLPair):
    """Two users who take turns."""

    definers_type = MariaDBDefiners
    state_type = MariaDBAccountState

    def _require_copiable(self, account: Account) -> None:
        """Raise Unsupported if the account has no password that we can set."""
        first_password(account, catalog.methods(self._connection, account))

    def _require_creatable(self, absent: Collection[Account]) -> None:
        """Accept every name: MariaDB creates accounts that objects name as their definer."""

    def _borrowers(self, account: Account) -> list[Account]:
        """Return the accounts that may act as this one. No account is a role."""
        return accounts.proxy_users(self._connection, account)

    def _mark(self) -> None:
        """Write nothing to the accounts of the user: the mark of the other one is enough."""

    def _create_locked(self, account: Account, other: Account) -> None:
        """Create the other account: the first method is a password that nobody reads, the second one is the mark."""
        operation = f"creating {other}, locked"
        hashes_refused = catalog.refuses_hashes(self._connection, account)
        methods = self._unread_methods(account, other, hashes_refused=hashes_refused)
        statement = f"CREATE USER {other.quoted} IDENTIFIED VIA {methods} ACCOUNT LOCK"
        with _unread():
            self._connection.execute(operation, statement, self._connection.needs(MAY_CREATE))

    def _copy_attributes(self, account: Account, other: Account) -> None:
        """Give the other account methods with the mark, and all besides rights and password.

        If a policy refuses hashes, the password of an account ends when it gets its mark.
        """
        operation, alter = f"giving {other} the attributes of {account}", f"ALTER USER {other.quoted}"
        methods = catalog.methods(self._connection, other)
        hashes_refused = catalog.refuses_hashes(self._connection, other)
        first, *more = self._wanted_methods(account, other, hashes_refused=hashes_refused)
        if hashes_refused:
            is_same = set(without_passwords(methods)) == set(without_passwords(more))
            if methods[0].plugin != first.plugin or not is_same:
                unread = self._unread_methods(account, other, hashes_refused=True)
                with _unread():
                    self._connection.execute(operation, f"{alter} IDENTIFIED VIA {unread}")
        elif methods != [first, *more]:
            wanted = " OR ".join(method.quoted for method in (first, *more))
            self._connection.execute(operation, f"{alter} IDENTIFIED VIA {wanted}")
        user_options, other_options = (
            catalog.options(accounts.row(self._connection, one), catalog.privileges(self._connection, one))
            for one in (account, other)
        )
        if user_options != other_options:
            self._connection.execute(operation, f"{alter} {option_clause(user_options)}")

    def _grant_columns(self, grants: Sequence[Change], granting: Granting) -> None:
        """Grant rights on columns of tables only, while a second connection holds the table.

        The server prepares a view to find its columns, and calls functions that are in it: with the admin's rights, if
        view and function run as their invoker. The second connection keeps the table from being replaced by a view.
        """
        with connect(self._connection.credential, self._connection.deadline, MARIADB) as keeper:
            for change in grants:
                if self._hold(keeper, change, granting):
                    granting.make(change)
                    keeper.execute(f"releasing {change.what}", "HANDLER `rotation` CLOSE")

    def _hold(self, keeper: MySQLConnection, change: Change, granting: Granting) -> bool:
        """Let `keeper` hold a table as it is; False if it is gone. Raises Unsupported if it is not a table."""
        operation, remedy = granting.operation(change), keeper.needs(f"SELECT ON {change.what}")
        try:
            keeper.execute(operation, f"HANDLER {change.what} OPEN AS `rotation`", remedy, NO_TABLE | GONE)
        except ExpectedError as expected:
            if expected.code in GONE:
                granting.gone.update(change.given)
                return False
            cause = "it is no plain table, and MariaDB calls functions in a view when columns of it are granted"
            remedy = (
                f"Run {change.statement} yourself, if the view works and calls nothing; or"
                f" {change.taken_from(granting.account.quoted)}"
            )
            raise Unsupported(operation, cause, remedy) from None
        return True

    def _state(self, account: Account) -> MariaDBAccountState:
        """Return all of an account that is copied."""
        row, privileges = accounts.row(self._connection, account), catalog.privileges(self._connection, account)
        rights, methods = self._rights(account), self._own_methods(account)
        return MariaDBAccountState(
            account,
            options=catalog.options(row, privileges),
            plugin=next((method.plugin for method in methods if method.plugin in HASHED), methods[0].plugin),
            methods=frozenset((method.plugin, method.secret) for method in without_passwords(methods)),
            rights=rights,
            proxies=dict(accounts.proxies(self._connection, account)),
            default_roles=catalog.default_roles(row, rights),
            is_locked=bool(privileges.get("account_locked")),
        )

    def _default_roles(self, account: Account) -> list[str]:
        """Return the role that is active at login, as SHOW GRANTS prints it."""
        return catalog.default_roles(accounts.row(self._connection, account), self._rights(account))

    def _by_roles(self, account: Account) -> frozenset[Right]:
        """Return the rights of the role that is active at login. Others' accounts count besides."""
        roles = self._default_roles(account)
        return frozenset[Right]().union(*(catalog.rights_by_role(self._connection, role) for role in roles))

    def _unprinted(self, account: Account) -> frozenset[Right]:  # noqa: ARG002 - it lists everything
        """Return nothing: SHOW GRANTS lists everything."""
        return frozenset()

    def _own_methods(self, account: Account) -> list[Method]:
        """Return the methods of an account but for our marks."""
        ours = {*marks(self.user), *marks(self.other)}
        methods = catalog.methods(self._connection, account)
        return [method for method in methods if method not in ours] or methods

    def _wanted_methods(self, account: Account, other: Account, *, hashes_refused: bool) -> list[Method]:
        """Return the other account's own password, with the account's plugin, and what comes after it."""
        plugin = first_password(account, catalog.methods(self._connection, account)).plugin
        own = [method for method in self._own_methods(other) if method.plugin == plugin]
        first = own[0] if own else Method(plugin, password_hash(plugin, unread_password(KIND, other.user)))
        return [first, *self._more_methods(account, other, hashes_refused=hashes_refused)]

    def _unread_methods(self, account: Account, other: Account, *, hashes_refused: bool) -> str:
        """Return the methods of a new account: a password that nobody reads, of the same plugin, and the rest."""
        plugin = first_password(account, catalog.methods(self._connection, account)).plugin
        if hashes_refused:
            password = unread_password(KIND, other.user, self._connection.rules_for_clear_text())
            first = f"{identifier(plugin)} USING PASSWORD({literal(password)})"
        else:
            first = Method(plugin, password_hash(plugin, unread_password(KIND, other.user))).quoted
        more = self._more_methods(account, other, hashes_refused=hashes_refused)
        return " OR ".join([first, *(method.quoted for method in more)])

    def _more_methods(self, account: Account, other: Account, *, hashes_refused: bool) -> list[Method]:
        """Return the account's methods without a password, and our mark, if the account has none."""
        more = without_passwords(self._own_methods(account))
        if is_marked(catalog.methods(self._connection, account), other.user):
            return more
        return [*more, mark(account.user, hashes_refused=hashes_refused)]


@contextmanager
def _unread() -> Iterator[None]:
    """Say of a password that nobody reads, if the server refuses it, that it is not the pending one."""
    try:
        yield
    except PasswordRefused as refused:
        cause = f"the server refuses the random password with which an account begins: {refused.cause}"
        raise StatementFailed(refused.operation, cause, refused.remedy) from None
