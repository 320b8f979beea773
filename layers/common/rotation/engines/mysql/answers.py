"""What has the server said of two users that still holds? Their state is read once, and kept here.

While a session has the turn of some users (`rotation.engines.mysql.locks`), no other invocation changes them. From then
on, an answer to a question that is `asked_once` (`rotation.engines.mysql.connection`) is kept until it is forgotten:

    a statement of ours changes something            →  forgotten, before it is sent
    the turn of one more user is taken               →  forgotten: another invocation can have been at work
    the same is asked again (`clone_status`)         →  forgotten: whoever asks again wants to know it anew
    the two are compared twice, with no `mirror`     →  forgotten, too
    the objects of a definer were looked for         →  forgotten, but for these: that can have taken long
    a comparison finds a difference                  →  forgotten: a new look decides what is refused, or changed

Without a turn nothing is kept, but for the length of a look that changes nothing (`kept`). So a rotation that changes a
password only compares the two users once. Any other one compares them before its first change, and after its last one.

An administrator takes no lock, and a lock that was passed over keeps nobody out. What they change after the two were
read counts as done after the rotation, whose record holds what was read: the next rotation finds it
(docs/decisions/one-sided-changes.md). Nobody can compare the two and set a password in one statement, so there always
is such a moment.
"""

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any


class Answers:
    """The answers of one session."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, Any] | None = None

    def keep(self) -> None:
        """From here on, keep each answer until it is forgotten. What was kept before is forgotten."""
        self._kept = {}

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keep the answers in this block, also without a turn: for what is decided at once."""
        before, self._kept = self._kept, {} if self._kept is None else self._kept
        try:
            yield
        finally:
            self._kept = before

    def forget(self) -> None:
        """Forget all that is kept."""
        if self._kept:
            self._kept.clear()

    def once[T](self, question: Hashable, ask: Callable[[], T]) -> T:
        """Return the answer that is kept, else what `ask` returns. Nobody changes what it returns."""
        if self._kept is None:
            return ask()
        if question not in self._kept:
            answer = ask()
            self._kept[question] = answer
        found: T = self._kept[question]
        return found
