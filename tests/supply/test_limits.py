"""How much goes into one stack? docs/deploying.md has these figures, for names of a usual length."""

import json
from collections.abc import Callable
from itertools import count
from pathlib import Path

from tests.local.aws import template
from tests.local.aws.deployed import Stack

ACCOUNT, REGION, NAME = "123456789012", "eu-central-1", "secret-rotation"
SECRET = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:orders/postgresql-app-AbCdEf"
ROLE = "arn:aws:iam::123456789012:role/secret-rotation-"
PAGE = (Path(__file__).parents[2] / "docs/deploying.md").read_text()

# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
MOST_RESOURCES, MOST_CHARACTERS_OF_A_LIST = 500, 4096
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
MOST_BYTES_OF_VARIABLES, MOST_BYTES_OF_A_FUNCTION_POLICY = 4096, 20 * 1024
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
MOST_CHARACTERS_OF_A_MANAGED_POLICY = 6144


def most(fits: Callable[[int], bool]) -> int:
    """Return the highest number that fits."""
    return next(number for number in count() if not fits(number + 1))


def deployed(**parameters: str) -> Stack:
    """Return the stack that these parameters make."""
    return Stack.deploy(template.SOURCE, name=NAME, region=REGION, account_id=ACCOUNT, parameters=parameters)


def test_how_many_secrets_a_list_takes() -> None:
    a_list = most(lambda number: len(",".join([SECRET] * number)) <= MOST_CHARACTERS_OF_A_LIST)
    assert f"about {a_list // 5 * 5} ARNs" in PAGE


def test_how_many_roles_fit_into_the_variables_of_a_function() -> None:
    """The policy of the functions has room for more."""
    stack = deployed(SecretRoleArns=",".join([f"{ROLE}{number:02d}" for number in range(60)]), DescribeDatabases="true")
    policy = json.dumps(stack.properties("FunctionPolicy")["PolicyDocument"], separators=(",", ":"))
    assert len(policy) < MOST_CHARACTERS_OF_A_MANAGED_POLICY
    variables = stack.environment("PostgreSqlFunction")
    assert sum(len(name) + len(value) for name, value in variables.items()) < MOST_BYTES_OF_VARIABLES
    assert "about 60 roles" in PAGE


def test_how_many_keys_fit_into_the_policy_of_the_functions() -> None:
    """All functions share it. A list of keys takes about fifty, and there are two."""
    key = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/01234567-89ab-cdef-0123-4567890"

    def size(keys: int, roles: int) -> int:
        half = keys // 2
        lists = {
            "KmsKeyArns": [f"{key}{number:05d}" for number in range(half)],
            "AdminKmsKeyArns": [f"{key}{number:05d}" for number in range(keys - half)],
            "SecretRoleArns": [f"{ROLE}{number:02d}" for number in range(roles)],
        }
        stack = deployed(**{name: ",".join(values) for name, values in lists.items()}, DescribeDatabases="true")
        return len(json.dumps(stack.properties("FunctionPolicy")["PolicyDocument"], separators=(",", ":")))

    for keys, roles in ((60, 0), (20, 60)):
        assert MOST_CHARACTERS_OF_A_MANAGED_POLICY * 0.85 < size(keys, roles) < MOST_CHARACTERS_OF_A_MANAGED_POLICY
    assert "about 60 keys; with 60 roles, about 20" in PAGE


def test_how_many_accounts_fit_into_the_policy_of_a_function() -> None:
    function = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{NAME}-PostgreSql"
    statement = {
        "Sid": f"{NAME}-PostgreSqlPermission{ACCOUNT}-0123456789AB",
        "Effect": "Allow",
        "Principal": {"Service": "secretsmanager.amazonaws.com"},
        "Action": "lambda:InvokeFunction",
        "Resource": function,
        "Condition": {"StringEquals": {"AWS:SourceAccount": ACCOUNT}},
    }
    size = len(json.dumps(statement, separators=(",", ":")))
    assert f"about {MOST_BYTES_OF_A_FUNCTION_POLICY // size // 5 * 5} accounts" in PAGE


def test_all_lists_full_are_fewer_resources_than_a_stack_has() -> None:
    """Each engine with its forty secrets, and twenty other accounts."""
    alone = len(deployed().resources)
    secrets, accounts = 40, 20
    assert alone + len(template.engines()) * (secrets + accounts) < MOST_RESOURCES
    assert "forty secrets and twenty accounts" in PAGE
