"""What does a reader of the pages have? A database, its secret, two stacks, and a terminal.

The reader's user is called orders, as in the pages.
"""

import json
import re
import shlex
import sys
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rotation.credential import Credential
from rotation.kind import Strategy
from rotation.lambda_handler import rotation_handler
from tests import documents, servers
from tests.laboratories import ORDERS, Laboratory, Run, new_password
from tests.local.aws.secrets_manager import LocalSecretsManager
from tests.service.test_preflight import InvokedContext

CHECKOUT = Path(__file__).parents[3]
RUNBOOK = documents.blocks(CHECKOUT / "docs/runbook.md")
SECRET, ADMIN = "orders/postgresql", "orders/admin"
STACK, OTHER_STACK, OTHER_REGION = "secret-rotation", "other-rotation", "eu-central-1"
EDITING, EMPTYING = "edit-a-secret", "emptying-a-pair"
AN_ADMIN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:orders/admin-AbCdEf"
PAIR, SINGLE = Strategy.ALTERNATING_USERS, Strategy.SINGLE_USER

NO_SESSIONS = "the stand-in has no view of its sessions"
NOT_RUN = {
    "flowchart TD": "a graph",
    "aws secretsmanager cancel-rotate-secret --region eu-west-1": "the laptop-sized Secrets Manager has one Region",
    "SELECT sid, serial# FROM v$session": NO_SESSIONS,
    "SELECT username, count(*) FROM v$session": NO_SESSIONS,
    "SELECT CONCAT('KILL ', session_id)": NO_SESSIONS,
    "SELECT login_name, count(*) FROM sys.dm_exec_sessions": NO_SESSIONS,
}
"""How a block begins that no test runs, and why. `aws rds` and `aws logs` are checked and not sent: forked_commands."""

EDITOR = f"""#!{sys.executable} -IS
import json, os, sys
value = json.load(open(sys.argv[1]))
value.update(json.loads(os.environ["EDIT"]))
json.dump({{key: one for key, one in value.items() if one is not None}}, open(sys.argv[1], "w"))
"""


