"""How does a user of Oracle get a password, and a second one?

A user's own password is changed over the wire protocol, so no statement holds it; the old one goes with it, encrypted
like the new one, as verify functions need it. OCIPasswordChange does the same
(https://python-oracledb.readthedocs.io/en/latest/user_guide/connection_handling.html#changing-passwords).

An admin can only send a statement. UNIFIED_AUDIT_TRAIL keeps `IDENTIFIED BY *` of it: trails that people have published
show that, although no page of Oracle's says so. A verifier instead (IDENTIFIED BY VALUES) is not documented, and
bypasses every verify function.

A user can have two passwords for a time. If its profile has a PASSWORD_ROLLOVER_TIME, a change of the password begins a
rollover period, in which two passwords are accepted: the one from before the period, and the newest. The period is
counted from its first change; later changes in it replace the newest password and keep the one from before
(https://docs.oracle.com/en/database/oracle/oracle-database/19/dbseg/configuring-authentication.html, "Managing
Gradual Database Password Rollover for Applications"). So the old password ends with the period, and not with the next
rotation as on other engines. The change of a password that has expired begins no period.

A period ends in the same statement that sets the current password (IDENTIFIED BY … EXPIRE PASSWORD ROLLOVER PERIOD). In
two calls, first the password over the wire and then EXPIRE alone, no statement would hold a password. But between the
two, another delivery of the step could begin a new period, and EXPIRE would end the current password with it.
"""

from collections.abc import Callable
from dataclasses import replace

from rotation.engines.driver import ADMIN_HOST, ANOTHER_PASSWORD, ExpectedError
from rotation.engines.oracle.admin import OracleAdmin
from rotation.engines.oracle.problems import REUSED, STATEMENT_PROBLEMS
from rotation.engines.oracle.proof import OracleProofs
from rotation.engines.oracle.rights import identifier, packaged_name
from rotation.errors import InvalidSecret, NotPermitted, PasswordRefused, StatementFailed, Unsupported

ROLLOVER_TIME = "PASSWORD_ROLLOVER_TIME"
IN_ROLLOVER = "IN ROLLOVER"

REUSED_SECONDS = 1.1
"""How long until a password that is not allowed a second time is tried once more. It is said that a server refuses so
also if the last change was less than a second ago; we found no page of Oracle's about it."""

CHANGED_MEANWHILE = frozenset({"ORA-28008"})
"""The old password is no longer valid: another delivery of this step can have set the new one."""

POLICIES = REUSED | {"ORA-28003", "ORA-28219", "ORA-28221"}
"""The profile does not allow this password: ORA-28003 finds it too similar to the old one, ORA-28221 wants REPLACE."""


