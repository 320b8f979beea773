"""How do tests and docs/errors.md read the messages of the program from its source?"""

import ast
import itertools
from collections.abc import Mapping
from pathlib import Path

from rotation import errors

PACKAGE = Path(__file__).parents[2] / "layers" / "common" / "rotation"
SOURCES = sorted(PACKAGE.rglob("*.py"))

ERRORS = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)}

SLOT = "…"
"""Stands in a text for what is only known when the error is raised."""

VERBS = frozenset(
    """
    Add Allow Ask Attach Change Check Choose Close Connect Correct Create Decrease Delete Disable Drop Enable
    End Find Free Give Grant Install Kill Let List Load Lower Make Move Name Open Point Put Raise Remove Rename
    Repair Replace Report Reset Restart Retry Revoke Rotate Run Send Set Shorten Split Start Stop Store Switch
    Take Turn Unlock Update Upgrade Use Wait Write
    ALTER CALL CREATE DENY DROP EXEC GRANT REVOKE SET
    """.split()  # noqa: SIM905 - a list of so many words is easier to read as a text
)
"""What a remedy begins with: an imperative, or a statement that an admin runs."""

MOST_TEXTS = 8
"""How many texts of one expression are looked at."""


def texts(node: ast.AST, names: Mapping[str, list[str]]) -> list[str]:
    """Return the texts that an expression can be, as far as the source says; none if it does not."""
    parts: list[list[str]] = []
    match node:
        case ast.Constant(value=str(text)):
            parts = [[text]]
        case ast.Name(id=name) | ast.Attribute(attr=name):
            parts = [names.get(name, [])]
        case ast.FormattedValue(value=value):
            parts = [texts(value, names)]
        case ast.BoolOp(values=choices):
            parts = [[text for one in choices for text in texts(one, names)]]
        case ast.IfExp(body=body, orelse=other):
            parts = [[text for one in (body, other) for text in texts(one, names)]]
        case ast.JoinedStr(values=pieces):
            parts = [texts(piece, names) or [SLOT] for piece in pieces]
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            parts = [texts(side, names) or [SLOT] for side in (left, right)]
    return ["".join(choice) for choice in itertools.islice(itertools.product(*parts), MOST_TEXTS)] if parts else []


def assigned(tree: ast.AST, known: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Return the texts of the names that a module assigns."""
    found: dict[str, list[str]] = {**known}
    for node in ast.walk(tree):
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ):
                found[name] = [*found.get(name, []), *texts(value, found)]
            case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)):
                for one, value in zip(names, values, strict=False):
                    if isinstance(one, ast.Name):
                        found[one.id] = [*found.get(one.id, []), *texts(value, found)]
    return found
