"""createSecret logs in to ask for the password policy. What if the server refuses AWSCURRENT then?"""

from dataclasses import replace

import pytest

from rotation.errors import Superseded
from rotation.passwords import Rule
from rotation.steps import Step
from tests.fakes import KIND, FakeDatabase
from tests.unit.scenario import SINGLE, Scenario

LONGER = Rule("policy.length", 40)


@pytest.fixture
def scenario() -> Scenario:
    """A secret of a single user, on a server that shows its policy."""
    database = FakeDatabase(replace(KIND, shows_password_rules=True))
    database.password_rules = [LONGER]
    return Scenario(SINGLE, database=database)


def passwords_tried(scenario: Scenario) -> list[str]:
    return [one.password for one in scenario.database.tried]


def test_the_password_of_an_abandoned_rotation_asks_and_is_not_called_recovered_yet(scenario: Scenario) -> None:
    scenario.begin()
    scenario.run(Step.CREATE, Step.SET)
    scenario.secret.abandon()
    scenario.begin()
    scenario.database.tried.clear()
    scenario.run(Step.CREATE)
    assert passwords_tried(scenario) == ["password-0", "password-1"]
    assert scenario.recovered == []
    scenario.run(Step.SET)
    assert len(scenario.recovered) == 1


def test_the_password_of_this_version_comes_second_if_it_is_written(scenario: Scenario) -> None:
    scenario.begin()
    scenario.run(Step.CREATE, Step.SET)
    scenario.database.tried.clear()
    scenario.run(Step.CREATE)
    assert passwords_tried(scenario) == ["password-0", "password-1"]


@pytest.mark.parametrize("forged", [{"ssl": False}, {"username": "admin"}, {"port": 1}, {"host": "impostor.test"}])
def test_what_somebody_else_wrote_into_this_version_is_not_sent(scenario: Scenario, forged: dict[str, object]) -> None:
    scenario.begin()
    scenario.run(Step.CREATE, Step.SET)  # so the server refuses AWSCURRENT
    scenario.secret.abandon()
    scenario.stage({**forged, "password": "theirs"})
    scenario.database.tried.clear()
    with pytest.raises(Superseded):
        scenario.run(Step.CREATE)
    assert passwords_tried(scenario) == ["password-0", "password-1"]
