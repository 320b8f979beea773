"""What does who may edit a secret, or its versions, get out of a function that may do more than they?

The whole handler runs, against the fake database and the local Secrets Manager. docs/threat-model.md lists the cases.
"""

import copy
import json
import secrets
from dataclasses import dataclass, replace
from typing import Any

import pytest

from rotation.credential import Credential
from rotation.engines.postgresql import PostgreSQL
from rotation.errors import (
    InvalidSecret,
    LoginBlocked,
    LoginRefused,
    NotPermitted,
    RotationError,
    Unsafe,
    Untrusted,
)
from tests.contract import impostor
from tests.contract.impostor import Line, posing
from tests.fakes import FakeDatabase, reading
from tests.laboratories import INVOICES, ORDERS, deadline
from tests.local.aws.secrets_manager import LocalSecretsManager
from tests.service.invoking import STEPS, Invoke, event
from tests.service.scenario import VALUE, Scenario

ADMIN_PASSWORD, BILLING_PASSWORD, CLONES_PASSWORD = "the-admins-password", "billings-password", "the-strangers-password"
GUESS = "a-guess-of-the-writer"
ALTERNATING, SINGLE = {"strategy": "alternating-users"}, {"strategy": "single-user"}


@dataclass
class DeputyScenario:
    """A database with an admin, the user of the secret that is edited, and another application's user."""

    service: LocalSecretsManager
    invoke: Invoke

    def __post_init__(self) -> None:
        self.database = FakeDatabase()
        self.database.new_user("admin", ADMIN_PASSWORD, is_admin=True)
        self.database.new_user("billing", BILLING_PASSWORD, reading(INVOICES))
        self.database.new_user("app", str(VALUE["password"]), reading(ORDERS))
        self.admin_arn = self.secret(username="admin", password=ADMIN_PASSWORD)
        self.billing_arn = self.secret(username="billing", password=BILLING_PASSWORD)
        self.edited = Scenario(self.service, masterarn=self.admin_arn)

    def secret(self, **fields: object) -> str:
        """Store another secret."""
        text = json.dumps({**VALUE, **fields})
        return self.service.client().create_secret(Name=f"s-{secrets.token_hex(4)}", SecretString=text)["ARN"]

    def edit(self, **fields: object) -> None:
        """Put another current version, as the writer of the secret."""
        self.edited.put(json.dumps({**VALUE, "masterarn": self.admin_arn, **fields}))

    def rotate(self, secret: Scenario | None = None) -> RotationError | None:
        """Rotate; return what ended it."""
        under_way = (secret or self.edited).begin()
        for step in STEPS:
            call = self.invoke(self.database, event(under_way, step))
            for password in (ADMIN_PASSWORD, BILLING_PASSWORD, CLONES_PASSWORD):
                assert password not in call.seen
            if call.error:
                return call.error
        return None

    def require_refused(self, expected: type[RotationError]) -> None:
        """Rotate, and see it refused, with nothing written."""
        before = copy.deepcopy(self.database.users)
        error = self.rotate()
        assert type(error) is expected, error
        assert self.database.users == before

    @property
    def admin_logged_in(self) -> bool:
        """Whether the admin's password went anywhere."""
        return any(credential.password == ADMIN_PASSWORD for credential in self.database.tried)


@pytest.fixture
def scenario(service: LocalSecretsManager, invoke: Invoke) -> DeputyScenario:
    """Somebody may edit one secret."""
    return DeputyScenario(service, invoke)


def test_without_an_edit_it_rotates(scenario: DeputyScenario) -> None:
    assert scenario.rotate() is None
    assert scenario.admin_logged_in


