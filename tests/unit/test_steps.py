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
from rotation.steps import FIRST_PAUSE, Step
from tests.fakes import CURRENT, KIND, PENDING, PREVIOUS, PRIMARY, FakeDatabase, reading
from tests.laboratories import INVOICES, ORDERS
from tests.unit.world import ALTERNATING, APP, CLONE, CONNECTIONS, SINGLE, World, stop_clocks

STRATEGIES = [SINGLE, ALTERNATING]
REPLICA = "replica.test"


@pytest.fixture(params=STRATEGIES)
def world(request: pytest.FixtureRequest) -> World:
    """A world for each strategy."""
    return World(Strategy(request.param), rotation={"verify": [f"SELECT 1 FROM {ORDERS}"]})  # noqa: S608 - a constant


# A rotation that goes well


def test_five_rotations_in_a_row_each_make_the_new_version_work(world: World) -> None:
    for _ in range(5):
        old = world.secret.read()
        world.rotate()
        new = world.secret.read()
        assert new.credential.password != old.credential.password
        assert world.may_log_in(new)
        assert world.secret.read(PREVIOUS) == old
        assert world.secret.labels[PENDING] == world.secret.labels[CURRENT] == world.secret.token


def test_a_healthy_rotation_has_no_failed_login_and_few_connections(world: World) -> None:
    for _ in range(5):
        world.forget_connections()
        world.rotate()
        assert world.database.refused == []
        assert len(world.database.tried) <= CONNECTIONS[world.strategy]


def test_a_single_user_stays_the_same_user() -> None:
    world = World(SINGLE)
    world.rotate()
    assert world.secret.read().credential.username == APP
    assert not world.may_log_in(world.secret.read(PREVIOUS))


def test_alternating_users_take_turns_and_the_version_before_keeps_working_at_every_step() -> None:
    world = World(ALTERNATING)
    for username in [CLONE, APP, CLONE, APP, CLONE]:
        old = world.secret.read()
        world.begin()
        for step in Step:
            world.run(step)
            assert world.may_log_in(old)
            assert world.may_log_in(world.secret.read())
        assert world.secret.read().credential.username == username


def test_every_other_key_of_the_secret_is_carried_over_in_its_place() -> None:
    world = World(SINGLE, dbname="shop", ssl="true", port="5000", team={"pager": ["a", 1, None]}, note="ü")
    before = dict(world.secret.read().fields)
    world.rotate()
    after = dict(world.secret.read().fields)
    assert list(after) == list(before)
    assert {**after, "password": ""} == {**before, "password": ""}


def test_the_log_learns_the_strategy_in_each_step_but_the_last(world: World) -> None:
    world.rotate()
    assert world.annotated == [world.strategy] * 3


def test_what_a_step_did_is_said_without_a_password(world: World) -> None:
    world.begin()
    said = world.run(*Step, *Step)
    assert said[-1] == "the version is current already"
    assert not any("password-" in sentence for sentence in said)


# Steps that come again


@pytest.mark.parametrize("times", [1, 2, 3])
def test_each_step_may_be_repeated(world: World, times: int) -> None:
    for _ in range(5):
        old = world.secret.read()
        world.begin()
        for step in Step:
            world.run(*[step] * times)
        assert world.may_log_in(world.secret.read())
        assert world.secret.read(PREVIOUS) == old


@pytest.mark.parametrize("last", Step)
def test_a_rotation_that_begins_again_keeps_the_password_that_it_wrote(world: World, last: Step) -> None:
    world.rotate()
    world.begin()
    steps = list(Step)
    world.run(*steps[: steps.index(last) + 1])
    written = world.secret.versions[world.secret.token]
    world.run()
    assert world.secret.versions[world.secret.token] == written
    assert world.may_log_in(world.secret.read())


def test_steps_of_a_version_that_is_current_already_change_nothing(world: World) -> None:
    world.rotate()
    labels, versions, users = dict(world.secret.labels), dict(world.secret.versions), repr(world.database.users)
    for step in Step:
        world.run(step)
    assert (world.secret.labels, world.secret.versions, repr(world.database.users)) == (labels, versions, users)
    assert world.database.refused == []


def test_two_create_secrets_at_once_agree_on_one_password(world: World) -> None:
    world.begin()

    def come_second(call: str) -> None:
        if call == "PutSecretValue":
            del world.secret.before
            world.secret.before = lambda _: None
            world.run(Step.CREATE)

    world.secret.before = come_second
    world.run(Step.CREATE)
    pending = world.secret.pending()
    assert pending
    assert pending.credential.password == "password-2"
    world.run(Step.SET, Step.TEST, Step.FINISH)
    assert world.may_log_in(world.secret.read())


