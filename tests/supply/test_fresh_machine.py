"""Does a machine without Python 3.13 get one by itself?

The download is a stand-in: uv is real, and what it downloads is a file of ours that starts the Python of the tests.
"""

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest

_CHECKOUT = Path(__file__).parents[2]
_VERSION = "3.13.99"
_TOOLS = ("sh", "cat", "dirname", "env", "head", "mkdir", "rm", "tail", "tr")
# Where the script looks, besides PATH and the home folder: this machine may have a Python 3.13 there.
_SYSTEM_FOLDERS = "/usr/local /opt/homebrew /opt/python/3.13*"


def _executable(path: Path, lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{lines}\n")
    path.chmod(0o755)
    return path


@dataclass(frozen=True)
class FreshMachine:
    """A copy of the scripts, and a PATH without Python 3.13."""

    root: Path
    settings: dict[str, str] = field(default_factory=dict)

    def find_python(self) -> subprocess.CompletedProcess[str]:
        """Do what `make` does before it makes an environment."""
        home = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "XDG_CONFIG"))}
        return subprocess.run(  # noqa: S603 - the words are ours
            [self.root / "tests/local/find-python.sh"],
            env={**home, "HOME": str(self.root / "home"), "PATH": str(self.root / "bin"), **self.settings},
            capture_output=True,
            text=True,
            check=False,
        )

    def with_another_python(self) -> None:
        """Put a Python 3 on PATH that has pip, and does not say that it is a 3.13."""
        _executable(self.root / "bin/python3", f'[ "$1" = -c ] && exit 1\nexec {sys.executable} "$@"')


@pytest.fixture
def machine(tmp_path: Path) -> FreshMachine:
    for name in ("find-python.sh", "get-python.sh"):
        text = (_CHECKOUT / "tests/local" / name).read_text()
        copy = tmp_path / "tests/local" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(text.replace(_SYSTEM_FOLDERS, ""))
        copy.chmod(0o755)
    requirements = tmp_path / "tests/requirements/uv.txt"
    requirements.parent.mkdir()
    shutil.copy(_CHECKOUT / "tests/requirements/uv.txt", requirements)
    for tool in _TOOLS:
        _executable(tmp_path / "bin" / tool, f'exec {shutil.which(tool)} "$@"')
    return FreshMachine(tmp_path)


def _offer_download(machine: FreshMachine, *, digest: str | None = None) -> None:
    """Stand in for the builds of Python that uv's authors publish."""
    folder = machine.root / "download/python"
    _executable(folder / "bin/python3.13", f'exec {Path(sys.executable).resolve()} "$@"')
    settings = folder / "lib/python3.13/_sysconfigdata__linux_.py"  # uv writes the folder's place into it
    settings.parent.mkdir(parents=True)
    settings.write_text("# system configuration generated and used by the sysconfig module\nbuild_time_vars = {}\n")
    archive = machine.root / "python.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        file.add(folder, "python")
    known = {
        "name": "cpython",
        "arch": {"family": platform.machine(), "variant": None},
        "os": "linux",
        "libc": "gnu" if platform.libc_ver()[0] == "glibc" else "musl",
        **dict(zip(("major", "minor", "patch"), map(int, _VERSION.split(".")), strict=True)),
        "prerelease": "",
        "url": archive.as_uri(),
        "sha256": digest or hashlib.sha256(archive.read_bytes()).hexdigest(),
        "variant": None,
        "build": "20260101",
    }
    listed = machine.root / "downloads.json"
    listed.write_text(json.dumps({f"cpython-{_VERSION}": known}))
    machine.settings["UV_PYTHON_DOWNLOADS_JSON_URL"] = listed.as_uri()


def test_gets_a_python_by_itself_and_says_so(machine: FreshMachine) -> None:
    machine.with_another_python()
    _offer_download(machine)
    found = machine.find_python()
    assert found.returncode == 0, found.stderr
    assert Path(found.stdout.strip()).exists()
    assert "Installing one into .local/cpython, once" in found.stderr
    assert sorted(path.name for path in (machine.root / ".local").iterdir()) == ["cpython"]
    assert not (machine.root / "home/.local").exists()

    again = machine.find_python()
    assert (again.stdout, again.stderr) == (found.stdout, "")


def test_refuses_a_download_that_is_not_the_one_that_uv_knows(machine: FreshMachine) -> None:
    machine.with_another_python()
    _offer_download(machine, digest="0" * 64)
    found = machine.find_python()
    assert (found.returncode, found.stdout) == (1, "")
    assert "Hash mismatch" in found.stderr
    assert "set UV_PYTHON_INSTALL_MIRROR" in found.stderr
    assert "make PYTHON=/path/to/python3.13" in found.stderr


def test_says_what_to_install_where_there_is_no_python(machine: FreshMachine) -> None:
    found = machine.find_python()
    assert (found.returncode, found.stdout) == (1, "")
    assert "neither uv is on PATH, nor a Python 3" in found.stderr
    assert "sudo apt install python3.13" in found.stderr
