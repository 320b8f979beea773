"""Which servers does a test run against? Each one of those that it asks for, started once, when the first test asks."""

import gc
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack

import pytest

from tests import servers
from tests.absent import Absent
from tests.forms import outlines
from tests.laboratories import Laboratory
from tests.laboratories.mysql import MySQLLaboratory
from tests.laboratories.oracle import OracleLaboratory
from tests.laboratories.postgresql import PostgreSQLLaboratory
from tests.laboratories.sqlserver import SQLServerLaboratory
from tests.leaks import Leaks
from tests.local.evidence import keep_text
from tests.local.servers import fetch as fetch_servers

collect_ignore_glob = [] if "db2" in servers.SERVERS else ["*/test_db2*.py"]
"""Where IBM's client cannot be had, its tests cannot even be read."""

type Laboratories = Callable[[str], Laboratory]


def pytest_addoption(parser: pytest.Parser) -> None:
    for engine, own in servers.SERVERS.items():
        parser.addoption(
            f"--{engine}-dsn",
            help=f"how a superuser connects to a server of {own.engine.kind.name} that may be written to, to be used "
            "instead of our own",
        )
    parser.addoption(
        "--every-version",
        action="store_true",
        help="run against every version of PostgreSQL and MariaDB that can be had, not against some of them; thorough",
    )
    parser.addoption(
        "--thorough",
        action="store_true",
        help="run the cases with the mark `thorough`, too",
    )
    parser.addoption(
        "--every-crash-point",
        action="store_true",
        help="kill and cut off rotations at every message, not at a sample; print and keep a table of what came of it",
    )


def pytest_configure(config: pytest.Config) -> None:
    os.environ["ALLOW_LOCAL_HOSTS"] = "true"  # where the servers are
    config.pluginmanager.register(Absent())
    if not hasattr(config, "workerinput"):  # in the process that has workers, or has no need of them
        config.pluginmanager.register(Leaks())
    if config.getoption("--hypothesis-profile"):
        from tests import profiles  # noqa: F401, PLC0415 - it is registered there; few runs ask for one
    if config.getoption("--every-crash-point"):
        from tests.faults.table import Table  # noqa: PLC0415 - no other run has to wait for what it imports

        config.pluginmanager.register(Table())


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that asks for an engine by its name, or for the `laboratory` of its mark, against each server of it.

    A test that asks for `every_laboratory` runs against all servers, with each strategy of the engine, by the user
    itself and through an admin. The markers `strategies`, `newest` and `real_servers` select fewer.
    """
    available = _available(metafunc.config)
    if "laboratory" in metafunc.fixturenames and (marked := _marked_engine(metafunc.definition)) in available:
        metafunc.fixturenames.append(marked)  # the fixture asks for it by name, which pytest cannot see
    for engine, own in available.items():
        if engine in metafunc.fixturenames:
            metafunc.parametrize(engine, list(own), indirect=True)
    if "every_laboratory" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("strategies")
        newest = -1 if metafunc.definition.get_closest_marker("newest") else 0
        real = metafunc.definition.get_closest_marker("real_servers")
        combinations = [
            (server, strategy, through_admin)
            for engine, own in available.items()
            if not real or servers.SERVERS[engine].are_real
            for server in list(own)[newest:]
            for strategy, through_admin in servers.SERVERS[engine].ways()
            if not marker or strategy in marker.args
        ]
        ids = [
            f"{server}-{strategy}{'-through-admin' if through_admin else ''}"
            for server, strategy, through_admin in combinations
        ]
        names = ("every_laboratory", "strategy", "through_admin")
        metafunc.parametrize(names, combinations, indirect=names[:1], ids=ids)


@pytest.hookimpl(tryfirst=True)  # before -k: it sees all cases of a test
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the cases that are marked `thorough`, unless the command line asks for them.

    A test of which no other case is collected stays: each test runs at least once, and a case that is named runs.
    """
    if config.getoption("--thorough") or config.getoption("--every-version"):
        return
    others = {_test_of(item) for item in items if not _is_thorough(item)}
    left_out = [item for item in items if _is_thorough(item) and _test_of(item) in others]
    left_out += _beside_sample([item for item in items if item not in set(left_out)])
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        gone = set(left_out)
        items[:] = [item for item in items if item not in gone]


def pytest_collection_finish() -> None:
    """Let no search for garbage look through all the tests again: there are half a million objects."""
    gc.freeze()


def _beside_sample(items: list[pytest.Item]) -> list[pytest.Item]:
    """Return the cases that the mark `sample` leaves out: it keeps the first of so many cases of each test."""
    seen: Counter[tuple[str, str, str]] = Counter()
    beside = []
    for item in items:
        mark = item.get_closest_marker("sample")
        if mark and seen[_test_of(item)] % mark.args[0]:
            beside.append(item)
        seen[_test_of(item)] += 1
    return beside


