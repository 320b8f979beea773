"""What does Oracle say at a login, and what becomes of it? Expired, locked, held back, and everything else."""

import itertools
from dataclasses import replace

import pytest

from rotation.credential import Credential
from rotation.engine import CloneStatus
from rotation.engines.driver import CONNECT_SECONDS
from rotation.engines.oracle import connection as oracle_connection
from rotation.errors import (
    DatabaseError,
    LoginBlocked,
    LoginRefused,
    PasswordRefused,
    StatementFailed,
    Unreachable,
    Unsupported,
)
from rotation.kind import Strategy
from rotation.steps import Rotation, Step
from tests.contract.impostor import SSL_REQUEST, Line, Talk, posing
from tests.contract.oracle_kit import LEAKS, account, add, name_of, new_profile
from tests.contract.pairs import Pair, changed
from tests.contract.test_few_logins import Rotated
from tests.laboratories import deadline
from tests.laboratories.oracle import OracleLaboratory
from tests.local.stand_ins.oracle import server as oracle_server

pytestmark = pytest.mark.engine("oracle")

SINGLE, DUAL, ALTERNATING = Strategy.SINGLE_USER, Strategy.DUAL_PASSWORD, Strategy.ALTERNATING_USERS
STRATEGIES = [(SINGLE, False), (SINGLE, True), (DUAL, False), (DUAL, True), (ALTERNATING, True)]
HISTORY = "PASSWORD_REUSE_MAX 5 PASSWORD_REUSE_TIME 365"
NETWORK = "security groups"


def rotated(oracle: OracleLaboratory, strategy: Strategy, *, through_admin: bool = False) -> Rotated:
    """Return a secret that was rotated once."""
    secret = Rotated(oracle, strategy, through_admin=through_admin)
    secret.rotate()
    return secret


def current(secret: Rotated) -> Credential:
    """Return what AWSCURRENT says."""
    return secret.secret.read().credential


def expire(oracle: OracleLaboratory, user: Credential) -> None:
    oracle.alter(f"ALTER USER {account(user)} PASSWORD EXPIRE")


def limit(oracle: OracleLaboratory, user: Credential, limits: str) -> None:
    oracle.alter(f"ALTER USER {account(user)} PROFILE {new_profile(oracle, limits)}")


def refusal(oracle: OracleLaboratory, user: Credential) -> DatabaseError:
    """Return the error of a login."""
    with pytest.raises(DatabaseError) as raised, oracle.engine.connect(user, deadline()):
        pass
    return raised.value


# Expired


@pytest.mark.parametrize(("strategy", "through_admin"), STRATEGIES)
def test_an_expired_password_is_rotated_like_any_other(
    oracle: OracleLaboratory, strategy: Strategy, *, through_admin: bool
) -> None:
    secret = rotated(oracle, strategy, through_admin=through_admin)
    before = current(secret)
    expire(oracle, before)
    assert not oracle.logs_in(before)
    secret.rotate()
    assert secret.logs_in()
    assert secret.refused() == 0
    assert oracle.logs_in(before) is (strategy is not SINGLE)


def test_no_statement_holds_the_password_that_replaces_an_expired_one(
    oracle: OracleLaboratory, stand_in: oracle_server.Server
) -> None:
    user = oracle.new_user()
    expire(oracle, user)
    before, now = len(stand_in.database.audit), changed(user)
    with oracle.engine.connect(user, deadline()) as session:
        session.change_own_password(now.password)
    assert stand_in.database.audit[before:] == [f"LOGON {name_of(user)} {number}" for number in (28001, 0)]
    assert [oracle.logs_in(one) for one in (user, now)] == [False, True]


def test_an_expired_password_that_cannot_be_used_again_is_changed_by_a_single_user_only(
    oracle: OracleLaboratory,
) -> None:
    for strategy in (SINGLE, ALTERNATING):
        secret = rotated(oracle, strategy, through_admin=strategy is ALTERNATING)
        user = current(secret)
        limit(oracle, user, HISTORY)
        if strategy is ALTERNATING:
            secret.rotate()  # the other one gets the profile
            user = current(secret)
        expire(oracle, user)
        secret.begin()
        secret.run(Step.CREATE)
        if strategy is SINGLE:
            secret.run()
            assert secret.logs_in()
            continue
        with pytest.raises(LoginBlocked, match=f"ORA-28001.*ORA-28007.*ALTER USER {account(user)} IDENTIFIED BY"):
            secret.run(Step.SET)


