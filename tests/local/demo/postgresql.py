"""What is PostgreSQL's part in the demo?"""

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import LiteralString, Self

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class, whatever its name
from psycopg2.sql import SQL, Composable, Identifier, Literal

from tests.local.demo import DemoError
from tests.local.demo.databases import Engine, Login, LoginFailed, Strategy
from tests.local.demo.strategies import ALTERNATING_USERS, SINGLE_USER
from tests.local.servers import postgresql as postgresql_server
from tests.local.servers import postgresql_binaries
from tests.local.servers.processes import ProcessFailedError


@dataclass(frozen=True)
class PostgreSql:
    """A PostgreSQL server."""

    version: str
    ca_bundle: Path
    admin: Login

    @classmethod
    @contextmanager
    def start(cls) -> Iterator[Self]:
        """Run the newest available version, with a database of the admin's own. Its statements are not logged."""
        with _server() as server:
            superuser = Login(
                engine="postgres",
                host=server.host,
                port=server.port,
                dbname="postgres",
                username=server.superuser,
                password=server.password,
            )
            admin = replace(superuser, dbname="demo", username="master", password=secrets.token_urlsafe())
            database = cls("", server.ca_bundle, admin)
            with database._session(superuser) as session:
                version = session.info.parameter_status("server_version") or "of unknown version"
                # As rds_superuser: CREATEROLE and CREATEDB, and no superuser.
                _make_role(session, admin, "CREATEROLE CREATEDB")
            with database._session(replace(admin, dbname=superuser.dbname)) as session:
                _run(session, SQL("CREATE DATABASE {}").format(Identifier(admin.dbname)))
            yield replace(database, version=version)

    def new_application(self, strategy: Strategy) -> Login:
        """Give the user a schema with its name, and a table of orders in it."""
        login = replace(self.admin, username=strategy.application, password=secrets.token_urlsafe())
        schema = Identifier(strategy.application)
        with self._session(self.admin) as session:
            _make_role(session, login, "")
            _run(session, SQL("GRANT CREATE ON DATABASE {} TO {}").format(Identifier(login.dbname), schema))
        with self._session(login) as session:
            _run(session, SQL("CREATE SCHEMA {}").format(schema))
            _run(session, SQL("CREATE TABLE {}.orders (placed timestamptz DEFAULT now())").format(schema))
        return login

    def set_password(self, login: Login) -> None:
        """Change the role, as the admin."""
        with self._session(self.admin) as session:
            _set_password(session, login, SQL("ALTER ROLE {} PASSWORD {}"))

    def verifying(self, username: str) -> str:
        """Read the orders."""
        return f"SELECT 1 FROM {username}.orders LIMIT 1"  # noqa: S608 - the name is ours

    def work(self, login: Login) -> None:
        """Place an order in the user's schema, with either user of a pair."""
        try:
            with self._session(login) as session:
                _run(session, SQL("INSERT INTO orders DEFAULT VALUES"))
        except psycopg2.Error as error:
            # A failed login has no error code: the text is all there is.
            raise LoginFailed(str(error).strip(), refused="password authentication failed" in str(error)) from None

    @contextmanager
    def _session(self, login: Login) -> Iterator[Connection]:
        session = psycopg2.connect(
            host=login.host,
            port=login.port,
            user=login.username,
            password=login.password,
            dbname=login.dbname,
            sslmode="verify-full",
            sslrootcert=str(self.ca_bundle),
            connect_timeout=5,
        )
        session.autocommit = True
        try:
            yield session
        finally:
            session.close()


@contextmanager
def _server() -> Iterator[postgresql_server.Server]:
    with ExitStack() as stack:
        try:
            settings = {"log_statement": "none"}
            server = stack.enter_context(postgresql_server.start(postgresql_binaries.MAJORS[-1], settings))
        except (postgresql_binaries.BinariesUnavailableError, ProcessFailedError) as error:
            raise DemoError(str(error)) from error
        yield server


def _make_role(session: Connection, login: Login, attributes: LiteralString) -> None:
    _set_password(session, login, SQL("CREATE ROLE {} LOGIN " + attributes + " PASSWORD {}"))


def _set_password(session: Connection, login: Login, statement: SQL) -> None:
    # Hashed here, as the rotation does it: the clear password never reaches the server's log.
    verifier = psycopg2.extensions.encrypt_password(
        login.password, login.username, scope=session, algorithm="scram-sha-256"
    )
    _run(session, statement.format(Identifier(login.username), Literal(verifier)))


def _run(session: Connection, statement: Composable) -> None:
    with session.cursor() as cursor:
        cursor.execute(statement)


POSTGRESQL = Engine("PostgreSQL", "PostgreSqlFunction", PostgreSql.start, (SINGLE_USER, ALTERNATING_USERS))
