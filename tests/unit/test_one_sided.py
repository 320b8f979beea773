"""What does a rotation do if an administrator changed one of the two users?"""

from collections.abc import Callable

import pytest

from rotation.errors import RightsDiffer, Unreachable, Unsupported
from rotation.steps import Step
from tests.fakes import PRIMARY, FakeDatabase, reading
from tests.laboratories import INVOICES, ORDERS
from tests.unit.scenario import ALTERNATING, APP, CLONE, Scenario


@pytest.fixture(params=[1, 2], ids=["clone current", "original current"])
def scenario(request: pytest.FixtureRequest) -> Scenario:
    """A pair that has been rotated once, or twice."""
    scenario = Scenario(ALTERNATING)
    for _ in range(request.param):
        scenario.rotate()
    return scenario


def pair(scenario: Scenario) -> tuple[str, str]:
    """Return the current user, and the other one."""
    current = scenario.secret.read().credential.username
    return current, CLONE if current == APP else APP


def rights(scenario: Scenario, user: str) -> set[str]:
    """Return what a user can do."""
    return scenario.database.users[user].rights


def revoke(scenario: Scenario, user: str) -> None:
    """Take from a user what both have."""
    rights(scenario, user).remove(reading(ORDERS))


def grant(scenario: Scenario, user: str) -> None:
    """Give a user what neither has."""
    rights(scenario, user).add(reading(INVOICES))


CHANGES = pytest.mark.parametrize("change", [revoke, grant])


@CHANGES
def test_a_change_of_the_current_user_follows(scenario: Scenario, change: Callable[[Scenario, str], None]) -> None:
    current, other = pair(scenario)
    change(scenario, current)
    expected = set(rights(scenario, current))
    scenario.rotate()
    assert rights(scenario, current) == rights(scenario, other) == expected


@CHANGES
def test_a_change_of_the_other_user_is_not_undone(scenario: Scenario, change: Callable[[Scenario, str], None]) -> None:
    current, other = pair(scenario)
    before = set(rights(scenario, current))
    change(scenario, other)
    changed, log = set(rights(scenario, other)), list(scenario.database.log)
    scenario.begin()
    scenario.run(Step.CREATE)
    for _ in range(2):
        with pytest.raises(RightsDiffer, match=f"{other} was changed since the last rotation"):
            scenario.run(Step.SET)
    assert (rights(scenario, current), rights(scenario, other)) == (before, changed)
    assert scenario.database.log == log


@CHANGES
@pytest.mark.parametrize("changes_other", [True, False])
def test_either_of_the_two_statements_lets_the_rotation_go_on(
    scenario: Scenario, change: Callable[[Scenario, str], None], *, changes_other: bool
) -> None:
    current, other = pair(scenario)
    change(scenario, other)
    scenario.begin()
    scenario.run(Step.CREATE)
    with pytest.raises(RightsDiffer) as caught:
        scenario.run(Step.SET)
    listed = caught.value.remedy.partition("(1) ")[2].partition(".")[0].split(" or ")
    verb, right, _, user = listed[0 if changes_other else 1].replace("read ", "read_").split()
    assert user == (other if changes_other else current)
    act = rights(scenario, user).add if verb == "GRANT" else rights(scenario, user).remove
    act(right.replace("read_", "read "))
    scenario.run()
    assert rights(scenario, current) == rights(scenario, other)
    scenario.rotate()


@CHANGES
def test_the_same_change_of_both_users_stays(scenario: Scenario, change: Callable[[Scenario, str], None]) -> None:
    for user in pair(scenario):
        change(scenario, user)
    expected = set(rights(scenario, APP))
    for _ in range(2):
        scenario.rotate()
    assert rights(scenario, APP) == rights(scenario, CLONE) == expected


