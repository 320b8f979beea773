"""Does a preflight say what the rotation then does? Whatever is wrong with a user, its clone or its admin."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from rotation.kind import Strategy
from rotation.lambda_handler import rotation_handler
from tests.faults.conftest import NewScenario
from tests.faults.scenario import Scenario
from tests.faults.wire import Watch
from tests.laboratories import INVOICES
from tests.service.test_preflight import InvokedContext

pytestmark = [pytest.mark.newest, pytest.mark.usefixtures("connected"), pytest.mark.real_servers]


def sql(scenario: Scenario, postgresql: str, mysql: str = "") -> None:
    """Run a statement as the superuser; `{}` is the user."""
    is_postgresql = scenario.user.engine == "postgres"
    statement = postgresql if is_postgresql else mysql
    name = f'"{scenario.user.username}"' if is_postgresql else f"`{scenario.user.username}`@`%`"
    with scenario.laboratory.session() as execute:  # type: ignore[attr-defined]
        for one in filter(None, statement.split(";")):
            execute(one.replace("{}", name).replace("{name}", scenario.user.username))


def edit(scenario: Scenario, **fields: object) -> None:
    """Edit the secret."""
    value = json.loads(scenario.client.get_secret_value(SecretId=scenario.arn)["SecretString"])
    scenario.client.put_secret_value(SecretId=scenario.arn, SecretString=json.dumps({**value, **fields}))


def rotation_of(scenario: Scenario) -> dict[str, Any]:
    return json.loads(scenario.client.get_secret_value(SecretId=scenario.arn)["SecretString"])["rotation"]


def edit_admin(scenario: Scenario, **fields: object) -> None:
    admin = f"{scenario.name}-admin"
    value = json.loads(scenario.client.get_secret_value(SecretId=admin)["SecretString"])
    scenario.client.put_secret_value(SecretId=admin, SecretString=json.dumps({**value, **fields}))


SABOTAGES: dict[str, Callable[[Scenario], object]] = {
    "nothing": lambda s: None,
    "wrong password": lambda s: edit(s, password="Wrong-1-password-xyz"),
    "locked": lambda s: s.laboratory.lock_user(s.user.username),  # type: ignore[attr-defined]
    "stranger": lambda s: s.laboratory.new_user(f"{s.user.username}_clone"),
    "user is admin": lambda s: edit(s, username=s.laboratory.admin.username, password=s.laboratory.admin.password),
    "verify": lambda s: edit(s, rotation={**rotation_of(s), "verify": ["SELECT nonsense FROM nowhere"]}),
    "verify two": lambda s: edit(s, rotation={**rotation_of(s), "verify": ["SELECT 1; SELECT 2"]}),
    "verify write": lambda s: edit(s, rotation={**rotation_of(s), "verify": ["CREATE TABLE hacked (a int)"]}),
    "admin password": lambda s: edit_admin(s, password="Wrong-1-password-xyz"),
    "admin host": lambda s: edit_admin(s, host="elsewhere.test"),
    "no database": lambda s: edit(s, dbname="nowhere_at_all"),
    "expired": lambda s: sql(s, "ALTER ROLE {} VALID UNTIL '2001-01-01'", "ALTER USER {} PASSWORD EXPIRE"),
    "limit": lambda s: sql(s, "ALTER ROLE {} CONNECTION LIMIT 0", "ALTER USER {} WITH MAX_USER_CONNECTIONS 1"),
    "limit1": lambda s: sql(s, "ALTER ROLE {} CONNECTION LIMIT 1", "ALTER USER {} WITH MAX_CONNECTIONS_PER_HOUR 2"),
    "read only": lambda s: sql(s, "ALTER ROLE {} SET default_transaction_read_only = on", ""),
    "statement timeout": lambda s: sql(s, "ALTER ROLE {} SET statement_timeout = 1", ""),
    "role": lambda s: sql(s, "CREATE ROLE \"r{name}\"; GRANT \"r{name}\" TO {}; ALTER ROLE {} SET role = 'r{name}'", ""),
    "no role": lambda s: sql(s, "ALTER ROLE {} SET session_authorization = 'postgres'", ""),
    "superuser": lambda s: sql(s, "ALTER ROLE {} SUPERUSER", "GRANT ALL ON *.* TO {} WITH GRANT OPTION"),
    "createrole": lambda s: sql(s, "ALTER ROLE {} CREATEROLE CREATEDB", "GRANT CREATE USER ON *.* TO {}"),
    "replication": lambda s: sql(s, "ALTER ROLE {} REPLICATION", "GRANT SUPER ON *.* TO {}"),
    "md5": lambda s: sql(s, "ALTER ROLE {} SET password_encryption = 'md5'", ""),
    "require x509": lambda s: sql(s, "", "ALTER USER {} REQUIRE X509"),
    "ssl off": lambda s: edit(s, ssl=False),
    "other host": lambda s: sql(s, "", "RENAME USER {} TO `{name}`@`localhost`"),
    "owner": lambda s: sql(s, "CREATE SCHEMA \"s{name}\" AUTHORIZATION {}", "CREATE DEFINER={} VIEW lab.`v{name}` AS SELECT 1"),
    "long name": lambda s: edit(s, username="a" * 70),
}


def look(scenario: Scenario, step: str) -> dict[str, Any]:
    scenario.wire.watch(Watch())
    answer = rotation_handler(scenario.laboratory.engine)(
        {"Step": step, "SecretId": scenario.arn},
        InvokedContext(invoked_function_arn=scenario.function),  # type: ignore[arg-type]
    )
    assert answer
    return answer


@pytest.mark.parametrize("has_rotated", [False, True])
@pytest.mark.parametrize("sabotage", SABOTAGES)
def test_lies(new_scenario: NewScenario, strategy: Strategy, sabotage: str, *, has_rotated: bool) -> None:
    s = new_scenario(strategy)
    if has_rotated:
        s.rotate()
        s.rotate()
    try:
        SABOTAGES[sabotage](s)
    except Exception as error:
        pytest.skip(f"{type(error)} {str(error)[:100]}")
    before = s.laboratory.logins()
    answer = look(s, "preflight")
    refused = (s.laboratory.logins() - before).refused
    s.begin()
    error = s.run().error
    bad = {one["Item"]: one["Found"][:150] for one in answer["Findings"] if one["Outcome"] == "fail"}
    doc = look(s, "doctor")
    same = bool(error) == (answer["Outcome"] == "fail")
    print(f"TABLE {'ok ' if same and refused <= 1 else 'LIE'} {s.user.engine} {strategy} {has_rotated} {sabotage}: {answer['Outcome']} {bad} refused={refused} | {str(error)[:200]} | {doc['State']} {[one['Command'] for one in doc['Repairs']]}")
