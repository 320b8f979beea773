"""Answer each operation of the Secrets Manager API from the corrected store, and run the rotations."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from moto.core.utils import camelcase_to_underscores
from moto.secretsmanager.exceptions import SecretNotFoundException
from moto.secretsmanager.responses import SecretsManagerResponse

from tests.local.aws.secrets_manager_rotation import STEPS, TEST_ONLY, Outcome, Rotation
from tests.local.aws.secrets_manager_versions import CURRENT, ServiceError, invalid

if TYPE_CHECKING:
    from threading import RLock

    from tests.local.aws.secrets_manager_rotation import Function, Observer, Result
    from tests.local.aws.secrets_manager_rules import Interruption, SecretsManagerRules


@dataclass
class RotationService:
    """The functions that rotate, and each secret's last rotation; callers hold the lock."""

    rules: SecretsManagerRules
    lock: RLock
    attempts: int
    test_version_has_value: bool
    observer: Observer | None

    def __post_init__(self) -> None:
        self.functions: dict[str, Function] = {}
        self.rotations: dict[str, Rotation] = {}
        self.outcomes: list[Outcome] = []

    def rotate(self, parameters: dict[str, Any]) -> str:
        """Begin what RotateSecret asks for and return its answer."""
        test_only = not parameters.get("RotateImmediately", True)
        secret, token = self.rules.begin_rotation(
            parameters["SecretId"],
            version_token=parameters.get("ClientRequestToken"),
            function_arn=parameters.get("RotationLambdaARN"),
            functions=self.functions,
            schedule=parameters.get("RotationRules"),
            version_is_new=test_only,
        )
        if test_only and self.test_version_has_value:
            self.rules.fill_with_current(secret, token)
        last = self.rotations.get(secret.arn)
        is_under_way = last is not None and last.is_running and last.version_token == token
        is_done = CURRENT in secret.versions[token]["version_stages"]
        if not is_under_way and not is_done:
            rotation = Rotation(
                secret.arn,
                token,
                secret=_SecretUnderRotation(self, secret.arn, token, test_only),
                function=self.functions[secret.rotation_lambda_arn],
                steps=TEST_ONLY if test_only else STEPS,
                attempts=1 if test_only else self.attempts,
                observer=self.observer,
                report=self.outcomes.append,
            )
            # Begun last is last in the dictionary, too.
            self.rotations.pop(secret.arn, None)
            self.rotations[secret.arn] = rotation
            rotation.start()
        return secret.to_short_dict(version_id=token)

    def last(self, secret_id: str | None) -> Rotation:
        """Return the secret's last rotation; without a secret, the one begun last."""
        if secret_id is None:
            return list(self.rotations.values())[-1]
        return self.rotations[self.rules.describe_secret(secret_id).arn]

    def check_token(self, secret_id: str, rotation_token: str) -> None:
        """Refuse a token that was not given to the function by the secret's last rotation."""
        rotation = self.rotations.get(self.rules.describe_secret(secret_id).arn)
        if rotation is None or rotation.rotation_token != rotation_token:
            message = "The parameter RotationToken isn't the one of this secret's rotation."
            raise invalid(message)


@dataclass(frozen=True)
class _SecretUnderRotation:
    """The rules' answers for one secret, each under the lock."""

    service: RotationService
    arn: str
    version_token: str
    test_only: bool

    def interruption(self) -> Interruption | None:
        with self.service.lock:
            return self.service.rules.interruption(self.arn, self.version_token)

    def is_unfinished(self) -> bool:
        with self.service.lock:
            return self.service.rules.is_unfinished(self.arn)

    def end(self, result: Result) -> None:
        with self.service.lock, suppress(SecretNotFoundException):
            if self.test_only:
                self.service.rules.discard_version(self.arn, self.version_token)
            elif result == "succeeded":
                self.service.rules.record_rotation(self.arn)


class SecretsManagerApi(SecretsManagerResponse):
    """One call: moto turns most operations into calls of the store, the others are here."""

    def __init__(self, rotations: RotationService, parameters: dict[str, Any]) -> None:
        super().__init__()
        self._rotations = rotations
        self._parameters = parameters

    @property
    def backend(self) -> SecretsManagerRules:
        """The corrected store, where moto would look one up by account and Region."""
        return self._rotations.rules

    def perform(self, operation: str) -> str:
        """Return the answer's JSON, or raise the refusal."""
        method = getattr(self, camelcase_to_underscores(operation), None)
        if method is None:
            raise ServiceError("UnknownOperationException", f"There is no operation {operation}.")
        answer: str = method()
        return answer

    def _get_param(self, param_name: str, if_none: Any = None) -> Any:  # noqa: ANN401 - moto's signature
        # moto also looks for parameters in the body read as a form, and a password may hold "&" and "=".
        return self._parameters.get(param_name, if_none)

    def describe_secret(self) -> str:
        """Describe as moto does, corrected."""
        secret = self.backend.describe_secret(self._get_param("SecretId"))
        return json.dumps(self.backend.described(secret.to_dict()))

    def list_secret_version_ids(self) -> str:
        """Pass on the parameters that moto leaves out."""
        return self.backend.list_secret_version_ids(
            self._get_param("SecretId"),
            self._get_int_param("MaxResults"),
            self._get_param("NextToken"),
            self._get_bool_param("IncludeDeprecated", if_none=False),
        )

    def put_secret_value(self) -> str:
        """Look at the RotationToken first."""
        if token := self._get_param("RotationToken"):
            self._rotations.check_token(self._get_param("SecretId"), token)
        return super().put_secret_value()

    def rotate_secret(self) -> str:
        """Begin a rotation."""
        return self._rotations.rotate(self._parameters)

    def stop_replication_to_replica(self) -> str:
        """Answer what moto does not have."""
        return json.dumps({"ARN": self.backend.promote(self._get_param("SecretId"))})
