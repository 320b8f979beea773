"""What must somebody be allowed to do who deploys the template, and no more?

A role for CloudFormation (`sam deploy --role-arn …`): who deploys then needs no right of their own but to call
CloudFormation with this role. The role is found from the template: each type of resource in it brings the actions that
create, change and delete it. A type that is not in the table below is an error, not a gap.

The actions are those of AWS's resource type schemas (`handlers` in `aws cloudformation describe-type`), without those
for what the template does not use: file systems, images, grants, other services' networks, data protection. By hand,
because no schema was to be had: SNS subscriptions, rules of security groups, alarms, managed policies, the custom
resource. Nobody has deployed with this role yet.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.local.aws import template

_ROLES = "arn:${AWS::Partition}:iam::${AWS::AccountId}:role/${Stack}-*"
_FUNCTIONS = "arn:${AWS::Partition}:lambda:${AWS::Region}:${AWS::AccountId}:function:${Stack}-*"
_MACHINES = "arn:${AWS::Partition}:states:${AWS::Region}:${AWS::AccountId}:stateMachine:${Stack}-*"
_ANY = "*"


@dataclass(frozen=True)
class _Need:
    """Actions, without their service's prefix, on what one resource covers."""

    service: str
    actions: str
    resource: str

    @property
    def allowed(self) -> set[str]:
        return {f"{self.service}:{action}" for action in self.actions.split()}


def _here(service: str, rest: str) -> str:
    return f"arn:${{AWS::Partition}}:{service}:${{AWS::Region}}:${{AWS::AccountId}}:{rest}"


