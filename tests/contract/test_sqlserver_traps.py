"""Does an admin's session run nothing on SQL Server that somebody else has written?

Traps are laid in databases that the admin enters: code of every kind that the stand-in knows, named like what a
rotation asks for, in the schema where the admin's names are looked up first, and DDL triggers. The stand-in notes who
has run any of it. tests/conftest.py sees that each statement was of a form that cannot.
"""

import secrets
from collections.abc import Iterator
from dataclasses import replace

import pytest

from rotation.credential import Credential
from rotation.engines.sqlserver import triggers
from rotation.errors import InvalidConfiguration, NotPermitted, Unsafe
from tests.contract.pairs import Pair, changed, set_secret
from tests.contract.sqlserver_kit import alter, asked, known, mirror
from tests.laboratories import INVOICES, ORDERS, deadline, new_password
from tests.laboratories.sqlserver import CONTAINED, DATABASE, SQLServerLaboratory, bracketed, quoted

pytestmark = [pytest.mark.sample(2), pytest.mark.engine("sqlserver")]


CATALOG = (
    "sql_logins", "server_principals", "server_permissions", "server_role_members", "databases", "database_principals",
    "database_permissions", "database_role_members", "schemas", "all_objects", "all_columns", "triggers",
    "trigger_events", "dm_exec_sessions",
)  # fmt: skip


def sprung(laboratory: SQLServerLaboratory) -> list[tuple[str, str]]:
    """Return who has run code of a user's, and which."""
    assert laboratory.log
    return laboratory.log.user_code


@pytest.fixture
def victim(sqlserver: SQLServerLaboratory) -> Credential:
    """Somebody whose login an admin could alter."""
    return sqlserver.new_user()


# Names


def test_what_is_named_like_the_catalog_is_not_looked_at(sqlserver: SQLServerLaboratory, pair: Pair) -> None:
    user, _ = pair
    record = known(sqlserver, *pair)
    schema, admin = f"hers_{secrets.token_hex(3)}", sqlserver.admin.username
    made = [
        f"CREATE {kind} {schema}.{name} {link} dbo.{ORDERS}"
        for number, name in enumerate(CATALOG)
        for kind, link in [[("VIEW", "AS SELECT id FROM"), ("SYNONYM", "FOR")][number % 2]]
    ]
    alter(
        sqlserver,
        f"CREATE SCHEMA {schema}",
        f"ALTER USER {admin} WITH DEFAULT_SCHEMA = {schema}",
        *made,
        f"GRANT SELECT ON SCHEMA::{schema} TO {user.username}",
        *(f"GRANT SELECT ON {schema}.{name} TO {user.username}" for name in CATALOG),
        database=DATABASE,
    )
    before = list(sprung(sqlserver))
    with sqlserver.session(replace(sqlserver.admin, database=DATABASE)) as run:
        run("SELECT 1 FROM triggers")
    assert sprung(sqlserver) == [*before, (admin, "triggers")], "the trap works"
    pending = set_secret(sqlserver, user, pair=record)
    assert len(sprung(sqlserver)) == len(before) + 1
    with sqlserver.session(pending) as run:
        run(f"SELECT 1 FROM {schema}.triggers")  # noqa: S608 - a schema of ours
    alter(sqlserver, f"ALTER USER {admin} WITH DEFAULT_SCHEMA = dbo", database=DATABASE)


# DDL triggers

EVENTS = ["CREATE_USER", "GRANT_DATABASE", "DDL_USER_EVENTS, ADD_ROLE_MEMBER", "DDL_DATABASE_SECURITY_EVENTS"]


@pytest.fixture
def lay(sqlserver: SQLServerLaboratory, victim: Credential) -> Iterator[str]:
    """The body of a trigger: it gives the victim's login another password, if an admin runs it."""
    hers = replace(victim, password=new_password())
    yield f" AS ALTER LOGIN {victim.username} WITH PASSWORD = {quoted(hers.password)}"
    assert not [trap for who, trap in sprung(sqlserver) if who in sqlserver.admins and trap.startswith("trap")]
    assert sqlserver.logs_in(victim)
    assert not sqlserver.logs_in(hers)


