"""What does MariaDB show in another way than MySQL? See `rotation.engines.mysql.inspection`."""

from collections.abc import Collection, Iterator
from functools import partial
from typing import Final

from rotation.engines.mariadb import catalog
from rotation.engines.mariadb.dialect import MARIADB
from rotation.engines.mariadb.kind import KIND
from rotation.engines.mariadb.methods import first_password, require_changeable, require_native
from rotation.engines.mysql import inspection
from rotation.engines.mysql.inspection import LOOKING, READINGS, SAFE_ATTEMPTS, MySQLInspection
from rotation.engines.mysql.names import Account
from rotation.engines.mysql.rights import Right
from rotation.errors import NotPermitted
from rotation.finding import Finding, failed_with, passed

begin_tls: Final = partial(inspection.begin_tls, problems=MARIADB.login_problems)

NO_LIMIT: Final = 2**32 - 1
"""The highest value of max_password_errors, and its default."""


class MariaDBInspection(MySQLInspection):
    """The looks of one session, of the user or of an admin."""

    kind = KIND
    oldest, newest = (10, 5), (11, 8)

    def _limit_of_logins(self) -> tuple[int | None, str]:
        """Return the server's limit for all users, and what raises it."""
        limit = int(self._settings["max_password_errors"])
        remedy = f"Set max_password_errors to {SAFE_ATTEMPTS} or more on the server"
        return (None if limit >= NO_LIMIT else limit), remedy

    def _own_password(self) -> Iterator[Finding]:
        try:
            require_changeable(self._connection.username, catalog.own_methods(self._connection, LOOKING), LOOKING)
        except NotPermitted as error:
            yield failed_with("rights", error)
        else:
            yield passed("rights", f"{self._connection.username} can change its own password")

    def _own_second_password(self) -> Iterator[Finding]:
        """Say whether the account can have two passwords: only an admin can add one."""
        username = self._connection.username
        require_native(username, catalog.own_plugins(self._connection, LOOKING), LOOKING)
        yield passed("rights", f"the admin can give {username} a second password")

    def _to_grant(self, right: Right) -> Right:
        """Return the right itself: a role is granted by who has it WITH ADMIN OPTION."""
        return right

    def _is_of_system(self, account: Account) -> bool:  # noqa: ARG002 - no account is
        """Return False: there is no SYSTEM_USER."""
        return False

    def _read_all(self, accounts: Collection[Account]) -> None:
        for account in accounts:
            first_password(account, catalog.methods(self._connection, account))
            for read in READINGS:
                read(self._connection, account)

    def _require_two(self, account: Account) -> None:
        catalog.require_no_history(self._connection, LOOKING)
        require_native(account, (method.plugin for method in catalog.methods(self._connection, account)), LOOKING)
