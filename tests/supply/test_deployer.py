"""Does the role of docs/deploying.md have what a deployment needs, and does no resource escape it?"""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from supply.deployer import UnknownType, role_template, statements, types
from tests.local.aws import template
from tests.local.aws.intrinsics import Resolver

SOURCE = template.load(template.SOURCE)
ALLOWED = statements(SOURCE)
CFN_LINT = Path(__file__).parents[2] / ".local/sam/bin/cfn-lint"
CALLED_FOR = {
    "AWS::Serverless::Function": "lambda:CreateFunction",
    "AWS::Lambda::Function": "lambda:CreateFunction",
    "AWS::Serverless::LayerVersion": "lambda:PublishLayerVersion",
    "AWS::Lambda::Permission": "lambda:AddPermission",
    "AWS::IAM::Role": "iam:CreateRole",
    "AWS::IAM::ManagedPolicy": "iam:CreatePolicy",
    "AWS::Logs::LogGroup": "logs:CreateLogGroup",
    "AWS::Logs::QueryDefinition": "logs:PutQueryDefinition",
    "AWS::Events::Rule": "events:PutRule",
    "AWS::CloudWatch::Alarm": "cloudwatch:PutMetricAlarm",
    "AWS::CloudWatch::Dashboard": "cloudwatch:PutDashboard",
    "AWS::StepFunctions::StateMachine": "states:CreateStateMachine",
    "AWS::SNS::Topic": "sns:CreateTopic",
    "AWS::SNS::TopicPolicy": "sns:SetTopicAttributes",
    "AWS::SNS::Subscription": "sns:Subscribe",
    "AWS::EC2::SecurityGroup": "ec2:CreateSecurityGroup",
    "AWS::EC2::SecurityGroupIngress": "ec2:AuthorizeSecurityGroupIngress",
    "AWS::EC2::SecurityGroupEgress": "ec2:AuthorizeSecurityGroupEgress",
    "AWS::EC2::VPCEndpoint": "ec2:CreateVpcEndpoint",
    "AWS::SecretsManager::RotationSchedule": "secretsmanager:RotateSecret",
    "Custom::AttachedSecrets": "lambda:InvokeFunction",
}
# Of the actions that take no narrower resource, or whose resource has no name of the stack's.
MEANT_FOR_ALL = {"ec2", "logs"}
MOST_CHARACTERS_OF_INLINE_POLICIES = 10_240


def actions(statement: dict[str, Any]) -> list[str]:
    """The actions of a statement."""
    found = statement["Action"]
    return found if isinstance(found, list) else [found]


@pytest.mark.parametrize("kind", sorted(types(SOURCE)))
def test_each_type_of_the_template_can_be_created(kind: str) -> None:
    """The loops of the template are read, too. A new type needs a line in both tables."""
    assert CALLED_FOR[kind] in {action for statement in ALLOWED for action in actions(statement)}


def test_a_type_that_nobody_thought_of_is_an_error() -> None:
    with pytest.raises(UnknownType, match="add AWS::SQS::Queue to the table"):
        statements({"Resources": {"Fn::ForEach::Q": ["N", [], {"Q": {"Type": "AWS::SQS::Queue"}}]}})


def test_only_what_the_template_has_is_allowed() -> None:
    only_a_topic = statements({"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}})
    assert {action.partition(":")[0] for one in only_a_topic for action in actions(one)} == {"sns", "iam"}


@pytest.mark.parametrize("statement", ALLOWED, ids=lambda one: actions(one)[0])
def test_a_statement_reaches_no_further_than_the_stack(statement: dict[str, Any]) -> None:
    assert not any("*" in action for action in actions(statement))
    services = {action.partition(":")[0] for action in actions(statement)}
    match statement["Resource"]:
        case "*":
            assert services <= MEANT_FOR_ALL
        case [
            {"Fn::Sub": str(arn)},
            {"Fn::If": ["HasNamePrefix", {"Fn::Sub": str(prefixed)}, {"Ref": "AWS::NoValue"}]},
        ]:
            assert services in ({"lambda"}, {"states"})
            assert prefixed == arn.replace("${Stack}-", "${NamePrefix}-")
        case {"Fn::Sub": str(arn)}:
            shared = ("layer:", "code-signing-config:", ":secret:", "${ArtifactBucket}")
            assert "${Stack}-" in arn or any(part in arn for part in shared)


@pytest.mark.parametrize("prefix", ["", "platform"])
def test_a_function_that_is_named_by_a_prefix_can_be_created(prefix: str) -> None:
    values = {"Stack": "rotation", "NamePrefix": prefix, "AWS::Region": "eu-west-1", "AWS::AccountId": "1"}
    resolver = Resolver(role_template(SOURCE), {"AWS::Partition": "aws", **values})
    [creating] = [one for one in ALLOWED if "lambda:CreateFunction" in actions(one)]
    named = [arn.rpartition(":")[2] for arn in resolver.resolve(creating["Resource"]) if isinstance(arn, str)]
    assert named == ["rotation-*", f"{prefix}-*"][: 2 if prefix else 1]


def test_a_role_is_passed_to_functions_and_state_machines_only() -> None:
    [passing] = [one for one in ALLOWED if "iam:PassRole" in actions(one)]
    assert passing["Resource"]["Fn::Sub"].endswith(":role/${Stack}-*")
    assert passing["Condition"] == {
        "StringEquals": {"iam:PassedToService": ["lambda.amazonaws.com", "states.amazonaws.com"]}
    }


def test_the_role_fits_into_iam(tmp_path: Path) -> None:
    """In size; and cfn-lint knows each of its actions."""
    policy = re.sub(r"\s", "", json.dumps(ALLOWED))
    assert len(policy) < MOST_CHARACTERS_OF_INLINE_POLICIES
    file = tmp_path / "role.json"
    file.write_text(json.dumps(role_template(SOURCE)))
    done = subprocess.run([CFN_LINT, "--", file], capture_output=True, text=True, check=False)  # noqa: S603 - the words are ours
    assert (done.returncode, done.stdout) == (0, "")
