"""When does a session believe what it has read, and when does it ask again?"""

from collections.abc import Callable

import pytest

from rotation.engine import Comparison, Difference
from rotation.engines.look import MOST_ROWS, Look, Phase

EQUAL = Comparison([], "a", "b")
DIFFERENT = Comparison([Difference("they differ", "", "")], "a", "b")


class Server:
    """Counts what a session asks, and what it writes."""

    def __init__(self) -> None:
        """Begin with a new look."""
        self.look = Look()
        self.asked = self.written = self.mirrored = 0
        self.rows = 1

    def ask(self, question: str = "who is there") -> list[int]:
        """Ask as a driver does."""

        def answer() -> list[int]:
            self.asked += 1
            return [self.asked] * self.rows

        return self.look.once(question, answer)

    def read(self) -> None:
        """Ask, and forget the answer."""
        self.ask()

    def write(self) -> None:
        """Write as a driver does."""
        self.look.end()
        self.written += 1

    def compare(self, found: Comparison = EQUAL) -> Comparison:
        """Compare with one question."""

        def compare() -> Comparison:
            self.ask()
            return found

        return self.look.compared(compare)

    def mirror(self, *writes: Callable[[], None]) -> None:
        """Ask, and then write."""

        def mirror() -> None:
            self.mirrored += 1
            self.ask()
            for write in writes:
                write()

        self.look.mirrored(mirror)


@pytest.fixture
def server() -> Server:
    return Server()


def test_a_question_is_asked_once_until_something_is_written(server: Server) -> None:
    assert server.ask() == server.ask() == [1]
    server.write()
    assert server.ask() == [2]


def test_a_rotation_that_changes_nothing_asks_once(server: Server) -> None:
    for phase in (Phase.PROVE, Phase.CLONE_STATUS, Phase.UNSHARED):
        server.look.begin(phase)
        server.ask()
    server.compare()
    server.mirror()
    server.compare()
    assert server.asked == 1


def test_who_compares_twice_wants_to_know_what_has_changed(server: Server) -> None:
    server.compare()
    server.compare()
    assert server.asked == 2
    server.mirror()
    server.compare()
    server.compare()
    assert server.asked == 3


@pytest.mark.parametrize("phase", [Phase.PROVE, Phase.CLONE_STATUS, Phase.UNSHARED])
def test_an_earlier_step_asks_anew(server: Server, phase: Phase) -> None:
    server.compare()
    server.mirror()
    server.look.begin(phase)
    server.ask()
    assert server.asked == 2


def test_after_a_mirror_that_was_refused_all_is_asked_anew(server: Server) -> None:
    def refuse() -> None:
        raise ZeroDivisionError

    server.compare()
    with pytest.raises(ZeroDivisionError):
        server.mirror(refuse)
    server.compare()
    assert server.asked == 2


@pytest.mark.parametrize("found", [DIFFERENT, Comparison([], "a", "b", unlock="ALTER …")])
def test_if_the_two_differ_the_session_reads_before_it_writes_and_after(server: Server, found: Comparison) -> None:
    server.compare(found)
    server.mirror(server.write, server.read)
    server.compare()
    assert (server.mirrored, server.written, server.asked) == (1, 1, 4)


def test_nothing_is_written_because_of_an_old_answer(server: Server) -> None:
    """Such as the mark of a pair that is equal and has none."""
    server.compare()
    server.mirror(server.write)
    assert (server.mirrored, server.written, server.asked) == (2, 1, 2)


def test_who_is_not_compared_is_going_to_be_created(server: Server) -> None:
    server.look.begin(Phase.UNSHARED)
    server.ask()
    server.mirror(server.write)
    assert (server.mirrored, server.written, server.asked) == (1, 1, 2)


def test_a_look_keeps_so_much_and_no_more(server: Server) -> None:
    server.rows = MOST_ROWS
    server.ask("long")
    server.ask("long")
    server.ask("one row more")
    server.ask("one row more")
    assert server.asked == 3
