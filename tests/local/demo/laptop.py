"""What is a laptop-sized AWS? A database server, and a Secrets Manager with secrets for it."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from tests.local.aws.secrets_manager import LocalSecretsManager, StepEvent
from tests.local.demo import DemoError
from tests.local.demo.databases import Database, Engine, Strategy
from tests.local.demo.screen import Screen

_PATIENCE = 120.0

type Event = dict[str, object]


@dataclass(frozen=True)
class Laptop:
    """Everything runs, until the ExitStack that it was started with is closed."""

    screen: Screen
    engine: Engine
    database: Database
    manager: LocalSecretsManager
    admin_secret: str

    @classmethod
    def start(
        cls,
        screen: Screen,
        engine: Engine,
        stack: ExitStack,
        observer: Callable[[StepEvent], object] | None = None,
        account_id: str | None = None,
    ) -> "Laptop":
        """Start everything. Raises DemoError, with the cause and the remedy."""
        with screen.doing(f"{engine.name} starts") as say:
            database = stack.enter_context(engine.start())
            say(f"{engine.name} {database.version} is up, with TLS")
        with screen.doing("A stand-in for Secrets Manager starts") as say:
            manager = stack.enter_context(LocalSecretsManager(account_id=account_id, observer=observer))
            say("A stand-in for Secrets Manager answers AWS clients")
        admin = manager.client().create_secret(Name="demo/admin", SecretString=database.admin.secret())
        return Laptop(screen, engine, database, manager, admin["ARN"])

    def new_secret(self, strategy: Strategy, **fields: object) -> str:
        """Create an application's user, and a secret to be rotated with the strategy; return the name of the secret.

        `fields` replace keys of its JSON, or add to them.
        """
        login = self.database.new_application(strategy)
        rotation = {"strategy": strategy.name, "verify": [self.database.verifying(login.username)]}
        admin = {"masterarn": self.admin_secret} if strategy.needs_admin else {}
        secret_id = f"demo/{login.username}"
        value = login.secret(**{"rotation": rotation, **admin, **fields})
        self.manager.client().create_secret(Name=secret_id, SecretString=value)
        return secret_id

    def rotate(self, secret_id: str, function: Callable[[Event], object]) -> None:
        """Rotate by a function, which does the steps or leaves some out. Raises DemoError: it failed.

        If it leaves a step out, the secret stays as Secrets Manager leaves it for that step.
        """
        function_arn = self.manager.register(self.engine.function, function)
        self.manager.client().rotate_secret(SecretId=secret_id, RotationLambdaARN=function_arn)
        for event in self.manager.wait(secret_id, _PATIENCE).events:
            if event.error:
                raise DemoError(f"{event.step} of {secret_id} failed with {event.error}")
