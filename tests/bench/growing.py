"""How is a user given very many rights, or a server very many users, in little time? As the superuser."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, cast

from rotation.credential import Credential
from tests.laboratories import Laboratory, RealLaboratory, Run, oracle, sqlserver
from tests.laboratories.mysql import MySQLLaboratory
from tests.laboratories.oracle import OracleLaboratory
from tests.laboratories.postgresql import PostgreSQLLaboratory
from tests.laboratories.sqlserver import SQLServerLaboratory

COLUMNS = 500
"""How many columns one table has, at most."""

AT_ONCE = 500
"""How many things one statement makes: PostgreSQL keeps a lock for each until it is done."""


def _parts(count: int, at_once: int) -> Iterator[range]:
    for start in range(0, count, at_once):
        yield range(start, min(start + at_once, count))


def _mysql_tables(laboratory: MySQLLaboratory, user: Credential, count: int) -> None:
    """Grant a right on each of so many tables. They need not exist, for the right is CREATE."""
    with laboratory.session() as run:
        for numbers in _parts(count, AT_ONCE):
            rows = ", ".join(f"('%', 'grown', '{user.username}', 't{number}', 'Create')" for number in numbers)
            run(f"INSERT INTO mysql.tables_priv (host, db, user, table_name, table_priv) VALUES {rows}")  # noqa: S608 - numbers, and a name of ours
        run("FLUSH PRIVILEGES")


def _mysql_columns(laboratory: MySQLLaboratory, user: Credential, count: int) -> None:
    with laboratory.session() as run:
        run("CREATE DATABASE IF NOT EXISTS grown_columns")
        for at, numbers in enumerate(_parts(count, COLUMNS)):
            defined = ", ".join(f"c{column} int" for column in range(COLUMNS))
            run(f"CREATE TABLE IF NOT EXISTS grown_columns.t{at} ({defined})")
            columns = ", ".join(f"c{column}" for column in range(len(numbers)))
            run(f"GRANT SELECT ({columns}) ON grown_columns.t{at} TO '{user.username}'@'%'")


def _mysql_databases(laboratory: MySQLLaboratory, user: Credential, count: int) -> None:
    """Grant a right in each of so many databases, which need not exist."""
    with laboratory.session() as run:
        for number in range(count):
            run(f"GRANT SELECT ON `grown{number}`.* TO '{user.username}'@'%'")


def _mysql_pairs(laboratory: MySQLLaboratory, names: Sequence[str]) -> None:
    with laboratory.session() as run:
        for name in names:
            for one in (name, f"{name}_clone"):
                run(f"CREATE USER '{one}'@'%' IDENTIFIED BY 'Aa1-{name}'")
                run(f"GRANT SELECT ON lab.lab_orders TO '{one}'@'%'")


def _postgresql_tables(laboratory: PostgreSQLLaboratory, user: Credential, count: int) -> None:
    with laboratory.session(laboratory.admin) as run:
        for numbers in _parts(count, AT_ONCE):
            body = (
                f"FOR n IN {numbers.start}..{numbers.stop - 1} LOOP"
                " EXECUTE format('CREATE TABLE IF NOT EXISTS public.grown%s (id int)', n);"
                f" EXECUTE format('GRANT SELECT ON public.grown%s TO {user.username}', n); END LOOP;"
            )
            run(f"SET client_min_messages = error; DO $$ BEGIN {body} END $$")


def _postgresql_columns(laboratory: PostgreSQLLaboratory, user: Credential, count: int) -> None:
    with laboratory.session(laboratory.admin) as run:
        for at, numbers in enumerate(_parts(count, COLUMNS)):
            defined = ", ".join(f"c{column} int" for column in range(COLUMNS))
            run(f"CREATE TABLE IF NOT EXISTS public.wide{at} ({defined})")
            columns = ", ".join(f"c{column}" for column in range(len(numbers)))
            run(f"GRANT SELECT ({columns}) ON public.wide{at} TO {user.username}")


def _postgresql_databases(laboratory: PostgreSQLLaboratory, user: Credential, count: int) -> None:
    """Grant a right on each of so many databases; one takes 8 MB of a disk."""
    with laboratory.session() as run:
        present = {str(name) for (name,) in run("SELECT datname FROM pg_database")}
        for number in range(count):
            if f"grown{number}" not in present:
                run(f"CREATE DATABASE grown{number} STRATEGY file_copy")
            run(f"GRANT TEMPORARY ON DATABASE grown{number} TO {user.username}")


def _postgresql_pairs(laboratory: PostgreSQLLaboratory, names: Sequence[str]) -> None:
    with laboratory.session(laboratory.admin) as run:
        for name in names:
            run(f"CREATE ROLE {name} LOGIN; CREATE ROLE {name}_clone LOGIN IN ROLE {name}")
            run(f"ALTER ROLE {name}_clone SET role = {name}")
            run(f"GRANT SELECT ON public.lab_orders TO {name}")


def _oracle_tables(laboratory: OracleLaboratory, user: Credential, count: int) -> None:
    holder = oracle.quoted(oracle.known(user.username))
    with laboratory.session() as run:
        for number in range(count):
            _once(run, f"CREATE TABLE {oracle.OWNER}.grown{number} (id NUMBER)")
            run(f"GRANT SELECT ON {oracle.OWNER}.grown{number} TO {holder}")


def _sqlserver_tables(laboratory: SQLServerLaboratory, user: Credential, count: int) -> None:
    with laboratory.session(database=sqlserver.DATABASE) as run:
        for number in range(count):
            _once(run, f"CREATE TABLE dbo.grown{number} (id int)")
            run(f"GRANT SELECT ON dbo.grown{number} TO {sqlserver.bracketed(user.username)}")


def _db2_tables(laboratory: Laboratory, user: Credential, count: int) -> None:
    with cast("RealLaboratory", laboratory).session() as run:
        for number in range(count):
            _once(run, f"CREATE TABLE LAB.GROWN{number} (ID INTEGER)")
            run(f'GRANT SELECT ON TABLE LAB.GROWN{number} TO USER "{user.username.upper()}"')


def _once(run: Run, statement: str) -> None:
    """Make something, unless an earlier point has made it."""
    with suppress(Exception):
        run(statement)


def add_pairs(laboratory: MySQLLaboratory | PostgreSQLLaboratory, count: int) -> None:
    """Make so many pairs more that are not the one that is measured."""
    with laboratory.session() as run:
        catalog = "pg_roles WHERE rolname" if isinstance(laboratory, PostgreSQLLaboratory) else "mysql.user WHERE user"
        [(present,)] = run(f"SELECT count(*) FROM {catalog} LIKE 'neighbour%%'")  # noqa: S608 - one of two texts
    first = int(str(present))
    names = [f"neighbour{first + number}" for number in range(count)]
    if isinstance(laboratory, PostgreSQLLaboratory):
        _postgresql_pairs(laboratory, names)
    else:
        _mysql_pairs(laboratory, names)


GROW: Mapping[tuple[type, str], Callable[[Any, Credential, int], None]] = {
    (MySQLLaboratory, "tables"): _mysql_tables,
    (MySQLLaboratory, "columns"): _mysql_columns,
    (MySQLLaboratory, "databases"): _mysql_databases,
    (PostgreSQLLaboratory, "tables"): _postgresql_tables,
    (PostgreSQLLaboratory, "columns"): _postgresql_columns,
    (PostgreSQLLaboratory, "databases"): _postgresql_databases,
    (OracleLaboratory, "tables"): _oracle_tables,
    (SQLServerLaboratory, "tables"): _sqlserver_tables,
}
"""What gives a user so many rights of a kind. Db2's laboratory is not everywhere: IBM's client is for x86_64 only."""


def grow(laboratory: Laboratory, what: str, user: Credential, count: int) -> None:
    """Give a user so many rights of a kind."""
    GROW.get((type(laboratory), what), _db2_tables)(laboratory, user, count)
