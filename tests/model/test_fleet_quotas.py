"""How long do 100,000 secrets take, and does AWS refuse a call meanwhile?

A simulation in its own time: no secret is rotated. Each call takes a token from the bucket of its quota; a call that
finds none is refused, and comes again as the state machine and the functions do it. A function that runs out of its
time meanwhile fails; then Secrets Manager begins the steps anew, and what is written already is not written again. How
many calls a rotation makes is counted by the bench; the seconds are assumptions, and stand below. docs/rotate-all.md
has the arithmetic.
"""

import heapq
import itertools
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import pytest

from rotation.fleet.outcome import LONGEST
from tests.local.aws import template
from tests.local.aws.quotas import QUOTAS

WRITES = ("PutSecretValue", "UpdateSecretVersionStage")
TRANSITIONS = ("StateTransition",)

BUCKETS = {
    **QUOTAS,
    TRANSITIONS: 800,
}
"""The quota of each group of operations, for a second. That of state transitions is an assumption: accounts and
Regions have other ones (https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html)."""

CONCURRENCY = 1_000
"""Invocations of Lambda at the same time: the account's quota, if it was never raised."""

STEPS: list[tuple[float, list[str]]] = [
    (0.5, ["StateTransition", "StateTransition", "Invoke", "DescribeSecret", "GetSecretValue"]),  # preflight
    (0.1, ["StateTransition", "RotateSecret"]),
    (1.0, ["Invoke", "DescribeSecret", "GetSecretValue", "PutSecretValue"]),  # createSecret
    (1.0, ["Invoke", "DescribeSecret", *["GetSecretValue"] * 3, "ListSecretVersionIds"]),  # setSecret, as MySQL's
    (1.0, ["Invoke", "DescribeSecret", "GetSecretValue"]),  # testSecret
    (1.0, ["Invoke", "DescribeSecret", "GetSecretValue", "UpdateSecretVersionStage"]),  # finishSecret
    (
        1.0,
        ["StateTransition", "StateTransition", "Invoke", "DescribeSecret", "StateTransition", "StateTransition"],
    ),  # wait, look, end
]
"""What one rotation of a healthy secret does: how long before, in seconds, and which calls."""

FUNCTION_STEPS: Final = range(2, 6)
TIMEOUT: Final = float(template.load(template.SOURCE)["Globals"]["Function"]["Timeout"])
"""Seconds of a function, for one step."""
TRIES: Final = 5
"""How often Secrets Manager tries a rotation at least: several times, it says. This is an assumption."""
PAUSE: Final = 60.0
"""Seconds after which Secrets Manager tries a rotation again. It is an assumption: AWS does not say it."""


@dataclass
class Buckets:
    """The quotas as token buckets: each is filled evenly, and holds what a second brings."""

    share: float
    """Which part of them others leave."""
    refused: Counter[str] = field(default_factory=Counter)
    _tokens: dict[tuple[str, ...], tuple[float, float]] = field(default_factory=dict)

    def take(self, operation: str, now: float) -> bool:
        """Take a token of an operation; tell whether there was one."""
        for operations, a_second in BUCKETS.items():
            if operation in operations:
                rate = a_second * self.share
                tokens, at = self._tokens.get(operations, (rate, now))
                tokens = min(rate, tokens + (now - at) * rate)
                granted = tokens >= 1
                self._tokens[operations] = (tokens - granted, now)
                self.refused[operation] += not granted
                return granted
        return True


@dataclass
class Rotation:
    """How far the rotation of one healthy secret is."""

    server: int
    tries: int = 1
    begun: float = 0
    """When RotateSecret was answered."""
    _step: int = 0
    _number: int = 0
    _since: float = 0
    """When this step began."""
    _written: set[str] = field(default_factory=set)

    @property
    def call(self) -> str:
        """Which call comes next."""
        return STEPS[self._step][1][self._number]

    @property
    def is_superfluous(self) -> bool:
        """Whether an earlier try has written it."""
        return self.call in self._written

    def answered(self, now: float) -> float | None:
        """Go on; return when the next call comes, None if that was the last one."""
        self._written |= {self.call} & set(WRITES)
        self._number += 1
        if self._number < len(STEPS[self._step][1]):
            return now
        if self._step < FUNCTION_STEPS[0]:
            self.begun = now
        self._step, self._number, self._since = self._step + 1, 0, now
        return now + STEPS[self._step][0] if self._step < len(STEPS) else None

    def refused(self, now: float, pause: float) -> float:
        """Return when the call comes again; if its function has no time left, it comes in the next try of all steps."""
        if self._step not in FUNCTION_STEPS or now + pause < self._since + TIMEOUT:
            return now + pause
        self._step, self._number, self._since = FUNCTION_STEPS[0], 0, now + PAUSE
        self.tries += 1
        return self._since + STEPS[self._step][0]