def test_a_verify_function_that_refuses_the_same_password_is_named(oracle: OracleLaboratory) -> None:
    user = oracle.new_user()
    limit(oracle, user, "PASSWORD_VERIFY_FUNCTION ora12c_verify_function")
    expire(oracle, user)
    with oracle.engine.connect(user, deadline()) as session:
        with pytest.raises(LoginBlocked, match=r"should differ.*single-user strategy"):
            session.proof()
        with pytest.raises(PasswordRefused, match="should differ"):
            session.change_own_password(f"{user.password[:-1]}!")
        session.change_own_password(changed(user).password)


def test_a_password_that_expires_before_test_secret_is_renewed(
    oracle: OracleLaboratory, caplog: pytest.LogCaptureFixture
) -> None:
    secret = rotated(oracle, SINGLE)
    secret.begin()
    secret.run(Step.CREATE, Step.SET)
    expire(oracle, current(secret))
    secret.run(Step.TEST, Step.FINISH)
    assert secret.logs_in()
    assert "allows the same password once more" in caplog.text


def test_an_admin_whose_password_has_expired_goes_on(oracle: OracleLaboratory) -> None:
    user = oracle.new_user()
    expire(oracle, oracle.admin)
    with oracle.engine.connect(oracle.admin, deadline()) as session:
        assert session.clone_status(user.username, f"{user.username}_clone") is CloneStatus.ABSENT
    assert oracle.logs_in(oracle.admin)


def test_a_step_that_is_delivered_again_finds_what_the_first_one_renewed(oracle: OracleLaboratory) -> None:
    user, now = oracle.new_user(), "Bb2-0123456789abcdef"
    expire(oracle, user)
    with oracle.engine.connect(user, deadline()) as first, oracle.engine.connect(user, deadline()) as second:
        first.change_own_password(now)
        with pytest.raises(LoginRefused):
            second.change_own_password(now)  # so the step tries the pending password next
    assert oracle.logs_in(replace(user, password=now))


def test_an_expired_password_ends_a_rollover_period(oracle: OracleLaboratory, dual: Credential) -> None:
    now, later = changed(dual), changed(dual)
    add(oracle, dual, now)
    expire(oracle, now)
    add(oracle, now, later)
    assert [oracle.logs_in(one) for one in (dual, now, later)] == [False, True, True]


@pytest.mark.parametrize(
    "warning",
    ["ORA-28002: the password will expire within 7 days", "ORA-28011: the password will expire soon; change it now"],
)
def test_a_password_in_its_grace_period_logs_in(
    oracle: OracleLaboratory, stand_in: oracle_server.Server, warning: str
) -> None:
    user = oracle.new_user()
    stand_in.database.users[name_of(user)].grace = warning
    with oracle.engine.connect(user, deadline()) as session:
        session.change_own_password(changed(user).password)


# Locked, and few tries


@pytest.mark.parametrize(("strategy", "through_admin"), STRATEGIES)
def test_a_healthy_rotation_works_with_a_limit_of_one(
    oracle: OracleLaboratory, strategy: Strategy, *, through_admin: bool
) -> None:
    secret = Rotated(oracle, strategy, through_admin=through_admin)
    rollover = " PASSWORD_ROLLOVER_TIME 1" if strategy is DUAL else ""
    limit(oracle, secret.user, f"FAILED_LOGIN_ATTEMPTS 1{rollover}")
    for _ in range(3):
        secret.rotate()
        assert secret.logs_in()


def test_a_single_user_with_a_limit_of_three_outlives_a_rotation_that_was_abandoned(oracle: OracleLaboratory) -> None:
    secret = rotated(oracle, SINGLE)
    limit(oracle, current(secret), "FAILED_LOGIN_ATTEMPTS 3")
    secret.begin()
    secret.run(Step.CREATE, Step.SET)
    secret.secret.abandon()
    secret.rotate()
    assert secret.logs_in()


class Repaired(Rotated):
    """A secret whose user the admin can repair."""

    def _rotation(self) -> Rotation:
        return replace(super()._rotation(), allow_admin_repair=True)


def test_the_admin_repairs_a_wrong_secret_before_a_limit_of_three_locks_the_user(oracle: OracleLaboratory) -> None:
    secret = Repaired(oracle, SINGLE, through_admin=True)
    for _ in range(3):
        secret.rotate()
    limit(oracle, current(secret), "FAILED_LOGIN_ATTEMPTS 3")
    oracle.change_password(changed(current(secret)))
    secret.rotate()
    assert secret.logs_in()
    assert secret.refused() == 2


