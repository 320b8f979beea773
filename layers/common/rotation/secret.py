"""One secret under rotation, seen from one version token: every call to Secrets Manager about it.

A healthy rotation of a single user makes eight calls. createSecret: DescribeSecret, GetSecretValue,
PutSecretValue; setSecret: GetSecretValue twice; testSecret: GetSecretValue; finishSecret: DescribeSecret,
UpdateSecretVersionStage. Alternating users need one more, for the admin secret; and if the rights of the pair have
changed since the last rotation, up to five, for the labels of its record.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from rotation.aws import call_aws
from rotation.credential import SecretValue
from rotation.deadline import Deadline
from rotation.errors import InvalidSecret, NotRotatable
from rotation.kind import EngineKind
from rotation.record import PairRecord, is_ours
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
    _holders: dict[str, str] = field(default_factory=dict, repr=False)
    """The version of each label of the pair's record, as far as it was seen."""

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
        """Write the value of this version, and move the record of the pair to it.

        Returns False, and changes nothing, if it has a value already. PutSecretValue is refused for a version that has
        another value (https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_PutSecretValue.html), and
        moves the labels that it is given. So only one of two createSecrets at the same time writes.
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
                    VersionStages=[PENDING, *sorted(self._holders)],
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
            expected = {WRONG} if attempt < MOVE_ATTEMPTS else set()
            try:
                self._update_stage(CURRENT, self._from(holder), expected)
            except ClientError:
                continue  # somebody moved the label between the two calls, or our first try succeeded: read again
            return True
        raise AssertionError

    def record(self) -> PairRecord:
        """Return what earlier rotations recorded about the pair, as far as a call above has seen it."""
        return PairRecord.from_labels(self._holders.keys())

    def read_record(self) -> PairRecord:
        """Return what is recorded about the pair now, on all versions."""
        self._describe()
        return self.record()

    def write_record(self, record: PairRecord) -> None:
        """Replace what is recorded about the pair, as far as a call above has seen it.

        Can be repeated; if it is cut off, both can be there.
        """
        seen = dict(self._holders)
        for label in sorted(record.labels):
            if seen.get(label) != self.token:
                self._add(label)
        for label in sorted(seen.keys() - record.labels):
            self._remove(label, seen[label])

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
        stages = answer.get("VersionIdsToStages", {})
        self._holders.clear()
        self._note_holders(stages)
        return answer.get("RotationEnabled", False), stages

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
        stages = answer.get("VersionStages", [])
        self._note_holders({answer["VersionId"]: stages})
        return value, stages

    def _add(self, label: str) -> None:
        """Move a label of the record to this version, from whichever has it."""
        try:
            self._update_stage(label, self._from(self._holders.get(label)), {WRONG})
        except ClientError:  # another version has it
            self._describe()
            self._update_stage(label, self._from(self._holders.get(label)), set())
        self._holders[label] = self.token

    def _from(self, holder: str | None) -> dict[str, str]:
        return {"MoveToVersionId": self.token, **({"RemoveFromVersionId": holder} if holder else {})}

    def _remove(self, label: str, holder: str) -> None:
        with contextlib.suppress(ClientError):  # it is not there any more
            self._update_stage(label, {"RemoveFromVersionId": holder}, {WRONG})
        self._holders.pop(label, None)

    def _update_stage(self, label: str, versions: "dict[str, str]", expected: set[str]) -> None:
        call_aws(
            lambda: self.client.update_secret_version_stage(SecretId=self.arn, VersionStage=label, **versions),
            self.deadline,
            f"moving {label}, with version {self.token} of {self.arn}",
            "secretsmanager:UpdateSecretVersionStage",
            expected=expected,
        )

    def _note_holders(self, stages: "Mapping[str, Sequence[str]]") -> None:
        found = {label: version for version, labels in stages.items() for label in labels if is_ours(label)}
        self._holders.update(found)


class _NoValue(Exception):
    """The version has no value."""
