"""Is a credential rotated where PostgreSQL's answers are not in PostgreSQL's own words, whatever happens meanwhile?

The old password of a user is gone after setSecret. That the server refuses it must be recognised, or the pending one is
never tried: a dead end.
"""

from collections.abc import Callable, Iterator

import pytest

from rotation.kind import Strategy
from rotation.steps import Step
from tests.faults.conftest import NewScenario
from tests.faults.scenario import Scenario
from tests.faults.wire import Wire
from tests.laboratories import INVOICES
from tests.laboratories.postgresql import PostgreSQLLaboratory
from tests.laboratories.postgresql_elsewhere import ELSEWHERE
from tests.local.aws.secrets_manager import LocalSecretsManager

STRATEGIES = pytest.mark.parametrize("strategy", [Strategy.SINGLE_USER, Strategy.ALTERNATING_USERS])


@pytest.fixture(scope="module", params=ELSEWHERE)
def elsewhere(request: pytest.FixtureRequest) -> Iterator[PostgreSQLLaboratory]:
    """A server whose answers are in other words."""
    with ELSEWHERE[request.param]() as laboratory:
        yield laboratory


@pytest.fixture
def new_scenario(
    elsewhere: PostgreSQLLaboratory, service: LocalSecretsManager, _wires: Callable[[int], Wire]
) -> NewScenario:
    """Makes scenarios whose secret names this server, or the pooler."""
    wire = _wires(elsewhere.admin.port)
    return lambda strategy: Scenario(elsewhere, service, wire, strategy, strategy is Strategy.ALTERNATING_USERS)


@STRATEGIES
def test_rotations_in_a_row(new_scenario: NewScenario, strategy: Strategy) -> None:
    scenario = new_scenario(strategy)
    for number in range(3):
        (scenario.laboratory.allow if number % 2 == 0 else scenario.laboratory.forbid)(scenario.user.username, INVOICES)
        scenario.rotate()
        scenario.require_done()
        assert scenario.laboratory.may_read(scenario.read(), INVOICES) is (number % 2 == 0)


@STRATEGIES
def test_a_rotation_that_was_killed_after_set_secret_is_repeated(new_scenario: NewScenario, strategy: Strategy) -> None:
    scenario = new_scenario(strategy)
    scenario.begin()
    assert scenario.run(Step.CREATE, Step.SET).error is None
    assert scenario.run().error is None
    scenario.require_done()


@STRATEGIES
def test_an_abandoned_rotation_is_no_dead_end(new_scenario: NewScenario, strategy: Strategy) -> None:
    scenario = new_scenario(strategy)
    scenario.begin()
    assert scenario.run(Step.CREATE, Step.SET).error is None
    scenario.abandon()
    scenario.rotate()
    scenario.require_done()
