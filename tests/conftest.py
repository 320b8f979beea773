"""Which servers do the tests run against? Ours, started once, and those named on the command line."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg2
import pytest

from rotation.credential import Credential
from tests.laboratories import Laboratory, PostgreSQLLaboratory
from tests.local import postgresql_server

POSTGRESQL_MAJORS = (15, 18)
"""One in which CREATEROLE rules all roles, and one in which it rules those it was given."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--postgresql-dsn",
        help="a superuser's connection string to a PostgreSQL server that may be written to, used instead of our own",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that asks for `postgresql` against each PostgreSQL server."""
    if "postgresql" in metafunc.fixturenames:
        dsn = metafunc.config.getoption("--postgresql-dsn")
        servers = [dsn] if dsn else list(POSTGRESQL_MAJORS)
        names = ["given"] if dsn else [f"postgresql-{major}" for major in servers]
        metafunc.parametrize("postgresql", servers, ids=names, indirect=True)


@pytest.fixture(scope="session")
def servers() -> Iterator[Callable[[object], PostgreSQLLaboratory]]:
    """Start each server once, when the first test asks for it."""
    started: dict[object, PostgreSQLLaboratory] = {}
    with ExitStack() as stack:

        def laboratory(wanted: object) -> PostgreSQLLaboratory:
            if wanted not in started:
                started[wanted] = _given(str(wanted)) if isinstance(wanted, str) else _our_own(int(str(wanted)), stack)
            return started[wanted]

        yield laboratory


@pytest.fixture
def postgresql(
    request: pytest.FixtureRequest,
    servers: Callable[[object], PostgreSQLLaboratory],
    monkeypatch: pytest.MonkeyPatch,
) -> PostgreSQLLaboratory:
    """A PostgreSQL server, whose certificate the driver trusts."""
    laboratory = servers(request.param)
    monkeypatch.setenv("DB_CA_BUNDLE", str(laboratory.ca_bundle))
    return laboratory


def _our_own(major: int, stack: ExitStack) -> PostgreSQLLaboratory:
    server = stack.enter_context(postgresql_server.start(major))
    superuser = Credential(
        engine="postgres",
        host=server.host,
        port=server.port,
        database="postgres",
        username=server.superuser,
        password=server.password,
        tls=True,
    )
    return PostgreSQLLaboratory.prepare(superuser, server.ca_bundle, server.log_file)


def _given(dsn: str) -> PostgreSQLLaboratory:
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
    return PostgreSQLLaboratory.prepare(superuser, Path(parameters["sslrootcert"]), None)
