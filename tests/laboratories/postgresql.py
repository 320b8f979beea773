"""How do the tests look into a PostgreSQL server?"""

import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.sql import SQL, Composable, Identifier, Literal

from rotation.credential import Credential
from rotation.engines.postgresql import PostgreSQL
from rotation.engines.postgresql.questions import ONE_OF_SEVERAL
from tests.contract.sql_log import POSTGRESQL
from tests.forms import QUOTED, Forms
from tests.laboratories import ORDERS, THINGS, Logins, Run
from tests.local.servers import postgresql as postgresql_server
from tests.local.servers.postgresql_binaries import MAJORS

OLDER = [f"postgresql-{major}" for major in MAJORS[:-1]]
"""The servers of `make test` that are not the newest: for marks of cases that it leaves out."""

NAME = r'"(?:[^"]|"")*"'
WORD = rf"(?:{NAME}|[a-z_][a-z0-9_$]*)"
PARTS = {
    "name": NAME,
    "text": r"'(?:[^']|'')*'|E'(?:[^'\\]|\\.|'')*'",
    "number": r"-?\d+",
    # The types of a function's arguments are the server's own words, or names.
    "identity": rf"{WORD}(?:\.{WORD})*(?:\((?:{NAME}|[\w .,\[\]])*\))?|\d+",
    "mode": "READ WRITE|READ ONLY",
    "truth": "TRUE|FALSE",
    "act_as": "'SET'|'MEMBER'",
    "attribute": r"(?:NO)?(?:SUPERUSER|CREATEROLE|CREATEDB|REPLICATION|BYPASSRLS)|LOGIN|INHERIT"
    r"|CONNECTION LIMIT -?\d+|VALID UNTIL '[\w:+. -]+'",
    "privilege": "SELECT|INSERT|UPDATE|DELETE|TRUNCATE|REFERENCES|TRIGGER|MAINTAIN|USAGE|CREATE|CONNECT|TEMPORARY"
    "|EXECUTE|SET|ALTER SYSTEM",
    "kind": "TABLE|SEQUENCE|ROUTINE|SCHEMA|TYPE|LANGUAGE|FOREIGN DATA WRAPPER|FOREIGN SERVER|LARGE OBJECT|DATABASE"
    "|TABLESPACE|PARAMETER",
    "things": "TABLES|SEQUENCES|ROUTINES|TYPES|SCHEMAS|LARGE OBJECTS",
    "grantee": f"PUBLIC|{NAME}",
}
"""What the forms of PostgreSQL call the parts of its statements."""

ADMINS = replace(POSTGRESQL, statement=re.compile(r"admin_\w+@\S* secret-rotation (?:LOG:  statement|STATEMENT): +"))
"""How the driver's statements are logged if it has logged in as an admin: it writes its own name."""

BETWEEN = re.compile(rf"{QUOTED.pattern}|(?P<end>; (?!SET LOCAL [a-z])|(?<=attempt); )", re.DOTALL)
"""What is between two statements of a message, outside of quotes. The settings of a transaction stay together."""

BEGIN, END = ONE_OF_SEVERAL.format(most="MOST", question="{}").split("{}")
ONE = re.compile(re.escape(BEGIN).replace("MOST", r"\d+"))
"""How one of several questions begins."""


def statements(message: str) -> Iterator[str]:
    """Yield the statements of a message."""
    at = 0
    for end in BETWEEN.finditer(message):
        if end["end"]:
            yield message[at : end.start()]
            at = end.end()
    yield message[at:]


def questions(statement: str) -> list[str]:
    """Return the questions that a statement joins, or the statement."""
    select, *joined = ONE.split(" ".join(statement.split()))
    if select == "SELECT " and joined[-1].endswith(END) and all(one.endswith(f"{END}, ") for one in joined[:-1]):
        return [one.removesuffix(", ").removesuffix(END) for one in joined]
    return [statement]


