"""It is killed, at any call to Secrets Manager and at any statement: does it heal?"""

import itertools
from collections.abc import Callable, Sequence

import pytest

from rotation.kind import Strategy
from tests.faults.killing import Ending
from tests.faults.rig import Rig

type NewRig = Callable[[Strategy], Rig]

GAPLESS = {Strategy.ALTERNATING_USERS, Strategy.DUAL_PASSWORD}
"""Where AWSCURRENT works at every instant."""


def heal_by_retry(rig: Rig) -> None:
    """Do what the service does: begin again at createSecret, with the same token."""
    assert rig.run().error is None


def heal_by_new_rotation(rig: Rig) -> None:
    """Do what an operator does: take AWSPENDING away, and start another rotation."""
    rig.abandon()
    rig.rotate()


HEALS = (heal_by_retry, heal_by_new_rotation)


@pytest.mark.strategies(Strategy.ALTERNATING_USERS)
def test_a_first_rotation_that_is_killed_at_any_call_heals(new_rig: NewRig, strategy: Strategy) -> None:
    # There is no clone yet. Where there is one user only, a first rotation is like any other.
    for moment, heal in zip(itertools.count(1), itertools.cycle(HEALS), strict=False):
        if not disturb(new_rig(strategy), heal, kill_at=moment).killed:
            return


def test_later_rotations_that_are_killed_at_any_call_heal(new_rig: NewRig, strategy: Strategy) -> None:
    rig = new_rig(strategy)
    rig.rotate()
    disturb_everywhere(rig, "kill_at", HEALS)


@pytest.mark.newest
def test_later_rotations_that_are_cut_off_at_any_call_heal(new_rig: NewRig, strategy: Strategy) -> None:
    rig = new_rig(strategy)
    rig.rotate()
    rig.rotate()
    disturb_everywhere(rig, "cut_at", HEALS[::-1])


def disturb_everywhere(rig: Rig, disturbance: str, heals: Sequence[Callable[[Rig], None]]) -> None:
    """Rotate again and again, disturbed one call later each time.

    The users of a pair take turns, and so do the ways to heal. Killed and cut off begin with the other of each.
    """
    undisturbed = 0
    for moment, heal in zip(itertools.count(1), itertools.cycle(heals), strict=False):
        undisturbed += disturb(rig, heal, **{disturbance: moment}).moments < moment
        if undisturbed > 1:
            return


def disturb(rig: Rig, heal: Callable[[Rig], None], **disturbance: int) -> Ending:
    """Rotate with a disturbance, heal it, and look at every instant at which a look is possible."""
    cached = rig.read()
    rig.begin()
    ending = rig.run(**disturbance)
    if rig.strategy in GAPLESS:
        assert rig.laboratory.logs_in(cached), f"a reader of the old version is locked out: {disturbance}"
        assert rig.application_works(), f"the application is locked out: {disturbance}"
    heal(rig)
    rig.require_done()
    if rig.strategy in GAPLESS:
        assert rig.laboratory.logs_in(rig.read("AWSPREVIOUS"))
    return ending
