"""How does a server speak TDS, the protocol of SQL Server?

Written from the protocol's public description ([MS-TDS],
https://learn.microsoft.com/en-us/openspecs/windows_protocols/ms-tds/b46a581a-39de-4745-b076-ec4dbb7d13ec), as far as
a login with a user and a password, batches and sp_executesql need it: TDS 7.2 to 7.4, TLS inside of PRELOGIN packets,
one request at a time. It knows nothing of SQL: what a login and a statement mean, a `Backend` says.
"""

import secrets
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from tests.local.servers.processes import LOOPBACK

type Value = str | int | bytes | None


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
    """What client and server say of TLS."""

    OFF = 0
    """For the login only; who says so gets all of it from this server."""
    ON = 1
    NOT_SUPPORTED = 2
    REQUIRED = 3


class SqlError(Exception):
    """What a server answers in place of rows: a number, a severity and a text."""

    def __init__(self, number: int, text: str, severity: int = 16) -> None:
        super().__init__(text)
        self.number = number
        self.text = text
        self.severity = severity


class LoginError(Exception):
    """A login fails, for reasons that the client is told, in this order."""

    def __init__(self, *reasons: SqlError) -> None:
        super().__init__(*reasons)
        self.reasons = reasons


@dataclass(frozen=True)
class Rows:
    """A result set."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Value]]


class Session(Protocol):
    """Somebody who has logged in."""

    transaction: int
    """The descriptor of the transaction that is open, 0 where there is none."""

    @property
    def database(self) -> str:
        """Where statements are run; a change is told to the client."""

    def batch(self, text: str) -> Iterator[Rows | None]:
        """Run the statements of a batch, yield what each of them answers; raises SqlError."""

    def call(self, text: str, parameters: Mapping[str, Value]) -> Iterator[Rows | None]:
        """Run them with bound parameters, as sp_executesql does."""

    def close(self) -> None:
        """The client is gone."""


class Backend(Protocol):
    """A server's inside."""

    def log_in(self, user: str, password: str, database: str, program: str) -> Session:
        """Let somebody in, who says what the client program is; raises LoginError."""


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


