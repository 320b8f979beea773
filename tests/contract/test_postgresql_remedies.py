"""Does each remedy of the PostgreSQL driver fit its cause, and help if it is done to the letter?"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from psycopg2.sql import SQL, Identifier

from rotation.credential import Credential
from rotation.errors import NotPermitted, StatementFailed
from tests.contract.pairs import differences, mirror, new_pair, proof_of
from tests.contract.postgresql_kit import alter, own_admin
from tests.laboratories import INVOICES, deadline
from tests.laboratories.postgresql import OLDER, PostgreSQLLaboratory

pytestmark = pytest.mark.thorough(postgresql=OLDER)  # the contract runs on all versions


@contextmanager
def event_trigger(postgresql: PostgreSQLLaboratory, body: str) -> Iterator[str]:
    """Let a superuser's function of a new schema run after each DDL statement; {s} is its schema."""
    schema = f"audit_{secrets.token_hex(4)}"
    with postgresql.session() as run:
        run(f"CREATE SCHEMA {schema}")
        run(f"CREATE TABLE {schema}.audit (tag text)")
        run(f"GRANT ALL ON SCHEMA {schema} TO PUBLIC; GRANT ALL ON {schema}.audit TO PUBLIC")
        function = f"$f$BEGIN {body.replace('{s}', schema)} END$f$"
        run(f"CREATE FUNCTION {schema}.note() RETURNS event_trigger LANGUAGE plpgsql AS {function}")
        run(f"CREATE EVENT TRIGGER {schema} ON ddl_command_end EXECUTE FUNCTION {schema}.note()")
    yield schema
    with postgresql.session() as run:
        run(f"DROP EVENT TRIGGER {schema}")
        run(f"DROP SCHEMA {schema} CASCADE")


def give_the_clone_a_right(postgresql: PostgreSQLLaboratory, clone: Credential) -> None:
    alter(postgresql, "GRANT SELECT ON public.{} TO {}", INVOICES, clone.username)


def test_an_event_trigger_that_finds_no_names_is_named_and_the_remedy_helps(postgresql: PostgreSQLLaboratory) -> None:
    """The function of an operator's event trigger runs with our search_path."""
    user, clone = new_pair(postgresql)
    with event_trigger(postgresql, "INSERT INTO audit VALUES (tg_tag);") as schema:
        alter(postgresql, "ALTER EVENT TRIGGER {} DISABLE", schema)
        give_the_clone_a_right(postgresql, clone)
        alter(postgresql, "ALTER EVENT TRIGGER {} ENABLE", schema)
        with pytest.raises(StatementFailed, match='relation "audit" does not exist') as raised:
            mirror(postgresql, clone, user)
        statement, _, _ = raised.value.remedy.partition(", if")
        assert statement == f'ALTER FUNCTION {schema}.note() SET search_path TO "{schema}"'
        with postgresql.session() as run:
            run(statement)
        mirror(postgresql, clone, user)
        with postgresql.session() as run:
            assert ("GRANT",) in run(f"SELECT tag FROM {schema}.audit")  # noqa: S608 - our own name
    assert differences(postgresql, clone, user) == []


def test_an_event_trigger_that_qualifies_its_names_runs(postgresql: PostgreSQLLaboratory) -> None:
    user, clone = new_pair(postgresql)
    with event_trigger(postgresql, "EXECUTE format('INSERT INTO %I.audit VALUES (%L)', '{s}', tg_tag);"):
        give_the_clone_a_right(postgresql, clone)
        mirror(postgresql, clone, user)
    assert differences(postgresql, clone, user) == []


def test_a_circle_of_memberships_has_a_remedy_that_helps(postgresql: PostgreSQLLaboratory) -> None:
    user, clone = new_pair(postgresql)
    group = f"group_{secrets.token_hex(4)}"
    with postgresql.session(postgresql.admin) as run:
        run(SQL("CREATE ROLE {}").format(Identifier(group)))
        run(SQL("GRANT {} TO {}").format(Identifier(user.username), Identifier(group)))
        run(SQL("GRANT {} TO {}").format(Identifier(group), Identifier(clone.username)))
    with pytest.raises(StatementFailed, match="is a member of role") as raised:
        mirror(postgresql, clone, user)
    statement, _, _ = raised.value.remedy.partition(": ")
    with postgresql.session(postgresql.admin) as run:
        run(statement)
    mirror(postgresql, clone, user)


