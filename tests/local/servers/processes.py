"""How does a program that runs beside the tests end with them, whatever happens to them?"""

import os
import pwd
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

LOOPBACK = "127.0.0.1"
_PATIENCE = 10.0
_LOG_SHOWN = 2000
# The shell becomes the program. What it leaves behind waits for us to close our end of the pipe, on purpose
# or by dying of whatever cause, and then sends the program its signal.
_UNTIL_WE_ARE_GONE = 'exec 3<&0; (read -r _ <&3; kill -s "$0" $$) & exec 3<&- "$@" </dev/null'


class ProcessFailedError(Exception):
    """A program ended, or did not get ready in time; the message has the end of its log."""


@dataclass(frozen=True)
class Process:
    """A program that runs."""

    name: str
    log: Path
    _popen: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._popen.pid

    def wait_until(self, is_ready: Callable[[], bool], seconds: float = 30) -> None:
        """Return as soon as `is_ready()`. Raises ProcessFailedError: the program ended, or time is over."""
        deadline = time.monotonic() + seconds
        while not is_ready():
            self.check()
            if time.monotonic() > deadline:
                raise self._failed(f"was not ready after {seconds:.0f} s")
            time.sleep(0.02)

    def check(self) -> None:
        """Raise ProcessFailedError when the program has ended."""
        code = self._popen.poll()
        if code is not None:
            raise self._failed(f"ended with exit status {code}")

    def _failed(self, how: str) -> ProcessFailedError:
        return ProcessFailedError(f"{self.name} {how}. The end of its log:\n{tail(self.log)}")


@contextmanager
def running(  # noqa: PLR0913 - what a process has, each named by the caller
    command: Sequence[str | Path],
    *,
    log: Path,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
    user: str | None = None,
    stop: signal.Signals = signal.SIGTERM,
) -> Iterator[Process]:
    """Run a program until the block ends or we do, even if we are killed: then it gets the signal `stop`.

    What it prints is added to `log`. It runs as `user`, with that user's group alone, if one is given.
    Ctrl-C in our terminal does not reach it: it ends when the block does.
    """
    with log.open("ab") as output:
        popen = subprocess.Popen(  # noqa: S603 - the words are ours
            ["/bin/sh", "-c", _UNTIL_WE_ARE_GONE, stop.name.removeprefix("SIG"), *map(str, command)],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env=None if environment is None else dict(environment),
            cwd=directory,
            start_new_session=True,
            user=user,
            group=None if user is None else group_of(user),
            extra_groups=None if user is None else [],
        )
    try:
        yield Process(Path(command[0]).name, log, popen)
    finally:
        _stop(popen)


def run_once(
    command: Sequence[str | Path],
    *,
    environment: Mapping[str, str],
    directory: Path | None = None,
    user: str | None = None,
) -> None:
    """Run a program to its end. Raises ProcessFailedError with its output when it fails."""
    done = subprocess.run(  # noqa: S603 - the words are ours
        list(map(str, command)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(environment),
        cwd=directory,
        user=user,
        group=None if user is None else group_of(user),
        extra_groups=None if user is None else [],
        check=False,
    )
    if done.returncode:
        output = done.stdout.decode(errors="replace")[-_LOG_SHOWN:]
        name = Path(command[0]).name
        raise ProcessFailedError(f"{name} ended with exit status {done.returncode}:\n{output}")


def unprivileged_user() -> str | None:
    """Whom to run a server as that refuses to run for root: `nobody` if we are root; None: ourselves."""
    return "nobody" if os.geteuid() == 0 else None


def group_of(user: str) -> int:
    """The id of a user's own group."""
    return pwd.getpwnam(user).pw_gid


def free_port() -> int:
    """A port of the loopback interface that nobody listens on just now."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        return cast("int", listener.getsockname()[1])


def accepts_connections(port: int) -> bool:
    """Whether somebody listens on a port of the loopback interface."""
    try:
        socket.create_connection((LOOPBACK, port), timeout=1).close()
    except OSError:
        return False
    return True


def tail(log: Path) -> str:
    """The end of a log, for an error message."""
    return log.read_text(errors="replace")[-_LOG_SHOWN:]


def _stop(popen: subprocess.Popen[bytes]) -> None:
    if popen.stdin:
        popen.stdin.close()
    try:
        with suppress(subprocess.TimeoutExpired):
            popen.wait(_PATIENCE)
    finally:  # it is stubborn, or we were interrupted while we waited: either way it must go
        popen.kill()
        popen.wait()
