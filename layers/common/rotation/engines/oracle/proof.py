"""Which account of which database has logged in, and is it the one that an admin is about to change?

The server says so in SYS_CONTEXT
(https://docs.oracle.com/en/database/oracle/oracle-database/19/sqlrf/SYS_CONTEXT.html). An account is identified by its
number, and by the names of container and database: one listener can serve several databases and pluggable databases
under the names of their services, and each can have a user of the same name. The database's name is taken from the
answer to the login as well, and not only from a statement: whoever controls a database can let it translate statements
(SQL translation profiles).

Not every login is that of a database user. An enterprise user, or a user of a directory, gets a schema that many can
share; and a proxy user gets the session of its client. Their password is not that of the schema.
"""

from rotation.engine import Proof
from rotation.engines.oracle.admin import OracleAdmin
from rotation.engines.oracle.kind import normal_name
from rotation.errors import Unsafe
from rotation.redaction import said


def _context(name: str) -> str:
    return f"SYS_CONTEXT('USERENV', '{name}')"


PLACE = [_context(name) for name in ("CON_NAME", "DB_UNIQUE_NAME")]
ACCOUNT = [_context(name) for name in ("SESSION_USER", "SESSION_USERID")]
METHOD = [_context(name) for name in ("IDENTIFICATION_TYPE", "AUTHENTICATION_METHOD", "PROXY_USER")]

BY_PASSWORD = ("LOCAL", "PASSWORD", None)
"""The method of a user of the database that has a password of its own there."""

WHO_AM_I = f"SELECT {', '.join([*ACCOUNT, *PLACE, *METHOD])} FROM sys.dual"  # noqa: S608 - constants


class OracleProofs:
    """Proves who is logged in, and remembers which logins an admin's session is bound to."""

    def __init__(self, admin: OracleAdmin) -> None:
        self._admin = admin
        self._connection = admin.connection
        self._proven: dict[str, Proof] = {}

    def prove(self) -> Proof:
        """Return who is logged in; see `rotation.engine.Session.proof`."""
        username = self._connection.username
        operation = f"reading which account logged in as {username}"
        self._admin.resolve_in_sys(operation)
        [(name, number, container, database, *method)] = self._connection.execute(operation, WHO_AM_I)
        if tuple(method) != BY_PASSWORD:
            found = said(" ".join(word or "" for word in method)).strip()
            cause = f"{username} did not log in with a password that this database keeps ({found})"
            remedy = "Put a user with a password (CREATE USER … IDENTIFIED BY …) into the secret"
            raise Unsafe(operation, cause, remedy)
        if name != username:
            cause, remedy = f"the session is that of {said(name)}", f'Put {said(name)} itself into "username"'
            raise Unsafe(operation, cause, remedy)
        credential = self._connection.credential
        return Proof(credential.username, credential.password, self._principal(number, container, database))

    def bind(self, proof: Proof) -> None:
        """Bind the session to an account that logged in; see `rotation.engine.Session.require_proven`."""
        user = normal_name(proof.username)
        operation = f"looking up {user}, which has logged in"
        # Every user may read this view.
        rows = self._admin.read(operation, "all_users", ["username"], ["user_id", *PLACE], [user])
        found = [self._principal(*row) for _, *row in rows]
        if found != [proof.principal]:
            cause = "the admin finds another one, in another database or container" if found else "the admin finds none"
            remedy = 'Correct "dbname" in the secret: it must be a service name of one database only'
            raise Unsafe(operation, cause, remedy)
        self._proven[user] = proof

    def require_same(self, user: str, number: object, operation: str) -> None:
        """Raise Unsafe if the session is bound to a user of that name with another number: it was dropped since."""
        proof = self._proven.get(user)
        if proof and not proof.principal.startswith(f"{number} "):
            cause = f"{user} is no longer the account that has logged in"
            raise Unsafe(operation, cause, f"Find out who dropped {user} and created it again")

    def has_proved(self, user: str, password: str) -> bool:
        """Tell whether the session is bound to a login of that user with that password."""
        proof = self._proven.get(user)
        return proof is not None and proof.password == password

    def _principal(self, number: object, container: object, database: object) -> str:
        return f"{number} in {container} of {database}, which calls itself {self._connection.database_name}"
