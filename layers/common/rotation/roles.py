"""In which role is AWS called about a secret?

The function's own role is enough for the secrets of its own account. For secrets of another account, and of every
account that the operator lists, the function assumes a role of the secret's account: SECRET_ROLE_ARNS lists one role
for each such account.

All calls about one secret are made in one role: about the secret itself, the admin secret that it names, and their
databases. So a secret leads only to what its own account shows to the function: it cannot name an admin secret of
another account that trusts the function as well.

From an assumed role, Secrets Manager accepts a new version only with the event's RotationToken, which `rotation.secret`
passes on (https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_lambda.html).
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol, Self, cast

from rotation.aws import Clients, call_aws, new_client, new_clients
from rotation.deadline import Deadline
from rotation.errors import InvalidConfiguration
from rotation.values import dataclass

VARIABLE = "SECRET_ROLE_ARNS"

ROLE_ARN = re.compile(r"arn:aws[a-z-]*:iam::(?P<account>[0-9]{12}):role/[\w+=.@/-]+", re.ASCII)
SECRET_ARN = re.compile(r"arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:(?P<account>[0-9]{12}):secret:.+")

SESSION_SECONDS = 900
"""How long a session lasts: the shortest session that STS makes, and the longest time that an invocation can take. A
session that begins with the invocation cannot end before it, so none is kept for the next one."""

NOT_IN_SESSION_NAME = re.compile(r"[^\w+=,.@-]", re.ASCII)
SESSION_NAME_LENGTH = range(2, 65)


class Sts(Protocol):
    """The part of botocore's client of STS that is used here."""

    def assume_role(self, *, RoleArn: str, RoleSessionName: str, DurationSeconds: int) -> Mapping[str, Any]:  # noqa: N803 - botocore's names
        """Return credentials of a role."""


@dataclass(frozen=True)
class SecretRoles:
    """Which role is assumed for the secrets of each account."""

    by_account: Mapping[str, str]

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the function's environment; no roles if the variable is absent or empty.

        Raises InvalidConfiguration if an entry is not the ARN of a role, or if two roles are of one account.
        """
        roles: dict[str, str] = {}
        listed = filter(None, map(str.strip, environment.get(VARIABLE, "").split(",")))
        for number, arn in enumerate(listed, 1):
            match = ROLE_ARN.fullmatch(arn)
            if not match:
                raise _invalid(f"its entry {number} is not the ARN of a role")
            if roles.setdefault(match["account"], arn) != arn:
                raise _invalid(f"it lists more than one role of account {match['account']}")
        return cls(roles)

    def role_for(self, secret_arn: str) -> str | None:
        """Return the role to assume for this secret; None for the function's own."""
        match = SECRET_ARN.fullmatch(secret_arn)
        return self.by_account.get(match["account"]) if match else None


def clients_in_role(role: str, function_name: str, add_secret: Callable[[str], None], deadline: Deadline) -> Clients:
    """Assume the role, and return clients that call AWS in it for as long as an invocation takes.

    `add_secret` gets the secrets of the session. Raises ServiceFailed and OutOfTime.
    """
    sts = cast("Sts", new_client("sts"))
    session = call_aws(
        lambda: sts.assume_role(
            RoleArn=role, RoleSessionName=session_name(function_name), DurationSeconds=SESSION_SECONDS
        ),
        deadline,
        f"assuming the role {role}",
        "sts:AssumeRole",
        if_denied="Allow the function's role to call sts:AssumeRole on this role (parameter SecretRoleArns), and name"
        " the function's role in the trust policy of this role",
    )["Credentials"]
    add_secret(session["SecretAccessKey"])
    add_secret(session["SessionToken"])
    return new_clients(
        aws_access_key_id=session["AccessKeyId"],
        aws_secret_access_key=session["SecretAccessKey"],
        aws_session_token=session["SessionToken"],
    )


def session_name(function_name: str) -> str:
    """Return what the other account's CloudTrail shows: the function's name, as far as STS accepts it."""
    name = NOT_IN_SESSION_NAME.sub("-", function_name)
    return name[: SESSION_NAME_LENGTH[-1]].ljust(SESSION_NAME_LENGTH[0], "-")


def _invalid(cause: str) -> InvalidConfiguration:
    return InvalidConfiguration(
        f"reading the environment variable {VARIABLE}",
        cause,
        "List one role for each account, separated by commas (parameter SecretRoleArns)",
    )
