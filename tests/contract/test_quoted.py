"""What do drivers quote of servers, or of whoever answers in their place? No secret, no setting's value, not much."""

import secrets
import struct
from collections.abc import Iterator
from dataclasses import replace

import pytest
from psycopg2.sql import SQL, Identifier, Literal

from rotation.credential import Credential
from rotation.engine import Engine
from rotation.engines.mariadb import MariaDB
from rotation.engines.mysql import MySQL
from rotation.engines.postgresql import PostgreSQL
from rotation.errors import RotationError
from rotation.redaction import MASK, QUOTED, Redactor, redacting
from tests.contract import impostor
from tests.contract.impostor import Line, Talk, posing
from tests.laboratories import Laboratory, deadline
from tests.laboratories.mysql import MySQLLaboratory, quoted
from tests.laboratories.postgresql import PostgreSQLLaboratory
from tests.laboratories.sqlserver import SQLServerLaboratory
from tests.local.servers.certificates import HOST_NAME

PASSWORD = "S3cr3t-Passw0rd"
TOKEN = "T0ken-of-another"


@pytest.fixture(autouse=True)
def _known() -> Iterator[None]:
    """Add the password to the redactor, as an invocation does."""
    redactor = Redactor()
    redactor.add_secret(PASSWORD)
    with redacting(redactor):
        yield


def mirrored(laboratory: Laboratory) -> tuple[Credential, Credential]:
    """Return a user and its clone."""
    user = laboratory.new_user()
    clone = replace(user, username=f"{user.username}_clone")
    with laboratory.engine.connect(laboratory.admin, deadline()) as session:
        session.mirror(user.username, clone.username)
    return user, clone


def differences(laboratory: Laboratory, user: Credential, clone: Credential) -> str:
    """Say in what the two differ."""
    with laboratory.engine.connect(laboratory.admin, deadline()) as session:
        return "; ".join(session.compare(user.username, clone.username).sentences)


# Values that a user can fill


@pytest.mark.parametrize("scope", ["", " IN DATABASE lab"])
def test_a_setting_of_a_role_is_named_and_its_value_is_not(postgresql: PostgreSQLLaboratory, scope: str) -> None:
    user, clone = mirrored(postgresql)
    with postgresql.session() as run:
        name = Identifier(str(run("SELECT current_database()")[0][0]))
        place = SQL(" IN DATABASE {}").format(name) if scope else SQL("")
        change = SQL("ALTER ROLE {}{} SET app.api_key TO {}")
        run(change.format(Identifier(user.username), place, Literal(TOKEN)))
        run(change.format(Identifier(clone.username), place, Literal(TOKEN[::-1])))
    said = differences(postgresql, user, clone)
    assert f"{clone.username} has another value of the setting app.api_key" in said
    assert TOKEN not in said
    assert TOKEN[::-1] not in said


def require_clauses_unquoted(laboratory: MySQLLaboratory) -> None:
    """Require that of what an account is, nothing is quoted."""
    user, clone = mirrored(laboratory)
    with laboratory.session() as run:
        run(f"ALTER USER {quoted(user.username)}@'%' REQUIRE SUBJECT '/CN={TOKEN}'")
    said = differences(laboratory, user, clone)
    assert f"{clone.username}@% is not defined as {user.username}@% is" in said
    assert "SHOW CREATE USER" in said
    assert TOKEN not in said


def test_what_an_account_of_mysql_is_is_not_quoted(mysql: MySQLLaboratory) -> None:
    require_clauses_unquoted(mysql)


def test_what_an_account_of_mariadb_is_is_not_quoted(mariadb: MySQLLaboratory) -> None:
    require_clauses_unquoted(mariadb)


