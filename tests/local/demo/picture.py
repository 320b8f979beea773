"""How does a run of the demo become a picture? The first rotation of its last strategy, as a terminal shows it."""

import io
import re

from rich.console import Console, RenderableType
from rich.terminal_theme import MONOKAI

_FONT = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


class Picture:
    """What is shown from the beginning of a chapter to its first conclusion; in the end that of the last chapter."""

    def __init__(self, width: int) -> None:
        self._width = width
        self.begin()

    def begin(self) -> None:
        """Forget what was shown so far, and take what comes."""
        self._console = Console(
            file=io.StringIO(), record=True, force_terminal=True, color_system="truecolor", width=self._width
        )
        self._takes = True

    def take(self, *renderables: RenderableType) -> None:
        """Take what the screen shows, until the end."""
        if self._takes:
            self._console.print(*renderables, highlight=False, markup=False, emoji=False)

    def end(self) -> None:
        """Take nothing more of this chapter."""
        self._takes = False

    def svg(self, title: str) -> str:
        """Return the picture. It has a dark ground of its own: it reads well on a light page and on a dark one."""
        drawn = self._console.export_svg(title=title, theme=MONOKAI, unique_id="demo")
        # A picture in a document loads no font from elsewhere: each viewer takes its own monospaced one.
        return _FONT.sub("", drawn).replace("Fira Code", "monospace")
