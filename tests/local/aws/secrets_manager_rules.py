"""Say what Secrets Manager does with versions and staging labels, where moto's store says something else."""

from __future__ import annotations

import json
import re
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Final, Literal

from moto.secretsmanager.exceptions import OperationNotPermittedOnReplica, SecretNotFoundException
from moto.secretsmanager.models import FakeSecret, ReplicaSecret, SecretsManagerBackend, SecretsStore

from tests.local.aws.secrets_manager_versions import (
    CURRENT,
    PENDING,
    ServiceError,
    attach,
    checked_value,
    detach,
    empty_version,
    holder_of,
    invalid,
    not_found,
    now,
    put,
    refused,
    value_of,
)

if TYPE_CHECKING:
    from collections.abc import Container

type Interruption = Literal["abandoned", "cancelled"]

_MOST_PER_PAGE: Final = 100
_DAY: Final = 86_400
_EXPRESSION: Final = re.compile(r"(rate|cron)\(.+\)")
# https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_TagResource.html
_MOST_TAGS, _LONGEST_KEY, _LONGEST_TAG = 50, 128, 256
_RATE: Final = re.compile(r"rate\((\d+) (day|hour)s?\)")


class _Store(SecretsStore):
    """Finds a secret by its name or its whole ARN at once, where moto looks at each of thousands."""

    def __getitem__(self, key: str) -> FakeSecret | ReplicaSecret:
        return self._known(key) or super().__getitem__(key)

    def __contains__(self, key: str) -> bool:  # type: ignore[override]
        return self._known(key) is not None or super().__contains__(key)

    def get(self, key: str) -> FakeSecret | ReplicaSecret | None:  # type: ignore[override]
        return self._known(key) or super().get(key)

    def _known(self, key: str) -> FakeSecret | ReplicaSecret | None:
        name = key.partition(":secret:")[2][:-7]
        secret = dict.get(self, name) if name else dict.get(self, key)
        return secret if secret and key in {secret.arn, secret.name} else None


