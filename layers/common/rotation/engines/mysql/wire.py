"""How does one get to a MySQL or MariaDB server, and how much may it say?

The client reads whatever comes. So what is read is bounded here: in time, in bytes and in packets, most narrowly before
the server has taken the login, for until then anybody can be at the other end.
"""

import io
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import pymysql
from pymysql.protocol import MysqlPacket

from rotation.credential import Credential
from rotation.deadline import Deadline
from rotation.engines.driver import NO_ANSWER, STATEMENT_SECONDS, WRONG_PASSWORD
from rotation.engines.network import open_socket, tls_context
from rotation.errors import RETRIED, DatabaseError, LoginBlocked, LoginRefused, Unreachable, Unsupported, Untrusted
from rotation.redaction import said

TOO_MANY = "Raise the limit of the account or of the server, or close connections"
WRONG_DATABASE = 'Correct "dbname" in the secret, or grant the user something in that database'
UNLOCK = "Unlock the account (ALTER USER … ACCOUNT UNLOCK), and find out what locked it"
NOBODY_KNOWN = "Look who answers at the host and port of the secret"
NO_SERVER = 'Correct "host" and "port" in the secret'

TOO_LARGE, MALFORMED, HANDSHAKE = 2020, 2027, 2012
"""CR_NET_PACKET_TOO_LARGE, CR_MALFORMED_PACKET, CR_SERVER_HANDSHAKE_ERR: no server says these, the client does."""

LOGIN_PROBLEMS: dict[int, tuple[type[DatabaseError], str]] = {
    1045: (LoginRefused, WRONG_PASSWORD),  # ER_ACCESS_DENIED_ERROR
    1698: (LoginRefused, WRONG_PASSWORD),  # ER_ACCESS_DENIED_NO_PASSWORD_ERROR
    1044: (LoginBlocked, WRONG_DATABASE),  # ER_DBACCESS_DENIED_ERROR
    1049: (LoginBlocked, WRONG_DATABASE),  # ER_BAD_DB_ERROR
    3118: (LoginBlocked, UNLOCK),  # ER_ACCOUNT_HAS_BEEN_LOCKED
    4151: (LoginBlocked, UNLOCK),  # the same in MariaDB
    3955: (LoginBlocked, UNLOCK),  # ER_USER_ACCESS_DENIED_FOR_USER_ACCOUNT_BLOCKED_BY_PASSWORD_LOCK
    4150: (LoginBlocked, UNLOCK),  # ER_USER_IS_BLOCKED in MariaDB
    1862: (LoginBlocked, "Give the account a new password by hand: it has expired"),  # ER_MUST_CHANGE_PASSWORD_LOGIN
    1820: (LoginBlocked, "Give the account a new password by hand: it has expired"),  # ER_MUST_CHANGE_PASSWORD
    3159: (LoginBlocked, 'Take "ssl": false out of the secret: the server wants TLS'),  # ER_SECURE_TRANSPORT_REQUIRED
    1040: (LoginBlocked, TOO_MANY),  # ER_CON_COUNT_ERROR
    1203: (LoginBlocked, TOO_MANY),  # ER_TOO_MANY_USER_CONNECTIONS
    1226: (LoginBlocked, TOO_MANY),  # ER_USER_LIMIT_REACHED
    3032: (LoginBlocked, f"Wait for the server's offline mode to end. {RETRIED}"),  # ER_SERVER_OFFLINE_MODE
    1053: (LoginBlocked, f"Wait for the server to be up. {RETRIED}"),  # ER_SERVER_SHUTDOWN
    1129: (LoginBlocked, "Run FLUSH HOSTS: the server blocks the function's address"),  # ER_HOST_IS_BLOCKED
    1130: (LoginBlocked, "Have an account for the function's address: see its host part"),  # ER_HOST_NOT_PRIVILEGED
    2059: (LoginBlocked, "Use caching_sha2_password, or another plugin that this function's client knows"),
    1524: (LoginBlocked, "Load the account's authentication plugin into the server, or use another"),
    HANDSHAKE: (Untrusted, NOBODY_KNOWN),
    TOO_LARGE: (Untrusted, NOBODY_KNOWN),
    MALFORMED: (Unreachable, NO_SERVER),
    2061: (Untrusted, "Have the account use caching_sha2_password, or another plugin that shows no password"),
}
"""What a refused connection means (https://dev.mysql.com/doc/mysql-errors/9.1/en/server-error-reference.html)."""

