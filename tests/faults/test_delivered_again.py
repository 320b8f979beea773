"""Its steps are delivered twice, late, at once, or refused by AWS: does it heal?"""

import itertools
from concurrent.futures import ThreadPoolExecutor

import pytest

from rotation.kind import Strategy
from rotation.steps import Step
from tests.faults.conftest import NewScenario
from tests.laboratories import INVOICES
from tests.laboratories.postgresql import OLDER
from tests.local.aws.secrets_manager import Call, LocalSecretsManager, ServiceError
from tests.servers import SERVERS

pytestmark = [
    # The newest PostgreSQL has the same promise, and a user of MySQL that keeps its old password by itself.
    pytest.mark.thorough(every_laboratory=OLDER),
    pytest.mark.thorough(every_laboratory=["mysql-9"], strategy=[Strategy.DUAL_PASSWORD], through_admin=[True]),
]

OF_THE_SERVICE = pytest.mark.sample(2)
"""A test of what the steps and Secrets Manager do, most of which is the same for each strategy."""


@pytest.mark.newest
def test_each_step_can_be_delivered_three_times(new_scenario: NewScenario, strategy: Strategy) -> None:
    scenario = new_scenario(strategy)
    for _ in range(2):
        scenario.begin()
        assert scenario.run(*(step for step in Step for _ in range(3))).error is None
        scenario.require_done()


@pytest.mark.newest
@OF_THE_SERVICE
def test_the_whole_rotation_can_be_delivered_again_when_it_is_done(
    new_scenario: NewScenario, strategy: Strategy
) -> None:
    scenario = new_scenario(strategy)
    scenario.rotate()
    before = scenario.read()
    assert scenario.run().error is None
    assert scenario.read() == before
    scenario.require_done()


def test_five_rotations_in_a_row_and_what_changes_between_them(new_scenario: NewScenario, strategy: Strategy) -> None:
    scenario = new_scenario(strategy)
    credentials = [scenario.read()]
    for number in range(5):
        # Whom an operator grants something: the current user; with PostgreSQL the original user, for both.
        for username in {scenario.user.username, scenario.read().username}:
            (scenario.laboratory.allow if number % 2 == 0 else scenario.laboratory.forbid)(username, INVOICES)
        scenario.rotate()
        scenario.require_done()
        credentials.append(scenario.read())
        assert scenario.laboratory.may_read(scenario.read(), INVOICES) is (number % 2 == 0)
    assert len({credential.password for credential in credentials}) == 6
    if strategy is Strategy.ALTERNATING_USERS:
        assert {credential.username for credential in credentials[::2]} == {scenario.user.username}
        assert {credential.username for credential in credentials[1::2]} == {f"{scenario.user.username}_clone"}


def test_each_step_can_be_delivered_twice_at_once(new_scenario: NewScenario, strategy: Strategy) -> None:
    scenario = new_scenario(strategy)
    for _ in range(2):
        scenario.begin()
        for step in Step:
            with ThreadPoolExecutor() as pool:
                endings = list(pool.map(scenario.run, [step, step]))
            # One of two may lose a race, and say so; Secrets Manager then begins again.
            assert None in {ending.error for ending in endings}
        assert scenario.run().error is None
        scenario.require_done()


@pytest.mark.newest
@OF_THE_SERVICE
def test_an_abandoned_rotation_leaves_no_dead_end_wherever_it_was(
    new_scenario: NewScenario, strategy: Strategy
) -> None:
    scenario = new_scenario(strategy)
    for length in range(4):
        scenario.begin()
        if length:
            assert scenario.run(*tuple(Step)[:length]).error is None
        scenario.abandon()
        assert "NotRotatable" in str(scenario.run().error)
        scenario.rotate()
        scenario.require_done()


@pytest.mark.newest
def test_several_abandoned_rotations_in_a_row_leave_no_dead_end(new_scenario: NewScenario, strategy: Strategy) -> None:
    scenario = new_scenario(strategy)
    for _ in range(3):
        scenario.begin()
        assert scenario.run(Step.CREATE, Step.SET).error is None
        scenario.abandon()
    scenario.rotate()
    scenario.require_done()


