"""Does everything fit into the time left?"""

import gc
import subprocess
import sys
import threading
from contextvars import ContextVar, copy_context
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread, current_thread, get_ident
from weakref import finalize

import pytest

import rotation
from rotation import deadline
from rotation.deadline import RESERVED_SECONDS, SHORTEST_ATTEMPT_SECONDS, Deadline, within
from rotation.errors import OutOfTime
from tests.unit.scenario import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Time that passes only if something waits for it."""
    clock = Clock(left=10 + RESERVED_SECONDS)
    monkeypatch.setattr(deadline, "time", clock)
    return clock


def test_time_is_kept_back_to_report_what_went_wrong(clock: Clock) -> None:
    assert Deadline(clock.seconds_left).left() == 10


@pytest.mark.parametrize(("wanted", "allowed"), [(3, 3), (10, 10), (30, 10)])
def test_an_operation_gets_the_time_it_wants_as_far_as_there_is_time(
    clock: Clock, wanted: float, allowed: float
) -> None:
    assert Deadline(clock.seconds_left).allow(wanted, "connecting") == allowed


@pytest.mark.parametrize("left", [RESERVED_SECONDS + SHORTEST_ATTEMPT_SECONDS / 2, RESERVED_SECONDS, 1.0, 0.0, -5.0])
def test_without_time_nothing_starts_and_the_error_names_the_operation(clock: Clock, left: float) -> None:
    clock.left = left
    with pytest.raises(OutOfTime, match="connecting: the function's timeout is too near"):
        Deadline(clock.seconds_left).allow(1, "connecting")
    with pytest.raises(OutOfTime, match="waiting"):
        Deadline(clock.seconds_left).pause(1, "waiting")
    assert clock.waits == []


def test_a_pause_ends_when_the_time_is_up(clock: Clock) -> None:
    waiting = Deadline(clock.seconds_left)
    waiting.pause(4, "waiting")
    waiting.pause(60, "waiting")
    assert clock.waits == [4, 6]
    assert clock.left == RESERVED_SECONDS


def test_the_time_left_is_shared_among_the_attempts(clock: Clock) -> None:
    assert Deadline(clock.seconds_left).share(30, 4, "connecting") == 2.5
    assert Deadline(clock.seconds_left).share(2, 4, "connecting") == 0.5
    clock.left = RESERVED_SECONDS
    with pytest.raises(OutOfTime):
        Deadline(clock.seconds_left).share(30, 4, "connecting")


@pytest.mark.parametrize(
    ("pause", "outlasted"),
    [(1, True), (10 - SHORTEST_ATTEMPT_SECONDS, True), (10 - SHORTEST_ATTEMPT_SECONDS / 2, False), (60, False)],
)
def test_a_pause_after_which_nothing_can_start_is_known_beforehand(clock: Clock, pause: float, outlasted: bool) -> None:
    assert Deadline(clock.seconds_left).outlasts(pause) is outlasted


def test_work_that_does_not_end_is_left_at_its_time_limit() -> None:
    forever = Event()
    try:
        with pytest.raises(TimeoutError):
            within(0.01, forever.wait)
    finally:
        forever.set()


def test_work_that_ends_in_time_passes_on_its_result_or_error() -> None:
    def fail() -> None:
        raise KeyError("place")

    assert within(10, lambda: "done") == "done"
    with pytest.raises(KeyError, match="place"):
        within(10, fail)


def test_a_result_that_comes_too_late_is_discarded() -> None:
    go_on, discarded = Event(), SimpleQueue[str]()

    def late() -> str:
        go_on.wait()
        return "late"

    with pytest.raises(TimeoutError):
        within(0.01, late, discarded.put)
    go_on.set()
    assert discarded.get(timeout=10) == "late"


def test_a_late_result_that_cannot_be_discarded_writes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread's own words go to the log, and pass no redactor."""
    written, late = list[object](), SimpleQueue[Thread]()
    monkeypatch.setattr(threading, "excepthook", written.append)
    go_on = Event()

    def discard(_: object) -> None:
        late.put(current_thread())
        raise OSError("as the server quotes it: password")

    with pytest.raises(TimeoutError):
        within(0.01, go_on.wait, discard)
    go_on.set()
    late.get(timeout=10).join(10)
    assert written == []


