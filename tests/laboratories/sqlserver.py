"""How do the tests look into an SQL Server, a real one or the stand-in?

With pymssql, that is with FreeTDS: another client than the driver's, which shares no code with it.
"""

import os
import re
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pymssql

from rotation.credential import Credential
from rotation.engines.sqlserver import SQLServer
from tests.forms import Forms
from tests.laboratories import ORDERS, THINGS, Logins, Run, new_password
from tests.local.stand_ins.sqlserver import server as sqlserver_server

DATABASE, CONTAINED = DATABASES = ("lab", "lab_contained")

GRANTORS = """
    SELECT g.name FROM sys.database_permissions p
    JOIN sys.database_principals g ON g.principal_id = p.grantor_principal_id
    JOIN sys.database_principals u ON u.principal_id = p.grantee_principal_id
    JOIN sys.all_objects o ON o.object_id = p.major_id
    WHERE u.name = %s AND o.name = %s AND p.permission_name = 'SELECT'"""

REFUSED = re.compile(r"(?:(?!DB-Lib).)*DB-Lib error message 20018, severity 14:")
"""How the client's account begins of what the server refuses: a login, or a statement that the user may not run. What
else there is does not tell: of the server's number and text, it keeps those of an earlier refusal."""


DRIVER = "secret-rotation"
"""What the driver calls itself, as the client of a session."""

PARTS = {
    "name": r"\[(?:[^\]]|\]\])+\]",
    "text": r"N'…'",
    "value": r"@P[0-9]+",
    "binary": r"0x[0-9A-F]+",
    "number": r"[0-9]+",
    "two": r"[0-9]+, [0-9]+",
    "numbers": r"[0-9]+(?:, [0-9]+)?",
    "many": r"-?[0-9]+(?:, -?[0-9]+)*",
    "switch": r"ON|OFF",
    "language": r"NONE|\[(?:[^\]]|\]\])+\]",
    "permission": r"[A-Z]+(?: [A-Z]+)*",
    "class": "LOGIN|SERVER ROLE|ENDPOINT|OBJECT|SCHEMA|USER|ROLE|APPLICATION ROLE|ASSEMBLY|TYPE|XML SCHEMA COLLECTION"
        "|MESSAGE TYPE|CONTRACT|SERVICE|REMOTE SERVICE BINDING|ROUTE|FULLTEXT CATALOG|SYMMETRIC KEY|CERTIFICATE"
        "|ASYMMETRIC KEY|FULLTEXT STOPLIST|SEARCH PROPERTY LIST|EXTERNAL LANGUAGE|DATABASE SCOPED CREDENTIAL",
}  # fmt: skip
"""What stands in braces in the forms of an admin's statements."""


TOGETHER = re.compile(r"; (?=USE |SELECT )")
"""What stands between questions that are asked together: each of them must have a form."""


