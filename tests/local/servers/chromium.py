"""Where do the tests of the page get a browser from, and how does one run without root, screen and network?

From Debian's package chromium-headless-shell: 173 MB with all it depends on, 550 MB unpacked. So only `make test-all`
and `--thorough` fetch it. It runs with the C library that came along, as all the unpacked programs do. Two things are
its own:

- It looks for its data beside the program that runs, which is the loader of the C library. So a copy of the loader is
  beside the data.
- It starts itself again for each page, and so would start the bare loader. It is given a script instead.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from tests.local.servers import debian_packages

PACKAGES = debian_packages.Packages(
    "chromium",
    "trixie",
    ("chromium-headless-shell",),
    remedy="look at the page of `make demo WEB=1` in a browser of your own",
)
_FOLDER = "usr/lib/chromium"
_PROGRAM = f"{_FOLDER}/chromium-headless-shell"
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--no-zygote", "--remote-debugging-pipe", "--hide-scrollbars", "--disable-lcd-text", "--no-proxy-server"),
)


@dataclass(frozen=True)
class Pipes:
    """A browser that runs, and obeys the DevTools protocol: messages end with a zero byte."""

    commands: IO[bytes]
    answers: IO[bytes]


@contextmanager
def running() -> Iterator[Pipes]:
    """Run a browser with a new profile until the block ends. Raises PackagesUnavailableError."""
    unpacked = debian_packages.unpack(PACKAGES)
    with tempfile.TemporaryDirectory(prefix="chromium-") as folder:
        script = _script(unpacked, Path(folder))
        command = [script, f"--browser-subprocess-path={script}", *_FLAGS, f"--user-data-dir={folder}/profile"]
        # The shell gives its own input and output the numbers that the browser wants, and becomes the browser.
        with subprocess.Popen(  # noqa: S603 - the words are ours
            ["/bin/sh", "-c", 'exec "$@" 3<&0 4>&1 </dev/null >/dev/null', "sh", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PATH": os.defpath, "HOME": folder, "LANG": "C.UTF-8"},
            bufsize=0,
        ) as process:
            try:
                yield Pipes(cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout))
            finally:
                process.kill()


def _script(unpacked: debian_packages.Unpacked, folder: Path) -> str:
    """Write the script that starts the browser with its loader, its libraries, and what it is told."""
    loader, _, libraries, *rest = unpacked.command(_PROGRAM)
    beside = unpacked.root / _FOLDER / "loader"
    if not beside.exists():
        copy = beside.with_name(f"loader-{os.getpid()}")
        shutil.copy(loader, copy)
        copy.rename(beside)  # several processes may do this at the same time
    sounds = ":".join(f"{library}/pulseaudio" for library in libraries.split(":"))
    script = folder / "chromium"
    words = [str(beside), "--library-path", f"{libraries}:{sounds}", *rest]
    script.write_text("#!/bin/sh\nexec " + " ".join(f"'{word}'" for word in words) + ' "$@"\n')
    script.chmod(0o700)
    return str(script)
