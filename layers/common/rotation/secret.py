"""One secret under rotation, seen from one version token: every call to Secrets Manager about it.

A healthy rotation of a single user makes ten calls. createSecret: DescribeSecret, GetSecretValue, PutSecretValue;
setSecret: GetSecretValue, DescribeSecret, GetSecretValue; testSecret: GetSecretValue; finishSecret: DescribeSecret,
UpdateSecretVersionStage, and GetSecretValue for the log. Alternating users need one more, for the admin secret; and if
the rights of the pair have changed since the last rotation, up to five, for the labels of its record.
"""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import field
from functools import cached_property
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from rotation.aws import call_aws
from rotation.credential import SecretValue
from rotation.deadline import Deadline
from rotation.errors import RETRIED, InvalidSecret, NotRotatable
from rotation.kind import EngineKind
from rotation.record import PairRecord, is_ours
from rotation.redaction import Redactor
from rotation.staging import CURRENT, PENDING, PREVIOUS, StagingLabels, is_staged, settled
from rotation.values import dataclass

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_secretsmanager.type_defs import GetSecretValueResponseTypeDef, SecretVersionsListEntryTypeDef

MOST_VERSIONS_READ = 10
"""How many newer versions, and how many earlier ones, are read at most."""

EXISTS, NOT_FOUND = "ResourceExistsException", "ResourceNotFoundException"

