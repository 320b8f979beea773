"""It is killed at any message, and nobody heals it: does a doctor's answer, word by word, end it?

The state that each crash leaves, or that an operator leaves who abandons the rotation then, is what a doctor is asked
about, through the function. Its repairs are carried out literally: its `aws` commands on Secrets Manager, its
statements on the server, as the one that it names. Then the application logs in, and the next rotation succeeds.
"""

import itertools
import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from rotation.kind import Strategy
from rotation.lambda_handler import rotation_handler
from tests.faults.conftest import NewScenario
from tests.faults.matrix import Rotation
from tests.faults.scenario import Scenario
from tests.faults.wire import Disturbance, Place, Watch
from tests.service.test_preflight import InvokedContext

pytestmark = [pytest.mark.newest, pytest.mark.usefixtures("connected")]

READS = {"DescribeSecret", "ListSecretVersionIds", "GetSecretValue"}
MOST_REFUSED = 2
"""How many logins of one user a doctor lets a server refuse."""


def asked(scenario: Scenario) -> dict[str, Any]:
    """Ask the function for a doctor, as an operator; it changes nothing, and few logins are refused."""
    service, before, logins = scenario.service, scenario.versions(), scenario.laboratory.logins()
    service.calls.clear()
    scenario.wire.watch(Watch())
    context = InvokedContext(invoked_function_arn=scenario.function)
    answer = rotation_handler(scenario.laboratory.engine)(
        {"Step": "doctor", "SecretId": scenario.arn},
        context,  # type: ignore[arg-type]  # as much of a context as the function uses
    )
    assert answer
    assert {call.operation for call in service.calls} <= READS
    assert scenario.versions() == before
    after = scenario.laboratory.logins()
    if logins and after:
        assert (after - logins).refused <= MOST_REFUSED
    return answer


def carry_out(scenario: Scenario, command: str) -> None:
    """Do what a repair says."""
    program, service, operation, *options = shlex.split(command)
    assert (program, service) == ("aws", "secretsmanager"), command
    said = dict(zip(options[::2], options[1::2], strict=True))
    named = {"".join(map(str.title, key[2:].split("-"))): value for key, value in said.items()}
    getattr(scenario.client, operation.replace("-", "_"))(**named)
    scenario.service.wait(scenario.arn)


def ended(scenario: Scenario) -> Iterator[str]:
    """Ask a doctor, do what it says; yield the state that it saw, and what does not hold then."""
    answer = asked(scenario)
    yield answer["State"]
    for repair in answer["Repairs"]:
        carry_out(scenario, repair["Command"])
    if not scenario.application_works():
        yield "the application does not log in"
    labels = scenario.labels()
    if labels.get("AWSPENDING", labels["AWSCURRENT"]) == labels["AWSCURRENT"]:
        scenario.begin()
    else:
        scenario.token = labels["AWSPENDING"]
    if error := scenario.run().error:
        yield f"the next rotation fails: {error}"
        return
    scenario.require_done()
    last = asked(scenario)
    if last["Outcome"] != "pass" or last["Repairs"]:
        yield f"and then it is {last['State']}: {last['Diagnosis']}"


def stuck(prepared: Scenario, place: Place, disturbance: Disturbance, *, is_abandoned: bool) -> Scenario:
    """Return a scenario whose rotation was killed at this message, and abandoned then."""
    prepared.begin()
    assert prepared.run(watch=Watch(disturbance, place)).is_disturbed
    if is_abandoned:
        prepared.abandon()
    return prepared


SAMPLED = 5
"""The sample takes the message this many eighths into a rotation: there most have begun to set the password."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run every rotation with `--thorough`, else the first one of each strategy, abandoned or not in turn."""
    if "rotation" in metafunc.fixturenames:
        whole = metafunc.config.getoption("--thorough")
        metafunc.parametrize("rotation", list(Rotation) if whole else [Rotation.FIRST])


@pytest.fixture
def choose(pytestconfig: pytest.Config) -> Callable[[Sequence[Place]], Iterator[tuple[Place, Disturbance, bool]]]:
    """Chooses the messages at which a rotation is killed, how, and whether it is abandoned then."""
    kinds = list(itertools.product(Disturbance, [False, True]))

    def chosen(places: Sequence[Place]) -> Iterator[tuple[Place, Disturbance, bool]]:
        if pytestconfig.getoption("--thorough"):
            for number, place in enumerate(places):
                for is_abandoned in (False, True):
                    yield place, list(Disturbance)[number % len(Disturbance)], is_abandoned
        else:
            at = len(places) * SAMPLED // 8
            yield places[at], *kinds[at % len(kinds)]

    return chosen


def test_a_doctors_answer_ends_what_a_crash_leaves(
    new_scenario: NewScenario,
    strategy: Strategy,
    rotation: Rotation,
    choose: Callable[[Sequence[Place]], Iterator[tuple[Place, Disturbance, bool]]],
    record_property: Callable[[str, object], None],
) -> None:
    if rotation is not Rotation.FIRST and strategy is not Strategy.ALTERNATING_USERS:
        return  # a single user has nothing else to do
    found: dict[str, str] = {}
    states: Counter[str] = Counter()
    for place, disturbance, is_abandoned in choose(rotation.places(lambda: new_scenario(strategy))):
        scenario = stuck(
            rotation.prepared(lambda: new_scenario(strategy)), place, disturbance, is_abandoned=is_abandoned
        )
        state, *wrong = ended(scenario)
        states[state] += 1
        if wrong:
            found[f"{disturbance}, {'abandoned' if is_abandoned else 'left'}, {place}: {state}"] = "; ".join(wrong)
    record_property("states", dict(states))
    assert not found
