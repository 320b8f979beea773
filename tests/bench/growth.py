"""How does a rotation of a pair grow: with its grants, with databases, with all others on its server?

What is measured is what setSecret does with the servers, by the driver itself: the logins, and all that the admin asks
and changes. Secrets Manager is left out. `tests.faults.wire` counts the messages.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from rotation.credential import Credential
from tests.bench import growing
from tests.contract.pairs import RecordInMemory, set_secret
from tests.faults.scenario import DATABASE
from tests.faults.wire import Watch, Wire
from tests.laboratories import INVOICES, deadline
from tests.laboratories.mysql import MySQLLaboratory
from tests.laboratories.oracle import OracleLaboratory
from tests.laboratories.postgresql import PostgreSQLLaboratory
from tests.laboratories.sqlserver import SQLServerLaboratory

type Growable = MySQLLaboratory | PostgreSQLLaboratory | OracleLaboratory | SQLServerLaboratory
"""And Db2's, whose module is not everywhere."""
type Sizes = Mapping[str, Sequence[int]]

GRANTS = (10, 100, 1_000, 5_000, 20_000)
SIZES: Sizes = {
    "tables": GRANTS,
    "columns": GRANTS,
    "databases": (10, 100, 500),
    "secrets": (1, 100, 1_000),
}
"""What there is of each kind."""

OF_STAND_INS: Sizes = {"tables": (10, 100, 500)}
"""Only messages are counted."""

SECONDS = 3600.0


@dataclass(frozen=True)
class Cost:
    """What one rotation took of the step setSecret."""

    processor: float
    """Seconds in which our thread was running."""
    clock: float
    """Seconds."""
    messages: int
    bytes: int

    def at(self, milliseconds: float) -> float:
        """Return how many seconds it takes if each message waits so long for the network."""
        return self.clock + self.messages * milliseconds / 1000


@dataclass(frozen=True)
class Costs:
    """What three rotations of one pair took."""

    first: Cost
    """The clone is created."""
    later: Cost
    """Nothing has changed since the last one."""
    changed: Cost
    """One grant was added since the last one."""


@dataclass(frozen=True)
class Point:
    """A point of a curve."""

    server: str
    what: str
    size: int
    costs: Costs


def measure(server: str, laboratory: Growable, sizes: Sizes, say: Callable[[str], None]) -> Iterator[Point]:
    """Measure all curves on one server; the kinds come in the order in which they disturb each other least."""
    with ExitStack() as exits:
        wire = exits.enter_context(Wire({DATABASE: laboratory.admin.port}))
        for what, counts in sizes.items():
            present = 0
            for count in counts:
                say(f"{server}: {count:,} {what}")
                user = laboratory.new_user()
                if what == "secrets" and isinstance(laboratory, MySQLLaboratory | PostgreSQLLaboratory):
                    growing.add_pairs(laboratory, count - present)
                    present = count
                else:
                    growing.grow(laboratory, what, user, count)
                yield Point(server, what, count, _three(laboratory, wire, user))


def _three(laboratory: Growable, wire: Wire, user: Credential) -> Costs:
    record, through = RecordInMemory(), _through(laboratory, wire)

    def rotate(current: Credential, *earlier: Credential) -> tuple[Credential, Cost]:
        watch = wire.watch(Watch())
        processor, clock = time.thread_time(), time.perf_counter()
        pending = set_secret(through, current, *earlier, pair=record, within=deadline(SECONDS))
        taken = time.thread_time() - processor, time.perf_counter() - clock
        return pending, Cost(*taken, len(watch.places), watch.bytes.total())

    current = replace(user, port=through.admin.port)
    clone, first = rotate(current)
    current, later = rotate(clone, current)
    laboratory.allow(current.username, INVOICES)
    _, changed = rotate(current, clone)
    return Costs(first, later, changed)


def _through(laboratory: Growable, wire: Wire) -> Growable:
    """Return the laboratory, whose admin logs in over the wire."""
    return replace(laboratory, admin=replace(laboratory.admin, port=wire.port(DATABASE)))
