"""Does a rotation succeed if the service answers from the past for some seconds, each read by itself?"""

import itertools
from collections import Counter
from collections.abc import Callable

import pytest

from rotation.admin import Admins
from rotation.errors import NotRotatable, RightsDiffer
from rotation.kind import Strategy
from rotation.record import EQUAL
from rotation.redaction import Redactor
from rotation.secret import SecretUnderRotation
from rotation.staging import PAUSES
from rotation.steps import STEPS, Rotation, Step
from tests.fakes import KIND, FakeDatabase, reading
from tests.laboratories import ORDERS, deadline
from tests.local.aws.secrets_manager import Call, LocalSecretsManager
from tests.service.scenario import Scenario
from tests.unit.scenario import ALTERNATING, SINGLE

pytestmark = pytest.mark.usefixtures("clock")

EVERY = {"DescribeSecret", "GetSecretValue", "ListSecretVersionIds"}


class Rotated:
    """A secret whose rotations run here, step by step, while the service answers from the past."""

    def __init__(self, service: LocalSecretsManager, strategy: Strategy) -> None:
        """Make the database, the secret and its admin."""
        self.service, self.database = service, FakeDatabase()
        admin = self.database.new_user("admin", "admin-password", is_admin=True)
        self.database.new_user("app", "password-0", reading(ORDERS))
        fields = (
            {"masterarn": Scenario(service, username="admin", password=admin.password).arn}
            if strategy is ALTERNATING
            else {}
        )
        self.scenario = Scenario(service, **fields)
        self.asked: Counter[str] = Counter()
        """How often each operation was called in this step."""
        self._passwords = (f"made-{number}" for number in itertools.count())

    def run(self, *steps: Step) -> None:
        """Do the steps; each is an invocation of its own."""
        client = self.service.client()
        for step in steps or tuple(Step):
            self.asked.clear()
            secret = SecretUnderRotation(client, self.scenario.arn, self.scenario.token, KIND, Redactor(), deadline())
            rotation = Rotation(
                secret=secret,
                engine=self.database,
                deadline=deadline(),
                admin=Admins(client, lambda _: self.service.rds(), KIND, Redactor(), deadline()).find,
                new_password=lambda *_: next(self._passwords),
                annotate=lambda _: None,
            )
            STEPS[step](rotation)

    def rotate(self, staleness: Callable[[Call], int]) -> None:
        """Rotate, while each read of this secret is answered as old as this says; then see whether AWSCURRENT works."""
        before = self.scenario.labels()["AWSCURRENT"]
        self.service.staleness = lambda call: staleness(call) if call.secret_id == self.scenario.arn else 0
        self.scenario.begin()
        self.run()
        self.service.staleness = None
        assert self.scenario.labels()["AWSCURRENT"] == self.scenario.token != before
        self.require_current_works()

    def require_current_works(self) -> None:
        """Raise AssertionError unless AWSCURRENT logs in."""
        self.service.staleness = None
        secret = SecretUnderRotation(
            self.service.client(), self.scenario.arn, self.scenario.token, KIND, Redactor(), deadline()
        )
        assert self.database.accepts(secret.current().credential)


@pytest.fixture(params=[SINGLE, ALTERNATING])
def rotated(request: pytest.FixtureRequest, service: LocalSecretsManager) -> Rotated:
    """A secret that has been rotated once."""
    rotated = Rotated(service, request.param)
    rotated.scenario.begin()
    rotated.run()
    return rotated


@pytest.mark.thorough(ago=[2])  # between the latest and the first
@pytest.mark.parametrize("ago", [1, 2, 100])
@pytest.mark.parametrize("times", [1, len(PAUSES)])
@pytest.mark.parametrize("stale", [EVERY, {"DescribeSecret"}], ids=["each read", "describing"])
def test_answers_from_the_past_fail_no_rotation(rotated: Rotated, stale: set[str], times: int, ago: int) -> None:
    def staleness(call: Call) -> int:
        rotated.asked[call.operation] += 1
        return ago if call.operation in stale and rotated.asked[call.operation] <= times else 0

    for _ in range(2):
        rotated.rotate(staleness)


def test_a_current_version_of_the_past_changes_nobodys_password(service: LocalSecretsManager) -> None:
    """The describing answer is old for ever: the user that is really current is never taken for the other one."""
    rotated = Rotated(service, ALTERNATING)
    for _ in range(2):
        rotated.scenario.begin()
        rotated.run()
    service.staleness = lambda call: 100 if call.secret_id == rotated.scenario.arn else 0
    rotated.scenario.begin()
    with pytest.raises(NotRotatable):
        rotated.run()
    rotated.require_current_works()


def test_an_answer_that_never_fits_is_believed_in_the_end(rotated: Rotated) -> None:
    rotated.scenario.begin()
    rotated.scenario.move("AWSPENDING", rotated.scenario.token, None)
    rotated.service.calls.clear()
    with pytest.raises(NotRotatable, match="abandoned"):
        rotated.run(Step.CREATE)
    assert rotated.scenario.operations() == ["DescribeSecret"] * (len(PAUSES) + 1)


@pytest.mark.parametrize("ago", [1, 2])
def test_a_record_of_the_past_hides_nothing_that_only_one_user_of_a_pair_finds(
    service: LocalSecretsManager, ago: int
) -> None:
    """A testSecret that sees the label of the rotation before, when an application found the same as either user."""
    rotated, age = Rotated(service, ALTERNATING), [0]
    rotated.scenario.begin()
    rotated.run()
    rotated.database.users["app_clone"].schema = "another"
    rotated.scenario.begin()
    rotated.run(Step.CREATE)
    service.staleness = lambda _: age[0]

    def set_and_test() -> None:
        rotated.run(Step.SET)
        age[0] = ago
        rotated.run(Step.TEST)

    with pytest.raises(RightsDiffer, match="as app an application finds the schema to be public, as app_clone another"):
        set_and_test()


def test_a_label_that_the_past_shows_on_an_older_version_is_replaced_where_it_is(service: LocalSecretsManager) -> None:
    """That is, on the version that createSecret has moved it to: setSecret has seen it there."""
    rotated = Rotated(service, ALTERNATING)
    rotated.scenario.begin()
    rotated.run()
    for name in ("app", "app_clone"):
        rotated.database.users[name].schema = "another"
    rotated.scenario.begin()
    describing = [0]
    service.staleness = lambda call: describing[0] if call.operation == "DescribeSecret" else 0
    rotated.run(Step.CREATE)
    describing[0] = 1
    rotated.run(Step.SET)
    service.staleness = None
    assert len([label for label in rotated.scenario.labels() if label.startswith(EQUAL)]) == 1