REVEALING = ("mysql_clear_password", "dialog", "mysql_old_password")
"""The plugins that have the client send its password, or a hash that is as good. No account whose password we set has
one of them: who asks for one has something else in mind."""

SETTINGS = "sql_mode = '', sql_quote_show_create = 1"

LOGIN_BYTES, LOGIN_PACKETS = 64 * 1024, 32
"""How much is read until somebody is logged in. A whole login takes less than 4 KB, in about ten packets."""

ANSWER_BYTES, ANSWER_PACKETS = 3 * 1024 * 1024, 50_000
"""How much is read of the answer to a statement; a row is a packet. In Python's objects that is 60 MB at most for what
is kept. The rights in it have a bound of their own: see `rotation.engines.mysql.rights`."""


class Connection(pymysql.Connection):
    """A connection on which no answer takes longer, and none is larger, than it may.

    The client's own limit of time is for a piece of an answer: a server that sends a byte now and then would never meet
    it.
    """

    _sock: socket.socket
    _rfile: io.BufferedReader
    _result: Any

    _ends = 0.0
    _limit = int(STATEMENT_SECONDS)
    _bytes, _packets = LOGIN_BYTES, LOGIN_PACKETS

    def allow(self, seconds: float) -> int:
        """Give what comes next so much time; return the server's limit in seconds where it must be told a new one."""
        self._ends = time.monotonic() + seconds
        # The server is to give up before the client does, and to say why.
        limit = max(1, int(seconds) - 1)
        lower, self._limit = limit < self._limit, min(limit, self._limit)
        return limit if lower else 0

    def admit(self, size: int = ANSWER_BYTES, packets: int = ANSWER_PACKETS) -> None:
        """Let what comes next be so large at most."""
        self._bytes, self._packets = size, packets

    def _write_bytes(self, data: bytes) -> None:
        # TLS, too, begins with what is set here.
        self._write_timeout = max(0.001, self._ends - time.monotonic())
        super()._write_bytes(data)  # type: ignore[misc] # the client's own

    def _get_server_information(self) -> None:
        """Read the greeting.

        Who says at this point that the password is wrong has heard neither user nor password, and has not proved who it
        is: it is not to make us try another credential.
        """
        try:
            super()._get_server_information()  # type: ignore[misc]  # its stubs leave it out
        except pymysql.MySQLError as error:
            if LOGIN_PROBLEMS.get(error_number(error), (None,))[0] is LoginRefused:
                raise pymysql.OperationalError(HANDSHAKE, "the login was refused before anybody logged in") from None
            raise

    def _request_authentication(self) -> None:
        """Log in.

        MariaDB asks for the next method of an account where the first one failed, by a second request to switch; the
        client answers one.
        """
        try:
            super()._request_authentication()  # type: ignore[misc]
        except pymysql.OperationalError as error:
            if error.args == ("received multiple auth switch requests",):
                raise pymysql.OperationalError(1045, "the first way to log in to the account was refused") from None
            raise

    def _read_packet(self, packet_type: type[MysqlPacket] = MysqlPacket) -> MysqlPacket:
        if self._packets <= 0:
            self._refuse_size()
        self._packets -= 1
        packet: MysqlPacket = super()._read_packet(packet_type)  # type: ignore[no-untyped-call]
        return packet

    def _read_bytes(self, num_bytes: int) -> bytes:
        if num_bytes > self._bytes:
            self._refuse_size()
        self._bytes -= num_bytes
        pieces: list[bytes] = []
        while num_bytes:
            pieces.append(self._read_some(num_bytes))
            num_bytes -= len(pieces[-1])
        return b"".join(pieces)

    def _read_some(self, most: int) -> bytes:
        cause, left = " (timed out)", self._ends - time.monotonic()
        if left > 0:  # asked each time: who always has something to say would be listened to for ever
            try:
                self._sock.settimeout(left)
                if some := self._rfile.read1(most):
                    return bytes(some)
                cause = ""
            except OSError as error:
                cause = f" ({error})"
        self._force_close()
        raise pymysql.OperationalError(2013, f"Lost connection to the server{cause}")

    def _refuse_size(self) -> NoReturn:
        self._force_close()
        raise pymysql.OperationalError(TOO_LARGE, "the answer is larger than any that is expected")

    def _force_close(self) -> None:
        if self._result:
            self._result.unbuffered_active = False  # or the client would read to its end
        super()._force_close()  # type: ignore[misc]


