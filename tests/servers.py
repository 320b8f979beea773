"""Which database servers are there to test against? Ours, and those named on the command line."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec

from rotation.engine import Engine
from rotation.engines.mariadb import MariaDB
from rotation.engines.mysql import MySQL
from rotation.engines.oracle import Oracle
from rotation.engines.postgresql import PostgreSQL
from rotation.engines.sqlserver import SQLServer
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
    are_real: bool = True
    """Whether they are what is run in production, and no stand-in for it."""
    admin_adds_passwords: bool = True
    """Whether a user of two passwords may be kept from adding one by itself, so that an admin does it."""


def available(dsn: Callable[[str], str | None]) -> dict[str, dict[str, Starter]]:
    """Return, by engine, how to get a laboratory on each server; `dsn` is what the command line names for an engine."""
    return {
        engine: {f"{engine}-given": partial(servers.given, text)} if (text := dsn(engine)) else dict(servers.own)
        for engine, servers in SERVERS.items()
    }


SERVERS = {
    "postgresql": Servers(
        PostgreSQL(),
        {f"postgresql-{major}": partial(postgresql.own, major) for major in postgresql_binaries.MAJORS},
        postgresql.given,
    ),
    "mysql": Servers(MySQL(), {"mysql-9": mysql.own_mysql}, partial(mysql.given, MySQL())),
    "mariadb": Servers(
        MariaDB(),
        {f"mariadb-{version}": partial(mysql.own_mariadb, version) for version in mariadb_server.PACKAGES},
        partial(mysql.given, MariaDB()),
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
