"""How does the stand-in for SQL Server speak with its clients? Connections, TLS, requests and their answers.

It does what a login with a user and a password, batches and sp_executesql need: TLS inside PRELOGIN packets, one
request at a time. It knows no SQL: a `Backend` decides what a login and a statement mean.
"""

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from tests.local.servers.processes import LOOPBACK
from tests.local.stand_ins.sqlserver.backend import Answer, Backend, LoginError, Session, SqlError
from tests.local.stand_ins.sqlserver.messages import (
    ATTENDED,
    BEGIN,
    CHANGES_PASSWORD,
    COLLATION,
    COMMIT,
    COUNTED,
    DATABASE,
    DONE,
    DONE_IN_PROC,
    DONE_PROC,
    FAILED,
    HEADER,
    LANGUAGE,
    LAST,
    LOGIN_ACK,
    MORE,
    PACKET_SIZE,
    RETURN_STATUS,
    SIZE,
    SQL_COLLATION,
    VERSION,
    Encryption,
    Packet,
    descriptor,
    done,
    environment,
    error_message,
    login_password,
    login_text,
    prelogin_message,
    read_call,
    read_prelogin,
    rows,
    short_text,
    token,
)


@contextmanager
def serve(backend: Backend, context: ssl.SSLContext | None, *, force_tls: Callable[[], bool]) -> Iterator[int]:
    """Serve until the block ends, on a free port of the loopback interface, each connection in a thread."""
    with socket.create_server((LOOPBACK, 0)) as listener:

        def accept() -> None:
            with suppress(OSError):  # the listener is closed
                while True:
                    connected, _ = listener.accept()
                    connection = _Connection(connected, backend, context, force_tls)
                    threading.Thread(target=connection.run, daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


class _Connection:
    """One client."""

    def __init__(
        self,
        connected: socket.socket,
        backend: Backend,
        context: ssl.SSLContext | None,
        force_tls: Callable[[], bool],
    ) -> None:
        self._socket = connected
        self._backend = backend
        self._context = context
        self._force_tls = force_tls
        self._tls: ssl.SSLObject | None = None
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._reported = ("", 0)
        """The database and the transaction that the client knows of."""

    def run(self) -> None:
        """Serve the client until it closes the connection."""
        with self._socket, suppress(OSError, EOFError, struct.error):
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
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
                    return self._tls.read(most) or self._client_left()
            received = self._socket.recv(PACKET_SIZE if self._tls else most) or self._client_left()
            if not self._tls:
                return received
            self._incoming.write(received)

    def _write(self, data: bytes) -> None:
        if self._tls:
            self._tls.write(data)
            data = self._outgoing.read()
        self._socket.sendall(data)

    def _client_left(self) -> bytes:
        raise EOFError

    # From the greeting to the login

    def _greet(self) -> bool:
        """Agree on TLS and begin it; False if the two cannot agree."""
        kind, body = self._receive()
        if kind != Packet.PRELOGIN:
            return False
        wanted = Encryption(read_prelogin(body)[1][0])
        agreed = self._agree(wanted)
        options = {0: VERSION, 1: bytes([agreed]), 2: b"\0", 3: b"", 4: b"\0"}
        self._send(prelogin_message(options))
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
        user, database = login_text(body, 40), login_text(body, 68)
        program, password = login_text(body, 48), login_password(body, 44)
        new_password = login_password(body, 86) if body[27] & CHANGES_PASSWORD else None
        try:
            session = self._backend.log_in(user, password, database, program, new_password)
        except LoginError as error:
            self._send(b"".join(map(error_message, error.reasons)) + done(FAILED))
            return None
        self._reported = session.database, 0
        acknowledged = b"\x01" + body[4:8][::-1] + short_text("Microsoft SQL Server") + VERSION[:4]
        self._send(
            environment(DATABASE, short_text(session.database) + short_text("master"))
            + environment(SQL_COLLATION, bytes([len(COLLATION)]) + COLLATION + b"\0")
            + environment(LANGUAGE, short_text("us_english") + short_text(""))
            + token(LOGIN_ACK, acknowledged)
            + environment(SIZE, short_text(str(PACKET_SIZE)) + short_text(str(PACKET_SIZE)))
            + done(0)
        )
        return session

    # Requests

    def _answer(self, session: Session, kind: int, body: bytes) -> None:
        if kind == Packet.ATTENTION:
            self._send(done(ATTENDED))
            return
        length = struct.unpack_from("<I", body)[0]
        # A request must name the open transaction, or the server refuses it.
        (descriptor,) = struct.unpack_from("<Q", body, 10)
        if descriptor != session.transaction:
            wrong = SqlError(3989, "New request is not allowed to start because it should come with valid transaction.")
            self._send(error_message(wrong) + done(FAILED))
        elif kind == Packet.BATCH:
            self._run(session, session.batch(body[length:].decode("utf-16-le")), DONE)
        elif kind == Packet.RPC:
            text, parameters = read_call(body[length:])
            self._run(session, session.call(text, parameters), DONE_IN_PROC)
        else:
            raise EOFError

    def _run(self, session: Session, results: Iterator[Answer], kind: int) -> None:
        answer, failed = b"", False
        try:
            for result in results:
                answer += self._changes(session) + _result(result, kind)
        except SqlError as error:
            answer += error_message(error)
            failed = True
        answer += self._changes(session)
        status = FAILED if failed else 0
        if kind == DONE:
            answer += done(status)
        else:
            answer += bytes([RETURN_STATUS]) + struct.pack("<i", int(failed)) + done(status, 0, DONE_PROC)
        self._send(answer)

    def _changes(self, session: Session) -> bytes:
        """Report another database, and a transaction that has begun or ended."""
        database, transaction = self._reported
        self._reported = session.database, session.transaction
        changes = b""
        if session.database != database:
            changes += environment(DATABASE, short_text(session.database) + short_text(database))
        if session.transaction != transaction:
            change = BEGIN if session.transaction else COMMIT
            changes += environment(change, descriptor(session.transaction) + descriptor(transaction))
        return changes


def _result(result: Answer, kind: int) -> bytes:
    """Return what answers one statement, with DONE_MORE: the answer to the request ends with a DONE of its own."""
    if isinstance(result, SqlError):
        return error_message(result) + done(MORE | FAILED, 0, kind)
    if result is None:
        return done(MORE, 0, kind)
    return rows(result) + done(MORE | COUNTED, len(result.rows), kind)
