"""What repairs a secret, word by word: a sentence, and the command or statement that does it.

Two repairs are safe, so the function can do them itself if the operator allows it (ALLOW_DOCTOR_REPAIR). Both move a
label, and name the version that has it: AWS refuses them if somebody has moved it meanwhile.

    AWSCURRENT moves to a version that has just logged in as the same user, while that of AWSCURRENT was refused
    AWSPENDING leaves a version that can never become current, or that is current and about to be so no more
"""

import json
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from rotation.aws import call_aws
from rotation.deadline import Deadline
from rotation.doctor.versions import Version
from rotation.errors import ServiceFailed
from rotation.preflight.description import Description
from rotation.staging import CURRENT, PENDING, WRONG
from rotation.values import dataclass

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient


AWS = "aws secretsmanager "


@dataclass(frozen=True)
class LabelMove:
    """A label that leaves one version, and goes to another one, or to none."""

    label: str
    source: str
    target: str | None = None

    def command(self, arn: str) -> str:
        """Return the command that does it."""
        to = ["--move-to-version-id", self.target] if self.target else []
        options = ["--version-stage", self.label, *to, "--remove-from-version-id", self.source]
        return aws("update-secret-version-stage", arn, *options)

    def carry_out(self, client: "SecretsManagerClient", arn: str, deadline: Deadline) -> None:
        """Do it. Raises ServiceFailed, also if the label is no longer on that version."""
        to, operation = {"MoveToVersionId": self.target} if self.target else {}, f"moving {self.label} of {arn}"
        try:
            call_aws(
                lambda: client.update_secret_version_stage(
                    SecretId=arn, VersionStage=self.label, RemoveFromVersionId=self.source, **to
                ),
                deadline,
                operation,
                "secretsmanager:UpdateSecretVersionStage",
                expected={WRONG},
            )
        except ClientError:
            raise ServiceFailed(
                operation, f"it is no longer on version {self.source}: somebody has moved it", "Ask the doctor again"
            ) from None


@dataclass(frozen=True)
class Repair:
    """One step of a repair."""

    does: str
    """A sentence: what holds afterwards."""
    command: str
    """For a shell, or a statement for the database; a password in it is ***."""
    safe: LabelMove | None = None
    """What the function can do itself; None: only a person can decide it."""

    @property
    def public(self) -> Sequence[str]:
        """The texts that no secret can be in: a command of AWS's names ARNs, versions and labels, and nothing else."""
        return [self.command] if self.command.startswith(AWS) else []

    def to_json(self, *, is_done: bool = False) -> dict[str, Any]:
        """Return what a machine reads."""
        done = {"Done": True} if is_done else {}
        return {"Does": self.does, "Command": self.command, "Safe": self.safe is not None, **done}


def aws(operation: str, arn: str, *options: str) -> str:
    """Return a command of AWS's command line about a secret."""
    return AWS + shlex.join([operation, "--secret-id", arn, *options])


def move_current(arn: str, source: Version, target: Version, *, is_safe: bool) -> Repair:
    """Let applications read the version that works."""
    move = LabelMove(CURRENT, source.identity, target.identity)
    user = target.value.credential.username if target.value else "its user"
    does = f"Applications read version {target.identity}, with which {user} logs in; AWSPREVIOUS goes to the other one."
    return Repair(does, move.command(arn), move if is_safe else None)


def remove_pending(arn: str, version: Version, *, is_safe: bool) -> Repair:
    """Let the next rotation make a version of its own."""
    move = LabelMove(PENDING, version.identity)
    does = (
        f"AWSPENDING leaves version {version.identity}, and the next rotation makes a version of its own. If a rotation"
        " is under way, wait until it has ended."
    )
    return Repair(does, move.command(arn), move if is_safe else None)


def reset(username: str, statement: str) -> Repair:
    """Give the user a password that somebody knows."""
    does = f"{username} has a new password: run it as an admin of the database, with a password of yours for ***."
    return Repair(does, statement)


def last(username: str, statement: str) -> Repair:
    """Let the user log in whose password has expired, on a server that does not tell that from a wrong one."""
    does = f"{username} can log in, if its password had expired: run it as an admin if VALID UNTIL is past."
    return Repair(does, statement)


def put(arn: str) -> Repair:
    """Write a password that works into the secret."""
    does = (
        "The secret holds a password that logs in: write the JSON of the secret with it into secret.json, run this, and"
        " delete the file."
    )
    return Repair(does, aws("put-secret-value", arn, "--secret-string", "file://secret.json"))


def run_statement(does: str, statement: str) -> Repair:
    """Change something in the database."""
    return Repair(does, statement)


def rotate(arn: str) -> Repair:
    """Begin a rotation."""
    does = f"A new rotation begins, and sets another password. If it fails, too, run make preflight SECRET={arn}."
    return Repair(does, aws("rotate-secret", arn))


def turn_on(description: Description, function_arn: str) -> Repair:
    """Attach this function, with the schedule that there was."""
    rules = description.rules or {"ScheduleExpression": "rate(30 days)"}
    does = f"The secret rotates again with {function_arn}: {description.schedule or 'rate(30 days)'}."
    # As JSON: the shorthand of AWS's command line ends at a comma, which a cron expression can have.
    options = ["--rotation-lambda-arn", function_arn, "--rotation-rules", json.dumps(rules), "--no-rotate-immediately"]
    return Repair(does, aws("rotate-secret", description.arn, *options))
