"""Does the wire see each message once, and does it disturb the right one?"""

import itertools
import os
import signal
import socket
import socketserver
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import pytest

from tests.faults.wire import Disturbance, Place, Speech, Watch, Wire
from tests.local.servers.processes import LOOPBACK

HELLO = b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03"
CHANGE = b"\x14\x03\x03\x00\x01\x01"
FINISHED, STATEMENT, FAREWELL = (b"\x17\x03\x03" + len(text).to_bytes(2) + text for text in (b"ab", b"abc" * 99, b"x"))


def heard(*parts: bytes) -> list[bytes]:
    """Return the messages of a client that is not answered."""
    messages: list[bytes] = []
    speech = Speech()
    for is_new, part in itertools.chain.from_iterable(map(speech.parts, parts)):
        messages[len(messages) if is_new else -1 :] = [part if is_new else messages[-1] + part]
    return messages


@pytest.mark.parametrize("length", [1, 2, 3, 7, 100, 1000])
def test_each_record_is_a_message_however_it_arrives(length: int) -> None:
    said = HELLO + CHANGE + FINISHED + STATEMENT + FAREWELL
    first, rest = said[: len(HELLO)], said[len(HELLO) :]
    parts = (rest[start : start + length] for start in range(0, len(rest), length))
    assert heard(first, *parts) == [HELLO + CHANGE, FINISHED, STATEMENT, FAREWELL]


@pytest.mark.parametrize("parts", [(b"TLS, please", HELLO), (b"TLS, please" + HELLO,), (b"TLS, ", b"please" + HELLO)])
def test_what_is_said_in_clear_before_is_a_message(parts: tuple[bytes, ...]) -> None:
    assert heard(*parts) == [b"TLS, please", HELLO]


def test_a_handshake_in_packets_of_sql_server_has_a_message_a_packet() -> None:
    greeting, hello, end = (bytes([0x12, 1, 0, 8 + len(body), 0, 0, 0, 0]) + body for body in (b"TLS?", HELLO, CHANGE))
    speech = Speech()
    assert list(speech.parts(greeting)) == [(True, greeting)]
    assert list(speech.parts(hello)) == [(True, hello)]
    assert list(speech.parts(end[:6])) == []
    assert list(speech.parts(end[6:] + STATEMENT)) == [(True, end), (True, STATEMENT)]


def test_in_clear_a_message_ends_with_its_answer() -> None:
    speech = Speech()
    assert list(speech.parts(b"header")) == [(True, b"header")]
    assert list(speech.parts(b"body")) == [(False, b"body")]
    speech.is_answered = True
    assert list(speech.parts(b"next")) == [(True, b"next")]


CLIENT = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:
    for word in ("one", "two", "three"):
        connection.sendall(word.encode())
        answer = connection.recv(100)
        print(answer.decode() if answer else "cut off", flush=True)
        if not answer:
            break
"""


class Ending:
    """What a client printed, how it ended, and what its server heard."""

    def __init__(self, watch: Watch) -> None:
        """Run the client, watched, to its end."""
        heard: list[str] = []

        class Server(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                while word := self.request.recv(100):
                    heard.append(word.decode())
                    self.request.sendall(word.upper())

        with serving(Server) as port, Wire({"server": port}) as wire:
            wire.watch(watch)
            command = [sys.executable, "-c", CLIENT, str(wire.port("server"))]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own words
            watch.victim.set_result(process.pid)
            output, _ = process.communicate()
        self.printed, self.status, self.heard = output.split("\n")[:-1], process.returncode, heard


@contextmanager
def serving(handler: type[socketserver.BaseRequestHandler]) -> Iterator[int]:
    """Serve at the port that is yielded."""
    with socketserver.ThreadingTCPServer((LOOPBACK, 0), handler) as server:
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def test_nothing_is_disturbed_unless_that_is_asked() -> None:
    watch = Watch()
    ending = Ending(watch)
    assert (ending.printed, ending.status, ending.heard) == (["ONE", "TWO", "THREE"], 0, ["one", "two", "three"])
    assert watch.places == [Place("server", 1, number) for number in (1, 2, 3)]
    assert not watch.is_disturbed


@pytest.mark.parametrize(
    ("disturbance", "printed", "status", "heard"),
    [
        (Disturbance.KILLED_BEFORE, ["ONE"], -signal.SIGKILL, ["one"]),
        (Disturbance.KILLED_AFTER, ["ONE"], -signal.SIGKILL, ["one", "two"]),
        (Disturbance.CUT_OFF, ["ONE", "cut off"], os.EX_OK, ["one", "two"]),
    ],
)
def test_a_message_is_disturbed_as_wanted(
    disturbance: Disturbance, printed: list[str], status: int, heard: list[str]
) -> None:
    watch = Watch(disturbance, Place("server", 1, 2))
    ending = Ending(watch)
    assert (ending.printed, ending.status, ending.heard) == (printed, status, heard)
    assert watch.is_disturbed


def test_who_asks_for_a_connection_and_is_killed_is_not_the_next_one() -> None:
    with serving(socketserver.BaseRequestHandler) as port:
        wire = Wire({"server": port})
        with socket.create_connection((LOOPBACK, wire.port("server"))) as dead:
            wire.forget_the_dead()
            assert dead.recv(1) == b""
        with wire:
            pass
