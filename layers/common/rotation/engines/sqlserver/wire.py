"""How does python-tds reach a server? Through a `BoundedSocket`, which takes the place of its socket.

With SQL Server, TLS begins late: client and server first exchange a PRELOGIN message in clear. The records of the TLS
handshake then travel inside such messages, and all that follows is plain TLS ([MS-TDS] 2.2.6.5,
https://learn.microsoft.com/en-us/openspecs/windows_protocols/ms-tds/60f56408-0188-4cd5-8b90-25c6f2423868). python-tds
uses pyOpenSSL for this, with which it can no longer read the names in a certificate
(https://github.com/denisenkom/pytds/issues/199); see docs/decisions/sql-server-client.md. So the handshake is done
here, with Python's own `ssl`, before python-tds begins. python-tds then sends a PRELOGIN message of its own, and the
answer to it comes from here: the server does not encrypt.

Anybody can answer before TLS has proved who the server is, and, without TLS, to the end. So each answer has a limit in
bytes as well as in seconds.

This is the only module that relies on private parts of python-tds.
"""

import logging
import socket
import ssl
import struct
import sys
import time
from typing import Any, Final, NoReturn

from pytds.tds_base import Error  # type: ignore[import-untyped]  # annotated, but not marked so (PEP 561)
from pytds.tds_session import _TdsSession  # type: ignore[import-untyped]  # as above
from pytds.tds_writer import _TdsWriter  # type: ignore[import-untyped]  # annotated, but not marked so (PEP 561)

from rotation.engines.driver import CERTIFICATE, NO_TLS
from rotation.errors import LoginBlocked, Untrusted

READ_IN: Final = "python-tds 1.17.1"

HEADER = struct.Struct(">BBHHBB")
"""Of a packet: type, status, length with the header, channel, number, window."""
LOGIN, PRELOGIN, REPLY, ATTENTION, LAST = 0x10, 0x12, 0x04, 0x06, 0x01
OPTION = struct.Struct(">BHH")
"""Of a PRELOGIN message: what it is, where it begins, how long it is."""
ENCRYPTION, END = 0x01, 0xFF
ON, NOT_SUPPORTED, REQUIRED = 1, 2, 3
GREETING = "00001a0006 0100200001 0200210001 0300220004 0400260001 ff 000000000000 {:02x} 00 00000000 00"
"""A PRELOGIN message: version 0, encryption, no instance, thread 0, one request at a time."""
ANSWER = bytes.fromhex("04 01 000f 0000 01 00 0100060001 ff 02")
"""A packet with the answer to one: encryption is not supported."""
OPTIONS_AT, NEW_PASSWORD_AT, CHANGES_PASSWORD = 27, 86, 0x01
"""Where a LOGIN7 message has its OptionFlags3 and the place of a new password, and the flag for one ([MS-TDS] 2.2.6.4,
fChangePassword, ibChangePassword)."""
TLS_CHUNK_BYTES = 16384
ATTENTION_BYTES = 64 * 1024
"""How much of an answer to ATTENTION is read: the first byte says enough, and TLS reads whole records."""
INFORMATION = 10
"""The highest severity of a message that is no error."""
LARGEST_PACKET_BYTES = 32767
"""[MS-TDS] 2.2.6.4, PacketSize."""
LOGIN_BYTES = 128 * 1024
"""How much a server can send until a login is done: certificates, and an acknowledgement."""

NEWEST_TLS: Final = ssl.TLSVersion.TLSv1_2
"""Later versions of TLS come without PRELOGIN, and only the newest servers know them
(https://learn.microsoft.com/en-us/sql/relational-databases/security/networking/tds-8)."""

REQUIRES_TLS = 'Take "ssl": false out of the secret: the server requires TLS'


class UnexpectedRedirect(Exception):
    """The answer to the login sends the client to another server."""


class AnswerTooLong(Exception):
    """An answer has more bytes, or more values, than its limit."""


