"""What keeps a MySQL or MariaDB server from talking for longer, or saying more, than this program can take?

PyMySQL reads whatever comes. So what is read is bounded here: in time, in bytes and in packets. The bounds are tightest
until the server has accepted the login, because until then anybody can be at the other end.

This is the only module that touches private parts of PyMySQL.
"""

import io
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NoReturn

import pymysql
from pymysql.protocol import MysqlPacket

from rotation.engines.driver import STATEMENT_SECONDS

READ_IN: Final = "PyMySQL 1.2.4"
"""The version whose private parts were read."""

NO_HANDSHAKE, TOO_LARGE, MALFORMED, REVEALS = 2012, 2020, 2027, 2061
"""CR_SERVER_HANDSHAKE_ERR, CR_NET_PACKET_TOO_LARGE, CR_MALFORMED_PACKET, CR_AUTH_PLUGIN_ERR: errors of clients, which
are raised here. No server sends them."""

WRONG_SERVER: Final = 2007
"""CR_VERSION_ERROR: the same."""

LOST_CONNECTION: Final = 2013
"""CR_SERVER_LOST."""

ACCESS_DENIED, NO_PASSWORD_ACCESS = 1045, 1698
"""ER_ACCESS_DENIED_ERROR, ER_ACCESS_DENIED_NO_PASSWORD_ERROR: wrong user or password."""

EXPIRED_PASSWORD, UNKNOWN_VARIABLE = 1820, 1193
"""ER_MUST_CHANGE_PASSWORD, ER_UNKNOWN_SYSTEM_VARIABLE."""

LOGIN_BYTES, LOGIN_PACKETS = 64 * 1024, 32
"""How much is read until the login is done. A whole login takes less than 4 KB, in about ten packets."""

ANSWER_BYTES, ANSWER_PACKETS = 3 * 1024 * 1024, 50_000
"""How much is read of the answer to a statement; a row is a packet. As Python objects it takes 60 MB at most.
The rights in it have a limit of their own: see `rotation.engines.mysql.rights`."""

VERIFY_BYTES, VERIFY_PACKETS = 16 * 1024 * 1024, 1_000_000
"""How much is read of the answer to a statement of `verify`, and dropped as it comes."""

REVEALING = ("mysql_clear_password", "dialog", "mysql_old_password")
"""The plugins with which the client sends its password, or a hash that is as good. No account whose password we set
uses one of them, so a server that asks for one wants the password for something else."""


