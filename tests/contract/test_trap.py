"""Does an admin who is led into a database of somebody else run that owner's code? PostgreSQL has ways to be had."""

import secrets
from collections.abc import Iterator
from dataclasses import replace

import pytest
from psycopg2.sql import SQL, Identifier

from rotation.credential import Credential
from tests.laboratories import PostgreSQLLaboratory, deadline

TRAP = "BEGIN INSERT INTO public.caught VALUES (current_user); RETURN NULL; END"
SHADOWED = (
    "current_setting(text) RETURNS text",
    "hashtext(text) RETURNS int",
    "pg_advisory_xact_lock(int) RETURNS text",
)


@pytest.fixture
def owner(postgresql: PostgreSQLLaboratory) -> Iterator[Credential]:
    """Somebody with a database of their own, in which functions of theirs come before those of the system."""
    user = postgresql.new_user()
    database = f"trap_{secrets.token_hex(4)}"
    name = Identifier(database)
    with postgresql.session() as run:
        run(SQL("CREATE DATABASE {} OWNER {}").format(name, Identifier(user.username)))
        run(SQL("ALTER DATABASE {} SET search_path TO public, pg_catalog").format(name))
    with postgresql.session(user, database) as run:
        run("CREATE TABLE public.caught (name text)")
        run("GRANT INSERT ON public.caught TO PUBLIC")
        for function in SHADOWED:
            run(f"CREATE FUNCTION public.{function} LANGUAGE plpgsql AS $${TRAP}$$")
        run("SELECT current_setting('port')")
        assert run("TABLE public.caught") == [(user.username,)], "the trap works"
        run("TRUNCATE public.caught")
    yield replace(user, database=database)
    with postgresql.session() as run:
        run(SQL("DROP DATABASE {}").format(name))


def test_an_admin_in_somebody_elses_database_runs_none_of_their_functions(
    postgresql: PostgreSQLLaboratory, owner: Credential
) -> None:
    clone = replace(owner, username=f"{owner.username}_clone", password=secrets.token_urlsafe())
    with postgresql.engine.connect(replace(postgresql.admin, database=owner.database), deadline()) as session:
        session.standing(owner.username, clone.username)
        session.mirror(owner.username, clone.username)
        session.set_password(clone.username, clone.password)
        assert session.differences(owner.username, clone.username) == []
    assert postgresql.logs_in(clone)
    with postgresql.session(database=owner.database) as run:
        assert run("TABLE public.caught") == []
