"""How are the messages of TDS, the protocol of SQL Server, written and read? Bytes to values and back, no connection.

Written from the protocol's public description ([MS-TDS],
https://learn.microsoft.com/en-us/openspecs/windows_protocols/ms-tds/b46a581a-39de-4745-b076-ec4dbb7d13ec), for TDS 7.2
to 7.4.
"""

import struct
from collections.abc import Mapping
from enum import IntEnum

from tests.local.stand_ins.sqlserver.backend import Rows, SqlError, Value


class Packet(IntEnum):
    """The types of messages."""

    BATCH = 0x01
    RPC = 0x03
    REPLY = 0x04
    ATTENTION = 0x06
    TRANSACTION = 0x0E
    LOGIN7 = 0x10
    PRELOGIN = 0x12


class Encryption(IntEnum):
    """What client and server agree on about TLS."""

    OFF = 0
    """Encrypt the login only; this server encrypts everything then."""
    ON = 1
    NOT_SUPPORTED = 2
    REQUIRED = 3


HEADER = struct.Struct(">BBHHBB")
LAST = 1
PACKET_SIZE = 4096
COLLATION = bytes.fromhex("0904d00034")
"""SQL_Latin1_General_CP1_CI_AS."""
VERSION = bytes([16, 0, 0x10, 0x04, 0, 0])
ERROR, ENVIRONMENT, LOGIN_ACK, COLUMNS, ROW, RETURN_STATUS = 0xAA, 0xE3, 0xAD, 0x81, 0xD1, 0x79
DONE, DONE_PROC, DONE_IN_PROC = 0xFD, 0xFE, 0xFF
MORE, FAILED, COUNTED, ATTENDED = 0x01, 0x02, 0x10, 0x20
DATABASE, LANGUAGE, SIZE, SQL_COLLATION, BEGIN, COMMIT, ROLLBACK = 1, 2, 4, 7, 8, 9, 10
SP_EXECUTESQL = 10
WIDEST = 8000
CHANGES_PASSWORD = 1
"""The flag fChangePassword of LOGIN7."""


def descriptor(transaction: int) -> bytes:
    """Return the descriptor of a transaction as environment changes have it."""
    return b"\x08" + struct.pack("<Q", transaction) if transaction else b"\0"


def read_prelogin(body: bytes) -> dict[int, bytes]:
    """Return the options of a PRELOGIN message."""
    options, at = {}, 0
    while body[at] != 0xFF:
        option, offset, length = struct.unpack_from(">BHH", body, at)
        options[option] = body[offset : offset + length]
        at += 5
    return options


def prelogin_message(options: Mapping[int, bytes]) -> bytes:
    """Return a PRELOGIN message with these options."""
    head, data, offset = b"", b"", 5 * len(options) + 1
    for option, value in options.items():
        head += struct.pack(">BHH", option, offset + len(data), len(value))
        data += value
    return head + b"\xff" + data


def login_bytes(body: bytes, at: int) -> bytes:
    """Return the field of a LOGIN7 message whose place is noted at `at`."""
    offset, length = struct.unpack_from("<HH", body, at)
    return body[offset : offset + 2 * length]


def login_password(body: bytes, at: int) -> str:
    """Return a password of a LOGIN7 message, which the client has scrambled."""
    clear = (byte ^ 0xA5 for byte in login_bytes(body, at))
    return bytes(byte >> 4 | byte << 4 & 0xF0 for byte in clear).decode("utf-16-le")


def login_text(body: bytes, at: int) -> str:
    """Return such a field as a text."""
    return login_bytes(body, at).decode("utf-16-le")


def read_call(body: bytes) -> tuple[str, dict[str, Value]]:
    """Read a call of sp_executesql: the statement, and its parameters by name."""
    length, procedure, _ = struct.unpack_from("<HHH", body)
    if (length, procedure) != (0xFFFF, SP_EXECUTESQL):
        raise EOFError
    values, at = [], 6
    while at < len(body):
        name = body[at + 1 : at + 1 + 2 * body[at]].decode("utf-16-le")
        value, at = _value(body, at + 2 + 2 * body[at])
        values.append((name, value))
    return str(values[0][1]), dict(values[2:])


