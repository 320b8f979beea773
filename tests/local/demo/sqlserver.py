"""What is SQL Server's part in the demo? Its server is a stand-in: SQL Server cannot be run freely anywhere."""

import os
import re
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import pymssql

from tests.local.demo.databases import Engine, Login, LoginFailed, Strategy
from tests.local.demo.strategies import ALTERNATING_USERS, SINGLE_USER
from tests.local.stand_ins.sqlserver import server as sqlserver_server

_REFUSED = re.compile(r"(?:(?!DB-Lib).)*DB-Lib error message 20018, severity 14:")
"""The begin of the client's message if the server refused a login, by the severity of the server's error. The server's
number and text do not help: the client keeps those of an earlier login."""


@dataclass(frozen=True)
class SqlServer:
    """The stand-in."""

    ca_bundle: Path
    admin: Login
    version: str = "(a stand-in)"

    @classmethod
    @contextmanager
    def start(cls) -> Iterator[Self]:
        """Run it."""
        with sqlserver_server.start() as server, _trusting(server.ca_bundle):
            superuser = Login(
                engine="sqlserver",
                host=server.host,
                port=server.port,
                dbname="master",
                username=server.superuser,
                password=server.password,
            )
            admin = replace(superuser, username="master", password=_password())
            _run(
                superuser,
                f"CREATE LOGIN {admin.username} WITH PASSWORD = '{admin.password}'",
                *(f"GRANT {each} TO {admin.username}" for each in sqlserver_server.RDS_MASTER_PERMISSIONS),
                *(
                    f"ALTER SERVER ROLE {each} ADD MEMBER {admin.username}"
                    for each in sqlserver_server.RDS_MASTER_ROLES
                ),
            )
            yield cls(server.ca_bundle, admin)

    def new_application(self, strategy: Strategy) -> Login:
        """Create a database with the user's name, and in it the user and a table of orders."""
        name = strategy.application
        login = replace(self.admin, dbname=name, username=name, password=_password())
        # With the policy, an application that is refused again and again would lock its user out.
        options = f"PASSWORD = '{login.password}', CHECK_POLICY = OFF"
        _run(self.admin, f"CREATE DATABASE {name}", f"CREATE LOGIN {name} WITH {options}")
        _run(
            replace(self.admin, dbname=name),
            "CREATE TABLE dbo.orders (placed datetime DEFAULT getdate())",
            f"CREATE USER {name} FOR LOGIN {name}",
            *(f"ALTER ROLE {role} ADD MEMBER {name}" for role in ("db_datareader", "db_datawriter")),
        )
        return login

    def set_password(self, login: Login) -> None:
        """Change the login, as the admin."""
        _run(self.admin, f"ALTER LOGIN {login.username} WITH PASSWORD = '{login.password}'")

    def verifying(self, username: str) -> str:  # noqa: ARG002 - whoever it is logs in to the database with the orders
        """Read the orders."""
        return "SELECT 1 FROM dbo.orders WHERE 1 = 0"

    def work(self, login: Login) -> None:
        """Place an order."""
        try:
            _run(login, "INSERT INTO dbo.orders DEFAULT VALUES")
        except pymssql.Error as error:
            said = _said(error)
            raise LoginFailed(said, refused=_REFUSED.match(said) is not None) from None


@contextmanager
def _trusting(ca_bundle: Path) -> Iterator[None]:
    """Let the client verify certificates and host names, with these authorities and no others."""
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as configuration:
        configuration.write(f"[global]\nca file = {ca_bundle}\ncheck certificate hostname = yes\n")
        configuration.flush()
        os.environ["FREETDSCONF"] = configuration.name
        try:
            yield
        finally:
            del os.environ["FREETDSCONF"]


def _password() -> str:
    """Return a password that the password policy accepts."""
    return secrets.token_urlsafe() + "-Aa1"


def _said(error: pymssql.Error) -> str:
    """Return the client's message, in one line."""
    last = error.args[-1]
    text = last[-1] if isinstance(last, tuple) else last
    return " ".join((text.decode(errors="replace") if isinstance(text, bytes) else str(text)).split())


def _run(login: Login, *statements: str) -> None:
    session = pymssql.connect(
        server=login.host,
        port=str(login.port),
        user=login.username,
        password=login.password,
        database=login.dbname,
        autocommit=True,
        encryption="require",
        login_timeout=5,
        timeout=10,
    )
    try:
        for statement in statements:
            session.cursor().execute(statement)
    finally:
        session.close()


SQLSERVER = Engine("SQL Server", "SqlServerFunction", SqlServer.start, (SINGLE_USER, ALTERNATING_USERS), is_real=False)
