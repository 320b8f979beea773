"""Is every known secret masked, however it is quoted and wherever it is cut off, and does all else stay readable?"""

import ast
import base64
import json
import shlex
import sys
import unicodedata
from pathlib import Path
from threading import Thread
from typing import Literal
from urllib.parse import quote, quote_plus, urlencode

import pytest

import rotation
from rotation.deadline import within
from rotation.redaction import LONGEST, LONGEST_READ, MASK, QUOTED, Redactor, concealed, redacting, said
from rotation.redaction.contents import strings_of
from rotation.redaction.search import PIECE_LENGTH
from rotation.redaction.spelling import MOST_CHARACTERS_OF_FORMS, MOST_TEXTS_WITH_FORMS, forms_of
from tests.writing import PLACES, TWICE, WAYS

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
    redact.add_secret(secret)
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
def test_a_secret_is_masked_in_every_way_to_write_it(secret: str, written: object) -> None:
    assert callable(written)
    text = written(secret)
    quoted = masked(secret, f"before {text} after")
    assert text.strip("'\"") not in quoted
    assert MASK in quoted
    assert quoted.startswith("before ")
    assert quoted.endswith(" after")


KEY = "kT9#vQ2!mZ7xLp4w"
FORMS: tuple[Literal["NFC", "NFD", "NFKC", "NFKD"], ...] = ("NFC", "NFD", "NFKC", "NFKD")


@pytest.mark.parametrize(
    ("secret", "written"),
    sorted(
        {
            (KEY, KEY.upper()),
            (KEY, KEY.lower()),
            (KEY, KEY.swapcase()),
            (KEY, KEY.upper()[:9]),
            ("Correct Horse Battery", "CORRECT HORSE BATTERY"),
            (KEY, f"{KEY[:7]}\n{KEY[7:]}"),
            (KEY, f"{KEY[:7]}\\n{KEY[7:9]} \t{KEY[9:]}"),
            *((KEY, KEY.encode().hex(separator)) for separator in " :,-"),
            *((KEY, KEY.encode().hex(separator).upper()) for separator in " :,-"),
            (KEY, KEY.encode().hex(" ", 2)),
            (KEY, KEY.encode().hex(":")[:12]),
            (KEY, base64.encodebytes(KEY.encode() * 5).decode().strip()),
            *(
                (secret, unicodedata.normalize(form, secret))
                for secret in ("söcrét-Ⅷ-ﬁnå", unicodedata.normalize("NFD", "söcrét-Ⅷ-ﬁnå"))
                for form in FORMS
            ),
            *(
                (secret, write(secret))
                for secret in ("söcrét-Ⅷ-ﬁnå", unicodedata.normalize("NFD", "söcrét-Ⅷ-ﬁnå"))
                for write in (
                    lambda text: text.encode("ascii", "replace").decode(),
                    lambda text: text.encode("latin-1", "replace").decode("latin-1"),
                    lambda text: text.encode().decode("latin-1"),
                    lambda text: json.dumps(unicodedata.normalize("NFD", text)),
                )
            ),
            ("漢字漢字漢字", "漢字漢字漢字".encode().decode("latin-1")),
        }
    ),
)
def test_a_secret_is_masked_in_another_case_encoding_or_normal_form(secret: str, written: str) -> None:
    assert masked(secret * 5 if len(written) > 100 else secret, f"it is {written}, they say").replace('"', "") == (
        f"it is {MASK}, they say"
    )


def test_a_string_of_a_secret_is_masked_in_another_case_and_with_a_line_break() -> None:
    redact = Redactor()
    redact.read(json.dumps({"own": KEY}))
    assert redact(f"it is {KEY.swapcase()[:7]}\n{KEY.swapcase()[7:]}, they say") == f"it is {MASK}, they say"


def test_question_marks_are_not_masked() -> None:
    assert masked("漢字漢字漢字漢字", "why????????") == "why????????"