@pytest.mark.parametrize(
    ("username", "rotation", "expected"),
    [
        ("billing", {}, LoginRefused),
        ("billing", SINGLE, LoginRefused),
        ("billing", ALTERNATING, LoginRefused),
        ("admin", SINGLE, LoginRefused),
        ("admin", {}, Unsafe),  # the admin takes turns with nobody: that is known before anybody tries its password
        ("admin", ALTERNATING, Unsafe),
    ],
)
def test_a_secret_that_names_another_user_without_its_password_is_refused_whatever_the_strategy(
    scenario: DeputyScenario, username: str, rotation: dict[str, str], expected: type[RotationError]
) -> None:
    scenario.edit(username=username, password=GUESS, rotation=rotation)
    scenario.require_refused(expected)
    assert not scenario.admin_logged_in


@pytest.mark.parametrize("rotation", [SINGLE, ALTERNATING], ids=str)
def test_an_edited_strategy_gives_the_admin_nothing_else_to_do_than_this_user_and_its_clone(
    scenario: DeputyScenario, rotation: dict[str, str]
) -> None:
    scenario.database.users["app"].may_change_own_password = False
    others = {name: copy.deepcopy(scenario.database.users[name]) for name in ("admin", "billing")}
    scenario.edit(rotation=rotation)
    assert scenario.rotate() is None
    assert scenario.admin_logged_in
    assert {name: scenario.database.users[name] for name in others} == others
    assert set(scenario.database.users) - {"app_clone"} == {"admin", "billing", "app"}


def test_an_alias_of_the_host_is_another_host_for_the_admin(scenario: DeputyScenario) -> None:
    scenario.database.new_replica("alias.test", 0)  # the user logs in there, too
    scenario.edit(host="alias.test")
    scenario.require_refused(Unsafe)
    assert not scenario.admin_logged_in


def test_a_secret_is_not_its_own_admin(scenario: DeputyScenario) -> None:
    scenario.edit(masterarn=scenario.edited.arn)
    scenario.require_refused(Unsafe)


def test_an_admins_secret_is_not_its_own_admin_either(scenario: DeputyScenario) -> None:
    """So the admin gets no clone."""
    scenario.edit(username="admin", password=ADMIN_PASSWORD, masterarn=scenario.edited.arn)
    scenario.require_refused(Unsafe)


def test_a_user_that_cannot_change_its_password_cannot_either_if_it_is_named_as_the_admin(
    scenario: DeputyScenario,
) -> None:
    scenario.database.users["app"].may_change_own_password = False
    scenario.edit(masterarn=scenario.edited.arn, rotation=SINGLE)
    scenario.require_refused(NotPermitted)


@pytest.mark.parametrize("rotation", [SINGLE, ALTERNATING], ids=str)
def test_the_secret_of_another_application_is_no_admin(scenario: DeputyScenario, rotation: dict[str, str]) -> None:
    scenario.database.users["app"].may_change_own_password = False
    scenario.edit(masterarn=scenario.billing_arn, rotation=rotation)
    scenario.require_refused(NotPermitted)


@pytest.mark.parametrize("label", ["AWSPREVIOUS", "MINE"])
def test_a_version_that_claims_somebody_elses_user_proves_nothing_without_its_password(
    scenario: DeputyScenario, label: str
) -> None:
    """Whoever may write the secret may write any version of it, and give it any label."""
    scenario.database.new_user("app_clone", CLONES_PASSWORD, reading(INVOICES))
    claim = json.dumps({**VALUE, "username": "app_clone", "password": GUESS})
    scenario.edited.put(claim, label)
    scenario.edited.put(claim)
    scenario.edit()
    scenario.require_refused(Unsafe)


def test_of_two_secrets_of_one_user_the_second_proves_nothing_once_the_first_has_rotated(
    scenario: DeputyScenario,
) -> None:
    first, second = (Scenario(scenario.service) for _ in range(2))
    assert scenario.rotate(first) is None
    changed = copy.deepcopy(scenario.database.users["app"])
    assert type(scenario.rotate(second)) is LoginRefused
    assert scenario.database.users["app"] == changed


ANOTHER_PROTOCOL = "app\r\nset stolen 0 0 4\r\nkeys\r\n"
"""What a cache on the network would take for a command, whatever is around it."""