@pytest.mark.parametrize("last", list(Step)[:3])
def test_after_an_abandoned_rotation_a_new_one_heals(world: World, last: Step) -> None:
    steps = list(Step)
    for _ in range(3):
        world.begin()
        world.run(*steps[: steps.index(last) + 1])
        world.secret.abandon()
    world.rotate()
    assert world.secret.read().credential.password == "password-4"
    assert world.may_log_in(world.secret.read())
    world.rotate()
    assert world.may_log_in(world.secret.read())


# Versions that are not to be rotated


@pytest.mark.parametrize("step", Step)
def test_an_abandoned_version_is_left_alone(world: World, step: Step) -> None:
    world.begin()
    world.run(Step.CREATE)
    world.secret.abandon()
    before = repr(world.database.users), dict(world.secret.labels)
    with pytest.raises(NotRotatable):
        world.run(step)
    assert (repr(world.database.users), world.secret.labels) == before
    assert world.database.tried == []


def test_an_empty_version_has_nothing_to_be_set(world: World) -> None:
    world.begin()
    with pytest.raises(NotRotatable, match="it has no value yet"):
        world.run(Step.SET)
    assert world.database.tried == []


def test_nothing_is_staged_while_rotation_is_off(world: World) -> None:
    world.begin()
    world.secret.rotation_enabled = False
    with pytest.raises(NotRotatable):
        world.run(Step.CREATE)
    assert world.secret.versions[world.secret.token] is None


def test_a_finished_rotation_may_be_finished_again(world: World) -> None:
    world.rotate()
    labels = dict(world.secret.labels)
    assert world.run(Step.FINISH) == ["the version is current already"]
    assert world.secret.labels == labels


def test_a_current_version_that_is_put_by_hand_meanwhile_wins(world: World) -> None:
    world.begin()
    world.run(Step.CREATE)
    by_hand = dict(world.secret.read().fields)
    world.secret.put("by-hand", by_hand)
    for step in Step:
        with pytest.raises(NotRotatable):
            world.run(step)
    assert world.secret.labels[CURRENT] == "by-hand"


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
    world: World, step: Step, fields: dict[str, object]
) -> None:
    turn = {"username": CLONE} if world.strategy is ALTERNATING else {}
    world.stage({"password": "theirs", **turn, **fields})
    with pytest.raises(Superseded, match="does not follow"):
        world.run(step)
    assert world.database.tried == []
    assert world.asked_for_admin == 0


def test_a_pending_version_for_the_user_whose_turn_it_is_not_is_refused() -> None:
    world = World(ALTERNATING)
    world.stage({"password": "theirs"})
    with pytest.raises(Superseded):
        world.run(Step.SET)
    assert world.database.tried == []


@pytest.mark.parametrize("fields", FOREIGN[:4], ids=lambda fields: next(iter(fields)))
def test_a_pending_version_under_which_the_secret_was_changed_is_told_from_a_passing_failure(
    world: World, fields: dict[str, object]
) -> None:
    world.begin()
    world.run(Step.CREATE)
    world.secret.versions["version-0"] = json.dumps({**world.secret.read().fields, **fields})
    with pytest.raises(Superseded) as caught:
        world.run(Step.SET)
    assert caught.value.ends_version
    assert world.database.tried == []


def test_a_pending_password_that_an_operator_chose_is_taken(world: World) -> None:
    world.stage({"password": "chosen", "username": CLONE if world.strategy is ALTERNATING else APP})
    world.run()
    assert world.secret.read().credential.password == "chosen"
    assert world.may_log_in(world.secret.read())


# Strategies that cannot be had


@pytest.mark.parametrize(
    ("world", "error", "text"),
    [
        (World(rotation={"strategy": "dual-password"}), Unsupported, "FakeDB cannot do dual-password"),
        (World(rotation={"strategy": "alternating-users"}), InvalidSecret, "masterarn"),
        (
            World(ALTERNATING, database=FakeDatabase(replace(KIND, strategies=frozenset({SINGLE})))),
            Unsupported,
            "cannot do alternating-users",
        ),
        (World(ALTERNATING, username="a" * 58), Unsupported, "is longer than"),
    ],
    ids=["dual password", "no masterarn", "engine without pairs", "long name"],
)
def test_a_strategy_that_cannot_be_had_is_refused_before_anything_is_staged(
    world: World, error: type[Exception], text: str
) -> None:
    world.begin()
    with pytest.raises(error, match=text):
        world.run(Step.CREATE)
    assert world.secret.versions[world.secret.token] is None
    assert world.database.tried == []


