"""How do pages that are written for GitHub become pages of the site? MkDocs calls `on_page_markdown` (mkdocs.yml).

Files of the top folder are pages, too: docs/ has a page in place of each, which names it. A link from one page to
another works in both worlds. A link to a file that is no page leads nowhere in the site, which has no repository
beside it: its text stays. A link to what does not exist stays, too, and MkDocs reports it.

GitHub reads CommonMark, MkDocs reads Python-Markdown. Two of the differences matter here: what is inside of a list item
is indented by four spaces there, and a block of code names its language and nothing else.

GitHub draws a graph of Mermaid; the site would load what draws it from elsewhere. A page says in text what its graph
shows, so the site leaves the graph out.
"""

import os
import re
from pathlib import Path
from typing import Protocol

_DOCS = Path("docs")
_IN_PLACE_OF = re.compile(r"<!-- in the site: \.\./(\S+) -->")
_FENCE = re.compile(r"^( *)```(\w*)")
_GRAPH = re.compile(r"^```mermaid\n.*?^```\n+", re.MULTILINE | re.DOTALL)
_ITEM = re.compile(r"(?:-|\d+\.) +")
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
    text = source.read_text() if named else markdown
    return linked(relaid(_GRAPH.sub("", text)), source, place)


def relaid(markdown: str) -> str:
    """Return a text of CommonMark as Python-Markdown wants it: see above. It is for lists of one level."""
    laid = _Layout()
    return "".join(f"{line}\n" for each in markdown.splitlines() for line in laid.line(each))


class _Layout:
    """Where a line is: in a list item, in a block of code, or in neither."""

    def __init__(self) -> None:
        self._item: int | None = None  # how far the text of the item is indented
        self._code: int | None = None  # how far the block is indented
        self._after_blank = True

    def line(self, line: str) -> list[str]:
        """Return the lines in place of one."""
        fence = _FENCE.match(line)
        if self._code is not None or fence:
            return [self._of_code(line, fence)]
        if item := _ITEM.match(line):
            blank = [] if self._item is not None and not self._after_blank else [""]
            self._item, self._after_blank = item.end(), False
            return [*blank, line]
        self._after_blank = self._after_blank or not line
        return [self._of_text(line)]

    def _of_code(self, line: str, fence: re.Match[str] | None) -> str:
        if self._code is None and fence:
            self._code = len(fence[1])
            self._leave_item(self._code)
            return self._indentation + f"```{fence[2]}"
        indented, self._code = self._code or 0, None if fence else self._code
        return self._indentation + line[min(indented, len(line) - len(line.lstrip())) :] if line else line

    def _of_text(self, line: str) -> str:
        if not line:
            return line
        indented = len(line) - len(line.lstrip())
        self._leave_item(indented)
        if self._item is None:
            return line
        return self._indentation + (line.lstrip() if indented <= len(self._indentation) else line[self._item :])

    def _leave_item(self, indented: int) -> None:
        if self._item is not None and indented < self._item:
            self._item = None

    @property
    def _indentation(self) -> str:
        return "" if self._item is None else "    "


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
