"""Who logs in, in which order, and whose password is changed?"""

import contextlib
from dataclasses import replace

import pytest

from rotation.engines.postgresql import kind as postgresql
from rotation.errors import (
    LoginBlocked,
    LoginRefused,
    NotPermitted,
    OutOfTime,
    RightsDiffer,
    RotationError,
    Unreachable,
    Unsafe,
    Unsupported,
)
from rotation.kind import Strategy, counterpart
from rotation.logins import BY_OTHER_VERSION, MORE_PASSWORDS, NEWER_PASSWORDS, log_in_first
from rotation.record import PairRecord
from rotation.steps import Step
from rotation.strategies import BY_ADMIN, choose
from tests.fakes import CURRENT, KIND, PRIMARY, FakeDatabase, reading, undisturbed, verifier
from tests.laboratories import INVOICES, ORDERS
from tests.unit.scenario import ALTERNATING, APP, CLONE, SINGLE, Scenario


def staged(scenario: Scenario) -> Scenario:
    """Bring a scenario to where setSecret begins."""
    scenario.begin()
    scenario.run(Step.CREATE)
    return scenario


def written(scenario: Scenario) -> list[str]:
    """Return the kinds of writes that were made, in order."""
    return [statement.split()[0] for statement in scenario.database.log]


def change_by_hand(scenario: Scenario, username: str, password: str) -> None:
    """Give a user another password behind the secret's back."""
    scenario.database.users[username].verifiers = (verifier(username, password),)


# Which strategy


@pytest.mark.parametrize(
    ("scenario", "expected"),
    [
        (Scenario(SINGLE), SINGLE),
        (Scenario(ALTERNATING), ALTERNATING),
        (Scenario(ALTERNATING, rotation={"strategy": "single-user"}), SINGLE),
        (Scenario(ALTERNATING, rotation={"strategy": "alternating-users"}), ALTERNATING),
        (Scenario(SINGLE, rotation={}), SINGLE),
    ],
    ids=["plain", "masterarn", "single by name", "alternating by name", "empty"],
)
def test_the_secret_chooses_the_strategy(scenario: Scenario, expected: Strategy) -> None:
    assert choose(scenario.secret.read(), KIND).name is expected


@pytest.mark.parametrize(
    ("one", "other"), [("app", "app_clone"), ("app_clone", "app"), ("a_clone_x", "a_clone_x_clone")]
)
def test_the_other_of_a_pair_is_named_by_the_suffix(one: str, other: str) -> None:
    assert counterpart(one) == other
    assert counterpart(other) == one


def test_a_name_whose_clone_is_too_long_is_measured_as_the_engine_measures_it() -> None:
    current = Scenario(ALTERNATING).secret.read()
    pair = choose(current, postgresql.KIND)
    assert pair.next_username(current.successor("a" * 57, "p")) == "a" * 57 + "_clone"
    for name in ("a" * 58, "ü" * 29):
        with pytest.raises(Unsupported, match="is longer than"):
            pair.next_username(current.successor(name, "p"))


# Single user


def test_a_single_user_logs_in_with_its_current_password_first() -> None:
    scenario = staged(Scenario(SINGLE))
    scenario.run(Step.SET)
    assert [credential.password for credential in scenario.database.tried] == ["password-0"]


def test_a_step_that_comes_again_finds_the_pending_password_and_changes_nothing() -> None:
    scenario = staged(Scenario(SINGLE))
    scenario.run(Step.SET)
    scenario.forget_connections()
    scenario.run(Step.SET)
    assert [credential.password for credential in scenario.database.tried] == ["password-0", "password-1"]
    assert written(scenario) == ["ALTER"]


def test_a_resumed_rotation_tries_the_pending_password_first() -> None:
    scenario = staged(Scenario(SINGLE))
    scenario.run(Step.SET)
    scenario.forget_connections()
    scenario.secret.staged_long_ago = True
    scenario.run(Step.SET)
    assert [credential.password for credential in scenario.database.tried] == ["password-1"]
    assert written(scenario) == ["ALTER"]


def test_a_resumed_rotation_that_had_changed_nothing_has_one_refused_login() -> None:
    scenario = staged(Scenario(SINGLE))
    scenario.secret.staged_long_ago = True
    scenario.run(Step.SET)
    assert [credential.password for credential in scenario.database.tried] == ["password-1", "password-0"]
    assert scenario.may_log_in(scenario.secret.read("AWSPENDING"))


def test_a_version_that_has_a_label_of_somebody_elses_is_not_tried() -> None:
    scenario = Scenario(SINGLE)
    staged(scenario)
    scenario.secret.labels["blue"] = scenario.secret.token
    scenario.secret.abandon()
    change_by_hand(scenario, APP, "lost")
    staged(scenario).forget_connections()
    with pytest.raises(LoginRefused):
        scenario.run(Step.SET)
    assert [credential.password for credential in scenario.database.tried] == ["password-0", "password-2"]


