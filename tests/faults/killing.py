"""How is a rotation killed, or cut off, at a chosen instant?

The steps run in a process of their own, forked from a server that has imported everything. There, the interpreter's
monitoring (PEP 669) tells of each call to an AWS service and each connection and statement to a database, right before
it happens: nothing of the code under test is replaced. At the chosen one, the process gets SIGKILL, or its connection
is cut.

What is done right before a call is done right after the one before it, so "before each" is "after each" as well.
"""

import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from types import CodeType
from typing import TYPE_CHECKING, Any, cast

import boto3
import botocore.endpoint
import pymysql

from rotation.aws import own_clients
from rotation.engine import Engine
from rotation.engines import postgresql
from rotation.errors import RotationError
from rotation.lambda_handler import rotation_handler

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

type Disturbance = Callable[[object], None]
"""Is called with the number of the socket that is about to be used, None where there is none, or AWS's."""

SECONDS = 30

CALLS: dict[CodeType, Callable[[Any], object]] = {
    # Every request to AWS goes through it; there is no public place to look.
    cast("Any", botocore.endpoint.Endpoint)._send.__code__: lambda _: None,  # noqa: SLF001
    # psycopg2's own functions are written in C, so it is the driver's that call them.
    postgresql._open_at.__code__: lambda _: None,  # noqa: SLF001
    postgresql.PostgreSQLSession.execute.__code__: lambda session: session._connection.fileno(),  # noqa: SLF001
    pymysql.Connection.connect.__code__: lambda _: None,
    pymysql.Connection.query.__code__: lambda connection: connection._sock and connection._sock.fileno(),  # noqa: SLF001
}
"""The functions that make a call, and what tells of their `self` through which socket it goes, if there is one yet."""

MONITOR = sys.monitoring.DEBUGGER_ID


@dataclass(frozen=True)
class Ending:
    """How a run ended."""

    moments: int
    """How many calls it came to make, to AWS and to the database; the one at which it was disturbed is the last."""
    error: str | None
    """The error that the function raised."""
    killed: bool = False


class Context:
    """What Lambda tells a function of its invocation."""

    aws_request_id = "00000000-0000-0000-0000-000000000000"

    def get_remaining_time_in_millis(self) -> int:
        """Say that there is time enough."""
        return SECONDS * 1000


def run(
    engine: Engine,
    events: Sequence[Mapping[str, object]],
    environment: Mapping[str, str],
    *,
    kill_at: int = 0,
    cut_at: int = 0,
) -> Ending:
    """Run the steps, one after the other, until one fails.

    At the call that is named, counted from 1, the process is killed, or its connection to the database is cut.
    """
    disturbances = {kill_at: _kill, cut_at: _cut}
    receiver, sender = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(target=_run, args=(sender, engine, events, dict(environment), disturbances))
    process.start()
    sender.close()
    try:
        error, moments = receiver.recv()
    except EOFError:
        process.join()
        assert process.exitcode == -signal.SIGKILL
        return Ending(kill_at, None, killed=True)
    process.join()
    return Ending(moments, error)


def _run(
    sender: Connection,
    engine: Engine,
    events: Sequence[Mapping[str, object]],
    environment: Mapping[str, str],
    disturbances: Mapping[int, Disturbance],
) -> None:
    os.environ.update(environment)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    handler = rotation_handler(engine)
    own_clients()  # Lambda makes them once, and here the hook would slow it down
    watch = _Watch(disturbances)
    watch.begin()
    error = None
    try:
        for event in events:
            handler(event, cast("LambdaContext", Context()))  # as much of a context as the function uses
    except RotationError as raised:
        error = f"{type(raised).__name__}: {raised}"
    finally:
        watch.end()
    sender.send((error, watch.moments))
    os._exit(0)  # at once: nothing is left to be tidied up


class _Watch:
    """Counts the calls, and disturbs those that it is told to."""

    def __init__(self, disturbances: Mapping[int, Disturbance]) -> None:
        self.moments = 0
        self._disturbances = disturbances

    def begin(self) -> None:
        """Be told when one of the functions begins, and of nothing else."""
        begins = sys.monitoring.events.PY_START
        sys.monitoring.use_tool_id(MONITOR, __name__)
        sys.monitoring.register_callback(MONITOR, begins, self._moment)
        for code in CALLS:
            sys.monitoring.set_local_events(MONITOR, code, begins)

    def end(self) -> None:
        """Be told nothing any more."""
        sys.monitoring.free_tool_id(MONITOR)

    def _moment(self, code: CodeType, _: int) -> None:
        self.moments += 1
        if self.moments in self._disturbances:
            owner = sys._getframe(1).f_locals.get("self")  # noqa: SLF001 - the function's own
            self._disturbances[self.moments](CALLS[code](owner))


def _kill(_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _cut(file_number: object) -> None:
    if isinstance(file_number, int) and file_number >= 0:
        with socket.socket(fileno=os.dup(file_number)) as way:
            way.shutdown(socket.SHUT_RDWR)


# The server that is forked imports this module, and the drivers, so that no child has to. Python 3.13 does not hand it
# sys.path otherwise.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([__name__, "tests.servers"])
# The data that every client is made of is read here, once.
boto3.client("secretsmanager", region_name="us-east-1")
