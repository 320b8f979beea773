"""Does the documentation name what is there, and is it found?"""

import re
import subprocess
from pathlib import Path

import pytest

from tests.documents import anchors

CHECKOUT = Path(__file__).parents[2]
MODULES = sorted((CHECKOUT / "tests").rglob("*.py"))
TESTS = "".join(path.read_text() for path in MODULES)
THREAT_MODEL = CHECKOUT / "docs/threat-model.md"
WHAT_HAPPENS_IF = CHECKOUT / "docs/what-happens-if.md"
COMMAND = re.compile(r"`make test PYTEST_ARGS=\"-k (\w+|'\w+(?: or \w+)+')\"`")
PICTURES = sorted((CHECKOUT / "docs/pictures").glob("*.svg"))
DOCUMENTS = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(test_\w+)`", THREAT_MODEL.read_text()))))
def test_each_test_that_the_threat_model_names_is_there(name: str) -> None:
    assert f"def {name}(" in TESTS


def test_each_command_that_shows_what_happens_finds_its_tests() -> None:
    text = WHAT_HAPPENS_IF.read_text()
    commands = COMMAND.findall(text)
    assert len(commands) == text.count("make test PYTEST_ARGS")
    names = {name for command in commands for name in command.strip("'").split(" or ")}
    # What -k searches; to have pytest collect all tests for this would take ten seconds.
    found = re.findall(r"def (test_\w+)\(", TESTS) + [path.name for path in MODULES if path.name.startswith("test_")]
    assert {name for name in names if not any(name in other for other in found)} == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_every_link_leads_somewhere(document: Path) -> None:
    text = document.read_text()
    for target, _, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(#?)([^)]*)\)", text):
        linked = (document.parent / target).resolve() if target else document
        assert linked.exists(), target
        if anchor:
            assert anchor in anchors(linked)


def test_the_front_page_is_short() -> None:
    assert len((CHECKOUT / "README.md").read_text().splitlines()) <= 180


def test_each_page_is_once_in_the_navigation_of_the_site() -> None:
    _, nav = (CHECKOUT / "mkdocs.yml").read_text().split("\nnav:\n")
    pages = [str(page.relative_to(CHECKOUT / "docs")) for page in DOCUMENTS[1:]]
    assert sorted(re.findall(r"^ *- (\S+\.md)$", nav, re.MULTILINE)) == sorted(pages)


def test_the_site_can_be_built(tmp_path: Path) -> None:
    """If not, the output says which link or page is wrong; `make docs` shows it, too."""
    mkdocs = [str(CHECKOUT / ".local/docs/bin/python"), "-m", "mkdocs", "build", "--site-dir", str(tmp_path)]
    built = subprocess.run(  # noqa: S603 - the words are ours
        mkdocs, cwd=CHECKOUT, env={"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stdout + built.stderr
    front = (tmp_path / "index.html").read_text()
    assert 'src="pictures/demo.svg"' in front
    assert 'href="contributing.html"' in front
    assert "flowchart" not in (tmp_path / "runbook.html").read_text(), "nothing in the site draws it"


@pytest.mark.parametrize("picture", PICTURES, ids=lambda path: path.name)
def test_a_picture_loads_nothing_and_names_no_machine(picture: Path) -> None:
    text = picture.read_text()
    assert set(re.findall(r"https?://[\w.]+", text)) <= {"http://www.w3.org", "https://www.textualize.io"}
    assert re.findall(r"@import|url\((?!#)|/(?:home|root|tmp|work)/", text) == []
