"""What does the PostgreSQL driver make of each answer that a server, or a pooler, can give to a login?"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from psycopg2.sql import SQL, Identifier

from rotation.credential import Credential
from rotation.engines.postgresql import PostgreSQL
from rotation.engines.postgresql.connection import PostgreSQLConnection
from rotation.errors import (
    DatabaseError,
    LoginBlocked,
    LoginRefused,
    NotPermitted,
    RotationError,
    Unreachable,
    Untrusted,
)
from tests.contract import impostor
from tests.contract.impostor import CLEAR, SASL, Line, Talk, authentication, message, posing
from tests.contract.pairs import differences, mirror, new_clone
from tests.contract.postgresql_kit import alter, own_admin
from tests.laboratories import deadline
from tests.laboratories.postgresql import PostgreSQLLaboratory, own
from tests.laboratories.postgresql_elsewhere import ELSEWHERE, MAJOR, in_russian, pooled
from tests.local.servers import postgresql
from tests.local.servers.certificates import HOST_NAME

PASSWORD = "impostors-never-read-this-one"


def log_in(laboratory: PostgreSQLLaboratory, user: Credential) -> DatabaseError:
    """Try to log in; return what came of it."""
    with pytest.raises(DatabaseError) as raised, laboratory.engine.connect(user, deadline(8.0)):
        pass
    assert "security groups" not in str(raised.value), "it answered"
    return raised.value


@pytest.fixture(scope="module", params=["in-english", *ELSEWHERE])
def _server(request: pytest.FixtureRequest) -> Iterator[PostgreSQLLaboratory]:
    with own(MAJOR) if request.param == "in-english" else ELSEWHERE[request.param]() as laboratory:
        yield laboratory


@pytest.fixture
def server(_server: PostgreSQLLaboratory, monkeypatch: pytest.MonkeyPatch) -> PostgreSQLLaboratory:
    """A server of its own, or one whose answers are in other words; a pooler is a part of it."""
    monkeypatch.setenv("DB_CA_BUNDLE", str(_server.ca_bundle))
    return _server


@pytest.fixture(scope="module")
def _direct() -> Iterator[dict[str, PostgreSQLLaboratory]]:
    with own(MAJOR) as english, in_russian() as russian:
        yield {"in-english": english, "in-russian": russian}


@pytest.fixture(params=["in-english", "in-russian"])
def direct(
    request: pytest.FixtureRequest, _direct: dict[str, PostgreSQLLaboratory], monkeypatch: pytest.MonkeyPatch
) -> PostgreSQLLaboratory:
    """A server without a pooler, in two languages."""
    laboratory = _direct[request.param]
    monkeypatch.setenv("DB_CA_BUNDLE", str(laboratory.ca_bundle))
    return laboratory


# A wrong password


def test_a_wrong_password_is_refused_in_every_language_and_through_poolers(server: PostgreSQLLaboratory) -> None:
    user = server.new_user()
    error = log_in(server, replace(user, password="wrong-one"))
    assert isinstance(error, LoginRefused), error
    assert f"ALTER ROLE \"{user.username}\" VALID UNTIL 'infinity'" in error.remedy
    with server.engine.connect(user, deadline()):
        pass


def test_an_unknown_user_is_no_silence(server: PostgreSQLLaboratory) -> None:
    """PgBouncer says so before it asks for a password, and then there is no password to refuse."""
    error = log_in(server, replace(server.admin, username="nobody_of_this_name"))
    assert isinstance(error, LoginBlocked if "no such user" in error.cause else LoginRefused), error


def test_an_expired_password_is_refused_as_a_wrong_one_and_the_remedy_helps(direct: PostgreSQLLaboratory) -> None:
    user = direct.new_user()
    alter(direct, "ALTER ROLE {} VALID UNTIL '2020-01-01'", user.username)
    error = log_in(direct, user)
    assert isinstance(error, LoginRefused), error
    with direct.session() as run:
        run(error.remedy.partition("run as an admin: ")[2])
    with direct.engine.connect(user, deadline()):
        pass


def test_a_pooler_whose_own_password_is_out_of_date_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """It accepts the client, and the server refuses it at the first statement."""
    with own(MAJOR) as direct:
        user = direct.new_user()
        known = {one.username: one.password for one in (user, direct.superuser)}
        with pooled(direct, "1.24", known) as laboratory:
            monkeypatch.setenv("DB_CA_BUNDLE", str(laboratory.ca_bundle))
            direct.change_password(replace(user, password=secrets.token_urlsafe()))
            error = log_in(laboratory, replace(user, port=laboratory.admin.port))
    assert isinstance(error, LoginRefused), error
    assert "28P01" in error.cause


# Everything else that a server answers


def test_a_role_without_login_gets_a_remedy_that_helps(direct: PostgreSQLLaboratory) -> None:
    """The server says so only after the right password, with the code of a wrong one."""
    user = direct.new_user()
    direct.lock_user(user.username)
    error = log_in(direct, user)
    assert isinstance(error, LoginBlocked), error
    with direct.session() as run:
        run(error.remedy)
    with direct.engine.connect(user, deadline()):
        pass


def test_a_database_without_connect_gets_a_remedy_that_helps(direct: PostgreSQLLaboratory) -> None:
    user, database = direct.new_user(), f"closed_{secrets.token_hex(4)}"
    alter(direct, "CREATE DATABASE {}", database)
    alter(direct, "REVOKE CONNECT ON DATABASE {} FROM PUBLIC", database)
    error = log_in(direct, replace(user, database=database))
    assert isinstance(error, LoginBlocked), error
    with direct.session() as run:
        run(error.remedy)
    with direct.engine.connect(replace(user, database=database), deadline()):
        pass


def test_a_database_that_allows_no_connections_gets_a_remedy_that_helps(direct: PostgreSQLLaboratory) -> None:
    user, database = direct.new_user(), f"shut_{secrets.token_hex(4)}"
    alter(direct, "CREATE DATABASE {} ALLOW_CONNECTIONS false", database)
    error = log_in(direct, replace(user, database=database))
    assert isinstance(error, LoginBlocked), error
    assert "55000" in error.cause
    with direct.session() as run:
        run(error.remedy.partition(";")[0])
    with direct.engine.connect(replace(user, database=database), deadline()):
        pass


def test_a_database_whose_removal_was_interrupted_is_named(direct: PostgreSQLLaboratory) -> None:
    user, database = direct.new_user(), f"invalid_{secrets.token_hex(4)}"
    alter(direct, "CREATE DATABASE {}", database)
    with direct.session() as run:
        run("UPDATE pg_database SET datconnlimit = -2 WHERE datname = %s", database)
    error = log_in(direct, replace(user, database=database))
    assert isinstance(error, LoginBlocked), error
    assert "55000" in error.cause
    assert '"dbname"' in error.remedy


@pytest.mark.parametrize(("attribute", "code"), [("CONNECTION LIMIT 0", "53300"), ("NOLOGIN", "28000")])
def test_limits_are_no_silence(direct: PostgreSQLLaboratory, attribute: str, code: str) -> None:
    user = direct.new_user()
    alter(direct, f"ALTER ROLE {{}} {attribute}", user.username)
    error = log_in(direct, user)
    assert isinstance(error, LoginBlocked), error
    assert code in error.cause


def test_a_database_that_does_not_exist_is_no_silence(direct: PostgreSQLLaboratory) -> None:
    error = log_in(direct, replace(direct.new_user(), database="nowhere"))
    assert isinstance(error, LoginBlocked), error
    assert "3D000" in error.cause


@contextmanager
def entry(laboratory: PostgreSQLLaboratory, *lines: str) -> Iterator[None]:
    """Put lines before all others into pg_hba.conf."""
    assert laboratory.log_file
    file = laboratory.log_file.parent / "data/pg_hba.conf"
    before = file.read_text()
    for text in ("".join(f"{line}\n" for line in lines) + before, before):
        file.write_text(text)
        with laboratory.session() as run:
            run("SELECT pg_reload_conf()")
            [(errors,)] = run("SELECT count(*) FROM pg_hba_file_rules WHERE error IS NOT NULL")
        assert errors == 0
        if text != before:
            yield


def test_an_entry_that_rejects_is_no_silence(direct: PostgreSQLLaboratory) -> None:
    user = direct.new_user()
    with entry(direct, f"host all {user.username} 127.0.0.1/32 reject"):
        error = log_in(direct, user)
    assert isinstance(error, LoginBlocked), error
    assert "pg_hba.conf" in error.remedy


def test_a_server_that_takes_tls_only_says_so_to_a_secret_without(direct: PostgreSQLLaboratory) -> None:
    user = direct.new_user()
    with entry(direct, f"hostnossl all {user.username} 127.0.0.1/32 reject"):
        error = log_in(direct, replace(user, tls=False))
        assert direct.logs_in(user)
    assert isinstance(error, LoginBlocked), error
    assert error.remedy.startswith('Remove "ssl": false from the secret')


def test_an_entry_that_wants_a_certificate_of_the_client_is_no_silence(direct: PostgreSQLLaboratory) -> None:
    user = direct.new_user()
    with direct.session() as run:
        run("ALTER SYSTEM SET ssl_ca_file TO %s", str(direct.ca_bundle))
    with entry(direct, f"hostssl all {user.username} 127.0.0.1/32 scram-sha-256 clientcert=verify-ca"):
        error = log_in(direct, user)
    assert isinstance(error, LoginBlocked), error
    assert "client certificate" in error.remedy


def test_a_member_of_rds_iam_gets_the_statement_that_helps(direct: PostgreSQLLaboratory) -> None:
    """RDS asks members for a token, in clear: by an entry of this form, before that for passwords."""
    user = direct.new_user()
    with direct.session() as run:
        run("DO $$BEGIN CREATE ROLE rds_iam; EXCEPTION WHEN duplicate_object THEN NULL; END$$")
    alter(direct, "GRANT rds_iam TO {}", user.username)
    with entry(direct, "hostssl all +rds_iam 127.0.0.1/32 password"):
        error = log_in(direct, user)
        assert isinstance(error, Untrusted), error
        with direct.session() as run:
            run(error.remedy.partition("Run: ")[2])
        with direct.engine.connect(user, deadline()):
            pass


def test_an_event_trigger_that_fails_at_login_is_named(direct: PostgreSQLLaboratory) -> None:
    user = direct.new_user()
    with direct.session() as run:
        body = f"IF session_user = '{user.username}' THEN RAISE EXCEPTION 'come back on Monday'; END IF;"
        run(f"CREATE FUNCTION gate() RETURNS event_trigger LANGUAGE plpgsql AS $f$BEGIN {body} END$f$")
        run("CREATE EVENT TRIGGER gate ON login EXECUTE FUNCTION gate()")
        error = log_in(direct, user)
        run("DROP EVENT TRIGGER gate")
        run("DROP FUNCTION gate()")
    assert isinstance(error, LoginBlocked), error
    assert "come back on Monday" in error.cause
    assert "gate()" in error.cause
    assert "P0001" in error.cause
    assert "event trigger on login" in error.remedy


def test_a_session_that_the_server_ends_says_so(direct: PostgreSQLLaboratory) -> None:
    user = direct.new_user()
    connection = PostgreSQLConnection(user, deadline())
    connection.begin()
    [(number,)] = connection.execute("asking", "SELECT pg_backend_pid()")
    direct.kill(number)
    with pytest.raises(Unreachable, match="57P01") as raised:
        connection.execute("asking again", "SELECT pg_sleep(1)")
    connection.close()
    assert "security groups" not in str(raised.value), "it answered"


# What only a stand-in can be made to say


def saying(code: str, text: str, *, asked: bool) -> Talk:
    """Answer a login with an error, before or after the question for a password."""

    def talk(line: Line) -> None:
        line.hear()
        if asked:
            line.say(authentication(SASL, impostor.SCRAM))
            line.hear()
        line.say(message(b"E", f"SFEHLER\0VFATAL\0C{code}\0M{text}\0\0".encode()))

    return talk


def told(talk: Talk) -> RotationError:
    """Log in where this is said, without TLS; return what came of it."""
    with posing(talk) as heard:
        credential = Credential(
            engine="postgres",
            host=HOST_NAME,
            port=heard.port,
            database="shop",
            username="app",
            password=PASSWORD,
            tls=False,
        )
        with pytest.raises(RotationError) as raised, PostgreSQL().connect(credential, deadline(6.0)):
            pass
    return raised.value


@pytest.mark.parametrize("code", ["28P01", "28000", "28999"])
def test_class_28_refuses_a_password_only_if_the_server_asked_for_one(code: str) -> None:
    assert type(told(saying(code, "Passwort-Authentifizierung fehlgeschlagen", asked=True))) is LoginRefused
    assert type(told(saying(code, "Passwort-Authentifizierung fehlgeschlagen", asked=False))) is LoginBlocked


def test_an_unknown_code_is_an_answer_with_the_servers_words_bounded_and_on_one_line() -> None:
    error = told(saying("XX999", "nicht jetzt\nsondern " + "sehr " * 1000 + "viel später", asked=True))
    assert type(error) is LoginBlocked
    assert "nicht jetzt sondern" in error.cause
    assert "(SQLSTATE XX999)" in error.cause
    assert "\n" not in error.cause
    assert len(error.cause) < 1000
    assert "security groups" not in str(error)


SENTENCES = {
    "The password that was provided for the role app is wrong.": LoginRefused,
    "This RDS proxy has no credentials for the role app. Check the credentials for this role": LoginBlocked,
    "This RDS Proxy requires TLS connections": LoginBlocked,
    "The maximum number of client connections to the proxy exceeded 100.": LoginBlocked,
    "Timed-out waiting to acquire database connection.": LoginBlocked,
    "auth failed": LoginRefused,
    "password authentication failed": LoginRefused,
    "server login has been failing, try again later (server_login_retry)": LoginBlocked,
    "no more connections allowed (max_client_conn)": LoginBlocked,
    "bouncer config error": LoginBlocked,
}
"""What poolers say that were not here to say it: RDS Proxy's list of errors, and the source of PgBouncer."""


