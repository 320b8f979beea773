"""Where do the tests get PgBouncer from, the pooler that most people put before PostgreSQL?

From Debian's packages: an old release, which has one SQLSTATE for all that it says, and a newer one. It asks the server
for the verifier of each user (auth_query), or has passwords in a file (auth_file).
"""

import secrets
import shutil
import signal
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg2
from psycopg2.sql import SQL, Identifier, Literal

from tests.local.servers import certificates, debian_packages
from tests.local.servers.postgresql import readable_by_all
from tests.local.servers.processes import LOOPBACK, accepts_connections, free_port, group_of, running, unprivileged_user

PACKAGES = {
    "1.18": debian_packages.Packages("pgbouncer-1.18", "bookworm", ("pgbouncer",)),
    # Its package needs Perl scripts of Debian's, and it does not.
    "1.24": debian_packages.Packages(
        "pgbouncer-1.24",
        "trixie",
        ("libevent-2.1-7t64", "libcares2", "libssl3t64", "libsystemd0", "libpam0g", "libldap2"),
        ("pgbouncer",),
    ),
}
_SETTINGS = {
    "listen_addr": LOOPBACK,
    "unix_socket_dir": "",
    "auth_type": "scram-sha-256",
    "pool_mode": "transaction",
    "client_tls_sslmode": "require",
    "server_tls_sslmode": "require",
    "log_connections": "1",
}

_AUTH_QUERY = "SELECT usename, passwd FROM pg_catalog.pg_shadow WHERE usename = $1"


@dataclass(frozen=True)
class Pooler:
    """A PgBouncer that runs, on the loopback interface only, with TLS."""

    port: int
    ca: Path
    log_file: Path


@contextmanager
def start(
    version: str, superuser_dsn: str, settings: Mapping[str, str] | None = None, users: Mapping[str, str] | None = None
) -> Iterator[Pooler]:
    """Run a PgBouncer before a server until the block ends.

    It asks the server for verifiers, as a superuser of its own; or, if there are `users`, it knows only these and their
    passwords. Raises PackagesUnavailableError and ProcessFailedError.
    """
    unpacked = debian_packages.unpack(PACKAGES[version])
    user = unprivileged_user()  # it refuses to run for root
    server = psycopg2.extensions.parse_dsn(superuser_dsn)
    known = dict(users) if users else _own_user(superuser_dsn)
    with tempfile.TemporaryDirectory(prefix="pgbouncer-", ignore_cleanup_errors=True) as temporary:
        directory = Path(temporary)
        if user:
            directory.chmod(0o711)
        unpacked = debian_packages.Unpacked(readable_by_all(unpacked.root, directory))
        issued, pooler_port = certificates.issue(directory), free_port()
        (directory / "users").write_text("".join(f'"{name}" "{password}"\n' for name, password in known.items()))
        query = {} if users else {"auth_user": next(iter(known)), "auth_query": _AUTH_QUERY}
        lines = {
            **_SETTINGS,
            **query,
            "listen_port": pooler_port,
            "auth_file": directory / "users",
            "logfile": directory / "pgbouncer.log",
            "client_tls_cert_file": issued.certificate,
            "client_tls_key_file": issued.key,
            **(settings or {}),
        }
        place = f"* = host={LOOPBACK} port={server['port']}"
        text = ["[databases]", place, "[pgbouncer]", *(f"{name} = {value}" for name, value in lines.items()), ""]
        (directory / "pgbouncer.ini").write_text("\n".join(text))
        if user:
            for path in (directory / "users", directory / "pgbouncer.ini", issued.key):
                shutil.chown(path, user, group_of(user))
            directory.chmod(0o777)
        command = [*unpacked.command("usr/sbin/pgbouncer"), str(directory / "pgbouncer.ini")]
        log = directory / "output.log"
        with running(command, log=log, directory=directory, user=user, stop=signal.SIGTERM) as process:
            process.wait_until(lambda: accepts_connections(pooler_port))
            yield Pooler(pooler_port, issued.ca, directory / "pgbouncer.log")


def _own_user(superuser_dsn: str) -> dict[str, str]:
    """Make the role as which it asks for verifiers."""
    name, password = f"pooler_{secrets.token_hex(4)}", secrets.token_urlsafe()
    with psycopg2.connect(superuser_dsn) as connection, connection.cursor() as cursor:
        cursor.execute(SQL("CREATE ROLE {} LOGIN SUPERUSER PASSWORD {}").format(Identifier(name), Literal(password)))
    connection.close()
    return {name: password}
