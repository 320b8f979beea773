"""How does libpq talk to a server without waiting, or reading, more than this program can afford?

libpq reads all that it is offered: a message can be 2 GB long, and rows and notices can go on without end
(https://www.postgresql.org/docs/current/protocol-message-formats.html). It has no limit, and takes no socket of ours.
So libpq connects to a port of this machine instead of the server's. Between the two stands a `BoundedSocket`: it
forwards the bytes of both sides, and counts those of the server.

Only public functions of psycopg2 and libpq are used, here and in all of this driver.
"""

import ctypes
import importlib.util
import os
import re
import select
import socket
import time
from collections.abc import Iterator
from contextlib import suppress

import psycopg2
from psycopg2 import extensions

from rotation.credential import Credential
from rotation.engines.driver import NO_ANSWER
from rotation.engines.network import ca_bundle
from rotation.errors import Unreachable

LOOPBACK = "127.0.0.1"

ANSWER_BYTES = 4 * 2**20
"""How many bytes a server may send in answer to one login or one statement. In the worst case libpq and Python need ten
times as much memory to hold them."""

CHUNK_BYTES = 65536

EVENTS = {extensions.POLL_READ: select.POLLIN, extensions.POLL_WRITE: select.POLLOUT}

SCRAM = "scram-sha-256"
METHODS = f"{SCRAM},md5"
"""How a user can log in. A server that asks for no password has proved nothing. One that asks for it in clear must not
learn it."""

VERBOSE = 2
"""libpq's PQERRORS_VERBOSE."""

LIBPQ = ctypes.CDLL(getattr(importlib.util.find_spec("psycopg2._psycopg"), "origin", None))
"""The libpq that psycopg2 uses: the functions of a library can be found through every library that needs it."""
LIBPQ.PQsetErrorVerbosity.argtypes = (ctypes.c_void_p, ctypes.c_int)

ANSWER = re.compile(
    r"(?:connection to server [^\n]*? failed: )?[^\n:]+:  (?P<code>[0-9A-Z]{5}): (?P<text>.*)", re.DOTALL
)
"""How libpq repeats a server's error, if it is to be verbose: the severity in the server's language, the SQLSTATE …"""

PLACE = re.compile(r"\nLOCATION:  (?:(?P<routine>\w+), )?[^\n]*\s*\Z")
"""… and last the place in PostgreSQL's source."""

PREFIX = re.compile(r"connection to server [^\n]*? failed: ")

NOT_POSTGRESQL = "Check that it is a PostgreSQL server that answers at this host and port"


class AnswerTooLarge(Exception):
    """The server has sent more than it may."""


class ServerError(Exception):
    """Why a login failed, as libpq reports it."""

    def __init__(self, text: str, *, asked_for_password: bool) -> None:
        answer, place = ANSWER.match(text), PLACE.search(text)
        super().__init__(answer["code"] if answer else "")
        self.code: str = answer["code"] if answer else ""
        """The SQLSTATE; empty if this is no answer of a server."""
        self.text: str = PLACE.sub("", answer["text"]) if answer else PREFIX.sub("", text, count=1)
        self.routine: str = (place["routine"] or "") if place else ""
        """The function of PostgreSQL that raised it; empty if it was not PostgreSQL."""
        self.asked_for_password = asked_for_password
        """Whether the server had asked for a password, and got a proof of it."""


