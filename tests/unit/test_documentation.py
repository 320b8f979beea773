"""Does the documentation name what is there?"""

import re
from pathlib import Path

import pytest

from tests.documents import anchors

CHECKOUT = Path(__file__).parents[2]
MODULES = sorted((CHECKOUT / "tests").rglob("*.py"))
TESTS = "".join(path.read_text() for path in MODULES)
THREAT_MODEL = CHECKOUT / "docs/threat-model.md"
WHAT_HAPPENS_IF = CHECKOUT / "docs/what-happens-if.md"
COMMAND = re.compile(r"`make test PYTEST_ARGS=\"-k (\w+|'\w+(?: or \w+)+')\"`")
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
