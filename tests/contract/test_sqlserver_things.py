"""Does SQL Server bring every kind of permission, and the settings of a login, to the other user?"""

import secrets
from dataclasses import replace

import pymssql
import pytest

from rotation.engines.sqlserver import catalog
from rotation.errors import Unsupported
from tests.contract.pairs import Pair, new_clone
from tests.contract.sqlserver_kit import LOGIN, PERMISSIONS, alter, asked, make_equal, mirror, needs_stand_in
from tests.laboratories import new_password
from tests.laboratories.sqlserver import DATABASE, SQLServerLaboratory, bracketed, quoted
from tests.local.stand_ins.sqlserver import things as sqlserver_things

pytestmark = pytest.mark.engine("sqlserver")


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


THINGS = [thing for thing in sqlserver_things.THINGS.values() if thing.class_id != sqlserver_things.ENDPOINT]


def test_permissions_on_anything_follow_and_its_owner_is_matched(
    sqlserver: SQLServerLaboratory, turn: Pair, furnished: str
) -> None:
    needs_stand_in(sqlserver)
    current, other = turn
    name = bracketed(current.username)
    named = {thing.keyword: f"{'dbo.' * thing.has_schema}[a ]]]" for thing in THINGS}
    alter(sqlserver, f"CREATE USER {name} FOR LOGIN {name}", database=furnished)
    for statement in (
        "CREATE {} {} WITH whatever",
        f"GRANT REFERENCES ON {{}}::{{}} TO {name} WITH GRANT OPTION",
        f"DENY VIEW DEFINITION ON {{}}::{{}} TO {name}",
    ):
        alter(sqlserver, *(statement.format(*one) for one in named.items()), database=furnished)
    make_equal(sqlserver, current, other, furnished)
    own = "ALTER AUTHORIZATION ON {}::{} TO {}"
    alter(sqlserver, *(own.format(*one, name) for one in named.items()), database=furnished)
    for _ in range(2):
        mirror(sqlserver, current, other)
        controls = asked(sqlserver, PERMISSIONS.format(scope="database"), other.username, database=furnished)
        given = {row[0] for row in controls if row[-2:] == ("CONTROL", "GRANT_WITH_GRANT_OPTION")}
        unseen = {"DATABASE SCOPED CREDENTIAL", "EXTERNAL LANGUAGE"}
        assert given == {thing.replace(" ", "_") for thing in named.keys() - unseen}
        mirror(sqlserver, other, current)
    alter(sqlserver, *(own.format(*one, "dbo") for one in named.items()), database=furnished)
    make_equal(sqlserver, current, other, furnished)


def test_permissions_on_an_endpoint_follow_and_its_owner_is_matched(sqlserver: SQLServerLaboratory, turn: Pair) -> None:
    needs_stand_in(sqlserver)
    current, other = turn
    endpoint = f"endpoint_{secrets.token_hex(3)}"
    alter(
        sqlserver,
        f"CREATE ENDPOINT {endpoint} WITH whatever",
        f"GRANT CONNECT ON ENDPOINT::{endpoint} TO {current.username}",
    )
    make_equal(sqlserver, current, other, admin=sqlserver.superuser)
    alter(sqlserver, f"ALTER AUTHORIZATION ON ENDPOINT::{endpoint} TO {current.username}")
    mirror(sqlserver, current, other, sqlserver.superuser)
    controls = asked(sqlserver, PERMISSIONS.format(scope="server"), other.username)
    assert ("CONTROL", "GRANT_WITH_GRANT_OPTION") in [row[-2:] for row in controls]
    mirror(sqlserver, other, current, sqlserver.superuser)


def test_a_permission_on_what_is_not_known_is_refused_by_name(
    sqlserver: SQLServerLaboratory, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs_stand_in(sqlserver)
    user, clone = pair
    alter(
        sqlserver,
        "CREATE ROUTE unknown WITH whatever",
        f"GRANT ALTER ON ROUTE::unknown TO {user.username}",
        database=DATABASE,
    )
    monkeypatch.delitem(catalog.NAMES, 19)
    with pytest.raises(Unsupported, match="a permission that is granted on a ROUTE"):
        mirror(sqlserver, user, clone)


def test_a_clone_that_must_change_its_password_follows_a_user_without_policy(
    sqlserver: SQLServerLaboratory, pair: Pair
) -> None:
    user, clone = pair
    options = "MUST_CHANGE, CHECK_POLICY = ON, CHECK_EXPIRATION = ON"
    alter(sqlserver, f"ALTER LOGIN {clone.username} WITH PASSWORD = {quoted(new_password())} {options}")
    with pytest.raises(pymssql.Error, match="15128"):
        alter(sqlserver, f"ALTER LOGIN {clone.username} WITH CHECK_POLICY = OFF, CHECK_EXPIRATION = OFF")
    mirror(sqlserver, user, clone)
    assert sqlserver.logs_in(clone)
    assert asked(sqlserver, LOGIN, clone.username) == asked(sqlserver, LOGIN, user.username)


@pytest.mark.parametrize("is_new", [True, False])
def test_a_default_database_is_named_only_if_it_differs(sqlserver: SQLServerLaboratory, is_new: bool) -> None:
    needs_stand_in(sqlserver)
    assert sqlserver.log
    user = sqlserver.new_user()
    clone = new_clone(user)
    if not is_new:
        mirror(sqlserver, user, clone)
        alter(sqlserver, f"ALTER LOGIN {user.username} WITH CHECK_POLICY = ON, DEFAULT_LANGUAGE = Deutsch")
    before = len(sqlserver.log.received)
    mirror(sqlserver, user, clone)
    said = [one.text for one in sqlserver.log.received[before:] if "LOGIN [" in one.text and " WITH " in one.text]
    assert said
    assert not [text for text in said if "DEFAULT_DATABASE" in text]
    alter(sqlserver, f"ALTER LOGIN {user.username} WITH DEFAULT_DATABASE = lab")
    mirror(sqlserver, user, clone)
    assert asked(sqlserver, LOGIN, clone.username) == asked(sqlserver, LOGIN, user.username)


def test_a_default_database_that_is_gone_stops_nothing(
    sqlserver: SQLServerLaboratory, pair: Pair, database: str
) -> None:
    user, clone = pair
    gone = f"gone_{secrets.token_hex(3)}"
    alter(sqlserver, f"CREATE DATABASE {gone}", f"ALTER LOGIN {user.username} WITH DEFAULT_DATABASE = {gone}")
    alter(sqlserver, f"DROP DATABASE {gone}")
    mirror(sqlserver, user, clone)
    assert sqlserver.logs_in(clone)
    new = new_clone(replace(user, username=sqlserver.new_user().username))
    alter(
        sqlserver,
        f"CREATE DATABASE {gone}",
        f"ALTER LOGIN {new.username.removesuffix('_clone')} WITH DEFAULT_DATABASE = {gone}",
        f"DROP DATABASE {gone}",
    )
    mirror(sqlserver, replace(user, username=new.username.removesuffix("_clone")), new)
    assert sqlserver.logs_in(new)
    alter(sqlserver, f"ALTER LOGIN {user.username} WITH DEFAULT_DATABASE = {bracketed(database)}")
    mirror(sqlserver, user, clone)
    assert asked(sqlserver, LOGIN, clone.username) == asked(sqlserver, LOGIN, user.username)
    mirror(sqlserver, clone, user)
    alter(sqlserver, f"ALTER LOGIN {user.username} WITH DEFAULT_DATABASE = master")
