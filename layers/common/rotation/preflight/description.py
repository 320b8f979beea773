"""What does Secrets Manager say of a secret, besides its value?"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Self

from rotation.finding import Finding, failed, passed, warned
from rotation.record import PairRecord
from rotation.staging import CURRENT, PENDING
from rotation.values import dataclass

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager.type_defs import DescribeSecretResponseTypeDef

GRACE = timedelta(hours=1)
"""Time for the rotation itself after its date."""


@dataclass(frozen=True)
class Description:
    """The answer of DescribeSecret, as far as a rotation depends on it."""

    arn: str
    owner: str
    """The AWS service that manages the secret; empty: none."""
    primary_region: str
    """Where the secret is that this one is a replica of; empty if it is none."""
    is_deleted: bool
    is_enabled: bool
    function_arn: str
    """Without version and alias; empty if none was attached."""
    schedule: str
    next_rotation: datetime | None
    stages: Mapping[str, Sequence[str]]
    """The labels of each version."""
    window: str = ""
    """How long after its date a rotation can begin; empty: what AWS takes by itself."""

    @property
    def rules(self) -> dict[str, object]:
        """The schedule, as RotateSecret takes it; empty if there is none."""
        if not self.schedule:
            return {}
        is_expression = "(" in self.schedule
        when = {"ScheduleExpression": self.schedule} if is_expression else _days(self.schedule)
        return {**when, **({"Duration": self.window} if self.window else {})}

    @classmethod
    def parse(cls, answer: "DescribeSecretResponseTypeDef") -> Self:
        """Read the answer."""
        rules = answer.get("RotationRules", {})
        date: datetime | None = answer.get("NextRotationDate")
        days, primary, arn = rules.get("AutomaticallyAfterDays"), answer.get("PrimaryRegion", ""), answer["ARN"]
        return cls(
            arn=arn,
            owner=answer.get("OwningService", ""),
            primary_region=primary if primary != arn.split(":")[3] else "",
            is_deleted="DeletedDate" in answer,
            is_enabled=answer.get("RotationEnabled", False),
            function_arn=":".join(answer.get("RotationLambdaARN", "").split(":")[:7]),
            schedule=rules.get("ScheduleExpression") or (f"every {days} days" if days else ""),
            next_rotation=date and date.astimezone(UTC),
            stages=answer.get("VersionIdsToStages", {}),
            window=rules.get("Duration", ""),
        )

    @property
    def record(self) -> PairRecord:
        """What earlier rotations recorded about the pair."""
        return PairRecord.from_labels({label for labels in self.stages.values() for label in labels})

    def secret(self) -> Iterator[Finding]:
        """Say whether the secret is one that a function of ours can rotate."""
        if self.owner:
            yield failed(
                "secret",
                f"{self.arn} is managed by {self.owner}, which rotates it",
                "Attach the function to a secret of your own; this one can be its masterarn",
            )
        elif self.primary_region:
            yield failed(
                "secret",
                f"{self.arn} is a replica of the secret in {self.primary_region}",
                f"Attach the function of {self.primary_region} to the secret there",
            )
        elif self.is_deleted:
            yield failed(
                "secret",
                f"{self.arn} is scheduled for deletion",
                f"Run aws secretsmanager restore-secret --secret-id {self.arn}",
            )
        else:
            yield passed("secret", f"{self.arn} can be described")

    def rotation(self, function_arn: str, now: datetime) -> Iterator[Finding]:
        """Say whether, by which function, and when the secret rotates."""
        if not self.function_arn:
            yield warned("rotation", "no rotation function is attached", self._attach(function_arn))
        elif self.function_arn != function_arn:
            yield warned(
                "rotation",
                f"another function is attached: {self.function_arn}",
                f"{self._attach(function_arn)}, if this one shall rotate it",
            )
        elif not self.is_enabled:
            yield warned("rotation", "this function is attached, and rotation is off", self._attach(function_arn))
        elif self.next_rotation and now - self.next_rotation > GRACE:
            yield warned("rotation", f"a rotation was due by {self.next_rotation} and has not happened", self._doctor)
        else:
            when = f"; the next one is due by {self.next_rotation}" if self.next_rotation else ""
            yield passed("rotation", f"this function is attached and on: {self.schedule or 'no schedule'}{when}")

    def labels(self) -> Iterator[Finding]:
        """Say whether a version is current, and none is pending."""
        current = self._with(CURRENT)
        pending = self._with(PENDING)
        if not current:
            yield failed("labels", "no version has AWSCURRENT", "Put the user's login into the secret")
        elif pending and pending != current:
            yield warned(
                "labels", f"version {pending} has AWSPENDING: a rotation goes on, or was interrupted", self._doctor
            )
        else:
            yield passed("labels", f"version {current} has AWSCURRENT, and none is pending")

    def _with(self, label: str) -> str:
        return next((version for version, labels in self.stages.items() if label in labels), "")

    @property
    def _doctor(self) -> str:
        return f"Run make doctor SECRET={self.arn}"

    def _attach(self, function_arn: str) -> str:
        return f'Run make attach SECRET={self.arn} OPERATION_ARGS="--function {function_arn}"'


def _days(schedule: str) -> dict[str, object]:
    return {"AutomaticallyAfterDays": int(schedule.split()[1])}
