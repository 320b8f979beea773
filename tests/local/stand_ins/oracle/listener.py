"""Which databases does the listener of the stand-in for Oracle know?"""

from dataclasses import dataclass, field

from tests.local.stand_ins.oracle.database import Database
from tests.local.stand_ins.oracle.statements import Session


@dataclass
class Listener:
    """Which databases are there, by the names of their services? The next one of a name is for the next connection."""

    services: dict[str, list[Database]]
    sessions: list[Session] = field(default_factory=list)

    def choose(self, service: str) -> Database | None:
        """Return the database that a connection is for. One listener may know several by one name, and takes turns
        (https://docs.oracle.com/en/database/oracle/oracle-database/19/netag/identifying-and-accessing-database.html)."""  # noqa: D205, D209
        known = self.services.get(service.upper(), [])
        if known:
            known.append(known.pop(0))
        return known[-1] if known else None

    def databases(self) -> list[Database]:
        """Return all."""
        found = {id(database): database for known in self.services.values() for database in known}
        return [*found.values()]
