"""Does SQL Server bring the other user to the rights of the current one, in each database?"""

import re
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from rotation.credential import Credential
from rotation.engine import CloneStatus
from rotation.errors import (
    NotPermitted,
    StatementFailed,
    Unsafe,
)
from tests.contract.pairs import Pair, changed, clone_status, set_secret
from tests.contract.sqlserver_kit import (
    PERMISSIONS,
    USER,
    alter,
    asked,
    differences,
    has,
    make_equal,
    mirror,
)
from tests.laboratories import ORDERS, deadline, new_password
from tests.laboratories.sqlserver import (
    DATABASE,
    SQLServerLaboratory,
    bracketed,
    quoted,
)

pytestmark = [pytest.mark.sample(2), pytest.mark.engine("sqlserver")]

# What the two have


SERVER_STATEMENTS = [
    "ALTER LOGIN {} WITH CHECK_POLICY = ON",
    "ALTER LOGIN {} WITH CHECK_POLICY = ON, CHECK_EXPIRATION = ON",
    "ALTER LOGIN {} WITH DEFAULT_DATABASE = [lab]",
    "ALTER LOGIN {} WITH DEFAULT_LANGUAGE = [Deutsch]",
    "ALTER SERVER ROLE setupadmin ADD MEMBER {}",
    "GRANT VIEW SERVER STATE TO {}",
    "GRANT ALTER TRACE TO {} WITH GRANT OPTION",
    "DENY VIEW ANY DATABASE TO {}",
    "GRANT IMPERSONATE ON LOGIN::sa TO {}",
    "GRANT ALTER ON SERVER ROLE::[team's ]]] TO {}",
    "ALTER SERVER ROLE [team's ]]] ADD MEMBER {}",
]


@pytest.mark.thorough(turn=[True], statement=list(SERVER_STATEMENTS)[1:])
@pytest.mark.parametrize("statement", SERVER_STATEMENTS)
def test_what_the_server_knows_of_the_current_one_the_other_one_has(
    sqlserver: SQLServerLaboratory, turn: Pair, statement: str
) -> None:
    current, other = turn
    with suppress(Exception):
        alter(sqlserver, "CREATE SERVER ROLE [team's ]]]")
    alter(sqlserver, statement.format(bracketed(current.username)))
    assert differences(sqlserver, current, other, sqlserver.superuser)
    make_equal(sqlserver, current, other, admin=sqlserver.superuser)
    # And it goes, as it came.
    alter(sqlserver, f"DROP LOGIN {bracketed(current.username)}", f"DROP LOGIN {bracketed(other.username)}")


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ("GRANT ALTER TRACE TO {} WITH GRANT OPTION", "REVOKE ALTER TRACE FROM {} CASCADE"),
        ("GRANT ALTER TRACE TO {} WITH GRANT OPTION", "REVOKE GRANT OPTION FOR ALTER TRACE FROM {} CASCADE"),
        ("GRANT ALTER TRACE TO {} WITH GRANT OPTION", "DENY ALTER TRACE TO {} CASCADE"),
        ("GRANT ALTER TRACE TO {}", "GRANT ALTER TRACE TO {} WITH GRANT OPTION"),
        ("GRANT ALTER TRACE TO {}", "DENY ALTER TRACE TO {}"),
        ("DENY ALTER TRACE TO {}", "GRANT ALTER TRACE TO {}"),
        ("DENY ALTER TRACE TO {}", "REVOKE ALTER TRACE FROM {}"),
        ("ALTER SERVER ROLE setupadmin ADD MEMBER {}", "ALTER SERVER ROLE setupadmin DROP MEMBER {}"),
        ("ALTER LOGIN {} WITH CHECK_POLICY = ON, CHECK_EXPIRATION = ON", "ALTER LOGIN {} WITH CHECK_EXPIRATION = OFF"),
    ],
)
def test_what_changes_for_the_current_one_changes_for_the_other_one(
    sqlserver: SQLServerLaboratory, turn: Pair, first: str, then: str
) -> None:
    current, other = turn
    for statement in (first, then):
        alter(sqlserver, statement.format(bracketed(current.username)))
        make_equal(sqlserver, current, other, admin=sqlserver.superuser)


