"""Which secrets have one of these functions as their rotation function?"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

from rotation.aws import call_aws
from rotation.deadline import Deadline
from rotation.errors import ServiceFailed

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_secretsmanager.type_defs import SecretListEntryTypeDef

DOING = "listing the secrets of this account and their rotation functions"

type IsOurs = Callable[[str], bool]
"""Tells whether a function, whose ARN names no version and no alias, is one of those that are asked for."""


@dataclass(frozen=True)
class AttachedSecret:
    """A secret that names a rotation function."""

    arn: str
    function_arn: str
    """Without the version or alias that the secret may name."""
    rotation_enabled: bool
    """Where it is off, the function is named still, and never called."""
    next_rotation: datetime | None
    """By when it is to be rotated; in the past where that failed
    (https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_DescribeSecret.html)."""

    @classmethod
    def parse(cls, entry: "SecretListEntryTypeDef") -> Self:
        """Read an entry of the list; the function's ARN is empty where the secret names none."""
        next_rotation = entry.get("NextRotationDate")
        return cls(
            entry["ARN"],
            unqualified(entry.get("RotationLambdaARN", "")),
            entry.get("RotationEnabled", False),
            next_rotation and next_rotation.astimezone(UTC),
        )

    @property
    def name(self) -> str:
        """Its name: what follows `secret:` in the ARN, without the hyphen and six characters that end it."""
        return self.arn.partition(":secret:")[2][:-7]


def attached_secrets(client: "SecretsManagerClient", is_ours: IsOurs, deadline: Deadline) -> list[AttachedSecret]:
    """Return the secrets that name one of our functions, whether or not their rotation is enabled.

    They are those of this account and Region: another account's are not seen. What was changed in the last five minutes
    may be missing (https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_ListSecrets.html); secrets that
    are to be deleted are. Raises ServiceFailed, and OutOfTime where a page would be begun after the deadline.
    """
    try:
        return [
            secret for secret in map(AttachedSecret.parse, _entries(client, deadline)) if is_ours(secret.function_arn)
        ]
    except ServiceFailed as error:
        remedy = "Allow secretsmanager:ListSecrets to this function's role; where it is allowed, try again later"
        raise ServiceFailed(error.operation, error.cause, remedy) from None


def functions_of_stack(prefix: str) -> IsOurs:
    """Say whose ARN is the prefix and then letters and digits only: whatever function the stack has, had or will have.

    A hyphen after the prefix belongs to another stack's name: the functions of the stack `rotation-production` begin
    like those of the stack `rotation`.
    """
    return lambda function_arn: function_arn.startswith(prefix) and function_arn.removeprefix(prefix).isalnum()


def unqualified(function_arn: str) -> str:
    """Return the function's ARN without a version or alias, which is the eighth of its parts."""
    return ":".join(function_arn.split(":")[:7])


def _entries(client: "SecretsManagerClient", deadline: Deadline) -> "Iterator[SecretListEntryTypeDef]":
    page: dict[str, str] = {}
    while True:
        answer = call_aws(
            lambda page=page: client.list_secrets(MaxResults=100, **page),  # type: ignore[misc]
            deadline,
            DOING,
            "secretsmanager:ListSecrets",
        )
        yield from answer["SecretList"]
        if not answer.get("NextToken"):
            return
        page = {"NextToken": answer["NextToken"]}
