"""Is it known, before a rotation on SQL Server changes anything, what is bound to the name of one login?"""

import secrets
from collections.abc import Iterator
from dataclasses import replace

import pytest

from rotation.credential import Credential
from rotation.engine import Unshared
from rotation.engines.sqlserver.kind import KIND
from rotation.errors import Unsupported
from tests.contract.pairs import Pair, set_secret
from tests.contract.sqlserver_kit import alter, asked, needs_stand_in
from tests.laboratories import ORDERS, deadline
from tests.laboratories.sqlserver import CONTAINED, DATABASE, SQLServerLaboratory

pytestmark = [pytest.mark.sample(3), pytest.mark.engine("sqlserver")]


MSDB = ("sysproxylogin", "sysproxies", "sysjobs", "sysmail_principalprofile", "sysmail_profile")


@pytest.fixture
def readable(sqlserver: SQLServerLaboratory) -> Iterator[None]:
    """An admin that can read the tables of Agent and Database Mail."""
    admin = sqlserver.admin.username
    alter(sqlserver, f"CREATE USER {admin} FOR LOGIN {admin}", database="msdb")
    alter(sqlserver, *(f"GRANT SELECT ON dbo.{table} TO {admin}" for table in MSDB), database="msdb")
    yield
    alter(sqlserver, f"DROP USER {admin}", database="msdb")


def unshared(laboratory: SQLServerLaboratory, user: Credential, other: Credential) -> list[Unshared]:
    with laboratory.engine.connect(replace(laboratory.admin, database=user.database), deadline()) as session:
        return list(session.unshared(user.username, other.username))


PROFILE = (
    "EXEC msdb.dbo.sysmail_add_principalprofile_sp @profile_name = N'{x}', @principal_name = N'{other}',"
    " @is_default = 0"
)
BOUND = [
    (
        "linked servers",
        ["EXEC sp_addlinkedserver N'it''s {x}'"],
        "EXEC sp_addlinkedsrvlogin N'it''s {x}', 'FALSE', N'{login}', N'far', N'away'",
        "it's {x}; EXEC sp_addlinkedsrvlogin N'it''s {x}', 'FALSE', N'{other}', N'…', N'…'",
    ),
    (
        "credentials",
        ["CREATE CREDENTIAL [a ]] {x}] WITH IDENTITY = 'somebody'"],
        "ALTER LOGIN [{login}] WITH CREDENTIAL = [a ]] {x}]",
        "a ] {x}; ALTER LOGIN [{other}] WITH CREDENTIAL = [a ]] {x}]",
    ),
    (
        "credentials",
        ["CREATE CREDENTIAL {x} WITH IDENTITY = 'somebody'"],
        "ALTER LOGIN [{login}] ADD CREDENTIAL {x}",
        "{x}; ALTER LOGIN [{other}] WITH CREDENTIAL = [{x}]",
    ),
    (
        "proxies",
        ["EXEC msdb.dbo.sp_add_proxy @proxy_name = N'{x}', @credential_name = N'c'"],
        "EXEC msdb.dbo.sp_grant_login_to_proxy @proxy_name = N'{x}', @login_name = N'{login}'",
        "{x}; EXEC msdb.dbo.sp_grant_login_to_proxy @proxy_name = N'{x}', @login_name = N'{other}'",
    ),
    (
        "mail profiles",
        ["EXEC msdb.dbo.sysmail_add_profile_sp @profile_name = N'{x}'"],
        PROFILE.replace("{other}", "{login}"),
        f"{{x}}; {PROFILE}",
    ),
]


@pytest.mark.usefixtures("readable")
@pytest.mark.parametrize("back", [False, True], ids=["forth", "back"])
@pytest.mark.parametrize(("kind", "before", "bind", "says"), BOUND)
def test_what_is_bound_to_the_current_login_is_refused_until_both_have_it(  # noqa: PLR0913, PLR0917 - fixtures
    sqlserver: SQLServerLaboratory,
    pair: Pair,
    kind: str,
    before: list[str],
    bind: str,
    says: str,
    back: bool,
) -> None:
    user, other = pair[::-1] if back else pair
    names = {"x": f"x_{secrets.token_hex(3)}", "login": user.username, "other": other.username}
    alter(sqlserver, *(statement.format_map(names) for statement in before), bind.format_map(names))
    assert kind in KIND.unshared_kinds
    assert [one.kind for one in unshared(sqlserver, user, other)] == [kind]
    with pytest.raises(Unsupported) as raised:
        set_secret(sqlserver, user)
    assert says.format_map(names) in raised.value.cause
    assert unshared(sqlserver, other, user) == []
    assert sqlserver.logs_in(set_secret(sqlserver, user, accept=frozenset({kind})))
    alter(sqlserver, bind.format_map({**names, "login": other.username}))
    assert unshared(sqlserver, user, other) == []
    assert sqlserver.logs_in(set_secret(sqlserver, user))


@pytest.mark.usefixtures("readable")
def test_jobs_of_the_current_login_are_refused(sqlserver: SQLServerLaboratory, pair: Pair) -> None:
    user, _ = pair
    job = f"it's {secrets.token_hex(3)}".replace("'", "''")
    alter(sqlserver, f"EXEC msdb.dbo.sp_add_job @job_name = N'{job}', @owner_login_name = N'{user.username}'")
    update = f"EXEC msdb.dbo.sp_update_job @job_name = N'{job}', @owner_login_name = N'sa'"
    with pytest.raises(Unsupported) as raised:
        set_secret(sqlserver, user)
    assert update in raised.value.cause
    alter(sqlserver, update)
    assert sqlserver.logs_in(set_secret(sqlserver, user))


