"""How is it made sure that no secret leaves in a text?

Every text that leaves this program, a log line or an error, goes through one `Redactor`. It is the second lock: the
first is that no message is made of a value. It holds against what others put into their messages, a server that
quotes the statement it refused, say.
"""

import json
import re
from urllib.parse import quote, quote_plus

MASK = "***"

SHORTEST = 4
"""A shorter secret is not masked: its letters are in every word, and where they are masked they can be guessed."""

VERIFIER = re.compile(
    r"SCRAM-SHA-256\$[^\s'\"]+"  # PostgreSQL
    r"|\bmd5[0-9a-f]{32}\b"  # PostgreSQL
    r"|\*[0-9A-F]{40}\b"  # mysql_native_password
    r"|\$A\$[0-9A-F]{3}\$[^'\"]+"  # caching_sha2_password
    r"|\b0x[0-9A-Fa-f]{80,}"  # the same, as a number
)
"""What databases keep in place of a password."""


def ways_to_write(secret: str) -> set[str]:
    """Return how it looks in texts of all sorts: as it is, in JSON, in Python, in SQL, in a URL."""
    return {
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret)[1:-1],
        secret.replace("'", "''"),
        quote(secret, safe="", errors="replace"),  # half a character, which JSON can name, has no bytes
        quote_plus(secret, errors="replace"),
    }


class Redactor:
    """Masks the secrets that it has learned, and whatever looks like a verifier."""

    def __init__(self) -> None:
        self._forms: set[str] = set()

    def learn(self, secret: object) -> None:
        """Mask this secret from now on, also where it is quoted as JSON, Python, SQL or a URL would quote it."""
        if isinstance(secret, str) and len(secret) >= SHORTEST:
            self._forms |= ways_to_write(secret)

    def __call__(self, text: str) -> str:
        """Return the text with every known secret masked, the longest first, for one may be part of another."""
        for form in sorted(self._forms, key=len, reverse=True):
            text = text.replace(form, MASK)
        return VERIFIER.sub(MASK, text)