@pytest.mark.parametrize("sentence", SENTENCES)
@pytest.mark.parametrize("code", ["08P01", "XX000"])
def test_the_sentence_of_a_pooler_says_what_its_code_does_not(sentence: str, code: str) -> None:
    error = told(saying(code, sentence, asked=True))
    assert type(error) is SENTENCES[sentence], error
    assert "security groups" not in str(error)
    assert sentence[:40] in error.cause
    if "RDS proxy" in sentence or "role" in sentence:
        assert '"host"' in error.remedy


def test_no_sentence_refuses_a_password_that_nobody_asked_for() -> None:
    for sentence in SENTENCES:
        assert type(told(saying("08P01", sentence, asked=False))) is LoginBlocked


def test_no_answer_at_all_is_unreachable() -> None:
    def talk(line: Line) -> None:
        line.hear()
        line.close()

    assert type(told(talk)) is Unreachable


def test_a_server_that_asks_for_the_password_in_clear_and_one_that_asks_for_none_have_two_remedies() -> None:
    def ask_in_clear(line: Line) -> None:
        line.hear()
        line.say(authentication(CLEAR))

    error = told(ask_in_clear)
    assert type(error) is Untrusted
    assert 'REVOKE rds_iam FROM "app"' in error.remedy


# Standbys, and admins that act as somebody else


