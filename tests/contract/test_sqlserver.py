"""What else does SQL Server promise, that no other engine has?"""

import logging
import re
import secrets
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pymssql
import pytest

from rotation.credential import Credential
from rotation.engine import CloneStatus
from rotation.engines.sqlserver import catalog
from rotation.engines.sqlserver.session import SQLServer, SQLServerSession
from rotation.errors import (
    DatabaseError,
    LoginBlocked,
    LoginRefused,
    NotPermitted,
    PasswordRefused,
    RotationError,
    StatementFailed,
    Unreachable,
    Unsafe,
    Unsupported,
    Untrusted,
)
from tests.contract.sqlserver_kit import (
    LOGIN,
    PERMISSIONS,
    USER,
    Pair,
    alter,
    asked,
    changed,
    clone_of,
    clone_status,
    contained,
    database,
    differences,
    has,
    mirror,
    needs_stand_in,
    pair,
    set_secret,
    sqlserver,
)
from tests.contract.tap import tapping
from tests.contract.test_engine import HOSTILE, EngineContract, closed_port, silent_port
from tests.laboratories import INVOICES, ORDERS, Laboratory, deadline
from tests.laboratories_sqlserver import (
    CONTAINED,
    DATABASE,
    SQLServerLaboratory,
    bracketed,
    quoted,
    strong_password,
)
from tests.local.servers import certificates
from tests.local.stand_ins.sqlserver import messages as tds
from tests.local.stand_ins.sqlserver import server as sqlserver_server
from tests.local.stand_ins.sqlserver import things as sqlserver_things
from tests.local.stand_ins.sqlserver import wire as tds_server

__all__ = ["closed_port", "contained", "database", "pair", "silent_port", "sqlserver"]  # fixtures


class TestSQLServer(EngineContract):
    """SQL Server keeps the contract."""

    @pytest.fixture
    def laboratory(self, sqlserver: Laboratory) -> Laboratory:
        return sqlserver

    # "Authentication logins … cannot contain a '\'" (create-login-transact-sql).
    @pytest.mark.parametrize("text", [text for text in HOSTILE if "\\" not in text])
    def test_hostile_names_and_passwords_are_only_text(self, laboratory: Laboratory, text: str) -> None:
        super().test_hostile_names_and_passwords_are_only_text(laboratory, text)


@pytest.fixture(params=[False, True], ids=["forth", "back"])
def turn(request: pytest.FixtureRequest, pair: Pair) -> Pair:
    """The pair, the current one first: each of the two once."""
    return pair[::-1] if request.param else pair


# What the two have


def make_equal(
    laboratory: SQLServerLaboratory,
    current: Credential,
    other: Credential,
    *databases: str,
    admin: Credential | None = None,
) -> None:
    """Mirror, and see that the two are the same and that nothing was done to the current one."""
    before = has(laboratory, current.username, *databases)
    mirror(laboratory, current, other, admin)
    assert has(laboratory, current.username, *databases) == before
    assert has(laboratory, other.username, *databases) == before


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
    # Where it is none any more, nobody knows whether a rotation has made the other one: it is left alone.
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


def test_what_the_other_one_alone_owns_is_said(sqlserver: SQLServerLaboratory, turn: Pair, furnished: str) -> None:
    current, other = turn
    for name in (bracketed(current.username), bracketed(other.username)):
        alter(sqlserver, f"CREATE USER {name} FOR LOGIN {name}", database=furnished)
    alter(sqlserver, f"ALTER AUTHORIZATION ON SCHEMA::[it's ]]] TO {bracketed(other.username)}", database=furnished)
    with sqlserver.engine.connect(sqlserver.admin, deadline()) as session:
        session.mirror(current.username, other.username)
        [text] = session.differences(current.username, other.username)
    assert f"{other.username} owns SCHEMA::[it's ]]] in the database {furnished}, {current.username} does not" in text
    # Where the current one is no user, it is left alone, as is all that the other one has there.
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
    admin = replace(sqlserver.admin, username=f"rotator_{secrets.token_hex(3)}", password=strong_password())
    sqlserver.admins.add(admin.username)
    for statement in statements:
        named = statement.replace("rotator", admin.username).replace("'…'", quoted(admin.password))
        alter(sqlserver, named, database=DATABASE if statement in IN_DATABASE else "master")
    return admin


