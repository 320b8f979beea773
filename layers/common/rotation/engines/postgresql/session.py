"""PostgreSQL, Amazon RDS for PostgreSQL, and Aurora PostgreSQL (versions 13 to 18)."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from psycopg2.sql import SQL, Identifier, Literal

from rotation.credential import Credential
from rotation.deadline import RESERVED_SECONDS, Deadline
from rotation.engine import CloneStatus, Proof
from rotation.engines.postgresql import catalog
from rotation.engines.postgresql.connection import THEIRS, Connection
from rotation.engines.postgresql.pair import Pair, require_known
from rotation.engines.postgresql.rights import named
from rotation.errors import RETRIED, DatabaseError, OutOfTime, Unsafe
from rotation.kind import EngineKind, Strategy
from rotation.redaction import said

KIND = EngineKind(
    name="PostgreSQL",
    engine_values=frozenset({"postgres", "aurora-postgresql"}),
    default_port=5432,
    default_database="postgres",
    # NAMEDATALEN - 1, in bytes; the server cuts longer names off, silently.
    username_limit=63,
    username_length=lambda name: len(name.encode()),
    password_limit=128,
    clone_sees_rights=True,
    strategies=frozenset({Strategy.SINGLE_USER, Strategy.ALTERNATING_USERS}),
)

PASSWORD_POLICIES = frozenset({"22023", "28000", "28P01"})
"""The SQLSTATEs by which modules like passwordcheck refuse a password: invalid_parameter_value,
invalid_authorization_specification, invalid_password."""

ONE_SERVER = "Name the server itself in the secret and in the admin secret, not a pooler that leads to several"

STRANGERS_SECONDS = 10.0
"""How long all databases of strangers may take together. Anybody with a database can have us look into it."""

log = logging.getLogger(__name__)


class PostgreSQL:
    """The engine; implements `rotation.engine.Engine`."""

    kind = KIND

    @contextmanager
    def connect(self, credential: Credential, deadline: Deadline) -> Iterator["PostgreSQLSession"]:
        """Log in, in one transaction; see `rotation.engine.Engine.connect`."""
        session = PostgreSQLSession(credential, deadline, f"logging in as {credential} to {credential.database}")
        try:
            session.begin()
            yield session
            session.end("committing", "COMMIT")
        finally:
            session.close()


class PostgreSQLSession(Connection):
    """One connection, in one transaction; implements `rotation.engine.Session`."""

    def __init__(self, credential: Credential, deadline: Deadline, operation: str) -> None:
        """Log in."""
        super().__init__(credential, deadline, operation)
        self._known: dict[str, int] = {}
        """The oids of roles that have logged in, or that we have looked at: what their names are to stand for."""

    def proof(self) -> Proof:
        """Return who is logged in; see `rotation.engine.Session`."""
        if self.is_failed():
            self.end("rolling back", "ROLLBACK")
            self.begin()
        operation = f"asking the server who {self.username} is"
        found = self.execute(operation, catalog.LOGGED_IN)
        if [name for name, _, _ in found] != [self.username]:
            cause = f"it has logged in {found[0][0]}" if found else "the role is gone"
            raise Unsafe(operation, cause, ONE_SERVER)
        [(_, oid, server)] = found
        return Proof(self.username, self._credential.password, _principal(oid, server))

    def require_proven(self, proof: Proof) -> None:
        """Bind this session to a role that logged in; see `rotation.engine.Session`."""
        operation = f"looking as {self.username} for {proof.username}, which has logged in"
        found = self.execute(operation, catalog.PRINCIPAL, (proof.username,))
        if [_principal(oid, server) for oid, server in found] != [proof.principal]:
            cause = "here it is another role, or this is another server, or it was restarted meanwhile"
            raise Unsafe(operation, cause, f"{ONE_SERVER}. {RETRIED}")
        self._known[proof.username] = found[0][0]

    def change_own_password(self, password: str) -> None:
        """Give the user who is logged in this password; see `rotation.engine.Session`."""
        self.set_password(self.username, password)

    def clone_status(self, user: str, other: str) -> CloneStatus:
        """Tell what is known about the pair; see `rotation.engine.Session`."""
        return self._pair(user, other).clone_status()

    def mirror(self, user: str, other: str) -> None:
        """Make `other` what `user` is; see `rotation.engine.Session`.

        All of it happens in one transaction, this session's. If the clone holds something in other databases, there
        are more: one that makes it a member of the original, then one for each of those databases, then this one. Each
        is over before the next one begins to change something, because they lock the same roles.
        """
        pair = self._pair(user, other)
        pair.prepare()
        pair.hand_over_memberships()
        if pair.elsewhere():
            self.end("committing", "COMMIT")
            self.begin()
            if left := self._elsewhere(pair, lambda there, _: there.hand_over(user, other)):
                log.warning(
                    said(f"{pair.clone} may hold something in databases of others, not looked into: {named(left)}")
                )
            pair.prepare()
        pair.hand_over()
        pair.align()

    def set_password(self, username: str, password: str) -> None:
        """Give a user this password; see `rotation.engine.Session`.

        The verifier is made here, so the clear password reaches neither the server's statement log, which holds a
        failed ALTER ROLE even with log_statement = none, nor pg_stat_statements.
        """
        operation = f"setting the password of {username}"
        [(encryption, source)] = self.execute(operation, catalog.ENCRYPTION)
        # The owner of a database may set it there, to what pg_hba.conf takes from nobody.
        is_md5 = encryption == "md5" and source != "database"
        verifier = self.verifier(username, password, "md5" if is_md5 else "scram-sha-256")
        self.execute(
            operation,
            SQL("ALTER ROLE {} PASSWORD {}").format(Identifier(username), Literal(verifier)),
            policies=PASSWORD_POLICIES,
        )
        if username in self._known:  # after the change, because from then on nobody else can change the role
            require_known([username], self._known, dict(self.execute(operation, catalog.OID, (username,))))

    def reset_password(self, username: str, password: str) -> None:
        """Give a user this password; see `rotation.engine.Session`. Whether a role may log in is another matter."""
        self.set_password(username, password)

    def differences(self, user: str, other: str) -> Sequence[str]:
        """Say in what the two differ; see `rotation.engine.Session`."""
        pair = self._pair(user, other)
        differences = [*pair.differences(), *pair.holdings()]

        def look(there: PostgreSQLSession, database: str) -> None:
            held = there._pair(user, other).holdings()
            differences.extend(f"{text} (in database {database})" for text in held)

        self._elsewhere(pair, look)
        return differences

    def verify(self, statements: Sequence[str]) -> None:
        """Run the statements, and roll everything back; see `rotation.engine.Session`.

        None of their rows leaves the server.
        """
        # PL/pgSQL refuses COMMIT and its like inside of a transaction block, so nothing can escape the rollback
        # (https://www.postgresql.org/docs/current/plpgsql-transactions.html).
        self.execute("preparing to verify", THEIRS)
        for number, statement in enumerate(statements, 1):
            body = self.quoted(SQL("BEGIN EXECUTE {}; END").format(Literal(statement)))
            self.execute(f"running statement {number} of verify", SQL("DO {}").format(Literal(body)))
        self.end("rolling back", "ROLLBACK")
        self.begin()

    def hand_over(self, user: str, other: str) -> None:
        """Have the original hold what the clone holds by itself in this database, as a part of `mirror`."""
        pair = self._pair(user, other)
        pair.prepare()
        pair.hand_over()

    def _pair(self, user: str, other: str) -> Pair:
        return Pair(self, user, other, self._known)

    def _elsewhere(self, pair: Pair, do: "Callable[[PostgreSQLSession, str], None]") -> list[str]:
        """Do something in each other database in which the clone holds something; return those that were left out.

        That are databases of strangers, for whatever reason they cannot be looked into, if the clone owns nothing
        there.
        """
        left, strangers = [], _part(self._deadline, STRANGERS_SECONDS)
        for database, owned, operators in pair.elsewhere():
            is_strangers = not owned and not operators
            try:
                self._do_in(database, strangers if is_strangers else self._deadline, do)
            except (DatabaseError, OutOfTime):
                if not is_strangers:
                    raise
                left.append(database)
        return left

    def _do_in(self, database: str, deadline: Deadline, do: "Callable[[PostgreSQLSession, str], None]") -> None:
        with PostgreSQL().connect(replace(self._credential, database=database), deadline) as session:
            session._known = dict(self._known)  # noqa: SLF001 - its own kind
            do(session, database)


def _principal(oid: int, server: str) -> str:
    return f"role {oid} of the server that was started at {server}"


def _part(deadline: Deadline, seconds: float) -> Deadline:
    """Return a deadline that comes in so many seconds, or when the other one does."""
    until = time.monotonic() + seconds
    return Deadline(lambda: min(deadline.left(), until - time.monotonic()) + RESERVED_SECONDS)