class _Refusing:
    """Answers a server that asks for too much; in the form that the client wants of an authentication plugin."""

    def __init__(self, connection: pymysql.Connection) -> None:
        """Need nothing of the connection."""

    def authenticate(self, _: object) -> NoReturn:
        """Send nothing."""
        raise pymysql.OperationalError(2061, "the server asks for the password in clear, or as good as that")


def open_connection(credential: Credential, deadline: Deadline, operation: str, limits: str) -> Connection:
    """Log in, and have the server keep to `limits`, where "{seconds}" stands for the time; raises a DatabaseError."""
    way = open_socket(credential, deadline, operation)
    seconds = deadline.allow(STATEMENT_SECONDS, operation)
    try:
        connection = Connection(
            host=credential.host,
            port=credential.port,
            user=credential.username,
            password=credential.password.encode(),  # a text would be sent as Latin-1
            database=credential.database,
            charset="utf8mb4",
            autocommit=True,
            defer_connect=True,
            auth_plugin_map=dict.fromkeys(REVEALING, _Refusing),
            **({"ssl": tls_context()} if credential.tls else {"ssl_disabled": True}),
        )
        # Whatever the server is set to: names come in backticks, and nothing waits for a lock for a year.
        connection.init_command = f"SET SESSION {SETTINGS}, {limits.format(seconds=connection.allow(seconds))}"
        with understood():
            connection.connect(way)
    except (pymysql.MySQLError, OSError, RuntimeError) as error:
        way.close()
        raise _login_failure(error, operation) from None
    except BaseException:
        way.close()
        raise
    return connection


@contextmanager
def understood() -> Iterator[None]:
    """Raise one of the client's own errors where it does not understand what the server says.

    It raises whatever happens then. RuntimeError is how it says that it lacks a package, or a permission.
    """
    try:
        yield
    except (pymysql.MySQLError, OSError, RuntimeError):
        raise
    except Exception as error:  # noqa: BLE001 - `Exception` itself is among them
        cause = f"what answers does not speak as MySQL and MariaDB do ({type(error).__name__})"
        raise pymysql.OperationalError(MALFORMED, cause) from None


def error_number(error: Exception) -> int:
    """Return the error's number; the client's own errors may have none."""
    return error.args[0] if error.args and isinstance(error.args[0], int) else 0


def error_text(error: Exception) -> str:
    """Return what the error says, as it may be quoted."""
    return said(raw_text(error))


def raw_text(error: Exception) -> str:
    """Return what the error says, to be looked at and not to be quoted."""
    return str(error.args[-1]) if error.args else ""


def _login_failure(error: Exception, operation: str) -> DatabaseError | Unsupported:
    cause = getattr(error, "original_exception", error)
    if isinstance(cause, ssl.SSLError):
        remedy = (
            "Have the server use a certificate of the RDS authorities for this host, or name its own in DB_CA_BUNDLE"
        )
        return Untrusted(operation, said(getattr(cause, "verify_message", "") or cause.reason or "TLS failed"), remedy)
    number, text = error_number(error), error_text(error)
    if isinstance(error, RuntimeError):
        return Unsupported(operation, text, 'Take "ssl": false out of the secret, or use another plugin')
    raw = raw_text(error)
    if "SSL connection error" in raw or "server doesn't support" in raw.lower():
        return Untrusted(
            operation, text, 'Switch TLS on at the server, or say "ssl": false in the secret to send all in clear'
        )
    problem, remedy = LOGIN_PROBLEMS.get(number, (Unreachable, NO_ANSWER))
    return problem(operation, f"{text} (error {number})" if number else text or "no answer", remedy)
