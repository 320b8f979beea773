"""What goes over the wire between a driver and its server?"""

import socket
import socketserver
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread

from tests.local.servers.processes import LOOPBACK


class Tap:
    """A port that leads to a server, and all that went through it, in both directions."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._parts: list[bytes] = []
        self._clients: list[socket.socket] = []

    def let_in(self, client: socket.socket) -> None:
        """Take note of one who connects."""
        self._clients.append(client)

    def cut_off(self) -> None:
        """End all connections."""
        for client in self._clients:
            client.shutdown(socket.SHUT_RDWR)

    def copy(self, source: socket.socket, target: socket.socket) -> None:
        """Pass on what one side says until it ends, and keep it."""
        with suppress(OSError):
            try:
                while data := source.recv(65536):
                    self._parts.append(data)
                    target.sendall(data)
            finally:  # also if the end is an error: the other side would wait for ever
                target.shutdown(socket.SHUT_WR)

    def shows(self, text: str) -> bool:
        """Tell whether the text could be read on the wire, in one direction or the other."""
        return text.encode() in b"".join(self._parts)


@contextmanager
def tapping(port: int) -> Iterator[Tap]:
    """Stand before a server at a port of 127.0.0.1; all is there when the block has ended."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            tap.let_in(self.request)
            with socket.create_connection((LOOPBACK, port)) as server:
                answers = Thread(target=tap.copy, args=(server, self.request))
                answers.start()
                tap.copy(self.request, server)
                answers.join()

    with _Server((LOOPBACK, 0), Handler) as listener:
        tap = Tap(listener.server_address[1])
        thread = Thread(target=listener.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield tap
        finally:
            listener.shutdown()
            thread.join()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = False  # so that its end waits for them
