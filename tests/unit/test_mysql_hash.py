"""Are these the hashes that the servers keep?"""

import base64
import hashlib

import pytest

from rotation.engines.mysql.hashes import ED25519, PARSEC, ed25519, matches, native, sha256_crypt

SALT = b"\x01salt of 20 bytes\x7f\x02x"


@pytest.mark.parametrize(
    ("password", "salt", "rounds", "digest"),
    [
        # as `openssl passwd -5` prints them; the second one from https://www.akkadia.org/drepper/SHA-crypt.txt
        ("Hello world!", b"saltstring", 5000, "5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"),
        ("Hello world!", b"saltstringsaltst", 10000, "3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA"),
        ("This is just a test", b"toolongsaltstrin", 5000, "Un/5jzAHMgOGZ5.mWJpuVolil07guHPvOW8mGRcvxa5"),
    ],
)
def test_the_digest_is_that_of_unix(password: str, salt: bytes, rounds: int, digest: str) -> None:
    assert sha256_crypt(password.encode(), salt, rounds) == digest


def test_a_native_hash_is_sha1_of_sha1() -> None:
    assert native("password") == "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19"
    assert matches("password", native("password").encode(), "mysql_native_password")
    assert not matches("Password", native("password").encode(), "mysql_native_password")


@pytest.mark.parametrize(
    ("prefix", "rounds"), [(b"$A$005$", 5000), (b"$A$00A$", 10000), (b"$5$", 5000)], ids=["8.0", "9.7", "sha256"]
)
@pytest.mark.parametrize("password", ["", "x", "it's €", "long " * 30], ids=["empty", "short", "unicode", "long"])
def test_a_password_matches_its_own_hash_only(prefix: bytes, rounds: int, password: str) -> None:
    end = b"$" if prefix == b"$5$" else b""
    kept = prefix + SALT + end + sha256_crypt(password.encode(), SALT, rounds).encode()
    assert len(SALT) == 20
    assert matches(password, kept, "caching_sha2_password")
    assert not matches(password + "x", kept, "caching_sha2_password")
    assert not matches(password, kept[:-1] + b"!", "caching_sha2_password")
    assert not matches(password, kept.replace(b"salt", b"tlas"), "caching_sha2_password")


@pytest.mark.parametrize("password", ["", "it's €"])
def test_a_password_matches_its_own_pbkdf2_only(password: str) -> None:
    kept = b"$B$00A$" + SALT + base64.b64encode(hashlib.pbkdf2_hmac("sha512", password.encode(), SALT, 10_000))
    assert matches(password, kept, "caching_sha2_password")
    assert not matches(password + "x", kept, "caching_sha2_password")
    assert not matches(password, kept.replace(b"$B$", b"$A$"), "caching_sha2_password")
    assert not matches(password, kept.replace(b"00A", b"000"), "caching_sha2_password")
    assert not matches(password, kept[:-1], "caching_sha2_password")


# As MariaDB 11.8 made them of these passwords.
KEYS = [
    (ED25519, "sesame", "UQpKo7aMFBBmxjj/b8DjMuso+ADZKHvhEoN8HtShBOc"),
    (ED25519, "sésame ü€", "PfYNyzWUqzEr08SDVNeinhSLMQxAdWJMdi4SKLT07WA"),
    (PARSEC, "sesame", "P0:GArJLioHC4bMgcXnls2lF8fU:xbFt38cnpxUTAdNd1YCNN3CZ9lBPiRYlTersXOxLr+c"),
    (PARSEC, "sésame ü€", "P0:d9CL1ZcG+DIp+1eTj5Oyrlgo:prD2b6olOxDW5zuilgAkznfmeoQjR420a8DqDmhP4Ik"),
]


@pytest.mark.parametrize(("plugin", "password", "kept"), KEYS)
def test_a_password_matches_its_own_key_only(plugin: str, password: str, kept: str) -> None:
    assert matches(password, kept.encode(), plugin)
    assert not matches(password + "x", kept.encode(), plugin)
    assert not matches(password, kept[:-1].encode(), plugin)
    assert not matches(password, kept.encode(), "mysql_native_password")
    assert (plugin == ED25519) == (ed25519(password) == kept)


@pytest.mark.parametrize("kept", ["P0:A:A", "P:A:A", "P0::", "x"])
def test_what_is_no_key_matches_nothing(kept: str) -> None:
    assert not matches("sesame", kept.encode(), PARSEC)


@pytest.mark.parametrize("stored", [b"", b"$A$", b"$A$00", b"$A$xyz$" + bytes(63), b"$5$", b"$6$" + bytes(63), b"\xff"])
def test_what_is_no_hash_known_here_matches_nothing(stored: bytes) -> None:
    assert not matches("", stored, "caching_sha2_password")
    assert not matches("x", stored, "another_plugin")
