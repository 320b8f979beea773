"""How are the steps run so that they can be killed at a chosen instant?

They run in a process of their own, forked from a server that has imported everything, as Lambda freezes one that is
warm. `tests.faults.wire` stands between it and all that it talks to, and kills it, or cuts it off, from outside:
nothing of the code under test is replaced.
"""

import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, cast

from rotation import staging
from rotation.aws import new_client, own_clients
from rotation.engine import InspectedEngine
from rotation.errors import RotationError
from rotation.lambda_handler import rotation_handler
from tests.faults.wire import Place, Watch, Wire
from tests.local.evidence import keep_text

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

SECONDS = 30


@dataclass(frozen=True)
class Ending:
    """How a run ended."""

    places: tuple[Place, ...]
    """All that it came to say; the message at which it was killed is the last."""
    error: str | None
    """The error that the function raised."""
    is_disturbed: bool = False
    """Whether it came to the message at which it was to be disturbed."""
    is_killed: bool = False


class Context:
    """What Lambda tells a function of its invocation."""

    aws_request_id = "00000000-0000-0000-0000-000000000000"

    def get_remaining_time_in_millis(self) -> int:
        """Say that there is time enough."""
        return SECONDS * 1000


def run(
    engine: InspectedEngine,
    events: Sequence[Mapping[str, object]],
    environment: Mapping[str, str],
    wire: Wire,
    watch: Watch,
) -> Ending:
    """Run the steps, one after the other, until one fails or the watch ends it."""
    wire.watch(watch)
    receiver, sender = _CONTEXT.Pipe(duplex=False)
    error, is_killed = None, False
    with tempfile.NamedTemporaryFile("r") as written:
        process = _CONTEXT.Process(target=_run, args=(sender, written.name, engine, events, dict(environment)))
        process.start()
        watch.victim.set_result(cast("int", process.pid))
        sender.close()
        try:
            error = receiver.recv()
        except EOFError:
            is_killed = True
        process.join()
        text = written.read()
    keep_text("a function that was to be disturbed", f"{text}\n{error}")
    assert process.exitcode == (-signal.SIGKILL if is_killed else 0), text
    if is_killed:
        wire.forget_the_dead()
    return Ending(tuple(watch.places), error, watch.is_disturbed, is_killed)


def _run(
    sender: Connection,
    output: str,
    engine: InspectedEngine,
    events: Sequence[Mapping[str, object]],
    environment: Mapping[str, str],
) -> None:
    os.environ.update(environment)
    staging.PAUSES = (0.001,) * 5  # answers of this Secrets Manager are never too old: nobody need wait for newer ones
    file = os.open(output, os.O_WRONLY | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    handler = rotation_handler(engine)
    own_clients()  # Lambda makes them once
    error = None
    try:
        for event in events:
            handler(event, cast("LambdaContext", Context()))  # as much of a context as the function uses
    except RotationError as raised:
        error = f"{type(raised).__name__}: {raised}"
    sender.send(error)
    os._exit(0)  # at once: nothing is left to be tidied up


# The server that is forked imports this module, and the drivers, so that no child has to. Python 3.13 does not hand it
# sys.path otherwise.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([__name__, "tests.servers"])
# The data that every client is made of is read here, once.
new_client("secretsmanager", region_name="us-east-1")
