"""Is a secret's JSON read as AWS's templates read it, and refused if it could mean something else?"""

import json

import pytest

from rotation.credential import Credential, SecretValue, parse_object
from rotation.errors import InvalidSecret
from rotation.kind import EngineKind, Strategy
from tests.fakes import KIND

FULL = {"engine": "fake", "host": "db.example.com", "username": "app", "password": "the-password"}
OPERATION = "reading the current version"


def parse(fields: object, kind: EngineKind = KIND) -> SecretValue:
    """Read a secret's JSON."""
    return SecretValue.parse(json.dumps(fields), kind, OPERATION)


def credential(**fields: object) -> Credential:
    """Read a secret with some fields changed."""
    return parse({**FULL, **fields}).credential


def refusal(text: str) -> InvalidSecret:
    """Return the error for a text that is refused."""
    with pytest.raises(InvalidSecret) as caught:
        SecretValue.parse(text, KIND, OPERATION)
    assert caught.value.operation == OPERATION
    assert caught.value.remedy
    return caught.value


def test_keys_that_a_secret_does_not_have_get_the_engines_defaults() -> None:
    assert credential() == Credential(
        engine="fake",
        host="db.example.com",
        port=KIND.default_port,
        database=KIND.default_database,
        username="app",
        password="the-password",
        tls=True,
    )


def test_a_port_that_was_assumed_is_said() -> None:
    assert str(credential(port=5433)) == "app at db.example.com:5433"
    assert str(credential()) == "app at db.example.com:5000 (the default port: the secret names none)"


@pytest.mark.parametrize(("port", "expected"), [(5433, 5433), ("5433", 5433), (1, 1), ("65535", 65535)], ids=repr)
def test_a_port_is_a_number_or_a_string_of_digits(port: object, expected: int) -> None:
    assert credential(port=port).port == expected


@pytest.mark.parametrize(
    "port", [0, -1, 65536, "0", "", "5433 ", "+1", "0x10", "٣٣٠٦", 5433.0, True, None, [5433]], ids=repr
)
def test_any_other_port_is_refused(port: object) -> None:
    assert '"port"' in refusal(json.dumps({**FULL, "port": port})).cause


@pytest.mark.parametrize("ssl", [True, "true", "True", "TRUE"], ids=repr)
def test_tls_is_verified_if_the_secret_says_so(ssl: object) -> None:
    assert credential(ssl=ssl).tls


@pytest.mark.parametrize("ssl", [False, "false", "False", "FALSE"], ids=repr)
def test_only_an_explicit_false_switches_tls_off(ssl: object) -> None:
    assert not credential(ssl=ssl).tls


@pytest.mark.parametrize("ssl", ["", "no", "0", "off", "false ", 0, 1, 0.0, None, [], {}], ids=repr)
def test_any_other_ssl_is_refused_rather_than_guessed(ssl: object) -> None:
    assert '"ssl"' in refusal(json.dumps({**FULL, "ssl": ssl})).cause


@pytest.mark.parametrize("key", FULL)
def test_a_missing_key_is_named(key: str) -> None:
    fields = {name: value for name, value in FULL.items() if name != key}
    assert f'"{key}"' in refusal(json.dumps(fields)).cause


def test_all_missing_keys_are_named_at_once() -> None:
    assert refusal("{}").cause == 'it has no "engine", "host", "username", "password"'


@pytest.mark.parametrize("key", [*FULL, "masterarn"])
@pytest.mark.parametrize("value", ["", None, 7, ["x"], "a\0b"], ids=["empty", "null", "number", "list", "NUL"])
def test_a_key_that_is_no_string_is_named(key: str, value: object) -> None:
    assert f'"{key}"' in refusal(json.dumps({**FULL, key: value})).cause


def test_the_secret_of_another_engine_is_refused_and_both_engines_are_named() -> None:
    cause = refusal(json.dumps({**FULL, "engine": "oracle"})).cause
    assert cause == 'its "engine" is oracle; this function is for FakeDB (aurora-fake, fake)'


