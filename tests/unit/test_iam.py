"""Does the stand-in for IAM decide as IAM does, and never guess?"""

from typing import Any

import pytest

from tests.local.aws.iam import AccessDenied, Permission, Request, Role, Unsupported

SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:app-AbCdEf"
FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:rotation-PostgreSql"
ATTACHED = "secretsmanager:resource/AllowRotationLambdaArn"


def role(*statements: dict[str, Any]) -> Role:
    """Return a role with these statements; each allows to read every secret unless it says something else."""
    whole: list[dict[str, Any]] = [
        {
            "Sid": f"Statement{number}",
            "Effect": "Allow",
            "Action": "secretsmanager:GetSecretValue",
            "Resource": "*",
            **one,
        }
        for number, one in enumerate(statements)
    ]
    return Role.of("rotation", "arn:aws:sts::123456789012:assumed-role/rotation/session", [{"Statement": whole}])


def read_request(resource: str = SECRET, attached: str | None = None) -> Request:
    """Return the request to read a secret that is attached to a function."""
    return Request("secretsmanager:GetSecretValue", resource, {ATTACHED: attached})


def test_a_call_that_no_statement_allows_is_refused_in_awss_words() -> None:
    with pytest.raises(AccessDenied) as caught:
        role({"Action": "secretsmanager:DescribeSecret"}).authorize(read_request())
    assert str(caught.value) == (
        "User: arn:aws:sts::123456789012:assumed-role/rotation/session is not authorized to perform: "
        f"secretsmanager:GetSecretValue on resource: {SECRET} "
        "because no identity-based policy allows the secretsmanager:GetSecretValue action"
    )


def test_a_deny_wins() -> None:
    with pytest.raises(AccessDenied, match="with an explicit deny"):
        role({}, {"Effect": "Deny"}).authorize(read_request())
    assert not role({}, {"Effect": "Deny"}).allows(read_request())


def test_a_deny_of_something_else_does_not_matter() -> None:
    assert role({}, {"Effect": "Deny", "Action": "secretsmanager:PutSecretValue"}).allows(read_request())


@pytest.mark.parametrize(
    ("pattern", "allowed"),
    [
        ("secretsmanager:GetSecretValue", True),
        ("SecretsManager:getsecretvalue", True),
        ("secretsmanager:Get*", True),
        ("secretsmanager:GetSecretValu?", True),
        ("*", True),
        (["secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue"], True),
        ("secretsmanager:Get", False),
        ("secretsmanager:GetSecretValue?", False),
        ("secretsmanager.GetSecretValue", False),
    ],
)
def test_actions_match_in_any_case_and_with_wildcards(pattern: object, *, allowed: bool) -> None:
    assert role({"Action": pattern}).allows(read_request()) == allowed


@pytest.mark.parametrize(
    ("pattern", "allowed"),
    [
        (SECRET, True),
        ("*", True),
        ("arn:aws:secretsmanager:*:123456789012:secret:app-??????", True),
        ([FUNCTION, SECRET], True),
        (SECRET.lower(), False),
        ("arn:aws:secretsmanager:us-east-1:999999999999:secret:*", False),
        ("arn:aws:secretsmanager:*:secret:app-AbCdEf", False),
        ("arn:*", False),
        ("arn:aws:secretsmanager:us-east-1:123456789012:secret:ap", False),
    ],
)
def test_a_wildcard_in_a_resource_stays_within_its_part_of_the_arn(pattern: object, *, allowed: bool) -> None:
    assert role({"Resource": pattern}).allows(read_request()) == allowed


def test_a_call_without_resource_needs_a_statement_on_everything() -> None:
    everywhere = read_request("*")
    assert role({}).allows(everywhere)
    assert not role({"Resource": "arn:aws:secretsmanager:us-east-1:123456789012:secret:*"}).allows(everywhere)


@pytest.mark.parametrize(
    ("condition", "value", "allowed"),
    [
        ({"StringEquals": {ATTACHED: FUNCTION}}, FUNCTION, True),
        ({"StringEquals": {ATTACHED.upper(): FUNCTION}}, FUNCTION, True),
        ({"StringEquals": {ATTACHED: ["other", FUNCTION]}}, FUNCTION, True),
        ({"StringEquals": {ATTACHED: FUNCTION}}, FUNCTION.lower(), False),
        ({"StringEquals": {ATTACHED: FUNCTION}}, None, False),
        ({"StringEquals": {ATTACHED: "arn:*"}}, FUNCTION, False),
        ({"StringLike": {ATTACHED: "*:rotation-*"}}, FUNCTION, True),
        ({"StringLike": {ATTACHED: "*"}}, None, False),
        ({"ArnEquals": {ATTACHED: "arn:aws:lambda:*:123456789012:function:rotation-*"}}, FUNCTION, True),
        ({"ArnLike": {ATTACHED: "arn:aws:lambda:*:rotation-*"}}, FUNCTION, False),
        ({"Bool": {ATTACHED: "true"}}, "True", True),
        ({"Bool": {ATTACHED: True}}, "false", False),
        ({"Bool": {ATTACHED: "true"}}, None, False),
        ({"Null": {ATTACHED: "false"}}, FUNCTION, True),
        ({"Null": {ATTACHED: "false"}}, None, False),
        ({"Null": {ATTACHED: "true"}}, None, True),
        ({"Null": {ATTACHED: "true"}}, FUNCTION, False),
        ({"StringEquals": {ATTACHED: FUNCTION}, "Null": {ATTACHED: "true"}}, FUNCTION, False),
    ],
)
def test_all_conditions_hold_with_one_of_their_values(
    condition: dict[str, Any], value: str | None, *, allowed: bool
) -> None:
    assert role({"Condition": condition}).allows(read_request(attached=value)) == allowed


