"""How is python-oracledb kept from connecting to other places, and from believing every answer?

It looks a host's name up once more by itself, which can give another address. It follows a listener that redirects it,
to any host and port (both tried with 26.1). And it takes no socket of ours. But before Python connects a socket it
calls audit hooks, which can prevent that (https://docs.python.org/3/library/sys.html#sys.addaudithook). So a thread
that logs in gets one connection, to one of the addresses that were looked up and checked.

Without TLS, nobody knows who answers until the login is over. So answers are counted, from one message of ours to the
next, and checked, because the client trusts each number in them (tried with 26.1): the length of a packet, the size of
a buffer, how often a password is hashed.

Only this module depends on how the client works inside. The client's source is Cython, so a test compares its version
only: read the source again for each new one.
"""

import io
import re
import socket
import ssl
import sys
import threading
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

READ_IN: Final = "oracledb 26.1.0"
"""The version of the client in which all this was read and tried."""

LOGIN_BYTES, ANSWER_BYTES = 256 * 1024, 16 * 1024 * 1024
"""How much a server can send before we send again: until the login is over, and later."""

RECEIVED_AT_ONCE = 65536

HEADER_BYTES, SHORTEST_PACKET = 8, 8
ACCEPT, REDIRECT, DATA = 2, 5, 6
MYSQL_GREETING = 10
"""No type of Oracle's packets, but the protocol version in MySQL's greeting. The client would wait for its end."""
FLAG_BYTES = 2
"""The flags with which the data of a packet begin."""
PROTOCOL = 1
"""The message in which a server first says what it is. The client does not check its length: it reads beyond the packet
if a text has no end, or if there are too few capabilities (tried with 26.1: the process ends)."""
COMPILE_CAPABILITIES, RUNTIME_CAPABILITIES = 8, 7
"""How many capabilities there are at least
(https://github.com/oracle/python-oracledb/blob/main/src/oracledb/impl/thin/capabilities.pyx)."""
SDU = slice(24, 28)
"""The place of the packet size in a listener's answer
(https://github.com/oracle/python-oracledb/blob/main/src/oracledb/impl/thin/messages/connect.pyx)."""
LARGEST_SDU = 2 * 1024 * 1024
"""https://docs.oracle.com/en/database/oracle/oracle-database/19/netrf/parameters-for-the-sqlnet.ora.html,
DEFAULT_SDU_SIZE."""

HASH_ROUNDS = re.compile(rb"AUTH_PBKDF2_(?:VGEN|SDER)_COUNT[^0-9]{1,4}([0-9]+)")
HASH_ROUNDS_DIGITS = 6
"""How many digits the number of rounds can have in which a password is hashed: servers say 4096."""


class UnexpectedRedirect(OSError):
    """The client was about to connect to an address that nobody checked."""


class InvalidAnswer(OSError):
    """The answer is one that no Oracle server gives, or it has no end."""


class AnswerCheck:
    """Counts and checks what one connection has received since our last message."""

    def __init__(self) -> None:
        """Begin before the first message."""
        self._socket: socket.socket | None = None
        self._limit = LOGIN_BYTES
        self._count = 0
        self._header, self._body, self._missing = b"", bytearray(), 0
        self._has_long_lengths = False
        self.has_greeting = False
        """Whether the server has said what it is, so that who answers is a server of Oracle's protocol."""
        self._answer = bytearray()
        self._problem: InvalidAnswer | None = None

    def begin(self, connecting: socket.socket) -> None:
        """Check this socket."""
        self._socket = connecting

    def trust(self) -> None:
        """Only count from now on: the server has proved who it is."""
        self._limit = ANSWER_BYTES
        self._answer.clear()

    def send(self) -> None:
        """Start again, because we are about to send. Raises InvalidAnswer again if there was one."""
        self._raise_again()
        self._count = 0
        self._answer.clear()

    def receive(self, data: bytes) -> bytes:
        """Return what was received; raises InvalidAnswer."""
        self._raise_again()
        try:
            self._count_bytes(data)
            if self._limit == LOGIN_BYTES:
                self._check_packets(data)
        except InvalidAnswer as problem:
            self._problem = problem
            raise
        return data

    def hang_up(self) -> None:
        """Shut the socket down, even if a thread waits for it."""
        if self._socket:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def _raise_again(self) -> None:
        if self._problem:
            raise InvalidAnswer(*self._problem.args)

    def _count_bytes(self, data: bytes) -> None:
        self._count += len(data)
        if self._count > self._limit:
            raise InvalidAnswer(f"one answer has more than {self._limit} bytes")

    def _check_packets(self, data: bytes) -> None:
        while data:
            if self._missing:
                piece, data = data[: self._missing], data[self._missing :]
                self._body += piece
                self._missing -= len(piece)
            else:
                data = self._read_header(data)
                if len(self._header) < HEADER_BYTES:
                    return
            if not self._missing:
                self._end_packet(self._header[4], bytes(self._body))
                self._header, self._body = b"", bytearray()

    def _read_header(self, data: bytes) -> bytes:
        """Return what is left of the data; the header can still be incomplete."""
        missing = HEADER_BYTES - len(self._header)
        self._header, data = self._header + data[:missing], data[missing:]
        if len(self._header) == HEADER_BYTES:
            length = int.from_bytes(self._header[: 4 if self._has_long_lengths else 2])
            if not SHORTEST_PACKET <= length <= self._limit:
                raise InvalidAnswer(f"a packet has {length} bytes")
            if self._header[4] == MYSQL_GREETING and not self._has_long_lengths:
                raise InvalidAnswer("it begins like the greeting of MySQL")
            self._missing = length - HEADER_BYTES
        return data

    def _end_packet(self, packet_type: int, body: bytes) -> None:
        if packet_type == ACCEPT:
            self._has_long_lengths = True
            if (size := int.from_bytes(body[SDU])) > LARGEST_SDU:
                raise InvalidAnswer(f"packets can have {size} bytes")
        if packet_type == REDIRECT:  # what follows is an address, to which nobody connects
            self.has_greeting = True
        if packet_type == DATA and len(body) < FLAG_BYTES:
            raise InvalidAnswer("a packet has no flags")
        if packet_type == DATA and not self.has_greeting:
            self.has_greeting = True
            _require_greeting(body[FLAG_BYTES:])
        self._answer += body[FLAG_BYTES:]
        if any(len(rounds) > HASH_ROUNDS_DIGITS for rounds in HASH_ROUNDS.findall(self._answer)):
            raise InvalidAnswer("it asks for a password hash that would take too long")


