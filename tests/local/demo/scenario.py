"""What must run to rotate a credential? A laptop-sized AWS, and the function in it."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Protocol, Self

from tests.local.aws.lambda_runtime import LambdaRuntime
from tests.local.aws.secrets_manager import StepEvent
from tests.local.demo import DemoError
from tests.local.demo.databases import Engine
from tests.local.demo.laptop import Laptop
from tests.local.demo.screen import Screen
from tests.local.servers.processes import ProcessFailedError


@dataclass(frozen=True)
class Scenario(Laptop):
    """A laptop-sized AWS, and the function in it."""

    runtime: LambdaRuntime
    function_arn: str
    observer: "Observer"

    @classmethod
    def prepare(cls, screen: Screen, engine: Engine, stack: ExitStack, account_id: str | None = None) -> Self:
        """Start everything. Raises DemoError, with the cause and the remedy."""
        observer = Observer()
        laptop = Laptop.start(screen, engine, stack, observer, account_id)
        with screen.doing(f"{engine.function} starts") as say:
            observer.runtime = runtime = _function(laptop, stack)
            where = "from `sam build` is ready in Lambda's emulator" if runtime.emulated else "is ready in plain Python"
            say(f"{engine.function} {where}")
        screen.pause()
        function_arn = laptop.manager.register(engine.function, runtime.invoke)
        return cls(**vars(laptop), runtime=runtime, function_arn=function_arn, observer=observer)


class View(Protocol):
    """Who looks at a rotation."""

    def began(self, name: str, /) -> None:
        """A step begins."""

    def ended(self, name: str, seconds: float, said: str, /, *, good: bool) -> None:
        """A step has ended."""


class Observer:
    """Passes each step's events, and the function's log line about it, to the view, if there is one."""

    def __init__(self) -> None:
        self.runtime: LambdaRuntime | None = None
        self._view: View | None = None

    @contextmanager
    def showing(self, view: View) -> Iterator[None]:
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
        """Return the sentence that the function has logged about the step; empty if there is none yet."""
        for line in reversed(self.runtime.logs().splitlines() if self.runtime else []):
            with suppress(ValueError):  # Lambda's own lines are no JSON
                record = json.loads(line)
                if (record.get("version_token"), record.get("step")) == (event.version_token, event.step):
                    return str(record["message"])
        return ""


def _function(laptop: Laptop, stack: ExitStack) -> LambdaRuntime:
    name = laptop.engine.function
    environment = {
        **laptop.manager.environment,
        "ALLOW_LOCAL_HOSTS": "true",
        "DB_CA_BUNDLE": str(laptop.database.ca_bundle),
    }
    try:
        return stack.enter_context(LambdaRuntime(name, environment))
    except (FileNotFoundError, LookupError) as error:
        raise DemoError(f"{name} is not built. `make demo` builds it first.") from error
    except ProcessFailedError as error:
        raise DemoError(f"{name} could not be started: {error}") from error
