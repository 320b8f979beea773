"""Do the pictures say what the runs said, and can they be read on a light page and on a dark one?"""

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.faults.table import HEALED, Cell
from tests.local.pictures import architecture, crash_points, timeline
from tests.local.pictures.look import DARK, LIGHT
from tests.local.pictures.timeline import Attempt, Span, Watched

FOLDER = Path(__file__).parents[2] / "docs/pictures"
SVG = "{http://www.w3.org/2000/svg}"
STEPS = [
    Span("createSecret", 0.0, 0.1),
    Span("setSecret", 0.1, 0.3),
    Span("testSecret", 0.3, 0.4),
    Span("finishSecret", 0.4, 0.5),
]
SEEN = Watched(
    "Single user",
    STEPS,
    fresh=[
        Attempt(-0.1, -0.09),
        Attempt(0.25, 0.26, refused=True),
        Attempt(0.35, 0.36, refused=True),
        Attempt(0.5, 0.51),
    ],
    caching=[Attempt(-0.1, -0.09), Attempt(0.3, 0.31, refused=True), Attempt(9.0, 9.1, refused=True)],
)
CELL = Cell(
    server="mysql-9",
    strategy="single-user",
    through_admin=False,
    rotation="first",
    disturbance="cut off",
    healing="same token",
    place="AWS 1.1",
    outcome=HEALED,
)


def texts(drawn: str) -> list[str]:
    """Return the texts of an SVG."""
    return [element.text or "" for element in ET.fromstring(drawn).iter(f"{SVG}text")]  # noqa: S314 - ours


def places(drawn: str, classes: str) -> list[float]:
    """Return where the boxes of these classes begin."""
    return [float(box.attrib["x"]) for box in ET.fromstring(drawn).iter(f"{SVG}rect") if box.attrib["class"] == classes]  # noqa: S314 - ours


def test_a_gap_is_from_the_first_refused_login_to_the_next_that_succeeds() -> None:
    assert SEEN.gap() == Span("gap", 0.25, 0.5)
    assert replace(SEEN, fresh=SEEN.fresh[:1]).gap() is None
    assert {"gap: 250 ms", "2 of 4 refused", "2 of 3 refused"} <= set(texts(timeline.picture("x", [SEEN])))


def test_refused_logins_are_where_the_gap_is() -> None:
    drawn = timeline.picture("x", [SEEN.around(0.25)])
    [gap] = places(drawn, "f-sand")
    _in_the_legend, *refused = places(drawn, "f-red")
    assert [x >= gap for x in refused] == [True, True, True]
    assert "1 of 2 refused" in texts(drawn)  # the login of seconds later is left out


def test_a_message_after_which_it_did_not_recover_is_red() -> None:
    bad = replace(CELL, place="database 1.2 x", outcome="AWSPREVIOUS does not log in")
    drawn = crash_points.picture([CELL, bad], "1 May 2026")
    assert "1 of 2 disturbed rotations did, in a run of 1 May 2026." in texts(drawn)
    assert len(places(drawn, "f-red")) == 1 + 1
    assert len(places(drawn, "f-green")) == 2 + 1


def test_the_architecture_is_as_it_is_drawn() -> None:
    assert (FOLDER / "architecture.svg").read_text() == architecture.picture(), "run make pictures"


@pytest.mark.parametrize(
    "name", ["architecture", "crash-points", "dashboard", "rotations-mysql", "rotations-postgresql"]
)
def test_a_picture_has_a_title_and_fits_on_a_page_and_has_colours_for_the_dark(name: str) -> None:
    text = (FOLDER / f"{name}.svg").read_text()
    root = ET.fromstring(text)  # noqa: S314 - ours
    assert root.find(f"{SVG}title") is not None
    assert float(root.attrib["width"]) <= 720
    assert "prefers-color-scheme: dark" in text
    assert min(map(float, re.findall(r'font-size="([\d.]+)"', text))) >= 11


@pytest.mark.parametrize("colors", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("ink", ["ink", "quiet", "red"])
def test_texts_stand_out_from_the_ground(colors: dict[str, str], ink: str) -> None:
    """4.5 is what WCAG's level AA asks for."""
    assert contrast(colors[ink], colors["ground"]) >= 4.5


def contrast(one: str, other: str) -> float:
    """Return the ratio of the luminances of two colours, as WCAG has it."""
    dark, light = sorted([luminance(one), luminance(other)])
    return (light + 0.05) / (dark + 0.05)


def luminance(color: str) -> float:
    """Return how light a colour is, from 0 to 1."""
    parts = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
