"""What it talks to misbehaves: does each step end in time, say what is wrong, and heal once that is over?

The steps run here, and their clock is real: a step has to end with an error of ours, a second before Lambda would end
it. If the tests must wait for a server, many rotations wait at the same time.
"""

import itertools
import json
import secrets
import shutil
import signal
import socket
import struct
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from typing import TYPE_CHECKING, Any, NoReturn, cast

import psycopg2
import pymysql
import pytest
from psycopg2.sql import SQL, Identifier

from rotation.aws import own_clients
from rotation.credential import Credential
from rotation.deadline import Deadline
from rotation.engine import Engine
from rotation.engines.mariadb import MariaDB
from rotation.engines.mysql import MySQL
from rotation.errors import (
    DatabaseError,
    LoginBlocked,
    LoginRefused,
    NotPermitted,
    OutOfTime,
    PasswordRefused,
    RotationError,
    ServiceFailed,
    StatementFailed,
    Unreachable,
)
from rotation.kind import Strategy
from rotation.lambda_handler import rotation_handler
from rotation.steps import Step
from tests.fakes import FakeLaboratory
from tests.faults.stalling import Relay
from tests.laboratories import ORDERS, Laboratory, Run, deadline
from tests.laboratories.mysql import MySQLLaboratory, quoted
from tests.laboratories.postgresql import PostgreSQLLaboratory
from tests.local.aws.secrets_manager import Call, LocalSecretsManager, Phase
from tests.local.servers import mariadb as mariadb_server
from tests.local.servers import mysql as mysql_server
from tests.local.servers import postgresql as postgresql_server
from tests.local.servers import postgresql_binaries
from tests.local.servers.processes import free_port, group_of, run_once, running, unprivileged_user

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

SHORTEST = 10.0
"""The shortest timeout of a function for which we promise something."""

PROMISED = 1.0
"""How many seconds before that timeout a step has ended, whatever happens."""

SAMPLE = 8
"""At how many places a server falls silent; with --every-crash-point at all of them."""

PASSWORD = "Strong-{}-9a"
"""What every password policy takes."""


class Context:
    """What Lambda tells a function of its invocation, by a clock that goes on."""

    aws_request_id = "00000000-0000-0000-0000-000000000000"
    function_name = "secret-rotation"

    def __init__(self, seconds: float) -> None:
        self._ends = monotonic() + seconds

    def get_remaining_time_in_millis(self) -> int:
        """Return what is left."""
        return round((self._ends - monotonic()) * 1000)

    def deadline(self) -> Deadline:
        """Return what the handler makes of it."""
        return Deadline(lambda: self.get_remaining_time_in_millis() / 1000)


@dataclass(frozen=True)
class Ending:
    """How the last step of a run ended."""

    step: Step
    error: RotationError | None
    left: float
    """The seconds that Lambda would still have given."""

    def require(self, *errors: type[RotationError], match: str = "") -> None:
        """Require one of these errors, in time."""
        assert isinstance(self.error, errors), self
        assert match in str(self.error)
        assert self.left >= PROMISED, self


