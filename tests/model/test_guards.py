"""Do the guards that `tests.model.guards` takes out still stand in the source?"""

import pytest

from tests.model.guards import GUARDS, LAYER, Guard


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name)
def test_a_guard_stands_once_in_its_module(guard: Guard) -> None:
    assert (LAYER / "rotation" / f"{guard.module}.py").read_text().count(guard.piece) == 1
