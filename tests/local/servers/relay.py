"""How does a container reach what listens on 127.0.0.1? Through another address of this machine, for a while.

And how is a server cut off from those who use it, and brought back? By a way to it that can be closed.
"""

import socket
import socketserver
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Lock, Thread

from tests.local.servers.processes import LOOPBACK

_AT_ONCE = 65536
_RESET = struct.pack("ii", 1, 0)
"""For SO_LINGER: a connection that is closed is gone at once, for both ends."""


@contextmanager
def relaying(address: str, port: int) -> Iterator[None]:
    """Bring what connects to a port at an address of this machine to the same port at 127.0.0.1, until the block ends.

    Raises OSError: this machine does not have the address, or the port is in use there.
    """
    with _serving(address, port, lambda client: _relay(client, port)):
        yield


class Way:
    """A way to a server at 127.0.0.1, which can be cut: connections are reset, and new ones as soon as they come."""

    def __init__(self, port: int, arriving: Callable[[], object]) -> None:
        """`arriving` is called when a connection comes, before anything of it reaches the server; it may block."""
        self.port = 0
        self._server_port = port
        self._arriving = arriving
        self._open: set[socket.socket] = set()
        self._lock = Lock()
        self._is_cut = False

    @classmethod
    @contextmanager
    def to(cls, port: int, arriving: Callable[[], object] = lambda: None) -> "Iterator[Way]":
        """Open a way to a port, at a port of its own, until the block ends."""
        way = cls(port, arriving)
        with _serving(LOOPBACK, 0, way._take) as way.port:
            try:
                yield way
            finally:
                way.cut()

    def cut(self) -> None:
        """Reset what is connected, and whatever will be."""
        with self._lock:
            self._is_cut = True
            for client in self._open:
                _reset(client)

    def mend(self) -> None:
        """Let connections through again."""
        with self._lock:
            self._is_cut = False

    def _take(self, client: socket.socket) -> None:
        self._arriving()
        with self._lock:
            if self._is_cut:
                _reset(client)
                return
            self._open.add(client)
        try:
            _relay(client, self._server_port)
        finally:
            with self._lock:
                self._open.discard(client)


@contextmanager
def _serving(address: str, port: int, take: Callable[[socket.socket], None]) -> Iterator[int]:
    """Let a function have each connection, on a thread of its own; yield the port."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            take(self.request)

    with _Server((address, port), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


class _Server(socketserver.ThreadingTCPServer):
    """Ends without waiting for connections that are still open."""

    daemon_threads = True


def _relay(client: socket.socket, port: int) -> None:
    with suppress(OSError), socket.create_connection((LOOPBACK, port)) as server:
        answers = Thread(target=_copy, args=(server, client), daemon=True)
        answers.start()
        _copy(client, server)
        answers.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(_AT_ONCE):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def _reset(client: socket.socket) -> None:
    with suppress(OSError):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        client.shutdown(socket.SHUT_RDWR)  # who waits for it in `recv` is told
