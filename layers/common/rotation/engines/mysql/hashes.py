"""Is a hash that a server keeps the hash of this password? And which hash does MariaDB get for a password?

An admin reads the hashes of an account, and so knows which passwords open it, without a failed login.
"""

import base64
import binascii
import hashlib
import hmac
import re

NATIVE, ED25519, PARSEC = "mysql_native_password", "ed25519", "parsec"

READABLE = frozenset({NATIVE, "caching_sha2_password", "sha256_password", ED25519, PARSEC})
"""The plugins whose hashes are known here."""

ALPHABET = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
ORDER = (
    (0, 10, 20), (21, 1, 11), (12, 22, 2), (3, 13, 23), (24, 4, 14),
    (15, 25, 5), (6, 16, 26), (27, 7, 17), (18, 28, 8), (9, 19, 29),
)  # fmt: skip
SALT = 20
CACHING_SHA2 = re.compile(rb"\$([AB])\$([0-9A-Fa-f]{3})\$")
"""Which digest, and thousands of rounds. "B" is PBKDF2, from MySQL 9.7 on, if caching_sha2_password_storage_format says
so."""
PARSEC_HASH = re.compile(rb"P([0-9]):([A-Za-z0-9+/]+):([A-Za-z0-9+/]+)")
"""How often 1024 rounds are doubled, the salt, the public key."""


def native(password: str) -> str:
    """Return what mysql_native_password keeps: '*', and SHA1 of SHA1 in hexadecimal digits; there is no salt."""
    return "*" + hashlib.sha1(hashlib.sha1(password.encode()).digest()).hexdigest().upper()  # noqa: S324 - as the server


def ed25519(password: str) -> str:
    """Return what MariaDB's plugin of that name keeps: the password's public key; there is no salt."""
    from nacl.bindings import crypto_scalarmult_ed25519_base  # noqa: PLC0415 - 4 ms, and few accounts need it

    key = crypto_scalarmult_ed25519_base(hashlib.sha512(password.encode()).digest()[:32])
    return base64.b64encode(key).decode().rstrip("=")


def matches(password: str, stored: bytes, plugin: str) -> bool:
    """Tell whether a server accepts this password; False also for hashes in an unknown format.

    `stored` is `authentication_string` of mysql.user or mysql.global_priv, or `additional_password` of an account's
    attributes in MySQL: "$A$" or "$B$", thousands of rounds in hexadecimal digits and a "$" for caching_sha2_password,
    "$5$" for sha256_password; then 20 bytes of salt, for sha256_password a "$", and the digest.
    """
    if plugin == NATIVE:
        return hmac.compare_digest(stored, native(password).encode())
    if plugin == ED25519:
        return hmac.compare_digest(stored, ed25519(password).encode())
    if plugin == PARSEC:
        return _matches_parsec(password.encode(), stored)
    if header := CACHING_SHA2.match(stored):
        return _matches_sha2(password.encode(), stored[header.end() :], int(header[2], 16) * 1000, header[1] == b"B")
    return stored.startswith(b"$5$") and _matches_sha2(password.encode(), stored[3:], 5000, is_pbkdf2=False)


def _matches_sha2(password: bytes, rest: bytes, rounds: int, is_pbkdf2: bool) -> bool:  # noqa: FBT001
    salt, digest = rest[:SALT], rest[SALT:]
    if not rounds:
        return False
    if is_pbkdf2:
        return hmac.compare_digest(digest, base64.b64encode(hashlib.pbkdf2_hmac("sha512", password, salt, rounds)))
    return hmac.compare_digest(digest.removeprefix(b"$"), sha256_crypt(password, salt, rounds).encode())


def _matches_parsec(password: bytes, stored: bytes) -> bool:
    """Tell whether this is the password's hash (https://mariadb.com/kb/en/authentication-plugin-parsec/)."""
    from nacl.bindings import crypto_sign_seed_keypair  # noqa: PLC0415 - as above

    parts = PARSEC_HASH.fullmatch(stored)
    if not parts:
        return False
    try:
        salt, key = (base64.b64decode(part + b"=" * (-len(part) % 4)) for part in parts.groups()[1:])
    except binascii.Error:
        return False
    seed = hashlib.pbkdf2_hmac("sha512", password, salt, 1024 << int(parts[1]), 32)
    return hmac.compare_digest(crypto_sign_seed_keypair(seed)[0], key)


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
