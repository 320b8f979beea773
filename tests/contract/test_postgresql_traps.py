"""Does an admin of PostgreSQL run anybody's code? Everything is laid out for it that PostgreSQL lets others lay."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pytest
from psycopg2 import sql
from psycopg2.sql import SQL, Identifier

from rotation.credential import Credential
from rotation.engines.postgresql.connection import PostgreSQLConnection
from rotation.errors import Unsafe
from tests.contract import postgresql_traps as traps
from tests.contract.pairs import differences, mirror, new_clone, new_pair, proof_of
from tests.contract.postgresql_kit import alter
from tests.laboratories import deadline
from tests.laboratories.postgresql import OLDER, PostgreSQLLaboratory

pytestmark = pytest.mark.thorough(postgresql=OLDER)  # no version makes a difference here


@dataclass(frozen=True)
class Scenario:
    """A pair, and two databases full of traps: the one that the pair logs in to, and a stranger's."""

    laboratory: PostgreSQLLaboratory
    user: Credential
    clone: Credential
    stranger: Credential

    @property
    def databases(self) -> tuple[str, str]:
        """The pair's and the stranger's."""
        return str(self.user.database), str(self.stranger.database)

    def caught(self) -> list[tuple[object, ...]]:
        """Return who has stepped into what."""
        return list(traps.caught(self.laboratory, *self.databases))


@pytest.fixture(params=["trusted", "not trusted"])
def scenario(request: pytest.FixtureRequest, postgresql: PostgreSQLLaboratory) -> Iterator[Scenario]:
    """All traps laid; the admin may act as their owners, or may not."""
    with laid(postgresql, is_trusted=request.param == "trusted") as found:
        yield found


@contextmanager
def laid(postgresql: PostgreSQLLaboratory, *, is_trusted: bool) -> Iterator[Scenario]:
    """Lay all traps; the admin may act as their owners if they are trusted."""
    user, stranger = (in_own_database(postgresql) for _ in range(2))
    clone = new_clone(user)
    mirror(postgresql, replace(user, database="postgres"), clone)
    for owner in (user, stranger):
        if is_trusted:
            options = " WITH INHERIT TRUE, SET TRUE" if postgresql.version >= 160000 else ""
            alter(postgresql, f"GRANT {{}} TO {{}}{options}", owner.username, postgresql.admin.username)
        with postgresql.session(owner) as run:
            traps.lay(run)
            traps.lead_into(run, *{user.username, clone.username} - {owner.username})
    with postgresql.session(clone) as run:  # what the clone itself has made, outside of its role, is handed over
        run("SET ROLE NONE")
        run(
            "CREATE TABLE public.of_clone (id int DEFAULT public.sprung('of clone')::int, CHECK (public.sprung('own')))"
        )
        run("CREATE TRIGGER bait AFTER INSERT ON public.of_clone FOR EACH STATEMENT EXECUTE FUNCTION public.pull()")
        run("CREATE INDEX ON public.of_clone ((public.sprung_in_silence('index of clone')))")
        run("CREATE POLICY bait ON public.of_clone USING (public.sprung('policy of clone'))")
    for owner in (user, stranger):
        with postgresql.session(owner) as run:
            run("TRUNCATE public.caught")
            traps.settle(run, str(owner.database), owner.username)
    yield Scenario(postgresql, user, clone, stranger)
    for owner in (user, stranger):
        alter(postgresql, "DROP DATABASE {}", str(owner.database))


def in_own_database(postgresql: PostgreSQLLaboratory) -> Credential:
    """Make a user that owns a database."""
    user = postgresql.new_user()
    database = f"of_{user.username}"
    alter(postgresql, "CREATE DATABASE {} OWNER {}", database, user.username)
    alter(postgresql, "GRANT ALL ON SCHEMA public TO PUBLIC", database=database)
    return replace(user, database=database)


def rotate(scenario: Scenario, user: Credential, other: Credential) -> None:
    """Do what a rotation does with the pair, in the database of its secret."""
    postgresql = scenario.laboratory
    with postgresql.engine.connect(replace(postgresql.admin, database=user.database), deadline()) as session:
        session.require_proven(proof_of(postgresql, user))
        session.require_proven(proof_of(postgresql, other))
        session.clone_status(user.username, other.username)
        session.mirror(user.username, other.username)
        session.set_password(other.username, other.password)
    assert differences(postgresql, user, other) == []


def set_password_twice(scenario: Scenario) -> None:
    """Give the user a password as the admin, and another one as the user itself."""
    postgresql, changed = scenario.laboratory, replace(scenario.user, password=secrets.token_urlsafe())
    with postgresql.engine.connect(replace(postgresql.admin, database=changed.database), deadline()) as session:
        session.require_proven(proof_of(postgresql, scenario.user))
        session.reset_password(changed.username, changed.password)
    with postgresql.engine.connect(changed, deadline()) as session:
        session.change_own_password(scenario.user.password)


def test_an_admin_in_somebody_elses_database_runs_none_of_their_functions(scenario: Scenario) -> None:
    for user, other in ((scenario.clone, scenario.user), (scenario.user, scenario.clone)):
        rotate(scenario, user, replace(other, database=user.database))
    set_password_twice(scenario)
    assert scenario.caught() == []


def test_an_admin_that_takes_over_a_template_pair_runs_none_of_their_functions(scenario: Scenario) -> None:
    """As AWS's own functions leave it: a member of the original, which does not act as it, and has no mark."""
    postgresql, clone = scenario.laboratory, scenario.clone.username
    alter(postgresql, "ALTER ROLE {} RESET ALL", clone)
    alter(postgresql, "COMMENT ON ROLE {} IS NULL", clone)
    rotate(scenario, scenario.user, scenario.clone)
    assert scenario.caught() == []


