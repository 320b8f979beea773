"""Which protocol do the stand-in for Oracle and a real client speak? Its parts: TNS below, TTC above.

Oracle publishes no description of the protocol, but the source of the client: python-oracledb's thin mode
(https://github.com/oracle/python-oracledb/tree/main/src/oracledb/impl/thin). This module reads what that client writes,
and writes what it reads. A mistake in both would not be noticed. Oracle says that the client works with its servers;
the stand-in does not prove it.
"""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

# Packets
CONNECT, ACCEPT, REFUSE, DATA, MARKER = 1, 2, 4, 6, 12
BREAK, RESET, INTERRUPT = 1, 2, 3
"""What a marker says."""
HEADER = 8
LARGEST = 8192
PROTOCOL_VERSION = 315
"""Oracle 12.1: packets have long lengths, and there is no urgent data."""
FIELD_VERSION = 12
"""Oracle 19c. It decides which fields messages have."""
END_OF_FILE = 0x40

# Messages
PROTOCOL, DATA_TYPES, FUNCTION, ERROR, ROW_HEADER, ROW_DATA, PARAMETER, STATUS = 1, 2, 3, 4, 6, 7, 8, 9
WARNING, DESCRIBE, PIGGYBACK = 15, 16, 17

# Functions
REEXECUTE, FETCH, LOG_OFF, COMMIT, ROLLBACK, REEXECUTE_AND_FETCH = 4, 5, 9, 14, 15, 78
EXECUTE, CLOSE_CURSORS, AUTHENTICATE, CHALLENGE, PING = 94, 105, 115, 118, 147

VARCHAR, NUMBER = 1, 2
UTF8 = 873
NO_DATA = 1403
CHANGES_PASSWORD = 0x02
VERIFIER_12C = 0x4815
LONG = 254
CHUNK = 32767


class Closed(Exception):
    """The client hung up."""


