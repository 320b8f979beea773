"""Is a password the one that a server keeps a hash of? And what is MariaDB to keep?

An admin reads the hashes of an account, and so knows which of its passwords comes first without a login that fails.
"""

import hashlib
import hmac
import re

NATIVE = "mysql_native_password"

ALPHABET = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
ORDER = (
    (0, 10, 20), (21, 1, 11), (12, 22, 2), (3, 13, 23), (24, 4, 14),
    (15, 25, 5), (6, 16, 26), (27, 7, 17), (18, 28, 8), (9, 19, 29),
)  # fmt: skip
SALT, DIGEST = 20, 43
CACHING_SHA2 = re.compile(rb"\$A\$([0-9A-Fa-f]{3})\$")


def native(password: str) -> str:
    """Return what mysql_native_password keeps: '*', and SHA1 of SHA1 in hexadecimal digits; there is no salt."""
    return "*" + hashlib.sha1(hashlib.sha1(password.encode()).digest()).hexdigest().upper()  # noqa: S324 - as the server


def matches(password: str, stored: bytes, plugin: str) -> bool:
    """Tell whether a server lets this password in; False also for hashes in a format that is not known.

    `stored` is `authentication_string` of mysql.user, or `additional_password` of its attributes: "$A$", thousands of
    rounds in hexadecimal digits and a "$" for caching_sha2_password, "$5$" for sha256_password; then 20 bytes of
    salt, and the digest.
    """
    if plugin == NATIVE:
        return hmac.compare_digest(stored, native(password).encode())
    if header := CACHING_SHA2.match(stored):
        rounds, rest = int(header[1], 16) * 1000, stored[header.end() :]
    elif stored.startswith(b"$5$"):
        rounds, rest = 5000, stored[3:]
    else:
        return False
    digest = sha256_crypt(password.encode(), rest[:SALT], rounds)
    return hmac.compare_digest(rest[-DIGEST:], digest.encode())


def sha256_crypt(password: bytes, salt: bytes, rounds: int) -> str:
    """Return the digest of Unix's "$5$" scheme (https://www.akkadia.org/drepper/SHA-crypt.txt)."""
    mixed = hashlib.sha256(password + salt + password).digest()
    start = hashlib.sha256(password + salt + _repeated(mixed, len(password)))
    length = len(password)
    while length:
        start.update(mixed if length & 1 else password)
        length >>= 1
    result = start.digest()
    p = _repeated(hashlib.sha256(password * len(password)).digest(), len(password))
    s = _repeated(hashlib.sha256(salt * (16 + result[0])).digest(), len(salt))
    for number in range(rounds):
        odd = number & 1
        step = (p if odd else result) + (s if number % 3 else b"") + (p if number % 7 else b"") + (result if odd else p)
        result = hashlib.sha256(step).digest()
    groups = (bytes(result[at] for at in places) for places in ORDER)
    return "".join(_letters(group, 4) for group in groups) + _letters(bytes([0, result[31], result[30]]), 3)


def _repeated(pattern: bytes, length: int) -> bytes:
    return (pattern * (length // len(pattern) + 1))[:length]


def _letters(three: bytes, count: int) -> str:
    number = int.from_bytes(three)
    return "".join(ALPHABET[number >> 6 * at & 63] for at in range(count))