@pytest.mark.parametrize("key", ["username", "password", "dbname", "masterarn"])
def test_no_secret_has_the_function_say_a_line_of_another_protocol(
    service: LocalSecretsManager, invoke: Invoke, key: str
) -> None:
    """Nothing is staged, and nobody is connected to."""
    with posing(lambda _: None) as cache:
        place = {"engine": "postgres", "host": "127.0.0.1", "port": cache.port, "ssl": False}
        scenario = Scenario(service, **{**place, key: ANOTHER_PROTOCOL}).begin()
        call = invoke(PostgreSQL(), event(scenario, "createSecret"))
    assert isinstance(call.error, InvalidSecret)
    assert f'"{key}"' in call.error.cause
    assert "stolen" not in call.seen
    assert "PutSecretValue" not in scenario.operations()
    assert not cache.lines


def test_an_earlier_version_that_holds_one_is_passed_over(
    scenario: DeputyScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRY_MORE_PASSWORDS", "true")
    scenario.edited.put(json.dumps({**VALUE, "username": ANOTHER_PROTOCOL}))
    scenario.edit(password=GUESS)
    assert scenario.rotate() is None, "the password of the version before it logs in"
    assert {credential.username for credential in scenario.database.tried} == {"app", "admin", "app_clone"}


@pytest.mark.parametrize("host", ["127.1", "169.254.169.254", "::ffff:7f00:1"])
def test_no_secret_leads_to_the_functions_own_side(
    scenario: DeputyScenario, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ALLOW_LOCAL_HOSTS")
    scenario.edit(host=host)
    scenario.require_refused(InvalidSecret)
    assert "PutSecretValue" not in scenario.edited.operations()
    assert scenario.database.tried == []


@pytest.mark.parametrize("step", ["createSecret", "setSecret", "testSecret"])
def test_no_pending_version_leads_to_the_functions_own_side(
    scenario: DeputyScenario, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ALLOW_LOCAL_HOSTS")
    edited = scenario.edited.begin()
    edited.client.put_secret_value(
        SecretId=edited.arn,
        ClientRequestToken=edited.token,
        SecretString=json.dumps({**VALUE, "host": "2130706433"}),
        VersionStages=["AWSPENDING"],
    )
    error = scenario.invoke(scenario.database, event(edited, step)).error
    assert isinstance(error, InvalidSecret)
    assert '"host"' in error.cause
    assert scenario.database.tried == []


def test_no_admin_secret_leads_to_the_functions_own_side(
    scenario: DeputyScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ALLOW_LOCAL_HOSTS")
    scenario.edit(masterarn=scenario.secret(username="admin", password=ADMIN_PASSWORD, host="0x7f.1"))
    scenario.require_refused(InvalidSecret)
    assert not scenario.admin_logged_in


READ_MORE = {
    "parameters": "host=127.0.0.1 port={port}",
    "an address": "postgresql://127.0.0.1:{port}/",
    "a quote": "x' host='127.0.0.1' port='{port}",
}


@pytest.mark.parametrize("key", ["database", "username", "password"])
@pytest.mark.parametrize("text", READ_MORE.values(), ids=list(READ_MORE))
def test_no_text_of_a_secret_leads_the_client_to_another_server(key: str, text: str) -> None:
    """The client library, libpq, takes whole connection strings in the place of a database."""

    def refuse(line: Line) -> None:
        line.hear()
        line.say(impostor.NO_TLS)

    with posing(refuse) as right, posing(refuse) as wrong:
        credential = Credential(
            engine="postgres",
            host="localhost",
            port=right.port,
            database="shop",
            username="app",
            password="p",
            tls=True,
        )
        changed: dict[str, Any] = {key: text.format(port=wrong.port)}
        hostile = replace(credential, **changed)
        with pytest.raises((Untrusted, LoginBlocked)), PostgreSQL().connect(hostile, deadline(6.0)):
            pass
    assert right.heard
    assert not wrong.lines
