"""How is it made sure that no secret leaves in a text?

Every text that leaves this program, a log line or an error, goes through one `Redactor` for each invocation. It is the
second lock: the first is that no message is made of a value. It holds against what others put into their messages, a
server that quotes the statement it refused, say.

    read      every string of a secret is known before anything else is made of it
    release   what may be said of a secret that was found valid: host, port, user, database, the admin secret's ARN
    said      what others said is masked as it comes, and only then put on one line and cut off

What is masked are the strings, not the sentence around them: neither a word that is in half of all sentences, nor what
is only a part of something that may be said.
"""

import json
import re
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import accumulate
from urllib.parse import unquote

from rotation.spelling import CASED, encoded, folded, forms_of, placed, plain, respelled

MASK = "***"

SHORTEST = 4
"""A shorter string is not masked: its letters are in every word, and where they are masked they can be guessed."""

PIECE = 8
"""So many characters in a row are masked, if they are a piece of a secret: others cut their texts off."""

QUOTED, LONGEST = 500, 4000
"""How many characters are kept of what others said, and of any of our own texts."""

FEW = 400
"""Up to so many pieces of a text, it is faster to look for each."""

READ = 8192
"""How much of a text is looked at, to keep as much of it as that. It may have millions."""

WORDS = frozenset({
    "admin", "administrator", "application", "authentication", "certificate", "cloudformation", "connection",
    "credential", "database", "default", "development", "false", "host", "localhost", "manager", "mariadb",
    "master", "mysql", "none", "null", "oracle", "password", "passwords", "permission", "port", "postgres",
    "postgresql", "primary", "privilege", "privileges", "production", "public", "reader", "replica", "root",
    "rotate", "rotation", "schema", "secret", "secrets", "secretsmanager", "security", "server", "service",
    "staging", "statement", "strategy", "table", "test", "true", "user", "username", "users", "version", "writer",
})  # fmt: skip
"""What is in so many texts that a mask would tell more than it hides."""

WORD = 40
"""What is longer is no such word, with all that is around it."""

VERIFIER = re.compile(
    r"SCRAM-SHA-\d+\$[^\s'\"]+"  # PostgreSQL
    r"|\bmd5[0-9a-f]{16,}"  # PostgreSQL
    r"|\*[0-9a-f]{16,}"  # mysql_native_password
    # caching_sha2_password: a salt of any characters, escaped or not, and SHA-crypt's digits or base64; or cut off.
    r"|\$[A-Z]\$[0-9a-f]{3}\$(?:.{0,120}?[./+0-9A-Za-z]{43,}=*|.{0,63})"
    r"|\$[1-7][a-z]?\$[^\s'\"]{8,}"  # crypt, as sha256_password has it
    r"|\bP[0-9A-Za-z]:[+/0-9A-Za-z]{8,}=*:[+/0-9A-Za-z]{8,}=*"  # MariaDB's parsec
    # MariaDB's ed25519, SCRAM's proofs: 32 bytes or more in base64.
    r"|(?<![+/=\w])(?-i:(?=[+/A-Za-z]*[0-9])(?=[+/a-z0-9]*[A-Z])(?=[+/A-Z0-9]*[a-z]))[+/0-9A-Za-z]{43,}=*"
    r"|\b[SHT]:[0-9a-f]{16,}(?:;[SHT]:[0-9a-f]*)*"  # Oracle
    r"|\b0x[0-9a-f]{40,}"  # SQL Server's 0x0200…, and MySQL's where they are shown as numbers
    # And whatever a statement sets a password to, one that nobody was to know included.
    r"|\b(?:IDENTIFIED\s{1,9}(?:BY|(?:WITH|VIA)\s{1,9}\S{1,40}\s{1,9}(?:AS|BY|USING))|USING|VALUES|PASSWORD)"
    r"(?:\s{1,9}|[\"']?\s{0,9}[=:(]\s{0,9})N?(?P<quote>['\"])(?P<value>(?:\\.|(?P=quote){2}|(?!(?P=quote)).)*+)",
    re.IGNORECASE | re.DOTALL,
)
"""What databases keep in place of a password
(https://dev.mysql.com/doc/refman/9.7/en/caching-sha2-pluggable-authentication.html,
https://mariadb.com/docs/server/reference/plugins/authentication-plugins,
https://learn.microsoft.com/en-us/sql/t-sql/functions/pwdencrypt-transact-sql)."""

