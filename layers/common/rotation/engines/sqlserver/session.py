"""SQL Server, Amazon RDS for SQL Server, and RDS Custom for SQL Server (versions 2016 to 2025)."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from rotation.credential import Credential
from rotation.deadline import Deadline
from rotation.engine import OWN_NAME, CloneStatus, Comparison, Proof, Unshared
from rotation.engines.driver import verify
from rotation.engines.look import Phase
from rotation.engines.other_engine import reach
from rotation.engines.sqlserver import catalog, inspection
from rotation.engines.sqlserver.accounts import BY_SERVER, UNNAMED_LOGIN, SQLServerAccount
from rotation.engines.sqlserver.connection import ExpiredConnection, Rows, SQLServerConnection
from rotation.engines.sqlserver.contained_pair import SQLServerContainedPair, is_contained
from rotation.engines.sqlserver.databases import SQLServerProof, own_databases
from rotation.engines.sqlserver.kind import KIND, SHARED_USERS, normal_name
from rotation.engines.sqlserver.login_pair import SQLServerLoginPair
from rotation.engines.sqlserver.pair import Known, SQLServerPair
from rotation.engines.sqlserver.problems import ExpiredPassword
from rotation.engines.sqlserver.rights import identifier, literal
from rotation.engines.sqlserver.statements import REVERSIBLE, first_word, lasting
from rotation.errors import LoginRefused, NotPermitted, Unsafe
from rotation.finding import Finding, not_looked_at
from rotation.kind import Strategy


class SQLServer:
    """The engine; implements `rotation.engine.Engine`."""

    kind = KIND

    @contextmanager
    def connect(self, credential: Credential, deadline: Deadline) -> Iterator["SQLServerSession"]:
        """Log in; see `rotation.engine.Engine.connect`. If the password has expired, the session can renew it."""
        try:
            connection = SQLServerConnection(credential, deadline)
        except ExpiredPassword as expired:
            yield SQLServerExpiredSession(ExpiredConnection(credential, deadline, expired.failure))
            return
        try:
            yield SQLServerSession(connection, connection.begin(catalog.SURROUNDINGS, catalog.OWN_ACCOUNT))
        finally:
            connection.close()

    def reach(self, credential: Credential, deadline: Deadline) -> Iterator[Finding]:
        """Say how far one gets without a login; see `rotation.engine.InspectedEngine`."""
        return reach(credential, deadline, self.kind, inspection.begin_tls(credential))


class SQLServerSession:
    """One session; implements `rotation.engine.Session`.

    Passwords are sent in clear, inside TLS, each as a statement of its own: the server hides such statements in its
    traces, but not the parameters of a call. It takes no hash from users whose passwords it is to check, and hashes are
    not for routine use at all
    (https://learn.microsoft.com/en-us/sql/t-sql/statements/alter-login-transact-sql, HASHED).
    """

    def __init__(self, connection: SQLServerConnection, found: Mapping[str, Rows]) -> None:
        """`found` has answers that the session got with its login, by their questions: they hold until its end."""
        self.connection = connection
        self._found = found
        self._password = connection.credential.password
        self._known = Known()

    def proof(self) -> Proof:
        """Return who is logged in; see `rotation.engine.Session`."""
        account = self._own_account()
        databases = own_databases(self.connection) if account.database == BY_SERVER else None
        return SQLServerProof(self.connection.username, self._password, str(account), databases)

    def surroundings(self) -> Mapping[str, str]:
        """Return the database, whether its user is a login's own, and the default schema; see `Session`.

        A login's own user can have any name. The users that logins share have the names of `SHARED_USERS`.
        """
        username = self.connection.username
        operation = f"asking the server what an application finds as {username}"
        [(database, user, schema)] = self._answer(operation, catalog.SURROUNDINGS)
        own = {normal_name(username)}
        return {
            "the database": str(database),
            "the user of the database": str(user) if normal_name(str(user)) in SHARED_USERS else OWN_NAME,
            "the default schema": OWN_NAME if normal_name(str(schema)) in own else str(schema),
        }

    def require_proven(self, proof: Proof) -> None:
        """Bind this session, an admin's, to an account; see `rotation.engine.Session`."""
        self.connection.look.begin(Phase.PROVE)
        account = SQLServerAccount.parse(proof.principal)
        if account == UNNAMED_LOGIN:
            account = SQLServerLoginPair(self.connection, self._known, proof.username, proof.username).account()
        if account == self._own_account():
            cause = f"{proof.username} is the admin itself, {self.connection.username}"
            raise Unsafe(f"looking for {proof.username}", cause, "Put a user of the application into the secret")
        self._known.accounts[proof.username] = account
        if isinstance(proof, SQLServerProof) and proof.databases is not None:
            self._known.databases[proof.username] = proof.databases
        self._pair(proof.username, proof.username).require_bound()

    def change_own_password(self, password: str) -> None:
        """Give the user who is logged in this password; see `rotation.engine.Session`.

        OLD_PASSWORD is the password that logged in, whichever one the secret calls current. If it is none any more,
        another invocation of the same step can have changed it to the same password.
        """
        if password == self._password:  # a history of passwords would refuse it
            return
        username, old, new = self.connection.username, literal(self._password), literal(password)
        keyword = "LOGIN" if self._own_account().database == BY_SERVER else "USER"
        statement = f"ALTER {keyword} {identifier(username)} WITH PASSWORD = {new} OLD_PASSWORD = {old}"
        try:
            self.connection.execute(f"changing the password of {username}", statement)
        except NotPermitted:
            if not self.connection.accepts(password):
                raise
        self._password = password

    def clone_status(self, user: str, other: str) -> CloneStatus:
        """Tell what is known about `other`; see `rotation.engine.Session`."""
        self.connection.look.begin(Phase.CLONE_STATUS)
        return self._pair(user, other).clone_status()

    def unshared(self, user: str, other: str) -> Sequence[Unshared]:
        """Return what `other` can never have; see `rotation.engine.Session`."""
        self.connection.look.begin(Phase.UNSHARED)
        return self._pair(user, other).unshared()

    def mirror(self, user: str, other: str) -> None:
        """Make `other` what `user` is; see `rotation.engine.Session`."""
        self.connection.look.mirrored(lambda: self._pair(user, other).mirror())

    def set_password(self, username: str, password: str) -> None:
        """Give another user this password; see `rotation.engine.Session`."""
        self.connection.look.end()
        self._pair(username, username).set_password(password)

    def reset_password(self, username: str, password: str) -> None:
        """Give another user this password; see `rotation.engine.Session`."""
        self.connection.look.end()
        self._pair(username, username).reset_password(password)

    def compare(self, user: str, other: str) -> Comparison:
        """Compare the two; see `rotation.engine.Session`."""
        return self.connection.look.compared(lambda: self._pair(user, other).compare())

    def verify(self, statements: Sequence[str]) -> None:
        """Run the statements, and roll everything back; see `rotation.engine.Session`.

        Any statement in a transaction can end it, so statements that could are not run.
        """
        if not statements:
            return
        self.connection.execute("preparing to verify", "BEGIN TRANSACTION")
        verify(statements, self.connection.execute, REVERSIBLE, lasting, first_word)
        self.connection.execute("rolling back", "ROLLBACK TRANSACTION")

    def inspect_server(self) -> Iterator[Finding]:
        """Say what the server shows; see `rotation.engine.InspectedSession`."""
        return inspection.inspect_server(self.connection, is_login=self._own_account().database == BY_SERVER)

    def inspect_rights(self, strategy: Strategy, user: str, other: str) -> Iterator[Finding]:
        """Say whether who is logged in may do its part; see `rotation.engine.InspectedSession`."""
        if normal_name(user) != normal_name(self.connection.username):
            return inspection.inspect_admins_rights(self.connection, strategy, self._pair(user, other))
        is_login = self._own_account().database == BY_SERVER
        return inspection.inspect_own_rights(self.connection, strategy, is_login=is_login)

    def _own_account(self) -> SQLServerAccount:
        username = self.connection.username
        rows = self._answer(f"asking the server who {username} is", catalog.OWN_ACCOUNT)
        return SQLServerAccount.of_session(rows, username)

    def _answer(self, operation: str, question: str) -> Rows:
        """Return what the session got with its login, or ask if that failed."""
        if question in self._found:
            return self._found[question]
        return self.connection.ask(operation, question)

    def _pair(self, user: str, other: str) -> SQLServerPair:
        """Return a pair of logins, or of contained users: whichever `user` logged in as, if that is known.

        Otherwise, a name that a contained user of this database has means that user, and not the login
        (https://learn.microsoft.com/en-us/sql/relational-databases/databases/security-best-practices-with-contained-databases).
        """
        account = self._known.accounts.get(user)
        contained = account.database != BY_SERVER if account else is_contained(self.connection, user)
        pair = SQLServerContainedPair if contained else SQLServerLoginPair
        return pair(self.connection, self._known, user, other)


class SQLServerExpiredSession(SQLServerSession):
    """A session of a login whose password is right and has expired; everything but this raises LoginBlocked."""

    def __init__(self, connection: ExpiredConnection) -> None:
        super().__init__(connection, {})
        self._expired = connection

    def proof(self) -> Proof:
        """Return who is logged in; see `rotation.engine.Session`.

        The server says only to the right password that it has expired. It cannot be asked for the SID: but only logins
        expire, and a server has one login of a name.
        """
        return SQLServerProof(self.connection.username, self._password, str(UNNAMED_LOGIN), None)

    def change_own_password(self, password: str) -> None:
        """Renew the password; see `rotation.engine.Session`.

        Another invocation of the same step can have done it already.
        """
        try:
            self._expired.renew(password)
        except LoginRefused:
            if not self.connection.accepts(password):
                raise
        self._password = password

    def verify(self, statements: Sequence[str]) -> None:  # noqa: ARG002 - none can run
        """Raise LoginBlocked: the application cannot log in."""
        raise self._expired.failure

    def inspect_server(self) -> Iterator[Finding]:
        """Say that the password has expired; see `rotation.engine.InspectedSession`."""
        return inspection.inspect_expired(self.connection.username)

    def inspect_rights(self, strategy: Strategy, user: str, other: str) -> Iterator[Finding]:  # noqa: ARG002 - as above
        """Say that nobody can be asked; see `rotation.engine.InspectedSession`."""
        yield not_looked_at("rights", "the server answers nothing until the password is renewed")
