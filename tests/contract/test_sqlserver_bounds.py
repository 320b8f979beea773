"""How much does whoever answers in the place of an SQL Server make a function hold?

The limits were chosen for a function of 256 MB, which needs some 100 of them before it has met a server. What is
measured here is the most that a process had with nothing but the driver in it, which needs 30.
"""

import itertools
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.local.servers.processes import LOOPBACK
from tests.local.stand_ins.sqlserver import messages as tds
from tests.local.stand_ins.sqlserver.messages import Packet

pytestmark = pytest.mark.sample(2)

LAYER = Path(__file__).parents[2] / "layers" / "common"
MOST_MEGABYTES = 128

CLIENT = """
import re, sys
from rotation.credential import Credential
from rotation.deadline import Deadline
from rotation.engines.sqlserver import SQLServer
from rotation.errors import RotationError
user = Credential(engine="sqlserver", host="127.0.0.1", port=int(sys.argv[1]), database="master", username="app",
                  password="one that is not told", tls=sys.argv[2] == "tls")
try:
    with SQLServer().connect(user, Deadline(lambda: 60.0)) as session:
        session.verify(["SELECT 1"])
except RotationError as error:
    print(f"{type(error).__name__}: {error}")
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) // 1024)
"""

BIG = 32000
WHOLE, PART = 1, 0


def packet(body: bytes, status: int = PART, kind: int = Packet.REPLY) -> bytes:
    return tds.HEADER.pack(kind, status, tds.HEADER.size + len(body), 0, 1, 0) + body


def packets(body: Iterator[bytes]) -> Iterator[bytes]:
    """Pack what never ends."""
    while piece := b"".join(itertools.islice(body, 200)):
        for at in range(0, len(piece), 4088):
            yield packet(piece[at : at + 4088])


def info() -> bytes:
    """Return a message, the shortest that there is."""
    body = struct.pack("<iBBH", 5701, 1, 0, 0) + b"\0\0" + struct.pack("<i", 1)
    return b"\xab" + struct.pack("<H", len(body)) + body


def columns(count: int) -> bytes:
    """Return the description of a result with so many columns, of numbers without a name."""
    return b"\x81" + struct.pack("<H", count) + struct.pack("<IHBBB", 0, 9, 0x26, 8, 0) * count


