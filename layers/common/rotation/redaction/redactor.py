"""How do we make sure that no secret leaves in a text?

Every text that leaves this program, in a log line or an error, goes through one `Redactor` per invocation. It is the
second lock. The first lock: we make no message of a secret value. The second one holds against what others put into
their messages, such as a server that quotes the statement it refused.

    read      every string of a secret is known before anything else is done with the secret
    release   what can be said of a secret that was found valid: host, port, user, database, the admin secret's ARN
    said      what others said is masked as it comes; only then it is put on one line and cut off

Strings are masked, not the sentences around them: neither common words, nor a part of a text that can be said.

`contents` reads the strings of a secret, `spelling` writes their forms, and `search` finds these in a text.
"""

import re
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from rotation.redaction.contents import parts_of, strings_of
from rotation.redaction.search import (
    PIECE_LENGTH,
    Span,
    folded_occurrences,
    inside,
    is_word,
    merged,
    occurrences,
    pieces,
    trimmed,
)
from rotation.redaction.spelling import (
    SHORTEST_IN_OTHER_CASE,
    encoded,
    folded,
    forms_of,
    plain,
    plain_with_places,
    respelled,
)
from rotation.values import dataclass

MASK = "***"

SHORTEST_MASKED = 4
"""A shorter string is not masked: its letters are in every word, and whoever sees the masks can guess it."""

QUOTED, LONGEST = 500, 4000
"""How many characters we keep of what others said, and of any of our own texts."""

LONGEST_READ = 8192
"""How many characters of a text we read, to keep QUOTED or LONGEST of them. It can have millions."""

COMMON_WORDS = frozenset({
    "admin", "administrator", "application", "authentication", "certificate", "cloudformation", "connection",
    "credential", "database", "default", "development", "false", "host", "localhost", "manager", "mariadb",
    "master", "mysql", "none", "null", "oracle", "password", "passwords", "permission", "port", "postgres",
    "postgresql", "primary", "privilege", "privileges", "production", "public", "reader", "replica", "root",
    "rotate", "rotation", "schema", "secret", "secrets", "secretsmanager", "security", "server", "service",
    "staging", "statement", "strategy", "table", "test", "true", "user", "username", "users", "version", "writer",
})  # fmt: skip
"""Words in so many texts that a mask would reveal more than it hides."""

LONGEST_COMMON_WORD = 40
"""A longer text is no common word, even with punctuation around it."""

VERIFIER = re.compile(
    r"SCRAM-SHA-\d+\$[^\s'\"]+"  # PostgreSQL
    r"|\bmd5[0-9a-f]{16,}"  # PostgreSQL
    r"|\*[0-9a-f]{16,}"  # mysql_native_password
    # caching_sha2_password: a salt of any characters, escaped or not, then SHA-crypt's digits or base64; or cut off.
    r"|\$[A-Z]\$[0-9a-f]{3}\$(?:.{0,120}?[./+0-9A-Za-z]{43,}=*|.{0,63})"
    r"|\$[1-7][a-z]?\$[^\s'\"]{8,}"  # crypt, as sha256_password has it
    r"|\bP[0-9A-Za-z]:[+/0-9A-Za-z]{8,}=*:[+/0-9A-Za-z]{8,}=*"  # MariaDB's parsec
    # MariaDB's ed25519, SCRAM's proofs: at least 32 bytes in base64.
    r"|(?<![+/=\w])(?-i:(?=[+/A-Za-z]*[0-9])(?=[+/a-z0-9]*[A-Z])(?=[+/A-Z0-9]*[a-z]))[+/0-9A-Za-z]{43,}=*"
    r"|\b[SHT]:[0-9a-f]{16,}(?:;[SHT]:[0-9a-f]*)*"  # Oracle
    r"|\b0x[0-9a-f]{40,}"  # SQL Server's 0x0200…, and MySQL's if shown as hexadecimal numbers
    # And any password in a statement that sets one, even if we never learned it.
    r"|\b(?:IDENTIFIED\s{1,9}(?:BY|(?:WITH|VIA)\s{1,9}\S{1,40}\s{1,9}(?:AS|BY|USING))|USING|VALUES|PASSWORD)"
    r"(?:\s{1,9}|[\"']?\s{0,9}[=:(]\s{0,9})N?(?P<quote>['\"])(?P<value>(?:\\.|(?P=quote){2}|(?!(?P=quote)).)*+)",
    re.IGNORECASE | re.DOTALL,
)
"""What databases store instead of a password, and what statements set passwords to
(https://dev.mysql.com/doc/refman/9.7/en/caching-sha2-pluggable-authentication.html,
https://mariadb.com/docs/server/reference/plugins/authentication-plugins,
https://learn.microsoft.com/en-us/sql/t-sql/functions/pwdencrypt-transact-sql)."""

