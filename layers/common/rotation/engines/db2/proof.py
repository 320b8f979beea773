"""Which user logged in, and to which database?

Users belong to the operating system: all databases of a server have the same ones, so a user name identifies an account
of a server. The core logs the user in at the admin's own host. Special registers tell the rest. They need no privilege,
not even in the RESTRICTIVE databases of RDS, and no object can take their place
(https://www.ibm.com/docs/en/db2/11.5?topic=elements-special-registers).

SYSTEM_USER is the user who connected. It differs from the name in the secret if the server maps names of a directory or
of Kerberos. SESSION_USER is the user whose privileges count. It differs after SET SESSION AUTHORIZATION, which a
procedure that runs at the connect can execute, too. In both cases, the password that logged in belongs to another user.
"""

from rotation.engine import Proof
from rotation.engines.db2.connection import Db2Connection
from rotation.engines.db2.kind import normal_name
from rotation.errors import Unsafe
from rotation.redaction import said

WHO_AM_I = "VALUES (SYSTEM_USER, SESSION_USER, CURRENT SERVER)"


def read_proof(connection: Db2Connection) -> Proof:
    """Return who is logged in; raises Unsafe if the server calls the user something else."""
    user = connection.credential
    return Proof(user.username, user.password, _principal(user.username, _database(connection)))


def require_same_database(connection: Db2Connection, proof: Proof, operation: str) -> None:
    """Raise Unsafe if the proof is of a login to another database than this connection's."""
    if proof.principal != _principal(proof.username, _database(connection)):
        cause = "another user logged in, or to another database"
        raise Unsafe(operation, cause, 'Write the database of the admin into "dbname"')


def _principal(username: str, database: str) -> str:
    return f"{normal_name(username)} in {database}"


def _database(connection: Db2Connection) -> str:
    """Return the name of the database as the server gives it; raises Unsafe if this user is another one there."""
    operation = "asking the server who has logged in"
    [row] = connection.ask(operation, WHO_AM_I)
    system_user, session_user, database = (str(value).strip() for value in row.values())
    for register, name in (("SYSTEM_USER", system_user), ("SESSION_USER", session_user)):
        if name != normal_name(connection.username):
            cause = f"the server calls this user {said(name)} ({register})"
            remedy = "Put a user into the secret whom the server does not map to another name"
            raise Unsafe(f"{operation} as {connection.username}", cause, remedy)
    return database