def test_a_timeout_error_of_the_work_itself_is_passed_on() -> None:
    def fail() -> None:
        raise TimeoutError("of its own")

    with pytest.raises(TimeoutError, match="of its own"):
        within(10, fail)


def test_a_thread_that_is_done_serves_again_and_one_that_was_left_never_does() -> None:
    first = within(10, get_ident)
    assert [within(10, get_ident) for _ in range(3)] == [first] * 3
    go_on, ended = Event(), SimpleQueue[int]()

    def late() -> int:
        go_on.wait()
        return get_ident()

    with pytest.raises(TimeoutError):
        within(0.01, late, ended.put)
    others = {within(10, get_ident) for _ in range(3)}
    go_on.set()
    left = ended.get(timeout=10)
    assert left == first
    assert len(others) == 1
    assert left not in others | {within(10, get_ident) for _ in range(3)}


def test_work_within_work_has_a_thread_of_its_own() -> None:
    outer, inner = within(10, lambda: (get_ident(), within(10, get_ident)))
    assert len({outer, inner, get_ident()}) == 3


def test_a_thread_that_raised_serves_again() -> None:
    first = within(10, get_ident)
    with pytest.raises(ZeroDivisionError):
        within(10, lambda: 1 / 0)
    assert within(10, get_ident) == first


def test_each_work_sees_the_context_of_who_waits_for_it_and_changes_none() -> None:
    place = ContextVar("place", default="nowhere")

    def look_and_move() -> str:
        seen = place.get()
        place.set("moved")
        return seen

    assert within(10, look_and_move) == "nowhere"
    token = place.set("here")
    assert within(10, look_and_move) == "here"
    assert place.get() == "here"
    place.reset(token)
    assert within(10, look_and_move) == "nowhere"


def test_a_thread_without_work_keeps_nothing_of_what_it_did() -> None:
    class Secret:
        def read(self) -> "Secret":
            return self

    forgotten, known = SimpleQueue[str](), ContextVar[Secret]("known")

    def work() -> None:
        secret, redacted = Secret(), Secret()
        finalize(secret, forgotten.put, "what it returned")
        finalize(redacted, forgotten.put, "its context")
        context = copy_context()
        context.run(known.set, redacted)
        context.run(within, 10, secret.read)

    work()
    assert {forgotten.get(timeout=10), forgotten.get(timeout=10)} == {"what it returned", "its context"}


@pytest.mark.parametrize("is_late", [False, True], ids=["in time", "too late"])
def test_an_error_takes_along_what_its_work_knew(is_late: bool) -> None:
    """Not only when Python next looks for cycles: a function can be frozen for hours before that."""
    forgotten, go_on = SimpleQueue[str](), Event()

    class Secret:
        pass

    def fail() -> None:
        secret = Secret()
        finalize(secret, forgotten.put, "the secret")
        go_on.wait(10)
        raise KeyError("place")

    def work() -> None:
        if not is_late:
            go_on.set()
        with pytest.raises(TimeoutError if is_late else KeyError) as caught:
            within(0.01 if is_late else 10, fail)
        del caught
        go_on.set()

    gc.disable()
    try:
        work()
        assert forgotten.get(timeout=2) == "the secret"
    finally:
        gc.enable()


def test_a_process_that_exits_does_not_wait_for_work_that_was_left() -> None:
    script = """
import sys, threading
sys.path.insert(0, sys.argv[1])
from rotation.deadline import within
try:
    within(0.01, threading.Event().wait)
except TimeoutError:
    print("given up")
"""
    layer = str(Path(rotation.__file__).parents[1])
    done = subprocess.run([sys.executable, "-c", script, layer], capture_output=True, text=True, timeout=60, check=True)  # noqa: S603 - ourselves
    assert done.stdout == "given up\n"