def test_a_password_that_only_an_unlabelled_version_holds_is_found() -> None:
    scenario = Scenario(SINGLE)
    scenario.begin()
    scenario.run(Step.CREATE, Step.SET)
    scenario.secret.abandon()
    staged(scenario).forget_connections()
    scenario.run(Step.SET)
    assert [credential.password for credential in scenario.database.tried] == ["password-0", "password-1"]
    assert scenario.database.accepts(replace(scenario.database.tried[1], password="password-2"))
    assert scenario.recovered == [BY_OTHER_VERSION]


def test_a_password_that_an_earlier_version_holds_as_well_is_not_tried_twice() -> None:
    scenario = Scenario(SINGLE)
    scenario.secret.put("again", scenario.secret.read().fields)
    change_by_hand(scenario, APP, "lost")
    staged(scenario).forget_connections()
    with pytest.raises(LoginRefused):
        scenario.run(Step.SET)
    assert [credential.password for credential in scenario.database.tried] == ["password-0", "password-1"]


def test_if_every_login_is_refused_the_error_is_that_of_the_likeliest() -> None:
    scenario = Scenario(SINGLE)
    current = scenario.secret.read().credential
    candidates = [replace(current, username=username) for username in ("likeliest", "other")]
    with pytest.raises(LoginRefused, match="logging in as likeliest"):
        log_in_first(candidates, scenario.rotation().context(), lambda _, credential: credential)
    assert scenario.users_tried() == ["likeliest", "other"]


def lost(scenario: Scenario, *, rotated: int = 0, abandoned: int = 0) -> Scenario:
    """Bring a scenario to where setSecret begins, and the server takes no password that a version holds."""
    for _ in range(rotated):
        scenario.rotate()
    for _ in range(abandoned):
        staged(scenario)
        scenario.secret.abandon()
    change_by_hand(scenario, APP, "lost")
    staged(scenario).forget_connections()
    return scenario


@pytest.mark.parametrize("strategy", [SINGLE, ALTERNATING])
def test_older_versions_are_not_tried_for_a_server_can_lock_the_user_for_it(strategy: Strategy) -> None:
    scenario = lost(Scenario(strategy, rotation={"strategy": "single-user"}), rotated=9)
    with pytest.raises(LoginRefused, match=f"logging in as {APP} at {PRIMARY}:5000") as caught:
        scenario.run(Step.SET)
    assert [credential.password for credential in scenario.database.tried] == ["password-9", "password-10"]
    assert "TRY_MORE_PASSWORDS (parameter TryMorePasswords)" in caught.value.remedy
    assert scenario.asked_for_admin == 0


def test_of_the_versions_that_abandoned_rotations_have_left_the_two_newest_are_tried() -> None:
    scenario = lost(Scenario(SINGLE), abandoned=4)
    with pytest.raises(LoginRefused):
        scenario.run(Step.SET)
    assert NEWER_PASSWORDS == 2
    assert [credential.password[-1] for credential in scenario.database.tried] == ["0", "4", "3", "5"]


def test_with_leave_more_passwords_are_tried_and_not_all() -> None:
    scenario = lost(Scenario(SINGLE), rotated=9, abandoned=3)
    scenario.try_more_passwords = True
    with pytest.raises(LoginRefused) as caught:
        scenario.run(Step.SET)
    assert len(scenario.database.tried) == 2 + MORE_PASSWORDS
    assert "TRY_MORE_PASSWORDS" not in caught.value.remedy


@pytest.mark.parametrize("fields", [{"host": "elsewhere.test"}, {"port": 5001}, {"username": "other"}])
def test_passwords_of_another_user_or_host_are_not_tried(fields: dict[str, object]) -> None:
    scenario = Scenario(SINGLE)
    scenario.try_more_passwords = True
    current = scenario.secret.read()
    scenario.secret.put("foreign", {**current.fields, **fields, "password": "of-another"})
    scenario.secret.put("now", current.fields)
    change_by_hand(scenario, APP, "lost")
    with pytest.raises(LoginRefused):
        staged(scenario).run(Step.SET)
    assert "of-another" not in {credential.password for credential in scenario.database.tried}
    assert {credential.host for credential in scenario.database.tried} == {PRIMARY}


@pytest.mark.parametrize("strategy", [SINGLE, ALTERNATING])
def test_a_server_that_does_not_answer_leads_to_no_other_credential(strategy: Strategy) -> None:
    scenario = staged(Scenario(strategy))
    scenario.database.unreachable.add(PRIMARY)
    with pytest.raises(Unreachable):
        scenario.run(Step.SET)
    assert scenario.users_tried() == [APP]


