"""What cannot be had on this machine? Its tests are left out, and a run says which at its end. In CI they fail.

MySQL, MariaDB and PgBouncer come from Debian's packages, so a machine without apt runs the rest.
"""

import os
from collections import Counter
from collections.abc import Generator

import pytest

from tests.local.servers.fetch import UNAVAILABLE


class Absent:
    """What the plugin does: in each process the hooks of a test, and in the one that runs all others the summary."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self) -> Generator[None]:
        """Leave a test out if a fixture cannot have its server."""
        yield from _left_out_if_unavailable()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self) -> Generator[None]:
        """Leave a test out if it cannot have its own server."""
        yield from _left_out_if_unavailable()

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say how many tests were left out for each reason."""
        reasons = Counter(_reason(report) for report in terminalreporter.stats.get("skipped", []))
        for reason, count in reasons.most_common():
            terminalreporter.write_line(f"left out on this machine: {count} tests: {reason}")


def _left_out_if_unavailable() -> Generator[None]:
    try:
        yield
    except UNAVAILABLE as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


def _reason(report: pytest.TestReport) -> str:
    where = report.longrepr
    return where[2].removeprefix("Skipped: ") if isinstance(where, tuple) else str(where)
