"""Does docs/answers/postgresql.md say what the PostgreSQL driver makes of each answer?"""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from rotation.engines.driver import Problem
from rotation.engines.postgresql.problems import (
    CLIENT_PROBLEMS,
    LOGIN_PROBLEMS,
    LOGIN_TRIGGER,
    NO_LOGIN,
    POOLER_PROBLEMS,
    REFUSED,
    STATEMENT_PROBLEMS,
)
from rotation.engines.postgresql.session import PASSWORD_PROBLEMS
from rotation.errors import NotPermitted

CHECKOUT = Path(__file__).parents[2]
TEXT = (CHECKOUT / "docs/answers/postgresql.md").read_text()
TESTS = "".join(path.read_text() for path in (CHECKOUT / "tests").rglob("test_*.py"))
VENDOR = "the vendor's list"

TABLES: Mapping[str, Mapping[str, Problem]] = {
    "At a login": LOGIN_PROBLEMS,
    "Sentences of poolers": POOLER_PROBLEMS,
    "Sentences of libpq, the client library": CLIENT_PROBLEMS,
    "At a statement": STATEMENT_PROBLEMS,
    "At ALTER ROLE … PASSWORD": PASSWORD_PROBLEMS,
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
    assert set(found) == {code.strip() or "none" for code in table}
    for code, (kind, remedy) in table.items():
        when, error, says, source = found[code.strip() or "none"]
        assert when
        assert error == kind.__name__
        assert says == remedy or (kind is NotPermitted and not remedy), code
        assert source == VENDOR or f"def {source.strip('`')}(" in TESTS, source


def test_a_refusal_after_the_question_for_a_password_has_its_table() -> None:
    found = rows("Class 28, after the server asked for a password")
    said = {code: (error, remedy) for code, (_, error, remedy, _) in found.items()}
    assert said == {"28P01": ("LoginRefused", REFUSED), "28000": ("LoginBlocked", NO_LOGIN)}


def test_the_rules_beside_the_tables_are_those_of_the_driver() -> None:
    assert LOGIN_TRIGGER in TEXT
    assert NO_LOGIN in TEXT
    for name in re.findall(r"\(`(test_\w+)`\)", TEXT):
        assert f"def {name}(" in TESTS
