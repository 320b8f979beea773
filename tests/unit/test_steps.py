"""Is each of the four steps right, whatever came before it?"""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from rotation.errors import (
    InvalidSecret,
    LoginRefused,
    NotPermitted,
    NotRotatable,
    RightsDiffer,
    StatementFailed,
    Superseded,
    Unreachable,
    Unsupported,
)
from rotation.kind import Strategy
from rotation.steps import REPLICA_PAUSES, Step
from rotation.strategies import REPLICA_SECONDS
from tests.fakes import CURRENT, KIND, PENDING, PREVIOUS, PRIMARY, FakeDatabase, reading
from tests.laboratories import INVOICES, ORDERS
from tests.unit.scenario import ALTERNATING, APP, CLONE, CONNECTIONS, SINGLE, Scenario, stop_clocks

STRATEGIES = [SINGLE, ALTERNATING]
REPLICA = "replica.test"


@pytest.fixture(params=STRATEGIES)
def scenario(request: pytest.FixtureRequest) -> Scenario:
    """A scenario for each strategy."""
    return Scenario(Strategy(request.param), rotation={"verify": [f"SELECT 1 FROM {ORDERS}"]})  # noqa: S608 - a constant


# A rotation that goes well


def test_five_rotations_in_a_row_each_make_the_new_version_work(scenario: Scenario) -> None:
    for _ in range(5):
        old = scenario.secret.read()
        scenario.rotate()
        new = scenario.secret.read()
        assert new.credential.password != old.credential.password
        assert scenario.may_log_in(new)
        assert scenario.secret.read(PREVIOUS) == old
        assert scenario.secret.labels[PENDING] == scenario.secret.labels[CURRENT] == scenario.secret.token


def test_a_healthy_rotation_has_no_failed_login_and_few_connections(scenario: Scenario) -> None:
    for _ in range(5):
        scenario.forget_connections()
        scenario.rotate()
        assert scenario.database.refused == []
        assert len(scenario.database.tried) <= CONNECTIONS[scenario.strategy]


def test_a_single_user_stays_the_same_user() -> None:
    scenario = Scenario(SINGLE)
    scenario.rotate()
    assert scenario.secret.read().credential.username == APP
    assert not scenario.may_log_in(scenario.secret.read(PREVIOUS))


def test_alternating_users_take_turns_and_the_version_before_keeps_working_at_every_step() -> None:
    scenario = Scenario(ALTERNATING)
    for username in [CLONE, APP, CLONE, APP, CLONE]:
        old = scenario.secret.read()
        scenario.begin()
        for step in Step:
            scenario.run(step)
            assert scenario.may_log_in(old)
            assert scenario.may_log_in(scenario.secret.read())
        assert scenario.secret.read().credential.username == username


def test_every_other_key_of_the_secret_is_carried_over_in_its_place() -> None:
    scenario = Scenario(SINGLE, dbname="shop", ssl="true", port="5000", team={"pager": ["a", 1, None]}, note="ü")
    before = dict(scenario.secret.read().fields)
    scenario.rotate()
    after = dict(scenario.secret.read().fields)
    assert list(after) == list(before)
    assert {**after, "password": ""} == {**before, "password": ""}


def test_the_log_learns_the_strategy_in_each_step_but_the_last(scenario: Scenario) -> None:
    scenario.rotate()
    assert scenario.annotated == [scenario.strategy] * 3


def test_what_a_step_did_is_said_without_a_password(scenario: Scenario) -> None:
    scenario.begin()
    said = scenario.run(*Step, *Step)
    assert said[-1] == "the version is current already"
    assert not any("password-" in sentence for sentence in said)


# Steps that come again


@pytest.mark.parametrize("times", [1, 2, 3])
def test_each_step_can_be_repeated(scenario: Scenario, times: int) -> None:
    for _ in range(5):
        old = scenario.secret.read()
        scenario.begin()
        for step in Step:
            scenario.run(*[step] * times)
        assert scenario.may_log_in(scenario.secret.read())
        assert scenario.secret.read(PREVIOUS) == old


