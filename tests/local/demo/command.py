"""How does a command of ours end? With success, with an error of one line, or by a signal."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from tests.local.demo import DemoError

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_GLANCE = 0.2
_UNWINDING = 3.0
"""Seconds to stop everything; usually it takes one."""


class _Interrupted(BaseException):
    """A signal asked us to end. It is no Exception, so no handler on the way catches it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_status = 128 + number


def run(task: Callable[[], None], name: str) -> int:
    """Return 0: all was as promised; 1: something failed; 130: Ctrl-C. All that the task started has ended then."""
    with _interruptible():
        try:
            task()
        except _Interrupted as interruption:
            print("Interrupted: everything that was started has been stopped.", file=sys.stderr)
            return interruption.exit_status
        except ModuleNotFoundError as error:
            return _failed(name, f"{error.name} is not installed for this Python. `make demo` installs what is needed.")
        except BrokenPipeError:  # as with `| head`; Python's last output must go somewhere
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except (DemoError, OSError) as error:
            return _failed(name, str(error))
    return 0


def wait_for_interrupt() -> None:
    """Wait for Ctrl-C, which is a success here.

    `signal.pause` would sleep on if the signal comes just before it, or to another thread.
    """
    try:
        while True:
            time.sleep(_GLANCE)
    except _Interrupted as interruption:
        if interruption.exit_status != 128 + signal.SIGINT:
            raise


@contextmanager
def postponed() -> Iterator[None]:
    """Let signals wait until the block ends: an import can swallow an interruption."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let a signal end everything in order. More signals are ignored for some seconds meanwhile."""
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


def _failed(name: str, message: str) -> int:
    print(f"{name} failed: {message}", file=sys.stderr)
    return 1
