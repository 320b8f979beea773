"""How much can one say that poses as a PostgreSQL, before it is left?"""

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.contract import impostor
from tests.contract.impostor import MD5, OK, Line, Talk, authentication, message, posing
from tests.local.servers import certificates
from tests.local.servers.certificates import HOST_NAME, Certificates

MEGABYTE = 2**20
GIGABYTE = 2**30
CHUNK = 64 * 1024

LOG_IN = """
import json, resource, sys
from rotation.credential import Credential
from rotation.deadline import Deadline
from rotation.engines.postgresql import PostgreSQL
from rotation.errors import RotationError

def memory():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> (20 if sys.platform == "darwin" else 10)

port, host, tls = int(sys.argv[1]), sys.argv[2], sys.argv[3] == "True"
user = Credential(
    engine="postgres", host=host, port=port, database="shop", username="app", password="secret", tls=tls
)
before = memory()
try:
    with PostgreSQL().connect(user, Deadline(lambda: 20.0)) as session:
        session.compare("app", "app_clone").sentences
except RotationError as error:
    print(json.dumps([type(error).__name__, str(error), memory() - before]))
"""
"""Log in, and say what came of it, and how many MB more memory it took at most."""


def log_in(talk: Talk, *, tls: bool = False) -> tuple[str, str, int]:
    """Log in to an impostor in a process of its own; return the error, its text, and the memory, in MB."""
    with posing(talk) as impostor_:
        done = subprocess.run(  # noqa: S603 - our own words
            # A program begins with the peak of the one that started it: a shell's is small.
            [
                "/bin/sh",
                "-c",
                '"$@"; exit $?',
                "sh",
                sys.executable,
                "-c",
                LOG_IN,
                str(impostor_.port),
                HOST_NAME,
                str(tls),
            ],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "ALLOW_LOCAL_HOSTS": "true"},
            capture_output=True,
            text=True,
            check=True,
        )
    assert done.stderr == "", "libpq would write there, and Lambda would write it into its log"
    error, text, more = json.loads(done.stdout)
    return error, text, more


def require_left(talk: Talk, *errors: str, tls: bool = False) -> None:
    """Require that the impostor is left, in little memory, with a message that fits a log."""
    error, text, megabytes = log_in(talk, tls=tls)
    assert error in errors, text
    assert len(text) < 3000
    assert megabytes < 64


