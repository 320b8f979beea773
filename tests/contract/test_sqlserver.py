"""What else does SQL Server promise, that no other engine has?"""

import logging
import secrets
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pymssql
import pytest

from rotation.credential import Credential
from rotation.engine import CloneStatus
from rotation.engines.network import tls_context
from rotation.engines.sqlserver.session import SQLServer, SQLServerSession
from rotation.errors import (
    LoginBlocked,
    LoginRefused,
    NotPermitted,
    PasswordRefused,
    RotationError,
    StatementFailed,
    Unreachable,
    Unsupported,
    Untrusted,
)
from tests.contract.contract import HOSTILE, EngineContract
from tests.contract.pairs import Pair, changed, clone_status, new_clone
from tests.contract.sqlserver_kit import (
    LOGIN,
    alter,
    asked,
    differences,
    make_equal,
    mirror,
    needs_stand_in,
)
from tests.contract.tap import tapping
from tests.laboratories import INVOICES, ORDERS, Laboratory, deadline, new_password
from tests.laboratories.sqlserver import (
    CONTAINED,
    DATABASE,
    SQLServerLaboratory,
    bracketed,
    quoted,
)
from tests.local.servers import certificates
from tests.local.stand_ins.sqlserver import messages as tds
from tests.local.stand_ins.sqlserver import server as sqlserver_server
from tests.local.stand_ins.sqlserver import wire as tds_server

pytestmark = pytest.mark.engine("sqlserver")


class TestSQLServer(EngineContract):
    """SQL Server keeps the contract."""

    # "Authentication logins … cannot contain a '\'" (create-login-transact-sql).
    @pytest.mark.parametrize("text", [text for text in HOSTILE if "\\" not in text])
    def test_hostile_names_and_passwords_are_only_text(self, laboratory: Laboratory, text: str) -> None:
        super().test_hostile_names_and_passwords_are_only_text(laboratory, text)


# Passwords and logins


def test_an_option_of_a_password_is_kept_when_it_changes(sqlserver: SQLServerLaboratory) -> None:
    user = sqlserver.new_user(policy=True)
    alter(sqlserver, f"ALTER LOGIN {user.username} WITH CHECK_EXPIRATION = ON")
    before = asked(sqlserver, LOGIN, user.username)
    new = changed(user)
    with sqlserver.engine.connect(user, deadline()) as session:
        session.change_own_password(new.password)
    with sqlserver.engine.connect(sqlserver.admin, deadline()) as session:
        session.set_password(user.username, new_password())
    assert asked(sqlserver, LOGIN, user.username) == before


@pytest.mark.parametrize("password", ["it's 'quoted'", "'; DROP LOGIN sa --", "N'", "''", "%s {} [x]"])
def test_quotes_are_part_of_a_password(sqlserver: SQLServerLaboratory, password: str) -> None:
    user = sqlserver.new_user(f"it's [{secrets.token_hex(3)}]")
    first, second = (replace(user, password=f"{password} Aa{number}") for number in range(2))
    with sqlserver.engine.connect(user, deadline()) as session:
        session.change_own_password(first.password)
        session.change_own_password(second.password)
    assert sqlserver.logs_in(second)
    clone = replace(new_clone(user), password=first.password)
    mirror(sqlserver, user, clone)
    assert sqlserver.logs_in(clone)


@pytest.mark.parametrize("password", ["Sh0rt", "onlylowercaseletters", "x" * 200])
def test_a_password_against_the_policy_has_a_remedy(sqlserver: SQLServerLaboratory, password: str) -> None:
    user = sqlserver.new_user(policy=True)
    refused = pytest.raises(PasswordRefused, match=r"1511[678].*PASSWORD_LENGTH")
    with refused as raised, sqlserver.engine.connect(user, deadline()) as session:
        session.change_own_password(password)
    assert password not in str(raised.value)
    with refused, sqlserver.engine.connect(sqlserver.admin, deadline()) as session:
        session.set_password(user.username, password)
    assert sqlserver.logs_in(user)


def test_a_password_history_does_not_stop_a_repetition(sqlserver: SQLServerLaboratory) -> None:
    user = sqlserver.new_user(policy=True)
    changed = replace(user, password=new_password())
    for who in (user, changed):
        with sqlserver.engine.connect(who, deadline()) as session:
            session.change_own_password(changed.password)
    with sqlserver.engine.connect(sqlserver.admin, deadline()) as session:
        session.set_password(user.username, changed.password)
    assert sqlserver.logs_in(changed)