# Event triggers: whoever makes them is a superuser, or RDS's master; but whose function is it?


@pytest.fixture
def owner(postgresql: PostgreSQLLaboratory) -> Iterator[Credential]:
    """Somebody with a database, and a function that notes who runs it as an event trigger."""
    user = in_own_database(postgresql)
    with postgresql.session(user) as run:
        run(traps.CAUGHT)
        run(
            "CREATE FUNCTION public.event() RETURNS event_trigger LANGUAGE plpgsql AS"
            " 'BEGIN PERFORM public.sprung(TG_TAG); END'"
        )
    yield user
    alter(postgresql, "DROP DATABASE {}", str(user.database))


def pull_at_ddl(postgresql: PostgreSQLLaboratory, owner: Credential) -> None:
    alter(
        postgresql,
        "CREATE EVENT TRIGGER bait ON ddl_command_end EXECUTE FUNCTION public.event()",
        database=owner.database,
    )


def give_the_clone_a_right(postgresql: PostgreSQLLaboratory, clone: Credential) -> None:
    with postgresql.session(replace(postgresql.admin, database=clone.database)) as run:
        run("CREATE TABLE public.given (id int)")
        run(SQL("GRANT SELECT ON public.given TO {}").format(Identifier(clone.username)))


def test_an_event_trigger_with_a_strangers_function_is_not_sprung_but_named(
    postgresql: PostgreSQLLaboratory, owner: Credential
) -> None:
    _, clone = new_pair(postgresql, owner)
    give_the_clone_a_right(postgresql, clone)
    pull_at_ddl(postgresql, owner)
    with pytest.raises(Unsafe, match=rf"event trigger bait runs public\.event\(\).*{owner.username} can change that"):
        mirror(postgresql, clone, owner)
    assert list(traps.caught(postgresql, str(owner.database))) == []


def test_a_pair_that_needs_no_ddl_springs_no_event_trigger(postgresql: PostgreSQLLaboratory, owner: Credential) -> None:
    pull_at_ddl(postgresql, owner)
    _, clone = new_pair(postgresql, owner)
    mirror(postgresql, clone, owner)
    mirror(postgresql, owner, clone)
    assert list(traps.caught(postgresql, str(owner.database))) == []


def test_an_event_trigger_that_blocks_default_privileges_is_named(
    postgresql: PostgreSQLLaboratory, owner: Credential
) -> None:
    _, clone = new_pair(postgresql, owner)
    with postgresql.session(owner) as run:
        run("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC")
    pull_at_ddl(postgresql, owner)
    with pytest.raises(Unsafe, match="event trigger bait"):
        mirror(postgresql, owner, clone)
    assert list(traps.caught(postgresql, str(owner.database))) == []


def test_a_superusers_event_trigger_is_the_operators_own(postgresql: PostgreSQLLaboratory, owner: Credential) -> None:
    _, clone = new_pair(postgresql, owner)
    give_the_clone_a_right(postgresql, clone)
    alter(postgresql, "ALTER FUNCTION public.event() OWNER TO {}", "postgres", database=owner.database)
    pull_at_ddl(postgresql, owner)
    mirror(postgresql, clone, owner)
    assert (postgresql.admin.username, postgresql.admin.username, "GRANT") in traps.caught(
        postgresql, str(owner.database)
    )


# Names that change between a look and a deed


@pytest.mark.parametrize("is_swapped", [True, False], ids=["swapped", "not swapped"])
def test_a_right_is_not_granted_on_what_takes_an_objects_name_meanwhile(
    postgresql: PostgreSQLLaboratory, owner: Credential, monkeypatch: pytest.MonkeyPatch, is_swapped: bool
) -> None:
    """The owner of two schemas can give one the name of the other, just before the admin grants on a table of it."""
    (_, clone), admin = new_pair(postgresql, owner), replace(postgresql.admin, database=owner.database)
    with postgresql.session(owner) as run:
        for schema in ("open", "closed"):
            run(SQL("CREATE SCHEMA {}").format(Identifier(schema)))
            run(SQL("GRANT ALL ON SCHEMA {} TO {}").format(Identifier(schema), Identifier(admin.username)))
    with postgresql.session(admin) as run:
        run("CREATE TABLE open.t (id int)")
        run("CREATE TABLE closed.t (id int)")
        run(SQL("GRANT SELECT ON open.t TO {}").format(Identifier(clone.username)))
    execute = PostgreSQLConnection.execute
    swapped: list[bool] = []

    def swap_and_execute(via: PostgreSQLConnection, operation: str, statement: sql.Composable | str, *more, **others):  # type: ignore[no-untyped-def] # noqa: ANN002, ANN003, ANN202
        if is_swapped and "SQL('GRANT')" in repr(statement) and not swapped:
            swapped.append(True)
            with postgresql.session(owner) as run:
                for old, new in (("open", "former"), ("closed", "open")):
                    run(SQL("ALTER SCHEMA {} RENAME TO {}").format(Identifier(old), Identifier(new)))
                run("DROP TABLE former.t")  # so that nothing is left to be granted
        return execute(via, operation, statement, *more, **others)

    monkeypatch.setattr(PostgreSQLConnection, "execute", swap_and_execute)
    if is_swapped:
        with pytest.raises(Unsafe, match="renamed meanwhile"):
            mirror(postgresql, clone, owner)
    else:
        mirror(postgresql, clone, owner)
    with postgresql.session(database=owner.database) as run:
        readable = run(
            "SELECT count(*) FROM pg_class WHERE relname = 't' AND has_table_privilege(%s, oid, 'SELECT')",
            owner.username,
        )
    assert readable == [(0 if is_swapped else 1,)]
