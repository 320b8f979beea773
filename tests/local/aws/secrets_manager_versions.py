"""Say how the versions and staging labels of one secret behave, and how the service words a refusal."""

from __future__ import annotations

import base64
import time
from typing import TYPE_CHECKING, Any, Final

from moto.core.exceptions import JsonRESTError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from moto.secretsmanager.models import FakeSecret, ReplicaSecret

CURRENT: Final = "AWSCURRENT"
PENDING: Final = "AWSPENDING"
PREVIOUS: Final = "AWSPREVIOUS"

type Value = dict[str, str]

_VALUE_KEYS: Final = ("secret_string", "secret_binary")
_MOST_BYTES: Final = 65_536
_MOST_LABELS: Final = 20


class ServiceError(JsonRESTError):
    """An answer that says no, with the service's name for the reason and its HTTP status."""

    def __init__(self, name: str, message: str, status: int = 400) -> None:
        super().__init__(name, message)
        self.code = status


def not_found(message: str) -> ServiceError:
    """Say that there is no such secret, version or value."""
    return ServiceError("ResourceNotFoundException", message)


def invalid(message: str) -> ServiceError:
    """Say that a parameter is wrong."""
    return ServiceError("InvalidParameterException", message)


def refused(message: str) -> ServiceError:
    """Say that the state of the secret forbids the request."""
    return ServiceError("InvalidRequestException", message)


def now() -> int:
    """Return the time as moto keeps it for a secret."""
    return int(time.time())


def checked_value(secret_string: str | None, secret_binary: str | None) -> Value:
    """Return the value in the store's form, or refuse one that is too large."""
    sizes = {
        "secretString": len((secret_string or "").encode()),
        "secretBinary": len(base64.b64decode(secret_binary or "")),
    }
    for name, size in sizes.items():
        if size > _MOST_BYTES:
            message = (
                f"1 validation error detected: Value at '{name}' failed to satisfy constraint: "
                f"Member must have length less than or equal to {_MOST_BYTES}"
            )
            raise ServiceError("ValidationException", message)
    value = {"secret_string": secret_string, "secret_binary": secret_binary}
    return {key: text for key, text in value.items() if text is not None}


def empty_version(version_id: str) -> dict[str, Any]:
    """Return a version without value and labels."""
    return {"createdate": round(time.time(), 3), "version_id": version_id, "version_stages": []}


def value_of(version: Mapping[str, Any]) -> Value:
    """Return the part of a version that is the value; it is empty until the version has one."""
    return {key: version[key] for key in _VALUE_KEYS if key in version}


def put(secret: FakeSecret, version_id: str, value: Value, labels: Iterable[str]) -> None:
    """Give the version its value and the labels; do nothing if it has this value, refuse another."""
    version = secret.versions.get(version_id) or empty_version(version_id)
    held = value_of(version)
    if held == value:
        return
    if held:
        message = (
            f"You can't use ClientRequestToken {version_id} because that value is already in use for a "
            f"version of secret {secret.arn}."
        )
        raise ServiceError("ResourceExistsException", message)
    wanted = {*labels} if secret.versions else {*labels, CURRENT}
    _check_label_count({*version["version_stages"], *wanted})
    secret.versions[version_id] = version
    version.update(value)
    for label in sorted(wanted):
        attach(secret, label, version_id)
    if CURRENT in wanted and holder_of(secret, PENDING) != version_id:
        # A current value that somebody else puts abandons a rotation under way.
        detach(secret, PENDING)
    secret.last_changed_date = now()


def holder_of(secret: FakeSecret | ReplicaSecret, label: str) -> str | None:
    """Return the id of the version that has the label."""
    versions = secret.versions.items()
    return next((version_id for version_id, version in versions if label in version["version_stages"]), None)


def detach(secret: FakeSecret, label: str) -> None:
    """Take the label from the version that has it, if one does."""
    holder = holder_of(secret, label)
    if holder:
        secret.versions[holder]["version_stages"].remove(label)


def attach(secret: FakeSecret, label: str, version_id: str) -> None:
    """Move the label to the version; AWSCURRENT leaves AWSPREVIOUS on the version that it comes from."""
    left = holder_of(secret, label)
    if left == version_id:
        return
    labels = secret.versions[version_id]["version_stages"]
    _check_label_count({*labels, label})
    detach(secret, label)
    labels.append(label)
    if label == CURRENT and left:
        attach(secret, PREVIOUS, left)


def _check_label_count(labels: set[str]) -> None:
    if len(labels) > _MOST_LABELS:
        message = f"A version can't have more than {_MOST_LABELS} staging labels."
        raise ServiceError("LimitExceededException", message)
