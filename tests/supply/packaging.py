"""A folder as `make package` makes it, from what was built for the tests."""

import json
import subprocess
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

_CHECKOUT = Path(__file__).parents[2]
_BUILD = _CHECKOUT / ".local/build"
_PYTHON = _CHECKOUT / ".local/sam/bin/python"


@dataclass(frozen=True)
class Package:
    """A packaged template, and the zip files beside it."""

    folder: Path
    said: str
    """What the program printed."""

    @property
    def template(self) -> Path:
        """The plain template."""
        return self.folder / "template.json"

    def read(self) -> dict[str, Any]:
        """Return the plain template's content."""
        content: dict[str, Any] = json.loads(self.template.read_text())
        return content

    @classmethod
    def of_the_build(cls, scratch: Path, *, without: Collection[str]) -> Self:
        """Package what was built; the artifacts that are left out have one small file in their place."""
        build = scratch / "build"
        build.mkdir()
        for part in _BUILD.iterdir():
            if part.name in without:
                (build / part.name).mkdir()
                (build / part.name / "app.py").write_text(f"# {part.name}\n")
            else:
                (build / part.name).symlink_to(part)
        return cls.of(build, scratch / "package")

    @classmethod
    def of(cls, build: Path, into: Path) -> Self:
        """Package a build. Raises CalledProcessError."""
        command: list[str | Path] = [_PYTHON, "-m", "supply.package", build, into]
        done = subprocess.run(command, cwd=_CHECKOUT, capture_output=True, text=True, check=True)  # noqa: S603 - the words are ours
        return cls(into, done.stdout)


def artifacts() -> set[str]:
    """Return the name of each artifact that was built."""
    return {part.name for part in _BUILD.iterdir() if part.is_dir()}
