"""PostgreSQL, Amazon RDS for PostgreSQL, and Aurora PostgreSQL (versions 13 to 18)."""

import re
import select
import time
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

import psycopg2
from psycopg2 import extensions, sql

from rotation.credential import Credential
from rotation.deadline import Deadline
from rotation.engine import Standing
from rotation.engines.postgresql_pair import Arguments, Pair
from rotation.engines.server import (
    CONNECT_SECONDS,
    NO_ANSWER,
    POLICY,
    REPLICA,
    STATEMENT_SECONDS,
    WRONG_PASSWORD,
    ca_bundle,
    look_up,
)
from rotation.errors import (
    DatabaseError,
    LoginBlocked,
    LoginRefused,
    NotPermitted,
    PasswordRefused,
    StatementFailed,
    Unreachable,
    Untrusted,
)
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
    strategies=frozenset({Strategy.SINGLE_USER, Strategy.ALTERNATING_USERS}),
)

PREFIX = re.compile(r"^connection to server .*? failed: |^(FATAL|ERROR): +", re.MULTILINE)

REFUSED = re.compile(
    r"^(password|PAM|LDAP|RADIUS) authentication failed for user |^role \".*\" does not exist$", re.MULTILINE
)
"""What the server says when user or password are wrong. libpq gives no code on a failed connection, only text, so
this is the one place that reads text; what it does not know is never "refused"."""

CERTIFICATE = (
    "Have the server use a certificate of the RDS authorities that has not expired, or name its own in DB_CA_BUNDLE"
)
HOST_NAME = "Write the host name that the certificate is for into the secret, not an alias"
NO_TLS = 'Switch TLS on at the server, or say "ssl": false in the secret to send everything in clear'
NO_BUNDLE = "Correct DB_CA_BUNDLE: it must name a readable PEM file"
NO_PROOF = "Have pg_hba.conf ask for SCRAM or md5: the server let the user in, or wanted the password in clear"
NO_ENTRY = "Allow this user, database and TLS setting in pg_hba.conf (on RDS: rds.force_ssl)"
TOO_MANY = "Raise the limit of the role, the database or the server, or close connections"

LOGIN_PROBLEMS: Sequence[tuple[str, type[DatabaseError], str]] = (
    ("certificate verify failed", Untrusted, CERTIFICATE),
    ("does not match host name", Untrusted, HOST_NAME),
    ("server does not support SSL", Untrusted, NO_TLS),
    ("root certificate file", Untrusted, NO_BUNDLE),
    ("authentication method requirement", Untrusted, NO_PROOF),
    ("no pg_hba.conf entry", LoginBlocked, NO_ENTRY),
    ("is not permitted to log in", LoginBlocked, "Give the role LOGIN"),
    ("does not exist", LoginBlocked, 'Correct "dbname" in the secret'),
    ("permission denied for database", LoginBlocked, "Grant CONNECT on the database to the user"),
    ("too many connections", LoginBlocked, TOO_MANY),
    ("too many clients", LoginBlocked, TOO_MANY),
    ("remaining connection slots", LoginBlocked, TOO_MANY),
    ("the database system is", LoginBlocked, "Wait for the server to be up: the rotation is tried again by itself"),
)
"""What else keeps a login out: a part of the text, what it means, and what to do."""

PASSWORD_POLICIES = frozenset({"22023", "28000", "28P01"})
"""The SQLSTATEs by which modules like passwordcheck refuse a password: invalid_parameter_value,
invalid_authorization_specification, invalid_password."""

LIMITS = sql.SQL("SET LOCAL statement_timeout TO {limit}; SET LOCAL lock_timeout TO {limit}")
"""The server is to give up before we do: it says why, and it does not do in our absence what we have given up."""

WAITING = {extensions.POLL_READ: select.POLLIN, extensions.POLL_WRITE: select.POLLOUT}


class PostgreSQL:
    """The engine; implements `rotation.engine.Engine`."""

    kind = KIND
    clone_sees_rights = True

    @contextmanager
    def connect(self, credential: Credential, deadline: Deadline) -> Iterator["PostgreSQLSession"]:
        """Log in, in one transaction; see `rotation.engine.Engine.connect`."""
        doing = f"logging in as {credential} to {credential.database}"
        connection = _open(credential, deadline, doing)
        try:
            session = PostgreSQLSession(connection, credential, deadline, self.connect)
            yield session
            session.commit()
        finally:
            connection.close()


