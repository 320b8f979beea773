"""Is the right role found for a secret, and is a wrong list of roles refused?"""

import re

import pytest

from rotation.errors import InvalidConfiguration
from rotation.roles import SecretRoles, session_name

ONE, OTHER = "arn:aws:iam::111111111111:role/rotation", "arn:aws:iam::222222222222:role/teams/data/rotation+1"


def secret(account: str, name: str = "orders-AbCdEf", partition: str = "aws") -> str:
    """Return the ARN of a secret."""
    return f"arn:{partition}:secretsmanager:eu-west-1:{account}:secret:{name}"


def roles(listed: str) -> SecretRoles:
    """Read a list of roles."""
    return SecretRoles.from_environment({"SECRET_ROLE_ARNS": listed})


def refusal(listed: str) -> InvalidConfiguration:
    """Return the error for a wrong list."""
    with pytest.raises(InvalidConfiguration) as caught:
        roles(listed)
    assert "SECRET_ROLE_ARNS" in caught.value.operation
    return caught.value


@pytest.mark.parametrize("environment", [{}, {"SECRET_ROLE_ARNS": ""}, {"SECRET_ROLE_ARNS": " , "}])
def test_without_a_list_no_role_is_assumed(environment: dict[str, str]) -> None:
    assert SecretRoles.from_environment(environment).role_for(secret("111111111111")) is None


@pytest.mark.parametrize("listed", [f"{ONE},{OTHER}", f" {OTHER} ,\n{ONE} ", f"{ONE},,{OTHER},"])
def test_a_secret_gets_the_role_of_its_account(listed: str) -> None:
    assert roles(listed).role_for(secret("111111111111")) == ONE
    assert roles(listed).role_for(secret("222222222222")) == OTHER
    assert roles(listed).role_for(secret("333333333333")) is None


@pytest.mark.parametrize("partition", ["aws-cn", "aws-us-gov"])
def test_other_partitions_are_recognized(partition: str) -> None:
    role = ONE.replace("aws", partition, 1)
    assert roles(role).role_for(secret("111111111111", partition=partition)) == role


def test_the_account_is_read_from_its_place_in_the_arn() -> None:
    assert roles(OTHER).role_for(secret("111111111111", "222222222222:secret:222222222222-AbCdEf")) is None


@pytest.mark.parametrize(
    "name",
    [
        "orders",
        "orders/111111111111",
        "arn:secret",
        "arn:aws:rds:eu-west-1:111111111111:secret:x",
        f"orders {secret('111111111111')}",
    ],
)
def test_without_an_arn_of_a_secret_no_role_is_assumed(name: str) -> None:
    assert roles(ONE).role_for(name) is None


def test_two_roles_of_one_account_are_refused() -> None:
    error = refusal(f"{ONE},{OTHER},arn:aws:iam::111111111111:role/another")
    assert "more than one role of account 111111111111" in error.cause
    assert "one role for each account" in error.remedy


def test_one_role_can_be_listed_twice() -> None:
    assert roles(f"{ONE},{ONE}").role_for(secret("111111111111")) == ONE


@pytest.mark.parametrize(
    "wrong",
    [
        "rotation",
        "none",
        "111111111111",
        "arn:aws:iam::111111111111:user/rotation",
        "arn:aws:iam::111111111111:policy/rotation",
        "arn:aws:iam::111111111111:role/",
        "arn:aws:iam::11111111111:role/rotation",
        "arn:aws:iam::111111111111:role/two roles",
        "arn:aws:iam:eu-west-1:111111111111:role/rotation",
        "arn:aws:sts::111111111111:assumed-role/rotation/session",
        f"{ONE};{OTHER}",
    ],
)
def test_an_entry_that_is_not_the_arn_of_a_role_is_refused_and_not_quoted(wrong: str) -> None:
    assert refusal(f"{OTHER}, {wrong}").cause == "its entry 2 is not the ARN of a role"


@pytest.mark.parametrize(
    ("function", "session"),
    [
        ("secret-rotation-PostgreSql", "secret-rotation-PostgreSql"),
        ("with blanks/and:more", "with-blanks-and-more"),
        ("größe", "gr--e"),
        ("x" * 70, "x" * 64),
        ("f", "f-"),
        ("", "--"),
    ],
)
def test_a_session_is_named_like_the_function_as_far_as_sts_accepts_it(function: str, session: str) -> None:
    assert session_name(function) == session
    assert re.fullmatch(r"[\w+=,.@-]{2,64}", session, re.ASCII)
