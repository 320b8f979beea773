"""Which databases does the listener of the stand-in for Oracle know?"""

from dataclasses import dataclass, field

from tests.local.stand_ins.oracle.database import Database
from tests.local.stand_ins.oracle.statements import Session


@dataclass
class Listener:
    """The databases, by the names of their services. Databases with one service name take turns."""

    services: dict[str, list[Database]] = field(repr=False)
    sessions: list[Session] = field(default_factory=list, repr=False)
    """All sessions. Each holds its database, which a failed assertion must not print."""
    refuses: int = 0
    """The number of the error with which it refuses every connection; 0 if it does not."""

    def choose(self, service: str) -> Database | None:
        """Return the database for a connection. A listener can know several by one name, which take turns
        (https://docs.oracle.com/en/database/oracle/oracle-database/19/netag/identifying-and-accessing-database.html)."""  # noqa: D205, D209
        known = self.services.get(service.upper(), [])
        if known:
            known.append(known.pop(0))
        return known[-1] if known else None

    def databases(self) -> list[Database]:
        """Return all databases."""
        found = {id(database): database for known in self.services.values() for database in known}
        return [*found.values()]