@pytest.mark.newest
@pytest.mark.strategies(Strategy.ALTERNATING_USERS)  # which makes the most calls
def test_a_call_that_aws_refuses_ends_the_step_and_recovers(
    new_scenario: NewScenario, service: LocalSecretsManager, strategy: Strategy, stride: int, server: str
) -> None:
    scenario = new_scenario(strategy)
    for number in itertools.count(1 + list(SERVERS).index(server.partition("-")[0]) % stride, stride):
        # A call that was answered with a refusal may have taken effect all the same, if it writes.
        for phase in ("before", "after"):
            scenario.begin()
            refused = refuse(service, phase, number, ServiceError("AccessDeniedException", "not authorized"))
            error = scenario.run().error
            service.intercept = None
            if not refused:
                assert error is None
                return
            if error is None:  # it was made for the log alone, once the version was current
                assert refused[0].operation == "GetSecretValue"
                scenario.require_done()
                break
            assert f"secretsmanager:{refused[0].operation}" in str(error)
            assert scenario.application_works()
            assert scenario.run().error is None
            scenario.require_done()
            if not refused[0].operation.startswith(("Put", "Update")):
                break


@pytest.mark.newest
@pytest.mark.strategies(Strategy.SINGLE_USER)  # createSecret writes, and does the same for all of them
@pytest.mark.parametrize("phase", ["before", "after"])
@pytest.mark.parametrize(
    "refusal", [ServiceError("ThrottlingException", "Rate exceeded"), ConnectionError()], ids=["throttled", "cut off"]
)
def test_a_call_that_aws_throttles_or_cuts_off_is_made_again(
    new_scenario: NewScenario, service: LocalSecretsManager, strategy: Strategy, refusal: Exception, phase: str
) -> None:
    scenario = new_scenario(strategy)
    scenario.begin()
    # The third call is the one that writes, and that must not be done twice.
    refused = refuse(service, phase, 3, refusal)
    assert scenario.run().error is None
    service.intercept = None
    assert [call.operation for call in refused] == ["PutSecretValue"]
    scenario.require_done()


def refuse(service: LocalSecretsManager, phase: str, number: int, refusal: Exception) -> list[Call]:
    """Let the service refuse one call, counted from now; return a list that will hold it."""
    refused: list[Call] = []
    counter = itertools.count(1)

    def intercept(call: Call, when: str) -> None:
        if when == phase and next(counter) == number:
            refused.append(call)
            raise refusal

    service.intercept = intercept
    return refused


@pytest.mark.newest
@OF_THE_SERVICE
def test_a_label_that_moves_meanwhile_is_looked_at_again(
    new_scenario: NewScenario, service: LocalSecretsManager, strategy: Strategy
) -> None:
    scenario = new_scenario(strategy)
    scenario.rotate()
    scenario.begin()
    assert scenario.run(Step.CREATE, Step.SET, Step.TEST).error is None
    labels = scenario.labels()

    def move(call: Call, when: str) -> None:
        if (call.operation, when) == ("UpdateSecretVersionStage", "before"):
            service.intercept = None
            scenario.client.update_secret_version_stage(
                SecretId=scenario.arn,
                VersionStage="AWSCURRENT",
                MoveToVersionId=labels["AWSPREVIOUS"],
                RemoveFromVersionId=labels["AWSCURRENT"],
            )

    service.intercept = move
    assert scenario.run(Step.FINISH).error is None
    scenario.require_done()


@pytest.mark.newest
@OF_THE_SERVICE
def test_a_current_version_put_meanwhile_is_not_overwritten(new_scenario: NewScenario, strategy: Strategy) -> None:
    scenario = new_scenario(strategy)
    scenario.begin()
    assert scenario.run(Step.CREATE, Step.SET, Step.TEST).error is None
    pending = scenario.client.get_secret_value(SecretId=scenario.arn, VersionId=scenario.token)["SecretString"]
    put = scenario.client.put_secret_value(SecretId=scenario.arn, SecretString=pending + " ")["VersionId"]
    assert "NotRotatable" in str(scenario.run(Step.FINISH).error)
    assert scenario.labels()["AWSCURRENT"] == put
    scenario.rotate()
    scenario.require_done()
