"""In which ways can a text be written, and what do they have in common?

Servers, drivers, shells and formats quote a text, each in its own way, one inside the other, and cut it off if it is
too long. So we search for a secret in three ways:

    every_way_to_write   its forms: any piece of one is found, even if it ends in the middle of an escape
    plain                what is left without any quoting: the same for all forms, in any mixture
    folded               the same without blanks and capitals: for whole secrets with line breaks, or in another case
"""

import base64
import html
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from html.entities import html5
from urllib.parse import quote, quote_plus

LONGEST_TEXT_WITH_FORMS = 512
"""A longer text has no form but itself: it is no password, and its forms would be too long."""

MOST_TEXTS_WITH_FORMS, MOST_CHARACTERS_OF_FORMS = 100, 400_000
"""How many texts get forms, and how long all forms are together: each is searched for in everything that is said."""

SHORTEST_IN_OTHER_CASE = 8
"""A shorter text is not searched for in another case."""

HEX_SEPARATORS = " :,-"
"""What stands between bytes in hexadecimal digits."""

URI_COMPONENT_SAFE, URI_SAFE = "!*'()~", "!*'()~#$&+,/:;=?@"
"""What JavaScript's encodeURIComponent and encodeURI do not encode."""

IN_QUOTES = {
    "\\": "\\\\",
    "'": "\\'",
    '"': '\\"',
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\0": "\\0",
    "\x1a": "\\Z",
}
"""How characters are escaped, in this order. To replace them one by one takes a tenth of the time of str.translate."""


def ways_to_write(text: str) -> set[str]:
    """Return the usual forms of a text: as it is, in JSON, in Python, in SQL, in a URL."""
    return {
        text,
        _json(text),
        json.dumps(text, ensure_ascii=False)[1:-1],
        repr(text)[1:-1],
        text.replace("'", "''"),
        quote(text, safe="", errors="replace"),  # a lone surrogate, which JSON can name, has no bytes
        quote_plus(text, errors="replace"),
    }


def every_way_to_write(text: str) -> set[str]:
    """Return all forms of a text: quoted in every way, quoted once more, respelled and encoded."""
    if len(text) > LONGEST_TEXT_WITH_FORMS:
        return {text}
    forms = ways_to_write(text) | {write(text) for write in WRITERS}
    forms |= {_in_lower_case(form) for form in forms if "%" in form}
    forms |= {write(form) for form in forms for write in (_json, _in_quotes)}
    return forms | set(respelled(text)) | set(encoded(text))


def forms_of(texts: Iterable[str]) -> dict[str, set[str]]:
    """Return all forms of each of the first texts, for as many texts as there is room."""
    forms: dict[str, set[str]] = {}
    room = MOST_CHARACTERS_OF_FORMS
    for text in texts:
        ways = every_way_to_write(text)
        room -= sum(map(len, ways))
        if room < 0 or len(forms) == MOST_TEXTS_WITH_FORMS:
            break
        forms[text] = ways
    return forms


def respelled(text: str) -> Iterator[str]:
    """Yield a text in another case, in another encoding, and in the normal forms of Unicode."""
    if len(text) > LONGEST_TEXT_WITH_FORMS:
        return
    if not text.isascii():
        yield from (unicodedata.normalize(form, text) for form in ("NFC", "NFD", "NFKC", "NFKD"))
        yield from (_bytes(text).decode(encoding, errors="replace") for encoding in ("latin-1", "cp1252"))
        replaced = (text.encode(encoding, errors="replace").decode(encoding) for encoding in ("ascii", "latin-1"))
        yield from (form for form in replaced if any(map(str.isalnum, form)))  # other texts have question marks, too
    # Not a sentence: other texts have its words, in any case.
    if len(text) >= SHORTEST_IN_OTHER_CASE and " " not in text and any(map(str.isdigit, text)):
        yield from (text.upper(), text.lower())


