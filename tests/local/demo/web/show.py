"""How does the demo become a page?"""

from collections.abc import Callable

from tests.local.demo.databases import Engine
from tests.local.demo.screen import Screen
from tests.local.demo.web.server import serving
from tests.local.demo.web.stage import Stage


def show(screen: Screen, engine: Engine, linger: Callable[[], None]) -> None:
    """Start everything, say where the page is, and stop everything after `linger`. Raises DemoError and OSError."""
    with Stage.open(screen, engine) as stage, serving(stage) as address:
        screen.chapter("The page", "Open it in a browser on this machine. It works until Ctrl-C.")
        screen.copyable([address])
        linger()
