"""Writes the tables of docs/parameters.md from the template; what stands above them is written by hand.

Run it after each change of a parameter: `.local/python/bin/python -m tests.local.parameter_table`.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.local.aws import template

PAGE = Path(__file__).parents[2] / "docs/parameters.md"
MARK = "<!-- Below this line: .local/python/bin/python -m tests.local.parameter_table -->\n"


def main() -> None:
    """Rewrite the page."""
    PAGE.write_text(page(PAGE.read_text()))


def page(old: str) -> str:
    """Return the page with the tables of today's template. Raises ValueError: nothing says where they begin."""
    head, mark, _ = old.partition(MARK)
    if not mark:
        raise ValueError(f"{PAGE} has no line {MARK}")
    whole = template.load(template.SOURCE)
    groups = whole["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    tables = ("\n".join(_table(group, whole["Parameters"])) for group in groups)
    return f"{head}{mark}\n{'\n\n'.join(tables)}\n"


def _table(group: Mapping[str, Any], parameters: Mapping[str, Any]) -> Iterator[str]:
    yield f"## {group['Label']['default']}\n"
    yield "| parameter | default | values | |"
    yield "| --- | --- | --- | --- |"
    for name in group["Parameters"]:
        parameter = parameters[name]
        default = f"`{parameter['Default']}`" if parameter["Default"] != "" else "empty"
        yield f"| `{name}` | {default} | {_values(parameter)} | {_cell(parameter['Description'])} |"


def _values(parameter: Mapping[str, Any]) -> str:
    if "AllowedValues" in parameter:
        return ", ".join(f"`{value}`" for value in parameter["AllowedValues"])
    if "MinValue" in parameter:
        return f"{parameter['MinValue']} to {parameter['MaxValue']}"
    return "a list" if "List" in parameter["Type"] else "text"


def _cell(text: str) -> str:
    """A description in Markdown: what stands in double quotes is a value."""
    return re.sub(r'"([\w-]*)"', r"`\1`", text).replace("|", r"\|")


if __name__ == "__main__":
    main()
