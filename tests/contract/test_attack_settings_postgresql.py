"""Which setting of a PostgreSQL server, of a database or of a role makes a rotation say or leave what is not so?"""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from rotation.credential import Credential
from rotation.engines.postgresql.connection import MOST_ITERATIONS, transaction
from rotation.errors import StatementFailed
from tests.contract.pairs import RecordInMemory, differences, set_secret
from tests.contract.postgresql_kit import alter
from tests.laboratories import Laboratory, deadline, new_password
from tests.laboratories.postgresql import OLDER, PostgreSQLLaboratory

on_the_newest = pytest.mark.thorough(postgresql=OLDER)


@pytest.fixture
def newest(trusted: Callable[[str], Laboratory]) -> PostgreSQLLaboratory:
    """A server that has every setting of these tests."""
    laboratory = trusted("postgresql-18")
    assert isinstance(laboratory, PostgreSQLLaboratory)
    return laboratory


@pytest.fixture
def user(newest: PostgreSQLLaboratory) -> Iterator[Credential]:
    """A user in a database of its own, for which settings can be made."""
    database = f"db_{secrets.token_hex(4)}"
    alter(newest, "CREATE DATABASE {}", database)
    yield replace(newest.new_user(), database=database)
    alter(newest, "DROP DATABASE {} WITH (FORCE)", database)


def test_a_login_trigger_sets_what_an_application_finds(newest: PostgreSQLLaboratory, user: Credential) -> None:
    """The secret's own statements find it, too: when they run, a single user has its new password already."""
    with newest.session(database=user.database) as run:
        run("CREATE SCHEMA tenant; GRANT USAGE ON SCHEMA tenant TO PUBLIC; CREATE VIEW tenant.mine AS SELECT 1")
        run("GRANT SELECT ON tenant.mine TO PUBLIC")
        run(
            "CREATE FUNCTION public.enter() RETURNS event_trigger LANGUAGE plpgsql"
            " AS $$ BEGIN PERFORM set_config('search_path', 'tenant', false); END $$"
        )
        run("CREATE EVENT TRIGGER enter ON login EXECUTE FUNCTION public.enter()")
    with newest.engine.connect(user, deadline()) as session:
        assert session.surroundings()["search_path"] == '"tenant"'
        session.verify(["SELECT * FROM mine"])
        assert session.proof().username == user.username


def test_what_an_application_finds_is_asked_without_its_own_operators(
    newest: PostgreSQLLaboratory, user: Credential
) -> None:
    alter(newest, "ALTER DATABASE {} SET search_path TO public, pg_catalog", user.database or "")
    with newest.session(database=user.database) as run:
        run("CREATE FUNCTION public.lie(name, name) RETURNS boolean LANGUAGE sql AS 'SELECT 1 / 0 = 1'")
        run("CREATE OPERATOR public.= (FUNCTION = public.lie, LEFTARG = name, RIGHTARG = name)")
    with newest.engine.connect(user, deadline()) as session:
        assert session.surroundings()["the role that acts"] == user.username


def test_a_limit_on_whole_transactions_ends_no_rotation(newest: PostgreSQLLaboratory, user: Credential) -> None:
    """It counts from the first statement on, also while other sessions of ours work."""
    alter(newest, "ALTER DATABASE {} SET transaction_timeout TO '30s'", user.database or "")
    with transaction(user, deadline()) as connection:
        assert connection.execute("looking", "SHOW transaction_timeout") == [("0",)]


def test_the_owner_of_a_database_does_not_say_how_long_a_login_takes(
    newest: PostgreSQLLaboratory, user: Credential
) -> None:
    """With 2147483647 the function would work for an hour, and so would the application at each login."""
    alter(newest, "ALTER DATABASE {} SET scram_iterations TO 300000", user.database or "")
    changed = replace(user, password=new_password())
    with newest.engine.connect(user, deadline()) as session:
        session.change_own_password(changed.password)
    assert iterations(newest, user) == MOST_ITERATIONS
    assert newest.logs_in(changed)


def iterations(laboratory: PostgreSQLLaboratory, user: Credential) -> int:
    """Return how often the verifier of a user hashes the password."""
    with laboratory.session() as run:
        [(number,)] = run(
            "SELECT substr(rolpassword, 15, strpos(rolpassword, ':') - 15)::int FROM pg_authid WHERE rolname = %s",
            user.username,
        )
    return int(number)


@on_the_newest
@pytest.mark.parametrize("everywhere", [True, False])
@pytest.mark.parametrize("role", ["none", "gone", "lost"])
def test_a_user_whose_role_is_none_or_gone_has_a_clone_that_acts_as_it(
    postgresql: PostgreSQLLaboratory, role: str, *, everywhere: bool
) -> None:
    """DROP ROLE and REVOKE leave the setting, and the server ignores it from then on."""
    user, pair = postgresql.new_user(), RecordInMemory()
    third = role if role == "none" else f"{role}_{secrets.token_hex(4)}"
    place = "" if everywhere else f'IN DATABASE "{user.database}"'
    if role != "none":
        alter(postgresql, "CREATE ROLE {}", third)
    alter(postgresql, f"ALTER ROLE {{}} {place} SET role TO {{}}", user.username, third)
    if role == "gone":
        alter(postgresql, "DROP ROLE {}", third)
    first = set_secret(postgresql, user, pair=pair)
    assert differences(postgresql, user, first) == []
    assert acting(postgresql, first) == user.username
    second = set_secret(postgresql, first, pair=pair)
    assert differences(postgresql, first, second) == []
    assert acting(postgresql, second) == user.username


def acting(laboratory: PostgreSQLLaboratory, user: Credential) -> str:
    """Return as whom an application acts."""
    with laboratory.session(user) as run:
        [(role,)] = run("SELECT current_user")
    return str(role)


@on_the_newest
def test_an_override_of_the_databases_role_stays(postgresql: PostgreSQLLaboratory) -> None:
    """Without it the original would act as another role."""
    user, pair = postgresql.new_user(), RecordInMemory()
    alter(postgresql, "ALTER ROLE {} SET role TO none", user.username)
    first = set_secret(postgresql, user, pair=pair)
    set_secret(postgresql, first, pair=pair)
    with postgresql.session() as run:
        assert run("SELECT rolconfig FROM pg_roles WHERE rolname = %s", user.username) == [(["role=none"],)]


@on_the_newest
@pytest.mark.parametrize("stored", ["lc_time=xx_YY.utf8", "TimeZone=Mars/Base"])
def test_a_value_that_no_role_can_get_any_more_is_named_and_the_remedy_helps(
    postgresql: PostgreSQLLaboratory, stored: str
) -> None:
    """An upgrade of the operating system can end a locale or a time zone."""
    user = postgresql.new_user()
    alter(postgresql, "ALTER ROLE {} SET work_mem TO '1MB'", user.username)
    with postgresql.session() as run:
        run("UPDATE pg_db_role_setting SET setconfig = %s WHERE setrole = %s::regrole", [stored], user.username)
    assert postgresql.logs_in(user)
    with pytest.raises(StatementFailed, match=stored.partition("=")[0]) as raised:
        set_secret(postgresql, user)
    with postgresql.session(postgresql.admin) as run:
        run(raised.value.remedy)
    pending = set_secret(postgresql, user)
    assert differences(postgresql, user, pending) == []