NAMES = re.compile(
    r"arn:[\w:/+=.@*-]+"
    r"|(?:[a-z][a-z0-9+.-]*:)+//[^\s@]*|[\w-]+=[^\s&]*(?:&[\w-]+=[^\s&]*)+"
    r"|[a-z0-9-]+(?:\.[a-z0-9-]+)+(?::[0-9]+)?(?:/[\w./-]*)?"  # a host
    r"|\W*[A-Za-z]+(?:[\s,.;:'()!?-]+[A-Za-z]+)+\W*",  # a sentence
    re.ASCII,
)
"""Strings whose pieces are in other texts as well: they are masked whole."""

TOKEN = 16
"""From this length on, a part of an address is taken for a secret."""

TEXT_IN_JSON = re.compile(r'"((?:[^"\\]|\\.)*+)', re.DOTALL)
ASSIGNED = re.compile(
    r"(?:password|passwd|pwd|pass|secret|token|key)[\"']?\s{0,3}[=:]\s{0,3}[\"']?([^\s\"',;&]+)", re.IGNORECASE
)

END = "\n\0\n"
"""What stands between the forms of secrets that are looked for at once, and is in none."""

type Span = tuple[int, int]


class Redactor:
    """Masks the strings that it has learned, and whatever looks like a verifier."""

    def __init__(self) -> None:
        self._secrets: set[str] = set()
        self._strings: set[str] = set()
        self._public: set[str] = set()
        self._known: _Known | None = None

    def add_secret(self, secret: object) -> None:
        """Mask this secret from now on, in whatever way it is written, and each piece of it."""
        if isinstance(secret, str):
            self._add(self._secrets, secret)

    def read(self, text: str) -> None:
        """Mask every string in the text of a secret from now on, under whatever key; the text is JSON, or it is not."""
        for key, string in _strings(text):
            if key == "password" and not _is_common(string):
                self.add_secret(string)
            for part in _parts(string):
                self._add(self._strings, part)

    def release(self, *texts: str) -> None:
        """Let these texts be said, and what is a part of them, secrets that were learned excepted."""
        for text in texts:
            self._add(self._public, text)

    def __call__(self, text: str) -> str:
        """Return the text with all that is known masked."""
        parts, end = [], 0
        for start, until in _merged(self._found(text)):
            parts += [text[end:start], MASK]
            end = until
        return "".join([*parts, text[end:]])

    def said(self, text: str, most: int = QUOTED) -> str:
        """Return the text with all that is known masked, then on one line, then cut off."""
        masked = self(text[:READ])
        if len(text) > READ:  # it may end in too short a piece of a secret
            masked = masked[: 1 - PIECE]
        line = " ".join("".join(c if c.isprintable() else " " for c in masked).split())
        return line if len(text) <= READ and len(line) <= most else f"{line[: most - 1]}…"

    def _add(self, texts: set[str], text: str) -> None:
        if len(text) >= SHORTEST and text not in texts:
            texts.add(text)
            self._known = None

    def _found(self, text: str) -> Iterator[Span]:
        """Yield where something is to be masked."""
        known = self._known = self._known or _Known.of(self._secrets, self._strings - self._public)
        bare, places = placed(text)

        def written(spans: Iterable[Span]) -> Iterator[Span]:
            return ((places[start], places[end]) for start, end in spans)

        yield from _wholes(text, known.secrets)
        yield from written(_wholes(bare, known.plain_secrets))
        yield from written(_broken(bare, known.folded_secrets))
        is_public = _within(text, self._public - self._secrets)
        is_in_word = _in_words(text)
        found = {
            *_pieces(text, known.written_pieces),
            *written(_pieces(bare, known.pieces)),
            *written(_wholes(bare, known.strings)),
            *written(_broken(bare, known.folded_strings)),
            *written(span for span in _wholes(bare, known.words) if _is_word(bare, *span)),
            *(match.span(match.lastgroup or 0) for match in VERIFIER.finditer(text)),
        }
        for span in {_trimmed(text, *span) for span in found} - {None}:
            if span and not is_public(span) and not is_in_word(*span):
                yield span


