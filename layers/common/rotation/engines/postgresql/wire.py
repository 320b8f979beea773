"""What keeps a server from saying more than this program can hold?

libpq reads all that it is offered: a message can be 2 GB long, and there can be rows and notices without end
(https://www.postgresql.org/docs/current/protocol-message-formats.html). It knows no limit, and takes no socket of ours.
So it is given a port of this machine for the server's. In between stands a `Way`, which passes on what both say, and
counts what the server does.
"""

import os
import select
import socket
import time
from collections.abc import Iterator
from contextlib import suppress

LOOPBACK = "127.0.0.1"

ANSWER_BYTES = 4 * 2**20
"""How much a server may say to one thing that it is asked for, a login or a statement. In the worst case libpq and
Python need ten times as much to hold it."""

CHUNK = 65536


class TooMuch(Exception):
    """The server has said more than it may."""


class Way:
    """A connection to a server, as libpq has it."""

    def __init__(self, server: socket.socket) -> None:
        """Take over a socket that is connected."""
        self._server = server
        self._listener = socket.create_server((LOOPBACK, 0), backlog=1)
        self.port: int = self._listener.getsockname()[1]
        """Where libpq is to connect to, at LOOPBACK."""
        self._client: socket.socket | None = None
        self._flows: tuple[_Flow, ...] = ()
        self._left = 0

    def meet(self, client: int) -> None:
        """Take in the connection that libpq has begun from this file descriptor, and no other."""
        with self._listener, socket.socket(fileno=os.dup(client)) as own:
            while not self._client:
                taken, name = self._listener.accept()
                if name == own.getsockname():
                    self._client = taken
                else:
                    taken.close()
        self._client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for each in (self._client, self._server):
            each.settimeout(0)
        self._flows = (_Flow(self._client, self._server), _Flow(self._server, self._client))

    def expect(self, size: int = ANSWER_BYTES) -> None:
        """Let the server say so much from now on."""
        self._left = size

    def carry(self, client: int, events: int, seconds: float) -> bool:
        """Pass on what is said until one of these events happens to libpq's socket; False when the time is up.

        Raises TooMuch.
        """
        until = time.monotonic() + seconds
        while ready := self._poll({client: events}, until - time.monotonic()):
            if client in ready:
                return True
            up, down = self._flows
            up.move(CHUNK)
            self._left -= down.move(min(CHUNK, self._left + 1))
            if self._left < 0:
                raise TooMuch
        return False

    def close(self) -> None:
        """Pass on libpq's last word, and end; nothing is waited for."""
        for up in self._flows[:1]:
            while up.move(CHUNK):
                pass
        for each in (self._listener, self._client, self._server):
            if each:
                each.close()

    def _poll(self, events: dict[int, int], seconds: float) -> set[int]:
        for flow in self._flows:
            for end, event in flow.awaited():
                events[end] = events.get(end, 0) | event
        poller = select.poll()
        for end, event in events.items():
            poller.register(end, event)
        return {end for end, _ in poller.poll(max(0.0, seconds) * 1000)}


class _Flow:
    """What goes in one direction."""

    def __init__(self, source: socket.socket, target: socket.socket) -> None:
        self._source, self._target = source, target
        self._held = b""
        self._ended = False

    def awaited(self) -> Iterator[tuple[int, int]]:
        """Yield which event at which end lets it go on."""
        if self._held:
            yield self._target.fileno(), select.POLLOUT
        elif not self._ended:
            yield self._source.fileno(), select.POLLIN

    def move(self, most: int) -> int:
        """Pass on what can be passed on at once; return how many bytes have come."""
        came = 0
        with suppress(BlockingIOError):
            if not self._held and not self._ended:
                self._held = self._come(most)
                came = len(self._held)
            if self._held:
                self._held = self._held[self._go() :]
        return came

    def _come(self, most: int) -> bytes:
        try:
            data = self._source.recv(most)
        except ConnectionError:
            data = b""
        if not data:
            self._ended = True
            with suppress(OSError):
                self._target.shutdown(socket.SHUT_WR)
        return data

    def _go(self) -> int:
        try:
            return self._target.send(self._held)
        except ConnectionError:
            return len(self._held)  # nobody is there to hear it
