"""How does a function answer an operator who asks for a preflight?"""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rotation.admin import Admins
from rotation.aws import Clients, call_aws
from rotation.credential import SecretValue
from rotation.deadline import Deadline
from rotation.engine import InspectedEngine
from rotation.finding import Finding, Outcome, worst
from rotation.kind import EngineKind
from rotation.passwords import PasswordPolicy
from rotation.preflight.description import Description
from rotation.preflight.inspection import Inspection, Means
from rotation.redaction import Redactor
from rotation.secret import parsed

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

NOT_ATTACHED = (
    "Attach the function first, without rotating (make attach, or aws secretsmanager rotate-secret --secret-id …"
    " --rotation-lambda-arn … --no-rotate-immediately): it can read only secrets that chose it. If it is attached,"
    " allow the use of the secret's KMS key"
)
"""What to do if the function cannot look at a secret."""

type Answer = dict[str, Any]
"""A JSON object: the secret, the worst outcome, and all findings."""


def preflight(  # noqa: PLR0913 - all that one invocation has
    secret_id: str,
    *,
    engine: InspectedEngine,
    clients: Clients,
    redactor: Redactor,
    deadline: Deadline,
    function_arn: str,
) -> list[Finding]:
    """Return what a rotation of this secret would meet. Changes nothing, and raises no RotationError."""
    client, kind = clients.secrets_manager, engine.kind

    def describe() -> Description:
        return Description.parse(
            call_aws(
                lambda: client.describe_secret(SecretId=secret_id),
                deadline,
                f"looking at {secret_id}",
                "secretsmanager:DescribeSecret",
                if_denied=NOT_ATTACHED,
            )
        )

    means = Means(
        engine=engine,
        deadline=deadline,
        describe=describe,
        read=lambda: current(client, secret_id, kind, redactor, deadline),
        admin=Admins(client, clients.rds, kind, redactor, deadline).find,
        policy=lambda: PasswordPolicy.from_environment(os.environ, kind),
        function_arn=function_arn,
    )
    return list(Inspection(means).findings())


def current(
    client: "SecretsManagerClient", secret_id: str, kind: EngineKind, redactor: Redactor, deadline: Deadline
) -> SecretValue:
    """Return the version that has AWSCURRENT. Raises RotationError."""
    operation = f"reading the current version of {secret_id}"
    answer = call_aws(
        lambda: client.get_secret_value(SecretId=secret_id),
        deadline,
        operation,
        "secretsmanager:GetSecretValue",
        if_denied=NOT_ATTACHED,
    )
    return parsed(answer, kind, redactor, operation)


def answer(secret_id: str, findings: list[Finding], redact: Callable[[str], str]) -> Answer:
    """Return what the function returns: nothing in it holds a secret."""
    found = [finding.rewritten(redact) for finding in findings]
    return {"SecretId": secret_id, "Outcome": str(worst(found)), "Findings": [one.to_json() for one in found]}


def summary(findings: list[Finding]) -> str:
    """Return one sentence for the log."""
    counts = ", ".join(
        f"{number} {outcome}" for outcome in Outcome if (number := sum(one.outcome is outcome for one in findings))
    )
    return f"looked at {len(findings)} items: {counts}"
