"""What can an administrator of SQL Server do to a pair, that a rotation must not lose or undo?"""

import pytest

from rotation.errors import Unsupported
from tests.contract.pairs import RecordInMemory, new_clone, set_secret
from tests.contract.sqlserver_kit import alter, asked
from tests.laboratories.sqlserver import SQLServerLaboratory

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
