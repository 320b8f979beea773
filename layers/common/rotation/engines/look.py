"""How long does an answer of a server count, so that a rotation asks each question once?

An admin's session serves setSecret in phases: is the other user ours, what can the two not share, in what do they
differ, make them equal, do they still differ? Most of what it reads for one of them, it needs for the next. What the
session has read is a **look**. It ends, and all is read anew:

    with each statement of ours that is not a question   it can change anything, or take a lock
    when the two differ, or one of them is not there     the session is about to write, and reads just before it does
    when `mirror` has to write nevertheless              it is done again from its beginning, and reads by itself
    when a phase comes again, or an earlier one          who asks again wants to know what others have changed
    on Oracle, when the objects of the user were read    that can have taken long: who was locked meanwhile stays so
    on SQL Server, before a password is set              it is set by name, which must still mean that account

So nothing is ever written because of an old answer. A look decides one thing only: that there is nothing to do. What
somebody changes after that is changed after the rotation. The next one finds it, because what is recorded of the two
(`rotation.record`) is what the look saw.
"""

from collections.abc import Callable, Hashable, Sized
from enum import IntEnum
from typing import Any, Final

from rotation.engine import Comparison

MOST_ROWS: Final = 20_000
"""How many rows a look keeps, of all answers. What is more is asked again, so that memory is bounded."""


class Phase(IntEnum):
    """What an admin's session does in a rotation of a pair, in this order; after MIRROR, COMPARE comes again."""

    BEGIN, PROVE, CLONE_STATUS, UNSHARED, COMPARE, MIRROR = range(6)


class _OldAnswers(Exception):
    """The session was about to write, and had decided that by what it read for an earlier phase."""


class Look:
    """What one session has read, and may still believe."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._answers: dict[Hashable, Any] = {}
        self._rows = 0
        self._number = 0
        """Of this look: each has another one."""
        self._phase = Phase.BEGIN
        self._is_old = False
        """Whether this look began before `mirror` did, so that nothing may be written."""

    def once[T: Sized](self, question: Hashable, ask: Callable[[], T]) -> T:
        """Return the answer that this look has already, else what `ask` returns. Nobody changes what it returns."""
        if question in self._answers:
            found: T = self._answers[question]
            return found
        answer = ask()
        if self._rows + len(answer) <= MOST_ROWS:
            self._answers[question] = answer
            self._rows += len(answer)
        return answer

    def end(self) -> None:
        """Forget all answers. Called before each statement that is not a question."""
        if self._is_old:
            raise _OldAnswers
        self._answers.clear()
        self._rows = 0
        self._number += 1

    def begin(self, phase: Phase) -> None:
        """Begin a phase: with a new look, unless it comes after the last one."""
        if phase <= self._phase:
            self.end()
        self._phase = phase

    def compared(self, compare: Callable[[], Comparison]) -> Comparison:
        """Return a comparison; end the look if the two differ: they are going to be changed."""
        self.begin(Phase.COMPARE)
        found = compare()
        if found.differences or found.unlock:
            self.end()
        return found

    def mirrored(self, mirror: Callable[[], None]) -> None:
        """Make the two equal, and let the comparison that follows use the same look if nothing was written.

        If it was, that comparison reads all anew, also what was read after the last write.
        """
        is_compared = self._phase is Phase.COMPARE
        self.begin(Phase.MIRROR)
        if not is_compared:  # one of the two is going to be created
            self.end()
        before = self._number
        self._is_old = bool(self._answers)
        try:
            mirror()
        except _OldAnswers:
            self._is_old = False
            self.end()
            mirror()
        finally:
            self._is_old = False
        if self._number != before:
            self.end()
        self._phase = Phase.UNSHARED
