"""Attaches and detaches secrets by their tag: all of them on a schedule, a single one after an event.

An event of CloudTrail names a secret that was made or tagged just now. Events can be lost, and a trail can be missing,
so the schedule comes past every secret. What cannot be done in the time of one run is left to the next: nothing has to
be remembered between runs, because the tags say it.
"""

import os
import random
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import single_metric
from aws_lambda_powertools.metrics import MetricUnit

from rotation.aws import own_clients
from rotation.environment import invalid
from rotation.errors import RotationError
from rotation.lambda_handler import NAMESPACE, logger
from rotation.watch.attached import functions_of_stack
from rotation.watch.attaching import Attaching
from rotation.watch.by_tag import ACTS, Act, Stack, TaggedSecret, decide
from rotation.watch.invocation import attempted, seconds_left
from rotation.watch.tags import VARIABLES, Rules, TagKeys

if TYPE_CHECKING:
    from collections.abc import Callable

    from aws_lambda_powertools.utilities.typing import LambdaContext

MOST_ERRORS = 100
"""How many errors of one run are logged; all of them are counted."""

SAID = {Act.ATTACH: "attached by its tag", Act.DETACH: "detached: it lost its tag", Act.CLEAR: "its mark was cleared"}


def attach_handler() -> "Callable[[object, LambdaContext], None]":
    """Return the function that Lambda calls, with an event of CloudTrail or with any other.

    It logs a line for each secret that it changes or cannot attach. A run over all secrets also logs how many there
    are of each kind, and counts them in the metrics SecretsAttachedByTag and SecretsNotAttachable, also if the count is
    0. If the secrets cannot be listed, it logs and raises the error.
    """

    def handler(event: object, context: "LambdaContext") -> None:
        failure = attempted(lambda: _Run(context).run(event))
        # Raised here, outside of any `except`: the error carries no chain to another exception.
        if failure:
            _log(failure)
            raise failure

    return handler


def stack_from(environment: Mapping[str, str]) -> Stack:
    """Read what the template says; raises InvalidConfiguration."""
    return Stack(
        TagKeys(_given(environment, "ATTACH_TAG_KEY")),
        Rules(_given(environment, "ATTACH_SCHEDULE"), _given(environment, "ATTACH_WINDOW")),
        {engine: arn for engine, name in VARIABLES.items() if (arn := environment.get(name))},
        functions_of_stack(_given(environment, "ROTATION_FUNCTION_PREFIX")),
    )


def named_secret(event: object) -> str | None:
    """Return the secret that an event of CloudTrail is about; None if it names none.

    CloudTrail writes the key of the ARN in two ways
    (https://docs.aws.amazon.com/secretsmanager/latest/userguide/monitoring-eventbridge.html).
    """
    detail = event.get("detail") if isinstance(event, dict) else None
    if not isinstance(detail, dict):
        return None
    answered, asked = detail.get("responseElements") or {}, detail.get("requestParameters") or {}
    names = (answered.get("arn"), answered.get("aRN"), asked.get("secretId"), asked.get("name"))
    return next((name for name in names if isinstance(name, str) and name), None)


class _Run:
    """One call of the function."""

    def __init__(self, context: "LambdaContext") -> None:
        self._attaching = Attaching(own_clients().secrets_manager, stack_from(os.environ), seconds_left(context))
        self._counts: Counter[Act] = Counter()
        self._errors = 0
        self._waiting = 0

    def run(self, event: object) -> None:
        """Look after the secret that the event names, or after all of them."""
        if name := named_secret(event):
            self._settle(name)
            return
        for arn in self._to_change():
            if self._attaching.has_time():
                self._settle(arn)
            else:
                self._waiting += 1
        self._report()

    def _to_change(self) -> list[str]:
        """Return the secrets that need a call, once all have been looked at.

        Their order is another one in each run. If some take all the time of a run and fail, they do so in the next
        run too, and those after them would never come to their turn.
        """
        arns = [secret.arn for secret in self._attaching.tagged_secrets() if self._is_to_change(secret)]
        return random.sample(arns, len(arns))

    def _is_to_change(self, secret: TaggedSecret) -> bool:
        act = attempted(lambda: decide(secret, self._attaching.stack))
        if isinstance(act, RotationError):
            self._refused(secret.arn, act)
            return False
        if act in ACTS:
            return True
        self._counts[act] += 1
        return False

    def _settle(self, arn: str) -> None:
        act = attempted(lambda: self._attaching.settle(arn))
        if isinstance(act, RotationError):
            self._refused(arn, act)
            return
        self._counts[act] += 1
        if act in SAID:
            logger.info(f"{arn}: {SAID[act]}", extra={"secret_arn": arn})

    def _refused(self, arn: str, error: RotationError) -> None:
        self._errors += 1
        if self._errors <= MOST_ERRORS:
            _log(error, secret_arn=arn)

    def _report(self) -> None:
        kept, attached = self._counts[Act.KEEP], self._counts[Act.ATTACH]
        logger.info(
            f"by tag: {attached} attached now, {kept} attached before, {self._counts[Act.DETACH]} detached, "
            f"{self._counts[Act.LEAVE]} left to whoever attached them, {self._errors} not attachable, "
            f"{self._waiting} left to the next run"
        )
        for name, value in {"SecretsAttachedByTag": kept + attached, "SecretsNotAttachable": self._errors}.items():
            with single_metric(name=name, unit=MetricUnit.Count, value=value, namespace=NAMESPACE):
                pass


def _log(error: RotationError, **fields: Any) -> None:  # noqa: ANN401 - whatever the line is to have
    said = {"error": type(error).__name__, "cause": error.cause, "remedy": error.remedy}
    logger.error(str(error), extra={**fields, **said})


def _given(environment: Mapping[str, str], name: str) -> str:
    if not (text := environment.get(name)):
        raise invalid(name, "it is missing or empty")
    return text
