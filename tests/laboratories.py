"""How do the tests look into a database, whatever its kind?

The drivers are held to one contract. What it takes to check it, to make a user and to grant it something, differs
from engine to engine: a laboratory does it, as the superuser, with the engine's own client and none of the project's
code.
"""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import psycopg2
from psycopg2.sql import SQL, Composable, Identifier, Literal

from rotation.credential import Credential
from rotation.deadline import Deadline
from rotation.engine import Engine
from rotation.engines.postgresql import PostgreSQL
from tests.contract.sql_log import POSTGRESQL
from tests.forms import Forms

ORDERS, INVOICES = THINGS = ("lab_orders", "lab_invoices")
"""What there is to be read: a new user may read the orders."""


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
"""How the driver's statements are logged, where it has logged in as an admin: it writes its own name."""


class Laboratory(Protocol):
    """A database server, its admin, and a look into it from outside."""

    @property
    def engine(self) -> Engine:
        """The driver under test."""

    @property
    def admin(self) -> Credential:
        """The admin, with what an RDS master may do and no more."""

    @property
    def ca_bundle(self) -> Path | None:
        """The authorities of the server's certificate."""

    def new_user(self, name: str | None = None, password: str | None = None) -> Credential:
        """Make a user that the admin may administer, with a right or two."""

    def logs_in(self, credential: Credential) -> bool:
        """Tell whether the server takes this password."""

    def allow(self, username: str, thing: str) -> None:
        """Grant a user the right to read one of THINGS."""

    def forbid(self, username: str, thing: str) -> None:
        """Revoke it."""

    def may_read(self, credential: Credential, thing: str) -> bool:
        """Tell whether the user logs in, and can read the thing."""

    def allow_two_passwords(self, username: str, *, by_itself: bool) -> None:
        """Prepare a user for the strategy dual password, if the engine has it; that it adds one by itself, or not."""

    def change_password(self, credential: Credential) -> None:
        """Give a user the password of this credential, behind the back of everybody."""

    def log_text(self) -> str:
        """Return all that the server has logged."""

    def strange_statements(self) -> list[str]:
        """Return what the driver's sessions have sent as the admin and no form allows: see `tests.forms`.

        Empty if nobody can read the server's log.
        """

    def logins(self) -> "Logins | None":
        """Count all logins so far, this laboratory's own included; None where nobody can read the server's log."""


@dataclass(frozen=True)
class Logins:
    """What a server has logged of logins."""

    tried: int
    refused: int
    """Among those that were tried."""

    def __sub__(self, before: "Logins") -> "Logins":
        return Logins(self.tried - before.tried, self.refused - before.refused)


def deadline(seconds: float = 30.0) -> Deadline:
    """Return a deadline in so many seconds from a clock that stands still: no test waits for it."""
    return Deadline(lambda: seconds)


@dataclass(frozen=True)
class PostgreSQLLaboratory:
    """A PostgreSQL server."""

    superuser: Credential
    ca_bundle: Path
    log_file: Path | None
    admin: Credential
    version: int
    engine: PostgreSQL = field(default_factory=PostgreSQL)

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
        """Have the admin make a role, as somebody who runs an RDS instance would."""
        user = replace(
            self.superuser, username=name or f"app_{secrets.token_hex(4)}", password=password or secrets.token_urlsafe()
        )
        with self.session(self.admin) as run:
            run(SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(Identifier(user.username), Literal(user.password)))
        self.allow(user.username, ORDERS)
        return user

    def logs_in(self, credential: Credential) -> bool:
        """Log in, and out again."""
        try:
            psycopg2.connect(self._dsn(credential)).close()
        except psycopg2.OperationalError:
            return False
        return True

    def allow(self, username: str, thing: str) -> None:
        """Have the admin, whose table it is, grant SELECT on it."""
        with self.session(self.admin) as run:
            run(SQL("GRANT SELECT ON public.{} TO {}").format(Identifier(thing), Identifier(username)))

    def forbid(self, username: str, thing: str) -> None:
        """Have the admin revoke it."""
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

    def allow_two_passwords(self, username: str, *, by_itself: bool) -> None:
        """No role can have two."""

    def change_password(self, credential: Credential) -> None:
        """Change it as the superuser."""
        with self.session() as run:
            run(SQL("ALTER ROLE {} PASSWORD {}").format(Identifier(credential.username), Literal(credential.password)))

    def log_text(self) -> str:
        """Return the statement log, which on a test server holds every statement."""
        return self.log_file.read_text(errors="replace") if self.log_file else ""

    def strange_statements(self) -> list[str]:
        """Read the log: this driver names itself, and an admin of a test is called one."""
        forms = Forms("postgresql", PARTS)
        return forms.strangers(ADMINS.statements(self.log_text()))

    def logins(self) -> Logins | None:
        """Read the log, where a login that ends in an error of any kind is FATAL."""
        refused = self.log_text().count(" FATAL: ")
        return Logins(self.log_text().count("connection authorized: ") + refused, refused) if self.log_file else None

    @contextmanager
    def session(self, credential: Credential | None = None, database: str | None = None) -> Iterator["Run"]:
        """Connect, as the superuser unless told otherwise, and run statements one by one."""
        connection = psycopg2.connect(self._dsn(credential or self.superuser, database))
        connection.autocommit = True

        def run(statement: str | Composable, *arguments: object) -> list[tuple[Any, ...]]:
            with connection.cursor() as cursor:
                cursor.execute(statement, arguments or None)
                return cursor.fetchall() if cursor.description else []

        try:
            yield run
        finally:
            connection.close()

    def _dsn(self, credential: Credential, database: str | None = None) -> str:
        return psycopg2.extensions.make_dsn(
            host=credential.host,
            port=credential.port,
            user=credential.username,
            password=credential.password,
            dbname=database or credential.database,
            sslmode="verify-full",
            sslrootcert=str(self.ca_bundle),
        )


class Run(Protocol):
    """Runs a statement and returns its rows."""

    def __call__(self, statement: str | Composable, *arguments: object) -> list[tuple[Any, ...]]: ...
