"""Is a process that has a role held to what the role allows, and told so as AWS tells it?"""

import secrets
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.local.aws.iam import Permission, Role
from tests.local.aws.secrets_manager import REGION, Call, LocalSecretsManager, ServiceError

KEY = "arn:aws:kms:us-east-1:123456789012:key/1"
OTHER_ROLE = "arn:aws:iam::210987654321:role/rotation"
SESSION = "arn:aws:sts::123456789012:assumed-role/rotation/session"


def allow(action: object, resource: object = "*", **conditions: str) -> dict[str, Any]:
    """Return a statement; its conditions are on equal strings."""
    return {
        "Sid": "Allowed",
        "Effect": "Allow",
        "Action": action,
        "Resource": resource,
        "Condition": {"StringEquals": conditions},
    }


class Process:
    """A process that has a role with these statements."""

    def __init__(self, service: LocalSecretsManager, *statements: dict[str, Any]) -> None:
        self.role = Role.of(f"role-{secrets.token_hex(4)}", SESSION, [{"Statement": list(statements)}])
        self._environment = service.acting_as(self.role)

    def client(self, name: str, region: str = REGION) -> Any:  # noqa: ANN401 - of whatever service
        """Return a client, as the environment has boto3 make it."""
        return boto3.client(
            name,  # type: ignore[call-overload]
            region_name=region,
            endpoint_url=self._environment["AWS_ENDPOINT_URL"],
            aws_access_key_id=self._environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self._environment["AWS_SECRET_ACCESS_KEY"],
            config=Config(retries={"total_max_attempts": 1}),
        )

    def may(self, operation: str, name: str = "secretsmanager", region: str = REGION, **parameters: object) -> bool:
        """Make a call, and tell whether it was allowed, whatever came of it else."""
        try:
            getattr(self.client(name, region), operation)(**parameters)
        except ClientError as error:
            return "AccessDenied" not in error.response["Error"]["Code"]
        return True


def secret(service: LocalSecretsManager, *, function: str | None = None, key: str | None = None) -> str:
    """Store a secret that chose a function, and return its ARN."""
    client = service.client()
    name = f"app-{secrets.token_hex(4)}"
    arn = client.create_secret(Name=name, SecretString="a value", **({"KmsKeyId": key} if key else {}))["ARN"]  # type: ignore[arg-type]
    if function:
        client.rotate_secret(SecretId=arn, RotationLambdaARN=service.register(function, lambda _: None))
        service.wait(arn)
    return arn


def test_what_is_not_allowed_is_refused_in_awss_words(service: LocalSecretsManager) -> None:
    arn = secret(service)
    process = Process(service, allow("secretsmanager:DescribeSecret"))
    with pytest.raises(ClientError) as caught:
        process.client("secretsmanager").get_secret_value(SecretId=arn)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert caught.value.response["Error"]["Code"] == "AccessDeniedException"
    assert caught.value.response["Error"]["Message"] == (
        f"User: {SESSION} is not authorized to perform: secretsmanager:GetSecretValue on resource: {arn} "
        "because no identity-based policy allows the secretsmanager:GetSecretValue action"
    )


def test_a_refused_call_changes_nothing(service: LocalSecretsManager) -> None:
    arn = secret(service)
    assert not Process(service).may("put_secret_value", SecretId=arn, SecretString="another value")
    assert service.client().get_secret_value(SecretId=arn)["SecretString"] == "a value"


def test_what_is_allowed_is_done_and_remembered(service: LocalSecretsManager) -> None:
    arn = secret(service)
    process = Process(service, allow("secretsmanager:GetSecretValue", arn))
    assert process.client("secretsmanager").get_secret_value(SecretId=arn)["SecretString"] == "a value"
    [call] = process.role.used[Permission("Allowed", "secretsmanager:GetSecretValue")]
    assert (call.action, call.resource) == ("secretsmanager:GetSecretValue", arn)


def test_one_role_does_not_bind_another_or_those_without(service: LocalSecretsManager) -> None:
    arn = secret(service)
    bound, free = Process(service), Process(service, allow("secretsmanager:*"))
    assert not bound.may("describe_secret", SecretId=arn)
    assert free.may("describe_secret", SecretId=arn)
    assert service.client().describe_secret(SecretId=arn)["ARN"] == arn


def test_a_secret_is_the_same_by_name_and_by_arn(service: LocalSecretsManager) -> None:
    arn = secret(service)
    process = Process(service, allow("secretsmanager:DescribeSecret", arn))
    assert process.may("describe_secret", SecretId=arn)
    assert process.may("describe_secret", SecretId=arn.rpartition(":")[2][:-7])


def test_a_secret_that_is_not_there_is_refused_or_not_found_as_the_role_says(service: LocalSecretsManager) -> None:
    everywhere = f"arn:aws:secretsmanager:{REGION}:{service.account_id}:secret:*"
    assert Process(service, allow("secretsmanager:DescribeSecret", everywhere)).may("describe_secret", SecretId="none")
    assert not Process(service, allow("secretsmanager:DescribeSecret", KEY)).may("describe_secret", SecretId="none")


