"""What else does PostgreSQL promise, that no other engine has?"""

import re
import secrets
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from psycopg2.sql import SQL, Identifier

from rotation.credential import Credential
from rotation.engines.postgresql import PostgreSQL
from rotation.errors import LoginBlocked, NotPermitted, RightsDiffer, StatementFailed, Unreachable, Unsafe, Untrusted
from tests.contract.contract import EngineContract
from tests.contract.pairs import Pair, differences, mirror
from tests.contract.postgresql_kit import alter
from tests.laboratories import deadline
from tests.laboratories.postgresql import PostgreSQLLaboratory

pytestmark = pytest.mark.engine("postgresql")


class TestPostgreSQL(EngineContract):
    """PostgreSQL keeps the contract."""


def test_either_of_a_pair_can_alter_and_drop_what_the_other_made(postgresql: PostgreSQLLaboratory, pair: Pair) -> None:
    alter(postgresql, "CREATE SCHEMA {0} AUTHORIZATION {0}", pair[0].username)
    schema = Identifier(pair[0].username)
    for maker, other in (pair, pair[::-1]):
        with postgresql.session(maker) as run:
            run(SQL("CREATE TABLE {}.made (id int)").format(schema))
        with postgresql.session(other) as run:
            run(SQL("ALTER TABLE {}.made ADD COLUMN more int").format(schema))
            run(SQL("DROP TABLE {}.made").format(schema))


def test_a_table_that_a_session_made_outside_its_role_is_handed_over(
    postgresql: PostgreSQLLaboratory, pair: Pair
) -> None:
    user, clone = pair
    table = Identifier(f"made_by_{clone.username}")
    alter(postgresql, "GRANT CREATE ON SCHEMA public TO {}", user.username)
    with postgresql.session(clone) as run:
        run("SET ROLE NONE")
        run(SQL("CREATE TABLE public.{} (id int)").format(table))
    assert any("owns table" in text for text in differences(postgresql, user, clone))
    mirror(postgresql, user, clone)
    assert differences(postgresql, user, clone) == []
    with postgresql.session(user) as run:
        run(SQL("DROP TABLE public.{}").format(table))


def test_a_table_that_the_clone_made_in_another_database_is_handed_over(
    postgresql: PostgreSQLLaboratory, pair: Pair
) -> None:
    user, clone = pair
    other = f"other_{user.username}"
    alter(postgresql, "CREATE DATABASE {}", other)
    with postgresql.session(database=other) as run:
        run(SQL("CREATE TABLE public.theirs (id int)"))
        run(SQL("ALTER TABLE public.theirs OWNER TO {}").format(Identifier(clone.username)))
    assert differences(postgresql, user, clone) == [f"{clone.username} owns table public.theirs (in database {other})"]
    mirror(postgresql, user, clone)
    assert differences(postgresql, user, clone) == []
    with postgresql.session(user, other) as run:
        run("DROP TABLE public.theirs")
    alter(postgresql, "DROP DATABASE {}", other)


ATTRIBUTES = ["CREATEDB", "CREATEROLE", "CONNECTION LIMIT 7", "VALID UNTIL '2099-01-01'"]


@pytest.mark.parametrize("back", [False, True], ids=["to the clone", "from the clone"])
@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_attributes_limits_and_validity_follow_the_current_user(
    postgresql: PostgreSQLLaboratory, pair: Pair, attribute: str, back: bool
) -> None:
    current, other = pair[::-1] if back else pair
    before = roles(postgresql, other)
    alter(postgresql, f"ALTER ROLE {{}} {attribute}", current.username)
    assert differences(postgresql, current, other)
    mirror(postgresql, current, other)
    assert roles(postgresql, other) == roles(postgresql, current) != before
    assert differences(postgresql, current, other) == []
    alter(
        postgresql,
        "ALTER ROLE {} NOCREATEDB NOCREATEROLE CONNECTION LIMIT -1 VALID UNTIL 'infinity'",
        current.username,
    )
    mirror(postgresql, current, other)
    assert differences(postgresql, current, other) == []


def roles(postgresql: PostgreSQLLaboratory, user: Credential) -> tuple[object, ...]:
    with postgresql.session() as run:
        [row] = run(
            "SELECT rolcreatedb, rolcreaterole, rolconnlimit, rolvaliduntil FROM pg_roles WHERE rolname = %s",
            user.username,
        )
    return row


SETTINGS = {
    "work_mem": "'7MB'",
    "search_path": "\"$user\", 'Odd ''Name', public",
    "application_name": "'it''s, \"quoted\"'",
    "app.tenant": "'a=b'",
    "DateStyle": "'ISO, DMY'",
}