def test_an_unknown_engine_is_refused_and_not_quoted() -> None:
    cause = refusal(json.dumps({**FULL, "engine": "oracle-S3cr3t"})).cause
    assert cause == 'its "engine" is not a name of RDS; this function is for FakeDB (aurora-fake, fake)'


ADDRESS = "postgresql://app:S3cr3t-pw@db:5432/x"


@pytest.mark.parametrize(
    "fields",
    [
        *({key: ADDRESS} for key in ("engine", "host", "port", "ssl", "rotation")),
        *({key: [ADDRESS]} for key in ("engine", "host", "port", "ssl", "rotation", "username", "dbname", "masterarn")),
        {"rotation": {"strategy": ADDRESS}},
        {"rotation": {"verify": ADDRESS}},
        {"rotation": {"verify": [ADDRESS, 7]}},
    ],
    ids=repr,
)
def test_a_refused_value_is_not_quoted(fields: dict[str, object]) -> None:
    error = refusal(json.dumps({**FULL, **fields}))
    assert "S3cr3t-pw" not in str(error)
    assert f'"{next(iter(fields))}"' in error.cause


def test_an_unknown_key_is_not_quoted() -> None:
    text = json.dumps(FULL)[:-1] + ', "S3cr3t": 1, "S3cr3t": 2}'
    assert refusal(text).cause == "it has one of its keys twice"


def test_a_statement_with_another_string_of_the_secret_is_not_public() -> None:
    verify = ["SELECT 1", "SELECT * FROM remote('S3cr3tWord9x')", "SELECT 'the-password'"]
    value = parse({**FULL, "nested": [{"remote": "S3cr3tWord9x"}], "rotation": {"verify": verify}})
    assert [text for text in value.public if text.startswith("SELECT")] == ["SELECT 1"]


def test_names_and_places_are_public_and_texts_that_could_be_more_are_not() -> None:
    value = parse({
        **FULL, "host": "DB.example.com", "port": "5001", "dbname": "My Shop",
        "masterarn": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:rds!db-1-AbCdEf",
        "rotation": {"verify": ["SELECT 1"]}, "mine": "another-secret",
    })  # fmt: skip
    assert set(value.public) == {
        "fake", "db.example.com", "db", "5001", "db.example.com:5001", "app", "My Shop",
        "arn:aws:secretsmanager:eu-west-1:123456789012:secret:rds!db-1-AbCdEf", "SELECT 1",
    }  # fmt: skip
    hidden = parse({**FULL, "username": ADDRESS, "dbname": "user=app password=S3cr3t-pw", "masterarn": ADDRESS})
    assert "S3cr3t-pw" not in " ".join(hidden.public)


@pytest.mark.parametrize(
    "text", ["", "not JSON", "[]", '"text"', "7", "null", '{"password": "the-password"', "\ufeff{}"]
)
def test_a_text_that_is_no_json_object_is_refused_and_not_quoted(text: str) -> None:
    error = refusal(text)
    assert error.cause == "the value is not a JSON object"
    assert "the-password" not in str(error)
    assert error.__cause__ is None
    assert error.__suppress_context__ or error.__context__ is None


def test_too_deeply_nested_json_is_refused() -> None:
    with pytest.raises(InvalidSecret):
        parse_object("[" * 60_000, OPERATION)


HOSTS = [
    "db.example.com",
    "db",
    "10.0.0.1",
    "::1",
    "2001:db8::1",
    "::ffff:10.0.0.1",
    "a_b.c-d",
    "DB1.xyz.rds.amazonaws.com",
]


@pytest.mark.parametrize("host", HOSTS)
def test_a_host_is_a_name_or_an_address(host: str) -> None:
    assert credential(host=host).host == host.lower()


def test_a_host_is_normalized() -> None:
    assert credential(host="DB.Example.COM.").host == "db.example.com"


