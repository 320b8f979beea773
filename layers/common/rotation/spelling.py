"""In which ways do others write a text, and what do all of them come to?

Servers, drivers, shells and formats quote what they are given, each in its own way, one inside of the other, and cut it
off where it is too long. So a text is looked for in two ways:

    every_way_to_write   the forms themselves: any piece of one is found, also where it ends in the middle of an escape
    plain                what is left of a text when all quoting is undone: the same for all forms, in whatever mixture
    folded               the same without blanks and capitals: for whole secrets that are broken, or in another case
"""

import base64
import html
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from html.entities import html5
from urllib.parse import quote, quote_plus

LONGEST_WRITTEN = 512
"""Of a longer text no form but itself is made: it is no password, and there would be too many."""

MOST, MOST_WRITTEN = 100, 400_000
"""Of how many texts forms are made, and of how many characters the forms of all are: each text is searched for all."""

CASED = 8
"""A shorter text is not looked for in another case."""

SEPARATORS = " :,-"
"""What stands between the bytes in hexadecimal digits."""

COMPONENT, ADDRESS = "!*'()~", "!*'()~#$&+,/:;=?@"
"""What JavaScript's encodeURIComponent and encodeURI leave as it is."""

URL_SAFE = str.maketrans("+/", "-_")
CONTROLS = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": "\\0", "\x1a": "\\Z"}


def ways_to_write(text: str) -> set[str]:
    """Return how it looks in most texts: as it is, in JSON, in Python, in SQL, in a URL."""
    return {
        text,
        _json(text),
        json.dumps(text, ensure_ascii=False)[1:-1],
        repr(text)[1:-1],
        text.replace("'", "''"),
        quote(text, safe="", errors="replace"),  # half a character, which JSON can name, has no bytes
        quote_plus(text, errors="replace"),
    }


def every_way_to_write(text: str) -> set[str]:
    """Return how it looks wherever it may be quoted, in whatever is made of its bytes, and quoted once more."""
    if len(text) > LONGEST_WRITTEN:
        return {text}
    forms = ways_to_write(text) | {write(text) for write in WRITERS}
    forms |= {_in_lower_case(form) for form in forms}
    forms |= {write(form) for form in forms for write in (_json, _in_quotes)}
    return forms | set(respelled(text)) | set(encoded(text))


def forms_of(texts: Iterable[str]) -> dict[str, set[str]]:
    """Return every way to write each of the first texts, as many as there is room for."""
    forms: dict[str, set[str]] = {}
    room = MOST_WRITTEN
    for text in texts:
        ways = every_way_to_write(text)
        room -= sum(map(len, ways))
        if room < 0 or len(forms) == MOST:
            break
        forms[text] = ways
    return forms


def respelled(text: str) -> Iterator[str]:
    """Yield what programs make of its characters: in another case or encoding, composed or not."""
    if len(text) > LONGEST_WRITTEN:
        return
    if not text.isascii():
        yield from (unicodedata.normalize(form, text) for form in ("NFC", "NFD", "NFKC", "NFKD"))
        yield from (_bytes(text).decode(encoding, errors="replace") for encoding in ("latin-1", "cp1252"))
        replaced = (text.encode(encoding, errors="replace").decode(encoding) for encoding in ("ascii", "latin-1"))
        yield from (form for form in replaced if any(map(str.isalnum, form)))  # nothing but ? is in other texts
    # The words of a sentence are in others, in whatever case.
    if len(text) >= CASED and " " not in text and any(map(str.isdigit, text)):
        yield from (text.upper(), text.lower())


