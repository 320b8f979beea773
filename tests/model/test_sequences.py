"""Do the promises hold in the orders of events in which they were once broken, and which a search seldom finds?"""

from collections.abc import Iterator

import pytest

from rotation import deadline
from rotation.errors import Unsafe
from rotation.steps import Step
from tests.fakes import PENDING
from tests.model.invocations import Invocation
from tests.model.machine import RIGHTS, AlternatingUsersMachine
from tests.model.scenario import APP, CLONE, Clock


class Story(AlternatingUsersMachine):
    """The model, told what happens."""

    def rotate(self) -> None:
        """Let it come to rest: nothing is refused that has no reason."""
        self.it_comes_to_rest(anew=False, with_remedy=False, choices=0)

    def begin_to_set(self) -> Invocation:
        """Begin a rotation, or go on with it, up to setSecret."""
        if not self.scenario.is_unfinished:
            self.a_rotation_begins()
        self.deliver(Step.CREATE)
        return self.set_again()

    def set_again(self) -> Invocation:
        """Begin setSecret."""
        return self._deliver(self.scenario.labels[PENDING], Step.SET)

    def come_again(self, step: Step) -> Invocation:
        """Begin a step of the version that was made last."""
        return self._deliver(self.tokens[-1], step)

    def deliver(self, step: Step) -> None:
        """Do a step, undisturbed."""
        self.finish(self._deliver(self.scenario.labels[PENDING], step))

    def finish(self, invocation: Invocation) -> None:
        """Let a step come to its end, which is success."""
        self._finish(invocation)
        assert invocation.error is None

    def go_on_to(self, invocation: Invocation, call: str) -> None:
        """Let a step make all calls before this one."""
        while not invocation.next_call.startswith(call):
            self._go_on(invocation)

    def kill_after(self, invocation: Invocation, call: str) -> None:
        """Let a step make all calls up to this one."""
        self.go_on_to(invocation, call)
        self._go_on(invocation)
        invocation.kill()
        self.under_way.remove(invocation)


@pytest.fixture
def story(monkeypatch: pytest.MonkeyPatch) -> Iterator[Story]:
    """The model of a pair whose clone there is not yet."""
    monkeypatch.setattr(deadline, "time", Clock)
    story = Story()
    story.begin_with_a_secret(through_admin=False, has_marks=True, is_foreign=False)
    yield story
    story.teardown()


def test_a_user_that_is_locked_while_a_rotation_is_interrupted_stays_locked(story: Story) -> None:
    story.rotate()
    story.an_administrator_changes_either_user(username=CLONE, right=RIGHTS[0], may=True)
    story.kill_after(story.begin_to_set(), "GRANT")
    story.an_administrator_locks_the_other_user()
    story.rotate()
    assert APP in story.pair.locked


def test_the_record_is_found_if_an_operator_has_written_the_pending_version(story: Story) -> None:
    story.rotate()
    story.an_administrator_changes_either_user(username=CLONE, right=RIGHTS[0], may=True)
    story.a_rotation_begins()
    story.deliver(Step.CREATE)
    story.an_operator_abandons_the_rotation()
    story.a_rotation_begins()
    story.somebody_else_writes_the_pending_version({"username": APP})
    story.rotate()


def test_a_clone_that_an_abandoned_rotation_began_to_create_is_finished(story: Story) -> None:
    setting = story.begin_to_set()
    story.go_on_to(setting, "UpdateSecretVersionStage")
    story.an_operator_abandons_the_rotation()
    story.a_rotation_begins()
    story.deliver(Step.CREATE)
    story.kill_after(setting, "MARK")
    story.rotate()


def test_a_step_that_meets_itself_in_the_middle_of_its_statements_goes_on(story: Story) -> None:
    story.rotate()
    for right in RIGHTS[:2]:
        story.an_administrator_changes_either_user(username=CLONE, right=right, may=True)
    late = story.begin_to_set()
    story.go_on_to(late, "log in as admin")
    early = story.set_again()
    story.go_on_to(early, f"GRANT {RIGHTS[1]}")
    story.finish(late)
    story.finish(early)


def test_what_another_delivery_began_is_not_recorded_after_the_rotation(story: Story) -> None:
    late = story.begin_to_set()
    story.go_on_to(late, "log in as admin")
    story.kill_after(story.set_again(), "ALTER USER")
    story.finish(late)
    story.deliver(Step.TEST)
    story.deliver(Step.FINISH)
    story.an_administrator_changes_either_user(username=APP, right=RIGHTS[0], may=True)
    story.rotate()
    assert RIGHTS[0] in story.scenario.rights(APP)


def test_a_rollback_that_one_answer_does_not_show_changes_no_password(story: Story) -> None:
    """DescribeSecret says that the clone is current; the version of the clone says that it is not."""
    story.rotate()
    story.a_rotation_begins()
    story.deliver(Step.CREATE)
    setting = story.set_again()
    story.an_operator_rolls_back()
    story.scenario.service.answer_from_the_past([0, 1, 0])
    before = story.scenario.users()
    story.it_comes_to_its_end(story.under_way.index(setting))
    assert isinstance(setting.error, Unsafe)
    assert story.scenario.users() == before


def test_a_step_that_comes_again_and_sees_only_the_past_harms_nobody(story: Story) -> None:
    story.rotate()
    again = story.come_again(Step.SET)
    story.scenario.service.answer_from_the_past([1])
    story.finish(again)
    assert again.was_deceived
    assert story.scenario.logs_in(story.scenario.read())
