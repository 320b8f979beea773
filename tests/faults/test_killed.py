"""It is killed, at any call to Secrets Manager and at any statement: does it heal?"""

import itertools
from collections.abc import Callable

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


def test_a_first_rotation_that_is_killed_at_any_call_heals(new_rig: NewRig, strategy: Strategy) -> None:
    for moment, heal in zip(itertools.count(1), itertools.cycle(HEALS), strict=False):
        if not disturb(new_rig(strategy), heal, kill_at=moment).killed:
            return


@pytest.mark.parametrize(("disturbance", "before"), [("kill_at", 1), ("cut_at", 2)])
def test_later_rotations_that_are_disturbed_at_any_call_heal(
    new_rig: NewRig, strategy: Strategy, disturbance: str, before: int
) -> None:
    rig = new_rig(strategy)
    for _ in range(before):
        rig.rotate()
    # The users of a pair take turns, and so do the ways to heal. Killed and cut off begin with the other of each.
    undisturbed = 0
    for moment, heal in zip(itertools.count(1), itertools.cycle(HEALS[:: -1 if before > 1 else 1]), strict=False):
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
