"""What does a warm rotation take? Time, calls, messages, logins: counted outside of the function.

`tests.faults.wire` stands between the function and all that it talks to, and counts messages: what the function says
until it is answered. Inside of TLS each record of it is a message, the handshake's included.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from rotation.kind import Strategy
from rotation.steps import Step
from tests.bench.handlers import OURS, THEIRS, Handler
from tests.bench.running import Running, Taken, Unmeasurable, running
from tests.faults.scenario import AWS, DATABASE, Scenario
from tests.faults.wire import Watch, Wire
from tests.laboratories import Laboratory
from tests.local.aws.lambda_runtime import BUILT_TEMPLATE
from tests.local.aws.secrets_manager import LocalSecretsManager
from tests.local.servers.processes import LOOPBACK

_CERTS = BUILT_TEMPLATE.parent / "CommonLayer/python/rotation/certs"
WHOLE, OF_REGION = _CERTS / "rds-global-bundle.pem", _CERTS / "regions/eu-west-1.pem"
"""What a client reads for each login: ours the authorities of the Region that the host names; another one, all."""


@dataclass(frozen=True)
class Way:
    """A strategy, and whether an admin is named."""

    strategy: Strategy
    through_admin: bool

    def __str__(self) -> str:
        by_admin = self.through_admin and self.strategy is not Strategy.ALTERNATING_USERS
        return f"{self.strategy}{' by an admin' if by_admin else ''}"


@dataclass(frozen=True)
class Traffic:
    """What went over the wire."""

    calls: Counter[str]
    """How often each operation of AWS was called."""
    call_bytes: Counter[str]
    """How long the requests and the answers were, by operation."""
    connections: int
    """To the database."""
    messages: int
    """To the database."""
    database_bytes: int

    @classmethod
    def seen_by(cls, watch: Watch) -> "Traffic":
        """Sum up what a watch has seen."""
        ours = [place for place in watch.places if place.party == DATABASE]
        calls = [place for place in watch.places if place.operation]
        lengths: Counter[str] = Counter()
        for place in calls:
            lengths[place.operation] += watch.bytes[place]
        return cls(
            Counter(place.operation for place in calls),
            lengths,
            len({place.connection for place in ours}),
            len(ours),
            sum(length for place, length in watch.bytes.items() if place.party == DATABASE),
        )


@dataclass
class Measured:
    """What was measured of a handler in one way."""

    steps: defaultdict[Step, list[Taken]] = field(default_factory=lambda: defaultdict(list))
    traffic: list[Traffic] = field(default_factory=list)
    """Of each rotation."""
    refused: int | None = None
    """How many logins the server refused in all rotations; None if it does not tell."""
    memory: float = 0.0

    @property
    def first(self) -> Traffic:
        """Of the first rotation, which makes the clone of a pair."""
        return self.traffic[0]

    @property
    def warm(self) -> Traffic:
        """Of the last rotation."""
        return self.traffic[-1]

    def rotations(self, what: str) -> list[float]:
        """Return the milliseconds of each rotation: of its steps together."""
        return [sum(getattr(taken, what) for taken in steps) for steps in zip(*self.steps.values(), strict=True)]


class Bench:
    """A server, a Secrets Manager, and the wire to both."""

    def __init__(self, laboratory: Laboratory, folder: Path, exits: ExitStack) -> None:
        """Start what is missing."""
        self.laboratory = laboratory
        self.service = exits.enter_context(LocalSecretsManager(attempts=1))
        ports = {AWS: urlsplit(self.service.endpoint_url).port or 0, DATABASE: laboratory.admin.port}
        self.wire = exits.enter_context(Wire(ports))
        own = laboratory.ca_bundle.read_text() if laboratory.ca_bundle else ""
        self._bundles = {THEIRS: folder / "all.pem", OURS: folder / "region.pem"}
        for bundle, shipped in zip(self._bundles.values(), (WHOLE, OF_REGION), strict=True):
            bundle.write_text(shipped.read_text() + own)

    def scenario(self, way: Way) -> Scenario:
        """Make a user and its secret."""
        return Scenario(self.laboratory, self.service, self.wire, way.strategy, way.through_admin)

    def environment(self, handler: Handler) -> Mapping[str, str]:
        """Return what leads a function over the wire, with as many authorities as it has for a host of RDS."""
        endpoint = f"http://{LOOPBACK}:{self.wire.port(AWS)}"
        here = {"AWS_ENDPOINT_URL": endpoint, "SECRETS_MANAGER_ENDPOINT": endpoint}
        return {**self.service.environment, **here, "DB_CA_BUNDLE": str(self._bundles[handler.name])}


def measure(bench: Bench, handlers: Sequence[Handler], way: Way, count: int) -> dict[str, Measured]:
    """Rotate a secret of each handler so many times, in turn, after two rotations that are not counted."""
    found = {handler.name: Measured() for handler in handlers}
    with ExitStack() as exits:
        turns = []
        for handler in handlers:
            function = exits.enter_context(running(handler, bench.environment(handler)))
            turns.append((found[handler.name], bench.scenario(way), function))
        for number in range(count + 2):
            for measured, scenario, function in turns:
                _rotate(measured, scenario, function, number)
        for measured, _, function in turns:
            measured.memory = function.peak()
    return found


def _rotate(measured: Measured, scenario: Scenario, function: Running, number: int) -> None:
    before, watch = scenario.laboratory.logins(), scenario.wire.watch(Watch())
    scenario.begin()
    for step in Step:
        taken = function.rotate(scenario, step)
        if number > 1:
            measured.steps[step].append(taken)
    measured.traffic.append(Traffic.seen_by(watch))
    if scenario.labels()["AWSCURRENT"] != scenario.token:
        raise Unmeasurable(function.name, "its four steps have not moved AWSCURRENT")
    if (now := scenario.laboratory.logins()) and before:
        measured.refused = (measured.refused or 0) + (now - before).refused