class BoundedSocket:
    """A connection to a server, to which libpq connects instead."""

    def __init__(self, server: socket.socket) -> None:
        """Take over a connected socket."""
        self._server = server
        self._listener = socket.create_server((LOOPBACK, 0), backlog=1)
        self.port: int = self._listener.getsockname()[1]
        """Where libpq must connect to, at LOOPBACK."""
        self._client: socket.socket | None = None
        self._streams: tuple[_Stream, ...] = ()
        """From the client to the server, and back; none before libpq is connected."""
        self._bytes_left = 0

    def accept(self, client: int) -> None:
        """Accept the connection that libpq has begun from this file descriptor, and no other."""
        with self._listener, socket.socket(fileno=os.dup(client)) as own:
            while not self._client:
                accepted, address = self._listener.accept()
                if address == own.getsockname():
                    self._client = accepted
                else:
                    accepted.close()
        self._client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for each in (self._client, self._server):
            each.settimeout(0)
        self._streams = (_Stream(self._client, self._server), _Stream(self._server, self._client))

    def allow(self, size: int = ANSWER_BYTES) -> None:
        """Let the server send so many bytes from now on."""
        self._bytes_left = size

    def relay(self, client: int, events: int, seconds: float) -> bool:
        """Forward bytes both ways until one of these events happens to libpq's socket; return False if it is too late.

        What was forwarded to libpq is there at once, as it stays on this machine: that is not waited for. Raises
        AnswerTooLarge.
        """
        until = time.monotonic() + seconds
        to_server, to_client = self._streams
        to_server.forward(CHUNK_BYTES)  # what libpq has just sent
        while ready := self._poll({client: events}, until - time.monotonic()):
            if client in ready:
                return True
            to_server.forward(CHUNK_BYTES)
            received = to_client.forward(min(CHUNK_BYTES, self._bytes_left + 1))
            self._bytes_left -= received
            if self._bytes_left < 0:
                raise AnswerTooLarge
            if received and events == select.POLLIN:
                return True
        return False

    def close(self) -> None:
        """Forward what libpq sent last, as far as that needs no waiting, and close all sockets."""
        for to_server in self._streams[:1]:
            while to_server.forward(CHUNK_BYTES):
                pass
        for each in (self._listener, self._client, self._server):
            if each:
                each.close()

    def _poll(self, events: dict[int, int], seconds: float) -> set[int]:
        for stream in self._streams:
            for descriptor, event in stream.events():
                events[descriptor] = events.get(descriptor, 0) | event
        poller = select.poll()
        for descriptor, event in events.items():
            poller.register(descriptor, event)
        return {descriptor for descriptor, _ in poller.poll(max(0.0, seconds) * 1000)}


class _Stream:
    """The bytes that go in one direction."""

    def __init__(self, sender: socket.socket, receiver: socket.socket) -> None:
        self._sender, self._receiver = sender, receiver
        self._pending = b""
        self._ended = False

    def events(self) -> Iterator[tuple[int, int]]:
        """Yield the file descriptor and the event that must happen before more can be forwarded."""
        if self._pending:
            yield self._receiver.fileno(), select.POLLOUT
        elif not self._ended:
            yield self._sender.fileno(), select.POLLIN

    def forward(self, most: int) -> int:
        """Forward what needs no waiting; return how many bytes were received."""
        received = 0
        with suppress(BlockingIOError):
            if not self._pending and not self._ended:
                self._pending = self._receive(most)
                received = len(self._pending)
            if self._pending:
                self._pending = self._pending[self._send() :]
        return received

    def _receive(self, most: int) -> bytes:
        try:
            data = self._sender.recv(most)
        except ConnectionError:
            data = b""
        if not data:
            self._ended = True
            with suppress(OSError):
                self._receiver.shutdown(socket.SHUT_WR)
        return data

    def _send(self) -> int:
        try:
            return self._receiver.send(self._pending)
        except ConnectionError:
            return len(self._pending)  # nobody receives it any more


def connect(
    credential: Credential, bounded: BoundedSocket, seconds: float, operation: str, methods: str = METHODS
) -> extensions.connection:
    """Log in through this socket, by one of these methods; raises Unreachable and ServerError."""
    connection: extensions.connection | None = None
    try:
        connection = psycopg2.connect(
            async_=1,
            host=credential.host,
            hostaddr=LOOPBACK,
            port=bounded.port,
            dbname=credential.database,
            user=credential.username,
            password=credential.password,
            sslmode="verify-full" if credential.tls else "disable",
            sslrootcert=ca_bundle(credential.host),
            require_auth=methods,
            gssencmode="disable",
            client_encoding="UTF8",
            application_name="secret-rotation",
        )
        # A login that fails has no diagnostics, only a text. It names the SQLSTATE only if it is verbose.
        LIBPQ.PQsetErrorVerbosity(connection.pgconn_ptr, VERBOSE)
        bounded.accept(connection.fileno())
        wait(connection, bounded, seconds, operation)
    except BaseException as error:
        asked = bool(connection and connection.info.used_password)
        if connection:
            connection.close()
        if isinstance(error, psycopg2.Error):
            raise ServerError(str(error), asked_for_password=asked) from None
        raise
    return connection


def wait(connection: extensions.connection, bounded: BoundedSocket, seconds: float, operation: str) -> None:
    """Wait until the connection has done what it was asked for; raises Unreachable if that takes too long."""
    until = time.monotonic() + seconds
    bounded.allow()
    while (state := connection.poll()) != extensions.POLL_OK:
        try:
            is_ready = bounded.relay(connection.fileno(), EVENTS[state], until - time.monotonic())
        except AnswerTooLarge:
            cause = f"the server sent more than {ANSWER_BYTES >> 20} MB, and the connection was closed"
            raise Unreachable(operation, cause, NOT_POSTGRESQL) from None
        if not is_ready:
            raise Unreachable(operation, f"the server gave no answer within {seconds:.0f} s", NO_ANSWER)
