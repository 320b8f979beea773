"""How do packets travel between the stand-in for Oracle and its client? TNS, below the messages."""

import socket
from dataclasses import dataclass

from tests.local.stand_ins.oracle import wire
from tests.local.stand_ins.oracle.wire import Closed


@dataclass(frozen=True)
class Packets:
    """The packets of one connection."""

    sock: socket.socket

    def receive(self) -> bytes:
        """Return a message. After a full packet, it goes on in the next one."""
        message = b""
        while True:
            header = self.exactly(wire.HEADER)
            length, kind = int.from_bytes(header[:4], "big"), header[4]
            body = self.exactly(length - wire.HEADER)
            if kind == wire.MARKER:
                raise Closed  # the stand-in cannot be interrupted
            if kind != wire.DATA or int.from_bytes(body[:2], "big") & wire.END_OF_FILE:
                raise Closed
            message += body[2:]
            if length < wire.LARGEST:
                return message

    def be_interrupted(self) -> None:
        """Wait until the client interrupts the call, and agree with it to begin again. Raises Closed."""
        self._expect_marker(wire.INTERRUPT)
        self._mark(wire.BREAK)
        self._mark(wire.RESET)
        self._expect_marker(wire.RESET)

    def _expect_marker(self, what: int) -> None:
        header = self.exactly(wire.HEADER)
        body = self.exactly(int.from_bytes(header[:4], "big") - wire.HEADER)
        if header[4] != wire.MARKER or body[2] != what:
            raise Closed

    def _mark(self, what: int) -> None:
        body = bytes([1, 0, what])
        self.sock.sendall((len(body) + wire.HEADER).to_bytes(4, "big") + bytes([wire.MARKER, 0, 0, 0]) + body)

    def send(self, kind: int, body: bytes) -> None:
        """Send a message, in several packets if it is long."""
        flags, data = body[:2], body[2:]
        most = wire.LARGEST - wire.HEADER - 2
        for place in range(0, max(1, len(data)), most):
            piece = flags + data[place : place + most]
            self.sock.sendall((len(piece) + wire.HEADER).to_bytes(4, "big") + bytes([kind, 0, 0, 0]) + piece)

    def exactly(self, count: int) -> bytes:
        """Return so many bytes. Raises Closed."""
        data = b""
        while len(data) < count:
            piece = self.sock.recv(count - len(data))
            if not piece:
                raise Closed
            data += piece
        return data
