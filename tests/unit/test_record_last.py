"""When does the record say that a rotation has ended?"""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from rotation.errors import RightsDiffer, StatementFailed
from rotation.mirroring import record_end
from rotation.record import PairRecord
from rotation.steps import Step
from tests.unit.scenario import ALTERNATING, Scenario


def test_not_before_the_password_is_set_for_until_then_nothing_need_be_committed() -> None:
    scenario = Scenario(ALTERNATING)
    scenario.begin()
    scenario.run(Step.CREATE)

    def refuse(call: str) -> None:
        if call.startswith("ALTER USER"):
            raise StatementFailed("setting a password", "the server is read-only", "Wait")

    scenario.database.before = refuse
    with pytest.raises(StatementFailed):
        scenario.run(Step.SET)
    assert scenario.secret.record().begun is not None


@dataclass
class Answers:
    """What a secret answers about its pair, one answer after the other; implements `rotation.logins.KeepsRecord`."""

    records: Iterator[PairRecord]
    written: PairRecord | None = None

    def record(self) -> PairRecord:
        """Return the next answer."""
        return next(self.records)

    def read_record(self) -> PairRecord:
        """Return the next answer."""
        return next(self.records)

    def write_record(self, record: PairRecord) -> None:
        """Remember what was written."""
        self.written = record


OLD, NEW, NOTHING = PairRecord(frozenset({"OLD"})), PairRecord(frozenset({"ONE", "OTHER"})), PairRecord()
BOTH, BEFORE_FOUND = PairRecord(OLD.equal | NEW.equal), PairRecord(frozenset({"ONE"}))


@pytest.mark.parametrize(
    ("answers", "had_more"),
    [
        ((NEW,), False),
        ((NOTHING, NOTHING), False),
        ((BEFORE_FOUND, BEFORE_FOUND), False),  # by the version of the product that recorded no more
        ((OLD, OLD), True),
        ((BOTH, BOTH), True),  # one that was cut off while it recorded
        ((NEW, NEW), False),
        ((OLD, NEW), True),  # another delivery of the step has just recorded the same, and can have been cut off then
        ((NOTHING, OLD), True),
    ],
)
def test_what_an_answer_that_is_too_old_could_still_show_is_compared_first(
    answers: tuple[PairRecord, ...], had_more: bool
) -> None:
    pair, compared = Answers(iter(answers)), list[str]()
    record_end(pair, NEW, lambda: compared.append("before it was recorded" if pair.written is None else "too late"))
    assert compared == (["before it was recorded"] if had_more else [])
    assert pair.written == NEW


def test_two_sessions_that_differ_leave_no_older_state_in_the_record_and_are_compared_again() -> None:
    """An older state of the other user would let the next rotation undo what somebody did to it meanwhile."""

    def differ() -> None:
        raise RightsDiffer("comparing", "they differ", "Change one of them")

    first = Answers(iter((OLD, OLD)))
    with pytest.raises(RightsDiffer):
        record_end(first, NEW, differ)
    assert first.written
    assert first.written.begun is None
    assert first.written.equal > NEW.equal
    assert not first.written.equal & OLD.equal
    with pytest.raises(RightsDiffer):
        record_end(Answers(iter((first.written, first.written))), NEW, differ)
