"""Do a template's intrinsic functions give the values that CloudFormation gives, and never made-up ones?"""

from typing import Any

import pytest

from tests.local.aws.intrinsics import Resolver, Unresolvable

TEMPLATE: dict[str, Any] = {
    "Parameters": {
        "Level": {"Type": "String", "Default": "INFO"},
        "Length": {"Type": "Number", "Default": 32},
        "Keys": {"Type": "CommaDelimitedList", "Default": ""},
        "Subnets": {"Type": "List<AWS::EC2::Subnet::Id>", "Default": "one, two"},
        "Needed": {"Type": "String"},
    },
    "Conditions": {
        "HasKeys": {"Fn::Not": [{"Fn::Equals": [{"Fn::Join": ["", {"Ref": "Keys"}]}, ""]}]},
        "HasSubnets": {"Fn::Not": [{"Fn::Equals": [{"Fn::Join": ["", {"Ref": "Subnets"}]}, ""]}]},
        "HasBoth": {"Fn::And": [{"Condition": "HasKeys"}, {"Condition": "HasSubnets"}]},
        "HasEither": {"Fn::Or": [{"Condition": "HasKeys"}, {"Condition": "HasSubnets"}]},
    },
    "Resources": {
        "Function": {
            "Type": "AWS::Lambda::Function",
            "Properties": {"FunctionName": {"Fn::Sub": "${AWS::StackName}-pg"}},
        },
        "Role": {"Type": "AWS::IAM::Role"},
        "Policy": {"Type": "AWS::IAM::ManagedPolicy"},
        "Group": {"Type": "AWS::Logs::LogGroup"},
        "Topic": {"Type": "AWS::SNS::Topic"},
        "Alarm": {"Type": "AWS::CloudWatch::Alarm"},
        "Absent": {"Type": "AWS::SNS::Topic", "Condition": "HasKeys"},
    },
}
VALUES = {
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::Region": "us-east-1",
    "AWS::StackName": "rotation",
    "AWS::URLSuffix": "amazonaws.com",
}
FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:rotation-pg"


def resolve(value: object, **parameters: str) -> Any:  # noqa: ANN401 - whatever it becomes
    """Resolve a value in the template above."""
    return Resolver(TEMPLATE, {**VALUES, **parameters}).resolve(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("as it is", "as it is"),
        ({"A": [1, True]}, {"A": [1, True]}),
        ({"Ref": "AWS::Region"}, "us-east-1"),
        ({"Ref": "Level"}, "INFO"),
        ({"Ref": "Length"}, 32),
        ({"Ref": "Keys"}, [""]),
        ({"Ref": "Subnets"}, ["one", "two"]),
        ({"Fn::Contains": [{"Ref": "Subnets"}, "two"]}, True),
        ({"Fn::Contains": [["31", "32"], {"Ref": "Length"}]}, True),
        ({"Fn::Contains": [{"Ref": "Subnets"}, ""]}, False),
        ({"Fn::EachMemberEquals": [{"Ref": "Keys"}, ""]}, True),
        ({"Fn::EachMemberEquals": [{"Ref": "Subnets"}, "one"]}, False),
        ({"Fn::EachMemberIn": [{"Ref": "Subnets"}, ["one", "two", "three"]]}, True),
        ({"Ref": "Function"}, "rotation-pg"),
        ({"Ref": "Role"}, "rotation-Role"),
        ({"Ref": "Group"}, "rotation-Group"),
        ({"Ref": "Policy"}, "arn:aws:iam::123456789012:policy/rotation-Policy"),
        ({"Ref": "Alarm"}, "rotation-Alarm"),
        ({"Ref": "Topic"}, "arn:aws:sns:us-east-1:123456789012:rotation-Topic"),
        ({"Fn::GetAtt": ["Function", "Arn"]}, FUNCTION),
        ({"Fn::GetAtt": "Function.Arn"}, FUNCTION),
        ({"Fn::GetAtt": ["Role", "Arn"]}, "arn:aws:iam::123456789012:role/rotation-Role"),
        ({"Fn::GetAtt": ["Group", "Arn"]}, "arn:aws:logs:us-east-1:123456789012:log-group:rotation-Group:*"),
        ({"Fn::GetAtt": ["Topic", "TopicArn"]}, "arn:aws:sns:us-east-1:123456789012:rotation-Topic"),
        ({"Fn::Sub": "${Function} of ${AWS::StackName}: ${Function.Arn}"}, f"rotation-pg of rotation: {FUNCTION}"),
        ({"Fn::Sub": ["${Level} ${Own}", {"Own": {"Ref": "Length"}}]}, "INFO 32"),
        ({"Fn::Sub": "${!Level} $ {Level}"}, "${Level} $ {Level}"),
        ({"Fn::Join": [",", {"Ref": "Subnets"}]}, "one,two"),
        ({"Fn::Select": ["1", {"Ref": "Subnets"}]}, "two"),
        ({"Fn::Select": [0, {"Fn::Split": ["-", {"Ref": "AWS::Region"}]}]}, "us"),
        ({"Fn::If": ["HasSubnets", {"Ref": "Level"}, {"Ref": "Nowhere"}]}, "INFO"),
        ({"Fn::Equals": [{"Ref": "Length"}, "32"]}, True),
    ],
)
def test_each_function_gives_its_value(value: object, expected: object) -> None:
    assert resolve(value) == expected


def test_no_value_is_left_out_of_lists_and_maps() -> None:
    nothing = {"Ref": "AWS::NoValue"}
    assert resolve({"A": nothing, "B": [1, nothing, {"Fn::If": ["HasKeys", 2, nothing]}]}) == {"B": [1]}
    with pytest.raises(Unresolvable):
        resolve(nothing)


@pytest.mark.parametrize(
    ("condition", "without", "with_keys"),
    [("HasKeys", False, True), ("HasBoth", False, True), ("HasEither", True, True), ("HasSubnets", True, True)],
)
def test_conditions_follow_from_parameters(condition: str, *, without: bool, with_keys: bool) -> None:
    assert Resolver(TEMPLATE, VALUES).holds(condition) == without
    assert Resolver(TEMPLATE, {**VALUES, "Keys": "a,b"}).holds(condition) == with_keys


def test_a_given_value_replaces_the_default() -> None:
    assert resolve({"Ref": "Keys"}, Keys="a,b") == ["a", "b"]
    assert resolve({"Ref": "Absent"}, Keys="a") == "arn:aws:sns:us-east-1:123456789012:rotation-Absent"


@pytest.mark.parametrize(
    "value",
    [
        {"Ref": "Nowhere"},
        {"Ref": "Needed"},
        {"Ref": "Absent"},
        {"Fn::GetAtt": ["Alarm", "Arn"]},
        {"Fn::GetAtt": ["Function", "SnapStart"]},
        {"Fn::GetAtt": ["Nowhere", "Arn"]},
        {"Fn::Sub": "${Nowhere}"},
        {"Fn::If": ["Nowhere", 1, 2]},
        {"Fn::ImportValue": "of another stack"},
    ],
)
def test_an_unknown_value_is_not_made_up(value: object) -> None:
    with pytest.raises(Unresolvable):
        resolve(value)
