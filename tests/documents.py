"""What does a page of the documentation tell a reader to run, and what happens if it is run as it is written?

A page's code blocks are read out of it, with the heading they stand under. The first word of a fence is the language;
the words after it say on which engines it runs (`sql mysql mariadb`), and are not shown to readers. What is indented by
four columns, outside of a list, is a block without a language.

A `Terminal` runs `sh` blocks one after the other, as a reader pastes them into one shell: variables that a block sets
are there in the next one, also the folder's files. `aws` and `make` are those of `tests.local.forked_commands`.
"""

import re
import subprocess
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^`\n]*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?<=\n\n)(?: {4}.*\n+)+")
_LIST = re.compile(r"(?:[-*]|\d+\.) ")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def anchor(heading: str) -> str:
    """The name that a Markdown viewer gives to a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def anchors(document: Path) -> set[str]:
    """The names that a Markdown viewer gives to headings."""
    return {anchor(heading) for heading in _HEADING.findall(document.read_text())}


@dataclass(frozen=True)
class Block:
    """A code block of a page."""

    section: str
    """The anchor of the last heading above it."""
    line: int
    language: str
    engines: frozenset[str]
    """The engines that the block is for; none: it is for all."""
    text: str

    def __str__(self) -> str:
        return f"{self.section}, line {self.line}: {self.text.splitlines()[0]}"


def blocks(page: Path) -> list[Block]:
    """Return the page's blocks in their order."""
    text = page.read_text()
    return sorted([*_fenced(text), *_indented(text)], key=lambda block: block.line)


def _fenced(text: str) -> Iterator[Block]:
    for match in _FENCE.finditer(text):
        language, *engines = match["info"].split() or [""]
        plain = re.sub(rf"^{match['indent']}", "", match["text"], flags=re.MULTILINE)
        yield _block(text[: match.start()], language, engines, plain)


def _indented(text: str) -> Iterator[Block]:
    prose = _FENCE.sub(lambda fence: "\n" * fence[0].count("\n"), text)
    for match in _INDENTED.finditer(prose):
        above = prose[: match.start()]
        paragraphs = re.findall(r"(?<=\n\n)\S.*", above)
        if not (paragraphs and _LIST.match(paragraphs[-1])):
            yield _block(above, "", [], textwrap.dedent(match[0]))


def _block(above: str, language: str, engines: Sequence[str], text: str) -> Block:
    # A line of a block can look like a heading: `# a comment`.
    headings = _HEADING.findall(_FENCE.sub("", above))
    section = anchor(headings[-1]) if headings else ""
    return Block(section, above.count("\n") + 1, language, frozenset(engines), text.rstrip("\n"))


@dataclass
class Terminal:
    """A reader's shell, in a folder of its own."""

    folder: Path
    environment: Mapping[str, str]
    """PATH among others; what a block exports or sets comes on top, and stays."""
    replacing: Mapping[str, str] = field(default_factory=dict)
    """What a reader writes instead of the page's examples."""

    def run(self, text: str, *, answers: str = "", expecting: int = 0) -> str:
        """Run lines of `sh` and return what they print. Each must succeed, the last one end with the expected code.

        answers: what the reader types if a command asks.
        """
        state = self.folder / ".state"
        remembered = f". {state}; " if state.exists() else ""
        script = f"{remembered}set -eua; trap 'export -p > {state}' EXIT\n{self.replaced(text)}\n"
        done = subprocess.run(  # noqa: S603 - the page's own words
            ["/bin/sh", "-c", script],
            cwd=self.folder,
            env=self.environment,
            input=answers,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == expecting, f"{text}\nended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done.stdout

    def replaced(self, text: str) -> str:
        """Return the text with the reader's own names in it."""
        for example, own in self.replacing.items():
            text = text.replace(example, own)
        return text
