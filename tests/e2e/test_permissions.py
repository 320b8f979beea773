"""Do the functions have the permissions that they use, and no other?

In all tests, the built functions have the roles of the built template. A call that no statement allows is refused as
AWS refuses it (tests/local/aws/authorization.py). Here the functions run in all the ways that need a permission: they
rotate, tell a bus of it, take a preflight, are the doctor, repair, and watch. One engine and one server are enough,
because the engines' roles differ in names only. So no permission is missing, each is used, and no call is allowed that
a statement should refuse.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest
from moto.rds.models import DBCluster, DBInstance

from tests import servers
from tests.e2e.runs import (
    ENGINE,
    Account,
    everything,
    fails,
    in_own_account,
    in_role_of_secrets_account,
    look,
    text_of,
    watch,
)
from tests.laboratories import Laboratory
from tests.local.aws import template
from tests.local.aws.deployed import BUILT_TEMPLATE, Stack
from tests.local.aws.iam import Permission, Request, Role
from tests.local.aws.secrets_manager import REGION, LocalSecretsManager

OTHER_ENGINES = [engine for engine in template.engines() if engine != "PostgreSql"]
ROLES = (f"{ENGINE}Role", "WatchRole")

ELSEWHERE = ("AttachRole", "EngineRole", "RotateAllRole", "RotateAllMachineRole")
"""The roles of what attaches by tag, and of what rotates many secrets: tests/service/test_by_tag.py and
tests/service/test_rotate_all.py run it in these."""

MOVE = "UpdateSecretVersionStage"
LOGS = "Lambda writes what a function prints, in the name of the function's role"
NETWORK = "Lambda connects a function to its subnets, in the name of the function's role"

EXCEPTIONS = {
    Permission("WriteLogs", "logs:CreateLogStream"): LOGS,
    Permission("WriteLogs", "logs:PutLogEvents"): LOGS,
    Permission("UseNetwork", "ec2:AssignPrivateIpAddresses"): NETWORK,
    Permission("UseNetwork", "ec2:CreateNetworkInterface"): NETWORK,
    Permission("UseNetwork", "ec2:DeleteNetworkInterface"): NETWORK,
    Permission("UseNetwork", "ec2:DescribeNetworkInterfaces"): NETWORK,
    Permission("UseNetwork", "ec2:DescribeSubnets"): NETWORK,
    Permission("UseNetwork", "ec2:UnassignPrivateIpAddresses"): NETWORK,
}
"""Calls that our code never makes, and why they are allowed."""

OF_ANY_NAME = {
    "RotateSecrets": "a secret chooses its function, whatever its name; a condition sees to it",
    "FindDatabases": "an admin secret tells which database is its own",
}
"""The statements for every resource, and why."""


@pytest.fixture(scope="module")
def laboratory(laboratories: Callable[[str], Laboratory], pytestconfig: pytest.Config) -> Laboratory:
    """The newest PostgreSQL: no server starts faster."""
    available = servers.available(lambda engine: pytestconfig.getoption(f"--{engine}-dsn"))
    return laboratories(list(available[ENGINE.lower()])[-1])


@pytest.fixture(scope="module")
def account(laboratory: Laboratory) -> Iterator[Account]:
    """An account after every action that needs a permission."""
    with ExitStack() as exits:
        service = exits.enter_context(LocalSecretsManager(attempts=1))
        databases = exits.enter_context(pytest.MonkeyPatch.context())
        # RDS's host names do not resolve here.
        databases.setattr(DBInstance, "address", laboratory.admin.host)
        databases.setattr(DBCluster, "endpoint", laboratory.admin.host)
        account = Account(service, laboratory, exits)
        with account.asked_for("rotation"):
            in_own_account(account)
        with account.asked_for("failure"):
            fails(account)
        look(account)
        in_role_of_secrets_account(account)
        watch(account)
        assert account.refused == []
        yield account


def roles(account: Account) -> Iterator[tuple[str, Role]]:
    """Yield the roles that were used in each stack, with their logical ids."""
    for stack in account.stacks:
        yield from ((name, stack.roles[name]) for name in ROLES)


def calls(account: Account) -> Iterator[tuple[Role, str, Request]]:
    """Yield the calls that were made in each role, with the statement that allows them."""
    for _, role in roles(account):
        for permission, requests in role.used.items():
            yield from ((role, permission.sid, request) for request in requests)


def test_every_permission_is_used(account: Account) -> None:
    allowed = {(name, permission) for name, role in roles(account) for permission in role.permissions()}
    used = {(name, permission) for name, role in roles(account) for permission in role.used}
    assert used == {(name, permission) for name, permission in allowed if permission not in EXCEPTIONS}
    assert EXCEPTIONS.keys() <= {permission for _, permission in allowed}


def test_a_look_needs_nothing_that_a_rotation_does_not(account: Account) -> None:
    """No permission is there for an operator's questions alone, and none of them is answered with one that writes."""
    assert account.used["preflight"] | account.used["doctor"] | account.used["repair"] <= account.used["rotation"]
    writes = {Permission("RotateSecrets", f"secretsmanager:{name}") for name in ("PutSecretValue", MOVE)}
    assert account.used["preflight"] & writes == account.used["doctor"] & writes == set()
    assert account.used["repair"] & writes == {Permission("RotateSecrets", f"secretsmanager:{MOVE}")}
    tells = Permission("TellOfRotations", "events:PutEvents")
    assert {what for what, used in account.used.items() if tells in used} == {"rotation", "failure"}


