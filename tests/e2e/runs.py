"""In which ways must the built functions run to make every call that they can make?"""

import json
import secrets
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

import boto3

from rotation.credential import Credential
from tests.laboratories import Laboratory
from tests.local.aws.deployed import Stack
from tests.local.aws.iam import Permission, Request, Role
from tests.local.aws.lambda_runtime import LambdaRuntime
from tests.local.aws.secrets_manager import REGION, LocalSecretsManager, Outcome

if TYPE_CHECKING:
    from mypy_boto3_rds import RDSClient

ENGINE = "PostgreSql"
"""The engine that runs: no server starts faster."""

FAR = "eu-west-1"
"""Another Region, for the source of a replica."""


class Account:
    """An account with a database and secrets, where stacks are deployed."""

    def __init__(self, service: LocalSecretsManager, laboratory: Laboratory, exits: ExitStack) -> None:
        self.service = service
        self.laboratory = laboratory
        self.stacks: list[Stack] = []
        self.rotated: list[str] = []
        """The secrets that rotate in the account's own stack."""
        self.used: dict[str, set[Permission]] = {}
        """What the functions' roles were used for, by what the functions were asked to do."""
        self._exits = exits
        self._started: dict[str, LambdaRuntime] = {}
        arn = f"{REGION}:{service.account_id}"
        self.key, self.admin_key, self.other_key = (f"arn:aws:kms:{arn}:key/{uuid.uuid4()}" for _ in range(3))

    def deploy(self, name: str, **parameters: str) -> Stack:
        """Deploy a stack."""
        self.stacks.append(
            Stack.deploy(name=name, region=REGION, account_id=self.service.account_id, parameters=parameters)
        )
        return self.stacks[-1]

    @property
    def roles(self) -> list[Role]:
        """The roles of all stacks."""
        return [role for stack in self.stacks for role in stack.roles.values()]

    @property
    def refused(self) -> list[Request]:
        """The calls that no permission allowed."""
        return [request for role in self.roles for request in role.refused]

    @contextmanager
    def asked_for(self, what: str) -> Iterator[None]:
        """Note which permissions the block uses."""
        before = self._calls()
        yield
        after = self._calls()
        self.used[what] = {permission for permission, calls in after.items() if calls > before.get(permission, 0)}

    def _calls(self) -> dict[Permission, int]:
        calls: dict[Permission, int] = {}
        for role in self.roles:
            for permission, requests in role.used.items():
                calls[permission] = calls.get(permission, 0) + len(requests)
        return calls

    def ask(self, look: str, arn: str, **more: object) -> dict[str, Any]:
        """Ask the engine's function of the account's own stack for a look; return its answer."""
        function = self.function(self.stacks[0], f"{ENGINE}Function")
        answer: dict[str, Any] = function.invoke({"Step": look, "SecretId": arn, **more})
        return answer

    def function(self, stack: Stack, function: str) -> LambdaRuntime:
        """Return a function that runs as it is deployed: with its environment, and in its role."""
        arn = stack.resolver.arn(function)
        if arn not in self._started:
            environment = {**stack.environment(function), **self.service.acting_as(stack.role_of(function))}
            here = {"ALLOW_LOCAL_HOSTS": "true", "DB_CA_BUNDLE": str(self.laboratory.ca_bundle)}
            self._started[arn] = self._exits.enter_context(LambdaRuntime(function, {**environment, **here}))
        return self._started[arn]

    def secret(self, text: str, key: str | None = None, tags: dict[str, str] | None = None) -> str:
        """Store a secret; return its ARN."""
        made = self.service.client().create_secret(
            Name=f"secret-{secrets.token_hex(4)}",
            SecretString=text,
            KmsKeyId=key or "alias/aws/secretsmanager",
            Tags=[{"Key": name, "Value": value} for name, value in (tags or {}).items()],
        )
        return made["ARN"]

    def user_secret(self, key: str | None = None, **fields: object) -> str:
        """Store the credential of a new user; return the secret's ARN."""
        return self.secret(text_of(self.laboratory.new_user(), **fields), key)

    def rotate(self, arn: str, stack: Stack, *, attached_as: str | None = None) -> Outcome:
        """Rotate with the function of a stack; the secret can know it by another name."""
        name = attached_as or stack.resolver.name(f"{ENGINE}Function")
        function = self.service.register(name, self.function(stack, f"{ENGINE}Function").invoke)
        self.service.client().rotate_secret(SecretId=arn, RotationLambdaARN=function)
        return self.service.wait(arn)


def text_of(credential: Credential, **fields: object) -> str:
    """Return a secret's text."""
    value = {
        "engine": credential.engine,
        "host": credential.host,
        "port": credential.port,
        "username": credential.username,
        "password": credential.password,
    }
    return json.dumps({**value, **fields})


def in_own_account(account: Account) -> None:
    """Rotate in every way that takes a permission of the function's own."""
    admins = [of_credential(account), of_instance(account), of_cluster(account)]
    stack = account.deploy("rotation", **everything(account, admins))
    through_admins = (account.user_secret(masterarn=admin) for admin in admins)
    account.rotated = [account.user_secret(account.key), *through_admins, forgotten(account)]
    for arn in account.rotated:
        outcome = account.rotate(arn, stack)
        assert not outcome.error, outcome.error