@dataclass(frozen=True)
class PostgreSQLLaboratory:
    """A PostgreSQL server."""

    superuser: Credential
    ca_bundle: Path
    log_file: Path | None
    admin: Credential
    version: int
    engine: PostgreSQL = field(default_factory=PostgreSQL)
    _idle: dict[str, list[psycopg2.extensions.connection]] = field(default_factory=dict, repr=False, compare=False)
    """A connection that is used again, by DSN: a new one takes the server 20 ms."""

    @classmethod
    def prepare(cls, superuser: Credential, ca_bundle: Path, log_file: Path | None) -> "PostgreSQLLaboratory":
        """Make the admin and the things on a server that knows neither."""
        admin = replace(superuser, username=f"admin_{secrets.token_hex(4)}", password=secrets.token_urlsafe())
        laboratory = cls(superuser, ca_bundle, log_file, admin, 0)
        with laboratory.session() as run:
            # As rds_superuser: CREATEROLE and CREATEDB, and no superuser.
            run(
                SQL("CREATE ROLE {} LOGIN CREATEROLE CREATEDB PASSWORD {}").format(
                    Identifier(admin.username), Literal(admin.password)
                )
            )
            [(version,)] = run("SELECT current_setting('server_version_num')::int")
            run(SQL("GRANT CREATE ON SCHEMA public TO {}").format(Identifier(admin.username)))
            for thing in THINGS:
                run(SQL("DROP TABLE IF EXISTS public.{}").format(Identifier(thing)))
        with laboratory.session(admin) as run:
            for thing in THINGS:
                run(SQL("CREATE TABLE public.{} (id int)").format(Identifier(thing)))
        return replace(laboratory, version=version)

    def new_user(self, name: str | None = None, password: str | None = None) -> Credential:
        """Make a role as the admin, as people do on RDS."""
        user = replace(
            self.superuser, username=name or f"app_{secrets.token_hex(4)}", password=password or secrets.token_urlsafe()
        )
        with self.session(self.admin) as run:
            run(SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(Identifier(user.username), Literal(user.password)))
            run(SQL("GRANT SELECT ON public.{} TO {}").format(Identifier(ORDERS), Identifier(user.username)))
        return user

    def logs_in(self, credential: Credential) -> bool:
        """Log in, and out again."""
        try:
            psycopg2.connect(self.dsn(credential)).close()
        except psycopg2.OperationalError:
            return False
        return True

    def allow(self, username: str, thing: str) -> None:
        """Grant SELECT on it as the admin, who owns the table."""
        with self.session(self.admin) as run:
            run(SQL("GRANT SELECT ON public.{} TO {}").format(Identifier(thing), Identifier(username)))

    def forbid(self, username: str, thing: str) -> None:
        """Revoke it as the admin."""
        with self.session(self.admin) as run:
            run(SQL("REVOKE SELECT ON public.{} FROM {}").format(Identifier(thing), Identifier(username)))

    def may_read(self, credential: Credential, thing: str) -> bool:
        """Read a table."""
        try:
            with self.session(credential) as run:
                run(SQL("SELECT FROM public.{}").format(Identifier(thing)))
        except (psycopg2.errors.InsufficientPrivilege, psycopg2.OperationalError):
            return False
        return True

    def statement_that_reads(self, thing: str) -> str:
        """Name the table alone: the user's session finds it."""
        return f"SELECT 1 FROM {thing}"  # noqa: S608 - a constant

    def allow_two_passwords(self, username: str, *, by_itself: bool) -> None:
        """No role can have two."""

    def change_password(self, credential: Credential) -> None:
        """Change it as the superuser."""
        with self.session() as run:
            run(SQL("ALTER ROLE {} PASSWORD {}").format(Identifier(credential.username), Literal(credential.password)))

    def log_text(self) -> str:
        """Return the statement log, which on a test server holds every statement."""
        return self.log_file.read_text(errors="replace") if self.log_file else ""

    def said_by_admins(self, since: str = "") -> Iterator[str]:
        """Yield the statements that the driver has sent as an admin, since the log has this text."""
        log = self.log_text()
        return (one for message in ADMINS.statements(log[log.index(since) :]) for one in statements(message))

    def strange_statements(self) -> list[str]:
        """Read the log: this driver names itself, and an admin of a test is called one."""
        forms = Forms("postgresql", PARTS)
        return forms.strangers(part for one in self.said_by_admins() for part in questions(one))

    def logins(self) -> Logins | None:
        """Read the log. A login that ends in an error of any kind is FATAL there."""
        refused = self.log_text().count(" FATAL: ")
        return Logins(self.log_text().count("connection authorized: ") + refused, refused) if self.log_file else None

    @contextmanager
    def session(self, credential: Credential | None = None, database: str | None = None) -> Iterator[Run]:
        """Connect, as the superuser unless told otherwise, and run statements one by one."""
        dsn = self.dsn(credential or self.superuser, database)
        is_daily = database is None and credential in (None, self.admin)
        kept = self._idle.setdefault(dsn, []) if is_daily else []
        connection = (kept and _renewed(kept.pop())) or psycopg2.connect(dsn)
        connection.autocommit = True

        def run(statement: str | Composable, *arguments: object) -> list[tuple[Any, ...]]:
            with connection.cursor() as cursor:
                cursor.execute(statement, arguments or None)
                return cursor.fetchall() if cursor.description else []

        try:
            yield run
            is_idle = connection.info.transaction_status == psycopg2.extensions.TRANSACTION_STATUS_IDLE
            if is_daily and is_idle and not kept:  # one is enough
                kept.append(connection)
        finally:
            if connection not in kept:
                connection.close()

    @contextmanager
    def no_user_can_change(self) -> Iterator[None]:
        """Lock the catalog of roles."""
        with self.session() as run:
            run("BEGIN")
            run("LOCK TABLE pg_authid IN SHARE MODE")
            yield

    def waiting_session(self, username: str) -> int | None:
        """Look for it as the superuser."""
        query = "SELECT pid FROM pg_stat_activity WHERE usename = %s AND wait_event_type = 'Lock'"
        with self.session() as run:
            return next((pid for (pid,) in run(query, username)), None)

    def kill(self, session: int) -> None:
        """End it as the superuser."""
        with self.session() as run:
            run("SELECT pg_terminate_backend(%s)", session)

    @contextmanager
    def password_policy(self, username: str) -> Iterator[str]:
        """Load passwordcheck, which refuses the user's name as its password."""
        with self.session() as run:
            module = SQL("ALTER ROLE {} SET session_preload_libraries TO 'passwordcheck'")
            run(module.format(Identifier(username)))
        yield username

    def lock_user(self, username: str) -> None:
        """Take LOGIN from it."""
        with self.session() as run:
            run(SQL("ALTER ROLE {} NOLOGIN").format(Identifier(username)))

    def unlock_user(self, username: str) -> None:
        """Give it LOGIN."""
        with self.session() as run:
            run(SQL("ALTER ROLE {} LOGIN").format(Identifier(username)))

    def dsn(self, credential: Credential, database: str | None = None) -> str:
        """How somebody connects, over verified TLS, as a connection string."""
        return psycopg2.extensions.make_dsn(
            host=credential.host,
            port=credential.port,
            user=credential.username,
            password=credential.password,
            dbname=database or credential.database,
            sslmode="verify-full",
            sslrootcert=str(self.ca_bundle),
        )


def _renewed(connection: psycopg2.extensions.connection) -> psycopg2.extensions.connection | None:
    """Make a session as good as new; None if it has ended."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("DISCARD ALL")
    except psycopg2.Error:
        connection.close()
        return None
    return connection


@contextmanager
def own(
    major: int, settings: Mapping[str, str] | None = None, build: postgresql_server.Build | None = None
) -> Iterator[PostgreSQLLaboratory]:
    """Start a server of this version, with settings of its own, in somebody else's build if one is given."""
    with postgresql_server.start(major, settings, build=build) as server:
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


@contextmanager
def given(dsn: str) -> Iterator[PostgreSQLLaboratory]:
    """Use a server: `host=… user=… password=… sslrootcert=…`."""
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
    yield PostgreSQLLaboratory.prepare(superuser, Path(parameters["sslrootcert"]), None)
