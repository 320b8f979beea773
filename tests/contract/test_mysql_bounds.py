"""How much can a MySQL or MariaDB server, or who poses as one, say to us, and for how long?

What is counted is memory: an impostor sends as much as it is let.
"""

import itertools
import secrets
import string
import struct
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from rotation.credential import Credential
from rotation.engine import Engine, Session
from rotation.engines.mariadb import MariaDB
from rotation.engines.mysql import MySQL
from rotation.engines.mysql.rights import MOST_RIGHTS, TooManyRights, parse
from rotation.engines.mysql.wire import ANSWER_BYTES, ANSWER_PACKETS, LOGIN_BYTES, LOGIN_PACKETS, BoundedConnection
from rotation.errors import DatabaseError, LoginRefused, RotationError, StatementFailed, Unreachable, Untrusted
from tests.contract.impostor import Line, Talk, greeting, packet, posing, switch
from tests.contract.mysql_kit import account, alter
from tests.laboratories import deadline
from tests.laboratories.mysql import MySQLLaboratory

pytestmark = pytest.mark.sample(2)

MB = 1024 * 1024
LARGEST = 0xFFFFFF
"""The length of a packet that is continued by the next one."""

FAMILY = pytest.mark.parametrize("engine", [MySQL(), MariaDB()], ids=["mysql", "mariadb"])


def user(port: int, *, tls: bool = False) -> Credential:
    """Return a login at the impostor's."""
    return Credential(
        engine="mysql", host="localhost", port=port, database=None, username="app", password="p" * 20, tls=tls
    )