class SecretsManagerRules(SecretsManagerBackend):
    """moto's store of secrets, with the service's rules for versions, labels and rotations.

    Callers hold one lock round each method: nothing here locks.
    """

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self.secrets = _Store()
        # moto makes its FakeSecret by name, so what it has no room for is kept here, by ARN.
        self._schedules: dict[str, dict[str, Any]] = {}

    # Reading

    def get_secret_value(self, secret_id: str, version_id: str | None, version_stage: str | None) -> dict[str, Any]:
        """Return a version's value; the labels alone say which version is AWSCURRENT."""
        secret = self._existing(secret_id)
        label = version_stage or CURRENT
        version = secret.versions.get(version_id or holder_of(secret, label) or "")
        if version is None or not value_of(version):
            what = f"VersionId: {version_id}" if version_id else f"staging label: {label}"
            raise not_found(f"Secrets Manager can't find the specified secret value for {what}")
        if version_stage and version_stage not in version["version_stages"]:
            raise not_found("You provided a VersionStage that is not associated to the provided VersionId.")
        names = {"secret_string": "SecretString", "secret_binary": "SecretBinary"}
        return {
            "ARN": secret.arn,
            "Name": secret.name,
            "VersionId": version["version_id"],
            "VersionStages": version["version_stages"],
            "CreatedDate": version["createdate"],
            **{names[key]: value for key, value in value_of(version).items()},
        }

    def described(self, description: dict[str, Any]) -> dict[str, Any]:
        """Correct moto's description of a secret: labelled versions only, the schedule as it was given."""
        for key in {"VersionIdsToStages", "SecretVersionsToStages"} & description.keys():
            versions = description[key]
            description[key] = {version_id: labels for version_id, labels in versions.items() if labels}
        if "RotationRules" in description:
            description["RotationRules"] = self._schedules.get(description["ARN"])
        return {key: value for key, value in description.items() if value is not None}

    def list_secrets(
        self,
        *args: Any,  # noqa: ANN401 - moto's signature
        **kwargs: Any,  # noqa: ANN401 - moto's signature
    ) -> tuple[list[dict[str, Any]], str | None]:
        """Return one page of corrected descriptions."""
        page, next_token = super().list_secrets(*args, **kwargs)
        return [self.described(description) for description in page], next_token

    def list_secret_version_ids(
        self,
        secret_id: str,
        max_results: int | None = None,
        next_token: str | None = None,
        include_deprecated: bool = False,  # noqa: FBT002 - as moto passes it
    ) -> str:
        """Return one page of the versions that have a label, or of all."""
        secret = self._existing(secret_id)
        versions = [
            {
                "VersionId": version_id,
                "VersionStages": version["version_stages"],
                "CreatedDate": version["createdate"],
            }
            for version_id, version in secret.versions.items()
            if include_deprecated or version["version_stages"]
        ]
        if next_token is not None and not (next_token.isdecimal() and int(next_token) < len(versions)):
            raise ServiceError("InvalidNextTokenException", "The NextToken value is invalid.")
        start = int(next_token or 0)
        end = start + (max_results or _MOST_PER_PAGE)
        answer: dict[str, Any] = {"ARN": secret.arn, "Name": secret.name, "Versions": versions[start:end]}
        if end < len(versions):
            answer["NextToken"] = str(end)
        return json.dumps(answer)

    # Writing

    def create_secret(
        self,
        name: str,
        secret_string: str | None,
        secret_binary: str | None,
        *args: Any,  # noqa: ANN401 - moto's signature
        **kwargs: Any,  # noqa: ANN401 - moto's signature
    ) -> str:
        """Create the secret as moto does, unless its value is too large."""
        checked_value(secret_string, secret_binary)
        return super().create_secret(name, secret_string, secret_binary, *args, **kwargs)

    def put_secret_value(
        self,
        secret_id: str,
        secret_string: str | None,
        secret_binary: str | None,
        client_request_token: str | None,
        version_stages: list[str],
    ) -> str:
        """Give a version its value, once, and move the labels to it."""
        secret = self._writable(secret_id)
        version_id = self._from_client_request_token(client_request_token)
        put(secret, version_id, checked_value(secret_string, secret_binary), version_stages)
        return secret.to_short_dict(include_version_stages=True, version_id=version_id)

    def update_secret(  # noqa: PLR0913, PLR0917 - moto's signature
        self,
        secret_id: str,
        secret_string: str | None = None,
        secret_binary: str | None = None,
        client_request_token: str | None = None,
        kms_key_id: str | None = None,
        description: str | None = None,
    ) -> str:
        """Change what is said about the secret and, if a value is given, put it as AWSCURRENT."""
        secret = self._writable(secret_id)
        value = checked_value(secret_string, secret_binary)
        version_id = self._from_client_request_token(client_request_token)
        if value:
            put(secret, version_id, value, [CURRENT])
        secret.update(description or secret.description, secret.tags, kms_key_id, now())
        return secret.to_short_dict(include_version_id=bool(value), version_id=version_id if value else None)

    def update_secret_version_stage(
        self,
        secret_id: str,
        version_stage: str,
        remove_from_version_id: str | None,
        move_to_version_id: str | None,
    ) -> tuple[str, str]:
        """Move a label, provided that the caller names the version which has it now."""
        secret = self._writable(secret_id)
        holder = holder_of(secret, version_stage)
        for version_id in filter(None, (remove_from_version_id, move_to_version_id)):
            if version_id not in secret.versions:
                raise not_found(f"Secrets Manager can't find the specified secret version: {version_id}")
        if remove_from_version_id and remove_from_version_id != holder:
            message = f"Staging label {version_stage} isn't attached to version {remove_from_version_id}."
            raise invalid(message)
        if holder and not remove_from_version_id and move_to_version_id != holder:
            message = (
                f"The parameter RemoveFromVersionId can't be empty. Staging label {version_stage} is "
                f"currently attached to version {holder}, so you must explicitly reference that version in "
                "RemoveFromVersionId."
            )
            raise invalid(message)
        if not move_to_version_id and version_stage == CURRENT:
            message = (
                "You can only move staging label AWSCURRENT to a different secret version. "
                "It can't be completely removed."
            )
            raise invalid(message)
        if move_to_version_id:
            attach(secret, version_stage, move_to_version_id)
        else:
            detach(secret, version_stage)
        secret.last_changed_date = now()
        return secret.arn, secret.name

    def tag_resource(self, arn: str, tags: dict[str, str]) -> None:
        """Write tags, within the service's limits."""
        secret = self._writable(arn)
        if any(key.lower().startswith("aws:") for key in tags):
            message = "Tag keys that begin with aws: are reserved for AWS."
            raise invalid(message)
        if any(not 0 < len(key) <= _LONGEST_KEY or len(value) > _LONGEST_TAG for key, value in tags.items()):
            message = f"A tag's key has 1 to {_LONGEST_KEY} characters, its value at most {_LONGEST_TAG}."
            raise invalid(message)
        if len(tags.keys() | {tag["Key"] for tag in secret.tags or []}) > _MOST_TAGS:
            message = f"A secret has at most {_MOST_TAGS} tags."
            raise ServiceError("LimitExceededException", message)
        super().tag_resource(arn, tags)

    # Rotation

    def begin_rotation(  # noqa: PLR0913 - what RotateSecret is given
        self,
        secret_id: str,
        *,
        version_token: str | None,
        function_arn: str | None,
        functions: Container[str],
        schedule: dict[str, Any] | None,
        version_is_new: bool,
    ) -> tuple[FakeSecret, str]:
        """Store the configuration and attach AWSPENDING to the version that this rotation makes.

        Returns that version's id. Its token may be the pending one (a new attempt) or belong to
        AWSCURRENT (already done: nothing changes), unless the version has to be new.
        """
        secret = self._writable(secret_id)
        function_arn = function_arn or secret.rotation_lambda_arn
        token = self._from_client_request_token(version_token)
        expression = (schedule or {}).get("ScheduleExpression")
        if expression and not _EXPRESSION.fullmatch(expression):
            message = f"The schedule expression {expression} isn't valid."
            raise invalid(message)
        if not function_arn:
            raise refused("No Lambda rotation function ARN is associated with this secret.")
        if function_arn not in functions:
            message = (
                "Secrets Manager cannot invoke the specified Lambda function. Ensure that the function "
                "policy grants access to the principal secretsmanager.amazonaws.com."
            )
            raise ServiceError("AccessDeniedException", message)
        if holder_of(secret, PENDING) not in {None, holder_of(secret, CURRENT), token}:
            raise refused("A previous rotation isn't complete. That rotation will be reattempted.")
        if version_is_new and token in secret.versions:
            message = f"You can't use ClientRequestToken {token} because a version of the secret has it."
            raise refused(message)
        secret.rotation_requested = secret.rotation_enabled = True
        secret.rotation_lambda_arn = function_arn
        if schedule:
            self._schedules[secret.arn] = schedule
        self._schedule_next(secret)
        if holder_of(secret, CURRENT) != token:
            secret.versions.setdefault(token, empty_version(token))
            attach(secret, PENDING, token)
        return secret, token

    def fill_with_current(self, secret: FakeSecret, version_id: str) -> None:
        """Copy AWSCURRENT's value to an empty version."""
        current = holder_of(secret, CURRENT)
        if current:
            secret.versions[version_id].update(value_of(secret.versions[current]))

    def interruption(self, arn: str, version_token: str) -> Interruption | None:
        """Say why the rotation that makes this version must not go on, if it must not."""
        secret = self.secrets.get(arn)
        if not isinstance(secret, FakeSecret):
            return "abandoned"
        if version_token not in {holder_of(secret, PENDING), holder_of(secret, CURRENT)}:
            return "abandoned"
        return None if secret.rotation_enabled else "cancelled"

    def is_unfinished(self, arn: str) -> bool:
        """Tell whether AWSPENDING is on a version other than AWSCURRENT."""
        secret = self._existing(arn)
        return holder_of(secret, PENDING) not in {None, holder_of(secret, CURRENT)}

    def record_rotation(self, arn: str) -> None:
        """Note that the secret has just been rotated."""
        secret = self._writable(arn)
        secret.last_rotation_date = now()
        self._schedule_next(secret)

    def discard_version(self, arn: str, version_id: str) -> None:
        """Remove a version with its labels, if it is still there."""
        secret = self.secrets.get(arn)
        if isinstance(secret, FakeSecret):
            secret.versions.pop(version_id, None)

    def cancel_rotate_secret(self, secret_id: str) -> str:
        """Turn rotation off and name the version that it leaves pending."""
        super().cancel_rotate_secret(secret_id)
        secret = self._writable(secret_id)
        secret.next_rotation_date = None
        pending = holder_of(secret, PENDING)
        return secret.to_short_dict(include_version_id=pending is not None, version_id=pending)

    # Replicas

    def promote(self, secret_id: str) -> str:
        """Make a replica a secret of its own, with its ARN, versions, labels and tags; it does not rotate."""
        replica = self._existing(secret_id)
        if isinstance(replica, FakeSecret):
            raise refused("This secret isn't a replica.")
        secret, source = deepcopy(replica.source), replica.source
        secret.arn, secret.region, secret.replicas = replica.arn, replica.region, []
        secret.rotation_requested = secret.rotation_enabled = False
        secret.rotation_lambda_arn = ""
        source.replicas.remove(replica)
        del self.secrets[replica.arn]
        self.secrets[secret.arn] = secret
        return secret.arn

    # Helpers

    def _existing(self, secret_id: str) -> FakeSecret | ReplicaSecret:
        secret = self.secrets.get(secret_id)
        if secret is None:
            raise SecretNotFoundException
        if secret.is_deleted():
            raise refused("You can't perform this operation on the secret because it was marked for deletion.")
        return secret

    def _writable(self, secret_id: str) -> FakeSecret:
        secret = self._existing(secret_id)
        if not isinstance(secret, FakeSecret):
            raise OperationNotPermittedOnReplica
        return secret

    def _schedule_next(self, secret: FakeSecret) -> None:
        schedule = self._schedules.get(secret.arn, {})
        seconds = schedule.get("AutomaticallyAfterDays", 0) * _DAY
        if rate := _RATE.fullmatch(schedule.get("ScheduleExpression", "")):
            seconds = int(rate[1]) * (_DAY if rate[2] == "day" else 3600)
        secret.next_rotation_date = now() + seconds if seconds else None
