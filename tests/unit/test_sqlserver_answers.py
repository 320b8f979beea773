"""Does docs/answers/sql-server.md say what the driver for SQL Server makes of each answer?"""

from collections.abc import Mapping

import pytest

from rotation.engines.driver import BUSY, CORRECT_CAUSE, NO_ANSWER, NO_REDIRECT, Problem
from rotation.engines.sqlserver.problems import (
    CHANGE_PROBLEMS,
    LOGIN_PROBLEMS,
    NO_SQL_SERVER,
    STATEMENT_PROBLEMS,
)
from tests.unit.answers import page, require_rows, require_tests

TEXT = page("sql-server")

TABLES: Mapping[str, Mapping[int, Problem]] = {
    "At a login": LOGIN_PROBLEMS,
    "At a login that renews an expired password": CHANGE_PROBLEMS,
    "At a statement": STATEMENT_PROBLEMS,
}
"""By the heading, the table of the driver whose rows follow it."""


@pytest.mark.parametrize("heading", TABLES)
def test_each_answer_is_in_the_table_with_its_error_and_remedy(heading: str) -> None:
    require_rows(TEXT, heading, TABLES[heading])


def test_the_rules_beside_the_tables_are_those_of_the_driver() -> None:
    for remedy in (BUSY, CORRECT_CAUSE, NO_ANSWER, NO_REDIRECT, NO_SQL_SERVER):
        assert remedy in TEXT
    require_tests(TEXT)
