"""Can somebody with a database, or a table, of her own stop the rotation of a pair that is not hers on SQL Server?

She owns a database, in which she makes users of any login as she likes, the admin's included. Or she owns a table in a
database that she shares with the pair, and grants on it.
"""

import logging
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from rotation.credential import Credential
from rotation.errors import NotPermitted, RightsDiffer, RotationError, Unsafe, Unsupported
from tests.contract.pairs import Pair, RecordInMemory, set_secret
from tests.contract.sqlserver_kit import agree, alter, asked, differences, has
from tests.laboratories import ORDERS
from tests.laboratories.sqlserver import DATABASE, SQLServerLaboratory, bracketed
from tests.local.stand_ins.sqlserver.backend import SqlError
from tests.local.stand_ins.sqlserver.databases import DatabaseStatements
from tests.local.stand_ins.sqlserver.tables import HALF

pytestmark = [pytest.mark.sample(3), pytest.mark.engine("sqlserver")]


LOGGER = "rotation.engines.sqlserver.login_pair"
PRINCIPALS = "SELECT name, sid, default_schema_name FROM sys.database_principals ORDER BY name"


@dataclass(frozen=True)
class Stranger:
    """Somebody with a database of her own."""

    laboratory: SQLServerLaboratory
    login: Credential
    database: str

    def run(self, *statements: str) -> None:
        """Run statements in her database, as herself."""
        with self.laboratory.session(replace(self.login, database=self.database)) as run:
            for statement in statements:
                run(statement)

    def let_in(self, *roles: str) -> None:
        """Make a user of the admin's login, with these roles."""
        admin = self.laboratory.admin.username
        self.run(f"CREATE USER {admin} FOR LOGIN {admin}", *(f"ALTER ROLE {role} ADD MEMBER {admin}" for role in roles))

    def principals(self) -> list[tuple[object, ...]]:
        """Return who is in her database."""
        return asked(self.laboratory, PRINCIPALS, database=self.database)


@pytest.fixture
def eve(sqlserver: SQLServerLaboratory) -> Iterator[Stranger]:
    login = sqlserver.new_user()
    alter(sqlserver, f"GRANT CREATE ANY DATABASE TO {login.username}")
    stranger = Stranger(sqlserver, login, f"hers_{secrets.token_hex(3)}")
    with sqlserver.session(replace(login, database="master")) as run:
        run(f"CREATE DATABASE {stranger.database}")
    yield stranger
    alter(sqlserver, f"DROP DATABASE {stranger.database}")


# A database of hers, in which the current one is no user


@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE SCHEMA s AUTHORIZATION {clone}"],
        ["CREATE ROLE r", "ALTER ROLE r ADD MEMBER {clone}", "ALTER ROLE db_owner ADD MEMBER {clone}"],
        ["CREATE TRIGGER t ON DATABASE FOR DDL_DATABASE_SECURITY_EVENTS AS GRANT CONTROL TO public"],
        ["ALTER DATABASE {database} SET READ_ONLY"],
        ["ALTER DATABASE {database} SET RESTRICTED_USER"],
        ["DENY VIEW DEFINITION TO {admin}"],
        ["ALTER ROLE db_owner DROP MEMBER {admin}"],
    ],
)
def test_a_database_in_which_the_current_one_is_no_user_is_left_alone(
    sqlserver: SQLServerLaboratory, pair: Pair, eve: Stranger, statements: list[str]
) -> None:
    user, clone = pair
    eve.let_in("db_owner")
    names = {"clone": clone.username, "admin": sqlserver.admin.username, "database": eve.database}
    eve.run(f"CREATE USER {clone.username} FOR LOGIN {clone.username}")
    before = eve.principals()
    eve.run(*(statement.format_map(names) for statement in statements if "CREATE" in statement))
    made = [row for row in eve.principals() if row not in before]
    eve.run(*(statement.format_map(names) for statement in statements if "CREATE" not in statement))
    for _ in range(2):
        assert sqlserver.logs_in(set_secret(sqlserver, user))
    alter(sqlserver, f"ALTER DATABASE {eve.database} SET MULTI_USER", f"ALTER DATABASE {eve.database} SET READ_WRITE")
    assert sorted(map(str, eve.principals())) == sorted(map(str, [*before, *made]))