def endless(chunk: bytes) -> Iterator[bytes]:
    """Yield the same for ever."""
    return itertools.repeat(chunk * (CHUNK // len(chunk) + 1))


def opened(kind: bytes, size: int) -> bytes:
    """Return the beginning of a message that says to be so long."""
    return kind + (size + 4).to_bytes(4)


ERROR = b"SFATAL\0VFATAL\0C28P01\0M"
NOTICE = message(b"N", b"SNOTICE\0VNOTICE\0C00000\0Mlook\0\0")
PARAMETER = message(b"S", b"a.b\0" + b"x" * 1000 + b"\0")
READY = message(b"Z", b"I")
PARAMETERS = b"".join(
    message(b"S", f"{name}\0{value}\0".encode())
    for name, value in {
        "server_version": "18.0",
        "client_encoding": "UTF8",
        "DateStyle": "ISO, MDY",
        "standard_conforming_strings": "on",
        "integer_datetimes": "on",
    }.items()
)

FIRST_WORDS = {
    "an error of 15 MB": [opened(b"E", 15 * MEGABYTE), ERROR, b"x" * 15 * MEGABYTE],
    "an error of a gigabyte": [opened(b"E", GIGABYTE), ERROR, *itertools.repeat(b"x" * CHUNK, 5000)],
    "an error of the old kind, without an end": [b"E", *itertools.repeat(b"x" * CHUNK, 5000)],
    "a question of 15 MB": [opened(b"R", 15 * MEGABYTE), b"\0\0\0\5", b"x" * 15 * MEGABYTE],
    "notices": [NOTICE * 100_000],
    "parameters": [PARAMETER * 15_000],
    "nonsense": [b"\x17" * 15 * MEGABYTE],
    "yes, and more": [b"S" * 15 * MEGABYTE],
    "a no, and more": [b"N" * 15 * MEGABYTE],
}
"""What is said instead of an answer to the first thing that it hears: whether it has TLS, or who wants in."""


@pytest.mark.parametrize("tls", [True, False], ids=["with TLS", "without"])
@pytest.mark.parametrize("words", FIRST_WORDS)
def test_who_begins_with_too_much_is_left(words: str, *, tls: bool) -> None:
    def talk(line: Line) -> None:
        line.hear()
        for part in FIRST_WORDS[words]:
            line.say(part)

    require_left(talk, "Unreachable", "Untrusted", tls=tls)


AFTER_LOGIN: dict[str, Callable[[], Iterator[bytes]]] = {
    "notices": lambda: endless(NOTICE),
    "notices of a megabyte": lambda: endless(message(b"N", b"SNOTICE\0VNOTICE\0C00000\0M" + b"x" * MEGABYTE + b"\0\0")),
    "a notice of a gigabyte": lambda: itertools.chain([opened(b"N", GIGABYTE)], endless(b"x" * CHUNK)),
    "an error of a gigabyte": lambda: itertools.chain([opened(b"E", GIGABYTE), ERROR], endless(b"x" * CHUNK)),
    "an error of 3 MB": lambda: iter([message(b"E", ERROR + b"x" * 3 * MEGABYTE + b"\0\0")]),
    "parameters": lambda: endless(PARAMETER),
    "keys": lambda: endless(message(b"K", b"\0" * 8)),
}
"""What is said after a password was asked for, and taken, whatever it was: md5 proves nothing of who asks."""


@pytest.mark.parametrize("words", AFTER_LOGIN)
def test_who_says_too_much_once_somebody_has_logged_in_is_left(words: str) -> None:
    def talk(line: Line) -> None:
        line.hear()
        line.say(authentication(MD5, b"salt"))
        line.hear()
        line.say(authentication(OK))
        for part in AFTER_LOGIN[words]():
            line.say(part)

    require_left(talk, "Unreachable", "LoginRefused")


COLUMN = b"rolname\0" + b"\0" * 6 + (25).to_bytes(4) + b"\xff\xff" + b"\0" * 6
DESCRIPTION = message(b"T", (1).to_bytes(2) + COLUMN)
EMPTY_ROW = message(b"D", (1).to_bytes(2) + b"\xff\xff\xff\xff")
NO_COLUMN = message(b"D", (0).to_bytes(2))

ANSWERS: dict[str, Callable[[], Iterator[bytes]]] = {
    "rows": lambda: itertools.chain([DESCRIPTION], endless(EMPTY_ROW)),
    "rows without a column": lambda: itertools.chain([message(b"T", b"\0\0")], endless(NO_COLUMN)),
    "a row of a gigabyte": lambda: itertools.chain([DESCRIPTION, opened(b"D", GIGABYTE)], endless(b"x" * CHUNK)),
    "results": lambda: endless(message(b"C", b"SELECT 0\0")),
    "columns": lambda: itertools.chain([message(b"T", (65535).to_bytes(2) + COLUMN * 65535)], endless(NOTICE)),
    "notices": lambda: endless(NOTICE),
    "notifications": lambda: endless(message(b"A", b"\0\0\0\1channel\0payload\0")),
    "an error of 3 MB": lambda: iter([message(b"E", ERROR + b"x" * 3 * MEGABYTE + b"\0\0") + READY]),
    "what is copied": lambda: itertools.chain([message(b"H", b"\0\0\0")], endless(message(b"d", b"x" * 1000))),
}
"""What is said instead of an answer to a statement."""


@pytest.fixture
def trusted_certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Certificates:
    """A certificate of a trusted authority: even who has one is not believed to stop by itself."""
    issued = certificates.issue(tmp_path)
    monkeypatch.setenv("DB_CA_BUNDLE", str(issued.ca))
    return issued


@pytest.mark.parametrize("tls", [True, False], ids=["with TLS", "without"])
@pytest.mark.parametrize("words", ANSWERS)
def test_who_answers_a_statement_with_too_much_is_left(
    words: str, trusted_certificates: Certificates, *, tls: bool
) -> None:
    def talk(line: Line) -> None:
        line.hear()
        if tls:
            line.say(impostor.TLS)
            line.show(trusted_certificates)
            line.hear()
        line.say(authentication(MD5, b"salt"))
        line.hear()
        line.say(authentication(OK) + PARAMETERS + READY)
        line.hear()
        for part in ANSWERS[words]():
            line.say(part)

    require_left(talk, "Unreachable", "StatementFailed", "LoginRefused", tls=tls)
