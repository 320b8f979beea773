"""Draw the picture of the page: a rotation of a single user, and one whose function is killed.

`python -m tests.local.demo.web.picture FILE`, after `make demo`. The browser is fetched for it.
"""

import sys
from pathlib import Path

from tests.local.browser import Browser
from tests.local.demo.engines import ENGINES, fetch_server
from tests.local.demo.screen import Screen
from tests.local.demo.web.png import packed
from tests.local.demo.web.server import serving
from tests.local.demo.web.stage import Stage

_WIDTH, _HEIGHT = 960, 900
_ACCEPTED_LAST, _REFUSED_LAST = (
    f"Math.max(...document.querySelector('#drawing .{result}').getAttribute('d').match(/(?<=M)[0-9.]+/g).map(Number))"
    for result in ("accepted", "refused")
)
"""Where on the time line the last login is that was accepted, and that was refused."""
_SUCCEEDED = "[...document.querySelectorAll('#log p')].filter(line => line.textContent.includes('succeeded')).length"


def main() -> None:
    """Show the page of PostgreSQL, press, wait, and write what the browser shows."""
    fetch_server("postgresql")
    with (
        Stage.open(Screen.on(sys.stdout), ENGINES["postgresql"]) as stage,
        serving(stage) as address,
        Browser.start() as browser,
    ):
        browser.look(_WIDTH, _HEIGHT)
        browser.open(address)
        for number, button in enumerate(["rotate", "kill"], 1):
            browser.until("document.body.dataset.busy === 'false'")
            browser.evaluate(f"document.querySelector('[data-press={button}]').click()")
            browser.until(f"{_SUCCEEDED} === {number}")
        browser.until("/AWSCURRENT, AWSPENDING\\w+✔/.test(document.querySelector('#version-rows').textContent)")
        browser.until(f"{_REFUSED_LAST} < {_ACCEPTED_LAST} - 40")
        Path(sys.argv[1]).write_bytes(packed(browser.picture()))


if __name__ == "__main__":
    main()
