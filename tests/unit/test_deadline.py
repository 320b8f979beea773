"""Does everything fit the time left?"""

import pytest

from rotation import deadline
from rotation.deadline import RESERVE, Deadline
from rotation.errors import OutOfTime
from tests.unit.world import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Time that passes only where somebody waits for it."""
    clock = Clock(left=10 + RESERVE)
    monkeypatch.setattr(deadline, "time", clock)
    return clock


def test_a_reserve_is_kept_for_telling_what_went_wrong(clock: Clock) -> None:
    assert Deadline(clock.seconds_left).left() == 10


@pytest.mark.parametrize(("wanted", "allowed"), [(3, 3), (10, 10), (30, 10)])
def test_what_is_wanted_is_allowed_as_far_as_there_is_time(clock: Clock, wanted: float, allowed: float) -> None:
    assert Deadline(clock.seconds_left).allow(wanted, "connecting") == allowed


@pytest.mark.parametrize("left", [RESERVE, 1.0, 0.0, -5.0])
def test_without_time_nothing_is_begun_and_the_error_names_what(clock: Clock, left: float) -> None:
    clock.left = left
    with pytest.raises(OutOfTime, match="connecting: the function's timeout is too near"):
        Deadline(clock.seconds_left).allow(1, "connecting")
    with pytest.raises(OutOfTime, match="waiting"):
        Deadline(clock.seconds_left).pause(1, "waiting")
    assert clock.waits == []


def test_a_pause_ends_with_the_time(clock: Clock) -> None:
    waiting = Deadline(clock.seconds_left)
    waiting.pause(4, "waiting")
    waiting.pause(60, "waiting")
    assert clock.waits == [4, 6]
    assert clock.left == RESERVE
