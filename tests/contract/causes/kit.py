"""What is a cause for which a rotation fails, and how is it provoked?"""

import json
import secrets
import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

import rotation.deadline
from rotation.credential import Credential
from rotation.errors import RotationError
from rotation.kind import Strategy
from rotation.steps import Step
from tests.contract.impostor import Talk, posing
from tests.laboratories import Laboratory, new_password
from tests.local.aws.secrets_manager import LocalSecretsManager
from tests.service.invoking import Call, Context, Invoke
from tests.unit.scenario import Clock

SINGLE, DUAL, ALTERNATING = Strategy.SINGLE_USER, Strategy.DUAL_PASSWORD, Strategy.ALTERNATING_USERS


@dataclass
class Case:
    """A user of a server, its secret, and what is wrong with one of them. It belongs to one test."""

    laboratory: Any
    """A `Laboratory`: that of the engine for which the cause is."""
    service: LocalSecretsManager
    patch: pytest.MonkeyPatch
    stack: ExitStack
    other: Callable[[str], Laboratory]
    """Returns the laboratory of another engine."""
    user: Credential = field(init=False)
    fields: dict[str, object] = field(default_factory=dict)
    """What the secret says besides, or instead."""
    text: str | bytes | None = None
    """What the secret holds instead of all that."""
    before: dict[Step, Callable[[], object]] = field(default_factory=dict)
    """What happens right before a step."""
    first: Step = Step.CREATE
    seconds: float = 30.0
    event: dict[str, object] = field(default_factory=dict)
    arn: str = ""
    token: str = field(default_factory=lambda: str(uuid.uuid4()))

    def __post_init__(self) -> None:
        """Make the user."""
        self.client = self.service.client()
        self.user = self.laboratory.new_user(password=new_password())

    # What a cause does

    def strategy(self, strategy: Strategy, **more: object) -> None:
        """Let the secret name a strategy."""
        self.fields["rotation"] = {"strategy": strategy, **more}

    def pair(self, admin: Credential | None = None, **fields: object) -> None:
        """Let the user take turns with another one, by an admin."""
        self.strategy(ALTERNATING)
        self.admin(admin, **fields)

    def admin(self, admin: Credential | None = None, **fields: object) -> None:
        """Name an admin secret."""
        admin = admin or self.laboratory.admin
        self.fields["masterarn"] = self.store(json.dumps({**_fields(admin), **fields}))

    def use(self, **changes: Any) -> None:  # noqa: ANN401 - the fields of a credential
        """Let the secret say something else of the login."""
        self.user = replace(self.user, **changes)

    def become(self, user: Credential) -> None:
        """Put another user into the secret."""
        self.user = user

    def during(self, manager: AbstractContextManager[object]) -> None:
        """Enter the block until the test ends."""
        self.stack.enter_context(manager)

    def answers(self, talk: Talk, *, tls: bool = True) -> None:
        """Let an impostor answer in the server's place."""
        self.use(port=self.stack.enter_context(posing(talk)).port, tls=tls)

    def hurry(self) -> None:
        """Let the function's waiting for Secrets Manager take no time."""
        self.patch.setattr(rotation.deadline, "time", Clock())

    def stage(self, password: str, **fields: object) -> None:
        """Begin at setSecret, with this password."""
        self.first = Step.SET
        self.before[Step.SET] = lambda: self.put({**self.secret(), "password": password, **fields})

    def put(self, value: Mapping[str, object]) -> None:
        """Write the pending version."""
        self.client.put_secret_value(
            SecretId=self.arn,
            ClientRequestToken=self.token,
            SecretString=json.dumps(value),
            VersionStages=["AWSPENDING"],
        )

    def secret(self) -> dict[str, object]:
        """Return what the secret says."""
        return {**_fields(self.user), **self.fields}

    # The rotation

    def run(self, invoke: Invoke) -> Call:
        """Rotate until a step fails."""
        self.arn = self.store(self.text or json.dumps(self.secret()))
        function = self.service.register(f"function-{secrets.token_hex(4)}", lambda _: None)
        self.client.rotate_secret(SecretId=self.arn, RotationLambdaARN=function, ClientRequestToken=self.token)
        self.service.wait(self.arn)
        steps = list(Step)
        for step in steps[steps.index(self.first) :]:
            self.before.get(step, lambda: None)()
            event = {"Step": step, "SecretId": self.arn, "ClientRequestToken": self.token, **self.event}
            call = invoke(self.laboratory.engine, event, Context(self.seconds))
            if call.error:
                return call
        raise AssertionError("the rotation succeeds")

    def store(self, value: str | bytes) -> str:
        """Make a secret; return its ARN."""
        kind = "SecretString" if isinstance(value, str) else "SecretBinary"
        made = self.client.create_secret(Name=f"secret-{secrets.token_hex(8)}", **{kind: value})  # type: ignore[arg-type]
        return made["ARN"]


@dataclass(frozen=True)
class Cause:
    """One row: what is wrong, and what the operator reads."""

    engine: str
    name: str
    make: Callable[[Case], object]
    """Provokes it."""
    step: Step
    error: type[RotationError]
    says: tuple[str, str, str]
    """Parts of the operation, with its object; of the cause; and of the remedy. {user}, {host}, {arn} and {token} are
    those of the case, {admin} the ARN of its admin secret."""
    by_server: bool = True
    """Whether a server says so, or the function itself finds it."""
    thorough: bool = False
    """Whether `make test` leaves it out: another row is like it, but for a number."""

    def __str__(self) -> str:
        return f"{self.engine}: {self.name}"


def _fields(credential: Credential) -> dict[str, object]:
    """Return the JSON of a credential."""
    return {
        "engine": credential.engine,
        "host": credential.host,
        "port": credential.port,
        "username": credential.username,
        "password": credential.password,
        **({"dbname": credential.database} if credential.database else {}),
        **({} if credential.tls else {"ssl": False}),
    }