@dataclass(frozen=True)
class SQLServerLaboratory:
    """An SQL Server."""

    superuser: Credential
    ca_bundle: Path
    admin: Credential
    log: sqlserver_server.Log | None
    """What the stand-in has logged; None if it is a real server."""
    engine: SQLServer = field(default_factory=SQLServer)
    admins: set[str] = field(default_factory=set)
    """All who log in as an admin."""

    @classmethod
    def prepare(cls, superuser: Credential, ca_bundle: Path, log: sqlserver_server.Log | None) -> "SQLServerLaboratory":
        """Make the admin, the databases and the things on a server that knows none of them."""
        admin = replace(superuser, username=f"admin_{secrets.token_hex(4)}", password=new_password(), database=DATABASE)
        laboratory = cls(superuser, ca_bundle, admin, log, admins={superuser.username, admin.username})
        with laboratory.session() as run:
            run("EXEC sp_configure 'contained database authentication', 1")
            run("RECONFIGURE")
            made = {row[0] for row in run("SELECT name FROM sys.databases")}
            for database in DATABASES:
                if database not in made:
                    partly = " CONTAINMENT = PARTIAL" if database == CONTAINED else ""
                    run(f"CREATE DATABASE {database}{partly}")
            laboratory.become_master(run, admin)
        for database in DATABASES:
            with laboratory.session(database=database) as run:
                run(f"CREATE USER {admin.username} FOR LOGIN {admin.username}")
                run(f"ALTER ROLE db_owner ADD MEMBER {admin.username}")
                for thing in THINGS:
                    run(f"DROP TABLE IF EXISTS dbo.{thing}")
                    run(f"CREATE TABLE dbo.{thing} (id int)")
        return laboratory

    @staticmethod
    def become_master(run: Run, admin: Credential) -> None:
        """Make a login with what the master user of RDS has."""
        run(f"CREATE LOGIN {admin.username} WITH PASSWORD = {quoted(admin.password)}")
        for permission in sqlserver_server.RDS_MASTER_PERMISSIONS:
            run(f"GRANT {permission} TO {admin.username}")
        for role in sqlserver_server.RDS_MASTER_ROLES:
            run(f"ALTER SERVER ROLE {role} ADD MEMBER {admin.username}")

    def new_user(self, name: str | None = None, password: str | None = None, *, policy: bool = False) -> Credential:
        """Make a login, and its user in the database of the things."""
        user = replace(
            self.superuser,
            username=name or f"app_{secrets.token_hex(4)}",
            password=password or new_password(),
            database=DATABASE,
        )
        # The contract makes up passwords that a policy may refuse.
        options = f"PASSWORD = {quoted(user.password)}, CHECK_POLICY = {'ON' if policy else 'OFF'}"
        with self.session(database=DATABASE) as run:
            run(f"CREATE LOGIN {bracketed(user.username)} WITH {options}")
            run(f"CREATE USER {bracketed(user.username)} FOR LOGIN {bracketed(user.username)}")
        self.allow(user.username, ORDERS)
        return user

    def new_contained_user(self) -> Credential:
        """Make a user that logs in to its database only."""
        user = replace(
            self.superuser, username=f"app_{secrets.token_hex(4)}", password=new_password(), database=CONTAINED
        )
        with self.session(database=CONTAINED) as run:
            run(f"CREATE USER {bracketed(user.username)} WITH PASSWORD = {quoted(user.password)}")
            run(f"GRANT SELECT ON dbo.{ORDERS} TO {bracketed(user.username)}")
        return user

    def logs_in(self, credential: Credential) -> bool:
        """Log in, and out again."""
        try:
            with self.session(credential):
                return True
        except pymssql.Error as error:
            if not REFUSED.match(account(error)):
                raise
            return False

    def allow(self, username: str, thing: str) -> None:
        """Grant SELECT on a table."""
        with self.session(database=DATABASE) as run:
            run(f"GRANT SELECT ON dbo.{thing} TO {bracketed(username)}")

    def forbid(self, username: str, thing: str) -> None:
        """Revoke SELECT on a table, whoever has granted it."""
        with self.session(database=DATABASE) as run:
            for (grantor,) in run(GRANTORS, username, thing):
                who = f"{bracketed(username)} AS {bracketed(str(grantor))}"
                run(f"REVOKE SELECT ON dbo.{thing} FROM {who}")  # noqa: S608 - constants, and quoted names

    def may_read(self, credential: Credential, thing: str) -> bool:
        """Read a table."""
        try:
            with self.session(credential) as run:
                run(f"SELECT 1 FROM dbo.{thing}")  # noqa: S608 - constants
        except pymssql.Error as error:
            if not REFUSED.match(account(error)):
                raise
            return False
        return True

    def statement_that_reads(self, thing: str) -> str:
        """Name the table alone: the user's session finds it."""
        return f"SELECT 1 FROM {thing}"  # noqa: S608 - a constant

    def allow_two_passwords(self, username: str, *, by_itself: bool) -> None:
        """No login can have two."""

    def change_password(self, credential: Credential) -> None:
        """Change it as the superuser."""
        with self.session() as run:
            run(f"ALTER LOGIN {bracketed(credential.username)} WITH PASSWORD = {quoted(credential.password)}")

    def log_text(self) -> str:
        """Return all statements that the stand-in got, as a trace shows them, and the logins."""
        return "\n".join(self.log.lines) if self.log else ""

    def strange_statements(self) -> list[str]:
        """Hold what the stand-in has heard of the driver, from all who are admins, against the forms."""
        if not self.log:
            return []
        said = [one.text for one in self.log.received if one.program == DRIVER and one.login in self.admins]
        forms = Forms("sqlserver", PARTS)
        return forms.strangers(statement for one in forms.strangers(said) for statement in TOGETHER.split(one))

    def logins(self) -> Logins | None:
        """Return what the stand-in has counted."""
        return Logins(self.log.tried, self.log.refused) if self.log else None

    @contextmanager
    def session(self, credential: Credential | None = None, database: str | None = None) -> Iterator[Run]:
        """Connect, as the superuser unless told otherwise, and run statements one by one."""
        user = credential or self.superuser
        connection = self._connect(user, database or user.database or "master")
        cursor = connection.cursor()

        def run(statement: object, *arguments: object) -> list[tuple[object, ...]]:
            # With arguments, even with none, a % in the statement would stand for one.
            cursor.execute(str(statement), *([tuple(map(str, arguments))] if arguments else []))
            return [tuple(row) for row in cursor.fetchall()] if cursor.description else []

        try:
            yield run
        finally:
            connection.close()

    def _connect(self, user: Credential, database: str) -> pymssql.Connection:
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as configuration:
            configuration.write(f"[global]\nca file = {self.ca_bundle}\ncheck certificate hostname = yes\n")
            configuration.flush()
            os.environ["FREETDSCONF"] = configuration.name
            return pymssql.connect(
                server=user.host,
                port=str(user.port),
                user=user.username,
                password=user.password,
                database=database,
                autocommit=True,
                encryption="require",
                login_timeout=10,
                timeout=30,
            )


@contextmanager
def own() -> Iterator[SQLServerLaboratory]:
    """Start a stand-in."""
    with sqlserver_server.start() as server:
        superuser = Credential(
            engine="sqlserver",
            host=server.host,
            port=server.port,
            database="master",
            username=server.superuser,
            password=server.password,
            tls=True,
        )
        yield SQLServerLaboratory.prepare(superuser, server.ca_bundle, server.log)


@contextmanager
def given(dsn: str) -> Iterator[SQLServerLaboratory]:
    """Use a server: `mssql://sa:password@host:port/?ca=FILE`."""
    parts = urlsplit(dsn)
    superuser = Credential(
        engine="sqlserver",
        host=parts.hostname or "localhost",
        port=parts.port or 1433,
        database="master",
        username=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        tls=True,
    )
    bundle = Path(parse_qs(parts.query).get("ca", [os.devnull])[0])
    yield SQLServerLaboratory.prepare(superuser, bundle, None)


def account(error: pymssql.Error) -> str:
    """Return what the client says of it, in one line."""
    last = error.args[-1]
    text = last[-1] if isinstance(last, tuple) else last
    return " ".join((text.decode(errors="replace") if isinstance(text, bytes) else str(text)).split())


def bracketed(name: str) -> str:
    """Return a name as an identifier."""
    return "[" + name.replace("]", "]]") + "]"


def quoted(text: str) -> str:
    """Return a text as a literal."""
    return "N'" + text.replace("'", "''") + "'"
