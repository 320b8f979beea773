"""Does an operator read, for each cause of a failure, the step, the object, the cause, and one thing to do?

Each row of `tests.contract.causes` is provoked on a server, or on what stands for one, through the function's handler.
docs/errors.md has a section for each.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import pytest

from rotation.errors import RETRIED, RotationError, Unexpected
from tests import servers
from tests.clients import forget_clients
from tests.contract.causes import CAUSES
from tests.contract.causes.kit import Case, Cause
from tests.documents import anchors
from tests.laboratories import Laboratory
from tests.local import error_table
from tests.local.aws.secrets_manager import LocalSecretsManager
from tests.local.messages import VERBS
from tests.service.invoking import Call, Invoke, invoker

FEWEST = 60
PAGES = {"mysql": "mysql-and-mariadb", "mariadb": "mysql-and-mariadb", "sqlserver": "sql-server"}
"""How docs/errors.md calls an engine in an anchor, if it is another word."""


@pytest.fixture(scope="module")
def _service() -> Iterator[LocalSecretsManager]:
    """Secrets Manager, for the function and for the tests; the function keeps its clients."""
    with LocalSecretsManager(attempts=1) as service, pytest.MonkeyPatch.context() as patch:
        for name, value in service.environment.items():
            patch.setenv(name, value)
        forget_clients()
        yield service
    forget_clients()


@pytest.fixture
def invoke(
    _service: LocalSecretsManager, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> Invoke:
    """Calls the handler, and returns all that comes out."""
    return invoker(capsys, caplog)


@pytest.fixture
def case(
    cause: Cause, trusted: Callable[[str], Laboratory], _service: LocalSecretsManager, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Case]:
    """A user, and a secret, with which something is wrong."""

    def newest(engine: str) -> Laboratory:
        return trusted(list(servers.SERVERS[engine].own)[-1])

    with ExitStack() as stack:
        case = Case(newest(cause.engine), _service, monkeypatch, stack, newest)
        cause.make(case)
        yield case
    _service.intercept = None


@pytest.mark.parametrize(
    "cause",
    [pytest.param(one, id=str(one), marks=[pytest.mark.thorough] if one.thorough else []) for one in CAUSES],
)
def test_a_cause_is_named_with_its_step_its_object_and_one_remedy(cause: Cause, case: Case, invoke: Invoke) -> None:
    call = case.run(invoke)
    error, [line] = call.error, errors_of(call)
    assert error
    assert type(error) is cause.error, error
    assert (line["level"], line["error"], line["cause"]) == ("ERROR", cause.error.__name__, error.cause)
    assert line["step"] == (cause.step if "secret_arn" in line else "unknown")
    link = f"docs/errors.md#{cause.error.__name__.lower()}"
    assert line["message"] == str(error)
    assert line["message"] == f"{error.operation}: {error.cause.rstrip('.')}. {error.remedy.rstrip('.')}. See {link}"
    require_said(cause, case, error)
    require_one_remedy(error, line)
    passwords = [case.user.password, case.laboratory.admin.password, "Pw-12345678"]
    assert [password for password in passwords if password in call.seen] == []


def errors_of(call: Call) -> list[dict[str, Any]]:
    """Return the lines of the log that call for somebody."""
    return [line for line in call.lines if line["level"] == "ERROR"]


def require_said(cause: Cause, case: Case, error: RotationError) -> None:
    """Require what the row says of operation, cause and remedy."""
    names = {
        "user": case.user.username,
        "host": f"{case.user.host}:{case.user.port}",
        "arn": case.arn,
        "token": case.token,
        "admin": str(case.fields.get("masterarn")),
    }
    for part, text in zip(cause.says, error.args, strict=True):
        assert part, "a row says something of each"
        assert part.format(**names) in text, error


def require_one_remedy(error: RotationError, line: Mapping[str, Any]) -> None:
    """Require that the remedy begins with what to do, that it comes once, and that the cause does not advise."""
    assert re.split(r"\W", error.remedy, maxsplit=1)[0] in VERBS or error.remedy.startswith(RETRIED), error
    assert line["remedy"] == error.remedy
    assert line["message"].count(error.remedy) == 1
    assert not re.search(r"\b(please|either provide|sslmode|HINT)\b", error.cause, re.IGNORECASE), error


def test_there_are_many_causes_and_each_has_a_section() -> None:
    assert len([one for one in CAUSES if not one.thorough]) >= FEWEST
    assert len({str(one) for one in CAUSES}) == len(CAUSES)
    known = anchors(error_table.PAGE)
    for one in CAUSES:
        if one.error is Unexpected:  # its place in the source is its cause
            continue
        family = PAGES.get(one.engine, one.engine) if one.by_server else "the-function-itself"
        assert {one.error.__name__.lower(), f"{one.error.__name__.lower()}-{family}"} <= known, one


def test_each_error_of_a_rotation_has_a_cause_that_was_provoked() -> None:
    others = {"DatabaseError", "NotAttachable"}
    """The one is only a name for those below it, the other is of the function that attaches secrets."""
    wanted = {one.__name__ for one in error_table.all_errors(RotationError)} - others
    assert wanted - {one.error.__name__ for one in CAUSES} == set()
