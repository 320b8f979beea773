"""Does a rotation on SQL Server take back what others have granted, and nothing from others?

The server keeps a permission once for each grantor. REVOKE reports success if it takes back nothing.
"""

import secrets
from collections.abc import Iterator
from dataclasses import replace

import pytest

from rotation.credential import Credential
from rotation.errors import NotPermitted, StatementFailed, Unsupported
from tests.contract.pairs import Pair, RecordInMemory, set_secret
from tests.contract.sqlserver_kit import alter, asked, has, mirror, needs_stand_in
from tests.laboratories import INVOICES
from tests.laboratories.sqlserver import CONTAINED, DATABASE, SQLServerLaboratory
from tests.local.stand_ins.sqlserver.permissions import PermissionStatements
from tests.local.stand_ins.sqlserver.tables import DB_OWNER, DBO

pytestmark = pytest.mark.engine("sqlserver")


@pytest.fixture
def dealer(sqlserver: SQLServerLaboratory) -> Iterator[Credential]:
    """Somebody who can grant what the pair has, on the server and on a table."""
    login = sqlserver.new_user()
    alter(sqlserver, f"GRANT VIEW SERVER STATE TO {login.username} WITH GRANT OPTION")
    alter(sqlserver, f"GRANT SELECT ON dbo.{INVOICES} TO {login.username} WITH GRANT OPTION", database=DATABASE)
    yield login
    alter(sqlserver, f"DROP LOGIN {login.username}")


def deal(laboratory: SQLServerLaboratory, who: Credential, *statements: str, database: str = DATABASE) -> None:
    with laboratory.session(replace(who, database=database)) as run:
        for statement in statements:
            run(statement)