class PostgreSQLSession:
    """One connection, in one transaction; implements `rotation.engine.Session`."""

    def __init__(
        self,
        connection: extensions.connection,
        credential: Credential,
        deadline: Deadline,
        connect: "Callable[[Credential, Deadline], AbstractContextManager[PostgreSQLSession]]",
    ) -> None:
        self._connection = connection
        self._credential = credential
        self._deadline = deadline
        self._connect = connect
        self._limit = 0
        """How long the server gives a statement, in milliseconds; 0 where no transaction says so."""
        self._begin()

    def change_own_password(self, password: str) -> None:
        """Give the user who is logged in this password; see `rotation.engine.Session`."""
        # A user with a `role` setting acts as that role, which may not alter the user.
        self.execute("changing to the login role", "SET LOCAL ROLE NONE")
        self.set_password(self._credential.username, password)

    def standing(self, user: str, other: str) -> Standing:
        """Tell what is known about the pair; see `rotation.engine.Session`."""
        return Pair(self, user, other).standing()

    def mirror(self, user: str, other: str) -> None:
        """Make `other` what `user` is; see `rotation.engine.Session`.

        All of it happens in this session's one transaction, but what the clone holds in other databases, which is
        handed over in a transaction for each, before.
        """
        pair = Pair(self, user, other)
        pair.prepare()
        for database in pair.elsewhere():
            with self._in(database) as session:
                Pair(session, user, other).hand_over()
        pair.hand_over()
        pair.align()

    def set_password(self, username: str, password: str) -> None:
        """Give a user this password; see `rotation.engine.Session`.

        The verifier is made here, so the clear password reaches neither the server's statement log, which holds a
        failed ALTER ROLE even with log_statement = none, nor pg_stat_statements.
        """
        doing = f"setting the password of {username}"
        [(encryption,)] = self.execute(doing, "SELECT current_setting('password_encryption')")
        algorithm = "md5" if encryption == "md5" else "scram-sha-256"
        verifier = extensions.encrypt_password(password, username, scope=self._connection, algorithm=algorithm)
        self.execute(
            doing,
            sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(username), sql.Literal(verifier)),
            policies=PASSWORD_POLICIES,
        )

    def reset_password(self, username: str, password: str) -> None:
        """Give a user this password; see `rotation.engine.Session`. Whether a role may log in is another matter."""
        self.set_password(username, password)

    def differences(self, user: str, other: str) -> Sequence[str]:
        """Say in what the two differ; see `rotation.engine.Session`."""
        pair = Pair(self, user, other)
        differences = [*pair.differences(), *pair.holdings()]
        for database in pair.elsewhere():
            with self._in(database) as session:
                differences += [f"{text} (in database {database})" for text in Pair(session, user, other).holdings()]
        return differences

    def verify(self, statements: Sequence[str]) -> None:
        """Run the statements, and roll everything back; see `rotation.engine.Session`."""
        # PL/pgSQL refuses COMMIT and its like inside of a transaction block, so nothing can escape the rollback
        # (https://www.postgresql.org/docs/current/plpgsql-transactions.html).
        self.execute("preparing to verify", "SET LOCAL search_path TO DEFAULT")
        for number, statement in enumerate(statements, 1):
            body = sql.SQL("BEGIN EXECUTE {}; END").format(sql.Literal(statement)).as_string(self._connection)
            self.execute(f"running statement {number} of verify", sql.SQL("DO {}").format(sql.Literal(body)))
        self._end("rolling back", "ROLLBACK")
        self._begin()

    def execute(
        self,
        doing: str,
        statement: str | sql.Composable,
        arguments: Arguments = (),
        remedy: str = "",
        policies: Container[str] = (),
    ) -> list[tuple[Any, ...]]:
        """Run one statement, for the deadline at most, and return its rows.

        Raises a DatabaseError; `remedy` is what to do where the user may not, `policies` are the SQLSTATEs that mean
        that a password is not taken.
        """
        seconds = self._deadline.allow(STATEMENT_SECONDS, doing)
        try:
            if _milliseconds(seconds) < self._limit:
                self._limit = _milliseconds(seconds)
                self._run(LIMITS.format(limit=sql.Literal(self._limit)), (), seconds, doing)
            return self._run(statement, arguments, seconds, doing)
        except psycopg2.Error as error:
            if error.pgcode and error.pgcode in policies:
                raise PasswordRefused(doing, f"{_cause(error)} (SQLSTATE {error.pgcode})", POLICY) from None
            raise _failure(error, f"{doing} as {self.username}", remedy) from None

    def _run(
        self, statement: str | sql.Composable, arguments: Arguments, seconds: float, doing: str
    ) -> list[tuple[Any, ...]]:
        cursor = self._connection.cursor()
        cursor.execute(statement, arguments or None)
        _wait(self._connection, seconds, doing)
        return cursor.fetchall() if cursor.description else []

    def commit(self) -> None:
        """End the transaction well."""
        self._end("committing", "COMMIT")

    @property
    def username(self) -> str:
        """Who is logged in."""
        return self._credential.username

    @property
    def server_version(self) -> int:
        """The server's version as libpq tells it: 160004 is 16.4."""
        return self._connection.server_version

    def _begin(self) -> None:
        """Begin a transaction in which names mean what they say, and that the server ends when this program is gone."""
        standby = self._connection.info.parameter_status("in_hot_standby") == "on"
        self._limit = 0
        limit = _milliseconds(self._deadline.allow(STATEMENT_SECONDS, "beginning a transaction"))
        self.execute(
            "beginning a transaction",
            sql.SQL("BEGIN {mode}; SET LOCAL search_path TO pg_catalog, pg_temp; {limits}").format(
                mode=sql.SQL("READ ONLY" if standby else "READ WRITE"), limits=LIMITS.format(limit=sql.Literal(limit))
            ),
        )
        self._limit = limit

    def _end(self, doing: str, statement: str) -> None:
        self._limit = 0  # a transaction that has failed takes nothing else any more
        self.execute(doing, statement)

    def _in(self, database: str) -> "AbstractContextManager[PostgreSQLSession]":
        return self._connect(replace(self._credential, database=database), self._deadline)


