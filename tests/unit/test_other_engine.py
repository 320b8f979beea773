"""How is a server recognised by what it says, and what does the operator read about one of another engine?"""

import re

import pytest

from rotation.credential import Credential
from rotation.deadline import Deadline
from rotation.engines.mariadb.kind import KIND as MARIADB
from rotation.engines.mysql.kind import KIND as MYSQL
from rotation.engines.oracle.kind import KIND as ORACLE
from rotation.engines.other_engine import ENGINE_VALUES, login_seconds, wrong_engine
from rotation.engines.postgresql.kind import KIND as POSTGRESQL
from rotation.engines.sqlserver.kind import KIND as SQLSERVER
from rotation.kind import EngineKind
from tests.unit.answers import page

KINDS = [POSTGRESQL, MYSQL, MARIADB, SQLSERVER, ORACLE]
"""Without Db2, whose client is for x86_64 only."""

SENTENCE = re.compile(
    r'(the server there is (.+?), and this function, and "engine" in the secret \("(.+?)"\), are for .+?)`'
)

PAGES = {
    "postgresql": POSTGRESQL,
    "mysql-and-mariadb": MYSQL,
    "sql-server": SQLSERVER,
    "oracle": ORACLE,
}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_secret_can_have_the_engine_that_the_remedy_names(kind: EngineKind) -> None:
    assert ENGINE_VALUES[kind.name] in kind.engine_values


@pytest.mark.parametrize("name", PAGES)
def test_the_page_of_an_engine_quotes_what_the_operator_reads(name: str) -> None:
    text = page(name)
    quoted = SENTENCE.search(text)
    assert quoted
    user = Credential(
        engine=quoted[3], host="db.example", port=1, username="app", password="secret", database=None, tls=True
    )
    error = wrong_engine(quoted[2], user, PAGES[name], "logging in")
    assert error.cause == quoted[1]
    assert f"`{error.remedy}`" in text


@pytest.mark.parametrize(
    ("left", "login"),
    [(60.0, 10.0), (12.0, 10.0), (11.0, 9.0), (3.0, 1.5), (1.0, 0.5)],
)
def test_a_login_leaves_time_to_ask_what_answers(left: float, login: float) -> None:
    assert login_seconds(10.0, Deadline(lambda: left + 1.5), "logging in") == pytest.approx(login)


def test_a_brief_deadline_ends_with_its_own_seconds_or_with_the_longer_one() -> None:
    left = [11.5]
    whole = Deadline(lambda: left[0])
    brief, same = whole.at_most(2.0), whole.at_most(60.0)
    assert brief.left() == pytest.approx(2.0)
    assert same.left() == pytest.approx(10.0)
    left[0] = 10.0
    assert brief.left() == pytest.approx(0.5)
    assert same.left() == pytest.approx(8.5)