@pytest.mark.parametrize("last", Step)
def test_a_rotation_that_begins_again_keeps_the_password_that_it_wrote(scenario: Scenario, last: Step) -> None:
    scenario.rotate()
    scenario.begin()
    steps = list(Step)
    scenario.run(*steps[: steps.index(last) + 1])
    written = scenario.secret.versions[scenario.secret.token]
    scenario.run()
    assert scenario.secret.versions[scenario.secret.token] == written
    assert scenario.may_log_in(scenario.secret.read())


def test_steps_of_a_version_that_is_current_already_change_nothing(scenario: Scenario) -> None:
    scenario.rotate()
    labels, versions, users = (
        dict(scenario.secret.labels),
        dict(scenario.secret.versions),
        repr(scenario.database.users),
    )
    for step in Step:
        scenario.run(step)
    assert (scenario.secret.labels, scenario.secret.versions, repr(scenario.database.users)) == (
        labels,
        versions,
        users,
    )
    assert scenario.database.refused == []


def test_two_create_secrets_at_once_agree_on_one_password(scenario: Scenario) -> None:
    scenario.begin()

    def come_second(call: str) -> None:
        if call == "PutSecretValue":
            del scenario.secret.before
            scenario.secret.before = lambda _: None
            scenario.run(Step.CREATE)

    scenario.secret.before = come_second
    scenario.run(Step.CREATE)
    pending = scenario.secret.pending()
    assert pending
    assert pending.credential.password == "password-2"
    scenario.run(Step.SET, Step.TEST, Step.FINISH)
    assert scenario.may_log_in(scenario.secret.read())


@pytest.mark.parametrize("last", list(Step)[:3])
def test_after_an_abandoned_rotation_a_new_one_recovers(scenario: Scenario, last: Step) -> None:
    steps = list(Step)
    for _ in range(3):
        scenario.begin()
        scenario.run(*steps[: steps.index(last) + 1])
        scenario.secret.abandon()
    scenario.rotate()
    assert scenario.secret.read().credential.password == "password-4"
    assert scenario.may_log_in(scenario.secret.read())
    scenario.rotate()
    assert scenario.may_log_in(scenario.secret.read())


# Versions that are not to be rotated


@pytest.mark.parametrize("step", Step)
def test_an_abandoned_version_is_left_alone(scenario: Scenario, step: Step) -> None:
    scenario.begin()
    scenario.run(Step.CREATE)
    scenario.secret.abandon()
    before = repr(scenario.database.users), dict(scenario.secret.labels)
    with pytest.raises(NotRotatable):
        scenario.run(step)
    assert (repr(scenario.database.users), scenario.secret.labels) == before
    assert scenario.database.tried == []


def test_an_empty_version_has_nothing_to_be_set(scenario: Scenario) -> None:
    scenario.begin()
    with pytest.raises(NotRotatable, match="it has no value yet"):
        scenario.run(Step.SET)
    assert scenario.database.tried == []


def test_nothing_is_staged_while_rotation_is_off(scenario: Scenario) -> None:
    scenario.begin()
    scenario.secret.rotation_enabled = False
    with pytest.raises(NotRotatable):
        scenario.run(Step.CREATE)
    assert scenario.secret.versions[scenario.secret.token] is None


def test_a_finished_rotation_can_be_finished_again(scenario: Scenario) -> None:
    scenario.rotate()
    labels = dict(scenario.secret.labels)
    assert scenario.run(Step.FINISH) == ["the version is current already"]
    assert scenario.secret.labels == labels


def test_a_current_version_that_is_put_by_hand_meanwhile_wins(scenario: Scenario) -> None:
    scenario.begin()
    scenario.run(Step.CREATE)
    by_hand = dict(scenario.secret.read().fields)
    scenario.secret.put("by-hand", by_hand)
    for step in Step:
        with pytest.raises(NotRotatable):
            scenario.run(step)
    assert scenario.secret.labels[CURRENT] == "by-hand"


# Pending versions that somebody else wrote

FOREIGN = [
    {"host": "elsewhere.test"},
    {"port": 5001},
    {"dbname": "other"},
    {"username": "somebody_else"},
    {"ssl": False},
    {"engine": "aurora-fake"},
]


