"""Does the documentation name what is there?"""

import re
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
TESTS = "".join(path.read_text() for path in (CHECKOUT / "tests").rglob("test_*.py"))
THREAT_MODEL = CHECKOUT / "docs/threat-model.md"
DOCUMENTS = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(test_\w+)`", THREAT_MODEL.read_text()))))
def test_each_test_that_the_threat_model_names_is_there(name: str) -> None:
    assert f"def {name}(" in TESTS


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document: Path) -> None:
    text = document.read_text()
    for target, _, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(#?)([^)]*)\)", text):
        linked = (document.parent / target).resolve() if target else document
        assert linked.exists(), target
        if anchor:
            assert anchor in anchors(linked)


def anchors(document: Path) -> set[str]:
    """The names that a Markdown viewer gives to headings."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