def test_the_longest_name_whose_clone_fits_is_taken() -> None:
    world = World(ALTERNATING)
    name = "a" * 57
    world.database.new_user(name, "password-0", reading(ORDERS))
    world.secret.put("by-hand", {**world.secret.read().fields, "username": name})
    world.rotate()
    assert world.secret.read().credential.username == f"{name}_clone"


# testSecret


def test_a_password_that_does_not_log_in_fails_the_test_at_once() -> None:
    world = World(SINGLE)
    world.begin()
    world.run(Step.CREATE)
    with pytest.raises(LoginRefused):
        world.run(Step.TEST)
    assert world.clock.waits == []
    assert world.users_tried() == [APP]


def test_a_server_that_does_not_answer_fails_the_test_at_once(world: World) -> None:
    world.begin()
    world.run(Step.CREATE, Step.SET)
    world.forget_connections()
    world.database.unreachable.add(PRIMARY)
    with pytest.raises(Unreachable):
        world.run(Step.TEST)
    assert len(world.database.tried) == 1


@pytest.mark.parametrize(
    ("statement", "error"),
    [(f"SELECT 1 FROM {INVOICES}", NotPermitted), ("SELECT 1 FROM nothing", StatementFailed)],  # noqa: S608 - constants
)
def test_a_version_that_cannot_run_its_own_statements_does_not_become_current(
    statement: str, error: type[Exception]
) -> None:
    world = World(SINGLE, rotation={"verify": [f"SELECT 1 FROM {ORDERS}", statement]})  # noqa: S608 - a constant
    world.begin()
    world.run(Step.CREATE, Step.SET)
    with pytest.raises(error, match="statement"):
        world.run(Step.TEST)


def test_a_pair_whose_rights_have_come_to_differ_fails_the_test() -> None:
    world = World(ALTERNATING)
    world.begin()
    world.run(Step.CREATE, Step.SET)
    world.database.users[APP].rights.add(reading(INVOICES))
    with pytest.raises(RightsDiffer, match=f"{CLONE} may not read {INVOICES}"):
        world.run(Step.TEST)
    world.run()
    assert world.secret.read().credential.username == CLONE


def test_where_a_clone_may_not_see_its_rights_testing_does_not_ask() -> None:
    world = World(ALTERNATING, database=FakeDatabase(replace(KIND, clone_sees_rights=False)))
    for _ in range(5):
        world.rotate()
    assert world.database.refused == []


@pytest.mark.parametrize("begin", [World.begin, World.begin_with_current_value])
def test_a_test_without_rotation_tests_the_current_version(world: World, begin: Callable[[World], None]) -> None:
    """So it is when a schedule is saved with RotateImmediatelyOnUpdate off; here before there is a clone."""
    begin(world)
    users = repr(world.database.users)
    assert world.run(Step.TEST) == [f"{APP} logs in"]
    assert world.users_tried() == [APP]
    assert repr(world.database.users) == users


@pytest.mark.parametrize("begin", [World.begin, World.begin_with_current_value])
def test_a_test_without_rotation_still_runs_the_statements(begin: Callable[[World], None]) -> None:
    world = World(ALTERNATING, rotation={"verify": [f"SELECT 1 FROM {INVOICES}"]})  # noqa: S608 - a constant
    begin(world)
    with pytest.raises(NotPermitted):
        world.run(Step.TEST)


# Replicas


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> World:
    """An alternating pair whose secret names a replica that lags three logins behind."""
    world = World(ALTERNATING, host=REPLICA)
    world.database.new_replica(REPLICA, lag=3)
    stop_clocks(monkeypatch, world)
    return world


def test_a_password_that_reaches_a_replica_late_is_waited_for(far: World) -> None:
    far.rotate()
    assert far.secret.read().credential.username == CLONE
    assert far.clock.waits == [FIRST_PAUSE * 2**doubled for doubled in range(len(far.clock.waits))]
    assert len(far.clock.waits) == 3


def test_a_replica_that_does_not_catch_up_ends_the_step_within_its_time(far: World) -> None:
    far.database.new_replica(REPLICA, lag=1000)
    far.begin()
    far.run(Step.CREATE, Step.SET)
    with pytest.raises(LoginRefused):
        far.run(Step.TEST)
    assert far.clock.left > 0
    assert sum(far.clock.waits) > far.clock.left


def test_a_replica_that_does_not_answer_is_not_waited_for(far: World) -> None:
    far.begin()
    far.run(Step.CREATE, Step.SET)
    far.database.unreachable.add(REPLICA)
    with pytest.raises(Unreachable):
        far.run(Step.TEST)
    assert far.clock.waits == []