@pytest.fixture(params=["member", "dbo", "either"])
def grantor_of_members(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who the grantor is if a member of db_owner grants, and whose grants it revokes: no page says it."""
    original = PermissionStatements._grantor  # noqa: SLF001 - no statement changes this

    def grantor(statements: PermissionStatements, name: str, *, of_server: bool) -> int:
        user = statements._catalog.user_in(statements._viewer, statements._here) or 0  # noqa: SLF001
        is_member = DB_OWNER in statements._catalog.database_groups(statements._here, user)  # noqa: SLF001
        if of_server or name or not is_member:
            return original(statements, name, of_server=of_server)
        is_revoke = statements._tokens.left() == "" and statements._statement.event == "REVOKE_DATABASE"  # noqa: SLF001
        return {"member": user, "dbo": DBO, "either": DBO if is_revoke else user}[request.param]

    monkeypatch.setattr(PermissionStatements, "_grantor", grantor)


@pytest.mark.usefixtures("grantor_of_members")
def test_what_a_rotation_has_granted_a_rotation_takes_back_whoever_the_grantor_is(
    sqlserver: SQLServerLaboratory, pair: Pair
) -> None:
    needs_stand_in(sqlserver)
    user, clone = pair
    record = RecordInMemory()
    set_secret(sqlserver, user, pair=record)
    for statement in (
        "GRANT SELECT ON dbo.{} TO {}",
        "REVOKE SELECT ON dbo.{} FROM {}",
        "GRANT SELECT ON dbo.{} TO {} WITH GRANT OPTION",
        "REVOKE GRANT OPTION FOR SELECT ON dbo.{} FROM {} CASCADE",
        "DENY SELECT ON dbo.{} TO {}",
        "REVOKE SELECT ON dbo.{} FROM {}",
    ):
        alter(sqlserver, statement.format(INVOICES, user.username), database=DATABASE)
        set_secret(sqlserver, user, pair=record)
        assert has(sqlserver, clone.username, DATABASE) == has(sqlserver, user.username, DATABASE)


@pytest.mark.parametrize("statement", ["GRANT SELECT ON dbo.{} TO {}", "DENY SELECT ON dbo.{} TO {}"])
def test_what_another_principal_has_given_the_other_one_goes(
    sqlserver: SQLServerLaboratory, pair: Pair, dealer: Credential, statement: str
) -> None:
    user, clone = pair
    deal(sqlserver, dealer, statement.format(INVOICES, clone.username))
    mirror(sqlserver, user, clone)
    assert has(sqlserver, clone.username, DATABASE) == has(sqlserver, user.username, DATABASE)


def test_what_another_principal_has_given_on_the_server_is_refused_with_the_statement(
    sqlserver: SQLServerLaboratory, pair: Pair, dealer: Credential
) -> None:
    """REVOKE of a server's permission takes CONTROL SERVER, or the permission WITH GRANT OPTION."""
    user, clone = pair
    deal(sqlserver, dealer, f"GRANT VIEW SERVER STATE TO {clone.username}", database="master")
    statement = f"REVOKE VIEW SERVER STATE FROM [{clone.username}] AS [{dealer.username}]"
    with pytest.raises(NotPermitted) as raised:
        mirror(sqlserver, user, clone)
    assert statement in raised.value.remedy
    assert "as the grantor or as a member of db_owner or sysadmin" in raised.value.remedy
    alter(sqlserver, statement)
    assert sqlserver.logs_in(set_secret(sqlserver, user))


def test_a_revoke_that_takes_back_nothing_is_said_and_changes_nothing(
    sqlserver: SQLServerLaboratory, pair: Pair, dealer: Credential, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs_stand_in(sqlserver)
    user, clone = pair
    deal(sqlserver, dealer, f"GRANT SELECT ON dbo.{INVOICES} TO {clone.username}")
    alter(sqlserver, f"GRANT INSERT ON dbo.{INVOICES} TO {user.username}", database=DATABASE)
    before = has(sqlserver, clone.username, DATABASE)
    monkeypatch.setattr(PermissionStatements, "_grantor", lambda *_, **__: DBO)  # AS has no effect
    with pytest.raises(StatementFailed) as raised:
        mirror(sqlserver, user, clone)
    assert f"SELECT ON OBJECT::[dbo].[{INVOICES}] FROM [{clone.username}]" in raised.value.cause.partition("REVOKE ")[2]  # noqa: S608 - a message
    assert f"in the database {DATABASE}" in raised.value.operation
    assert "as the grantor" in raised.value.remedy
    assert has(sqlserver, clone.username, DATABASE) == before


# CASCADE


@pytest.mark.parametrize("gift", ["GRANT SELECT ON dbo.{} TO {}", "DENY SELECT ON dbo.{} TO {}"])
def test_what_the_other_one_has_passed_on_is_not_taken_from_a_third(
    sqlserver: SQLServerLaboratory, pair: Pair, gift: str
) -> None:
    user, clone = pair
    third = sqlserver.new_user()
    alter(
        sqlserver,
        f"GRANT SELECT ON dbo.{INVOICES} TO {clone.username} WITH GRANT OPTION",
        f"GRANT SELECT ON dbo.{INVOICES} TO {user.username}",
        database=DATABASE,
    )
    deal(sqlserver, clone, gift.format(INVOICES, third.username))
    before = has(sqlserver, third.username, DATABASE)
    with pytest.raises(Unsupported) as raised:
        mirror(sqlserver, user, clone)
    assert f"OBJECT::[dbo].[{INVOICES}] from {third.username}" in raised.value.cause
    assert f"[{user.username}] WITH GRANT OPTION" in raised.value.remedy
    assert has(sqlserver, third.username, DATABASE) == before
    alter(sqlserver, f"GRANT SELECT ON dbo.{INVOICES} TO {user.username} WITH GRANT OPTION", database=DATABASE)
    assert sqlserver.logs_in(set_secret(sqlserver, user))
    assert has(sqlserver, third.username, DATABASE) == before


def test_what_the_other_one_has_passed_on_to_the_current_one_stays(sqlserver: SQLServerLaboratory, pair: Pair) -> None:
    user, clone = pair
    alter(sqlserver, f"GRANT VIEW SERVER STATE TO {clone.username} WITH GRANT OPTION")
    deal(sqlserver, clone, f"GRANT VIEW SERVER STATE TO {user.username}", database="master")
    before = has(sqlserver, user.username)
    with pytest.raises(Unsupported, match=f"VIEW SERVER STATE from {user.username}"):
        mirror(sqlserver, user, clone)
    assert has(sqlserver, user.username) == before


def test_what_a_contained_user_has_passed_on_is_not_taken_from_a_third(
    sqlserver: SQLServerLaboratory, contained: Pair
) -> None:
    user, clone = contained
    role = f"third_{secrets.token_hex(3)}"
    alter(
        sqlserver,
        f"CREATE ROLE {role}",
        f"GRANT SELECT ON dbo.{INVOICES} TO {clone.username} WITH GRANT OPTION",
        database=CONTAINED,
    )
    deal(sqlserver, clone, f"GRANT SELECT ON dbo.{INVOICES} TO {role}", database=CONTAINED)
    with pytest.raises(Unsupported, match=f"from {role}"):
        mirror(sqlserver, user, clone)
    query = "SELECT p.permission_name FROM sys.database_permissions p JOIN sys.database_principals u"
    query += " ON u.principal_id = p.grantee_principal_id WHERE u.name = %s"
    assert asked(sqlserver, query, role, database=CONTAINED) == [("SELECT",)]