@contextmanager
def serve(backend: Backend, context: ssl.SSLContext | None, *, force_tls: Callable[[], bool]) -> Iterator[int]:
    """Serve until the block ends, on a free port of the loopback interface, each connection in a thread."""
    with socket.create_server((LOOPBACK, 0)) as listener:

        def accept() -> None:
            with suppress(OSError):  # the listener is closed
                while True:
                    way, _ = listener.accept()
                    connection = _Connection(way, backend, context, force_tls)
                    threading.Thread(target=connection.run, daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


class _Connection:
    """One client."""

    def __init__(
        self,
        way: socket.socket,
        backend: Backend,
        context: ssl.SSLContext | None,
        force_tls: Callable[[], bool],
    ) -> None:
        self._way = way
        self._backend = backend
        self._context = context
        self._force_tls = force_tls
        self._tls: ssl.SSLObject | None = None
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._told = ("", 0)
        """The database and the transaction that the client was told of."""

    def run(self) -> None:
        """Serve the client until it goes."""
        with self._way, suppress(OSError, EOFError, struct.error):
            self._way.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._greet() and (session := self._log_in()):
                try:
                    while True:
                        self._answer(session, *self._receive())
                finally:
                    session.close()

    # Packets

    def _receive(self) -> tuple[int, bytes]:
        """Return the next message, its type first."""
        body = b""
        while True:
            kind, status, length, *_ = HEADER.unpack(self._read(HEADER.size))
            body += self._read(length - HEADER.size)
            if status & LAST:
                return kind, body

    def _send(self, body: bytes, kind: int = Packet.REPLY) -> None:
        size = PACKET_SIZE - HEADER.size
        pieces = [body[at : at + size] for at in range(0, len(body), size)] or [b""]
        for number, piece in enumerate(pieces, 1):
            status = LAST if number == len(pieces) else 0
            self._write(HEADER.pack(kind, status, HEADER.size + len(piece), 0, number & 0xFF, 0) + piece)

    def _read(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            data += self._read_some(length - len(data))
        return data

    def _read_some(self, most: int) -> bytes:
        while True:
            if self._tls:
                with suppress(ssl.SSLWantReadError):
                    return self._tls.read(most) or self._gone()
            received = self._way.recv(PACKET_SIZE if self._tls else most) or self._gone()
            if not self._tls:
                return received
            self._incoming.write(received)

    def _write(self, data: bytes) -> None:
        if self._tls:
            self._tls.write(data)
            data = self._outgoing.read()
        self._way.sendall(data)

    def _gone(self) -> bytes:
        raise EOFError

    # From the greeting to the login

    def _greet(self) -> bool:
        """Agree upon TLS and begin it; False where the two cannot agree."""
        kind, body = self._receive()
        if kind != Packet.PRELOGIN:
            return False
        wanted = Encryption(_prelogin(body)[1][0])
        agreed = self._agree(wanted)
        options = {0: VERSION, 1: bytes([agreed]), 2: b"\0", 3: b"", 4: b"\0"}
        self._send(_prelogin_message(options))
        if (wanted is Encryption.NOT_SUPPORTED) != (agreed is Encryption.NOT_SUPPORTED):
            return False
        if agreed is not Encryption.NOT_SUPPORTED:
            self._begin_tls()
        return True

    def _agree(self, wanted: Encryption) -> Encryption:
        """[MS-TDS] 2.2.6.5 has the table."""
        if not self._context:
            return Encryption.NOT_SUPPORTED
        if wanted is Encryption.NOT_SUPPORTED:
            return Encryption.REQUIRED if self._force_tls() else Encryption.NOT_SUPPORTED
        return Encryption.ON if wanted is Encryption.ON else Encryption.REQUIRED

    def _begin_tls(self) -> None:
        assert self._context
        tls = self._context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        while True:
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                if hello := self._outgoing.read():
                    self._send(hello, Packet.PRELOGIN)
                self._incoming.write(self._receive()[1])
            else:
                self._send(self._outgoing.read(), Packet.PRELOGIN)
                self._tls = tls
                return

    def _log_in(self) -> Session | None:
        kind, body = self._receive()
        if kind != Packet.LOGIN7:
            return None
        user, database = _login_text(body, 40), _login_text(body, 68)
        password = _login_bytes(body, 44)
        clear = bytes((byte ^ 0xA5) >> 4 | ((byte ^ 0xA5) << 4) & 0xF0 for byte in password).decode("utf-16-le")
        try:
            session = self._backend.log_in(user, clear, database, _login_text(body, 48))
        except LoginError as error:
            self._send(b"".join(map(_error, error.reasons)) + _done(FAILED))
            return None
        self._told = session.database, 0
        acknowledged = b"\x01" + body[4:8][::-1] + _short("Microsoft SQL Server") + VERSION[:4]
        self._send(
            _environment(DATABASE, _short(session.database) + _short("master"))
            + _environment(SQL_COLLATION, bytes([len(COLLATION)]) + COLLATION + b"\0")
            + _environment(LANGUAGE, _short("us_english") + _short(""))
            + _token(LOGIN_ACK, acknowledged)
            + _environment(SIZE, _short(str(PACKET_SIZE)) + _short(str(PACKET_SIZE)))
            + _done(0)
        )
        return session

    # Requests

    def _answer(self, session: Session, kind: int, body: bytes) -> None:
        if kind == Packet.ATTENTION:
            self._send(_done(ATTENDED))
            return
        length = struct.unpack_from("<I", body)[0]
        # The client must know which transaction is open, or the server does not do what it asks for.
        (descriptor,) = struct.unpack_from("<Q", body, 10)
        if descriptor != session.transaction:
            wrong = SqlError(3989, "New request is not allowed to start because it should come with valid transaction.")
            self._send(_error(wrong) + _done(FAILED))
        elif kind == Packet.BATCH:
            self._run(session, session.batch(body[length:].decode("utf-16-le")), DONE)
        elif kind == Packet.RPC:
            text, parameters = _call(body[length:])
            self._run(session, session.call(text, parameters), DONE_IN_PROC)
        else:
            raise EOFError

    def _run(self, session: Session, results: Iterator[Rows | None], done: int) -> None:
        answer, failed = b"", False
        try:
            for result in results:
                answer += self._news(session)
                count = len(result.rows) if result else 0
                answer += (_rows(result) if result else b"") + _done(MORE | (COUNTED if result else 0), count, done)
        except SqlError as error:
            answer += self._news(session) + _error(error)
            failed = True
        status = FAILED if failed else 0
        if done == DONE:
            answer += _done(status)
        else:
            answer += bytes([RETURN_STATUS]) + struct.pack("<i", int(failed)) + _done(status, 0, DONE_PROC)
        self._send(answer)

    def _news(self, session: Session) -> bytes:
        """Tell of another database, and of a transaction that has begun or ended."""
        database, transaction = self._told
        self._told = session.database, session.transaction
        news = b""
        if session.database != database:
            news += _environment(DATABASE, _short(session.database) + _short(database))
        if session.transaction != transaction:
            change = BEGIN if session.transaction else COMMIT
            news += _environment(change, _descriptor(session.transaction) + _descriptor(transaction))
        return news


def new_transaction() -> int:
    """Return a descriptor."""
    return secrets.randbits(62) | 1


def _descriptor(transaction: int) -> bytes:
    return b"\x08" + struct.pack("<Q", transaction) if transaction else b"\0"


def _prelogin(body: bytes) -> dict[int, bytes]:
    options, at = {}, 0
    while body[at] != 0xFF:
        option, offset, length = struct.unpack_from(">BHH", body, at)
        options[option] = body[offset : offset + length]
        at += 5
    return options


def _prelogin_message(options: Mapping[int, bytes]) -> bytes:
    head, data, offset = b"", b"", 5 * len(options) + 1
    for option, value in options.items():
        head += struct.pack(">BHH", option, offset + len(data), len(value))
        data += value
    return head + b"\xff" + data


def _login_bytes(body: bytes, at: int) -> bytes:
    offset, length = struct.unpack_from("<HH", body, at)
    return body[offset : offset + 2 * length]


def _login_text(body: bytes, at: int) -> str:
    return _login_bytes(body, at).decode("utf-16-le")


def _call(body: bytes) -> tuple[str, dict[str, Value]]:
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
    """Read a value of the few types that parameters here have; return it, and where the next thing begins."""
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


def _rows(result: Rows) -> bytes:
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
        head += struct.pack("<IH", 0, 9) + description + _short(name)
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


def _error(error: SqlError) -> bytes:
    text = error.text.encode("utf-16-le")
    body = struct.pack("<iBBH", error.number, 1, error.severity, len(text) // 2) + text
    return _token(ERROR, body + _short("STANDIN") + _short("") + struct.pack("<i", 1))


def _done(status: int, count: int = 0, token: int = DONE) -> bytes:
    return bytes([token]) + struct.pack("<HHQ", status, 0, count)


def _environment(kind: int, body: bytes) -> bytes:
    return _token(ENVIRONMENT, bytes([kind]) + body)


def _token(token: int, body: bytes) -> bytes:
    return bytes([token]) + struct.pack("<H", len(body)) + body


def _short(text: str) -> bytes:
    data = text.encode("utf-16-le")
    return bytes([len(data) // 2]) + data
