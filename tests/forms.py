"""Which forms of statements may an admin's session send? What a server has seen is held against a list.

The list of an engine is a text, `tests/contract/forms/<engine>.txt`: one form a line, `#` begins a comment. In a form

    {name}          stands for what the engine's parts say that a `name` is: a quoted identifier, say
    [ … ]           is there, or not
    (( … ))*        is there any number of times

and everything else stands for itself, white space folded. A statement must be one of the forms as a whole.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from rotation.redaction import Redactor

FOLDER = Path(__file__).parent / "contract" / "forms"

QUOTED = re.compile(r"""'(?:[^'\\]|\\.|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`""", re.DOTALL)

MARK = re.compile(r"\{(\w+)\}|(\[)|(\])|(\(\()|(\)\)\*)")


class Forms:
    """The forms of one engine."""

    def __init__(self, engine: str, parts: Mapping[str, str]) -> None:
        """Read the list; `parts` gives the regular expression of each name in braces."""
        lines = (FOLDER / f"{engine}.txt").read_text().splitlines()
        forms = [_folded(line) for line in lines if line.strip() and not line.startswith("#")]
        self._forms = [re.compile(_expression(form, parts), re.DOTALL) for form in forms]

    def strangers(self, statements: Iterable[str]) -> list[str]:
        """Return the statements that are none of the forms, each once."""
        folded = dict.fromkeys(map(_folded, statements))
        return [statement for statement in folded if not any(form.fullmatch(statement) for form in self._forms)]


def outlines(statements: Iterable[str]) -> list[str]:
    """Return the statements without what is between quotes, which can be a verifier; each outline once."""
    return sorted({Redactor()(QUOTED.sub(lambda quoted: f"{quoted[0][0]}…{quoted[0][0]}", one)) for one in statements})


def _folded(text: str) -> str:
    return " ".join(text.split())


def _expression(form: str, parts: Mapping[str, str]) -> str:
    """Return the form as a regular expression."""
    pieces, at = [], 0
    for mark in MARK.finditer(form):
        pieces.append(re.escape(form[at : mark.start()]))
        part, opened, closed, begins, _ = mark.groups()
        if part:
            pieces.append(f"(?:{parts[part]})")
        elif opened or begins:
            pieces.append("(?:")
        else:
            pieces.append(")?" if closed else ")*")
        at = mark.end()
    return "".join([*pieces, re.escape(form[at:])])
