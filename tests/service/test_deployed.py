"""Does a template become what CloudFormation would make of it?"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.local.aws.deployed import Stack
from tests.local.aws.iam import Permission, Request, Unsupported

REGION, ACCOUNT = "eu-central-1", "123456789012"

TEMPLATE = """
Transform: [AWS::LanguageExtensions, AWS::Serverless-2016-10-31]
Parameters:
  Keys: {Type: CommaDelimitedList, Default: ""}
  Secrets: {Type: CommaDelimitedList, Default: none}
  Level: {Type: String, Default: INFO}
Conditions:
  HasKeys: !Not [!Equals [!Join ["", !Ref Keys], ""]]
  HasSecrets: !Not [!Equals [!Join ["", !Ref Secrets], none]]
Globals:
  Function:
    Runtime: python3.13
    Handler: app.handler
    Environment: {Variables: {LEVEL: !Ref Level, KEYS: !Join [",", !Ref Keys]}}
Resources:
  OneFunction:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: !Sub ${AWS::StackName}-One
      CodeUri: functions/one
      Role: !GetAtt OneRole.Arn
  Fn::ForEach::Roles:
    - Name
    - [One, Two]
    - ${Name}Role:
        Type: AWS::IAM::Role
        Properties:
          AssumeRolePolicyDocument: {}
          ManagedPolicyArns: [!Ref Policy]
          Policies:
            - PolicyName: own
              PolicyDocument:
                Statement: [{Sid: Own, Effect: Allow, Action: "lambda:Invoke${Name}", Resource: "*"}]
  Fn::ForEach::Schedules:
    - Secret
    - !Ref Secrets
    - Schedule&{Secret}:
        Type: AWS::SecretsManager::RotationSchedule
        Condition: HasSecrets
        Properties: {SecretId: !Ref Secret}
  Policy:
    Type: AWS::IAM::ManagedPolicy
    Properties:
      PolicyDocument:
        Statement:
          - !If
            - HasKeys
            - {Sid: UseKeys, Effect: Allow, Action: kms:Decrypt, Resource: !Ref Keys}
            - !Ref AWS::NoValue
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A template that has a bit of everything."""
    path = tmp_path / "template.yaml"
    path.write_text(TEMPLATE)
    return path


def deploy(path: Path, **parameters: str) -> Stack:
    """Deploy it."""
    return Stack.deploy(path, region=REGION, account_id=ACCOUNT, parameters=parameters)


def test_loops_and_sams_functions_are_resources_as_others(path: Path) -> None:
    assert set(deploy(path).resources) == {"OneFunction", "OneRole", "TwoRole", "Policy"}


def test_what_depends_on_parameters_is_made_for_the_values_that_are_given(path: Path) -> None:
    stack = deploy(path, Secrets="arn:one,arn:two")
    schedules = stack.of_type("AWS::SecretsManager::RotationSchedule")
    assert [stack.properties(schedule)["SecretId"] for schedule in schedules] == ["arn:one", "arn:two"]


def test_a_function_has_the_environment_of_globals_with_its_values(path: Path) -> None:
    assert deploy(path).environment("OneFunction") == {"LEVEL": "INFO", "KEYS": ""}
    assert deploy(path, Level="ERROR", Keys="a,b").environment("OneFunction") == {"LEVEL": "ERROR", "KEYS": "a,b"}


def test_a_role_has_its_own_policies_and_the_managed_ones(path: Path) -> None:
    own, keys = Permission("Own", "lambda:InvokeOne"), Permission("UseKeys", "kms:Decrypt")
    assert set(deploy(path).role_of("OneFunction").permissions()) == {own}
    role = deploy(path, Keys="arn:aws:kms:eu-central-1:123456789012:key/1").role_of("OneFunction")
    assert set(role.permissions()) == {own, keys}
    assert role.allows(Request("kms:Decrypt", "arn:aws:kms:eu-central-1:123456789012:key/1"))
    assert role.session == "arn:aws:sts::123456789012:assumed-role/rotation-OneRole/session"


def test_a_stack_remembers_what_its_roles_were_used_for(path: Path) -> None:
    stack = deploy(path)
    stack.role_of("OneFunction").authorize(Request("lambda:InvokeOne", "*"))
    assert [len(role.used) for role in stack.roles.values()] == [1, 0]
    assert [len(role.used) for role in deploy(path).roles.values()] == [0, 0]


@pytest.mark.parametrize(
    "changes",
    [
        {"ManagedPolicyArns": ["arn:aws:iam::aws:policy/AdministratorAccess"]},
        {"PermissionsBoundary": "arn:aws:iam::123456789012:policy/boundary"},
    ],
)
def test_what_a_role_can_do_by_what_is_not_in_the_template_is_not_passed_over(
    path: Path, changes: dict[str, Any]
) -> None:
    with pytest.raises(Unsupported):
        _ = deploy(with_resource(path, "AWS::IAM::Role", AssumeRolePolicyDocument={}, **changes)).roles


@pytest.mark.parametrize(
    ("kind", "properties"),
    [
        ("AWS::IAM::RolePolicy", {"RoleName": "rotation-OneRole", "PolicyName": "more"}),
        ("AWS::IAM::ManagedPolicy", {"Roles": ["rotation-OneRole"], "PolicyDocument": {"Statement": []}}),
    ],
)
def test_policies_that_name_their_roles_are_not_passed_over(path: Path, kind: str, properties: dict[str, Any]) -> None:
    with pytest.raises(Unsupported):
        _ = deploy(with_resource(path, kind, **properties)).roles


def test_sams_reason_is_given_if_it_does_not_take_a_template(path: Path) -> None:
    broken = with_resource(path, "AWS::Serverless::Function", Nonsense=1)
    with pytest.raises(ValueError, match=r"(?s)does not take .*property Nonsense not defined"):
        deploy(broken)
    path.write_text(TEMPLATE)
    assert deploy(path).roles, "the next one is taken"


def with_resource(path: Path, kind: str, **properties: object) -> Path:
    """Add a resource to the template; return the path of that."""
    path.write_text(f"{TEMPLATE}  More: {json.dumps({'Type': kind, 'Properties': properties})}\n")
    return path
