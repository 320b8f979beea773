"""What is a rotation whose steps run in the process of the test, by a clock that goes on?"""

import json
import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Event
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

from rotation.credential import Credential
from rotation.deadline import Deadline
from rotation.errors import RotationError
from rotation.kind import Strategy
from rotation.lambda_handler import rotation_handler
from rotation.steps import Step
from tests.laboratories import ORDERS, Laboratory
from tests.local.aws.secrets_manager import LocalSecretsManager

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

SHORTEST = 10.0
"""The shortest timeout of a function for which we promise something."""

PROMISED = 1.0
"""How many seconds before that timeout a step has ended, whatever happens."""

PASSWORD = "Strong-{}-9a"
"""What every password policy takes."""


class Context:
    """What Lambda tells a function of its invocation, by a clock that goes on."""

    aws_request_id = "00000000-0000-0000-0000-000000000000"
    function_name = "secret-rotation"

    def __init__(self, seconds: float) -> None:
        self._ends = monotonic() + seconds

    def get_remaining_time_in_millis(self) -> int:
        """Return what is left."""
        return round((self._ends - monotonic()) * 1000)

    def deadline(self) -> Deadline:
        """Return what the handler makes of it."""
        return Deadline(lambda: self.get_remaining_time_in_millis() / 1000)


@dataclass(frozen=True)
class Ending:
    """How the last step of a run ended."""

    step: Step
    error: RotationError | None
    left: float
    """The seconds that Lambda would still have given."""

    def require(self, *errors: type[RotationError], match: str = "") -> None:
        """Require one of these errors, in time."""
        assert isinstance(self.error, errors), self
        assert match in str(self.error)
        assert self.left >= PROMISED, self


class Scenario:
    """A user of a laboratory, its secret, and a rotation of it."""

    def __init__(  # noqa: PLR0913 - what a scenario is made of
        self,
        laboratory: Laboratory,
        service: LocalSecretsManager,
        strategy: Strategy = Strategy.SINGLE_USER,
        *,
        with_admin: bool = False,
        port: int | None = None,
        user: Credential | None = None,
    ) -> None:
        """Make the secret, and the user if there is none; the port is where the function is to find the server."""
        self.laboratory = laboratory
        self.service = service
        self.client = service.client()
        self.user = user or laboratory.new_user(password=PASSWORD.format(secrets.token_hex(8)))
        self._port = port
        if strategy is Strategy.DUAL_PASSWORD:
            laboratory.allow_two_passwords(self.user.username, by_itself=not with_admin)
        fields: dict[str, object] = {"rotation": {"strategy": strategy}}
        if with_admin:
            fields["masterarn"] = self._store(laboratory.admin, {})
        self.arn = self._store(self.user, fields)
        self.function = service.register(f"function-{secrets.token_hex(4)}", lambda _: None)
        self.token = ""

    def begin(self) -> "Scenario":
        """Let the service stage a new, empty version, and leave the steps to the test."""
        self.token = str(uuid.uuid4())
        self.client.rotate_secret(SecretId=self.arn, RotationLambdaARN=self.function, ClientRequestToken=self.token)
        self.service.wait(self.arn)
        return self

    def stage(self, password: str) -> None:
        """Write the pending password, as an operator."""
        value = {**self._value("AWSCURRENT"), "password": password}
        self.client.put_secret_value(
            SecretId=self.arn,
            ClientRequestToken=self.token,
            SecretString=json.dumps(value),
            VersionStages=["AWSPENDING"],
        )

    def run(self, *steps: Step, seconds: float = SHORTEST) -> Ending:
        """Run the steps, all four where none are named, until one fails; each has so much time."""
        step, *others = steps or tuple(Step)
        context = Context(seconds)
        error = None
        event = {"Step": step, "SecretId": self.arn, "ClientRequestToken": self.token}
        try:
            # As much of a context as the function uses.
            rotation_handler(self.laboratory.engine)(event, cast("LambdaContext", context))
        except RotationError as raised:
            error = raised
        if others and not error:
            return self.run(*others, seconds=seconds)
        return Ending(step, error, context.get_remaining_time_in_millis() / 1000)

    def read(self, label: str = "AWSCURRENT") -> Credential:
        """Read the secret as an application does, and go to the server itself."""
        value = self._value(label)
        return replace(self.user, username=str(value["username"]), password=str(value["password"]))

    def require_healed(self) -> None:
        """Require that the same version becomes the current one after all, and works."""
        ending = self.run(seconds=60)
        assert ending.error is None, ending
        versions = self.client.describe_secret(SecretId=self.arn)["VersionIdsToStages"]
        assert "AWSCURRENT" in versions[self.token]
        assert self.laboratory.may_read(self.read(), ORDERS)

    def _value(self, label: str) -> dict[str, object]:
        text = self.client.get_secret_value(SecretId=self.arn, VersionStage=label)["SecretString"]
        return dict(json.loads(text))

    def _store(self, credential: Credential, fields: dict[str, object]) -> str:
        value = {
            "engine": credential.engine,
            "host": credential.host,
            "port": self._port or credential.port,
            "username": credential.username,
            "password": credential.password,
            "dbname": credential.database or "",
            **fields,
        }
        return self.client.create_secret(Name=f"secret-{secrets.token_hex(8)}", SecretString=json.dumps(value))["ARN"]


def until(condition: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever the condition is about
    """Return what the condition returns, as soon as that is something."""
    pause = Event()
    for _ in range(1000):
        if found := condition():
            return found
        pause.wait(0.01)
    raise TimeoutError