DATABASE_STATEMENTS = [
    "GRANT SELECT ON dbo.t TO {}",
    "GRANT INSERT, UPDATE ON dbo.t TO {} WITH GRANT OPTION",
    "DENY DELETE ON dbo.t TO {}",
    "GRANT SELECT ON dbo.t ([a ]]]) TO {}",
    "DENY SELECT ON dbo.t (b) TO {}",
    "GRANT EXECUTE ON SCHEMA::[it's ]]] TO {}",
    "GRANT SELECT ON [it's ]]].[t ]]] TO {}",
    "GRANT VIEW DEFINITION ON USER::dbo TO {}",
    "GRANT ALTER ON ROLE::[r ]]] TO {}",
    "GRANT CREATE TABLE TO {} WITH GRANT OPTION",
    "DENY SHOWPLAN TO {}",
    "ALTER ROLE [r ]]] ADD MEMBER {}",
    "ALTER ROLE db_datareader ADD MEMBER {}",
    "ALTER USER {} WITH DEFAULT_SCHEMA = [it's ]]]",
    "ALTER USER {} WITH ALLOW_ENCRYPTED_VALUE_MODIFICATIONS = ON",
    "REVOKE CONNECT FROM {}",
]


@pytest.fixture
def furnished(sqlserver: SQLServerLaboratory, database: str) -> str:
    """The other database, with what there can be rights on."""
    alter(
        sqlserver,
        "CREATE SCHEMA [it's ]]]",
        "CREATE ROLE [r ]]]",
        "CREATE TABLE dbo.t ([a ]]] int, b int)",
        "CREATE TABLE [it's ]]].[t ]]] (a int)",
        database=database,
    )
    return database


@pytest.mark.thorough(turn=[True], statement=list(DATABASE_STATEMENTS)[1:])
@pytest.mark.parametrize("statement", DATABASE_STATEMENTS)
def test_what_the_current_one_has_in_any_database_the_other_one_has(
    sqlserver: SQLServerLaboratory, turn: Pair, furnished: str, statement: str
) -> None:
    current, other = turn
    name = bracketed(current.username)
    # It was no user there, then it was, then it had more, then less, then it was none any more.
    for change in (f"CREATE USER {name} FOR LOGIN {name}", statement.format(name)):
        alter(sqlserver, change, database=furnished)
        assert change.partition(" ")[0] in differences(sqlserver, current, other)
        make_equal(sqlserver, current, other, furnished)
    undone = re.sub(
        "ADD MEMBER",
        "DROP MEMBER",
        re.sub(r"(GRANT|DENY) (.*) TO (.*?)( WITH .*)?$", r"REVOKE \2 TO \3 CASCADE", statement),
    )
    if undone != statement:
        alter(sqlserver, undone.format(name), database=furnished)
        make_equal(sqlserver, current, other, furnished)
    # Once it is none, nobody knows whether a rotation has made the other one: it is left alone.
    alter(sqlserver, f"DROP USER {name}", database=furnished)
    before = has(sqlserver, other.username, furnished)
    mirror(sqlserver, current, other)
    assert has(sqlserver, other.username, furnished) == before


def test_rights_on_a_table_and_its_columns_end_up_as_they_are(
    sqlserver: SQLServerLaboratory, turn: Pair, furnished: str
) -> None:
    current, other = turn
    name = bracketed(current.username)
    alter(sqlserver, f"CREATE USER {name} FOR LOGIN {name}", database=furnished)
    for statement in (
        "GRANT SELECT ON dbo.t ([a ]]], b) TO {}",
        "GRANT SELECT ON dbo.t TO {}",
        "REVOKE SELECT ON dbo.t (b) FROM {}",
        "DENY SELECT ON dbo.t ([a ]]]) TO {}",
        "GRANT SELECT ON dbo.t (b) TO {}",
        "REVOKE SELECT ON dbo.t FROM {}",
        "DENY SELECT ON dbo.t (b) TO {}",
        "DENY SELECT ON dbo.t TO {}",
        "GRANT SELECT ON dbo.t (b) TO {}",
    ):
        alter(sqlserver, statement.format(name), database=furnished)
        make_equal(sqlserver, current, other, furnished)


