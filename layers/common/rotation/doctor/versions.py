"""Which versions has a secret, and what is known of each?

Labels come from one answer to DescribeSecret, so they belong together. Values are read by version, and a version never
changes after it is written. So an answer that is too old can show less, and never a mix of two moments.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from rotation.aws import call_aws
from rotation.credential import SecretValue
from rotation.deadline import Deadline
from rotation.errors import InvalidSecret, ServiceFailed
from rotation.kind import EngineKind
from rotation.redaction import Redactor
from rotation.secret import MOST_VERSIONS_READ, NOT_FOUND, parsed
from rotation.staging import CURRENT, PENDING
from rotation.values import dataclass

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_secretsmanager.type_defs import SecretVersionsListEntryTypeDef


@dataclass(frozen=True)
class Version:
    """One version of a secret."""

    identity: str
    labels: frozenset[str] = frozenset()
    created: datetime | None = None
    """None if the list of versions does not show it yet."""
    value: SecretValue | None = None
    """None if it has no value, or one that is no login."""
    problem: str = ""
    """Why its value is no login, or cannot be read; empty if it is one, or if there is none."""

    @property
    def has_value(self) -> bool:
        """Tell whether something was written into it."""
        return bool(self.value or self.problem)

    def to_json(self) -> dict[str, Any]:
        """Return what a machine reads; no password."""
        return {
            "Id": self.identity,
            "Labels": sorted(self.labels),
            "Created": self.created.isoformat() if self.created else None,
            "HasValue": self.has_value,
            "User": str(self.value.credential) if self.value else None,
            **({"Problem": self.problem} if self.problem else {}),
        }


@dataclass(frozen=True)
class Reader:
    """Reads the versions of one secret."""

    client: "SecretsManagerClient"
    arn: str
    kind: EngineKind
    redactor: Redactor
    """Receives every string that is read, before it is used."""
    deadline: Deadline
    if_denied: str
    """What to do if the function cannot read the secret."""

    def versions(self, stages: Mapping[str, Sequence[str]]) -> list[Version]:
        """Return the versions, the newest first: all that have these labels, and the newest without any.

        Raises ServiceFailed, but not for a version that has neither AWSCURRENT nor AWSPENDING. Of versions of one
        instant, AWSCURRENT counts as the oldest, as in a rotation.
        """
        created = {entry["VersionId"]: entry["CreatedDate"].astimezone(UTC) for entry in self._listed()}
        self.redactor.release(*created, *stages)
        order = sorted(created.keys() | stages.keys(), key=lambda one: _age(one, created, stages))
        labelled = [one for one in order if stages.get(one)]
        others = [one for one in order if not stages.get(one)][-MOST_VERSIONS_READ:]
        found = (Version(one, frozenset(stages.get(one, ())), created.get(one)) for one in order)
        return [self._with_value(one) for one in found if one.identity in {*labelled, *others}][::-1]

    def _with_value(self, version: Version) -> Version:
        operation = f"reading version {version.identity} of {self.arn}"
        try:
            answer = call_aws(
                lambda: self.client.get_secret_value(SecretId=self.arn, VersionId=version.identity),
                self.deadline,
                operation,
                "secretsmanager:GetSecretValue",
                expected={NOT_FOUND},
                if_denied=self.if_denied,
            )
            return replace(version, value=parsed(answer, self.kind, self.redactor, operation))
        except ClientError:
            return version
        except InvalidSecret as error:
            return replace(version, problem=error.cause)
        except ServiceFailed as error:  # an old version can have another key, which is gone
            if version.labels & {CURRENT, PENDING}:
                raise
            return replace(version, problem=error.cause)

    def _listed(self) -> "Iterator[SecretVersionsListEntryTypeDef]":
        page: dict[str, str] = {}
        while True:
            answer = call_aws(
                lambda page=page: self.client.list_secret_version_ids(  # type: ignore[misc]  # no type for the default
                    SecretId=self.arn, IncludeDeprecated=True, MaxResults=100, **page
                ),
                self.deadline,
                f"looking for the versions of {self.arn}",
                "secretsmanager:ListSecretVersionIds",
                if_denied=self.if_denied,
            )
            yield from answer["Versions"]
            if "NextToken" not in answer:
                return
            page = {"NextToken": answer["NextToken"]}


def _age(
    version: str, created: Mapping[str, datetime], stages: Mapping[str, Sequence[str]]
) -> tuple[datetime, bool, str]:
    """Return what sorts versions, the oldest first."""
    date = created.get(version, datetime.max.replace(tzinfo=UTC))
    return date, CURRENT not in stages.get(version, ()), version
