"""How does a container reach what listens on 127.0.0.1? Through another address of this machine, for a while."""

import socket
import socketserver
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread

from tests.local.servers.processes import LOOPBACK

_AT_ONCE = 65536


@contextmanager
def relaying(address: str, port: int) -> Iterator[None]:
    """Bring what connects to a port at an address of this machine to the same port at 127.0.0.1, until the block ends.

    Raises OSError: this machine does not have the address, or the port is in use there.
    """

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError), socket.create_connection((LOOPBACK, port)) as server:
                answers = Thread(target=_copy, args=(server, self.request), daemon=True)
                answers.start()
                _copy(self.request, server)
                answers.join()

    with _Server((address, port), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


class _Server(socketserver.ThreadingTCPServer):
    """Ends without waiting for connections that are still open."""

    daemon_threads = True


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(_AT_ONCE):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
