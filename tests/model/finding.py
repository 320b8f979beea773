"""How soon does the model notice that something is wrong, and what is it?"""

import itertools

from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from rotation import deadline
from tests.model.machine import MACHINES
from tests.model.scenario import Clock
from tests.profiles import examples


def find(strategy: str, most: int) -> tuple[int, str] | None:
    """Run a strategy's model until a promise breaks; return the number of that example, and the promise."""
    setattr(deadline, "time", Clock)  # noqa: B010 - a class in the place of a module
    machine = next(machine for machine in MACHINES if machine.strategy == strategy)
    numbers = itertools.count(1)
    last = 0

    class Counted(machine):  # type: ignore[valid-type,misc]
        """Counts its examples."""

        def __init__(self) -> None:
            nonlocal last
            super().__init__()
            last = next(numbers)

    # Without shrinking: how often it ran is the question.
    profile = settings(examples(most, steps=30), phases=[Phase.generate])
    try:
        run_state_machine_as_test(Counted, settings=profile)
    except Exception as error:  # noqa: BLE001 - whatever it is, the model has noticed it
        name = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
        return last, f"{name}{error}".partition("\n")[0]
    return None