@pytest.mark.parametrize("back", [False, True], ids=["to the clone", "from the clone"])
@pytest.mark.parametrize("scope", ["", " IN DATABASE postgres"], ids=["everywhere", "in one database"])
def test_settings_follow_the_current_user(postgresql: PostgreSQLLaboratory, pair: Pair, scope: str, back: bool) -> None:
    current, other = pair[::-1] if back else pair
    settings = dict(SETTINGS)
    if postgresql.version >= 150000:
        alter(postgresql, "GRANT SET ON PARAMETER app.tenant TO {}", postgresql.admin.username)
    else:  # it cannot be granted, so only a superuser can give a role this setting
        del settings["app.tenant"]
    for name, value in settings.items():
        alter(postgresql, f"ALTER ROLE {{}}{scope} SET {name} TO {value}", current.username)
    assert len(differences(postgresql, current, other)) == len(settings)
    mirror(postgresql, current, other)
    assert differences(postgresql, current, other) == []
    for name in settings:
        shown = []
        for user in pair:
            with postgresql.session(user) as run:
                shown += run(f"SHOW {name}")
        assert shown[0] == shown[1]
    alter(postgresql, f"ALTER ROLE {{}}{scope} RESET work_mem", current.username)
    mirror(postgresql, current, other)
    with postgresql.session(other) as run:
        assert run("SHOW work_mem") != [("7MB",)]


def test_a_user_that_acts_as_a_third_role_has_a_clone_that_does_so_too(
    postgresql: PostgreSQLLaboratory, pair: Pair
) -> None:
    user, clone = pair
    owner = f"owner_{user.username}"
    alter(postgresql, "CREATE ROLE {}", owner)
    alter(postgresql, "GRANT {} TO {}", owner, user.username)
    alter(postgresql, "ALTER ROLE {} SET role TO {}", user.username, owner)
    for _ in range(2):
        mirror(postgresql, user, clone)
        mirror(postgresql, clone, user)
        for who in pair:
            with postgresql.session(who) as run:
                assert run("SELECT current_user") == [(owner,)]
    changed = replace(user, password=secrets.token_urlsafe())
    with postgresql.engine.connect(user, deadline()) as session:
        session.change_own_password(changed.password)
    assert postgresql.logs_in(changed)


def test_a_role_that_the_clone_alone_was_given_passes_to_both(postgresql: PostgreSQLLaboratory, pair: Pair) -> None:
    user, clone = pair
    group = f"group_{user.username}"
    with postgresql.session(postgresql.admin) as run:
        run(SQL("CREATE ROLE {}").format(Identifier(group)))
        run(SQL("GRANT {} TO {}").format(Identifier(group), Identifier(clone.username)))
    assert differences(postgresql, clone, user) == [f"{clone.username} is a member of {group}, {user.username} is not"]
    mirror(postgresql, clone, user)
    assert differences(postgresql, clone, user) == []
    for who in pair:
        with postgresql.session() as run:
            assert run("SELECT pg_has_role(%s, %s, 'MEMBER')", who.username, group) == [(True,)]
    with postgresql.session(postgresql.admin) as run:
        run(SQL("REVOKE {} FROM {}").format(Identifier(group), Identifier(user.username)))
    for who in pair:
        with postgresql.session() as run:
            assert run("SELECT pg_has_role(%s, %s, 'MEMBER')", who.username, group) == [(False,)]


def test_default_privileges_of_the_original_are_those_of_its_clone(
    postgresql: PostgreSQLLaboratory, pair: Pair
) -> None:
    user, clone = pair
    alter(postgresql, "CREATE SCHEMA {0} AUTHORIZATION {0}", user.username)
    alter(postgresql, "ALTER DEFAULT PRIVILEGES FOR ROLE {0} GRANT SELECT ON TABLES TO PUBLIC", user.username)
    alter(postgresql, "ALTER DEFAULT PRIVILEGES FOR ROLE {0} REVOKE EXECUTE ON ROUTINES FROM PUBLIC", user.username)
    alter(
        postgresql,
        "ALTER DEFAULT PRIVILEGES FOR ROLE {0} IN SCHEMA {0} GRANT USAGE ON SEQUENCES TO {1} WITH GRANT OPTION",
        user.username,
        postgresql.admin.username,
    )
    assert len(differences(postgresql, user, clone)) == 3
    mirror(postgresql, user, clone)
    assert differences(postgresql, user, clone) == []
    alter(postgresql, "ALTER DEFAULT PRIVILEGES FOR ROLE {0} REVOKE SELECT ON TABLES FROM PUBLIC", user.username)
    mirror(postgresql, clone, user)
    assert differences(postgresql, clone, user) == []


