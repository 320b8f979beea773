"""What it talks to misbehaves: does each step end in time, say what is wrong, and heal once that is over?

The steps run here, and their clock is real: a step has to end with an error of ours, a second before Lambda would end
it. If the tests must wait for a server, many rotations wait at the same time.
"""

import itertools
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import replace
from threading import Event
from typing import Any

import pytest

from rotation.errors import (
    LoginBlocked,
    LoginRefused,
    OutOfTime,
    PasswordRefused,
    RotationError,
    ServiceFailed,
    StatementFailed,
    Unreachable,
)
from rotation.kind import Strategy
from rotation.steps import Step
from tests.fakes import FakeLaboratory
from tests.faults.in_process import (
    PASSWORD,
    PROMISED,
    SHORTEST,
    Context,
    Scenario,
    until,
)
from tests.faults.stalling import Relay
from tests.laboratories import Laboratory, RealLaboratory
from tests.laboratories.postgresql import PostgreSQLLaboratory
from tests.local.aws.secrets_manager import Call, LocalSecretsManager, Phase

pytestmark = pytest.mark.usefixtures("connected")

SAMPLE = 5
"""At how many places a server falls silent; with --every-crash-point at all of them."""


type NewScenario = Callable[..., Scenario]


@pytest.fixture
def new_scenario(
    every_laboratory: Laboratory, service: LocalSecretsManager, strategy: Strategy, *, through_admin: bool
) -> NewScenario:
    """Makes scenarios."""

    def new(*, with_admin: bool = through_admin, port: int | None = None) -> Scenario:
        return Scenario(every_laboratory, service, strategy, with_admin=with_admin, port=port)

    return new