def test_a_password_that_somebody_has_just_changed_is_not_overwritten(sqlserver: SQLServerLaboratory) -> None:
    user = sqlserver.new_user()
    with sqlserver.engine.connect(user, deadline()) as late:
        with sqlserver.engine.connect(user, deadline()) as session:
            session.change_own_password(new_password())
        with pytest.raises(NotPermitted, match="15151"):
            late.change_own_password(new_password())


BLOCKED = [
    ("ALTER LOGIN {} DISABLE", 18470, "ENABLE"),
    ("ALTER LOGIN {} WITH PASSWORD = {} MUST_CHANGE, CHECK_POLICY = ON, CHECK_EXPIRATION = ON", 18488, "by hand"),
]


@pytest.mark.parametrize(("statement", "number", "remedy"), BLOCKED)
def test_a_login_that_is_blocked_is_not_a_wrong_password(
    sqlserver: SQLServerLaboratory, statement: str, number: int, remedy: str
) -> None:
    user = sqlserver.new_user()
    alter(sqlserver, statement.format(user.username, quoted(user.password)))
    began = time.monotonic()
    with (
        pytest.raises(LoginBlocked, match=f"{remedy}.*|.*{number}"),
        sqlserver.engine.connect(user, deadline()) as session,
    ):
        session.verify([])
    assert time.monotonic() - began < 3, "python-tds tries again and again"
    with pytest.raises(LoginRefused), sqlserver.engine.connect(replace(user, password="wrong"), deadline()):
        pass
    new = changed(user)
    with sqlserver.engine.connect(sqlserver.admin, deadline()) as session:
        session.set_password(user.username, new.password)
    assert sqlserver.logs_in(new)


def test_a_login_that_is_locked_is_unlocked_with_its_new_password(sqlserver: SQLServerLaboratory) -> None:
    needs_stand_in(sqlserver)
    user = sqlserver.new_user(policy=True)
    for _ in range(10):
        assert not sqlserver.logs_in(replace(user, password="wrong"))
    with pytest.raises(LoginBlocked, match=r"18486.*UNLOCK"), sqlserver.engine.connect(user, deadline()):
        pass
    new = changed(user)
    with sqlserver.engine.connect(sqlserver.admin, deadline()) as session:
        session.set_password(user.username, new.password)
    assert sqlserver.logs_in(new)


def test_a_database_that_does_not_exist_is_not_a_wrong_password(sqlserver: SQLServerLaboratory, database: str) -> None:
    user = sqlserver.new_user()
    for name in (database, "nowhere"):
        blocked = pytest.raises(LoginBlocked, match=r'Cannot open database.*4060.*"dbname"')
        with blocked, sqlserver.engine.connect(replace(user, database=name), deadline()):
            pass
        wrong = replace(user, database=name, password="wrong")
        with pytest.raises(LoginRefused), sqlserver.engine.connect(wrong, deadline()):
            pass


def test_what_the_client_cannot_send_is_reported(sqlserver: SQLServerLaboratory) -> None:
    key, long = "\U0001f511", "x" * 129
    for user in (replace(sqlserver.admin, username=key), replace(sqlserver.admin, password=f"A {key}")):
        with pytest.raises(Unsupported, match=r"U\+FFFF"), sqlserver.engine.connect(user, deadline()):
            pass
    for user in (replace(sqlserver.admin, username=long), replace(sqlserver.admin, password=long)):
        with pytest.raises(LoginBlocked, match="no login"), sqlserver.engine.connect(user, deadline()):
            pass


def test_the_client_logs_no_statement(sqlserver: SQLServerLaboratory, caplog: pytest.LogCaptureFixture) -> None:
    user, new = sqlserver.new_user(), new_password()
    with caplog.at_level(logging.DEBUG), sqlserver.engine.connect(user, deadline()) as session:
        session.change_own_password(new)
    assert not [record for record in caplog.records if record.name.startswith("pytds")]
    assert new not in caplog.text


def test_a_lock_is_not_waited_for_for_ever(sqlserver: SQLServerLaboratory, pair: Pair) -> None:
    with sqlserver.session() as run, sqlserver.engine.connect(sqlserver.admin, deadline(2.5)) as session:
        run("BEGIN TRANSACTION")
        run(f"ALTER LOGIN {pair[0].username} WITH DEFAULT_LANGUAGE = us_english")
        with pytest.raises(StatementFailed, match=r"1222.*holds the lock"):
            session.set_password(pair[0].username, new_password())
        run("ROLLBACK TRANSACTION")


