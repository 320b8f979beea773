"""How do the tests look into a PostgreSQL whose answers are not in PostgreSQL's own words?

A pooler answers in its place, or the server speaks another language. Each is a server of its own: the sessions of a
pooler belong to whoever comes, so its log does not say who sent what.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from tests.laboratories.postgresql import PostgreSQLLaboratory, own
from tests.local.servers import pgbouncer, postgresql_debian

MAJOR = 18
"""Which version is behind the poolers."""


@contextmanager
def behind_pgbouncer(version: str) -> Iterator[PostgreSQLLaboratory]:
    """Start a server and a PgBouncer before it, which asks it for verifiers; look at them as everybody does."""
    with own(MAJOR) as direct, pooled(direct, version) as laboratory:
        yield laboratory


@contextmanager
def pooled(
    direct: PostgreSQLLaboratory, version: str, users: Mapping[str, str] | None = None, **settings: str
) -> Iterator[PostgreSQLLaboratory]:
    """Start a PgBouncer before a server; see `pgbouncer.start`."""
    with (
        pgbouncer.start(version, direct.dsn(direct.superuser), settings, users) as pooler,
        tempfile.TemporaryDirectory() as directory,
    ):
        bundle = Path(directory) / "both.pem"
        bundle.write_bytes(direct.ca_bundle.read_bytes() + pooler.ca.read_bytes())
        superuser, admin = (replace(one, port=pooler.port) for one in (direct.superuser, direct.admin))
        yield replace(direct, superuser=superuser, admin=admin, ca_bundle=bundle)


@contextmanager
def in_russian(**settings: str) -> Iterator[PostgreSQLLaboratory]:
    """Start a server that says everything in Russian."""
    language = {"lc_messages": postgresql_debian.LANGUAGE}
    with own(postgresql_debian.MAJOR, language | settings, postgresql_debian.build()) as laboratory:
        yield laboratory


ELSEWHERE: Mapping[str, Callable[[], AbstractContextManager[PostgreSQLLaboratory]]] = {
    **{f"pgbouncer-{version}": partial(behind_pgbouncer, version) for version in pgbouncer.PACKAGES},
    "in-russian": in_russian,
}
"""What starts each of them. Raises one of `tests.local.servers.fetch.UNAVAILABLE`."""
