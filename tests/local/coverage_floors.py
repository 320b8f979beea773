"""Do all tests together run enough of each package?

What counts are the lines that the tests run in their own processes, as `[tool.coverage]` in pyproject.toml says. The
built artifacts in Lambda's runtime, and the functions that the fault tests kill, run in other processes and add
nothing. Too little is a failure in CI only: elsewhere tests are skipped if a server cannot be had.
"""

import io
import os
import sys
from dataclasses import dataclass

from coverage import Coverage


@dataclass(frozen=True)
class Floor:
    """How many of its lines, in per cent, the tests of a package run at least."""

    percent: int
    include: str
    omit: tuple[str, ...] = ()


FLOORS = {
    "rotation": Floor(98, "*/rotation/*", omit=("*/engines/*", "*/watch/*")),
    "rotation.engines": Floor(97, "*/engines/*"),
    "rotation.watch": Floor(99, "*/watch/*"),
}
"""A little below what was measured: a rise of a floor is welcome, a fall needs a reason."""


def main() -> int:
    """Print a line for each package; return 1 if one is below its floor, and this is CI."""
    measured = Coverage()
    measured.load()
    below = False
    for package, floor in FLOORS.items():
        percent = measured.report(include=[floor.include], omit=list(floor.omit), file=io.StringIO())
        print(f"{package}: tests run {percent:.1f} % of its lines, the floor is {floor.percent} %")
        below |= percent < floor.percent
    if below:
        print("A package is below its floor. See which lines: .local/python/bin/coverage report --show-missing")
    return int(below and "CI" in os.environ)


if __name__ == "__main__":
    sys.exit(main())
