"""Is the sample fair, and does the table hide nothing?"""

from dataclasses import replace

from tests.faults.matrix import CASES, EVERY, Rotation, sample
from tests.faults.table import HEALED, Cell, lines
from tests.faults.wire import Place

PLACES = [Place("database", 1, number) for number in range(1, 36)]
"""As many as the shortest rotation has: that of a single user."""


def test_the_servers_of_a_strategy_take_each_message_and_each_case() -> None:
    cells = [cell for number in range(EVERY) for rotation in Rotation for cell in sample(number, rotation, PLACES)]
    assert {place for _, place in cells} == set(PLACES)
    assert {case for case, _ in cells} == set(CASES)
    assert len(cells) == len(PLACES)


def test_a_sample_is_the_same_each_time() -> None:
    assert list(sample(3, Rotation.FIRST, PLACES)) == list(sample(3, Rotation.FIRST, PLACES))


def test_the_table_tells_what_did_not_heal() -> None:
    cell = Cell(
        server="mysql-9",
        strategy="alternating-users",
        through_admin=True,
        rotation="first",
        disturbance="killed after",
        healing="new token",
        place="database 2.7",
        outcome=HEALED,
    )
    bad = replace(cell, place="database 2.8", outcome="AWSPREVIOUS does not log in")
    text = list(lines([Cell.from_property(one.to_property()[1]) for one in (cell, bad)]))
    assert text[0] == "2 cells: 1 healed, 1 did not."
    assert "| mysql-9 | alternating-users (admin) | first | 2 |  |  |  | **1 of 2** |  |  |" in text
    assert text[-1] == f"- {', '.join((*bad.row, *bad.column, bad.place))}: {bad.outcome}"