def encoded(text: str) -> Iterator[str]:
    """Yield what encodings of bytes make of it, wherever in a longer text it is: the digits that are its alone."""
    if len(text) > LONGEST_WRITTEN:
        return
    data = _bytes(text)
    for lead in range(3):
        shared = -(-8 * lead // 6)  # with what comes before it
        last = base64.b64encode(bytes(lead) + data).decode()[shared:]
        own = last[: 8 * (lead + len(data)) // 6 - shared]
        yield from (last, own, last.translate(URL_SAFE), own.translate(URL_SAFE))
    for digits in (data.hex(), *(data.hex(separator) for separator in SEPARATORS)):
        yield from (digits, digits.upper())


def _json(text: str) -> str:
    return json.dumps(text)[1:-1]


def _in_quotes(text: str) -> str:
    """Write it as it is between quotes in C, Python, JavaScript and MySQL, which escape either of them."""
    return "".join(CONTROLS.get(c, f"\\{c}" if c in "\\'\"" else c) for c in text)


def _in_shell(text: str) -> str:
    return re.sub(r"([^\w@%+=:,./-])", r"\\\1", text)


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


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
    lambda text: quote(text, safe=COMPONENT, errors="replace"),
    lambda text: quote(text, safe=ADDRESS, errors="replace"),
    lambda text: "".join(f"%{byte:02X}" for byte in _bytes(text)),
    lambda text: "".join(f"\\x{byte:02x}" for byte in _bytes(text)),
    lambda text: "".join(f"\\x{byte:02X}" for byte in _bytes(text)),
    lambda text: "".join(f"&#{ord(c)};" for c in text),
    lambda text: "".join(f"&#x{ord(c):x};" for c in text),
    html.escape,
    lambda text: html.escape(text, quote=False),
    lambda text: html.escape(text).replace("&#x27;", "&#39;"),
    lambda text: html.escape(text).replace("&#x27;", "&apos;").replace("&quot;", "&#34;"),
    lambda text: html.escape(text).encode("ascii", "xmlcharrefreplace").decode(),
)


# What they come to

ESCAPE = re.compile(
    r"(?<!\\)\\++(?:(?-i:U)(?P<long>[0-9a-f]{8})|u(?P<short>[0-9a-f]{4})|u\{(?P<braced>[0-9a-f]{1,6})\}"
    r"|x(?P<hex>[0-9a-f]{2})|(?P<octal>[0-3][0-7]{2})|(?P<control>[abefnrtvz0]))"
    r"|(?<!%)%++(?:25)*(?P<percent>[0-9a-f]{2})"
    r"|&(?:amp;)*+(?:#x(?P<point>[0-9a-f]{1,6})|#(?P<decimal>[0-9]{1,7})|(?P<name>[a-z0-9]{2,8}));"
    r"|&(?:amp;)++",
    re.IGNORECASE,
)
"""One character, escaped any number of times in one way. Each alternative begins at the first sign of a row of them, so
that no text takes more than one look at each of its characters."""

BASES = {"octal": 8, "decimal": 10}

DEPTH = 6
"""How many ways of quoting are undone that are one inside of the other."""

REPEATS = re.compile("([ '$\x80])\\1+")
"""Of these, any number in a row is one: quotes are doubled to be quoted, spaces are collapsed."""


class _Signs(dict[int, str]):
    """What each character becomes, by its code."""

    def __missing__(self, code: int) -> str:
        """All that is beyond ASCII is one sign, for programs differ in what they make of it."""
        return "\x80"


SIGNS = _Signs(
    {code: chr(code) for code in range(ord("!"), 0x7F)}
    | dict.fromkeys([*range(ord("!")), ord("+"), 0x7F], " ")  # a form says + for a space
    | dict.fromkeys(map(ord, "'\"`"), "'")
    | dict.fromkeys(map(ord, "\\%"), "")  # what an escape means is known already
)


def plain(text: str) -> str:
    """Undo all quoting, in so far as a text and all ways to write it come to the same."""
    return REPEATS.sub(r"\1", _unescaped(text)[0].translate(SIGNS))


def placed(text: str) -> tuple[str, list[int]]:
    """Return the plain text, and where each of its characters begins in the text as it was written, and that ends."""
    written, where = _unescaped(text)
    signs, places, begins = "", [], -1
    for sign, place in zip(map(SIGNS.__getitem__, map(ord, written)), where, strict=True):
        begins = place if begins < 0 else begins  # what is left out belongs to what follows
        if sign and not REPEATS.fullmatch(signs[-1:] + sign):
            signs += sign
            places.append(begins)
        begins = -1 if sign else begins
    return signs, [*places, len(text)]


def folded(text: str) -> tuple[str, list[int]]:
    """Return a plain text without blanks and in lower case, and where each of its characters is."""
    places = [place for place, sign in enumerate(text) if sign != " "]
    return text.replace(" ", "").lower(), places


def _unescaped(text: str) -> tuple[str, list[int]]:
    """Return the text without escapes, and where in it each character began."""
    places = list(range(len(text)))
    for _ in range(DEPTH if ESCAPE.search(text) else 0):
        parts: list[str] = []
        kept: list[int] = []
        end = 0
        for match in ESCAPE.finditer(text):
            if character := _meant(match):
                parts += [text[end : match.start()], character]
                kept += [*places[end : match.start()], places[match.start()]]
                end = match.end()
        if not end:
            break
        text, places = "".join([*parts, text[end:]]), kept + places[end:]
    return text, places


def _meant(match: re.Match[str]) -> str:
    """Return the one character that an escape stands for; nothing where it stands for none."""
    kind = match.lastgroup
    if kind is None:
        return "&"
    if kind == "control":
        return " "
    if kind == "name":
        named = html5.get(f"{match[kind]};", "")
        return named if len(named) == 1 else ""
    number = int(match[kind], BASES.get(kind, 16))
    return chr(number) if number <= 0x10FFFF else "\x80"  # noqa: PLR2004 - the last there is
