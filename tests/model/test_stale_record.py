"""Does a step believe what it has seen on its own version, if a later answer does not show it yet?"""

from tests.model.machine import RIGHTS
from tests.model.scenario import APP, CLONE
from tests.model.test_sequences import Story, story

__all__ = ["story"]


def test_a_record_that_a_later_answer_does_not_show_yet_is_read_again(story: Story) -> None:
    """A setSecret gives both users a right, and comes again; in between the current one loses that right."""
    story.rotate()
    story.an_administrator_changes_either_user(username=CLONE, right=RIGHTS[0], may=True)
    story.finish(story.begin_to_set())
    story.an_administrator_changes_either_user(username=CLONE, right=RIGHTS[0], may=False)
    again = story.set_again()
    story.scenario.service.answer_from_the_past([0, 4, 0, 0, 4, 0, 0, 0])  # 4: to DescribeSecret
    story.finish(again)
    assert RIGHTS[0] not in story.scenario.rights(APP)
