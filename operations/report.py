"""How do a preflight, a doctor and a rotation look in a terminal?

No character of theirs is an order to the terminal, or changes the direction of the text: a text can come from a
server, or from a log that others can write.
"""

import json
import os
import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TextIO, cast

from rotation.finding import Outcome

COLOURS = {Outcome.PASS: "32", Outcome.WARN: "33", Outcome.FAIL: "31", Outcome.NOT_LOOKED_AT: "2"}
NARROWEST = 60


class Table(Protocol):
    """Makes the lines of an answer."""

    def __call__(self, answer: Mapping[str, Any], width: int, *, coloured: bool) -> Iterator[str]:
        """Yield them, fit for a terminal of so many columns."""


@dataclass(frozen=True)
class Columns:
    """How wide a table of findings is."""

    item: int
    outcome: int
    width: int
    coloured: bool

    @property
    def indent(self) -> int:
        """Where the third column begins."""
        return self.item + self.outcome + 4


def show(answer: Mapping[str, Any], table: Table, output: TextIO, *, as_json: bool) -> None:
    """Print an answer, as JSON or as a table; in colours only in a terminal, and not if NO_COLOR is set."""
    if as_json:
        print(_escaped(json.dumps(answer, indent=2, ensure_ascii=False)), file=output)
        return
    print(*table(_harmless(answer), _width(), coloured=_is_coloured(output)), sep="\n", file=output)


def show_row(finding: Mapping[str, str], item: int, outcome: int, output: TextIO) -> None:
    """Print one finding at once; the columns of items and outcomes are so wide."""
    columns = Columns(item, outcome, _width(), _is_coloured(output))
    print(*_row(_harmless(finding), columns), sep="\n", file=output, flush=True)


def lines(answer: Mapping[str, Any], width: int, *, coloured: bool) -> Iterator[str]:
    """Yield a table of what was found: item, outcome, and what is so; a remedy in lines of its own."""
    findings: Sequence[Mapping[str, str]] = answer["Findings"]
    item = max((len(one["Item"]) for one in findings), default=0)
    outcome = max((len(one["Outcome"]) for one in findings), default=0)
    for one in findings:
        yield from _row(one, Columns(item, outcome, width, coloured))
    yield f"\n{answer['SecretId']}: {answer['Outcome']}"


def doctors_lines(answer: Mapping[str, Any], width: int, *, coloured: bool) -> Iterator[str]:
    """Yield the versions, what was found, and the repairs in order; a command in a line of its own."""
    for version in answer["Versions"]:
        labels = ", ".join(version["Labels"]) or "no label"
        user = version["User"] or version.get("Problem") or "no value yet"
        yield f"{version['Id']}  {version['Created'] or 'made just now'}  {labels}: {user}, {version['Login']}"
    yield ""
    yield from lines(answer, width, coloured=coloured)
    for number, repair in enumerate(answer["Repairs"], 1):
        done = " (done)" if repair.get("Done") else ""
        yield from _wrapped(f"{number}. {repair['Does']}{done}", max(width, NARROWEST))
        yield f"   {repair['Command']}"


def last_line(
    answer: Mapping[str, Any],
    width: int,  # noqa: ARG001 - a `Table`
    *,
    coloured: bool,  # noqa: ARG001
) -> Iterator[str]:
    """Yield how a rotation ended; its findings were shown as they came."""
    yield f"\n{answer['SecretId']}: {answer['State']}"


def _row(finding: Mapping[str, str], columns: Columns) -> Iterator[str]:
    indent = " " * columns.indent
    room = max(columns.width, NARROWEST) - columns.indent
    first, *rest = _wrapped(finding["Found"], room)
    outcome = finding["Outcome"]
    shown = _coloured(outcome, columns.outcome) if columns.coloured else outcome.ljust(columns.outcome)
    yield f"{finding['Item'].ljust(columns.item)}  {shown}  {first}".rstrip()
    yield from (indent + line for line in rest)
    if finding.get("Remedy"):
        yield from (indent + line for line in _wrapped(f"→ {finding['Remedy']}", room))


def _harmless[T](found: T) -> T:
    """Return the same with a blank for each character that is not shown: ESC, for example."""
    shown: Any = found
    match found:
        case str():
            shown = "".join(one if one.isprintable() else " " for one in found)
        case dict():
            shown = {key: _harmless(value) for key, value in found.items()}
        case list():
            shown = [_harmless(one) for one in found]
    return cast("T", shown)


def _escaped(text: str) -> str:
    """Return JSON with its escapes for each character that is not shown."""
    return "".join(one if one.isprintable() or one == "\n" else json.dumps(one)[1:-1] for one in text)


def _width() -> int:
    return shutil.get_terminal_size((100, 24)).columns


def _is_coloured(output: TextIO) -> bool:
    return output.isatty() and not os.environ.get("NO_COLOR")


def _wrapped(text: str, width: int) -> list[str]:
    """Break a text into lines; ARNs and commands stay whole, so that they can be copied."""
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]


def _coloured(outcome: str, width: int) -> str:
    return f"\x1b[{COLOURS[Outcome(outcome)]}m{outcome.ljust(width)}\x1b[0m"