@contextmanager
def at_most(size: int) -> Iterator[None]:
    """See that no more memory is taken than that."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < size, f"{peak} bytes"


ZEROS = bytes(MB)


def flood(line: Line, data: bytes, header: bytes = b"") -> None:
    """Say something without end."""
    line.say(header)
    while True:
        line.say(data)


def asked(line: Line) -> None:
    """Take a login and the settings of the session; return when something else is asked."""
    line.say(greeting("mysql_native_password"))
    line.hear()
    line.say(packet(2, OK[4:]))
    while b"\x03SET " in line.hear():
        line.say(OK)


OK = packet(1, b"\0\0\0\x02\0\0\0")
MORE = packet(1, b"\0\0\0\x0a\0\0\0")
"""That a statement was run; and that another answer follows."""

EOF = b"\xfe\0\0\x02\0"


def column(number: int, name: bytes = b"c") -> bytes:
    """Return the description of a column of text."""
    names = b"\x03def" + b"\0\0\0" + bytes([len(name)]) + name + b"\0"
    return packet(number, names + b"\x0c" + struct.pack("<HIBHB", 45, 1000, 253, 0, 0) + b"\0\0")


def numbered(body: bytes, first: int) -> bytes:
    """Return a packet of each number, from one on, in the order in which they come again."""
    return b"".join(packet((first + number) % 256, body) for number in range(256))


# Before the login


def greet_without_end(line: Line) -> None:
    flood(line, ZEROS, struct.pack("<I", LARGEST))


def greet_in_many_pieces(line: Line) -> None:
    for number in range(256):
        line.say(struct.pack("<I", LARGEST | number << 24))
        for _ in range(16):
            line.say(ZEROS)


def switch_without_end(line: Line) -> None:
    line.say(greeting())
    line.hear()
    for number in range(2, 250, 2):
        line.say(switch(number, "mysql_native_password"))
        line.hear()


def ask_without_end(line: Line) -> None:
    """Say again and again that the login goes on, as sha256 does it."""
    line.say(greeting("mysql_native_password"))
    line.hear()
    flood(line, numbered(b"\x01\x03", 2))


def say_more_than_is_asked(line: Line) -> None:
    line.say(greeting("caching_sha2_password"))
    line.hear()
    flood(line, numbered(b"\x01\x03", 2))


def refuse_at_length(line: Line) -> None:
    line.say(greeting())
    line.hear()
    line.say(packet(2, b"\xff" + struct.pack("<H", 1045) + b"#28000" + b"x" * 60_000))


def answer_the_first_statement_without_end(line: Line) -> None:
    line.say(greeting("mysql_native_password"))
    line.hear()
    line.say(packet(2, OK[4:]))
    line.hear()
    flood(line, ZEROS, struct.pack("<I", LARGEST | 1 << 24))


BEFORE: list[tuple[Talk, type[DatabaseError]]] = [
    (greet_without_end, Untrusted),
    (greet_in_many_pieces, Untrusted),
    (switch_without_end, LoginRefused),
    (ask_without_end, Unreachable),
    (say_more_than_is_asked, Untrusted),
    (refuse_at_length, LoginRefused),
    (answer_the_first_statement_without_end, Untrusted),
]


@FAMILY
@pytest.mark.parametrize(("talk", "problem"), BEFORE, ids=[talk.__name__ for talk, _ in BEFORE])
def test_little_is_read_of_who_has_not_taken_the_login(
    engine: Engine, talk: Talk, problem: type[DatabaseError]
) -> None:
    with posing(talk) as impostor, at_most(4 * MB):
        with pytest.raises(problem) as caught, engine.connect(user(impostor.port), deadline()):
            pass
        assert len(str(caught.value)) < 1000


def test_a_whole_login_is_far_from_the_bounds(mysql: MySQLLaboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BoundedConnection, "_bytes", LOGIN_BYTES // 16)
    monkeypatch.setattr(BoundedConnection, "_packets", LOGIN_PACKETS // 2)
    with mysql.engine.connect(mysql.new_user(), deadline()) as session:
        session.verify(["SELECT 1"])


# After it: without TLS anybody can say that the login is taken


def rows_without_end(line: Line) -> None:
    asked(line)
    line.say(packet(1, b"\x01") + column(2) + packet(3, EOF))
    flood(line, numbered(b"\x64" + b"x" * 100, 4))


def short_rows_without_end(line: Line) -> None:
    asked(line)
    line.say(packet(1, b"\x01") + column(2) + packet(3, EOF))
    flood(line, numbered(b"\x00", 4))


def columns_without_end(line: Line) -> None:
    asked(line)
    line.say(packet(1, b"\xfe" + b"\xff" * 8))
    flood(line, b"".join(column((2 + number) % 256) for number in range(256)))


def answers_without_end(line: Line) -> None:
    asked(line)
    flood(line, b"".join(MORE[:3] + bytes([(1 + number) % 256]) + MORE[4:] for number in range(256)))


def a_row_without_end(line: Line) -> None:
    asked(line)
    line.say(packet(1, b"\x01") + column(2) + packet(3, EOF))
    flood(line, ZEROS, struct.pack("<I", LARGEST | 4 << 24))


def the_functions_files(line: Line) -> None:
    asked(line)
    line.say(packet(1, b"\xfb/etc/passwd"))


AFTER: list[Talk] = [
    rows_without_end,
    short_rows_without_end,
    columns_without_end,
    answers_without_end,
    a_row_without_end,
]

type Use = Callable[[Session], object]

USES: list[Use] = [lambda session: session.proof(), lambda session: session.verify(["SELECT 1"])]


@pytest.mark.parametrize("use", USES, ids=["kept", "dropped"])
@pytest.mark.parametrize("talk", AFTER, ids=[talk.__name__ for talk in AFTER])
def test_little_is_read_of_an_answer(talk: Talk, use: Use) -> None:
    with (
        posing(talk) as impostor,
        at_most(60 * MB),
        MySQL().connect(user(impostor.port), deadline()) as session,
        pytest.raises((StatementFailed, Unreachable)) as caught,
    ):
        use(session)
    assert len(str(caught.value)) < 1000


@FAMILY
def test_no_file_of_the_function_is_sent(engine: Engine) -> None:
    with (
        posing(the_functions_files) as impostor,
        engine.connect(user(impostor.port), deadline()) as session,
        pytest.raises(Unreachable, match="LOAD_LOCAL"),
    ):
        session.proof()
    assert b"root" not in impostor.heard


@FAMILY
def test_who_always_has_something_to_say_is_left_in_time(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were there no bound of bytes, time would end it."""
    monkeypatch.setattr(BoundedConnection, "_bytes", 1 << 40)
    monkeypatch.setattr(BoundedConnection, "_packets", 1 << 40)
    monkeypatch.setattr(BoundedConnection, "limit_size", lambda *_: None)
    with (
        posing(short_rows_without_end) as impostor,
        engine.connect(user(impostor.port), deadline(2.5)) as session,
        pytest.raises(Unreachable, match="timed out"),
    ):
        session.verify(["SELECT 1"])


# What nobody understands


def say(*packets: bytes) -> Talk:
    """Say these after the login, to whatever is asked."""

    def talk(line: Line) -> None:
        asked(line)
        line.say(b"".join(packets))

    return talk


ODD = [
    packet(1, b""),
    packet(1, b"\x01"),
    packet(1, b"\x01") + packet(2, b"\x03de"),
    packet(1, b"\x01") + column(2) + packet(3, EOF) + packet(4, b"\xfd"),
    packet(1, b"\xff"),
    packet(1, b"\xff\x15"),
    packet(1, b"\x01") + column(2) + packet(3, EOF) + packet(4, b"\x02\xff\xfe") + packet(5, EOF),
    packet(7, b"\0\0\0\x02\0\0\0"),
    packet(1, b"\xfd\xff\xff\xff"),
]


