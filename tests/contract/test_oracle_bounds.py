"""What does Oracle's client take from who answers, before it knows who that is?"""

import resource
import threading
from dataclasses import replace

import pytest

from rotation.credential import Credential
from rotation.deadline import within
from rotation.engines.oracle import Oracle
from rotation.engines.oracle import connection as oracle_connection
from rotation.errors import StatementFailed, Unreachable
from tests.contract.impostor import Line, Talk, posing
from tests.contract.oracle_kit import LEAKS
from tests.contract.pairs import Pair, mirror
from tests.laboratories import deadline, new_password
from tests.laboratories.oracle import OracleLaboratory
from tests.local.stand_ins.oracle import server as oracle_server
from tests.local.stand_ins.oracle import wire
from tests.local.stand_ins.oracle.dictionary import Binds
from tests.local.stand_ins.oracle.statements import Result, Session
from tests.local.stand_ins.oracle.wire import Challenge, Writer

pytestmark = pytest.mark.engine("oracle")


CONTROL, RESEND = 14, 11
LONGEST = 0xFFFFFFFF
FEW = 64 * 1024
"""Kilobytes that a function of 256 MB can spare."""


def packet(kind: int, body: bytes, *, is_long: bool = True, length: int | None = None) -> bytes:
    """Return a packet; the length of those before the listener has accepted is short."""
    size = wire.HEADER + len(body) if length is None else length
    return (size.to_bytes(4) if is_long else size.to_bytes(2) + bytes(2)) + bytes([kind, 0, 0, 0]) + body


def accepts(sdu: int = wire.LARGEST) -> bytes:
    body = wire.PROTOCOL_VERSION.to_bytes(2) + bytes(2 + 10 + 1 + 9) + sdu.to_bytes(4)
    return packet(wire.ACCEPT, body, is_long=False)


def data(message: Writer) -> bytes:
    return packet(wire.DATA, bytes(2) + message.data)


def after_accepting(answer: bytes, *, again: bool = True) -> Talk:
    """Accept the connection, and say something for ever."""

    def talk(line: Line) -> None:
        line.hear()
        line.say(accepts())
        line.hear()
        line.say(answer)
        while again:
            line.say(answer)

    return talk


def for_ever(answer: bytes) -> Talk:
    def talk(line: Line) -> None:
        while line.hear():
            line.say(answer)

    return talk


def never_hashed(line: Line) -> None:
    """Ask for as many rounds of hashing as a number takes, in two packets."""
    challenge = bytes(Writer().pairs(replace(Challenge(), rounds=2**31 - 1).pairs()).status().data)
    cut = challenge.index(b"2147483647") + 5
    line.hear()
    line.say(accepts())
    for message in (oracle_server.protocol(), Writer().raw(wire.DATA_TYPES, 0, 0)):
        line.hear()
        line.say(data(message))
    line.hear()
    line.say(packet(wire.DATA, bytes(2) + challenge[:cut]) + packet(wire.DATA, bytes(2) + challenge[cut:]))


TALKS: dict[str, tuple[Talk, str]] = {
    "a large buffer": (for_ever(accepts(LONGEST)), "packets can have 4294967295 bytes"),
    "a long packet": (
        after_accepting(packet(wire.DATA, b"", length=LONGEST), again=False),
        "a packet has 4294967295 bytes",
    ),
    "a short packet": (after_accepting(packet(wire.DATA, b"", length=0), again=False), "a packet has 0 bytes"),
    "a packet without flags": (after_accepting(packet(wire.DATA, b"")), "a packet has no flags"),
    "packets that mean nothing": (after_accepting(packet(CONTROL, bytes(200)) * 300), "one answer has more than"),
    "a text without end": (
        after_accepting(packet(wire.DATA, bytes(2) + bytes([wire.PROTOCOL, 6, 0]) + b"x" * 8000)),
        "the greeting has no end",
    ),
    "few capabilities": (
        after_accepting(data(Writer(oracle_server.protocol().data[:-66]).short(b"xx").short(b"xx")), again=False),
        "the greeting is incomplete",
    ),
    "no greeting": (after_accepting(data(Writer().status()), again=False), "greeting"),
    "no end of asking": (for_ever(packet(RESEND, b"", is_long=False)), "no answer within"),
    "no end of hashing": (never_hashed, "hash that would take too long"),
    "zeros": (for_ever(bytes(65536)), "a packet has 0 bytes"),
}


@LEAKS
@pytest.mark.usefixtures("collected")
@pytest.mark.parametrize("talk", TALKS)
def test_what_answers_without_end_or_measure_is_left(talk: str) -> None:
    threads = set(threading.enumerate()) - {waiting()}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    says, cause = TALKS[talk]
    with posing(says) as impostor:
        with pytest.raises(Unreachable, match=cause), Oracle().connect(plain(impostor.port), deadline(4.0)):
            pass
        threads.add(waiting())
        going_on = [
            thread for thread in set(threading.enumerate()) - threads if thread.daemon
        ]  # the impostor's are none
        for thread in going_on:
            thread.join(5)
        ended = not any(thread.is_alive() for thread in going_on)
        for line in impostor.lines:
            line.close()
    assert ended, "nobody goes on with it"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < FEW


def waiting() -> threading.Thread:
    """Return the thread that waits for work, and gets the next."""
    return within(10, threading.current_thread)


def plain(port: int) -> Credential:
    return Credential(
        engine="oracle",
        host="localhost",
        port=port,
        database="ORCL",
        username="app",
        password=new_password(),
        tls=False,
    )


@LEAKS
@pytest.mark.usefixtures("collected")
@pytest.mark.parametrize("by_tls", [True, False])
def test_what_a_server_answers_is_bounded_later_too(
    oracle: OracleLaboratory, stand_in: oracle_server.Server, monkeypatch: pytest.MonkeyPatch, *, by_tls: bool
) -> None:
    user = oracle.new_user()
    real = Session.execute

    def execute(session: Session, statement: str, binds: Binds) -> Result:
        if "nothing" in statement:
            return Result(["X"], [("x" * 32000,)] * 1000)
        return real(session, statement, binds)

    monkeypatch.setattr(Session, "execute", execute)
    way = user if by_tls else replace(user, port=stand_in.plain_port, tls=False)
    with (
        oracle.engine.connect(way, deadline()) as session,
        pytest.raises(Unreachable, match="one answer has more than"),
    ):
        session.connection.execute("asking", "SELECT nothing FROM dual")
    with oracle.engine.connect(way, deadline()) as session:
        session.verify(["SELECT nothing FROM dual"])


def test_more_rows_than_can_be_mirrored_are_not_kept(
    oracle: OracleLaboratory, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, clone = pair
    monkeypatch.setattr(oracle_connection, "MOST_ROWS", 2)
    monkeypatch.setattr(oracle_connection, "FETCHED_AT_ONCE", 2)  # else all come together
    oracle.alter(*(f"GRANT CREATE {kind} TO {user.username}" for kind in ("TABLE", "VIEW", "ROLE")))
    with pytest.raises(StatementFailed, match=r"more than 2 rows.*roles"):
        mirror(oracle, user, clone)


def test_statements_of_verify_are_run_and_not_kept(oracle: OracleLaboratory, stand_in: oracle_server.Server) -> None:
    user = oracle.new_user()
    place = ("LAB_THINGS", "LAB_ORDERS")
    stand_in.database.rows[place] = [(number,) for number in range(5000)]
    try:
        with oracle.engine.connect(user, deadline()) as session:
            session.verify(["SELECT id FROM lab_orders"])
    finally:
        del stand_in.database.rows[place]
