"""Which statements of `verify` can a transaction take back? This file reads the words of T-SQL, and nothing more."""

import re
from collections.abc import Iterator

REVERSIBLE = ("SELECT", "WITH", "INSERT", "UPDATE", "DELETE", "MERGE")
"""What a statement of `verify` can begin with. A rollback takes back all that these do."""

LASTING = frozenset({
    "BACKUP", "COMMIT", "DBCC", "EXEC", "EXECUTE", "KILL", "RECONFIGURE", "RESTORE", "ROLLBACK", "SHUTDOWN",
})  # fmt: skip
"""Keywords that end the transaction, can hide one that does, or act outside of it. The server needs no semicolon
between two statements, so they are refused anywhere in a statement."""

TOKEN = re.compile(
    r"--[^\r\n]*|/\*.*?\*/|[\s(;]+|(?P<word>\w+)|'(?:[^']|'')*'|\[(?:[^\]]|\]\])*\]|\"(?:[^\"]|\"\")*\"|.", re.DOTALL
)
"""A comment, blanks, a word, a text, a quoted name, or one other character. A comment within a comment is not looked
for: the words after it count, so a statement can be refused that could run."""

SKIPPED = ("--", "/*", " ", "\t", "\r", "\n", "(", ";")
"""How the tokens begin that can stand before the first word."""


def first_word(statement: str) -> str:
    """Return the first word, in capitals, after blanks and comments; empty if something else comes first."""
    return next(_words(statement), "")


def lasting(statement: str) -> list[str]:
    """Return the words of a statement whose effects a rollback does not take back."""
    return sorted(LASTING.intersection(_words(statement)))


def _words(statement: str) -> Iterator[str]:
    """Yield each word in capitals, and "" for any other token that is not skipped."""
    for token in TOKEN.finditer(statement):
        if not token[0].startswith(SKIPPED):
            yield (token["word"] or "").upper()