@pytest.mark.parametrize("strategy", [SINGLE, ALTERNATING])
def test_a_server_that_falls_silent_after_a_refusal_leads_to_no_other_credential(strategy: Strategy) -> None:
    scenario = Scenario(strategy)
    scenario.try_more_passwords = True
    for _ in range(3):
        scenario.rotate()
    change_by_hand(scenario, scenario.secret.read().credential.username, "lost")
    staged(scenario).forget_connections()

    def fall_silent(_: str) -> None:
        if scenario.database.refused:
            scenario.database.unreachable.add(PRIMARY)

    scenario.database.before = fall_silent
    with pytest.raises(Unreachable):
        scenario.run(Step.SET)
    assert len(scenario.database.tried) == 2
    assert "admin" not in scenario.users_tried()


def test_a_user_that_cannot_change_its_own_password_gets_it_from_the_admin() -> None:
    scenario = staged(Scenario(ALTERNATING, rotation={"strategy": "single-user"}))
    scenario.database.users[APP].may_change_own_password = False
    scenario.run(Step.SET, Step.TEST, Step.FINISH)
    assert scenario.users_tried() == [APP, "admin", APP]
    assert scenario.database.refused == []
    assert scenario.may_log_in(scenario.secret.read())


def test_a_user_that_cannot_change_its_own_password_and_has_no_admin_says_so() -> None:
    scenario = staged(Scenario(SINGLE))
    scenario.database.users[APP].may_change_own_password = False
    with pytest.raises(NotPermitted):
        scenario.run(Step.SET)
    assert scenario.asked_for_admin == 0


def test_the_admin_is_not_asked_if_the_single_user_did_not_log_in() -> None:
    scenario = staged(Scenario(ALTERNATING, rotation={"strategy": "single-user"}))
    change_by_hand(scenario, APP, "lost")
    with pytest.raises(LoginRefused):
        scenario.run(Step.SET)
    assert scenario.asked_for_admin == 0


def test_the_admin_is_not_asked_if_the_single_user_can_do_it_alone() -> None:
    scenario = Scenario(ALTERNATING, rotation={"strategy": "single-user"})
    scenario.rotate()
    assert scenario.asked_for_admin == 0


# Nothing that the secret holds logs in


def locked_out(strategy: Strategy, *, allowed: bool = True) -> Scenario:
    """Bring a scenario with an admin to where setSecret begins, and no password of the secret works."""
    scenario = Scenario(ALTERNATING, rotation={"strategy": strategy})
    scenario.allow_admin_repair = allowed
    change_by_hand(scenario, APP, "lost")
    staged(scenario).forget_connections()
    return scenario


@pytest.mark.parametrize("strategy", [SINGLE, ALTERNATING])
def test_without_leave_the_admin_is_not_asked_and_the_error_says_what_there_is_and_why_it_is_off(
    strategy: Strategy,
) -> None:
    scenario = locked_out(strategy, allowed=False)
    with pytest.raises(LoginRefused) as caught:
        scenario.run(Step.SET)
    assert caught.value.operation.startswith(f"logging in as {APP} at {PRIMARY}:5000")
    assert "ALLOW_ADMIN_REPAIR (parameter AllowAdminRepair)" in caught.value.remedy
    assert "everybody who can write the secret could then take over any user" in caught.value.remedy
    assert "admin" not in scenario.users_tried()
    assert (scenario.database.log, scenario.recovered) == ([], [])


def test_of_an_admin_that_the_secret_does_not_name_nothing_is_said() -> None:
    scenario = staged(Scenario(SINGLE))
    scenario.allow_admin_repair = True
    change_by_hand(scenario, APP, "lost")
    with pytest.raises(LoginRefused) as caught:
        scenario.run(Step.SET)
    assert "ALLOW_ADMIN_REPAIR" not in str(caught.value)
    assert scenario.asked_for_admin == 0


def test_with_leave_the_admin_gives_a_single_user_the_pending_password() -> None:
    scenario = locked_out(SINGLE)
    scenario.run(Step.SET, Step.TEST, Step.FINISH)
    assert scenario.users_tried() == [APP, APP, "admin", APP]
    assert scenario.recovered == [BY_ADMIN]
    assert scenario.may_log_in(scenario.secret.read())
    scenario.rotate()
    assert scenario.recovered == [BY_ADMIN]


def test_with_leave_the_admin_mirrors_a_user_that_did_not_log_in_and_leaves_its_password_alone() -> None:
    scenario = locked_out(ALTERNATING)
    scenario.run(Step.SET, Step.TEST, Step.FINISH)
    assert scenario.recovered == [BY_ADMIN]
    assert scenario.secret.read().credential.username == CLONE
    assert scenario.may_log_in(scenario.secret.read())
    assert written(scenario) == ["CREATE", "MARK", "GRANT", "ALTER"]


