"""Whatever the password, however it is written and wherever it is cut off: is it nowhere in what can be seen?"""

import json
import string

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from rotation.errors import StatementFailed
from rotation.redaction import MASK, Redactor
from rotation.redaction.redactor import MASKED_WHOLE
from rotation.redaction.search import PIECE_LENGTH
from rotation.redaction.spelling import plain, plain_with_places
from tests.fakes import FakeDatabase, reading
from tests.laboratories import ORDERS
from tests.local.aws.secrets_manager import Call, LocalSecretsManager, ServiceError
from tests.profiles import examples
from tests.service.invoking import Call as Seen
from tests.service.invoking import Invoke, event
from tests.service.scenario import Scenario
from tests.writing import PLACES, QUOTING, TWICE, WAYS

ASCII = string.ascii_letters + string.digits + string.punctuation
SECRETS = st.text(ASCII, min_size=10, max_size=40) | st.text(ASCII + "  äßé漢😀", min_size=10, max_size=40)
SECRETS |= st.text("'\"\\`%&+$ ab", min_size=12, max_size=24)
LETTERS = set(string.ascii_letters + string.digits)


def is_telling(text: str) -> bool:
    """Tell whether it could not be in any other text as well: the search takes words from this very code."""
    return len(text) >= PIECE_LENGTH and len(set(text) - set(" \\'\"")) > PIECE_LENGTH // 2 and not text.isidentifier()


@st.composite
def written(draw: st.DrawFn, ways: object = (WAYS | TWICE)) -> tuple[str, str]:
    """Draw a secret, and how it is written."""
    assert isinstance(ways, dict)
    secret = draw(SECRETS.filter(is_telling))
    form = ways[draw(st.sampled_from(sorted(ways)))](secret)
    return secret, form


@st.composite
def cut_off(draw: st.DrawFn) -> tuple[str, str]:
    """Draw a secret, and a piece of how it is written."""
    secret, form = draw(written(WAYS))
    start = draw(st.sampled_from([0, 0, 1, len(form) // 2]))
    length = draw(st.integers(PIECE_LENGTH, len(form)))
    piece = (form[start:][:length] if draw(st.booleans()) else form[-length:]).strip()
    assume(is_telling(piece))
    return secret, piece


SAID = written() | cut_off()


@examples(100)
@given(SAID, st.sampled_from(PLACES))
def test_nothing_of_a_secret_is_left_in_what_others_say(said: tuple[str, str], place: str) -> None:
    secret, piece = said
    redact = Redactor()
    redact.add_secret(secret)
    shown = redact(place.format(piece))
    assert piece not in shown
    assert MASK in shown


@examples(60)
@example(("50%41 a&amp;b''\\n\\\\x41", "50%41 a&amp;b''\\n\\\\x41"))
@given(written(QUOTING))
def test_without_quoting_all_ways_to_write_a_text_are_the_same(said: tuple[str, str]) -> None:
    secret, form = said
    # A shell puts a backslash into the middle of what would be read as an escape: those forms are known as they are.
    assume(not ("\\" in form and {"&", "%"} & set(secret)))
    assert plain(form) == plain(secret) or " ".join(secret.split()) == form


@examples(60)
@given(st.text(ASCII + " \n\té\ud800") | st.text("%25\\u0x41&amp;#;'\"$ "))
def test_what_is_left_of_a_text_is_where_it_says(text: str) -> None:
    bare, places = plain_with_places(text)
    assert bare == plain(text)
    assert len(places) == len(bare) + 1
    assert places == sorted(places)
    for sign, start, end in zip(bare, places, places[1:], strict=False):
        assert sign not in LETTERS or sign in text[start:end] or set(text[start:end]) & set("\\%&")


@examples(60)
@given(st.lists(st.text(max_size=12)), st.text(), st.integers(1, 40))
def test_a_text_of_whatever_kind_can_be_said(strings: list[str], text: str, most: int) -> None:
    redact = Redactor()
    redact.read(json.dumps(strings))
    redact.read(text)
    shown = redact.said(text * 3, most)
    assert len(shown) <= most
    assert shown.isprintable()


# Through the whole handler


@pytest.fixture
def quiet(invoke: Invoke, caplog: pytest.LogCaptureFixture) -> Invoke:
    """Calls the handler, and returns what comes out of this one call."""

    def call(database: FakeDatabase, event: object) -> Seen:
        caplog.clear()
        return invoke(database, event)

    return call


def new_secret(service: LocalSecretsManager, current: str, pending: str, admin: str, more: object) -> Scenario:
    """Return a secret of alternating users under rotation, whose pending version is written."""
    by = Scenario(service, username="admin", password=admin)
    scenario = Scenario(service, password=current, masterarn=by.arn, more=more).begin()
    value = {**scenario.secret().current().fields, "username": "app_clone", "password": pending}
    scenario.client.put_secret_value(
        SecretId=scenario.arn,
        ClientRequestToken=scenario.token,
        SecretString=json.dumps(value),
        VersionStages=["AWSPENDING"],
    )
    return scenario


def new_database(current: str, admin: str, says: str) -> FakeDatabase:
    """Return a database that says this when the admin has come."""
    database = FakeDatabase()
    database.new_user("admin", admin, is_admin=True)
    database.new_user("app", current, reading(ORDERS))

    def before(statement: str) -> None:
        if "CREATE" in statement:
            raise StatementFailed(f"doing {says}", f"it says {says}", f"Look at {says}")

    database.before = before
    return database


@pytest.mark.parametrize("whose", ["current", "pending", "admin", "more"])
@examples(8)
@given(SAID, st.sampled_from(PLACES))
def test_nothing_of_a_secret_is_seen_of_what_a_server_says(
    service: LocalSecretsManager, quiet: Invoke, whose: str, said: tuple[str, str], place: str
) -> None:
    secret, piece = said
    assume("\n" not in secret)
    # Other texts have the pieces of a sentence; of a password they are masked nevertheless.
    assume(whose != "more" or secret in piece or not MASKED_WHOLE.fullmatch(secret))
    known = {"current": "password-0", "pending": "password-1", "admin": "password-2", "more": "another"} | {
        whose: secret
    }
    scenario = new_secret(service, known["current"], known["pending"], known["admin"], [{"deep": known["more"]}])
    call = quiet(new_database(known["current"], known["admin"], place.format(piece)), event(scenario, "setSecret"))
    assert call.line["error"] == "StatementFailed"
    assert call.line["cause"].startswith("it says")
    assert secret not in call.seen.replace(scenario.arn, "")
    assert piece not in call.seen.replace(scenario.arn, "")


@examples(15)
@given(SAID, st.sampled_from(PLACES))
def test_nothing_of_a_secret_is_seen_of_what_aws_says(
    service: LocalSecretsManager, quiet: Invoke, said: tuple[str, str], place: str
) -> None:
    secret, piece = said
    scenario = Scenario(service, password=secret).begin()

    def refuse(call: Call, _: object) -> None:
        if call.operation == "PutSecretValue":
            raise ServiceError("InvalidRequestException", place.format(piece), 400)

    service.intercept = refuse
    call = quiet(FakeDatabase(), event(scenario, "createSecret"))
    service.intercept = None
    assert call.line["error"] == "ServiceFailed"
    assert "answered InvalidRequestException" in call.line["cause"]
    assert secret not in call.seen.replace(scenario.arn, "")
    assert piece not in call.seen.replace(scenario.arn, "")
