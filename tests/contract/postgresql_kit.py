"""What do the contract tests of PostgreSQL do alike, besides `tests.contract.pairs`?"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from psycopg2.sql import SQL, Identifier, Literal

from tests.laboratories.postgresql import PostgreSQLLaboratory


def alter(postgresql: PostgreSQLLaboratory, statement: str, *names: str, database: str | None = None) -> None:
    """Run a statement as the superuser, with names in the place of its braces."""
    with postgresql.session(database=database) as run:
        run(SQL(statement).format(*map(Identifier, names)))


@contextmanager
def own_admin(postgresql: PostgreSQLLaboratory) -> Iterator[PostgreSQLLaboratory]:
    """Look at the server as somebody with another admin."""
    admin = replace(postgresql.admin, username=f"admin_{secrets.token_hex(4)}", password=secrets.token_urlsafe())
    with postgresql.session() as run:
        run(
            SQL("CREATE ROLE {} LOGIN CREATEROLE PASSWORD {}").format(
                Identifier(admin.username), Literal(admin.password)
            )
        )
    yield replace(postgresql, admin=admin)