@pytest.mark.parametrize("strategy", [SINGLE, ALTERNATING])
def test_a_repair_can_come_again(strategy: Strategy) -> None:
    scenario = locked_out(strategy)
    scenario.run(Step.SET)
    scenario.run(Step.CREATE, Step.SET, Step.TEST, Step.FINISH)
    assert scenario.may_log_in(scenario.secret.read())


@pytest.mark.parametrize("strategy", [SINGLE, ALTERNATING])
def test_with_leave_the_admin_itself_is_still_nobodys_user(strategy: Strategy) -> None:
    scenario = locked_out(strategy)
    scenario.admin = scenario.database.new_user(APP, "the admin's own", is_admin=True)
    with pytest.raises(Unsafe, match=f"{APP} is the admin itself"):
        scenario.run(Step.SET)
    assert scenario.database.log == []


def test_with_leave_somebody_elses_user_with_the_clones_name_is_still_left_alone() -> None:
    scenario = locked_out(ALTERNATING)
    stranger = scenario.database.new_user(CLONE, "theirs")
    with pytest.raises(Unsafe, match="no version of the secret has its password"):
        scenario.run(Step.SET)
    assert scenario.database.accepts(stranger)


@pytest.mark.parametrize("strategy", [SINGLE, ALTERNATING])
def test_with_leave_a_server_that_does_not_answer_still_leads_to_no_admin(strategy: Strategy) -> None:
    scenario = locked_out(strategy)
    scenario.database.unreachable.add(PRIMARY)
    with pytest.raises(Unreachable):
        scenario.run(Step.SET)
    assert "admin" not in scenario.users_tried()


def test_with_leave_a_user_that_somebody_locked_stays_locked() -> None:
    scenario = locked_out(SINGLE)
    scenario.database.users[APP].verifiers = ()
    scenario.run(Step.SET)
    assert scenario.database.users[APP].verifiers == ()
    with pytest.raises(LoginRefused):
        scenario.run(Step.TEST)


def test_with_leave_nothing_is_repaired_that_works() -> None:
    for strategy in [SINGLE, ALTERNATING]:
        scenario = Scenario(ALTERNATING, rotation={"strategy": strategy})
        scenario.allow_admin_repair = True
        for _ in range(3):
            scenario.rotate()
        assert scenario.recovered == []
        assert scenario.asked_for_admin == (0 if strategy is SINGLE else 3)


# Alternating users


def test_the_admin_logs_in_only_after_the_current_user_did() -> None:
    scenario = staged(Scenario(ALTERNATING))
    scenario.run(Step.SET)
    assert scenario.users_tried() == [APP, "admin"]


def test_without_the_current_users_password_the_admin_is_not_asked() -> None:
    scenario = staged(Scenario(ALTERNATING))
    change_by_hand(scenario, APP, "lost")
    with pytest.raises(LoginRefused):
        scenario.run(Step.SET)
    assert scenario.users_tried() == [APP]


def test_an_earlier_password_of_the_current_user_proves_as_much() -> None:
    scenario = Scenario(ALTERNATING)
    scenario.try_more_passwords = True
    scenario.rotate()
    scenario.rotate()
    before, now = scenario.secret.versions["version-0"], scenario.secret.read()
    assert before
    change_by_hand(scenario, APP, "password-0")
    staged(scenario).forget_connections()
    scenario.run(Step.SET)
    assert scenario.users_tried() == [APP, APP, "admin"]
    assert scenario.recovered == [BY_OTHER_VERSION]
    assert scenario.database.tried[0].password == now.credential.password


def test_the_password_is_written_last() -> None:
    scenario = staged(Scenario(ALTERNATING))
    scenario.run(Step.SET)
    assert written(scenario) == ["CREATE", "MARK", "GRANT", "ALTER"]


def test_additions_and_removals_follow_to_the_other_user() -> None:
    scenario = Scenario(ALTERNATING)
    scenario.rotate()
    scenario.database.users[CLONE].rights = {reading(INVOICES)}
    scenario.rotate()
    assert scenario.secret.read().credential.username == APP
    assert scenario.database.users[APP].rights == scenario.database.users[CLONE].rights == {reading(INVOICES)}


def test_somebody_elses_user_with_the_clones_name_is_left_alone() -> None:
    scenario = staged(Scenario(ALTERNATING))
    stranger = scenario.database.new_user(CLONE, "theirs", reading(INVOICES))
    with pytest.raises(Unsafe, match="no version of the secret has its password"):
        scenario.run(Step.SET)
    assert scenario.database.log == []
    assert scenario.database.accepts(stranger)
    assert scenario.database.users[CLONE].rights == {reading(INVOICES)}


def test_somebody_elses_user_is_left_alone_however_often_the_rotation_begins_anew() -> None:
    scenario = Scenario(ALTERNATING)
    stranger = scenario.database.new_user(CLONE, "theirs", reading(INVOICES))
    for _ in range(3):
        # Each of them leaves a version with the stranger's name, and a password of ours.
        with pytest.raises(Unsafe):
            staged(scenario).run(Step.SET)
        scenario.secret.abandon()
    assert scenario.database.log == []
    assert scenario.database.accepts(stranger)


