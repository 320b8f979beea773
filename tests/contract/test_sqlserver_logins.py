"""What does SQL Server answer to a login, what do we make of it, and what becomes of an expired password?"""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest

from rotation.credential import Credential
from rotation.engines.sqlserver.problems import CHANGE_PROBLEMS, EXPIRED_PASSWORDS, LOGIN_PROBLEMS, WRONG_LOGIN
from rotation.engines.sqlserver.session import SQLServer
from rotation.errors import (
    DatabaseError,
    LoginBlocked,
    LoginRefused,
    NotPermitted,
    PasswordRefused,
    RotationError,
    StatementFailed,
    Unreachable,
    Unsafe,
)
from rotation.kind import Strategy
from rotation.steps import STEPS, Rotation, Step
from tests.contract.pairs import admin_for, changed
from tests.contract.sqlserver_kit import alter, needs_stand_in
from tests.fakes import FakeSecret
from tests.laboratories import deadline, new_password
from tests.laboratories.sqlserver import CONTAINED, SQLServerLaboratory, bracketed, quoted
from tests.local.stand_ins.sqlserver import messages as tds
from tests.local.stand_ins.sqlserver import wire as tds_server
from tests.local.stand_ins.sqlserver.backend import LoginError, Session, SqlError
from tests.local.stand_ins.sqlserver.server import StandIn

pytestmark = pytest.mark.engine("sqlserver")

SINGLE, ALTERNATING = Strategy.SINGLE_USER, Strategy.ALTERNATING_USERS


def expire(sqlserver: SQLServerLaboratory, user: Credential) -> None:
    """Let the password end: it must be changed, which the server says as of one that is too old."""
    options = "MUST_CHANGE, CHECK_POLICY = ON, CHECK_EXPIRATION = ON"
    alter(sqlserver, f"ALTER LOGIN {bracketed(user.username)} WITH PASSWORD = {quoted(user.password)} {options}")


def new_secret(sqlserver: SQLServerLaboratory, user: Credential, strategy: Strategy, *, admin: bool) -> FakeSecret:
    place = {"engine": user.engine, "host": user.host, "port": user.port, "dbname": user.database}
    login = {"username": user.username, "password": user.password, "ssl": user.tls}
    named = {"masterarn": "arn:admin"} if admin else {}
    return FakeSecret({**place, **login, **named, "rotation": {"strategy": strategy}}, sqlserver.engine.kind)


def rotate(
    sqlserver: SQLServerLaboratory, secret: FakeSecret, *, password: str = "", steps: tuple[Step, ...] = tuple(Step)
) -> None:
    for step in steps:
        STEPS[step](
            Rotation(
                secret=secret,
                engine=sqlserver.engine,
                deadline=deadline(),
                admin=lambda value: admin_for(sqlserver, value.credential),
                new_password=lambda *_: password or new_password(),
                annotate=lambda _: None,
            )
        )


def refused_logins(sqlserver: SQLServerLaboratory) -> int:
    return sqlserver.log.refused if sqlserver.log else 0


# A password that has expired


@pytest.mark.parametrize("admin", [False, True])
def test_a_rotation_renews_an_expired_password_by_itself(sqlserver: SQLServerLaboratory, *, admin: bool) -> None:
    user = sqlserver.new_user()
    expire(sqlserver, user)
    secret = new_secret(sqlserver, user, SINGLE, admin=admin)
    secret.begin("version-1")
    before = refused_logins(sqlserver)
    rotate(sqlserver, secret)
    assert refused_logins(sqlserver) - before <= 1, "the one that says that the password has expired"
    assert sqlserver.logs_in(secret.read().credential)
    assert not sqlserver.logs_in(user)


def test_a_step_that_renews_an_expired_password_can_be_repeated(sqlserver: SQLServerLaboratory) -> None:
    user = sqlserver.new_user()
    expire(sqlserver, user)
    secret = new_secret(sqlserver, user, SINGLE, admin=False)
    secret.begin("version-1")
    rotate(sqlserver, secret, steps=(Step.CREATE, Step.SET, Step.SET, Step.TEST, Step.FINISH))
    assert sqlserver.logs_in(secret.read().credential)


def test_of_two_that_renew_at_once_the_later_one_finds_it_done(sqlserver: SQLServerLaboratory) -> None:
    user, new = sqlserver.new_user(), new_password()
    expire(sqlserver, user)
    with sqlserver.engine.connect(user, deadline()) as first, sqlserver.engine.connect(user, deadline()) as second:
        first.change_own_password(new)
        second.change_own_password(new)
        with pytest.raises(LoginRefused):
            second.change_own_password(new_password())
    assert sqlserver.logs_in(replace(user, password=new))


