"""Writes docs/errors.md from the errors, from docs/answers, and from what the program says; its head is by hand.

Run it after each change of one of these: `.local/python/bin/python -m tests.local.error_table`.

A section is made of the docstring of an error's class. Below it is a table for each engine, of what its server can
answer, and one of what the program finds itself. Answers with the same remedy are one row: they are one cause for who
has to do something about it.
"""

import ast
import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from rotation import errors
from rotation.errors import RotationError
from tests.local.messages import ERRORS, PACKAGE, SLOT, SOURCES, assigned, texts

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "errors.md"
MARK = "<!-- Below this line: .local/python/bin/python -m tests.local.error_table -->\n"

LABEL = re.compile(r"\n+(?=(?:Application|First): )")
CELL = re.compile(r"(?<!\\)\|")
TITLE = re.compile(r"# What (.+) answers?")
ANSWERS = ["what we make of it", "what the operator reads"]
"""The third and fourth heading of each table of answers."""
MOST_CODES = 12
"""How many codes one row lists; the page of the engine has them all."""

FEWEST_WORDS = 4
"""A cause of fewer words is what a server said."""
AS_SAID = "what the message says"
"""Stands for a remedy that depends on more than the source shows in one place."""


@dataclass(frozen=True)
class Answer:
    """A row of docs/answers."""

    engine: str
    page: str
    """The name of its file."""
    place: str
    """The heading above it."""
    code: str
    when: str
    error: str
    remedy: str


def main() -> None:
    """Rewrite the page."""
    PAGE.write_text(page(PAGE.read_text()))


def page(old: str) -> str:
    """Return the page with today's sections. Raises ValueError: nothing says where they begin."""
    head, mark, _ = old.partition(MARK)
    if not mark:
        raise ValueError(f"{PAGE} has no line {MARK}")
    sections = ("\n".join(_section(error)) for error in all_errors(RotationError))
    return f"{head}{mark}\n{'\n\n'.join(sections)}\n"


def all_errors(error: type[RotationError]) -> list[type[RotationError]]:
    """Return all errors of the program below one, each right after what it is below of."""
    own = [child for child in error.__subclasses__() if child.__module__ == errors.__name__]
    return [each for child in own for each in (child, *all_errors(child))]


def said_of(error: type[RotationError]) -> list[str]:
    """Return what an error says of itself: what it means, what becomes of the application, and what to do first."""
    return [" ".join(part.split()) for part in LABEL.split(inspect.getdoc(error) or "")]


def _section(error: type[RotationError]) -> Iterator[str]:
    meaning, application, first = said_of(error)
    yield f"## {error.__name__}\n"
    yield f"{meaning}\n"
    yield f"- **The application:** {application.removeprefix('Application: ')}"
    yield f"- **First:** {first.removeprefix('First: ')}"
    yield from _own_causes(error.__name__)
    for engine, name in engines().items():
        yield from _answers(error.__name__, engine, name)


def _own_causes(error: str) -> Iterator[str]:
    causes: dict[str, list[str]] = {}
    for _, cause, remedy in sorted(one for one in own_causes() if one[0] == error):
        causes[cause] = [*causes.get(cause, []), remedy]
    if causes:
        yield f"\n### {error}: the function itself\n"
        yield "| cause | what to do |"
        yield "| --- | --- |"
        yield from (f"| {_cell(cause)} | {_cell(' / '.join(dict.fromkeys(each)))} |" for cause, each in causes.items())


def _answers(error: str, engine: str, page_name: str) -> Iterator[str]:
    families: dict[str, list[Answer]] = {}
    for one in answers():
        if (one.error, one.engine) == (error, engine):
            families.setdefault(one.remedy, []).append(one)
    if families:
        yield f"\n### {error}: {engine}\n"
        yield f"Each code is in [answers/{page_name}](answers/{page_name}).\n"
        yield "| when | the server's code | what to do |"
        yield "| --- | --- | --- |"
        yield from (f"| {_whens(each)} | {_codes(each)} | {remedy} |" for remedy, each in families.items())


def _whens(family: list[Answer]) -> str:
    whens = [one.when for one in family]
    return "; ".join(dict.fromkeys(when for when in whens if not when.startswith("the same")))


