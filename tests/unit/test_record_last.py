"""When does the record say that a rotation has ended?"""

import pytest

from rotation.errors import StatementFailed
from rotation.steps import Step
from tests.unit.scenario import ALTERNATING, Scenario


def test_not_before_the_password_is_set_for_until_then_nothing_need_be_committed() -> None:
    scenario = Scenario(ALTERNATING)
    scenario.begin()
    scenario.run(Step.CREATE)

    def refuse(call: str) -> None:
        if call.startswith("ALTER USER"):
            raise StatementFailed("setting a password", "the server is read-only", "Wait")

    scenario.database.before = refuse
    with pytest.raises(StatementFailed):
        scenario.run(Step.SET)
    assert scenario.secret.record().begun is not None