def test_the_page_of_sql_server_tells_what_is_tested_here() -> None:
    page = (Path(__file__).parents[2] / "docs/engines/sql-server.md").read_text()
    [block] = re.findall(r"```sql\n(.*?CREATE LOGIN rotator.*?)```", page, re.DOTALL)
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


def test_an_admin_that_may_not_pass_a_permission_on_says_which(sqlserver: SQLServerLaboratory, pair: Pair) -> None:
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
    alter(sqlserver, f"CREATE LOGIN {lost} WITH PASSWORD = {quoted(strong_password())}")
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


def test_an_admin_may_not_alter_who_is_more_than_itself(sqlserver: SQLServerLaboratory, pair: Pair) -> None:
    user, clone = pair
    alter(sqlserver, f"ALTER SERVER ROLE sysadmin ADD MEMBER {user.username}")
    with pytest.raises(NotPermitted, match="ALTER SERVER ROLE"):
        mirror(sqlserver, user, clone)
    with (
        pytest.raises(NotPermitted, match="CONTROL SERVER"),
        sqlserver.engine.connect(sqlserver.admin, deadline()) as session,
    ):
        session.set_password(user.username, strong_password())


# Passwords and logins


def test_an_option_of_a_password_is_kept_when_it_changes(sqlserver: SQLServerLaboratory) -> None:
    user = sqlserver.new_user(policy=True)
    alter(sqlserver, f"ALTER LOGIN {user.username} WITH CHECK_EXPIRATION = ON")
    before = asked(sqlserver, LOGIN, user.username)
    new = changed(user)
    with sqlserver.engine.connect(user, deadline()) as session:
        session.change_own_password(new.password)
    with sqlserver.engine.connect(sqlserver.admin, deadline()) as session:
        session.set_password(user.username, strong_password())
    assert asked(sqlserver, LOGIN, user.username) == before


@pytest.mark.parametrize("password", ["it's 'quoted'", "'; DROP LOGIN sa --", "N'", "''", "%s {} [x]"])
def test_quotes_are_part_of_a_password(sqlserver: SQLServerLaboratory, password: str) -> None:
    user = sqlserver.new_user(f"it's [{secrets.token_hex(3)}]")
    first, second = (replace(user, password=f"{password} Aa{number}") for number in range(2))
    with sqlserver.engine.connect(user, deadline()) as session:
        session.change_own_password(first.password)
        session.change_own_password(second.password)
    assert sqlserver.logs_in(second)
    clone = replace(clone_of(user), password=first.password)
    mirror(sqlserver, user, clone)
    assert sqlserver.logs_in(clone)


@pytest.mark.parametrize("password", ["Sh0rt", "onlylowercaseletters", "x" * 200])
def test_a_password_against_the_policy_has_a_remedy(sqlserver: SQLServerLaboratory, password: str) -> None:
    user = sqlserver.new_user(policy=True)
    refused = pytest.raises(PasswordRefused, match=r"1511[678].*PASSWORD_LENGTH")
    with refused as raised, sqlserver.engine.connect(user, deadline()) as session:
        session.change_own_password(password)
    assert password not in str(raised.value)
    with refused, sqlserver.engine.connect(sqlserver.admin, deadline()) as session:
        session.set_password(user.username, password)
    assert sqlserver.logs_in(user)


def test_the_history_of_passwords_does_not_get_in_the_way_of_a_repetition(sqlserver: SQLServerLaboratory) -> None:
    user = sqlserver.new_user(policy=True)
    changed = replace(user, password=strong_password())
    for who in (user, changed):
        with sqlserver.engine.connect(who, deadline()) as session:
            session.change_own_password(changed.password)
    with sqlserver.engine.connect(sqlserver.admin, deadline()) as session:
        session.set_password(user.username, changed.password)
    assert sqlserver.logs_in(changed)


def test_a_password_that_somebody_has_just_changed_is_not_overwritten(sqlserver: SQLServerLaboratory) -> None:
    user = sqlserver.new_user()
    with sqlserver.engine.connect(user, deadline()) as late:
        with sqlserver.engine.connect(user, deadline()) as session:
            session.change_own_password(strong_password())
        with pytest.raises(NotPermitted, match="15151"):
            late.change_own_password(strong_password())