@pytest.mark.parametrize(
    ("may_lack_mark", "is_recorded", "tried"),
    [(True, True, [APP, "admin", CLONE]), (True, False, [APP, "admin"]), (False, True, [APP, "admin"])],
)
def test_a_user_with_the_clones_name_meets_the_pending_password_only_if_a_mark_can_lack_and_we_began_to_make_it(
    may_lack_mark: bool, is_recorded: bool, tried: list[str]
) -> None:
    kind = replace(KIND, clone_may_lack_mark=may_lack_mark)
    scenario = staged(Scenario(ALTERNATING, database=FakeDatabase(kind)))
    if is_recorded:
        scenario.secret.write_record(PairRecord().beginning(None))
    pending = scenario.secret.pending()
    assert pending
    scenario.database.new_user(CLONE, pending.credential.password, reading(ORDERS))
    with contextlib.nullcontext() if CLONE in tried else pytest.raises(Unsafe):
        scenario.run(Step.SET)
    assert scenario.users_tried() == tried


def test_no_password_of_the_secret_is_sent_if_the_admin_sees_that_it_is_wrong() -> None:
    scenario = seeing()
    change_by_hand(scenario, APP, "lost")
    with pytest.raises(LoginRefused, match="the server has none of the passwords that the versions of the secret hold"):
        scenario.run(Step.SET)
    assert scenario.database.refused == []


def test_the_admin_sees_which_password_works_so_that_no_login_is_refused() -> None:
    scenario = seeing()
    scenario.run(Step.SET)
    scenario.run(Step.SET)
    scenario.secret.abandon()
    staged(scenario).run(Step.SET)
    assert scenario.database.refused == []
    assert scenario.may_log_in(scenario.secret.read("AWSPENDING"))
    assert scenario.recovered == [BY_OTHER_VERSION]


def test_if_the_admin_sees_nothing_the_likeliest_password_is_tried() -> None:
    scenario = seeing()
    scenario.database.shows_passwords = False
    scenario.run(Step.SET)
    scenario.run(Step.SET)
    assert [credential.password for credential in scenario.database.refused] == ["password-0"]


@pytest.mark.parametrize("strategy", ["single-user", "alternating-users"])
def test_a_wrong_password_of_the_admin_is_about_the_admin_secret(strategy: str) -> None:
    database = FakeDatabase(replace(KIND, admin_sees_passwords=True))
    scenario = staged(Scenario(ALTERNATING, database=database, masterarn="arn:admin", rotation={"strategy": strategy}))
    change_by_hand(scenario, "admin", "another")
    with pytest.raises(LoginBlocked, match="Put the real password of admin into the admin secret arn:admin") as caught:
        scenario.run(Step.SET)
    assert "logging in as admin" in caught.value.operation
    assert [credential.username for credential in scenario.database.refused] == ["admin"]
    assert not written(scenario)


def through_admin(strategy: str) -> Scenario:
    """Bring a user whose admin sees passwords to where setSecret begins, before the admin's own password changes."""
    database = FakeDatabase(replace(KIND, admin_sees_passwords=True))
    scenario = staged(Scenario(ALTERNATING, database=database, masterarn="arn:admin", rotation={"strategy": strategy}))
    scenario.earlier_admins = [scenario.admin]
    change_by_hand(scenario, "admin", "rotated")
    return scenario


@pytest.mark.parametrize("strategy", ["single-user", "alternating-users"])
def test_an_admin_secret_that_was_rotated_after_it_was_read_is_read_again(strategy: str) -> None:
    scenario = through_admin(strategy)
    scenario.admin = replace(scenario.admin, password="rotated")
    scenario.run(Step.SET)
    assert [credential.username for credential in scenario.database.refused] == ["admin"]
    assert scenario.database.accepts(scenario.secret.read("AWSPENDING").credential)


@pytest.mark.parametrize(
    ("username", "password", "host", "logins"),
    [
        ("admin", "wrong as well", PRIMARY, 2),
        ("admin", "admin-password", PRIMARY, 1),
        ("other", "rotated", PRIMARY, 1),
        ("admin", "rotated", "elsewhere", 1),
    ],
    ids=["another wrong password", "no change", "another user", "another host"],
)
def test_an_admin_secret_is_read_again_once_and_only_another_password_is_tried(
    username: str, password: str, host: str, logins: int
) -> None:
    scenario = through_admin("single-user")
    scenario.admin = replace(scenario.admin, username=username, password=password, host=host)
    with pytest.raises(LoginBlocked, match="Put the real password of admin into the admin secret arn:admin"):
        scenario.run(Step.SET)
    assert [credential.username for credential in scenario.database.tried] == ["admin"] * logins
    assert scenario.asked_for_admin == 2


