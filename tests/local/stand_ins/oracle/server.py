"""Which Oracle is there to test against, where none can be had? A stand-in, which the real client logs in to.

It is a server on the loopback interface: another process reaches it, the artifact in Lambda's runtime too. It keeps the
rules of the documentation, in `oracle_database`, and speaks as much of the protocol as python-oracledb's thin mode
needs, in `oracle_wire`. What it does not prove: that Oracle reads statements as `oracle_statements` does, that its
dictionary shows what `oracle_dictionary` shows, and that its wire is what the client believes it to be.

Two things are unlike Oracle on purpose. One port answers with TLS and without, whichever the client begins with, where
Oracle's listener has a port for each; `plain_port` is one that knows no TLS. And time passes when a test says so.
"""

import secrets
import socket
import ssl
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.local.servers import certificates
from tests.local.servers.processes import LOOPBACK
from tests.local.stand_ins.oracle.conversation import Conversation
from tests.local.stand_ins.oracle.database import Database
from tests.local.stand_ins.oracle.listener import Listener
from tests.local.stand_ins.oracle.packets import Packets
from tests.local.stand_ins.oracle.records import Held, Options, User
from tests.local.stand_ins.oracle.statements import Session
from tests.local.stand_ins.oracle.vocabulary import CATALOG, DBA
from tests.local.stand_ins.oracle.wire import Closed, protocol

TLS_HANDSHAKE = 22
SUPERUSER = "LAB_OWNER"

__all__ = ["Held", "Options", "Server", "protocol", "start"]


NEWEST = (23, 9, 0, 0, 0)
"""The version that it says it is, where nobody asks for another."""


@dataclass(frozen=True)
class Server:
    """A stand-in that runs."""

    host: str
    port: int
    plain_port: int
    service: str
    superuser: str
    password: str
    ca_bundle: Path
    database: Database
    lock: threading.RLock
    """Whoever holds it keeps every session waiting."""
    listener: Listener

    @property
    def sessions(self) -> list[Session]:
        """All that have begun, the newest last."""
        return self.listener.sessions

    def pass_time(self, seconds: float) -> None:
        """Let time pass."""
        self.database.elapsed += seconds

    def log_text(self) -> str:
        """Return the audit trail."""
        return "\n".join(self.database.strings())


@contextmanager
def start(version: tuple[int, ...] = NEWEST) -> Iterator[Server]:
    """Run a stand-in of a version until the block ends."""
    database = Database(version)
    listener = Listener({database.service: [database]})
    password = secrets.token_hex(12)
    # What a DBA may do, and no more: SYS itself cannot log in.
    database.users[SUPERUSER] = User(SUPERUSER, password)
    for role in (DBA, CATALOG):
        database.role_grants[SUPERUSER, role] = True
    with tempfile.TemporaryDirectory(prefix="oracle-") as directory:
        files = certificates.issue(Path(directory))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files.certificate, files.key)
        lock = threading.RLock()
        with _listening(listener, context, lock) as port, _listening(listener, None, lock) as plain_port:
            yield Server(
                host=certificates.HOST_NAME,
                port=port,
                plain_port=plain_port,
                service=database.service,
                superuser=SUPERUSER,
                password=password,
                ca_bundle=files.ca,
                database=database,
                lock=lock,
                listener=listener,
            )


@contextmanager
def _listening(listener: Listener, context: ssl.SSLContext | None, lock: threading.RLock) -> Iterator[int]:
    def accept(port: socket.socket) -> None:
        while True:
            try:
                sock, _ = port.accept()
            except OSError:  # the block has ended
                return
            threading.Thread(target=_serve, args=(sock, listener, context, lock), daemon=True).start()

    with socket.create_server((LOOPBACK, 0)) as port:
        threading.Thread(target=accept, args=(port,), daemon=True).start()
        try:
            yield int(port.getsockname()[1])
        finally:
            with suppress(OSError):
                port.shutdown(socket.SHUT_RDWR)


def _serve(sock: socket.socket, listener: Listener, context: ssl.SSLContext | None, lock: threading.RLock) -> None:
    with suppress(Closed, OSError), sock:
        sock.settimeout(60)
        if not (first := sock.recv(1, socket.MSG_PEEK)):
            return
        if first[0] == TLS_HANDSHAKE:
            if not context:
                return  # a listener hangs up on what is no packet of its own
            with context.wrap_socket(sock, server_side=True) as secured:
                Conversation(Packets(secured), listener, lock).run()
        else:
            Conversation(Packets(sock), listener, lock).run()
