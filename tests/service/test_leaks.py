"""Is no secret in what the handler says? And does the scan of all that a test run writes find one, and not show it?"""

import json
import logging
import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from rotation.errors import InvalidConfiguration, InvalidSecret, LoginRefused, StatementFailed
from rotation.redaction import LONGEST, MASK, QUOTED
from rotation.redaction.spelling import ways_to_write
from tests.fakes import KIND, PRIMARY, FakeDatabase, reading
from tests.laboratories import ORDERS
from tests.leaks import PIECE, Scanner
from tests.local import evidence
from tests.local.aws.secrets_manager import Call, LocalSecretsManager, ServiceError
from tests.service.invoking import STEPS, Invoke, event
from tests.service.scenario import VALUE, Scenario

# What the handler says

ADDRESS = "postgresql://app:S3cr3t-pw@db:5432/x"
"""A whole address in the place of a part of it."""


def assert_unseen(seen: str) -> None:
    """Require that nothing of the address but its harmless parts was seen."""
    assert "S3cr3t" not in seen
    assert "3t-pw" not in seen


@pytest.mark.parametrize(
    "fields",
    [
        *({key: ADDRESS} for key in ("engine", "host", "port", "ssl", "rotation")),
        *({key: [ADDRESS]} for key in ("engine", "host", "username", "password", "dbname", "masterarn")),
        {"rotation": {"strategy": ADDRESS}},
        {"rotation": {"verify": [ADDRESS, 7]}},
    ],
    ids=lambda fields: json.dumps(fields)[2:25],
)
@pytest.mark.parametrize("step", STEPS[:3])
def test_a_value_in_the_wrong_place_is_not_quoted(
    service: LocalSecretsManager, invoke: Invoke, step: str, fields: dict[str, object]
) -> None:
    scenario = Scenario(service, **fields).begin()
    if step != "createSecret":
        scenario.put(json.dumps({**VALUE, **fields}), "AWSPENDING")
        scenario.token = scenario.labels()["AWSPENDING"]
    call = invoke(FakeDatabase(), event(scenario, step))
    assert isinstance(call.error, InvalidSecret)
    assert f'"{next(iter(fields))}"' in call.line["cause"]
    assert_unseen(call.seen)


@pytest.mark.parametrize("key", ["username", "dbname", "masterarn"])
def test_a_name_that_could_be_more_than_one_is_not_said(service: LocalSecretsManager, invoke: Invoke, key: str) -> None:
    scenario = Scenario(service, **{key: ADDRESS}).begin()
    call = invoke(FakeDatabase(), event(scenario, "createSecret"))
    assert_unseen(call.seen)
    call = invoke(FakeDatabase(), event(scenario, "setSecret"))
    assert call.error
    assert_unseen(call.seen)
    if key == "username":
        assert f"logging in as {MASK} at {PRIMARY}:{KIND.default_port}" in call.line["message"]


@pytest.mark.parametrize(
    "text",
    [ADDRESS, f'"{ADDRESS}"', f'{{"host": "{ADDRESS}"', f"password: {ADDRESS}", f'{{"{ADDRESS}": 1, "{ADDRESS}": 2}}'],
    ids=["address", "text", "truncated", "YAML", "keys"],
)
def test_a_secret_that_is_none_is_not_quoted(service: LocalSecretsManager, invoke: Invoke, text: str) -> None:
    scenario = Scenario(service).begin()
    scenario.move("AWSCURRENT", scenario.first, scenario.put(text, "SPARE"))
    call = invoke(FakeDatabase(), event(scenario, "createSecret"))
    assert isinstance(call.error, InvalidSecret)
    assert_unseen(call.seen)


@pytest.mark.parametrize("key", ["engine", "host", "port", "ssl"])
def test_a_value_in_the_wrong_place_of_an_admin_secret_is_not_quoted(
    service: LocalSecretsManager, invoke: Invoke, key: str
) -> None:
    admin = Scenario(service, **{key: ADDRESS})
    scenario = Scenario(service, masterarn=admin.arn).begin()
    database = FakeDatabase()
    database.new_user("app", VALUE["password"])
    invoke(database, event(scenario, "createSecret"))
    call = invoke(database, event(scenario, "setSecret"))
    assert isinstance(call.error, InvalidSecret)
    assert call.line["message"].startswith(f"reading the admin secret {admin.arn}: ")
    assert f'"{key}"' in call.line["cause"]
    assert_unseen(call.seen)


@pytest.mark.parametrize("name", ["PASSWORD_LENGTH", "EXCLUDE_NUMBERS", "ALLOW_ADMIN_REPAIR", "SECRET_ROLE_ARNS"])
def test_a_variable_in_which_there_is_something_else_is_not_quoted(
    service: LocalSecretsManager, invoke: Invoke, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, ADDRESS)
    call = invoke(FakeDatabase(), event(Scenario(service).begin(), "createSecret"))
    assert isinstance(call.error, InvalidConfiguration)
    assert name in call.line["message"]
    assert_unseen(call.seen)


