"""Is a version given up if the server's policy refuses its password, and only then?"""

import pytest

from rotation.errors import LoginRefused, NotRotatable, PasswordRefused, StatementFailed
from rotation.kind import Strategy
from rotation.steps import Step
from tests.unit.scenario import ALTERNATING, APP, SINGLE, Scenario

STRATEGIES = pytest.mark.parametrize("strategy", [SINGLE, ALTERNATING])


def refuse(statement: str) -> None:
    """Refuse every password."""
    if statement.startswith("ALTER"):
        raise PasswordRefused("setting a password", "it is in a dictionary", "Rotate again")


def staged(strategy: Strategy) -> Scenario:
    """Return a scenario that has come to setSecret."""
    scenario = Scenario(strategy)
    scenario.begin()
    scenario.run(Step.CREATE)
    return scenario


@STRATEGIES
def test_a_refused_password_gives_the_version_up_and_the_next_rotation_succeeds(strategy: Strategy) -> None:
    scenario = staged(strategy)
    scenario.database.before = refuse
    with pytest.raises(PasswordRefused):
        scenario.run(Step.SET)
    assert "AWSPENDING" not in scenario.secret.labels
    with pytest.raises(NotRotatable):
        scenario.run(Step.CREATE)
    scenario.database.before = lambda _: None
    scenario.rotate()
    assert scenario.may_log_in(scenario.secret.read())


@STRATEGIES
def test_another_failure_keeps_the_version(strategy: Strategy) -> None:
    def fail(statement: str) -> None:
        if statement.startswith("ALTER"):
            raise StatementFailed("setting a password", "a lock", "Wait")

    scenario = staged(strategy)
    scenario.database.before = fail
    with pytest.raises(StatementFailed):
        scenario.run(Step.SET)
    assert scenario.secret.labels["AWSPENDING"] == scenario.secret.token


@STRATEGIES
def test_a_version_is_kept_if_the_current_one_does_not_log_in(strategy: Strategy) -> None:
    """Another delivery of the step can have set the password before."""
    scenario = staged(strategy)
    refused: list[str] = []

    def refuse_and_lock(statement: str) -> None:
        if statement == f"log in as {APP}" and refused:
            raise LoginRefused("logging in", "wrong", "Correct it")
        if statement.startswith("ALTER"):
            refused.append(statement)
            refuse(statement)

    scenario.database.before = refuse_and_lock
    with pytest.raises(PasswordRefused):
        scenario.run(Step.SET)
    assert scenario.secret.labels["AWSPENDING"] == scenario.secret.token


def test_a_newer_version_keeps_the_label() -> None:
    scenario = staged(SINGLE)
    late = scenario.secret.token

    def come_late(statement: str) -> None:
        if statement.startswith("ALTER"):
            del scenario.secret.labels["AWSPENDING"]
            scenario.begin()
            scenario.secret.token = late
            refuse(statement)

    scenario.database.before = come_late
    with pytest.raises(PasswordRefused):
        scenario.run(Step.SET)
    assert scenario.secret.labels["AWSPENDING"] != late
