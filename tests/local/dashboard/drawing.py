"""How does the dashboard look? An SVG of its widgets where CloudWatch would put them: lines, and tables."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

from tests.local.dashboard import insights, metrics
from tests.local.dashboard.month import Entry

CELL, ROW = 60, 34
"""Pixels of one of the 24 columns of a dashboard, and of one of its rows."""
COLORS = ("#1f77b4", "#9467bd", "#d62728", "#ff7f0e", "#2ca02c", "#8c564b")


def draw(body: Mapping[str, Any], log_group: str, entries: Sequence[Entry], begin: datetime, end: datetime) -> str:
    """Return the SVG of a dashboard for a time."""
    height = max(widget["y"] + widget["height"] for widget in body["widgets"]) * ROW
    drawn = "\n".join(
        f'<svg x="{widget["x"] * CELL}" y="{widget["y"] * ROW}" width="{widget["width"] * CELL}" '
        f'height="{widget["height"] * ROW}"><rect width="100%" height="100%" fill="#fff" stroke="#bbb"/>'
        f"{''.join(_widget(widget, log_group, entries, begin, end))}</svg>"
        for widget in body["widgets"]
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{24 * CELL}" height="{height}" '
        f'font-family="sans-serif" font-size="11">\n{drawn}\n</svg>\n'
    )


def _widget(
    widget: Mapping[str, Any], log_group: str, entries: Sequence[Entry], begin: datetime, end: datetime
) -> Iterator[str]:
    properties = widget["properties"]
    if widget["type"] == "text":
        heading, _, text = properties["markdown"].partition("\n")
        yield _text(8, 22, heading.removeprefix("## "), size=16)
        yield _text(8, 46, text)
        return
    yield _text(8, 18, properties["title"], size=13)
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
    for number, series in enumerate(shown):
        color = COLORS[number % len(COLORS)]
        points = [
            (max(left, left + (at - begin.timestamp()) / seconds * (right - left)), low - value / top * (low - high))
            for at, value in series.points.items()
        ]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        yield f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>'
        yield from (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2" fill="{color}"/>' for x, y in points)
        yield _text(left + number * 90, height - 6, series.label + ("" if points else " (no data)"), color=color)


def _table(rows: Sequence[insights.Row], width: int) -> Iterator[str]:
    if not rows:
        yield _text(8, 40, "No data found")
    columns = list(rows[0]) if rows else []
    column = (width - 16) / max(1, len(columns))
    for place, name in enumerate(columns):
        yield _text(8 + place * column, 40, name, color="#555")
    for number, row in enumerate(rows):
        for place, name in enumerate(columns):
            text = _shown(row[name])
            most = int(column / 6)
            yield _text(8 + place * column, 60 + number * 18, text if len(text) <= most else text[: most - 1] + "…")


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


def _text(x: float, y: float, text: str, size: int = 11, color: str = "#222") -> str:
    return f'<text x="{x:.0f}" y="{y}" font-size="{size}" fill="{color}">{escape(text)}</text>'
