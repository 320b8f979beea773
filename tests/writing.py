"""In which ways is a secret written by what others use? Each by its own library, where there is one."""

import base64
import html
import json
import re
import shlex
from collections.abc import Callable
from urllib.parse import quote, quote_plus, urlencode

from pymysql.converters import escape_string

type Write = Callable[[str], str]


def _as_bytes(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


def _each(form: str) -> Write:
    return lambda text: "".join(form.format(byte) for byte in _as_bytes(text))


def _lower(text: str) -> str:
    return re.sub("%..", lambda match: match[0].lower(), quote(text, safe=""))


def _between(before: str, after: str, encode: Callable[[bytes], bytes] = base64.b64encode) -> Write:
    """Write it in base64, in the middle of something else; return the digits that are its alone."""

    def write(text: str) -> str:
        first, data = len(before.encode()), _as_bytes(text)
        whole = encode(before.encode() + data + after.encode()).decode()
        return whole[-(-8 * first // 6) : 8 * (first + len(data)) // 6]

    return write


QUOTING: dict[str, Write] = {
    "as it is": str,
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON beyond ASCII": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "JSON of PHP": lambda text: json.dumps(text)[1:-1].replace("/", r"\/"),
    "repr": lambda text: repr(text)[1:-1],
    "repr of bytes": lambda text: repr(_as_bytes(text))[2:-1],
    "repr beside quotes": lambda text: repr(text + "'\"")[1:-4],
    "SQL": lambda text: text.replace("'", "''"),
    "SQL between double quotes": lambda text: text.replace('"', '""'),
    "SQL of MySQL": escape_string,
    "SQL with E''": lambda text: text.replace("\\", "\\\\").replace("'", "''"),
    "a format": lambda text: text.replace("%", "%%"),
    "shell": lambda text: shlex.quote(text).strip("'"),
    "shell without quotes": lambda text: re.sub(r"([^\w@%+=:,./-])", r"\\\1", text),
    "URL": lambda text: quote(text, safe=""),
    "URL, a path": quote,
    "URL in lower case": _lower,
    "URL of JavaScript": lambda text: quote(text, safe="!*'()~"),
    "form": quote_plus,
    "query": lambda text: urlencode({"k": text})[2:],
    "HTML": html.escape,
    "HTML with numbers": lambda text: "".join(f"&#{ord(character)};" for character in text),
    "HTML in ASCII": lambda text: html.escape(text).encode("ascii", "xmlcharrefreplace").decode(),
    "spaces collapsed": lambda text: " ".join(text.split()),
}
"""What is put into sentences."""

ENCODINGS: dict[str, Write] = {
    "base64": lambda text: base64.b64encode(_as_bytes(text)).decode(),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(_as_bytes(text)).decode(),
    "base64 after one byte": _between(":", "tail"),
    "base64 after two bytes": _between("u:", "tail"),
    "base64 after three bytes": _between("us:", "tail"),
    "base64 for URLs after a name": _between("user:", "tail", base64.urlsafe_b64encode),
    "hex": lambda text: _as_bytes(text).hex(),
    "hex in capitals": lambda text: _as_bytes(text).hex().upper(),
    r"hex with \x": _each(r"\x{:02x}"),
    r"hex with \x in capitals": _each(r"\x{:02X}"),
    "hex with %": _each("%{:02X}"),
}
"""What is made of its bytes."""

WAYS = QUOTING | ENCODINGS

TWICE = {
    f"{inner} in {outer}": (lambda text, i=inner, o=outer: WAYS[o](WAYS[i](text)))
    for outer in ("JSON", "repr", "SQL", "SQL of MySQL", "URL", "HTML")
    for inner in QUOTING
}
"""One inside of the other."""

PLACES = ["{}", "it is '{}' now", 'near "{}…', "…{} and so on", 'the value "{}...', "IDENTIFIED BY {}", "a={}&b=c"]
"""Where in a text it may be."""