def count_calls(redact: Redactor, text: str) -> int:
    """Count how many functions are called to mask a text."""
    count = 0

    def see(_frame: object, event: str, _of: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    redact("")
    before = sys.getprofile()
    sys.setprofile(see)
    try:
        redact(text)
    finally:
        sys.setprofile(before)
    return count


def test_the_work_grows_linearly_with_the_text() -> None:
    redact = Redactor()
    redact.read(json.dumps({"password": KEY, "k": ["a" * length for length in range(8, 58)]}))
    few, many = count_calls(redact, "a" * (LONGEST_READ // 4)), count_calls(redact, "a" * LONGEST_READ)
    assert many < 5 * few
    assert many < 100 * LONGEST_READ


def test_the_forms_of_many_strings_are_limited() -> None:
    texts = [f"{number:03}'\"\\ü" + "x%" * 246 for number in range(MOST_TEXTS_WITH_FORMS)]
    forms = forms_of(texts)
    assert 0 < len(forms) < MOST_TEXTS_WITH_FORMS
    assert sum(len(form) for ways in forms.values() for form in ways) <= MOST_CHARACTERS_OF_FORMS
    assert len(forms_of(map(str, range(1000, 1000 + 2 * MOST_TEXTS_WITH_FORMS)))) <= MOST_TEXTS_WITH_FORMS
    redact = Redactor()
    redact.read(json.dumps({"k": texts}))
    assert redact(f"it is {json.dumps(texts[-1])}") == f'it is "{MASK}"'


HARD = [
    "Kq7'x\"R\\2 m%&<z",
    "Zw9$ü é;漢字😀 t/+x",
    "p4\\\\n''\"\"%41&amp;#x41;",
    "two\nlines\tand  a tab 7",
    "S3cr3t-Passw0rd/abc+=",
]


@pytest.fixture(params=HARD)
def hard(request: pytest.FixtureRequest) -> tuple[str, Redactor]:
    """A secret that is hard to quote, and a redactor that knows it."""
    redact = Redactor()
    redact.add_secret(request.param)
    return request.param, redact


def test_no_way_to_write_a_hard_secret_is_missed(hard: tuple[str, Redactor]) -> None:
    secret, redact = hard
    forms = {way: write(secret) for way, write in (WAYS | TWICE).items()}
    for place in PLACES:
        shown = {way: redact(place.format(form)) for way, form in forms.items()}
        assert {way: text for way, text in shown.items() if forms[way] in text} == {}
        start = place.partition("{}")[0].rstrip("'\"…")
        assert {way: text for way, text in shown.items() if not text.startswith(start)} == {}


def test_no_piece_of_eight_characters_is_missed_at_either_end(hard: tuple[str, Redactor]) -> None:
    secret, redact = hard
    for form in (write(secret) for write in WAYS.values()):
        for length in {PIECE_LENGTH, PIECE_LENGTH + 1, PIECE_LENGTH + 4, len(form) // 2, len(form) - 1}:
            for piece in (form[:length].strip(), form[-length:].strip(), form[3:][:length].strip()):
                for place in PLACES[:2] if len(piece) >= PIECE_LENGTH else ():
                    assert piece not in redact(place.format(piece))


def test_a_shorter_piece_is_not_masked() -> None:
    assert masked("S3cr3t-Passw0rd", "S3cr3t- and asswrd") == "S3cr3t- and asswrd"


def test_every_occurrence_is_masked() -> None:
    assert masked("secret", "secret secret, secretly") == f"{MASK} {MASK}, {MASK}ly"


def test_a_secret_inside_another_is_masked_with_it() -> None:
    redact = Redactor()
    for secret in ["word", "password", "the-password-1"]:
        redact.add_secret(secret)
    assert redact("the-password-1 password word") == f"{MASK} {MASK} {MASK}"


@pytest.mark.parametrize("not_a_secret", [None, 7, [], "", "abc"])
def test_something_that_is_no_text_or_too_short_is_not_masked(not_a_secret: object) -> None:
    redact = Redactor()
    redact.add_secret(not_a_secret)
    assert redact("None 7 [] abc") == "None 7 [] abc"


VERIFIERS = [
    "SCRAM-SHA-256$4096:c2FsdHNhbHRzYWx0c2FsdA==$c3RvcmVkc3RvcmVk:c2VydmVyc2VydmVy",
    "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19",
    "*2470c0c06dee42fd1618",
    "$A$005$saltsaltsaltsaltsaltQ1hDaGVja2luZ1RoZURpZ2VzdE9mVGhpc1Rlc3RPbmx5MTIz",
    # As MySQL 9.7 made and showed it: a salt can have control characters, quotes and blanks.
    (
        "$B$00A$-j\x06si \\rqS.mC<zBA}\t\x0c"
        "cTGZoSfgWN8shSeG0/hfSAqL6w8jefAPLnzzEAWwZb/NNPMZUHU3ubnz0NjciKgsMBFllKllEu3JOhUYC1rn6Bg=="
    ),
    "$A$005$ab'c\"d\\0efghijklmnopqYVqVhvBhVf9Zz0pLm2dJQ5f0QXbT8rJc4nq0m5Kx1y2",
    "$A$005$saltsalt",
    "$5$saltsaltsaltsaltsalt$Q1hDaGVja2luZ1RoZURpZ2VzdE9mVGhpc1Rlc3RPbmx5MTI",
    "0x24412430303524" + "5A" * 60,
    "0x0200F1D2C3B4" + "A5" * 64,
    "0x0100F1D2C3B4" + "A5" * 20,
    "md5" + "0123456789abcdef" * 2,
    "ZIgUREUg5PVgQ6LskhXmO+eZLS0nC8be6HPjYWR4YJY",
    "P0:WW9sXaaL/o:vubFBzIrapbfHct1/J72dnUryz5VS7lA6XHH8sIx4TI",
    "S:" + "8F2D" * 15 + ";T:" + "0A1B" * 40 + ";H:" + "77CC" * 8,
]


@pytest.mark.parametrize("verifier", VERIFIERS)
def test_an_unknown_verifier_is_masked(verifier: str) -> None:
    text = Redactor()(f"ALTER ROLE app SET x TO {verifier} -- {shlex.quote(verifier)}")
    assert verifier not in text
    assert verifier[-20:] not in text
    assert text.startswith(f"ALTER ROLE app SET x TO {MASK}")


@pytest.mark.parametrize(
    ("statement", "shown"),
    [
        ("ALTER USER a IDENTIFIED BY 'it''s \\' it' ACCOUNT UNLOCK", "ALTER USER a IDENTIFIED BY '***' ACCOUNT UNLOCK"),
        ('ALTER USER "A" IDENTIFIED BY "unknown" PROFILE p', 'ALTER USER "A" IDENTIFIED BY "***" PROFILE p'),
        ("CREATE LOGIN [a] WITH PASSWORD = N'unknown', SID", "CREATE LOGIN [a] WITH PASSWORD = N'***', SID"),
        ("IDENTIFIED VIA ed25519 USING 'unknown' OR", "IDENTIFIED VIA ed25519 USING '***' OR"),
        ("IDENTIFIED VIA ed25519 USING PASSWORD('unknown')", "IDENTIFIED VIA ed25519 USING PASSWORD('***')"),
        ("IDENTIFIED WITH 'plugin' AS 'unknown' x", "IDENTIFIED WITH 'plugin' AS '***' x"),
        ("ALTER ROLE a PASSWORD 'cut off", "ALTER ROLE a PASSWORD '***"),
        ("IDENTIFIED BY VALUES 'unknown'", "IDENTIFIED BY VALUES '***'"),
        ('{"username": "app", "password": "unknown"}', '{"username": "app", "password": "***"}'),
        (
            "Access denied for user 'a'@'b' (using password: YES)",
            "Access denied for user 'a'@'b' (using password: YES)",
        ),
        ('password authentication failed for user "app"', 'password authentication failed for user "app"'),
    ],
)
def test_an_unknown_password_in_a_statement_that_sets_one_is_masked(statement: str, shown: str) -> None:
    assert Redactor()(statement) == shown


# What is in a secret

FIELDS = {
    "engine": "postgres",
    "host": "orders-db.abc.eu-west-1.rds.amazonaws.com",
    "port": "5432",
    "username": "app_production",
    "password": "Kq7xR2m9Zw4t",
    "dbname": "orders",
}


def redactor_of(*texts: str) -> Redactor:
    """Return a redactor that has read these secrets."""
    redact = Redactor()
    for text in texts:
        redact.read(text)
    return redact


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({**FIELDS, "apiKey": "T0ken-of-another"}),
        json.dumps({**FIELDS, "a": [{"b": [["x", {"c": "T0ken-of-another"}]]}]}),
        json.dumps({**FIELDS, "config": json.dumps({"inner": json.dumps(["T0ken-of-another"])})}),
        json.dumps({**FIELDS, "host": "postgresql://app:T0ken-of-another@db:5432/x"}),
        json.dumps({**FIELDS, "host": "postgresql://app:T0ken%2Dof%2Danother@db:5432/x"}),
        json.dumps({**FIELDS, "url": "app/T0ken-of-another@//db:1521/x"}),
        json.dumps({**FIELDS, "url": "app:T0ken-of-another@tcp(db:3306)/x"}),
        json.dumps({**FIELDS, "url": "jdbc:postgresql://db/x?user=app&password=T0ken-of-another"}),
        json.dumps({**FIELDS, "url": "https://hooks.example.com/T0ken-of-another/x"}),
        json.dumps({**FIELDS, "dsn": "host=db user=app password='T0ken-of-another'"}),
        json.dumps({**FIELDS, "dsn": "Server=db;User Id=app;Pwd=T0ken-of-another;"}),
        json.dumps({**FIELDS, "pem": "-----BEGIN KEY-----\nT0ken-of-another\n-----END KEY-----\n"}),
        json.dumps({**FIELDS, "pem": "-----BEGIN KEY-----\\nT0ken-of-another\\n-----END KEY-----"}),
        json.dumps(FIELDS)[:-1] + ', "username": "T0ken-of-another"}',
        json.dumps(FIELDS)[:-1] + ', "truncated": "T0ken-of-another',
        "T0ken-of-another",
        '"T0ken-of-another"',
        "user: app\npassword: T0ken-of-another\n",
        "[" * 60_000 + '"T0ken-of-another"',
    ],
    ids=[
        "key",
        "deep",
        "JSON in JSON",
        "host",
        "host, encoded",
        "Oracle",
        "Go",
        "JDBC",
        "address",
        "DSN",
        "ADO",
        "PEM",
        "PEM, escaped",
        "key twice",
        "truncated",
        "no JSON",
        "a text",
        "YAML",
        "too deep",
    ],
)
def test_every_string_of_a_secret_is_masked_under_any_key_and_in_any_format(text: str) -> None:
    redact = redactor_of(text)
    assert redact("near T0ken-of-another, it says") == f"near {MASK}, it says"
    assert redact("near T0ken-of") == f"near {MASK}"


def test_a_long_string_is_masked() -> None:
    key = "".join(chr(33 + number * 7 % 90) for number in range(3000))
    redact = redactor_of(json.dumps({**FIELDS, "key": key}))
    for form in (key, key[:40], key[-40:], json.dumps(key)[1:-1], quote(key)):
        assert redact(f"it is {form}") == f"it is {MASK}"


def test_released_texts_are_not_masked_and_the_rest_is() -> None:
    redact = redactor_of(
        json.dumps({**FIELDS, "dbInstanceIdentifier": "orders-db", "old": "app_production-Kq7xR2m9Zw4t"})
    )
    sentence = "logging in as app_production at orders-db.abc.eu-west-1.rds.amazonaws.com:5432 to orders"
    assert redact(sentence) != sentence
    redact.release("app_production", FIELDS["host"], "orders-db", f"{FIELDS['host']}:5432", "orders")
    assert redact(sentence) == sentence
    assert redact("app_production-Kq7xR2m9Zw4t") == MASK
    assert redact("looking for app_production_clone") == "looking for app_production_clone"


@pytest.mark.parametrize("inner", [["T0ken"], {"key": "T0ken"}, [["T0ken"]]])
@pytest.mark.parametrize(("before", "after"), [("", ""), (" \t\r\n", "\n")])
def test_json_is_read_with_blanks_around_it_also_in_a_string(inner: object, before: str, after: str) -> None:
    text = f"{before}{json.dumps(inner)}{after}"
    assert [string for _, string in strings_of(text)] == ["T0ken"]
    assert [string for _, string in strings_of(json.dumps({"config": text}))] == [text, "T0ken"]


def test_a_password_is_masked_even_if_a_released_text_is_the_same() -> None:
    redact = redactor_of(json.dumps({**FIELDS, "username": "Kq7xR2m9Zw4t"}))
    redact.release("Kq7xR2m9Zw4t")
    assert redact("Kq7xR2m9Zw4t logs in") == f"{MASK} logs in"


def test_a_whole_secret_inside_a_released_text_is_masked() -> None:
    redact = redactor_of(json.dumps({**FIELDS, "rotation": {"verify": ["SELECT f('Kq7xR2m9Zw4t')"]}}))
    redact.release("SELECT f('Kq7xR2m9Zw4t')")
    assert redact("it ran SELECT f('Kq7xR2m9Zw4t')") == f"it ran SELECT f('{MASK}')"


def sentences() -> list[str]:
    """Return what this program can say: all texts in it that are no documentation."""
    found = []
    for path in Path(rotation.__path__[0]).rglob("*.py"):
        tree = ast.parse(path.read_text())
        documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        constants = (
            node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in documentation
        )
        found += [node.value for node in constants if isinstance(node.value, str) and " " in node.value]
    return [text for text in found if not text.lstrip().startswith(("BEGIN", "SELECT", "WITH"))]


def test_words_in_a_secret_mask_no_sentence_of_ours() -> None:
    words = {
        "note": "The production database of the shop, ask an administrator before you rotate the password",
        "kind": ["database", "PostgreSQL", "Oracle", "true", "none", "user", "server", "primary", "admin", "secret"],
        "short": ["prod", "db", "eu", "main", "host", "port"],
        "url": "jdbc:postgresql://orders-db.abc.eu-west-1.rds.amazonaws.com:5432/orders?sslmode=verify-full",
        "arn": "arn:aws:kms:eu-west-1:123456789012:key/0b1c2d3e-0000-4000-8000-123456789abc",
        "password": "My Database Password 1",
    }
    redact = redactor_of(
        json.dumps(words), json.dumps({"password": "the-password-1"}), json.dumps({"password": "password"})
    )
    ours = sentences()
    assert len(ours) > 500
    assert {text: redact(text) for text in ours if redact(text) != text} == {}


def test_a_short_string_is_masked_only_as_a_whole_word() -> None:
    redact = redactor_of(json.dumps({**FIELDS, "stage": "prod"}))
    assert redact("prod, a product, non-prod_x") == f"{MASK}, a product, non-prod_x"


# What others say


def test_a_text_of_others_is_masked_before_it_is_put_on_one_line_and_cut_off() -> None:
    redact = redactor_of(json.dumps({**FIELDS, "password": "two\nlines  and\ta tab"}))
    with redacting(redact):
        assert said("it is two\nlines  and\ta tab,\n\n  or not\u2028\x1b[1m") == f"it is {MASK}, or not [1m"
        long = said("x" * (QUOTED - 10) + "two\nlines  and\ta tab")
    assert long == "x" * (QUOTED - 10) + MASK
    assert "two" not in long


@pytest.mark.parametrize("length", [QUOTED + 1, LONGEST_READ, LONGEST_READ + 1, 15_000_000])
def test_a_long_text_of_others_is_cut_off(length: int) -> None:
    assert len(said("x" * length)) == QUOTED
    assert len(Redactor().said("x" * length * 10, LONGEST)) == LONGEST


@pytest.mark.parametrize("before", range(LONGEST_READ - 20, LONGEST_READ + 1))
def test_a_secret_at_the_end_of_the_part_that_is_read_is_not_shown(before: int) -> None:
    redact = redactor_of(json.dumps(FIELDS))
    blanks = " " * (before - 2)
    shown = redact.said(f"{blanks}x {FIELDS['password']} and more")
    assert "Kq7xR" not in shown
    assert len(shown) < 20


def test_a_lone_surrogate_can_be_said() -> None:
    said("\ud800 and so on").encode()


def test_other_threads_of_an_invocation_mask_its_secrets_and_other_invocations_do_not() -> None:
    redact = redactor_of(json.dumps(FIELDS))
    text, elsewhere = f"it is {FIELDS['password']}", []
    with redacting(redact):
        assert said(text) == f"it is {MASK}"
        assert within(5, lambda: said(text)) == f"it is {MASK}"
        thread = Thread(target=lambda: elsewhere.append(said(text)))  # as of another invocation
        thread.start()
        thread.join()
    assert [said(text), *elsewhere] == [text, text]


def test_a_concealed_password_is_masked() -> None:
    with redacting(Redactor()):
        assert said(f"near {concealed('Unr3ad-password')}") == f"near {MASK}"
    assert concealed("Unr3ad-password") == "Unr3ad-password"
