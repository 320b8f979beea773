"""How does python-tds reach a server? Through this, which takes the place of its socket.

With SQL Server, TLS begins in the middle: client and server exchange a PRELOGIN message in clear, then the records of
the TLS handshake travel inside of such messages, and all that comes after is plain TLS ([MS-TDS] 2.2.6.5,
https://learn.microsoft.com/en-us/openspecs/windows_protocols/ms-tds/60f56408-0188-4cd5-8b90-25c6f2423868). python-tds
does this with pyOpenSSL, with which it cannot read the names in a certificate any more
(https://github.com/denisenkom/pytds/issues/199); docs/decisions/sql-server-client.md has the rest. So it is done here,
with Python's own `ssl`, before python-tds begins. Its own PRELOGIN message is then answered from here: there is no
encryption to take care of.

Whoever answers may be anybody, before TLS has proved who it is, and without TLS to the end. So there is a limit to what
an answer may hold, as there is one to how long it may take.
"""

import socket
import ssl
import struct
import sys
import time
from typing import Any, NoReturn

from pytds.tds_writer import _TdsWriter  # type: ignore[import-untyped]  # annotated, but not marked so (PEP 561)

from rotation.errors import LoginBlocked, Untrusted

HEADER = struct.Struct(">BBHHBB")
"""Type, status, length with the header, channel, number, window."""
PRELOGIN, REPLY, LAST = 0x12, 0x04, 0x01
OPTION = struct.Struct(">BHH")
"""What it is, where it begins, how long it is."""
ENCRYPTION, END = 0x01, 0xFF
ON, NOT_SUPPORTED, REQUIRED = 1, 2, 3
GREETING = "00001a0006 0100200001 0200210001 0300220004 0400260001 ff 000000000000 {:02x} 00 00000000 00"
"""A PRELOGIN message: version 0, encryption, no instance, thread 0, one request at a time."""
ANSWER = bytes.fromhex("04 01 000f 0000 01 00 0100060001 ff 02")
"""A packet with an answer to one: encryption not supported."""
CHUNK = 16384
LARGEST_PACKET = 32767
"""[MS-TDS] 2.2.6.4, PacketSize."""
LOGIN_BYTES = 128 * 1024
"""What a server may say until a login is done: a certificate or two, and whom it has let in."""

CERTIFICATE = "Have the server use a certificate of the RDS authorities for this host, or name its own in DB_CA_BUNDLE"
NO_TLS = 'Switch TLS on at the server, or say "ssl": false in the secret to send all in clear'
WANTS_TLS = 'Take "ssl": false out of the secret: the server wants TLS'


class Astray(Exception):
    """The server's answer to the login cannot be followed."""


class TooMuch(Exception):
    """An answer is longer than it may be."""