@pytest.mark.parametrize(
    "statement",
    [
        {"NotAction": "iam:*"},
        {"NotResource": SECRET},
        {"Principal": "*"},
        {"Sid": ""},
        {"Condition": {"StringNotEquals": {ATTACHED: FUNCTION}}},
        {"Condition": {"StringEqualsIfExists": {ATTACHED: FUNCTION}}},
        {"Condition": {"ForSomeValues:StringEquals": {ATTACHED: FUNCTION}}},
        {"Condition": {"StringLike": {ATTACHED: "*:${aws:username}"}}},
        {"Resource": "arn:aws:s3:::${aws:username}"},
    ],
)
def test_unknown_parts_of_the_policy_language_are_not_ignored(statement: dict[str, Any]) -> None:
    with pytest.raises(Unsupported):
        role(statement)


def test_a_condition_on_an_unknown_key_is_not_taken_to_fail() -> None:
    with pytest.raises(Unsupported, match="a condition on aws:SourceIp"):
        role({"Effect": "Deny", "Condition": {"StringEquals": {"aws:SourceIp": "10.0.0.1"}}}).authorize(read_request())


def test_used_permissions_are_remembered_with_their_calls() -> None:
    used = role({"Sid": "Read", "Action": ["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"]})
    used.authorize(read_request())
    assert used.used == {Permission("Read", "secretsmanager:GetSecretValue"): [read_request()]}
    assert set(used.permissions()) - used.used.keys() == {Permission("Read", "secretsmanager:DescribeSecret")}


def test_a_call_that_two_statements_allow_uses_neither() -> None:
    used = role({}, {})
    used.authorize(read_request())
    assert used.used == {}


def test_a_refused_call_uses_nothing() -> None:
    used = role({"Resource": FUNCTION})
    with pytest.raises(AccessDenied):
        used.authorize(read_request())
    assert used.used == {}


@pytest.mark.parametrize(
    ("keys", "allowed"), [(("one",), True), (("one", "two"), True), (("one", "three"), False), ((), True)]
)
def test_for_all_values_each_value_of_the_call_has_to_be_one_of_the_conditions(
    keys: tuple[str, ...], *, allowed: bool
) -> None:
    """Also if the call has none, as IAM warns."""
    statement = {"Condition": {"ForAllValues:StringEquals": {"aws:TagKeys": ["one", "two"]}}}
    request = Request("secretsmanager:GetSecretValue", SECRET, {"aws:TagKeys": keys})
    assert role(statement).allows(request) is allowed


@pytest.mark.parametrize(
    ("keys", "allowed"), [(("one",), True), (("one", "three"), True), (("three",), False), ((), False)]
)
def test_for_any_value_one_value_of_the_call_has_to_be_one_of_the_conditions(
    keys: tuple[str, ...], *, allowed: bool
) -> None:
    statement = {"Condition": {"ForAnyValue:StringEquals": {"aws:TagKeys": ["one", "two"]}}}
    request = Request("secretsmanager:GetSecretValue", SECRET, {"aws:TagKeys": keys})
    assert role(statement).allows(request) is allowed


def test_a_key_with_several_values_is_not_compared_as_if_it_had_one() -> None:
    request = Request("secretsmanager:GetSecretValue", SECRET, {"aws:TagKeys": ("one",)})
    with pytest.raises(Unsupported):
        role({"Condition": {"StringEquals": {"aws:TagKeys": "one"}}}).allows(request)


def test_a_tag_that_is_not_there_has_no_value_if_all_tags_are_known() -> None:
    absent = role({"Condition": {"Null": {"aws:ResourceTag/team": "true"}}})
    known = {"aws:ResourceTag/*": None}
    assert absent.allows(Request("secretsmanager:GetSecretValue", SECRET, known))
    assert not absent.allows(Request("secretsmanager:GetSecretValue", SECRET, {**known, "aws:ResourceTag/team": "a"}))
    with pytest.raises(Unsupported):
        absent.allows(read_request())
