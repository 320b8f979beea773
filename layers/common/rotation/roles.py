"""In which role is AWS called about a secret?

The function's own role does for the secrets of its account. For those of another account, or wherever an operator wants
it so, the function assumes a role of the secret's account: SECRET_ROLE_ARNS lists one role for each such account.

Every call about a secret is made in the one role: about the secret itself, the admin secret that it names, and their
databases. So a secret leads to nothing but what its own account shows to the function: it cannot name an admin secret
of another account that trusts the function as well.

From an assumed role, Secrets Manager takes a new version only with the RotationToken of the event, which
`rotation.secret` passes on (https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_lambda.html).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

import boto3

from rotation.aws import CONFIG, Clients, call_aws, new_clients
from rotation.deadline import Deadline
from rotation.errors import InvalidConfiguration

VARIABLE = "SECRET_ROLE_ARNS"

ROLE = re.compile(r"arn:aws[a-z-]*:iam::(?P<account>[0-9]{12}):role/[\w+=.@/-]+", re.ASCII)
SECRET = re.compile(r"arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:(?P<account>[0-9]{12}):secret:.+")

SECONDS = 900
"""How long a session lasts: the shortest that STS makes, and the longest that an invocation may take. A session that
begins with the invocation cannot end before it, so none is kept for the next one."""

NOT_IN_SESSION_NAME = re.compile(r"[^\w+=,.@-]", re.ASCII)
SESSION_NAME_LENGTH = range(2, 65)


@dataclass(frozen=True)
class SecretRoles:
    """Which role is assumed for the secrets of which account."""

    by_account: Mapping[str, str]

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the function's environment; no roles where the variable is absent or empty.

        Raises InvalidConfiguration for what is not the ARN of a role, and for two roles of one account.
        """
        roles: dict[str, str] = {}
        listed = filter(None, map(str.strip, environment.get(VARIABLE, "").split(",")))
        for number, arn in enumerate(listed, 1):
            match = ROLE.fullmatch(arn)
            if not match:
                raise _invalid(f"its entry {number} is not the ARN of a role")
            if roles.setdefault(match["account"], arn) != arn:
                raise _invalid(f"it lists more than one role of account {match['account']}")
        return cls(roles)

    def role_for(self, secret_arn: str) -> str | None:
        """Return the role to assume for this secret; None: the function's own."""
        match = SECRET.fullmatch(secret_arn)
        return self.by_account.get(match["account"]) if match else None


def clients_in_role(role: str, function_name: str, add_secret: Callable[[str], None], deadline: Deadline) -> Clients:
    """Assume the role, and return clients that call AWS in it for as long as an invocation takes.

    `add_secret` is told the secrets of the session. Raises ServiceFailed, and OutOfTime.
    """
    sts = boto3.client("sts", config=CONFIG)
    session = call_aws(
        lambda: sts.assume_role(RoleArn=role, RoleSessionName=session_name(function_name), DurationSeconds=SECONDS),
        deadline,
        f"assuming the role {role}",
        "sts:AssumeRole",
        if_denied="Allow sts:AssumeRole on it to the function's role (parameter SecretRoleArns), "
        "and name the function's role in its trust policy",
    )["Credentials"]
    add_secret(session["SecretAccessKey"])
    add_secret(session["SessionToken"])
    return new_clients(
        aws_access_key_id=session["AccessKeyId"],
        aws_secret_access_key=session["SecretAccessKey"],
        aws_session_token=session["SessionToken"],
    )


def session_name(function_name: str) -> str:
    """Return what the other account's CloudTrail shall show: the function's name, as far as STS takes it."""
    name = NOT_IN_SESSION_NAME.sub("-", function_name)
    return name[: SESSION_NAME_LENGTH[-1]].ljust(SESSION_NAME_LENGTH[0], "-")


def _invalid(cause: str) -> InvalidConfiguration:
    return InvalidConfiguration(
        f"reading the environment variable {VARIABLE}",
        cause,
        "List one role for each account, separated by commas (parameter SecretRoleArns)",
    )