@dataclass(frozen=True)
class _Known:
    """What is looked for."""

    secrets: frozenset[str]
    """In all ways to write them."""
    written_pieces: str
    """The same of strings, and of all of which each piece is masked, one after the other."""
    plain_secrets: frozenset[str]
    """Without quoting, like all that follows."""
    folded_secrets: frozenset[str]
    """Without blanks and capitals."""
    folded_strings: frozenset[str]
    strings: frozenset[str]
    words: frozenset[str]
    """Strings that are too short to be looked for within a word."""
    pieces: str
    """Secrets and strings of which each piece is masked, encoded as well, one after the other."""

    @classmethod
    def of(cls, secrets: Iterable[str], strings: Iterable[str]) -> "_Known":
        secrets = sorted(secrets, key=len)  # the room for forms is for the shortest
        others = sorted((string for string in strings if not _is_common(string)), key=len)
        keys = [string for string in others if not NAMES.fullmatch(string)]
        broken = [*secrets, *keys]
        forms = forms_of(broken)
        whole = _plain(others)
        return cls(
            frozenset(form for secret in secrets for form in forms.get(secret, {secret}) if len(form) >= SHORTEST),
            END.join([*(form for ways in forms.values() for form in ways), *broken[len(forms) :]]),
            _plain(form for secret in secrets for form in (secret, *_made(secret, forms, respelled))),
            _folded(form for secret in secrets for form in (secret, *_made(secret, forms, respelled, encoded))),
            _folded(string for string in keys if any(map(str.isdigit, string))),
            frozenset(string for string in whole if len(string) >= PIECE),
            frozenset(string for string in whole if len(string) < PIECE),
            END.join(
                _plain([*broken, *(form for string in forms for form in _made(string, forms, respelled, encoded))])
            ),
        )


_INVOCATION: ContextVar[Redactor | None] = ContextVar("redactor", default=None)


@contextmanager
def redacting(redactor: Redactor) -> Iterator[None]:
    """Have `said` know in the block what this one knows."""
    token = _INVOCATION.set(redactor)
    try:
        yield
    finally:
        _INVOCATION.reset(token)


def unsaid(secret: str) -> str:
    """Return a secret that was just made; from now on `said` knows it."""
    if redactor := _INVOCATION.get():
        redactor.add_secret(secret)
    return secret


def said(text: str) -> str:
    """Return what others said, a server, a driver or AWS, as it may be quoted: masked, on one line, and not long."""
    return (_INVOCATION.get() or Redactor()).said(text)


# What is found in a text


def _wholes(text: str, forms: Iterable[str]) -> Iterator[Span]:
    for form in forms:
        start = text.find(form)
        while start >= 0:
            yield start, start + len(form)
            start = text.find(form, start + len(form))


def _broken(bare: str, forms: Iterable[str]) -> Iterator[Span]:
    """Yield where a plain text has a whole form, in whatever case and with whatever blanks within."""
    solid, places = folded(bare)
    return ((places[start], places[end - 1] + 1) for start, end in _wholes(solid, forms))


def _pieces(text: str, forms: str) -> list[Span]:
    """Return where the text has pieces of a form, as long as they are in a row."""
    places = range(len(text) - PIECE + 1)
    there = {text[at : at + PIECE] for at in places}
    if len(there) < FEW:
        there = {piece for piece in there if piece in forms}
    else:
        there = there.intersection(forms[at : at + PIECE] for at in range(len(forms) - PIECE + 1))
    return _merged((at, at + PIECE) for at in places if text[at : at + PIECE] in there) if there else []


