"""Which database server answers, if it is none of the engine that the secret names?

Asked after a login that failed without an answer in the protocol of this function's engine, at the same place, in
connections of their own. No word about the login is sent. Each question is how a client of one engine begins:

    PostgreSQL     a request for TLS, answered with one letter, or with an error. MySQL and MariaDB greet without any
                   question, so this one is enough for them as well
    SQL Server     a PRELOGIN message, answered with one
    Oracle         the question of tnsping, answered by the listener
    Db2            EXCSAT, answered with the attributes of the server

The answers cannot be taken for each other. What answers so says what it is. It is believed for the words of an error
only. A port that takes nothing but TLS answers none of this: Db2 and Oracle are not named there.
"""

import re
import struct
from collections.abc import Iterator
from contextlib import closing
from typing import Final

from rotation.credential import Credential
from rotation.deadline import Deadline
from rotation.engines import network
from rotation.engines.network import BeginTls, open_socket
from rotation.errors import DatabaseError, LoginBlocked, OutOfTime, RotationError
from rotation.finding import Finding
from rotation.kind import EngineKind
from rotation.redaction import said

PROBE_SECONDS: Final = 2.0
"""How long all questions can take together."""

ANSWER_BYTES = 128
"""How much is read of an answer: its beginning says enough."""

ENGINE_VALUES: Final = {
    "MySQL": "mysql",
    "MariaDB": "mariadb",
    "PostgreSQL": "postgres",
    "SQL Server": "sqlserver",
    "Oracle": "oracle",
    "Db2": "db2",
}
"""The engines, and what a secret can have as its "engine" for each."""

MYSQL, MARIADB = "MySQL", "MariaDB"

TLS_REQUEST = struct.pack("!ii", 8, 80877103)
"""https://www.postgresql.org/docs/current/protocol-message-formats.html, SSLRequest."""

PRELOGIN = bytes.fromhex("1201001a00000100 00000b0006 0100110001 ff 000000000000 02")
"""[MS-TDS] 2.2.6.5: version and encryption."""

PING = b"(CONNECT_DATA=(COMMAND=ping))"
CONNECT_BYTES = 58
"""How long Oracle's CONNECT packet is before the text in it."""
CONNECT = struct.pack(
    "!HHBBH HHHHHHHHHH 30x",
    CONNECT_BYTES + len(PING), 0, 1, 0, 0,  # length, checksum, CONNECT, flags, checksum
    310, 300, 0, 2048, 32767, 32520, 0,  # version, oldest version, options, sizes, characteristics, turnaround
    1, len(PING), CONNECT_BYTES,  # the order of bytes, the text's length and place
) + PING  # fmt: skip


