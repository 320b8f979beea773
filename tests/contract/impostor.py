"""Who answers in a server's place, and what does it receive?"""

import socket
import socketserver
import ssl
import struct
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from threading import Thread

from tests.local.servers.certificates import Certificates
from tests.local.servers.processes import LOOPBACK

PATIENCE = 10.0


class Line:
    """A connection to a client, from the side of the server."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._connection.settimeout(PATIENCE)
        self.heard = b""
        """All that the client has said so far: inside of TLS as soon as there is TLS, in clear before."""

    def hear(self, most: int = 65536) -> bytes:
        """Return what comes next; nothing at the end."""
        data = self._connection.recv(most)
        self.heard += data
        return data

    def say(self, data: bytes) -> None:
        """Send."""
        self._connection.sendall(data)

    def show(self, certificates: Certificates) -> None:
        """Begin TLS with this certificate; raises SSLError if the client refuses it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.certificate, certificates.key)
        self._connection = context.wrap_socket(self._connection, server_side=True)

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


type Talk = Callable[[Line], None]
"""What an impostor says; it listens until the client goes, whatever is left of the talk."""


@dataclass
class Impostor:
    """One that listens at 127.0.0.1."""

    port: int = 0
    lines: list[Line] = field(default_factory=list)

    @property
    def heard(self) -> bytes:
        """All that it received, on all connections."""
        return b"".join(line.heard for line in self.lines)


@contextmanager
def posing(talk: Talk) -> Iterator[Impostor]:
    """Answer every connection by `talk`. What was heard is complete when the block has ended."""
    impostor = Impostor()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            impostor.lines.append(line := Line(self.request))
            with closing(line), suppress(OSError):  # a client that goes in the middle of it
                talk(line)
                while line.hear():
                    pass

    with _Server((LOOPBACK, 0), Handler) as server:
        impostor.port = server.server_address[1]
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield impostor
        finally:
            server.shutdown()
            thread.join()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = False  # so that its end waits for them


# What a PostgreSQL server says (https://www.postgresql.org/docs/current/protocol-message-formats.html)

SSL_REQUEST = struct.pack("!ii", 8, 80877103)
"""What a client says first if it wants TLS."""

TLS, NO_TLS = b"S", b"N"
OK, CLEAR, MD5, SASL, SASL_CONTINUE = 0, 3, 5, 10, 11
"""What the server wants to authenticate the client by."""

SCRAM = b"SCRAM-SHA-256\0\0"


def message(kind: bytes, body: bytes) -> bytes:
    """Return a message of PostgreSQL's protocol."""
    return kind + struct.pack("!i", 4 + len(body)) + body


def authentication(method: int, body: bytes = b"") -> bytes:
    """Return what asks for a method of authentication, or says that it is done."""
    return message(b"R", struct.pack("!i", method) + body)


def wrong_password(username: str) -> bytes:
    """Return PostgreSQL's answer to a wrong password."""
    text = f'password authentication failed for user "{username}"'
    return message(b"E", f"SFATAL\0VFATAL\0C28P01\0M{text}\0\0".encode())


# What a MySQL or MariaDB server says (https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html)

SALT = b"saltsaltsaltsaltsalt"
CAPABLE_OF_TLS = 0x0800
TLS_REQUEST = 4 + 32
"""The length of what a client says in clear, before it begins TLS."""


def packet(number: int, body: bytes) -> bytes:
    """Return a packet."""
    return struct.pack("<I", len(body) | number << 24) + body


def greeting(plugin: str = "caching_sha2_password", *, tls: bool = False) -> bytes:
    """Return what a server says first."""
    capabilities = 0xFFFF if tls else 0xFFFF & ~CAPABLE_OF_TLS
    body = b"\x0a9.7.0\0" + struct.pack("<I", 7) + SALT[:8] + b"\0"
    body += struct.pack("<HBHHB", capabilities, 45, 2, 0x000F, len(SALT) + 1) + bytes(10)
    return packet(0, body + SALT[8:] + b"\0" + plugin.encode() + b"\0")


def switch(number: int, plugin: str, data: bytes = SALT + b"\0") -> bytes:
    """Return what asks for another plugin."""
    return packet(number, b"\xfe" + plugin.encode() + b"\0" + data)


def access_denied(number: int) -> bytes:
    """Return MySQL's answer to a wrong password."""
    return packet(number, b"\xff" + struct.pack("<H", 1045) + b"#28000Access denied for user")


def tls_request() -> bytes:
    """Return what a client says before it begins TLS."""
    return packet(1, struct.pack("<IIB23x", 0x00FFFFFF & ~0x80 | CAPABLE_OF_TLS, 1 << 24, 45))
