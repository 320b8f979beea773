"""Whatever comes in as an event or as a secret: is it read, or refused as what it is, and never anything else?"""

import json
import re
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rotation.credential import SecretValue, parse_object
from rotation.errors import InvalidEvent, InvalidSecret
from rotation.event import RotationEvent
from rotation.redaction import MASK, SHORTEST_MASKED, Redactor
from rotation.steps import Step
from tests.fakes import KIND
from tests.profiles import examples

DOING = "reading"
FULL: dict[str, object] = {"engine": "fake", "host": "db.example.com", "username": "app", "password": "the-password"}
OURS = ["engine", "host", "port", "username", "password", "dbname", "masterarn", "ssl", "rotation"]

# Half surrogates among them: JSON can name what no text can hold.
TEXTS = st.text(st.characters(categories=None), max_size=12) | st.sampled_from([
    "", "\0", "\n", "'", '"', "\\", "`", "%s", "{}", ";--", "\u202e", "😀", "\ud800", "true", "5432", "null",
])  # fmt: skip
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=5
)
NEARLY_A_SECRET = st.builds(
    lambda base, changed, own: {**base, **own, **changed},
    st.sampled_from([FULL, {}]),
    st.dictionaries(st.sampled_from(OURS), JSON, max_size=2),
    st.dictionaries(TEXTS, JSON, max_size=3),
)
NEARLY_AN_EVENT = st.fixed_dictionaries(
    {},
    optional={
        "Step": st.sampled_from([*Step]) | JSON,
        "SecretId": JSON,
        "ClientRequestToken": st.just("x" * 36) | JSON,
        "RotationToken": JSON,
        "Other": JSON,
    },
)


def read(text: str) -> SecretValue | None:
    """Read a secret; None if it is refused as one, in all three parts."""
    try:
        return SecretValue.parse(text, KIND, DOING)
    except InvalidSecret as refusal:
        error = refusal
    assert error.operation == DOING
    assert error.cause
    assert error.remedy
    str(error).encode()
    return None


@examples(60)
@example("[" * 60_000)
@example('{"a":' * 60_000)
@given(TEXTS | JSON.map(json.dumps) | NEARLY_A_SECRET.map(json.dumps) | st.binary().map(lambda b: b.decode("latin-1")))
def test_a_text_is_a_secret_or_refused_as_one(text: str) -> None:
    read(text)


@examples(60)
@given(NEARLY_A_SECRET, st.booleans())
def test_what_is_read_has_only_texts_that_can_be_sent(fields: dict[str, object], escaped: bool) -> None:
    value = read(json.dumps(fields, ensure_ascii=escaped))
    if value:
        credential = value.credential
        texts = [credential.host, credential.username, credential.password, credential.database or "", *value.verify]
        for text in texts:
            assert "\0" not in text
            text.encode()
        assert 0 < credential.port < 65_536


@examples(80)
@given(st.dictionaries(TEXTS, JSON, max_size=4), st.permutations([*FULL]), st.booleans())
def test_all_other_keys_are_carried_over_exactly_and_in_their_order(
    own: dict[str, object], order: list[str], escaped: bool
) -> None:
    fields = {**{key: FULL[key] for key in order[:2]}, **own, **FULL}
    text = json.dumps(fields, ensure_ascii=escaped)
    value = read(text)
    if not value:
        assert any(key in own for key in OURS) or _is_beyond_json(text)
        return
    successor = value.successor("app_clone", "new 'password'").to_json()
    successor.encode()
    expected = json.loads(text) | {"username": "app_clone", "password": "new 'password'"}
    # Compared as texts: 1, 1.0 and True are equal to Python, and different to an owner.
    assert json.dumps(json.loads(successor)) == json.dumps(expected)
    assert read(successor) == value.successor("app_clone", "new 'password'")


@examples(40)
@given(TEXTS, JSON, JSON, st.booleans())
def test_a_key_that_is_there_twice_is_refused(key: str, one: object, other: object, nested: bool) -> None:
    twice = f"{json.dumps(key)}: {json.dumps(one)}, {json.dumps(key)}: {json.dumps(other)}"
    text = json.dumps(FULL)[:-1] + (f', "mine": [{{{twice}}}]}}' if nested else f", {twice}}}")
    assert read(text) is None


@pytest.mark.parametrize("key", FULL)
def test_a_key_of_ours_that_is_there_twice_is_named_and_its_values_are_not(key: str) -> None:
    text = json.dumps(FULL)[:-1] + f', "{key}": "another-value"}}'
    with pytest.raises(InvalidSecret, match=f'the key "{key}" twice') as caught:
        SecretValue.parse(text, KIND, DOING)
    assert not re.search(r"another-value|the-password", str(caught.value))


def test_a_value_of_the_largest_size_is_written_no_larger_than_it_was_read() -> None:
    fields = {**FULL, "list": list(range(1000)), "text": ""}
    fields["text"] = "ü" * ((65_536 - len(compact(fields).encode())) // 2)
    value = read(compact(fields))
    assert value
    assert len(value.successor("app", "the-passw0rd").to_json().encode()) <= 65_536


def compact(fields: object) -> str:
    """Write JSON as other programs do, without a blank."""
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False)


@examples(80)
@given(JSON | NEARLY_AN_EVENT)
def test_an_event_is_read_or_refused_as_one(event: object) -> None:
    _parse_event(event)


@examples(60)
@given(NEARLY_AN_EVENT, JSON)
def test_an_event_that_is_read_has_what_a_step_needs(event: dict[str, object], more: object) -> None:
    parsed = _parse_event({**event, "More": more})
    if parsed:
        assert parsed.step in set(Step)
        assert parsed.secret_id
        assert len(parsed.version_token) in range(32, 65)


@examples(60)
@given(TEXTS, TEXTS)
def test_every_text_can_be_masked(secret: str, around: str) -> None:
    redact = Redactor()
    redact.add_secret(secret)
    said = redact(f"{around}{secret}{around}")
    assert len(secret) < SHORTEST_MASKED or secret not in said.replace(MASK, "") or secret in around


def _parse_event(event: object) -> RotationEvent | None:
    try:
        return RotationEvent.parse(event)
    except InvalidEvent as refusal:
        error = refusal
    assert "Attach this function" in error.remedy
    return None


def _is_beyond_json(text: str) -> bool:
    """Tell whether somewhere a number is beyond JSON's range, or beyond Python's digits."""
    try:
        parse_object(text, DOING)
    except InvalidSecret:
        return True
    return False


@pytest.mark.parametrize("make", [lambda key: {**FULL, "rotation": {"verify": [f"SELECT 1{key}"]}}])
@pytest.mark.parametrize("text", ["\0", "\ud800"], ids=["NUL", "half a character"])
def test_a_statement_that_no_server_can_be_sent_is_refused(make: Callable[[str], object], text: str) -> None:
    with pytest.raises(InvalidSecret, match='"verify"'):
        SecretValue.parse(json.dumps(make(text)), KIND, DOING)
