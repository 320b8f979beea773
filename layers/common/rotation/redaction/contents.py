"""Which strings does the text of a secret hold?"""

import json
import re
from collections.abc import Iterator
from urllib.parse import unquote

SHORTEST_TOKEN = 16
"""A part of a URL that is at least this long is taken for a secret."""

TEXT_IN_JSON = re.compile(r'"((?:[^"\\]|\\.)*+)', re.DOTALL)
ASSIGNED = re.compile(
    r"(?:password|passwd|pwd|pass|secret|token|key)[\"']?\s{0,3}[=:]\s{0,3}[\"']?([^\s\"',;&]+)", re.IGNORECASE
)


class _Object(list[tuple[str, object]]):
    """A JSON object as a list of its keys and values: a key can be there twice."""


DECODER = json.JSONDecoder(object_pairs_hook=_Object)
BLANKS = " \t\n\r"
"""What can stand before a value in JSON."""


def strings_of(text: str) -> Iterator[tuple[str, str]]:
    """Yield each string in a text, with its key.

    If the text is not JSON, yield the text itself and whatever stands between quotes in it.
    """
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


def parts_of(string: str) -> Iterator[str]:
    """Yield a string, and the parts of it that can be secrets by themselves.

    They are its lines, the password before an @, the long parts of a URL, and what is assigned to a password or a key.
    """
    yield string
    yield from map(str.strip, re.split(r"[\r\n]|\\[rn]", string))
    for word in string.split() if "@" in string or "://" in string else ():
        login = word.rpartition("@")[0]
        for password in re.split("[:/]", login.partition("//")[2] or login, maxsplit=1)[1:]:
            yield from (password, unquote(password))
        parts = re.split("[/?&=#]", word) if "://" in word else ()
        yield from (word.partition("?")[2], *(part for part in parts if len(part) >= SHORTEST_TOKEN))
    yield from (match[1] for match in ASSIGNED.finditer(string))


def _structure(text: str) -> list[object] | None:
    """Return the object or list that a text is in JSON; None if it is neither."""
    if not text.lstrip(BLANKS).startswith(("{", "[")):
        return None
    try:
        value = DECODER.decode(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, list) else None
