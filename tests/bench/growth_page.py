"""What does docs/growth.md say of the curves, and what does its picture show?"""

import math
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from itertools import groupby

from tests.bench.figures import shown
from tests.bench.growth import Cost, Point
from tests.bench.report import Sheet

HEAD = """# How a rotation grows

For those whose users have very many rights, or whose servers have very many users. `make bench BENCH_ARGS=--growth` has
written this page: {machine}. PostgreSQL, MySQL and MariaDB are real servers on the same machine. Of stand-ins for the
others, the messages are counted.

What is measured is setSecret of alternating users, without the calls of Secrets Manager: all logins, and all that the
admin asks and changes. *First* is the rotation that creates the clone. *Later* is one after which nothing has changed.
*Changed* is one after one grant more. A message is what the function says until the server answers, be it a part of a
login. *Processor* is the time of our own process, *clock* is that of a machine that did other work too: compare it
within a column, no closer than by half. *At 1 ms* adds a network that takes a millisecond for each message.

![At 1 ms a message](pictures/growth.svg)

## What grows with what

- **PostgreSQL** has as many messages, and takes as much of our time, whatever there is: the clone acts as its original.
  The server itself looks through its catalog for what the original holds, and makes a hash of it.
- **MySQL and MariaDB** have one GRANT for each table, database or routine, with all its rights; their grammar has none
  for several. The columns of one table are one GRANT too. So the first rotation has one message for each *object*, a
  later one has one for each object that has *changed*. What is read and compared grows with the number of rights.
- **Oracle, SQL Server and Db2**, as far as their stand-ins show it, are like MySQL: one message for each object.
- **Other users of the server** cost nothing that can be told from chance.

## If it does not fit into the timeout

A step that runs out of time ends with `OutOfTime`. What it has granted stays: each GRANT of MySQL and MariaDB is
committed at once, and a new clone is locked until it has all. Secrets Manager tries again, and the next try reads what
is there and goes on from it. `tests/contract/test_mysql_growth.py` cuts a first rotation off again and again, by a
clock that each statement moves on: each try grants more than the one before, and the last one completes it. It has
300 grants, and with `--thorough` 20,000.
Once (28 November 2026) the same was done with 20,000 tables and a timeout of 60 s, by a clock that counts processor
time seven times, and a millisecond for each statement. MySQL granted 13,826 in the first try, MariaDB 9,883; both
granted the rest in the second, and were done in the third.

That was with 256 MB, about a seventh of a processor. The template gives four times as much now.

A try that cannot even read the rights of both users in its time never gets further. The timeout is 60 s (`Timeout` in
template.yaml), and 1,024 MB are about 0.58 of a processor. So 1.7 times the processor seconds of a *later* rotation
must fit into it: 20,000 tables need less than a tenth of it, and their first rotation about 40 s, if each message takes
1 ms. If it does not fit, give the function more memory; or grant whole databases, or roles.
"""

_COLOURS = ("#1b6ca8", "#c2571a", "#2e8540")
_WIDTH, _HEIGHT, _LEFT, _TOP = 860, 380, 64, 40
_TITLE = "setSecret of a pair, seconds at 1 ms a message, by tables granted; dashed: a later rotation"
_STYLE = (
    "<style>text{fill:#222}.paper{fill:#fff}.grid{stroke:#ddd}"
    "@media (prefers-color-scheme:dark){text{fill:#ddd}.paper{fill:#161b22}.grid{stroke:#30363d}}</style>"
)


def sheets(points: Sequence[Point]) -> Iterator[Sheet]:
    """Yield a table for each kind of growth."""
    real = [point for point in points if not _is_stand_ins(point)]
    for what in dict.fromkeys(point.what for point in real):
        yield Sheet(_title(what), _NOTES[what], _COLUMNS, [_row(point) for point in real if point.what == what])
    if others := [_row(point)[:5] for point in points if _is_stand_ins(point)]:
        note = "A right on each of so many tables. A stand-in says nothing about time."
        yield Sheet("Messages to the stand-ins", note, _COLUMNS[:5], others)


def _is_stand_ins(point: Point) -> bool:
    return point.server.endswith("-stand-in")