class OraclePasswords:
    """Sets passwords: of the user who is logged in, or of others. Names are as the server keeps them."""

    def __init__(self, admin: OracleAdmin, proofs: OracleProofs) -> None:
        self._admin = admin
        self._connection = admin.connection
        self._proofs = proofs

    def change_own(self, password: str) -> None:
        """Give the user who is logged in this password; see `rotation.engine.Session.change_own_password`."""
        credential = self._connection.credential
        if password != credential.password:
            operation = f"changing the password of {self._connection.username}"
            self._change_own(credential.password, password, operation)
            self._connection.credential = replace(credential, password=password)

    def set(self, user: str, password: str, operation: str, clauses: str = "") -> None:
        """Give another user this password, and what the clauses say; see `rotation.engine.Session.set_password`."""
        statement = f"ALTER USER {identifier(user)} IDENTIFIED BY {_literal(password, operation)} {clauses}"

        def change() -> None:
            self._alter(user, operation, statement.rstrip(), REUSED)

        try:
            change()
        except ExpectedError as refused:
            if clauses:
                self._alter(user, operation, f"ALTER USER {identifier(user)} {clauses}")
            self._require_accepted(user, password, refused, operation, change)

    def require_two(self) -> None:
        """Raise Unsupported if the user cannot have two; see `rotation.engine.KeepsOldPassword`."""
        operation = f"checking whether {self._connection.username} can have two passwords"
        self._admin.resolve_in_own_schema()
        query = "SELECT limit FROM sys.user_password_limits WHERE resource_name = :name"
        rows = self._connection.execute(operation, query, {"name": ROLLOVER_TIME})
        if not rows:
            version = ".".join(map(str, self._connection.version))
            cause = f"Oracle {version} has no gradual password rollover; 19.12 and 21c were the first"
            raise Unsupported(operation, cause, "Use another strategy, or upgrade")
        if not days(rows[0][0]):
            remedy = (
                f"ALTER PROFILE … LIMIT {ROLLOVER_TIME} 1, in days, from 1/24 to 60: as long as an application can keep"
                " the old password; or use another strategy"
            )
            raise Unsupported(operation, f"the profile of the user has no {ROLLOVER_TIME}", remedy)

    def add_own(self, current: str, password: str, operation: str) -> None:
        """Give the user who is logged in a second password; see `add`."""
        user = self._connection.username
        self._admin.resolve_in_own_schema()
        [(status,)] = self._connection.execute(operation, "SELECT account_status FROM sys.user_users")
        if IN_ROLLOVER in status:
            try:
                self._make_only(user, current, operation, POLICIES)
            except ExpectedError as refused:
                if self._connection.accepts(user, password):
                    return
                cause = (
                    f"{user} is in the rollover period of an earlier change, and its profile does not allow the current"
                    f" password to be set again ({refused.code})"
                )
                remedy = f'Put an admin into "masterarn", or rotate again when {ROLLOVER_TIME} is over'
                raise NotPermitted(operation, cause, remedy) from None
        self._change_own(current, password, operation)

    def add(self, user: str, current: str, password: str, operation: str) -> None:
        """Give another user a second password; see `rotation.engine.KeepsOldPassword.add_password`.

        The old one ends with the rollover period, which begins now. If a period has begun already, `current` can be the
        password from before it, or the newest one: another change would keep it in the first case, and end it in the
        second. So it is made the only one first, in one statement, which is right in both.
        """
        if not (self._proofs.has_proved(user, current) or self._connection.accepts(user, current)):
            cause = f"{user} cannot log in on the admin's server with its current password"
            raise Unsupported(operation, cause, ADMIN_HOST)
        rows = self._admin.read(operation, "dba_users", ["username"], ["account_status"], [user])
        if any(IN_ROLLOVER in status for _, status in rows):
            try:
                self._make_only(user, current, operation, REUSED)
            except ExpectedError:
                if self._connection.accepts(user, password):
                    return
                cause = (
                    f"{user} is in the rollover period of an earlier change, and its profile does not allow a password"
                    " a second time"
                )
                raise StatementFailed(operation, cause, f"Rotate again when {ROLLOVER_TIME} is over") from None
        self.set(user, password, operation)

    def _make_only(self, user: str, password: str, operation: str, expected: frozenset[str]) -> None:
        """End the rollover period, so that the user has this password and no other."""
        new = _literal(password, operation)
        statement = f"ALTER USER {identifier(user)} IDENTIFIED BY {new} EXPIRE PASSWORD ROLLOVER PERIOD"
        self._alter(user, operation, statement, expected)

    def _alter(self, user: str, operation: str, statement: str, expected: frozenset[str] = frozenset()) -> None:
        """Run a statement about the user who is logged in, or about another one."""
        remedy = f"GRANT ALTER USER TO {packaged_name(self._connection.username)}"
        if user == self._connection.username:
            self._connection.execute(operation, statement, remedy=remedy, expected=expected)
        else:
            self._admin.change(operation, statement, remedy, expected)

    def _change_own(self, current: str, password: str, operation: str) -> None:
        def change() -> None:
            self._connection.change_password(operation, current, password, REUSED | CHANGED_MEANWHILE)

        try:
            change()
        except ExpectedError as refused:
            self._require_accepted(self._connection.username, password, refused, operation, change)

    def _require_accepted(
        self, user: str, password: str, refused: ExpectedError, operation: str, change: Callable[[], None]
    ) -> None:
        """Raise what the code means, unless the user has this password already: another invocation has set it.

        If it has another one, the change is tried once more.
        """
        if self._connection.accepts(user, password):
            return
        if refused.code in REUSED:
            self._connection.pause(REUSED_SECONDS, f"waiting before {operation} again")
            try:
                change()
            except ExpectedError as again:
                refused = again
            else:
                return
        if refused.code in CHANGED_MEANWHILE:
            cause = f"somebody has changed the password of {user} since the login ({refused.code})"
            raise StatementFailed(operation, cause, STATEMENT_PROBLEMS[str(refused.code)][1])
        cause = f"the profile of {user} does not allow a password a second time ({refused.code})"
        raise PasswordRefused(operation, cause, ANOTHER_PASSWORD)


def _literal(password: str, operation: str) -> str:
    """Return a password quoted for SQL, as an identifier is; raises InvalidSecret if it cannot be quoted."""
    if '"' in password or "\0" in password:
        cause = "the password holds a double quote, which no password of Oracle can"
        raise InvalidSecret(operation, cause, "Write another password into the secret")
    return identifier(password)


def days(limit: str | None) -> float:
    """Read a limit; the territory of a database decides whether its decimals come after a point or a comma."""
    try:
        return float((limit or "0").replace(",", "."))
    except ValueError:  # UNLIMITED, NULL, DEFAULT: no values of this parameter
        return 0
