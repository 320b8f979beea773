"""Does a secret still need one of the functions that are about to be deleted?

If a rotation function is deleted, its secrets still name it, and nothing rotates them any more. Nobody would notice
until a password is needed. So the stack has a resource, Custom::AttachedSecrets, that lists the functions as
FunctionArns and depends on them: CloudFormation calls this function before it deletes one.

*An update that turns an engine off* is refused while a secret needs the engine's function. CloudFormation then rolls
the update back. It deletes what an update leaves over only after all else succeeded, so nothing is gone.

*The deletion of the stack* is never refused. CloudFormation would take the refusal for a failure of this one resource,
and go on to delete all that it depends on: the rotation functions, and this function, without which no second attempt
could succeed (https://github.com/aws-cloudformation/cloudformation-coverage-roadmap/issues/852). The stack's
termination protection prevents its deletion; the guard only logs which secrets are left behind.

Two kinds of secrets do not count: those whose rotation is off, and those that the stack itself attached
(ScheduledSecretArns). The schedules of the latter are deleted with the function, and that turns the rotation off. The
list of secrets would show this too late; and if an update is rolled back, its new schedules are deleted last.
"""

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import TYPE_CHECKING

from rotation.aws import own_clients
from rotation.deadline import Deadline
from rotation.errors import InvalidEvent, RotationError
from rotation.lambda_handler import logger
from rotation.redaction import LONGEST, Redactor
from rotation.values import dataclass
from rotation.watch.attached import AttachedSecret, attached_secrets, unqualified
from rotation.watch.custom_resource import Event, answer
from rotation.watch.invocation import attempted, seconds_left

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

ANSWER_SECONDS = 40.0
"""How much of the function's timeout is kept for delivering the answer, in several attempts. The rest is for listing
the secrets."""
MOST_NAMED = 5
LONGEST_NAME = 80

EACH = (
    "Give each another function (aws secretsmanager rotate-secret --secret-id … --rotation-lambda-arn …), or turn its "
    "rotation off (aws secretsmanager cancel-rotate-secret --secret-id …)."
)
"""What to do about secrets that need a function."""

WATCH_ONLY = "If only WatchFunctions was set to none, all secrets rotate as before."
"""CloudFormation asks in the same words to delete the guard with the stack, and to delete it alone."""

NEW, OLD = "ResourceProperties", "OldResourceProperties"

type Attached = Callable[[Collection[str]], Sequence[AttachedSecret]]
"""Returns the secrets that name one of these functions."""


@dataclass(frozen=True)
class Verdict:
    """What to say, and whether to refuse."""

    text: str
    is_refusal: bool = False
    is_problem: bool = False
    """Whether secrets are left behind, or could be: an error in the log."""
    secret_arns: Sequence[str] = ()
    """The secrets that need a function that is about to be deleted."""


def guard_handler() -> "Callable[[object, LambdaContext], None]":
    """Return the function that CloudFormation calls; it refuses an update that deletes a function that a secret needs.

    Each call logs one line. CloudFormation gets an answer in every case; if that cannot be delivered, an error is
    raised, so that Lambda tries again. The address of the answer is neither logged nor raised.
    """

    def handler(event: object, context: "LambdaContext") -> None:
        failure = _Invocation(event, context).run()
        # Raised here, outside of any `except`: the error carries no chain to an exception that can hold the address.
        if failure:
            raise failure

    return handler


def verdict(event: Event, attached: Attached) -> Verdict:
    """Decide; the secrets are listed only if a function is about to be deleted. Raises InvalidEvent."""
    deleted = _deleted(event)
    if not deleted:
        return Verdict("no rotation function is about to be deleted")
    scheduled = {arn for properties in (NEW, OLD) for arn in _texts(event, properties, "ScheduledSecretArns") or ()}
    needed = [secret for secret in attached(deleted) if secret.rotation_enabled and secret.arn not in scheduled]
    if not needed:
        return Verdict("no secret needs the rotation functions that are about to be deleted")
    refuses = not _is_deletion(event)
    text = _refusal(needed) if refuses else _left_behind(needed)
    return Verdict(text, refuses, is_problem=True, secret_arns=[secret.arn for secret in needed])


