"""Watch a real database credential rotate on this machine. You need no AWS account, and nothing leaves the machine."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.local.demo.command import postponed, run, wait_for_interrupt


def main(words: Sequence[str] | None = None) -> int:
    """Return 0: all was as promised; 1: something failed; 130: Ctrl-C. Everything that was started has ended then."""
    return run(lambda: _play(words), "The demo")


def _play(words: Sequence[str] | None) -> None:
    # Imported here: a missing package is reported in one line. The heavy part comes last: the title is shown at once.
    with postponed():
        from tests.local.demo.engines import ENGINES, engine_named, fetch_server  # noqa: PLC0415
        from tests.local.demo.picture import Picture  # noqa: PLC0415
        from tests.local.demo.screen import WIDTH, Screen  # noqa: PLC0415

    arguments = _arguments(words, list(ENGINES))
    engine = engine_named(arguments.engine)
    picture = Picture(WIDTH) if arguments.svg else None
    screen = Screen.on(sys.stdout, picture)
    screen.title(
        f"{engine.name} credentials rotate on this machine",
        f"{engine.server}, the rotation function, and a stand-in for Secrets Manager that keeps the rules of the "
        "service. You need no AWS account, and nothing leaves this machine. Ctrl-C ends the demo.",
    )
    fetch_server(arguments.engine)
    with postponed():
        from tests.local.demo.story import play  # noqa: PLC0415

    if arguments.web:
        from tests.local.demo.web.show import show  # noqa: PLC0415

        show(screen, engine, wait_for_interrupt)
        return
    play(screen, engine, linger=wait_for_interrupt if arguments.keep else None)
    if picture:
        arguments.svg.write_text(picture.svg(f"make demo ENGINE={arguments.engine}"))


def _arguments(words: Sequence[str] | None, engines: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.local.demo", description=__doc__)
    databases = f"the database: {', '.join(engines)}; default: %(default)s"
    parser.add_argument("--engine", default=engines[0], help=databases)
    parser.add_argument("--keep", action="store_true", help="leave everything running until Ctrl-C, to look around")
    parser.add_argument("--web", action="store_true", help="show a page with buttons on 127.0.0.1, until Ctrl-C")
    parser.add_argument(
        "--svg", type=Path, metavar="FILE", help="draw the first rotation of the last strategy into a file"
    )
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main())