@FAMILY
@pytest.mark.parametrize("said", ODD, ids=range(len(ODD)))
def test_an_answer_that_nobody_understands_is_no_defect_of_ours(engine: Engine, said: bytes) -> None:
    with (
        posing(say(said)) as impostor,
        engine.connect(user(impostor.port), deadline(3.0)) as session,
        pytest.raises(RotationError),
    ):
        session.verify(["SELECT 1"])


@FAMILY
@pytest.mark.parametrize("length", range(0, 60, 3))
def test_half_a_greeting_is_no_server(engine: Engine, length: int) -> None:
    whole = greeting()[4:]

    def talk(line: Line) -> None:
        line.say(packet(0, whole[:length]))
        line.hear()

    with (
        posing(talk) as impostor,
        pytest.raises((Unreachable, Untrusted)),
        engine.connect(user(impostor.port, tls=True), deadline(3.0)),
    ):
        pass


def test_the_rights_in_the_longest_answer_fit_into_the_function() -> None:
    names = (f"`{''.join(letters)}`" for letters in itertools.product(string.printable[:62], repeat=3))
    columns = ", ".join(itertools.islice(names, MOST_RIGHTS))
    with at_most(100 * MB):
        rights = parse([f"GRANT SELECT ({columns}) ON `s`.`t` TO `a`@`%`"])
    assert len(rights) == MOST_RIGHTS


def test_more_rights_than_fit_into_the_function_are_not_kept() -> None:
    names = (f"`{''.join(letters)}`" for letters in itertools.product(string.printable[:62], repeat=3))
    with at_most(110 * MB), pytest.raises(TooManyRights):
        parse([f"GRANT SELECT ({', '.join(names)}) ON `s`.`t` TO `a`@`%`"])


# Real servers

ROWS = "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 900) SELECT REPEAT('x', {}) FROM n"


class Family:
    """What the two promise together; a subclass says where."""

    @pytest.fixture
    def connected(self, laboratory: MySQLLaboratory) -> Callable[[], AbstractContextManager[Session]]:
        someone = laboratory.new_user()
        return lambda: laboratory.engine.connect(someone, deadline())

    def test_a_statement_of_verify_can_answer_at_length(
        self, connected: Callable[[], AbstractContextManager[Session]]
    ) -> None:
        with at_most(20 * MB), connected() as session:
            session.verify([ROWS.format(10_000), "SELECT 1"])

    def test_a_statement_of_verify_that_answers_without_end_learns_how_much_is_read(
        self, connected: Callable[[], AbstractContextManager[Session]]
    ) -> None:
        with (
            at_most(40 * MB),
            connected() as session,
            pytest.raises(StatementFailed, match=r"statement 2 of verify.*16 MB"),
        ):
            session.verify(["SELECT 1", ROWS.format(100_000)])

    def test_the_rights_of_an_account_that_has_too_many_are_not_read(
        self, laboratory: MySQLLaboratory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Anybody who may grant rights on tables of its own could give another user so many of them."""
        someone, database = laboratory.new_user(), f"wide_{secrets.token_hex(4)}"
        names = [f"`{'c' * 55}{number:05}`" for number in range(70)]
        with laboratory.session() as run:
            run(f"CREATE DATABASE {database}")
            for number in range(10):
                table = f"{database}.t{number}"
                run(f"CREATE TABLE {table} ({', '.join(f'{name} int' for name in names)})")
                run(f"GRANT {', '.join(f'SELECT ({name})' for name in names)} ON {table} TO {account(someone)}")
        limit_size = BoundedConnection.limit_size
        monkeypatch.setattr(BoundedConnection, "limit_size", lambda connection: limit_size(connection, 32 * 1024))
        with (
            laboratory.engine.connect(laboratory.admin, deadline()) as session,
            pytest.raises(StatementFailed, match=rf"reading the grants of {someone.username}@%.*3 MB"),
        ):
            session.mirror(someone.username, f"{someone.username}_clone")
        alter(laboratory, f"DROP DATABASE {database}")


@pytest.mark.engine("mysql")
class TestMySQL(Family):
    """MySQL keeps them."""


@pytest.mark.engine("mariadb")
class TestMariaDB(Family):
    """MariaDB keeps them."""


def test_the_bounds_are_what_the_page_says() -> None:
    assert (LOGIN_BYTES, ANSWER_BYTES, ANSWER_PACKETS) == (64 * 1024, 3 * MB, 50_000)
