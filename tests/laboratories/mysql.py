"""How do the tests look into a MySQL or MariaDB server?"""

import os
import re
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pymysql
from pymysql.converters import escape_string

from rotation.credential import Credential
from rotation.engine import InspectedEngine
from rotation.engines.mariadb import MariaDB
from rotation.engines.mysql import MySQL
from tests.forms import Forms
from tests.laboratories import ORDERS, THINGS, Logins, Run
from tests.local.servers import mariadb as mariadb_server
from tests.local.servers import mysql as mysql_server

SCHEMA = "lab"

RESET = 0x1F
"""The command of MySQL's and MariaDB's protocol that makes a session as good as new."""

CONNECT = re.compile(r"\d Connect\t(Access denied)?")

ENTRY = re.compile(
    r"^(?:\d{6} [ \d]\d:\d\d:\d\d|\d{4}-\d\d-\d\dT[\d:.]+Z)?\t+ *(\d+) ([A-Z][A-Za-z]+(?: [A-Za-z]+)*)\t",
    re.MULTILINE,
)
"""How an entry of the general log begins: the number of the connection, and what it did."""

ADMINS = ("admin", "root")
"""How the names of those begin whose sessions of the driver are an admin's."""

DRIVER = "SET NAMES utf8mb4, autocommit = 1, sql_quote_show_create = 1, @application_sql_mode = @@SESSION.sql_mode"
"""What a session of the driver says first, and no other does."""

NAME, TEXT = r"`(?:[^`]|``)*`", r"'(?:[^'\\]|\\.|'')*'"
PRIVILEGE = rf"[A-Z][A-Z_ ]*(?: \({NAME}\))?"
HASH = r"\*[0-9A-F]{40}|[A-Za-z0-9+/]{43}"
PARTS = {
    "name": NAME,
    "text": TEXT,
    "number": r"[0-9]+(?:\.[0-9]+)?",
    "hash": "[0-9a-f]+",
    "account": f"{TEXT}@{TEXT}",
    "role": f"{NAME}(?:@{NAME})?",
    "privileges": f"{PRIVILEGE}(?:, {PRIVILEGE})*",
    "object": rf"(?:(?:TABLE|PROCEDURE|FUNCTION|PACKAGE|PACKAGE BODY|LIBRARY) )?(?:\*|{NAME})\.(?:\*|{NAME})",
    "requirement": rf"NONE|SSL|X509|(?:(?:SUBJECT|ISSUER|CIPHER) {TEXT}(?: AND )?)+",
    "expiry": "DEFAULT|NEVER|INTERVAL [0-9]+ DAY",
    "limit": "DEFAULT|UNBOUNDED|[0-9]+",
    "method": f"{NAME}(?: USING (?:'(?:{HASH})'|PASSWORD\\({TEXT}\\)))?",
}
"""What the names in the lists of forms stand for."""


POLICIES = {
    "MySQL": (
        "INSTALL COMPONENT 'file://component_validate_password'",
        "UNINSTALL COMPONENT 'file://component_validate_password'",
    ),
    "MariaDB": ("INSTALL SONAME 'simple_password_check'", "UNINSTALL SONAME 'simple_password_check'"),
}
"""What loads a server's policy for passwords, and what unloads it."""