def encoded(text: str) -> Iterator[str]:
    """Yield a text in base64 and hexadecimal digits, also as a part of a longer text.

    In base64, a part has three forms, without the digits that it shares with what stands before or after it.
    """
    if len(text) > LONGEST_TEXT_WITH_FORMS:
        return
    data = _bytes(text)
    for lead in range(3):
        shared = -(-8 * lead // 6)  # digits that have bits of what stands before the text
        at_end = base64.b64encode(bytes(lead) + data).decode()[shared:]
        within = at_end[: 8 * (lead + len(data)) // 6 - shared]
        for form in (at_end, within):
            yield from (form, form.replace("+", "-").replace("/", "_"))  # base64, and base64 for URLs
    for digits in (data.hex(), *(data.hex(separator) for separator in HEX_SEPARATORS)):
        yield from (digits, digits.upper())


def _json(text: str) -> str:
    return json.dumps(text)[1:-1]


def _in_quotes(text: str) -> str:
    """Write it as between quotes in C, Python, JavaScript and MySQL, which escape both kinds of quotes."""
    for character, escaped in IN_QUOTES.items():
        text = text.replace(character, escaped)
    return text


def _in_shell(text: str) -> str:
    return re.sub(r"([^\w@%+=:,./-])", r"\\\1", text)


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


def _in_hex(text: str) -> str:
    """Return the digits of each byte, with a comma before it."""
    return f",{_bytes(text).hex(',')}" if text else ""


def _in_lower_case(text: str) -> str:
    """Write the digits of percent-encoding in lower case."""
    return re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), text)


WRITERS: tuple[Callable[[str], str], ...] = (
    _in_quotes,
    _in_shell,
    lambda text: ascii(text)[1:-1],
    lambda text: _json(text).replace("/", "\\/"),
    lambda text: repr(_bytes(text))[2:-1],
    lambda text: text.replace("\\", "\\\\"),
    lambda text: text.replace("\\", "\\\\").replace("'", "''"),
    lambda text: text.replace("'", "\\'"),
    lambda text: text.replace('"', '\\"'),
    lambda text: text.replace('"', '""'),
    lambda text: text.replace("%", "%%"),
    lambda text: text.replace("'", "'\\''"),
    lambda text: text.replace("'", "'\"'\"'"),
    lambda text: " ".join(text.split()),
    lambda text: quote(text, errors="replace"),
    lambda text: quote(text, safe=URI_COMPONENT_SAFE, errors="replace"),
    lambda text: quote(text, safe=URI_SAFE, errors="replace"),
    lambda text: _in_hex(text).upper().replace(",", "%"),
    lambda text: _in_hex(text).replace(",", "\\x"),
    lambda text: _in_hex(text).upper().replace(",", "\\x"),
    lambda text: "".join(f"&#{ord(c)};" for c in text),
    lambda text: "".join(f"&#x{ord(c):x};" for c in text),
    html.escape,
    lambda text: html.escape(text, quote=False),
    lambda text: html.escape(text).replace("&#x27;", "&#39;"),
    lambda text: html.escape(text).replace("&#x27;", "&apos;").replace("&quot;", "&#34;"),
    lambda text: html.escape(text).encode("ascii", "xmlcharrefreplace").decode(),
)


# What the forms have in common

ESCAPE = re.compile(
    r"(?<!\\)\\++(?:(?-i:U)(?P<long>[0-9a-f]{8})|u(?P<short>[0-9a-f]{4})|u\{(?P<braced>[0-9a-f]{1,6})\}"
    r"|x(?P<hex>[0-9a-f]{2})|(?P<octal>[0-3][0-7]{2})|(?P<control>[abefnrtvz0]))"
    r"|(?<!%)%++(?:25)*(?P<percent>[0-9a-f]{2})"
    r"|&(?:amp;)*+(?:#x(?P<point>[0-9a-f]{1,6})|#(?P<decimal>[0-9]{1,7})|(?P<name>[a-z0-9]{2,8}));"
    r"|&(?:amp;)++",
    re.IGNORECASE,
)
"""One character, escaped any number of times in one way. Each alternative begins at the first backslash, % or & in a
row, so that a search looks at each character of a text once."""

