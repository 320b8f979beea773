"""Run AWS's own command line, and the operator's commands behind `make`, without importing them each time.

To start `aws` takes 0.7 s of a processor, most of it for imports. Here one process imports all of it once, and forks
for each command: so every command is a process of its own, with the caller's folder, environment and files, as in a
shell.

    with serving(environment) as programs:              a folder to put first in PATH: it has `aws` and `make`
        subprocess.run(["sh", "-c", "aws …"], env={"PATH": f"{programs}:…"})

`make TASK …` runs what the Makefile says: `make --dry-run` prints the recipe, and its `python -m operations.…` is run.
Any other task is only looked up: is there one, and can its recipe be made from these variables?
"""

import array
import importlib
import io
import json
import os
import shlex
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).parents[2]
MODULE = "operations."
_SERVED = frozenset({"secretsmanager", "lambda", "cloudformation", "s3"})
_NOT_SERVED = frozenset({("lambda", "add-permission"), ("cloudformation", "update-termination-protection")})
"""What the stand-in cannot do, in a service that it has."""
_VERSION_2 = ("--cli-binary-format", "raw-in-base64-out")
"""An option of version 2 of AWS's command line only. It asks for what version 1, which runs here, always does."""
_MAKE_FAILS = 2
"""The exit code of make if a command fails, whatever that one's was."""
_STANDARD_FILES = 3
_MOST_BYTES = 1 << 20
_SET_BY_IMPORTS = ["AWS_DATA_PATH"]
"""The variables that AWS's command line sets for itself when it is imported."""

_PROGRAM = """#!{python} -IS
import array, json, os, socket, sys
server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
server.connect({path!r})
said = json.dumps([{name!r}, sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
files = array.array("i", [0, 1, 2])
server.sendmsg([said], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, files)])
sys.exit(int(server.recv(16) or b"70"))
"""
"""Hands its files to the server and waits for the exit code; 70 if the server dies."""


@contextmanager
def serving(environment: Mapping[str, str]) -> Iterator[Path]:
    """Yield a folder with the programs `aws` and `make`, for as long as the block runs."""
    with tempfile.TemporaryDirectory() as folder:
        address = str(Path(folder) / "server")
        for name in _COMMANDS:
            program = Path(folder) / name
            program.write_text(_PROGRAM.format(python=sys.executable, path=address, name=name))
            program.chmod(0o755)
        command = [sys.executable, "-m", "tests.local.forked_commands", address]
        with subprocess.Popen(command, cwd=CHECKOUT, env=environment, stdout=subprocess.PIPE) as server:  # noqa: S603 - ours
            try:
                assert server.stdout
                server.stdout.read(1)  # it listens
                yield Path(folder)
            finally:
                server.terminate()


@cache
def _command_line() -> Any:  # noqa: ANN401 - it has no types
    """Return AWS's command line, which keeps the descriptions of services that it has read."""
    return importlib.import_module("awscli.clidriver").create_clidriver()


def _aws(arguments: Sequence[str]) -> int:
    """Run it. What the stand-in has no server for is checked by the command line's own description, and not sent."""
    is_served = arguments[0] in _SERVED and tuple(arguments[:2]) not in _NOT_SERVED
    only_checked = [] if is_served else ["--generate-cli-skeleton", "output"]
    known = [word for word in arguments if word not in _VERSION_2]
    return int(_command_line().main([*known, *only_checked]))


def _make(arguments: Sequence[str]) -> int:
    """Run what the task runs, if that is a command of the operator's. CalledProcessError: there is no such task."""
    recipe = subprocess.run(  # noqa: S603 - the arguments are those of a document
        ["/usr/bin/make", "--dry-run", "--no-print-directory", *arguments],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    if recipe.count("\n") == 1 and f" -m {MODULE}" in recipe:
        words = shlex.split(recipe, comments=True)
        place = words.index("-m") + 1
        code = importlib.import_module(words[place]).main(words[place + 1 :])
        return _MAKE_FAILS if code else 0
    return 0


class _Typed(io.TextIOBase):
    """What a person types: a command takes the lines that it asks for, and leaves the rest to the next one."""

    def readline(self, _size: int | None = -1) -> str:  # type: ignore[override]  # text, as of any TextIOBase
        """Return a line; empty at the end."""
        taken = b""
        while not taken.endswith(b"\n") and (one := os.read(0, 1)):
            taken += one
        return taken.decode()


_COMMANDS = {"aws": _aws, "make": _make}


def _serve(address: str) -> None:
    _command_line().session.get_service_model("secretsmanager")
    for task in ("attach", "doctor", "preflight", "rotate", "uninstall"):
        importlib.import_module(f"{MODULE}{task}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(address)
        listener.listen()
        sys.stdout.write(".")
        sys.stdout.flush()
        while True:
            connection, _ = listener.accept()
            if os.fork() == 0:
                _run(connection)
            connection.close()
            with suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG) != (0, 0):
                    pass  # one that has ended is forgotten


def _run(connection: socket.socket) -> None:
    """Be the command, and end."""
    files = array.array("i", [0] * _STANDARD_FILES)
    said, [(_, _, sent)], _, _ = connection.recvmsg(_MOST_BYTES, socket.CMSG_SPACE(len(files) * files.itemsize))
    files = array.array("i", bytes(sent))
    name, arguments, folder, environment = json.loads(said)
    for standard, file in enumerate(files):
        os.dup2(file, standard)
    os.chdir(folder)
    own = {name: os.environ[name] for name in _SET_BY_IMPORTS if name in os.environ}
    os.environ.clear()
    os.environ.update({**environment, **own})
    sys.stdin = _Typed()
    connection.send(str(_exit_code(name, arguments)).encode())
    os._exit(0)


def _exit_code(name: str, arguments: Sequence[str]) -> int:
    code = 70
    try:
        code = _COMMANDS[name](arguments)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 - a command that breaks says so, and ends with 70
        traceback.print_exc()
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    return code


if __name__ == "__main__":
    _serve(sys.argv[1])
