"""One secret under rotation, seen from one version token: every call to Secrets Manager about it.

A healthy rotation of a single user makes eight calls. createSecret: DescribeSecret, GetSecretValue,
PutSecretValue; setSecret: GetSecretValue twice; testSecret: GetSecretValue; finishSecret: DescribeSecret,
UpdateSecretVersionStage. Alternating users need one more, for the admin secret.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from rotation.aws import call_aws
from rotation.credential import SecretValue
from rotation.deadline import Deadline
from rotation.errors import InvalidSecret, NotRotatable
from rotation.kind import EngineKind
from rotation.redaction import Redactor

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_secretsmanager.type_defs import (
        GetSecretValueRequestTypeDef,
        SecretVersionsListEntryTypeDef,
    )

CURRENT, PENDING, PREVIOUS = "AWSCURRENT", "AWSPENDING", "AWSPREVIOUS"

MOST_VERSIONS_READ = 10
"""How many newer versions, and how many earlier ones, are read at most."""

EXISTS, NOT_FOUND, WRONG = "ResourceExistsException", "ResourceNotFoundException", "InvalidParameterException"

MOVE_ATTEMPTS = 3
"""How many attempts to move a label that others move at the same time."""


@dataclass(frozen=True)
class SecretUnderRotation:
    """The secret, and the version that this rotation makes of it; implements `rotation.steps.Secret`."""

    client: "SecretsManagerClient"
    arn: str
    token: str
    kind: EngineKind
    redactor: Redactor
    """Receives every string that is read or written, before it is used, and then which of them are public."""
    deadline: Deadline
    rotation_token: str | None = None

    def is_staged(self) -> bool:
        """Tell whether the version is pending (True) or already current (False).

        Raises NotRotatable if it is neither, or if rotation is off.
        """
        enabled, stages = self._describe()
        if not enabled:
            raise NotRotatable(
                f"looking at {self.arn}",
                "rotation is not enabled for this secret",
                f"Run aws secretsmanager rotate-secret --secret-id {self.arn} --rotation-lambda-arn … to enable it",
            )
        return self._is_pending(stages)

    def current(self) -> SecretValue:
        """Return the value of the version that has AWSCURRENT; raises InvalidSecret or ServiceFailed."""
        return self._get({"VersionStage": CURRENT}, f"reading the current version of {self.arn}")[0]

    def pending(self) -> SecretValue | None:
        """Return the value of this version, or None if it has none yet; raises NotRotatable if it is not staged."""
        try:
            value, stages = self._get({"VersionId": self.token}, f"reading version {self.token} of {self.arn}")
        except _NoValue:
            self.is_staged()
            return None
        self._is_pending({self.token: stages})
        return value

    def stage(self, value: SecretValue) -> bool:
        """Write the value of this version. Returns False, and changes nothing, if it has one already.

        PutSecretValue is refused for a version that has another value
        (https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_PutSecretValue.html). So only one of two
        createSecrets at the same time writes.
        """
        self.redactor.add_secret(value.credential.password)
        self.redactor.release(*value.public)
        token = {"RotationToken": self.rotation_token} if self.rotation_token else {}
        try:
            call_aws(
                lambda: self.client.put_secret_value(
                    SecretId=self.arn,
                    ClientRequestToken=self.token,
                    SecretString=value.to_json(),
                    VersionStages=[PENDING],
                    **token,
                ),
                self.deadline,
                f"writing version {self.token} of {self.arn}",
                "secretsmanager:PutSecretValue",
                expected={EXISTS},
            )
        except ClientError:
            return False
        return True

    def promote(self) -> bool:
        """Move AWSCURRENT to this version. Returns False, and changes nothing, if it is there already.

        Raises NotRotatable if the version is no longer pending.
        """
        for attempt in range(1, MOVE_ATTEMPTS + 1):
            _, stages = self._describe()
            if not self._is_pending(stages):
                return False
            holder = next((version for version, labels in stages.items() if CURRENT in labels), None)
            try:
                self._move_current(holder, expected={WRONG} if attempt < MOVE_ATTEMPTS else set())
            except ClientError:
                continue  # somebody moved the label between the two calls, or our first try succeeded: read again
            return True
        raise AssertionError

    def newer(self) -> Iterator[SecretValue]:
        """Yield the values of the versions that are newer than AWSCURRENT, except this one, newest first.

        An abandoned rotation leaves them. Versions that are no secret of this engine are skipped.
        """
        return self._values(are_newer=True)

    def earlier(self) -> Iterator[SecretValue]:
        """Yield the values of the versions that are older than AWSCURRENT: AWSPREVIOUS first, then the newest first.

        Versions that are no secret of this engine are skipped.
        """
        return self._values(are_newer=False)

    def _values(self, *, are_newer: bool) -> Iterator[SecretValue]:
        operation = f"looking for other versions of {self.arn}"
        versions = list(self._versions(operation))
        current = next((v["CreatedDate"] for v in versions if CURRENT in v.get("VersionStages", ())), None)
        others = [
            v
            for v in versions
            if v["VersionId"] != self.token
            and CURRENT not in v.get("VersionStages", ())
            and are_newer == (current is not None and v["CreatedDate"] >= current)
        ]
        others.sort(key=lambda v: (PREVIOUS in v.get("VersionStages", ()), v["CreatedDate"]), reverse=True)
        for version in others[:MOST_VERSIONS_READ]:
            try:
                yield self._get({"VersionId": version["VersionId"]}, operation)[0]
            except (_NoValue, InvalidSecret):
                continue

    def _versions(self, operation: str) -> "Iterator[SecretVersionsListEntryTypeDef]":
        page: dict[str, str] = {}
        while True:
            answer = call_aws(
                lambda page=page: self.client.list_secret_version_ids(  # type: ignore[misc]
                    SecretId=self.arn, IncludeDeprecated=True, MaxResults=100, **page
                ),
                self.deadline,
                operation,
                "secretsmanager:ListSecretVersionIds",
            )
            yield from answer["Versions"]
            if "NextToken" not in answer:
                return
            page = {"NextToken": answer["NextToken"]}

    def _describe(self) -> tuple[bool, dict[str, list[str]]]:
        answer = call_aws(
            lambda: self.client.describe_secret(SecretId=self.arn),
            self.deadline,
            f"looking at {self.arn}",
            "secretsmanager:DescribeSecret",
        )
        return answer.get("RotationEnabled", False), answer.get("VersionIdsToStages", {})

    def _is_pending(self, stages: dict[str, list[str]]) -> bool:
        labels = stages.get(self.token, [])
        if CURRENT in labels:
            return False
        if PENDING in labels:
            return True
        raise NotRotatable(
            f"looking at version {self.token} of {self.arn}",
            "it has neither AWSPENDING nor AWSCURRENT: this rotation was abandoned, or it never began",
            f"Run aws secretsmanager rotate-secret --secret-id {self.arn} to start a new rotation",
        )

    def _get(self, version: "dict[str, str]", operation: str) -> tuple[SecretValue, list[str]]:
        request: GetSecretValueRequestTypeDef = {"SecretId": self.arn, **version}  # type: ignore[typeddict-item]
        try:
            answer = call_aws(
                lambda: self.client.get_secret_value(**request),
                self.deadline,
                operation,
                "secretsmanager:GetSecretValue",
                expected={NOT_FOUND} if "VersionId" in version else set(),
            )
        except ClientError:
            raise _NoValue from None
        if "SecretString" not in answer:
            raise InvalidSecret(operation, "it holds binary data", "Store the credential as JSON text")
        self.redactor.read(answer["SecretString"])
        value = SecretValue.parse(answer["SecretString"], self.kind, operation)
        self.redactor.release(*value.public)
        return value, answer.get("VersionStages", [])

    def _move_current(self, holder: str | None, expected: set[str]) -> None:
        source = {"RemoveFromVersionId": holder} if holder else {}
        call_aws(
            lambda: self.client.update_secret_version_stage(
                SecretId=self.arn, VersionStage=CURRENT, MoveToVersionId=self.token, **source
            ),
            self.deadline,
            f"moving AWSCURRENT to version {self.token} of {self.arn}",
            "secretsmanager:UpdateSecretVersionStage",
            expected=expected,
        )


class _NoValue(Exception):
    """The version has no value."""