class Way:
    """A connection on which no answer takes longer, or is longer, than it may.

    A socket's own limit is for a piece of an answer: a server that sends a byte now and then would never meet it.
    """

    def __init__(self, way: socket.socket) -> None:
        """Take a connection in which nothing was said yet."""
        self.is_logged_in = False
        self._way = way
        self._ends = 0.0
        self._left = 0
        self._tls: ssl.SSLObject | None = None
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._pending = b""

    def allow(self, seconds: float, most: int) -> None:
        """Give all that comes so much time, and so many bytes; TooMuch is raised where there are more."""
        self._ends, self._left = time.monotonic() + seconds, most

    def greet_in_clear(self, operation: str) -> None:
        """Agree with the server upon no TLS at all; raises LoginBlocked, or OSError where there is no answer."""
        self._send_message(bytes.fromhex(GREETING.format(NOT_SUPPORTED)))
        if _encryption(self._receive_message()) in (ON, REQUIRED):
            raise LoginBlocked(operation, "the server lets nobody in without TLS", WANTS_TLS)

    def begin_tls(self, host: str, context: ssl.SSLContext, operation: str) -> None:
        """Have the server prove who it is; raises Untrusted, or OSError where there is no answer."""
        # Later versions of TLS come without PRELOGIN, and only the newest servers know them
        # (https://learn.microsoft.com/en-us/sql/relational-databases/security/networking/tds-8).
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._send_message(bytes.fromhex(GREETING.format(ON)))
        if _encryption(self._receive_message()) not in (ON, REQUIRED):
            raise Untrusted(operation, "the server does not speak TLS", NO_TLS)
        try:
            self._shake_hands(tls)
        except ssl.SSLError as error:
            cause = getattr(error, "verify_message", "") or error.reason or "TLS failed"
            raise Untrusted(operation, f"TLS: {cause}", CERTIFICATE) from None
        self._tls = tls

    # What python-tds calls

    def sendall(self, data: bytes) -> None:
        """Send it; python-tds's own PRELOGIN goes no further: what it is about was agreed upon here."""
        if data[0] == PRELOGIN:
            self._pending = ANSWER
            return
        if self._tls:
            self._tls.write(data)
            data = self._outgoing.read()
        self._limit()
        self._way.sendall(data)

    def recv_into(self, buffer: memoryview, size: int = 0) -> int:
        """Receive something; 0 where the server has closed the connection."""
        data = self._receive(min(size or len(buffer), len(buffer)))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """End it."""
        self._way.close()
        if not self.is_logged_in and sys.exception() is None:
            # Where no error is on its way, python-tds is about to follow a server that sends it elsewhere, and there it
            # would log in without TLS.
            raise Astray

    def setsockopt(self, *_: object) -> None:
        """Keep the options as they are."""

    def settimeout(self, _: object) -> None:
        """Keep the limit that `allow` has set."""

    def gettimeout(self) -> None:
        """Tell nothing of it."""

    # Packets before TLS, and inside of it

    def _shake_hands(self, tls: ssl.SSLObject) -> None:
        while True:
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                self._send_message(self._outgoing.read())
                self._incoming.write(self._receive_message())
            except ssl.SSLError:
                if alert := self._outgoing.read():
                    self._send_message(alert)
                raise
            else:
                return

    def _send_message(self, body: bytes) -> None:
        self._limit()
        self._way.sendall(HEADER.pack(PRELOGIN, LAST, HEADER.size + len(body), 0, 1, 0) + body)

    def _receive_message(self) -> bytes:
        body = b""
        while True:
            kind, status, length, *_ = HEADER.unpack(self._receive_exactly(HEADER.size))
            if kind not in (PRELOGIN, REPLY):
                raise ValueError(kind)
            body += self._receive_exactly(length - HEADER.size)
            if status & LAST:
                return body

    def _receive_exactly(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            data += self._receive_some(length - len(data)) or _lost()
        return data

    def _receive(self, most: int) -> bytes:
        if self._pending:
            data, self._pending = self._pending[:most], self._pending[most:]
            return data
        while self._tls:
            try:
                return self._tls.read(most)
            except ssl.SSLWantReadError:
                received = self._receive_some(CHUNK)
                if not received:
                    return b""
                self._incoming.write(received)
        return self._receive_some(most)

    def _receive_some(self, most: int) -> bytes:
        self._limit()
        data = self._way.recv(most)
        self._left -= len(data)
        if self._left < 0:
            raise TooMuch
        return data

    def _limit(self) -> None:
        self._way.settimeout(max(0.001, self._ends - time.monotonic()))


def _encryption(message: bytes) -> int | None:
    """Return what a PRELOGIN message says of encryption; None where it says nothing."""
    for at in range(0, len(message) - OPTION.size, OPTION.size):
        option, place, length = OPTION.unpack_from(message, at)
        if option == END:
            break
        if option == ENCRYPTION and length and place < len(message):
            return int(message[place])
    return None


def _lost() -> NoReturn:
    raise ConnectionError("the server closed the connection")


_resize = _TdsWriter.bufsize.fset


def _resize_within_bounds(writer: Any, size: int) -> None:  # noqa: ANN401 - python-tds has no types
    """Take packets no larger than there are: of python-tds 1.17.1, which would make room for whatever a server says."""
    if size > LARGEST_PACKET:
        raise TooMuch
    _resize(writer, size)


_TdsWriter.bufsize = _TdsWriter.bufsize.setter(_resize_within_bounds)