def test_the_users_are_found_by_their_sids_whatever_they_are_called(
    sqlserver: SQLServerLaboratory, pair: Pair, furnished: str
) -> None:
    user, clone = pair
    alter(
        sqlserver,
        f"CREATE USER somebody FOR LOGIN {user.username}",
        f"CREATE USER another FOR LOGIN {clone.username}",
        "GRANT SELECT ON dbo.t TO somebody",
        database=furnished,
    )
    mirror(sqlserver, user, clone)
    with sqlserver.session(replace(clone, database=furnished)) as run:
        run("SELECT b FROM dbo.t")


def test_the_owner_of_a_database_is_matched_by_a_member_of_db_owner(
    sqlserver: SQLServerLaboratory, pair: Pair, furnished: str
) -> None:
    user, clone = pair
    alter(sqlserver, f"ALTER AUTHORIZATION ON DATABASE::{bracketed(furnished)} TO {user.username}")
    mirror(sqlserver, user, clone)
    with sqlserver.session(replace(clone, database=furnished)) as run:
        run("SELECT b FROM t")
        run("CREATE TABLE dbo.made (a int)")
    mirror(sqlserver, clone, user)
    alter(sqlserver, f"ALTER ROLE db_owner DROP MEMBER {clone.username}", database=furnished)
    assert f"{user.username} owns the database" in differences(sqlserver, clone, user)
    alter(sqlserver, f"ALTER AUTHORIZATION ON DATABASE::{bracketed(furnished)} TO sa")


OWNED = ["SCHEMA::[it's ]]]", "ROLE::[r ]]]", "OBJECT::dbo.t"]


@pytest.mark.thorough(turn=[True], thing=list(OWNED)[1:])
@pytest.mark.parametrize("thing", OWNED)
def test_what_one_owns_the_other_one_controls(
    sqlserver: SQLServerLaboratory, turn: Pair, furnished: str, thing: str
) -> None:
    current, other = turn
    name = bracketed(current.username)
    alter(sqlserver, f"CREATE USER {name} FOR LOGIN {name}", database=furnished)
    alter(sqlserver, f"ALTER AUTHORIZATION ON {thing} TO {name}", database=furnished)
    for _ in range(2):
        mirror(sqlserver, current, other)
        controls = asked(sqlserver, PERMISSIONS.format(scope="database"), other.username, database=furnished)
        assert ("CONTROL", "GRANT_WITH_GRANT_OPTION") in [row[-2:] for row in controls]
        # The turn of the owner comes, and goes: nothing can be granted to it on what is its own.
        mirror(sqlserver, other, current)
    alter(sqlserver, f"ALTER AUTHORIZATION ON {thing} TO dbo", database=furnished)
    make_equal(sqlserver, current, other, furnished)


def test_what_the_other_one_alone_owns_is_reported(sqlserver: SQLServerLaboratory, turn: Pair, furnished: str) -> None:
    current, other = turn
    for name in (bracketed(current.username), bracketed(other.username)):
        alter(sqlserver, f"CREATE USER {name} FOR LOGIN {name}", database=furnished)
    alter(sqlserver, f"ALTER AUTHORIZATION ON SCHEMA::[it's ]]] TO {bracketed(other.username)}", database=furnished)
    with sqlserver.engine.connect(sqlserver.admin, deadline()) as session:
        session.mirror(current.username, other.username)
        [text] = session.compare(current.username, other.username).sentences
    assert f"{other.username} owns SCHEMA::[it's ]]] in the database {furnished}, {current.username} does not" in text
    # If the current one is no user there, all that the other one has there is left alone.
    alter(sqlserver, f"DROP USER {bracketed(current.username)}", database=furnished)
    mirror(sqlserver, current, other)


def test_a_database_changes_whole_or_not_at_all(sqlserver: SQLServerLaboratory, pair: Pair, furnished: str) -> None:
    user, clone = pair
    alter(
        sqlserver,
        f"CREATE USER {user.username} FOR LOGIN {user.username}",
        f"GRANT SELECT ON dbo.t TO {user.username}",
        f"GRANT IMPERSONATE ON USER::dbo TO {user.username}",
        f"ALTER ROLE db_owner DROP MEMBER {sqlserver.admin.username}",
        f"GRANT ALTER ANY USER TO {sqlserver.admin.username}",
        f"GRANT SELECT ON dbo.t TO {sqlserver.admin.username} WITH GRANT OPTION",
        database=furnished,
    )
    with (
        pytest.raises(NotPermitted, match=r"GRANT IMPERSONATE ON USER::\[dbo\] TO") as raised,
        sqlserver.engine.connect(sqlserver.admin, deadline()) as session,
    ):
        session.mirror(user.username, clone.username)
    assert "as admin_" in str(raised.value)
    assert asked(sqlserver, USER, clone.username, database=furnished) == []