# Contained users


def test_a_contained_user_changes_its_own_password(sqlserver: SQLServerLaboratory) -> None:
    user = sqlserver.new_contained_user()
    new = changed(user)
    with sqlserver.engine.connect(user, deadline()) as session:
        session.change_own_password(new.password)
        session.change_own_password(new.password)
    assert sqlserver.logs_in(new)
    assert not sqlserver.logs_in(user)
    refused = pytest.raises(PasswordRefused, match=r"1511[68].*PASSWORD_LENGTH")
    with refused, sqlserver.engine.connect(new, deadline()) as session:
        session.change_own_password("weak")


def test_a_contained_user_has_a_clone_in_its_database(sqlserver: SQLServerLaboratory) -> None:
    user = sqlserver.new_contained_user()
    clone = new_clone(user)
    assert clone_status(sqlserver, user, clone) is CloneStatus.ABSENT
    with sqlserver.engine.connect(replace(sqlserver.admin, database=CONTAINED), deadline()) as session:
        session.mirror(user.username, clone.username)
    assert not sqlserver.logs_in(clone)
    mirror(sqlserver, user, clone)
    assert sqlserver.may_read(clone, ORDERS)
    assert not sqlserver.may_read(clone, INVOICES)
    assert clone_status(sqlserver, user, clone) is clone_status(sqlserver, clone, user) is CloneStatus.OURS
    assert asked(sqlserver, LOGIN, clone.username) == []


@pytest.mark.parametrize("back", [False, True], ids=["forth", "back"])
def test_rights_of_contained_users_follow(sqlserver: SQLServerLaboratory, contained: Pair, back: bool) -> None:
    current, other = contained[::-1] if back else contained
    name = bracketed(current.username)
    for statement in (
        f"GRANT INSERT ON dbo.{INVOICES} TO {name} WITH GRANT OPTION",
        f"DENY SELECT ON dbo.{ORDERS} TO {name}",
        f"ALTER ROLE db_datareader ADD MEMBER {name}",
        f"ALTER USER {name} WITH DEFAULT_SCHEMA = guest, DEFAULT_LANGUAGE = Deutsch",
        f"ALTER USER {name} WITH DEFAULT_LANGUAGE = NONE",
        f"REVOKE INSERT ON dbo.{INVOICES} FROM {name} CASCADE",
        f"ALTER ROLE db_datareader DROP MEMBER {name}",
    ):
        alter(sqlserver, statement, database=CONTAINED)
        assert differences(sqlserver, current, other)
        make_equal(sqlserver, current, other, CONTAINED)


def test_somebody_elses_contained_user_is_not_ours(sqlserver: SQLServerLaboratory) -> None:
    user = sqlserver.new_contained_user()
    clone = new_clone(user)
    alter(sqlserver, f"CREATE USER {clone.username} WITH PASSWORD = {quoted(clone.password)}", database=CONTAINED)
    assert clone_status(sqlserver, user, clone) is CloneStatus.UNKNOWN


def test_a_contained_user_cannot_set_the_password_of_another(sqlserver: SQLServerLaboratory, contained: Pair) -> None:
    victim = sqlserver.new_contained_user()
    with pytest.raises(NotPermitted), sqlserver.engine.connect(contained[0], deadline()) as session:
        session.set_password(victim.username, new_password())
    with (
        pytest.raises(NotPermitted, match="ALTER ANY USER"),
        sqlserver.engine.connect(contained[0], deadline()) as session,
    ):
        session.clone_status(contained[0].username, contained[1].username)
    assert sqlserver.logs_in(victim)


# verify


@pytest.mark.parametrize(
    "statement",
    ["INSERT INTO dbo.lab_orders VALUES (1)", "/* a */ -- b\nSELECT 1", "SELECT 'COMMIT' AS [COMMIT] -- ROLLBACK"],
)
def test_what_a_statement_of_verify_does_is_undone(sqlserver: SQLServerLaboratory, statement: str) -> None:
    user = sqlserver.new_user()
    alter(sqlserver, f"GRANT INSERT ON dbo.lab_orders TO {user.username}", database=DATABASE)
    with sqlserver.engine.connect(user, deadline()) as session:
        session.verify([statement] * 2)
        session.verify([statement])
    assert asked(sqlserver, "SELECT id FROM dbo.lab_orders", database=DATABASE) == []