@pytest.mark.parametrize("step", [Step.CREATE, Step.SET])
@pytest.mark.parametrize("fields", FOREIGN, ids=lambda fields: next(iter(fields)))
def test_a_pending_version_that_does_not_follow_is_refused_before_anybody_connects(
    scenario: Scenario, step: Step, fields: dict[str, object]
) -> None:
    turn = {"username": CLONE} if scenario.strategy is ALTERNATING else {}
    scenario.stage({"password": "theirs", **turn, **fields})
    with pytest.raises(Superseded, match="does not follow"):
        scenario.run(step)
    assert scenario.database.tried == []
    assert scenario.asked_for_admin == 0


def test_a_pending_version_for_the_user_whose_turn_it_is_not_is_refused() -> None:
    scenario = Scenario(ALTERNATING)
    scenario.stage({"password": "theirs"})
    with pytest.raises(Superseded):
        scenario.run(Step.SET)
    assert scenario.database.tried == []


@pytest.mark.parametrize("fields", FOREIGN[:4], ids=lambda fields: next(iter(fields)))
def test_a_pending_version_under_which_the_secret_was_changed_is_told_from_a_passing_failure(
    scenario: Scenario, fields: dict[str, object]
) -> None:
    scenario.begin()
    scenario.run(Step.CREATE)
    scenario.secret.versions["version-0"] = json.dumps({**scenario.secret.read().fields, **fields})
    with pytest.raises(Superseded) as caught:
        scenario.run(Step.SET)
    assert caught.value.ends_version
    assert scenario.database.tried == []


def test_a_pending_password_that_an_operator_chose_is_taken(scenario: Scenario) -> None:
    scenario.stage({"password": "chosen", "username": CLONE if scenario.strategy is ALTERNATING else APP})
    scenario.run()
    assert scenario.secret.read().credential.password == "chosen"
    assert scenario.may_log_in(scenario.secret.read())


# Strategies that cannot be had


@pytest.mark.parametrize(
    ("scenario", "error", "text"),
    [
        (Scenario(rotation={"strategy": "dual-password"}), Unsupported, "FakeDB cannot do dual-password"),
        (Scenario(rotation={"strategy": "alternating-users"}), InvalidSecret, "masterarn"),
        (
            Scenario(ALTERNATING, database=FakeDatabase(replace(KIND, strategies=frozenset({SINGLE})))),
            Unsupported,
            "cannot do alternating-users",
        ),
        (Scenario(ALTERNATING, username="a" * 58), Unsupported, "is longer than"),
    ],
    ids=["dual password", "no masterarn", "engine without pairs", "long name"],
)
def test_a_strategy_that_cannot_be_had_is_refused_before_anything_is_staged(
    scenario: Scenario, error: type[Exception], text: str
) -> None:
    scenario.begin()
    with pytest.raises(error, match=text):
        scenario.run(Step.CREATE)
    assert scenario.secret.versions[scenario.secret.token] is None
    assert scenario.database.tried == []


def test_the_longest_name_whose_clone_fits_is_taken() -> None:
    scenario = Scenario(ALTERNATING)
    name = "a" * 57
    scenario.database.new_user(name, "password-0", reading(ORDERS))
    scenario.secret.put("by-hand", {**scenario.secret.read().fields, "username": name})
    scenario.rotate()
    assert scenario.secret.read().credential.username == f"{name}_clone"


# testSecret


def test_a_password_that_does_not_log_in_fails_the_test_at_once() -> None:
    scenario = Scenario(SINGLE)
    scenario.begin()
    scenario.run(Step.CREATE)
    with pytest.raises(LoginRefused):
        scenario.run(Step.TEST)
    assert scenario.clock.waits == []
    assert scenario.users_tried() == [APP]


def test_a_server_that_does_not_answer_fails_the_test_at_once(scenario: Scenario) -> None:
    scenario.begin()
    scenario.run(Step.CREATE, Step.SET)
    scenario.forget_connections()
    scenario.database.unreachable.add(PRIMARY)
    with pytest.raises(Unreachable):
        scenario.run(Step.TEST)
    assert len(scenario.database.tried) == 1


