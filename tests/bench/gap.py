"""How long can a reader of the secret not log in while a single user rotates?

An application reads the secret and logs in, again and again. The gap is from its first login that fails to the
beginning of its next one that does not. It cannot be shorter than one login and one call: testSecret proves the
password, and finishSecret moves AWSCURRENT.
"""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from rotation.steps import Step
from tests.bench.running import Running
from tests.faults.scenario import Scenario
from tests.local.demo.application import Application
from tests.local.demo.databases import Login, LoginFailed


def measure(turns: Sequence[tuple[Scenario, Running]], count: int) -> dict[str, list[float]]:
    """Return the gap of each rotation in milliseconds, by the handler's name; the handlers rotate in turn."""
    found: defaultdict[str, list[float]] = defaultdict(list)
    for _ in range(count):
        for scenario, function in turns:
            found[function.name].append(_gap(scenario, function))
    return found


def limit(scenario: Scenario, count: int) -> list[float]:
    """Return how long one call and one login take, so many times, in milliseconds."""
    found = []
    for _ in range(count):
        begun = time.perf_counter()
        _work(scenario, _read(scenario))
        found.append((time.perf_counter() - begun) * 1000)
    return found


def _gap(scenario: Scenario, function: Running) -> float:
    application = Application("reads the secret", lambda: _read(scenario), lambda login: _work(scenario, login))
    scenario.begin()
    with application:
        application.wait_for_more(2)
        for step in Step:
            function.rotate(scenario, step)
        application.wait_for_more(2)
    return application.tally.gap * 1000


def _read(scenario: Scenario) -> Login:
    found = scenario.read()
    return Login(
        engine=found.engine,
        host=found.host,
        port=found.port,
        dbname=found.database or "",
        username=found.username,
        password=found.password,
    )


def _work(scenario: Scenario, login: Login) -> None:
    if not scenario.laboratory.logs_in(replace(scenario.user, username=login.username, password=login.password)):
        raise LoginFailed("refused", refused=True)