RESUMED_SECONDS = 60.0
"""After so long a pending version is that of an earlier try: setSecret follows createSecret within seconds."""


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
    _created: list[float] = field(default_factory=list, repr=False)
    """When this version was created, in seconds since 1970; empty as long as that is not known."""

    def __str__(self) -> str:
        return f"version {self.token} of {self.arn}"

    @cached_property
    def _labels(self) -> StagingLabels:
        return StagingLabels(self.client, self.arn, self.token, self.deadline)

    def is_staged(self) -> bool:
        """Tell whether the version is pending (True) or already current (False).

        Raises NotRotatable if it is neither, or if rotation is off.
        """
        self._labels.look()
        if not self._labels.is_enabled:
            raise NotRotatable(
                f"looking at {self.arn}",
                "rotation is not enabled for this secret",
                f"Run aws secretsmanager rotate-secret --secret-id {self.arn} --rotation-lambda-arn … to enable it",
            )
        return self._labels.current != self.token

    def current(self) -> SecretValue:
        """Return the value of the version that has AWSCURRENT; raises InvalidSecret, NotRotatable or ServiceFailed.

        Two answers have to agree which version that is: one to DescribeSecret, and one to GetSecretValue. Either can be
        too old, if somebody has just moved AWSCURRENT. Reads both again, while time is left.
        """
        operation = f"reading the current version of {self.arn}"
        if not self._labels.current:
            self._labels.look()
        value = settled(lambda: self._current(operation), lambda value: value is not None, self.deadline, operation)
        if value:
            return value
        if self._labels.current and self._get(self._labels.current, operation):
            cause = "DescribeSecret and GetSecretValue do not agree which version has AWSCURRENT: somebody moves it"
            raise NotRotatable(operation, cause, RETRIED)
        raise NotRotatable(
            operation, "no version has AWSCURRENT, or it has no value", "Put the user's login into the secret"
        )

    def _current(self, operation: str) -> SecretValue | None:
        """Return the value of the version that seems to have AWSCURRENT. If its own labels deny that, looks again."""
        found = self._get(self._labels.current, operation) if self._labels.current else None
        if found and CURRENT in found[1]:
            return found[0]
        self._labels.look()
        return None

    def pending(self) -> SecretValue | None:
        """Return the value of this version, or None if it has none yet; raises NotRotatable if it is not staged."""
        operation = f"reading version {self.token} of {self.arn}"
        found = settled(
            lambda: self._get(self.token, operation),
            lambda found: found is not None and is_staged(found[1]),
            self.deadline,
            operation,
        )
        if not found:
            self.is_staged()
            return None
        value, labels = found
        if not is_staged(labels):
            raise self._labels.not_staged()
        return value

    def written(self) -> Iterator[SecretValue]:
        """Yield the value of this version if it shows one already; waits for none. Skips one of another engine."""
        with contextlib.suppress(InvalidSecret):
            if found := self._get(self.token, f"reading version {self.token} of {self.arn}"):
                yield found[0]

    def is_resumed(self) -> bool:
        """Tell whether `pending` found a version that an earlier try has written, and not this one."""
        return bool(self._created) and not is_recent(self._created[-1])

    @property
    def age(self) -> float | None:
        """How many seconds ago this version was created; None if no call above has seen it."""
        return time.time() - self._created[-1] if self._created else None

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
                    VersionStages=[PENDING, *sorted(self._labels.record)],
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
        return self._labels.promote()

    def give_up(self) -> None:
        """Take AWSPENDING from this version. Changes nothing if another version has the label, or none.

        The version stays, with the labels of the pair's record; `newer` finds it.
        """
        self._labels.give_up()

    @property
    def is_given_up(self) -> bool:
        """Tell whether this invocation has given the version up."""
        return self._labels.is_given_up

    def record(self) -> PairRecord:
        """Return what earlier rotations recorded about the pair, as far as a call above has seen it."""
        return PairRecord.from_labels(self._labels.record.keys())

    def read_record(self) -> PairRecord:
        """Return what is recorded about the pair now, on all versions."""
        self._labels.look_at_record()
        return self.record()

    def write_record(self, record: PairRecord) -> None:
        """Replace what is recorded about the pair, as far as a call above has seen it.

        Can be repeated; if it is cut off, both can be there.
        """
        shown = dict(self._labels.record)
        seen = dict.fromkeys(self._labels.known, self.token) | shown
        for label in sorted(record.labels):
            if shown.get(label) != self.token:
                self._labels.add(label)
        for label in sorted(seen.keys() - record.labels):
            self._labels.remove(label, seen[label])

    def newer(self) -> Iterator[SecretValue]:
        """Yield the values of the versions that are newer than AWSCURRENT, except this one, newest first.

        An abandoned rotation leaves them, and AWSPREVIOUS is one if somebody moved AWSCURRENT back. Versions that have
        labels of others, and those that are no secret of this engine, are skipped.
        """
        return self._values(are_newer=True)

    def earlier(self) -> Iterator[SecretValue]:
        """Yield the values of the versions that are older than AWSCURRENT: AWSPREVIOUS first, then the newest first.

        Versions that are no secret of this engine are skipped.
        """
        return self._values(are_newer=False)

    def _values(self, *, are_newer: bool) -> Iterator[SecretValue]:
        operation = f"looking for other versions of {self.arn}"
        versions = settled(
            lambda: list(self._versions(operation)),
            lambda found: any(version["VersionId"] == self.token for version in found),
            self.deadline,
            operation,
        )
        current = next((v["CreatedDate"] for v in versions if CURRENT in v.get("VersionStages", ())), None)
        others = [
            v
            for v in versions
            if v["VersionId"] != self.token
            and CURRENT not in v.get("VersionStages", ())
            and not (
                are_newer and any(label != PREVIOUS and not is_ours(label) for label in v.get("VersionStages", ()))
            )
            and are_newer == (current is not None and v["CreatedDate"] >= current)
        ]
        others.sort(key=lambda v: (PREVIOUS in v.get("VersionStages", ()), v["CreatedDate"]), reverse=True)
        late = []
        for version in others[:MOST_VERSIONS_READ]:
            with contextlib.suppress(InvalidSecret):
                if found := self._get(version["VersionId"], operation):
                    yield found[0]
                elif is_recent(version["CreatedDate"].timestamp()):
                    late.append(version["VersionId"])
        for identity in late:
            with contextlib.suppress(InvalidSecret):
                if found := self._settled(identity, operation):
                    yield found[0]

    def _versions(self, operation: str) -> "Iterator[SecretVersionsListEntryTypeDef]":
        page: dict[str, str] = {}
        while True:
            answer = call_aws(
                lambda page=page: self.client.list_secret_version_ids(  # type: ignore[misc]  # no type for the default
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

    def _settled(self, version: str, operation: str) -> tuple[SecretValue, list[str]] | None:
        """Return the value of a version, once it is visible. The event and the labels say that it is there."""
        return settled(lambda: self._get(version, operation), lambda found: found is not None, self.deadline, operation)

    def _get(self, version: str, operation: str) -> tuple[SecretValue, list[str]] | None:
        """Return the value of a version and its labels; None if it has no value."""
        try:
            answer = call_aws(
                lambda: self.client.get_secret_value(SecretId=self.arn, VersionId=version),
                self.deadline,
                operation,
                "secretsmanager:GetSecretValue",
                expected={NOT_FOUND},
            )
        except ClientError:
            return None
        value = parsed(answer, self.kind, self.redactor, operation)
        labels = answer.get("VersionStages", [])
        self._labels.note(version, labels)
        if version == self.token:
            self._created.append(answer["CreatedDate"].timestamp())
        return value, labels


def parsed(
    answer: "GetSecretValueResponseTypeDef", kind: EngineKind, redactor: Redactor, operation: str
) -> SecretValue:
    """Return the value in an answer, once the redactor knows it; raises InvalidSecret."""
    if "SecretString" not in answer:
        raise InvalidSecret(operation, "it holds binary data", "Store the credential as JSON text")
    redactor.read(answer["SecretString"])
    value = SecretValue.parse(answer["SecretString"], kind, operation)
    redactor.release(*value.public)
    return value


def is_recent(created: float) -> bool:
    """Tell whether a version was created a short time ago: the step that is to write it can have run just now."""
    return time.time() - created <= RESUMED_SECONDS
