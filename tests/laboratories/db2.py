"""How do the tests look into a Db2 server of RDS, or into what stands for one?"""

import re
import secrets
import string
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import ibm_db  # type: ignore[import-untyped] # a C extension without types; nobody publishes stubs

from rotation.credential import Credential
from rotation.engines.db2 import Db2
from tests.forms import Forms
from tests.laboratories import THINGS, Logins, Run
from tests.local.stand_ins.db2 import server as db2_server
from tests.local.stand_ins.db2.database import Instance

SCHEMA = "LAB"

LETTERS = string.ascii_lowercase + string.digits
"""Six of them name a user: names are short, and six hexadecimal digits happened to be the same twice."""

NAME = '"(?:[^"]|"")+"'

FORMS = Forms(
    "db2",
    {
        "name": NAME,
        "number": "[0-9]+",
        "privilege": "[A-Z_]+",
        "rule": "DB2LBAC[A-Z]+",
        "object": f"(?:TABLE|INDEX|PACKAGE|MODULE|SEQUENCE|VARIABLE) {NAME}\\.{NAME}",
        "routine": f"(?:SPECIFIC (?:FUNCTION|METHOD|PROCEDURE) {NAME}\\.{NAME}"
        f"|METHOD \\* FOR {NAME}\\.{NAME}|(?:FUNCTION|PROCEDURE) {NAME}\\.\\*)",
    },
)

OURS = "VALUES (SESSION_USER)"
"""What a session of the laboratory as the admin says first. The driver's sessions never say it."""

EXISTS = re.compile(r"SQLCODE=-601\b")
GONE = re.compile(r"SQLCODE=-556\b")
REFUSED = re.compile(r"SQLCODE=(-30082|-551|-1060)\b")