def _open(credential: Credential, deadline: Deadline, doing: str) -> extensions.connection:
    """Connect to the first address that answers; libpq's own limit is for each address, and leaves the look-up out."""
    places = look_up(credential, deadline, doing)
    for left, address in zip(range(len(places), 0, -1), places, strict=True):
        try:
            return _open_at(address, credential, deadline.share(CONNECT_SECONDS, left, doing), doing)
        except Unreachable:
            if left == 1:
                raise
    raise AssertionError


def _open_at(address: str, credential: Credential, seconds: float, doing: str) -> extensions.connection:
    connection: extensions.connection | None = None
    try:
        connection = psycopg2.connect(
            async_=1,
            host=credential.host,
            hostaddr=address,
            port=credential.port,
            dbname=credential.database,
            user=credential.username,
            password=credential.password,
            sslmode="verify-full" if credential.tls else "disable",
            sslrootcert=ca_bundle(),
            # A server that lets anybody in, or asks for the password in clear, proves nothing and learns nothing.
            require_auth="scram-sha-256,md5",
            gssencmode="disable",
            client_encoding="UTF8",
            application_name="secret-rotation",
        )
        _wait(connection, seconds, doing)
    except BaseException as error:
        if connection:
            connection.close()
        if isinstance(error, psycopg2.Error):
            raise _login_failure(error, doing) from None
        raise
    return connection


def _wait(connection: extensions.connection, seconds: float, doing: str) -> None:
    """Wait until the connection has done what it was asked for; raises Unreachable when the time is up."""
    until = time.monotonic() + seconds
    while (state := connection.poll()) != extensions.POLL_OK:
        poller = select.poll()
        poller.register(connection.fileno(), WAITING[state])
        if not poller.poll(max(0.0, until - time.monotonic()) * 1000):
            raise Unreachable(doing, f"the server gave no answer within {seconds:.0f} s", NO_ANSWER)


def _milliseconds(seconds: float) -> int:
    """Return how long a server may take for what we wait for so many seconds, by the second where there are some."""
    return 1000 * int(0.9 * seconds) or int(900 * seconds)


def _login_failure(error: psycopg2.Error, doing: str) -> DatabaseError:
    cause = PREFIX.sub("", PREFIX.sub("", str(error))).strip()
    if REFUSED.search(cause):
        return LoginRefused(doing, said(cause), WRONG_PASSWORD)
    for part, problem, remedy in LOGIN_PROBLEMS:
        if part in cause:
            return problem(doing, said(cause), remedy)
    return Unreachable(doing, said(cause) or "the connection was lost", NO_ANSWER)


def _failure(error: psycopg2.Error, doing: str, remedy: str) -> DatabaseError:
    cause = _cause(error)
    match error.pgcode or "":
        case "42501":  # insufficient_privilege
            return NotPermitted(doing, cause, remedy or "Grant the user what it lacks")
        case "25006":  # read_only_sql_transaction
            return NotPermitted(doing, cause, REPLICA)
        case "" | "57P01" | "57P02" | "57P03":  # the connection was lost, or the server is going down
            return Unreachable(doing, cause or "the connection was lost", NO_ANSWER)
        case "57014" | "55P03":  # query_canceled, lock_not_available
            return StatementFailed(
                doing, cause, "Look in pg_locks for who holds the lock; the rotation is tried again by itself"
            )
        case code:
            return StatementFailed(
                doing,
                f"{cause} (SQLSTATE {code})",
                remedy or "Correct the cause; the rotation is tried again",
            )


def _cause(error: psycopg2.Error) -> str:
    # Of a violated constraint, the detail holds the values of a row.
    detail = "" if (error.pgcode or "").startswith("23") else error.diag.message_detail
    return said(": ".join(filter(None, (error.diag.message_primary or str(error), detail))))
