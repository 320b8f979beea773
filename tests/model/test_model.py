"""Do the promises hold whatever happens, in whatever order?"""

import pytest
from hypothesis.stateful import run_state_machine_as_test

from rotation import deadline
from tests.model.guards import GUARDS, LAYER
from tests.model.machine import MACHINES, RotationMachine
from tests.model.scenario import Clock
from tests.profiles import examples


@pytest.mark.parametrize("machine", MACHINES, ids=[machine.strategy for machine in MACHINES])
def test_the_promises_hold_whatever_happens_in_whatever_order(
    machine: type[RotationMachine], monkeypatch: pytest.MonkeyPatch, stride: int
) -> None:
    monkeypatch.setattr(deadline, "time", Clock)
    run_state_machine_as_test(machine, settings=examples(180 // stride, steps=30))


def test_each_guard_that_the_model_is_tried_without_is_a_piece_of_the_program() -> None:
    for guard in GUARDS:
        guard.without((LAYER / "rotation" / f"{guard.module}.py").read_text())