class _Invocation:
    """One call of the function."""

    def __init__(self, event: object, context: "LambdaContext") -> None:
        self._event: Event = event if isinstance(event, dict) else {}
        self._seconds_left = seconds_left(context)
        self._redactor = Redactor()
        self._redact = partial(self._redactor.said, most=LONGEST)
        self._fields = {
            "request_type": str(self._event.get("RequestType")),
            "stack_id": str(self._event.get("StackId")),
            "function_request_id": context.aws_request_id,
        }

    def run(self) -> RotationError | None:
        """Answer CloudFormation and log the answer; return the error if it could not be delivered."""
        url = self._event.get("ResponseURL")
        self._redactor.read(str(url))
        found = attempted(partial(verdict, self._event, self._attached), self._redactor)
        if isinstance(found, RotationError):
            found = _unknown(found, self._event)
        text, fields = self._redact(found.text), {name: self._redact(value) for name, value in self._fields.items()}
        refusal = text if found.is_refusal else None
        failure = attempted(partial(answer, self._event, refusal, Deadline(self._seconds_left)), self._redactor)
        if failure:
            logger.error(f"{failure.sentences} The answer was to be: {text}", extra=fields)
        elif found.is_problem:
            logger.error(text, extra={**fields, "secret_arns": found.secret_arns})
        else:
            logger.info(text, extra=fields)
        return failure

    def _attached(self, functions: Collection[str]) -> Sequence[AttachedSecret]:
        deadline = Deadline(lambda: self._seconds_left() - ANSWER_SECONDS)
        return attached_secrets(own_clients().secrets_manager, functions.__contains__, deadline)


def _unknown(error: RotationError, event: Event) -> Verdict:
    """Return what to answer if nobody can tell which secrets need the functions."""
    if _is_deletion(event):
        left_behind = "If the stack is deleted, secrets can be left behind that name one of its functions."
        text = f"{error.sentences} {left_behind} {WATCH_ONLY}"
        return Verdict(text, is_problem=True)
    return Verdict(f"{error.sentences} Then deploy again.", is_refusal=True, is_problem=True)


def _is_deletion(event: Event) -> bool:
    return event.get("RequestType") == "Delete"


def _deleted(event: Event) -> frozenset[str]:
    """Return the functions that CloudFormation will delete."""
    named = _functions(event, NEW)
    match event.get("RequestType"):
        case "Create" if named is not None:
            return frozenset()
        case "Update" if named is not None:
            return (_functions(event, OLD) or frozenset()) - named
        case "Delete":
            # None if the properties were wrong: then the resource was never created.
            return named or frozenset()
        case _:
            raise InvalidEvent(
                "reading the request of CloudFormation",
                "its RequestType is not Create, Update or Delete, or its property FunctionArns is not a list of texts",
                "Correct the resource Custom::AttachedSecrets in the template",
            )


def _functions(event: Event, properties: str) -> frozenset[str] | None:
    arns = _texts(event, properties, "FunctionArns")
    return None if arns is None else frozenset(map(unqualified, arns))


def _texts(event: Event, properties: str, name: str) -> frozenset[str] | None:
    """Return a property that is a list of texts; None if it is missing, or something else."""
    values = (event.get(properties) or {}).get(name)
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        return None
    return frozenset(values)


def _refusal(needed: Sequence[AttachedSecret]) -> str:
    return (
        f"Nothing would rotate these secrets any more: {_named(needed)}. {EACH} Or, if it is in a …SecretArns "
        "parameter of this stack, remove it there and deploy that first. Then wait five minutes and deploy again: the "
        "list of secrets can be that old."
    )


def _left_behind(needed: Sequence[AttachedSecret]) -> str:
    return f"If the stack is deleted, nothing rotates these secrets any more: {_named(needed)}. {EACH} {WATCH_ONLY}"


def _named(secrets: Sequence[AttachedSecret]) -> str:
    named = ", ".join(_shortened(secret.name) for secret in secrets[:MOST_NAMED])
    more = f" and {len(secrets) - MOST_NAMED} more" if len(secrets) > MOST_NAMED else ""
    return f"{named}{more}"


def _shortened(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
