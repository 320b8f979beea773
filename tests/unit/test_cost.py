"""Is docs/cost.md what the measurements and the prices make of it?"""

from tests.local import cost_table
from tests.local.cost_table import Rotation


def test_the_page_is_as_the_script_writes_it() -> None:
    """If not: .local/python/bin/python -m tests.local.cost_table."""
    text = cost_table.PAGE.read_text()
    assert cost_table.page(text, cost_table.BENCH.read_text()) == text


def test_processor_time_is_billed_by_the_share_of_a_processor_and_waiting_by_the_memory() -> None:
    """1,769 MB have one processor, whatever part of them a function has; while it waits, its memory is billed."""
    busy = Rotation("busy", calls=0, kms=0, start=1.0, warm=0.0, messages=0)
    assert {round(busy.gb_seconds(memory), 3) for memory in (128, 1024)} == {round(1769 / 1024, 3)}
    waiting = Rotation("waiting", calls=10, kms=0, start=0.0, warm=0.0, messages=100)
    assert round(waiting.gb_seconds(256), 3) == 0.05


def test_a_price_is_for_so_many() -> None:
    assert cost_table.PRICES["call"].of(20_000) == 0.1