def _merged(spans: Iterable[Span]) -> list[Span]:
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _within(text: str, wholes: Iterable[str]) -> Callable[[Span], bool]:
    """Return what tells whether something lies within one of these."""
    ends = [0] * (len(text) + 1)
    for start, end in _wholes(text, wholes):
        ends[start] = max(ends[start], end)
    reach = list(accumulate(ends, max))
    return lambda span: reach[span[0]] >= span[1]


def _is_word(text: str, start: int, end: int) -> bool:
    """Tell whether it is no part of a word."""
    before, after = text[start - 1 : start], text[end : end + 1]
    return not (before.isalnum() or after.isalnum() or "_" in (before, after))


def _trimmed(text: str, start: int, end: int) -> Span | None:
    """Return the span without the blanks at its ends; nothing where it has nothing else."""
    found = text[start:end]
    start += len(found) - len(found.lstrip())
    return (start, start + len(found.strip())) if found.strip() else None


def _in_words(text: str) -> Callable[[int, int], bool]:
    """Return what tells whether a span is a common word, or a part of one."""
    first, last = list(range(len(text) + 1)), list(range(len(text) + 1))  # of the letters before a place, and after it
    letters = [place for place, character in enumerate(text) if character.isalpha()]
    for place in letters:
        first[place + 1] = first[place]
    for place in reversed(letters):
        last[place] = last[place + 1]
    return lambda start, end: any(
        until - since <= WORD and _is_common(text[since:until])
        for since, until in ((start, end), (first[start], last[end]))
    )


def _is_common(text: str) -> bool:
    return text.strip(" .,:;()'\"").lower() in WORDS


def _plain(texts: Iterable[str]) -> frozenset[str]:
    return frozenset(text for written in texts if len(text := plain(written)) >= SHORTEST)


def _folded(texts: Iterable[str]) -> frozenset[str]:
    return frozenset(solid for text in texts if len(solid := folded(plain(text))[0]) >= CASED)


def _made(text: str, forms: Container[str], *makers: Callable[[str], Iterable[str]]) -> Iterator[str]:
    """Yield what they make of a text, if there was room for its forms."""
    return (form for make in makers for form in make(text)) if text in forms else iter(())


# What is in a secret


class _Object(list[tuple[str, object]]):
    """A JSON object, a key that is there twice included."""


def _strings(text: str) -> Iterator[tuple[str, str]]:
    """Yield each string in a text, with its key; of what is no JSON the text itself, and what is between quotes."""
    values: list[tuple[str, object]] = [
        ("", _structure(text) or [text, *(match[1] for match in TEXT_IN_JSON.finditer(text))])
    ]
    while values:
        key, value = values.pop()
        if isinstance(value, _Object):
            values += value
        elif isinstance(value, list):
            values += [(key, inner) for inner in value]
        elif isinstance(value, str):
            yield key, value
            values.append((key, _structure(value)))


def _structure(text: str) -> list[object] | None:
    """Return the object or list that a text is in JSON; None where it is none."""
    try:
        value = json.loads(text, object_pairs_hook=_Object)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, list) else None


def _parts(string: str) -> Iterator[str]:
    """Yield a string, and what is a secret of its own in it: a line, what stands before an @, what is assigned."""
    yield string
    yield from map(str.strip, re.split(r"[\r\n]|\\[rn]", string))
    for word in string.split() if "@" in string or "://" in string else ():
        login = word.rpartition("@")[0]
        for password in re.split("[:/]", login.partition("//")[2] or login, maxsplit=1)[1:]:
            yield from (password, unquote(password))
        parts = re.split("[/?&=#]", word) if "://" in word else ()
        yield from (word.partition("?")[2], *(part for part in parts if len(part) >= TOKEN))
    yield from (match[1] for match in ASSIGNED.finditer(string))
