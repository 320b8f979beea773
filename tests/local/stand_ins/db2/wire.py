"""Which protocol do IBM's client and a Db2 server speak? The part of DRDA that logs in and runs statements.

The frames are those of The Open Group (DRDA volumes 1 and 3, https://pubs.opengroup.org/onlinepubs/9699939399/toc.pdf),
at level 7 if there is a choice. If the standard leaves something open, the frames are as the client of ibm_db 3.3.0
(clidriver 12.1.4) expects them. Numbers are big-endian in frames, and little-endian in data: TYPDEFNAM is QTDSQLX86.
"""

import socket
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

MAGIC = 0xD0
REQUEST, REPLY, OBJECT, REQUEST_WITHOUT_REPLY = 1, 2, 3, 5
CHAINED, SAME_CORRELATION = 0x40, 0x10
LONGEST_FRAME = 32000


class Code(IntEnum):
    """Code points: the kinds of objects in a frame."""

    TYPDEFNAM = 0x002F
    TYPDEFOVR = 0x0035
    FDODSC = 0x0010
    EXCSAT = 0x1041
    ACCSEC = 0x106D
    SECCHK = 0x106E
    PRDID = 0x112E
    SRVCLSNM = 0x1147
    SVRCOD = 0x1149
    SRVRLSLV = 0x115A
    EXTNAM = 0x115E
    SRVNAM = 0x116D
    CCSIDSBC = 0x119C
    CCSIDDBC = 0x119D
    CCSIDMBC = 0x119E
    USRID = 0x11A0
    PASSWORD = 0x11A1
    SECMEC = 0x11A2
    SECCHKCD = 0x11A4
    NEWPASSWORD = 0x11DE
    IPADDR = 0x11E8
    SECCHKRM = 0x1219
    MGRLVLLS = 0x1404
    EXCSATRD = 0x1443
    FDODTA = 0x147A
    ACCSECRD = 0x14AC
    ACCRDB = 0x2001
    CLSQRY = 0x2005
    DSCSQLSTT = 0x2008
    EXCSQLIMM = 0x200A
    EXCSQLSTT = 0x200B
    OPNQRY = 0x200C
    PRPSQLSTT = 0x200D
    RDBCMM = 0x200E
    RDBRLLBCK = 0x200F
    EXCSQLSET = 0x2014
    QRYPRCTYP = 0x2102
    RDBNAM = 0x2110
    PKGNAMCSN = 0x2113
    UOWDSP = 0x2115
    PKGSNLST = 0x2139
    ACCRDBRM = 0x2201
    RDBATHRM = 0x2203
    OPNQRYRM = 0x2205
    ENDQRYRM = 0x220B
    ENDUOWRM = 0x220C
    RDBNFNRM = 0x2211
    OPNQFLRM = 0x2212
    RSLSETRM = 0x2219
    SQLCARD = 0x2408
    SQLCINRD = 0x240B
    SQLRSLRD = 0x240E
    SQLDARD = 0x2411
    SQLDTA = 0x2412
    SQLDTARD = 0x2413
    SQLSTT = 0x2414
    QRYDSC = 0x241A
    QRYDTA = 0x241B
    SRVLCNT = 0x244C
    SRVLSRV = 0x244D
    SRVLST = 0x244E
    SRVPRTY = 0x244F
    SQLATTR = 0x2450
    DISCONNECT = 0xC004


LEVELS = {0x1403: 7, 0x2407: 7, 0x1474: 5, 0x240F: 7, 0x1440: 7, 0x1C08: 1208}
"""The highest supported level of each part of the protocol. Other parts are not supported."""

UTF8, UTF16, EBCDIC = 1208, 1200, "cp500"
INTEGER, VARCHAR = 497, 449
"""Nullable SQL types."""

