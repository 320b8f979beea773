"""Oracle Database, Amazon RDS for Oracle, and RDS Custom for Oracle (12.1 and later, by the client in thin mode)."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from rotation.credential import Credential
from rotation.deadline import Deadline
from rotation.engine import OWN_NAME, CloneStatus, Comparison, Proof, Unshared
from rotation.engines.driver import verify
from rotation.engines.look import Phase
from rotation.engines.oracle.admin import OracleAdmin
from rotation.engines.oracle.catalog import OracleCatalog
from rotation.engines.oracle.connection import OracleConnection, connect
from rotation.engines.oracle.inspection import OracleInspection, begin_tls
from rotation.engines.oracle.kind import KIND, normal_name
from rotation.engines.oracle.pair import OraclePair
from rotation.engines.oracle.passwords import OraclePasswords
from rotation.engines.oracle.proof import OracleProofs
from rotation.engines.oracle.rights import Right
from rotation.engines.oracle.unshared import OracleUnshared
from rotation.engines.other_engine import reach
from rotation.finding import Finding
from rotation.kind import Strategy

SURROUNDINGS = (
    "SELECT SYS_CONTEXT('USERENV', 'CURRENT_SCHEMA'), SYS_CONTEXT('USERENV', 'CURRENT_EDITION_NAME') FROM sys.dual"
)
"""Where an application looks for names
(https://docs.oracle.com/en/database/oracle/oracle-database/19/sqlrf/SYS_CONTEXT.html)."""

REVERSIBLE = ("SELECT", "WITH", "INSERT", "UPDATE", "DELETE", "MERGE")
"""What a statement of `verify` can begin with: a transaction can take these back. DDL commits, and PL/SQL can commit
(https://docs.oracle.com/en/database/oracle/oracle-database/19/sqlrf/COMMIT.html)."""


@contextmanager
def log_in(credential: Credential, deadline: Deadline) -> Iterator["OracleSession"]:
    """Log in; see `rotation.engine.Engine.connect`."""
    with connect(credential, deadline) as connection:
        yield OracleSession(connection)


def look_without_login(credential: Credential, deadline: Deadline) -> Iterator[Finding]:
    """Say how far one gets without a login; see `rotation.engine.InspectedEngine.reach`."""
    return reach(credential, deadline, KIND, begin_tls)


class OracleSession:
    """One connection; implements `rotation.engine.InspectedSession` and `rotation.engine.KeepsOldPassword`."""

    def __init__(self, connection: OracleConnection) -> None:
        self.connection = connection
        self._admin = OracleAdmin(connection)
        self._proofs = OracleProofs(self._admin)
        self._passwords = OraclePasswords(self._admin, self._proofs)
        self._kept = set[Right]()
        """What an admin could not revoke: it counts as no difference for the rest of the session."""

    def proof(self) -> Proof:
        """Return who is logged in; see `rotation.engine.Session`."""
        return self._proofs.prove()

    def surroundings(self) -> Mapping[str, str]:
        """Return the current schema and edition; see `rotation.engine.Session`."""
        connection = self._admin.connection
        operation = f"asking the server what an application finds as {connection.username}"
        [(schema, edition)] = connection.execute(operation, SURROUNDINGS)
        return {
            "the current schema": OWN_NAME if schema == connection.username else str(schema),
            "the edition": str(edition),
        }

    def require_proven(self, proof: Proof) -> None:
        """Bind this session to an account that logged in; see `rotation.engine.Session`."""
        self._admin.look.begin(Phase.PROVE)
        self._proofs.bind(proof)

    def change_own_password(self, password: str) -> None:
        """Give the user who is logged in this password; see `rotation.engine.Session`."""
        self._passwords.change_own(password)

    def clone_status(self, user: str, other: str) -> CloneStatus:
        """Tell what is known about the pair; see `rotation.engine.Session`."""
        self._admin.look.begin(Phase.CLONE_STATUS)
        return self._pair(user, other).clone_status()

    def unshared(self, user: str, other: str) -> Sequence[Unshared]:
        """Return what is bound to the user's name; see `rotation.engine.Session`.

        A database with many objects takes its time. An account that is locked meanwhile must not be opened again, so
        what was read before that is forgotten.
        """
        self._admin.look.begin(Phase.UNSHARED)
        pair = normal_name(user), normal_name(other)
        found = OracleUnshared(self._admin, OracleCatalog(self._admin, self._proofs, *pair), *pair).found()
        self._admin.look.end()
        return found

    def mirror(self, user: str, other: str) -> None:
        """Make `other` what `user` is; see `rotation.engine.Session`."""
        self._admin.look.mirrored(self._pair(user, other).mirror)

    def set_password(self, username: str, password: str) -> None:
        """Give another user this password, and unlock it; see `rotation.engine.Session`."""
        operation = f"setting the password of {username}"
        self._passwords.set(normal_name(username), password, operation, "ACCOUNT UNLOCK")

    def reset_password(self, username: str, password: str) -> None:
        """Give another user this password; see `rotation.engine.Session`."""
        self._passwords.set(normal_name(username), password, f"setting the password of {username}")

    def compare(self, user: str, other: str) -> Comparison:
        """Compare the two; see `rotation.engine.Session`."""
        return self._admin.look.compared(self._pair(user, other).compare)

    def verify(self, statements: Sequence[str]) -> None:
        """Run the statements, and roll everything back; see `rotation.engine.Session`."""
        self._admin.be_as_at_login()  # as an application finds it
        self.connection.renew()  # else the application could not log in, even if it has no statements
        verify(statements, self.connection.try_statement, REVERSIBLE)
        if statements:
            self.connection.roll_back()

    def require_two_passwords(self) -> None:
        """Raise Unsupported if the user cannot have two passwords; see `rotation.engine.KeepsOldPassword`."""
        self._passwords.require_two()

    def add_password(self, username: str, current: str, password: str) -> None:
        """Make the server accept both passwords of the user; see `rotation.engine.KeepsOldPassword`."""
        user, operation = normal_name(username), f"giving {username} a second password"
        if user == self.connection.username:
            self._passwords.add_own(current, password, operation)
        else:
            self._passwords.add(user, current, password, operation)

    def inspect_server(self) -> Iterator[Finding]:
        """Say what the server shows; see `rotation.engine.InspectedSession`."""
        return self._inspection().server()

    def inspect_rights(self, strategy: Strategy, user: str, other: str) -> Iterator[Finding]:
        """Say whether who is logged in may do its part; see `rotation.engine.InspectedSession`."""
        return self._inspection().rights(strategy, normal_name(user), normal_name(other))

    def _inspection(self) -> OracleInspection:
        return OracleInspection(self._admin, OracleCatalog(self._admin, self._proofs), self._passwords)

    def _pair(self, user: str, other: str) -> OraclePair:
        pair = normal_name(user), normal_name(other)
        return OraclePair(self._admin, OracleCatalog(self._admin, self._proofs, *pair), *pair, self._kept)