@pytest.mark.parametrize("key", ["Step", "SecretId", "ClientRequestToken"])
def test_an_event_that_has_its_token_in_the_wrong_place_is_not_quoted(
    service: LocalSecretsManager, invoke: Invoke, key: str
) -> None:
    token = "S3cr3t-of-the-event-3t-pw-and-more"
    call = invoke(FakeDatabase(), event(Scenario(service).begin(), "createSecret", RotationToken=token, **{key: token}))
    assert call.error
    assert_unseen(call.seen)


OWN = {"team": {"keys": ["T0ken-of-another", {"dsn": "Server=x;Pwd=T0ken-of-another;"}]}, "old": "0ld-Passw0rd"}


def saying(text: str, when: str = "") -> FakeDatabase:
    """Return a database that says this to whoever does that."""
    database = FakeDatabase()
    database.new_user("admin", "adm1n-Passw0rd", is_admin=True)
    database.new_user("app", VALUE["password"], reading(ORDERS))

    def before(statement: str) -> None:
        if when in statement:
            raise StatementFailed("asking the server", text, "Look why")

    database.before = before
    return database


def test_no_string_of_any_version_that_was_read_is_shown(service: LocalSecretsManager, invoke: Invoke) -> None:
    admin = Scenario(service, username="admin", password="adm1n-Passw0rd", note="n0te-of-the-admin")
    scenario = Scenario(service, masterarn=admin.arn, **OWN).begin()
    assert not invoke(saying("", "nothing"), event(scenario, "createSecret")).error
    text = "T0ken-of-another, 0ld-Pass, n0te-of-the-admin, adm1n-Passw0rd: what is it?"
    call = invoke(saying(text, "CREATE USER"), event(scenario, "setSecret"))
    assert call.line["cause"] == f"{MASK}, {MASK}, {MASK}, {MASK}: what is it?"


