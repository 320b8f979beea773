"""Oracle Database, Amazon RDS for Oracle, and RDS Custom for Oracle (12.1 and later, by the client in thin mode).

A user may have two passwords for a time: where its profile has a PASSWORD_ROLLOVER_TIME, a change of the password
begins a rollover period, in which the one before the period and the newest are accepted. The period is counted from
its first change; later changes in it replace the newest password and keep the one from before
(https://docs.oracle.com/en/database/oracle/oracle-database/19/dbseg/configuring-authentication.html, "Managing
Gradual Database Password Rollover for Applications"). So the old password ends with the period, and not with the next
rotation as elsewhere.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from rotation.credential import Credential
from rotation.deadline import Deadline
from rotation.engines.driver import POLICY
from rotation.engines.oracle.connection import ExpectedError, connect, normal
from rotation.engines.oracle.pair import PairSession
from rotation.engines.oracle.rights import quoted
from rotation.errors import InvalidSecret, NotPermitted, PasswordRefused, StatementFailed, Unsupported
from rotation.kind import CLONE_SUFFIX, EngineKind, Strategy

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


def counterpart(username: str) -> str:
    """Return the other user of a pair, written like the one: in quotes or without, in capitals or not.

    AWS's templates write _CLONE. To the server the case makes a difference between quotes only.
    """
    quote = '"' if username.startswith('"') else ""
    name = username.strip('"')
    stem = name[: -len(CLONE_SUFFIX)]
    suffixed = name == _with_suffix(stem) if quote else name.lower().endswith(CLONE_SUFFIX)
    return f"{quote}{stem if suffixed else _with_suffix(name)}{quote}"


def _with_suffix(name: str) -> str:
    return name + (CLONE_SUFFIX.upper() if name.isupper() else CLONE_SUFFIX)


KIND = EngineKind(
    name="Oracle",
    # `oracle` is what secrets for AWS's templates say; the others are RDS's own names.
    engine_values=frozenset(
        {
            "oracle",
            "oracle-ee",
            "oracle-ee-cdb",
            "oracle-se2",
            "oracle-se2-cdb",
            "custom-oracle-ee",
            "custom-oracle-ee-cdb",
            "custom-oracle-se2",
            "custom-oracle-se2-cdb",
        }
    ),
    default_port=1521,
    tls_has_own_port=True,
    default_database=None,
    needs_database=True,
    # Bytes, from 12.2 on (https://docs.oracle.com/en/database/oracle/oracle-database/19/sqlrf/Database-Object-Names-and-Qualifiers.html).
    username_limit=128,
    username_length=lambda name: len(name.strip('"').encode()),
    normal_name=normal,
    counterpart=counterpart,
    # Bytes, up to 21c (https://docs.oracle.com/en/error-help/db/ora-00972/); 23ai takes 1024.
    password_limit=30,
    # A password is an identifier between double quotes, and nothing can be escaped there.
    unusable_in_passwords='"',
    strategies=frozenset(Strategy),
    dual_password_needs_version=True,
)

ROLLOVER_TIME = "PASSWORD_ROLLOVER_TIME"
IN_ROLLOVER = "IN ROLLOVER"

REUSED = frozenset({"ORA-28007"})
"""The profile does not let a password come again: an earlier delivery may have set it."""

POLICIES = REUSED | {"ORA-28003", "ORA-28219", "ORA-28221"}
"""The profile does not let this password be set: ORA-28003 finds it too like the old one, ORA-28221 wants REPLACE."""


class Oracle:
    """The engine; implements `rotation.engine.Engine`."""

    kind = KIND

    def connect(self, credential: Credential, deadline: Deadline) -> "AbstractContextManager[OracleSession]":
        """Log in; see `rotation.engine.Engine.connect`."""
        return connect(OracleSession, credential, deadline)


class OracleSession(PairSession):
    """One connection; implements `rotation.engine.Session` and `rotation.engine.KeepsOldPassword`.

    A user's own password is changed over the wire protocol, so that no statement holds it; the old one goes with it,
    encrypted like the new one, as verify functions want it. That is what OCIPasswordChange does, too
    (https://python-oracledb.readthedocs.io/en/latest/user_guide/connection_handling.html#changing-passwords).

    An admin can only send a statement. What UNIFIED_AUDIT_TRAIL keeps of it is `IDENTIFIED BY *`: so show the trails
    that people have published, though no page of Oracle's says it. A verifier in its place (IDENTIFIED BY VALUES) is
    not documented, and passes by every verify function.
    """

    def change_own_password(self, password: str) -> None:
        """Give the user who is logged in this password; see `rotation.engine.Session`."""
        if password != self._credential.password:
            self._change(self._credential.password, password, f"changing the password of {self.username}")
            self._credential = replace(self._credential, password=password)

    def set_password(self, username: str, password: str) -> None:
        """Give another user this password, and unlock it; see `rotation.engine.Session`."""
        operation = f"setting the password of {username}"
        self._set(normal(username), password, "ACCOUNT UNLOCK", operation)

    def reset_password(self, username: str, password: str) -> None:
        """Give another user this password; see `rotation.engine.Session`."""
        self._set(normal(username), password, "", f"setting the password of {username}")

    def require_two_passwords(self) -> None:
        """See `rotation.engine.KeepsOldPassword`."""
        operation = f"asking whether {self.username} can have two passwords"
        self._as_oneself()
        query = "SELECT limit FROM sys.user_password_limits WHERE resource_name = :name"
        rows = self.execute(operation, query, {"name": ROLLOVER_TIME})
        if not rows:
            version = ".".join(map(str, self.version))
            cause = f"Oracle {version} knows no gradual password rollover; 19.12 and 21c were the first"
            raise Unsupported(operation, cause, "Use another strategy, or upgrade")
        if not _days(rows[0][0]):
            remedy = (
                f"ALTER PROFILE … LIMIT {ROLLOVER_TIME} 1, in days, from 1/24 to 60: as long as an application may go"
                " on with the old password; or use another strategy"
            )
            raise Unsupported(operation, f"the profile of the user has no {ROLLOVER_TIME}", remedy)

    def add_password(self, username: str, current: str, password: str) -> None:
        """Have the user accept both; see `rotation.engine.KeepsOldPassword`.

        The old one ends with the rollover period, which begins now. Where a period is under way already, `current`
        may be the password from before it, or the newest one: a further change would keep it in the one case, and end
        it in the other. So it is made the only one first, in one statement, which is right in both.
        """
        user, operation = normal(username), f"giving {username} a second password"
        if user == self.username:
            self._add_own(current, password, operation)
        else:
            self._add_for(user, current, password, operation)

    def _add_own(self, current: str, password: str, operation: str) -> None:
        self._as_oneself()
        [(status,)] = self.execute(operation, "SELECT account_status FROM sys.user_users")
        if IN_ROLLOVER in status:
            try:
                self._make_only(self.username, current, operation, POLICIES)
            except ExpectedError as refusal:
                if self.accepts(self.username, password):
                    return
                cause = (
                    "it is in the rollover period of an earlier change, and its profile does not let the current"
                    f" password be set once more ({refusal.code})"
                )
                remedy = f'Put an admin into "masterarn", or rotate again when {ROLLOVER_TIME} is over'
                raise NotPermitted(operation, cause, remedy) from None
        self._change(current, password, operation)

    def _add_for(self, user: str, current: str, password: str, operation: str) -> None:
        if not (self.has_proved(user, current) or self.accepts(user, current)):
            cause = f"{user} does not log in on this server with the password that is to stay"
            raise Unsupported(operation, cause, "Correct the host of the admin secret")
        rows = self.read(operation, "dba_users", ["username"], ["account_status"], [user])
        if any(IN_ROLLOVER in status for _, status in rows):
            try:
                self._make_only(user, current, operation, REUSED)
            except ExpectedError:
                if self.accepts(user, password):
                    return
                cause = (
                    "it is in the rollover period of an earlier change, and its profile does not let passwords return"
                )
                raise StatementFailed(operation, cause, f"Rotate again when {ROLLOVER_TIME} is over") from None
        self._set(user, password, "", operation)

    def _make_only(self, user: str, password: str, operation: str, expected: frozenset[str]) -> None:
        """End the rollover period, and have the user accept this password and no other."""
        statement = (
            f"ALTER USER {quoted(user)} IDENTIFIED BY {_secret(password, operation)} EXPIRE PASSWORD ROLLOVER PERIOD"
        )
        self._alter_account(user, operation, statement, expected)

    def _alter_account(self, user: str, operation: str, statement: str, expected: frozenset[str] = frozenset()) -> None:
        """Run a statement about oneself, or about another user."""
        needed = f"GRANT ALTER USER TO {self.username}"
        if user == self.username:
            self.execute(operation, statement, remedy=needed, expected=expected)
        else:
            self.command(operation, statement, needed, expected)

    def _change(self, current: str, password: str, operation: str) -> None:
        """Change one's own password, over the wire protocol."""
        try:
            self.call(operation, lambda: self._connection.changepassword(current, password), expected=REUSED)
        except ExpectedError as refusal:
            self._require_accepted(self.username, password, refusal, operation)

    def _set(self, user: str, password: str, clauses: str, operation: str) -> None:
        """Change the password of another user."""
        statement = f"ALTER USER {quoted(user)} IDENTIFIED BY {_secret(password, operation)} {clauses}"
        try:
            self._alter_account(user, operation, statement.rstrip(), REUSED)
        except ExpectedError as refusal:
            if clauses:
                self._alter_account(user, operation, f"ALTER USER {quoted(user)} {clauses}")
            self._require_accepted(user, password, refusal, operation)

    def _require_accepted(self, user: str, password: str, refusal: ExpectedError, operation: str) -> None:
        """Be content with a password that cannot be set because it is the user's: an earlier delivery has set it."""
        if not self.accepts(user, password):
            cause = f"the profile of the user does not let a password return ({refusal.code})"
            raise PasswordRefused(operation, cause, POLICY)

    def _as_oneself(self) -> None:
        """Have the views of one's own account show it: they go by the current schema, which a trigger may have set."""
        self.execute("preparing to look", f"ALTER SESSION SET CURRENT_SCHEMA = {quoted(self.username)}")


def _secret(password: str, operation: str) -> str:
    if '"' in password or "\0" in password:
        raise InvalidSecret(
            operation, "the password holds a double quote, which none of Oracle's can", "Write another one"
        )
    return quoted(password)


def _days(limit: str | None) -> float:
    try:
        return float(limit or 0)
    except ValueError:  # UNLIMITED, NULL, DEFAULT: nothing that the parameter takes
        return 0
