"""What does the demo print? A live view in a terminal, and plain lines elsewhere."""

import io
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from tests.local.demo.application import Application
from tests.local.demo.picture import Picture
from tests.local.demo.rotation_view import BUSY, RotationView, mark, seconds_taken

WIDTH = 88
_LEGEND = "✔ the server accepts the password of that version   ✘ it refuses it"
_RECORD = "RotationEqual-… is the rotation's record that it left the two users equal"


class Screen:
    """The output, from top to bottom. No text is read as markup: a secret's name can have any character."""

    def __init__(self, console: Console, *, alive: bool, picture: Picture | None = None) -> None:
        self._console = console
        self._alive = alive
        self._picture = picture

    @classmethod
    def on(cls, output: TextIO, picture: Picture | None = None) -> "Screen":
        """Show a live view if the terminal can, and no picture is made; else write lines without control characters."""
        if isinstance(output, io.TextIOWrapper):
            output.reconfigure(errors="replace")  # a terminal without the tick is no reason to fail
        is_terminal = output.isatty() and not picture
        console = Console(file=output, force_terminal=is_terminal, highlight=False, markup=False, emoji=False)
        console.width = min(WIDTH, console.width) if is_terminal else WIDTH
        return cls(console, alive=is_terminal and not console.is_dumb_terminal, picture=picture)

    def title(self, title: str, text: str) -> None:
        """Show the title of the demo."""
        self._show(Panel(text, title=Text(title, "bold"), padding=(1, 2), border_style=BUSY), "")

    def chapter(self, title: str, text: str) -> None:
        """Begin a chapter."""
        if self._picture:
            self._picture.begin()
        self._show(Rule(Text(title, "bold"), style=BUSY, align="left"), "", _indented(Text(text)), "")

    def pause(self) -> None:
        """Leave a line empty."""
        self._show("")

    def section(self, title: str) -> None:
        """Begin a part of a chapter."""
        self._show(_indented(Text(title, "bold")))

    def copyable(self, lines: Sequence[str]) -> None:
        """Show lines that can be copied, however long they are."""
        for line in lines:
            self._console.print(f"  {line}", soft_wrap=True)

    def conclude(self, text: str) -> None:
        """Show the conclusion."""
        self._show(_indented(_line(Text("→", BUSY), text)), "")
        if self._picture:
            self._picture.end()

    def summary(self, title: str, lines: Sequence[tuple[str, str]]) -> None:
        """Show a summary in two columns."""
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="bold", no_wrap=True)
        for head, text in lines:
            grid.add_row(Text(head), Text(text))
        self._show(Panel(grid, title=Text(title, "bold"), padding=(1, 2), border_style=BUSY))

    def versions(self, rows: Sequence[tuple[str, str, str, str]]) -> None:
        """Show the versions of a secret: id, user, status before and after."""
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
        for column in ("version", "user", "before", "after"):
            table.add_column(column, no_wrap=column == "version")
        for version, user, before, after in rows:
            table.add_row(version, user, _standing(before), _standing(after))
        has_record = any("RotationEqual-" in text for row in rows for text in row)
        legend = "\n".join([_LEGEND, _RECORD] if has_record else [_LEGEND])
        self._show(_indented(table), _indented(Text(legend, "dim")), "")

    @contextmanager
    def doing(self, what: str) -> Iterator[Callable[[str], None]]:
        """Show that something takes a while; at the end of the block, show the last text of it, and the seconds."""
        began, said = time.perf_counter(), [what]
        if self._alive:
            with self._console.status(what, spinner_style=BUSY):
                yield said.append
        else:
            yield said.append
        taken = seconds_taken(time.perf_counter() - began)
        self._show(_indented(_line(mark(good=True), f"{said[-1]:<72}{taken}")))

    @contextmanager
    def rotation(self, steps: Sequence[str], applications: Sequence[Application]) -> "Iterator[RotationView]":
        """Show a rotation while it runs, until the block ends."""
        view = RotationView(steps, applications, None if self._alive else self._show)
        if self._alive:
            with Live(view, console=self._console, refresh_per_second=12):
                yield view
        else:
            yield view
            self._show(view.logins())

    def _show(self, *renderables: RenderableType) -> None:
        if self._alive:
            self._console.print(Group(*renderables))
            return
        if self._picture:
            self._picture.take(*renderables)
        with self._console.capture() as captured:
            self._console.print(Group(*renderables))
        lines = captured.get().splitlines()
        self._console.file.write("".join(f"{line.rstrip()}\n" for line in lines))
        self._console.file.flush()


def _indented(renderable: RenderableType) -> RenderableType:
    return Padding(renderable, (0, 0, 0, 2))


def _line(sign: Text, text: str) -> RenderableType:
    """A mark and its text, whose further lines are indented by the mark's width."""
    grid = Table.grid(padding=(0, 1))
    grid.add_row(sign, Text(text))
    return grid


def _standing(text: str) -> Text:
    """A version's status, in the colour of its mark."""
    colours = {"✔": "green", "✘": "red"}
    return Text(text, colours.get(text[:1], "dim"))
