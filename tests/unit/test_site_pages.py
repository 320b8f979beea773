"""Do the pages that are written for GitHub read as well in the site?"""

import re
from pathlib import Path

import pytest

from tests.local.site_pages import linked


@pytest.fixture(autouse=True)
def in_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    """MkDocs runs there."""
    monkeypatch.chdir(Path(__file__).parents[2])


@pytest.mark.parametrize(
    ("source", "place", "text", "expected"),
    [
        ("README.md", "docs/index.md", "[a](docs/cost.md#b)", "[a](cost.md#b)"),
        ("README.md", "docs/index.md", "![a\nb](docs/pictures/demo.svg)", "![a\nb](pictures/demo.svg)"),
        ("docs/engines/db2.md", "docs/engines/db2.md", "[a](../../SECURITY.md)", "[a](../security.md)"),
        (
            "docs/cost.md",
            "docs/cost.md",
            "[`steps.py`](../layers/common/rotation/steps.py) and more",
            "`steps.py` and more",
        ),
        ("docs/cost.md", "docs/cost.md", "[all](engines)", "all"),
        ("docs/cost.md", "docs/cost.md", "[a](not-there.md)", "[a](not-there.md)"),
        (
            "docs/cost.md",
            "docs/cost.md",
            "[a](https://aws.amazon.com/x) [b](#c)",
            "[a](https://aws.amazon.com/x) [b](#c)",
        ),
        ("docs/cost.md", "docs/cost.md", "```sh\n[a](../Makefile)\n```\n", "```sh\n[a](../Makefile)\n```\n"),
    ],
)
def test_a_link_leads_to_a_page_or_its_text_stays(source: str, place: str, text: str, expected: str) -> None:
    assert linked(text, Path(source), Path(place)) == expected


def test_no_link_of_the_front_page_leads_out_of_the_site() -> None:
    source = Path("README.md")
    targets = re.findall(r"\]\((?!https:)([^)#]+)", linked(source.read_text(), source, Path("docs/index.md")))
    assert targets
    assert [target for target in targets if not (Path("docs") / target).is_file()] == []
