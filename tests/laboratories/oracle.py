"""How do the tests look into an Oracle database?"""

import functools
import secrets
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import oracledb

from rotation.credential import Credential
from rotation.engines.oracle import Oracle
from rotation.engines.oracle.connection import PROGRAM
from tests.forms import Forms
from tests.laboratories import ORDERS, THINGS, Logins, Run, new_password
from tests.local.stand_ins.oracle import server as oracle_server

NAME = '"[^"]+"'

OWNER = "LAB_THINGS"
"""Whose the things are: nobody logs in as it."""

ROLLOVER_PROFILE = "LAB_ROLLOVER"
"""A profile that lets a user have two passwords for a day."""

ADMIN_RIGHTS = (
    "GRANT CREATE SESSION, CREATE USER, ALTER USER TO {}",
    "GRANT GRANT ANY PRIVILEGE, GRANT ANY ROLE, GRANT ANY OBJECT PRIVILEGE TO {}",
    "GRANT SELECT_CATALOG_ROLE TO {}",
    "GRANT CREATE ANY SYNONYM, DROP ANY SYNONYM TO {}",
    "BEGIN sys.dbms_resource_manager_privs.grant_system_privilege('{}', 'ADMINISTER_RESOURCE_MANAGER', FALSE); END;",
)
"""More than docs/engines/oracle.md asks for, and than RDS gives anybody: in place of each privilege and role of the
application WITH ADMIN OPTION, the right to grant any, because tests make up both as they go."""

FORMS = Forms(
    "oracle",
    {
        "name": NAME,
        "bind": ":n[0-9]+",
        "number": "[0-9]+",
        "collation": "[A-Z0-9_]+",
        "privilege": "[A-Z]+(?: [A-Z]+)*",
        "object": f"(?:(?:[A-Z]+ )*{NAME}\\.{NAME}|(?:DIRECTORY|EDITION) {NAME})",
        "proxy": f"(?:{NAME}|ENTERPRISE USERS)",
        "link": "[A-Za-z][A-Za-z0-9_$#.@]*",
    },
)

TOLERATED = frozenset({955, 990, 1920, 2376, 2379})
"""It is there already, or the server is too old for it: for the profile, or for privileges on schemas."""