BLOCKED = [
    ("ALTER LOGIN {} DISABLE", 18470, "ENABLE"),
    ("ALTER LOGIN {} WITH PASSWORD = {} MUST_CHANGE, CHECK_POLICY = ON, CHECK_EXPIRATION = ON", 18488, "by hand"),
]


@pytest.mark.parametrize(("statement", "number", "remedy"), BLOCKED)
def test_a_login_that_is_blocked_is_not_a_wrong_password(
    sqlserver: SQLServerLaboratory, statement: str, number: int, remedy: str
) -> None:
    user = sqlserver.new_user()
    alter(sqlserver, statement.format(user.username, quoted(user.password)))
    began = time.monotonic()
    with (
        pytest.raises(LoginBlocked, match=f"{remedy}.*|.*{number}"),
        sqlserver.engine.connect(user, deadline()),
    ):
        pass
    assert time.monotonic() - began < 3, "python-tds tries again and again"
    with pytest.raises(LoginRefused), sqlserver.engine.connect(replace(user, password="wrong"), deadline()):
        pass
    new = changed(user)
    with sqlserver.engine.connect(sqlserver.admin, deadline()) as session:
        session.set_password(user.username, new.password)
    assert sqlserver.logs_in(new)


def test_a_clone_that_must_change_its_password_follows_a_user_without_policy(
    sqlserver: SQLServerLaboratory, pair: Pair
) -> None:
    user, clone = pair
    options = "MUST_CHANGE, CHECK_POLICY = ON, CHECK_EXPIRATION = ON"
    alter(sqlserver, f"ALTER LOGIN {clone.username} WITH PASSWORD = {quoted(strong_password())} {options}")
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
    clone = clone_of(user)
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
    new = clone_of(replace(user, username=sqlserver.new_user().username))
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


def test_a_login_that_is_locked_is_unlocked_with_its_new_password(sqlserver: SQLServerLaboratory) -> None:
    needs_stand_in(sqlserver)
    user = sqlserver.new_user(policy=True)
    for _ in range(10):
        assert not sqlserver.logs_in(replace(user, password="wrong"))
    with pytest.raises(LoginBlocked, match=r"18486.*UNLOCK"), sqlserver.engine.connect(user, deadline()):
        pass
    new = changed(user)
    with sqlserver.engine.connect(sqlserver.admin, deadline()) as session:
        session.set_password(user.username, new.password)
    assert sqlserver.logs_in(new)


def test_a_database_that_is_not_there_is_not_a_wrong_password(sqlserver: SQLServerLaboratory, database: str) -> None:
    user = sqlserver.new_user()
    for name in (database, "nowhere"):
        blocked = pytest.raises(LoginBlocked, match=r'Cannot open database.*4060.*"dbname"')
        with blocked, sqlserver.engine.connect(replace(user, database=name), deadline()):
            pass
        wrong = replace(user, database=name, password="wrong")
        with pytest.raises(LoginRefused), sqlserver.engine.connect(wrong, deadline()):
            pass


def test_what_the_client_cannot_send_is_said(sqlserver: SQLServerLaboratory) -> None:
    key, long = "\U0001f511", "x" * 129
    for user in (replace(sqlserver.admin, username=key), replace(sqlserver.admin, password=f"A {key}")):
        with pytest.raises(Unsupported, match=r"U\+FFFF"), sqlserver.engine.connect(user, deadline()):
            pass
    for user in (replace(sqlserver.admin, username=long), replace(sqlserver.admin, password=long)):
        with pytest.raises(LoginBlocked, match="no login"), sqlserver.engine.connect(user, deadline()):
            pass


def test_the_client_logs_no_statement(sqlserver: SQLServerLaboratory, caplog: pytest.LogCaptureFixture) -> None:
    user, new = sqlserver.new_user(), strong_password()
    with caplog.at_level(logging.DEBUG), sqlserver.engine.connect(user, deadline()) as session:
        session.change_own_password(new)
    assert not [record for record in caplog.records if record.name.startswith("pytds")]
    assert new not in caplog.text


def test_a_lock_is_not_waited_for_for_ever(sqlserver: SQLServerLaboratory, pair: Pair) -> None:
    with sqlserver.session() as run:
        run("BEGIN TRANSACTION")
        run(f"ALTER LOGIN {pair[0].username} WITH DEFAULT_LANGUAGE = us_english")
        with (
            pytest.raises(DatabaseError, match=r"1222.*holds the lock|no answer"),
            sqlserver.engine.connect(sqlserver.admin, deadline(2.5)) as session,
        ):
            session.set_password(pair[0].username, strong_password())
        run("ROLLBACK TRANSACTION")