def test_a_lock_is_reported_with_the_statement_that_ends_it(oracle: OracleLaboratory) -> None:
    user = oracle.new_user()
    oracle.alter(f"ALTER USER {account(user)} ACCOUNT LOCK")
    error = refusal(oracle, user)
    assert type(error) is LoginBlocked
    assert "ORA-28000" in error.cause
    assert f"ALTER USER {account(user)} ACCOUNT UNLOCK" in error.remedy
    oracle.alter(error.remedy[error.remedy.index("ALTER USER") :])
    assert oracle.logs_in(user)


# Held back


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch, stand_in: oracle_server.Server) -> pytest.MonkeyPatch:
    """A server that answers a failed login three times later than a TCP connection can take."""
    monkeypatch.setattr(oracle_connection, "CONNECT_SECONDS", 0.1)
    monkeypatch.setattr(stand_in.database, "withheld", 0.3)
    return monkeypatch


def test_a_login_can_take_longer_than_a_server_holds_back_its_answer() -> None:
    longest_delay = 10
    assert CONNECT_SECONDS + longest_delay <= oracle_connection.LOGIN_SECONDS


@pytest.mark.usefixtures("patience")
def test_a_failed_login_whose_answer_is_held_back_is_a_refusal(oracle: OracleLaboratory) -> None:
    assert type(refusal(oracle, changed(oracle.new_user()))) is LoginRefused


@LEAKS
@pytest.mark.usefixtures("collected")
def test_a_login_that_is_held_back_for_too_long_is_no_matter_of_the_network(
    oracle: OracleLaboratory, patience: pytest.MonkeyPatch
) -> None:
    user = changed(oracle.new_user())
    patience.setattr(oracle_connection, "LOGIN_SECONDS", 0.25)
    error = refusal(oracle, user)
    assert type(error) is LoginBlocked
    assert "wrong password" in error.remedy
    assert NETWORK not in str(error)


# What else the server says


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (257, "archived redo logs"),
        (1035, "ALTER SYSTEM DISABLE RESTRICTED SESSION"),
        (28030, '"username"'),
        (1109, "Wait until the database is up"),
        (4088, "DBA_TRIGGERS"),
        (4098, "DBA_TRIGGERS"),
        (99, "Correct the cause"),
        (28, "KILL SESSION"),
        (1089, "Wait until the database is up"),
        (603, "Correct the cause"),
    ],
)
def test_an_answer_of_the_server_is_never_silence(
    oracle: OracleLaboratory,
    stand_in: oracle_server.Server,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    remedy: str,
) -> None:
    """The client puts DPY-4011, the connection was lost, before the last three."""
    user = oracle.new_user()
    monkeypatch.setattr(stand_in.database, "keeps_out", (number, "what the server says"))
    error = refusal(oracle, user)
    assert type(error) is LoginBlocked
    assert f"ORA-{number:05}: what the server says" in error.cause
    assert remedy in error.remedy
    assert NETWORK not in str(error)


@pytest.mark.parametrize(
    ("number", "remedy"),
    [(12529, "filter"), (12528, "Wait"), (12520, "limit"), (12526, "RESTRICTED"), (12699, "Correct the cause")],
)
def test_an_answer_of_the_listener_is_never_silence(
    oracle: OracleLaboratory,
    stand_in: oracle_server.Server,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    remedy: str,
) -> None:
    monkeypatch.setattr(stand_in.listener, "refuses", number)
    error = refusal(oracle, oracle.admin)
    assert type(error) is LoginBlocked
    assert f"ORA-{number}" in error.cause
    assert remedy in error.remedy
    assert NETWORK not in str(error)


def test_a_trigger_that_fails_at_the_login_is_named(oracle: OracleLaboratory, stand_in: oracle_server.Server) -> None:
    user = oracle.new_user()
    on, body = f"{account(user)}.SCHEMA", "BEGIN raise_application_error(-20001, 'no'); END;"
    oracle.alter(f"CREATE TRIGGER {account(user)}.keeper AFTER LOGON ON {on} {body}")
    assert stand_in.database.triggers
    error = refusal(oracle, user)
    assert type(error) is LoginBlocked
    assert "ORA-20001" in error.cause
    assert "DBA_TRIGGERS" in error.remedy


# Other engines


def greets(line: Line) -> None:
    line.say(b"\x4a\0\0\0\x0a8.4.3\0" + bytes(66))


def greets_as_mariadb(line: Line) -> None:
    line.say(b"\x4a\0\0\0\x0a5.5.5-11.8.2-MariaDB\0" + bytes(54))