def _require_greeting(message: bytes) -> None:
    """Raise InvalidAnswer for a greeting beyond whose end the client would read
    (https://github.com/oracle/python-oracledb/blob/main/src/oracledb/impl/thin/messages/protocol.pyx)."""  # noqa: D205, D209 - the link takes the line
    stream = io.BytesIO(message)

    def take(length: int) -> bytes:
        found = stream.read(length)
        if len(found) < length:
            raise InvalidAnswer("the greeting has no end")
        return found

    message_type, *_ = take(3)
    while take(1) != b"\0":
        pass
    take(3)  # character set, flags
    take(5 * int.from_bytes(take(2), "little"))
    sets = take(int.from_bytes(take(2)))
    is_short = len(sets) < RUNTIME_CAPABILITIES or len(sets) < sum(sets[5:7]) + 11
    capabilities = (COMPILE_CAPABILITIES, RUNTIME_CAPABILITIES)
    if message_type != PROTOCOL or is_short or any(0 < len(take(*take(1))) < least for least in capabilities):
        raise InvalidAnswer("the greeting is incomplete")


class BoundedSocket(socket.socket):
    """A socket that the client made; it becomes one of this class when it is connected."""

    __slots__ = ()

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """Receive, and check it."""
        return _checks[self].receive(super().recv(min(size, RECEIVED_AT_ONCE), flags))

    def send(self, data: Any, flags: int = 0, /) -> int:  # noqa: ANN401 - as in socket.socket
        """Send."""
        _checks[self].send()
        return super().send(data, flags)


class BoundedTLSSocket(ssl.SSLSocket):
    """The same for TLS: it checks what is inside."""

    check: AnswerCheck

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Receive, and check it."""
        return self.check.receive(super().recv(min(buflen, RECEIVED_AT_ONCE), flags))

    def send(self, data: Any, flags: int = 0) -> int:  # noqa: ANN401 - as in ssl.SSLSocket
        """Send."""
        self.check.send()
        return super().send(data, flags)


_checks: weakref.WeakKeyDictionary[socket.socket, AnswerCheck] = weakref.WeakKeyDictionary()


def checked(context: ssl.SSLContext, check: AnswerCheck) -> ssl.SSLContext:
    """Return the context, whose sockets check what is inside of TLS."""
    context.sslsocket_class = type("BoundedTLSSocket", (BoundedTLSSocket,), {"check": check})
    return context


class _Bounds(threading.local):
    """What a thread can connect to."""

    addresses: set[tuple[str, int]] | None = None
    """The addresses that it can still try; None: any."""
    connected: socket.socket | None = None
    """The socket that it connected last; closed if that failed."""
    check: AnswerCheck | None = None


_bounds = _Bounds()


@contextmanager
def one_connection(addresses: Iterable[str], port: int, check: AnswerCheck) -> Iterator[None]:
    """Let this thread make one connection, to the first address that accepts it; all else raises UnexpectedRedirect."""
    _bounds.addresses, _bounds.check = {(address, port) for address in addresses}, check
    try:
        yield
    finally:
        _bounds.addresses, _bounds.connected, _bounds.check = None, None, None


def _before_connecting(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "socket.connect" or _bounds.addresses is None:
        return
    connecting, address = arguments[0], arguments[1][:2]
    if address not in _bounds.addresses or (_bounds.connected and _bounds.connected.fileno() >= 0):
        raise UnexpectedRedirect
    _bounds.addresses.remove(address)
    _bounds.connected = connecting
    if _bounds.check:
        connecting.__class__ = BoundedSocket
        _checks[connecting] = _bounds.check
        _bounds.check.begin(connecting)


sys.addaudithook(_before_connecting)
