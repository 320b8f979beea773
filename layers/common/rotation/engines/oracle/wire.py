"""How is python-oracledb kept from going elsewhere than it was sent, and from believing whatever it is told there?

It looks a host's name up once more by itself: by then it may lead elsewhere. It follows a listener that sends it on, to
whatever host and port that says (both tried with 26.1). And it takes no socket of ours. But before Python connects it
says so to audit hooks, which may prevent it (https://docs.python.org/3/library/sys.html#sys.addaudithook). So a thread
that logs in gets one connection, to one of the addresses that were looked up and checked.

Until a login has ended, nobody knows who answers, unless there is TLS. So what comes is counted, from one message of
ours to the next, and looked through, because the client takes each number in it for granted (tried with 26.1): how long
a packet is, how large a buffer is to be, how often a password is to be hashed.
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
from typing import Any

MOST_AT_LOGIN, MOST = 256 * 1024, 16 * 1024 * 1024
"""Bytes that may come before we say something more: up to the login, and later."""

AT_ONCE = 65536

HEADER, SHORTEST = 8, 8
ACCEPT, REDIRECT, DATA = 2, 5, 6
FLAGS = 2
"""Bytes of flags with which the data of a packet begin."""
PROTOCOL = 1
"""The message in which a server tells first what it is. The client does not measure it: it reads on behind the end of
a packet where a text has none, and of too few capabilities (tried with 26.1: that ends the process)."""
COMPILED, RUNNING = 8, 7
"""How many capabilities there are at least
(https://github.com/oracle/python-oracledb/blob/main/src/oracledb/impl/thin/capabilities.pyx)."""
SDU = slice(24, 28)
"""Where the answer of a listener says how large packets are
(https://github.com/oracle/python-oracledb/blob/main/src/oracledb/impl/thin/messages/connect.pyx)."""
LARGEST_SDU = 2 * 1024 * 1024
"""https://docs.oracle.com/en/database/oracle/oracle-database/19/netrf/parameters-for-the-sqlnet.ora.html,
DEFAULT_SDU_SIZE."""

ROUNDS = re.compile(rb"AUTH_PBKDF2_(?:VGEN|SDER)_COUNT[^0-9]{1,4}([0-9]+)")
MOST_DIGITS = 6
"""How long the number of rounds may be in which a password is hashed: servers say 4096."""


class Elsewhere(OSError):
    """The client was about to connect to where nobody sent it."""


class Unbelievable(OSError):
    """What answers says what no server of Oracle would, or does not end."""


class Watch:
    """What has come on one connection since we said something."""

    def __init__(self) -> None:
        """Begin before the first word."""
        self._way: socket.socket | None = None
        self._most = MOST_AT_LOGIN
        self._count = 0
        self._header, self._body, self._left = b"", bytearray(), 0
        self._has_long_lengths = self._is_greeted = False
        self._said = bytearray()
        self._problem: Unbelievable | None = None

    def begin(self, way: socket.socket) -> None:
        """Watch this one."""
        self._way = way

    def trust(self) -> None:
        """Go on with a server that has proved who it is."""
        self._most = MOST
        self._said.clear()

    def say(self) -> None:
        """Count anew: we are about to say something. Raises Unbelievable again, where that was raised."""
        self._require_belief()
        self._count = 0
        self._said.clear()

    def hear(self, data: bytes) -> bytes:
        """Return what has come; raises Unbelievable."""
        self._require_belief()
        try:
            self._count_on(data)
            if self._most == MOST_AT_LOGIN:
                self._look_at(data)
        except Unbelievable as problem:
            self._problem = problem
            raise
        return data

    def _require_belief(self) -> None:
        if self._problem:
            raise Unbelievable(*self._problem.args)

    def close(self) -> None:
        """Hang up, whoever waits for what comes."""
        if self._way:
            with suppress(OSError):
                self._way.shutdown(socket.SHUT_RDWR)

    def _count_on(self, data: bytes) -> None:
        self._count += len(data)
        if self._count > self._most:
            raise Unbelievable(f"more than {self._most} bytes came in one answer")

    def _look_at(self, data: bytes) -> None:
        while data:
            if self._left:
                piece, data = data[: self._left], data[self._left :]
                self._body += piece
                self._left -= len(piece)
            else:
                missing = HEADER - len(self._header)
                self._header, data = self._header + data[:missing], data[missing:]
                if len(self._header) < HEADER:
                    return
                length = int.from_bytes(self._header[: 4 if self._has_long_lengths else 2])
                if not SHORTEST <= length <= self._most:
                    raise Unbelievable(f"a packet of {length} bytes")
                self._left = length - HEADER
            if not self._left:
                self._end_packet(self._header[4], bytes(self._body))
                self._header, self._body = b"", bytearray()

    def _end_packet(self, kind: int, body: bytes) -> None:
        if kind == ACCEPT:
            self._has_long_lengths = True
            if (size := int.from_bytes(body[SDU])) > LARGEST_SDU:
                raise Unbelievable(f"packets of {size} bytes")
        if kind == REDIRECT:  # what follows is an address, to which nobody goes
            self._is_greeted = True
        if kind == DATA and len(body) < FLAGS:
            raise Unbelievable("a packet without its flags")
        if kind == DATA and not self._is_greeted:
            self._is_greeted = True
            _require_greeting(body[FLAGS:])
        self._said += body[FLAGS:]
        if any(len(rounds) > MOST_DIGITS for rounds in ROUNDS.findall(self._said)):
            raise Unbelievable("a password is to be hashed for ever")


def _require_greeting(message: bytes) -> None:
    """Raise Unbelievable for what would have the client read beyond it
    (https://github.com/oracle/python-oracledb/blob/main/src/oracledb/impl/thin/messages/protocol.pyx)."""  # noqa: D205, D209
    way = io.BytesIO(message)

    def take(length: int) -> bytes:
        found = way.read(length)
        if len(found) < length:
            raise Unbelievable("a greeting without its end")
        return found

    kind, *_ = take(3)
    while take(1) != b"\0":
        pass
    take(3)  # character set, flags
    take(5 * int.from_bytes(take(2), "little"))
    sets = take(int.from_bytes(take(2)))
    few = len(sets) < RUNNING or len(sets) < sum(sets[5:7]) + 11
    if kind != PROTOCOL or few or any(0 < len(take(*take(1))) < least for least in (COMPILED, RUNNING)):
        raise Unbelievable("no greeting of Oracle's")


class _Plain(socket.socket):
    """A socket that the client has made, and that became one of this class as it was connected."""

    __slots__ = ()

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """Take what has come."""
        return _watches[self].hear(super().recv(min(size, AT_ONCE), flags))

    def send(self, data: Any, flags: int = 0, /) -> int:  # noqa: ANN401 - as socket.socket has it
        """Say something."""
        _watches[self].say()
        return super().send(data, flags)


class _Secured(ssl.SSLSocket):
    """The same inside of TLS."""

    watch: Watch

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Take what has come."""
        return self.watch.hear(super().recv(min(buflen, AT_ONCE), flags))

    def send(self, data: Any, flags: int = 0) -> int:  # noqa: ANN401 - as ssl.SSLSocket has it
        """Say something."""
        self.watch.say()
        return super().send(data, flags)


_watches: weakref.WeakKeyDictionary[socket.socket, Watch] = weakref.WeakKeyDictionary()


def watching(context: ssl.SSLContext, watch: Watch) -> ssl.SSLContext:
    """Have what is said inside of TLS watched."""
    context.sslsocket_class = type("Secured", (_Secured,), {"watch": watch})
    return context


class _Bounds(threading.local):
    """What holds for a thread."""

    places: set[tuple[str, int]] | None = None
    """Where it may still try to connect to; None: anywhere."""
    way: socket.socket | None = None
    """What it has connected last; closed where that failed."""
    watch: Watch | None = None


_bounds = _Bounds()


@contextmanager
def one_connection(addresses: Iterable[str], port: int, watch: Watch) -> Iterator[None]:
    """Let this thread make one connection, to the first of these places that takes it; else it meets with Elsewhere."""
    _bounds.places, _bounds.watch = {(address, port) for address in addresses}, watch
    try:
        yield
    finally:
        _bounds.places, _bounds.way, _bounds.watch = None, None, None


def _prevent(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "socket.connect" or _bounds.places is None:
        return
    way, place = arguments[0], arguments[1][:2]
    if place not in _bounds.places or (_bounds.way and _bounds.way.fileno() >= 0):
        raise Elsewhere
    _bounds.places.remove(place)
    _bounds.way = way
    if _bounds.watch:
        way.__class__ = _Plain
        _watches[way] = _bounds.watch
        _bounds.watch.begin(way)


sys.addaudithook(_prevent)
