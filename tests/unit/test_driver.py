"""Does the kit of the drivers keep what it says?"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from rotation.credential import Credential
from rotation.deadline import Deadline
from rotation.engine import Session
from rotation.engines import driver
from rotation.engines.driver import accepts, find_lock_holder, problem, unread_password, verify
from rotation.errors import LoginBlocked, LoginRefused, NotPermitted, StatementFailed
from tests.fakes import KIND, FakeDatabase
from tests.laboratories import deadline

TABLE: dict[int, driver.Problem] = {1: (NotPermitted, ""), 2: (NotPermitted, "Name the primary")}
UNKNOWN: driver.Problem = (StatementFailed, "Correct the cause")


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (1, (NotPermitted, "GRANT it")),
        (2, (NotPermitted, "Name the primary")),
        (3, (StatementFailed, "Correct the cause")),
    ],
)
def test_the_remedy_of_the_statement_counts_if_the_table_has_none(code: int, expected: driver.Problem) -> None:
    assert problem(TABLE, code, UNKNOWN, "GRANT it") == expected


def test_the_remedy_for_a_lock_names_the_view_that_shows_its_holder() -> None:
    remedy = "Find the session that holds the lock (pg_locks). The rotation is tried again by itself"
    assert find_lock_holder("pg_locks") == remedy


def ran(statements: Sequence[str]) -> list[tuple[str, str]]:
    """Return what verify runs of these."""
    seen: list[tuple[str, str]] = []
    verify(statements, lambda operation, statement: seen.append((operation, statement)), ("SELECT", "WITH"))
    return seen


def test_statements_to_verify_are_run_in_order_and_named_by_their_number() -> None:
    assert ran(["SELECT 1", " (with x as (select 2) select 3)"]) == [
        ("running statement 1 of verify", "SELECT 1"),
        ("running statement 2 of verify", " (with x as (select 2) select 3)"),
    ]


@pytest.mark.parametrize("statement", ["DROP TABLE t", "/*! DROP TABLE t */", "", "-- SELECT", "SELECTED", "1"])
def test_what_a_transaction_cannot_take_back_is_never_run(statement: str) -> None:
    with pytest.raises(StatementFailed, match=r"running statement 2 of verify.*Begin it with one of SELECT, WITH"):
        ran(["SELECT 1", statement])


def test_an_engine_that_knows_its_comments_finds_the_first_word_after_them() -> None:
    seen: list[str] = []
    verify(
        ["/* a */ SELECT 1"],
        lambda _, statement: seen.append(statement),
        ("SELECT",),
        first_word=lambda statement: statement.split()[3],
    )
    assert seen == ["/* a */ SELECT 1"]


def test_a_password_that_nobody_reads_follows_the_functions_own_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSWORD_LENGTH", "40")
    monkeypatch.setenv("EXCLUDE_PUNCTUATION", "true")
    password = unread_password(KIND, "app_clone")
    assert len(password) == 40
    assert password.isalnum()
    assert password != unread_password(KIND, "app_clone")


def test_only_a_refused_login_says_that_a_password_is_not_accepted() -> None:
    database = FakeDatabase()
    user = database.new_user("app", "right")
    assert accepts(database.connect, user, deadline())
    database.users["app"].verifiers = ()
    assert not accepts(database.connect, user, deadline())


def test_a_login_that_is_blocked_says_nothing_about_the_password() -> None:
    @contextmanager
    def connect(credential: Credential, _: Deadline) -> Iterator[Session]:
        raise LoginBlocked(f"logging in as {credential}", "too many connections", "Close some")
        yield

    with pytest.raises(LoginBlocked):
        accepts(connect, FakeDatabase().new_user("app", "right"), deadline())
    assert not issubclass(LoginBlocked, LoginRefused)
