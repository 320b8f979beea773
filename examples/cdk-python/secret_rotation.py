"""The rotation functions of secret-rotation as a CDK construct: the template that `make package` made, and no other."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aws_cdk import CfnResource, aws_ec2, aws_iam, aws_s3_assets, aws_secretsmanager
from aws_cdk.cloudformation_include import CfnInclude
from constructs import Construct

# Where a resource says its zip file, and how the bucket and the key are called there.
CODE = {"AWS::Lambda::Function": "Code", "AWS::Lambda::LayerVersion": "Content"}


class SecretRotation(Construct):
    """All that the template makes. One per stack: the functions are named after the stack."""

    def __init__(
        self, scope: Construct, construct_id: str, *, package: Path, parameters: Mapping[str, str | Sequence[str]]
    ) -> None:
        """`package` is the folder `.aws-sam/package`; a list is the value of a parameter that takes a list."""
        super().__init__(scope, construct_id)
        template = package / "template.json"
        self._template = CfnInclude(
            self,
            "Template",
            template_file=str(template),
            parameters={
                "ArtifactBucket": "unused",
                "ArtifactBucketPerRegion": "false",
                "ArtifactPrefix": "",
                **parameters,
            },
        )
        for name, resource in json.loads(template.read_text())["Resources"].items():
            if resource["Type"] in CODE:
                self._use_asset(name, CODE[resource["Type"]], resource["Properties"], package)
        self.security_group = aws_ec2.SecurityGroup.from_security_group_id(
            self, "Functions", self._template.get_resource("FunctionSecurityGroup").get_att("GroupId").to_string()
        )
        """Of the functions, if the parameters have a VpcId and VpcSubnetIds."""

    def attach(self, secret: aws_secretsmanager.ISecret, engine: str, schedule: str = "rate(30 days)") -> None:
        """Let an engine's function rotate the secret, not at once; `engine` as in the template: "PostgreSql"."""
        rotation = aws_secretsmanager.CfnRotationSchedule(
            secret,
            "RotationBySecretRotation",
            secret_id=secret.secret_arn,
            rotation_lambda_arn=self._template.get_resource(f"{engine}Function").get_att("Arn").to_string(),
            rotate_immediately_on_update=False,
            rotation_rules={"scheduleExpression": schedule, "duration": "2h"},
        )
        # The service calls the function at once. The guard keeps the function as long as the schedule needs it.
        for needed in (f"{engine}Permission", "Guard"):
            rotation.add_resource_dependency(self._template.get_resource(needed))

    def grant_rotate(self, grantee: aws_iam.IGrantable, secret: aws_secretsmanager.ISecret) -> aws_iam.Grant:
        """Let somebody rotate the secret now. The function itself needs no grant: the template has it."""
        actions = ["secretsmanager:DescribeSecret", "secretsmanager:RotateSecret"]
        return aws_iam.Grant.add_to_principal(grantee=grantee, actions=actions, resource_arns=[secret.secret_arn])

    def _use_asset(self, name: str, place: str, properties: Mapping[str, Any], package: Path) -> None:
        key: str = properties[place]["S3Key"]["Fn::Sub"]
        asset = aws_s3_assets.Asset(self, name, path=str(package / key.removeprefix("${ArtifactPrefix}")))
        resource: CfnResource = self._template.get_resource(name)
        resource.add_property_override(place, {"S3Bucket": asset.s3_bucket_name, "S3Key": asset.s3_object_key})