NULL_INTEGER, NULL_VARCHAR, NULL_VARGRAPHIC = 0x03, 0x3F, 0x39
FIXED = {0x02: "<i", 0x03: "<i", 0x04: "<h", 0x05: "<h", 0x16: "<q", 0x17: "<q"}
VARIABLE = {0x3E: "utf-8", 0x3F: "utf-8", 0x32: "utf-8", 0x33: "utf-8", 0x38: "utf-16-be", 0x39: "utf-16-be"}

type Value = str | int | None


class ProtocolError(Exception):
    """The client sent something that the stand-in does not know."""


@dataclass(frozen=True)
class Command:
    """A command of the client, with its objects."""

    code: int
    correlation: int
    parameters: Mapping[int, bytes]
    objects: dict[int, bytes] = field(default_factory=dict)
    wants_reply: bool = True

    @property
    def section(self) -> bytes:
        """The section, which identifies one of the client's statements."""
        return self.parameters[Code.PKGNAMCSN]

    @property
    def statement(self) -> str:
        """The text of a statement, in mixed or single-byte characters."""
        data = self.objects[Code.SQLSTT]
        # Two nullable texts, one of which is null. The length has four bytes.
        for _ in range(2):
            if data[0] == 0:
                (length,) = struct.unpack_from(">I", data, 1)
                return data[5 : 5 + length].decode()
            data = data[1:]
        raise ProtocolError("no statement")

    @property
    def arguments(self) -> list[Value]:
        """The values of the parameters."""
        return list(_arguments(self.objects[Code.SQLDTA])) if Code.SQLDTA in self.objects else []


@dataclass(frozen=True)
class Column:
    """A column of a result."""

    name: str
    is_integer: bool = False
    length: int = 4000

    @property
    def description(self) -> bytes:
        """The column in an SQLDA."""
        kind, length, ccsid = (INTEGER, 4, 0) if self.is_integer else (VARCHAR, self.length, UTF8)
        numbers = struct.pack("<hhqh", 0, 0, length, kind) + struct.pack(">H", ccsid)
        # Name, label and comment, each twice; then three optional groups, which are left out.
        return numbers + b"\0\0\0" + _text(self.name) + _text("") * 5 + b"\xff\xff\xff"

    @property
    def shape(self) -> bytes:
        """The column in a descriptor of data."""
        return struct.pack(">BH", *((NULL_INTEGER, 4) if self.is_integer else (NULL_VARCHAR, self.length)))


def commands(sock: socket.socket) -> Iterator[list[Command]]:
    """Yield the commands of the client, chain by chain, until it hangs up."""
    chain: list[Command] = []
    while header := _receive(sock, 6):
        length, magic, kind, correlation = struct.unpack(">HBBH", header)
        if magic != MAGIC:
            raise ProtocolError("no frame of DRDA")
        body = _receive(sock, length - 6)
        for code, data in objects(body):
            if kind & 0x0F == OBJECT:
                chain[-1].objects[code] = data
            else:
                wants_reply = kind & 0x0F != REQUEST_WITHOUT_REPLY
                chain.append(Command(code, correlation, dict(objects(data)), wants_reply=wants_reply))
        if not kind & CHAINED:
            yield chain
            chain = []