def test_an_admin_that_cannot_read_the_tables_of_agent_is_not_stopped(
    sqlserver: SQLServerLaboratory, pair: Pair
) -> None:
    user, _ = pair
    alter(sqlserver, f"EXEC msdb.dbo.sp_add_job @job_name = N'j', @owner_login_name = N'{user.username}'")
    assert sqlserver.logs_in(set_secret(sqlserver, user))


def test_nothing_bound_to_others_is_refused(sqlserver: SQLServerLaboratory, pair: Pair) -> None:
    server, stranger = f"far_{secrets.token_hex(3)}", sqlserver.new_user()
    alter(
        sqlserver,
        f"EXEC sp_addlinkedserver N'{server}'",
        f"EXEC sp_addlinkedsrvlogin N'{server}', 'FALSE', N'{stranger.username}', N'far', N'away'",
    )
    assert unshared(sqlserver, *pair) == []
    assert sqlserver.logs_in(set_secret(sqlserver, pair[0]))


# Functions that name logins


@pytest.mark.parametrize("form", ["SUSER_SNAME() = '{}'", "original_login() IN (N'{}', 'x')"])
def test_a_classifier_that_names_only_the_current_login_is_refused(
    sqlserver: SQLServerLaboratory, pair: Pair, form: str
) -> None:
    needs_stand_in(sqlserver)
    user, clone = pair
    function = f"classifier_{secrets.token_hex(3)}"
    text = f"CREATE FUNCTION dbo.{function}() RETURNS sysname WITH SCHEMABINDING AS BEGIN RETURN CASE WHEN {form}"
    both = f"{form} THEN N'fast' ELSE CASE WHEN {form} THEN N'fast' END END END"
    govern = f"ALTER RESOURCE GOVERNOR WITH (CLASSIFIER_FUNCTION = dbo.{function})"
    reconfigure = "ALTER RESOURCE GOVERNOR RECONFIGURE"
    alter(sqlserver, f"{text.format(user.username.upper())} THEN N'fast' END END", govern)
    try:
        assert unshared(sqlserver, user, clone) == [], "it is not in use"
        alter(sqlserver, reconfigure)
        with pytest.raises(Unsupported, match=f"{function}, names {user.username} and not {clone.username}"):
            set_secret(sqlserver, user)
        assert unshared(sqlserver, clone, user) == []
        assert sqlserver.logs_in(set_secret(sqlserver, user, accept=frozenset({"classifiers"})))
        alter(sqlserver, f"DROP FUNCTION dbo.{function}")
        named = f"CREATE FUNCTION dbo.{function}() AS {both}".format(user.username, clone.username)
        alter(sqlserver, named, govern, reconfigure)
        assert sqlserver.logs_in(set_secret(sqlserver, user))
    finally:
        alter(sqlserver, "ALTER RESOURCE GOVERNOR DISABLE")


def policy(sqlserver: SQLServerLaboratory, database: str, name: str, *users: str, state: str = "") -> None:
    """Make a security policy whose predicate names these users."""
    named = " OR ".join(f"USER_NAME() = '{user}'" for user in users)
    text = "RETURNS TABLE WITH SCHEMABINDING AS RETURN SELECT 1 AS allowed WHERE"
    alter(
        sqlserver,
        f"CREATE FUNCTION dbo.f_{name}(@id int) {text} {named}",
        f"CREATE SECURITY POLICY p_{name} ADD FILTER PREDICATE dbo.f_{name}(id) ON dbo.{ORDERS}{state}",
        database=database,
    )


@pytest.mark.parametrize("place", [DATABASE, CONTAINED])
def test_a_security_policy_that_names_only_the_current_user_is_refused(
    sqlserver: SQLServerLaboratory, request: pytest.FixtureRequest, place: str
) -> None:
    user, clone = request.getfixturevalue("contained" if place == CONTAINED else "pair")
    names = [f"n_{secrets.token_hex(3)}" for _ in range(3)]
    policy(sqlserver, place, names[0], user.username, state=" WITH (STATE = OFF)")
    policy(sqlserver, place, names[1], user.username, clone.username)
    assert sqlserver.logs_in(set_secret(sqlserver, user))
    policy(sqlserver, place, names[2], user.username)
    says = f"in the database {place}, f_{names[2]}, names {user.username} and not {clone.username}"
    with pytest.raises(Unsupported, match=says):
        set_secret(sqlserver, user)
    assert sqlserver.logs_in(set_secret(sqlserver, user, accept=frozenset({"predicates"})))
    alter(sqlserver, f"DROP SECURITY POLICY p_{names[2]}", database=place)
    assert sqlserver.logs_in(set_secret(sqlserver, user))


def test_a_security_policy_that_names_the_user_of_the_login_is_refused(
    sqlserver: SQLServerLaboratory, pair: Pair
) -> None:
    user, _ = pair
    name = f"n_{secrets.token_hex(3)}"
    alter(sqlserver, f"CREATE DATABASE {name}")
    try:
        admin = sqlserver.admin.username
        alter(
            sqlserver,
            f"CREATE USER {admin} FOR LOGIN {admin}",
            f"ALTER ROLE db_owner ADD MEMBER {admin}",
            f"CREATE USER [it's] FOR LOGIN {user.username}",
            f"CREATE TABLE dbo.{ORDERS} (id int)",
            database=name,
        )
        policy(sqlserver, name, "x", "it''s")
        with pytest.raises(Unsupported, match=f"in the database {name}, f_x, names"):
            set_secret(sqlserver, user)
    finally:
        alter(sqlserver, f"DROP DATABASE {name}")
    assert asked(sqlserver, "SELECT 1 FROM sys.databases WHERE name = %s", name) == []
