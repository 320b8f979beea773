"""It is killed before any call and any write, on a database that commits each write at once: does it heal?"""

import itertools
from collections.abc import Callable

import pytest

from rotation.kind import Strategy
from tests.fakes import PENDING, PREVIOUS, undisturbed
from tests.unit.world import ALTERNATING, SINGLE, World


class Killed(BaseException):
    """The process is gone."""


def kill_at(world: World, moment: int) -> bool:
    """Run the four steps, and end them before that call or write; tell whether they came so far."""
    moments = itertools.count()

    def count(_: str) -> None:
        if next(moments) == moment:
            raise Killed

    world.database.before = world.secret.before = count
    try:
        world.run()
    except Killed:
        return True
    else:
        return False
    finally:
        world.database.before = world.secret.before = undisturbed


def run_again(world: World) -> None:
    """Do what the service does: begin again at createSecret, with the same token."""
    world.run()


def rotate_anew(world: World) -> None:
    """Do what an operator does: take AWSPENDING away where it is left, and begin another rotation."""
    if world.secret.labels[PENDING] == world.secret.token:
        world.secret.abandon()
    world.rotate()


@pytest.mark.parametrize("heal", [run_again, rotate_anew])
@pytest.mark.parametrize("rotations", [0, 1], ids=["first rotation", "way back"])
@pytest.mark.parametrize("strategy", [SINGLE, ALTERNATING])
def test_killed_at_any_moment_it_heals(strategy: Strategy, rotations: int, heal: Callable[[World], None]) -> None:
    for moment in itertools.count():
        world = World(strategy)
        for _ in range(rotations):
            world.rotate()
        cached = world.secret.read()
        world.begin()
        was_killed = kill_at(world, moment)
        if strategy is ALTERNATING:
            assert world.may_log_in(cached)
            assert world.may_log_in(world.secret.read())
        heal(world)
        assert world.may_log_in(world.secret.read())
        assert len({frozenset(user.rights) for name, user in world.database.users.items() if name != "admin"}) == 1
        if strategy is ALTERNATING:
            assert world.may_log_in(world.secret.read(PREVIOUS))
        if not was_killed:
            assert moment > 10
            return