# Contained users


def test_a_contained_user_changes_its_own_password(sqlserver: SQLServerLaboratory) -> None:
    user = sqlserver.new_contained_user()
    new = changed(user)
    with sqlserver.engine.connect(user, deadline()) as session:
        session.change_own_password(new.password)
        session.change_own_password(new.password)
    assert sqlserver.logs_in(new)
    assert not sqlserver.logs_in(user)
    refused = pytest.raises(PasswordRefused, match=r"1511[68].*PASSWORD_LENGTH")
    with refused, sqlserver.engine.connect(new, deadline()) as session:
        session.change_own_password("weak")


def test_a_contained_user_has_a_clone_in_its_database(sqlserver: SQLServerLaboratory) -> None:
    user = sqlserver.new_contained_user()
    clone = clone_of(user)
    assert clone_status(sqlserver, user, clone) is CloneStatus.ABSENT
    with sqlserver.engine.connect(replace(sqlserver.admin, database=CONTAINED), deadline()) as session:
        session.mirror(user.username, clone.username)
    assert not sqlserver.logs_in(clone)
    mirror(sqlserver, user, clone)
    assert sqlserver.may_read(clone, ORDERS)
    assert not sqlserver.may_read(clone, INVOICES)
    assert clone_status(sqlserver, user, clone) is clone_status(sqlserver, clone, user) is CloneStatus.OURS
    assert asked(sqlserver, LOGIN, clone.username) == []


@pytest.mark.parametrize("back", [False, True], ids=["forth", "back"])
def test_rights_of_contained_users_follow(sqlserver: SQLServerLaboratory, contained: Pair, back: bool) -> None:
    current, other = contained[::-1] if back else contained
    name = bracketed(current.username)
    for statement in (
        f"GRANT INSERT ON dbo.{INVOICES} TO {name} WITH GRANT OPTION",
        f"DENY SELECT ON dbo.{ORDERS} TO {name}",
        f"ALTER ROLE db_datareader ADD MEMBER {name}",
        f"ALTER USER {name} WITH DEFAULT_SCHEMA = guest, DEFAULT_LANGUAGE = Deutsch",
        f"ALTER USER {name} WITH DEFAULT_LANGUAGE = NONE",
        f"REVOKE INSERT ON dbo.{INVOICES} FROM {name} CASCADE",
        f"ALTER ROLE db_datareader DROP MEMBER {name}",
    ):
        alter(sqlserver, statement, database=CONTAINED)
        assert differences(sqlserver, current, other)
        make_equal(sqlserver, current, other, CONTAINED)


def test_somebody_elses_contained_user_is_not_ours(sqlserver: SQLServerLaboratory) -> None:
    user = sqlserver.new_contained_user()
    clone = clone_of(user)
    alter(sqlserver, f"CREATE USER {clone.username} WITH PASSWORD = {quoted(clone.password)}", database=CONTAINED)
    assert clone_status(sqlserver, user, clone) is CloneStatus.UNKNOWN


def test_a_contained_user_may_not_set_the_password_of_another(sqlserver: SQLServerLaboratory, contained: Pair) -> None:
    victim = sqlserver.new_contained_user()
    with pytest.raises(NotPermitted), sqlserver.engine.connect(contained[0], deadline()) as session:
        session.set_password(victim.username, strong_password())
    with (
        pytest.raises(NotPermitted, match="ALTER ANY USER"),
        sqlserver.engine.connect(contained[0], deadline()) as session,
    ):
        session.clone_status(contained[0].username, contained[1].username)
    assert sqlserver.logs_in(victim)


# verify


@pytest.mark.parametrize(
    "statement",
    ["INSERT INTO dbo.lab_orders VALUES (1)", "/* a */ -- b\nSELECT 1", "SELECT 'COMMIT' AS [COMMIT] -- ROLLBACK"],
)
def test_what_a_statement_of_verify_does_is_undone(sqlserver: SQLServerLaboratory, statement: str) -> None:
    user = sqlserver.new_user()
    alter(sqlserver, f"GRANT INSERT ON dbo.lab_orders TO {user.username}", database=DATABASE)
    with sqlserver.engine.connect(user, deadline()) as session:
        session.verify([statement] * 2)
        session.verify([statement])
    assert asked(sqlserver, "SELECT id FROM dbo.lab_orders", database=DATABASE) == []


