"""Who hears that a rotation has finished, or that it needs a human?

Whoever has a rule on the event bus that EVENT_BUS_NAME names. Without that variable there is no event, and not even a
client. An event has the fields of the log line:

    source       secret-rotation
    detail-type  Rotation Finished          AWSCURRENT is on the new version
                 Rotation Needs Attention   a step failed, and no retry ends that (`RotationError.needs_human`)
    resources    the secret's ARN
    detail       secret_arn, engine, strategy, version_token; if it failed, also step, error, cause, remedy

An event can come more than once. Secrets Manager repeats a rotation that fails, and each try tells it again; it can
deliver finishSecret twice; and so does EventBridge with any event. The function keeps no memory that could prevent it.
Who must act once only, remembers `version_token`, and `error` if there is one: they are the same in each repetition.

An event can also be missing. It is put once, in little time, and after all that matters: a rotation is never late, and
never fails, because of its event. The log says which one was not put.
"""

import functools
import json
import os
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from rotation.aws import error_code, new_client
from rotation.deadline import Deadline, within
from rotation.errors import ServiceFailed
from rotation.redaction import said

VARIABLE = "EVENT_BUS_NAME"

SOURCE = "secret-rotation"

FIELDS = ("secret_arn", "engine", "strategy", "version_token")
"""What each event says, by the names of the log line."""

TRY_SECONDS = 3.0
"""How long the one try can take, with the time to make the client."""

PERMISSION = "events:PutEvents"


class Announcement(StrEnum):
    """What is told, by its detail-type."""

    FINISHED = "Rotation Finished"
    NEEDS_ATTENTION = "Rotation Needs Attention"


def put(bus: str, what: Announcement, detail: Mapping[str, str], deadline: Deadline) -> None:
    """Put one event on the bus, in one try. Raises ServiceFailed, or OutOfTime if too little is left to begin.

    The detail must be redacted already.
    """
    operation = f'putting the event "{what}" on the bus {bus}'
    entry = {
        "EventBusName": bus,
        "Source": SOURCE,
        "DetailType": str(what),
        "Resources": [detail["secret_arn"]],
        "Detail": json.dumps(detail),
    }
    try:
        answer = within(deadline.allow(TRY_SECONDS, operation), lambda: client().put_events(Entries=[entry]))
    except ClientError as error:
        raise _not_put(operation, bus, error_code(error), error.response.get("Error", {}).get("Message", "")) from None
    except (BotoCoreError, ResponseParserError, TimeoutError) as error:
        remedy = "Give the function's subnets a route to events: a VPC endpoint or a NAT gateway that allows it"
        raise ServiceFailed(operation, f"{PERMISSION} gave no answer ({type(error).__name__})", remedy) from None
    told = (answer.get("Entries") or [{}])[0]
    if not told.get("EventId"):
        raise _not_put(operation, bus, told.get("ErrorCode", "no id"), told.get("ErrorMessage", "the event has none"))


def _not_put(operation: str, bus: str, code: str, message: str) -> ServiceFailed:
    return ServiceFailed(
        operation,
        f"{PERMISSION} answered {said(f'{code}: {message}').rstrip('.')}",
        f"Check that the bus {bus} exists, and that its policy and the function's role allow {PERMISSION}",
    )


@functools.cache
def client() -> Any:  # noqa: ANN401 - the types of this one call are no package worth
    """Return EventBridge's client of the function's own role, made with the first event."""
    return new_client("events", endpoint_url=os.environ.get("EVENTS_ENDPOINT") or None)
