"""Is the error tree complete, and does every error say what it must?"""

import inspect
import re

import pytest

from rotation import errors
from rotation.errors import DatabaseError, RotationError
from tests.local import error_table

TREE = re.compile(r"^(?:    |│   )*[├└]── (\w+)(?: +(\S.*))?$")


ALL = error_table.all_errors(RotationError)


def test_the_tree_in_the_docstring_shows_every_error_in_its_place() -> None:
    drawn = [
        match[1] for line in inspect.cleandoc(errors.__doc__ or "").splitlines() if (match := TREE.match(line.strip()))
    ]
    assert drawn == [error.__name__ for error in ALL]


def test_the_tree_in_the_docstring_says_what_each_error_says_of_itself() -> None:
    for line in inspect.cleandoc(errors.__doc__ or "").splitlines():
        if (match := TREE.match(line.strip())) and match[2]:
            meaning = error_table.said_of(getattr(errors, match[1]))[0]
            assert meaning == match[2][0].upper() + match[2][1:] + "."


@pytest.mark.parametrize("error", ALL)
def test_every_error_says_what_becomes_of_the_application_and_what_to_do_first(error: type[RotationError]) -> None:
    _, application, first = error_table.said_of(error)
    assert application.startswith("Application: ")
    assert first.startswith("First: ")


def test_the_page_of_errors_is_what_the_source_says() -> None:
    """If not: .local/python/bin/python -m tests.local.error_table."""
    text = error_table.PAGE.read_text()
    assert error_table.page(text) == text


def test_each_answer_of_each_engine_and_each_cause_of_the_function_is_on_the_page() -> None:
    text = error_table.PAGE.read_text()
    whens = {one.when for one in error_table.answers() if not one.when.startswith("the same")}
    causes = {cause.replace("|", r"\|") for _, cause, _ in error_table.own_causes()}
    assert (len(whens) > 150, len(causes) > 100) == (True, True), "the pages or the source are not read any more"
    assert [one for one in whens | causes if one not in text] == []


@pytest.mark.parametrize("error", ALL)
def test_every_error_says_what_was_done_the_cause_and_the_remedy(error: type[RotationError]) -> None:
    raised = error("logging in", "no answer", "Look whether it is up")
    assert raised.sentences == "logging in: no answer. Look whether it is up."
    assert str(raised) == f"{raised.sentences} See docs/errors.md#{error.__name__.lower()}"
    assert f"\n## {error.__name__}\n" in error_table.PAGE.read_text()
    assert (raised.operation, raised.cause, raised.remedy) == ("logging in", "no answer", "Look whether it is up")


@pytest.mark.parametrize("error", ALL)
def test_an_error_that_is_rewritten_stays_what_it_is_and_loses_where_it_came_from(error: type[RotationError]) -> None:
    try:
        try:
            raise ValueError("secret")  # noqa: TRY301 - it becomes the context
        except ValueError as cause:
            raise error("a secret", "b secret", "c secret") from cause
    except RotationError as raised:
        raised.add_note("secret")
        clean = raised.rewritten(lambda text: text.replace("secret", "***"))
    assert type(clean) is error
    assert clean.args == ("a ***", "b ***", "c ***")
    assert (clean.__cause__, clean.__context__, clean.__traceback__) == (None, None, None)
    assert "secret" not in repr(clean.__dict__)


def test_a_version_that_can_never_become_current_needs_a_human() -> None:
    assert [error for error in ALL if error.ends_version and not error.needs_human] == []


def test_what_can_pass_by_itself_needs_nobody() -> None:
    """Time, a network, a lock and AWS; and an event that asks for nothing that is staged."""
    passing = {"InvalidEvent", "NotRotatable", "NotAttachable", "OutOfTime", "ServiceFailed", "DatabaseError"}
    passing |= {"LoginBlocked", "Unreachable", "StatementFailed"}
    assert {error.__name__ for error in ALL if not error.needs_human} == passing


def test_only_a_database_says_that_a_login_was_refused_or_something_is_not_permitted() -> None:
    assert issubclass(errors.LoginRefused, DatabaseError)
    assert issubclass(errors.NotPermitted, DatabaseError)
    assert not issubclass(errors.Unreachable, errors.LoginRefused)