AS_DOCUMENTED = (
    "CREATE LOGIN rotator WITH PASSWORD = '…'",
    "GRANT ALTER ANY LOGIN TO rotator",
    "CREATE USER rotator FOR LOGIN rotator",
    "ALTER ROLE db_owner ADD MEMBER rotator",
    "GRANT VIEW ANY DEFINITION TO rotator",
    "GRANT VIEW ANY DATABASE TO rotator",
)
"""The admin, as the page of SQL Server has it; all but its beginning is for alternating users."""
FOR_SINGLE_USER = AS_DOCUMENTED[:3]
IN_DATABASE = AS_DOCUMENTED[2:4]


def documented(sqlserver: SQLServerLaboratory, statements: Sequence[str] = AS_DOCUMENTED) -> Credential:
    """Make an admin by these statements, and by nothing else."""
    admin = replace(sqlserver.admin, username=f"rotator_{secrets.token_hex(3)}", password=new_password())
    sqlserver.admins.add(admin.username)
    for statement in statements:
        named = statement.replace("rotator", admin.username).replace("'…'", quoted(admin.password))
        alter(sqlserver, named, database=DATABASE if statement in IN_DATABASE else "master")
    return admin


def test_the_documented_admin_is_the_one_that_is_tested() -> None:
    page = (Path(__file__).parents[2] / "docs/engines/sql-server.md").read_text()
    [block] = re.findall(r"```sql sqlserver\n(.*?CREATE LOGIN rotator.*?)```", page, re.DOTALL)
    assert tuple(re.sub(r"\s*--.*", "", block).replace("\n", "").split(";")) == (*AS_DOCUMENTED, "")


def test_an_admin_as_documented_makes_and_keeps_a_pair(sqlserver: SQLServerLaboratory) -> None:
    user = sqlserver.new_user()
    role = f"clerks_{secrets.token_hex(3)}"
    alter(
        sqlserver,
        f"CREATE ROLE {role}",
        f"ALTER ROLE {role} ADD MEMBER {user.username}",
        f"GRANT INSERT ON SCHEMA::dbo TO {user.username}",
        f"DENY DELETE ON dbo.{ORDERS} TO {user.username}",
        database=DATABASE,
    )
    admin, current = documented(sqlserver), user
    for _ in range(2):
        other = set_secret(replace(sqlserver, admin=admin), current)
        assert differences(sqlserver, current, other, admin) == ""
        assert sqlserver.may_read(other, ORDERS)
        assert has(sqlserver, current.username, DATABASE) == has(sqlserver, other.username, DATABASE)
        current = other


def test_an_admin_as_documented_serves_a_single_user(sqlserver: SQLServerLaboratory) -> None:
    user = sqlserver.new_user()
    now = changed(user)
    with sqlserver.engine.connect(documented(sqlserver, FOR_SINGLE_USER), deadline()) as session:
        session.reset_password(user.username, now.password)
    assert [sqlserver.logs_in(one) for one in (user, now)] == [False, True]


def test_an_admin_that_cannot_pass_a_permission_on_says_which(sqlserver: SQLServerLaboratory, pair: Pair) -> None:
    user, clone = pair
    alter(sqlserver, f"GRANT VIEW SERVER STATE TO {user.username}")
    with pytest.raises(NotPermitted, match=r"4613.*GRANT VIEW SERVER STATE TO \[app_"):
        mirror(sqlserver, user, clone)
    alter(sqlserver, f"GRANT VIEW SERVER STATE TO {sqlserver.admin.username} WITH GRANT OPTION")
    mirror(sqlserver, user, clone)
    alter(sqlserver, f"REVOKE GRANT OPTION FOR VIEW SERVER STATE FROM {sqlserver.admin.username} CASCADE")


