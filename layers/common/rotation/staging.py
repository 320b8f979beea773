"""Which version of a secret has which staging label?

Secrets Manager is eventually consistent: "changes that I make aren't always immediately visible"
(https://docs.aws.amazon.com/secretsmanager/latest/userguide/troubleshoot.html). Each answer can show the secret as it
was some seconds ago. But a step knows one thing that happened before it began: RotateSecret staged its version. So an
answer that does not show that is too old, and is read again, for up to `sum(PAUSES)` seconds. An answer that shows it
is at least as new as that call, and so is the AWSCURRENT in it.
"""

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from rotation.aws import call_aws
from rotation.deadline import Deadline
from rotation.errors import NotRotatable
from rotation.record import is_ours

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

CURRENT, PENDING, PREVIOUS = "AWSCURRENT", "AWSPENDING", "AWSPREVIOUS"

WRONG = "InvalidParameterException"
"""What a call is answered that says that a version has a label, and it has not."""

PAUSES = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Seconds until an answer that contradicts the event is asked for again."""


@dataclass
class StagingLabels:
    """The labels of one secret, seen from the version that a rotation makes."""

    client: "SecretsManagerClient"
    arn: str
    token: str
    deadline: Deadline
    is_enabled: bool = False
    """Whether rotation is on; known once `look` was called, like the rest."""
    current: str | None = None
    """The version that has AWSCURRENT."""
    is_given_up: bool = False
    """Whether this invocation has given the version up."""
    record: dict[str, str] = field(default_factory=dict)
    """The labels of the pair's record that were seen, and their versions."""
    known: set[str] = field(default_factory=set)
    """The labels of the record that this invocation has added to this version, or has seen there. `record` can lack
    them: an answer that is too old does not show them."""

    def look(self) -> None:
        """Read all labels. Raises NotRotatable if this version has neither AWSPENDING nor AWSCURRENT.

        Reads again first, while time is left: the answer can be too old.
        """
        settled(self.refresh, lambda _: self.is_enabled and self._is_staged(), self.deadline, f"looking at {self.arn}")
        if not self._is_staged():
            raise self.not_staged()

    def refresh(self) -> None:
        """Read all labels, as the service shows them now."""
        answer = call_aws(
            lambda: self.client.describe_secret(SecretId=self.arn),
            self.deadline,
            f"looking at {self.arn}",
            "secretsmanager:DescribeSecret",
        )
        self.is_enabled = answer.get("RotationEnabled", False)
        self._stages = answer.get("VersionIdsToStages", {})
        self.current = next((version for version, labels in self._stages.items() if CURRENT in labels), None)
        self.record.clear()
        for version, labels in self._stages.items():
            self.note(version, labels)

    def look_at_record(self) -> None:
        """Read all labels. Reads again first, while time is left, if one that this invocation knows of is missing."""
        settled(self.refresh, lambda _: self.known <= self.record.keys(), self.deadline, f"looking at {self.arn}")

    def not_staged(self) -> NotRotatable:
        """Return the error for a version that is neither pending nor current."""
        return NotRotatable(
            f"looking at version {self.token} of {self.arn}",
            "it has neither AWSPENDING nor AWSCURRENT: this rotation was abandoned, or it never began, or it was given"
            " up because the server refused its password",
            f"Run aws secretsmanager rotate-secret --secret-id {self.arn} to start a new rotation",
        )

    def note(self, version: str, labels: Iterable[str]) -> None:
        """Note what an answer says of one version. This one cannot become current by an answer that is too old.

        A rotation moves the labels of the record to its own version only. So an answer that shows one elsewhere, after
        it was seen here, is too old.
        """
        ours = set(filter(is_ours, labels))
        if version == self.token:
            self.current = version if CURRENT in labels else self.current
            self.known |= ours
        self.record |= {label: self.token if label in self.known else version for label in ours}

    def promote(self) -> bool:
        """Move AWSCURRENT to this version. Returns False, and changes nothing, if it is there already."""
        self.look()
        moved = self._move(CURRENT, self.look, lambda: self.current)
        self.current = self.token
        return moved

    def add(self, label: str) -> None:
        """Move a label of the record to this version, from whichever has it."""
        self._move(label, self.refresh, lambda: self.record.get(label))
        self.record[label] = self.token
        self.known.add(label)

    def remove(self, label: str, seen: str) -> None:
        """Remove a label of the record from the version where it was seen; `seen` if all were read again since."""
        self._remove(label, self.record.pop(label, seen))
        self.known.discard(label)

    def give_up(self) -> None:
        """Take AWSPENDING from this version. Changes nothing if another version has the label, or none."""
        self._remove(PENDING, self.token)
        self.is_given_up = True

    def _remove(self, label: str, holder: str) -> None:
        with contextlib.suppress(ClientError):  # it is not there any more
            self._update(label, {"RemoveFromVersionId": holder}, {WRONG})

    def _move(self, label: str, look: Callable[[], None], holder: Callable[[], str | None]) -> bool:
        """Move a label to this version, from where it was seen. Returns False if it is there already.

        If the service says that it is elsewhere, somebody moved it meanwhile, or our first try succeeded, or the answer
        was too old: looks again.
        """
        for pause in (*PAUSES, None):
            source = holder()
            if source == self.token:
                return False
            versions = {"MoveToVersionId": self.token, **({"RemoveFromVersionId": source} if source else {})}
            try:
                self._update(label, versions, {WRONG} if pause else set())
            except ClientError:
                self.deadline.pause(pause or 0, f"moving {label} to version {self.token} of {self.arn}")
                look()
            else:
                return True
        raise AssertionError

    def _is_staged(self) -> bool:
        return is_staged(self._stages.get(self.token, []))

    def _update(self, label: str, versions: dict[str, str], expected: set[str]) -> None:
        call_aws(
            lambda: self.client.update_secret_version_stage(SecretId=self.arn, VersionStage=label, **versions),
            self.deadline,
            f"moving {label}, with version {self.token} of {self.arn}",
            "secretsmanager:UpdateSecretVersionStage",
            expected=expected,
        )


def is_staged(labels: Iterable[str]) -> bool:
    """Tell whether a version with these labels is pending or current."""
    return bool({CURRENT, PENDING} & set(labels))


def settled[T](read: Callable[[], T], is_fitting: Callable[[T], bool], deadline: Deadline, operation: str) -> T:
    """Return what `read` returns, once it fits what is known to have happened, or once the pauses are over."""
    for pause in filter(deadline.outlasts, PAUSES):
        answer = read()
        if is_fitting(answer):
            return answer
        deadline.pause(pause, operation)
    return read()
