"""How do tests read a page of docs/answers? Each has tables of what a server answers, a row for each code."""

import re
from collections.abc import Mapping
from pathlib import Path

from rotation.engines.driver import Problem
from rotation.errors import NotPermitted

CHECKOUT = Path(__file__).parents[2]
TESTS = "".join(path.read_text() for path in (CHECKOUT / "tests").rglob("test_*.py"))
VENDOR = "the vendor's list"
NAME = re.compile(r"`(test_\w+)`")


def page(engine: str) -> str:
    """Return the page of an engine."""
    return (CHECKOUT / "docs" / "answers" / f"{engine}.md").read_text()


def rows(text: str, heading: str) -> dict[str, list[str]]:
    """Return the rows of the table after a heading, by the code."""
    _, found, after = text.partition(f"# {heading}\n")
    assert found, heading
    lines = re.split(r"^#", after, maxsplit=1, flags=re.MULTILINE)[0].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return {code.strip("`"): rest for code, *rest in cells[2:]}


def require_rows(text: str, heading: str, table: Mapping[int, Problem] | Mapping[str, Problem]) -> None:
    """Require a row for each code of a table of the driver, with its error, its remedy, and where it is from."""
    found, known = rows(text, heading), {str(code): one for code, one in table.items()}
    assert set(found) == set(known)
    for code, (kind, remedy) in known.items():
        when, error, says, source = found[code]
        assert when, code
        assert error == kind.__name__, code
        assert says == remedy or (kind is NotPermitted and not remedy), code
        assert source == VENDOR or NAME.match(source), code


def require_tests(text: str) -> None:
    """Require that the tests that a page names are there."""
    names = NAME.findall(text)
    assert names
    assert [name for name in names if f"def {name}(" not in TESTS] == []
