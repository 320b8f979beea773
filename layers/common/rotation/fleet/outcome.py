"""Did the rotation of a secret end, and if it failed, why?

Secrets Manager says of a rotation under way only which version has which label. The run chose the version's id, so it
is known which one counts: not one that an earlier, interrupted rotation left behind, whose password can be leaked too.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from rotation.finding import Outcome
from rotation.staging import CURRENT

LONGEST = timedelta(minutes=20)
"""How long one secret is waited for. Secrets Manager has tried a failing rotation again several times by then."""

LOOK_AT_IT = "Run make doctor SECRET={}"


class State(StrEnum):
    """What the state machine is to do with a secret."""

    ROTATED = "rotated"
    RUNNING = "running"
    LATE = "late"


def state(labels: Mapping[str, Sequence[str]], version: str, began: datetime, now: datetime) -> State:
    """Return whether the rotation to this version has ended."""
    if CURRENT in labels.get(version, ()):
        return State.ROTATED
    return State.LATE if now - began >= LONGEST else State.RUNNING


def failure(secret: str, item: Mapping[str, Any]) -> dict[str, str]:
    """Return error, cause and remedy of a secret that was not rotated, from what the state machine knows of it."""
    for name, error in (("Doctor", "RotationNotFinished"), ("Preflight", "PreflightFailed")):
        if found := _first_failure(item.get(name, {})):
            cause, remedy = f"{found['Item']}: {found['Found']}", found.get("Remedy", LOOK_AT_IT.format(secret))
            return {"Error": error, "Cause": cause, "Remedy": remedy}
    caught = item.get("Error", {})
    if not caught:
        cause = f"its new version was not current after {LONGEST}"
        return {"Error": "RotationNotFinished", "Cause": cause, "Remedy": LOOK_AT_IT.format(secret)}
    return {
        "Error": str(caught.get("Error", "")),
        "Cause": message(caught.get("Cause", "")),
        "Remedy": LOOK_AT_IT.format(secret),
    }


def _first_failure(answer: Mapping[str, Any]) -> Mapping[str, str] | None:
    return next((one for one in answer.get("Findings", ()) if one["Outcome"] == Outcome.FAIL), None)


def message(cause: str) -> str:
    """Return what the cause of a failed state says; that of a function's error is JSON."""
    try:
        return str(json.loads(cause)["errorMessage"])
    except (ValueError, KeyError, TypeError):
        return cause