@pytest.mark.parametrize(
    ("statement", "error"),
    [(f"SELECT 1 FROM {INVOICES}", NotPermitted), ("SELECT 1 FROM nothing", StatementFailed)],  # noqa: S608 - constants
)
def test_a_version_that_cannot_run_its_own_statements_does_not_become_current(
    statement: str, error: type[Exception]
) -> None:
    scenario = Scenario(SINGLE, rotation={"verify": [f"SELECT 1 FROM {ORDERS}", statement]})  # noqa: S608 - a constant
    scenario.begin()
    scenario.run(Step.CREATE, Step.SET)
    with pytest.raises(error, match="statement"):
        scenario.run(Step.TEST)


def test_a_pair_whose_rights_have_come_to_differ_fails_the_test() -> None:
    scenario = Scenario(ALTERNATING)
    scenario.begin()
    scenario.run(Step.CREATE, Step.SET)
    scenario.database.users[APP].rights.add(reading(INVOICES))
    with pytest.raises(RightsDiffer, match=f"{CLONE} may not read {INVOICES}"):
        scenario.run(Step.TEST)
    scenario.run()
    assert scenario.secret.read().credential.username == CLONE


def test_if_a_clone_cannot_see_its_rights_testing_does_not_ask() -> None:
    scenario = Scenario(ALTERNATING, database=FakeDatabase(replace(KIND, clone_sees_rights=False)))
    for _ in range(5):
        scenario.rotate()
    assert scenario.database.refused == []


@pytest.mark.parametrize("begin", [Scenario.begin, Scenario.begin_with_current_value])
def test_a_test_without_rotation_tests_the_current_version(
    scenario: Scenario, begin: Callable[[Scenario], None]
) -> None:
    """So it is when a schedule is saved with RotateImmediatelyOnUpdate off; here before there is a clone."""
    begin(scenario)
    users = repr(scenario.database.users)
    assert scenario.run(Step.TEST) == [f"{APP} logs in"]
    assert scenario.users_tried() == [APP]
    assert repr(scenario.database.users) == users


@pytest.mark.parametrize("begin", [Scenario.begin, Scenario.begin_with_current_value])
def test_a_test_without_rotation_still_runs_the_statements(begin: Callable[[Scenario], None]) -> None:
    scenario = Scenario(ALTERNATING, rotation={"verify": [f"SELECT 1 FROM {INVOICES}"]})  # noqa: S608 - a constant
    begin(scenario)
    with pytest.raises(NotPermitted):
        scenario.run(Step.TEST)


# Replicas


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> Scenario:
    """An alternating pair whose secret names a replica that lags two logins behind."""
    scenario = Scenario(ALTERNATING, host=REPLICA)
    scenario.database.new_replica(REPLICA, lag=2)
    stop_clocks(monkeypatch, scenario)
    return scenario


def test_a_password_that_reaches_a_replica_late_is_waited_for(far: Scenario) -> None:
    far.rotate()
    assert far.secret.read().credential.username == CLONE
    assert far.clock.waits == [REPLICA_SECONDS, *REPLICA_PAUSES]
    assert [credential.host for credential in far.database.refused] == [REPLICA, REPLICA]


def test_a_replica_that_is_quick_is_given_time_before_the_first_login(far: Scenario) -> None:
    far.database.new_replica(REPLICA, lag=0)
    far.rotate()
    assert far.clock.waits == [REPLICA_SECONDS]
    assert far.database.refused == []


def test_a_replica_that_does_not_catch_up_ends_the_step_within_its_time(far: Scenario) -> None:
    far.database.new_replica(REPLICA, lag=1000)
    far.begin()
    far.run(Step.CREATE, Step.SET)
    with pytest.raises(LoginRefused):
        far.run(Step.TEST)
    assert far.clock.left > 0
    assert len(far.database.refused) == 3, "a server with a limit of five failed logins does not lock the user"


def test_a_replica_is_not_waited_for_without_time(far: Scenario) -> None:
    far.database.new_replica(REPLICA, lag=1000)
    far.begin()
    far.run(Step.CREATE, Step.SET)
    far.clock.left = 6.0
    with pytest.raises(LoginRefused):
        far.run(Step.TEST)
    assert len(far.database.refused) == 2


def test_a_replica_that_does_not_answer_is_not_waited_for(far: Scenario) -> None:
    far.begin()
    far.run(Step.CREATE, Step.SET)
    far.database.unreachable.add(REPLICA)
    far.clock.waits.clear()
    with pytest.raises(Unreachable):
        far.run(Step.TEST)
    assert far.clock.waits == []