_COLUMNS = (
    "",
    "number",
    *(
        f"{what}, {which}"
        for what in ("messages", "processor s", "at 1 ms s")
        for which in ("first", "later", "changed")
    ),
    "KB, later",
)

_NOTES = {
    "tables": "A right on each of so many tables.",
    "columns": "A right on each of so many columns, 500 of one table.",
    "databases": "A right on each of so many databases.",
    "secrets": "The server has so many other pairs.",
}


def _title(what: str) -> str:
    return {"secrets": "Other pairs on the server"}.get(what, what.capitalize())


def _row(point: Point) -> list[str]:
    costs = _of(point)
    return [
        point.server,
        f"{point.size:,}",
        *(f"{cost.messages:,}" for cost in costs),
        *(f"{cost.processor:.2f}" for cost in costs),
        *(shown(cost.at(1)) for cost in costs),
        f"{point.costs.later.bytes / 1000:,.0f}",
    ]


def _of(point: Point) -> tuple[Cost, Cost, Cost]:
    return point.costs.first, point.costs.later, point.costs.changed


def picture(points: Iterable[Point]) -> str:
    """Return an SVG: seconds at 1 ms a message by grants on tables, both logarithmic; dashed: later rotations."""
    curves = [
        (server, [(point.size, point.costs.first.at(1), point.costs.later.at(1)) for point in group])
        for server, group in groupby(_of_tables(points), lambda one: one.server)
    ]
    largest = max(size for _, found in curves for size, _, _ in found)
    slowest = max(max(first, later) for _, found in curves for _, first, later in found)
    x, y = _Axis(10, largest, _LEFT, _WIDTH - 150), _Axis(0.1, slowest, _HEIGHT - 40, _TOP)
    drawn = [
        part
        for (server, found), colour in zip(curves, _COLOURS, strict=False)
        for part in _drawn(server, found, colour, x, y)
    ]
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" font-family="sans-serif">',
        _STYLE,
        f'<rect class="paper" width="{_WIDTH}" height="{_HEIGHT}"/>',
        f'<text x="8" y="20" font-size="14">{_TITLE}</text>',
        *(
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - 150}" y1="{at:.0f}" y2="{at:.0f}"/>'
            f'<text x="{_LEFT - 8}" y="{at + 4:.0f}" font-size="12" text-anchor="end">{label}</text>'
            for label, at in y.ticks()
        ),
        *(
            f'<text x="{at:.0f}" y="{_HEIGHT - 18}" font-size="12" text-anchor="middle">{label}</text>'
            for label, at in x.ticks()
        ),
        *drawn,
        "</svg>\n",
    ])  # fmt: skip


def _of_tables(points: Iterable[Point]) -> list[Point]:
    return [point for point in points if point.what == "tables" and not _is_stand_ins(point)]


class _Axis:
    """A logarithmic axis."""

    def __init__(self, least: float, most: float, start: float, end: float) -> None:
        self._least = math.floor(math.log10(least))
        self._most = max(self._least + 1, math.log10(most))
        self._start, self._end = start, end

    def at(self, value: float) -> float:
        """Return where a value is."""
        share = (math.log10(max(value, 10**self._least)) - self._least) / (self._most - self._least)
        return self._start + share * (self._end - self._start)

    def ticks(self) -> Iterator[tuple[str, float]]:
        """Yield the powers of ten, and where they are."""
        for power in range(self._least, math.floor(self._most) + 1):
            yield f"{10.0**power:,g}", self.at(10.0**power)


def _drawn(server: str, found: Sequence[tuple[int, float, float]], colour: str, x: _Axis, y: _Axis) -> Iterator[str]:
    for number, dashes in ((1, ""), (2, ' stroke-dasharray="6 5"')):
        line = " ".join(f"{x.at(point[0]):.0f},{y.at(point[number]):.0f}" for point in found)
        yield f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2.5"{dashes}/>'
    size, first, _ = found[-1]
    label = f'x="{x.at(size) + 8:.0f}" y="{y.at(first) + 4:.0f}"'
    yield f'<text {label} font-size="12" style="fill:{colour}">{escape(server)}</text>'
