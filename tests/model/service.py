"""How is the corrected Secrets Manager called without a wire?"""

import functools
import itertools
import json
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from threading import RLock
from typing import TYPE_CHECKING, Any, Protocol, cast

import boto3
from botocore.exceptions import ClientError, ReadTimeoutError
from moto.core.exceptions import JsonRESTError
from moto.secretsmanager.models import FakeSecret

from rotation.record import is_ours
from rotation.secret import RESUMED_SECONDS
from tests.local.aws.secrets_manager_api import RotationService, SecretsManagerApi
from tests.local.aws.secrets_manager_rules import SecretsManagerRules
from tests.local.aws.secrets_manager_versions import holder_of
from tests.model.invocations import Fault

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

REGION, ACCOUNT = "us-east-1", "123456789012"
FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:rotation"


WINDOW = 5.0
"""Seconds for which an answer can still show a state that is no longer so. The program waits a little longer."""

CALL_SECONDS = 0.01
"""How long a call takes."""

READING, WRITING = (
    {"DescribeSecret", "GetSecretValue", "ListSecretVersionIds"},
    {
        "PutSecretValue",
        "UpdateSecretVersionStage",
    },
)


class Pause(Protocol):
    """Is called before every call, with its name, and tells what is to become of it."""

    def __call__(self, call: str, /) -> Fault | None: ...


class Service:
    """The store of the local Secrets Manager, whose rotations begin and are not carried out: the model does that."""

    def __init__(self) -> None:
        """Make an empty one."""
        self.rules = SecretsManagerRules(REGION, ACCOUNT)
        self._rotations = RotationService(self.rules, RLock(), 1, True, None)  # noqa: FBT003 - as it is declared
        self._created = time.time()
        self.now = 0.0
        """Seconds, in the model's own time."""
        self.shown: dict[str, str] | None = None
        """The labels in the past state that answered the last call of a rotation, if one did."""
        self._ages: Iterator[int] = itertools.repeat(0)
        self._past: list[tuple[float, str, dict[str, dict[str, Any]]]] = []
        """Until when which secret had which versions, in this order."""

    def answer_from_the_past(self, ages: Iterable[int]) -> None:
        """Let the reads of rotations be answered, each by itself and over and over, from as many changes ago as these.

        No answer is older than the window.
        """
        self._ages = itertools.cycle(ages)

    def call(self, operation: str, **parameters: object) -> Any:  # noqa: ANN401 - an answer of the service
        """Answer one call; raises what the service refuses with."""
        if operation in WRITING:
            self._remember(str(parameters["SecretId"]))
        answer = SecretsManagerApi(self._rotations, parameters).perform(operation)
        self._date_versions()
        return json.loads(answer)

    def read(self, operation: str, **parameters: object) -> Any:  # noqa: ANN401 - an answer of the service
        """Answer one call of a rotation that reads, maybe from the past; raises what the service refuses with."""
        secret = self.rules.secrets[str(parameters["SecretId"])]
        assert isinstance(secret, FakeSecret)
        now, secret.versions = secret.versions, self._versions(secret)
        try:
            self.shown = self.labels(secret.arn) if secret.versions is not now else None
            return self.call(operation, **parameters)
        finally:
            secret.versions = now

    def enable_rotation(self, secret: str) -> None:
        """Attach the function, as the first RotateSecret does."""
        found = self.rules.secrets[secret]
        assert isinstance(found, FakeSecret)
        found.rotation_requested = found.rotation_enabled = True
        found.rotation_lambda_arn = FUNCTION

    def begin(self, secret: str, token: str) -> None:
        """Stage an empty version, as RotateSecret does."""
        self._remember(secret)
        self.rules.begin_rotation(
            secret, version_token=token, function_arn=FUNCTION, functions={FUNCTION}, schedule=None, version_is_new=True
        )
        self._date_versions()

    def let_time_pass(self) -> None:
        """Make all versions older, so that a step takes the pending one for that of an earlier try."""
        self.now += 2 * RESUMED_SECONDS
        for secret in self.rules.secrets.values():
            for version in secret.versions.values():
                version["createdate"] -= 2 * RESUMED_SECONDS

    def labels(self, secret: str) -> dict[str, str]:
        """Return which version has which label."""
        found = self.rules.secrets[secret]
        labels = ("AWSCURRENT", "AWSPENDING", "AWSPREVIOUS")
        return {label: holder for label in labels if (holder := holder_of(found, label))}

    def is_recorded(self, secret: str) -> bool:
        """Tell whether a label says something about the pair."""
        versions = self.rules.secrets[secret].versions.values()
        return any(is_ours(label) for version in versions for label in version["version_stages"])

    def client(self, pause: Pause) -> "SecretsManagerClient":
        """Return what stands for boto3's client: it asks before each call."""
        return cast("SecretsManagerClient", _Client(self, pause))

    def _remember(self, secret: str) -> None:
        """Keep the state that a call is about to change."""
        found = self.rules.secrets[secret]
        self._past = [*filter(self._is_recent, self._past), (self.now, found.arn, _copied(found.versions))]

    def _versions(self, secret: FakeSecret) -> dict[str, dict[str, Any]]:
        """Return what the next read is answered from."""
        ago, past = next(self._ages), [state for state in self._past if state[1] == secret.arn]
        states = [versions for _, _, versions in filter(self._is_recent, past)]
        return [*states, secret.versions][-1 - min(ago, len(states))]

    def _is_recent(self, state: tuple[float, str, object]) -> bool:
        return self.now - state[0] < WINDOW

    def _date_versions(self) -> None:
        """Give versions that are made one after the other different dates: real ones are not made in one instant."""
        for secret in self.rules.secrets.values():
            for version in secret.versions.values():
                if "made" not in version:
                    self._created += 0.001
                    version["made"] = version["createdate"] = self._created