@pytest.mark.parametrize(
    "statement",
    [
        "COMMIT",
        "SELECT 1 COMMIT",
        "SELECT 1; ROLLBACK; SELECT 2",
        "EXEC dbo.something",
        "[dbo].[something] SELECT 1",
        "'SELECT' SELECT",
        "SELECT 1 EXECUTE sp_who",
        "DECLARE @a int",
        "SELECT 1 /* /* */ COMMIT -- */",
        "SELECT 1 -- \r COMMIT",
        "SELECT ']' COMMIT",
        "SELECT [a]]b] COMMIT",
        "",
    ],
)
def test_what_could_not_be_undone_is_not_run(sqlserver: SQLServerLaboratory, statement: str) -> None:
    with (
        pytest.raises(StatementFailed, match="a transaction cannot take it back"),
        sqlserver.engine.connect(sqlserver.admin, deadline()) as session,
    ):
        session.verify([statement])


# How the server is reached


def test_the_laboratory_takes_no_lost_connection_for_a_refusal(
    sqlserver: SQLServerLaboratory, closed_port: int
) -> None:
    """What the client keeps of a refusal stands in all that it says afterwards, too."""
    user = sqlserver.new_user()
    wrong = replace(user, password="wrong")
    assert not sqlserver.logs_in(wrong)
    assert not sqlserver.may_read(wrong, ORDERS)
    assert not sqlserver.may_read(user, INVOICES)
    with pytest.raises(pymssql.Error):
        sqlserver.logs_in(replace(wrong, port=closed_port))
    assert sqlserver.logs_in(user)


def test_a_certificate_of_another_authority_is_not_trusted(
    sqlserver: SQLServerLaboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DB_CA_BUNDLE")
    before = sqlserver.logins()
    with (
        pytest.raises(Untrusted, match=r"self-signed|unable to get"),
        sqlserver.engine.connect(sqlserver.admin, deadline()),
    ):
        pass
    assert sqlserver.logins() == before, "nothing was sent to it"


def test_a_certificate_for_another_host_name_is_not_trusted(
    sqlserver: SQLServerLaboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (sqlserver.admin.host, sqlserver.admin.port))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: place)
    with (
        pytest.raises(Untrusted, match=r"[Hh]ostname mismatch"),
        sqlserver.engine.connect(replace(sqlserver.admin, host="db.example"), deadline()),
    ):
        pass


def test_an_expired_certificate_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "issue", partial(certificates.issue, ends=timedelta(days=-1)))
    with sqlserver_server.start() as server:
        monkeypatch.setenv("DB_CA_BUNDLE", str(server.ca_bundle))
        with pytest.raises(Untrusted, match="expired"), SQLServer().connect(superuser_of(server), deadline()):
            pass
        assert (server.log.tried, server.log.lines) == (0, [])