def _test_of(case: pytest.Item) -> tuple[str, str, str]:
    """Return the test of which this is a case, on which engine."""
    engines = [name for name in _parameters(case) if name in servers.SERVERS]
    server = str(_parameters(case).get("every_laboratory", ""))
    return case.nodeid.partition("[")[0], "".join(engines), server.partition("-")[0]


def _is_thorough(case: pytest.Item) -> bool:
    """Tell whether a mark is about this case: one without arguments, or one that lists all its values of parameters."""
    return any(
        all(_parameters(case).get(name, pytest) in values for name, values in mark.kwargs.items())
        for mark in case.iter_markers("thorough")
    )


def _parameters(case: pytest.Item) -> Mapping[str, object]:
    callspec: object = getattr(case, "callspec", None)
    return getattr(callspec, "params", {})


def _available(config: pytest.Config) -> dict[str, dict[str, servers.Starter]]:
    return servers.available(
        lambda engine: config.getoption(f"--{engine}-dsn"), every_version=config.getoption("--every-version")
    )


@pytest.fixture(scope="session")
def laboratories(pytestconfig: pytest.Config) -> Iterator[Laboratories]:
    """Start each server once. Raises one of UNAVAILABLE, each time that it is asked for one that cannot be had."""
    available = _available(pytestconfig)
    starters = {server: start for own in available.values() for server, start in own.items()}
    started: dict[str, Laboratory] = {}
    unavailable: dict[str, Exception] = {}
    with ExitStack() as stack:

        def laboratory(server: str) -> Laboratory:
            if server in unavailable:
                raise unavailable[server]
            if server not in started:
                try:
                    started[server] = stack.enter_context(starters[server]())
                except fetch_servers.UNAVAILABLE as error:
                    unavailable[server] = error
                    raise
            return started[server]

        yield laboratory
        for server, found in started.items():
            keep_text(f"the log of {server}", found.log_text())
        strange = {server: outlines(found.strange_statements()) for server, found in started.items()}
        if lines := [f"{server}: {outline}" for server, each in strange.items() for outline in each]:
            pytest.fail("\n".join(["an admin's session sent what no form allows:", *lines]), pytrace=False)


@pytest.fixture
def stride(pytestconfig: pytest.Config) -> int:
    """How many statements a test goes on before it disturbs a rotation again: 1 in a thorough run."""
    return 1 if pytestconfig.getoption("--thorough") or pytestconfig.getoption("--every-version") else 3


@pytest.fixture
def trusted(laboratories: Laboratories, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Laboratory]:
    """Returns a server's laboratory, and has the driver trust its certificate."""

    def laboratory(server: str) -> Laboratory:
        wanted = laboratories(server)
        monkeypatch.setenv("DB_CA_BUNDLE", str(wanted.ca_bundle))
        return wanted

    return laboratory


@pytest.fixture
def every_laboratory(request: pytest.FixtureRequest, trusted: Callable[[str], Laboratory]) -> Laboratory:
    """Each server."""
    return trusted(request.param)


@pytest.fixture
def laboratory(request: pytest.FixtureRequest) -> Laboratory:
    """Each server of the engine with which the test, its class or its module is marked."""
    found = request.getfixturevalue(_marked_engine(request.node))
    assert isinstance(found, Laboratory)
    return found


def _marked_engine(test: pytest.Item) -> str:
    marker = test.get_closest_marker("engine")
    return str(marker.args[0]) if marker else ""


@pytest.fixture
def postgresql(request: pytest.FixtureRequest, trusted: Callable[[str], Laboratory]) -> PostgreSQLLaboratory:
    """Each PostgreSQL server."""
    laboratory = trusted(request.param)
    assert isinstance(laboratory, PostgreSQLLaboratory)
    return laboratory


@pytest.fixture
def mysql(request: pytest.FixtureRequest, trusted: Callable[[str], Laboratory]) -> MySQLLaboratory:
    """Each MySQL server."""
    laboratory = trusted(request.param)
    assert isinstance(laboratory, MySQLLaboratory)
    return laboratory


@pytest.fixture
def mariadb(request: pytest.FixtureRequest, trusted: Callable[[str], Laboratory]) -> MySQLLaboratory:
    """Each MariaDB server."""
    laboratory = trusted(request.param)
    assert isinstance(laboratory, MySQLLaboratory)
    return laboratory


@pytest.fixture
def oracle(request: pytest.FixtureRequest, trusted: Callable[[str], Laboratory]) -> OracleLaboratory:
    """Each Oracle server."""
    laboratory = trusted(request.param)
    assert isinstance(laboratory, OracleLaboratory)
    return laboratory


@pytest.fixture
def sqlserver(request: pytest.FixtureRequest, trusted: Callable[[str], Laboratory]) -> SQLServerLaboratory:
    """Each SQL Server."""
    laboratory = trusted(request.param)
    assert isinstance(laboratory, SQLServerLaboratory)
    return laboratory


@pytest.fixture
def db2(request: pytest.FixtureRequest, trusted: Callable[[str], Laboratory]) -> Laboratory:
    """Each Db2 server."""
    return trusted(request.param)