def seeing() -> Scenario:
    """Bring a single user whose admin sees passwords to where setSecret begins."""
    database = FakeDatabase(replace(KIND, admin_sees_passwords=True))
    return staged(Scenario(SINGLE, database=database, masterarn="arn:admin", rotation={"strategy": "single-user"}))


def test_a_user_with_the_clones_name_meets_no_password_of_a_version_that_never_was_current() -> None:
    scenario = Scenario(ALTERNATING)
    scenario.database.new_user(CLONE, "theirs")
    for _ in range(3):
        with pytest.raises(Unsafe):
            staged(scenario).run(Step.SET)
        scenario.secret.abandon()
    assert CLONE not in scenario.users_tried()


# Where the proof is given


def test_the_user_proves_itself_at_the_place_of_the_admin() -> None:
    scenario = Scenario(ALTERNATING, host="replica.test")
    scenario.database.new_replica("replica.test", lag=0)
    staged(scenario).run(Step.SET)
    assert [credential.host for credential in scenario.database.tried] == [PRIMARY] * 2


def test_a_login_at_a_host_of_somebody_elses_proves_nothing_at_the_admins() -> None:
    """A writable replica can have a user of that name and with another password."""
    scenario = Scenario(ALTERNATING, host="replica.test")
    scenario.database.new_replica("replica.test", lag=0)
    change_by_hand(scenario, APP, "the real one")
    with pytest.raises(LoginRefused):
        staged(scenario).run(Step.SET)
    assert "admin" not in scenario.users_tried()


@pytest.mark.parametrize("strategy", [SINGLE, ALTERNATING])
@pytest.mark.parametrize(("user", "admin", "proof"), [(False, True, True), (True, False, True), (False, False, False)])
def test_the_proof_is_given_over_tls_if_one_of_the_two_has_it(
    strategy: Strategy, user: bool, admin: bool, proof: bool
) -> None:
    scenario = Scenario(ALTERNATING, ssl=user, rotation={"strategy": strategy})
    scenario.admin = replace(scenario.admin, tls=admin)
    scenario.database.users[APP].may_change_own_password = False
    staged(scenario).run(Step.SET)
    at = scenario.users_tried().index("admin")
    proved, administered = scenario.database.tried[at - 1 : at + 1]
    assert (proved.username, proved.tls) == (APP, proof)
    assert (administered.username, administered.tls) == ("admin", admin)


def test_if_tls_has_a_port_of_its_own_the_users_tls_stays() -> None:
    kind = replace(KIND, tls_has_own_port=True)
    scenario = Scenario(ALTERNATING, database=FakeDatabase(kind), port=2484)
    scenario.admin = replace(scenario.admin, tls=False)
    with pytest.raises(Unreachable):  # nobody listens there
        staged(scenario).run(Step.SET)
    [proved] = scenario.database.tried
    assert (proved.host, proved.port, proved.tls) == (PRIMARY, 2484, True)


@pytest.mark.parametrize("strategy", [SINGLE, ALTERNATING])
def test_an_account_that_is_another_one_by_the_time_the_admin_is_there_is_left_alone(strategy: Strategy) -> None:
    scenario = staged(Scenario(ALTERNATING, rotation={"strategy": strategy}))
    scenario.database.users[APP].may_change_own_password = False

    def put_another_in_its_place(call: str) -> None:
        if call == "log in as admin":
            scenario.database.users[APP] = replace(scenario.database.users[APP], principal="another")

    scenario.database.before = put_another_in_its_place
    with pytest.raises(Unsafe, match="another account"):
        scenario.run(Step.SET)
    assert scenario.database.users.keys() == {"admin", APP}
    assert scenario.database.accepts(scenario.secret.read().credential)


def test_a_clone_that_an_earlier_version_holds_is_ours() -> None:
    """So it is with pairs that AWS's own rotation functions made."""
    scenario = Scenario(ALTERNATING)
    current = scenario.secret.read()
    scenario.database.new_user(CLONE, "older", reading(ORDERS))
    scenario.secret.put("older", current.successor(CLONE, "older").fields)
    scenario.secret.put("now", current.fields)
    scenario.rotate()
    assert scenario.secret.read().credential.username == CLONE


@pytest.mark.parametrize("fields", [{"host": "elsewhere.test"}, {"port": 5001}])
def test_a_clone_that_an_earlier_version_holds_for_another_place_is_not_ours(fields: dict[str, object]) -> None:
    scenario = Scenario(ALTERNATING)
    current = scenario.secret.read()
    scenario.database.new_user(CLONE, "older", reading(ORDERS))
    scenario.secret.put("older", {**current.successor(CLONE, "older").fields, **fields})
    scenario.secret.put("now", current.fields)
    with pytest.raises(Unsafe):
        staged(scenario).run(Step.SET)