class World:
    """A database with a user called orders, its secret, two stacks with a function each, and somebody's terminal."""

    def __init__(self, laboratory: Laboratory, service: LocalSecretsManager, terminal: documents.Terminal) -> None:
        self.laboratory, self.service, self.terminal = laboratory, service, terminal
        self.client = service.client()
        self.function = service.register(f"{STACK}-PostgreSql", lambda event: self.invoked(self.function, event))
        self.other = service.register(f"{OTHER_STACK}-PostgreSql", lambda event: self.invoked(self.other, event))
        self.user = laboratory.new_user("orders", new_password())
        self.runs_as: Credential | None = replace(laboratory.admin, database=self.user.database)
        self.admin_arn = self._store(ADMIN, laboratory.admin, {})
        terminal.replacing = {
            "orders.c1a2b3c4d5e6.eu-west-1.rds.amazonaws.com": self.user.host,
            "orders-restored.c1a2b3c4d5e6.eu-west-1.rds.amazonaws.com": self.user.host,
            "orders.d7e8f9a0b1c2.eu-central-1.rds.amazonaws.com": self.user.host,
            AN_ADMIN: self.admin_arn,
            "arn:aws:secretsmanager:eu-west-1:123456789012:secret:rds!db-orders-AbCdEf": self.admin_arn,
        }

    def prepare(self, strategy: Strategy = SINGLE) -> "World":
        """Store the secret and attach the function, without rotating."""
        fields = {"masterarn": self.admin_arn} if strategy is PAIR else {}
        self._store(SECRET, self.user, {"rotation": {"strategy": strategy}, **fields})
        self.attach(self.function)
        return self

    def attach(self, function: str) -> None:
        """Let the secret choose a function."""
        self.client.rotate_secret(SecretId=SECRET, RotationLambdaARN=function, RotateImmediately=False)

    def rotate(self) -> None:
        """Rotate, and wait."""
        self.client.rotate_secret(SecretId=SECRET)
        self.require_rotated()

    def require_rotated(self) -> None:
        """Require that the last rotation ended well, and that the application logs in."""
        outcome = self.service.wait(SECRET)
        assert outcome.error is None, outcome
        assert self.application_logs_in()

    def invoked(self, function: str, event: dict[str, Any]) -> object:
        """Do what the function does."""
        context = InvokedContext(invoked_function_arn=function)
        return rotation_handler(self.laboratory.engine)(event, context)  # type: ignore[arg-type]

    def read(self, label: str = "AWSCURRENT") -> Credential:
        """Read the secret as an application does."""
        value = self.value(label)
        return replace(self.user, username=value["username"], password=value["password"])

    def value(self, label: str = "AWSCURRENT") -> dict[str, Any]:
        """Return what the secret says."""
        return dict(json.loads(self.client.get_secret_value(SecretId=SECRET, VersionStage=label)["SecretString"]))

    def application_logs_in(self) -> bool:
        """Log in with AWSCURRENT, and read."""
        return self.laboratory.may_read(self.read(), ORDERS)

    def described(self) -> dict[str, Any]:
        """Return what Secrets Manager says of the secret."""
        return dict(self.client.describe_secret(SecretId=SECRET))

    def follow(self, section: str) -> "Procedure":
        """Begin a section of the page."""
        return Procedure(self, [block for block in RUNBOOK if block.section == section])

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement as the admin."""
        if administer := getattr(self.laboratory, "administer", None):
            administer(statement)  # Db2: in a database of its own, and waited for
            return []
        with self.session(self.runs_as) as run:
            return run(statement)

    def session(self, credential: Credential | None) -> AbstractContextManager[Run]:
        """Connect; without a credential, as the superuser."""
        return self.laboratory.session(credential)  # type: ignore[attr-defined, no-any-return]

    def interrupt_before_finishing(self) -> str:
        """Rotate up to testSecret; return the version."""
        self.service.register(f"{STACK}-PostgreSql", self._all_but_the_end)
        self.client.rotate_secret(SecretId=SECRET)
        self.service.register(f"{STACK}-PostgreSql", lambda event: self.invoked(self.function, event))
        stages = self.described()["VersionIdsToStages"]
        return next(str(version) for version, labels in stages.items() if "AWSPENDING" in labels)

    def _all_but_the_end(self, event: dict[str, Any]) -> object:
        if event["Step"] == "finishSecret":
            raise ConnectionError
        return self.invoked(self.function, event)

    def give_up_what_is_pending(self) -> None:
        """Take AWSPENDING off, as the doctor says."""
        for version, labels in self.described()["VersionIdsToStages"].items():
            if "AWSPENDING" in labels and "AWSCURRENT" not in labels:
                self.client.update_secret_version_stage(
                    SecretId=SECRET, VersionStage="AWSPENDING", RemoveFromVersionId=version
                )

    def verifiers(self) -> dict[str, str]:
        """Return what the server keeps of the passwords, as a snapshot does."""
        with self.session(None) as run:
            return dict(run("SELECT rolname, rolpassword FROM pg_authid WHERE rolname LIKE 'orders%'"))

    def restore(self, verifiers: dict[str, str]) -> None:
        """Let the server have these again."""
        with self.session(None) as run:
            for name, verifier in verifiers.items():
                run(f"ALTER ROLE {name} PASSWORD '{verifier}'")

    def be_in_the_region_of_the_replica(self) -> None:
        """Let the secret be a replica of one in another Region."""
        value = json.dumps(self.value())
        self.service.forget()
        self.admin_arn = self._store(ADMIN, self.laboratory.admin, {})
        self.terminal.replacing = {**self.terminal.replacing, AN_ADMIN: self.admin_arn}
        self.service.replicate_here(SECRET, "eu-west-1", {}, value)

    def admin_value(self) -> dict[str, Any]:
        """Return what the admin secret says."""
        return dict(json.loads(self.client.get_secret_value(SecretId=ADMIN)["SecretString"]))

    def _store(self, name: str, credential: Credential, fields: dict[str, object]) -> str:
        value = {
            "engine": credential.engine,
            "host": credential.host,
            "port": credential.port,
            "username": credential.username,
            "password": credential.password,
            "dbname": credential.database or "",
            **fields,
        }
        return str(self.client.create_secret(Name=name, SecretString=json.dumps(value))["ARN"])


@dataclass
class Procedure:
    """A section of the page, and where the reader is in it."""

    world: World
    left: list[documents.Block]

    def step(self, *, answers: str = "yes\n", expecting: int = 0, password: str = "", secret: str = SECRET) -> Any:  # noqa: ANN401 - text or rows
        """Do what the next block says, and return what is to be seen. `password` is what the reader writes for ***."""
        block = self._next()
        text = self.world.terminal.replaced(block.text).replace("***", password)
        match block.language:
            case "sql":
                return [self.world.query(statement) for statement in text.split(";")][-1]
            case "json":
                return self._edit(text, secret)
            case _:
                return self.world.terminal.run(text, answers=answers, expecting=expecting)

    def end(self) -> None:
        """Require that nothing is left."""
        assert [str(block) for block in self.left if self._is_ours(block)] == []

    def _next(self) -> documents.Block:
        while not self._is_ours(block := self.left.pop(0)):
            pass
        return block

    def _is_ours(self, block: documents.Block) -> bool:
        is_for_us = block.language != "sql" or engine_of(self.world.laboratory) in block.engines
        return is_for_us and not block.text.startswith(tuple(NOT_RUN))

    def _edit(self, changes: str, secret: str) -> str:
        [block] = [block for block in RUNBOOK if block.section == EDITING]
        terminal = self.world.terminal
        editor = terminal.folder / "editor"
        editor.write_text(EDITOR)
        editor.chmod(0o755)
        said = terminal.run(f"EDIT={shlex.quote(changes)}; EDITOR={editor}\n{block.text.replace(SECRET, secret)}")
        assert not (terminal.folder / "secret.json").exists()
        return said


def engine_of(laboratory: Laboratory) -> str:
    """Return the word for an engine in the page."""
    return next(name for name, own in servers.SERVERS.items() if own.engine.kind.name == laboratory.engine.kind.name)


def drop_users(world: World) -> None:
    """Remove what the page calls orders and orders_clone, with the page's own statement."""
    [block] = [block for block in statements(EMPTYING, world.laboratory) if re.match("DROP|CALL", block.text)]
    for statement in block.text.split(";"):
        for name in ("orders_clone", "orders"):
            with suppress(Exception):  # it can be gone, and each client has errors of its own
                world.laboratory.forbid(name, ORDERS)
            with suppress(Exception):
                world.query(statement.replace("orders_clone", name))


def statements(section: str, laboratory: Laboratory) -> list[documents.Block]:
    """Return the SQL of a section for an engine."""
    return [block for block in RUNBOOK if block.section == section and engine_of(laboratory) in block.engines]