@pytest.mark.parametrize("events", EVENTS)
@pytest.mark.parametrize("runs_as", ["", " WITH EXECUTE AS 'dbo'"])
def test_a_ddl_trigger_that_would_run_as_the_admin_is_refused_by_name(  # noqa: PLR0913, PLR0917 - fixtures
    sqlserver: SQLServerLaboratory, pair: Pair, database: str, lay: str, events: str, runs_as: str
) -> None:
    """Also one that says it runs as somebody else: EXECUTE AS CALLER in it takes that back."""
    user, clone = pair
    record = known(sqlserver, *pair)
    trap = lay.replace(" AS ", " AS EXECUTE AS CALLER; ", 1) if runs_as else lay
    alter(
        sqlserver,
        f"CREATE USER {user.username} FOR LOGIN {user.username}",
        f"CREATE ROLE clerks_{secrets.token_hex(3)}",
        f"CREATE TRIGGER [trap ]]] ON DATABASE{runs_as} FOR {events}{trap}",
        database=database,
    )
    with pytest.raises(Unsafe) as raised:
        set_secret(sqlserver, user, pair=record)
    admin = sqlserver.admin.username
    assert f"preparing {clone.username} in the database {database}: its DDL trigger [trap ]]]" in str(raised.value)
    assert f"with all rights of {admin}" in raised.value.cause
    assert "DISABLE TRIGGER [trap ]]] ON DATABASE" in raised.value.remedy
    assert "ALLOW_FOREIGN_TRIGGERS (parameter AllowForeignTriggers)" in raised.value.remedy
    alter(sqlserver, "DISABLE TRIGGER [trap ]]] ON DATABASE", database=database)
    assert sqlserver.logs_in(set_secret(sqlserver, user, pair=record))


def test_a_ddl_trigger_that_would_not_fire_is_none(
    sqlserver: SQLServerLaboratory, pair: Pair, database: str, lay: str
) -> None:
    """Neither one for other events, nor one if there is nothing to do."""
    user, _ = pair
    record = known(sqlserver, *pair)
    alter(
        sqlserver,
        f"CREATE USER {user.username} FOR LOGIN {user.username}",
        f"CREATE TRIGGER trap_of_tables ON DATABASE FOR CREATE_TABLE, DROP_USER{lay}",
        database=database,
    )
    pending = set_secret(sqlserver, user, pair=record)
    alter(
        sqlserver,
        f"CREATE TRIGGER trap_of_users ON DATABASE FOR DDL_DATABASE_SECURITY_EVENTS{lay}",
        database=database,
    )
    again = set_secret(sqlserver, pending, pair=record)
    assert again.username == user.username
    assert sqlserver.logs_in(again)


