"""Are many secrets of real servers rotated at once, and never too many of one server?

PostgreSQL and MySQL run here. Tags give each of them several names, which are servers of their own for the plan; the
secrets without a tag are those of the server as its own function names it. `make test` rotates 20 secrets, `--thorough`
1,000.
"""

import json
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import boto3
import pytest

from functions.watch import app
from rotation.credential import Credential
from rotation.fleet.plan import SERVER_TAG
from rotation.lambda_handler import rotation_handler
from tests import servers
from tests.clients import forget_clients
from tests.laboratories import Laboratory
from tests.local.aws import template
from tests.local.aws.deployed import Stack
from tests.local.aws.secrets_manager import REGION, LocalSecretsManager
from tests.local.aws.state_services import LocalServices
from tests.local.aws.states import MOST_EVENTS, Machine
from tests.service.fleet import PATHS, Context, Operator, Record, bucket_of, commanded, definition, finished

AT_ONCE = 2
NAMES = 5
"""How many servers each real one is, by its tags; without a tag it is one more."""


@dataclass
class StepContext(Context):
    """What Lambda tells a rotation function."""

    invoked_function_arn: str = ""
    function_name: str = "rotation"


@dataclass
class Fleet:
    """The secrets of two real servers, with the stack that rotates them."""

    service: LocalSecretsManager
    s3: Any
    stack: Stack
    laboratories: dict[str, Laboratory]
    record: Record = field(default_factory=Record)
    servers: dict[str, str] = field(default_factory=dict)
    users: dict[str, Credential] = field(default_factory=dict)
    """The user of each secret, with the first password."""

    def __post_init__(self) -> None:
        """Register the functions."""
        self.client = self.service.client()
        name = self.stack.resolver.arn("RotateAllFunction").rpartition(":")[2]
        self.service.register(name, lambda event: app.rotate_all(event, Context()))  # type: ignore[arg-type]
        self.functions = {engine: self._registered(engine, lab) for engine, lab in self.laboratories.items()}
        services = LocalServices(self.service, self.stack.roles["RotateAllMachineRole"])
        self.machine = Machine(definition(self.stack), services, wait=self.wait)

    def _registered(self, engine: str, laboratory: Laboratory) -> str:
        handler = rotation_handler(laboratory.engine)
        arn = f"arn:aws:lambda:{REGION}:{self.service.account_id}:function:rotation-{engine}"

        def call(event: dict[str, Any]) -> object:
            if event["Step"] == "server":  # it logs in nowhere
                return handler(event, StepContext(arn))  # type: ignore[arg-type]
            with self.record.call(self.servers[event["SecretId"]]):
                return handler(event, StepContext(arn))  # type: ignore[arg-type]

        return self.service.register(f"rotation-{engine}", call)

    def new_secret(self, number: int) -> str:
        """Make a user of one of the servers, and its secret, attached."""
        engine, laboratory = list(self.laboratories.items())[number % 2]
        user = laboratory.new_user()
        name = (number // 2) % (NAMES + 1)
        server = f"{engine.lower()}-{name}" if name else f"{user.host}:{user.port}"
        value = {"engine": user.engine, "host": user.host, "port": user.port, "username": user.username}
        if user.database:
            value["dbname"] = user.database
        tags: Any = [{"Key": SERVER_TAG, "Value": server}] if name else []
        arn = self.client.create_secret(
            Name=f"fleet-{secrets.token_hex(6)}",
            SecretString=json.dumps({**value, "password": user.password}),
            Tags=tags,
        )["ARN"]
        self.servers[arn], self.users[arn] = server, user
        self.client.rotate_secret(SecretId=arn, RotationLambdaARN=self.functions[engine], RotateImmediately=False)
        self.service.wait(arn)
        return arn

    def put_password(self, arn: str, password: str) -> None:
        """Write another password into a secret, as its owner."""
        text = json.dumps({**self._value(arn), "password": password})
        self.client.put_secret_value(SecretId=arn, SecretString=text)

    def has_new_password(self, arn: str) -> bool:
        """Tell whether the secret's user logs in with another password than the first."""
        password = self._value(arn)["password"]
        laboratory = next(lab for lab in self.laboratories.values() if lab.admin.port == self.users[arn].port)
        return password != self.users[arn].password and laboratory.logs_in(replace(self.users[arn], password=password))

    def _value(self, arn: str) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.client.get_secret_value(SecretId=arn)["SecretString"])
        return value

    def wait(self, _seconds: float, value: Any) -> None:  # noqa: ANN401 - whatever the state's input is
        """Wait for the rotation, however long that takes."""
        with suppress(KeyError):
            self.service.wait(value["SecretId"], timeout=300)