def answers_as_postgresql(line: Line) -> None:
    """Answer a request for TLS, and hang up on anything else."""
    if line.hear() != SSL_REQUEST:
        raise ConnectionError
    line.say(b"S")


def answers_as_sql_server(line: Line) -> None:
    if not line.hear().startswith(b"\x12\x01"):
        raise ConnectionError
    line.say(b"\x04\x01\0\x1a" + bytes(22))


@LEAKS
@pytest.mark.usefixtures("collected")
@pytest.mark.parametrize("tls", [True, False], ids=["with TLS", "without"])
@pytest.mark.parametrize(
    ("talk", "engine"),
    [
        (greets, "MySQL"),
        (greets_as_mariadb, "MariaDB"),
        (answers_as_postgresql, "PostgreSQL"),
        (answers_as_sql_server, "SQL Server"),
    ],
)
def test_a_server_of_another_engine_learns_nothing(
    oracle: OracleLaboratory, talk: Talk, engine: str, *, tls: bool
) -> None:
    with posing(talk) as impostor:
        error = refusal(oracle, replace(oracle.admin, port=impostor.port, tls=tls))
    assert type(error) is LoginBlocked
    assert error.cause.startswith(f"the server there is {engine}")
    assert oracle.admin.username.encode() not in impostor.heard


# Passwords


def test_a_change_within_a_second_after_another_one_is_not_refused_for_ever(
    oracle: OracleLaboratory, stand_in: oracle_server.Server, monkeypatch: pytest.MonkeyPatch, pair: Pair
) -> None:
    _, clone = pair
    limit(oracle, clone, HISTORY)
    monkeypatch.setattr(stand_in.database, "has_clock_of_seconds", True)
    with oracle.engine.connect(oracle.admin, deadline()) as session:
        for now in (changed(clone), last := changed(clone)):
            session.set_password(clone.username, now.password)
    assert oracle.logs_in(last)


def test_the_password_of_a_common_user_can_only_be_changed_in_the_root(
    oracle: OracleLaboratory, stand_in: oracle_server.Server
) -> None:
    user = oracle.new_user()
    stand_in.database.users[name_of(user)].common = True
    with (
        pytest.raises(StatementFailed, match=r"ORA-65066.*local user.*root container"),
        oracle.engine.connect(user, deadline()) as session,
    ):
        session.change_own_password(changed(user).password)
    with (
        pytest.raises(Unsupported, match=r"local user.*root container") as raised,
        oracle.engine.connect(oracle.admin, deadline()) as session,
    ):
        session.mirror(user.username, f"{user.username}_clone")
    assert "single-user" not in raised.value.remedy


def test_a_password_with_a_name_in_it_is_refused_with_what_to_forbid(oracle: OracleLaboratory) -> None:
    user = oracle.new_user()
    limit(oracle, user, "PASSWORD_VERIFY_FUNCTION ora12c_verify_function")
    with (
        pytest.raises(PasswordRefused, match="PASSWORD_FORBIDDEN_PARTS"),
        oracle.engine.connect(user, deadline()) as session,
    ):
        session.change_own_password("Aa1-xx-oracle-22-33")


def test_a_second_rotation_of_a_single_user_within_a_period_keeps_the_password_from_before_it(
    oracle: OracleLaboratory, dual: Credential
) -> None:
    passwords = [dual, changed(dual), changed(dual)]
    for before, now in itertools.pairwise(passwords):
        with oracle.engine.connect(before, deadline()) as session:
            session.change_own_password(now.password)
    assert [oracle.logs_in(one) for one in passwords] == [True, False, True]


# Statements


def test_a_statement_of_verify_is_cancelled_on_the_server_before_we_leave(
    oracle: OracleLaboratory, stand_in: oracle_server.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stand_in.database, "hanging", ["SELECT 7 FROM dual"])
    user = oracle.new_user()
    with (
        pytest.raises(StatementFailed, match=r"statement 2 of verify.*DPY-4024.*V\$LOCK") as raised,
        oracle.engine.connect(user, deadline(2.5)) as session,
    ):
        session.verify(["SELECT 1 FROM dual", "SELECT 7 FROM dual"])
    assert NETWORK not in str(raised.value)


@LEAKS
@pytest.mark.usefixtures("collected")
def test_a_server_that_confirms_no_cancellation_is_silent(
    oracle: OracleLaboratory, stand_in: oracle_server.Server
) -> None:
    with (
        pytest.raises(Unreachable, match="DPY-4011"),
        oracle.engine.connect(oracle.new_user(), deadline(2.5)) as session,
        stand_in.lock,
    ):
        session.verify(["SELECT 1 FROM dual"])
