"""How are rotations watched for a time line? As in the demo: a real server, the built function, two applications.

The first rotation of each strategy is left out: it has the cold start of the function, and makes the clone.
"""

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from tests.local.demo import DemoError
from tests.local.demo.application import Application
from tests.local.demo.databases import Engine, Login, Strategy
from tests.local.demo.scenario import Scenario
from tests.local.demo.screen import Screen
from tests.local.pictures.timeline import Attempt, Span, Watched

_LOGINS = 6
"""The logins of each application before RotateSecret, and again after the rotation."""

_MARGIN = 0.25
"""Seconds that are shown before the first step and after the last one."""


@dataclass
class Reader:
    """What an application does, and when it did."""

    work: Callable[[Login], None]
    attempts: list[Attempt] = field(default_factory=list)

    def __call__(self, login: Login) -> None:
        """Log in. Raises LoginFailed."""
        began, refused = time.perf_counter(), True
        try:
            self.work(login)
            refused = False
        finally:
            self.attempts.append(Attempt(began, time.perf_counter(), refused))


@dataclass
class Steps:
    """When the steps began and ended; a view of the demo's observer."""

    spans: list[Span] = field(default_factory=list)
    _began: float = 0.0

    def began(self, _step: str, /) -> None:
        """A step begins."""
        self._began = time.perf_counter()

    def ended(self, step: str, _seconds: float, _said: str, /, *, good: bool) -> None:
        """A step has ended."""
        assert good
        self.spans.append(Span(step, self._began, time.perf_counter()))


def watched(engine: Engine) -> tuple[str, list[Watched]]:
    """Rotate with each strategy of an engine; return the server's version, and what was seen. Raises DemoError."""
    with ExitStack() as stack:
        scenario = Scenario.prepare(Screen.on(sys.stderr), engine, stack)
        return scenario.database.version, [_watched(scenario, strategy) for strategy in engine.strategies]


def _watched(scenario: Scenario, strategy: Strategy) -> Watched:
    secret_id = scenario.new_secret(strategy)
    _rotate(scenario, secret_id)
    fresh, caching, steps = Reader(scenario.database.work), Reader(scenario.database.work), Steps()
    client = scenario.manager.client()

    def read() -> Login:
        return Login.parse(client.get_secret_value(SecretId=secret_id)["SecretString"])

    cached = read()
    with (
        Application("reads", read, fresh) as one,
        Application("keeps", lambda: cached, caching) as other,
        scenario.observer.showing(steps),
    ):
        _wait(one, other)
        begin = time.perf_counter()
        _rotate(scenario, secret_id)
        _wait(one, other)
    return _from(begin, Watched(strategy.title, steps.spans, fresh.attempts, caching.attempts)).around(_MARGIN)


def _rotate(scenario: Scenario, secret_id: str) -> None:
    scenario.manager.client().rotate_secret(SecretId=secret_id, RotationLambdaARN=scenario.function_arn)
    outcome = scenario.manager.wait(secret_id)
    if outcome.result != "succeeded":
        raise DemoError(f"the rotation of {secret_id} {outcome.result}: {outcome.error}")


def _wait(*applications: Application) -> None:
    for application in applications:
        application.wait_for_more(_LOGINS)


def _from(begin: float, seen: Watched) -> Watched:
    """Count from the time `begin`."""
    return replace(
        seen,
        steps=[Span(one.name, one.began - begin, one.ended - begin) for one in seen.steps],
        fresh=[_moved(one, begin) for one in seen.fresh],
        caching=[_moved(one, begin) for one in seen.caching],
    )


def _moved(one: Attempt, begin: float) -> Attempt:
    return replace(one, began=one.began - begin, ended=one.ended - begin)
