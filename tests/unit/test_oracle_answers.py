"""Does docs/answers/oracle.md say what the Oracle driver makes of each answer?"""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from rotation.engines.driver import CORRECT_CAUSE, NO_ANSWER, Problem
from rotation.engines.oracle.passwords import REUSED_SECONDS
from rotation.engines.oracle.problems import (
    BY_ITSELF,
    FORBIDDEN_PART,
    HELD_BACK,
    LOGIN_PROBLEMS,
    LOGIN_TRIGGER,
    NATIVE_ENCRYPTION,
    STATEMENT_PROBLEMS,
    TLS_PORT,
    TLS_PROBLEMS,
)
from rotation.errors import NotPermitted, Untrusted

CHECKOUT = Path(__file__).parents[2]
TEXT = (CHECKOUT / "docs/answers/oracle.md").read_text()
TESTS = "".join(path.read_text() for path in (CHECKOUT / "tests").rglob("test_*.py"))
VENDOR = "the vendor's list"

TABLES: Mapping[str, Mapping[str, Problem]] = {
    "At a login": LOGIN_PROBLEMS,
    "TLS": {reason: (Untrusted, remedy) for reason, (_, remedy) in TLS_PROBLEMS.items()},
    "At a statement": STATEMENT_PROBLEMS,
}
"""By the heading, the table of the driver whose rows follow it."""


def rows(heading: str) -> dict[str, list[str]]:
    """Return the rows of the table after a heading, by the code."""
    _, _, after = TEXT.partition(f"# {heading}\n")
    lines = re.split(r"^#", after, maxsplit=1, flags=re.MULTILINE)[0].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return {code.strip("`"): rest for code, *rest in cells[2:]}


@pytest.mark.parametrize("heading", TABLES)
def test_each_answer_is_in_the_table_with_its_error_and_remedy(heading: str) -> None:
    found, table = rows(heading), TABLES[heading]
    assert set(found) == set(table)
    for code, (kind, remedy) in table.items():
        when, error, says, source = found[code]
        assert when
        assert error == kind.__name__
        assert says == remedy or (kind is NotPermitted and not remedy), code
        assert source == VENDOR or f"def {source.strip('`')}(" in TESTS, source


@pytest.mark.parametrize(
    "remedy",
    [BY_ITSELF, FORBIDDEN_PART, HELD_BACK, LOGIN_TRIGGER, CORRECT_CAUSE, NO_ANSWER, NATIVE_ENCRYPTION, TLS_PORT],
)
def test_the_rules_beside_the_tables_are_those_of_the_driver(remedy: str) -> None:
    assert remedy in TEXT


def test_the_page_names_tests_and_figures_that_there_are() -> None:
    for name in re.findall(r"\(`(test_\w+)`\)", TEXT):
        assert f"def {name}(" in TESTS
    assert f"{REUSED_SECONDS} s" in TEXT