@dataclass(frozen=True)
class Db2Laboratory:
    """A Db2 server, and its master user, who is the admin."""

    admin: Credential
    ca_bundle: Path
    instance: Instance | None = None
    """The inside of the stand-in; None if it is a real server."""
    engine: Db2 = field(default_factory=Db2)

    def __post_init__(self) -> None:
        """Make the things on a server that does not know them; everybody may find them without a schema."""
        with self.session() as run:
            for statement in (
                f"CREATE SCHEMA {SCHEMA}",
                *(f"CREATE TABLE {SCHEMA}.{thing} (ID INTEGER)" for thing in THINGS),
                *(f"CREATE PUBLIC ALIAS {thing} FOR TABLE {SCHEMA}.{thing}" for thing in THINGS),
            ):
                try:
                    run(statement)
                except Exception as error:
                    if not EXISTS.search(str(error)):
                        raise

    def new_user(self, name: str | None = None, password: str | None = None) -> Credential:
        """Make a user as the admin, as people do on RDS."""
        user = replace(
            self.admin,
            username=name or "app_" + "".join(secrets.choice(LETTERS) for _ in range(6)),
            password=password or f"Aa1-{secrets.token_hex()}",
        )
        self.administer("CALL RDSADMIN.ADD_USER(?, ?, ?)", user.username, user.password, "lab_users")
        with self.session() as run:
            grantee = quoted(user.username.upper())
            run(f"GRANT CONNECT ON DATABASE TO USER {grantee}")
            run(f"GRANT ROLE ROLE_NULLID_PACKAGES TO USER {grantee}")
        self.allow(user.username, THINGS[0])
        return user

    def administer(self, statement: str, *arguments: object) -> None:
        """Ask RDS to change users, and wait until all of that is done."""
        tasks = "SELECT T.TASK_ID, T.LIFECYCLE FROM TABLE(RDSADMIN.GET_TASK_STATUS(NULL, NULL, NULL)) AS T"
        with self.session(replace(self.admin, database="RDSADMIN")) as run:
            before = {number for number, _ in run(tasks)}
            run(statement, *arguments)
            for _ in range(600):
                if {state for number, state in run(tasks) if number not in before} <= {"SUCCESS", "ERROR"}:
                    return
                time.sleep(0.01)
        raise AssertionError(f"RDS does not finish: {statement}")

    def logs_in(self, credential: Credential) -> bool:
        """Log in, and out again."""
        try:
            with self.session(credential):
                return True
        except Exception as error:
            if not REFUSED.search(str(error)):
                raise
            return False

    def allow(self, username: str, thing: str) -> None:
        """Grant SELECT on a table."""
        with self.session() as run:
            run(f"GRANT SELECT ON TABLE {SCHEMA}.{thing} TO USER {quoted(username.upper())}")

    def forbid(self, username: str, thing: str) -> None:
        """Revoke it, if it is granted."""
        with self.session() as run, suppress(NothingToRevoke):
            run(f"REVOKE SELECT ON TABLE {SCHEMA}.{thing} FROM USER {quoted(username.upper())}")  # noqa: S608 - constants, and a quoted name

    def may_read(self, credential: Credential, thing: str) -> bool:
        """Read a table."""
        try:
            with self.session(credential) as run:
                run(f"SELECT 1 FROM {SCHEMA}.{thing}")  # noqa: S608 - constants
        except Exception as error:
            if not REFUSED.search(str(error)):
                raise
            return False
        return True

    def statement_that_reads(self, thing: str) -> str:
        """Name the table alone: the user's session finds it."""
        return f"SELECT 1 FROM {thing}"  # noqa: S608 - a constant

    def allow_two_passwords(self, username: str, *, by_itself: bool) -> None:
        """No user can have two."""

    def change_password(self, credential: Credential) -> None:
        """Change it as the master user."""
        self.administer("CALL RDSADMIN.CHANGE_PASSWORD(?, ?)", credential.username, credential.password)

    def log_text(self) -> str:
        """Return the texts of all statements."""
        return "\n".join(self.instance.log) if self.instance else ""

    def strange_statements(self) -> list[str]:
        """Look through what the driver's sessions have sent as the master user; a real server does not show it."""
        sessions = self.instance.sessions if self.instance else []
        sent = [one.statements for one in sessions if one.system_user == self.admin.username.upper()]
        return FORMS.strangers(text for texts in sent if texts[:1] != [OURS] for text in texts)

    def logins(self) -> Logins | None:
        """Ask the stand-in."""
        return Logins(self.instance.tried, self.instance.refused) if self.instance else None

    @contextmanager
    def session(self, credential: Credential | None = None) -> Iterator[Run]:
        """Connect, as the master user unless told otherwise, and run statements one by one."""
        user = credential or self.admin
        keywords: dict[str, object] = {
            "Database": user.database,
            "Hostname": user.host,
            "Port": user.port,
            "Protocol": "TCPIP",
            "UID": user.username,
            "PWD": user.password,
        }
        if user.tls and not self.instance:  # TLS takes the client 0.2 s, and the stand-in does not insist
            keywords |= {
                "Security": "SSL",
                "SSLServerCertificate": self.ca_bundle,
                "SSLClientHostnameValidation": "Basic",
            }
        connection = ibm_db.connect("".join(f"{name}={value};" for name, value in keywords.items()), "", "")

        def run(statement: object, *arguments: object) -> list[tuple[object, ...]]:
            prepared = ibm_db.prepare(connection, str(statement))
            rows = []
            try:
                ibm_db.execute(prepared, arguments) if arguments else ibm_db.execute(prepared)
                while ibm_db.num_fields(prepared) and (row := ibm_db.fetch_tuple(prepared)):
                    rows.append(row)
            except Exception as error:
                if GONE.search(str(error)):
                    raise NothingToRevoke from None
                raise
            finally:
                ibm_db.free_stmt(prepared)  # one that outlives its connection takes another one's place with it
            return rows

        try:
            if user.username.upper() == self.admin.username.upper():
                run(OURS)
            yield run
        finally:
            ibm_db.close(connection)


@contextmanager
def own() -> Iterator[Db2Laboratory]:
    """Start a stand-in."""
    with tempfile.TemporaryDirectory(prefix="db2-") as directory, db2_server.start(Path(directory)) as server:
        admin = Credential(
            engine="db2",
            host=server.host,
            port=server.port,
            database=server.database,
            username=server.master,
            password=server.password,
            tls=True,
        )
        yield Db2Laboratory(admin, server.ca_bundle, server.instance)


@contextmanager
def given(dsn: str) -> Iterator[Db2Laboratory]:
    """Use an instance of RDS: `db2://master:password@host:port/DATABASE?ca=FILE`; the port is of TLS."""
    parts = urlsplit(dsn)
    admin = Credential(
        engine=parts.scheme,
        host=parts.hostname or "localhost",
        port=parts.port or 50443,
        database=parts.path.lstrip("/"),
        username=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        tls=True,
    )
    yield Db2Laboratory(admin, Path(parse_qs(parts.query)["ca"][0]))


class NothingToRevoke(Exception):
    """The user has not what is to be revoked."""


def quoted(name: str) -> str:
    """Return a name as an identifier."""
    return '"' + name.replace('"', '""') + '"'
