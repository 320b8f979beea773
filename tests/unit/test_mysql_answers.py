"""Does docs/answers/mysql-and-mariadb.md say what the driver makes of each answer of MySQL and MariaDB?"""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from rotation.engines.driver import Problem
from rotation.engines.mariadb.dialect import MARIADB
from rotation.engines.mysql.problems import FORBIDDEN, LOGIN_PROBLEMS, LOST, REFUSED_IN_CLEAR, STATEMENT_PROBLEMS

CHECKOUT = Path(__file__).parents[2]
TEXT = (CHECKOUT / "docs/answers/mysql-and-mariadb.md").read_text()
TESTS = "".join(path.read_text() for path in (CHECKOUT / "tests").rglob("test_*.py"))
VENDOR = "the vendor's list"

TABLES: Mapping[str, Mapping[int, Problem]] = {
    "At a login": LOGIN_PROBLEMS,
    "On MariaDB in other words": dict(MARIADB.login_problems.items() - LOGIN_PROBLEMS.items()),
    "At a statement": STATEMENT_PROBLEMS,
}
"""By the heading, the table of the driver whose rows follow it."""


def rows(heading: str) -> dict[int, list[str]]:
    """Return the rows of the table after a heading, by the number."""
    _, _, after = TEXT.partition(f"# {heading}\n")
    lines = re.split(r"^#", after, maxsplit=1, flags=re.MULTILINE)[0].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return {int(number.strip("`")): rest for number, *rest in cells[2:]}


@pytest.mark.parametrize("heading", TABLES)
def test_each_answer_is_in_the_table_with_its_error_and_remedy(heading: str) -> None:
    found, table = rows(heading), TABLES[heading]
    assert list(found) == sorted(table)
    for number, (kind, remedy) in table.items():
        when, error, says, source = found[number]
        assert when
        assert error == kind.__name__
        assert says == remedy, number
        assert source == VENDOR or f"def {source.strip('`')}(" in TESTS, source


def test_the_rules_beside_the_tables_are_those_of_the_driver() -> None:
    assert REFUSED_IN_CLEAR in TEXT
    assert all(f"`{number}`" in TEXT for number in {*FORBIDDEN, *LOST} - {0})
    for name in re.findall(r"`(test_\w+)`", TEXT):
        assert f"def {name}(" in TESTS, name
