"""It is killed before any call and any write, on a database that commits each write at once: does it heal?"""

import itertools
from collections.abc import Callable

import pytest

from rotation.kind import Strategy
from tests.fakes import PENDING, PREVIOUS, undisturbed
from tests.unit.scenario import ALTERNATING, SINGLE, Scenario


class Killed(BaseException):
    """The process is gone."""


def kill_at(scenario: Scenario, moment: int) -> bool:
    """Run the four steps, and end them before that call or write; tell whether they came so far."""
    moments = itertools.count()

    def count(_: str) -> None:
        if next(moments) == moment:
            raise Killed

    scenario.database.before = scenario.secret.before = count
    try:
        scenario.run()
    except Killed:
        return True
    else:
        return False
    finally:
        scenario.database.before = scenario.secret.before = undisturbed


def run_again(scenario: Scenario) -> None:
    """Do what the service does: begin again at createSecret, with the same token."""
    scenario.run()


def rotate_anew(scenario: Scenario) -> None:
    """Do what an operator does: take AWSPENDING away where it is left, and begin another rotation."""
    if scenario.secret.labels[PENDING] == scenario.secret.token:
        scenario.secret.abandon()
    scenario.rotate()


@pytest.mark.parametrize("heal", [run_again, rotate_anew])
@pytest.mark.parametrize("rotations", [0, 1], ids=["first rotation", "way back"])
@pytest.mark.parametrize("strategy", [SINGLE, ALTERNATING])
def test_killed_at_any_moment_it_recovers(strategy: Strategy, rotations: int, heal: Callable[[Scenario], None]) -> None:
    for moment in itertools.count():
        scenario = Scenario(strategy)
        for _ in range(rotations):
            scenario.rotate()
        cached = scenario.secret.read()
        scenario.begin()
        was_killed = kill_at(scenario, moment)
        if strategy is ALTERNATING:
            assert scenario.may_log_in(cached)
            assert scenario.may_log_in(scenario.secret.read())
        heal(scenario)
        assert scenario.may_log_in(scenario.secret.read())
        assert len({frozenset(user.rights) for name, user in scenario.database.users.items() if name != "admin"}) == 1
        if strategy is ALTERNATING:
            assert scenario.may_log_in(scenario.secret.read(PREVIOUS))
        if not was_killed:
            assert moment > 10
            return
