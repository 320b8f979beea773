"""Which database servers are there to test against? Ours, and those named on the command line."""

import os
import secrets
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import psycopg2

from rotation.credential import Credential
from rotation.engine import Engine
from rotation.engines.mariadb import MariaDB
from rotation.engines.mysql import MySQL
from rotation.engines.oracle import Oracle
from rotation.engines.postgresql import PostgreSQL
from rotation.engines.sqlserver import SQLServer
from tests import laboratories_oracle, laboratories_sqlserver
from tests.laboratories import Laboratory, PostgreSQLLaboratory
from tests.laboratories_mysql import MySQLLaboratory
from tests.local.servers import mariadb as mariadb_server
from tests.local.servers import mysql as mysql_server
from tests.local.servers import postgresql as postgresql_server
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


@contextmanager
def _postgresql(major: int) -> Iterator[Laboratory]:
    with postgresql_server.start(major) as server:
        superuser = Credential(
            engine="postgres",
            host=server.host,
            port=server.port,
            database="postgres",
            username=server.superuser,
            password=server.password,
            tls=True,
        )
        yield PostgreSQLLaboratory.prepare(superuser, server.ca_bundle, server.log_file)


@contextmanager
def _mysql() -> Iterator[Laboratory]:
    with (
        tempfile.TemporaryDirectory(prefix="mysql-") as directory,
        mysql_server.start(Path(directory), general_log=True) as server,
    ):
        yield mysql_laboratory(MySQL(), server, mysql_server.create_rds_master(server))


@contextmanager
def _mariadb(version: str) -> Iterator[Laboratory]:
    with (
        tempfile.TemporaryDirectory(prefix="mariadb-") as directory,
        mariadb_server.start(version, Path(directory), general_log=True) as server,
    ):
        yield mysql_laboratory(MariaDB(), server, mariadb_server.create_rds_master(server))


def mysql_laboratory(engine: Engine, server: mysql_server.Server, admin_password: str) -> MySQLLaboratory:
    """Return a look into a MySQL or MariaDB of ours, and its master."""
    superuser = Credential(
        engine=min(engine.kind.engine_values, key=len),
        host=server.host,
        port=server.port,
        database=None,
        username=server.superuser,
        password=server.password,
        tls=True,
    )
    return MySQLLaboratory(
        engine=engine,
        superuser=superuser,
        ca_bundle=server.ca_bundle,
        log_files=(server.log_files.general, server.log_files.error),
        admin=replace(superuser, username="admin", password=admin_password),
        version=server.version,
    )


@contextmanager
def _given_postgresql(dsn: str) -> Iterator[Laboratory]:
    """Read `host=… user=… password=… sslrootcert=…`."""
    parameters = psycopg2.extensions.parse_dsn(dsn)
    superuser = Credential(
        engine="postgres",
        host=parameters["host"],
        port=int(parameters.get("port", 5432)),
        database=parameters.get("dbname", "postgres"),
        username=parameters["user"],
        password=parameters["password"],
        tls=True,
    )
    yield PostgreSQLLaboratory.prepare(superuser, Path(parameters["sslrootcert"]), None)


@contextmanager
def _given_mysql(engine: Engine, dsn: str) -> Iterator[Laboratory]:
    """Read `mysql://user:password@host:port/?ca=FILE`; the user is the superuser.

    The tests mean an admin that may do less, so one is made, and dropped at the end. If the user is called like the
    admin, it is the master of an RDS instance, and stands for both.
    """
    parts = urlsplit(dsn)
    superuser = Credential(
        engine=parts.scheme,
        host=parts.hostname or "localhost",
        port=parts.port or 3306,
        database=None,
        username=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        tls=True,
    )
    bundle = Path(parse_qs(parts.query).get("ca", [os.devnull])[0])
    laboratory = MySQLLaboratory(engine, superuser, bundle, (), superuser)
    if superuser.username == "admin":
        yield laboratory
        return
    grant = (mariadb_server if engine.kind.name == "MariaDB" else mysql_server).RDS_MASTER_GRANT
    admin, account = replace(superuser, username="admin", password=f"Aa1-{secrets.token_urlsafe()}"), "'admin'@'%'"
    with laboratory.session() as run:
        run(f"CREATE USER {account} IDENTIFIED BY '{admin.password}'")
        run(grant.format(account))
    try:
        yield replace(laboratory, admin=admin)
    finally:
        with laboratory.session() as run:
            run(f"DROP USER {account}")


SERVERS = {
    "postgresql": Servers(
        PostgreSQL(),
        {f"postgresql-{major}": partial(_postgresql, major) for major in postgresql_binaries.MAJORS},
        _given_postgresql,
    ),
    "mysql": Servers(MySQL(), {"mysql-9": _mysql}, partial(_given_mysql, MySQL())),
    "mariadb": Servers(
        MariaDB(),
        {f"mariadb-{version}": partial(_mariadb, version) for version in mariadb_server.PACKAGES},
        partial(_given_mysql, MariaDB()),
    ),
    "oracle": Servers(
        Oracle(),
        {"oracle-stand-in": laboratories_oracle.own},
        laboratories_oracle.given,
        are_real=False,
        admin_adds_passwords=False,
    ),
    "sqlserver": Servers(
        SQLServer(), {"sqlserver-stand-in": laboratories_sqlserver.own}, laboratories_sqlserver.given, are_real=False
    ),
}
"""By the name that the command line has for the engine. One engine more, one line more."""

if find_spec("ibm_db"):  # IBM publishes it for x86_64 only
    from rotation.engines.db2 import Db2
    from tests import laboratories_db2

    SERVERS["db2"] = Servers(Db2(), {"db2-stand-in": laboratories_db2.own}, laboratories_db2.given, are_real=False)
