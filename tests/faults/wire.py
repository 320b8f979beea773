"""What does the function say to the others, message by message? And what if a message, or its answer, never arrives?

A proxy stands between the function and those that it talks to, and counts what it sees. It knows no list of calls, and
nothing of the code under test: what passes is a message.

A message is what one side says until the other one answers. Inside of TLS nobody can tell an answer from what a server
sends besides (session tickets, say), and so there each record of the client is a message: clients write a message as a
whole. That makes more messages than there are statements, for logins have several, but none that is missed.

"""

import itertools
import os
import re
import selectors
import signal
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from threading import RLock, Thread
from typing import Self

from tests.local.servers.processes import LOOPBACK

CLIENT_HELLO = re.compile(rb"(?:\x12\x01..\x00\x00.\x00)?\x16\x03[\x00-\x04]..\x01", re.DOTALL)
"""How a client begins TLS, be it right after what it has said in clear; SQL Server's client does so in a packet."""

HEADER, CHANGE_CIPHER_SPEC = 5, 20
"""The length of a record's header; the type of the record that says nothing, and goes before another one
(https://www.rfc-editor.org/rfc/rfc8446#section-5)."""

PRELOGIN = 0x12
"""The type of the packets that hold SQL Server's TLS handshake, and no type of a record ([MS-TDS] 2.2.6.5). Their
length is in the third and fourth byte."""

OPERATION = re.compile(rb"^x-amz-target: \w+\.(\w+)", re.IGNORECASE | re.MULTILINE)

AT_ONCE = 65536


class Disturbance(StrEnum):
    """What happens at a message."""

    KILLED_BEFORE = "killed before"
    """The process is killed, and the message does not arrive."""
    KILLED_AFTER = "killed after"
    """The message arrives. Its answer, or what the process says next if there is none, is the end of the process."""
    CUT_OFF = "cut off"
    """The message arrives, its answer does not: the connection ends, and the process lives."""


@dataclass(frozen=True, order=True)
class Place:
    """A message."""

    party: str
    """To whom."""
    connection: int
    """On which connection to this party, counted from 1 in the order in which they were made."""
    number: int
    """Counted from 1 on this connection."""
    operation: str = field(default="", compare=False)
    """What it asks AWS for."""

    def __str__(self) -> str:
        return f"{self.party} {self.connection}.{self.number}{f' {self.operation}' if self.operation else ''}"


class Watch:
    """What one process says, and the one disturbance of it."""

    def __init__(self, disturbance: Disturbance | None = None, place: Place | None = None) -> None:
        self.places: list[Place] = []
        """All messages so far."""
        self.bytes: Counter[Place] = Counter()
        """How long each message was, with its answer."""
        self.victim: Future[int] = Future()
        """The process, as soon as it has a number."""
        self.is_disturbed = False
        self.is_silent = False
        """Whether nothing passes any more."""
        self._disturbance = disturbance
        self._place = place
        self._unanswered: _Connection | None = None

    def begins(self, connection: "_Connection", place: Place) -> None:
        """Take note of a new message, before it arrives."""
        if self._unanswered:
            self._disturb(self._unanswered)
        if self.is_silent:
            return
        self.places.append(place)
        if place == self._place:
            self._unanswered = connection
            if self._disturbance is Disturbance.KILLED_BEFORE:
                self._disturb(connection)

    def goes_on(self, connection: "_Connection") -> None:
        """Take note that a connection is about to bring an answer, or to end."""
        if connection is self._unanswered:
            self._disturb(connection)

    def _disturb(self, connection: "_Connection") -> None:
        self._unanswered, self.is_disturbed = None, True
        if self._disturbance is Disturbance.CUT_OFF:
            connection.close()
            return
        self.is_silent = True
        with suppress(ProcessLookupError):
            os.kill(self.victim.result(), signal.SIGKILL)