def test_column_schema_and_routine_grants_of_the_clone_pass_to_its_user(
    postgresql: PostgreSQLLaboratory, pair: Pair
) -> None:
    user, clone = pair
    schema = f"schema_{user.username}"
    alter(postgresql, "CREATE SCHEMA {} AUTHORIZATION {}", schema, postgresql.admin.username)
    with postgresql.session(postgresql.admin) as run:
        names = {"schema": Identifier(schema), "clone": Identifier(clone.username)}
        for statement in (
            'CREATE TABLE {schema}.t (id int, "odd Name" int)',
            "CREATE FUNCTION {schema}.f(int, text) RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "CREATE TYPE {schema}.e AS ENUM ('a')",
            "CREATE SEQUENCE {schema}.s",
            "REVOKE EXECUTE ON FUNCTION {schema}.f FROM PUBLIC",
            "REVOKE USAGE ON TYPE {schema}.e FROM PUBLIC",
            "GRANT USAGE ON SCHEMA {schema} TO {clone} WITH GRANT OPTION",
            'GRANT SELECT ("odd Name"), UPDATE (id) ON {schema}.t TO {clone}',
            "GRANT EXECUTE ON FUNCTION {schema}.f TO {clone}",
            "GRANT USAGE ON TYPE {schema}.e TO {clone}",
            "GRANT USAGE ON SEQUENCE {schema}.s TO {clone}",
            "ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT SELECT ON TABLES TO {clone}",
        ):
            run(SQL(statement).format(**names))
    assert len(differences(postgresql, clone, user)) == 7
    mirror(postgresql, clone, user)
    assert differences(postgresql, clone, user) == []
    mirror(postgresql, user, clone)
    with postgresql.session(user) as run:
        run(SQL('SELECT "odd Name" FROM {}.t').format(Identifier(schema)))
        run(SQL("SELECT {}.f(1, 'a')").format(Identifier(schema)))
    with postgresql.session() as run:
        assert run("SELECT has_schema_privilege(%s, %s, 'USAGE WITH GRANT OPTION')", user.username, schema) == [(True,)]


def test_what_the_admin_cannot_grant_is_named_and_nothing_is_lost(postgresql: PostgreSQLLaboratory, pair: Pair) -> None:
    user, clone = pair
    table = f"secret_{user.username}"
    alter(postgresql, "CREATE TABLE public.{} (id int)", table)
    alter(postgresql, "GRANT SELECT ON public.{} TO {}", table, clone.username)
    with pytest.raises((NotPermitted, RightsDiffer), match=f"SELECT on table public.{table}"):
        mirror(postgresql, clone, user)
    with postgresql.session() as run:
        assert run("SELECT has_table_privilege(%s, %s, 'SELECT')", clone.username, f"public.{table}") == [(True,)]
    with pytest.raises((NotPermitted, RightsDiffer), match=f"SELECT on table public.{table}"):
        mirror(postgresql, user, clone)
    alter(postgresql, "REVOKE SELECT ON public.{} FROM {}", table, clone.username)
    mirror(postgresql, user, clone)
    assert differences(postgresql, user, clone) == []


def test_a_policy_for_the_clone_alone_is_named(postgresql: PostgreSQLLaboratory, pair: Pair) -> None:
    user, clone = pair
    table = f"guarded_{user.username}"
    alter(postgresql, "CREATE TABLE public.{} (id int)", table)
    alter(postgresql, "CREATE POLICY own ON public.{} TO {}", table, clone.username)
    assert any("policy own" in text for text in differences(postgresql, clone, user))
    alter(postgresql, "DROP TABLE public.{}", table)


def test_an_admin_that_cannot_change_a_superuser_is_told_the_remedy(postgresql: PostgreSQLLaboratory) -> None:
    """The ADMIN option does not help: https://www.postgresql.org/docs/current/sql-alterrole.html."""
    user = postgresql.new_user()
    alter(postgresql, "ALTER ROLE {} SUPERUSER", user.username)
    clone = replace(user, username=f"{user.username}_clone", password=secrets.token_urlsafe())
    with pytest.raises(NotPermitted) as raised:
        mirror(postgresql, user, clone)
    assert raised.value.remedy == (
        f'Name a superuser in the admin secret, or run as one: ALTER ROLE "{user.username}" NOSUPERUSER'
    )
    with postgresql.session() as run:
        run(raised.value.remedy.partition(": ")[2])
    mirror(postgresql, user, clone)
    assert postgresql.logs_in(clone)