def _value(body: bytes, at: int) -> tuple[Value, int]:
    """Read a value of the few types that parameters have here; return it, and where the next one begins."""
    kind = body[at]
    if kind == 0x26:  # INTN
        length = body[at + 2]
        number = int.from_bytes(body[at + 3 : at + 3 + length], "little", signed=True)
        return (number if length else None), at + 3 + length
    if kind not in (0xE7, 0xA5):  # NVARCHAR, BIGVARBINARY
        raise EOFError
    (widest,) = struct.unpack_from("<H", body, at + 1)
    at += 3 + (len(COLLATION) if kind == 0xE7 else 0)
    if widest == 0xFFFF:
        data, at = _chunks(body, at)
    else:
        (length,) = struct.unpack_from("<H", body, at)
        data, at = (None, at + 2) if length == 0xFFFF else (body[at + 2 : at + 2 + length], at + 2 + length)
    return (data.decode("utf-16-le") if data is not None and kind == 0xE7 else data), at


def _chunks(body: bytes, at: int) -> tuple[bytes | None, int]:
    (total,) = struct.unpack_from("<Q", body, at)
    at += 8
    if total == 0xFFFFFFFFFFFFFFFF:
        return None, at
    data = b""
    while length := struct.unpack_from("<I", body, at)[0]:
        data += body[at + 4 : at + 4 + length]
        at += 4 + length
    return data, at + 4


def rows(result: Rows) -> bytes:
    """Return a result set: its columns, then its rows."""
    kinds = [
        next((type(row[at]) for row in result.rows if row[at] is not None), str) for at in range(len(result.columns))
    ]
    head = bytes([COLUMNS]) + struct.pack("<H", len(kinds))
    for name, kind in zip(result.columns, kinds, strict=True):
        description = {
            int: b"\x26\x08",
            bytes: b"\xa5" + struct.pack("<H", WIDEST),
            str: b"\xe7" + struct.pack("<H", WIDEST) + COLLATION,
        }[kind]
        head += struct.pack("<IH", 0, 9) + description + short_text(name)
    return head + b"".join(
        bytes([ROW]) + b"".join(_cell(value, kind) for value, kind in zip(row, kinds, strict=True))
        for row in result.rows
    )


def _cell(value: Value, kind: type) -> bytes:
    if kind is int:
        return b"\0" if value is None else b"\x08" + struct.pack("<q", value)
    if value is None:
        return b"\xff\xff"
    data = value if isinstance(value, bytes) else str(value).encode("utf-16-le")
    assert len(data) <= WIDEST
    return struct.pack("<H", len(data)) + data


def error_message(error: SqlError) -> bytes:
    """Return an ERROR token."""
    text = error.text.encode("utf-16-le")
    body = struct.pack("<iBBH", error.number, 1, error.severity, len(text) // 2) + text
    return token(ERROR, body + short_text("STANDIN") + short_text("") + struct.pack("<i", 1))


def done(status: int, count: int = 0, kind: int = DONE) -> bytes:
    """Return a token of the kind DONE, which ends an answer or a part of one."""
    return bytes([kind]) + struct.pack("<HHQ", status, 0, count)


def environment(kind: int, body: bytes) -> bytes:
    """Return an ENVCHANGE token: the session has another database, language or transaction."""
    return token(ENVIRONMENT, bytes([kind]) + body)


def token(kind: int, body: bytes) -> bytes:
    """Return a token with its length."""
    return bytes([kind]) + struct.pack("<H", len(body)) + body


def short_text(text: str) -> bytes:
    """Return a text with one byte for its length."""
    data = text.encode("utf-16-le")
    return bytes([len(data) // 2]) + data
