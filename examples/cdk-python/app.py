"""A database whose admin's password rotates: `cdk deploy`, after `make package`."""

from pathlib import Path

from aws_cdk import App, Stack, Tags, aws_ec2, aws_iam, aws_kms, aws_rds
from secret_rotation import SecretRotation

PACKAGE = Path(__file__).parents[2] / ".aws-sam/package"

app = App()
stack = Stack(app, "Orders")
vpc = aws_ec2.Vpc(stack, "Vpc", max_azs=2)
key = aws_kms.Key(stack, "Key")
database = aws_rds.DatabaseInstance(
    stack,
    "Database",
    engine=aws_rds.DatabaseInstanceEngine.postgres(version=aws_rds.PostgresEngineVersion.VER_17),
    vpc=vpc,
    credentials=aws_rds.Credentials.from_generated_secret("orders", encryption_key=key),
)

rotation = SecretRotation(
    stack,
    "Rotation",
    package=Path(app.node.try_get_context("package") or PACKAGE),
    parameters={
        "DeployMySql": "false",
        "DeployMariaDb": "false",
        "DeployOracle": "false",
        "DeploySqlServer": "false",
        "DeployDb2": "false",
        "VpcId": vpc.vpc_id,
        "VpcSubnetIds": vpc.select_subnets(subnet_type=aws_ec2.SubnetType.PRIVATE_WITH_EGRESS).subnet_ids,
        "KmsKeyArns": [key.key_arn],
    },
)
database.connections.allow_default_port_from(rotation.security_group)
rotation.attach(database.secret, "PostgreSql", schedule="cron(0 3 ? * SUN *)")

on_call = aws_iam.Role(stack, "OnCall", assumed_by=aws_iam.AccountRootPrincipal())
rotation.grant_rotate(on_call, database.secret)
Tags.of(rotation).add("team", "platform")
app.synth()
