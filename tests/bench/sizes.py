"""How large is what is deployed?"""

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

from tests.bench.handlers import Handler

_MEGABYTE = 1024 * 1024


@dataclass(frozen=True)
class Size:
    """The megabytes of a handler and its layers: as files, and as the zip files that are uploaded."""

    files: float
    zipped: float


def measure(handler: Handler) -> Size:
    """Zip all, in memory."""
    folders = (handler.function.directory, *handler.function.layers)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        files = [(folder, path) for folder in folders for path in _files(folder)]
        for folder, path in files:
            archive.write(path, f"{folder.name}/{path.relative_to(folder)}")
    total = sum(path.stat().st_size for _, path in files)
    return Size(total / _MEGABYTE, buffer.getbuffer().nbytes / _MEGABYTE)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
