"""How does the stand-in for Oracle parse a statement? Token by token: quoted names and literals can hold anything."""

import functools
import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

_TOKEN = re.compile(
    r"""\s+|--[^\n]*|/\*.*?\*/
    |"(?P<name>[^"]*)"
    |'(?P<text>(?:[^']|'')*)'
    |:(?P<bind>\w+)
    |(?P<number>\d+(?:\.\d+)?)
    |(?P<word>[^\W\d_][\w$\#]*)
    |(?P<mark>:=|<>|!=|<=|>=|[-+*/=<>(),.;@|])
    """,
    re.VERBOSE | re.DOTALL,
)


class OracleError(Exception):
    """An error of the server: ORA-, a number, and a text."""

    def __init__(self, number: int, text: str) -> None:
        super().__init__(f"ORA-{number:05}: {text}")
        self.number = number


class Kind(Enum):
    """The kind of a token."""

    NAME = auto()
    TEXT = auto()
    BIND = auto()
    NUMBER = auto()
    WORD = auto()
    MARK = auto()


@dataclass(frozen=True)
class Token:
    """A part of a statement. Words are in upper case. A name is the text between the quotes."""

    kind: Kind
    value: str
    start: int
    end: int


@functools.lru_cache(maxsize=1000)  # the driver sends the same queries again and again
def tokens(statement: str) -> tuple[Token, ...]:
    """Return the tokens of a statement. Raises OracleError."""
    found, place = [], 0
    while place < len(statement):
        match = _TOKEN.match(statement, place)
        if not match:
            if statement[place] in "\"'":
                raise OracleError(
                    *(
                        (1740, "missing double quote in identifier")
                        if statement[place] == '"'
                        else (1756, "quoted string not properly terminated")
                    )
                )
            raise OracleError(911, f"{statement[place]}: invalid character after <identifier>")
        place = match.end()
        if kind := match.lastgroup:
            value = match[kind]
            value = {"word": value.upper(), "text": value.replace("''", "'")}.get(kind, value)
            found.append(Token(Kind[kind.upper()], value, match.start(), match.end()))
    return tuple(found)


class Reader:
    """A statement that is parsed from left to right. Everything that does not fit raises OracleError."""

    def __init__(self, statement: str) -> None:
        self.statement = statement
        self._tokens = tokens(statement)
        self._at = 0

    @property
    def at_end(self) -> bool:
        """Whether all was read."""
        return self._at >= len(self._tokens)

    def peek(self, ahead: int = 0) -> Token | None:
        """Return a token further on, without taking it."""
        place = self._at + ahead
        return self._tokens[place] if place < len(self._tokens) else None

    def sees(self, *words: str) -> bool:
        """Tell whether these words, or marks, come next."""
        come = [self.peek(ahead) for ahead in range(len(words))]
        return all(
            token is not None and token.kind in (Kind.WORD, Kind.MARK) and token.value == word
            for token, word in zip(come, words, strict=True)
        )

    def took(self, *words: str) -> bool:
        """Take these words if they come next; tell whether they did."""
        if not self.sees(*words):
            return False
        self._at += len(words)
        return True

    def expect(self, *words: str) -> None:
        """Take these words. Raises OracleError."""
        if not self.took(*words):
            raise self.error()

    def take(self, *kinds: Kind) -> Token:
        """Take one token of a kind."""
        token = self.peek()
        if token is None or (kinds and token.kind not in kinds):
            raise self.error()
        self._at += 1
        return token

    def identifier(self) -> str:
        """Take a name. Without quotes, it is in upper case."""
        value = self.take(Kind.NAME, Kind.WORD).value
        if not value:
            raise OracleError(1741, "illegal zero-length identifier")
        if len(value.encode()) > 128:
            raise OracleError(972, "identifier is too long")
        return value

    def password(self) -> str:
        """Take a password. It is written like an identifier, and can be longer."""
        return self.take(Kind.NAME, Kind.WORD).value

    def qualified(self) -> tuple[str | None, str]:
        """Take a name, with a schema or without."""
        first = self.identifier()
        return (first, self.identifier()) if self.took(".") else (None, first)

    def listed[T](self, item: Callable[[], T]) -> list[T]:
        """Take one item or more, separated by commas."""
        found = [item()]
        while self.took(","):
            found.append(item())
        return found

    def rest(self) -> list[Token]:
        """Take all tokens that are left."""
        left, self._at = list(self._tokens[self._at :]), len(self._tokens)
        return left

    def end(self) -> None:
        """Raise OracleError if anything is left. The client sends a semicolon only after a block."""
        if not self.at_end:
            raise self.error()

    def error(self) -> OracleError:
        """Return the error for the rest of the statement."""
        return (
            OracleError(933, "SQL command not properly ended")
            if self._at > 2
            else OracleError(900, "invalid SQL statement")
        )


def masked(statement: str) -> str:
    """Return a statement as the audit trail has it: with stars instead of passwords."""
    try:
        found = tokens(statement)
    except OracleError:
        return statement.split('"', maxsplit=1)[0]
    text, place = "", 0
    hides = ("BY", "REPLACE") if [token.value for token in found[:2]] == ["ALTER", "USER"] else ("BY",)
    for before, token in itertools.pairwise(found):
        if before.value in hides and before.kind is Kind.WORD:
            text += statement[place : token.start] + "*"
            place = token.end
    return text + statement[place:]
