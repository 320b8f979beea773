"""Db2, on Amazon RDS for Db2 (11.5 and 12.1)."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cached_property
from typing import Final

from rotation.credential import Credential
from rotation.deadline import Deadline
from rotation.engine import CloneStatus, Comparison, Proof, Unshared
from rotation.engines.db2 import connection as db2_connection
from rotation.engines.db2 import inspection
from rotation.engines.db2 import users as db2_users
from rotation.engines.db2.connection import Db2Connection, ExpiredConnection
from rotation.engines.db2.kind import KIND, normal_name
from rotation.engines.db2.pair import Db2Pair, remedy_to_read
from rotation.engines.db2.problems import HAS_EXPIRED
from rotation.engines.db2.proof import Registers, proof_of, read_registers, require_same_database
from rotation.engines.db2.unshared import unshared
from rotation.engines.db2.users import Db2Users
from rotation.engines.driver import foreign_triggers_allowed, refuse_foreign_triggers, verify
from rotation.engines.look import Phase
from rotation.engines.other_engine import reach
from rotation.errors import LoginBlocked
from rotation.finding import Finding
from rotation.kind import Strategy

CONNECT_PROCEDURE: Final = "SELECT VALUE, DEFERRED_VALUE FROM SYSIBMADM.DBCFG WHERE NAME = 'connect_proc'"
"""The procedure that the database runs at each connect, with the rights of the user who connects
(https://www.ibm.com/docs/en/db2/11.1?topic=parameters-connect-proc-connect-procedure-name-database). Neither IBM nor
RDS documents that it has one by default."""

TRANSACTIONAL: Final = ("SELECT", "WITH", "VALUES", "INSERT", "UPDATE", "DELETE", "MERGE")
"""Statements that a transaction can take back for certain. It can take back DDL, too, but not CALL, COMMIT and TRUNCATE
… IMMEDIATE."""


class Db2:
    """The engine; implements `rotation.engine.Engine`."""

    kind = KIND

    @contextmanager
    def connect(self, credential: Credential, deadline: Deadline) -> Iterator["Db2Session"]:
        """Log in; see `rotation.engine.Engine.connect`. If the password has expired, the session can renew it."""
        with ExitStack() as stack, ExitStack() as login:
            connection: Db2Connection
            try:
                connection = login.enter_context(db2_connection.connect(credential, deadline))
            except LoginBlocked as failure:
                if not HAS_EXPIRED.search(failure.cause):
                    raise
                connection = ExpiredConnection(credential, deadline, failure)
            yield Db2Session(connection, stack)

    def reach(self, credential: Credential, deadline: Deadline) -> Iterator[Finding]:
        """Say how far one gets without a login; see `rotation.engine.InspectedEngine`."""
        return reach(credential, deadline, self.kind, inspection.begin_tls)


class Db2Session:
    """One connection, in one transaction; implements `rotation.engine.Session`.

    Passwords reach the server as values of parameters, or in the login: no text of a statement holds one.
    """

    def __init__(self, connection: Db2Connection, stack: ExitStack) -> None:
        """Take the connection, and the stack that closes more connections at the end of the session."""
        self.connection = connection
        self._stack = stack
        self._users: Db2Users | None = None

    def proof(self) -> Proof:
        """Return who is logged in; see `rotation.engine.Session`."""
        return proof_of(self.connection, self._registers)

    def surroundings(self) -> Mapping[str, str]:
        """Return the current schema and path; see `rotation.engine.Session`."""
        return self._registers.surroundings(self.connection.username)

    @cached_property
    def _registers(self) -> Registers:
        """What the special registers had when this session was asked first. No statement of ours changes them."""
        return read_registers(self.connection)

    def require_proven(self, proof: Proof) -> None:
        """Bind this session to a user that logged in; see `rotation.engine.Session`.

        No other user of the server can have this name, so there is nothing to remember.
        """
        operation = f"looking for the {proof.username} that has logged in"
        self.connection.look.begin(Phase.PROVE)
        require_same_database(self.connection, proof, operation)
        self._connect_to_users().require(proof.username, operation)

    def change_own_password(self, password: str) -> None:
        """Give the user who is logged in this password; see `rotation.engine.Session`.

        Db2 changes a password only during a login (https://www.ibm.com/docs/en/db2/11.5?topic=commands-connect). RDS
        does not document whether its servers do so. In AWS's template for single users, the master user changes it. A
        server that refuses keeps the old password. The same login renews a password that has expired. But it proves
        nothing that a password has expired: IBM does not say that only the right password is answered so.
        """
        credential, deadline = self.connection.credential, self.connection.deadline
        if password != credential.password:
            with db2_connection.connect(credential, deadline, password):
                self.connection.credential = replace(credential, password=password)

    def clone_status(self, user: str, other: str) -> CloneStatus:
        """Tell what is known about the pair; see `rotation.engine.Session`."""
        self.connection.look.begin(Phase.CLONE_STATUS)
        return self._pair(user, other).clone_status()

    def unshared(self, user: str, other: str) -> Sequence[Unshared]:
        """Return what only `user` can have, or find; see `rotation.engine.Session`."""
        self.connection.look.begin(Phase.UNSHARED)
        self._connect_to_users()
        return unshared(self.connection, user, other, remedy_to_read(self.connection))

    def mirror(self, user: str, other: str) -> None:
        """Make `other` what `user` is in this database; see `rotation.engine.Session`."""
        self.connection.look.mirrored(self._pair(user, other).mirror)

    def set_password(self, username: str, password: str) -> None:
        """Give another user this password; see `rotation.engine.Session`."""
        self._connect_to_users().set_password(username, password)

    def reset_password(self, username: str, password: str) -> None:
        """Give another user this password; see `rotation.engine.Session`. It does not enable a disabled user."""
        self._connect_to_users().set_password(username, password)

    def compare(self, user: str, other: str) -> Comparison:
        """Compare the two; see `rotation.engine.Session`."""
        return self.connection.look.compared(self._pair(user, other).compare)

    def verify(self, statements: Sequence[str]) -> None:
        """Run the statements, and roll everything back; see `rotation.engine.Session`."""
        verify(statements, self.connection.execute, TRANSACTIONAL)
        self.connection.rollback()

    def inspect_server(self) -> Iterator[Finding]:
        """Say what the server shows; see `rotation.engine.InspectedSession`."""
        return inspection.inspect_server(self.connection)

    def inspect_rights(self, strategy: Strategy, user: str, other: str) -> Iterator[Finding]:
        """Say whether who is logged in may do its part; see `rotation.engine.InspectedSession`."""
        if normal_name(self.connection.username) == normal_name(user):
            return inspection.inspect_user(self.connection, strategy)
        users = self._connect_to_users()
        if strategy is Strategy.SINGLE_USER:
            return inspection.inspect_admin(self.connection)
        return inspection.inspect_admin_of_pair(self.connection, self._pair(user, other), users)

    def _pair(self, user: str, other: str) -> Db2Pair:
        return Db2Pair(self.connection, self._connect_to_users, user, other)

    def _connect_to_users(self) -> Db2Users:
        """Log in to RDSADMIN, once per session. Everything that an admin changes begins with this."""
        if not self._users:
            users = self._stack.enter_context(
                db2_users.connect(self.connection.credential, self.connection.deadline, self.connection.look)
            )
            self._require_no_connect_procedure()
            self._users = users
        return self._users

    def _require_no_connect_procedure(self) -> None:
        """Raise Unsafe if a procedure ran when this session connected: it had the rights of an admin."""
        if not foreign_triggers_allowed():
            operation = "looking for a connect procedure (connect_proc)"
            rows = self.connection.ask(operation, CONNECT_PROCEDURE, remedy=remedy_to_read(self.connection))
            refuse_foreign_triggers(operation, sorted({str(name) for row in rows for name in row.values() if name}))
