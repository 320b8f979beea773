"""Do the files that take care of the project say what they should?"""

import re
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

CHECKOUT = Path(__file__).parents[2]
GITHUB = CHECKOUT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
REQUIREMENTS = sorted(
    {
        f"/{path.parent.relative_to(CHECKOUT)}"
        for path in CHECKOUT.glob("*/**/*.txt")
        if "--hash=" in path.read_text() and ".local" not in path.parts and ".aws-sam" not in path.parts
    }
)


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_pins_each_action_by_its_commit(workflow: Path) -> None:
    """A tag can be moved to other code."""
    actions = re.findall(r"uses: (.+)", workflow.read_text())
    assert actions
    assert [action for action in actions if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v[\d.]+", action)] == []


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_can_read_the_code_and_nothing_else(workflow: Path) -> None:
    content = yaml.safe_load(workflow.read_text())
    assert content["permissions"] == {"contents": "read"}
    assert not [name for name, job in content["jobs"].items() if "permissions" in job]
    assert workflow.read_text().count("persist-credentials: false") == workflow.read_text().count("actions/checkout@")


@pytest.mark.parametrize("folder", REQUIREMENTS)
def test_dependabot_checks_each_folder_of_requirements(folder: str) -> None:
    updates = yaml.safe_load((GITHUB / "dependabot.yml").read_text())["updates"]
    checked = [pattern for update in updates for pattern in update.get("directories", [])]
    assert any(fnmatch(folder, pattern) for pattern in checked)


DECISIONS = sorted(path for path in (CHECKOUT / "docs/decisions").glob("*.md") if path.name != "index.md")


@pytest.mark.parametrize("decision", DECISIONS, ids=lambda path: path.stem)
def test_a_decision_has_the_same_parts_as_all_others_and_is_listed(decision: Path) -> None:
    parts = ["Context", "Decision", "Consequences", "What would make us change it"]
    assert re.findall(r"^## (.+)$", decision.read_text(), re.MULTILINE) == parts
    assert f"]({decision.name})" in (decision.parent / "index.md").read_text()


def test_the_glossary_explains_at_most_25_words_in_one_sentence_each() -> None:
    rows = re.findall(r"^\| (?!word |---)(.+?) \| (.+) \|$", (CHECKOUT / "docs/glossary.md").read_text(), re.MULTILINE)
    assert 0 < len(rows) <= 25
    assert [word for word, meaning in rows if not re.fullmatch(r"[^.]+(\.md[^.]+)*\.", meaning)] == []
