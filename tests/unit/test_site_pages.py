"""Do the pages that are written for GitHub read as well in the site?"""

import re
from pathlib import Path

import pytest

from tests.local.site_pages import linked, relaid


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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "1. Run:\n\n   ```sh\n   make\n     x\n\n   ```\n\nEnd.",
            "\n1. Run:\n\n    ```sh\n    make\n      x\n\n    ```\n\nEnd.",
        ),
        ("- One,\n  and more\n- Two", "\n- One,\n    and more\n- Two"),
        ("- One.\n\n  More.\n- Two", "\n- One.\n\n    More.\n\n- Two"),
        ("10. Ten\n\n    | a |\n    | - |", "\n10. Ten\n\n    | a |\n    | - |"),
        ("Text:\n- One", "Text:\n\n- One"),
        ("```sql mysql mariadb\n- not a list\n```", "```sql\n- not a list\n```"),
        ("Text\n\n    code\n    - code", "Text\n\n    code\n    - code"),
    ],
)
def test_a_list_is_one_for_the_site_too(text: str, expected: str) -> None:
    assert relaid(text) == f"{expected}\n"


def test_no_link_of_the_front_page_leads_out_of_the_site() -> None:
    source = Path("README.md")
    targets = re.findall(r"\]\((?!https:)([^)#]+)", linked(source.read_text(), source, Path("docs/index.md")))
    assert targets
    assert [target for target in targets if not (Path("docs") / target).is_file()] == []
