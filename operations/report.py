"""How do a preflight and a doctor look in a terminal?"""

import json
import os
import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, TextIO

from rotation.finding import Outcome

COLOURS = {Outcome.PASS: "32", Outcome.WARN: "33", Outcome.FAIL: "31", Outcome.NOT_LOOKED_AT: "2"}
NARROWEST = 60


class Table(Protocol):
    """Makes the lines of an answer."""

    def __call__(self, answer: Mapping[str, Any], width: int, *, coloured: bool) -> Iterator[str]:
        """Yield them, fit for a terminal of so many columns."""


def show(answer: Mapping[str, Any], table: Table, output: TextIO, *, as_json: bool) -> None:
    """Print an answer, as JSON or as a table; in colours only in a terminal, and not if NO_COLOR is set."""
    if as_json:
        print(json.dumps(answer, indent=2, ensure_ascii=False), file=output)
        return
    coloured = output.isatty() and not os.environ.get("NO_COLOR")
    print(*table(answer, shutil.get_terminal_size((100, 24)).columns, coloured=coloured), sep="\n", file=output)


def lines(answer: Mapping[str, Any], width: int, *, coloured: bool) -> Iterator[str]:
    """Yield a table of what was found: item, outcome, and what is so; a remedy in lines of its own."""
    findings: Sequence[Mapping[str, str]] = answer["Findings"]
    item = max((len(one["Item"]) for one in findings), default=0)
    outcome = max((len(one["Outcome"]) for one in findings), default=0)
    indent = " " * (item + outcome + 4)
    room = max(width, NARROWEST) - len(indent)
    for one in findings:
        first, *rest = _wrapped(one["Found"], room)
        shown = _coloured(one["Outcome"], outcome) if coloured else one["Outcome"].ljust(outcome)
        yield f"{one['Item'].ljust(item)}  {shown}  {first}".rstrip()
        yield from (indent + line for line in rest)
        if one.get("Remedy"):
            yield from (indent + line for line in _wrapped(f"→ {one['Remedy']}", room))
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


def _wrapped(text: str, width: int) -> list[str]:
    """Break a text into lines; ARNs and commands stay whole, so that they can be copied."""
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]


def _coloured(outcome: str, width: int) -> str:
    return f"\x1b[{COLOURS[Outcome(outcome)]}m{outcome.ljust(width)}\x1b[0m"