class _Client:
    """The calls that the rotation makes."""

    def __init__(self, service: Service, pause: Pause) -> None:
        self._service = service
        self._pause = pause
        self.exceptions = _exceptions()

    def _call(self, operation: str, **parameters: object) -> Any:  # noqa: ANN401 - an answer of the service
        fault = self._pause(operation)
        if fault is Fault.REFUSED:
            raise self._error("ThrottlingException", "Rate exceeded", operation)
        try:
            answer = (self._service.read if operation in READING else self._service.call)(operation, **parameters)
        except JsonRESTError as error:
            told = json.loads(error.description)
            raise self._error(told["__type"], told["message"], operation) from None
        for dated in (answer, *answer.get("Versions", ())):
            if "CreatedDate" in dated:
                dated["CreatedDate"] = datetime.fromtimestamp(dated["CreatedDate"], UTC)
        if fault is Fault.LOST:
            raise ReadTimeoutError(endpoint_url="https://secretsmanager")
        return answer

    def _error(self, code: str, message: str, operation: str) -> ClientError:
        kind = self.exceptions.from_code(code)
        return cast("ClientError", kind({"Error": {"Code": code, "Message": message}}, operation))

    get_secret_value = functools.partialmethod(_call, "GetSecretValue")
    put_secret_value = functools.partialmethod(_call, "PutSecretValue")
    describe_secret = functools.partialmethod(_call, "DescribeSecret")
    list_secret_version_ids = functools.partialmethod(_call, "ListSecretVersionIds")
    update_secret_version_stage = functools.partialmethod(_call, "UpdateSecretVersionStage")


def _copied(versions: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {token: {**version, "version_stages": [*version["version_stages"]]} for token, version in versions.items()}


@functools.cache
def _exceptions() -> Any:  # noqa: ANN401 - boto3 makes these classes as it runs
    return boto3.client(
        "secretsmanager", region_name=REGION, aws_access_key_id="none", aws_secret_access_key="none"
    ).exceptions