@dataclass
class Simulation:
    """A run over so many secrets on so many servers."""

    secrets: int
    servers: int
    at_once: int = 2
    servers_at_once: int = 20
    share: float = 0.5
    seconds: float = 0
    most_under_way: int = 0
    tries: Counter[int] = field(default_factory=Counter)
    """How many rotations took so many."""
    slowest: float = 0
    """Seconds of the slowest one, from RotateSecret on."""

    def __post_init__(self) -> None:
        """Begin with the first servers."""
        self.buckets, self._dice = Buckets(self.share), random.Random(1)  # noqa: S311 - nothing secret
        self._waiting = [self.secrets // self.servers] * self.servers
        self._under_way, self._closed = Counter[int](), iter(range(self.servers))
        self._order = itertools.count()
        self._events: list[tuple[float, int, Rotation]] = []
        for _ in range(self.servers_at_once):
            self._open_next(0)

    def run(self) -> Buckets:
        """Let all secrets rotate; return the buckets."""
        while self._events:
            self.most_under_way = max(self.most_under_way, len(self._events))
            now, _, rotation = heapq.heappop(self._events)
            self.seconds = now
            if not (rotation.is_superfluous or self.buckets.take(rotation.call, now)):
                self._push(rotation.refused(now, self._dice.uniform(0.5, 1)), rotation)
            elif (moment := rotation.answered(now)) is not None:
                self._push(moment, rotation)
            else:
                self._ended(rotation, now)
        return self.buckets

    def _ended(self, rotation: Rotation, now: float) -> None:
        self.tries[rotation.tries] += 1
        self.slowest = max(self.slowest, now - rotation.begun)
        self._under_way[rotation.server] -= not self._begin(rotation.server, now)
        if not self._under_way[rotation.server]:
            self._open_next(now)

    def _open_next(self, now: float) -> None:
        if (server := next(self._closed, None)) is not None:
            self._under_way[server] = sum(self._begin(server, now) for _ in range(self.at_once))

    def _begin(self, server: int, now: float) -> bool:
        if not self._waiting[server]:
            return False
        self._waiting[server] -= 1
        self._push(now + self._dice.random() + STEPS[0][0], Rotation(server))
        return True

    def _push(self, moment: float, rotation: Rotation) -> None:
        heapq.heappush(self._events, (moment, next(self._order), rotation))


def calls_of_a_rotation() -> Counter[str]:
    """Return how many calls of each operation one rotation makes."""
    return Counter(call for _, calls in STEPS for call in calls)


def test_the_quotas_of_the_arithmetic() -> None:
    assert {group: QUOTAS[group] for group in (("RotateSecret", "CancelRotateSecret"), WRITES)} == {
        ("RotateSecret", "CancelRotateSecret"): 50,
        WRITES: 50,
    }


@pytest.mark.thorough(secrets=[100_000])
@pytest.mark.parametrize("secrets", [1_000, 100_000])
def test_with_the_defaults_nothing_is_refused_by_half_of_the_quotas(secrets: int) -> None:
    """Twenty servers, two secrets of each: the pace is that of the rotations."""
    simulation = Simulation(secrets, servers=100)
    buckets = simulation.run()
    assert not +buckets.refused
    in_flight = simulation.at_once * simulation.servers_at_once
    alone = sum(seconds for seconds, _ in STEPS)
    assert simulation.seconds == pytest.approx(secrets / in_flight * alone, rel=0.2)
    assert simulation.most_under_way <= in_flight < CONCURRENCY


def test_with_too_many_at_once_the_writes_are_the_limit_and_all_rotate() -> None:
    """What is refused comes again; the run is no faster than the quota of what writes.

    A function that was refused until its time was over is tried again, as often as Secrets Manager does it, and within
    the time for which a run waits.
    """
    simulation = Simulation(6_000, servers=300, servers_at_once=300)
    buckets = simulation.run()
    writes = calls_of_a_rotation()["PutSecretValue"] + calls_of_a_rotation()["UpdateSecretVersionStage"]
    assert set(+buckets.refused) & set(WRITES)
    assert simulation.seconds >= simulation.secrets * writes / (50 * simulation.share) - 1
    assert simulation.tries.total() == simulation.secrets
    assert 0 < simulation.secrets - simulation.tries[1] < simulation.secrets / 5
    assert max(simulation.tries) <= TRIES
    assert simulation.slowest < LONGEST.total_seconds()


def test_with_as_many_as_the_quota_of_writes_allows_no_function_runs_out_of_time() -> None:
    simulation = Simulation(7_000, servers=140, servers_at_once=70, share=1)
    simulation.run()
    assert simulation.tries == {1: simulation.secrets}
