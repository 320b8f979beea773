"""Watch a real database credential rotate, on this machine alone. No AWS account is needed, and nothing leaves it."""

import argparse
import io
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from tests.local.demo import DemoError

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_UNWINDING = 3.0
"""Seconds in which everything has been stopped, as a rule in one."""


class _Interrupted(BaseException):
    """Somebody wants it to end: no exception handler on the way may think that it is about something else."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_status = 128 + number


def main(words: Sequence[str] | None = None) -> int:
    """Return 0: all was as promised; 1: something failed; 130: Ctrl-C. Whatever was started has ended by then."""
    with _interruptible():
        try:
            _play(words)
        except _Interrupted as interruption:
            print("Interrupted: everything that was started has been stopped.", file=sys.stderr)
            return interruption.exit_status
        except ModuleNotFoundError as error:
            return _failed(f"{error.name} is not installed for this Python. `make demo` installs what is needed.")
        except BrokenPipeError:  # as after `| head`; what Python still wants to write at its end has to go somewhere
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except (DemoError, OSError) as error:
            return _failed(str(error))
    return 0


def _play(words: Sequence[str] | None) -> None:
    # Imported here: what is not installed is said in one line. The heavy part comes last: something is shown at once.
    with _postponed():
        from tests.local.demo.mysql import MARIADB, MYSQL  # noqa: PLC0415
        from tests.local.demo.postgresql import POSTGRESQL  # noqa: PLC0415
        from tests.local.demo.screen import Screen  # noqa: PLC0415

    engines = {"postgresql": POSTGRESQL, "mysql": MYSQL, "mariadb": MARIADB}
    arguments = _arguments(words, list(engines))
    engine = engines[arguments.engine]
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a tick that a terminal cannot show is no reason to fail
    screen = Screen.on(sys.stdout)
    screen.title(
        f"A {engine.name} credential rotates, on this machine alone",
        "A real server, the rotation function, and a stand-in for Secrets Manager that keeps the rules of the service. "
        "No AWS account is needed, and nothing leaves this machine. Ctrl-C ends it.",
    )
    with _postponed():
        from tests.local.demo.story import play  # noqa: PLC0415

    play(screen, engine, linger=_until_interrupted if arguments.keep else None)


def _arguments(words: Sequence[str] | None, engines: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.local.demo", description=__doc__)
    parser.add_argument("--engine", choices=engines, default=engines[0], help="the database; default: %(default)s")
    parser.add_argument("--keep", action="store_true", help="leave all of it running for a look around, until Ctrl-C")
    return parser.parse_args(words)


def _until_interrupted() -> None:
    """Wait for Ctrl-C, which is how this ends well."""
    try:
        while True:
            signal.pause()
    except _Interrupted as interruption:
        if interruption.exit_status != 128 + signal.SIGINT:
            raise


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let a signal to end unwind everything. Impatience does not disturb that, but after a while is heard again."""
    last = -_UNWINDING

    def interrupt(number: int, _: FrameType | None) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > _UNWINDING:
            last = now
            raise _Interrupted(number)

    before = {each: signal.signal(each, interrupt) for each in _SIGNALS}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@contextmanager
def _postponed() -> Iterator[None]:
    """Let signals wait until the block ends: modules that are being imported may swallow an interruption."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def _failed(message: str) -> int:
    print(f"The demo failed: {message}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