class BoundedSocket:
    """A connection on which each answer has a limit in seconds and in bytes.

    A socket's own timeout is for one piece of an answer: a server that sends a byte now and then never meets it.
    """

    def __init__(self, connected: socket.socket) -> None:
        """Take over a connection on which nothing was sent yet."""
        self.is_logged_in = False
        self.has_answered = False
        """Whether the server has answered a PRELOGIN message, so that it is of this engine."""
        self._socket = connected
        self._ends_at = 0.0
        self._bytes_left = 0
        self._tls: ssl.SSLObject | None = None
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._pending = b""
        self._new_password: str | None = None
        self._is_cancelled = False

    def change_password_at_login(self, password: str) -> None:
        """Let the login change the user's password: a server does that also if the old one has expired."""
        self._new_password = password

    def limit(self, seconds: float, most_bytes: int) -> None:
        """Limit what comes from now on: TimeoutError is raised after the seconds, AnswerTooLong after the bytes."""
        self._ends_at, self._bytes_left = time.monotonic() + seconds, most_bytes

    def cancel(self, seconds: float) -> bool:
        """Let the server give up the statement that runs; tell whether it answers, so that it is there.

        SQL Server has no limit of its own for statements. It answers ATTENTION at once ([MS-TDS] 2.2.1.7). python-tds
        has sent it already if there was no answer at all.
        """
        self.limit(seconds, ATTENTION_BYTES)
        try:
            if not self._is_cancelled:
                self.sendall(HEADER.pack(ATTENTION, LAST, HEADER.size, 0, 1, 0))
            return bool(self._receive(1))
        except (OSError, AnswerTooLong):
            return False

    def begin_without_tls(self, operation: str) -> None:
        """Agree with the server not to use TLS; raises LoginBlocked, or OSError if there is no answer."""
        self._send_message(bytes.fromhex(GREETING.format(NOT_SUPPORTED)))
        if _encryption(self._receive_message()) in (ON, REQUIRED):
            raise LoginBlocked(operation, "the server refuses logins without TLS", REQUIRES_TLS)

    def begin_tls(self, host: str, context: ssl.SSLContext, operation: str) -> None:
        """Let the server prove who it is; raises Untrusted, or OSError if there is no answer."""
        try:
            self._tls = self.prove_server(host, context, operation)
        except ssl.SSLError as error:
            cause = getattr(error, "verify_message", "") or error.reason or "TLS failed"
            raise Untrusted(operation, f"TLS: {cause}", CERTIFICATE) from None

    def prove_server(self, host: str, context: ssl.SSLContext, operation: str) -> ssl.SSLObject:
        """Do the handshake of TLS; raises Untrusted if there is none, ssl.SSLError, or OSError if nobody answers."""
        tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._send_message(bytes.fromhex(GREETING.format(ON)))
        if _encryption(self._receive_message()) not in (ON, REQUIRED):
            raise Untrusted(operation, "the server does not speak TLS", NO_TLS)
        self._shake_hands(tls)
        return tls

    # What python-tds calls

    def sendall(self, data: bytes) -> None:
        """Send data. python-tds's own PRELOGIN message is not sent, because encryption was agreed upon here."""
        if data[0] == PRELOGIN:
            self._pending = ANSWER
            return
        if data[0] == LOGIN and self._new_password is not None:
            data = with_new_password(bytes(data), self._new_password)
        self._is_cancelled = data[0] == ATTENTION
        if self._tls:
            self._tls.write(data)
            data = self._outgoing.read()
        self._set_timeout()
        self._socket.sendall(data)

    def recv_into(self, buffer: memoryview, size: int = 0) -> int:
        """Receive something; 0 if the server has closed the connection."""
        data = self._receive(min(size or len(buffer), len(buffer)))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Close the connection; raises UnexpectedRedirect if python-tds closes it to connect to another server."""
        self._socket.close()
        if not self.is_logged_in and sys.exception() is None:
            # python-tds closes before a login for two reasons: an error, or a redirect. It would follow the redirect,
            # and log in there without TLS.
            raise UnexpectedRedirect

    def setsockopt(self, *_: object) -> None:
        """Keep the options as they are."""

    def settimeout(self, _: object) -> None:
        """Keep the limit of `limit`."""

    def gettimeout(self) -> None:
        """Return no timeout: python-tds is not to restore one."""

    # Packets before TLS, and during its handshake

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
        self._set_timeout()
        self._socket.sendall(HEADER.pack(PRELOGIN, LAST, HEADER.size + len(body), 0, 1, 0) + body)

    def _receive_message(self) -> bytes:
        body = b""
        while True:
            header = self._receive_exactly(HEADER.size)
            kind, status, length, *_ = HEADER.unpack(header)
            if kind not in (PRELOGIN, REPLY):
                raise ValueError(kind)
            body += self._receive_exactly(length - HEADER.size)
            if status & LAST:
                self.has_answered = True
                return body

    def _receive_exactly(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            data += self._receive_bytes(length - len(data)) or _lost()
        return data

    def _receive(self, most: int) -> bytes:
        if self._pending:
            data, self._pending = self._pending[:most], self._pending[most:]
            return data
        while self._tls:
            try:
                return self._tls.read(most)
            except ssl.SSLWantReadError:
                received = self._receive_bytes(TLS_CHUNK_BYTES)
                if not received:
                    return b""
                self._incoming.write(received)
        return self._receive_bytes(most)

    def _receive_bytes(self, most: int) -> bytes:
        self._set_timeout()
        data = self._socket.recv(most)
        self._bytes_left -= len(data)
        if self._bytes_left < 0:
            raise AnswerTooLong
        return data

    def _set_timeout(self) -> None:
        self._socket.settimeout(max(0.001, self._ends_at - time.monotonic()))


def with_new_password(packet: bytes, password: str) -> bytes:
    """Return the packet of a login that also changes the password.

    python-tds has a field for the new password, but sends it without the flag, and does not scramble it.
    """
    kind, status, _, *rest = HEADER.unpack_from(packet)
    message = bytearray(packet[HEADER.size :])
    message[OPTIONS_AT] |= CHANGES_PASSWORD
    struct.pack_into("<HH", message, NEW_PASSWORD_AT, len(message), len(password))
    message += bytes(((byte << 4 | byte >> 4) & 0xFF) ^ 0xA5 for byte in password.encode("utf-16-le"))
    struct.pack_into("<I", message, 0, len(message))
    return HEADER.pack(kind, status, HEADER.size + len(message), *rest) + bytes(message)


def _encryption(message: bytes) -> int | None:
    """Return the encryption that a PRELOGIN message names; None if it names none."""
    for at in range(0, len(message) - OPTION.size, OPTION.size):
        option, offset, length = OPTION.unpack_from(message, at)
        if option == END:
            break
        if option == ENCRYPTION and length and offset < len(message):
            return int(message[offset])
    return None


def _lost() -> NoReturn:
    raise ConnectionError("the server closed the connection without an answer, as a server of another engine does")


_resize = _TdsWriter.bufsize.fset


def _resize_within_limit(writer: Any, size: int) -> None:  # noqa: ANN401 - python-tds has no types
    """Refuse packets larger than the protocol allows: python-tds makes room for any size that a server names."""
    if size > LARGEST_PACKET_BYTES:
        raise AnswerTooLong
    _resize(writer, size)


_TdsWriter.bufsize = _TdsWriter.bufsize.setter(_resize_within_limit)

_raise_db_exception = _TdsSession.raise_db_exception


def _raise_with_numbers(session: Any) -> None:  # noqa: ANN401 - python-tds has no types
    """Raise the error of the server's last message with the numbers of all: python-tds keeps that of the last one."""
    try:
        _raise_db_exception(session)
    except Error as error:
        error.numbers = tuple(message["msgno"] for message in session.messages if message["severity"] > INFORMATION)
        raise


_TdsSession.raise_db_exception = _raise_with_numbers


def error_numbers(error: Exception) -> tuple[int, ...]:
    """Return the numbers of all messages that make up a server's error."""
    return getattr(error, "numbers", ())


# python-tds logs the beginning of every statement at level INFO: a statement that sets a password has it there.
logging.getLogger("pytds").disabled = True
for _module in ("tds_socket", "tls", "login", "smp"):
    logging.getLogger(f"pytds.{_module}").disabled = True
