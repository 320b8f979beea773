"""Does a pair that finds different things ever take turns, if steps are killed, delivered twice, and see the past?"""

from contextlib import suppress
from random import Random

import pytest

from rotation.errors import RotationError
from rotation.record import is_ours
from rotation.steps import Step
from tests.fakes import undisturbed
from tests.local.aws.secrets_manager import Call, LocalSecretsManager
from tests.service.test_eventual_consistency import Rotated
from tests.unit.scenario import ALTERNATING

pytestmark = pytest.mark.usefixtures("clock")

TRIES = 4
"""How often a rotation is begun until an operator gives it up."""

IN_A_ROW = 3
"""How many answers in a row can be too old: fewer than the pauses of `rotation.staging`."""


class Killed(BaseException):
    """The process is gone."""


class Disturbed:
    """A pair that has rotated once, and what happens to it next: the same for the same seed."""

    def __init__(self, service: LocalSecretsManager, seed: int) -> None:
        """Rotate it."""
        self.service, self.random = service, Random(seed)  # noqa: S311 - nothing secret
        self.rotated = Rotated(service, ALTERNATING)
        self.rotated.scenario.begin()
        self.rotated.run()
        self._older = 0

    def schemas(self) -> set[str]:
        """Return what an application finds as either user."""
        return {user.schema for name, user in self.rotated.database.users.items() if name != "admin"}

    def change(self) -> None:
        """Change what an application finds, mostly as both users."""
        users = [user for name, user in self.rotated.database.users.items() if name != "admin"]
        schema = self.random.choice(["public", "another"])
        for user in users if self.random.random() < 0.7 else self.random.sample(users, 1):
            user.schema = schema

    def rotate(self) -> bool:
        """Tell whether a rotation comes to its end. If not, it is abandoned."""
        scenario = self.rotated.scenario
        scenario.begin()
        most, share = self.random.choice([0, 1, 2, 3, 6]), self.random.random()
        self.service.staleness = lambda call: self._ago(call, most, share)
        try:
            for _ in range(TRIES):
                with suppress(RotationError, Killed):
                    for step in Step:
                        self._run(step)
                    return True
        finally:
            self.service.staleness = None
        if scenario.labels()["AWSCURRENT"] != scenario.token:
            scenario.move("AWSPENDING", scenario.token, None)
        return False

    def _ago(self, call: Call, most: int, share: float) -> int:
        is_old = call.secret_id == self.rotated.scenario.arn and self.random.random() < share
        self._older = self._older + 1 if is_old and self._older < IN_A_ROW else 0
        return self.random.randint(0, most) if self._older else 0

    def _run(self, step: Step) -> None:
        """Run a step; at some login or write it can be killed, or setSecret be delivered once more meanwhile."""
        database, chance, at = self.rotated.database, self.random.random(), self.random.randint(0, 8)

        def disturb(_: str) -> None:
            nonlocal at
            at -= 1
            if at == 0 and chance < 0.1:
                raise Killed
            if at == 0 and chance < 0.3:
                database.before = undisturbed
                with suppress(RotationError):
                    self.rotated.run(Step.SET)

        database.before = disturb
        try:
            self.rotated.run(step)
        finally:
            database.before = undisturbed


@pytest.mark.thorough(seed=[seed for seed in range(30) if seed not in (1, 6)])
@pytest.mark.parametrize("seed", range(30))
def test_no_past_hides_a_difference_and_one_label_is_left(service: LocalSecretsManager, seed: int) -> None:
    pair = Disturbed(service, seed)
    for _ in range(4):
        pair.change()
        if pair.rotate():
            assert len(pair.schemas()) == 1
            assert len([label for label in pair.rotated.scenario.labels() if is_ours(label)]) == 1
