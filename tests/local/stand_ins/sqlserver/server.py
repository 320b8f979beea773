"""Where do the tests get an SQL Server from? From this stand-in, which runs as long as a `with` block.

It is a server that real clients log in to over the wire, with TLS. It has logins, users, roles, permissions and
tables. It was written from Microsoft's documentation, for the statements that the driver and its tests send; any other
statement is a syntax error. It checks what the documentation says is checked: permissions, whether names exist, the
password policy, what a transaction can contain. It answers with the server's error numbers, and rolls back what a
transaction did not commit.

It is not SQL Server. No page says everything, and nobody has compared the two. A test that passes here shows that the
driver does what the documentation, as we read it, asks for.
"""

import re
import secrets
import ssl
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.local.servers import certificates
from tests.local.stand_ins.sqlserver.backend import Answer, LoginError, Rows, Session, SqlError, Value, new_transaction
from tests.local.stand_ins.sqlserver.bound import new_msdb_tables
from tests.local.stand_ins.sqlserver.catalog import Catalog
from tests.local.stand_ins.sqlserver.databases import new_database
from tests.local.stand_ins.sqlserver.passwords import hashed, matches, require_policy
from tests.local.stand_ins.sqlserver.queries import Queries
from tests.local.stand_ins.sqlserver.statement import Statement, record
from tests.local.stand_ins.sqlserver.statements import run
from tests.local.stand_ins.sqlserver.tables import (
    BY_DATABASE,
    SA,
    SERVER,
    SERVER_PUBLIC,
    SERVER_ROLES,
    SYSADMIN,
    Securable,
    Viewer,
    is_locked,
)
from tests.local.stand_ins.sqlserver.tsql import Tokens, statements, syntax_error
from tests.local.stand_ins.sqlserver.wire import serve

SUPERUSER = "sa"
RDS_MASTER_PERMISSIONS = (
    "ADMINISTER BULK OPERATIONS", "ALTER ANY CONNECTION", "ALTER ANY LINKED SERVER", "ALTER ANY LOGIN",
    "ALTER SERVER STATE", "ALTER TRACE", "CREATE ANY DATABASE", "VIEW ANY DATABASE", "VIEW ANY DEFINITION",
    "VIEW SERVER STATE", "ALTER ANY SERVER ROLE",
)  # fmt: skip
RDS_MASTER_ROLES = ("processadmin", "setupadmin")
"""What the master user of RDS has on the server
(https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.MasterAccounts.html). That page does not say
whether it can grant the permissions to others: here it cannot."""

NUMBERS_AT_LOGIN = {15116: 18464, 15117: 18465, 15118: 18466}
"""What refuses a new password at a login, by what refuses it in a statement."""

LOCK_SECONDS = 10.0
DEADLOCK = 1205
STOPS_ITS_STATEMENT_ONLY = frozenset({229})
"""Errors after which the next statement of the batch runs. "Some run-time errors … stop only the current statement"
(https://learn.microsoft.com/en-us/previous-versions/sql/sql-server-2008-r2/ms175502(v=sql.105)), and most stop the
batch. No page of Microsoft that we know says which: a denied permission is taken for one of them."""

PASSWORD_IN_BATCH = re.compile(r"(PASSWORD = )N'(?:[^']|'')*'")
HOLDS_PASSWORD = re.compile(r"\s*(CREATE|ALTER)\s+(LOGIN|USER)\b.*\bPASSWORD\b", re.IGNORECASE | re.DOTALL)
MASKED = "*password" + "-" * 20
"""What SQL Server's traces have instead of a batch that sets a password. They have calls unchanged."""


@dataclass(frozen=True)
class Received:
    """A batch or a call, without its passwords and values."""

    login: str
    program: str
    """What the client calls itself."""
    text: str


@dataclass
class Log:
    """What a trace of everything contains."""

    lines: list[str] = field(default_factory=list)
    tried: int = 0
    """How many logins there were."""
    refused: int = 0
    """How many of them were refused."""
    received: list[Received] = field(default_factory=list)
    user_code: list[tuple[str, str]] = field(default_factory=list)
    """Who has run code of a user, and which."""