def test_an_original_that_is_a_member_of_its_clone_has_a_remedy_that_helps(postgresql: PostgreSQLLaboratory) -> None:
    user = postgresql.new_user()
    clone = postgresql.new_user(f"{user.username}_clone")
    with postgresql.session(postgresql.admin) as run:
        run(SQL("GRANT {} TO {}").format(Identifier(clone.username), Identifier(user.username)))

    def adopt() -> None:
        with postgresql.engine.connect(postgresql.admin, deadline()) as session:
            for who in (user, clone):
                session.require_proven(proof_of(postgresql, who))
            session.mirror(user.username, clone.username)

    with pytest.raises(StatementFailed, match="is a member of role") as raised:
        adopt()
    with postgresql.session(postgresql.admin) as run:
        run(raised.value.remedy.partition(",")[0])
    adopt()


@pytest.mark.parametrize("flag", ["CREATEDB", "REPLICATION", "BYPASSRLS"])
def test_an_attribute_that_the_admin_cannot_give_has_a_remedy_that_helps(
    postgresql: PostgreSQLLaboratory, flag: str
) -> None:
    user, clone = new_pair(postgresql)
    with own_admin(postgresql) as laboratory:
        for role in (user, clone):
            alter(postgresql, "GRANT {} TO {} WITH ADMIN OPTION", role.username, laboratory.admin.username)
        alter(postgresql, f"ALTER ROLE {{}} {flag}", user.username)
        if remedy := remedy_of(laboratory, user, clone):
            assert remedy.partition(": ")[2].startswith("ALTER ROLE ")
            with postgresql.session() as run:
                run(remedy.partition(": ")[2])
            mirror(laboratory, user, clone)
        assert differences(laboratory, user, clone) == []


def remedy_of(laboratory: PostgreSQLLaboratory, user: Credential, clone: Credential) -> str:
    """Mirror, and return the remedy if that is not permitted."""
    try:
        mirror(laboratory, user, clone)
    except NotPermitted as refused:
        return refused.remedy
    return ""


@pytest.mark.parametrize("lacks", ["createrole", "the original", "the clone"])
def test_what_the_admin_lacks_is_what_the_remedy_gives_it(postgresql: PostgreSQLLaboratory, lacks: str) -> None:
    user, clone = new_pair(postgresql)
    with own_admin(postgresql) as laboratory:
        admin = laboratory.admin.username
        for role, word in ((user, "the original"), (clone, "the clone")):
            if word != lacks:
                alter(postgresql, "GRANT {} TO {} WITH ADMIN OPTION", role.username, admin)
        if lacks == "createrole":
            alter(postgresql, "ALTER ROLE {} NOCREATEROLE", admin)
        if remedy := remedy_of(laboratory, user, clone):
            name = {"the original": user, "the clone": clone}.get(lacks, user).username
            grant = f'GRANT "{name}" TO "{admin}" WITH ADMIN OPTION'
            statement = f'ALTER ROLE "{admin}" CREATEROLE' if lacks == "createrole" else grant
            assert remedy == f"Run as the creator of the roles, or as a superuser: {statement}"
            with postgresql.session() as run:
                run(statement)
            mirror(laboratory, user, clone)
        else:
            assert postgresql.version < 160000 or lacks == "the original"


@pytest.mark.parametrize("name", ["app.tenant", "log_statement"])
def test_a_setting_that_the_admin_cannot_make_has_a_remedy_that_helps(
    postgresql: PostgreSQLLaboratory, name: str
) -> None:
    user, clone = new_pair(postgresql)
    with own_admin(postgresql) as laboratory:
        for role in (user, clone):
            alter(postgresql, "GRANT {} TO {} WITH ADMIN OPTION", role.username, laboratory.admin.username)
        alter(postgresql, f"ALTER ROLE {{}} SET {name} TO 'all'", user.username)
        with pytest.raises(NotPermitted) as raised:
            mirror(laboratory, user, clone)
        with postgresql.session() as run:
            run(raised.value.remedy.partition(": ")[2])
        mirror(laboratory, user, clone)
        assert differences(laboratory, user, clone) == []


def test_what_the_original_cannot_create_it_cannot_take_over_and_the_remedy_helps(
    postgresql: PostgreSQLLaboratory,
) -> None:
    user, clone = new_pair(postgresql)
    schema = f"of_{clone.username}"
    alter(postgresql, "CREATE SCHEMA {} AUTHORIZATION {}", schema, clone.username)
    with pytest.raises(NotPermitted, match="permission denied for database") as raised:
        mirror(postgresql, clone, user)
    with postgresql.session() as run:
        run(raised.value.remedy.rpartition(": ")[2])
    mirror(postgresql, clone, user)
    with postgresql.session(user) as run:
        run(SQL("DROP SCHEMA {}").format(Identifier(schema)))
