"""How is one connection to PostgreSQL opened, asked, and told what went wrong?"""

import re
import select
import time
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import psycopg2
from psycopg2 import extensions, sql
from psycopg2.sql import SQL, Literal

from rotation.credential import Credential
from rotation.deadline import Deadline
from rotation.engines.driver import CONNECT_SECONDS, NO_ANSWER, POLICY, REPLICA, STATEMENT_SECONDS, WRONG_PASSWORD
from rotation.engines.network import ca_bundle, open_socket
from rotation.engines.postgresql import catalog
from rotation.engines.postgresql.wire import ANSWER_BYTES, LOOPBACK, TooMuch, Way
from rotation.errors import (
    RETRIED,
    DatabaseError,
    LoginBlocked,
    LoginRefused,
    NotPermitted,
    PasswordRefused,
    RotationError,
    StatementFailed,
    Unreachable,
    Untrusted,
)
from rotation.redaction import said

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
WHO_ANSWERS = "Look what it is that answers at this host and port"

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

OURS = SQL("SET LOCAL role TO none; SET LOCAL search_path TO pg_catalog, pg_temp")
"""What a session brings along, for settings of a database are its owner's to choose, and those of a role the role's:
the user who logged in, and nobody that it acts as; and no names but those of the system. How quotes are read
(standard_conforming_strings) libpq is told by the server, and quotes as that asks for; psycopg2 asks for dates that can
be read in one way only."""

THEIRS = "SET LOCAL role TO DEFAULT; SET LOCAL search_path TO DEFAULT"
"""What an application finds instead."""

LIMITS = SQL("SET LOCAL statement_timeout TO {statement}; SET LOCAL lock_timeout TO {lock}")
"""The server is to give up before we do: it says why, and it does not do in our absence what we have given up."""

BRIEF = 2000
"""Milliseconds that a lock is waited for at most, where others would have to wait behind us."""

WAITING = {extensions.POLL_READ: select.POLLIN, extensions.POLL_WRITE: select.POLLOUT}

type Arguments = Sequence[object] | Mapping[str, object]
type Statement = str | sql.Composable


class Connection:
    """One connection, in one transaction."""

    def __init__(self, credential: Credential, deadline: Deadline, operation: str) -> None:
        """Log in."""
        self._credential = credential
        self._deadline = deadline
        self._way = Way(open_socket(credential, deadline, operation))
        self._limit = 0
        """How long the server gives a statement, in milliseconds; 0 if no transaction says so."""
        self._longest_wait: int | None = None
        """How long the server waits for a lock, in milliseconds, if that is less."""
        self._attempts = False
        """Whether a statement that fails is nothing special."""
        try:
            self._libpq = _log_in(credential, self._way, deadline.allow(CONNECT_SECONDS, operation), operation)
        except BaseException:
            self._way.close()
            raise

    def close(self) -> None:
        """Log out; what was not committed is gone."""
        self._libpq.close()
        self._way.close()

    @property
    def username(self) -> str:
        """Who is logged in."""
        return self._credential.username

    @property
    def server_version(self) -> int:
        """The server's version as libpq tells it: 160004 is 16.4."""
        return self._libpq.server_version

    def execute(
        self,
        operation: str,
        statement: Statement,
        arguments: Arguments = (),
        remedy: str = "",
        policies: Container[str] = (),
    ) -> list[tuple[Any, ...]]:
        """Run one statement, for the deadline at most, and return its rows.

        Raises a DatabaseError; `remedy` is what to do if the user may not, `policies` are the SQLSTATEs that mean that
        a password is not taken.
        """
        seconds = self._deadline.allow(STATEMENT_SECONDS, operation)
        try:
            if _milliseconds(seconds) < self._limit:
                self._limit = _milliseconds(seconds)
                self._run(self._limits(), (), seconds, operation)
            return self._run(statement, arguments, seconds, operation)
        except psycopg2.Error as error:
            if error.pgcode and error.pgcode in policies:
                raise PasswordRefused(operation, f"{_cause(error)} (SQLSTATE {error.pgcode})", POLICY) from None
            held = self._held() if error.pgcode in LOCKED and not self._attempts else []
            raise _failure(error, f"{operation} as {self.username}", remedy, held) from None

    def attempt(self, operation: str, statements: Sequence[Statement]) -> bool:
        """Run the statements, or none of them; tell which. Raises nothing if the server refuses one."""
        self.execute(operation, "SAVEPOINT attempt")
        self._attempts = True
        try:
            for statement in statements:
                self.execute(operation, statement)
        except (NotPermitted, StatementFailed):
            self.execute(operation, "ROLLBACK TO SAVEPOINT attempt")
            return False
        finally:
            self._attempts = False
        self.execute(operation, "RELEASE SAVEPOINT attempt")
        return True

    @contextmanager
    def briefly(self, operation: str) -> Iterator[None]:
        """Inside the block, wait a moment for a lock, and no longer: others wait behind who waits for a strong one."""
        self._longest_wait = BRIEF
        self.execute(operation, self._limits())
        yield
        self._longest_wait = None
        self.execute(operation, self._limits())

    def is_failed(self) -> bool:
        """Tell whether the transaction takes nothing any more but its end."""
        return bool(self._libpq.info.transaction_status == extensions.TRANSACTION_STATUS_INERROR)

    def begin(self) -> None:
        """Begin a transaction in which names mean what they say, and that the server ends when this program is gone."""
        standby = self._libpq.info.parameter_status("in_hot_standby") == "on"
        operation, self._limit, self._longest_wait = "beginning a transaction", 0, None
        limit = _milliseconds(self._deadline.allow(STATEMENT_SECONDS, operation))
        mode = SQL(
            "ISOLATION LEVEL READ COMMITTED, READ ONLY" if standby else "ISOLATION LEVEL READ COMMITTED, READ WRITE"
        )
        self.execute(operation, SQL("BEGIN {}; {}; {}").format(mode, OURS, self._limits(limit)))
        self._limit = limit

    def end(self, operation: str, statement: str) -> None:
        """End the transaction: COMMIT or ROLLBACK."""
        self._limit = 0  # a transaction that has failed takes nothing else any more
        self.execute(operation, statement)

    def quoted(self, part: sql.Composable) -> str:
        """Return the text of a part of a statement, as this server is to be sent it."""
        return part.as_string(self._libpq)

    def verifier(self, username: str, password: str, algorithm: str) -> str:
        """Return what the server keeps in place of a password."""
        return str(extensions.encrypt_password(password, username, scope=self._libpq, algorithm=algorithm))

    def _limits(self, limit: int | None = None) -> sql.Composed:
        statement = self._limit if limit is None else limit
        lock = min(filter(None, (statement, self._longest_wait)))
        return LIMITS.format(statement=Literal(statement), lock=Literal(lock))

    def _run(self, statement: Statement, arguments: Arguments, seconds: float, operation: str) -> list[tuple[Any, ...]]:
        cursor = self._libpq.cursor()
        cursor.execute(statement, arguments or None)
        _wait(self._libpq, self._way, seconds, operation)
        return cursor.fetchall() if cursor.description else []

    def _held(self) -> list[tuple[int, str]]:
        """Return which sessions of whom have roles locked, in a new transaction: the one that failed is over anyway."""
        operation = "looking who holds the lock"
        self._attempts = True
        with suppress(RotationError):
            self.end(operation, "ROLLBACK")
            self.begin()
            return [(pid, str(name)) for pid, name in self.execute(operation, catalog.HELD_LOCKS)]
        return []