def test_everybody_can_log_in_to_a_standby_and_nobody_can_write(
    postgresql: PostgreSQLLaboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Version 13 does not report that it is one."""
    with standby(postgresql.version // 10000) as server:
        monkeypatch.setenv("DB_CA_BUNDLE", str(server.ca_bundle))
        user = Credential(
            engine="postgres",
            host=server.host,
            port=server.port,
            database="postgres",
            username=server.superuser,
            password=server.password,
            tls=True,
        )
        with PostgreSQL().connect(user, deadline()) as session:
            session.verify(["SELECT 1"])
            with pytest.raises(NotPermitted, match="25006") as raised:
                session.change_own_password(secrets.token_urlsafe())
    assert "primary" in raised.value.remedy


@contextmanager
def standby(major: int) -> Iterator[postgresql.Server]:
    """Start a server that replays what it has, and waits for more."""
    with postgresql.start(major, prepare=lambda data: (data / "standby.signal").touch()) as server:
        yield server


@pytest.mark.parametrize("scope", ["ALTER ROLE {0} SET", "ALTER ROLE {0} IN DATABASE postgres SET"])
def test_an_admin_whose_settings_make_it_act_as_another_role_works(
    postgresql: PostgreSQLLaboratory, scope: str
) -> None:
    with own_admin(postgresql) as laboratory:
        admin, team = laboratory.admin.username, f"team_{secrets.token_hex(4)}"
        alter(postgresql, "CREATE ROLE {}", team)
        alter(postgresql, "GRANT {} TO {}", team, admin)
        alter(postgresql, f"{scope} role TO {{1}}", admin, team)
        user = postgresql.new_user()
        if postgresql.version >= 160000:
            alter(postgresql, "GRANT {} TO {} WITH ADMIN OPTION", user.username, admin)
        clone = new_clone(user)
        mirror(laboratory, user, clone)
        assert differences(laboratory, user, clone) == []


# Passwords that have expired, seen by an admin


def test_an_admin_copies_no_date_that_has_passed(postgresql: PostgreSQLLaboratory) -> None:
    """The clone worked until then, and would work no more."""
    user = postgresql.new_user()
    clone = new_clone(user)
    mirror(postgresql, user, clone)
    alter(postgresql, "ALTER ROLE {} VALID UNTIL '2020-01-01'", user.username)
    with pytest.raises(LoginBlocked, match="valid until 2020-01-01") as raised:
        mirror(postgresql, user, clone)
    assert postgresql.logs_in(clone)
    statement, _, _ = raised.value.remedy.partition(", or")
    with postgresql.session() as run:
        run(statement)
    mirror(postgresql, user, clone)


def test_an_admin_sets_no_password_that_cannot_be_used(postgresql: PostgreSQLLaboratory) -> None:
    user = postgresql.new_user()
    alter(postgresql, "ALTER ROLE {} VALID UNTIL '2020-01-01'", user.username)
    with (
        postgresql.engine.connect(postgresql.admin, deadline()) as session,
        pytest.raises(LoginBlocked, match="the right one too"),
    ):
        session.reset_password(user.username, secrets.token_urlsafe())
    alter(postgresql, "ALTER ROLE {} VALID UNTIL 'infinity'", user.username)
    assert postgresql.logs_in(user), "the password is the old one"
    with postgresql.session() as run:
        run(SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(Identifier(user.username)))