def _codes(family: list[Answer]) -> str:
    codes = list(dict.fromkeys(one.code for one in family))
    return ", ".join([*codes[:MOST_CODES], *([f"{len(codes) - MOST_CODES} more"] if len(codes) > MOST_CODES else [])])


@cache
def engines() -> Mapping[str, str]:
    """Return the engines that have a page of answers, and the names of the files."""
    return {_engine(path): path.name for path in sorted((DOCS / "answers").glob("*.md"))}


def _engine(path: Path) -> str:
    title = TITLE.match(path.read_text())
    assert title, path
    return title[1]


@cache
def answers() -> tuple[Answer, ...]:
    """Return the rows of all tables of answers."""
    return tuple(row for engine, name in engines().items() for row in _rows(engine, name))


def _rows(engine: str, name: str) -> Iterator[Answer]:
    place, is_table = "", False
    for line in (DOCS / "answers" / name).read_text().splitlines():
        cells = [cell.strip() for cell in CELL.split(line.strip("|"))]
        if line.startswith("#"):
            place = line.lstrip("# ")
        is_table = line.startswith("|") and (is_table or cells[2:4] == ANSWERS)
        if is_table and cells[2] in ERRORS:
            yield Answer(engine, name, place, *cells[:4])


@cache
def own_causes() -> tuple[tuple[str, str, str], ...]:
    """Return the error, cause and remedy of each error that the source raises, and whose words it has at that place."""
    return tuple(cause for path in SOURCES for cause in _raised(ast.parse(path.read_text()), _constants(path)))


def _raised(tree: ast.Module, constants: Mapping[str, list[str]]) -> Iterator[tuple[str, str, str]]:
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef):
            continue
        for node in ast.walk(function):
            match node:
                case ast.Call(func=ast.Name(id=name), args=[_, cause, remedy]) if name in ERRORS:
                    before = _assignments(function, node.lineno)
                    yield from _said(name, _texts(cause, before, constants), _texts(remedy, before, constants))


def _assignments(function: ast.FunctionDef, line: int) -> list[ast.stmt]:
    """Return what a function assigns before a line."""
    found = (node for node in ast.walk(function) if isinstance(node, ast.Assign | ast.AnnAssign))
    return sorted((node for node in found if node.lineno < line), key=lambda node: node.lineno)


def _texts(node: ast.expr, before: list[ast.stmt], constants: Mapping[str, list[str]]) -> list[str]:
    """Return what an expression can say; nothing if the source does not show all of it."""
    known = {**constants, **assigned(ast.Module(before, []), constants)}
    if isinstance(node, ast.Name) and any(not assigned(one, constants).get(node.id) for one in _of(node.id, before)):
        return []
    return list(dict.fromkeys(texts(node, known)))


def _of(name: str, before: list[ast.stmt]) -> list[ast.stmt]:
    """Return the assignments of a name."""
    stored = ((one, node) for one in before for node in ast.walk(one) if isinstance(node, ast.Name))
    return [one for one, node in stored if node.id == name and isinstance(node.ctx, ast.Store)]


def _said(error: str, causes: list[str], remedies: list[str]) -> Iterator[tuple[str, str, str]]:
    """Yield the error if the source says enough of it: more than a place for what a server says."""
    is_known = all(one and not one.startswith(SLOT) for one in remedies) and 1 in {len(causes), len(remedies)}
    remedy = " / ".join(remedies) if remedies and is_known else AS_SAID
    for cause in causes:
        if len(re.findall(r"\w+", cause)) >= FEWEST_WORDS and not cause.startswith(f"{SLOT},"):
            yield error, cause, remedy


@cache
def _constants(path: Path) -> Mapping[str, list[str]]:
    """Return the constants that a module can name: its own, and those that it imports."""
    tree = ast.parse(path.read_text())
    imported: dict[str, list[str]] = {}
    for node in tree.body:
        match node:
            case ast.ImportFrom(module=str(module), names=names) if (source := _module(module)).exists():
                known = _constants(source)
                imported |= {one.name: known[one.name] for one in names if one.name in known}
    return {name: found for name, found in assigned(tree, imported).items() if name.isupper()}


def _module(name: str) -> Path:
    return PACKAGE.parent / f"{name.replace('.', '/')}.py"


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


if __name__ == "__main__":
    main()
