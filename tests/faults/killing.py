"""How is a rotation killed, or cut off, at a chosen instant?

The steps run in a process of their own, forked from a server that has imported everything. There, the interpreter's
profiling hook sees each call to an AWS service and each connection and statement to a database, right before it
happens, whoever makes it: nothing of the code under test is replaced. At the chosen one, the process gets SIGKILL, or
its connection is cut.

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
from types import FrameType
from typing import TYPE_CHECKING, Any, cast

import boto3
import botocore.endpoint
import psycopg2.extensions
import pymysql

from rotation import lambda_handler
from rotation.engine import Engine
from rotation.errors import RotationError
from rotation.lambda_handler import rotation_handler

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

type Disturbance = Callable[[object], None]
"""Is called with the connection to the database that is about to be used, None where AWS is about to be called."""

SECONDS = 30

# Every request goes through it; the stubs of botocore do not know it.
AWS_CALL = cast("Any", botocore.endpoint.Endpoint)._send.__code__  # noqa: SLF001 - there is no public place to look
C_CALLS = {"execute", "_connect"}
"""psycopg2's own, which are written in C."""
PYMYSQL_CALLS = {pymysql.Connection.connect.__code__, pymysql.Connection.query.__code__}


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
    lambda_handler._secrets_manager()  # noqa: SLF001 - Lambda makes it once, and here the hook would slow it down
    watch = _Watch(disturbances)
    sys.setprofile(watch)
    error = None
    try:
        for event in events:
            handler(event, cast("LambdaContext", Context()))  # as much of a context as the function uses
    except RotationError as raised:
        error = f"{type(raised).__name__}: {raised}"
    finally:
        sys.setprofile(None)
    sender.send((error, watch.moments))


class _Watch:
    """Counts the calls, and disturbs those that it is told to."""

    def __init__(self, disturbances: Mapping[int, Disturbance]) -> None:
        self.moments = 0
        self._disturbances = disturbances

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and frame.f_code is AWS_CALL:
            self._moment(None)
        elif event == "call" and frame.f_code in PYMYSQL_CALLS:
            self._moment(frame.f_locals["self"])
        elif event == "c_call" and getattr(argument, "__name__", "") in C_CALLS:
            owner = getattr(argument, "__self__", None)
            if isinstance(owner, psycopg2.extensions.cursor) or owner is psycopg2._psycopg:  # noqa: SLF001 - has _connect
                self._moment(getattr(owner, "connection", None))

    def _moment(self, connection: object) -> None:
        self.moments += 1
        if self.moments in self._disturbances:
            self._disturbances[self.moments](connection)


def _kill(_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _cut(connection: object) -> None:
    if isinstance(connection, psycopg2.extensions.connection):
        _shut_down(connection.fileno())
    elif isinstance(connection, pymysql.Connection) and connection.open:
        _shut_down(cast("Any", connection)._sock.fileno())  # noqa: SLF001 - there is no public way to it


def _shut_down(file_number: int) -> None:
    with socket.socket(fileno=os.dup(file_number)) as way:
        way.shutdown(socket.SHUT_RDWR)


# The server that is forked imports this module, so that no child has to. Python 3.13 does not hand it sys.path
# otherwise.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([__name__])
# The data that every client is made of is read here, once.
boto3.client("secretsmanager", region_name="us-east-1")
