"""Which secrets have one of these functions as their rotation function?"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

from rotation.aws import call_aws
from rotation.deadline import Deadline
from rotation.errors import ServiceFailed
from rotation.staging import CURRENT, PENDING
from rotation.values import dataclass

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_secretsmanager.type_defs import SecretListEntryTypeDef, TagTypeDef

OPERATION = "listing the secrets of this account and their rotation functions"

OFF_INTENDED = "secret-rotation-off"
"""The key of a tag that says: the rotation of this secret is off on purpose. Its value is for people."""

MARK_SUFFIX, DETACHED = "-attached", "detached"
"""The end of the key, and the value, of a tag that says: a secret that was attached by its tag lost it (`tags`)."""

type IsOurs = Callable[[str], bool]
"""Tells whether a function is one of ours, by its ARN without version and alias."""


@dataclass(frozen=True)
class AttachedSecret:
    """A secret that names a rotation function.

    A secret that was never configured for rotation names none. So if the rotation of one that does is off, somebody
    turned it off, or CloudFormation did, by deleting its schedule
    (https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_DescribeSecret.html).
    """

    arn: str
    function_arn: str
    """Without a version or an alias."""
    rotation_enabled: bool
    """If it is off, the secret still names the function, but Secrets Manager never calls it."""
    next_rotation: datetime | None
    """The date by which it is to be rotated; in the past if that failed."""
    last_rotation: datetime | None = None
    """When a rotation last succeeded; None if none has."""
    created: datetime | None = None
    last_changed: datetime | None = None
    """When anything of it was last changed: a value, a label, a tag, the rotation."""
    unfinished_version: str | None = None
    """The version that a rotation has begun and not finished: it has AWSPENDING, and not AWSCURRENT."""
    current_version: str | None = None
    """The version that has AWSCURRENT."""
    off_is_intended: bool = False
    """Whether a tag says that the rotation is off on purpose, or that the secret was detached by its tag."""
    tags: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, entry: "SecretListEntryTypeDef") -> Self:
        """Read an entry of the list; the function's ARN is empty if the secret names none."""
        return cls(
            entry["ARN"],
            unqualified(entry.get("RotationLambdaARN", "")),
            entry.get("RotationEnabled", False),
            next_rotation=_utc(entry.get("NextRotationDate")),
            last_rotation=_utc(entry.get("LastRotatedDate")),
            created=_utc(entry.get("CreatedDate")),
            last_changed=_utc(entry.get("LastChangedDate")),
            unfinished_version=_unfinished(entry.get("SecretVersionsToStages", {})),
            current_version=_current(entry.get("SecretVersionsToStages", {})),
            off_is_intended=any(_says_off(tag) for tag in entry.get("Tags", [])),
            tags=tuple((tag.get("Key", ""), tag.get("Value", "")) for tag in entry.get("Tags", [])),
        )

    @property
    def name(self) -> str:
        """The part of the ARN after `secret:`, without the hyphen and six characters at its end."""
        return self.arn.partition(":secret:")[2][:-7]


def if_off(arn: str) -> str:
    """Return what to do about a secret whose rotation somebody turned off."""
    return (
        f"Run aws secretsmanager rotate-secret --secret-id {arn} --no-rotate-immediately. If the rotation is to "
        f"stay off, run aws secretsmanager tag-resource --secret-id {arn} --tags Key={OFF_INTENDED},Value=yes"
    )


def _says_off(tag: "TagTypeDef") -> bool:
    key, value = tag.get("Key", ""), tag.get("Value")
    return key == OFF_INTENDED or (key.endswith(MARK_SUFFIX) and value == DETACHED)


def attached_secrets(client: "SecretsManagerClient", is_ours: IsOurs, deadline: Deadline) -> list[AttachedSecret]:
    """Return the secrets that name one of our functions, whether or not their rotation is enabled.

    Only secrets of this account and Region are listed. Changes of the last five minutes can be missing
    (https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_ListSecrets.html). Secrets that are scheduled
    for deletion are not listed. Raises ServiceFailed, and OutOfTime if the deadline comes before the last page.
    """
    try:
        return [
            secret for secret in map(AttachedSecret.parse, _entries(client, deadline)) if is_ours(secret.function_arn)
        ]
    except ServiceFailed as error:
        remedy = "Allow secretsmanager:ListSecrets to this function's role; if it is allowed, wait and try again"
        raise ServiceFailed(error.operation, error.cause, remedy) from None


def functions_of_stack(prefix: str) -> IsOurs:
    """Return what recognises the functions of a stack: those it has, had, or will have.

    Their ARN is the prefix and then letters and digits only. A hyphen after the prefix belongs to the name of another
    stack: the functions of the stack `rotation-production` begin like those of the stack `rotation`.
    """
    return lambda function_arn: function_arn.startswith(prefix) and function_arn.removeprefix(prefix).isalnum()


def unqualified(function_arn: str) -> str:
    """Return the function's ARN without version or alias, which is the eighth part."""
    return ":".join(function_arn.split(":")[:7])


def _utc(date: datetime | None) -> datetime | None:
    return date and date.astimezone(UTC)


def _unfinished(labels: Mapping[str, Sequence[str]]) -> str | None:
    """Return the version that has AWSPENDING, unless it is current."""
    pending = [version for version, own in labels.items() if PENDING in own and CURRENT not in own]
    return pending[0] if pending else None


def _current(labels: Mapping[str, Sequence[str]]) -> str | None:
    return next((version for version, own in labels.items() if CURRENT in own), None)


def _entries(client: "SecretsManagerClient", deadline: Deadline) -> "Iterator[SecretListEntryTypeDef]":
    page: dict[str, str] = {}
    while True:
        answer = call_aws(
            lambda page=page: client.list_secrets(MaxResults=100, **page),  # type: ignore[misc]  # no type for the default
            deadline,
            OPERATION,
            "secretsmanager:ListSecrets",
        )
        yield from answer["SecretList"]
        if not answer.get("NextToken"):
            return
        page = {"NextToken": answer["NextToken"]}