def _log_in(credential: Credential, way: Way, seconds: float, operation: str) -> extensions.connection:
    connection: extensions.connection | None = None
    try:
        connection = psycopg2.connect(
            async_=1,
            host=credential.host,
            hostaddr=LOOPBACK,
            port=way.port,
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
        way.meet(connection.fileno())
        _wait(connection, way, seconds, operation)
    except BaseException as error:
        if connection:
            connection.close()
        if isinstance(error, psycopg2.Error):
            raise _login_failure(error, operation) from None
        raise
    return connection


def _wait(connection: extensions.connection, way: Way, seconds: float, operation: str) -> None:
    """Wait until the connection has done what it was asked for; raises Unreachable when the time is up."""
    until = time.monotonic() + seconds
    way.expect()
    while (state := connection.poll()) != extensions.POLL_OK:
        try:
            in_time = way.carry(connection.fileno(), WAITING[state], until - time.monotonic())
        except TooMuch:
            cause = f"the server says more than {ANSWER_BYTES >> 20} MB, and was left"
            raise Unreachable(operation, cause, WHO_ANSWERS) from None
        if not in_time:
            raise Unreachable(operation, f"the server gave no answer within {seconds:.0f} s", NO_ANSWER)


def _milliseconds(seconds: float) -> int:
    """Return how long a server may take for what we wait for so many seconds, by the second if there are some."""
    return 1000 * int(0.9 * seconds) or int(900 * seconds)


def _login_failure(error: psycopg2.Error, operation: str) -> DatabaseError:
    cause = PREFIX.sub("", PREFIX.sub("", str(error))).strip()
    if REFUSED.search(cause):
        return LoginRefused(operation, said(cause), WRONG_PASSWORD)
    for part, problem, remedy in LOGIN_PROBLEMS:
        if part in cause:
            return problem(operation, said(cause), remedy)
    return Unreachable(operation, said(cause) or "the connection was lost", NO_ANSWER)


LOCKED = frozenset({"57014", "55P03"})
"""query_canceled, lock_not_available."""


def _failure(error: psycopg2.Error, operation: str, remedy: str, held: Sequence[tuple[int, str]]) -> DatabaseError:
    cause = _cause(error)
    match error.pgcode or "":
        case "42501":  # insufficient_privilege
            return NotPermitted(operation, cause, remedy or "Grant the user what it lacks")
        case "25006":  # read_only_sql_transaction
            return NotPermitted(operation, cause, REPLICA)
        case "" | "57P01" | "57P02" | "57P03":  # the connection was lost, or the server is going down
            return Unreachable(operation, cause or "the connection was lost", NO_ANSWER)
        case "57014" | "55P03" if held:
            who = " and ".join(f"session {pid} of {name}" for pid, name in held)
            end = f"SELECT pg_terminate_backend({held[0][0]})"
            return StatementFailed(
                operation, f"{cause}; roles are locked by {who}", f"{RETRIED}. If it stays so, run: {end}"
            )
        case "57014" | "55P03":
            return StatementFailed(operation, cause, f"Look in pg_locks for who holds the lock. {RETRIED}")
        case code:
            return StatementFailed(
                operation,
                f"{cause} (SQLSTATE {code})",
                remedy or "Correct the cause; the rotation is tried again",
            )


def _cause(error: psycopg2.Error) -> str:
    # Of a violated constraint, the detail holds the values of a row.
    detail = "" if (error.pgcode or "").startswith("23") else error.diag.message_detail
    texts = filter(None, (error.diag.message_primary or str(error), detail))
    return ": ".join(map(said, texts))
