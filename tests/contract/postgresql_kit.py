"""What do the contract tests of PostgreSQL do alike, besides `tests.contract.pairs`?"""

from psycopg2.sql import SQL, Identifier

from tests.laboratories.postgresql import PostgreSQLLaboratory


def alter(postgresql: PostgreSQLLaboratory, statement: str, *names: str, database: str | None = None) -> None:
    """Run a statement as the superuser, with names in the place of its braces."""
    with postgresql.session(database=database) as run:
        run(SQL(statement).format(*map(Identifier, names)))
