"""How does a function answer an operator who asks for a doctor?"""

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rotation.admin import Admins
from rotation.aws import Clients, call_aws
from rotation.deadline import Deadline
from rotation.doctor.examination import Examination, Means, examine
from rotation.doctor.repairs import Repair
from rotation.doctor.versions import Reader
from rotation.engine import InspectedEngine
from rotation.environment import boolean
from rotation.errors import ServiceFailed, Unsafe
from rotation.event import LookEvent
from rotation.preflight.description import Description
from rotation.preflight.preflight import NOT_ATTACHED, Answer
from rotation.redaction import Redactor
from rotation.values import dataclass

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

ALLOWED = "ALLOW_DOCTOR_REPAIR"

NOT_AS_IT_IS = (
    "It cannot be shown as it is: a text that the secret holds, too, is *** in it, or it is too long, or a name in it"
    " has blanks that cannot be shown. Correct it before you run it."
)
"""What is said of a statement that names something that the answer must not quote."""


@dataclass(frozen=True)
class Examined:
    """What a doctor has found, and done."""

    secret_id: str
    examination: Examination
    done: Sequence[Repair] = ()

    @property
    def summary(self) -> str:
        """One sentence for the log."""
        done = f"; did {len(self.done)} repairs" if self.done else ""
        return f"{self.examination.first.state}: {self.examination.first.sentence}{done}"

    def answer(self, redact: Callable[[str], str]) -> Answer:
        """Return what the function returns: nothing in it holds a secret."""
        first = self.examination.first
        findings = [one.finding().rewritten(redact).to_json() for one in self.examination.diagnoses]
        repairs = [_shown(one.to_json(is_done=one in self.done), redact) for one in self.examination.repairs]
        return {
            "SecretId": self.secret_id,
            "Outcome": str(first.outcome),
            "State": str(first.state),
            "Diagnosis": redact(first.sentence),
            "Versions": [_rewritten(one, redact) for one in self.examination.versions()],
            "Findings": findings,
            "Repairs": repairs,
        }


def doctor(  # noqa: PLR0913 - all that one invocation has
    event: LookEvent,
    engine: InspectedEngine,
    clients: Clients,
    redactor: Redactor,
    deadline: Deadline,
    *,
    function_arn: str,
) -> Examined:
    """Return what has happened to this secret. Changes nothing, unless the event asks for the safe repairs.

    Raises Unsafe if it asks for them and the function does not allow it, before anything is read; ServiceFailed.
    """
    if event.repair:
        _require_allowed(event.secret_id)
    client, kind = clients.secrets_manager, engine.kind
    reader = Reader(client, event.secret_id, kind, redactor, deadline, NOT_ATTACHED)

    def describe() -> Description:
        return Description.parse(
            call_aws(
                lambda: client.describe_secret(SecretId=event.secret_id),
                deadline,
                f"looking at {event.secret_id}",
                "secretsmanager:DescribeSecret",
                if_denied=NOT_ATTACHED,
            )
        )

    means = Means(
        engine=engine,
        deadline=deadline,
        describe=describe,
        versions=lambda description: reader.versions(description.stages),
        admin=Admins(client, clients.rds, kind, redactor, deadline).find,
        function_arn=function_arn,
        try_more_passwords=boolean(os.environ, "TRY_MORE_PASSWORDS", default=False),
    )
    examination = examine(means)
    for repair in examination.repairs:
        redactor.release(*repair.public)
    safe = [one for one in examination.repairs if one.safe] if event.repair else []
    for number, repair in enumerate(safe):
        _carry_out(repair, client, event.secret_id, deadline, safe[:number])
    return Examined(event.secret_id, examination, safe)


def _require_allowed(secret_id: str) -> None:
    if not boolean(os.environ, ALLOWED, default=False):
        raise Unsafe(
            f"repairing {secret_id}",
            f"this function repairs nothing: its environment variable {ALLOWED} is not true",
            "Run the commands of the doctor's answer yourself, or deploy with AllowDoctorRepair=true",
        )


def _carry_out(
    repair: Repair, client: "SecretsManagerClient", secret_id: str, deadline: Deadline, done: Sequence[Repair]
) -> None:
    """Do what is safe. Raises ServiceFailed, which says what was done before."""
    try:
        if repair.safe:
            repair.safe.carry_out(client, secret_id, deadline)
    except ServiceFailed as error:
        before = "".join(f"; done before: {one.does}" for one in done)
        raise ServiceFailed(error.operation, f"{error.cause}{before}", error.remedy) from None


def _shown(repair: Answer, redact: Callable[[str], str]) -> Answer:
    """Return a repair as it can be shown; if its command is another one then, it says so."""
    shown = _rewritten(repair, redact)
    if shown["Command"] == repair["Command"]:
        return shown
    return {**shown, "Does": f"{shown['Does']} {NOT_AS_IT_IS}"}


def _rewritten(fields: Answer, redact: Callable[[str], str]) -> Answer:
    return {key: redact(value) if isinstance(value, str) else value for key, value in fields.items()}