@dataclass
class Writer:
    """A message to send."""

    data: bytearray = field(default_factory=bytearray)

    def raw(self, *numbers: int) -> "Writer":
        """Add bytes."""
        self.data += bytes(numbers)
        return self

    def number(self, *values: int) -> "Writer":
        """Add numbers, each as its length and its bytes."""
        for value in values:
            text = value.to_bytes((value.bit_length() + 7) // 8, "big")
            self.data += bytes([len(text)]) + text
        return self

    def short(self, value: bytes) -> "Writer":
        """Add bytes after their length; a long value in chunks."""
        if len(value) < LONG - 2:
            self.data += bytes([len(value)]) + value
            return self
        self.raw(LONG)
        for place in range(0, len(value), CHUNK):
            chunk = value[place : place + CHUNK]
            self.number(len(chunk))
            self.data += chunk
        return self.number(0)

    def text(self, value: str) -> "Writer":
        """Add a text, with its length twice; an empty text is only a length."""
        encoded = value.encode()
        self.number(len(encoded))
        return self.short(encoded) if encoded else self

    def pairs(self, pairs: Sequence[tuple[str, str, int]]) -> "Writer":
        """Add a message of keys and values."""
        self.raw(PARAMETER).number(len(pairs))
        for key, value, flags in pairs:
            self.text(key).text(value).number(flags)
        return self

    def status(self) -> "Writer":
        """End a call without a result."""
        return self.raw(STATUS).number(0, 0)

    def ending(self, number: int = 0, text: str = "", *, rows: int = 0, cursor: int = 0) -> "Writer":
        """End a call, with an error if there is a number."""
        self.raw(ERROR).number(0, 0, 0, min(number, 65535), 0, 0, cursor)
        self.raw(0)  # position
        self.raw(0, 0, 0, 0, 0, 0)  # kind of statement, and flags
        self.number(0, 0).raw(0).number(0, 0)  # row id
        self.number(0).raw(0, 0).number(0, 0, 0)
        self.number(0, 0, 0)  # errors of a batch
        self.number(number, rows)
        return self.short(text.encode()) if number else self


@dataclass
class Reading:
    """A received message."""

    data: bytes
    at: int = 0

    @property
    def at_end(self) -> bool:
        """Whether all was read."""
        return self.at >= len(self.data)

    def raw(self, count: int) -> bytes:
        """Take bytes."""
        if self.at + count > len(self.data):
            raise Closed
        self.at += count
        return self.data[self.at - count : self.at]

    def byte(self) -> int:
        """Take one byte."""
        return self.raw(1)[0]

    def number(self) -> int:
        """Take a number."""
        return int.from_bytes(self.raw(self.byte() & 0x7F), "big")

    def numbers(self, count: int) -> list[int]:
        """Take several numbers."""
        return [self.number() for _ in range(count)]

    def short(self) -> bytes:
        """Take bytes after their length."""
        length = self.byte()
        if length != LONG:
            return self.raw(0 if length == 255 else length)
        value = b""
        while size := self.number():
            value += self.raw(size)
        return value

    def text(self) -> str:
        """Take a text that has its length twice."""
        return self.short().decode() if self.number() else ""

    def pairs(self, count: int) -> dict[str, str]:
        """Take pairs of keys and values."""
        found = {}
        for _ in range(count):
            key = self.text()
            found[key] = self.text()
            self.number()
        return found


def encoded_number(value: int) -> bytes:
    """Return a NUMBER as Oracle stores it: an exponent, and digits of base 100."""
    if not value:
        return b"\x80"
    digits: list[int] = []
    rest = abs(value)
    while rest:
        rest, digit = divmod(rest, 100)
        digits.insert(0, digit)
    exponent = len(digits) - 1
    while not digits[-1]:
        digits.pop()
    if value > 0:
        return bytes([0xC1 + exponent, *(digit + 1 for digit in digits)])
    return bytes([0x3E - exponent, *(101 - digit for digit in digits), 102])


def described(columns: Sequence[str], kinds: Sequence[int]) -> Writer:
    """Return the description of columns."""
    writer = Writer().raw(DESCRIBE).short(b"").number(0, len(columns))
    if columns:
        writer.raw(1)
    for place, (column, kind) in enumerate(zip(columns, kinds, strict=True), 1):
        size = 4000 if kind == VARCHAR else 22
        writer.raw(kind, 0, 0, 0).number(size, 0, 0, 0, 0, UTF8 if kind == VARCHAR else 0)
        writer.raw(1 if kind == VARCHAR else 0).number(size, 0).raw(1, 0)
        writer.text(column).text("").text("").number(place, 0)
    return writer.number(0, 0, 0, 0, 0, 0)


def protocol() -> Writer:
    """Return the first message of a server."""
    writer = Writer().raw(PROTOCOL, 6, 0)
    writer.data += b"Stand-in for Oracle\0"
    writer.data += UTF8.to_bytes(2, "little") + bytes([0]) + bytes(2)
    sets = bytes(9) + (2000).to_bytes(2, "big") + bytes(2)
    writer.data += len(sets).to_bytes(2, "big") + sets
    compiled = bytearray(53)
    compiled[7] = FIELD_VERSION
    running = bytearray(11)
    running[6] = 4  # long strings
    return writer.short(bytes(compiled)).short(bytes(running))


# Proofs of a password: what Oracle calls O5LOGON, with the verifier of 12c


def derived(password: bytes, salt: bytes, length: int, rounds: int) -> bytes:
    """Return a key from a password."""
    return hashlib.pbkdf2_hmac("sha512", password, salt, rounds, length)


def encrypted(key: bytes, text: bytes) -> bytes:
    """Encrypt. Each byte of the padding is the number of padding bytes."""
    missing = 16 - len(text) % 16
    encryptor = Cipher(algorithms.AES(key), modes.CBC(bytes(16))).encryptor()
    return encryptor.update(text + bytes([missing]) * missing) + encryptor.finalize()


def decrypted(key: bytes, text: bytes) -> bytes:
    """Decrypt, and keep the padding."""
    decryptor = Cipher(algorithms.AES(key), modes.CBC(bytes(16))).decryptor()
    return decryptor.update(text) + decryptor.finalize()


@dataclass(frozen=True)
class Challenge:
    """What the server sends. Only somebody with the password can answer it."""

    salt: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    key: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    """The server's half of the session key, encrypted. Each password of the user decrypts it to another key."""
    mixing_salt: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    rounds: int = 64
    mixing_rounds: int = 3

    def pairs(self) -> list[tuple[str, str, int]]:
        """Return the challenge as the client reads it."""
        return [
            ("AUTH_SESSKEY", self.key.hex().upper(), 1),
            ("AUTH_VFR_DATA", self.salt.hex().upper(), VERIFIER_12C),
            ("AUTH_PBKDF2_CSK_SALT", self.mixing_salt.hex().upper(), 0),
            ("AUTH_PBKDF2_VGEN_COUNT", str(self.rounds), 0),
            ("AUTH_PBKDF2_SDER_COUNT", str(self.mixing_rounds), 0),
        ]

    def session_key(self, password: str, answer: str) -> bytes:
        """Return the session key, if the client answered with this password."""
        own = derived(password.encode(), self.salt + b"AUTH_PBKDF2_SPEEDY_KEY", 64, self.rounds)
        verifier = hashlib.sha512(own + self.salt).digest()[:32]
        halves = decrypted(verifier, bytes.fromhex(answer)[:32]) + decrypted(verifier, self.key)
        return derived(halves.hex().upper().encode(), self.mixing_salt, 32, self.mixing_rounds)


def opened(key: bytes, secret: str) -> str | None:
    """Decrypt a password with a session key; return None if it was encrypted with another key."""
    text = decrypted(key, bytes.fromhex(secret))
    padding = text[-1]
    if not 0 < padding <= 16 or text[-padding:] != bytes([padding]) * padding:
        return None
    try:
        return text[16:-padding].decode()
    except UnicodeDecodeError:
        return None
