"""Where do the tests get MariaDB servers from? They run from unpacked packages, as MySQL does."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.local.servers import debian_packages
from tests.local.servers import mysql as mysql_server
from tests.local.servers.mysql import (
    Server,
    answering,
    as_whom,
    describe,
    environment,
    serving,
    superuser,
    write_privately,
)
from tests.local.servers.processes import run_once

_SERVER = ("mariadb-server-core",)
_PLUGINS = ("mariadb-server",)  # authentication and validation; it would need much that we do not
_REMEDY = "for tests, name a MariaDB server of your own with --mariadb-dsn"
PACKAGES = {
    "10.5": debian_packages.Packages(
        "mariadb-10.5", "bullseye", ("mariadb-server-core-10.5",), ("mariadb-server-10.5",), _REMEDY
    ),
    "10.11": debian_packages.Packages("mariadb-10.11", "bookworm", _SERVER, _PLUGINS, _REMEDY),
    "11.8": debian_packages.Packages("mariadb-11.8", "trixie", _SERVER, _PLUGINS, _REMEDY),
}
VERSIONS = ("11.8",)
"""Those that most tests run against; `make test-all` takes the others, too."""
# What the master user of RDS for MariaDB may grant. It has no SUPER. Unlike here, RDS forbids to write to the
# tables of `mysql`. (From 11.4 on it has SHOW CREATE ROUTINE too, which 10.11 does not know.)
# https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.MasterAccounts.html
RDS_MASTER_GRANT = (
    "GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, RELOAD, PROCESS, REFERENCES, INDEX, ALTER,"
    " SHOW DATABASES, CREATE TEMPORARY TABLES, LOCK TABLES, EXECUTE, REPLICATION SLAVE, REPLICATION CLIENT,"
    " CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE, CREATE USER, EVENT, TRIGGER"
    " ON *.* TO {} WITH GRANT OPTION"
)
_SMALL = (
    "--innodb-buffer-pool-size=16M",
    "--innodb-log-file-size=8M",
    "--innodb-flush-log-at-trx-commit=0",
    "--skip-log-bin",
)
_SYSTEM_TABLES = ("system_tables", "performance_tables", "system_tables_data")


def create_rds_master(server: Server, user: str = "admin") -> str:
    """Make a user with the rights of an RDS master, no more and no less, and return its password."""
    return mysql_server.create_rds_master(server, user, RDS_MASTER_GRANT)


@contextmanager
def start(
    version: str,
    directory: Path,
    *,
    again: Server | None = None,
    general_log: bool = False,
    options: Sequence[str] = (),
) -> Iterator[Server]:
    """Run a new MariaDB with its data in an empty or missing directory, until the block ends without notice to it.

    Or run one `again` that ran in this directory before. The version is one of PACKAGES. The superuser is `root` from
    anywhere. `options` go to mariadbd. Raises PackagesUnavailableError and ProcessFailedError.
    """
    unpacked = debian_packages.unpack(PACKAGES[version])
    root, share = unpacked.root, _share(unpacked.root)
    directory = directory.resolve()
    server = again or describe(directory)
    program = [
        *unpacked.command("usr/sbin/mariadbd"),
        "--no-defaults",
        f"--basedir={root}/usr",
        f"--datadir={directory}/data",
        f"--tmpdir={directory}",  # a server that starts removes what others, too, have as #sql… in a shared one
        f"--lc-messages-dir={share}",
        f"--character-sets-dir={share}/charsets",
        f"--plugin-dir={root}/usr/lib/mysql/plugin",
        *as_whom(),
        *_SMALL,
    ]
    if not again:
        (directory / "data").mkdir(mode=0o700)
        script = write_privately(directory / "initialise.sql", _system_tables(share, server))
        from_script = ["/bin/sh", "-c", 'exec "$@" <"$0"', str(script)]
        run_once([*from_script, *program, "--bootstrap", "--skip-networking"], environment=environment())
    settings = serving(directory, server, general_log=general_log)
    with answering([*program, *settings, *options], server) as ready:
        yield ready


def _share(root: Path) -> Path:
    """The folder of messages and scripts: it was MySQL's name once."""
    folders = (root / "usr/share/mariadb", root / "usr/share/mysql")
    return next(folder for folder in folders if (folder / "english").is_dir())


def _system_tables(share: Path, server: Server) -> list[str]:
    """What the server needs before it can start; it reads one statement a line."""
    return [
        "CREATE DATABASE mysql;",
        "USE mysql;",
        "SET @auth_root_socket = NULL;",
        "SET @skip_auth_anonymous_user = 1;",
        *(next(share.glob(f"*_{name}.sql")).read_text() for name in _SYSTEM_TABLES),
        # The scripts make accounts of root without a password.
        "DELETE FROM mysql.global_priv WHERE User <> 'mariadb.sys';",
        "DELETE FROM mysql.proxies_priv;",
        # What the superuser needs to grant PROXY: the statement that says so is refused here.
        f"INSERT INTO mysql.proxies_priv VALUES ('%', '{server.superuser}', '', '', 1, '', NOW());",  # noqa: S608
        "FLUSH PRIVILEGES;",
        *superuser(server),
    ]
