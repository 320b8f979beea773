"""How long does a cold start take? Each handler is started anew, in turn, in the emulator.

`INIT` is what Lambda calls so: Python begins, and imports the handler. The first call is an event of a version that is
current already: each rotation function makes its client and asks for the secret then, and finds nothing to do.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from tests.bench.handlers import Handler
from tests.bench.running import running
from tests.local.aws.lambda_runtime import FunctionError
from tests.local.aws.secrets_manager import LocalSecretsManager


@dataclass(frozen=True)
class Start:
    """One cold start, in milliseconds and megabytes."""

    init: float
    """On the clock."""
    imported: float
    """Of processor time."""
    ready: float
    """The same, when the first call is done."""
    clock: float
    """From the first event to the answer to the second."""
    memory: float


def measure(handlers: Sequence[Handler], count: int) -> Iterator[tuple[str, Start]]:
    """Start each handler so many times, in turn; one time more is not counted: it reads the files into memory."""
    with LocalSecretsManager(attempts=1) as service:
        event = _event(service)
        for number in range(count + 1):
            for handler in handlers:
                start = _start(handler, service, event)
                if number:
                    yield handler.name, start


def _start(handler: Handler, service: LocalSecretsManager, event: dict[str, object]) -> Start:
    endpoint = {"SECRETS_MANAGER_ENDPOINT": service.endpoint_url}
    with running(handler, {**service.environment, **endpoint}) as function:
        nothing = function.fail()
        imported = function.processor()
        with suppress(FunctionError):  # it may refuse what is done already: it has asked
            function.call(event)
        return Start(function.init(), imported, function.processor(), nothing.clock, function.peak())


def _event(service: LocalSecretsManager) -> dict[str, object]:
    """Return an event of a version that is current already."""
    client = service.client()
    function = service.register("nothing", lambda _: None)
    made = client.create_secret(Name="started", SecretString=json.dumps({"engine": "none"}))
    client.rotate_secret(SecretId=made["ARN"], RotationLambdaARN=function, RotateImmediately=False)
    service.wait(made["ARN"])
    return {"Step": "finishSecret", "SecretId": made["ARN"], "ClientRequestToken": made["VersionId"]}
