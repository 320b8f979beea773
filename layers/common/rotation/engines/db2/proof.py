"""Which user of which database has logged in?

Users are the operating system's: there is one list of them for all databases of a server, so a name and a server tell
an account. The core has the user log in at the admin's own host. The rest is what special registers say, which need no
right, not even in the RESTRICTIVE databases of RDS, and which no object can stand for
(https://www.ibm.com/docs/en/db2/11.5?topic=elements-special-registers). SYSTEM_USER is who made the connection;
SESSION_USER is whose rights count. The second can be made another one (SET SESSION AUTHORIZATION, also in a procedure
that runs at the connect); the first can, where the server maps the names of a directory or of Kerberos. Of neither is
the password the one that logged in.
"""

from rotation.engine import Proof
from rotation.engines.db2.connection import Session
from rotation.errors import Unsafe
from rotation.redaction import said

WHO_AM_I = "VALUES (SYSTEM_USER, SESSION_USER, CURRENT SERVER)"


def authid(name: str) -> str:
    """Return the name as the catalog holds it: Db2 folds the names of users and groups to upper case."""
    return name.upper()


def principal(username: str, database: str) -> str:
    """Return what tells a user that has logged in: it is compared, and not read."""
    return f"{authid(username)} in {database}"


class ProvenSession(Session):
    """A session that can say who it is."""

    def proof(self) -> Proof:
        """Return who is logged in; see `rotation.engine.Session`."""
        user = self._credential
        return Proof(user.username, user.password, principal(user.username, self.database_of_login()))

    def database_of_login(self) -> str:
        """Return the database that the server says it is; raises Unsafe if it says that this user is another one."""
        operation = "asking the server who has logged in"
        [row] = self.execute(operation, WHO_AM_I)
        system_user, session_user, database = (str(value).strip() for value in row.values())
        for register, name in (("SYSTEM_USER", system_user), ("SESSION_USER", session_user)):
            if name != authid(self.username):
                cause = f"it is {said(name)} ({register})"
                remedy = "Put a user into the secret that the server logs in under its own name"
                raise Unsafe(f"{operation} as {self.username}", cause, remedy)
        return database
