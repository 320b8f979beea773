"""Its steps are delivered twice, late, at once, or refused by AWS: does it heal?"""

import itertools
from concurrent.futures import ThreadPoolExecutor

import pytest

from rotation.kind import Strategy
from rotation.steps import Step
from tests.faults.conftest import NewRig
from tests.laboratories import INVOICES
from tests.local.aws.secrets_manager import Call, LocalSecretsManager, ServiceError


@pytest.mark.newest
def test_each_step_may_be_delivered_three_times(new_rig: NewRig, strategy: Strategy) -> None:
    rig = new_rig(strategy)
    for _ in range(2):
        rig.begin()
        assert rig.run(*(step for step in Step for _ in range(3))).error is None
        rig.require_done()


@pytest.mark.newest
def test_the_whole_rotation_may_be_delivered_again_when_it_is_done(new_rig: NewRig, strategy: Strategy) -> None:
    rig = new_rig(strategy)
    rig.rotate()
    before = rig.read()
    assert rig.run().error is None
    assert rig.read() == before
    rig.require_done()


def test_five_rotations_in_a_row_and_what_changes_between_them(new_rig: NewRig, strategy: Strategy) -> None:
    rig = new_rig(strategy)
    credentials = [rig.read()]
    for number in range(5):
        # Whom an operator grants something: the current user; with PostgreSQL the original user, for both.
        for username in {rig.user.username, rig.read().username}:
            (rig.laboratory.allow if number % 2 == 0 else rig.laboratory.forbid)(username, INVOICES)
        rig.rotate()
        rig.require_done()
        credentials.append(rig.read())
        assert rig.laboratory.may_read(rig.read(), INVOICES) is (number % 2 == 0)
    assert len({credential.password for credential in credentials}) == 6
    if strategy is Strategy.ALTERNATING_USERS:
        assert {credential.username for credential in credentials[::2]} == {rig.user.username}
        assert {credential.username for credential in credentials[1::2]} == {f"{rig.user.username}_clone"}


def test_each_step_may_be_delivered_twice_at_once(new_rig: NewRig, strategy: Strategy) -> None:
    rig = new_rig(strategy)
    for _ in range(2):
        rig.begin()
        for step in Step:
            with ThreadPoolExecutor() as pool:
                endings = list(pool.map(rig.run, [step, step]))
            # One of two may lose a race, and say so; Secrets Manager then begins again.
            assert None in {ending.error for ending in endings}
        assert rig.run().error is None
        rig.require_done()


@pytest.mark.newest
def test_an_abandoned_rotation_leaves_no_dead_end_wherever_it_was(new_rig: NewRig, strategy: Strategy) -> None:
    rig = new_rig(strategy)
    for length in range(4):
        rig.begin()
        if length:
            assert rig.run(*tuple(Step)[:length]).error is None
        rig.abandon()
        assert "NotRotatable" in str(rig.run().error)
        rig.rotate()
        rig.require_done()


@pytest.mark.newest
def test_several_abandoned_rotations_in_a_row_leave_no_dead_end(new_rig: NewRig, strategy: Strategy) -> None:
    rig = new_rig(strategy)
    for _ in range(3):
        rig.begin()
        assert rig.run(Step.CREATE, Step.SET).error is None
        rig.abandon()
    rig.rotate()
    rig.require_done()


@pytest.mark.newest
@pytest.mark.strategies(Strategy.ALTERNATING_USERS)  # which makes the most calls
def test_a_call_that_aws_refuses_ends_the_step_and_heals(
    new_rig: NewRig, service: LocalSecretsManager, strategy: Strategy
) -> None:
    rig = new_rig(strategy)
    for number in itertools.count(1):
        # A call that was answered with a refusal may have taken effect all the same, if it writes.
        for phase in ("before", "after"):
            rig.begin()
            refused = refuse(service, phase, number, ServiceError("AccessDeniedException", "not authorized"))
            error = rig.run().error
            service.intercept = None
            if not refused:
                assert error is None
                return
            assert f"secretsmanager:{refused[0].operation}" in str(error)
            assert rig.application_works()
            assert rig.run().error is None
            rig.require_done()
            if not refused[0].operation.startswith(("Put", "Update")):
                break


@pytest.mark.newest
@pytest.mark.strategies(Strategy.SINGLE_USER)  # createSecret writes, and does the same for all of them
@pytest.mark.parametrize("phase", ["before", "after"])
@pytest.mark.parametrize(
    "refusal", [ServiceError("ThrottlingException", "Rate exceeded"), ConnectionError()], ids=["throttled", "cut off"]
)
def test_a_call_that_aws_throttles_or_cuts_off_is_made_again(
    new_rig: NewRig, service: LocalSecretsManager, strategy: Strategy, refusal: Exception, phase: str
) -> None:
    rig = new_rig(strategy)
    rig.begin()
    # The third call is the one that writes, and that must not be done twice.
    refused = refuse(service, phase, 3, refusal)
    assert rig.run().error is None
    service.intercept = None
    assert [call.operation for call in refused] == ["PutSecretValue"]
    rig.require_done()


def refuse(service: LocalSecretsManager, phase: str, number: int, refusal: Exception) -> list[Call]:
    """Have the service refuse one call, counted from now; return a list that will hold it."""
    refused: list[Call] = []
    counter = itertools.count(1)

    def intercept(call: Call, when: str) -> None:
        if when == phase and next(counter) == number:
            refused.append(call)
            raise refusal

    service.intercept = intercept
    return refused


@pytest.mark.newest
def test_a_label_that_moves_meanwhile_is_looked_at_again(
    new_rig: NewRig, service: LocalSecretsManager, strategy: Strategy
) -> None:
    rig = new_rig(strategy)
    rig.rotate()
    rig.begin()
    assert rig.run(Step.CREATE, Step.SET, Step.TEST).error is None
    labels = rig.labels()

    def move(call: Call, when: str) -> None:
        if (call.operation, when) == ("UpdateSecretVersionStage", "before"):
            service.intercept = None
            rig.client.update_secret_version_stage(
                SecretId=rig.arn,
                VersionStage="AWSCURRENT",
                MoveToVersionId=labels["AWSPREVIOUS"],
                RemoveFromVersionId=labels["AWSCURRENT"],
            )

    service.intercept = move
    assert rig.run(Step.FINISH).error is None
    rig.require_done()


@pytest.mark.newest
def test_a_current_version_put_meanwhile_is_not_overwritten(new_rig: NewRig, strategy: Strategy) -> None:
    rig = new_rig(strategy)
    rig.begin()
    assert rig.run(Step.CREATE, Step.SET, Step.TEST).error is None
    pending = rig.client.get_secret_value(SecretId=rig.arn, VersionId=rig.token)["SecretString"]
    put = rig.client.put_secret_value(SecretId=rig.arn, SecretString=pending + " ")["VersionId"]
    assert "NotRotatable" in str(rig.run(Step.FINISH).error)
    assert rig.labels()["AWSCURRENT"] == put
    rig.rotate()
    rig.require_done()
