"""What does a pair cost on a server that keeps no mark, if a rotation is resumed before it has set the password?"""

import pytest

from rotation import deadline
from rotation.steps import Step
from tests.fakes import PENDING
from tests.model.scenario import Clock
from tests.model.test_sequences import Story


def test_one_refused_login_of_the_user_whose_turn_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pending password is tried first. It is not set yet, so the one before it proves the user."""
    monkeypatch.setattr(deadline, "time", Clock)
    story = Story()
    story.begin_with_a_secret(through_admin=False, has_marks=False, is_foreign=False)
    story.rotate()
    story.rotate()
    story.a_rotation_begins()
    story.deliver(Step.CREATE)
    story.time_passes()
    pending = story.scenario.read(PENDING)
    story.finish(setting := story.set_again())
    refused = [login.credential for login in setting.logins if login.answer == "refused"]
    assert refused == [pending.credential]
    story.rotate()
    story.teardown()