def test_a_database_that_closes_when_it_is_about_to_be_entered_is_left_alone(
    sqlserver: SQLServerLaboratory,
    pair: Pair,
    eve: Stranger,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Because the current one has said that it has no user there."""
    original = DatabaseStatements.use  # a moment that no test could meet otherwise

    def use(statements: DatabaseStatements) -> None:
        if statements._tokens.peek().name == eve.database:  # noqa: SLF001
            raise SqlError(942, "Database cannot be opened because it is offline.", 14)
        original(statements)

    eve.let_in("db_owner")
    monkeypatch.setattr(DatabaseStatements, "use", use)
    with caplog.at_level(logging.WARNING, LOGGER):
        assert sqlserver.logs_in(set_secret(sqlserver, pair[0]))
    assert not caplog.records


def test_a_database_with_a_name_that_no_client_can_read_is_left_alone(
    sqlserver: SQLServerLaboratory, pair: Pair
) -> None:
    name = f"hers {HALF} {secrets.token_hex(3)}"
    alter(sqlserver, f"CREATE DATABASE {bracketed(name)}")
    try:
        assert sqlserver.logs_in(set_secret(sqlserver, pair[0], pair[1]))
    finally:
        alter(sqlserver, f"DROP DATABASE {bracketed(name)}")


def test_a_user_of_the_other_one_alone_is_reported_with_the_remedy(
    sqlserver: SQLServerLaboratory, pair: Pair, eve: Stranger, caplog: pytest.LogCaptureFixture
) -> None:
    user, clone = pair
    eve.let_in("db_owner")
    eve.run(f"CREATE USER [alias ]]] FOR LOGIN {clone.username}")
    with caplog.at_level(logging.WARNING, LOGGER):
        set_secret(sqlserver, user)
    [text] = [record.getMessage() for record in caplog.records if clone.username in record.getMessage()]
    assert text == (
        f"{clone.username} is the user alias ] in the database {eve.database}, but {user.username} has no user there."
        " Nothing was changed there. To remove the user: DROP USER [alias ]]]"
    )


def test_many_closed_databases_make_no_long_line(
    sqlserver: SQLServerLaboratory, pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    names = [f"closed_{secrets.token_hex(4)}" for _ in range(25)]
    alter(sqlserver, *(f"CREATE DATABASE {name}" for name in names))
    alter(sqlserver, *(f"ALTER DATABASE {name} SET OFFLINE" for name in names))
    try:
        with pytest.raises(Unsupported, match="it is the same with 5 more databases") as raised:
            set_secret(sqlserver, pair[0])
        with caplog.at_level(logging.WARNING, LOGGER):
            set_secret(sqlserver, pair[0], accept=frozenset({"databases"}))
    finally:
        alter(sqlserver, *(f"DROP DATABASE {name}" for name in names))
    assert sum(f"database {name}," in str(raised.value) for name in names) == 20
    assert sum(name in caplog.text for name in names) == 20
    assert " and 5 more was not changed" in caplog.text


# A database of hers, in which she has made the current one a user

STOPPED: list[tuple[type[RotationError], list[str], str]] = [
    (NotPermitted, ["ALTER ROLE db_owner DROP MEMBER {admin}"], "CREATE USER"),
    (Unsupported, ["CREATE USER {clone} FOR LOGIN {eve}"], "has its name"),
    (Unsupported, ["CREATE ROLE {clone}"], "has its name"),
    (Unsupported, ["ALTER DATABASE {database} SET READ_ONLY"], "read-only"),
    (Unsafe, ["CREATE TRIGGER t ON DATABASE FOR CREATE_USER AS GRANT CONTROL TO public"], "DISABLE TRIGGER"),
    (
        RightsDiffer,
        ["CREATE USER {clone} FOR LOGIN {clone}", "CREATE SCHEMA s AUTHORIZATION {clone}"],
        r"owns SCHEMA::\[s\]",
    ),
]


@pytest.mark.parametrize(("error", "statements", "text"), STOPPED)
def test_what_a_stranger_can_stop_names_her_database_and_ends_when_the_secret_accepts_it(  # noqa: PLR0913, PLR0917
    sqlserver: SQLServerLaboratory,
    pair: Pair,
    eve: Stranger,
    error: type[RotationError],
    statements: list[str],
    text: str,
) -> None:
    user, clone = pair
    record = RecordInMemory()
    set_secret(sqlserver, user, pair=record)
    names = {
        "clone": clone.username, "admin": sqlserver.admin.username, "database": eve.database,
        "eve": sqlserver.new_user().username,
    }  # fmt: skip
    eve.let_in("db_owner")
    eve.run(
        f"CREATE USER {user.username} FOR LOGIN {user.username}",
        *(statement.format_map(names) for statement in statements),
    )
    with pytest.raises(error, match=f"in the database {eve.database}"):
        set_secret(sqlserver, user, pair=record)
    with pytest.raises(error, match=text):
        set_secret(sqlserver, user, pair=record)
    alter(sqlserver, f"ALTER DATABASE {eve.database} SET READ_WRITE")
    alter(sqlserver, f"DROP USER {sqlserver.admin.username}", database=eve.database)
    with pytest.raises(Unsupported, match=f"{user.username} has a user in the database {eve.database}, which"):
        set_secret(sqlserver, user, pair=record)
    assert sqlserver.logs_in(set_secret(sqlserver, user, accept=frozenset({"databases"}), pair=record))


# A table of hers


@dataclass(frozen=True)
class Shared:
    """Somebody with a schema and a table of her own in the database of the pair."""

    laboratory: SQLServerLaboratory
    login: Credential
    schema: str

    def run(self, *statements: str) -> None:
        """Run statements as herself; {table} is hers."""
        with self.laboratory.session(self.login) as run:
            for statement in statements:
                run(statement.replace("{table}", f"{self.schema}.t"))


@pytest.fixture
def mallory(sqlserver: SQLServerLaboratory) -> Shared:
    login = sqlserver.new_user()
    shared = Shared(sqlserver, login, f"s_{secrets.token_hex(3)}")
    alter(
        sqlserver,
        f"CREATE SCHEMA {shared.schema} AUTHORIZATION {login.username}",
        f"GRANT CREATE TABLE TO {login.username}",
        database=DATABASE,
    )
    shared.run("CREATE TABLE {table} (a int, b int)")
    return shared


GIFTS = [
    "GRANT SELECT ON {table} TO clone",
    "GRANT SELECT, INSERT ON {table} TO clone WITH GRANT OPTION",
    "GRANT SELECT ON {table} (a) TO clone",
    "DENY SELECT ON {table} TO clone",
    "GRANT CONTROL ON SCHEMA::{schema} TO clone",
]


@pytest.mark.thorough(before=["GRANT SELECT ON {table} TO user"], gift=GIFTS[1:])
@pytest.mark.parametrize("gift", GIFTS)
@pytest.mark.parametrize("before", ["", "GRANT SELECT ON {table} TO user"], ids=["none", "granted"])
def test_what_a_stranger_grants_on_what_is_hers_is_not_undone_and_ends_with_one_statement(
    sqlserver: SQLServerLaboratory, pair: Pair, mallory: Shared, gift: str, before: str
) -> None:
    """Nobody knows whether she or an administrator changed the other one."""
    user, clone = pair
    if before:
        mallory.run(before.replace("user", user.username), before.replace("user", clone.username))
    record = RecordInMemory()
    set_secret(sqlserver, user, pair=record)
    gift = gift.replace("clone", clone.username).replace("{schema}", mallory.schema)
    mallory.run(gift)
    if before and gift.startswith("GRANT SELECT ON"):  # both have that
        assert differences(sqlserver, user, clone) == ""
        return
    with pytest.raises(RightsDiffer, match=mallory.schema):
        set_secret(sqlserver, user, pair=record)
    agree(sqlserver, user, clone)
    pending = set_secret(sqlserver, user, pair=record)
    assert has(sqlserver, clone.username, DATABASE) == has(sqlserver, user.username, DATABASE)
    assert sqlserver.may_read(pending, ORDERS)
    mallory.run(gift)  # while the clone is the current one, it is followed
    again = set_secret(sqlserver, pending, pair=record)
    assert has(sqlserver, user.username, DATABASE) == has(sqlserver, clone.username, DATABASE)
    assert sqlserver.logs_in(again)


def test_what_a_stranger_takes_back_from_the_current_one_the_other_one_loses(
    sqlserver: SQLServerLaboratory, pair: Pair, mallory: Shared
) -> None:
    user, clone = pair
    record = RecordInMemory()
    set_secret(sqlserver, user, pair=record)
    for statement in (
        "GRANT SELECT ON {table} TO %s WITH GRANT OPTION",
        "REVOKE GRANT OPTION FOR SELECT ON {table} FROM %s CASCADE",
        "DENY SELECT ON {table} TO %s",
        "REVOKE SELECT ON {table} FROM %s",
    ):
        mallory.run(statement % user.username)
        set_secret(sqlserver, user, pair=record)
        assert has(sqlserver, clone.username, DATABASE) == has(sqlserver, user.username, DATABASE)
