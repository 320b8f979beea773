"""Which rotations are off, have failed, or are overdue?

A function that fails logs its error. A function that is never called, or cannot be loaded, logs nothing: only the
secret shows that its rotation is off, or that the date of its next rotation has passed.

This function runs every quarter of an hour. Each run measures; each secret gets one line a day, and one more when it
stops rotating. The lines of a day are the list of all attached secrets, which the dashboard shows.
"""

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from aws_lambda_powertools import single_metric
from aws_lambda_powertools.metrics import MetricUnit

from rotation.aws import own_clients
from rotation.deadline import Deadline
from rotation.errors import InvalidConfiguration, RotationError
from rotation.lambda_handler import NAMESPACE, logger
from rotation.watch.attached import AttachedSecret, attached_secrets, functions_of_stack
from rotation.watch.health import Health, State, days_since_rotation, health
from rotation.watch.invocation import attempted, seconds_left

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

type Clock = Callable[[], datetime]
type Healths = Mapping[AttachedSecret, Health]


def system_clock() -> datetime:
    """Return the current time."""
    return datetime.now(UTC)


def overdue_handler(now: Clock = system_clock) -> "Callable[[object, LambdaContext], None]":
    """Return the function that Lambda calls on a schedule, with any event.

    Each run writes the metrics, also if a count is 0, and a line with the counts. A secret's own line is an error if
    it does not rotate; the first run of a day (UTC) writes it, and the first run after the secret stopped rotating.
    If that run fails, the secret's line is written on the next day. If the secrets cannot be listed, the error is
    logged and raised.
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
        _report({secret: health(secret, moment) for secret in secrets}, moment)

    return handler


def _secrets_of_stack(deadline: Deadline) -> Sequence[AttachedSecret]:
    prefix = os.environ.get("ROTATION_FUNCTION_PREFIX")
    if not prefix:
        raise InvalidConfiguration(
            "reading the function's environment",
            "ROTATION_FUNCTION_PREFIX is missing or empty",
            "Set it to the start of the ARNs of this stack's functions, up to the hyphen after the stack's name",
        )
    return attached_secrets(own_clients().secrets_manager, functions_of_stack(prefix), deadline)


def _report(healths: Healths, now: datetime) -> None:
    for secret, found in healths.items():
        if found.is_to_be_said(now):
            _say(secret, found, now)
    _measure(healths, now)


def _say(secret: AttachedSecret, found: Health, now: datetime) -> None:
    """Log a secret's line: the dashboard's list is made of them."""
    days = days_since_rotation(secret, now)
    fields = {
        "secret_arn": secret.arn,
        "function_arn": secret.function_arn,
        "state": found.state,
        "days_since_rotation": None if days is None else round(days, 1),
        "last_rotation": secret.last_rotation and str(secret.last_rotation),
        "next_rotation": secret.next_rotation and str(secret.next_rotation),
    }
    if found.cause:
        message = f"watching {secret.arn}: {found.cause}. {found.remedy}"
        logger.error(message, extra={**fields, "cause": found.cause, "remedy": found.remedy})
    else:
        logger.info(f"watching {secret.arn}: {found.state}", extra=fields)


def _measure(healths: Healths, now: datetime) -> None:
    counts = Counter(found.state for found in healths.values())
    ages = [days_since_rotation(secret, now) for secret in healths if secret.rotation_enabled]
    figures = {
        "SecretsAttached": len(healths),
        "SecretsOff": counts[State.OFF],
        "SecretsFailed": counts[State.FAILED],
        "SecretsOverdue": counts[State.OVERDUE],
        "DaysSinceRotation": max((days for days in ages if days is not None), default=0),
    }
    logger.info(
        f"{len(healths)} secrets have a rotation function of this stack: {counts[State.OFF]} are off, "
        f"{counts[State.FAILED]} have failed, {counts[State.OVERDUE]} are overdue"
    )
    for name, value in figures.items():
        with single_metric(name=name, unit=MetricUnit.Count, value=value, namespace=NAMESPACE):
            pass
