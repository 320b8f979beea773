"""Is a name, in the statements that a server has logged, always inside of one quoted token?

The log is the server's: what it shows is what arrived. Each statement is read by the engine's own lexical rules, and a
name that was pasted into one would have ended a token, or begun another.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Grammar:
    """How a server writes its log, and what is one token in it."""

    entry: re.Pattern[str]
    """The beginning of an entry."""
    statement: re.Pattern[str]
    """What comes before the statement in an entry that has one."""
    continued: str
    """What stands for a line break."""
    quoted: re.Pattern[str]
    """A token that may hold anything: each kind is a group."""
    comment: re.Pattern[str]
    unquote: Callable[[str, str], str]
    """Returns what a token of a kind says."""

    def statements(self, log: str) -> Iterator[str]:
        """Yield the statements in a log."""
        for entry in self.entry.split(log):
            match = self.statement.match(entry)
            if match:
                yield entry[match.end() :].removesuffix("\n").replace(self.continued, "\n")

    def pasted(self, log: str, marker: str, names: set[str]) -> list[str]:
        """Return the statements in which the marker is anywhere but in a token that says one of the names."""
        # A log that is read as text has one kind of line breaks, so a name with "\r\t" can look like a continued line.
        whole = {text for name in map(_as_text, names) for text in (name, name.replace(self.continued, "\n"))}
        with_marker = (statement for statement in self.statements(_as_text(log)) if marker in statement)
        return [statement for statement in with_marker if not self._is_safe(statement, marker, whole)]

    def _is_safe(self, statement: str, marker: str, names: set[str]) -> bool:
        """Tell whether the marker is in tokens only, each of which says a name, the whole of it."""
        left, at = [], 0
        while at < len(statement):
            token = self.quoted.match(statement, at)
            other = token or self.comment.match(statement, at)
            at = other.end() if other else at + 1
            if not token:
                left.append(other[0] if other else statement[at - 1])
                continue
            said = self.unquote(str(token.lastgroup), token[0])
            if marker in said and not any(name in said for name in names):
                return False
        return marker not in "".join(left)


def _as_text(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _unquote_postgresql(kind: str, token: str) -> str:
    if kind == "name":
        return token[1:-1].replace('""', '"')
    if kind == "escaped":
        return re.sub(r"\\(.)|''", lambda match: match[1] or "'", token[2:-1], flags=re.DOTALL)
    # The server itself quotes no name that needs it not.
    return token if kind == "word" else token[1:-1].replace("''", "'")


POSTGRESQL = Grammar(
    entry=re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ \w+ \[\d+\] ", re.MULTILINE),
    statement=re.compile(r".*? (?:LOG:  statement|STATEMENT): +", re.DOTALL),
    continued="\n\t",
    quoted=re.compile(
        r"""(?P<name>"(?:[^"]|"")*")|(?P<escaped>[eE]'(?:[^'\\]|\\.|'')*')|(?P<text>'(?:[^']|'')*')|(?P<word>\b[a-z_][a-z0-9_]*\b)""",
        re.DOTALL,
    ),
    comment=re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL),
    unquote=_unquote_postgresql,
)

ESCAPES = {"0": "\0", "n": "\n", "r": "\r", "t": "\t", "b": "\b", "Z": "\x1a"}


def _unquote_mysql(kind: str, token: str) -> str:
    if kind == "name":
        return token[1:-1].replace("``", "`")
    quote = token[0]
    return re.sub(
        rf"\\(.)|{quote}{quote}",
        lambda match: ESCAPES.get(match[1], match[1]) if match[1] else quote,
        token[1:-1],
        flags=re.DOTALL,
    )


MYSQL = Grammar(
    entry=re.compile(r"^(?:\d{6} [ \d]\d:\d\d:\d\d|\d{4}-\d\d-\d\dT[\d:.]+Z)?\t+ *\d+ (?=[A-Z])", re.MULTILINE),
    # The server writes statements with a password anew, in its own quoting: those are not what arrived.
    statement=re.compile(r"Query\t(?!.*<secret>)", re.DOTALL),
    continued="\n",
    quoted=re.compile(
        r"""(?P<name>`(?:[^`]|``)*`)|(?P<text>'(?:[^'\\]|\\.|'')*')|(?P<other>"(?:[^"\\]|\\.|"")*")""", re.DOTALL
    ),
    comment=re.compile(r"#[^\n]*|--[\s][^\n]*|/\*.*?\*/", re.DOTALL),
    unquote=_unquote_mysql,
)
