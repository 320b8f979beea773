"""What does Oracle promise of passwords: one at a time, or two?"""

import itertools
import threading
from contextlib import suppress
from dataclasses import replace

import pytest

from rotation.credential import Credential
from rotation.errors import (
    DatabaseError,
    LoginBlocked,
    NotPermitted,
    PasswordRefused,
    StatementFailed,
    Unsupported,
)
from tests.contract.oracle_kit import (
    account,
    add,
    name_of,
    new_profile,
)
from tests.contract.pairs import Pair, changed
from tests.laboratories import deadline, new_password
from tests.laboratories.oracle import OracleLaboratory
from tests.local.stand_ins.oracle import server as oracle_server

pytestmark = pytest.mark.engine("oracle")


# Passwords


def test_no_statement_holds_the_password_that_a_user_gives_itself(
    oracle: OracleLaboratory, stand_in: oracle_server.Server
) -> None:
    user = oracle.new_user()
    before = len(stand_in.database.audit)
    with oracle.engine.connect(user, deadline()) as session:
        session.change_own_password(changed(user).password)
    assert stand_in.database.audit[before:] == [f"LOGON {name_of(user)} 0", f"{name_of(user)} 0 PASSWORD CHANGE"]


def test_a_verify_function_gets_the_old_password(oracle: OracleLaboratory) -> None:
    user = oracle.new_user()
    profile = new_profile(oracle, "PASSWORD_VERIFY_FUNCTION ora12c_verify_function")
    oracle.alter(f"ALTER USER {account(user)} PROFILE {profile}")
    now = changed(user)
    with oracle.engine.connect(user, deadline()) as session:
        session.change_own_password(now.password)
    assert oracle.logs_in(now)
    with pytest.raises(PasswordRefused, match="PASSWORD_LENGTH"), oracle.engine.connect(now, deadline()) as session:
        session.change_own_password(f"{now.password[:-1]}!")
    assert oracle.logs_in(now)


def test_a_password_history_does_not_stop_a_repetition(oracle: OracleLaboratory, pair: Pair) -> None:
    _, clone = pair
    profile = new_profile(oracle, "PASSWORD_REUSE_MAX 5 PASSWORD_REUSE_TIME UNLIMITED")
    oracle.alter(f"ALTER USER {account(clone)} PROFILE {profile}")
    now, later = changed(clone), changed(clone)
    for _ in range(2):
        with oracle.engine.connect(oracle.admin, deadline()) as session:
            session.set_password(clone.username, now.password)
    assert oracle.logs_in(now)
    with oracle.engine.connect(oracle.admin, deadline()) as session:
        session.set_password(clone.username, later.password)
        with pytest.raises(PasswordRefused, match="Rotate again"):
            session.set_password(clone.username, now.password)
    assert oracle.logs_in(later)


def test_what_is_too_long_for_the_server_is_the_name_or_the_password(old_oracle: OracleLaboratory) -> None:
    user = old_oracle.new_user()
    with (
        pytest.raises(StatementFailed, match=r"ORA-00972.*the user's name or the password.*PASSWORD_LENGTH") as raised,
        old_oracle.engine.connect(old_oracle.admin, deadline()) as session,
    ):
        session.set_password(user.username, "x" * 31)
    assert not raised.value.ends_version, "a shorter name may do as well"
    assert old_oracle.logs_in(user)


def test_the_admin_unlocks_a_user_that_failed_too_often(oracle: OracleLaboratory, pair: Pair) -> None:
    _, clone = pair
    profile = new_profile(oracle, "FAILED_LOGIN_ATTEMPTS 2")
    oracle.alter(f"ALTER USER {account(clone)} PROFILE {profile}")
    for _ in range(2):
        assert not oracle.logs_in(changed(clone))
    assert not oracle.logs_in(clone)
    now = changed(clone)
    with oracle.engine.connect(oracle.admin, deadline()) as session:
        session.set_password(clone.username, now.password)
    assert oracle.logs_in(now)