def objects(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the objects in the data, one after the other."""
    at = 0
    while at + 4 <= len(data):
        length, code = struct.unpack_from(">HH", data, at)
        yield code, data[at + 4 : at + length]
        at += length


def send(sock: socket.socket, replies: Sequence[tuple[int, int, bytes]]) -> None:
    """Send replies as one chain, each with its kind and the correlation of its command."""
    out = b""
    for number, (kind, correlation, body) in enumerate(replies):
        if len(body) > LONGEST_FRAME:
            raise ProtocolError("a reply is too long for one frame")
        chain = 0
        if number + 1 < len(replies):
            chain = CHAINED | (SAME_CORRELATION if replies[number + 1][1] == correlation else 0)
        out += struct.pack(">HBBH", len(body) + 6, MAGIC, kind | chain, correlation) + body
    sock.sendall(out)


def pack(code: int, *parts: bytes) -> bytes:
    """Return an object."""
    data = b"".join(parts)
    return struct.pack(">HH", len(data) + 4, code) + data


def number(code: int, value: int) -> bytes:
    """Return a parameter with a number of two bytes."""
    return pack(code, struct.pack(">H", value))


def diagnosis(code: int = 0, state: str = "00000", tokens: Sequence[str] = ()) -> bytes:
    """Return an SQLCA; an empty one if there is no error. The client makes the message from code and tokens."""
    if code == 0:
        return b"\xff"
    text = b"\xff".join(token.encode() for token in tokens)[:70]
    counters = struct.pack("<6i", *[0] * 6) + b" " * 11
    return (
        b"\0"
        + struct.pack("<i", code)
        + state.encode()
        + b"STANDIN "
        + b"\0"
        + counters
        + _text("")
        + struct.pack(">H", len(text))
        + text
        + _text("")
        + b"\xff"
    )


def descriptions(columns: Sequence[Column]) -> bytes:
    """Return the columns as an SQLDA."""
    return struct.pack("<h", len(columns)) + b"".join(column.description for column in columns)


def result(columns: Sequence[Column], rows: Iterable[Sequence[Value]]) -> list[bytes]:
    """Return the descriptor of a result, and its data in blocks."""
    shape = b"".join(column.shape for column in columns)
    descriptor = bytes([len(shape) + 3, 0x76, 0xD0]) + shape + bytes.fromhex("0971E0540001D000010671F0E00000")
    blocks, block = [], b""
    for row in [*map(_row, rows), diagnosis(100, "02000") + b"\xff"]:
        if len(block) + len(row) > LONGEST_FRAME - 100:
            blocks.append(block)
            block = b""
        block += row
    return [pack(Code.QRYDSC, descriptor), *(pack(Code.QRYDTA, data) for data in [*blocks, block])]


def outputs(values: Sequence[Value]) -> bytes:
    """Return the values of a procedure's parameters after the call."""
    columns = [Column("", is_integer=isinstance(value, int), length=255) for value in values]
    shape = b"".join(column.shape for column in columns)
    descriptor = bytes([len(shape) + 3, 0x76, 0xD0]) + shape + bytes.fromhex("0971E0540001D000010671F0E00000")
    return pack(Code.SQLDTARD, pack(Code.FDODSC, descriptor), pack(Code.FDODTA, _row(values)))


def _row(values: Sequence[Value]) -> bytes:
    return b"\xff\0" + b"".join(_value(value) for value in values)


def _value(value: Value) -> bytes:
    if value is None:
        return b"\xff"
    return b"\0" + (struct.pack("<i", value) if isinstance(value, int) else _text(value))


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack(">H", len(data)) + data


def _arguments(data: bytes) -> Iterator[Value]:
    parts = dict(objects(data))
    shape, values, at = parts[Code.FDODSC], parts[Code.FDODTA], 1
    for start in range(3, shape[0], 3):
        kind = shape[start]
        if kind & 1:  # nullable
            is_null = values[at] != 0
            at += 1
            if is_null:
                yield None
                continue
        if kind in FIXED:
            yield struct.unpack_from(FIXED[kind], values, at)[0]
            at += struct.calcsize(FIXED[kind])
        elif kind in VARIABLE:
            (length,) = struct.unpack_from(">H", values, at)
            length *= 2 if "16" in VARIABLE[kind] else 1
            yield values[at + 2 : at + 2 + length].decode(VARIABLE[kind])
            at += 2 + length
        else:
            raise ProtocolError(f"a parameter of type {kind:#x}")


def _receive(sock: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        more = sock.recv(length - len(data))
        if not more:
            if data:
                raise ConnectionError("the frame is incomplete")
            return b""
        data += more
    return data
