"""What is MySQL's and MariaDB's part in the demo?"""

import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import pymysql

from tests.local.demo import DemoError
from tests.local.demo.databases import Engine, Login, LoginFailed, Strategy
from tests.local.demo.strategies import ALTERNATING_USERS, DUAL_PASSWORD, DUAL_PASSWORD_BY_ADMIN, SINGLE_USER
from tests.local.servers import mariadb as mariadb_server
from tests.local.servers import mysql as mysql_server
from tests.local.servers.debian_packages import PackagesUnavailableError
from tests.local.servers.processes import ProcessFailedError

_PASSWORD_ERRORS = (1045, 1698)


@dataclass(frozen=True)
class MySql:
    """A MySQL or MariaDB server."""

    version: str
    ca_bundle: Path
    admin: Login

    @classmethod
    @contextmanager
    def start(cls) -> Iterator[Self]:
        """Run a MySQL."""
        with _running(mysql_server.start) as server:
            yield cls._prepared(server, mysql_server.create_rds_master(server, "master"), "mysql")

    @classmethod
    @contextmanager
    def start_mariadb(cls) -> Iterator[Self]:
        """Run the newest available MariaDB."""
        version = list(mariadb_server.PACKAGES)[-1]
        with _running(lambda directory: mariadb_server.start(version, directory)) as server:
            yield cls._prepared(server, mariadb_server.create_rds_master(server, "master"), "mariadb")

    @classmethod
    def _prepared(cls, server: mysql_server.Server, admin_password: str, engine: str) -> Self:
        admin = Login(
            engine=engine,
            host=server.host,
            port=server.port,
            dbname="mysql",
            username="master",
            password=admin_password,
        )
        return cls(server.version.partition("-")[0], server.ca_bundle, admin)

    def new_application(self, strategy: Strategy) -> Login:
        """Give the user a database with its name, and a table of orders in it."""
        name = strategy.application
        login = replace(self.admin, dbname=name, username=name, password=secrets.token_urlsafe())
        self._run(self.admin, f"CREATE DATABASE {name}", f"CREATE USER {name} IDENTIFIED BY '{login.password}'")
        self._run(self.admin, f"GRANT CREATE, SELECT, INSERT ON {name}.* TO {name}")
        if strategy is DUAL_PASSWORD:
            self._run(self.admin, f"GRANT APPLICATION_PASSWORD_ADMIN ON *.* TO {name}")
        self._run(login, "CREATE TABLE orders (placed timestamp DEFAULT now())")
        return login

    def set_password(self, login: Login) -> None:
        """Change the user, as the admin."""
        self._run(self.admin, f"ALTER USER {login.username} IDENTIFIED BY '{login.password}'")

    def verifying(self, username: str) -> str:
        """Read the orders."""
        return f"SELECT 1 FROM {username}.orders LIMIT 1"  # noqa: S608 - the name is ours

    def work(self, login: Login) -> None:
        """Place an order in the user's database, with either user of a pair."""
        try:
            self._run(login, "INSERT INTO orders VALUES ()")
        except pymysql.MySQLError as error:
            raise LoginFailed(str(error.args[-1]), refused=error.args[0] in _PASSWORD_ERRORS) from None

    def _run(self, login: Login, *statements: str) -> None:
        session = pymysql.connect(
            host=login.host,
            port=login.port,
            user=login.username,
            password=login.password.encode(),  # a text would be sent as Latin-1
            database=login.dbname,
            autocommit=True,
            ssl_ca=str(self.ca_bundle),
            ssl_verify_cert=True,
            ssl_verify_identity=True,
            connect_timeout=5,
            read_timeout=10,
        )
        with session, session.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)


@contextmanager
def _running(
    start: Callable[[Path], AbstractContextManager[mysql_server.Server]],
) -> Iterator[mysql_server.Server]:
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="demo-")))
        try:
            server = stack.enter_context(start(directory))
        except (PackagesUnavailableError, ProcessFailedError) as error:
            raise DemoError(str(error)) from error
        yield server


MYSQL = Engine("MySQL", "MySqlFunction", MySql.start, (SINGLE_USER, ALTERNATING_USERS, DUAL_PASSWORD))
MARIADB = Engine(
    "MariaDB", "MariaDbFunction", MySql.start_mariadb, (SINGLE_USER, ALTERNATING_USERS, DUAL_PASSWORD_BY_ADMIN)
)