@dataclass(frozen=True)
class Server:
    """A running server."""

    host: str
    port: int
    superuser: str
    password: str = field(repr=False)
    ca_bundle: Path
    log: Log = field(repr=False)


@contextmanager
def start(*, force_tls: Callable[[], bool] = lambda: False, has_tls: bool = True) -> Iterator[Server]:
    """Run a new server until the block ends; `force_tls` tells whether it refuses logins without TLS."""
    with tempfile.TemporaryDirectory(prefix="sqlserver-") as directory:
        files = certificates.issue(Path(directory))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # TLS 1.3 comes with TDS 8.0 only, in which no PRELOGIN message precedes it
        # (https://learn.microsoft.com/en-us/sql/relational-databases/security/networking/tds-8).
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(files.certificate, files.key)
        backend = StandIn(password := secrets.token_urlsafe())
        with serve(backend, context if has_tls else None, force_tls=force_tls) as port:
            yield Server(certificates.HOST_NAME, port, SUPERUSER, password, files.ca, backend.log)


class StandIn:
    """What is behind the wire; implements `backend.Backend`."""

    def __init__(self, password: str) -> None:
        self.log = Log()
        self._catalog = catalog = Catalog()
        catalog.user_code = self.log.user_code
        self._queries = Queries(catalog)
        roles = {SERVER_PUBLIC: "public", **dict(enumerate(SERVER_ROLES, SYSADMIN))}
        for number, role in roles.items():
            sid = bytes([number])
            catalog.insert("server_principals", principal_id=number, name=role, type="R", sid=sid, is_fixed_role=1)
        catalog.insert(
            "server_principals",
            principal_id=SA, name=SUPERUSER, type="S", sid=b"\x01", password=hashed(password),
            is_policy_checked=0, default_database_name="master", default_language_name="us_english",
        )  # fmt: skip
        catalog.insert("server_role_members", role_principal_id=SYSADMIN, member_principal_id=SA)
        record(catalog, "", Securable(SERVER), SERVER_PUBLIC, "VIEW ANY DATABASE", "GRANT")
        for name in ("master", "tempdb", "model", "msdb"):
            new_database(catalog, name, b"\x01", has_guest=int(name != "model"))
        new_msdb_tables(catalog)

    def log_in(self, user: str, password: str, database: str, program: str, new_password: str | None) -> Session:
        """Log a user in; see `backend.Backend`."""
        with self._catalog.lock:
            self.log.tried += 1
            try:
                viewer = self._authenticate(user, password, database, new_password)
            except SqlError as error:
                self.log.refused += 1
                self.log.lines.append(f"login of {user} failed: {error.number}")
                raise LoginError(error) from None
            default = self._catalog.get("server_principals", "default_database_name", principal_id=viewer.login)
            wanted = database or str(default)
            if self._catalog.user_in(viewer, wanted) is None:
                self.log.lines.append(f"login of {user} failed: 4060")
                raise LoginError(
                    SqlError(4060, f'Cannot open database "{wanted}" requested by the login. The login failed.', 11),
                    SqlError(18456, f"Login failed for user '{user}'.", 14),
                )
            viewer.database = self._catalog.spelled(wanted)
            self.log.lines.append(f"login of {user}")
            self._note_session(user, viewer)
            return StandInSession(self._catalog, self._queries, self.log, viewer, Received(user, program, ""))

    def _note_session(self, user: str, viewer: Viewer) -> None:
        """Show the session in its view. No page says which SID a contained user has there, so it is a random one."""
        viewer.session = self._catalog.next_id("dm_exec_sessions", "session_id", 51)
        sid = self._catalog.get("server_principals", "sid", principal_id=viewer.login)
        home = 0 if sid else self._catalog.get("databases", "database_id", name=viewer.database)
        self._catalog.insert(
            "dm_exec_sessions",
            session_id=viewer.session, original_login_name=user, original_security_id=sid or secrets.token_bytes(16),
            authenticating_database_id=home,
        )  # fmt: skip

    def _authenticate(self, user: str, password: str, database: str, new_password: str | None) -> Viewer:
        """Return who logs in: a contained user of the database that the login names, or else a login."""
        if self._catalog.get("databases", "containment", name=database):
            here = self._catalog.spelled(database)
            key: dict[str, Value] = {"db": here, "name": user, "authentication_type": BY_DATABASE}
            number = self._catalog.get("database_principals", "principal_id", **key)
            if number is not None:
                if not matches(password, self._catalog.get("database_principals", "password", **key)):
                    raise SqlError(18456, f"Login failed for user '{user}'.", 14)
                if not self._catalog.allows(viewer := Viewer(None, number, here), "CONNECT"):
                    raise SqlError(18456, f"Login failed for user '{user}'.", 14)
                return viewer
        return Viewer(self._authenticate_login(user, password, new_password), 0, "master")

    def _authenticate_login(self, user: str, password: str, new_password: str | None) -> int:
        key = {"name": user, "type": "S"}
        columns = ("principal_id", "password", "is_disabled", "must_change", "is_policy_checked", "failures")
        number, kept, is_disabled, must_change, policy, failures = (
            self._catalog.get("server_principals", column, **key) for column in columns
        )
        if not matches(password, kept):
            self._catalog.update("server_principals", {"failures": (failures or 0) + 1}, **key)
            raise SqlError(18456, f"Login failed for user '{user}'.", 14)
        if is_locked(policy, failures):
            raise SqlError(18486, f"Login failed for user '{user}' because the account is currently locked out.", 14)
        self._catalog.update("server_principals", {"failures": 0}, **key)
        if is_disabled:
            raise SqlError(18470, f"Login failed for user '{user}'. Reason: The account is disabled.", 14)
        if not self._catalog.allows_server(Viewer(number, 0, "master"), "CONNECT SQL"):
            raise SqlError(18456, f"Login failed for user '{user}'.", 14)
        if new_password is not None:
            self._renew(user, password, new_password, policy=bool(policy))
        elif must_change:
            raise SqlError(18488, f"Login failed for user '{user}'. Reason: The password must be changed.", 14)
        return int(number)

    def _renew(self, user: str, password: str, new_password: str, *, policy: bool) -> None:
        """Change a password during the login, also one that must be changed."""
        if policy:
            try:
                require_policy(user, new_password)
            except SqlError as error:
                number = NUMBERS_AT_LOGIN[error.number]
                text = f"Login failed for user '{user}'. Reason: Password change failed."
                raise SqlError(number, text, 14) from None
            if new_password == password:
                text = (
                    f'The login failed for user "{user}". The password change failed. It cannot be used at this time.'
                )
                raise SqlError(18463, text, 14)
        row: dict[str, Value] = {"password": hashed(new_password), "must_change": 0}
        self._catalog.update("server_principals", row, name=user, type="S")