def test_from_version_16_on_createrole_alone_is_not_enough(postgresql: PostgreSQLLaboratory) -> None:
    name = f"foreign_{secrets.token_hex(4)}"
    alter(postgresql, "CREATE ROLE {} LOGIN PASSWORD 'x'", name)
    user = replace(postgresql.superuser, username=name)
    clone = replace(user, username=f"{name}_clone", password=secrets.token_urlsafe())
    if postgresql.version >= 160000:
        with pytest.raises(NotPermitted) as raised:
            mirror(postgresql, user, clone)
        [grant] = re.findall(r"GRANT .* WITH ADMIN OPTION", raised.value.remedy)
        with postgresql.session() as run:  # what the remedy says, to the letter
            run(grant)
    mirror(postgresql, user, clone)
    assert postgresql.logs_in(clone)
    mirror(postgresql, clone, replace(user, password=secrets.token_urlsafe()))


def test_a_clone_without_its_original_is_refused(postgresql: PostgreSQLLaboratory) -> None:
    user = postgresql.new_user(f"lonely_{secrets.token_hex(4)}_clone")
    with (
        pytest.raises(Unsafe, match="there is no role"),
        postgresql.engine.connect(postgresql.admin, deadline()) as session,
    ):
        session.clone_status(user.username, user.username.removesuffix("_clone"))


@pytest.mark.parametrize("encryption", ["md5", "scram-sha-256"])
def test_a_verifier_is_of_the_kind_that_the_server_asks_for(postgresql: PostgreSQLLaboratory, encryption: str) -> None:
    user = postgresql.new_user()
    alter(postgresql, f"ALTER ROLE {{}} SET password_encryption TO '{encryption}'", user.username)
    with postgresql.session(user) as run:
        run(SQL("ALTER ROLE {} PASSWORD %s").format(Identifier(user.username)), user.password)
    changed = replace(user, password=secrets.token_urlsafe())
    with postgresql.engine.connect(user, deadline()) as session:
        session.change_own_password(changed.password)
    with postgresql.session() as run:
        [(verifier,)] = run("SELECT rolpassword FROM pg_authid WHERE rolname = %s", user.username)
    assert str(verifier).startswith("md5" if encryption == "md5" else "SCRAM-SHA-256")
    assert postgresql.logs_in(changed)


def test_the_owner_of_a_database_does_not_say_how_passwords_are_kept(postgresql: PostgreSQLLaboratory) -> None:
    """A verifier of another kind than pg_hba.conf asks for would lock the user out."""
    user, database = postgresql.new_user(), f"hers_{secrets.token_hex(4)}"
    with postgresql.session() as run:
        run(SQL("CREATE DATABASE {}").format(Identifier(database)))
        run(SQL("ALTER DATABASE {} SET password_encryption TO 'md5'").format(Identifier(database)))
    with postgresql.engine.connect(replace(user, database=database), deadline()) as session:
        session.change_own_password(secrets.token_urlsafe())
    with postgresql.session() as run:
        [(verifier,)] = run("SELECT rolpassword FROM pg_authid WHERE rolname = %s", user.username)
        run(SQL("DROP DATABASE {}").format(Identifier(database)))
    assert str(verifier).startswith("SCRAM-SHA-256")


def test_a_read_only_user_changes_its_password_too(postgresql: PostgreSQLLaboratory) -> None:
    user = postgresql.new_user()
    alter(postgresql, "ALTER ROLE {} SET default_transaction_read_only TO on", user.username)
    changed = replace(user, password=secrets.token_urlsafe())
    with postgresql.engine.connect(user, deadline()) as session:
        session.change_own_password(changed.password)
    assert postgresql.logs_in(changed)


@pytest.mark.parametrize("statement", ["COMMIT", "SELECT 1; COMMIT; SELECT 2", "ROLLBACK", "BEGIN"])
def test_no_statement_to_verify_ends_its_transaction(postgresql: PostgreSQLLaboratory, statement: str) -> None:
    user = postgresql.new_user()
    table = f"left_{user.username}"
    with postgresql.session() as run:
        run(SQL("GRANT CREATE ON SCHEMA public TO {}").format(Identifier(user.username)))
    with (
        pytest.raises(StatementFailed, match="running statement 2 of verify"),
        postgresql.engine.connect(user, deadline()) as session,
    ):
        session.verify([f'CREATE TABLE public."{table}" (id int)', statement])
    with postgresql.engine.connect(user, deadline()) as session:
        session.verify([f'CREATE TABLE public."{table}" (id int)'])
    with postgresql.session() as run:
        assert run("SELECT to_regclass(%s)", f'public."{table}"') == [(None,)]


