"""Which rotations are disturbed, at which messages, how do they heal, and what must hold then?

A cell of the matrix is one message of one rotation, with one disturbance and one way to heal. Each has a user, a secret
and a history of its own, so it can be looked at alone. A rotation that nobody disturbs tells which messages there are.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from rotation.kind import Strategy
from tests.faults.killing import Ending
from tests.faults.scenario import Scenario
from tests.faults.wire import Disturbance, Place, Watch
from tests.laboratories import INVOICES, ORDERS, THINGS

GAPLESS = {Strategy.ALTERNATING_USERS, Strategy.DUAL_PASSWORD}
"""The strategies with which AWSCURRENT works at every instant."""

EVERY, EVERY_OF_STAND_IN, FURTHER = 19, 57, 7
"""A sample takes one message of so many, and goes so far on in the cases from one server to the next."""


class Rotation(StrEnum):
    """Which rotation of the secret is disturbed: each has something else to do with a pair."""

    FIRST = "first"
    """There is no clone yet. It gets two rights."""
    SECOND = "second"
    """The clone is the current user, and was granted something by itself."""
    THIRD = "third"
    """The original is the current user again, and has lost something that both had."""

    def prepared(self, new_scenario: Callable[[], Scenario]) -> Scenario:
        """Return a scenario right before the rotation, with something to do for it."""
        scenario = new_scenario()
        if self is Rotation.SECOND:
            scenario.rotate()
        scenario.laboratory.allow(scenario.read().username, INVOICES)
        if self is Rotation.THIRD:
            scenario.rotate()
            scenario.rotate()
            scenario.laboratory.forbid(scenario.user.username, INVOICES)
        # They work here every day: a first login may take more messages than those that follow.
        for daily in (scenario.read(), scenario.laboratory.admin):
            assert scenario.laboratory.logs_in(daily)
        return scenario

    def places(self, new_scenario: Callable[[], Scenario]) -> Sequence[Place]:
        """Return the messages that there are, as a rotation says them that nobody disturbs."""
        scenario = self.prepared(new_scenario)
        scenario.begin()
        ending = scenario.run()
        assert ending.error is None
        scenario.require_done()
        return ending.places


class Healing(StrEnum):
    """What is done about it."""

    SAME_TOKEN = "same token"
    """What the service does: it begins again at createSecret, with the same token."""
    NEW_TOKEN = "new token"
    """What an operator does: takes AWSPENDING away, and starts another rotation."""


@dataclass(frozen=True)
class Case:
    """One kind of cell: what is done, wherever it is done."""

    rotation: Rotation
    disturbance: Disturbance
    healing: Healing

    def __str__(self) -> str:
        return ", ".join(self.kinds)

    @property
    def kinds(self) -> tuple[Rotation, Disturbance, Healing]:
        """All that tells it from others."""
        return self.rotation, self.disturbance, self.healing

    def problems(self, new_scenario: Callable[[], Scenario], place: Place) -> Iterator[str]:
        """Disturb a rotation at a message, heal it, and yield what does not hold."""
        scenario = self.rotation.prepared(new_scenario)
        former, cached = scenario.labels()["AWSCURRENT"], scenario.read()
        rights = [thing for thing in THINGS if scenario.laboratory.may_read(cached, thing)]
        scenario.begin()
        yield from self._wrong_ending(scenario.run(watch=Watch(self.disturbance, place)))
        if scenario.strategy in GAPLESS:
            if not scenario.laboratory.logs_in(cached):
                yield "disturbed: who read the secret before is locked out"
            yield from (f"disturbed: {text}" for text in self._wrong_application(scenario, rights))
        disturbed = scenario.token
        if self.healing is Healing.NEW_TOKEN:
            former = scenario.labels()["AWSCURRENT"]
            scenario.abandon()
            scenario.begin()
        if error := scenario.run().error:
            yield f"does not heal: {error}"
            return
        yield from wrong_labels(scenario, former)
        yield from self._wrong_application(scenario)
        if scenario.strategy in GAPLESS and not scenario.laboratory.logs_in(scenario.read("AWSPREVIOUS")):
            yield "AWSPREVIOUS does not log in"
        if disturbed not in (scenario.token, former) and scenario.version_logs_in(disturbed):
            yield "the password of the abandoned version logs in"

    def _wrong_ending(self, ending: Ending) -> Iterator[str]:
        if not ending.is_disturbed:
            yield "never came to this message"
        if ending.is_killed is (self.disturbance is Disturbance.CUT_OFF):
            yield "was killed" if ending.is_killed else "was not killed"
        if ending.error and "LoginRefused" in ending.error:
            yield f"took silence for a refusal: {ending.error}"

    def _wrong_application(self, scenario: Scenario, rights: Sequence[str] | None = None) -> Iterator[str]:
        """Say what an application cannot do that reads the secret now, or can do and should not.

        While the rotation is under way, it keeps at least the `rights` that it had.
        """
        wanted = [ORDERS] if self.rotation is Rotation.THIRD else [ORDERS, INVOICES]
        current = scenario.read()
        for thing in THINGS:
            can = scenario.laboratory.may_read(current, thing)
            if not can and thing in (wanted if rights is None else rights):
                yield f"AWSCURRENT cannot read {thing}"
            if can and rights is None and thing not in wanted:
                yield f"AWSCURRENT can still read {thing}"


CASES = [Case(*kinds) for kinds in itertools.product(Rotation, Disturbance, Healing)]


def sample(
    number: int, rotation: Rotation, places: Sequence[Place], every: int = EVERY
) -> Iterator[tuple[Case, Place]]:
    """Choose some cells of a rotation, one message of so many, the same ones each time.

    Each server and way to rotate there has a `number`. With another number begins another sequence of messages and of
    cases, so that together they have each message of a strategy several times, and each case.
    """
    for turn, place in enumerate(places[number % every :: every]):
        case = CASES[(turn + FURTHER * number) % len(CASES)]
        if case.rotation is rotation:
            yield case, place


def wrong_labels(scenario: Scenario, former: str) -> Iterator[str]:
    """Say what is wrong with the labels after this rotation, before which the version `former` was current."""
    versions = scenario.versions()
    for label, expected in (("AWSCURRENT", [scenario.token]), ("AWSPREVIOUS", [former])):
        if (holders := [version for version, labels in versions.items() if label in labels]) != expected:
            yield f"{label} is on {holders}, not on {expected}"
    for version, labels in versions.items():
        if "AWSPENDING" in labels and version != scenario.token:
            yield f"AWSPENDING is stuck on {version}"
