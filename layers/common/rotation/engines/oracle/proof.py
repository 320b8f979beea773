"""Which account of which database has logged in, and is it the one that an admin is about to change?

The server says it of a session in SYS_CONTEXT
(https://docs.oracle.com/en/database/oracle/oracle-database/19/sqlrf/SYS_CONTEXT.html). An account is told by its
number, and by the names of the container and the database: one listener knows several databases and pluggable databases
by the names of their services, and each can have a user of the same name. The database's name is taken from the answer
to the login, too, which is no statement's: who rules a database can have statements translated there (SQL translation
profiles).

Who logs in need not be a user of the database. The session of an enterprise user, or of one of a directory, gets a
schema that can be shared by many; and a proxy user gets the session of its client. Of neither is the password the one
that the schema has.
"""

import oracledb

from rotation.credential import Credential
from rotation.deadline import Deadline
from rotation.engine import Proof
from rotation.engines.oracle.admin import AdminSession
from rotation.engines.oracle.connection import normal
from rotation.errors import Unsafe
from rotation.redaction import said


def _context(name: str) -> str:
    return f"SYS_CONTEXT('USERENV', '{name}')"


PLACE = [_context(name) for name in ("CON_NAME", "DB_UNIQUE_NAME")]
ACCOUNT = [_context(name) for name in ("SESSION_USER", "SESSION_USERID")]
WAY = [_context(name) for name in ("IDENTIFICATION_TYPE", "AUTHENTICATION_METHOD", "PROXY_USER")]

BY_PASSWORD = ("LOCAL", "PASSWORD", None)
"""The way in which a user of the database logs in that has a password of its own there."""


WHO_AM_I = f"SELECT {', '.join([*ACCOUNT, *PLACE, *WAY])} FROM sys.dual"  # noqa: S608 - constants


class ProvenSession(AdminSession):
    """A session that can say who it is, and that can be bound to who has logged in."""

    def __init__(self, connection: oracledb.Connection, credential: Credential, deadline: Deadline) -> None:
        super().__init__(connection, credential, deadline)
        self._proven: dict[str, Proof] = {}

    def proof(self) -> Proof:
        """Return who is logged in; see `rotation.engine.Session`."""
        operation = f"asking the server who has logged in as {self.username}"
        self._look_in_sys(operation)
        [(name, number, container, database, *way)] = self.execute(operation, WHO_AM_I)
        if tuple(way) != BY_PASSWORD:
            context = said(" ".join(word or "" for word in way)).strip()
            cause = f"it is no login of that user with a password of its own ({context})"
            remedy = "Put a user into the secret that the database itself identifies (CREATE USER … IDENTIFIED BY …)"
            raise Unsafe(operation, cause, remedy)
        if name != self.username:
            cause, remedy = f"it is the schema {said(name)}", f'Put {said(name)} itself into "username"'
            raise Unsafe(operation, cause, remedy)
        principal = self._principal(number, container, database)
        return Proof(self._credential.username, self._credential.password, principal)

    def require_proven(self, proof: Proof) -> None:
        """Bind this session to an account that logged in; see `rotation.engine.Session`."""
        user = normal(proof.username)
        operation = f"looking for the {user} that has logged in"
        found = [
            self._principal(*row)
            # Everybody may read this view.
            for _, *row in self.read(operation, "all_users", ["username"], ["user_id", *PLACE], [user])
        ]
        if found != [proof.principal]:
            cause = "the admin finds another one, in another database or container" if found else "the admin finds none"
            raise Unsafe(operation, cause, 'Have "dbname" in the secret name a service of one database only')
        self._proven[user] = proof

    def require_still_proven(self, user: str, number: object, operation: str) -> None:
        """Raise Unsafe if this session is bound to another user of that name: one that was dropped since."""
        proof = self._proven.get(user)
        if proof and not proof.principal.startswith(f"{number} "):
            raise Unsafe(
                operation, f"{user} is not the one any more that has logged in", "Find out who has made it anew"
            )

    def has_proved(self, user: str, password: str) -> bool:
        """Tell whether this session is bound to a login of that user with that password."""
        proof = self._proven.get(user)
        return proof is not None and proof.password == password

    def _principal(self, number: object, container: object, database: object) -> str:
        return f"{number} in {container} of {database}, which calls itself {self._connection.db_name}"
