"""Which user logged in, and to which database?

Users belong to the operating system: all databases of a server have the same ones, so a user name identifies an account
of a server. The core logs the user in at the admin's own host. Special registers tell the rest. They need no privilege,
not even in the RESTRICTIVE databases of RDS, and no object can take their place
(https://www.ibm.com/docs/en/db2/11.5?topic=elements-special-registers).

SYSTEM_USER is the user who connected. It differs from the name in the secret if the server maps names of a directory or
of Kerberos. SESSION_USER is the user whose privileges count. It differs after SET SESSION AUTHORIZATION, which a
procedure that runs at the connect can execute, too. In both cases, the password that logged in belongs to another user.
"""

from rotation.engine import OWN_NAME, Proof
from rotation.engines.db2.connection import Db2Connection
from rotation.engines.db2.kind import normal_name
from rotation.errors import Unsafe
from rotation.redaction import said
from rotation.values import dataclass

REGISTERS = "VALUES (SYSTEM_USER, SESSION_USER, CURRENT SERVER, CURRENT SCHEMA, CURRENT PATH)"
"""Who is logged in, and where an application looks for names, in one question."""


@dataclass(frozen=True)
class Registers:
    """The special registers of a session."""

    system_user: str
    session_user: str
    database: str
    schema: str
    path: str

    def surroundings(self, username: str) -> dict[str, str]:
        """Return where an application looks for names; see `rotation.engine.Session.surroundings`."""
        own = normal_name(username)
        parts = [part.strip('"') for part in self.path.split(",")]
        return {
            "the current schema": OWN_NAME if self.schema == own else self.schema,
            "the current path": ", ".join(OWN_NAME if part == own else part for part in parts),
        }

    def require_user(self, username: str, operation: str) -> None:
        """Raise Unsafe if the server calls the user something else."""
        for register, name in (("SYSTEM_USER", self.system_user), ("SESSION_USER", self.session_user)):
            if name != normal_name(username):
                cause = f"the server calls this user {said(name)} ({register})"
                remedy = "Put a user into the secret whom the server does not map to another name"
                raise Unsafe(f"{operation} as {username}", cause, remedy)


def read_registers(connection: Db2Connection) -> Registers:
    """Ask for the special registers."""
    [row] = connection.ask(f"asking the server who has logged in as {connection.username}", REGISTERS)
    return Registers(*(str(value).strip() for value in row.values()))


def proof_of(connection: Db2Connection, registers: Registers) -> Proof:
    """Return who is logged in; raises Unsafe if the server calls the user something else."""
    user = connection.credential
    return Proof(user.username, user.password, _principal(user.username, _database(connection, registers)))


def require_same_database(connection: Db2Connection, proof: Proof, operation: str) -> None:
    """Raise Unsafe if the proof is of a login to another database than this connection's."""
    if proof.principal != _principal(proof.username, _database(connection, read_registers(connection))):
        cause = "another user logged in, or to another database"
        raise Unsafe(operation, cause, 'Write the database of the admin into "dbname"')


def _principal(username: str, database: str) -> str:
    return f"{normal_name(username)} in {database}"


def _database(connection: Db2Connection, registers: Registers) -> str:
    registers.require_user(connection.username, "asking the server who has logged in")
    return registers.database