@pytest.mark.parametrize(
    "statement",
    [
        "COMMIT",
        "SELECT 1 COMMIT",
        "SELECT 1; ROLLBACK; SELECT 2",
        "EXEC dbo.something",
        "[dbo].[something] SELECT 1",
        "'SELECT' SELECT",
        "SELECT 1 EXECUTE sp_who",
        "DECLARE @a int",
        "SELECT 1 /* /* */ COMMIT -- */",
        "SELECT 1 -- \r COMMIT",
        "SELECT ']' COMMIT",
        "SELECT [a]]b] COMMIT",
        "",
    ],
)
def test_what_could_not_be_undone_is_not_run(sqlserver: SQLServerLaboratory, statement: str) -> None:
    with (
        pytest.raises(StatementFailed, match="a transaction cannot take it back"),
        sqlserver.engine.connect(sqlserver.admin, deadline()) as session,
    ):
        session.verify([statement])


# The way to the server


def test_the_laboratory_takes_no_lost_connection_for_a_refusal(
    sqlserver: SQLServerLaboratory, closed_port: int
) -> None:
    """What the client keeps of a refusal stands in all that it says afterwards, too."""
    user = sqlserver.new_user()
    wrong = replace(user, password="wrong")
    assert not sqlserver.logs_in(wrong)
    assert not sqlserver.may_read(wrong, ORDERS)
    assert not sqlserver.may_read(user, INVOICES)
    with pytest.raises(pymssql.Error):
        sqlserver.logs_in(replace(wrong, port=closed_port))
    assert sqlserver.logs_in(user)


def test_a_certificate_of_another_authority_is_not_trusted(
    sqlserver: SQLServerLaboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DB_CA_BUNDLE")
    before = sqlserver.logins()
    with (
        pytest.raises(Untrusted, match=r"self-signed|unable to get"),
        sqlserver.engine.connect(sqlserver.admin, deadline()),
    ):
        pass
    assert sqlserver.logins() == before, "nothing was sent to it"


def test_a_certificate_for_another_host_name_is_not_trusted(
    sqlserver: SQLServerLaboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (sqlserver.admin.host, sqlserver.admin.port))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: place)
    with (
        pytest.raises(Untrusted, match=r"[Hh]ostname mismatch"),
        sqlserver.engine.connect(replace(sqlserver.admin, host="db.example"), deadline()),
    ):
        pass


def test_an_expired_certificate_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "issue", partial(certificates.issue, ends=timedelta(days=-1)))
    with sqlserver_server.start() as server:
        monkeypatch.setenv("DB_CA_BUNDLE", str(server.ca_bundle))
        with pytest.raises(Untrusted, match="expired"), SQLServer().connect(superuser_of(server), deadline()):
            pass
        assert (server.log.tried, server.log.lines) == (0, [])


