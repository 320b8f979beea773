"""Does the bench say what it measures, and does it run?"""

import os
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.bench import __main__ as command
from tests.bench import growth_page, handlers, imports, sheets
from tests.bench.figures import Spread, ratio
from tests.bench.growth import Cost, Costs, Point
from tests.bench.report import Bar, Sheet, picture
from tests.bench.running import Unmeasurable, running
from tests.local.aws.lambda_runtime import BUILT_TEMPLATE

TOLD = """import time: self [us] | cumulative | imported package
import time:       100 |        100 |   _json
import time:       200 |        300 | json
import time:      1000 |       1000 |       botocore.model
import time:      2000 |       3300 |     botocore
import time:       500 |        500 |     rotation.engines.mysql.pair
import time:       700 |        700 | rotation.steps
"""


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command sets variables for its own process, which is that of other tests here."""
    for name in ("ALLOW_LOCAL_HOSTS", "DB_CA_BUNDLE"):
        monkeypatch.setenv(name, os.environ.get(name, ""))


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


def test_the_gap_of_another_function_is_compared() -> None:
    gaps = {"this project": [1.0, 4.0], "the other": [2.0, 8.0], "the limit": [1.0, 1.0]}
    assert [row[2] for row in sheets.of_gaps({"mysql-9": gaps}).rows] == ["0.50", "", ""]


def points() -> list[Point]:
    cost = Cost(processor=0.5, clock=1.0, messages=2_000, bytes=300_000)
    costs = Costs(cost, replace(cost, messages=80), replace(cost, messages=81))
    servers = ("mysql-9", "oracle-stand-in")
    return [Point(server, "tables", size, costs) for server in servers for size in (10, 1_000)]


def test_a_curve_says_how_long_it_takes_on_a_slower_network() -> None:
    [tables, stand_ins] = growth_page.sheets(points())
    assert tables.rows[1][:2] == ["mysql-9", "1,000"]
    assert tables.rows[1][2:5] == ["2,000", "80", "81"]
    assert tables.rows[1][8:] == ["3.0", "1.1", "1.1", "300"]
    assert [row[:3] for row in stand_ins.rows] == [["oracle-stand-in", size, "2,000"] for size in ("10", "1,000")]


def test_the_curves_can_be_read_by_day_and_by_night() -> None:
    drawn = growth_page.picture(points())
    texts = [element.text for element in ET.fromstring(drawn).iter() if element.tag.endswith("}text")]  # noqa: S314 - ours
    assert texts[-1] == "mysql-9", "and no stand-in"
    assert drawn.count("<polyline") == 2
    assert "prefers-color-scheme:dark" in drawn
    assert "href" not in drawn


@pytest.mark.thorough
def test_the_command_draws_curves(tmp_path: Path) -> None:
    words = ["--growth", "--largest", "10", "--engine", "postgresql", "oracle", "--output", str(tmp_path)]
    assert command.main(words) == 0
    assert "| oracle-stand-in | 10 | " in (tmp_path / "growth.md").read_text()
    assert "postgresql-18" in (tmp_path / "pictures/growth.svg").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--against", "none"], "none is no folder"),
        (["--python", "none"], "none is no file"),
        (["--starts", "0"], "--starts: 0 is no number from 1 on"),
        (["--rotations", "-1"], "--rotations: -1 is no number from 1 on"),
        (["--strategy", "none"], "invalid choice: 'none' (choose from "),
        (["--strategy", "dual-password"], "--strategy: postgresql has no dual-password"),
        (["--output", __file__], "test_bench.py is no folder"),
        (["--handler", "app.handler"], "name its folder with --against"),
        (["--python", sys.executable], "name its folder with --against"),
        (["--largest", "10"], "--largest is for --growth"),
        (["--growth", "--largest", "9"], "--largest: the curves begin at 10"),
        (["--growth", "--against", "tests"], "leave --against and --strategy out"),
        (["--growth", "--engine", "oracle"], "no time is measured of stand-ins"),
    ],
)
def test_what_cannot_be_measured_is_said_before_it_begins(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        command.main(["--engine", "postgresql", *words])
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "part",
    [
        ["--engine", "mysql"],
        ["--strategy", "single-user"],
        ["--starts", "14"],
        ["--starts", "16", "--rotations", "9"],
        ["--growth", "--largest", "10"],
    ],
)
def test_a_part_replaces_no_page(part: list[str]) -> None:
    assert command.folder_of(command.parsed([])).name == "docs"
    assert command.folder_of(command.parsed(part)).name == "bench"


only_linux = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux tells the processor time of another process"
)


@only_linux
def test_a_function_that_cannot_be_imported_is_said(tmp_path: Path) -> None:
    (tmp_path / "lambda_function.py").write_text("raise RuntimeError('no client is here')")
    handler = handlers.theirs("postgresql", [tmp_path], "lambda_function.lambda_handler", None)
    with running(handler, {}) as function, pytest.raises(Unmeasurable, match="RuntimeError: no client is here"):
        function.fail()


@only_linux
def test_the_imports_of_a_function_that_makes_its_client_at_once_are_measured(tmp_path: Path) -> None:
    (tmp_path / "made.py").write_text("import os, sys; print(os.environ['SECRETS_MANAGER_ENDPOINT'], file=sys.stderr)")
    assert imports.measure(handlers.theirs("postgresql", [tmp_path], "made.handler", None), 1)


@only_linux
def test_a_function_whose_imports_cannot_be_measured_is_said(tmp_path: Path) -> None:
    (tmp_path / "ended.py").write_text("raise RuntimeError('only in my account')")
    handler = handlers.theirs("postgresql", [tmp_path], "ended.handler", None)
    with pytest.raises(Unmeasurable, match=r"the other: .*RuntimeError: only in my account\. Correct --against"):
        imports.measure(handler, 1)


@only_linux
def test_a_function_that_does_not_answer_is_said(tmp_path: Path) -> None:
    (tmp_path / "lambda_function.py").write_text("import time\ndef lambda_handler(event, context): time.sleep(60)\n")
    handler = handlers.theirs("postgresql", [tmp_path], "lambda_function.lambda_handler", None)
    handler = replace(handler, function=replace(handler.function, timeout=1))
    with (
        running(handler, {}) as function,
        pytest.raises(Unmeasurable, match="the other: it does not answer within 1 s"),
    ):
        function.call({})


@only_linux
def test_a_layer_is_read_as_it_is_unzipped(tmp_path: Path) -> None:
    unzipped, packages = tmp_path / "layer/python", tmp_path / "packages"
    for folder in (unzipped, packages):
        folder.mkdir(parents=True)
    found = handlers.theirs("postgresql", [tmp_path, unzipped.parent, packages], "a.b", None)
    assert found.function.layers == (unzipped, packages)


@only_linux
def test_a_python_is_found_from_here(tmp_path: Path) -> None:
    python = Path(os.path.relpath(sys.executable))
    assert handlers.python_of(handlers.theirs("postgresql", [tmp_path], "a.b", python).function) == [sys.executable]


@only_linux
def test_a_python_without_the_client_of_lambda_is_said(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    handler = handlers.theirs("postgresql", [tmp_path], "lambda_function.lambda_handler", python)
    with running(handler, {}) as function, pytest.raises(Unmeasurable, match="awslambdaric"):
        function.fail()


@only_linux
@pytest.mark.thorough
@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise ValueError('hunter2')", "Cannot measure the other: it fails in createSecret with ValueError."),
        ("import os; os._exit(1)", "Cannot measure the other: Runtime.ExitError"),
        ("pass", "Cannot measure the other: its four steps have not moved AWSCURRENT"),
    ],
)
def test_a_function_that_fails_is_said_without_its_words(
    body: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "lambda_function.py").write_text(f"def lambda_handler(event, context):\n    {body}\n")
    words = ["--engine", "postgresql", "--starts", "1", "--rotations", "1", "--strategy", "single-user"]
    assert command.main([*words, "--against", str(tmp_path), "--output", str(tmp_path / "out")]) == 1
    shown = capsys.readouterr()
    assert said in shown.err
    assert "hunter2" not in shown.err + shown.out
    assert not (tmp_path / "out").exists()


@only_linux
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