def test_a_version_that_cannot_be_read_is_known_all_the_same(
    service: LocalSecretsManager, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRY_MORE_PASSWORDS", "true")
    scenario = Scenario(service)
    scenario.put(json.dumps({**VALUE, "host": ADDRESS, "own": "T0ken-of-another"}))
    scenario.put(json.dumps({**VALUE, "password": "l0st-Passw0rd"}))
    scenario.begin()
    database = saying("S3cr3t-pw and T0ken-of-another", "the third")
    database.new_user("app", "another")
    says, database.before = database.before, lambda _: says("the third" if len(database.tried) == 2 else "")
    invoke(database, event(scenario, "createSecret"))
    call = invoke(database, event(scenario, "setSecret"))
    assert call.line["cause"] == f"{MASK} and {MASK}"


def test_what_is_masked_are_the_strings_and_not_the_sentence_around_them(
    service: LocalSecretsManager, invoke: Invoke
) -> None:
    own = {
        "dbInstanceIdentifier": PRIMARY.partition(".")[0],
        "description": "The production database of the shop: ask an administrator before you rotate the password",
        "url": f"jdbc:postgresql://{PRIMARY}:{KIND.default_port}/shop?sslmode=verify-full",
        "kind": "database",
        "tags": ["true", "user", "secret", "wrong"],
    }
    scenario = Scenario(service, port=str(KIND.default_port), **own).begin()
    database = FakeDatabase()
    invoke(database, event(scenario, "createSecret"))
    call = invoke(database, event(scenario, "setSecret"))
    assert isinstance(call.error, LoginRefused)
    assert call.error.operation == f"logging in as app at {PRIMARY}:{KIND.default_port}"
    assert call.error.cause.startswith(f"{MASK} user or password")  # "wrong" is a string of this secret
    assert call.error.remedy.startswith("Put the real password into the secret")
    assert (call.line["secret_arn"], call.line["version_token"]) == (scenario.arn, scenario.token)


def test_a_line_is_of_a_bounded_length_whatever_a_server_says(service: LocalSecretsManager, invoke: Invoke) -> None:
    scenario = Scenario(service).begin()
    invoke(saying("", "nothing"), event(scenario, "createSecret"))
    call = invoke(saying("so much " * 2_000_000, "log in"), event(scenario, "setSecret"))
    assert len(call.line["cause"]) == LONGEST
    assert len(call.seen) < 20 * LONGEST


def test_a_line_is_of_a_bounded_length_whatever_aws_says(service: LocalSecretsManager, invoke: Invoke) -> None:
    scenario = Scenario(service).begin()

    def refuse(call: Call, _: object) -> None:
        if call.operation == "PutSecretValue":
            raise ServiceError("InvalidRequestException", "so much " * 100_000)

    service.intercept = refuse
    call = invoke(FakeDatabase(), event(scenario, "createSecret"))
    assert call.line["cause"].startswith("secretsmanager:PutSecretValue answered InvalidRequestException: so much so")
    assert len(call.line["cause"]) < 2 * QUOTED


def test_the_client_of_aws_tells_the_log_nothing_of_requests_and_answers(
    service: LocalSecretsManager, invoke: Invoke, caplog: pytest.LogCaptureFixture
) -> None:
    scenario = Scenario(service, apiKey="T0ken-of-another").begin()
    with caplog.at_level(logging.DEBUG):
        seen = "".join(invoke(saying("", "nothing"), event(scenario, step)).seen for step in STEPS[:2])
    pending = scenario.secret().pending()
    assert pending
    for secret in (VALUE["password"], pending.credential.password, "T0ken-of-another"):
        assert secret not in seen


# The scan

PASSWORD = '!It\'s a \\ "quoted" päss|w&rd, 100%'
NOISE = "2026-11-22 LOG:  statement: ALTER ROLE app PASSWORD 'SCRAM-SHA-256$4096:…'\n"


@pytest.mark.parametrize("before", range(40))
def test_a_password_is_found_wherever_it_is_and_however_it_is_written_and_not_shown(before: int) -> None:
    for form in ways_to_write(PASSWORD):
        [hit] = set(Scanner([PASSWORD, "another-password-of-some-length"]).hits("x" * before + form + NOISE))
        assert form not in hit
        assert "ALTER ROLE" in hit


def test_a_short_password_is_found_too() -> None:
    assert list(Scanner(["aB3!aB3!"]).hits(f"{NOISE}aB3!aB3!{NOISE}"))


def test_two_in_one_text_are_two() -> None:
    others = [secrets.token_urlsafe(24) for _ in range(2)]
    hits = set(Scanner(others).hits(f"first: {others[0]}{others[1]} {NOISE}"))
    assert len(hits) == 2
    assert not any(other[:PIECE] in hit or other[-PIECE:] in hit for other in others for hit in hits)


def test_what_looks_like_a_part_of_a_password_is_none() -> None:
    assert not list(Scanner([PASSWORD]).hits(PASSWORD[:-1] + NOISE + PASSWORD[1:]))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where evidence is kept during a test."""
    monkeypatch.setenv(evidence.FOLDER, str(tmp_path))
    return tmp_path


def test_what_a_function_generates_is_looked_for_and_what_a_test_makes_up_is_not(
    service: LocalSecretsManager, invoke: Invoke, folder: Path
) -> None:
    scenario = Scenario(service).begin()
    assert invoke(FakeDatabase(), event(scenario, "createSecret")).error is None
    generated = scenario.client.get_secret_value(SecretId=scenario.arn, VersionId=scenario.token)["SecretString"]
    scenario.put('{"password": "made-up"}')
    assert [password in generated for password in evidence.passwords(folder)] == [True]


CONFTEST = """
from tests.leaks import Leaks

def pytest_configure(config):
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Leaks())
"""

TEST = """
import logging
from tests.local.evidence import keep_password, keep_text

PASSWORD = "{password}"
SAID = "{said}"

def test_generating():
    keep_password('{{"password": "%s"}}' % PASSWORD)

def test_printing():
    print("it is", SAID)

def test_logging():
    logging.getLogger().warning("it is %s", SAID)

def test_a_server():
    keep_text("the log of a server", SAID)

def test_failing():
    assert SAID != {said!r}
"""


@pytest.mark.parametrize("workers", [0, 1])
def test_a_run_with_a_leak_fails_and_says_where(tmp_path: Path, workers: int) -> None:
    password = secrets.token_urlsafe(24)
    done = run(tmp_path, TEST.format(password=password, said=password), workers)
    leaks = done.stdout.rpartition("a generated password was written")[2]
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "LEAKS: 1 generated passwords" in leaks
    for where in ("::test_printing", "::test_logging", "the log of a server", "::test_failing"):
        assert where in leaks
    assert password not in leaks.partition("short test summary")[0]


def test_a_run_without_a_leak_says_how_much_was_searched(tmp_path: Path) -> None:
    text = TEST.format(password=secrets.token_urlsafe(24), said="another").partition("def test_failing")[0]
    done = run(tmp_path, text, 0)
    assert done.returncode == pytest.ExitCode.OK
    assert "no leak: 1 generated passwords, 3 texts" in done.stdout


def run(folder: Path, test: str, workers: int) -> subprocess.CompletedProcess[str]:
    """Run a test with the plugin."""
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_planted.py").write_text(test)
    return subprocess.run(  # noqa: S603 - the words are ours
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"-n{workers}", "--rootdir=.", "."],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_a_folder_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(evidence.FOLDER)
    monkeypatch.chdir(tmp_path)
    evidence.keep_password('{"password": "p"}')
    evidence.keep_text("nobody", "nothing")
    assert not list(tmp_path.iterdir())
