"""Which database servers are there to test against? Ours, and those named on the command line."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec

from rotation.engine import Engine
from rotation.engines.mariadb import MariaDB
from rotation.engines.mysql import MySQL
from rotation.engines.oracle import Oracle
from rotation.engines.postgresql import PostgreSQL
from rotation.engines.sqlserver import SQLServer
from rotation.kind import Strategy
from tests.laboratories import Laboratory, mysql, oracle, postgresql, sqlserver
from tests.local.servers import mariadb as mariadb_server
from tests.local.servers import postgresql_binaries

type Starter = Callable[[], AbstractContextManager[Laboratory]]


@dataclass(frozen=True)
class Servers:
    """What an engine is tested on."""

    engine: Engine
    own: Mapping[str, Starter]
    """What starts each server of ours, the oldest first, and returns a look into it."""
    given: Callable[[str], AbstractContextManager[Laboratory]]
    """Returns a look into a server that is not ours; takes what the command line says of it."""
    every: Mapping[str, Starter] = field(default_factory=dict)
    """The same for more versions, of which `own` is a part: for runs with --every-version."""
    are_real: bool = True
    """Whether they are what is run in production, and no stand-in for it."""
    admin_adds_passwords: bool = True
    """Whether a user of two passwords may be kept from adding one by itself, so that an admin does it."""

    def ways(self) -> Iterator[tuple[Strategy, bool]]:
        """Yield each strategy that the engine has, and whether through an admin."""
        for strategy in sorted(self.engine.kind.strategies):
            is_dual = strategy is Strategy.DUAL_PASSWORD
            if strategy is Strategy.SINGLE_USER or (is_dual and not self.engine.kind.dual_password_needs_admin):
                yield strategy, False
            if strategy is Strategy.ALTERNATING_USERS or (is_dual and self.admin_adds_passwords):
                yield strategy, True


def available(dsn: Callable[[str], str | None], *, every_version: bool = False) -> dict[str, dict[str, Starter]]:
    """Return, by engine, how to get a laboratory on each server; `dsn` is what the command line names for an engine."""
    ours = {engine: dict((every_version and servers.every) or servers.own) for engine, servers in SERVERS.items()}
    given = {engine: (servers.given, text) for engine, servers in SERVERS.items() if (text := dsn(engine))}
    return ours | {engine: {f"{engine}-given": partial(look, text)} for engine, (look, text) in given.items()}


def _postgresql(majors: Iterable[int]) -> dict[str, Starter]:
    return {f"postgresql-{major}": partial(postgresql.own, major) for major in majors}


def _mariadb(versions: Iterable[str]) -> dict[str, Starter]:
    return {f"mariadb-{version}": partial(mysql.own_mariadb, version) for version in versions}


SERVERS = {
    "postgresql": Servers(
        PostgreSQL(),
        _postgresql(postgresql_binaries.MAJORS),
        postgresql.given,
        every=_postgresql(postgresql_binaries.EVERY_MAJOR),
    ),
    "mysql": Servers(MySQL(), {"mysql-9": mysql.own_mysql}, partial(mysql.given, MySQL())),
    "mariadb": Servers(
        MariaDB(),
        _mariadb(mariadb_server.VERSIONS),
        partial(mysql.given, MariaDB()),
        every=_mariadb(mariadb_server.PACKAGES),
    ),
    "oracle": Servers(
        Oracle(), {"oracle-stand-in": oracle.own}, oracle.given, are_real=False, admin_adds_passwords=False
    ),
    "sqlserver": Servers(SQLServer(), {"sqlserver-stand-in": sqlserver.own}, sqlserver.given, are_real=False),
}
"""By the name that the command line has for the engine. One engine more, one line more."""

if find_spec("ibm_db"):  # IBM publishes it for x86_64 only
    from rotation.engines.db2 import Db2
    from tests.laboratories import db2

    SERVERS["db2"] = Servers(Db2(), {"db2-stand-in": db2.own}, db2.given, are_real=False)
