"""It is killed, or cut off, at any message to Secrets Manager and to the database: does it heal?

`make test` takes a sample of the matrix, `make faults` all of it: see `tests.faults.matrix`.
"""

import itertools
from collections.abc import Callable, Iterable, Sequence

import pytest

from rotation.kind import Strategy
from tests import servers
from tests.faults.conftest import NewScenario
from tests.faults.matrix import CASES, EVERY, EVERY_OF_STAND_IN, Case, Rotation, sample
from tests.faults.scenario import AWS, DATABASE
from tests.faults.table import HEALED, Cell
from tests.faults.wire import Place

type Choose = Callable[[Sequence[Place]], Iterable[tuple[Case, Place]]]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run one test for each rotation; or one for each case, if every message has its turn."""
    whole = metafunc.config.getoption("--every-crash-point")
    cases = [(case.rotation, case) for case in CASES] if whole else [(rotation, None) for rotation in Rotation]
    metafunc.parametrize(("rotation", "only"), cases, ids=[str(only or rotation) for rotation, only in cases])


@pytest.fixture
def choose(
    pytestconfig: pytest.Config, server: str, rotation: Rotation, only: Case | None, *, through_admin: bool
) -> Choose:
    """Chooses the cells of a rotation that has these messages: all of the case, or a sample."""
    if only:
        return lambda places: [(only, place) for place in places]
    available = servers.available(lambda engine: pytestconfig.getoption(f"--{engine}-dsn"))
    number = list(itertools.chain.from_iterable(available.values())).index(server) + through_admin
    [engine] = (engine for engine, own in available.items() if server in own)
    every = EVERY if servers.SERVERS[engine].are_real else EVERY_OF_STAND_IN
    return lambda places: sample(number, rotation, places, every)


@pytest.fixture(scope="session")
def known_places() -> dict[tuple[object, ...], Sequence[Place]]:
    """The messages of rotations that were looked at already."""
    return {}


@pytest.fixture
def places(  # noqa: PLR0913 - all that makes a rotation what it is
    new_scenario: NewScenario,
    known_places: dict[tuple[object, ...], Sequence[Place]],
    server: str,
    strategy: Strategy,
    rotation: Rotation,
    *,
    through_admin: bool,
) -> Sequence[Place]:
    """The messages of the rotation."""
    key = (server, strategy, through_admin, rotation)
    if key not in known_places:
        known_places[key] = places = rotation.places(lambda: new_scenario(strategy))
        assert {place.party for place in places} == {AWS, DATABASE}
    return known_places[key]


def test_wherever_it_is_disturbed_it_recovers(  # noqa: PLR0913, PLR0917 - fixtures
    new_scenario: NewScenario,
    places: Sequence[Place],
    choose: Choose,
    server: str,
    strategy: Strategy,
    record_property: Callable[[str, object], None],
    *,
    through_admin: bool,
) -> None:
    problems = {}
    for case, place in choose(places):
        outcome = "; ".join(case.problems(lambda: new_scenario(strategy), place)) or HEALED
        record_property(*Cell(server, strategy, through_admin, *case.kinds, str(place), outcome).to_property())
        if outcome != HEALED:
            problems[f"{case}, {place}"] = outcome
    assert not problems
