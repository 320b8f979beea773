"""Can a rotation on PostgreSQL leave a password that no entry of pg_hba.conf accepts, and are its answers true?"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from psycopg2.sql import SQL, Identifier

from rotation.engines.postgresql import PostgreSQL
from rotation.errors import LoginBlocked, NotPermitted, Untrusted
from rotation.kind import Strategy
from rotation.steps import Step
from tests.contract.impostor import SSL_REQUEST, TLS, Line
from tests.contract.postgresql_kit import alter
from tests.contract.test_few_logins import Rotated
from tests.contract.test_postgresql_answers import entry, log_in, saying, told
from tests.contract.test_tls import try_to_log_in
from tests.laboratories import deadline, new_password
from tests.laboratories.postgresql import PostgreSQLLaboratory, own
from tests.laboratories.postgresql_elsewhere import MAJOR

WAYS = [(Strategy.SINGLE_USER, False), (Strategy.SINGLE_USER, True), (Strategy.ALTERNATING_USERS, True)]


@pytest.fixture(scope="module")
def _server() -> Iterator[PostgreSQLLaboratory]:
    with own(MAJOR) as laboratory:
        yield laboratory


@pytest.fixture
def server(_server: PostgreSQLLaboratory, monkeypatch: pytest.MonkeyPatch) -> PostgreSQLLaboratory:
    """A server of its own, whose settings can be changed."""
    monkeypatch.setenv("DB_CA_BUNDLE", str(_server.ca_bundle))
    return _server


@contextmanager
def setting(laboratory: PostgreSQLLaboratory, name: str, value: str) -> Iterator[None]:
    """Change a setting of the server for a while; a session that is open knows it, too."""
    with laboratory.session() as run:
        run(SQL("ALTER SYSTEM SET {} TO %s").format(Identifier(name)), value)
        run("SELECT pg_reload_conf()")
        try:
            yield
        finally:
            run(SQL("ALTER SYSTEM RESET {}").format(Identifier(name)))
            run("SELECT pg_reload_conf()")


@contextmanager
def kept_as_md5(laboratory: PostgreSQLLaboratory, secret: Rotated, *, but_scram_is_asked: bool) -> Iterator[None]:
    """Let the server keep passwords as md5; the user's own is kept as md5, too, unless the server asks for SCRAM."""
    with setting(laboratory, "password_encryption", "md5"):
        if but_scram_is_asked:
            with entry(
                laboratory, f'hostssl all "{secret.user.username}","{secret.user.username}_clone" all scram-sha-256'
            ):
                yield
        else:
            laboratory.change_password(secret.user)
            yield


def kept(laboratory: PostgreSQLLaboratory, username: str) -> str:
    """Return how the password of a role is kept."""
    with laboratory.session() as run:
        [(verifier,)] = run("SELECT rolpassword FROM pg_authid WHERE rolname = %s", username)
    return "md5" if str(verifier).startswith("md5") else str(verifier).partition("$")[0]


@pytest.mark.parametrize(("strategy", "through_admin"), WAYS)
def test_a_password_that_is_to_be_kept_as_md5_logs_in_where_scram_is_asked(
    server: PostgreSQLLaboratory, strategy: Strategy, *, through_admin: bool
) -> None:
    """An operator switched pg_hba.conf to SCRAM, and left password_encryption as it was."""
    secret = Rotated(server, strategy, through_admin=through_admin)
    with kept_as_md5(server, secret, but_scram_is_asked=True):
        secret.rotate()
        assert secret.logs_in()
        assert secret.refused() == 0
    assert kept(server, secret.secret.read().credential.username) == "SCRAM-SHA-256"


def test_a_user_that_may_have_one_connection_keeps_scram(server: PostgreSQLLaboratory) -> None:
    """The server says so after the password only."""
    secret = Rotated(server, Strategy.SINGLE_USER, through_admin=False)
    alter(server, "ALTER ROLE {} CONNECTION LIMIT 1", secret.user.username)
    with kept_as_md5(server, secret, but_scram_is_asked=True):
        secret.begin()
        secret.run(Step.CREATE, Step.SET)
    assert kept(server, secret.user.username) == "SCRAM-SHA-256"


@pytest.mark.parametrize(("strategy", "through_admin"), WAYS)
def test_a_password_that_is_kept_as_md5_stays_so_where_md5_is_asked(
    server: PostgreSQLLaboratory, strategy: Strategy, *, through_admin: bool
) -> None:
    """An old client knows no SCRAM."""
    secret = Rotated(server, strategy, through_admin=through_admin)
    with kept_as_md5(server, secret, but_scram_is_asked=False), entry(server, "hostssl all all all md5"):
        before = server.logins()
        secret.rotate()
        assert secret.logs_in()
        after = server.logins()
    assert before
    assert after
    assert after.refused == before.refused
    assert kept(server, secret.secret.read().credential.username) == "md5"


def test_a_server_that_speaks_no_tls_of_today_is_no_silence(server: PostgreSQLLaboratory) -> None:
    user = server.new_user()
    with setting(server, "ssl_max_protocol_version", "TLSv1.1"), setting(server, "ssl_min_protocol_version", "TLSv1"):
        error = log_in(server, user)
    assert isinstance(error, Untrusted), error
    assert "SHOW ssl_max_protocol_version" in error.remedy
    assert "TLS 1.2 or later" in error.remedy


def test_a_server_without_a_common_cipher_is_no_silence() -> None:
    def talk(line: Line) -> None:
        line.hear(len(SSL_REQUEST))
        line.say(TLS)
        line.hear()
        line.say(bytes([21, 3, 1, 0, 2, 2, 40]))

    error, _ = try_to_log_in(PostgreSQL(), talk)
    assert isinstance(error, Untrusted)
    assert "SHOW ssl_ciphers" in error.remedy


def test_a_function_of_pg_tle_that_refuses_a_login_is_named() -> None:
    """It runs whatever the password is, so this is no answer to the password."""
    for asked in (True, False):
        error = told(saying("08000", "app is locked after 5 wrong passwords", asked=asked))
        assert type(error) is LoginBlocked
        assert "app is locked after 5 wrong passwords" in error.cause
        assert "pgtle.enable_clientauth" in error.remedy


def test_a_user_that_may_not_change_its_password_is_told_what_rds_wants(server: PostgreSQLLaboratory) -> None:
    """RDS can restrict that (rds.restrict_password_commands); here another role has got the name meanwhile."""
    user = server.new_user()
    with server.engine.connect(user, deadline()) as session:
        session.proof()
        alter(server, "ALTER ROLE {} RENAME TO {}", user.username, f"{user.username}_before")
        alter(server, "CREATE ROLE {}", user.username)
        with pytest.raises(NotPermitted) as raised:
            session.change_own_password(new_password())
    assert raised.value.remedy.endswith(f'GRANT rds_password TO "{user.username}"')
    assert '"masterarn"' in raised.value.remedy


def test_an_admin_that_may_not_set_a_password_is_told_the_statement(server: PostgreSQLLaboratory) -> None:
    user, weak, new = server.new_user(), server.new_user(), new_password()
    with server.session() as run:
        run(SQL("ALTER ROLE {} CREATEROLE").format(Identifier(weak.username)))
    with pytest.raises(NotPermitted) as raised, server.engine.connect(weak, deadline()) as session:
        session.reset_password(user.username, new)
    with server.session() as run:
        run(raised.value.remedy.partition(": ")[2])
    with server.engine.connect(weak, deadline()) as session:
        session.reset_password(user.username, new)
    assert server.logs_in(replace(user, password=new))