def _ddm(code: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack("!HH", 4 + len(body), code) + body


MANAGERS = struct.pack("!10H", 0x1403, 7, 0x2407, 7, 0x1474, 5, 0x240F, 7, 0x1440, 7)
"""Which parts of DRDA a client of Db2 speaks, and at which level."""
EXCSAT = _ddm(0x1041, _ddm(0x115E, "rotation".encode("cp500")), _ddm(0x1404, MANAGERS))
ATTRIBUTES = struct.pack("!HBBH", 6 + len(EXCSAT), 0xD0, 1, 1) + EXCSAT
"""DRDA, Volume 3, Distributed Data Management Architecture: EXCSAT and EXCSATRD
(https://pubs.opengroup.org/onlinepubs/9699939699)."""

QUESTIONS = (TLS_REQUEST, PRELOGIN, CONNECT, ATTRIBUTES)

GREETING = re.compile(rb".{3}\0\x0a([^\0]{1,80})\0", re.DOTALL)
"""A greeting of version 10 of the protocol, with the server's version
(https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_packets_protocol_handshake_v10.html)."""
REFUSAL = re.compile(rb".{3}\0\xff..(.*)", re.DOTALL)
"""An error in the greeting's place: it names the server, if it is in English."""

SIGNS = {
    "PostgreSQL": re.compile(rb"[SN]\Z|E\0\0..S|E(FATAL|ERROR|could not fork)", re.DOTALL),
    "SQL Server": re.compile(rb"\x04\x01"),
    "Oracle": re.compile(rb"..\0\0[\x02\x04\x05\x0b].\0\0", re.DOTALL),  # ACCEPT, REFUSE, REDIRECT, RESEND
    "Db2": re.compile(rb"..\xd0.{5}\x14\x43", re.DOTALL),  # EXCSATRD
}
"""How the answers begin."""


def reach(credential: Credential, deadline: Deadline, kind: EngineKind, begin_tls: BeginTls) -> Iterator[Finding]:
    """As `rotation.engines.network.reach`; if there is no way, and a server of another engine is why, name that."""
    try:
        yield from network.reach(credential, deadline, begin_tls)
    except DatabaseError as failure:
        raise name_engine(failure, credential, kind, deadline) from None


def login_seconds(most: float, deadline: Deadline, operation: str) -> float:
    """Return how long a login can take: `most`, or less, so that there is time to ask what answers if it fails."""
    seconds = deadline.allow(most, operation)
    return min(seconds, max(seconds / 2, deadline.left() - PROBE_SECONDS))


def name_engine(failure: DatabaseError, credential: Credential, kind: EngineKind, deadline: Deadline) -> DatabaseError:
    """Return the failure of a login to a server of another engine; `failure` itself if no other engine answers."""
    found = _ask(credential, deadline, failure.operation)
    if not found or found.startswith(kind.name):
        return failure
    return wrong_engine(found, credential, kind, failure.operation)


def wrong_engine(found: str, credential: Credential, kind: EngineKind, operation: str) -> LoginBlocked:
    """Return the failure of a login to a server of another engine: its name, and its version if it says so."""
    engine = next((name for name in ENGINE_VALUES if found.startswith(name)), found)
    return LoginBlocked(
        operation,
        f'the server there is {found}, and this function, and "engine" in the secret ("{credential.engine}"), are for'
        f" {kind.name}",
        f'Attach the rotation function for {engine} to the secret, and write "engine": "{ENGINE_VALUES[engine]}" into'
        ' it, unless "host" and "port" are wrong',
    )


def of_mysql(version: str) -> str:
    """Return the name of a server that greets with this version. MariaDB before 11 writes 5.5.5- before its own."""
    name = MARIADB if "mariadb" in version.lower() else MYSQL
    return f"{name} {said(version.removeprefix('5.5.5-'))}"


def _ask(credential: Credential, deadline: Deadline, operation: str) -> str:
    """Return which engine answers; empty if it is none of these, or if there is no time to ask."""
    brief = deadline.at_most(PROBE_SECONDS)
    # One share is left over: at the end, the step still has to say what happened.
    for left, question in zip(range(len(QUESTIONS) + 1, 1, -1), QUESTIONS, strict=True):
        try:
            answer = _answer(question, credential, brief.at_most(brief.share(PROBE_SECONDS, left, operation)))
        except OutOfTime:
            return ""
        if found := _recognised(answer):
            return found
    return ""


def _answer(question: bytes, credential: Credential, deadline: Deadline) -> bytes:
    """Return the beginning of what somebody says to that; empty if nobody does."""
    operation = "asking the server what it is"
    try:
        with closing(open_socket(credential, deadline, operation)) as connection:
            connection.settimeout(max(0.01, deadline.left()))
            connection.sendall(question)
            return connection.recv(ANSWER_BYTES)
    except (RotationError, OSError):
        return b""


def _recognised(answer: bytes) -> str:
    """Return which engine answers so, and its version if it says so; empty if it is none of these."""
    if greeting := GREETING.match(answer):
        return of_mysql(greeting[1].decode("ascii", "replace"))
    if refusal := REFUSAL.match(answer):
        return MARIADB if b"mariadb" in refusal[1].lower() else MYSQL
    return next((name for name, sign in SIGNS.items() if sign.match(answer)), "")
