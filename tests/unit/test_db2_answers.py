"""Does docs/answers/db2.md say what the Db2 driver makes of each answer?"""

from collections.abc import Mapping

import pytest

from rotation.engines.db2.problems import (
    BY_ADMIN,
    LOGIN_PROBLEMS,
    NO_TLS,
    NOT_NOW,
    OTHER_PASSWORD,
    REASON_PROBLEMS,
    STATEMENT_PROBLEMS,
)
from rotation.engines.driver import CERTIFICATE, CORRECT_CAUSE, NO_ANSWER, NO_BUNDLE, Problem
from tests.unit.answers import page, require_rows, require_tests

TEXT = page("db2")

TABLES: Mapping[str, Mapping[int, Problem] | Mapping[str, Problem]] = {
    "At a login": LOGIN_PROBLEMS,
    "Reasons of SQL30082N": REASON_PROBLEMS,
    "At a statement": STATEMENT_PROBLEMS,
}
"""By the heading, the table of the driver whose rows follow it."""


@pytest.mark.parametrize("heading", TABLES)
def test_each_answer_is_in_the_table_with_its_error_and_remedy(heading: str) -> None:
    require_rows(TEXT, heading, TABLES[heading])


def test_the_rules_beside_the_tables_are_those_of_the_driver() -> None:
    for remedy in (BY_ADMIN, CERTIFICATE, CORRECT_CAUSE, NOT_NOW, NO_ANSWER, NO_BUNDLE, NO_TLS, OTHER_PASSWORD):
        assert remedy in TEXT
    require_tests(TEXT)
