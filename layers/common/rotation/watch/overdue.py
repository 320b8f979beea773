"""Which rotations are overdue?

A function that fails logs its error. A function that is never called, or cannot be loaded, logs nothing: only the
secret shows that the date of its next rotation has passed.
"""

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from aws_lambda_powertools import single_metric
from aws_lambda_powertools.metrics import MetricUnit

from rotation.aws import own_clients
from rotation.deadline import Deadline
from rotation.errors import InvalidConfiguration, RotationError
from rotation.lambda_handler import NAMESPACE, logger
from rotation.watch.attached import AttachedSecret, attached_secrets, functions_of_stack
from rotation.watch.invocation import attempted, seconds_left

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

GRACE = timedelta(hours=1)
"""Time for the rotation itself, and until the list of secrets shows it."""

type Clock = Callable[[], datetime]


def system_clock() -> datetime:
    """Return the current time."""
    return datetime.now(UTC)


def overdue_handler(now: Clock = system_clock) -> "Callable[[object, LambdaContext], None]":
    """Return the function that Lambda calls on a schedule, with any event.

    It logs each overdue secret, or one line if there is none, and counts them in the metrics SecretsOverdue and
    SecretsAttached, also if the count is 0. If the secrets cannot be listed, it logs and raises the error.
    """

    def handler(_event: object, context: "LambdaContext") -> None:
        secrets = attempted(partial(_secrets_of_stack, Deadline(seconds_left(context))))
        # Raised here, outside of any `except`: the error carries no chain to another exception.
        if isinstance(secrets, RotationError):
            logger.error(
                str(secrets),
                extra={"error": type(secrets).__name__, "cause": secrets.cause, "remedy": secrets.remedy},
            )
            raise secrets
        moment = now()
        _report(secrets, [secret for secret in secrets if is_overdue(secret, moment)])

    return handler


def is_overdue(secret: AttachedSecret, now: datetime) -> bool:
    """Tell whether the secret should have been rotated by now; False if its rotation is off or has no date."""
    return secret.rotation_enabled and secret.next_rotation is not None and now - secret.next_rotation > GRACE


def _secrets_of_stack(deadline: Deadline) -> Sequence[AttachedSecret]:
    prefix = os.environ.get("ROTATION_FUNCTION_PREFIX")
    if not prefix:
        raise InvalidConfiguration(
            "reading the function's environment",
            "ROTATION_FUNCTION_PREFIX is missing or empty",
            "Set it to the start of the ARNs of this stack's functions, up to the hyphen after the stack's name",
        )
    return attached_secrets(own_clients().secrets_manager, functions_of_stack(prefix), deadline)


def _report(secrets: Sequence[AttachedSecret], overdue: Sequence[AttachedSecret]) -> None:
    for secret in overdue:
        cause = f"its rotation was due by {secret.next_rotation} and has not happened"
        remedy = (
            f"Find the cause in the log of {secret.function_arn}; if no line is there, check that the function exists "
            "and that Secrets Manager can invoke it. Once the cause is gone, remove AWSPENDING from the unfinished "
            f"version, if it has that label (aws secretsmanager update-secret-version-stage --secret-id {secret.arn} "
            "--version-stage AWSPENDING --remove-from-version-id …), then run aws secretsmanager rotate-secret "
            f"--secret-id {secret.arn}"
        )
        logger.error(
            f"watching {secret.arn}: {cause}. {remedy}",
            extra={"secret_arn": secret.arn, "function_arn": secret.function_arn, "cause": cause, "remedy": remedy},
        )
    if not overdue:
        logger.info(f"no rotation is overdue; {len(secrets)} secrets have a rotation function of this stack")
    for name, value in {"SecretsAttached": len(secrets), "SecretsOverdue": len(overdue)}.items():
        with single_metric(name=name, unit=MetricUnit.Count, value=value, namespace=NAMESPACE):
            pass