@CHANGES
def test_a_rotation_that_was_interrupted_goes_on(scenario: Scenario, change: Callable[[Scenario, str], None]) -> None:
    current, other = pair(scenario)
    rights(scenario, current).add(reading("more"))
    change(scenario, current)
    expected = set(rights(scenario, current))

    def cut(statement: str) -> None:
        if statement.startswith("ALTER USER"):
            raise Unreachable("changing a password", "the connection was cut", "Rotate again")

    scenario.database.before = cut
    scenario.begin()
    with pytest.raises(Unreachable):
        scenario.run()
    scenario.database.before = lambda _: None
    scenario.run()
    assert rights(scenario, current) == rights(scenario, other) == expected


def test_a_rotation_that_was_abandoned_halfway_is_ended_by_the_next(scenario: Scenario) -> None:
    current, other = pair(scenario)
    rights(scenario, current).update({reading("more"), reading("still more")})

    def cut(statement: str) -> None:
        if statement.startswith("GRANT read still more"):
            raise Unreachable("granting", "the connection was cut", "Rotate again")

    scenario.database.before = cut
    scenario.begin()
    with pytest.raises(Unreachable):
        scenario.run()
    assert reading("more") in rights(scenario, other)
    scenario.database.before = lambda _: None
    scenario.secret.abandon()
    scenario.rotate()
    assert rights(scenario, current) == rights(scenario, other)


def test_a_rotation_that_is_refused_before_it_changes_anything_has_not_begun(scenario: Scenario) -> None:
    current, other = pair(scenario)
    grant(scenario, current)
    before = scenario.secret.record()

    def refuse(statement: str) -> None:
        if statement.startswith("GRANT"):
            raise Unsupported("granting", "a trigger stands in the way", "Drop it")

    scenario.begin()
    scenario.run(Step.CREATE)
    scenario.database.before = refuse
    with pytest.raises(Unsupported):
        scenario.run(Step.SET)
    assert scenario.secret.record() == before
    scenario.database.before = lambda _: None
    scenario.database.users[other].verifiers = ()
    with pytest.raises(RightsDiffer, match=f"somebody has locked {other}"):
        scenario.run(Step.SET)


def test_a_rotation_that_is_refused_halfway_has_begun(scenario: Scenario) -> None:
    current, other = pair(scenario)
    rights(scenario, current).update({reading("more"), reading("still more")})

    def refuse(statement: str) -> None:
        if statement.startswith("GRANT read still more"):
            raise Unsupported("granting", "a trigger stands in the way", "Drop it")

    scenario.begin()
    scenario.run(Step.CREATE)
    scenario.database.before = refuse
    with pytest.raises(Unsupported):
        scenario.run(Step.SET)
    assert scenario.secret.record().begun
    scenario.database.before = lambda _: None
    scenario.run()
    assert rights(scenario, current) == rights(scenario, other)


def test_a_user_that_an_administrator_locked_stays_locked(scenario: Scenario) -> None:
    _, other = pair(scenario)
    scenario.database.users[other].verifiers = ()
    scenario.begin()
    scenario.run(Step.CREATE)
    with pytest.raises(RightsDiffer, match=f"somebody has locked {other}"):
        scenario.run(Step.SET)
    assert scenario.database.users[other].verifiers == ()


def test_a_pair_whose_record_is_lost_rotates_if_it_does_not_differ(scenario: Scenario) -> None:
    forget(scenario)
    for _ in range(2):
        scenario.rotate()


def test_a_pair_whose_record_is_lost_is_compared_before_it_is_changed(scenario: Scenario) -> None:
    forget(scenario)
    current, other = pair(scenario)
    grant(scenario, current)
    scenario.begin()
    scenario.run(Step.CREATE)
    with pytest.raises(RightsDiffer, match="no rotation has recorded that they were equal"):
        scenario.run(Step.SET)
    assert reading(INVOICES) not in rights(scenario, other)


def test_a_new_clone_is_no_difference() -> None:
    scenario = Scenario(ALTERNATING, database=FakeDatabase())
    scenario.rotate()
    assert scenario.database.accepts(scenario.secret.read().credential)
    assert scenario.secret.read().credential.host == PRIMARY


def forget(scenario: Scenario) -> None:
    """Remove the labels that keep the record."""
    scenario.secret.labels = {
        label: version for label, version in scenario.secret.labels.items() if label.startswith("AWS")
    }
