"""How does the stand-in for Oracle run? As a server that the real client logs in to.

It listens on the loopback interface, so that other processes reach it, such as the artifact in Lambda's runtime. It
follows the rules of Oracle's documentation (`database`, `statements`) and speaks the part of the protocol that
python-oracledb's thin mode needs (`wire`, `packets`, `conversation`). It does not prove that Oracle parses statements
as `statements` does, that its dictionary shows what `dictionary` shows, or that its protocol is what the client
expects.

Two things differ from Oracle on purpose. One port answers with and without TLS, as the client begins; Oracle's listener
has a port for each. `plain_port` has no TLS. And time passes only if a test says so.
"""

import secrets
import socket
import ssl
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
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
"""The version of the stand-in, unless a test asks for another one."""


@dataclass(frozen=True)
class Server:
    """A running stand-in."""

    host: str
    port: int
    plain_port: int
    service: str
    superuser: str
    password: str
    ca_bundle: Path
    database: Database = field(repr=False)
    lock: threading.RLock
    """All sessions wait while somebody holds it."""
    listener: Listener

    @property
    def sessions(self) -> list[Session]:
        """All sessions since the start, the newest last."""
        return self.listener.sessions

    def pass_time(self, seconds: float) -> None:
        """Let time pass."""
        self.database.elapsed += seconds

    def log_text(self) -> str:
        """Return the audit trail."""
        return "\n".join(self.database.strings())


@contextmanager
def start(version: tuple[int, ...] = NEWEST) -> Iterator[Server]:
    """Run a stand-in of this version for the time of the block."""
    database = Database(version)
    listener = Listener({database.service: [database]})
    password = secrets.token_hex(12)
    # It has the rights of a DBA, and no more: SYS itself cannot log in.
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
                return  # a listener hangs up if it gets no packet of its own
            with context.wrap_socket(sock, server_side=True) as secured:
                Conversation(Packets(secured), listener, lock).run()
        else:
            Conversation(Packets(sock), listener, lock).run()
