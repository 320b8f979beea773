"""Which database server answers, if it is none of Oracle's?

Asked after a login failed without an answer of Oracle's protocol, at the same address, and without a word about the
login. MySQL speaks first. PostgreSQL answers a request for TLS with one letter, and SQL Server a PRELOGIN message with
one of its own. What answers so says what it is; it is believed for the words of an error only.
"""

import re
import socket
import struct

PROBE_SECONDS = 1.0
"""How long one question can take. There are two."""

GREETING_BYTES = 128
MYSQL = re.compile(rb".{3}\0\x0a([^\0]{1,80})\0", re.DOTALL)
"""A greeting of version 10 of the protocol, with the server's version
(https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_packets_protocol_handshake_v10.html)."""

TLS_REQUEST = struct.pack("!ii", 8, 80877103)
TLS_ANSWERS = (b"S", b"N")
"""https://www.postgresql.org/docs/current/protocol-message-formats.html, SSLRequest."""

PRELOGIN = bytes.fromhex("1201001a00000100 00000b0006 0100110001 ff 000000000000 02")
REPLY = b"\x04\x01"
"""[MS-TDS] 2.2.6.5: version and encryption; a reply, whole."""


def other_engine(address: str, port: int) -> str:
    """Return the name of the engine that answers there; empty if it is none of these."""
    answer = _answer(address, port, TLS_REQUEST)
    if greeting := MYSQL.match(answer):
        return "MariaDB" if b"mariadb" in greeting[1].lower() else "MySQL"
    if answer in TLS_ANSWERS:
        return "PostgreSQL"
    return "SQL Server" if _answer(address, port, PRELOGIN).startswith(REPLY) else ""


def _answer(address: str, port: int, question: bytes) -> bytes:
    """Return the beginning of what somebody says to that; empty if nobody does."""
    try:
        with socket.create_connection((address, port), PROBE_SECONDS) as connection:
            connection.sendall(question)
            return connection.recv(GREETING_BYTES)
    except OSError:
        return b""
