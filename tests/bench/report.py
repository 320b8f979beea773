"""What does a person see of a run? Tables in a terminal, the same in docs/bench.md, and a picture of the starts."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from rich.console import Console
from rich.table import Table

_ROW, _LABEL, _WIDTH = 22, 190, 860
_DARK, _LIGHT = "#1f77b4", "#9ecae1"


@dataclass(frozen=True)
class Sheet:
    """A table of a run."""

    title: str
    note: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def show(self, console: Console) -> None:
        """Print it."""
        table = Table(title=self.title, caption=self.note, title_justify="left", caption_justify="left")
        columns, *rows = self._filled()
        for number, column in enumerate(columns):
            table.add_column(column, justify="right" if number else "left")
        for row in rows:
            table.add_row(*row)
        console.print(table)

    def markdown(self) -> str:
        """Return it as a section of a page."""
        columns, *rows = self._filled()
        head = [_line(columns), _line(["---", *["---:"] * (len(columns) - 1)])]
        return "\n".join([f"## {self.title}", "", self.note, "", *head, *map(_line, rows), ""])

    def _filled(self) -> list[list[str]]:
        """Return the columns that say something: their names, and the rows."""
        used = [number for number in range(len(self.columns)) if not number or any(row[number] for row in self.rows)]
        return [[line[number] for number in used] for line in (self.columns, *self.rows)]


@dataclass(frozen=True)
class Bar:
    """A start in the picture, in milliseconds of processor time."""

    label: str
    imported: float
    ready: float


def picture(bars: Sequence[Bar], title: str) -> str:
    """Return an SVG: a bar for each start, with the import and the first call as its parts."""
    widest, height = max(bar.ready for bar in bars), 52 + len(bars) * _ROW
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" font-family="sans-serif">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="8" y="20" font-size="14">{escape(title)}</text>',
        *(line for number, bar in enumerate(bars) for line in _drawn(bar, 40 + number * _ROW, widest)),
        "</svg>\n",
    ])  # fmt: skip


def _drawn(bar: Bar, top: int, widest: float) -> list[str]:
    scale = (_WIDTH - _LABEL - 150) / widest
    first, whole, called = bar.imported * scale, bar.ready * scale, bar.ready - bar.imported
    return [
        f'<text x="8" y="{top + 12}" font-size="12">{escape(bar.label)}</text>',
        f'<rect x="{_LABEL}" y="{top}" width="{whole:.0f}" height="16" fill="{_LIGHT}"/>',
        f'<rect x="{_LABEL}" y="{top}" width="{first:.0f}" height="16" fill="{_DARK}"/>',
        f'<text x="{_LABEL + whole + 6:.0f}" y="{top + 12}" font-size="12">{bar.imported:.0f} + {called:.0f} ms</text>',
    ]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
