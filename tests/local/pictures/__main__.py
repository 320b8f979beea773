"""Draw the pictures of the documentation from runs on this machine: `make pictures`.

The rotations are watched now. The crash points are those of the last `make faults`, or of a sample that is taken now
if there was none. `make bench` draws its own.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.faults.table import EVERYTHING, Cell, Table
from tests.local.dashboard import __main__ as dashboard
from tests.local.demo import DemoError
from tests.local.demo import __main__ as demo
from tests.local.demo.command import run
from tests.local.demo.engines import engine_named, fetch_server
from tests.local.pictures import architecture, crash_points, timeline
from tests.local.pictures.rotations import watched

FOLDER = Path(__file__).parents[3] / "docs/pictures"
_SAMPLE = ["-q", "-n", "0", "tests/faults/test_killed.py"]


def rotations(name: str) -> str:
    """Watch a rotation with each strategy of an engine."""
    fetch_server(name)
    engine = engine_named(name)
    version, seen = watched(engine)
    return timeline.picture(f"Rotations of {engine.name} {version}, while two applications log in", seen)


def faults() -> str:
    """Read the cells of the last run; take a sample if there was none."""
    if not EVERYTHING.exists():
        pytest.main(_SAMPLE, plugins=[Table()])
    day = datetime.fromtimestamp(EVERYTHING.stat().st_mtime, UTC)
    cells = [Cell(**cell) for cell in json.loads(EVERYTHING.read_text())]
    return crash_points.picture(cells, f"{day.day} {day:%B %Y}")


DRAWN: Mapping[str, Callable[[], str]] = {
    "architecture": architecture.picture,
    "rotations-postgresql": lambda: rotations("postgresql"),
    "rotations-mysql": lambda: rotations("mysql"),
    "crash-points": faults,
}
WRITTEN: Mapping[str, Callable[[str], int]] = {
    "demo": lambda file: demo.main(["--svg", file]),
    "dashboard": lambda file: dashboard.main(["--output", file]),
}
"""What a command of its own draws, into a file."""


def draw(name: str, folder: Path) -> None:
    """Draw one of them, into a file of its name. Raises DemoError, OSError."""
    file = folder / f"{name}.svg"
    print(file, flush=True)
    if name in DRAWN:
        file.write_text(DRAWN[name]())
    elif WRITTEN[name](str(file)):
        raise DemoError(f"{name} was not drawn; the reason is above")


def main(words: Sequence[str] | None = None) -> int:
    """Return 0: all are drawn; 1: one was not."""
    parser = argparse.ArgumentParser("python -m tests.local.pictures", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"default: all: {', '.join([*DRAWN, *WRITTEN])}")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="default: docs/pictures")
    chosen = parser.parse_args(words)
    if unknown := set(chosen.names) - {*DRAWN, *WRITTEN}:
        parser.error(f"there is no picture {', '.join(sorted(unknown))}: see --help")

    def draw_all() -> None:
        for name in chosen.names or [*DRAWN, *WRITTEN]:
            draw(name, chosen.folder)

    return run(draw_all, "Drawing")


if __name__ == "__main__":
    sys.exit(main())
