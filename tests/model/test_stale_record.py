"""Does a step believe what it has seen on its own version, if a later answer does not show it yet?"""

from tests.model.machine import RIGHTS
from tests.model.scenario import APP, CLONE
from tests.model.test_sequences import Story, story

__all__ = ["story"]


def test_a_record_that_a_later_answer_does_not_show_yet_is_read_again(story: Story) -> None:
    """A rotation gives both users a right, and is cut off at its end; then the current one loses that right again."""
    story.rotate()
    story.an_administrator_changes_either_user(username=CLONE, right=RIGHTS[0], may=True)
    setting = story.begin_to_set()
    while setting.next_call != f"log in as {APP}":  # what it recorded is on its version by then
        story._go_on(setting)  # noqa: SLF001 - a story tells each call
    setting.kill()
    story.under_way.remove(setting)
    story.an_administrator_changes_either_user(username=CLONE, right=RIGHTS[0], may=False)
    again = story.set_again()
    story.scenario.service.answer_from_the_past([0, 4, 0, 0, 4, 0, 0, 0])  # 4: to DescribeSecret
    story.finish(again)
    assert RIGHTS[0] not in story.scenario.rights(APP)
