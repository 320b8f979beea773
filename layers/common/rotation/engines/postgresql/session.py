"""PostgreSQL, Amazon RDS for PostgreSQL, and Aurora PostgreSQL (versions 13 to 18)."""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from psycopg2.sql import SQL, Identifier, Literal

from rotation.credential import Credential
from rotation.deadline import Deadline
from rotation.engine import CloneStatus, Comparison, Proof, Unshared
from rotation.engines.driver import POLICY, Problem, verify
from rotation.engines.other_engine import reach
from rotation.engines.postgresql import catalog, inspection
from rotation.engines.postgresql.admin import admin_option
from rotation.engines.postgresql.connection import PostgreSQLConnection, transaction
from rotation.engines.postgresql.expiry import about_expiry, require_valid
from rotation.engines.postgresql.kind import KIND
from rotation.engines.postgresql.pair import PostgreSQLPair
from rotation.engines.postgresql.questions import Question
from rotation.engines.postgresql.roles import quoted, require_known
from rotation.engines.postgresql.settings import canonical
from rotation.engines.postgresql.wire import SCRAM
from rotation.errors import RETRIED, PasswordRefused, StatementFailed, Unsafe
from rotation.finding import Finding
from rotation.kind import CLONE_SUFFIX, Strategy
from rotation.redaction import said

log = logging.getLogger(__name__)

PASSWORD_PROBLEMS: Mapping[str, Problem] = {
    "22023": (PasswordRefused, POLICY),  # invalid_parameter_value
    "28000": (PasswordRefused, POLICY),  # invalid_authorization_specification
    "28P01": (PasswordRefused, POLICY),  # invalid_password
}
"""The SQLSTATEs by which modules like passwordcheck refuse a password."""

IN_CLEAR_ONLY = re.compile(r"password type is not a plain text|\(SQLSTATE 0A000\)")
"""How modules refuse a verifier that could judge the password only. credcheck says this sentence, in no language but
English, with one of several codes; feature_not_supported means nothing else if a password is set."""

ONE_SERVER = "Name the server itself in the secret and in the admin secret, not a pooler that leads to several"


class PostgreSQL:
    """The engine; implements `rotation.engine.Engine`."""

    kind = KIND

    @contextmanager
    def connect(self, credential: Credential, deadline: Deadline) -> Iterator["PostgreSQLSession"]:
        """Log in, in one transaction; see `rotation.engine.Engine.connect`."""
        with transaction(credential, deadline) as connection:
            yield PostgreSQLSession(connection)

    def reach(self, credential: Credential, deadline: Deadline) -> Iterator[Finding]:
        """Say how far one gets without a login; see `rotation.engine.Engine`."""
        return reach(credential, deadline, self.kind, inspection.begin_tls)


