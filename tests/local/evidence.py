"""What has a test run written, and which of its passwords must be nowhere in that? Kept for who asks for it.

Servers, functions and Secrets Managers run in several processes. Where the environment names a folder, each of them
adds to it; where it does not, as when somebody watches the demo, nothing is kept.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = "EVIDENCE_FOLDER"
"""The variable of the environment."""


@dataclass(frozen=True)
class Text:
    """Something that was written."""

    name: str
    """By whom, in words for people."""
    text: str


def keep_text(name: str, text: str) -> None:
    """Keep what was written."""
    if text.strip():
        _append("texts", [name, text])


def keep_password(secret: str) -> None:
    """Keep the password in a secret's JSON, if there is one: a function has generated it."""
    try:
        password = json.loads(secret)["password"]
    except (ValueError, TypeError, LookupError):
        return
    _append("passwords", password)


def texts(folder: Path) -> Iterator[Text]:
    """Yield what was written."""
    for name, text in _read(folder, "texts"):
        yield Text(name, text)


def passwords(folder: Path) -> set[str]:
    """Return what was generated."""
    return {password for password in _read(folder, "passwords") if isinstance(password, str) and password}


def _append(kind: str, value: object) -> None:
    if folder := os.environ.get(FOLDER):
        path = Path(folder) / f"{kind}-{os.getpid()}"
        path.touch(mode=0o600)
        with path.open("a") as file:
            file.write(json.dumps(value) + "\n")


def _read(folder: Path, kind: str) -> Iterator[Any]:
    for path in sorted(folder.glob(f"{kind}-*")):
        with path.open() as file:
            yield from map(json.loads, file)
