"""MySQL, Amazon RDS for MySQL, and Aurora MySQL (8.0.22 and later; single users from 5.7 on)."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace

from rotation.credential import Credential
from rotation.deadline import Deadline
from rotation.engine import CloneStatus, Comparison, Proof, Unshared
from rotation.engines.driver import ExpectedError, verify
from rotation.engines.mysql import catalog
from rotation.engines.mysql.accounts import MySQLAccounts
from rotation.engines.mysql.connection import MAY_CREATE, NOT_SHOWN, MySQLConnection, connect
from rotation.engines.mysql.definition import needs_password, secondary_hash
from rotation.engines.mysql.hashes import matches
from rotation.engines.mysql.inspection import MySQLInspection, begin_tls
from rotation.engines.mysql.kind import KIND
from rotation.engines.mysql.locks import take_turn
from rotation.engines.mysql.names import Account, literal
from rotation.engines.mysql.one_password import OnePassword
from rotation.engines.mysql.pair import MySQLPair
from rotation.engines.mysql.problems import RENEW, for_user
from rotation.engines.mysql.two_passwords import POLICIES, REPLACE, RETAIN, WRONG_CURRENT, TwoPasswords, promote
from rotation.engines.mysql.wire import EXPIRED_PASSWORD
from rotation.engines.other_engine import reach
from rotation.errors import LoginBlocked, NotPermitted, PasswordRefused, StatementFailed, Unsafe
from rotation.finding import Finding
from rotation.kind import Strategy
from rotation.passwords import Rule

REVERSIBLE = (
    "SELECT",
    "WITH",
    "TABLE",
    "VALUES",
    "SHOW",
    "DESCRIBE",
    "EXPLAIN",
    "INSERT",
    "UPDATE",
    "DELETE",
    "REPLACE",
)
"""How statements begin that a transaction can take back. All others (DDL, COMMIT, CALL) commit, or can commit."""

IDENTITY = "CURRENT_USER(), @@proxy_user, VERSION()"
"""What a session asks of itself, once. The version is asked along: many who prove who they are ask for it next."""

NOT_ROLLED_BACK = 1196
"""ER_WARNING_NOT_COMPLETE_ROLLBACK, a warning: a table of an engine like MyISAM keeps what was done to it."""

NOT_SAID = ""
"""The principal of a user whose password has expired."""

NOT_RENEWED = POLICIES | {WRONG_CURRENT}
"""The server's rules refuse a password, or the user logged in with the second one, which it cannot replace."""

HISTORY = re.compile(r"\(error 3638\)|\(password_reuse_check\)")
"""How MySQL, and a plugin of MariaDB, say that the account had the password before. For other reasons, a password that
is refused cannot be the account's, and a login with it would only be a refused one."""


class MySQL:
    """The engine; implements `rotation.engine.Engine`."""

    kind = KIND

    @contextmanager
    def connect(self, credential: Credential, deadline: Deadline) -> Iterator["MySQLSession"]:
        """Log in; see `rotation.engine.Engine.connect`."""
        with connect(credential, deadline) as connection:
            yield MySQLSession(connection)

    def reach(self, credential: Credential, deadline: Deadline) -> Iterator[Finding]:
        """Say how far one gets without a login; see `rotation.engine.InspectedEngine`."""
        return reach(credential, deadline, self.kind, begin_tls)