BASES = {"octal": 8, "decimal": 10}

MOST_QUOTING_LEVELS = 6
"""How many levels of quoting, one inside the other, are undone."""

REPEATS = re.compile("([ '$\x80])\\1+")
"""Several of these in a row count as one: quotes are doubled to be quoted, spaces are collapsed."""


class _PlainCharacters(dict[int, str]):
    """What each character becomes in a plain text, by its code."""

    def __missing__(self, code: int) -> str:
        """All beyond ASCII becomes the same character, because programs differ in what they make of it."""
        return "\x80"


PLAIN_CHARACTERS = _PlainCharacters(
    {code: chr(code) for code in range(ord("!"), 0x7F)}
    | dict.fromkeys([*range(ord("!")), ord("+"), 0x7F], " ")  # in a form, + is a space
    | dict.fromkeys(map(ord, "'\"`"), "'")
    | dict.fromkeys(map(ord, "\\%"), "")  # left over: escapes were undone before
)


PLAIN_BYTES = "".join(PLAIN_CHARACTERS[code] or " " for code in range(256)).encode("latin-1")
LEFT_OUT = bytes(code for code, character in PLAIN_CHARACTERS.items() if not character)
"""The same for bytes.translate, which takes a tenth of the time of str.translate."""

BEYOND_ASCII = re.compile(r"[^\x00-\x7F]")


def plain(text: str) -> str:
    """Undo all quoting; a text and all ways to write it have the same plain text."""
    text = _unescaped(text)[0] if _has_escapes(text) else text
    text = text if text.isascii() else BEYOND_ASCII.sub("\x80", text)
    return REPEATS.sub(r"\1", text.encode("latin-1").translate(PLAIN_BYTES, LEFT_OUT).decode("latin-1"))


def plain_with_places(text: str) -> tuple[str, list[int]]:
    """Return the plain text, and where in the text each of its characters begins; the last place is the text's end."""
    if len(bare := plain(text)) == len(text):  # all that `plain` undoes makes a text shorter: here was nothing to undo
        return bare, list(range(len(text) + 1))
    unescaped, where = _unescaped(text)
    bare, places, begins = "", [], -1
    for character, place in zip(map(PLAIN_CHARACTERS.__getitem__, map(ord, unescaped)), where, strict=True):
        begins = place if begins < 0 else begins  # what is left out belongs to the next character
        if character and not REPEATS.fullmatch(bare[-1:] + character):
            bare += character
            places.append(begins)
        begins = -1 if character else begins
    return bare, [*places, len(text)]


def folded(text: str) -> str:
    """Return a plain text without blanks and in lower case."""
    return text.replace(" ", "").lower()


def _has_escapes(text: str) -> bool:
    """Tell whether a text can have escapes: each begins with one of these."""
    return "\\" in text or "%" in text or "&" in text


def _unescaped(text: str) -> tuple[str, list[int]]:
    """Return the text without escapes, and where in it each character begins."""
    places = list(range(len(text)))
    for _ in range(MOST_QUOTING_LEVELS if _has_escapes(text) else 0):
        parts: list[str] = []
        kept: list[int] = []
        end = 0
        for match in ESCAPE.finditer(text):
            if character := _unescaped_character(match):
                parts += [text[end : match.start()], character]
                kept += [*places[end : match.start()], places[match.start()]]
                end = match.end()
        if not end:
            break
        text, places = "".join([*parts, text[end:]]), kept + places[end:]
    return text, places


def _unescaped_character(match: re.Match[str]) -> str:
    """Return the one character that an escape stands for; an empty text if it stands for none."""
    kind = match.lastgroup
    if kind is None:
        return "&"
    if kind == "control":
        return " "
    if kind == "name":
        named = html5.get(f"{match[kind]};", "")
        return named if len(named) == 1 else ""
    number = int(match[kind], BASES.get(kind, 16))
    return chr(number) if number <= 0x10FFFF else "\x80"  # noqa: PLR2004 - the last code of Unicode
