"""Is docs/cost.md what the measurements and the prices make of it?"""

from tests.local import cost_table
from tests.local.cost_table import Rotation


def test_the_page_is_as_the_script_writes_it() -> None:
    """If not: .local/python/bin/python -m tests.local.cost_table."""
    text = cost_table.PAGE.read_text()
    assert cost_table.page(text, cost_table.BENCH.read_text(), cost_table.BESIDE.read_text()) == text


def test_aws_templates_cost_what_stands_beside_them() -> None:
    """Half of the ratio is twice their processor time; they wait as long, for messages and calls."""
    row = "| PostgreSQL, single user | {} | 34 against 65 ms: {} | 23 against 35: 0.66 | 50 against 58 |"
    bench = cost_table.BENCH.read_text()
    gb_seconds = []
    for ratio in ("1.00", "0.50", "0.25"):
        page = cost_table.page("", bench, row.format(ratio, ratio))
        [line] = (line for line in page.splitlines() if "template, postgresql" in line and "| 14,000 |" in line)
        gb_seconds.append(int(line.split(" | ")[4].replace(",", "")))
    assert abs((gb_seconds[2] - gb_seconds[1]) - 2 * (gb_seconds[1] - gb_seconds[0])) <= 2


def test_processor_time_is_billed_by_the_share_of_a_processor_and_waiting_by_the_memory() -> None:
    """1,769 MB have one processor, whatever part of them a function has; while it waits, its memory is billed."""
    busy = Rotation("busy", calls=0, kms=0, start=1.0, warm=0.0, messages=0)
    assert {round(busy.gb_seconds(memory), 3) for memory in (128, 1024)} == {round(1769 / 1024, 3)}
    waiting = Rotation("waiting", calls=10, kms=0, start=0.0, warm=0.0, messages=100)
    assert round(waiting.gb_seconds(256), 3) == 0.05


def test_a_price_is_for_so_many() -> None:
    assert cost_table.PRICES["call"].of(20_000) == 0.1