class MySQLSession:
    """One connection; implements all the protocols of sessions in `rotation.engine`.

    Passwords are sent in clear inside of TLS: the server masks them in its logs, also if a statement fails
    (https://dev.mysql.com/doc/refman/8.4/en/password-logging.html), and users may not set hashes for themselves.
    """

    accounts_type: type[MySQLAccounts] = MySQLAccounts
    pair_type: type[MySQLPair] = MySQLPair
    inspection_type: type[MySQLInspection] = MySQLInspection

    def __init__(self, connection: MySQLConnection) -> None:
        self.connection = connection
        self.accounts = self.accounts_type(connection)
        self._identity: tuple[str, str | None] | None = None
        """Which account is logged in, and by which proxy. It is the same to the end of the session."""
        self._pairs: dict[tuple[str, str], MySQLPair] = {}

    def proof(self) -> Proof:
        """Return who is logged in; see `rotation.engine.Session`.

        The server lets an anonymous account in if it does not know the name, and replaces an account by another one
        that it is a proxy of. Accounts of one name differ by their hosts. If the password has expired, which the server
        says after the right one only, it says nothing else: an admin finds the account by the password.
        """
        username = self.connection.username
        operation = f"checking which account {username} is logged in as"
        try:
            account, proxy = self._who(operation)
        except ExpectedError:
            return Proof(username, self.connection.credential.password, NOT_SAID)
        if proxy is None and account.startswith(f"{username}@"):
            return Proof(username, self.connection.credential.password, account)
        found = Account(*account.rsplit("@", 1))
        remedy = f"REVOKE PROXY ON {found.quoted} FROM {proxy}" if proxy else f"DROP USER {found.quoted}"
        raise Unsafe(operation, f"the server logged it in as {account}, which is another account", remedy)

    def surroundings(self) -> Mapping[str, str]:
        """Return which roles and which database are active; see `rotation.engine.Session`."""
        operation = f"asking the server what an application finds as {self.connection.username}"
        query = f"SELECT CURRENT_ROLE(), DATABASE(), {IDENTITY}"
        [(role, database, *identity)] = self.connection.execute(operation, query)
        self._note(*identity)
        return {"the active roles": str(role), "the database": str(database)}

    def _who(self, operation: str) -> tuple[str, str | None]:
        """Return which account is logged in, and by which proxy; raises ExpectedError if the password has expired."""
        if not self._identity:
            expired = frozenset({EXPIRED_PASSWORD})
            [identity] = self.connection.execute(operation, f"SELECT {IDENTITY}", expected=expired)
            return self._note(*identity)
        return self._identity

    def _note(self, account: str, proxy: str | None, version: str) -> tuple[str, str | None]:
        self.connection.note_version(version)
        self._identity = (account, proxy)
        return self._identity

    def has_expired(self) -> bool:
        """Tell whether the password of the user who is logged in has expired; raises Unsafe as `proof` does."""
        return self.proof().principal == NOT_SAID

    def require_proven(self, proof: Proof) -> None:
        """Bind this session, an admin's, to an account that logged in; see `rotation.engine.Session`."""
        self.accounts.require_proven(proof)

    def change_own_password(self, password: str) -> None:
        """Give the user who is logged in this password; see `rotation.engine.Session`."""
        operation = f"changing the password of {self.connection.username}"
        if self.has_expired():
            self._renew(password, operation)
            self.proof()
            if self.connection.credential.password == password:
                self._end_own_second(operation)
                return
        try:
            self._change_own_password(password, operation)
        except PasswordRefused as refused:
            # A policy refuses a password of the history: also one that another invocation has set since our login.
            is_ours = password == self.connection.credential.password
            if (
                is_ours
                or not HISTORY.search(refused.cause)
                or not self.connection.accepts(self.connection.username, password)
            ):
                raise
        self.connection.credential = replace(self.connection.credential, password=password)

    def end_old_password(self) -> None:
        """End the second password of the user who is logged in; see `rotation.engine.EndsOldPassword`."""
        operation = f"ending the second password of {self.connection.username}"
        if not self.has_expired() and self.connection.version() >= RETAIN:
            OnePassword(self.connection).end_other(Account(*self.proof().principal.rsplit("@", 1)), operation)

    def accepted(self, username: str, passwords: Sequence[str]) -> Sequence[str] | None:
        """Return which passwords log in, as the hashes say; see `rotation.engine.SeesPasswords`."""
        return self.accounts.accepted(username, passwords)

    def password_rules(self) -> Sequence[Rule]:
        """Return what the server's plugins ask of passwords; see `rotation.engine.ShowsPasswordRules`."""
        return self.connection.rules_for_clear_text()

    def clone_status(self, user: str, other: str) -> CloneStatus:
        """Tell what is known about the pair; see `rotation.engine.Session`."""
        return self._pair(user, other).clone_status()

    def unshared(self, user: str, other: str) -> Sequence[Unshared]:
        """Return the objects whose definer is the user, and what it has by others' accounts; see `rotation.engine`."""
        return self._pair(user, other).unshared()

    def mirror(self, user: str, other: str) -> None:
        """Make `other` what `user` is; see `rotation.engine.Session`."""
        self._pair(user, other).mirror()

    def set_password(self, username: str, password: str) -> None:
        """Give another user this password, on all hosts at once; see `rotation.engine.Session`."""
        self._set_password(username, password, " ACCOUNT UNLOCK")

    def reset_password(self, username: str, password: str) -> None:
        """Give another user this password, on all hosts at once; see `rotation.engine.Session`."""
        self._set_password(username, password)

    def compare(self, user: str, other: str) -> Comparison:
        """Compare the two; see `rotation.engine.Session`."""
        return self._pair(user, other).compare()

    def verify(self, statements: Sequence[str]) -> None:
        """Run the statements, and roll everything back; see `rotation.engine.Session`.

        The server commits before and after DDL, and if a statement says so: such statements are not run at all
        (https://dev.mysql.com/doc/refman/8.4/en/implicit-commit.html).
        First the server says who acts: a proxy that a stranger has granted could have put another account in the place
        of this one.
        """
        if self.has_expired():
            operation = f"verifying as {self.connection.username}"
            raise LoginBlocked(operation, "its password has expired", for_user(RENEW, self.connection.username))
        if not statements:
            return
        self.connection.begin_transaction("preparing to verify")
        verify(statements, self.connection.execute_and_discard, REVERSIBLE)
        warnings = {warning.number for warning in self.connection.end_transaction("rolling back")}
        if NOT_ROLLED_BACK in warnings:
            remedy = "Take statements that change such tables out of verify, and undo by hand what they did"
            raise StatementFailed("rolling back", "a table without transactions was changed", remedy)
        if NOT_SHOWN in warnings:
            remedy = "Set max_error_count to 64 on the server, so that it says whether all was rolled back"
            raise StatementFailed("rolling back", "the server has a warning, and does not show it", remedy)

    def require_two_passwords(self) -> None:
        """Raise Unsupported if the user cannot have two; see `rotation.engine.KeepsOldPassword`.

        If the password has expired, the server does not say. The user finds out when it adds a password.
        """
        if not self.has_expired():
            TwoPasswords(self.connection, self.accounts).require_possible()

    def add_password(self, username: str, current: str, password: str) -> None:
        """Let the user log in with both; see `rotation.engine.KeepsOldPassword`."""
        passwords = TwoPasswords(self.connection, self.accounts)
        if username == self.connection.username:
            if self.has_expired():
                self._renew(current, f"giving {username} a second password")
                self.proof()
                passwords.require_possible()
            passwords.add_own(current, password)
        else:
            passwords.add_for(username, current, password)

    def inspect_server(self) -> Iterator[Finding]:
        """Say what the server is; see `rotation.engine.InspectedSession`."""
        return self._inspection().server()

    def inspect_rights(self, strategy: Strategy, user: str, other: str) -> Iterator[Finding]:
        """Say whether who is logged in may do its part; see `rotation.engine.InspectedSession`."""
        if self.connection.username == user:
            return self._inspection().own_rights(strategy)
        return self._looked_at(strategy, user, other)

    def _looked_at(self, strategy: Strategy, user: str, other: str) -> Iterator[Finding]:
        with self.connection.answers.kept():
            yield from self._inspection().admins_rights(strategy, user, self._pair(user, other))

    def _inspection(self) -> MySQLInspection:
        return self.inspection_type(self.connection, self.accounts)

    def _renew(self, password: str, operation: str) -> None:
        """Renew the password that has expired; if a policy refuses it, give the user the other password.

        Until then the server does nothing else for the session, and says nothing.
        """
        for one in (self.connection.credential.password, password):
            with suppress(ExpectedError):
                self._set_expired(one, operation)
                break
        else:
            cause = "its password has expired, and the server lets it set no other one"
            raise NotPermitted(operation, cause, for_user(RENEW, self.connection.username))
        self.connection.credential = replace(self.connection.credential, password=one)
        self.connection.begin()

    def _set_expired(self, password: str, operation: str) -> None:
        """Give the user, whose password has expired, this one; raises ExpectedError if a policy refuses it."""
        current = self.connection.credential.password
        if literal(current + password) != f"'{current}{password}'":
            raise ExpectedError(EXPIRED_PASSWORD)  # the session's sql_mode, which says how to quote, is not ours yet
        statement = f"ALTER USER USER() IDENTIFIED BY {literal(password)} REPLACE {literal(current)}"
        self.connection.execute(operation, statement, expected=NOT_RENEWED)

    def _end_own_second(self, operation: str) -> None:
        """End the second password of the user who is logged in, if the server lets it."""
        OnePassword(self.connection).end_second(operation)

    def _change_own_password(self, password: str, operation: str) -> None:
        if self.connection.version() >= REPLACE:  # some accounts must give the current password, and the others may
            OnePassword(self.connection).replace(password, operation)
        else:
            statement = f"ALTER USER USER() IDENTIFIED BY {literal(password)}"
            self.connection.execute(operation, statement)

    def _set_password(self, username: str, password: str, option: str = "") -> None:
        operation = f"setting the password of {username}"
        take_turn(self.connection, [username], operation)
        accounts = self.accounts.to_open(username)
        for account in accounts:
            self._end_second(account, operation)
        users = [self._with_password(account, password, operation) for account in accounts]
        statement = f"ALTER USER {', '.join(users)}{option}"
        self.connection.execute(operation, statement, self.connection.needs(MAY_CREATE))

    def _end_second(self, account: Account, operation: str) -> None:
        """End the second password of an account. The one that logged in stays until it gets the new one."""
        row, proof = catalog.row(self.connection, account), self.accounts.proof_of(account.user)
        second = secondary_hash(row)
        if not second:
            return
        if proof and needs_password(row, proof.password) and matches(proof.password, second, row["plugin"]):
            promote(self.connection, account, row, operation)
        statement = f"ALTER USER {account.quoted} DISCARD OLD PASSWORD"
        self.connection.execute(operation, statement, self.connection.needs(MAY_CREATE))

    def _with_password(self, account: Account, password: str, _operation: str) -> str:
        """Return the account as ALTER USER takes it, with the password if it is new.

        A policy on the history refuses a password that an account has already, because this step was repeated.
        """
        if needs_password(catalog.row(self.connection, account), password):
            return f"{account.quoted} IDENTIFIED BY {literal(password)}"
        return account.quoted

    def _pair(self, user: str, other: str) -> MySQLPair:
        """Return the pair, always the same one: it remembers which rights it could not grant."""
        if (user, other) not in self._pairs:
            self._pairs[user, other] = self.pair_type(self.connection, self.accounts, user, other)
        return self._pairs[user, other]
