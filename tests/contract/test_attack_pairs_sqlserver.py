"""What can an administrator of SQL Server do to a pair, that a rotation must not lose or undo?"""

import secrets

import pytest

from rotation.errors import Unsupported
from tests.contract.pairs import RecordInMemory, new_clone, set_secret
from tests.contract.sqlserver_kit import alter, asked
from tests.laboratories import new_password
from tests.laboratories.sqlserver import SQLServerLaboratory, quoted

pytestmark = pytest.mark.engine("sqlserver")

NAMESAKES = {
    "a role": "CREATE ROLE {}",
    "a user without a login": "CREATE USER {} WITHOUT LOGIN",
    "the user of another login": "CREATE USER {} FOR LOGIN {third}",
}


@pytest.mark.parametrize("namesake", NAMESAKES)
def test_one_that_has_the_name_in_a_database_stops_the_rotation_before_it_begins(
    sqlserver: SQLServerLaboratory, database: str, namesake: str
) -> None:
    """Whoever can create roles in one database could stop the pair for ever, after a part of its changes."""
    user, third = sqlserver.new_user(), sqlserver.new_user()
    clone, record = new_clone(user), RecordInMemory()
    create = NAMESAKES[namesake].format(clone.username, third=third.username)
    alter(sqlserver, f"CREATE USER {user.username} FOR LOGIN {user.username}", create, database=database)
    with pytest.raises(Unsupported, match=f"would not get, because .* has its name.*ALTER USER .{clone.username}"):
        set_secret(sqlserver, user, pair=record)
    assert asked(sqlserver, "SELECT 1 FROM sys.sql_logins WHERE name = %s", clone.username) == []
    assert record.labels == frozenset()
    assert sqlserver.logs_in(set_secret(sqlserver, user, accept=frozenset({"databases"}), pair=record))


def test_an_orphan_that_owns_something_alone_stops_the_first_rotation_before_it_begins(
    sqlserver: SQLServerLaboratory, database: str
) -> None:
    """As after the restoring of a database in which the clone of another server created a schema."""
    user, record, lost = sqlserver.new_user(), RecordInMemory(), f"lost_{secrets.token_hex(3)}"
    clone = new_clone(user)
    alter(sqlserver, f"CREATE LOGIN {lost} WITH PASSWORD = {quoted(new_password())}")
    alter(
        sqlserver,
        f"CREATE USER {user.username} FOR LOGIN {user.username}",
        f"CREATE USER {clone.username} FOR LOGIN {lost}",
        f"CREATE SCHEMA s AUTHORIZATION {clone.username}",
        database=database,
    )
    alter(sqlserver, f"DROP LOGIN {lost}")
    with pytest.raises(
        Unsupported, match=r"belongs to no login, and owns SCHEMA::\[s\].* ALTER AUTHORIZATION ON SCHEMA"
    ):
        set_secret(sqlserver, user, pair=record)
    assert asked(sqlserver, "SELECT 1 FROM sys.sql_logins WHERE name = %s", clone.username) == []
    alter(sqlserver, "ALTER AUTHORIZATION ON SCHEMA::s TO dbo", database=database)
    assert sqlserver.logs_in(set_secret(sqlserver, user, pair=record))