class Wire:
    """The proxy, from `with` to the end of the block."""

    def __init__(self, parties: dict[str, int]) -> None:
        """Take the port of each party at 127.0.0.1."""
        self._watch = Watch()
        self._lock = RLock()
        self._selector = selectors.DefaultSelector()
        self._listeners = {party: socket.create_server((LOOPBACK, 0)) for party in parties}
        self._counts: dict[str, int] = {}
        self._is_over = False
        for party, listener in self._listeners.items():
            listener.settimeout(0)
            self._selector.register(listener, selectors.EVENT_READ, _Ear(self._accepting(party, parties[party])))
        self._waker, woken = socket.socketpair()
        self._selector.register(woken, selectors.EVENT_READ, _Ear(lambda: None))
        self._thread = Thread(target=self._run, name="wire", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True
        self._waker.send(b".")
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
        self._selector.close()
        self._waker.close()

    def port(self, party: str) -> int:
        """Return where the proxy stands for a party, at 127.0.0.1."""
        port: int = self._listeners[party].getsockname()[1]
        return port

    def watch(self, watch: Watch) -> Watch:
        """Begin to count anew: what connects from now on is watched by this one."""
        with self._lock:
            self._counts.clear()
            self._watch = watch
        return watch

    def forget_the_dead(self) -> None:
        """Refuse the connections that are asked for just now: by one that did not live to use them."""
        with self._lock:
            for listener in self._listeners.values():
                with suppress(BlockingIOError):
                    while True:
                        listener.accept()[0].close()

    def _run(self) -> None:
        while not self._is_over:
            # Connections nest. Where two have something to say at once, the newer one said it first: its farewell,
            # for which there is no answer to wait for.
            for key, _ in sorted(self._selector.select(), key=lambda event: event[0].data.age, reverse=True):
                with self._lock:
                    key.data.act()

    def _accepting(self, party: str, port: int) -> Callable[[], None]:
        def accept() -> None:
            with suppress(BlockingIOError):  # it may have been taken away
                client, _ = self._listeners[party].accept()
                self._counts[party] = number = self._counts.get(party, 0) + 1
                try:
                    server = socket.create_connection((LOOPBACK, port))
                except OSError:
                    client.close()
                else:
                    _Connection(self._selector, self._watch, Place(party, number, 0), client, server)

        return accept


@dataclass(frozen=True)
class _Ear:
    """What is done when a socket has something to say."""

    act: Callable[[], None]
    age: int = field(default_factory=itertools.count().__next__)


class _Connection:
    """A client, and the server that it believes to talk to."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        watch: Watch,
        place: Place,
        client: socket.socket,
        server: socket.socket,
    ) -> None:
        self._selector = selector
        self._watch = watch
        self._place = place
        self._client = client
        self._server = server
        self._speech = Speech()
        for connection, listen in ((client, self._from_client), (server, self._from_server)):
            connection.settimeout(None)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(connection, selectors.EVENT_READ, _Ear(listen))

    def close(self) -> None:
        """End both sides; may be repeated."""
        self._leave(self._client)
        self._leave(self._server)

    def _leave(self, connection: socket.socket) -> None:
        if connection.fileno() >= 0:
            self._selector.unregister(connection)
            connection.close()

    def _from_client(self) -> None:
        data = self._received(self._client)
        if not data:
            self._watch.goes_on(self)
            self.close()
        for is_new, part in self._speech.parts(data):
            if is_new:
                self._place = self._next(part)
                self._watch.begins(self, self._place)
            self._watch.bytes[self._place] += len(part)
            self._send(self._server, part)

    def _from_server(self) -> None:
        data = self._received(self._server)
        self._watch.bytes[self._place] += len(data)
        self._speech.is_answered = True
        self._watch.goes_on(self)
        self._send(self._client, data)
        if not data:
            # The client may have more to say, if only to take leave: it is heard to its end.
            self._leave(self._server)
            with suppress(OSError):
                self._client.shutdown(socket.SHUT_WR)

    def _next(self, part: bytes) -> Place:
        """Name the message that begins with `part`."""
        operation = OPERATION.search(part)
        name = operation[1].decode() if operation else ""
        return Place(self._place.party, self._place.connection, self._place.number + 1, name)

    def _send(self, connection: socket.socket, data: bytes) -> None:
        if not self._watch.is_silent:
            with suppress(OSError):
                connection.sendall(data)

    @staticmethod
    def _received(connection: socket.socket) -> bytes:
        """Return what has arrived, nothing at the end, however it came."""
        with suppress(OSError):
            return connection.recv(AT_ONCE)
        return b""


class Speech:
    """What a client says on a connection: tells the messages apart, however they arrive."""

    def __init__(self) -> None:
        self.is_answered = True
        """Whether the other side has said something since."""
        self._is_private = False
        self._record = b""

    def parts(self, data: bytes) -> Iterator[tuple[bool, bytes]]:
        """Yield what can be passed on now, and whether a new message begins with it."""
        if not self._is_private:
            hello = CLIENT_HELLO.search(data)
            clear = data[: hello.start()] if hello else data
            if clear:
                is_new, self.is_answered = self.is_answered, False
                yield is_new, clear
            if not hello:
                return
            self._is_private, data = True, data[hello.start() :]
        self._record += data
        while len(self._record) >= (length := self._length()):
            record, self._record = self._record[:length], self._record[length:]
            yield record[0] != CHANGE_CIPHER_SPEC, record

    def _length(self) -> int:
        if len(self._record) < HEADER:
            return HEADER
        if self._record[0] == PRELOGIN:
            return int.from_bytes(self._record[2:4])
        return HEADER + int.from_bytes(self._record[3:HEADER])