@dataclass(frozen=True)
class OracleLaboratory:
    """An Oracle database, or the stand-in for one."""

    superuser: Credential
    ca_bundle: Path | None
    admin: Credential
    server: oracle_server.Server | None = None
    """The stand-in; None if it is a real server."""
    admins: set[str] = field(default_factory=set)
    """All who are admins here, as the server keeps their names."""
    engine: Oracle = field(default_factory=Oracle)

    @classmethod
    def prepare(
        cls, superuser: Credential, ca_bundle: Path | None, server: oracle_server.Server | None = None
    ) -> "OracleLaboratory":
        """Make the admin and the things on a server that may know the things already."""
        admin = replace(superuser, username=f"ADMIN_{secrets.token_hex(4)}".upper(), password=new_password())
        laboratory = cls(superuser, ca_bundle, admin, server, {admin.username})
        laboratory.alter(f"CREATE USER {admin.username} IDENTIFIED BY {quoted(admin.password)}")
        laboratory.alter(*(right.format(admin.username) for right in ADMIN_RIGHTS))
        for statement in (
            f"CREATE USER {OWNER} IDENTIFIED BY {quoted(new_password())} QUOTA UNLIMITED ON users ACCOUNT LOCK",
            *(f"CREATE TABLE {OWNER}.{thing} (id NUMBER)" for thing in THINGS),
            *(f"CREATE OR REPLACE PUBLIC SYNONYM {thing} FOR {OWNER}.{thing}" for thing in THINGS),
            f"GRANT GRANT ANY SCHEMA PRIVILEGE TO {admin.username}",
            f"CREATE PROFILE {ROLLOVER_PROFILE} LIMIT PASSWORD_ROLLOVER_TIME 1",
        ):
            try:
                laboratory.alter(statement)
            except oracledb.DatabaseError as error:
                if error.args[0].code not in TOLERATED:
                    raise
        return laboratory

    def new_user(self, name: str | None = None, password: str | None = None) -> Credential:
        """Make a user as the admin, as people do on RDS."""
        user = replace(
            self.superuser, username=name or f"app_{secrets.token_hex(4)}", password=password or new_password()
        )
        with self.session(self.admin) as run:
            run(f"CREATE USER {quoted(known(user.username))} IDENTIFIED BY {quoted(user.password)}")
            run(f"GRANT CREATE SESSION TO {quoted(known(user.username))}")
        self.allow(user.username, ORDERS)
        return user

    def logs_in(self, credential: Credential) -> bool:
        """Log in, and out again."""
        try:
            with self.session(credential):
                return True
        except oracledb.Error:
            return False

    def allow(self, username: str, thing: str) -> None:
        """Grant SELECT on a table."""
        self.alter(f"GRANT SELECT ON {OWNER}.{thing} TO {quoted(known(username))}")

    def forbid(self, username: str, thing: str) -> None:
        """Revoke it, if it is granted."""
        with suppress(oracledb.DatabaseError):
            self.alter(f"REVOKE SELECT ON {OWNER}.{thing} FROM {quoted(known(username))}")  # noqa: S608 - a constant, and a quoted name

    def may_read(self, credential: Credential, thing: str) -> bool:
        """Read a table."""
        try:
            with self.session(credential) as run:
                run(f"SELECT 1 FROM {thing}")  # noqa: S608 - a constant
        except oracledb.Error:
            return False
        return True

    def statement_that_reads(self, thing: str) -> str:
        """Name the table alone: the user's session finds it."""
        return f"SELECT 1 FROM {thing}"  # noqa: S608 - a constant

    def allow_two_passwords(self, username: str, *, by_itself: bool) -> None:
        """Give a user a profile with gradual rollover. It can always change its own password."""
        del by_itself
        self.alter(f"ALTER USER {quoted(known(username))} PROFILE {ROLLOVER_PROFILE}")

    def change_password(self, credential: Credential) -> None:
        """Change it as the superuser; two passwords become one."""
        user = quoted(known(credential.username))
        self.alter(f"ALTER USER {user} IDENTIFIED BY {quoted(credential.password)}")
        [(status,)] = self.asked("SELECT account_status FROM dba_users WHERE username = :1", known(credential.username))
        if "IN ROLLOVER" in str(status):
            self.alter(f"ALTER USER {user} EXPIRE PASSWORD ROLLOVER PERIOD")

    def log_text(self) -> str:
        """Return the stand-in's audit trail."""
        return self.server.log_text() if self.server else ""

    def strange_statements(self) -> list[str]:
        """Look through what the driver's sessions have sent as an admin."""
        databases = self.server.listener.databases() if self.server else []
        sent = [one for database in databases for one in database.statements]
        return FORMS.strangers(text for program, user, text in sent if program == PROGRAM and user in self.admins)

    def logins(self) -> Logins | None:
        """Count them in the audit trail."""
        codes = [line.rpartition(" ")[2] for line in self.log_text().splitlines() if line.startswith("LOGON ")]
        return Logins(len(codes), sum(code != "0" for code in codes)) if self.server else None

    def alter(self, *statements: str) -> None:
        """Run statements as the superuser."""
        with self.session() as run:
            for statement in statements:
                run(statement)

    def asked(self, query: str, *arguments: str) -> list[tuple[object, ...]]:
        """Return the rows of a query, as the superuser; arguments are :1, :2 and so on."""
        with self.session() as run:
            return run(query, *arguments)

    @contextmanager
    def session(self, credential: Credential | None = None) -> Iterator[Run]:
        """Connect, as the superuser unless told otherwise, and run statements one by one."""
        user = credential or self.superuser
        connection = oracledb.connect(
            user=quoted(known(user.username)),
            password=user.password,
            host=user.host,
            port=user.port,
            service_name=user.database,
            protocol="tcps" if user.tls else "tcp",
            ssl_context=_trust(self.ca_bundle) if user.tls else None,
            tcp_connect_timeout=10,
        )

        def run(statement: object, *arguments: object) -> list[tuple[object, ...]]:
            with connection.cursor() as cursor:
                cursor.execute(str(statement), list(arguments))
                return list(cursor.fetchall()) if cursor.description else []

        with connection:
            yield run


@functools.cache
def _trust(ca_bundle: Path | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca_bundle)


@contextmanager
def own(version: tuple[int, ...] = oracle_server.NEWEST) -> Iterator[OracleLaboratory]:
    """Start a stand-in for a server of this version."""
    with oracle_server.start(version) as server:
        superuser = Credential(
            engine="oracle",
            host=server.host,
            port=server.port,
            database=server.service,
            username=server.superuser,
            password=server.password,
            tls=True,
        )
        yield OracleLaboratory.prepare(superuser, server.ca_bundle, server)


@contextmanager
def given(dsn: str) -> Iterator[OracleLaboratory]:
    """Use a server: `oracle://user:password@host:port/service?ca=FILE`, or `…?ssl=false`; the user has the role DBA."""
    parts = urlsplit(dsn)
    options = parse_qs(parts.query)
    tls = options.get("ssl") != ["false"]
    superuser = Credential(
        engine="oracle",
        host=parts.hostname or "localhost",
        port=parts.port or (2484 if tls else 1521),
        database=parts.path.removeprefix("/"),
        username=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        tls=tls,
    )
    yield OracleLaboratory.prepare(superuser, Path(options["ca"][0]) if tls else None)


def known(name: str) -> str:
    """Return a user's name as the server keeps it."""
    return name[1:-1] if name.startswith('"') else name.upper()


def quoted(text: str) -> str:
    """Return a name, or a password, as an identifier."""
    return f'"{text}"'