class StandInSession:
    """A client that has logged in; implements `backend.Session`."""

    def __init__(self, catalog: Catalog, queries: Queries, log: Log, viewer: Viewer, who: Received) -> None:
        self.transaction = 0
        self._catalog = catalog
        self._queries = queries
        self._log = log
        self._viewer = viewer
        self._who = who
        self._depth = 0
        self._has_changed = False
        """Whether the open transaction has changed something."""
        self._lock_seconds = LOCK_SECONDS

    @property
    def database(self) -> str:
        """Where statements run."""
        return self._viewer.database

    def batch(self, text: str) -> Iterator[Answer]:
        """Run the statements of a batch; see `backend.Session`."""
        self._log.lines.append(MASKED if HOLDS_PASSWORD.match(text) else text)
        self._log.received.append(replace(self._who, text=PASSWORD_IN_BATCH.sub(r"\1N'…'", text)))
        try:
            yield from self._answers(text, {})
        except SqlError as error:
            if error.number == DEADLOCK and self._depth:
                self._finish("ROLLBACK")  # "the transaction of the deadlock victim is rolled back"
            raise

    def call(self, text: str, parameters: Mapping[str, Value]) -> Iterator[Answer]:
        """Run statements with parameters; see `backend.Session`."""
        self._log.lines.append(f"{text} {dict(parameters)}")
        self._log.received.append(replace(self._who, text=text))
        before = self._viewer.database
        try:
            yield from self._answers(text, parameters)
        finally:
            # "The database context lasts only until sp_executesql finishes" (sp-executesql-transact-sql).
            self._viewer.database = before

    def close(self) -> None:
        """Roll back what was not committed."""
        if self._depth:
            self._finish("ROLLBACK")
        with self._catalog.lock:
            self._catalog.delete("dm_exec_sessions", session_id=self._viewer.session)

    def _answers(self, text: str, values: Mapping[str, Value]) -> Iterator[Answer]:
        for tokens in statements(text):
            try:
                answer: Answer = self._statement(tokens, values)
            except SqlError as error:
                if error.number not in STOPS_ITS_STATEMENT_ONLY:
                    raise
                answer = error
            yield answer

    def _statement(self, tokens: Tokens, values: Mapping[str, Value]) -> Rows | None:
        controls = {"BEGIN": self._begin, "COMMIT": self._commit, "ROLLBACK": self._roll_back, "SET": self._set}
        if tokens.took("IF") and tokens.take().spelling.upper() == "@@TRANCOUNT":
            tokens.expect(">")
            if int(tokens.take().spelling) >= self._depth:
                return None
        for verb, control in controls.items():
            if tokens.took(verb):
                control(tokens)
                return None
        with self._whole(writes=tokens.peek().spelling.upper() != "SELECT"):
            self._queries.seen_by(self._viewer)
            if tokens.peek().spelling.upper() in {"SELECT", "INSERT", "UPDATE", "DELETE"}:
                return self._queries.query(self._viewer, tokens, values)
            run(Statement(self._catalog, self._viewer, tokens, is_in_transaction=self._depth > 0))
            return None

    @contextmanager
    def _whole(self, *, writes: bool) -> Iterator[None]:
        """Run a statement whole or not at all. A transaction holds the only lock there is, from its first change on."""
        self._lock()
        if writes and self._depth and not self._has_changed:
            self._lock()
            self._catalog.run("BEGIN")
            self._has_changed = True
        in_transaction = self._has_changed
        self._catalog.run("SAVEPOINT statement" if in_transaction else "BEGIN")
        try:
            yield
        except BaseException:
            self._catalog.run("ROLLBACK TO statement" if in_transaction else "ROLLBACK")
            raise
        else:
            self._catalog.run("RELEASE statement" if in_transaction else "COMMIT")
        finally:
            self._catalog.lock.release()

    def _lock(self) -> None:
        if not self._catalog.lock.acquire(timeout=self._lock_seconds):
            raise SqlError(1222, "Lock request time out period exceeded.")

    def _begin(self, tokens: Tokens) -> None:
        tokens.one_of("TRANSACTION", "TRAN")
        tokens.end()
        if not self._depth:
            self.transaction = new_transaction()
        self._depth += 1

    def _commit(self, tokens: Tokens) -> None:
        tokens.took("TRANSACTION")
        tokens.end()
        if not self._depth:
            raise SqlError(3902, "The COMMIT TRANSACTION request has no corresponding BEGIN TRANSACTION.")
        if self._depth == 1:
            self._finish("COMMIT")
        else:
            self._depth -= 1

    def _roll_back(self, tokens: Tokens) -> None:
        tokens.took("TRANSACTION")
        tokens.end()
        if not self._depth:
            raise SqlError(3903, "The ROLLBACK TRANSACTION request has no corresponding BEGIN TRANSACTION.")
        self._finish("ROLLBACK")

    def _finish(self, how: str) -> None:
        self._depth, self.transaction = 0, 0
        if self._has_changed:
            self._has_changed = False
            self._catalog.run(how)
            self._catalog.lock.release()

    def _set(self, tokens: Tokens) -> None:
        name = tokens.name()
        value = tokens.take().spelling.upper()
        if name.upper() == "LOCK_TIMEOUT" and value.isdecimal():
            self._lock_seconds = int(value) / 1000
        elif value not in {"ON", "OFF"} and not value.isdecimal():
            raise syntax_error(name)
        tokens.end()
