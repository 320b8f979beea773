"""What became of rotations that were disturbed at a message? A map: a row for each way to rotate, a column a message.

The cells are those of `tests.faults.table`: of the last run of `make faults`, or of `make test`'s sample of it. The
picture says how many there are.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tests.faults.matrix import CASES, Rotation
from tests.faults.table import HEALED, Cell
from tests.local.pictures.look import WIDTH, box, drawing, text

_LEFT, _RIGHT, _ROW, _TOP, _BETWEEN = 274, 14, 18, 104, 4
_BAR = 12
_WAYS = len(CASES) // len(Rotation)
"""A message can be disturbed in three ways, and the rotation healed in two."""
_PARTIES = {"AWS": "AWS", "database": "database, connection"}

type Line = tuple[str, int]
"""A party, and the number of a connection to it."""


@dataclass(frozen=True)
class _Paper:
    """Where a message is on the paper: each connection has a part of the width, as wide as it has messages."""

    begins: Mapping[Line, float]
    step: float

    @classmethod
    def of(cls, cells: Sequence[Cell]) -> "_Paper":
        """Divide the width."""
        messages: dict[Line, int] = {}
        for cell in cells:
            line, number = _place(cell)
            messages[line] = max(messages.get(line, 0), number)
        free = WIDTH - _LEFT - _RIGHT - _BETWEEN * len(messages)
        step, left, begins = free / sum(messages.values()), float(_LEFT), {}
        for line in sorted(messages):
            begins[line] = left
            left += messages[line] * step + _BETWEEN
        return cls(begins, step)

    def at(self, cell: Cell) -> float:
        """Return the distance from the left."""
        line, number = _place(cell)
        return self.begins[line] + (number - 1) * self.step


def picture(cells: Sequence[Cell], day: str) -> str:
    """Return an SVG of these cells, which a run of that day had."""
    paper, rows = _Paper.of(cells), sorted({cell.row for cell in cells})
    recovered = sum(cell.outcome == HEALED for cell in cells)
    title = "Killed, or cut off, at a message: does the rotation recover?"
    said = f"{recovered:,} of {len(cells):,} disturbed rotations did, in a run of {day}."
    drawn = [
        one
        for number, row in enumerate(rows)
        for one in _row(row, [cell for cell in cells if cell.row == row], _TOP + number * _ROW, paper)
    ]
    head = [text(12, 24, title, more='font-size="14"'), text(12, 44, said), *_legend(), *_columns(paper)]
    return drawing(WIDTH, _TOP + len(rows) * _ROW + 10, f"{title} {said}", [*head, *drawn], size=11)


def _legend() -> Iterator[str]:
    yield box(12, 54, 6, _BAR, "f-green", _heat(_WAYS))
    yield text(24, 64, f"tried in all {_WAYS} ways, recovered")
    yield box(212, 54, 6, _BAR, "f-green", _heat(1))
    yield text(224, 64, "in one way, recovered")
    yield box(352, 54, 6, _BAR, "f-red")
    yield text(364, 64, "did not recover")
    yield text(468, 64, "empty: not tried in this run", "quiet")


def _heat(ways: int) -> str:
    """The more ways were tried, the fuller is the colour."""
    return f'fill-opacity="{0.3 + 0.7 * ways / _WAYS:.2f}"'


def _columns(paper: _Paper) -> Iterator[str]:
    for (party, connection), left in paper.begins.items():
        if connection == 1:
            yield text(left, _TOP - 20, _PARTIES[party], "quiet")
        if party == "database":
            yield text(left, _TOP - 6, f"{connection}.", "quiet")


def _row(row: tuple[str, str, str], cells: Sequence[Cell], top: float, paper: _Paper) -> Iterator[str]:
    yield text(12, top + 11, ", ".join(row))
    for left in sorted({paper.at(cell) for cell in cells}):
        own = [cell for cell in cells if paper.at(cell) == left]
        is_good = all(cell.outcome == HEALED for cell in own)
        yield box(left, top, max(1.5, paper.step - 1), _BAR, *(("f-green", _heat(len(own))) if is_good else ("f-red",)))


def _place(cell: Cell) -> tuple[Line, int]:
    """Return the connection of a cell's message, and its number there, from a text like `database 2.13`.

    Each call of AWS has a connection of its own: these are shown as if they were messages of one.
    """
    party, place, *_ = cell.place.split()
    connection, number = map(int, place.split("."))
    return ((party, 1), connection + number - 1) if party == "AWS" else ((party, connection), number)
