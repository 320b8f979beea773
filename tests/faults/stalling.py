"""What if a server answers for a while, and then no more? A relay stands before it, and stops at a set point."""

import socket
from contextlib import suppress
from threading import Event, Lock, Thread
from typing import Self

from tests.local.servers.processes import LOOPBACK

AT_ONCE = 65536


class Relay:
    """Relays to a port at 127.0.0.1, from `with` to the end of the block, over any number of connections."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._lock = Lock()
        self._over = Event()
        self._left: int | None = None
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port: int = self._listener.getsockname()[1]
        self.pieces = 0
        """How many pieces of answers have been relayed."""
        self.is_stalled = False
        """Whether it has reached the point at which it falls silent."""

    def __enter__(self) -> Self:
        Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def stall_after(self, pieces: int | None) -> None:
        """Fall silent for good after so many pieces of answers from now on; None: relay all of them."""
        with self._lock:
            self._left, self.is_stalled = pieces, False

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                Thread(target=self._relay, args=(client,), daemon=True).start()

    def _relay(self, client: socket.socket) -> None:
        with client, suppress(OSError), socket.create_connection((LOOPBACK, self._target)) as server:
            questions = Thread(target=self._copy, args=(client, server), daemon=True)
            questions.start()
            while data := server.recv(AT_ONCE):
                if not self._may_relay():
                    self._over.wait()  # nobody hears of it, and nobody closes
                client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            questions.join()

    def _may_relay(self) -> bool:
        with self._lock:
            self.is_stalled = self._left == 0
            self._left = self._left and self._left - 1
            self.pieces += not self.is_stalled
            return not self.is_stalled

    @staticmethod
    def _copy(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(AT_ONCE):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