def test_a_bundle_that_cannot_be_read_is_reported(
    sqlserver: SQLServerLaboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_CA_BUNDLE", "/nowhere.pem")
    with pytest.raises(Untrusted, match="DB_CA_BUNDLE"), sqlserver.engine.connect(sqlserver.admin, deadline()):
        pass


@contextmanager
def standing_in(monkeypatch: pytest.MonkeyPatch, **options: object) -> Iterator[Credential]:
    """Run a stand-in of another kind, and trust it."""
    with sqlserver_server.start(**options) as server:  # type: ignore[arg-type]  # whichever option it is
        monkeypatch.setenv("DB_CA_BUNDLE", str(server.ca_bundle))
        yield superuser_of(server)


def superuser_of(server: sqlserver_server.Server) -> Credential:
    return Credential(
        engine="sqlserver",
        host=server.host,
        port=server.port,
        database="master",
        username=server.superuser,
        password=server.password,
        tls=True,
    )


def test_another_engine_does_not_get_the_older_tls_that_this_one_needs(sqlserver: SQLServerLaboratory) -> None:
    """Connections share what verifies servers."""
    others = tls_context(sqlserver.admin.host)
    with sqlserver.engine.connect(sqlserver.admin, deadline()):
        pass
    list(sqlserver.engine.reach(sqlserver.admin, deadline()))
    assert tls_context(sqlserver.admin.host) is others
    assert others.maximum_version is ssl.TLSVersion.MAXIMUM_SUPPORTED
    assert others.check_hostname
    assert others.verify_mode is ssl.CERT_REQUIRED


def test_a_server_without_tls_learns_nothing_about_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    with standing_in(monkeypatch, has_tls=False) as superuser:
        refused = pytest.raises(Untrusted, match=r'does not speak TLS.*"ssl": false')
        with refused, SQLServer().connect(superuser, deadline()):
            pass
        with SQLServer().connect(replace(superuser, tls=False), deadline()) as session:
            session.verify(["SELECT 1"])


def test_a_server_that_wants_tls_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    with standing_in(monkeypatch, force_tls=lambda: True) as superuser:
        with (
            pytest.raises(LoginBlocked, match='Take "ssl": false out of the secret'),
            SQLServer().connect(replace(superuser, tls=False), deadline()),
        ):
            pass
        with SQLServer().connect(superuser, deadline()) as session:
            session.verify(["SELECT 1"])


def test_nobody_is_followed_to_another_server(monkeypatch: pytest.MonkeyPatch) -> None:
    original = tds.environment  # the stand-in's answer to a login is what is changed here
    with socket.create_server(("127.0.0.1", 0)) as elsewhere, standing_in(monkeypatch) as superuser:
        host, port = elsewhere.getsockname()
        route = struct.pack("<BHH", 0, port, len(host)) + host.encode("utf-16-le")

        def environment(kind: int, body: bytes) -> bytes:
            return original(
                *((20, struct.pack("<H", len(route)) + route + b"\0\0") if kind == tds.LANGUAGE else (kind, body))
            )

        monkeypatch.setattr(tds_server, "environment", environment)
        elsewhere.settimeout(0.2)
        with pytest.raises(LoginBlocked, match="redirects"), SQLServer().connect(superuser, deadline()):
            pass
        with pytest.raises(TimeoutError):
            elsewhere.accept()


def drip(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.recv(4096)
        connection.sendall(bytes.fromhex("04 01 ffff 0000 01 00"))
        while True:
            connection.sendall(b"\0")
            time.sleep(0.1)


def chatter(connection: socket.socket) -> None:
    connection.sendall(b"220 mail.example ESMTP ready, and more to fill a packet\r\n")
    connection.recv(4096)


def hang_up(connection: socket.socket) -> None:
    connection.recv(4096)


@contextmanager
def serving(talk: Callable[[socket.socket], None]) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection, suppress(OSError):
                        talk(connection)

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("talk", [drip, chatter, hang_up])
@pytest.mark.parametrize("tls", [True, False])
def test_what_is_no_sql_server_is_left_in_time(
    sqlserver: SQLServerLaboratory, talk: Callable[[socket.socket], None], tls: bool
) -> None:
    began = time.monotonic()
    with (
        serving(talk) as port,
        pytest.raises((Unreachable, LoginBlocked, Untrusted)) as raised,
        sqlserver.engine.connect(replace(sqlserver.admin, port=port, tls=tls), deadline(2.5)),
    ):
        pass
    assert time.monotonic() - began < 5
    if talk is not chatter:
        assert raised.type is Unreachable


def test_a_server_that_goes_away_in_between_is_unreachable(sqlserver: SQLServerLaboratory) -> None:
    with (
        tapping(sqlserver.admin.port) as tap,
        sqlserver.engine.connect(replace(sqlserver.admin, port=tap.port), deadline()) as session,
    ):
        tap.cut_off()
        with pytest.raises(Unreachable):
            session.verify(["SELECT 1"])


def test_no_error_holds_a_password(sqlserver: SQLServerLaboratory, closed_port: int) -> None:
    user = sqlserver.new_user(policy=True)
    secret = "".join(secrets.choice("abcdef") for _ in range(40)) + "'"
    attempts: Sequence[Callable[[], object]] = (
        lambda: connect_and(replace(user, password=secret), lambda _: None),
        lambda: connect_and(replace(user, password=secret, port=closed_port), lambda _: None),
        lambda: connect_and(user, lambda session: session.change_own_password("weak" + secret)),
        lambda: connect_and(user, lambda session: session.set_password("sa", secret)),
        lambda: connect_and(replace(user, database="nowhere", password=secret), lambda _: None),
        lambda: connect_and(user, lambda session: session.verify([f"DELETE '{secret}"])),
    )

    def connect_and(who: Credential, do: Callable[[SQLServerSession], None]) -> None:
        with sqlserver.engine.connect(who, deadline()) as session:
            do(session)

    for attempt in attempts:
        with pytest.raises(RotationError) as raised:
            attempt()
        assert secret not in f"{raised.value} {raised.value.__cause__!r}"
        assert raised.value.__suppress_context__ or raised.value.__context__ is None