MASKED_WHOLE = re.compile(
    r"arn:[\w:/+=.@*-]+"
    r"|(?:[a-z][a-z0-9+.-]*:)+//[^\s@]*|[\w-]+=[^\s&]*(?:&[\w-]+=[^\s&]*)+"
    r"|[a-z0-9-]+(?:\.[a-z0-9-]+)+(?::[0-9]+)?(?:/[\w./-]*)?"  # a host
    r"|\W{0,3}[A-Za-z]+(?:[\s,.;:'()!?-]+[A-Za-z]+)+\W{0,3}",  # a sentence
    re.ASCII,
)
"""Strings of which only the whole is masked, because other texts have their pieces: ARNs, URLs, hosts, sentences."""

SEPARATOR = "\n\0\n"
"""It stands between forms that are searched for together, and is in none of them."""


class Redactor:
    """Masks the strings that it knows, and whatever looks like a verifier."""

    def __init__(self) -> None:
        self._secrets: set[str] = set()
        self._strings: set[str] = set()
        self._public: set[str] = set()
        self._forms: _Forms | None = None

    def add_secret(self, secret: object) -> None:
        """Mask this secret from now on, and each piece of it, in whatever way it is written."""
        if isinstance(secret, str):
            self._add(self._secrets, secret)

    def read(self, text: str) -> None:
        """Mask every string in the text of a secret from now on, under any key; the text need not be JSON."""
        for key, string in strings_of(text):
            if key == "password" and not _is_common(string):
                self.add_secret(string)
            for part in parts_of(string):
                self._add(self._strings, part)

    def release(self, *texts: str) -> None:
        """Do not mask these texts and their parts from now on, except secrets that were added."""
        for text in texts:
            self._add(self._public, text)

    def __call__(self, text: str) -> str:
        """Return the text with everything known masked."""
        parts, place = [], 0
        for start, end in merged(self._spans(text)):
            parts += [text[place:start], MASK]
            place = end
        return "".join([*parts, text[place:]])

    def said(self, text: str, most: int = QUOTED) -> str:
        """Return the text with everything known masked, then on one line, then cut off."""
        masked = self(text[:LONGEST_READ])
        if len(text) > LONGEST_READ:  # it can end in a piece of a secret that is too short to be found
            masked = masked[: 1 - PIECE_LENGTH]
        line = " ".join("".join(c if c.isprintable() else " " for c in masked).split())
        return line if len(text) <= LONGEST_READ and len(line) <= most else f"{line[: most - 1]}…"

    def _add(self, texts: set[str], text: str) -> None:
        if len(text) >= SHORTEST_MASKED and text not in texts:
            texts.add(text)
            self._forms = None

    def _spans(self, text: str) -> Iterator[Span]:
        """Yield where the text must be masked."""
        forms = self._forms = self._forms or _Forms.of(self._secrets, self._strings - self._public)
        bare, places = plain_with_places(text)

        def in_text(spans: Iterable[Span]) -> Iterator[Span]:
            return ((places[start], places[end]) for start, end in spans)

        yield from occurrences(text, forms.secrets)
        yield from in_text(occurrences(bare, forms.plain_secrets))
        yield from in_text(folded_occurrences(bare, forms.folded_secrets))
        found = {
            *pieces(text, forms.in_pieces),
            *in_text(pieces(bare, forms.plain_in_pieces)),
            *in_text(occurrences(bare, forms.plain_strings)),
            *in_text(folded_occurrences(bare, forms.folded_strings)),
            *in_text(span for span in occurrences(bare, forms.plain_words) if is_word(bare, *span)),
            *(match.span(match.lastgroup or 0) for match in VERIFIER.finditer(text)),
        }
        if not found:
            return
        is_public = inside(text, self._public - self._secrets)
        is_common = _in_common_word(text)
        for span in {trimmed(text, *span) for span in found} - {None}:
            if span and not is_public(span) and not is_common(*span):
                yield span


