"""What does the stand-in for Db2 give back for a statement?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.local.stand_ins.db2.wire import Column, Value


@dataclass(frozen=True)
class Answer:
    """What a statement returned."""

    columns: Sequence[Column] = ()
    rows: Sequence[Sequence[Value]] = ()
    outputs: Sequence[Value] | None = None


@dataclass(frozen=True)
class Prepared:
    """A statement that was parsed."""

    columns: Sequence[Column] | None
    parameters: Sequence[Column]
    run: Callable[[Sequence[Value]], Answer]