def test_no_row_of_verify_leaves_the_server_and_no_notices_without_end(postgresql: PostgreSQLLaboratory) -> None:
    user = postgresql.new_user()
    with postgresql.engine.connect(user, deadline()) as session:
        session.verify(["SELECT repeat('x', 1000000) FROM generate_series(1, 20)"])
    with (
        pytest.raises(Unreachable, match="more than 4 MB"),
        postgresql.engine.connect(user, deadline()) as session,
    ):
        session.verify(["DO 'BEGIN LOOP RAISE NOTICE $$look$$; END LOOP; END'"])


def test_verify_acts_as_the_application_does(postgresql: PostgreSQLLaboratory, pair: Pair) -> None:
    user, clone = pair
    with postgresql.engine.connect(clone, deadline()) as session:
        session.verify([f"DO 'BEGIN ASSERT current_user = $${user.username}$$; END'"])


def test_verify_sees_the_search_path_of_the_application(postgresql: PostgreSQLLaboratory) -> None:
    user = postgresql.new_user()
    alter(postgresql, "CREATE SCHEMA {0} AUTHORIZATION {0}", user.username)
    alter(postgresql, "CREATE TABLE {}.mine (id int)", user.username)
    alter(postgresql, "GRANT SELECT ON {0}.mine TO {0}", user.username)
    with postgresql.engine.connect(user, deadline()) as session:
        session.verify(["SELECT 1 FROM mine", "SELECT '100%' LIKE '%s'"])


def test_a_certificate_of_another_authority_is_not_trusted(
    postgresql: PostgreSQLLaboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DB_CA_BUNDLE")
    with (
        pytest.raises(Untrusted, match="certificate verify failed"),
        postgresql.engine.connect(postgresql.admin, deadline()),
    ):
        pass


def test_a_certificate_for_another_host_name_is_not_trusted(
    postgresql: PostgreSQLLaboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    alias = "localhost.localdomain"
    place = (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", postgresql.admin.port))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [place])
    with (
        pytest.raises(Untrusted, match="does not match host name"),
        postgresql.engine.connect(replace(postgresql.admin, host=alias), deadline()),
    ):
        pass


def test_without_tls_only_if_the_secret_says_so(postgresql: PostgreSQLLaboratory) -> None:
    user = postgresql.new_user()
    for tls in (True, False):
        with postgresql.engine.connect(replace(user, tls=tls), deadline()) as session:
            [(encrypted,)] = session.connection.execute(
                "asking", "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
            )
        assert encrypted is tls


def test_a_database_that_does_not_exist_is_not_a_wrong_password(postgresql: PostgreSQLLaboratory) -> None:
    user = postgresql.new_user()
    with (
        pytest.raises(LoginBlocked, match="dbname"),
        postgresql.engine.connect(replace(user, database='role "x" does not exist'), deadline()),
    ):
        pass


def test_a_role_without_login_and_one_without_connections_are_distinguished(postgresql: PostgreSQLLaboratory) -> None:
    for attribute, cause in (("NOLOGIN", "not permitted to log in"), ("CONNECTION LIMIT 0", "too many connections")):
        user = postgresql.new_user()
        alter(postgresql, f"ALTER ROLE {{}} {attribute}", user.username)
        with pytest.raises(LoginBlocked, match=cause), postgresql.engine.connect(user, deadline()):
            pass


@pytest.fixture
def trusting_port() -> Iterator[int]:
    """A server that lets everybody in without asking for a password: AuthenticationOk, ReadyForQuery."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"R\0\0\0\x08\0\0\0\0" + b"Z\0\0\0\x05I")
            connection.recv(4096)

    thread = threading.Thread(target=serve)
    thread.start()
    yield int(listener.getsockname()[1])
    thread.join()
    listener.close()


def test_a_server_that_lets_anybody_in_is_not_trusted(trusting_port: int) -> None:
    credential = Credential(
        engine="postgres",
        host="127.0.0.1",
        port=trusting_port,
        database="postgres",
        username="app",
        password="p",
        tls=False,
    )
    with pytest.raises(Untrusted, match="authentication"), PostgreSQL().connect(credential, deadline(5)):
        pass


def test_a_statement_waits_no_longer_than_the_time_allows(postgresql: PostgreSQLLaboratory) -> None:
    user = postgresql.new_user()
    with postgresql.session() as run:
        run("BEGIN")
        run("LOCK TABLE public.lab_orders IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(StatementFailed, match="timeout"), postgresql.engine.connect(user, deadline(2.5)) as session:
            session.verify(["SELECT 1 FROM lab_orders"])
