"""Does a list of forms accept the statements that it lists, and no others?"""

from pathlib import Path

import pytest

from tests import forms
from tests.forms import Forms, outlines

LIST = """
# A comment.
SHOW GRANTS FOR {name}
GRANT {name}((, {name}))* TO {name}[ WITH GRANT OPTION]
SELECT count(*) FROM mysql.user WHERE user = {text}
"""


@pytest.fixture
def lab_forms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Forms:
    (tmp_path / "lab.txt").write_text(LIST)
    monkeypatch.setattr(forms, "FOLDER", tmp_path)
    return Forms("lab", {"name": "`(?:[^`]|``)*`", "text": "'(?:[^']|'')*'"})


@pytest.mark.parametrize(
    "statement",
    [
        "SHOW GRANTS FOR `a``b`",
        "GRANT `r` TO `a`",
        "GRANT `r`, `s`, `t` TO `a` WITH GRANT OPTION",
        "SELECT  count(*)\n FROM mysql.user\tWHERE user = 'it''s'",
    ],
)
def test_a_statement_of_a_listed_form_is_accepted(lab_forms: Forms, statement: str) -> None:
    assert lab_forms.strangers([statement]) == []


@pytest.mark.parametrize(
    "statement",
    [
        "SHOW GRANTS FOR `a`; DROP USER `b`",
        "SELECT 1 FROM `lab`.`t` LIMIT 0",
        "GRANT `r` TO `a` WITH GRANT OPTION WITH GRANT OPTION",
        "SELECT count(*) FROM mysql.user WHERE user = f('x')",
        "EXPLAIN SHOW GRANTS FOR `a`",
    ],
)
def test_any_other_statement_is_reported_once(lab_forms: Forms, statement: str) -> None:
    assert lab_forms.strangers([statement, statement]) == [statement]


def test_an_outline_shows_no_name_and_no_text_and_comes_once() -> None:
    statements = [f"COMMENT ON ROLE \"{name}\" IS 'it''s {name}' -- `{name}`" for name in ("one", 'an ""other""')]
    assert outlines(statements) == ["COMMENT ON ROLE \"…\" IS '…' -- `…`"]


def test_an_outline_shows_no_verifier() -> None:
    verifier = "0x0200" + 30 * "0A"
    assert outlines([f"ALTER LOGIN [one] WITH PASSWORD = {verifier} HASHED"]) == [
        "ALTER LOGIN [one] WITH PASSWORD = *** HASHED"
    ]
