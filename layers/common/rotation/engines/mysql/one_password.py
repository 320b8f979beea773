"""How does a user of MySQL replace its password, so that the old ones end?

An account can have a second password: an earlier rotation with two passwords left it, or somebody wrote RETAIN CURRENT
PASSWORD. To end it, an account needs a privilege that most accounts lack; and no user can see whether it has one. So it
ends here if the server lets the user do that, and else when an admin sets the password.

It ends before the new password is set: a rotation that is cut off in between is repeated, and one that has set the
password is done. At every instant the password that logged in works.
"""

from contextlib import suppress

from rotation.engines.driver import ExpectedError
from rotation.engines.mysql.connection import MySQLConnection
from rotation.engines.mysql.locks import server_lock
from rotation.engines.mysql.names import Account, literal
from rotation.engines.mysql.problems import NEEDS_PRIVILEGE
from rotation.engines.mysql.two_passwords import POLICIES, RETAIN, WRONG_CURRENT, is_primary, make_primary
from rotation.errors import RETRIED, NotPermitted, StatementFailed

OWN = "ALTER USER USER()"


class OnePassword:
    """The password of the user who is logged in, on a server that compares the password before it sets a new one."""

    def __init__(self, connection: MySQLConnection) -> None:
        self._connection = connection
        self._may_end = True
        """Whether the user can end its second password, as far as the server has said."""

    def replace(self, password: str, operation: str) -> None:
        """Replace the password that logged in, and end any other one, if the server lets the user do that.

        Raises NotPermitted if it is sure that another one would remain.
        """
        try:
            self._replace(password, operation)
        except ExpectedError:
            # We are logged in with the second password; or another invocation of this step has just set the new one.
            with server_lock(self._connection, self._connection.username, operation):
                self._replace_orphan(password, operation)

    def end_second(self, operation: str) -> None:
        """End the second password, if the server lets the user do that."""
        self._discard(operation, NEEDS_PRIVILEGE)

    def end_other(self, account: Account, operation: str) -> None:
        """Let the second password be the one that logged in, so that no other one is left.

        Changes nothing if a policy refuses that, or if it is the second one that logged in: `replace` ends it then.
        """
        current = self._connection.credential.password
        with suppress(ExpectedError):
            if self._retain(current, current, operation, NEEDS_PRIVILEGE, *POLICIES) == NEEDS_PRIVILEGE:
                cause = "the password of an earlier rotation logs in as well, and the user cannot end it"
                discard = f"ALTER USER {account.quoted} DISCARD OLD PASSWORD"
                raise NotPermitted(operation, cause, f'Run {discard} as an admin, or put one into "masterarn"')

    def _replace(self, password: str, operation: str) -> None:
        """Raise ExpectedError if the password that logged in is not the primary one."""
        current, refused, is_set = self._connection.credential.password, NEEDS_PRIVILEGE, False
        if self._connection.version() >= RETAIN:
            refused = self._retain(current, current, operation, NEEDS_PRIVILEGE, *POLICIES)
        if refused in POLICIES:  # the server does not take the present password again: no other order is possible
            refused = self._retain(current, password, operation, NEEDS_PRIVILEGE)
            is_set = refused != NEEDS_PRIVILEGE
        self._may_end = refused != NEEDS_PRIVILEGE
        if self._may_end:
            self._discard(operation)
        if not is_set:
            self._set(current, password, operation)

    def _replace_orphan(self, password: str, operation: str) -> None:
        """Replace a primary password that an abandoned rotation, or somebody, has left."""
        username = self._connection.username
        if is_primary(self._connection, password, operation):
            if self._may_end:
                self._discard(operation)
            return
        if not self._may_end:
            cause = f"{username} logged in with its second password, which would log in for ever"
            right = self._connection.needs("APPLICATION_PASSWORD_ADMIN ON *.*")
            raise NotPermitted(operation, cause, f'{right}, or put an admin into "masterarn"')
        make_primary(self._connection, self._connection.credential.password, operation)
        try:
            self._replace(password, operation)
        except ExpectedError:
            raise StatementFailed(operation, "another rotation changes the password", RETRIED) from None

    def _set(self, current: str, password: str, operation: str) -> None:
        statement = f"{OWN} IDENTIFIED BY {literal(password)} REPLACE {literal(current)}"
        self._connection.execute(operation, statement, expected=frozenset({WRONG_CURRENT}))

    def _retain(self, current: str, password: str, operation: str, *expected: int) -> int:
        """Let the password that logged in be the second one, in place of any other.

        Return the number that refused it, if that is expected, or 0; raises ExpectedError if it is not the primary one.
        """
        statement = f"{OWN} IDENTIFIED BY {literal(password)} REPLACE {literal(current)} RETAIN CURRENT PASSWORD"
        try:
            self._connection.execute(operation, statement, expected=frozenset({WRONG_CURRENT, *expected}))
        except ExpectedError as refused:
            if refused.code not in expected:
                raise
            return int(refused.code)
        return 0

    def _discard(self, operation: str, *expected: int) -> None:
        with suppress(ExpectedError):
            self._connection.execute(operation, f"{OWN} DISCARD OLD PASSWORD", expected=frozenset(expected))