def row_of_nothing(count: int) -> bytes:
    return b"\xd2" + b"\xff" * ((count + 7) // 8)


def endless_text() -> Iterator[bytes]:
    """Yield a result with one value that never ends: of nvarchar(max), in chunks."""
    yield b"\x81" + struct.pack("<HIHBH", 1, 0, 9, 0xE7, 0xFFFF) + tds.COLLATION + b"\0" + b"\xd1"
    yield b"\xfe" + b"\xff" * 7
    yield from itertools.repeat(struct.pack("<I", 4000) + b"a\0" * 2000)


def resized(size: str) -> bytes:
    """Return the word that packets have another size from now on."""
    return tds.environment(tds.SIZE, tds.short_text(size) + tds.short_text("4096"))


def welcome() -> bytes:
    """Return what lets a client in."""
    acknowledged = b"\x01" + bytes.fromhex("74000004") + tds.short_text("Microsoft SQL Server") + b"\x10\0\0\0"
    master = tds.environment(tds.DATABASE, tds.short_text("master") + tds.short_text(""))
    return master + tds.token(tds.LOGIN_ACK, acknowledged) + tds.done(0)


GREETINGS: dict[str, Callable[[], Iterator[bytes]]] = {
    "packets-without-end": lambda: itertools.repeat(packet(b"\0" * BIG)),
    "empty-packets-without-end": lambda: itertools.repeat(packet(b"")),
    "a-certificate-without-end": lambda: itertools.chain(
        [packet(bytes.fromhex("01 0006 0001 ff 01"), WHOLE)],
        itertools.repeat(packet(b"\x16\x03\x03\x40\x00" + b"\x0b\xff\xff\xff" + b"\0" * 16380, WHOLE, Packet.PRELOGIN)),
    ),
}
LOGINS: dict[str, Callable[[], Iterator[bytes]]] = {
    "messages-without-end": lambda: packets(itertools.repeat(info())),
    "a-huge-packet-to-come": lambda: iter([packet(resized("2000000000") + welcome(), WHOLE)]),
    "a-number-without-end": lambda: iter([packet(resized("9" * 255) + welcome(), WHOLE)]),
    "more-than-one-answer": lambda: itertools.repeat(packet(info(), WHOLE)),
}
ANSWERS: dict[str, Callable[[], Iterator[bytes]]] = {
    "messages-without-end": lambda: packets(itertools.repeat(info())),
    "rows-without-end": lambda: packets(itertools.chain([columns(1)], itertools.repeat(row_of_nothing(1)))),
    "wide-rows-without-end": lambda: packets(itertools.chain([columns(4000)], itertools.repeat(row_of_nothing(4000)))),
    "rows-without-end-of-the-second-of-two": lambda: packets(
        itertools.chain(
            [columns(1), tds.done(tds.MORE | tds.COUNTED)], [columns(1)], itertools.repeat(row_of_nothing(1))
        )
    ),
    "columns-without-end": lambda: packets(itertools.repeat(columns(32000))),
    "a-text-without-end": lambda: packets(endless_text()),
    "a-huge-packet-to-come": lambda: iter([packet(resized("2000000000") + tds.done(0), WHOLE)]),
}


@contextmanager
def posing(*stages: Callable[[], Iterator[bytes]]) -> Iterator[int]:
    """Answer each message of a client with the next of these."""
    with socket.create_server((LOOPBACK, 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection, suppress(OSError):
                        for stage in stages:
                            connection.recv(65536)
                            for piece in stage():
                                connection.sendall(piece)
                        connection.recv(65536)

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def client(port: int, *, tls: bool) -> tuple[str, int]:
    """Return what a driver says of that server, and how many megabytes its process had."""
    done = subprocess.run(  # noqa: S603 - the words are ours
        [sys.executable, "-c", CLIENT, str(port), "tls" if tls else "clear"],
        env={"PYTHONPATH": str(LAYER), "ALLOW_LOCAL_HOSTS": "true"},
        capture_output=True,
        text=True,
        check=True,
    )
    text, _, megabytes = done.stdout.strip().rpartition("\n")
    return text, int(megabytes)


NO_TLS_HERE = bytes.fromhex("01 0006 0001 ff 02")


def in_clear() -> Iterator[bytes]:
    yield packet(NO_TLS_HERE, WHOLE)


def let_in() -> Iterator[bytes]:
    yield packet(welcome(), WHOLE)


@pytest.mark.parametrize("name", GREETINGS)
@pytest.mark.parametrize("tls", [True, False], ids=["tls", "clear"])
def test_who_has_proved_nothing_is_not_listened_to_for_long(name: str, tls: bool) -> None:
    with posing(GREETINGS[name]) as port:
        text, megabytes = client(port, tls=tls)
    assert text.startswith(("LoginBlocked", "Untrusted"))
    assert megabytes < MOST_MEGABYTES


@pytest.mark.parametrize("name", LOGINS)
def test_the_answer_to_a_login_is_short(name: str) -> None:
    with posing(in_clear, LOGINS[name]) as port:
        text, megabytes = client(port, tls=False)
    assert text.startswith("LoginBlocked: logging in as app at 127.0.0.1")
    assert megabytes < MOST_MEGABYTES


@pytest.mark.parametrize("name", ANSWERS)
def test_the_answer_to_a_statement_has_an_end(name: str) -> None:
    with posing(in_clear, let_in, ANSWERS[name]) as port:
        text, megabytes = client(port, tls=False)
    assert text.startswith("StatementFailed")
    assert "longer than a function has room for" in text
    assert megabytes < MOST_MEGABYTES


def test_what_a_server_says_is_not_passed_on_without_end() -> None:
    error = b"\xaa" + struct.pack("<H", 0) + struct.pack("<iBBH", 50000, 1, 16, 20000) + b"a\0" * 20000
    error += b"\0\0" + struct.pack("<i", 1)
    errors = [*packets(iter([error] * 20)), packet(tds.done(tds.FAILED), WHOLE)]
    with posing(in_clear, let_in, lambda: iter(errors), lambda: iter(errors)) as port:
        text, _ = client(port, tls=False)
    assert text.startswith("StatementFailed: setting the lock timeout as app: aaa")
    assert len(text) < 1000


@pytest.mark.parametrize("number", [1, 3])
def test_answers_of_another_number_than_the_questions_count_for_none_of_them(number: int) -> None:
    """Else one of them would be believed to be the answer to another one. The session goes on, and asks again."""
    result = columns(1) + row_of_nothing(1) + tds.done(tds.MORE | tds.COUNTED)
    wrong, done = packet(result * number + tds.done(0), WHOLE), packet(tds.done(0), WHOLE)
    with posing(in_clear, let_in, lambda: iter([wrong]), *[lambda: iter([done])] * 4) as port:
        text, _ = client(port, tls=False)
    assert not text


def test_half_a_character_is_no_defect_of_ours() -> None:
    """A server's text can hold it; a user's trigger can have it say so."""
    error = b"\xaa" + struct.pack("<H", 0) + struct.pack("<iBBH", 50000, 1, 16, 1) + b"\x00\xd8"
    error += b"\0\0" + struct.pack("<i", 1) + tds.done(tds.FAILED)
    with posing(in_clear, let_in, lambda: iter([packet(error, WHOLE)])) as port:
        text, _ = client(port, tls=False)
    assert text.startswith(
        "StatementFailed: setting the lock timeout as app: the answer makes no sense (UnicodeDecodeError)"
    )