def test_a_condition_sees_the_function_that_the_secret_chose(service: LocalSecretsManager) -> None:
    function = service.register("chosen", lambda _: None)
    condition = {"secretsmanager:resource/AllowRotationLambdaArn": function}
    process = Process(service, allow("secretsmanager:DescribeSecret", **condition))
    assert process.may("describe_secret", SecretId=secret(service, function="chosen"))
    assert not process.may("describe_secret", SecretId=secret(service, function="other"))
    assert not process.may("describe_secret", SecretId=secret(service))


def test_all_secrets_are_listed_with_a_right_to_everything_only(service: LocalSecretsManager) -> None:
    assert Process(service, allow("secretsmanager:ListSecrets")).may("list_secrets")
    assert not Process(service, allow("secretsmanager:ListSecrets", "arn:aws:secretsmanager:*:*:secret:*")).may(
        "list_secrets"
    )


@pytest.mark.parametrize(
    ("operation", "uses", "allowed"),
    [
        ("get_secret_value", ["kms:Decrypt"], True),
        ("get_secret_value", ["kms:GenerateDataKey"], False),
        ("put_secret_value", ["kms:Decrypt", "kms:GenerateDataKey"], True),
        ("put_secret_value", ["kms:GenerateDataKey"], False),
        ("put_secret_value", ["kms:Decrypt"], False),
        ("describe_secret", [], True),
    ],
)
def test_a_value_takes_the_use_of_its_key(
    service: LocalSecretsManager, operation: str, uses: list[str], *, allowed: bool
) -> None:
    arn = secret(service, key=KEY)
    by_way = {"kms:ViaService": f"secretsmanager.{REGION}.amazonaws.com"}
    process = Process(service, allow("secretsmanager:*"), allow(uses, KEY, **by_way))
    value = {"SecretString": "another value"} if operation == "put_secret_value" else {}
    assert process.may(operation, SecretId=arn, **value) == allowed


def test_a_caller_that_cannot_use_the_key_learns_so(service: LocalSecretsManager) -> None:
    process = Process(service, allow("secretsmanager:*"), allow("kms:*", KEY, **{"kms:ViaService": "s3.amazonaws.com"}))
    with pytest.raises(ClientError, match=r"\(AccessDeniedException\).*Access to KMS is not allowed"):
        process.client("secretsmanager").get_secret_value(SecretId=secret(service, key=KEY))


def test_the_key_of_secrets_manager_takes_no_permission(service: LocalSecretsManager) -> None:
    assert Process(service, allow("secretsmanager:*")).may("get_secret_value", SecretId=secret(service))


def test_another_role_is_assumed_if_that_is_allowed_and_can_do_what_it_may(service: LocalSecretsManager) -> None:
    asked = {"RoleArn": OTHER_ROLE, "RoleSessionName": "rotation"}
    assert not Process(service, allow("sts:AssumeRole", f"{OTHER_ROLE}s")).may("assume_role", "sts", **asked)
    session = Process(service, allow("sts:AssumeRole", OTHER_ROLE)).client("sts").assume_role(**asked)["Credentials"]
    assumed = boto3.client(
        "secretsmanager",
        region_name=REGION,
        endpoint_url=service.endpoint_url,
        aws_access_key_id=session["AccessKeyId"],
        aws_secret_access_key=session["SecretAccessKey"],
        aws_session_token=session["SessionToken"],
    )
    assert assumed.get_secret_value(SecretId=secret(service))["SecretString"] == "a value"


@pytest.mark.parametrize(
    ("kind", "asked", "region", "allowed"),
    [
        ("db", "one", REGION, True),
        ("cluster", "one", REGION, True),
        ("db", "arn:aws:rds:us-east-1:{account}:db:one", REGION, True),
        ("db", "two", REGION, False),
        ("db", "one", "eu-west-1", False),
        ("db", "arn:aws:rds:us-east-1:210987654321:db:one", REGION, False),
        ("db", None, REGION, False),
    ],
)
def test_databases_are_described_by_name(
    service: LocalSecretsManager, kind: str, asked: str | None, region: str, allowed: bool
) -> None:
    operation, parameter = {
        "db": ("describe_db_instances", "DBInstanceIdentifier"),
        "cluster": ("describe_db_clusters", "DBClusterIdentifier"),
    }[kind]
    actions = ["rds:DescribeDBInstances", "rds:DescribeDBClusters"]
    process = Process(service, allow(actions, f"arn:aws:rds:{REGION}:{service.account_id}:{kind}:one"))
    named = {parameter: asked.format(account=service.account_id)} if asked else {}
    assert process.may(operation, "rds", region, **named) == allowed


def test_rds_refuses_in_its_own_words(service: LocalSecretsManager) -> None:
    with pytest.raises(ClientError) as caught:
        Process(service).client("rds").describe_db_instances()
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert caught.value.response["Error"]["Code"] == "AccessDenied"
    assert f"on resource: arn:aws:rds:{REGION}:{service.account_id}:db:* because" in str(caught.value)


def test_a_fault_comes_before_a_refusal(service: LocalSecretsManager) -> None:
    """As a service that is down refuses nobody."""

    def throttle(_call: Call, _phase: str) -> None:
        raise ServiceError("ThrottlingException", "Rate exceeded")

    service.intercept = throttle
    with pytest.raises(ClientError, match="ThrottlingException"):
        Process(service).client("secretsmanager").list_secrets()