def at_once(work: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
    """Do the same with each, all at the same time."""
    with ThreadPoolExecutor(len(items)) as pool:
        return list(pool.map(work, items))


def places(total: int, *, every: bool) -> list[int]:
    """Choose some of so many places, the first and the last among them, or all."""
    if every:
        return list(range(total))
    return sorted({round(number * (total - 1) / (SAMPLE - 1)) for number in range(SAMPLE)})


# Nobody answers any more


@pytest.mark.newest
@pytest.mark.strategies(Strategy.ALTERNATING_USERS)
def test_a_server_that_falls_silent_at_any_time_ends_the_step_in_time(
    every_laboratory: Laboratory, new_scenario: NewScenario, pytestconfig: pytest.Config
) -> None:
    with ExitStack() as stack:

        def behind_relay() -> tuple[Scenario, Relay]:
            relay = stack.enter_context(Relay(every_laboratory.admin.port))
            return new_scenario(port=relay.port).begin(), relay

        model, model_relay = behind_relay()
        assert model.run(seconds=60).error is None
        wanted = places(model_relay.pieces, every=pytestconfig.getoption("--every-crash-point", default=False))
        scenarios, relays = zip(*(behind_relay() for _ in wanted), strict=True)
        cached = [scenario.read() for scenario in scenarios]
        for relay, place in zip(relays, wanted, strict=True):
            relay.stall_after(place)
        endings = at_once(Scenario.run, scenarios)
        for scenario, relay, ending, before in zip(scenarios, relays, endings, cached, strict=True):
            # What has fallen silent can hold a lock that another one waits for, until its own time is up.
            waited = ending.error and "holds the lock" in ending.error.remedy
            if ending.error:
                # Oracle answers a login late after others were refused, so there silence is first taken for that.
                ending.require(Unreachable, OutOfTime, LoginBlocked, *([StatementFailed] if waited else []))
            assert every_laboratory.logs_in(before)
            assert every_laboratory.logs_in(scenario.read())
            relay.stall_after(None)
            scenario.require_healed()


@pytest.mark.newest
@pytest.mark.strategies(Strategy.SINGLE_USER)
def test_a_server_that_falls_silent_when_a_session_takes_leave_is_left_in_time(
    every_laboratory: Laboratory, new_scenario: NewScenario
) -> None:
    user, context = new_scenario().user, Context(SHORTEST)
    with Relay(every_laboratory.admin.port) as relay:
        through = every_laboratory.engine.connect(replace(user, port=relay.port), context.deadline())
        with suppress(RotationError), through:
            relay.stall_after(0)
        assert context.get_remaining_time_in_millis() >= PROMISED * 1000


@pytest.mark.parametrize("for_good", [False, True], ids=["once", "for good"])
def test_a_secrets_manager_that_falls_silent_at_any_call_ends_the_step_in_time(
    service: LocalSecretsManager, *, for_good: bool
) -> None:
    scenarios = [Scenario(FakeLaboratory(), service).begin() for _ in range(8)]
    silent_from = {scenario.arn: number for number, scenario in enumerate(scenarios, 1)}
    counters = {scenario.arn: itertools.count(1) for scenario in scenarios}
    over = Event()

    def fall_silent(call: Call, phase: Phase) -> None:
        if phase == "before" and call.secret_id in counters:
            number = next(counters[call.secret_id])
            if number == silent_from[call.secret_id] or (for_good and number > silent_from[call.secret_id]):
                over.wait()

    service.intercept = fall_silent
    try:
        endings = at_once(Scenario.run, scenarios)
    finally:
        over.set()
        service.intercept = None
    for scenario, ending in zip(scenarios, endings, strict=True):
        if for_good:
            ending.require(ServiceFailed, match="a route to secretsmanager")
        else:
            assert ending.error is None
        scenario.require_healed()


@pytest.mark.newest
@pytest.mark.strategies(Strategy.SINGLE_USER)
def test_a_server_that_does_not_exist_is_reported_at_once(
    every_laboratory: Laboratory, new_scenario: NewScenario
) -> None:
    with Relay(every_laboratory.admin.port) as relay:
        scenario = new_scenario(port=relay.port).begin()
        assert scenario.run(Step.CREATE).error is None
    ending = scenario.run(Step.SET)
    ending.require(Unreachable, match="refused")
    assert ending.left > SHORTEST / 2


# Somebody holds a lock, or kills sessions


@pytest.mark.real_servers
@pytest.mark.newest
@pytest.mark.strategies(Strategy.SINGLE_USER)
def test_a_change_that_waits_for_a_lock_is_given_up_by_the_server_in_time(
    every_laboratory: RealLaboratory, new_scenario: NewScenario
) -> None:
    scenario = new_scenario().begin()
    with every_laboratory.no_user_can_change():
        # Less than our shortest timeout, because the test waits for it; but as long before the end.
        ending = scenario.run(seconds=5)
        ending.require(StatementFailed, match="tried again by itself")
    assert ending.step is Step.SET
    assert every_laboratory.logs_in(scenario.read())
    assert not every_laboratory.logs_in(scenario.read("AWSPENDING"))
    scenario.require_healed()


def test_a_postgresql_gives_up_before_we_do_however_late_in_a_session_it_has_to_wait(
    postgresql: PostgreSQLLaboratory,
) -> None:
    user, context = postgresql.new_user(), Context(6)
    with postgresql.engine.connect(user, context.deadline()) as session, postgresql.no_user_can_change():
        session.connection.execute("passing the time", "SELECT pg_sleep(2)")
        with pytest.raises(StatementFailed, match="timeout"):
            session.change_own_password("never known")
    assert context.get_remaining_time_in_millis() >= PROMISED * 1000
    assert postgresql.logs_in(user)


@pytest.mark.real_servers
@pytest.mark.newest
@pytest.mark.strategies(Strategy.SINGLE_USER)
def test_a_session_that_is_killed_in_the_middle_of_a_statement_is_no_answer(
    every_laboratory: RealLaboratory, new_scenario: NewScenario
) -> None:
    scenario = new_scenario().begin()
    with every_laboratory.no_user_can_change(), ThreadPoolExecutor(1) as pool:
        ending = pool.submit(scenario.run)
        every_laboratory.kill(until(lambda: every_laboratory.waiting_session(scenario.user.username)))
        ending.result().require(Unreachable)
    scenario.require_healed()


# The server's policy does not take the password


@pytest.mark.real_servers
@pytest.mark.newest
@pytest.mark.strategies(Strategy.SINGLE_USER)
def test_a_version_whose_password_the_servers_policy_refuses_is_given_up(
    every_laboratory: RealLaboratory, new_scenario: NewScenario
) -> None:
    scenario = new_scenario().begin()
    with every_laboratory.password_policy(scenario.user.username) as refused:
        scenario.stage(refused)
        ending = scenario.run()
        ending.require(PasswordRefused, match="This version is given up")
        assert ending.step is Step.SET
        assert every_laboratory.logs_in(scenario.read())
        scenario.begin().stage(PASSWORD.format(secrets.token_hex(8)))
        scenario.require_healed()


# Nothing that the secret holds logs in


def lose_password(scenario: Scenario) -> None:
    """Change the user's password behind the secret's back."""
    scenario.laboratory.change_password(replace(scenario.user, password=PASSWORD.format(secrets.token_hex(8))))


@pytest.mark.newest
def test_an_admin_that_can_repair_lets_the_user_in_again(
    new_scenario: NewScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = new_scenario(with_admin=True).begin()
    lose_password(scenario)
    for allowed in (None, "false"):
        if allowed:
            monkeypatch.setenv("ALLOW_ADMIN_REPAIR", allowed)
        scenario.run().require(LoginRefused, match="everybody who can write the secret could then take over any user")
    monkeypatch.setenv("ALLOW_ADMIN_REPAIR", "true")
    scenario.require_healed()
    monkeypatch.delenv("ALLOW_ADMIN_REPAIR")
    for _ in range(2):
        scenario.begin().require_healed()


@pytest.mark.real_servers
@pytest.mark.newest
@pytest.mark.strategies(Strategy.SINGLE_USER)
def test_an_admin_that_can_repair_unlocks_nobody(
    every_laboratory: RealLaboratory, new_scenario: NewScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALLOW_ADMIN_REPAIR", "true")
    scenario = new_scenario(with_admin=True).begin()
    lose_password(scenario)
    every_laboratory.lock_user(scenario.user.username)
    scenario.run().require(LoginBlocked)
    assert not every_laboratory.logs_in(scenario.read("AWSPENDING"))
    every_laboratory.unlock_user(scenario.user.username)
    scenario.require_healed()
