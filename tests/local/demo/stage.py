"""What has to run so that a credential can rotate? A server, a Secrets Manager, and the function."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Self

from tests.local.demo import DemoError
from tests.local.demo.databases import Database, Engine
from tests.local.demo.rotation_view import RotationView
from tests.local.demo.screen import Screen
from tests.local.lambda_runtime import LambdaRuntime
from tests.local.processes import ProcessFailedError
from tests.local.secrets_manager import LocalSecretsManager, StepEvent


@dataclass(frozen=True)
class Stage:
    """Everything runs, until the ExitStack that it was prepared with is closed."""

    screen: Screen
    engine: Engine
    database: Database
    manager: LocalSecretsManager
    runtime: LambdaRuntime
    function_arn: str
    admin_secret: str
    observer: "Observer"

    @classmethod
    def prepare(cls, screen: Screen, engine: Engine, stack: ExitStack) -> Self:
        """Start everything. Raises DemoError: what could not be started, why, and what helps."""
        with screen.doing(f"{engine.name} starts") as say:
            database = stack.enter_context(engine.start())
            say(f"{engine.name} {database.version} is up, with TLS")
        with screen.doing("A stand-in for Secrets Manager starts") as say:
            observer = Observer()
            manager = stack.enter_context(LocalSecretsManager(observer=observer))
            say("A stand-in for Secrets Manager answers AWS clients")
        with screen.doing(f"{engine.function} starts") as say:
            observer.runtime = runtime = _function(engine, manager, database, stack)
            where = "from `sam build` is ready in Lambda's emulator" if runtime.emulated else "is ready in plain Python"
            say(f"{engine.function} {where}")
        screen.pause()
        function_arn = manager.register(engine.function, runtime.invoke)
        admin = manager.client().create_secret(Name="demo/admin", SecretString=database.admin.secret())
        return cls(screen, engine, database, manager, runtime, function_arn, admin["ARN"], observer)


class Observer:
    """Passes on what Secrets Manager says of each step, and what the function logs about it, while somebody looks."""

    def __init__(self) -> None:
        self.runtime: LambdaRuntime | None = None
        self._view: RotationView | None = None

    @contextmanager
    def showing(self, view: RotationView) -> Iterator[None]:
        """Let a view see the steps until the block ends."""
        self._view = view
        try:
            yield
        finally:
            self._view = None

    def __call__(self, event: StepEvent) -> None:
        """Show the event."""
        if not self._view:
            return
        if event.state == "started":
            self._view.began(event.step)
        else:
            self._view.ended(event.step, event.seconds or 0.0, event.error or self._said(event), good=not event.error)

    def _said(self, event: StepEvent) -> str:
        """Return the sentence that the function has logged about the step; empty where there is none yet."""
        for line in reversed(self.runtime.logs().splitlines() if self.runtime else []):
            with suppress(ValueError):  # Lambda's own lines are no JSON
                record = json.loads(line)
                if (record.get("version_token"), record.get("step")) == (event.version_token, event.step):
                    return str(record["message"])
        return ""


def _function(engine: Engine, manager: LocalSecretsManager, database: Database, stack: ExitStack) -> LambdaRuntime:
    environment = {**manager.environment, "DB_CA_BUNDLE": str(database.ca_bundle)}
    try:
        return stack.enter_context(LambdaRuntime(engine.function, environment))
    except (FileNotFoundError, LookupError) as error:
        message = f"{engine.function} is not built. `make demo` builds it first."
        raise DemoError(message) from error
    except ProcessFailedError as error:
        raise DemoError(f"{engine.function} could not be started: {error}") from error