@pytest.mark.parametrize("permission", ["ALTER ANY LOGIN", "VIEW ANY DEFINITION", "VIEW ANY DATABASE"])
def test_an_admin_that_does_not_see_all_is_refused(sqlserver: SQLServerLaboratory, pair: Pair, permission: str) -> None:
    alter(sqlserver, f"DENY {permission} TO {sqlserver.admin.username}")
    try:
        with pytest.raises(NotPermitted, match=f"{permission}.*GRANT {permission} TO .*, in master"):
            clone_status(sqlserver, *pair)
        with pytest.raises(NotPermitted, match=permission):
            differences(sqlserver, *pair)
    finally:
        alter(sqlserver, f"GRANT {permission} TO {sqlserver.admin.username}")


# Whose the clone is


def test_a_dropped_clone_comes_back_as_itself(sqlserver: SQLServerLaboratory, pair: Pair) -> None:
    user, clone = pair
    sid = asked(sqlserver, "SELECT sid FROM sys.sql_logins WHERE name = %s", clone.username)
    alter(sqlserver, f"DROP LOGIN {clone.username}")
    assert clone_status(sqlserver, user, clone) is CloneStatus.ABSENT
    # Its user is left in the database of the laboratory, with what it may do there.
    mirror(sqlserver, user, clone)
    assert asked(sqlserver, "SELECT sid FROM sys.sql_logins WHERE name = %s", clone.username) == sid
    assert sqlserver.may_read(clone, ORDERS)
    assert clone_status(sqlserver, user, clone) is CloneStatus.OURS


def test_an_orphan_of_the_clones_name_becomes_the_clones(
    sqlserver: SQLServerLaboratory, pair: Pair, furnished: str
) -> None:
    user, clone = pair
    lost = f"lost_{secrets.token_hex(3)}"
    alter(sqlserver, f"CREATE LOGIN {lost} WITH PASSWORD = {quoted(new_password())}")
    alter(
        sqlserver,
        f"CREATE USER {user.username} FOR LOGIN {user.username}",
        f"GRANT SELECT ON dbo.t TO {user.username}",
        f"CREATE USER {clone.username} FOR LOGIN {lost}",
        f"GRANT DELETE ON dbo.t TO {clone.username}",
        database=furnished,
    )
    with pytest.raises(StatementFailed, match=r"15023.*belongs to another login"):
        mirror(sqlserver, user, clone)
    alter(sqlserver, f"DROP LOGIN {lost}")
    assert "WITH LOGIN" in differences(sqlserver, user, clone)
    make_equal(sqlserver, user, clone, furnished)
    with sqlserver.session(replace(clone, database=furnished)) as run:
        run("SELECT b FROM dbo.t")


def test_a_user_without_a_login_is_no_orphan(sqlserver: SQLServerLaboratory, pair: Pair, furnished: str) -> None:
    user, clone = pair
    alter(
        sqlserver,
        f"CREATE USER {user.username} FOR LOGIN {user.username}",
        f"CREATE USER {clone.username} WITHOUT LOGIN",
        database=furnished,
    )
    with pytest.raises(StatementFailed, match="15023"):
        mirror(sqlserver, user, clone)


@pytest.mark.parametrize("name", ["sa", "nobody_here", "setupadmin"])
def test_what_has_no_password_of_its_own_takes_no_turns(sqlserver: SQLServerLaboratory, pair: Pair, name: str) -> None:
    stranger = replace(pair[0], username=name)
    with pytest.raises(Unsafe):
        clone_status(sqlserver, stranger, pair[1])
    if name != "nobody_here":
        with pytest.raises(Unsafe):
            clone_status(sqlserver, pair[0], stranger)


def test_an_admin_cannot_alter_who_is_more_than_itself(sqlserver: SQLServerLaboratory, pair: Pair) -> None:
    user, clone = pair
    alter(sqlserver, f"ALTER SERVER ROLE sysadmin ADD MEMBER {user.username}")
    with pytest.raises(NotPermitted, match="ALTER SERVER ROLE"):
        mirror(sqlserver, user, clone)
    with (
        pytest.raises(NotPermitted, match="CONTROL SERVER"),
        sqlserver.engine.connect(sqlserver.admin, deadline()) as session,
    ):
        session.set_password(user.username, new_password())
