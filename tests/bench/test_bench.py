"""Does the bench say what it measures, and does it run?"""

import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.bench import __main__ as command
from tests.bench import imports
from tests.bench.figures import Spread, ratio
from tests.bench.report import Bar, Sheet, picture
from tests.local.aws.lambda_runtime import BUILT_TEMPLATE

TOLD = """import time: self [us] | cumulative | imported package
import time:       100 |        100 |   _json
import time:       200 |        300 | json
import time:      1000 |       1000 |       botocore.model
import time:      2000 |       3300 |     botocore
import time:       500 |        500 |     rotation.engines.mysql.pair
import time:       700 |        700 | rotation.steps
"""


def test_the_cost_of_a_package_is_that_of_its_modules_without_what_they_import() -> None:
    assert {part: round(cost, 3) for part, cost in imports.parts(TOLD).items()} == {
        "Python's own library": 0.3,
        "botocore": 3.0,
        "rotation.engines.mysql": 0.5,
        "rotation": 0.7,
    }


def test_a_spread_is_the_half_in_the_middle() -> None:
    assert str(Spread.of([1, 200, 2, 3, 4])) == "3.0 (2.0 to 4.0)"
    assert str(Spread.of([1234.5])) == "1234 (1234 to 1234)"


def test_a_ratio_compares_what_ran_in_one_turn() -> None:
    assert ratio([10, 100, 40], [20, 200, 40]) == "0.50"
    assert ratio([10], [0]) == "none"


def test_a_table_is_one_of_markdown_too() -> None:
    sheet = Sheet("Title", "Note.", ["", "ms"], [["one", "1.0"]])
    assert sheet.markdown() == "## Title\n\nNote.\n\n|  | ms |\n| --- | ---: |\n| one | 1.0 |\n"


def test_the_picture_has_a_bar_for_each_start_and_asks_nobody_for_anything() -> None:
    drawn = picture([Bar("a <b>", 100, 150), Bar("c", 50, 75)], "Title")
    assert [text for element in ET.fromstring(drawn) if (text := element.text)] == [  # noqa: S314 - ours
        "Title",
        "a <b>",
        "100 + 50 ms",
        "c",
        "50 + 25 ms",
    ]
    assert "href" not in drawn


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the processor time of another process")
def test_two_functions_run_in_turn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The other is ours as well, from its folders."""
    built = [str(BUILT_TEMPLATE.parent / name) for name in ("PostgreSqlFunction", "CommonLayer/python")]
    words = ["--engine", "postgresql", "--starts", "1", "--rotations", "1", "--strategy", "single-user"]
    against = ["--against", *built, "--handler", "app.handler"]
    assert command.main([*words, *against, "--output", str(tmp_path)]) == 0
    page = (tmp_path / "bench.md").read_text()
    assert "single-user, the other | 10 | 2 |" in page
    assert "| DescribeSecret | 3 |" in page
    assert (tmp_path / "pictures/bench.svg").exists()
    assert "Cold start" in capsys.readouterr().out
