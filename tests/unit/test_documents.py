"""Are a page's commands read and run as a reader would?"""

import os
from pathlib import Path

import pytest

from tests.documents import Terminal, blocks

PAGE = """# A page

```sh
# no heading
echo one
```

## A leak: rotate

1. A step:

   ```sql mysql mariadb
   DROP USER orders
   ```
"""


def test_a_block_knows_its_heading_its_line_and_its_engines(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    first, second = blocks(page)
    assert (first.section, first.line, first.language, first.text) == ("a-page", 3, "sh", "# no heading\necho one")
    assert (second.section, second.line, second.text) == ("a-leak-rotate", 12, "DROP USER orders")
    assert second.engines == {"mysql", "mariadb"}


def test_what_is_indented_outside_of_a_list_is_a_block(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A page\n\n    make demo\n\n    make test\n\nText.\n\n1. A step:\n\n    goes on here\n")
    [block] = blocks(page)
    assert (block.section, block.line, block.language, block.text) == ("a-page", 3, "", "make demo\n\nmake test")


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    """A shell."""
    return Terminal(tmp_path, os.environ, {"orders": "bills"})


def test_a_variable_is_there_in_the_next_block(terminal: Terminal) -> None:
    terminal.run("secret='two words'")
    assert terminal.run('echo "$secret of orders"') == "two words of bills\n"


def test_a_command_that_fails_is_not_passed_over(terminal: Terminal) -> None:
    with pytest.raises(AssertionError, match="ended with 1:\nbefore"):
        terminal.run("echo before\nfalse\necho after")
    with pytest.raises(AssertionError, match="nobody"):
        terminal.run("echo $nobody")