class BoundedConnection(pymysql.Connection):
    """A connection on which an answer can neither take longer nor be larger than it may.

    The client's own time limit is for a piece of an answer: a server that sends a byte now and then never exceeds it.
    """

    plugin = ""
    """The authentication plugin that the server asked for."""
    refuses_mariadb = False
    """Whether to leave a server that greets as MariaDB, before it learns anything."""

    server_version = ""
    """Of the greeting; empty if there was none."""

    settings = ""
    """The one statement with which the session begins. It names the character set, which a server need not take from
    the login, and switches autocommit on."""

    _auth_plugin_name: str
    _sock: socket.socket
    _rfile: io.BufferedReader
    _result: Any

    _until = 0.0
    _server_limit = int(STATEMENT_SECONDS)
    _bytes, _packets = LOGIN_BYTES, LOGIN_PACKETS

    def limit_time(self, seconds: float) -> int:
        """Give what comes next this much time; return the server's new limit in seconds, or 0 if it keeps its old one.

        The server's limit ends before ours, so we get an error that says why.
        """
        self._until = time.monotonic() + seconds
        limit = max(1, int(seconds) - 1)
        is_lower, self._server_limit = limit < self._server_limit, min(limit, self._server_limit)
        return limit if is_lower else 0

    def limit_size(self, size: int = ANSWER_BYTES, packets: int = ANSWER_PACKETS) -> None:
        """Limit the size of what comes next."""
        self._bytes, self._packets = size, packets

    @property
    def greets_as_mariadb(self) -> bool:
        """Whether the server said so when it greeted us."""
        return "mariadb" in self.server_version.lower()

    @property
    def number(self) -> int:
        """The number of the connection, by which KILL names it."""
        return int(self.thread_id())  # type: ignore[no-untyped-call]  # its stubs leave types out

    @property
    def is_late(self) -> bool:
        """Whether what came last has used up its time."""
        return time.monotonic() >= self._until

    def set_character_set(self, charset: str, collation: str | None = None) -> None:  # noqa: ARG002 - `settings` say both
        """Begin the session, which the client does with this, unless the password has expired.

        MySQL accepts nothing then but a new password: the settings are left for `begin`.
        """
        try:
            self.begin()
        except pymysql.MySQLError as error:
            if error.args[:1] != (EXPIRED_PASSWORD,):
                raise

    def begin(self) -> None:
        """Send the settings, if they were not sent."""
        if self.settings:
            with self.cursor() as cursor:
                cursor.execute(self.settings)
            self.settings = ""

    def _write_bytes(self, data: bytes) -> None:
        # The TLS handshake, too, begins with the timeout that is set here.
        self._write_timeout = max(0.001, self._until - time.monotonic())
        super()._write_bytes(data)  # type: ignore[misc]  # private: its stubs leave it out

    def _get_server_information(self) -> None:
        """Read the greeting.

        A server that reports a wrong password now has seen neither user nor password, and has not proved who it is. It
        must not make us try another credential.
        """
        try:
            super()._get_server_information()  # type: ignore[misc]  # private: its stubs leave it out
        except pymysql.MySQLError as error:
            if error.args[:1] in ((ACCESS_DENIED,), (NO_PASSWORD_ACCESS,)):
                cause = "the server refused the login before it knew user and password"
                raise pymysql.OperationalError(NO_HANDSHAKE, cause) from None
            raise
        if self.refuses_mariadb and self.greets_as_mariadb:
            raise pymysql.OperationalError(WRONG_SERVER, "the server is MariaDB")
        self.plugin = self._auth_plugin_name

    def _request_authentication(self) -> None:
        """Log in.

        If the first method of an account fails, MariaDB asks for the next one, with a second request to switch; the
        client answers only one.
        """
        try:
            super()._request_authentication()  # type: ignore[misc]  # private: its stubs leave it out
        except pymysql.OperationalError as error:
            if error.args == ("received multiple auth switch requests",):
                cause = "the server refused the first authentication method of the account"
                raise pymysql.OperationalError(ACCESS_DENIED, cause) from None
            raise

    def _process_auth(self, plugin_name: bytes, auth_packet: MysqlPacket, handler: object = None) -> MysqlPacket:
        """Answer a request to switch to another plugin, and remember which."""
        self.plugin = plugin_name.decode("ascii", "replace")
        packet: MysqlPacket = super()._process_auth(plugin_name, auth_packet, handler)  # type: ignore[misc]  # private: its stubs leave it out
        return packet

    def _read_packet(self, packet_type: type[MysqlPacket] = MysqlPacket) -> MysqlPacket:
        if self._packets <= 0:
            self._refuse_size()
        self._packets -= 1
        packet: MysqlPacket = super()._read_packet(packet_type)  # type: ignore[no-untyped-call]  # its stubs leave types out
        return packet

    def _read_bytes(self, num_bytes: int) -> bytes:
        if num_bytes > self._bytes:
            self._refuse_size()
        self._bytes -= num_bytes
        pieces: list[bytes] = []
        while num_bytes:
            pieces.append(self._read_piece(num_bytes))
            num_bytes -= len(pieces[-1])
        return b"".join(pieces)

    def _read_piece(self, most: int) -> bytes:
        cause, left = " (timed out)", self._until - time.monotonic()
        if left > 0:  # checked for each piece: a server that never stops sending never runs into the socket's timeout
            try:
                self._sock.settimeout(left)
                if piece := self._rfile.read1(most):
                    return bytes(piece)
                cause = ""
            except OSError as error:
                cause = f" ({error})"
        self._force_close()
        raise pymysql.OperationalError(LOST_CONNECTION, f"Lost connection to the server{cause}")

    def _refuse_size(self) -> NoReturn:
        self._force_close()
        raise pymysql.OperationalError(TOO_LARGE, "the answer is larger than expected")

    def _force_close(self) -> None:
        if self._result:
            self._result.unbuffered_active = False  # otherwise the client would read the answer to its end
        super()._force_close()  # type: ignore[misc]  # private: its stubs leave it out


class RefusedPlugin:
    """An authentication plugin, in the form that the client wants, that sends nothing."""

    def __init__(self, connection: pymysql.Connection) -> None:
        """Need nothing of the connection."""

    def authenticate(self, _: object) -> NoReturn:
        """Send nothing."""
        raise pymysql.OperationalError(REVEALS, "the server asks for the password in clear, or as good as that")


@contextmanager
def understood() -> Iterator[None]:
    """Raise one of the client's own errors if the client does not understand the server.

    Otherwise it raises whatever happens then. It raises RuntimeError if it lacks a package, or a permission.
    """
    try:
        yield
    except (pymysql.MySQLError, OSError, RuntimeError):
        raise
    except Exception as error:  # noqa: BLE001 - `Exception` itself is among them
        cause = f"the answer is not in the protocol of MySQL and MariaDB ({type(error).__name__})"
        raise pymysql.OperationalError(MALFORMED, cause) from None