def test_an_operator_can_let_ddl_triggers_run(
    sqlserver: SQLServerLaboratory, pair: Pair, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As who trusts all owners of databases: then what they have written runs as the admin."""
    user, _ = pair
    record = known(sqlserver, *pair)
    role = f"audited_{secrets.token_hex(3)}"
    alter(
        sqlserver,
        f"CREATE USER {user.username} FOR LOGIN {user.username}",
        f"CREATE TRIGGER audit ON DATABASE FOR CREATE_USER AS CREATE ROLE {role}",
        database=database,
    )
    monkeypatch.setenv("ALLOW_FOREIGN_TRIGGERS", "perhaps")
    with pytest.raises(InvalidConfiguration, match="ALLOW_FOREIGN_TRIGGERS"):
        set_secret(sqlserver, user, pair=record)
    monkeypatch.setenv("ALLOW_FOREIGN_TRIGGERS", "true")
    assert sqlserver.logs_in(set_secret(sqlserver, user, pair=record))
    assert (sqlserver.admin.username, "audit") in sprung(sqlserver)
    [(made,)] = asked(sqlserver, "SELECT name FROM sys.database_principals WHERE name = %s", role, database=database)
    assert made == role


@pytest.fixture
def trapped(sqlserver: SQLServerLaboratory, victim: Credential, contained: Pair) -> Iterator[Pair]:
    """A pair in a contained database whose DDL trigger every new password of a user makes fire."""
    alter(
        sqlserver,
        f"CREATE TRIGGER trap ON DATABASE FOR ALTER_USER AS ALTER LOGIN {victim.username} DISABLE",
        database=CONTAINED,
    )
    yield contained
    alter(sqlserver, "DROP TRIGGER trap ON DATABASE", database=CONTAINED)
    assert sqlserver.logs_in(victim)
    assert (sqlserver.admin.username, "trap") not in sprung(sqlserver)


def test_a_contained_user_gets_no_password_if_a_ddl_trigger_would_run(
    sqlserver: SQLServerLaboratory, trapped: Pair
) -> None:
    user, clone = trapped
    with sqlserver.engine.connect(replace(sqlserver.admin, database=CONTAINED), deadline()) as session:
        for act in (session.set_password, session.reset_password):
            with pytest.raises(Unsafe, match=r"DISABLE TRIGGER \[trap\]"):
                act(clone.username, new_password())
    with pytest.raises(Unsafe, match=r"DISABLE TRIGGER \[trap\]"):
        set_secret(sqlserver, user)
    # What it does for itself makes the trigger run as itself.
    now = changed(user)
    with (
        sqlserver.engine.connect(user, deadline()) as session,
        pytest.raises(NotPermitted, match="15151"),
    ):
        session.change_own_password(now.password)
    assert sqlserver.logs_in(user)


def test_an_admin_that_cannot_see_ddl_triggers_sets_no_password(
    sqlserver: SQLServerLaboratory, contained: Pair
) -> None:
    admin = sqlserver.admin.username
    alter(sqlserver, f"DENY VIEW DEFINITION TO {admin}", database=CONTAINED)
    try:
        with (
            sqlserver.engine.connect(replace(sqlserver.admin, database=CONTAINED), deadline()) as session,
            pytest.raises(NotPermitted, match="VIEW DEFINITION"),
        ):
            session.set_password(contained[1].username, new_password())
    finally:
        alter(sqlserver, f"REVOKE VIEW DEFINITION FROM {admin}", database=CONTAINED)


def test_a_trap_is_sprung_by_who_does_not_look(
    sqlserver: SQLServerLaboratory, victim: Credential, database: str
) -> None:
    """What the stand-in does with a trigger: it runs as whoever makes it fire."""
    hers, other = changed(victim), sqlserver.new_user()
    alter(
        sqlserver,
        f"CREATE TRIGGER trap_{victim.username} ON DATABASE WITH EXECUTE AS 'dbo' FOR CREATE_USER AS EXECUTE AS CALLER;"
        f" ALTER LOGIN {victim.username} WITH PASSWORD = {quoted(hers.password)}",
        database=database,
    )
    with sqlserver.session(replace(sqlserver.admin, database=database)) as run:
        run(f"CREATE USER {other.username} FOR LOGIN {bracketed(other.username)}")
    assert sqlserver.logs_in(hers)
    assert sprung(sqlserver).pop() == (sqlserver.admin.username, f"trap_{victim.username}")


def test_a_right_that_a_user_has_in_a_database_with_a_trap_stays_what_it_is(
    sqlserver: SQLServerLaboratory, pair: Pair, lay: str
) -> None:
    """The refusal comes before anything has changed there."""
    user, clone = pair
    record = known(sqlserver, *pair)
    mirror(sqlserver, user, clone)
    alter(
        sqlserver,
        f"GRANT SELECT ON dbo.{INVOICES} TO {user.username}",
        f"CREATE TRIGGER trap ON DATABASE FOR GRANT_DATABASE{lay}",
        database=DATABASE,
    )
    try:
        with pytest.raises(Unsafe, match=f"in the database {DATABASE}"):
            set_secret(sqlserver, user, pair=record)
        assert not sqlserver.may_read(clone, INVOICES)
        assert sqlserver.may_read(clone, ORDERS)
    finally:
        alter(sqlserver, "DROP TRIGGER trap ON DATABASE", database=DATABASE)


def test_the_trigger_that_rds_makes_in_each_database_is_known_by_its_text_and_not_by_its_name(
    sqlserver: SQLServerLaboratory, pair: Pair, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of RDS is not ours to keep here, so another text stands for it."""
    user, _ = pair
    record = known(sqlserver, *pair)
    trigger = (
        "CREATE TRIGGER [rds_deny_backups_trigger] ON DATABASE WITH EXECUTE AS 'dbo' FOR GRANT_DATABASE AS SELECT 1"
    )
    alter(sqlserver, f"CREATE USER {user.username} FOR LOGIN {user.username}", trigger, database=database)
    with pytest.raises(Unsafe, match="rds_deny_backups_trigger"):
        set_secret(sqlserver, user, pair=record)
    monkeypatch.setattr(triggers, "TRIGGERS_OF_RDS", {triggers.digest(f"  {trigger.lower()}\n")})
    assert sqlserver.logs_in(set_secret(sqlserver, user, pair=record))