@pytest.fixture
def fleet(
    laboratories: Callable[[str], Laboratory],
    pytestconfig: pytest.Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Fleet]:
    """The newest server of two engines, and an account with the stack."""
    available = servers.available(lambda engine: pytestconfig.getoption(f"--{engine}-dsn"))
    postgresql, mysql = (laboratories(list(available[engine])[-1]) for engine in ("postgresql", "mysql"))
    bundle = tmp_path / "authorities.pem"
    bundle.write_text("".join(lab.ca_bundle.read_text() for lab in (postgresql, mysql) if lab.ca_bundle))
    with LocalSecretsManager(attempts=1) as service, ExitStack() as exits:
        stack = Stack.deploy(
            template.SOURCE,
            name="rotation",
            region=REGION,
            account_id=service.account_id,
            parameters={"RotateAllBucket": bucket_of(service)},
        )
        here = {"ALLOW_LOCAL_HOSTS": "true", "DB_CA_BUNDLE": str(bundle)}
        for name, value in {**stack.environment("RotateAllFunction"), **service.environment, **here}.items():
            monkeypatch.setenv(name, value)
        forget_clients()
        exits.callback(forget_clients)
        s3 = boto3.client("s3", endpoint_url=service.endpoint_url, config=PATHS)
        s3.create_bucket(Bucket=bucket_of(service))
        yield Fleet(service, s3, stack, {"PostgreSql": postgresql, "MySql": mysql})


@pytest.mark.thorough(number=[1000])
@pytest.mark.parametrize("number", [20, 1000])
def test_a_fleet_is_rotated(fleet: Fleet, number: int, tmp_path: Path) -> None:
    arns = [fleet.new_secret(each) for each in range(number)]
    broken = arns[:3]
    for arn in broken:
        fleet.put_password(arn, "not the user's")
    fleet.record.most.clear()
    operator = Operator()
    command = commanded(fleet.machine, fleet.s3, fleet.stack, operator)
    fleet.service.calls.clear()
    began, used = time.monotonic(), time.process_time()
    done = finished(command, operator, tmp_path, "--all", "--at-once", str(AT_ONCE))
    took = f"{time.monotonic() - began:.0f} s, {time.process_time() - used:.0f} s of processor time in this process"
    calls = Counter(call.operation for call in fleet.service.calls)
    print(f"{number} secrets: {took}; calls {dict(calls)}")  # noqa: T201 - with -s: docs/rotate-all.md has the figures
    print(f"at the same time: {dict(fleet.record.most)}")  # noqa: T201 - the same
    assert (done.code, done.outcomes) == (1, {"rotated": number - 3, "failed": 3})
    failed = {arn: row["error"] for arn, row in done.rows.items() if row["outcome"] == "failed"}
    assert failed == dict.fromkeys(broken, "PreflightFailed")
    assert {arn: row["server"] for arn, row in done.rows.items()} == fleet.servers
    assert max(fleet.record.most.values()) <= AT_ONCE
    assert all(fleet.has_new_password(arn) for arn in arns if arn not in broken)
    assert max(execution.events for execution in fleet.machine.executions) < MOST_EVENTS / 100
    # What was broken is put right, and the command that was told rotates the rest: nothing else.
    for arn in broken:
        fleet.put_password(arn, fleet.users[arn].password)
    rest = finished(command, operator, tmp_path, "--rest", done.told[-1].partition("--rest ")[2].split()[0])
    assert (rest.code, set(rest.rows)) == (0, set(broken))
    assert all(fleet.has_new_password(arn) for arn in broken)
