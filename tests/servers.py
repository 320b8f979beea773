"""Which database servers are there to test against? Ours, and those named on the command line."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import psycopg2

from rotation.credential import Credential
from rotation.engine import Engine
from rotation.engines.mariadb import MariaDB
from rotation.engines.mysql import MySQL
from rotation.engines.postgresql import PostgreSQL
from tests.laboratories import Laboratory, PostgreSQLLaboratory
from tests.laboratories_mysql import MySQLLaboratory
from tests.local import mariadb_server, mysql_server, postgresql_binaries, postgresql_server

type Starter = Callable[[], AbstractContextManager[Laboratory]]

ENGINES: list[Engine] = [PostgreSQL(), MySQL(), MariaDB()]
"""Assigned so, mypy checks that every driver is an engine."""

KINDS = {engine.kind.name.lower(): engine.kind for engine in ENGINES}


def available(dsn: Callable[[str], str | None]) -> dict[str, dict[str, Starter]]:
    """Return, by engine, how to get a laboratory on each server; `dsn` is what the command line names for an engine."""
    servers: dict[str, dict[str, Starter]] = {
        "postgresql": {f"postgresql-{major}": partial(_postgresql, major) for major in postgresql_binaries.MAJORS},
        "mysql": {"mysql-9": _mysql},
        "mariadb": {f"mariadb-{version}": partial(_mariadb, version) for version in mariadb_server.PACKAGES},
    }
    given: dict[str, Callable[[str], AbstractContextManager[Laboratory]]] = {
        "postgresql": _given_postgresql,
        "mysql": partial(_given_mysql, MySQL()),
        "mariadb": partial(_given_mysql, MariaDB()),
    }
    return {
        engine: {f"{engine}-given": partial(given[engine], text)} if (text := dsn(engine)) else own
        for engine, own in servers.items()
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
        yield _mysql_laboratory(MySQL(), server, mysql_server.create_rds_master(server))


@contextmanager
def _mariadb(version: str) -> Iterator[Laboratory]:
    with (
        tempfile.TemporaryDirectory(prefix="mariadb-") as directory,
        mariadb_server.start(version, Path(directory), general_log=True) as server,
    ):
        yield _mysql_laboratory(MariaDB(), server, mariadb_server.create_rds_master(server))


def _mysql_laboratory(engine: Engine, server: mysql_server.Server, admin_password: str) -> MySQLLaboratory:
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
    """Read `mysql://user:password@host:port/?ca=FILE`; the user is the superuser, and stands for the admin too."""
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
    yield MySQLLaboratory(engine, superuser, bundle, (), superuser)
