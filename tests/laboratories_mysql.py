"""How do the tests look into a MySQL or MariaDB server?"""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pymysql
from pymysql.converters import escape_string

from rotation.credential import Credential
from rotation.engine import Engine
from tests.laboratories import ORDERS, THINGS, Logins, Run

SCHEMA = "lab"

CONNECT = re.compile(r"\d Connect\t(Access denied)?")


@dataclass(frozen=True)
class MySQLLaboratory:
    """A MySQL or MariaDB server."""

    engine: Engine
    superuser: Credential
    ca_bundle: Path
    log_files: tuple[Path, ...]
    admin: Credential
    version: str = field(default="")

    def __post_init__(self) -> None:
        """Make the things on a server that does not know them."""
        with self.session() as run:
            run(f"CREATE DATABASE IF NOT EXISTS {SCHEMA}")
            for thing in THINGS:
                run(f"CREATE TABLE IF NOT EXISTS {SCHEMA}.{thing} (id int)")

    def new_user(self, name: str | None = None, password: str | None = None) -> Credential:
        """Make a user as somebody who runs an RDS instance would: through the admin."""
        user = replace(
            self.superuser,
            username=name or f"app_{secrets.token_hex(4)}",
            password=password or secrets.token_urlsafe(),
            database=None,
        )
        with self.session() as run:
            run(f"CREATE USER {quoted(user.username)}@'%' IDENTIFIED BY {quoted(user.password)}")
        self.allow(user.username, ORDERS)
        return replace(user, database=SCHEMA)

    def logs_in(self, credential: Credential) -> bool:
        """Log in, and out again."""
        try:
            with self.session(credential):
                return True
        except pymysql.OperationalError:
            return False

    def allow(self, username: str, thing: str) -> None:
        """Grant SELECT on a table."""
        with self.session() as run:
            run(f"GRANT SELECT ON {SCHEMA}.{thing} TO {quoted(username)}@'%'")

    def forbid(self, username: str, thing: str) -> None:
        """Revoke SELECT on a table, where it is granted."""
        with self.session() as run, suppress(pymysql.OperationalError, pymysql.ProgrammingError):
            run(f"REVOKE SELECT ON {SCHEMA}.{thing} FROM {quoted(username)}@'%'")  # noqa: S608 - constants, and a quoted name

    def may_read(self, credential: Credential, thing: str) -> bool:
        """Read a table."""
        try:
            with self.session(replace(credential, database=None)) as run:
                run(f"SELECT 1 FROM {SCHEMA}.{thing}")  # noqa: S608 - constants
        except pymysql.OperationalError:
            return False
        return True

    def allow_two_passwords(self, username: str, *, by_itself: bool) -> None:
        """Let a user of MySQL keep its old password by itself, or not."""
        if self.engine.kind.name == "MySQL" and by_itself:
            with self.session() as run:
                run(f"GRANT APPLICATION_PASSWORD_ADMIN ON *.* TO {quoted(username)}@'%'")

    def change_password(self, credential: Credential) -> None:
        """Change it as the superuser."""
        with self.session() as run:
            run(f"ALTER USER {quoted(credential.username)}@'%' IDENTIFIED BY {quoted(credential.password)}")

    def log_text(self) -> str:
        """Return the general log, which on a test server holds every statement, and the error log."""
        return "".join(path.read_text(errors="replace") for path in self.log_files if path.exists())

    def logins(self) -> Logins | None:
        """Read the general log: each login has a line, and each wrong password another one."""
        lines = CONNECT.findall(self.log_text())
        refused = sum(map(bool, lines))
        return Logins(len(lines) - refused, refused) if self.log_files else None

    @contextmanager
    def session(self, credential: Credential | None = None) -> Iterator[Run]:
        """Connect, as the superuser unless told otherwise, and run statements one by one."""
        user = credential or self.superuser
        connection = pymysql.connect(
            host=user.host,
            port=user.port,
            user=user.username,
            password=user.password.encode(),
            database=user.database,
            autocommit=True,
            ssl_ca=str(self.ca_bundle),
            ssl_verify_cert=True,
            ssl_verify_identity=True,
            connect_timeout=10,
            read_timeout=30,
        )

        def run(statement: object, *arguments: object) -> list[tuple[object, ...]]:
            with connection.cursor() as cursor:
                cursor.execute(str(statement), arguments or None)
                return list(cursor.fetchall())

        with connection:
            yield run


def quoted(text: str) -> str:
    """Return a text as a literal."""
    return f"'{escape_string(text)}'"
