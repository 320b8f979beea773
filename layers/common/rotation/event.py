"""What does Secrets Manager, or an operator, ask for?"""

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import Self

from rotation.errors import InvalidEvent
from rotation.steps import Step
from rotation.values import dataclass

OPERATION = "reading the rotation event"
TOKEN_LENGTH = range(32, 65)
"""How long a version token can be
(https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_PutSecretValue.html)."""


@dataclass(frozen=True)
class RotationEvent:
    """One invocation by Secrets Manager."""

    step: Step
    secret_id: str
    """The ARN of the secret."""
    version_token: str
    """The id of the version that is being made; AWS calls it ClientRequestToken."""
    rotation_token: str | None = field(repr=False)
    """Names the source of the request. Newer events have it. It is secret: only PutSecretValue gets it."""

    @classmethod
    def parse(cls, event: object) -> Self:
        """Read an invocation's event; ignore unknown keys. Raises InvalidEvent."""
        if not isinstance(event, Mapping):
            raise _invalid("it is not a JSON object")
        step = _text(event, "Step")
        if step not in set(Step):
            raise _invalid(f'its "Step" is none of {", ".join(Step)}')
        token = _text(event, "ClientRequestToken")
        if len(token) not in TOKEN_LENGTH:
            raise _invalid(f'its "ClientRequestToken" is not {TOKEN_LENGTH[0]} to {TOKEN_LENGTH[-1]} characters long')
        rotation_token = _text(event, "RotationToken") if event.get("RotationToken") is not None else None
        return cls(Step(step), _text(event, "SecretId"), token, rotation_token)


class Look(StrEnum):
    """What an operator can ask for, by its name in the event. It changes nothing, unless a doctor is to repair."""

    PREFLIGHT = "preflight"
    DOCTOR = "doctor"
    SERVER = "server"
    """Not what was found: only at which server the secret logs in (`rotation.fleet`)."""


@dataclass(frozen=True)
class LookEvent:
    """One invocation by an operator."""

    look: Look
    secret_id: str
    """The ARN or the name of the secret."""
    repair: bool = False
    """Whether a doctor shall do what is safe."""

    @classmethod
    def parse(cls, event: object) -> "Self | None":
        """Read an invocation's event; None if it asks for no look. Raises InvalidEvent."""
        step = event.get("Step") if isinstance(event, Mapping) else None
        if not isinstance(event, Mapping) or not isinstance(step, str) or step not in set(Look):
            return None
        repair = event.get("Repair", False)
        if not isinstance(repair, bool):
            raise _invalid('its "Repair" is neither true nor false')
        return cls(Look(step), _text(event, "SecretId"), repair)


def _text(event: Mapping[str, object], key: str) -> str:
    value = event.get(key)
    if not isinstance(value, str) or not value:
        raise _invalid(f'its "{key}" is missing, empty, or not a string')
    return value


def _invalid(cause: str) -> InvalidEvent:
    return InvalidEvent(
        OPERATION,
        cause,
        "Attach this function to a secret as its rotation function, or invoke it with a file from events/",
    )