class PostgreSQLSession:
    """One connection, in one transaction; implements `rotation.engine.Session`."""

    def __init__(self, connection: PostgreSQLConnection) -> None:
        """Take a connection that has begun a transaction."""
        self.connection = connection
        self._known_oids: dict[str, int] = {}
        """Which roles the names of proven and of mirrored users must stand for."""
        self._proof: Proof | None = None
        self._is_mirrored = False
        self._compared: PostgreSQLPair | None = None
        """The pair as it was compared before: by that was decided what a rotation may end."""

    def proof(self) -> Proof:
        """Return who is logged in; see `rotation.engine.Session`."""
        if self.connection.is_failed():
            self.connection.rollback()
        username, found = self.connection.username, self.connection.logged_in
        operation = f"asking the server who {username} is"
        if [name for name, _, _ in found] != [username]:
            cause = f"the server has logged in {found[0][0]}" if found else "the role no longer exists"
            raise Unsafe(operation, cause, ONE_SERVER)
        [(_, oid, server)] = found
        return Proof(username, self.connection.credential.password, _principal(oid, server))

    def surroundings(self) -> Mapping[str, str]:
        """Return as whom an application acts, and where it looks for names; see `rotation.engine.Session`.

        A clone that AWS's template made acts as itself, until a rotation makes it act as its original. As whom it acts,
        and which schemas it finds then, is left out: that is about to change, and testSecret asks (`PostgreSQLActing`).
        """
        operation = f"asking the server what an application finds as {self.connection.username}"
        self.connection.as_application()
        [(acting, path, schemas, is_set)] = self.connection.execute(operation, catalog.SURROUNDINGS)
        self.connection.rollback()
        where = {"search_path": canonical("search_path", path)}
        if acting.endswith(CLONE_SUFFIX) and not is_set:
            return where
        return {**where, "the role that acts": acting, "its schemas": schemas}

    def require_proven(self, proof: Proof) -> None:
        """Bind this session to a role that logged in; see `rotation.engine.Session`."""
        operation = f"looking as {self.connection.username} for {proof.username}, which has logged in"
        found = self.connection.execute(operation, catalog.PRINCIPAL, (proof.username,))
        if [_principal(oid, server) for oid, server in found] != [proof.principal]:
            cause = "here it is another role, or this is another server, or the server was restarted meanwhile"
            raise Unsafe(operation, cause, f"{ONE_SERVER}. {RETRIED}")
        self._known_oids[proof.username], self._proof = found[0][0], proof

    def change_own_password(self, password: str) -> None:
        """Give the user who is logged in this password; see `rotation.engine.Session`."""
        self._known_oids |= {name: oid for name, oid, _ in self.connection.logged_in}
        self._set_password(self.connection.username, password)

    def clone_status(self, user: str, other: str) -> CloneStatus:
        """Return what is known about the pair; see `rotation.engine.Session`."""
        self.connection.forget()  # asked again, because another delivery can have marked the clone meanwhile
        return self._pair(user, other).clone_status()

    def unshared(self, user: str, other: str) -> Sequence[Unshared]:  # noqa: ARG002 - the clone acts as its original
        """Return nothing: what is bound to the original's name is used by its clone too, which acts as the original."""
        return ()

    def mirror(self, user: str, other: str) -> None:
        """Make `other` what `user` is; see `rotation.engine.Session`."""
        self._is_mirrored = False
        self.connection.forget()  # the clone gets the comment that it has now, with our mark
        self._pair(user, other).mirror(self._compared)
        self._is_mirrored = True

    def set_password(self, username: str, password: str) -> None:
        """Give another user this password, and let it log in; see `rotation.engine.Session`."""
        self._set_password(username, password, "LOGIN ")

    def reset_password(self, username: str, password: str) -> None:
        """Give another user this password; see `rotation.engine.Session`."""
        self._set_password(username, password)

    def _set_password(self, username: str, password: str, option: str = "") -> None:
        """Give a user this password.

        The verifier is made here. So the password itself is neither in the server's statement log, which has a failed
        ALTER ROLE even with log_statement = none, nor in pg_stat_statements. A server that must judge the password gets
        it in clear, after it has refused the verifier, but only inside of TLS.
        """
        operation = f"setting the password of {username}"
        self.connection.ask_all(operation, [about_expiry(username), Question(catalog.ENCRYPTION)])
        if username != self.connection.username:
            require_valid(self.connection, username)
        verifier = self.connection.verifier(
            username, password, "md5" if self._wants_md5(username, operation) else SCRAM
        )
        try:
            found = self._alter_role(operation, username, verifier, option)
        except StatementFailed as refused:
            if not self.connection.credential.tls or not IN_CLEAR_ONLY.search(refused.cause):
                raise
            log.warning(said(f"{operation}: the server refuses verifiers, so it gets the password in clear"))
            self.connection.execute(operation, "ROLLBACK TO SAVEPOINT attempt")
            found = self._alter_role(operation, username, password, option)
        require_known([username], self._known_oids, found)

    def compare(self, user: str, other: str) -> Comparison:
        """Compare the two; see `rotation.engine.Session`.

        What `clone_status` or `mirror` has read just before is not read again, but by the next comparison.
        """
        self._compared = self._pair(user, other)
        try:
            return self._compared.compare(is_mirrored=self._is_mirrored)
        finally:
            self.connection.forget()

    def verify(self, statements: Sequence[str]) -> None:
        """Run the statements, and roll everything back; see `rotation.engine.Session`.

        Their rows do not leave the server.
        """
        self.connection.as_application()
        verify(statements, self._run_in_a_block)
        self.connection.rollback()

    def _run_in_a_block(self, operation: str, statement: str) -> None:
        """Run a statement in a transaction block, in which PL/pgSQL refuses COMMIT and the like.

        So nothing escapes the rollback (https://www.postgresql.org/docs/current/plpgsql-transactions.html).
        """
        body = self.connection.quoted(SQL("BEGIN EXECUTE {}; END").format(Literal(statement)))
        self.connection.execute(operation, SQL("DO {}").format(Literal(body)))

    def _wants_md5(self, username: str, operation: str) -> bool:
        """Tell whether the server keeps passwords as md5, and lets users of such a verifier log in.

        The owner of a database can set password_encryption for the database, to what pg_hba.conf accepts from nobody.
        An operator can have left it at md5 although pg_hba.conf asks for SCRAM (on RDS
        rds.accepted_password_auth_method): nobody could log in with the new password. So who logs in by SCRAM now gets
        a verifier for it. Such a verifier opens both kinds of entries.
        """
        [(encryption, source)] = self.connection.ask(operation, Question(catalog.ENCRYPTION))
        if encryption != "md5" or source == "database":
            return False
        own = self.connection.credential
        user = own if username == self.connection.username else self._proof
        return not (user and self.connection.logs_in_by_scram(user.username, user.password))

    def _alter_role(self, operation: str, username: str, password: str, option: str) -> dict[str, int]:
        """Set a password, or its verifier. If the server refuses it, there is a savepoint to go back to.

        Returns the oid of that role. It is read after the change, because from then on nobody else can change the role.
        """
        statement = SQL("ALTER ROLE {} {}PASSWORD {}; {}").format(
            Identifier(username), SQL(option), Literal(password), SQL(catalog.OID).format(Literal(username))
        )
        rows = self.connection.execute_again(operation, statement, self._needed_for(username), PASSWORD_PROBLEMS)
        return {str(name): int(oid) for name, oid in rows}

    def _needed_for(self, username: str) -> str:
        """Return the remedy if the user who is logged in may not set the password of this one.

        Everybody may set its own, but for RDS's rds.restrict_password_commands
        (https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/Appendix.PostgreSQL.CommonDBATasks.RestrictPasswordMgmt.html).
        """
        own = self.connection.username
        if username == own:
            return (
                f'Put an admin into "masterarn"; or run on RDS, as the master user: GRANT rds_password TO {quoted(own)}'
            )
        if self.connection.memberships_have_options:
            return admin_option(own, username)
        return f"Run as a superuser: ALTER ROLE {quoted(own)} CREATEROLE"

    def inspect_server(self) -> Iterator[Finding]:
        """Say what the server shows; see `rotation.engine.Session`."""
        return inspection.inspect_server(self.connection)

    def inspect_rights(self, strategy: Strategy, user: str, other: str) -> Iterator[Finding]:
        """Say whether who is logged in may do its part; see `rotation.engine.Session`."""
        return inspection.inspect_rights(self.connection, strategy, user, other)

    def _pair(self, user: str, other: str) -> PostgreSQLPair:
        return PostgreSQLPair(self.connection, user, other, self._known_oids)


def _principal(oid: int, server: str) -> str:
    return f"role {oid} of the server that was started at {server}"
