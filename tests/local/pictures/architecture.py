"""Who talks to whom in a rotation? Boxes and arrows, listed here as text; `picture` draws them."""

from collections.abc import Iterator
from dataclasses import dataclass

from tests.local.pictures.look import WIDTH, box, drawing, text

_LINE = 16
TITLE = "What happens between Secrets Manager, the function and the database"


@dataclass(frozen=True)
class Box:
    """A box with lines of text; the first one is its name."""

    x: float
    y: float
    width: float
    height: float
    color: str
    lines: tuple[str, ...]
    inside: tuple[str, ...] = ()
    """What is in it, each in a box of its own."""


@dataclass(frozen=True)
class Arrow:
    """Along a path, with lines of text beside it."""

    path: str
    lines: tuple[str, ...]
    x: float
    y: float
    """Where the first line of text is."""
    anchor: str = "middle"


BOXES = (
    Box(
        16,
        96,
        176,
        150,
        "pale s-blue",
        ("Secrets Manager", "one secret, several versions"),
        ("AWSCURRENT: in use", "AWSPENDING: next"),
    ),
    Box(
        350,
        96,
        168,
        150,
        "sand s-orange",
        ("Lambda function", "one for each engine"),
        ("app.py, the client", "layer: steps, drivers"),
    ),
    Box(598, 132, 86, 78, "mint s-green", ("database",)),
    Box(350, 296, 168, 36, "pale s-blue", ("admin secret",)),
    Box(16, 296, 176, 36, "ground s-edge", ("the application",)),
    Box(16, 16, 176, 36, "ground s-edge", ("by hand, or on schedule",)),
)
ARROWS = (
    Arrow("M104 52V92", ("RotateSecret",), 112, 76, "start"),
    Arrow("M192 150H346", ("1 createSecret", "2 setSecret", "3 testSecret", "4 finishSecret"), 270, 92),
    Arrow("M350 190H196", ("reads and writes", "versions, moves", "AWSCURRENT"), 272, 208),
    Arrow("M518 171H594", ("logs in,", "changes the", "password"), 556, 134),
    Arrow("M434 246V292", ("reads, if an admin is needed",), 442, 274, "start"),
    Arrow("M104 296V250", ("reads AWSCURRENT",), 112, 276, "start"),
    Arrow("M104 332V356H641V214", ("logs in",), 634, 350, "end"),
)


def picture() -> str:
    """Return the SVG."""
    marker = (
        '<marker id="end" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" orient="auto">'
        '<path class="f-quiet" d="M0 0 10 5 0 10z"/></marker>'
    )
    drawn = [one for each in BOXES for one in _box(each)] + [one for each in ARROWS for one in _arrow(each)]
    return drawing(WIDTH, 372, TITLE, [marker, *drawn])


def _box(shown: Box) -> Iterator[str]:
    yield box(shown.x, shown.y, shown.width, shown.height, f"f-{shown.color}", 'rx="6"')
    middle, top = shown.x + shown.width / 2, shown.y + 22
    if not shown.inside:
        top = shown.y + shown.height / 2 + 4
    for number, said in enumerate(shown.lines):
        bold = "" if number else ' font-weight="700"'
        yield text(middle, top + number * _LINE, said, more=f'text-anchor="middle"{bold}')
    for number, said in enumerate(shown.inside):
        yield box(shown.x + 12, shown.y + 54 + number * 44, shown.width - 24, 34, "f-ground s-edge", 'rx="4"')
        yield text(middle, shown.y + 76 + number * 44, said, more='text-anchor="middle"')


def _arrow(shown: Arrow) -> Iterator[str]:
    yield f'<path class="s-quiet" d="{shown.path}" fill="none" stroke-width="1.5" marker-end="url(#end)"/>'
    for number, said in enumerate(shown.lines):
        yield text(shown.x, shown.y + number * 15, said, more=f'text-anchor="{shown.anchor}" font-size="11.5"')