def test_a_clone_that_carries_our_mark_is_ours() -> None:
    scenario = Scenario(ALTERNATING)
    scenario.rotate()
    scenario.secret.versions = {scenario.secret.token: scenario.secret.versions[scenario.secret.token]}
    scenario.rotate()
    assert scenario.secret.read().credential.username == APP


@pytest.mark.parametrize("name", [APP, CLONE])
def test_the_admin_is_nobodys_clone(name: str) -> None:
    scenario = staged(Scenario(ALTERNATING))
    if name == CLONE:
        scenario.database.new_user(CLONE, "admin-password", is_admin=True)
    scenario.admin = scenario.database.new_user(name, "password-0", is_admin=True)
    with pytest.raises(Unsafe, match=f"{name} is the admin itself"):
        scenario.run(Step.SET)
    assert scenario.database.log == []


def test_if_only_an_admin_sees_rights_they_are_compared_before_the_password_is_set() -> None:
    scenario = staged(Scenario(ALTERNATING, database=FakeDatabase(replace(KIND, clone_sees_rights=False))))

    def interfere(statement: str) -> None:
        if statement.startswith("GRANT"):
            scenario.database.users[APP].rights.add(reading(INVOICES))

    scenario.database.before = interfere
    with pytest.raises(RightsDiffer, match=INVOICES):
        scenario.run(Step.SET)
    assert not any(statement.startswith("ALTER") for statement in scenario.database.log)
    scenario.run(Step.CREATE, Step.SET, Step.TEST, Step.FINISH)
    assert scenario.database.users[CLONE].rights == {reading(ORDERS), reading(INVOICES)}


@pytest.mark.parametrize("strategy", [SINGLE, ALTERNATING])
def test_without_time_nobody_connects(strategy: Strategy) -> None:
    scenario = staged(Scenario(strategy))
    scenario.clock.left = 1.0
    with pytest.raises(OutOfTime):
        scenario.run(Step.SET)
    assert scenario.database.tried == []


# What a pair cannot share


def test_what_the_pair_cannot_share_is_refused_before_anything_changes() -> None:
    scenario = staged(Scenario(ALTERNATING))
    scenario.database.users[APP].jobs.add("nightly")
    with pytest.raises(Unsupported) as caught:
        scenario.run(Step.SET)
    assert f"{CLONE} cannot alter the job nightly of {APP}" in caught.value.cause
    assert '"accept": ["jobs"]' in caught.value.remedy
    assert written(scenario) == []
    assert CLONE not in scenario.database.users


def test_an_owner_can_accept_what_the_pair_cannot_share() -> None:
    scenario = Scenario(ALTERNATING, rotation={"accept": ["jobs"]})
    scenario.database.users[APP].jobs.add("nightly")
    scenario.rotate()
    assert scenario.secret.read().credential.username == CLONE


def test_a_single_user_shares_with_nobody() -> None:
    scenario = Scenario(SINGLE)
    scenario.database.users[APP].jobs.add("nightly")
    scenario.rotate()
    assert scenario.secret.read().credential.username == APP


def test_a_clone_that_another_delivery_marks_meanwhile_is_ours() -> None:
    scenario = Scenario(ALTERNATING)
    scenario.database.new_user(CLONE, "clone-password", reading(ORDERS))
    staged(scenario)

    def mark(event: str) -> None:
        if event == f"log in as {CLONE}":
            scenario.database.users[CLONE].mark = APP

    scenario.secret.versions = {"earlier": scenario.secret.versions["version-0"], **scenario.secret.versions}
    value = scenario.secret.read()
    scenario.secret.versions["earlier"] = replace(
        value, fields={**value.fields, "username": CLONE, "password": "replaced by the other delivery"}
    ).to_json()
    scenario.database.before = mark
    scenario.run(Step.SET)
    assert scenario.may_log_in(scenario.secret.read("AWSPENDING"))


def test_a_pair_whose_sessions_find_different_things_is_refused() -> None:
    scenario = Scenario(ALTERNATING)
    scenario.rotate()
    scenario.rotate()
    scenario.database.users[CLONE].schema = "another"
    staged(scenario)
    with pytest.raises(
        RightsDiffer, match=f"as {CLONE} an application finds the schema to be another, as {APP} public"
    ):
        scenario.run()
    scenario.database.users[APP].schema = "another"
    scenario.run()
    assert scenario.may_log_in(scenario.secret.read())


# What an application finds


def ready_for_test(scenario: Scenario) -> Scenario:
    """Bring a scenario to where testSecret begins, and forget who logged in until then."""
    staged(scenario).run(Step.SET)
    scenario.forget_connections()
    return scenario


def test_what_the_current_user_finds_is_known_from_set_secret() -> None:
    scenario = ready_for_test(Scenario(ALTERNATING))
    scenario.run(Step.TEST)
    assert scenario.users_tried() == [CLONE]