def test_a_bundle_that_cannot_be_read_is_said(sqlserver: SQLServerLaboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_CA_BUNDLE", "/nowhere.pem")
    with pytest.raises(Untrusted, match="DB_CA_BUNDLE"), sqlserver.engine.connect(sqlserver.admin, deadline()):
        pass


@contextmanager
def standing_in(monkeypatch: pytest.MonkeyPatch, **options: object) -> Iterator[Credential]:
    """Run a stand-in of another kind, and trust it."""
    with sqlserver_server.start(**options) as server:  # type: ignore[arg-type]  # whichever option it is
        monkeypatch.setenv("DB_CA_BUNDLE", str(server.ca_bundle))
        yield superuser_of(server)


def superuser_of(server: sqlserver_server.Server) -> Credential:
    return Credential(
        engine="sqlserver",
        host=server.host,
        port=server.port,
        database="master",
        username=server.superuser,
        password=server.password,
        tls=True,
    )


def test_a_server_without_tls_learns_nothing_about_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    with standing_in(monkeypatch, has_tls=False) as superuser:
        refused = pytest.raises(Untrusted, match=r'does not speak TLS.*"ssl": false')
        with refused, SQLServer().connect(superuser, deadline()):
            pass
        with SQLServer().connect(replace(superuser, tls=False), deadline()) as session:
            session.verify(["SELECT 1"])


def test_a_server_that_wants_tls_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with standing_in(monkeypatch, force_tls=lambda: True) as superuser:
        with (
            pytest.raises(LoginBlocked, match='Take "ssl": false out of the secret'),
            SQLServer().connect(replace(superuser, tls=False), deadline()),
        ):
            pass
        with SQLServer().connect(superuser, deadline()) as session:
            session.verify(["SELECT 1"])


def test_nobody_is_followed_to_another_server(monkeypatch: pytest.MonkeyPatch) -> None:
    original = tds.environment  # the stand-in's answer to a login is what is changed here
    with socket.create_server(("127.0.0.1", 0)) as elsewhere, standing_in(monkeypatch) as superuser:
        host, port = elsewhere.getsockname()
        route = struct.pack("<BHH", 0, port, len(host)) + host.encode("utf-16-le")

        def environment(kind: int, body: bytes) -> bytes:
            return original(
                *((20, struct.pack("<H", len(route)) + route + b"\0\0") if kind == tds.LANGUAGE else (kind, body))
            )

        monkeypatch.setattr(tds_server, "environment", environment)
        elsewhere.settimeout(0.2)
        with pytest.raises(LoginBlocked, match="redirects"), SQLServer().connect(superuser, deadline()):
            pass
        with pytest.raises(TimeoutError):
            elsewhere.accept()


def drip(way: socket.socket) -> None:
    with suppress(OSError):
        way.recv(4096)
        way.sendall(bytes.fromhex("04 01 ffff 0000 01 00"))
        while True:
            way.sendall(b"\0")
            time.sleep(0.1)


def chatter(way: socket.socket) -> None:
    way.sendall(b"220 mail.example ESMTP ready, and more to fill a packet\r\n")
    way.recv(4096)


def hang_up(way: socket.socket) -> None:
    way.recv(4096)


@contextmanager
def serving(talk: Callable[[socket.socket], None]) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    way, _ = listener.accept()
                    with way, suppress(OSError):
                        talk(way)

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("talk", [drip, chatter, hang_up])
@pytest.mark.parametrize("tls", [True, False])
def test_what_is_no_sql_server_is_left_in_time(
    sqlserver: SQLServerLaboratory, talk: Callable[[socket.socket], None], tls: bool
) -> None:
    began = time.monotonic()
    with (
        serving(talk) as port,
        pytest.raises((Unreachable, LoginBlocked, Untrusted)) as raised,
        sqlserver.engine.connect(replace(sqlserver.admin, port=port, tls=tls), deadline(2.5)),
    ):
        pass
    assert time.monotonic() - began < 5
    if talk is not chatter:
        assert raised.type is Unreachable


def test_a_server_that_goes_away_in_between_is_unreachable(sqlserver: SQLServerLaboratory) -> None:
    with (
        tapping(sqlserver.admin.port) as tap,
        sqlserver.engine.connect(replace(sqlserver.admin, port=tap.port), deadline()) as session,
    ):
        tap.cut_off()
        with pytest.raises(Unreachable):
            session.verify(["SELECT 1"])


def test_no_error_holds_a_password(sqlserver: SQLServerLaboratory, closed_port: int) -> None:
    user = sqlserver.new_user(policy=True)
    secret = "".join(secrets.choice("abcdef") for _ in range(40)) + "'"
    attempts: Sequence[Callable[[], object]] = (
        lambda: connect_and(replace(user, password=secret), lambda _: None),
        lambda: connect_and(replace(user, password=secret, port=closed_port), lambda _: None),
        lambda: connect_and(user, lambda session: session.change_own_password("weak" + secret)),
        lambda: connect_and(user, lambda session: session.set_password("sa", secret)),
        lambda: connect_and(replace(user, database="nowhere", password=secret), lambda _: None),
        lambda: connect_and(user, lambda session: session.verify([f"DELETE '{secret}"])),
    )

    def connect_and(who: Credential, do: Callable[[SQLServerSession], None]) -> None:
        with sqlserver.engine.connect(who, deadline()) as session:
            do(session)

    for attempt in attempts:
        with pytest.raises(RotationError) as raised:
            attempt()
        assert secret not in f"{raised.value} {raised.value.__cause__!r}"
        assert raised.value.__suppress_context__ or raised.value.__context__ is None