def test_every_resource_is_used(account: Account) -> None:
    excepted = {permission.sid for permission in EXCEPTIONS}
    parts = [
        replace(statement, resources=(resource,))
        for _, role in roles(account)
        for statement in role.statements
        for resource in statement.resources
        if statement.allows and statement.sid not in excepted
    ]
    made = [(sid, call) for _, sid, call in calls(account)]
    used = [part for part in parts if any(sid == part.sid and part.is_about(call) for sid, call in made)]
    assert {(part.sid, part.resources) for part in used} == {(part.sid, part.resources) for part in parts}


def test_a_call_that_differs_from_one_that_was_made_is_refused(account: Account) -> None:
    """A statement without its resource or condition, or with a wider one, would allow it."""
    assert [other for role, _, call in calls(account) for other in different(call) if role.allows(other)] == []


def different(call: Request) -> Iterator[Request]:
    """Yield calls that differ in one thing, the name of the resource aside."""
    service, _, operation = call.action.partition(":")
    for other in (f"{operation}Other", f"Other{operation}"):
        yield replace(call, action=f"{service}:{other}")
    asked = {key: value for key, value in call.context.items() if not key.startswith("aws:ResourceTag/")}
    for key, value in asked.items():  # a secret's tags are in every context, and only the roles by tag ask for one
        for changed in (None, f"{value}-other", f"other-{value}") if value else ():
            yield replace(call, context={**call.context, key: changed})
    if call.resource != "*":
        service, region, _, name = call.resource.split(":", 5)[2:]
        yield replace(call, resource=f"arn:aws:{service}:{region}:999999999999:{name}")


def test_a_resource_of_another_name_is_refused_but_for_a_reason(account: Account) -> None:
    named = [(role, sid, call) for role, sid, call in calls(account) if call.resource != "*"]
    wide = {sid for role, sid, call in named if role.allows(replace(call, resource=f"{call.resource}-other"))}
    assert wide == OF_ANY_NAME.keys()


def test_every_statement_is_looked_at(account: Account) -> None:
    """Every role was used or is like a used one, and no parameter hides a statement."""
    others = {f"{engine}Role" for engine in OTHER_ENGINES}
    assert all(stack.roles.keys() == {*ROLES, *others} for stack in account.stacks)
    looked_at = {statement.sid for _, role in roles(account) for statement in role.statements}
    resources = template.load(BUILT_TEMPLATE)["Resources"]
    assert looked_at == set(sids({name: one for name, one in resources.items() if name not in ELSEWHERE}))


def sids(value: object) -> Iterator[str]:
    """Yield the name of each statement that a template gives a role, whatever the conditions."""
    if isinstance(value, list):
        value = dict(enumerate(value))
    if isinstance(value, dict):
        if "Effect" in value and "Principal" not in value:
            yield value["Sid"]
        for one in value.values():
            yield from sids(one)


@pytest.mark.parametrize("engine", OTHER_ENGINES)
def test_the_roles_of_the_engines_differ_in_names_only(account: Account, engine: str) -> None:
    """So a fact about one role is true of all."""
    admins = {f"{name}AdminSecretArns": f"arn:of-{name}" for name in (ENGINE, engine)}
    parameters = {**everything(account, []), **admins, "SecretRoleArns": "arn:of-role"}
    roles = Stack.deploy(region=REGION, account_id=account.service.account_id, parameters=parameters).roles
    assert repr(roles[f"{engine}Role"]).replace(engine, ENGINE) == repr(roles[f"{ENGINE}Role"])


def test_what_is_not_allowed_fails_the_rotation(account: Account) -> None:
    """Without a permission of the template, every test that rotates in Lambda's runtime fails."""
    stack = account.stacks[0]
    unlisted = account.secret(text_of(account.laboratory.admin))
    outcome = account.rotate(account.user_secret(masterarn=unlisted), stack)
    assert f"is not authorized to perform: secretsmanager:GetSecretValue on resource: {unlisted}" in str(outcome.error)
    outcome = account.rotate(account.user_secret(account.other_key), stack)
    assert "Access to KMS is not allowed" in str(outcome.error)


def test_a_secret_that_chose_another_function_is_out_of_reach(account: Account) -> None:
    arn = account.user_secret()
    outcome = account.rotate(arn, account.stacks[0], attached_as="other")
    assert f"is not authorized to perform: secretsmanager:DescribeSecret on resource: {arn}" in str(outcome.error)
