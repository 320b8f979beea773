"""How does one connection to Db2 log in and run statements? What its errors mean is in `problems`."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final, NoReturn

from rotation.credential import Credential
from rotation.deadline import Deadline
from rotation.engines.db2 import client as db2_client
from rotation.engines.db2.client import ClientConnection, Row, ServerError
from rotation.engines.db2.kind import CREDENTIAL_BYTES, KIND, granted
from rotation.engines.db2.problems import is_answer, login_failure, statement_failure
from rotation.engines.driver import CONNECT_SECONDS, NO_ANSWER, STATEMENT_SECONDS, ExpectedError
from rotation.engines.look import Look
from rotation.engines.network import ca_bundle, open_socket
from rotation.engines.other_engine import login_seconds, name_engine
from rotation.errors import DatabaseError, InvalidSecret, LoginBlocked, Unreachable

DATABASE: Final = re.compile(r"[A-Za-z@#$][A-Za-z0-9_@#$]{0,7}")
"""https://www.ibm.com/docs/en/db2/11.5?topic=rules-database-database-alias-naming"""

UNKNOWN_NAME, UNKNOWN_ROUTINE, NOTHING_TO_REVOKE = -204, -440, -556
NO_PRIVILEGE, NO_AUTHORITY, NOT_ON_STANDBY = -551, -552, -1773


class Db2Connection:
    """One connection, in one transaction."""

    def __init__(
        self, client: ClientConnection, credential: Credential, deadline: Deadline, look: Look | None = None
    ) -> None:
        """`look` is that of another connection of the same session, to another database."""
        self._client = client
        self.look = look or Look()
        """What `ask` has read."""
        self.credential = credential
        self.deadline = deadline
        self._has_lock_timeout = False

    @property
    def username(self) -> str:
        """Who is logged in."""
        return self.credential.username

    def ask(
        self,
        operation: str,
        question: str,
        parameters: Sequence[str] = (),
        remedy: str = "",
        expected: frozenset[int] = frozenset(),
    ) -> list[Row]:
        """Return the rows of a query, which is asked once in a look; see `execute` and `rotation.engines.look`.

        It changes nothing, and nobody changes the rows.
        """
        asked = (self.credential.database, question, tuple(parameters))
        return self.look.once(asked, lambda: self._send(operation, question, parameters, remedy, expected))

    def execute(
        self,
        operation: str,
        statement: str,
        parameters: Sequence[str] = (),
        remedy: str = "",
        expected: frozenset[int] = frozenset(),
    ) -> list[Row]:
        """Run one statement within the deadline, and return its rows. The look ends.

        Raises ExpectedError for the codes in `expected`, and a DatabaseError for others. The error has `remedy` if the
        table knows none.
        """
        self.look.end()
        return self._send(operation, statement, parameters, remedy, expected)

    def _send(
        self,
        operation: str,
        statement: str,
        parameters: Sequence[str],
        remedy: str,
        expected: frozenset[int],
    ) -> list[Row]:
        self._set_lock_timeout(operation)
        seconds = self.deadline.allow(STATEMENT_SECONDS, operation)
        with self._translating(operation, seconds, remedy, expected):
            return self._client.execute(statement, parameters, seconds)

    def call(self, operation: str, procedure: str, parameters: Sequence[object], remedy: str = "") -> Sequence[Any]:
        """Call a procedure, and return its parameters after the call. The look ends."""
        self.look.end()
        seconds = self.deadline.allow(STATEMENT_SECONDS, operation)
        with self._translating(operation, seconds, remedy):
            return self._client.call(procedure, parameters, seconds)

    def server(self) -> tuple[str, str]:
        """Return what the server is, and its version, as the login told. Nothing is sent."""
        operation = "asking the client what the server is"
        seconds = self.deadline.allow(STATEMENT_SECONDS, operation)
        with self._translating(operation, seconds):
            return self._client.server(seconds)

    def commit(self) -> None:
        """Commit the transaction."""
        seconds = self.deadline.allow(STATEMENT_SECONDS, "committing")
        with self._translating("committing", seconds):
            self._client.commit(seconds)

    def rollback(self) -> None:
        """Roll the transaction back."""
        seconds = self.deadline.allow(STATEMENT_SECONDS, "rolling back")
        with self._translating("rolling back", seconds):
            self._client.rollback(seconds)

    def close(self) -> None:
        """Roll back what is not committed, and log off."""
        self._client.close(min(CONNECT_SECONDS, self.deadline.left()))

    def _set_lock_timeout(self, operation: str) -> None:
        """Limit how long statements wait for locks, before the first statement. By default, Db2 waits forever.

        The login cannot do this. The databases of RDS are RESTRICTIVE: a user without ROLE_NULLID_PACKAGES can log in
        and run nothing (https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/db2-default-roles.html).
        """
        if not self._has_lock_timeout:
            self._has_lock_timeout = True
            seconds = self.deadline.allow(STATEMENT_SECONDS, operation)
            remedy = f"GRANT ROLE ROLE_NULLID_PACKAGES TO USER {granted(self.username)}, or to a group of the user"
            with self._translating(operation, seconds, remedy):
                self._client.execute(f"SET CURRENT LOCK TIMEOUT {max(1, int(seconds) - 2)}", (), seconds)

    @contextmanager
    def _translating(
        self, operation: str, seconds: float, remedy: str = "", expected: frozenset[int] = frozenset()
    ) -> Iterator[None]:
        try:
            yield
        except TimeoutError:
            raise _no_answer(operation, seconds) from None
        except ServerError as error:
            if error.code in expected:
                raise ExpectedError(error.code) from None
            raise statement_failure(error, operation, self.username, remedy) from None