def test_a_lock_for_failed_logins_ends_by_itself(
    oracle: OracleLaboratory, stand_in: oracle_server.Server, pair: Pair
) -> None:
    _, clone = pair
    profile = new_profile(oracle, "FAILED_LOGIN_ATTEMPTS 2 PASSWORD_LOCK_TIME 1/24")
    oracle.alter(f"ALTER USER {account(clone)} PROFILE {profile}")
    for _ in range(2):
        assert not oracle.logs_in(changed(clone))
    with pytest.raises(LoginBlocked, match="ORA-28000"), oracle.engine.connect(clone, deadline()):
        pass
    stand_in.pass_time(3601)
    assert oracle.logs_in(clone)


def test_a_user_that_logs_in_after_failed_logins_is_not_held_back(
    oracle: OracleLaboratory, stand_in: oracle_server.Server, pair: Pair
) -> None:
    """The stand-in holds back the answers to failed logins, as the server does, from the fourth on."""
    user, _ = pair
    before = stand_in.database.elapsed
    for _ in range(5):
        assert not oracle.logs_in(changed(user))
    assert stand_in.database.elapsed - before == 1 + 2
    assert oracle.logs_in(user)
    assert stand_in.database.elapsed - before == 1 + 2


# Two passwords


@pytest.fixture(params=[False, True], ids=["by itself", "through admin"])
def through(request: pytest.FixtureRequest, oracle: OracleLaboratory) -> Credential | None:
    """The one who adds a password: the user, or the admin."""
    return oracle.admin if request.param else None


def test_two_passwords_are_accepted_however_often_it_is_done(
    oracle: OracleLaboratory, dual: Credential, through: Credential | None
) -> None:
    now = changed(dual)
    for _ in range(3):
        add(oracle, dual, now, through)
        assert oracle.logs_in(dual)
        assert oracle.logs_in(now)


def test_the_one_before_ends_with_the_next_rotation(
    oracle: OracleLaboratory, dual: Credential, through: Credential | None
) -> None:
    passwords = [dual, *(changed(dual) for _ in range(4))]
    for before, now in itertools.pairwise(passwords):
        add(oracle, before, now, through)
        assert [oracle.logs_in(user) for user in passwords] == [user in (before, now) for user in passwords]


def test_an_abandoned_rotation_takes_nothing_from_the_current_password(
    oracle: OracleLaboratory, dual: Credential, through: Credential | None
) -> None:
    orphan, now = changed(dual), changed(dual)
    add(oracle, dual, orphan, through)
    add(oracle, dual, now, through)
    assert [oracle.logs_in(user) for user in (dual, orphan, now)] == [True, False, True]


def test_the_old_password_ends_with_the_period_which_begins_anew_with_each_rotation(
    oracle: OracleLaboratory, stand_in: oracle_server.Server, dual: Credential
) -> None:
    first, second = changed(dual), changed(dual)
    add(oracle, dual, first)
    stand_in.pass_time(20 * 3600)
    add(oracle, first, second)
    stand_in.pass_time(20 * 3600)
    assert oracle.logs_in(first)
    stand_in.pass_time(5 * 3600)
    assert [oracle.logs_in(user) for user in (dual, first, second)] == [False, False, True]


def test_at_no_instant_is_the_current_password_refused(oracle: OracleLaboratory, dual: Credential) -> None:
    before, now = changed(dual), changed(dual)
    add(oracle, dual, before)
    done = threading.Event()
    refused: list[bool] = []

    def watch() -> None:
        while not done.is_set():
            refused.append(not oracle.logs_in(before))

    watcher = threading.Thread(target=watch)
    watcher.start()
    deliveries = [threading.Thread(target=lambda: suppressed(oracle, before, now)) for _ in range(4)]
    for delivery in deliveries:
        delivery.start()
    for delivery in deliveries:
        delivery.join()
    done.set()
    watcher.join()
    assert len(refused) > 3
    assert not any(refused)
    assert oracle.logs_in(now)


def suppressed(oracle: OracleLaboratory, user: Credential, now: Credential) -> None:
    """Add a password, as one of several deliveries of a step that may lose a race."""
    for _ in range(5):
        with suppress(DatabaseError):
            add(oracle, user, now)


