"""Where do the tests get a MySQL server from? It runs from unpacked packages, for as long as a `with` block.

What MariaDB's server shares with it is here too.
"""

import os
import secrets
import signal
import ssl
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pymysql

from tests.local.servers import certificates, debian_packages
from tests.local.servers.processes import LOOPBACK, free_port, run_once, running

PACKAGES = debian_packages.Packages(
    name="mysql-9",
    suite="sid",
    packages=("mysql-server-core",),
    remedy="for tests, name a MySQL server of your own with --mysql-dsn",
)
# What the master user of RDS for MySQL 8.0.36 and later may grant; earlier ones lack what follows TRIGGER. It
# has no SUPER and no SYSTEM_USER. SET_ANY_DEFINER stands for SET_USER_ID, which MySQL 8.4 has split. Unlike
# here, RDS forbids to write to the tables of `mysql`.
# https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.MasterAccounts.html
RDS_MASTER_GRANT = (
    "GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, RELOAD, PROCESS, REFERENCES, INDEX, ALTER,"
    " SHOW DATABASES, CREATE TEMPORARY TABLES, LOCK TABLES, EXECUTE, REPLICATION SLAVE, REPLICATION CLIENT,"
    " CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE, CREATE USER, EVENT, TRIGGER,"
    " CREATE ROLE, DROP ROLE,"
    " APPLICATION_PASSWORD_ADMIN, ROLE_ADMIN, SET_ANY_DEFINER, XA_RECOVER_ADMIN"
    " ON *.* TO {} WITH GRANT OPTION"
)
_SMALL = (
    "--innodb-buffer-pool-size=32M",
    "--innodb-redo-log-capacity=8M",
    "--innodb-doublewrite=OFF",
    "--innodb-flush-log-at-trx-commit=0",
    "--performance-schema=OFF",
    "--skip-log-bin",
)
_SUPERUSER = "root"


@dataclass(frozen=True)
class LogFiles:
    """Everything that a server writes about what it did. The general log has every statement, if it is on."""

    general: Path
    error: Path


@dataclass(frozen=True)
class Server:
    """A server that runs, on the loopback interface only, with TLS for those who ask for it."""

    host: str
    port: int
    superuser: str
    password: str = field(repr=False)
    ca_bundle: Path
    log_files: LogFiles
    version: str = ""

    def connect(self, user: str | None = None, password: str | None = None) -> pymysql.Connection:
        """Log in over verified TLS, as the superuser unless told otherwise."""
        return pymysql.connect(
            host=self.host,
            port=self.port,
            user=self.superuser if user is None else user,
            # PyMySQL would encode a text as Latin-1.
            password=(self.password if password is None else password).encode(),
            ssl=ssl.create_default_context(cafile=self.ca_bundle),
            connect_timeout=5,
            read_timeout=30,
            autocommit=True,
        )

    def execute(self, *statements: str) -> None:
        """Run statements as the superuser."""
        with closing(self.connect()) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)


def create_rds_master(server: Server, user: str = "admin", grant: str = RDS_MASTER_GRANT) -> str:
    """Make a user with the rights of an RDS master, no more and no less, and return its password."""
    account, password = f"'{user}'@'%'", secrets.token_urlsafe()
    server.execute(f"CREATE USER {account} IDENTIFIED BY '{password}'", grant.format(account))
    return password


@contextmanager
def start(
    directory: Path, *, again: Server | None = None, general_log: bool = False, options: Sequence[str] = ()
) -> Iterator[Server]:
    """Run a new MySQL with its data in an empty or missing directory, until the block ends without notice to it.

    Or run one `again` that ran in this directory before. The superuser is `root` from anywhere. `options` go to mysqld.
    Raises PackagesUnavailableError and ProcessFailedError.
    """
    unpacked = debian_packages.unpack(PACKAGES)
    root = unpacked.root
    directory = directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    server = again or describe(directory)
    program = [
        *unpacked.command("usr/sbin/mysqld"),
        "--no-defaults",
        f"--basedir={root}/usr",
        f"--datadir={directory}/data",
        f"--tmpdir={directory}",  # a server that starts removes what others, too, have as #sql… in a shared one
        f"--lc-messages-dir={root}/usr/share/mysql",
        f"--plugin-dir={root}/usr/lib/mysql/plugin",
        "--secure-file-priv=NULL",
        *as_whom(),
        *_SMALL,
    ]
    if not again:
        script = write_privately(directory / "initialise.sql", _accounts(server))
        run_once([*program, "--initialize-insecure", f"--init-file={script}"], environment=environment())
    settings = ["--mysqlx=OFF", *serving(directory, server, general_log=general_log), *options]
    with answering([*program, *settings], server) as ready:
        yield ready


def _accounts(server: Server) -> list[str]:
    return [
        *superuser(server),
        f"GRANT PROXY ON ''@'' TO '{server.superuser}'@'%' WITH GRANT OPTION;",
        "DROP USER 'root'@'localhost';",  # it has no password
    ]


def describe(directory: Path) -> Server:
    """The server that is going to run in a directory: its certificates are made, its port is chosen."""
    return Server(
        host=certificates.HOST_NAME,
        port=free_port(),
        superuser=_SUPERUSER,
        password=secrets.token_urlsafe(),
        ca_bundle=certificates.issue(directory).ca,
        log_files=LogFiles(directory / "general.log", directory / "error.log"),
    )


def superuser(server: Server) -> list[str]:
    """The statements that make the superuser."""
    return [
        f"CREATE USER '{server.superuser}'@'%' IDENTIFIED BY '{server.password}';",
        f"GRANT ALL PRIVILEGES ON *.* TO '{server.superuser}'@'%' WITH GRANT OPTION;",
    ]


def write_privately(path: Path, lines: Sequence[str]) -> Path:
    """Write a new file that only we may read."""
    path.touch(mode=0o600)
    path.write_text("\n".join([*lines, ""]))
    return path


def as_whom() -> list[str]:
    """The option without which the server refuses to run for root."""
    return ["--user=root"] if os.geteuid() == 0 else []


def serving(directory: Path, server: Server, *, general_log: bool) -> list[str]:
    """The options of a server at work: loopback, TLS, logs."""
    return [
        f"--bind-address={LOOPBACK}",
        f"--port={server.port}",
        "--skip-name-resolve",
        "--socket=server.sock",  # in the data directory: a whole path may be longer than the system allows
        f"--pid-file={directory}/server.pid",
        f"--ssl-ca={server.ca_bundle}",
        f"--ssl-cert={directory}/server.crt",
        f"--ssl-key={directory}/server.key",
        f"--general-log={int(general_log)}",
        f"--general-log-file={server.log_files.general}",
    ]


@contextmanager
def answering(command: Sequence[str], server: Server) -> Iterator[Server]:
    """Run a server until the block ends, and yield it, with its version, as soon as it accepts a login."""
    # Its data is thrown away, so there is no need for it to shut down in order.
    with running(command, log=server.log_files.error, environment=environment(), stop=signal.SIGKILL) as process:
        process.wait_until(lambda: _accepts_login(server), seconds=60)
        yield replace(server, version=_version(server))


def _accepts_login(server: Server) -> bool:
    try:
        server.connect().close()
    except pymysql.err.OperationalError:
        return False
    return True


def _version(server: Server) -> str:
    with closing(server.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT VERSION()")
        [version] = cursor.fetchone() or ("",)
    return str(version)


def environment() -> dict[str, str]:
    """Our environment, but in no language and no time zone."""
    return {**os.environ, "LC_ALL": "C", "TZ": "UTC"}
