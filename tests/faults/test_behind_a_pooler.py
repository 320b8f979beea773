"""Is a credential rotated through a PgBouncer, and what if the function is killed and its steps are tried again?"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from rotation.kind import Strategy
from rotation.steps import Step
from tests.faults.scenario import Scenario
from tests.faults.wire import Wire
from tests.laboratories import INVOICES
from tests.laboratories.postgresql import PostgreSQLLaboratory, own
from tests.local.aws.secrets_manager import LocalSecretsManager
from tests.local.servers import debian_packages, pgbouncer

MAJOR = 18


@dataclass(frozen=True)
class Pooled:
    """A server behind a PgBouncer."""

    laboratory: PostgreSQLLaboratory
    """The server itself."""
    pooled: PostgreSQLLaboratory
    """The same, as everybody sees it who connects to the pooler."""

    @classmethod
    def behind(cls, laboratory: PostgreSQLLaboratory, pooler: pgbouncer.Pooler, directory: Path) -> "Pooled":
        """Trust both."""
        bundle = directory / "both.pem"
        bundle.write_bytes(laboratory.ca_bundle.read_bytes() + pooler.ca.read_bytes())
        superuser, admin = (replace(one, port=pooler.port) for one in (laboratory.superuser, laboratory.admin))
        return cls(laboratory, replace(laboratory, superuser=superuser, admin=admin, ca_bundle=bundle))


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQLLaboratory]:
    """A server of its own: a pooler's sessions belong to whoever comes, so its log does not say who sent what."""
    with own(MAJOR) as laboratory:
        yield laboratory


@pytest.fixture(scope="module", params=pgbouncer.PACKAGES)
def pooled(
    request: pytest.FixtureRequest, server: PostgreSQLLaboratory, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pooled]:
    """A server behind a PgBouncer that asks it for verifiers."""
    try:
        with pgbouncer.start(request.param, server.dsn(server.superuser)) as pooler:
            yield Pooled.behind(server, pooler, tmp_path_factory.mktemp("pooled"))
    except debian_packages.PackagesUnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture
def new_scenario(pooled: Pooled, service: LocalSecretsManager, _wires: Callable[[int], Wire]) -> "NewPooled":
    """Makes scenarios whose secret names the pooler."""
    wire = _wires(pooled.pooled.admin.port)
    return lambda strategy: Scenario(pooled.pooled, service, wire, strategy, strategy is Strategy.ALTERNATING_USERS)


type NewPooled = Callable[[Strategy], Scenario]
STRATEGIES = pytest.mark.parametrize("strategy", [Strategy.SINGLE_USER, Strategy.ALTERNATING_USERS])


@STRATEGIES
def test_rotations_in_a_row_work_through_a_pooler(new_scenario: NewPooled, strategy: Strategy) -> None:
    scenario = new_scenario(strategy)
    for number in range(3):
        (scenario.laboratory.allow if number % 2 == 0 else scenario.laboratory.forbid)(scenario.user.username, INVOICES)
        scenario.rotate()
        scenario.require_done()
        assert scenario.laboratory.may_read(scenario.read(), INVOICES) is (number % 2 == 0)


@STRATEGIES
def test_a_rotation_that_was_killed_after_set_secret_is_repeated_through_a_pooler(
    new_scenario: NewPooled, strategy: Strategy
) -> None:
    """The old password is gone, and the pooler refuses it in words of its own: the pending one must be tried."""
    scenario = new_scenario(strategy)
    scenario.begin()
    assert scenario.run(Step.CREATE, Step.SET).error is None
    assert scenario.run().error is None
    scenario.require_done()


@STRATEGIES
def test_an_abandoned_rotation_is_no_dead_end_behind_a_pooler(new_scenario: NewPooled, strategy: Strategy) -> None:
    scenario = new_scenario(strategy)
    scenario.begin()
    assert scenario.run(Step.CREATE, Step.SET).error is None
    scenario.abandon()
    scenario.rotate()
    scenario.require_done()