class Scenario:
    """A user of a laboratory, its secret, and a rotation of it."""

    def __init__(  # noqa: PLR0913 - what a scenario is made of
        self,
        laboratory: Laboratory,
        service: LocalSecretsManager,
        strategy: Strategy = Strategy.SINGLE_USER,
        *,
        with_admin: bool = False,
        port: int | None = None,
        user: Credential | None = None,
    ) -> None:
        """Make the secret, and the user if there is none; the port is where the function is to find the server."""
        self.laboratory = laboratory
        self.service = service
        self.client = service.client()
        self.user = user or laboratory.new_user(password=PASSWORD.format(secrets.token_hex(8)))
        self._port = port
        if strategy is Strategy.DUAL_PASSWORD:
            laboratory.allow_two_passwords(self.user.username, by_itself=not with_admin)
        fields: dict[str, object] = {"rotation": {"strategy": strategy}}
        if with_admin:
            fields["masterarn"] = self._store(laboratory.admin, {})
        self.arn = self._store(self.user, fields)
        self.function = service.register(f"function-{secrets.token_hex(4)}", lambda _: None)
        self.token = ""

    def begin(self) -> "Scenario":
        """Let the service stage a new, empty version, and leave the steps to the test."""
        self.token = str(uuid.uuid4())
        self.client.rotate_secret(SecretId=self.arn, RotationLambdaARN=self.function, ClientRequestToken=self.token)
        self.service.wait(self.arn)
        return self

    def stage(self, password: str) -> None:
        """Write the pending password, as an operator."""
        value = {**self._value("AWSCURRENT"), "password": password}
        self.client.put_secret_value(
            SecretId=self.arn,
            ClientRequestToken=self.token,
            SecretString=json.dumps(value),
            VersionStages=["AWSPENDING"],
        )

    def run(self, *steps: Step, seconds: float = SHORTEST) -> Ending:
        """Run the steps, all four where none are named, until one fails; each has so much time."""
        step, *others = steps or tuple(Step)
        context = Context(seconds)
        error = None
        event = {"Step": step, "SecretId": self.arn, "ClientRequestToken": self.token}
        try:
            # As much of a context as the function uses.
            rotation_handler(self.laboratory.engine)(event, cast("LambdaContext", context))
        except RotationError as raised:
            error = raised
        if others and not error:
            return self.run(*others, seconds=seconds)
        return Ending(step, error, context.get_remaining_time_in_millis() / 1000)

    def read(self, label: str = "AWSCURRENT") -> Credential:
        """Read the secret as an application does, and go to the server itself."""
        value = self._value(label)
        return replace(self.user, username=str(value["username"]), password=str(value["password"]))

    def require_healed(self) -> None:
        """Require that the same version becomes the current one after all, and works."""
        ending = self.run(seconds=60)
        assert ending.error is None, ending
        versions = self.client.describe_secret(SecretId=self.arn)["VersionIdsToStages"]
        assert "AWSCURRENT" in versions[self.token]
        assert self.laboratory.may_read(self.read(), ORDERS)

    def _value(self, label: str) -> dict[str, object]:
        text = self.client.get_secret_value(SecretId=self.arn, VersionStage=label)["SecretString"]
        return dict(json.loads(text))

    def _store(self, credential: Credential, fields: dict[str, object]) -> str:
        value = {
            "engine": credential.engine,
            "host": credential.host,
            "port": self._port or credential.port,
            "username": credential.username,
            "password": credential.password,
            "dbname": credential.database or "",
            **fields,
        }
        return self.client.create_secret(Name=f"secret-{secrets.token_hex(8)}", SecretString=json.dumps(value))["ARN"]


type NewScenario = Callable[..., Scenario]


