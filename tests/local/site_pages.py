"""How do pages that are written for GitHub become pages of the site? MkDocs calls `on_page_markdown` (mkdocs.yml).

Files of the top folder are pages, too: docs/ has a page in place of each, which names it. A link from one page to
another works in both worlds. A link to a file that is no page leads nowhere in the site, which has no repository
beside it: its text stays. A link to what does not exist stays, too, and MkDocs reports it.
"""

import os
import re
from pathlib import Path
from typing import Protocol

_DOCS = Path("docs")
_IN_PLACE_OF = re.compile(r"<!-- in the site: \.\./(\S+) -->")
_FENCE = re.compile(r"^ *```")
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\((?!\w+:|#)([^)\s#]+)(#[^)\s]*)?\)")


class File(Protocol):
    """Where a page comes from, as MkDocs says it."""

    @property
    def src_uri(self) -> str:
        """The path of the page in docs/."""


class Page(Protocol):
    """A page, as MkDocs hands it over."""

    @property
    def file(self) -> File:
        """Where it comes from."""


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Return what the site shows as this page."""
    place = _DOCS / page.file.src_uri
    named = _IN_PLACE_OF.search(markdown)
    source = Path(named[1]) if named else place
    return linked(source.read_text() if named else markdown, source, place)


def linked(markdown: str, source: Path, place: Path) -> str:
    """Return the text of a file with the links that it has at a place of the site."""

    def link(found: re.Match[str]) -> str:
        image, text, target, anchor = found.groups()
        path = Path(os.path.normpath(source.parent / target))
        if not path.exists():
            return found[0]
        wanted = page_of(path)
        if wanted is None:
            return str(text)
        return f"{image}[{text}]({os.path.relpath(wanted, place.parent)}{anchor or ''})"

    return "".join(part if _FENCE.match(part) else _LINK.sub(link, part) for part in _parts(markdown))


def page_of(path: Path) -> Path | None:
    """Return the file below docs/ that shows a file of the repository; None if the site does not show it."""
    if path.is_relative_to(_DOCS):
        return path if path.is_file() else None
    return in_place_of().get(path)


def in_place_of() -> dict[Path, Path]:
    """Return the page that stands for each file of the top folder."""
    pages = ((path, _IN_PLACE_OF.search(path.read_text())) for path in _DOCS.glob("*.md"))
    return {Path(named[1]): path for path, named in pages if named}


def _parts(markdown: str) -> list[str]:
    """Split a text into blocks of code, with their fences, and what is between them."""
    return re.split(r"(?ms)^( *```\w*$.*?^ *```$)", markdown)
