"""What does the demo show while a rotation runs?"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from tests.local.demo.application import Application, Tally

BUSY = "cyan"
_GOOD, _BAD, _QUIET = "green", "red", "dim"


@dataclass
class _Step:
    """A step: not begun, running, or ended."""

    name: str
    began: float | None = None
    seconds: float | None = None
    said: str = ""
    good: bool = True

    def row(self, spinner: Spinner) -> RenderableType:
        sign: RenderableType = Text("·", _QUIET)
        seconds = self.seconds
        if seconds is not None:
            sign = mark(good=self.good)
        elif self.began is not None:
            sign, seconds = spinner, time.perf_counter() - self.began
        grid = Table.grid(padding=(0, 1))
        for width in (1, 13, 8, None):
            grid.add_column(width=width)
        style = _QUIET if seconds is None else ""
        grid.add_row(
            sign, Text(self.name, style), Text("" if seconds is None else seconds_taken(seconds)), Text(self.said)
        )
        return Padding(grid, (0, 0, 0, 2))


class RotationView:
    """A rotation's steps, and the logins of the applications. Outside a live terminal, `show` gets each line once."""

    def __init__(
        self,
        steps: Sequence[str],
        applications: Sequence[Application],
        show: Callable[[RenderableType], None] | None,
    ) -> None:
        self._steps = {name: _Step(name) for name in steps}
        self._applications = applications
        self._show = show
        self._spinner = Spinner("dots", style=BUSY)

    def began(self, name: str) -> None:
        """Start the step's clock."""
        self._steps[name] = _Step(name, time.perf_counter())

    def ended(self, name: str, seconds: float, said: str, *, good: bool) -> None:
        """Show the duration of the step, and its message."""
        step = self._steps[name] = _Step(name, None, seconds, said, good)
        if self._show:
            self._show(step.row(self._spinner))

    def logins(self) -> RenderableType:
        """Return the counts of the applications so far."""
        table = Table(box=None, pad_edge=False, header_style=_QUIET, padding=(0, 2, 0, 0))
        table.add_column("meanwhile, an application that …", min_width=44)
        for column in ("logins", "failed"):
            table.add_column(column, justify="right")
        table.add_column("")
        for application in self._applications:
            tally = application.tally
            failed = Text(str(tally.failed), _BAD if tally.failed else _GOOD)
            table.add_row(f"… {application.habit}", str(tally.logins), failed, _refused(tally))
        return Padding(table, (1, 0, 0, 4))

    def __rich__(self) -> RenderableType:
        return Group(*(step.row(self._spinner) for step in self._steps.values()), self.logins())


def mark(*, good: bool) -> Text:
    """Return a tick or a cross."""
    return Text("✔", _GOOD) if good else Text("✘", _BAD)


def seconds_taken(seconds: float) -> str:
    """Return a duration as it is shown."""
    return f"{seconds:5.2f} s"


def _refused(tally: Tally) -> str:
    if tally.failing_since is not None:
        return "refused from then on"
    return f"refused for {tally.gap:.2f} s" if tally.failed else ""
