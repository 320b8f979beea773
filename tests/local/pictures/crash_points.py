"""What became of rotations that were disturbed at a message? A map: a row for each way to rotate, a column a message.

The cells are those of `tests.faults.table`: of the last run of `make faults`, or of `make test`'s sample of it. The
picture says how many there are.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tests.faults.matrix import CASES, Rotation
from tests.faults.table import HEALED, Cell
from tests.local.pictures.look import WIDTH, box, drawing, text

_LEFT, _RIGHT, _ROW, _TOP, _BETWEEN = 250, 14, 18, 104, 4
_BAR = 12
_WAYS = len(CASES) // len(Rotation)
"""A message can be disturbed in three ways, and the rotation healed in two."""
_PARTIES = {"AWS": "Secrets Manager", "database": "database"}

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
    yield box(12, 54, 4, _BAR, "f-green")
    yield text(22, 64, f"tried in all {_WAYS} ways, recovered")
    yield box(210, 54 + _BAR - _BAR / _WAYS, 4, _BAR / _WAYS, "f-green")
    yield text(220, 64, "tried in one way, recovered")
    yield box(378, 54, 4, _BAR, "f-red")
    yield text(388, 64, "did not recover")
    yield text(484, 64, "nothing: not tried in that run", "quiet")


def _columns(paper: _Paper) -> Iterator[str]:
    for (party, connection), left in paper.begins.items():
        if connection == 1:
            yield text(left, _TOP - 20, f"{_PARTIES.get(party, party)}, connection", "quiet")
        yield text(left, _TOP - 6, str(connection), "quiet")


def _row(row: tuple[str, str, str], cells: Sequence[Cell], top: float, paper: _Paper) -> Iterator[str]:
    yield text(12, top + 11, ", ".join(row).replace(" (admin)", ""))
    for left in sorted({paper.at(cell) for cell in cells}):
        own = [cell for cell in cells if paper.at(cell) == left]
        color = "f-green" if all(cell.outcome == HEALED for cell in own) else "f-red"
        height = _BAR * len(own) / _WAYS
        yield box(left, top + _BAR - height, max(1.5, paper.step - 1), height, color)


def _place(cell: Cell) -> tuple[Line, int]:
    """Return the connection of a cell's message, and its number there, from a text like `database 2.13`."""
    party, place, *_ = cell.place.split()
    connection, number = map(int, place.split("."))
    return (party, connection), number