@dataclass(frozen=True)
class _Forms:
    """The forms that a text is searched for."""

    secrets: frozenset[str]
    """Secrets, in all ways to write them."""
    in_pieces: str
    """Secrets, and strings whose pieces are masked, in all ways to write them, one after the other."""
    plain_secrets: frozenset[str]
    """Secrets without quoting, respelled as well."""
    folded_secrets: frozenset[str]
    """The same without blanks and capitals, and encoded as well."""
    folded_strings: frozenset[str]
    plain_strings: frozenset[str]
    plain_words: frozenset[str]
    """Strings so short that they are searched for as whole words only."""
    plain_in_pieces: str
    """Secrets, and strings whose pieces are masked, also encoded, one after the other."""

    @classmethod
    def of(cls, secrets: Iterable[str], strings: Iterable[str]) -> "_Forms":
        secrets = sorted(secrets, key=len)  # if there is too little room for forms, the shortest get it
        others = sorted((string for string in strings if not _is_common(string)), key=len)
        keys = [string for string in others if not MASKED_WHOLE.fullmatch(string)]
        in_pieces = [*secrets, *keys]
        forms = forms_of(in_pieces)
        spelled = {text: [*map(plain, (text, *_made(text, forms, respelled, encoded)))] for text in in_pieces}
        whole = _plain(others)
        return cls(
            secrets=frozenset(
                form for secret in secrets for form in forms.get(secret, {secret}) if len(form) >= SHORTEST_MASKED
            ),
            in_pieces=SEPARATOR.join([*(form for ways in forms.values() for form in ways), *in_pieces[len(forms) :]]),
            plain_secrets=_plain(form for secret in secrets for form in (secret, *_made(secret, forms, respelled))),
            folded_secrets=_folded(text for secret in secrets for text in spelled[secret]),
            folded_strings=_folded(plain(string) for string in keys if any(map(str.isdigit, string))),
            plain_strings=frozenset(string for string in whole if len(string) >= PIECE_LENGTH),
            plain_words=frozenset(string for string in whole if len(string) < PIECE_LENGTH),
            plain_in_pieces=SEPARATOR.join(
                {text for texts in spelled.values() for text in texts if len(text) >= SHORTEST_MASKED}
            ),
        )


_INVOCATION: ContextVar[Redactor | None] = ContextVar("redactor", default=None)


@contextmanager
def redacting(redactor: Redactor) -> Iterator[None]:
    """Let `said` mask within the block what this redactor knows."""
    token = _INVOCATION.set(redactor)
    try:
        yield
    finally:
        _INVOCATION.reset(token)


def concealed(secret: str) -> str:
    """Return a secret that was just generated; `said` masks it from now on."""
    if redactor := _INVOCATION.get():
        redactor.add_secret(secret)
    return secret


def said(text: str) -> str:
    """Return what a server, a client or AWS said as we can quote it: masked, on one line, and not long."""
    return (_INVOCATION.get() or Redactor()).said(text)


# Words and forms


def _in_common_word(text: str) -> Callable[[int, int], bool]:
    """Return a function that tells whether a span is a common word, or a part of one."""
    # Where the letters before each place begin, and where those after it end.
    first, last = list(range(len(text) + 1)), list(range(len(text) + 1))
    letters = [place for place, character in enumerate(text) if character.isalpha()]
    for place in letters:
        first[place + 1] = first[place]
    for place in reversed(letters):
        last[place] = last[place + 1]
    return lambda start, end: any(
        stop - begin <= LONGEST_COMMON_WORD and _is_common(text[begin:stop])
        for begin, stop in ((start, end), (first[start], last[end]))
    )


def _is_common(text: str) -> bool:
    return text.strip(" .,:;()'\"").lower() in COMMON_WORDS


def _plain(texts: Iterable[str]) -> frozenset[str]:
    return frozenset(text for written in texts if len(text := plain(written)) >= SHORTEST_MASKED)


def _folded(plain_texts: Iterable[str]) -> frozenset[str]:
    return frozenset(solid for text in plain_texts if len(solid := folded(text)) >= SHORTEST_IN_OTHER_CASE)


def _made(text: str, forms: Container[str], *makers: Callable[[str], Iterable[str]]) -> Iterator[str]:
    """Yield what these functions make of a text, if there was room for its forms."""
    return (form for make in makers for form in make(text)) if text in forms else iter(())
