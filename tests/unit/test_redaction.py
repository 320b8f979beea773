"""Is every learned secret masked, however it is quoted?"""

import json
import shlex
from urllib.parse import quote, quote_plus, urlencode

import pytest

from rotation.redaction import MASK, Redactor

SECRETS = [
    "plain-secret",
    'it\'s "quoted"',
    "back\\slash",
    "söcrét",
    'sö "crét" \\ü',
    "new\nline\ttab",
    "a b&c=d/e?f%g",
    "<x>$1\\1",
]


def masked(secret: str, text: str) -> str:
    """Mask one secret in a text."""
    redact = Redactor()
    redact.learn(secret)
    return redact(text)


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "written",
    [
        str,
        repr,
        json.dumps,
        lambda secret: json.dumps(secret, ensure_ascii=False),
        lambda secret: "'" + secret.replace("'", "''") + "'",
        quote_plus,
        lambda secret: quote(secret, safe=""),
        lambda secret: urlencode({"key": secret}),
    ],
    ids=["str", "repr", "JSON", "JSON beyond ASCII", "SQL", "form", "URL", "query"],
)
def test_a_secret_is_masked_in_whatever_way_it_is_written(secret: str, written: object) -> None:
    assert callable(written)
    text = written(secret)
    quoted = masked(secret, f"before {text} after")
    assert text.strip("'\"") not in quoted
    assert MASK in quoted
    assert quoted.startswith("before ")
    assert quoted.endswith(" after")


def test_every_occurrence_is_masked() -> None:
    assert masked("secret", "secret secret, secretly") == f"{MASK} {MASK}, {MASK}ly"


def test_of_a_secret_within_another_nothing_is_left() -> None:
    redact = Redactor()
    for secret in ["word", "password", "the-password-1"]:
        redact.learn(secret)
    assert redact("the-password-1 password word") == f"{MASK} {MASK} {MASK}"


@pytest.mark.parametrize("not_a_secret", [None, 7, [], "", "abc"])
def test_what_is_no_text_or_too_short_to_be_masked_leaves_texts_as_they_are(not_a_secret: object) -> None:
    redact = Redactor()
    redact.learn(not_a_secret)
    assert redact("None 7 [] abc") == "None 7 [] abc"


@pytest.mark.parametrize(
    "verifier",
    [
        "SCRAM-SHA-256$4096:c2FsdHNhbHRzYWx0c2FsdA==$c3RvcmVkc3RvcmVk:c2VydmVyc2VydmVy",
        "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19",
        "$A$005$saltsaltsaltsaltsaltQ1hDaGVja2luZ1RoZURpZ2VzdE9mVGhpc1Rlc3RPbmx5MTIz",
        "0x24412430303524" + "5A" * 60,
        "md5" + "0123456789abcdef" * 2,
    ],
)
def test_a_verifier_is_masked_though_nobody_learned_it(verifier: str) -> None:
    text = Redactor()(f"ALTER ROLE app PASSWORD '{verifier}'; -- {shlex.quote(verifier)}")
    assert verifier not in text
    assert text.startswith(f"ALTER ROLE app PASSWORD '{MASK}'")