def test_a_profile_without_rollover_is_refused_with_the_reason(oracle: OracleLaboratory) -> None:
    user = oracle.new_user()
    with (
        oracle.engine.connect(user, deadline()) as session,
        pytest.raises(Unsupported, match=r"no PASSWORD_ROLLOVER_TIME.*ALTER PROFILE"),
    ):
        session.require_two_passwords()


@pytest.mark.parametrize("decimal", [".", ","])
def test_a_rollover_of_less_than_a_day_is_one_wherever_the_database_is(
    oracle: OracleLaboratory, stand_in: oracle_server.Server, monkeypatch: pytest.MonkeyPatch, decimal: str
) -> None:
    monkeypatch.setattr(stand_in.database, "decimal", decimal)
    user = oracle.new_user()
    oracle.alter(f"ALTER USER {account(user)} PROFILE {new_profile(oracle, 'PASSWORD_ROLLOVER_TIME 1/24')}")
    [(limit,)] = limits_of(oracle, user)
    assert limit == f"{decimal}0417"
    now = changed(user)
    add(oracle, user, now)
    assert [oracle.logs_in(one) for one in (user, now)] == [True, True]


def limits_of(oracle: OracleLaboratory, user: Credential) -> list[tuple[object, ...]]:
    with oracle.session(user) as run:
        return run("SELECT limit FROM user_password_limits WHERE resource_name = 'PASSWORD_ROLLOVER_TIME'")


def test_a_server_from_before_rollover_is_refused_with_the_reason(old_oracle: OracleLaboratory) -> None:
    with (
        old_oracle.engine.connect(old_oracle.new_user(), deadline()) as session,
        pytest.raises(Unsupported, match=r"19\.3\.0\.0\.0.*19\.12 and 21c"),
    ):
        session.require_two_passwords()


def test_the_profile_is_the_users_whatever_schema_a_trigger_set(oracle: OracleLaboratory, dual: Credential) -> None:
    other = oracle.new_user()
    with oracle.engine.connect(dual, deadline()) as session:
        session.connection.execute("setting", f"ALTER SESSION SET CURRENT_SCHEMA = {account(other)}")
        session.require_two_passwords()


def test_in_a_rollover_period_a_verify_function_needs_the_admin(oracle: OracleLaboratory) -> None:
    user = oracle.new_user()
    limits = "PASSWORD_ROLLOVER_TIME 1 PASSWORD_VERIFY_FUNCTION ora12c_verify_function"
    oracle.alter(f"ALTER USER {account(user)} PROFILE {new_profile(oracle, limits)}")
    first, now = changed(user), changed(user)
    add(oracle, user, first)
    add(oracle, user, first)  # delivered again: it is there already
    with pytest.raises(NotPermitted, match=r"rollover period.*masterarn"):
        add(oracle, first, now)
    assert oracle.logs_in(first)
    add(oracle, first, now, oracle.admin)
    assert [oracle.logs_in(one) for one in (user, first, now)] == [False, True, True]


def test_in_a_rollover_period_a_history_is_reported_and_takes_nothing(oracle: OracleLaboratory) -> None:
    user = oracle.new_user()
    limits = "PASSWORD_ROLLOVER_TIME 1 PASSWORD_REUSE_MAX 5"
    oracle.alter(f"ALTER USER {account(user)} PROFILE {new_profile(oracle, limits)}")
    first, now = changed(user), changed(user)
    for through in (None, oracle.admin):
        add(oracle, user, first, through)
    with pytest.raises(NotPermitted, match="ORA-28007"):
        add(oracle, first, now)
    with pytest.raises(StatementFailed, match="PASSWORD_ROLLOVER_TIME is over"):
        add(oracle, first, now, oracle.admin)
    assert [oracle.logs_in(one) for one in (user, first, now)] == [True, True, False]


def test_the_user_of_that_name_on_another_server_is_left_alone(oracle: OracleLaboratory, dual: Credential) -> None:
    elsewhere = replace(dual, password=new_password())
    with (
        oracle.engine.connect(oracle.admin, deadline()) as session,
        pytest.raises(Unsupported, match='"host" in the admin secret'),
    ):
        session.add_password(dual.username, elsewhere.password, new_password())
    assert oracle.logs_in(dual)
