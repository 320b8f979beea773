"""How does the dashboard look? An SVG of its widgets where CloudWatch would put them: lines, and tables.

A line that has no data has a dash after its name.
"""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tests.local.dashboard import insights, metrics
from tests.local.dashboard.month import Entry
from tests.local.pictures.look import drawing, text

CELL, ROW = 30, 34
"""Pixels of one of the 24 columns of a dashboard, and of one of its rows: as narrow as a page of text is."""
LETTER = 6
"""About the width of a letter, in pixels."""
COLORS = ("blue", "violet", "red", "orange", "green", "quiet")


def draw(body: Mapping[str, Any], log_group: str, entries: Sequence[Entry], begin: datetime, end: datetime) -> str:
    """Return the SVG of a dashboard for a time."""
    height = max(widget["y"] + widget["height"] for widget in body["widgets"]) * ROW
    drawn = [
        f'<svg x="{widget["x"] * CELL}" y="{widget["y"] * ROW}" width="{widget["width"] * CELL}" '
        f'height="{widget["height"] * ROW}"><rect class="f-ground s-edge" width="100%" height="100%"/>'
        f"{''.join(_widget(widget, log_group, entries, begin, end))}</svg>"
        for widget in body["widgets"]
    ]
    return drawing(24 * CELL, height, "What the dashboard shows", drawn, size=11)


def _widget(
    widget: Mapping[str, Any], log_group: str, entries: Sequence[Entry], begin: datetime, end: datetime
) -> Iterator[str]:
    properties = widget["properties"]
    if widget["type"] == "text":
        heading, _, said = properties["markdown"].partition("\n")
        yield _text(8, 22, heading.removeprefix("## "), size=16)
        for number, one in enumerate(textwrap.wrap(said, widget["width"] * CELL // LETTER)):
            yield _text(8, 42 + number * 14, one)
        return
    yield _title(properties["title"], widget["width"] * CELL - 16)
    if widget["type"] == "metric":
        shown = metrics.graph(properties, entries, begin, end)
        yield from _lines(shown, widget["width"] * CELL, widget["height"] * ROW, begin, end)
    else:
        yield from _table(insights.table(properties["query"], log_group, entries, begin, end), widget["width"] * CELL)


def _lines(shown: Sequence[metrics.Series], width: int, height: int, begin: datetime, end: datetime) -> Iterator[str]:
    top = max((value for series in shown for value in series.points.values()), default=0) or 1
    left, right, high, low = 40, width - 16, 34, height - 34
    seconds = (end - begin).total_seconds()
    yield _text(4, high + 4, f"{top:g}")
    yield _text(4, low + 4, "0")
    yield _text(left, low + 14, f"{begin:%d %b}")
    yield _text(right - 40, low + 14, f"{end:%d %b}")
    beside = 8.0
    for number, series in enumerate(shown):
        color = COLORS[number % len(COLORS)]
        points = [
            (max(left, left + (at - begin.timestamp()) / seconds * (right - left)), low - value / top * (low - high))
            for at, value in series.points.items()
        ]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        yield f'<polyline class="s-{color}" points="{path}" fill="none" stroke-width="2"/>'
        yield from (f'<circle class="f-{color}" cx="{x:.1f}" cy="{y:.1f}" r="2"/>' for x, y in points)
        yield _text(beside, height - 6, label := series.label + ("" if points else " -"), color=color)
        beside += (len(label) + 1) * LETTER + 4


def _table(rows: Sequence[insights.Row], width: int) -> Iterator[str]:
    if not rows:
        yield _text(8, 40, "No data found")
    columns = list(rows[0]) if rows else []
    column = (width - 16) / max(1, len(columns))
    for place, name in enumerate(columns):
        yield _text(8 + place * column, 40, name, color="quiet")
    for number, row in enumerate(rows):
        for place, name in enumerate(columns):
            yield _text(8 + place * column, 60 + number * 18, _cut(_shown(row[name]), column - 4))


def _title(said: str, width: int) -> str:
    """A title that is too long is printed closer."""
    if len(said) <= width // 7:
        return _text(8, 18, said, size=13)
    return text(8, 18, said, more=f'font-size="12" textLength="{width}" lengthAdjust="spacingAndGlyphs"')


def _cut(said: str, width: float) -> str:
    most = int(width / LETTER)
    return said if len(said) <= most else said[: most - 1] + "…"


def _shown(value: object) -> str:
    match value:
        case None:
            return ""
        case datetime():
            return f"{value.astimezone(UTC):%Y-%m-%d %H:%M}"
        case float():
            return f"{value:.1f}"
        case _:
            return str(value).rpartition(":secret:")[2] if ":secret:" in str(value)[:80] else str(value)


def _text(x: float, y: float, said: str, size: int = 11, color: str = "ink") -> str:
    return text(x, y, said, color, f'font-size="{size}"')