@pytest.mark.parametrize("number", sorted(n for n, (kind, _) in CHANGE_PROBLEMS.items() if kind is NotPermitted))
def test_an_admin_renews_what_the_server_does_not_let_the_user_renew(
    sqlserver: SQLServerLaboratory, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    needs_stand_in(sqlserver)
    user = sqlserver.new_user()
    expire(sqlserver, user)

    def renew(*_: object, **__: object) -> None:
        raise SqlError(number, "The password change failed.", 14)

    monkeypatch.setattr(StandIn, "_renew", renew)
    secret = new_secret(sqlserver, user, SINGLE, admin=False)
    secret.begin("version-1")
    with pytest.raises(NotPermitted, match="masterarn"):
        rotate(sqlserver, secret)
    secret = new_secret(sqlserver, user, SINGLE, admin=True)
    secret.begin("version-1")
    rotate(sqlserver, secret)
    assert sqlserver.logs_in(secret.read().credential)


def test_an_expired_user_of_a_pair_proves_who_it_is_and_the_other_one_takes_over(
    sqlserver: SQLServerLaboratory,
) -> None:
    user = sqlserver.new_user(policy=True)
    secret = new_secret(sqlserver, user, ALTERNATING, admin=True)
    for number in range(4):
        secret.begin(f"version-{number}")
        rotate(sqlserver, secret)
        current = secret.read().credential
        assert sqlserver.logs_in(current)
        expire(sqlserver, current)


def test_a_wrong_password_of_an_expired_login_proves_nothing(sqlserver: SQLServerLaboratory) -> None:
    user = sqlserver.new_user()
    expire(sqlserver, user)
    for strategy in (SINGLE, ALTERNATING):
        secret = new_secret(sqlserver, changed(user), strategy, admin=True)
        secret.begin("version-1")
        with pytest.raises(LoginRefused):
            rotate(sqlserver, secret)


def test_a_proof_of_an_expired_login_is_one_of_that_login_only(sqlserver: SQLServerLaboratory) -> None:
    user = sqlserver.new_user()
    expire(sqlserver, user)
    with sqlserver.engine.connect(user, deadline()) as session:
        proof = session.proof()
    with sqlserver.engine.connect(sqlserver.admin, deadline()) as session:
        session.require_proven(proof)
        session.reset_password(user.username, new := new_password())
        for name in (sqlserver.admin.username, "nobody", "sysadmin", "sa"):
            with pytest.raises(Unsafe):
                session.require_proven(replace(proof, username=name))
    assert sqlserver.logs_in(replace(user, password=new))


def test_a_contained_user_of_that_name_is_not_taken_for_the_expired_login(sqlserver: SQLServerLaboratory) -> None:
    login = sqlserver.new_user()
    expire(sqlserver, login)
    with sqlserver.engine.connect(login, deadline()) as session:
        proof = session.proof()
    contained = replace(login, database=CONTAINED, password=new_password())
    alter(
        sqlserver,
        f"CREATE USER {bracketed(login.username)} WITH PASSWORD = {quoted(contained.password)}",
        database=CONTAINED,
    )
    new = new_password()
    with sqlserver.engine.connect(replace(sqlserver.admin, database=CONTAINED), deadline()) as session:
        session.require_proven(proof)
        session.reset_password(login.username, new)
    assert sqlserver.logs_in(contained)
    assert sqlserver.logs_in(replace(login, password=new))


def test_who_has_an_expired_password_can_do_nothing_else(sqlserver: SQLServerLaboratory) -> None:
    expired = sqlserver.new_user()
    other = sqlserver.new_user()
    expire(sqlserver, expired)
    with sqlserver.engine.connect(expired, deadline()) as session:
        for attempt in (
            lambda: session.verify([]),
            lambda: session.set_password(other.username, new_password()),
            lambda: session.clone_status(expired.username, other.username),
        ):
            with pytest.raises(LoginBlocked, match=r"18488.*ALTER LOGIN \[app_\w+\] WITH PASSWORD"):
                attempt()


def test_a_new_password_against_the_policy_is_refused_at_a_login_too(sqlserver: SQLServerLaboratory) -> None:
    user = sqlserver.new_user(policy=True)
    expire(sqlserver, user)
    with sqlserver.engine.connect(user, deadline()) as session:
        for password, number in (("Sh0rt", 18464), ("onlylowercaseletters", 18466), (user.password, 18463)):
            with pytest.raises(PasswordRefused, match=f"{number}.*PASSWORD_LENGTH") as raised:
                session.change_own_password(password)
            assert password not in str(raised.value)
    assert user.password not in sqlserver.log_text()


@pytest.mark.parametrize("length", [8, 128])
def test_any_password_is_sent_whole(sqlserver: SQLServerLaboratory, length: int) -> None:
    user = sqlserver.new_user(f"ä [{new_password()[:80]}]")
    expire(sqlserver, user)
    new = ("Aa1ß€\uffff" * length)[:length]
    with sqlserver.engine.connect(user, deadline()) as session:
        session.change_own_password(new)
    with sqlserver.engine.connect(replace(user, password=new), deadline()) as session:
        session.verify(["SELECT 1"])


# What the server says


def fails_with(sqlserver: SQLServerLaboratory, user: Credential) -> DatabaseError:
    with pytest.raises(DatabaseError) as raised, sqlserver.engine.connect(user, deadline()) as session:
        session.verify([])
    return raised.value


@pytest.mark.parametrize("number", sorted(LOGIN_PROBLEMS))
@pytest.mark.parametrize("with_another", [False, True], ids=["alone", "before 18456"])
def test_an_answer_is_read_by_its_number_in_every_language(
    sqlserver: SQLServerLaboratory, monkeypatch: pytest.MonkeyPatch, number: int, *, with_another: bool
) -> None:
    needs_stand_in(sqlserver)
    user, (kind, remedy) = replace(sqlserver.admin, username="a]b"), LOGIN_PROBLEMS[number]
    refuse(monkeypatch, number, "ログインできませんでした", with_another=with_another and number != WRONG_LOGIN)
    failure = fails_with(sqlserver, user)
    assert type(failure) is kind
    assert failure.remedy == remedy.replace("{login}", "[a]]b]").replace("{database}", f"[{user.database}]")
    assert f"(error {number})" in failure.cause
    assert "ログイン" in failure.cause


@pytest.mark.parametrize("with_another", [False, True])
def test_an_unknown_number_is_an_answer_with_the_servers_words_bounded_and_on_one_line(
    sqlserver: SQLServerLaboratory, monkeypatch: pytest.MonkeyPatch, *, with_another: bool
) -> None:
    needs_stand_in(sqlserver)
    refuse(monkeypatch, 34567, "Something\nnew " * 300, with_another=with_another)
    failure = fails_with(sqlserver, sqlserver.admin)
    assert type(failure) is LoginBlocked
    assert "Something new Something" in failure.cause
    assert "(error 34567)" in failure.cause
    assert len(failure.cause) < 600
    assert "security groups" not in str(failure)


def refuse(monkeypatch: pytest.MonkeyPatch, number: int, text: str, *, with_another: bool) -> None:
    """Let the server refuse all logins."""

    def log_in(*_: object, **__: object) -> None:
        last = [SqlError(WRONG_LOGIN, "ユーザーはログインできませんでした。", 14)] if with_another else []
        raise LoginError(SqlError(number, text, 14), *last)

    monkeypatch.setattr(StandIn, "log_in", log_in)


def test_an_expired_password_is_no_plain_refusal() -> None:
    assert {LOGIN_PROBLEMS[number][0] for number in EXPIRED_PASSWORDS} == {LoginBlocked}


# A statement that takes too long


@pytest.mark.parametrize("answers", [True, False])
def test_the_server_gives_up_a_statement_before_we_do(
    sqlserver: SQLServerLaboratory, monkeypatch: pytest.MonkeyPatch, *, answers: bool
) -> None:
    needs_stand_in(sqlserver)
    answer, heard = tds_server._Connection._answer, []  # noqa: SLF001 - how the stand-in answers is what is changed

    def busy(connection: Any, session: Session, kind: int, body: bytes) -> None:  # noqa: ANN401 - see above
        if "forever".encode("utf-16-le") not in body:
            answer(connection, session, kind, body)
            return
        heard.append(connection._receive()[0])  # noqa: SLF001 - see above
        if answers:
            answer(connection, session, heard[-1], b"")

    monkeypatch.setattr(tds_server._Connection, "_answer", busy)  # noqa: SLF001 - see above
    failure, says = (
        (StatementFailed, "had not finished this after .* cancelled") if answers else (Unreachable, "answer")
    )
    began = time.monotonic()
    with (
        pytest.raises(failure, match=f"running statement 1 of verify.*{says}"),
        sqlserver.engine.connect(sqlserver.admin, deadline(2)) as session,
    ):
        session.verify(["SELECT 1 AS forever"])
    assert heard == [tds.Packet.ATTENTION]
    assert time.monotonic() - began < 3


# Another engine


@pytest.mark.parametrize("tls", [True, False])
def test_a_server_that_hangs_up_at_once_can_be_of_another_engine(*, tls: bool) -> None:
    with answering(b"") as port:
        user = stranger(port, tls=tls)
        with (
            pytest.raises(RotationError, match="as a server of another engine does"),
            SQLServer().connect(user, deadline()),
        ):
            pass


def stranger(port: int, *, tls: bool) -> Credential:
    return Credential(
        engine="sqlserver",
        host="127.0.0.1",
        port=port,
        database="master",
        username="app",
        password=new_password(),
        tls=tls,
    )


@contextmanager
def answering(greeting: bytes) -> Iterator[int]:
    """Serve one client: send this, and hang up once the client has said something."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    connection.sendall(greeting)
                    connection.recv(4096)

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