HOSTILE_HOSTS = [
    "a,b",
    "/tmp",  # noqa: S108 - nothing is written there
    "/var/run/postgresql",
    "@abstract",
    "host=evil",
    "postgresql://evil/",
    "db.example.com:5432",
    "db.example.com/x",
    "db example",
    " db",
    "db\n",
    "-db",
    ".db",
    "db..",
    "db..example.com",
    "d" * 64,
    "d" * 64 + ".example.com",
    "d." * 127 + "example",
    "[::1]",
    "fe80::1%eth0",
    "db\\instance",
    "user@db",
    "(DESCRIPTION=(ADDRESS=(HOST=evil)))",
    "dö.example.com",
]


@pytest.mark.parametrize("host", HOSTILE_HOSTS, ids=repr)
def test_a_host_that_a_client_could_read_more_into_is_refused(host: str) -> None:
    assert '"host"' in refusal(json.dumps({**FULL, "host": host})).cause


LOCAL_HOSTS = ["127.0.0.1", "127.1", "2130706433", "LOCALHOST", "localhost.", "127.0.0.1.", "::1", "::ffff:7f00:1", "0"]


@pytest.mark.parametrize("host", LOCAL_HOSTS)
def test_a_local_host_is_refused_unless_the_operator_allows_it(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All notations are in tests/unit/test_hosts.py."""
    assert credential(host=host).host == host.lower().rstrip(".")
    monkeypatch.delenv("ALLOW_LOCAL_HOSTS")
    error = refusal(json.dumps({**FULL, "host": host}))
    assert '"host"' in error.cause
    assert "ALLOW_LOCAL_HOSTS" in error.remedy
    assert host not in str(error).split()


@pytest.mark.parametrize("host", ["db.example.com", "10.0.0.1", "2001:db8::1"])
def test_an_ordinary_host_needs_no_permission(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ALLOW_LOCAL_HOSTS")
    assert credential(host=host).host == host


@pytest.mark.parametrize("dbname", ["", None], ids=repr)
def test_an_empty_database_is_the_engines_default(dbname: object) -> None:
    assert credential(dbname=dbname).database == KIND.default_database


def test_a_database_is_used_as_it_is_written() -> None:
    assert credential(dbname="My Shop").database == "My Shop"


@pytest.mark.parametrize("dbname", [7, ["shop"], "a\0b"], ids=repr)
def test_a_database_that_is_no_string_is_refused(dbname: object) -> None:
    assert '"dbname"' in refusal(json.dumps({**FULL, "dbname": dbname})).cause


CONTROLS = ["\0", "\t", "\n", "\r\n", "\x1b", "\x1f", "\x7f", "\x80", "\x85", "\x9f", "\u2028", "\u2029"]
INVISIBLE = ["\u00ad", "\u200b", "\u200d", "\u200e", "\u202a", "\u202e", "\u2066", "\u2069", "\ufeff", "\U000e0041"]
"""Soft hyphen, zero width, marks and overrides of direction, byte order mark, tags."""


@pytest.mark.parametrize("key", [*FULL, "dbname", "masterarn"])
@pytest.mark.parametrize("text", CONTROLS, ids=ascii)
@pytest.mark.parametrize("form", ["{}x", "x{}", "x{}x"])
def test_a_control_character_is_refused(key: str, text: str, form: str) -> None:
    """A line end in a user's name, sent in PostgreSQL's startup packet, once wrote a key into a cache nearby."""
    assert f'"{key}"' in refusal(json.dumps({**FULL, key: form.format(text)})).cause


@pytest.mark.parametrize("key", ["username", "dbname", "masterarn"])
@pytest.mark.parametrize("text", INVISIBLE, ids=ascii)
def test_an_invisible_character_in_a_name_is_refused(key: str, text: str) -> None:
    assert f'"{key}"' in refusal(json.dumps({**FULL, key: f"app{text}lication"})).cause


@pytest.mark.parametrize("text", [*INVISIBLE, "\u00a0", "ü", "語", "\U0001f468\u200d\U0001f469"], ids=ascii)
def test_a_password_can_have_all_but_control_characters(text: str) -> None:
    assert credential(password=f"a{text}b").password == f"a{text}b"


@pytest.mark.parametrize("name", ["Ünïcode", "用户", "مستخدم", "o'brien", "My App", "app\u00a0name", "\U0001f600"])
def test_a_name_can_have_all_visible_characters(name: str) -> None:
    assert (credential(username=name).username, credential(dbname=name).database) == (name, name)


def test_a_statement_can_have_several_lines() -> None:
    statement = "SELECT 1\r\n\tFROM orders\n LIMIT 1"
    assert parse({**FULL, "rotation": {"verify": [statement]}}).verify == (statement,)


@pytest.mark.parametrize("text", sorted({*CONTROLS} - {"\t", "\n", "\r\n"}), ids=ascii)
def test_any_other_control_character_in_a_statement_is_refused(text: str) -> None:
    assert '"verify"' in refusal(json.dumps({**FULL, "rotation": {"verify": ["SELECT 1", f"SELECT 1{text}"]}})).cause


def test_unknown_keys_keep_their_place_and_value() -> None:
    fields = {
        "zeta": {"b": [1, None, 2.5], "a": "ü"},
        **FULL,
        "alpha": True,
        "dbInstanceIdentifier": "x",
        "port": "5000",
    }
    successor = parse(fields).successor("app_clone", 'new "password"\\')
    assert json.loads(successor.to_json()) == {**fields, "username": "app_clone", "password": 'new "password"\\'}
    assert list(json.loads(successor.to_json())) == list(fields)
    assert SecretValue.parse(successor.to_json(), KIND, OPERATION) == successor


def test_a_successor_differs_in_user_and_password_only() -> None:
    value = parse({**FULL, "masterarn": "arn:admin", "rotation": {"verify": ["SELECT 1"]}})
    successor = value.successor("other", "new")
    assert (successor.credential.username, successor.credential.password) == ("other", "new")
    assert successor.successor("app", "the-password") == value


def test_the_rotation_object_is_read() -> None:
    value = parse({**FULL, "rotation": {"strategy": "dual-password", "verify": ["SELECT 1", "SELECT 2"], "note": 7}})
    assert value.strategy is Strategy.DUAL_PASSWORD
    assert value.verify == ("SELECT 1", "SELECT 2")


@pytest.mark.parametrize("fields", [{}, {"rotation": {}}, {"rotation": {"strategy": None, "verify": []}}], ids=repr)
def test_the_rotation_object_is_optional(fields: dict[str, object]) -> None:
    value = parse({**FULL, **fields})
    assert (value.strategy, value.verify, value.admin_secret) == (None, (), None)


@pytest.mark.parametrize(
    "rotation",
    [
        "single-user",
        ["single-user"],
        None,
        {"strategy": "Single-User"},
        {"strategy": ""},
        {"strategy": ["single-user"]},
        {"strategy": 1},
        {"verify": "SELECT 1"},
        {"accept": "jobs"},
        {"accept": ["definers"]},
        {"accept": [7]},
        {"verify": [""]},
        {"verify": [1]},
        {"verify": {"a": "SELECT 1"}},
    ],
    ids=str,
)
def test_an_unreadable_rotation_object_is_refused(rotation: object) -> None:
    assert '"rotation"' in refusal(json.dumps({**FULL, "rotation": rotation})).cause


def test_no_repr_shows_a_password_or_an_unknown_key() -> None:
    value = parse({**FULL, "apiKey": "another-secret", "masterarn": "arn:admin"})
    shown = f"{value!r} {value} {value.credential!r} {value.credential} {[value]}"
    assert "the-password" not in shown
    assert "another-secret" not in shown
    assert "app at db.example.com:5000" in shown
