"""What else could stop a rotation of PostgreSQL, although no stranger made it?"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from psycopg2.sql import SQL, Identifier, Literal

from rotation.errors import StatementFailed
from tests.contract.pairs import differences, mirror, new_clone, new_pair, proof_of
from tests.contract.postgresql_kit import alter
from tests.laboratories import deadline
from tests.laboratories.postgresql import OLDER, PostgreSQLLaboratory

pytestmark = pytest.mark.thorough(postgresql=OLDER)  # no version makes a difference here


def test_default_privileges_of_the_original_for_its_clone_say_nothing(postgresql: PostgreSQLLaboratory) -> None:
    user, clone = new_pair(postgresql)
    for grantor, grantee in ((user, clone), (clone, user)):
        alter(
            postgresql,
            "ALTER DEFAULT PRIVILEGES FOR ROLE {} GRANT SELECT ON TABLES TO {}",
            grantor.username,
            grantee.username,
        )
    for one, other in ((user, clone), (clone, user)):
        mirror(postgresql, one, other)
        assert differences(postgresql, one, other) == []


def test_what_the_clone_has_passed_on_stays_with_those_who_have_it(postgresql: PostgreSQLLaboratory) -> None:
    (user, clone), third = new_pair(postgresql), postgresql.new_user()
    table = f"passed_on_{user.username}"
    with postgresql.session(postgresql.admin) as run:
        run(SQL("CREATE TABLE public.{} (id int)").format(Identifier(table)))
        run(SQL("GRANT SELECT ON public.{} TO {} WITH GRANT OPTION").format(*map(Identifier, (table, clone.username))))
    with postgresql.session(clone) as run:
        run("SET ROLE NONE")
        run(SQL("GRANT SELECT ON public.{} TO {}").format(*map(Identifier, (table, third.username))))
    with pytest.raises(StatementFailed, match="dependent privileges exist"):
        mirror(postgresql, user, clone)
    mirror(postgresql, clone, user)
    assert differences(postgresql, clone, user) == []
    for who in (user, clone, third):
        with postgresql.session(who) as run:
            run(SQL("SELECT FROM public.{}").format(Identifier(table)))


def test_what_the_admin_was_granted_itself_stays_as_it_was(postgresql: PostgreSQLLaboratory) -> None:
    if postgresql.version < 160000:
        return  # options are since then
    user, clone = new_pair(postgresql)
    with postgresql.session(postgresql.admin) as run:
        for who in (user, clone):
            run(SQL("GRANT {} TO CURRENT_USER WITH INHERIT FALSE, SET TRUE").format(Identifier(who.username)))
    table = f"made_{user.username}"
    alter(postgresql, "CREATE TABLE public.{} (id int)", table)
    alter(postgresql, "GRANT CREATE ON SCHEMA public TO {}", user.username)
    alter(postgresql, "ALTER TABLE public.{} OWNER TO {}", table, clone.username)
    before = own_memberships(postgresql)
    mirror(postgresql, clone, user)
    assert own_memberships(postgresql) == before
    assert differences(postgresql, clone, user) == []


def own_memberships(postgresql: PostgreSQLLaboratory) -> list[tuple[object, ...]]:
    with postgresql.session() as run:
        return run(
            "SELECT roleid, grantor, admin_option, inherit_option, set_option FROM pg_auth_members"
            " WHERE member = %s::regrole ORDER BY 1, 2",
            postgresql.admin.username,
        )


def test_a_pair_that_owns_something_in_two_databases_is_taken_over(postgresql: PostgreSQLLaboratory) -> None:
    """As AWS's own functions leave it: without our mark, so that the clone is changed before other databases are."""
    user = postgresql.new_user()
    clone = postgresql.new_user(f"{user.username}_clone")
    other = f"other_{user.username}"
    alter(postgresql, "GRANT {} TO {}", user.username, clone.username)
    alter(postgresql, "CREATE DATABASE {} OWNER {}", other, user.username)
    for database in ("postgres", other):
        alter(postgresql, "CREATE SCHEMA {0} AUTHORIZATION {0}", user.username, database=database)
        alter(postgresql, "CREATE TABLE {}.of_clone (id int)", user.username, database=database)
        alter(postgresql, "ALTER TABLE {}.of_clone OWNER TO {}", user.username, clone.username, database=database)
    with postgresql.engine.connect(postgresql.admin, deadline()) as session:
        for who in (user, clone):
            session.require_proven(proof_of(postgresql, who))
        session.mirror(user.username, clone.username)
        session.set_password(clone.username, clone.password)
    assert differences(postgresql, user, clone) == []
    for database in ("postgres", other):
        with postgresql.session(user, database) as run:
            run(SQL("DROP TABLE {}.of_clone").format(Identifier(user.username)))
    alter(postgresql, "DROP DATABASE {}", other)


@contextmanager
def own_admin(postgresql: PostgreSQLLaboratory, setting: str, *names: str) -> Iterator[PostgreSQLLaboratory]:
    """Look at the server as somebody with an admin of another name, who has a setting."""
    admin = replace(postgresql.admin, username=f"admin_{secrets.token_hex(4)}", password=secrets.token_urlsafe())
    with postgresql.session() as run:
        run(
            SQL("CREATE ROLE {} LOGIN CREATEROLE PASSWORD {}").format(
                Identifier(admin.username), Literal(admin.password)
            )
        )
    alter(postgresql, f"ALTER ROLE {{}} SET {setting}", admin.username, *names)
    yield replace(postgresql, admin=admin)


def test_an_admin_that_acts_as_another_role_does_its_work_as_itself(postgresql: PostgreSQLLaboratory) -> None:
    team = f"team_{secrets.token_hex(4)}"
    alter(postgresql, "CREATE ROLE {}", team)
    with own_admin(postgresql, "role TO {}", team) as laboratory:
        alter(postgresql, "GRANT {} TO {}", team, laboratory.admin.username)
        user = postgresql.new_user()
        if postgresql.version >= 160000:
            alter(postgresql, "GRANT {} TO {} WITH ADMIN OPTION", user.username, laboratory.admin.username)
        clone = new_clone(user)
        mirror(laboratory, user, clone)
        assert differences(laboratory, user, clone) == []


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read", "serializable"])
def test_a_delivery_sees_what_another_one_has_done_meanwhile(postgresql: PostgreSQLLaboratory, isolation: str) -> None:
    with own_admin(postgresql, f"default_transaction_isolation TO '{isolation}'") as laboratory:
        user = postgresql.new_user()
        if postgresql.version >= 160000:
            alter(postgresql, "GRANT {} TO {} WITH ADMIN OPTION", user.username, laboratory.admin.username)
        clone = new_clone(user)
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            session.clone_status(user.username, clone.username)
            mirror(laboratory, user, clone)
            session.mirror(user.username, clone.username)
            session.set_password(clone.username, clone.password)
        assert differences(laboratory, user, clone) == []