_ARTIFACTS = _Need("s3", "GetObject GetObjectVersion", "arn:${AWS::Partition}:s3:::${ArtifactBucket}/*")
_FUNCTION = (
    _Need(
        "lambda",
        "CreateFunction GetFunction UpdateFunctionCode UpdateFunctionConfiguration DeleteFunction TagResource "
        "UntagResource ListTags PutFunctionConcurrency DeleteFunctionConcurrency GetFunctionCodeSigningConfig "
        "PutFunctionCodeSigningConfig DeleteFunctionCodeSigningConfig GetFunctionRecursionConfig "
        "GetRuntimeManagementConfig",
        _FUNCTIONS,
    ),
    _Need("lambda", "GetCodeSigningConfig", _here("lambda", "code-signing-config:*")),
    _Need("ec2", "DescribeNetworkInterfaces DescribeSecurityGroups DescribeSubnets DescribeVpcs", _ANY),
    _ARTIFACTS,
)
_LAYER = (
    _Need("lambda", "PublishLayerVersion", _here("lambda", "layer:*Layer*")),
    _Need("lambda", "GetLayerVersion DeleteLayerVersion", _here("lambda", "layer:*Layer*:*")),
    _ARTIFACTS,
)
_NEEDS: Mapping[str, tuple[_Need, ...]] = {
    "AWS::Serverless::Function": _FUNCTION,
    "AWS::Lambda::Function": _FUNCTION,
    "AWS::Serverless::LayerVersion": _LAYER,
    "AWS::Lambda::LayerVersion": _LAYER,
    "AWS::Lambda::Permission": (_Need("lambda", "AddPermission GetPolicy RemovePermission", _FUNCTIONS),),
    "Custom::": (_Need("lambda", "InvokeFunction", _FUNCTIONS),),
    "AWS::IAM::Role": (
        _Need(
            "iam",
            "CreateRole GetRole UpdateRole UpdateRoleDescription UpdateAssumeRolePolicy DeleteRole TagRole "
            "UntagRole PutRolePolicy GetRolePolicy ListRolePolicies DeleteRolePolicy AttachRolePolicy "
            "DetachRolePolicy ListAttachedRolePolicies PutRolePermissionsBoundary DeleteRolePermissionsBoundary",
            _ROLES,
        ),
    ),
    "AWS::IAM::ManagedPolicy": (
        _Need(
            "iam",
            "CreatePolicy GetPolicy GetPolicyVersion ListPolicyVersions CreatePolicyVersion DeletePolicyVersion "
            "DeletePolicy ListEntitiesForPolicy TagPolicy UntagPolicy",
            "arn:${AWS::Partition}:iam::${AWS::AccountId}:policy/${Stack}-*",
        ),
    ),
    "AWS::Logs::LogGroup": (
        _Need(
            "logs",
            "CreateLogGroup DeleteLogGroup PutRetentionPolicy DeleteRetentionPolicy AssociateKmsKey "
            "DisassociateKmsKey TagResource UntagResource ListTagsForResource",
            _here("logs", "log-group:${Stack}-*"),
        ),
        _Need("logs", "DescribeLogGroups", _ANY),
    ),
    "AWS::Logs::QueryDefinition": (
        _Need("logs", "PutQueryDefinition DescribeQueryDefinitions DeleteQueryDefinition", _ANY),
    ),
    "AWS::Events::Rule": (
        _Need(
            "events",
            "PutRule DescribeRule DeleteRule PutTargets RemoveTargets ListTargetsByRule TagResource UntagResource",
            _here("events", "rule/${Stack}-*"),
        ),
    ),
    "AWS::CloudWatch::Alarm": (
        _Need(
            "cloudwatch",
            "PutMetricAlarm DescribeAlarms DeleteAlarms TagResource UntagResource ListTagsForResource",
            _here("cloudwatch", "alarm:${Stack}-*"),
        ),
    ),
    "AWS::CloudWatch::Dashboard": (
        _Need(
            "cloudwatch",
            "PutDashboard GetDashboard DeleteDashboards TagResource UntagResource ListTagsForResource",
            "arn:${AWS::Partition}:cloudwatch::${AWS::AccountId}:dashboard/${Stack}-*",
        ),
    ),
    "AWS::StepFunctions::StateMachine": (
        _Need(
            "states",
            "CreateStateMachine DescribeStateMachine UpdateStateMachine DeleteStateMachine TagResource UntagResource "
            "ListTagsForResource",
            _MACHINES,
        ),
    ),
    "AWS::SNS::Topic": (
        _Need(
            "sns",
            "CreateTopic GetTopicAttributes SetTopicAttributes DeleteTopic TagResource UntagResource "
            "ListTagsForResource ListSubscriptionsByTopic",
            _here("sns", "${Stack}-*"),
        ),
    ),
    "AWS::SNS::TopicPolicy": (_Need("sns", "SetTopicAttributes", _here("sns", "${Stack}-*")),),
    "AWS::SNS::Subscription": (
        _Need(
            "sns",
            "Subscribe Unsubscribe GetSubscriptionAttributes SetSubscriptionAttributes",
            _here("sns", "${Stack}-*"),
        ),
    ),
    "AWS::EC2::SecurityGroup": (
        _Need(
            "ec2",
            "CreateSecurityGroup DeleteSecurityGroup AuthorizeSecurityGroupEgress AuthorizeSecurityGroupIngress "
            "RevokeSecurityGroupEgress RevokeSecurityGroupIngress UpdateSecurityGroupRuleDescriptionsEgress "
            "UpdateSecurityGroupRuleDescriptionsIngress DescribeSecurityGroups DescribeInstances CreateTags "
            "DeleteTags",
            _ANY,
        ),
    ),
    "AWS::EC2::SecurityGroupIngress": (
        _Need(
            "ec2",
            "AuthorizeSecurityGroupIngress RevokeSecurityGroupIngress UpdateSecurityGroupRuleDescriptionsIngress "
            "DescribeSecurityGroups DescribeSecurityGroupRules",
            _ANY,
        ),
    ),
    "AWS::EC2::SecurityGroupEgress": (
        _Need(
            "ec2",
            "AuthorizeSecurityGroupEgress RevokeSecurityGroupEgress UpdateSecurityGroupRuleDescriptionsEgress "
            "DescribeSecurityGroups DescribeSecurityGroupRules",
            _ANY,
        ),
    ),
    "AWS::EC2::VPCEndpoint": (
        _Need(
            "ec2",
            "CreateVpcEndpoint ModifyVpcEndpoint DeleteVpcEndpoints DescribeVpcEndpoints DescribeSubnets "
            "DescribeSecurityGroups DescribeVpcs CreateTags DeleteTags",
            _ANY,
        ),
    ),
    "AWS::SecretsManager::RotationSchedule": (
        _Need("secretsmanager", "RotateSecret CancelRotateSecret DescribeSecret", _here("secretsmanager", "secret:*")),
        _Need("lambda", "InvokeFunction", _FUNCTIONS),
    ),
}