class ExpiredConnection(Db2Connection):
    """The login of a user whose password has expired: it can be changed by another login, and nothing else can run."""

    def __init__(self, credential: Credential, deadline: Deadline, failure: LoginBlocked) -> None:
        """Keep what the login failed with."""
        self.credential = credential
        self.deadline = deadline
        self.look = Look()
        self._failure = failure

    def _fail(self, *_: object, **__: object) -> NoReturn:
        raise self._failure

    ask = execute = call = server = commit = rollback = _fail


@contextmanager
def connect(
    credential: Credential, deadline: Deadline, new_password: str | None = None, look: Look | None = None
) -> Iterator[Db2Connection]:
    """Log in, and give the user `new_password` if there is one; see `rotation.engine.Engine.connect`.

    `look` is that of another connection of the same session. Who changes something commits it: the end of the
    connection rolls back.
    """
    operation = f"logging in as {credential} to {credential.database}"
    if new_password is not None:
        operation = f"changing the password of {credential}"
    client = _log_in(credential, deadline, operation, new_password)
    connection = Db2Connection(client, credential, deadline, look)
    try:
        yield connection
    finally:
        connection.close()


def _log_in(credential: Credential, deadline: Deadline, operation: str, new_password: str | None) -> ClientConnection:
    # If the port refuses, the client says after 5 s that there was no answer (tried with 12.1.4). So look first.
    with open_socket(credential, deadline, operation) as found:
        address = found.getpeername()[0]
    if not credential.tls:
        # The client would look the name up again, and could get another address. With TLS it needs the name, because
        # the certificate is for the name: another server then learns only that somebody wants TLS.
        credential = replace(credential, host=address)
    seconds = login_seconds(CONNECT_SECONDS, deadline, operation)
    keywords = connection_string(credential, seconds, new_password)
    try:
        return db2_client.connect(keywords, seconds)
    except TimeoutError:
        failure: DatabaseError = _no_answer(operation, seconds)
    except ServerError as error:
        failure = login_failure(error, credential, operation, is_change=new_password is not None)
        if is_answer(error):
            raise failure from None
    raise name_engine(failure, credential, KIND, deadline)


def connection_string(credential: Credential, seconds: float, new_password: str | None = None) -> str:
    """Return the credential as the client takes it; raises InvalidSecret for what cannot be written in it.

    A value cannot be quoted. IBM documents no way, and none works (tried with 12.1.4: `;` ends a value, even in braces
    or in quotes; spaces before a value are dropped; all other characters arrive unchanged). If a keyword comes twice,
    the first one counts: so no value can change what is written before it.
    """
    operation = f"reading the credential of {credential}"
    database = credential.database or ""
    if not DATABASE.fullmatch(database):
        cause = 'its "dbname" is not the name of a Db2 database'
        raise InvalidSecret(operation, cause, 'Write the name of the database into "dbname": Db2 needs it')
    keywords = {"Database": database, "Hostname": credential.host, "Port": str(credential.port), "Protocol": "TCPIP"}
    if credential.tls:
        # https://www.ibm.com/docs/en/db2/11.5?topic=parameters-sslclienthostnamevalidation: OFF by default before 12.1.
        keywords["Security"] = "SSL"
        keywords["SSLServerCertificate"] = _value(ca_bundle(credential.host), "DB_CA_BUNDLE", operation)
        keywords["SSLClientHostnameValidation"] = "Basic"
    keywords["ConnectTimeout"] = str(int(seconds) + 1)  # whole seconds; our own limit expires first
    keywords["QueryTimeoutInterval"] = "1"  # by default the client checks the limits of statements every 5 s
    keywords["UID"] = _value(credential.username, "username", operation, unusable=';"')
    keywords["PWD"] = _value(credential.password, "password", operation)
    if new_password is not None:
        keywords["NewPWD"] = _value(new_password, "password", operation)
    return "".join(f"{name}={value};" for name, value in keywords.items())


def _value(text: str, field: str, operation: str, unusable: str = ";") -> str:
    if any(character in text for character in unusable) or text[:1].isspace() or len(text.encode()) > CREDENTIAL_BYTES:
        limits = f"it contains {' or '.join(unusable)}, begins with a space, or has more than {CREDENTIAL_BYTES} bytes"
        raise InvalidSecret(operation, f'IBM\'s client cannot take "{field}": {limits}', f'Change "{field}"')
    return text


def _no_answer(operation: str, seconds: float) -> Unreachable:
    """Return the error for a call that took too long."""
    return Unreachable(operation, f"the server gave no answer within {seconds:.0f} s", NO_ANSWER)