def test_the_options_of_a_user_of_sql_server_are_quoted_as_differences(sqlserver: SQLServerLaboratory) -> None:
    user, clone = mirrored(sqlserver)
    with sqlserver.session(database=sqlserver.admin.database) as run:
        run(f"ALTER USER [{user.username}] WITH DEFAULT_SCHEMA = [{TOKEN}]")
    said = differences(sqlserver, user, clone)
    assert f"{user.username} has DEFAULT_SCHEMA = [{TOKEN}]" in said, (
        "an administrator chose it, and needs the statement"
    )


def test_a_row_that_breaks_a_constraint_is_not_quoted(postgresql: PostgreSQLLaboratory) -> None:
    table = f"t_{secrets.token_hex(4)}"
    with postgresql.session() as run:
        run(f"CREATE TABLE public.{table} (a text CHECK (a = ''))")
        run(f"GRANT INSERT ON public.{table} TO PUBLIC")
    user = postgresql.new_user()
    with pytest.raises(RotationError) as caught, postgresql.engine.connect(user, deadline()) as session:
        session.verify([f"INSERT INTO public.{table} VALUES ('{TOKEN}')"])  # noqa: S608 - made up
    assert "violates check constraint" in str(caught.value)
    assert TOKEN not in str(caught.value)


# Statements


@pytest.mark.parametrize("statement", [f'SELECT "{PASSWORD}"', f"SELECT '{PASSWORD}'::int"])
def test_what_postgresql_quotes_of_a_statement_is_masked(postgresql: PostgreSQLLaboratory, statement: str) -> None:
    user = postgresql.new_user()
    with pytest.raises(RotationError) as caught, postgresql.engine.connect(user, deadline()) as session:
        session.verify([statement])
    assert PASSWORD not in str(caught.value)
    assert f'"{MASK}"' in caught.value.cause


def require_masked(laboratory: MySQLLaboratory) -> None:
    """Require that what the server quotes of a statement is masked."""
    user = laboratory.new_user()
    with pytest.raises(RotationError) as caught, laboratory.engine.connect(user, deadline()) as session:
        session.verify([f"SELECT `{PASSWORD}`"])
    assert f"'{MASK}'" in caught.value.cause


def test_what_mysql_quotes_of_a_statement_is_masked(mysql: MySQLLaboratory) -> None:
    require_masked(mysql)


def test_what_mariadb_quotes_of_a_statement_is_masked(mariadb: MySQLLaboratory) -> None:
    require_masked(mariadb)


# Texts of whatever length, from whomever


def saying(length: int) -> bytes:
    """Return a text that has a piece of the password in it."""
    return (f"it is {PASSWORD[:-3]}\n" + "so much " * (length // 8)).encode()


def talk_of_postgresql(line: Line) -> None:
    line.hear()
    text = saying(29_000)  # of more than 30,000 bytes before a login, its client says nothing
    line.say(impostor.message(b"E", b"SFATAL\0VFATAL\0C28000\0M" + text + b"\0\0"))


def talk_of_mysql(line: Line) -> None:
    line.say(impostor.packet(0, b"\xff" + struct.pack("<H", 1040) + b"#08004" + saying(30_000)))


TALKS: list[tuple[Engine, Talk]] = [
    (PostgreSQL(), talk_of_postgresql),
    (MySQL(), talk_of_mysql),
    (MariaDB(), talk_of_mysql),
]


@pytest.mark.parametrize(("engine", "talk"), TALKS, ids=lambda value: getattr(getattr(value, "kind", None), "name", ""))
def test_of_what_somebody_says_before_a_login_little_is_quoted_and_no_secret(engine: Engine, talk: Talk) -> None:
    with posing(talk) as heard:
        credential = Credential(
            engine=min(engine.kind.engine_values),
            host=HOST_NAME,
            port=heard.port,
            database="shop",
            username="app",
            password=PASSWORD,
            tls=False,
        )
        with pytest.raises(RotationError) as caught, engine.connect(credential, deadline()):
            pass
    assert f"it is {MASK} so much" in caught.value.cause
    assert len(caught.value.cause) < 2 * QUOTED
    assert caught.value.cause.isprintable()