class UnknownType(LookupError):
    """The template has a resource of a type that the table above does not have."""


def main() -> int:
    """Print the template of the role for the template in the current folder; return 1 if a type is not known."""
    try:
        print(json.dumps(role_template(template.load(Path("template.yaml"))), indent=1))
    except UnknownType as reason:
        print(reason, file=sys.stderr)
        return 1
    return 0


def role_template(source: Mapping[str, Any]) -> dict[str, Any]:
    """Return a template with one role, which CloudFormation can use to deploy the source. Raises UnknownType."""
    trust = {"Effect": "Allow", "Principal": {"Service": "cloudformation.amazonaws.com"}, "Action": "sts:AssumeRole"}
    role = {
        "Description": {"Fn::Sub": "Deploys the stack ${Stack}: CloudFormation uses it."},
        "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trust]},
        "Policies": [
            {"PolicyName": "deploy", "PolicyDocument": {"Version": "2012-10-17", "Statement": statements(source)}}
        ],
    }
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "The role with which CloudFormation deploys secret-rotation: what this needs, and no more.",
        "Parameters": {
            "Stack": {"Type": "String", "Default": "secret-rotation", "Description": "The name of the stack."},
            "NamePrefix": {
                "Type": "String",
                "Default": "",
                "Description": "The stack's own NamePrefix, if it has one: the rotation functions are named after it.",
            },
            "ArtifactBucket": {
                "Type": "String",
                "Default": "aws-sam-cli-managed-default-*",
                "Description": "The bucket of the artifacts. Default: the one that SAM makes.",
            },
        },
        "Conditions": {"HasNamePrefix": {"Fn::Not": [{"Fn::Equals": [{"Ref": "NamePrefix"}, ""]}]}},
        "Resources": {"Role": {"Type": "AWS::IAM::Role", "Properties": role}},
        "Outputs": {
            "RoleArn": {"Description": "For `sam deploy --role-arn`.", "Value": {"Fn::GetAtt": ["Role", "Arn"]}}
        },
    }


def statements(source: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the statements of the role's policy: one per service and resource. Raises UnknownType."""
    allowed: dict[tuple[str, str], set[str]] = {}
    for kind in sorted(types(source)):
        for need in _needs(kind):
            allowed.setdefault((need.service, need.resource), set()).update(need.allowed)
    own = [
        {
            "Effect": "Allow",
            "Action": sorted(actions),
            "Resource": _resource(resource),
        }
        for (_, resource), actions in sorted(allowed.items())
    ]
    return [*own, _pass_roles()]


def _resource(pattern: str) -> Any:  # noqa: ANN401 - a text or a function of CloudFormation
    if pattern in {_FUNCTIONS, _MACHINES}:
        prefix = pattern.replace("${Stack}", "${NamePrefix}")
        prefixed = {"Fn::If": ["HasNamePrefix", {"Fn::Sub": prefix}, {"Ref": "AWS::NoValue"}]}
        return [{"Fn::Sub": pattern}, prefixed]
    return {"Fn::Sub": pattern} if "${" in pattern else pattern


def types(source: Mapping[str, Any]) -> set[str]:
    """Return the types of all resources of a template, also of those in its loops."""
    return set(_types(source["Resources"]))


def _types(resources: Mapping[str, Any]) -> Iterator[str]:
    for name, resource in resources.items():
        if name.startswith("Fn::ForEach::"):
            yield from _types(resource[2])
        else:
            yield resource["Type"]


def _needs(kind: str) -> tuple[_Need, ...]:
    known = "Custom::" if kind.startswith("Custom::") else kind
    if known not in _NEEDS:
        raise UnknownType(f"add {kind} to the table of supply/deployer.py: nobody has said who can create it")
    return _NEEDS[known]


def _pass_roles() -> dict[str, Any]:
    return {
        "Effect": "Allow",
        "Action": "iam:PassRole",
        "Resource": {"Fn::Sub": _ROLES},
        "Condition": {"StringEquals": {"iam:PassedToService": ["lambda.amazonaws.com", "states.amazonaws.com"]}},
    }


if __name__ == "__main__":
    sys.exit(main())