@pytest.fixture(autouse=True)
def _connected(service: LocalSecretsManager, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the function call the service, and keep its clients for one test."""
    for name, value in service.environment.items():
        monkeypatch.setenv(name, value)
    own_clients.cache_clear()
    own_clients()
    yield
    service.intercept = None
    own_clients.cache_clear()


@pytest.fixture
def new_scenario(
    every_laboratory: Laboratory, service: LocalSecretsManager, strategy: Strategy, *, through_admin: bool
) -> NewScenario:
    """Makes scenarios."""

    def new(*, with_admin: bool = through_admin, port: int | None = None) -> Scenario:
        return Scenario(every_laboratory, service, strategy, with_admin=with_admin, port=port)

    return new


def at_once(work: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
    """Do the same with each, all at the same time."""
    with ThreadPoolExecutor(len(items)) as pool:
        return list(pool.map(work, items))


def places(total: int, *, every: bool) -> list[int]:
    """Choose some of so many places, the first and the last among them, or all."""
    if every:
        return list(range(total))
    return sorted({round(number * (total - 1) / (SAMPLE - 1)) for number in range(SAMPLE)})


# Nobody answers any more


@pytest.mark.newest
@pytest.mark.strategies(Strategy.ALTERNATING_USERS)
def test_a_server_that_falls_silent_at_any_time_ends_the_step_in_time(
    every_laboratory: Laboratory, new_scenario: NewScenario, pytestconfig: pytest.Config
) -> None:
    with ExitStack() as stack:

        def behind_relay() -> tuple[Scenario, Relay]:
            relay = stack.enter_context(Relay(every_laboratory.admin.port))
            return new_scenario(port=relay.port).begin(), relay

        model, model_relay = behind_relay()
        assert model.run(seconds=60).error is None
        wanted = places(model_relay.pieces, every=pytestconfig.getoption("--every-crash-point", default=False))
        scenarios, relays = zip(*(behind_relay() for _ in wanted), strict=True)
        cached = [scenario.read() for scenario in scenarios]
        for relay, place in zip(relays, wanted, strict=True):
            relay.stall_after(place)
        endings = at_once(Scenario.run, scenarios)
        for scenario, relay, ending, before in zip(scenarios, relays, endings, cached, strict=True):
            # What has fallen silent may hold a lock that another one waits for.
            assert relay.is_stalled or not ending.error or "Look who holds the lock" in ending.error.remedy
            if ending.error:
                ending.require(Unreachable, OutOfTime, *([] if relay.is_stalled else [StatementFailed]))
            assert every_laboratory.logs_in(before)
            assert every_laboratory.logs_in(scenario.read())
            relay.stall_after(None)
            scenario.require_healed()


@pytest.mark.newest
@pytest.mark.strategies(Strategy.SINGLE_USER)
def test_a_server_that_falls_silent_when_a_session_takes_leave_is_left_in_time(
    every_laboratory: Laboratory, new_scenario: NewScenario
) -> None:
    user, context = new_scenario().user, Context(SHORTEST)
    with Relay(every_laboratory.admin.port) as relay:
        through = every_laboratory.engine.connect(replace(user, port=relay.port), context.deadline())
        with suppress(RotationError), through:
            relay.stall_after(0)
        assert context.get_remaining_time_in_millis() >= PROMISED * 1000


@pytest.mark.parametrize("for_good", [False, True], ids=["once", "for good"])
def test_a_secrets_manager_that_falls_silent_at_any_call_ends_the_step_in_time(
    service: LocalSecretsManager, *, for_good: bool
) -> None:
    scenarios = [Scenario(FakeLaboratory(), service).begin() for _ in range(8)]
    silent_from = {scenario.arn: number for number, scenario in enumerate(scenarios, 1)}
    counters = {scenario.arn: itertools.count(1) for scenario in scenarios}
    over = Event()

    def fall_silent(call: Call, phase: Phase) -> None:
        if phase == "before" and call.secret_id in counters:
            number = next(counters[call.secret_id])
            if number == silent_from[call.secret_id] or (for_good and number > silent_from[call.secret_id]):
                over.wait()

    service.intercept = fall_silent
    try:
        endings = at_once(Scenario.run, scenarios)
    finally:
        over.set()
        service.intercept = None
    for scenario, ending in zip(scenarios, endings, strict=True):
        if for_good:
            ending.require(ServiceFailed, match="a way to secretsmanager")
        else:
            assert ending.error is None
        scenario.require_healed()


@pytest.mark.newest
@pytest.mark.strategies(Strategy.SINGLE_USER)
def test_a_server_that_is_not_there_is_told_at_once_and_waited_for_by_nobody(
    every_laboratory: Laboratory, new_scenario: NewScenario
) -> None:
    with Relay(every_laboratory.admin.port) as relay:
        scenario = new_scenario(port=relay.port).begin()
        assert scenario.run(Step.CREATE).error is None
    ending = scenario.run(Step.SET)
    ending.require(Unreachable, match="refused")
    assert ending.left > SHORTEST / 2


# Somebody holds a lock, or kills sessions


def until(condition: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever the condition is about
    """Return what the condition returns, as soon as that is something."""
    pause = Event()
    for _ in range(1000):
        if found := condition():
            return found
        pause.wait(0.01)
    raise TimeoutError


@contextmanager
def looking_at(laboratory: Laboratory) -> Iterator[Run]:
    """Run statements as the superuser."""
    assert isinstance(laboratory, PostgreSQLLaboratory | MySQLLaboratory)
    with laboratory.session() as run:
        yield run


@contextmanager
def nobody_may_be_changed(laboratory: Laboratory) -> Iterator[None]:
    """Hold a lock that every change of a user has to wait for."""
    with looking_at(laboratory) as run:
        if isinstance(laboratory, PostgreSQLLaboratory):
            run("BEGIN")
            run("LOCK TABLE pg_authid IN SHARE MODE")
        else:
            run("FLUSH TABLES WITH READ LOCK")
        yield


def waiting(run: Run, user: Credential) -> int | None:
    """Return the session of this user that waits for a lock."""
    if user.engine == "postgres":
        rows = run("SELECT pid FROM pg_stat_activity WHERE usename = %s AND wait_event_type = 'Lock'", user.username)
    else:
        query = "SELECT id FROM information_schema.processlist WHERE user = %s AND state LIKE 'Waiting for%%'"
        rows = run(query, user.username)
    return rows[0][0] if rows else None


@pytest.mark.real_servers
@pytest.mark.newest
@pytest.mark.strategies(Strategy.SINGLE_USER)
def test_a_change_that_waits_for_a_lock_is_given_up_by_the_server_in_time(
    every_laboratory: Laboratory, new_scenario: NewScenario
) -> None:
    scenario = new_scenario().begin()
    with nobody_may_be_changed(every_laboratory):
        # Less than our shortest timeout, because the test waits for it; but as long before the end.
        ending = scenario.run(seconds=5)
        ending.require(StatementFailed, match="tried again by itself")
    assert ending.step is Step.SET
    assert every_laboratory.logs_in(scenario.read())
    assert not every_laboratory.logs_in(scenario.read("AWSPENDING"))
    scenario.require_healed()


def test_a_postgresql_gives_up_before_we_do_however_late_in_a_session_it_has_to_wait(
    postgresql: PostgreSQLLaboratory,
) -> None:
    user, context = postgresql.new_user(), Context(6)
    with postgresql.engine.connect(user, context.deadline()) as session, nobody_may_be_changed(postgresql):
        session.execute("passing the time", "SELECT pg_sleep(2)")
        with pytest.raises(StatementFailed, match="timeout"):
            session.change_own_password("never known")
    assert context.get_remaining_time_in_millis() >= PROMISED * 1000
    assert postgresql.logs_in(user)


@pytest.mark.real_servers
@pytest.mark.newest
@pytest.mark.strategies(Strategy.SINGLE_USER)
def test_a_session_that_is_killed_in_the_middle_of_a_statement_is_no_answer(
    every_laboratory: Laboratory, new_scenario: NewScenario
) -> None:
    scenario = new_scenario().begin()
    with (
        nobody_may_be_changed(every_laboratory),
        looking_at(every_laboratory) as run,
        ThreadPoolExecutor(1) as pool,
    ):
        ending = pool.submit(scenario.run)
        session = until(lambda: waiting(run, scenario.user))
        kill = "SELECT pg_terminate_backend(%s)" if scenario.user.engine == "postgres" else "KILL CONNECTION %s"
        run(kill, session)
        ending.result().require(Unreachable)
    scenario.require_healed()


# The server takes nobody, or only those who read


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
    """Require that the server says: not now."""
    ending = scenario.run()
    ending.require(LoginBlocked)
    assert ending.step is Step.SET
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


def test_a_read_only_mysql_is_told_from_a_user_that_may_not(
    mysql: MySQLLaboratory, service: LocalSecretsManager
) -> None:
    read_only_node(mysql, service)


def test_a_read_only_mariadb_is_told_from_a_user_that_may_not(
    mariadb: MySQLLaboratory, service: LocalSecretsManager
) -> None:
    read_only_node(mariadb, service)


def test_a_mysql_without_free_connections_is_told_from_a_wrong_password(
    mysql: MySQLLaboratory, service: LocalSecretsManager
) -> None:
    crowded(mysql, service)


def test_a_mariadb_without_free_connections_is_told_from_a_wrong_password(
    mariadb: MySQLLaboratory, service: LocalSecretsManager
) -> None:
    crowded(mariadb, service)


def test_a_mysql_that_is_offline_is_told_from_a_wrong_password(
    mysql: MySQLLaboratory, service: LocalSecretsManager
) -> None:
    scenario = Scenario(mysql, service).begin()
    with setting(mysql, "offline_mode = ON", "offline_mode = OFF"):
        require_blocked(scenario)
    scenario.require_healed()


@pytest.mark.parametrize("number", [1040, 1053, 1129, 1130])
def test_a_mysql_that_refuses_before_it_asks_for_a_password_is_told_from_one_that_is_wrong(number: int) -> None:
    error = b"\xff" + struct.pack("<H", number) + b"said the server"
    with socket.create_server(("127.0.0.1", 0)) as listener:

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
    with postgresql_server.start(NEWEST, {"max_connections": "8"}) as server:
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


def test_a_postgresql_without_free_connections_is_told_from_a_wrong_password(
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


def test_a_postgresql_that_fails_over_is_waited_for_and_heals(
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
        require_no_answer(scenario, pool, life.close)
    scenario.run().require(Unreachable, match="refused")
    with copy.running(hot=True):
        scenario.require_healed()


def require_no_answer(scenario: Scenario, pool: ThreadPoolExecutor, end: Callable[[], None]) -> None:
    """Require that a step does not take for an answer that the server ends while the step waits for it."""
    with suppress(psycopg2.Error), nobody_may_be_changed(scenario.laboratory), looking_at(scenario.laboratory) as run:
        ending = pool.submit(scenario.run)
        until(lambda: waiting(run, scenario.user))
        end()
    ending.result().require(Unreachable)


def restarts(
    engine: Engine, start: Callable[..., AbstractContextManager[mysql_server.Server]], service: LocalSecretsManager
) -> None:
    """Let a MySQL or MariaDB end without notice in the middle of a change, and start again later."""
    create_master = (mariadb_server if engine.kind.name == "MariaDB" else mysql_server).create_rds_master
    start = partial(start, options=["--innodb-flush-log-at-trx-commit=1"])  # nothing is lost then
    with ExitStack() as life, ThreadPoolExecutor(1) as pool:
        server = life.enter_context(start())
        laboratory = MySQLLaboratory.on(engine, server, create_master(server))
        scenario = Scenario(laboratory, service).begin()
        require_no_answer(scenario, pool, life.close)
    scenario.run().require(Unreachable, match="refused")
    with start(again=server):
        scenario.require_healed()


def test_a_mysql_that_restarts_in_the_middle_of_a_change_is_no_answer_and_heals(
    tmp_path: Path, service: LocalSecretsManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_CA_BUNDLE", str(tmp_path / "ca.crt"))
    restarts(MySQL(), partial(mysql_server.start, tmp_path), service)


def test_a_mariadb_that_restarts_in_the_middle_of_a_change_is_no_answer_and_heals(
    tmp_path: Path, service: LocalSecretsManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_CA_BUNDLE", str(tmp_path / "ca.crt"))
    restarts(MariaDB(), partial(mariadb_server.start, list(mariadb_server.PACKAGES)[-1], tmp_path), service)


# The server's policy does not take the password


@contextmanager
def policy(laboratory: Laboratory, user: Credential) -> Iterator[str]:
    """Let the server judge passwords; yields one that it does not take."""
    if isinstance(laboratory, PostgreSQLLaboratory):
        with laboratory.session() as run:
            module = SQL("ALTER ROLE {} SET session_preload_libraries TO 'passwordcheck'")
            run(module.format(Identifier(user.username)))
        yield user.username
        return
    assert isinstance(laboratory, MySQLLaboratory)
    install, uninstall = {
        "MySQL": (
            "INSTALL COMPONENT 'file://component_validate_password'",
            "UNINSTALL COMPONENT 'file://component_validate_password'",
        ),
        "MariaDB": ("INSTALL SONAME 'simple_password_check'", "UNINSTALL SONAME 'simple_password_check'"),
    }[laboratory.engine.kind.name]
    with laboratory.session() as run:
        run(install)
        try:
            yield "weak"
        finally:
            run(uninstall)


@pytest.mark.real_servers
@pytest.mark.newest
@pytest.mark.strategies(Strategy.SINGLE_USER)
def test_a_password_that_the_servers_policy_refuses_comes_with_the_commands_that_clear_it(
    every_laboratory: Laboratory, new_scenario: NewScenario
) -> None:
    scenario = new_scenario().begin()
    with policy(every_laboratory, scenario.user) as refused:
        scenario.stage(refused)
        ending = scenario.run()
        ending.require(PasswordRefused, match="PASSWORD_LENGTH")
        assert ending.step is Step.SET
        assert (
            f"--secret-id {scenario.arn} --version-stage AWSPENDING --remove-from-version-id {scenario.token}"
            in str(ending.error)
        )
        assert every_laboratory.logs_in(scenario.read())
        scenario.client.update_secret_version_stage(
            SecretId=scenario.arn, VersionStage="AWSPENDING", RemoveFromVersionId=scenario.token
        )
        scenario.begin().stage(PASSWORD.format(secrets.token_hex(8)))
        scenario.require_healed()


# Nothing that the secret holds logs in


def lose_password(scenario: Scenario) -> None:
    """Change the user's password behind the secret's back."""
    scenario.laboratory.change_password(replace(scenario.user, password=PASSWORD.format(secrets.token_hex(8))))


@pytest.mark.newest
def test_an_admin_that_may_repair_lets_the_user_in_again(
    new_scenario: NewScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = new_scenario(with_admin=True).begin()
    lose_password(scenario)
    for allowed in (None, "false"):
        if allowed:
            monkeypatch.setenv("ALLOW_ADMIN_REPAIR", allowed)
        scenario.run().require(LoginRefused, match="whoever may write the secret could then take any user over")
    monkeypatch.setenv("ALLOW_ADMIN_REPAIR", "true")
    scenario.require_healed()
    monkeypatch.delenv("ALLOW_ADMIN_REPAIR")
    for _ in range(2):
        scenario.begin().require_healed()


@pytest.mark.real_servers
@pytest.mark.newest
@pytest.mark.strategies(Strategy.SINGLE_USER)
def test_an_admin_that_may_repair_unlocks_nobody(
    every_laboratory: Laboratory, new_scenario: NewScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALLOW_ADMIN_REPAIR", "true")
    scenario = new_scenario(with_admin=True).begin()
    lose_password(scenario)
    lock, unlock = (
        ("ALTER ROLE {} NOLOGIN", "ALTER ROLE {} LOGIN")
        if isinstance(every_laboratory, PostgreSQLLaboratory)
        else ("ALTER USER {}@'%' ACCOUNT LOCK", "ALTER USER {}@'%' ACCOUNT UNLOCK")
    )
    alter(every_laboratory, lock, scenario.user)
    scenario.run().require(LoginBlocked)
    assert not every_laboratory.logs_in(scenario.read("AWSPENDING"))
    alter(every_laboratory, unlock, scenario.user)
    scenario.require_healed()


def alter(laboratory: Laboratory, statement: str, user: Credential) -> None:
    """Run a statement about a user as the superuser."""
    if isinstance(laboratory, PostgreSQLLaboratory):
        with laboratory.session() as run:
            run(SQL(statement).format(Identifier(user.username)))
    else:
        assert isinstance(laboratory, MySQLLaboratory)
        with laboratory.session() as run:
            run(statement.format(quoted(user.username)))
