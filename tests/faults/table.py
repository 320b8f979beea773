"""What came of the matrix? One table at the end, printed and kept, and all cells in a file."""

import itertools
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Self

import pytest

from tests.faults.matrix import Healing
from tests.faults.wire import Disturbance

HEALED = "healed"

FOLDER = Path(__file__).parents[2] / ".local"
MARKDOWN, EVERYTHING = FOLDER / "faults.md", FOLDER / "faults.json"

PROPERTY = "cell of the matrix"
COLUMNS = [*itertools.product(Disturbance, Healing)]


@dataclass(frozen=True)
class Cell:
    """One message of one rotation, disturbed and healed in one way."""

    server: str
    strategy: str
    through_admin: bool
    rotation: str
    disturbance: str
    healing: str
    place: str
    outcome: str

    @classmethod
    def from_property(cls, value: object) -> Self:
        """Read what `to_property` says."""
        return cls(**json.loads(str(value)))

    def to_property(self) -> tuple[str, str]:
        """Return what the process that runs a test can tell the one that reports."""
        return PROPERTY, json.dumps(asdict(self))

    @property
    def row(self) -> tuple[str, str, str]:
        """Where in the table it is."""
        return self.server, f"{self.strategy}{' (admin)' if self.through_admin else ''}", self.rotation

    @property
    def column(self) -> tuple[str, str]:
        """Where in the row it is."""
        return self.disturbance, self.healing


class Table:
    """A plugin of pytest that collects the cells, and reports them at the end."""

    def __init__(self) -> None:
        self.cells: list[Cell] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Collect: from this process, or from those that run the tests."""
        if report.when == "call":
            self.cells += [Cell.from_property(value) for name, value in report.user_properties if name == PROPERTY]

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the table and write the files."""
        if not self.cells:
            return
        text = "\n".join(lines(self.cells))
        MARKDOWN.write_text(f"{text}\n")
        EVERYTHING.write_text(json.dumps([asdict(cell) for cell in sorted(self.cells, key=astuple)], indent=1))
        terminalreporter.section("every crash point")
        terminalreporter.write_line(text)
        terminalreporter.write_line(f"\nKept in {MARKDOWN}; every cell is in {EVERYTHING}.")


def lines(cells: Sequence[Cell]) -> Iterator[str]:
    """Write the table, and what went wrong, in Markdown."""
    recovered = sum(cell.outcome == HEALED for cell in cells)
    yield f"{len(cells)} cells: {recovered} healed, {len(cells) - recovered} did not."
    yield ""
    yield from _row("server", "strategy", "rotation", "messages", *(f"{one}, {other}" for one, other in COLUMNS))
    yield from _row(*["---"] * (4 + len(COLUMNS)))
    rows: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in sorted(cells, key=astuple):
        rows.setdefault(cell.row, []).append(cell)
    for row, own in rows.items():
        yield from _row(*row, len({cell.place for cell in own}), *_counts(own))
    if recovered < len(cells):
        yield ""
    for cell in cells:
        if cell.outcome != HEALED:
            yield f"- {', '.join((*cell.row, *cell.column, cell.place))}: {cell.outcome}"


def _counts(cells: Sequence[Cell]) -> Iterator[str]:
    tried = Counter(cell.column for cell in cells)
    recovered = Counter(cell.column for cell in cells if cell.outcome == HEALED)
    for column in COLUMNS:
        good, all_of_them = recovered[column], tried[column]
        yield str(good or "") if good == all_of_them else f"**{good} of {all_of_them}**"


def _row(*cells: object) -> Iterator[str]:
    yield f"| {' | '.join(map(str, cells))} |"