def fails(account: Account) -> None:
    """Let a rotation fail in a way that no retry ends: a secret without a password is no login."""
    outcome = account.rotate(account.secret(json.dumps({"engine": "postgres"}), account.key), account.stacks[0])
    assert "InvalidSecret" in str(outcome.error)


def look(account: Account) -> None:
    """Ask for a preflight and a doctor of every secret, and let a doctor repair one."""
    with account.asked_for("preflight"):
        for arn in account.rotated:
            answer = account.ask("preflight", arn)
            assert answer["Outcome"] != "fail", answer
    with account.asked_for("doctor"):
        for arn in account.rotated:
            account.ask("doctor", arn)
    stuck = pending_for_ever(account)
    with account.asked_for("repair"):
        answer = account.ask("doctor", stuck, Repair=True)
    assert [repair["Done"] for repair in answer["Repairs"] if repair["Safe"]] == [True], answer


def pending_for_ever(account: Account) -> str:
    """Store a credential with a pending version that somebody else wrote, for another user; return the secret's ARN."""
    arn, token, client = account.user_secret(account.key), str(uuid.uuid4()), account.service.client()

    def broken(_: object) -> None:
        raise RuntimeError("out of order")

    function = account.service.register(account.stacks[0].resolver.name(f"{ENGINE}Function"), broken)
    client.rotate_secret(SecretId=arn, RotationLambdaARN=function, ClientRequestToken=token)
    account.service.wait(arn)
    other = text_of(account.laboratory.new_user())
    client.put_secret_value(SecretId=arn, ClientRequestToken=token, SecretString=other, VersionStages=["AWSPENDING"])
    return arn


def everything(account: Account, admins: list[str]) -> dict[str, str]:
    """Return parameters for every statement except one, which needs another account."""
    return {
        f"{ENGINE}AdminSecretArns": ",".join(admins),
        "KmsKeyArns": account.key,
        "AdminKmsKeyArns": account.admin_key,
        "DescribeDatabases": "true",
        "EventBusName": "default",
        "AllowDoctorRepair": "true",
        "VpcSubnetIds": "subnet-1",
        "VpcSecurityGroupIds": "sg-1",
    }


def of_credential(account: Account) -> str:
    """Store an admin secret with the admin's host."""
    return account.secret(text_of(account.laboratory.admin), account.admin_key)


def of_instance(account: Account) -> str:
    """Store the secret that RDS manages for an instance, here one in another Region."""
    made = rds(account, FAR).create_db_instance(
        DBInstanceIdentifier="instance",
        Engine="postgres",
        DBInstanceClass="db.m5d.large",
        Port=account.laboratory.admin.port,
    )
    return account.secret(managed(account), tags={"aws:rds:primaryDBInstanceArn": made["DBInstance"]["DBInstanceArn"]})


def of_cluster(account: Account) -> str:
    """Store the secret that RDS manages for a cluster."""
    made = rds(account, REGION).create_db_cluster(
        DBClusterIdentifier="cluster",
        Engine="aurora-postgresql",
        MasterUsername="master",
        MasterUserPassword="not the managed one",
        Port=account.laboratory.admin.port,
    )
    return account.secret(managed(account), tags={"aws:rds:primaryDBClusterArn": made["DBCluster"]["DBClusterArn"]})


def managed(account: Account) -> str:
    """Return the value of a master secret that RDS manages."""
    admin = account.laboratory.admin
    return json.dumps({"username": admin.username, "password": admin.password})


def rds(account: Account, region: str) -> "RDSClient":
    """Return RDS's client for a Region."""
    return boto3.client(
        "rds",
        region_name=region,
        endpoint_url=account.service.endpoint_url,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


def forgotten(account: Account) -> str:
    """Store a credential: AWSCURRENT does not log in, and a newer version does."""
    user, client = account.laboratory.new_user(), account.service.client()
    arn = account.secret(text_of(replace(user, password="wrong")))
    wrong = client.get_secret_value(SecretId=arn)["VersionId"]
    right = client.put_secret_value(SecretId=arn, SecretString=text_of(user))["VersionId"]
    client.update_secret_version_stage(
        SecretId=arn, VersionStage="AWSCURRENT", MoveToVersionId=wrong, RemoveFromVersionId=right
    )
    return arn


def in_role_of_secrets_account(account: Account) -> None:
    """Rotate in a role of the secret's account: this role, and no template of ours, allows the calls then."""
    role = f"arn:aws:iam::{account.service.account_id}:role/rotation"
    stack = account.deploy("elsewhere", SecretRoleArns=role)
    outcome = account.rotate(account.user_secret(), stack)
    assert not outcome.error, outcome.error


def watch(account: Account) -> None:
    """Call the functions that look after the others."""
    stack = account.stacks[0]
    account.function(stack, "OverdueFunction").invoke({})
    with cloudformation() as url:
        account.function(stack, "GuardFunction").invoke(
            {
                "RequestType": "Delete",
                "ResponseURL": url,
                "StackId": "stack",
                "RequestId": "request",
                "LogicalResourceId": "Guard",
                "PhysicalResourceId": "guard",
                "ResourceProperties": {"FunctionArns": [stack.resolver.arn(f"{ENGINE}Function")]},
            }
        )


@contextmanager
def cloudformation() -> Iterator[str]:
    """Take answers of custom resources; yield the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/answer"
        server.shutdown()
        thread.join()