def test_the_current_user_logs_in_again_if_the_record_cannot_be_seen() -> None:
    scenario = ready_for_test(Scenario(ALTERNATING))
    scenario.secret.write_record(PairRecord())
    scenario.run(Step.TEST)
    assert scenario.users_tried() == [CLONE, APP]


def test_what_the_two_find_is_compared_even_if_the_record_cannot_be_seen() -> None:
    scenario = ready_for_test(Scenario(ALTERNATING))
    scenario.secret.write_record(PairRecord())
    scenario.database.users[CLONE].schema = "another"
    with pytest.raises(RightsDiffer, match="an application finds the schema to be another"):
        scenario.run(Step.TEST)


def test_a_change_of_both_users_after_set_secret_is_no_difference() -> None:
    scenario = ready_for_test(Scenario(ALTERNATING))
    scenario.database.users[APP].schema = scenario.database.users[CLONE].schema = "another"
    scenario.run(Step.TEST)
    assert scenario.users_tried() == [CLONE, APP]


def test_a_current_user_that_is_refused_has_nothing_to_compare_with() -> None:
    """Then the pending version is the only one that works."""
    scenario = ready_for_test(Scenario(ALTERNATING))
    scenario.secret.write_record(PairRecord())
    change_by_hand(scenario, APP, "lost")
    scenario.run(Step.TEST)
    assert scenario.users_tried() == [CLONE, APP]


def test_a_current_user_whose_login_set_secret_did_without_is_not_tried_again() -> None:
    """It was refused already, and each refused login counts."""
    scenario = staged(Scenario(ALTERNATING))
    scenario.allow_admin_repair = True
    change_by_hand(scenario, APP, "lost")
    scenario.run(Step.SET)
    scenario.forget_connections()
    scenario.run(Step.TEST)
    assert scenario.users_tried() == [CLONE]


def test_the_two_are_compared_where_the_application_logs_in() -> None:
    scenario = Scenario(ALTERNATING, host="replica.test")
    scenario.database.new_replica("replica.test", lag=0)
    ready_for_test(scenario).secret.write_record(PairRecord())
    scenario.run(Step.TEST)
    assert [credential.host for credential in scenario.database.tried] == ["replica.test"] * 2


def test_what_the_current_user_finds_is_compared_at_once_if_an_older_record_could_still_show() -> None:
    """A logon trigger, say, was made for one of the two after a rotation that recorded what both found."""
    scenario = Scenario(ALTERNATING)
    scenario.rotate()
    scenario.database.users[CLONE].schema = "another"
    staged(scenario).forget_connections()
    with pytest.raises(
        RightsDiffer, match=f"as {APP} an application finds the schema to be public, as {CLONE} another"
    ):
        scenario.run(Step.SET)
    assert scenario.users_tried() == [CLONE, "admin", APP]


@pytest.mark.parametrize("outcome", [Unreachable, RightsDiffer], ids=["it was cut off", "they differ"])
def test_what_an_older_record_could_hide_is_compared_again_if_the_comparison_did_not_end_well(
    outcome: type[RotationError],
) -> None:
    """Else the next setSecret finds its own record, compares nothing, and testSecret can see the older one."""
    scenario = Scenario(ALTERNATING)
    scenario.rotate()
    scenario.database.users[CLONE].schema = "another"
    staged(scenario)

    def cut_off(call: str) -> None:
        if outcome is Unreachable and call == f"log in as {APP}":
            raise Unreachable("comparing", "the function was ended", "Wait")

    scenario.database.before = cut_off
    with pytest.raises(outcome):
        scenario.run(Step.SET)
    scenario.database.before = undisturbed
    with pytest.raises(RightsDiffer, match=f"as {APP} an application finds the schema to be public"):
        scenario.run(Step.SET)


def test_a_change_that_both_users_find_needs_one_login_more_once() -> None:
    scenario = Scenario(ALTERNATING)
    scenario.rotate()
    scenario.database.users[APP].schema = scenario.database.users[CLONE].schema = "another"
    tried = []
    for _ in range(2):
        scenario.forget_connections()
        scenario.rotate()
        tried.append(scenario.users_tried())
    assert tried == [[CLONE, "admin", APP, APP], [APP, "admin", CLONE]]


def test_what_the_current_user_finds_is_compared_with_whichever_password_set_secret_logged_in() -> None:
    """Somebody has moved AWSCURRENT back to a version whose password has ended."""
    scenario = Scenario(ALTERNATING)
    for _ in range(2):
        scenario.rotate()
    scenario.secret.abandon()
    scenario.secret.labels[CURRENT] = "version-0"
    staged(scenario).run(Step.SET)
    scenario.database.users[CLONE].schema = "another"
    scenario.forget_connections()
    with pytest.raises(RightsDiffer, match="an application finds the schema to be another"):
        scenario.run(Step.TEST)
    assert scenario.users_tried() == [CLONE, APP, APP]