@dataclass(frozen=True)
class MySQLLaboratory:
    """A MySQL or MariaDB server."""

    engine: InspectedEngine
    superuser: Credential
    ca_bundle: Path
    log_files: tuple[Path, ...]
    admin: Credential
    version: str = field(default="")
    _idle: list[pymysql.Connection] = field(default_factory=list, repr=False, compare=False)

    @classmethod
    def on(cls, engine: InspectedEngine, server: mysql_server.Server, admin_password: str) -> "MySQLLaboratory":
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
        return cls(
            engine=engine,
            superuser=superuser,
            ca_bundle=server.ca_bundle,
            log_files=(server.log_files.general, server.log_files.error),
            admin=replace(superuser, username="admin", password=admin_password),
            version=server.version,
        )

    def __post_init__(self) -> None:
        """Make the things on a server that does not know them."""
        with self.session() as run:
            run(f"CREATE DATABASE IF NOT EXISTS {SCHEMA}")
            for thing in THINGS:
                run(f"CREATE TABLE IF NOT EXISTS {SCHEMA}.{thing} (id int)")

    def new_user(self, name: str | None = None, password: str | None = None) -> Credential:
        """Make a user as the superuser."""
        user = replace(
            self.superuser,
            username=name or f"app_{secrets.token_hex(4)}",
            password=password or secrets.token_urlsafe(),
            database=None,
        )
        with self.session() as run:
            run(f"CREATE USER {quoted(user.username)}@'%' IDENTIFIED BY {quoted(user.password)}")
            run(f"GRANT SELECT ON {SCHEMA}.{ORDERS} TO {quoted(user.username)}@'%'")
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
        """Revoke SELECT on a table, if it is granted."""
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

    def statement_that_reads(self, thing: str) -> str:
        """Name the table alone: the user's session finds it."""
        return f"SELECT 1 FROM {thing}"  # noqa: S608 - a constant

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

    def strange_statements(self) -> list[str]:
        """Read the general log: the driver's sessions as an admin."""
        return Forms(self.engine.kind.name.lower(), PARTS).strangers(said_by_admins(self.log_text()))

    def logins(self) -> Logins | None:
        """Read the general log: each login has a line, and each wrong password another one."""
        lines = CONNECT.findall(self.log_text())
        refused = sum(map(bool, lines))
        return Logins(len(lines) - refused, refused) if self.log_files else None

    @contextmanager
    def session(self, credential: Credential | None = None) -> Iterator[Run]:
        """Connect, as the superuser unless told otherwise, and run statements one by one.

        A session of the superuser is used again, as good as new: it has the server's variables of now, and no locks.
        """
        kept = self._idle if credential is None else []
        connection = (kept and _renewed(kept.pop())) or self._connected(credential or self.superuser)

        def run(statement: object, *arguments: object) -> list[tuple[object, ...]]:
            with connection.cursor() as cursor:
                cursor.execute(str(statement), arguments or None)
                return list(cursor.fetchall())

        try:
            yield run
            kept += [] if kept else [connection]  # one is enough
        finally:
            if connection not in self._idle:
                connection.close()

    def _connected(self, user: Credential) -> pymysql.Connection:
        return pymysql.connect(
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

    @contextmanager
    def no_user_can_change(self) -> Iterator[None]:
        """Lock all tables, those of accounts too, for as long as the connection is there."""
        with self._connected(self.superuser) as connection:
            connection.query("FLUSH TABLES WITH READ LOCK")
            yield

    def waiting_session(self, username: str) -> int | None:
        """Look for it as the superuser."""
        query = "SELECT id FROM information_schema.processlist WHERE user = %s AND state LIKE 'Waiting for%%'"
        with self.session() as run:
            return next((number for (number,) in run(query, username)), None)

    def kill(self, session: int) -> None:
        """End it as the superuser."""
        with self.session() as run:
            run("KILL CONNECTION %s", session)

    @contextmanager
    def password_policy(self, username: str) -> Iterator[str]:  # noqa: ARG002 - the policy is the server's
        """Load the server's policy, which refuses a weak password."""
        install, uninstall = POLICIES[self.engine.kind.name]
        with self.session() as run:
            run(install)
            try:
                yield "weak"
            finally:
                run(uninstall)

    def lock_user(self, username: str) -> None:
        """Lock the account."""
        with self.session() as run:
            run(f"ALTER USER {quoted(username)}@'%' ACCOUNT LOCK")

    def unlock_user(self, username: str) -> None:
        """Unlock the account."""
        with self.session() as run:
            run(f"ALTER USER {quoted(username)}@'%' ACCOUNT UNLOCK")


@contextmanager
def own_mysql() -> Iterator[MySQLLaboratory]:
    """Start a MySQL."""
    with (
        tempfile.TemporaryDirectory(prefix="mysql-") as directory,
        mysql_server.start(Path(directory), general_log=True) as server,
    ):
        yield MySQLLaboratory.on(MySQL(), server, mysql_server.create_rds_master(server))


@contextmanager
def own_mariadb(version: str) -> Iterator[MySQLLaboratory]:
    """Start a MariaDB of this version."""
    with (
        tempfile.TemporaryDirectory(prefix="mariadb-") as directory,
        mariadb_server.start(version, Path(directory), general_log=True) as server,
    ):
        yield MySQLLaboratory.on(MariaDB(), server, mariadb_server.create_rds_master(server))


@contextmanager
def given(engine: InspectedEngine, dsn: str) -> Iterator[MySQLLaboratory]:
    """Use a server: `mysql://user:password@host:port/?ca=FILE`; the user is the superuser.

    The tests mean an admin that can do less, so one is made, and dropped at the end. If the user is called like the
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


def _renewed(connection: pymysql.Connection) -> pymysql.Connection | None:
    """Reset a session; None if it has ended, or is in another schema than at first.

    The server resets neither its schema nor its letters, which become the server's own
    (https://dev.mysql.com/doc/refman/8.4/en/mysql-reset-connection.html).
    """
    try:
        connection._execute_command(RESET, b"")  # type: ignore[attr-defined]  # noqa: SLF001 - PyMySQL has no name for it
        connection._read_ok_packet()  # type: ignore[attr-defined]  # noqa: SLF001 - the same
        connection.set_character_set("utf8mb4")
        with connection.cursor() as cursor:
            cursor.execute("SELECT DATABASE() <=> %s", (connection.db,))
            is_new = cursor.fetchone() == (1,)
    except pymysql.Error:
        is_new = False
    if not is_new:
        connection.close()
    return connection if is_new else None


def said_by_admins(log: str) -> Iterator[str]:
    """Yield what the driver's sessions as an admin have said, as a general log has it."""
    sessions: dict[str, list[str]] = {}
    for number, did, text in _entries(log):
        if did == "Connect" and text.startswith(ADMINS):
            sessions[number] = []
        elif did == "Query" and number in sessions:
            sessions[number].append(text)
    for said in sessions.values():
        if any(statement.startswith(DRIVER) for statement in said):
            yield from said


def _entries(log: str) -> Iterator[tuple[str, str, str]]:
    """Yield the entries of a general log: which connection, what it did, the text."""
    begun = list(ENTRY.finditer(log))
    for entry, following in zip_longest(begun, begun[1:]):  # none, if the server is not ours: its log is not read
        yield entry[1], entry[2], log[entry.end() : following.start() if following else len(log)].removesuffix("\n")


def quoted(text: str) -> str:
    """Return a text as a literal."""
    return f"'{escape_string(text)}'"
