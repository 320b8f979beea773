"""What are the words of a Transact-SQL statement?

Identifiers in brackets or double quotes, texts, and the rest are distinguished as the server does
(https://learn.microsoft.com/en-us/sql/relational-databases/databases/database-identifiers), so a quoting
mistake is a mistake here, too.
"""

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from tests.local.stand_ins.sqlserver.backend import SqlError

TOKEN = re.compile(
    r"""(?P<blank>\s+|--[^\r\n]*|/\*.*?\*/)
    |(?P<text>[Nn]?'(?:[^']|'')*')
    |(?P<name>\[(?:[^\]]|\]\])+\]|"(?:[^"]|"")+")
    |(?P<binary>0[xX][0-9A-Fa-f]*)
    |(?P<number>[0-9]+)
    |(?P<variable>@@?\w+)
    |(?P<word>[^\W\d][\w$#@]*)
    |(?P<mark>::|<>|<=|>=|[-.,()=;*<>+])""",
    re.VERBOSE | re.DOTALL,
)

LONGEST_NAME = 128


@dataclass(frozen=True)
class Token:
    """A word, and what it is."""

    kind: str
    spelling: str

    @property
    def name(self) -> str:
        """The identifier, without its quotes."""
        if self.kind == "name":
            end = self.spelling[-1]
            return self.spelling[1:-1].replace(end * 2, end)
        return self.spelling

    @property
    def text(self) -> str:
        """The text, without its quotes."""
        return self.spelling[self.spelling.index("'") + 1 : -1].replace("''", "'")


def statements(batch: str) -> Iterator["Tokens"]:
    """Yield the statements of a batch; here, semicolons separate them. A trigger's body is the rest of the batch."""
    tokens, open_ = _tokens(batch), list[Token]()
    if [token.spelling.upper() for token in tokens[:2]] == ["CREATE", "TRIGGER"]:
        yield Tokens(tokens)
        return
    for token in tokens:
        if token.spelling != ";":
            open_.append(token)
        elif open_:
            yield Tokens(open_)
            open_ = []
    if open_:
        yield Tokens(open_)


@functools.lru_cache(maxsize=1000)  # the driver sends the same queries again and again
def _tokens(batch: str) -> list[Token]:
    found, at = list[Token](), 0
    while at < len(batch):
        match = TOKEN.match(batch, at)
        if not match:
            raise syntax_error(batch[at])
        at = match.end()
        kind = str(match.lastgroup)
        token = Token(kind, match.group())
        if kind == "name" and len(token.name) > LONGEST_NAME:
            raise SqlError(103, "The identifier is too long. Maximum length is 128.", 15)
        if kind != "blank":
            found.append(token)
    return found


def syntax_error(near: str) -> SqlError:
    """Return the error for an unexpected word."""
    return SqlError(102, f"Incorrect syntax near '{near}'.", 15)


class Tokens:
    """A statement, word by word."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._at = 0

    def __iter__(self) -> Iterator[Token]:
        return iter(self._tokens)

    def peek(self) -> Token:
        """Return the next word; at the end, a token of the kind "end"."""
        return self._tokens[self._at] if self._at < len(self._tokens) else Token("end", "")

    def take(self) -> Token:
        """Return the next word, and go on."""
        token = self.peek()
        self._at += 1
        return token

    def took(self, *words: str) -> bool:
        """Go on, if these keywords or marks come next."""
        coming = self._tokens[self._at : self._at + len(words)]
        if [token.spelling.upper() for token in coming if token.kind in {"word", "mark"}] != list(words):
            return False
        self._at += len(words)
        return True

    def expect(self, *words: str) -> None:
        """Go on; raises a syntax error if something else comes next."""
        if not self.took(*words):
            raise syntax_error(self.peek().spelling)

    def one_of(self, *words: str) -> str:
        """Return which of the keywords comes next, and go on."""
        for word in words:
            if self.took(*word.split()):
                return word
        raise syntax_error(self.peek().spelling)

    def name(self) -> str:
        """Return an identifier."""
        token = self.take()
        if token.kind not in {"word", "name"}:
            raise syntax_error(token.spelling)
        return token.name

    def names(self) -> list[str]:
        """Return an identifier of several parts."""
        parts = [self.name()]
        while self.took("."):
            parts.append(self.name())
        return parts

    def text(self) -> str:
        """Return a literal."""
        token = self.take()
        if token.kind != "text":
            raise syntax_error(token.spelling)
        return token.text

    def binary(self) -> bytes:
        """Return a binary literal."""
        token = self.take()
        if token.kind != "binary":
            raise syntax_error(token.spelling)
        return bytes.fromhex(token.spelling[2:])

    def switch(self) -> bool:
        """Return ON or OFF."""
        return self.one_of("ON", "OFF") == "ON"

    def left(self) -> str:
        """Return the rest as a text, and stay where we are."""
        return " ".join(token.spelling for token in self._tokens[self._at :]).strip()

    def rest(self) -> str:
        """Return the rest as a text, and go to the end."""
        left, self._at = self._tokens[self._at :], len(self._tokens)
        return " ".join(token.spelling for token in left)

    def end(self) -> None:
        """Raise a syntax error unless this is the end."""
        if self.peek().kind != "end":
            raise syntax_error(self.peek().spelling)
