"""How is python-oracledb kept from going elsewhere than it was sent?

It looks a host's name up once more by itself: by then it may lead elsewhere. It follows a listener that sends it on, to
whatever host and port that says (both tried with 26.1). And it takes no socket of ours. But before Python connects it
says so to audit hooks, which may prevent it (https://docs.python.org/3/library/sys.html#sys.addaudithook). So a thread
that logs in gets one connection, to one of the addresses that were looked up and checked.
"""

import socket
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any


class Elsewhere(OSError):
    """The client was about to connect to where nobody sent it."""


class _Bounds(threading.local):
    """What holds for a thread."""

    places: set[tuple[str, int]] | None = None
    """Where it may still try to connect to; None: anywhere."""
    way: socket.socket | None = None
    """What it has connected last; closed where that failed."""


_bounds = _Bounds()


@contextmanager
def one_connection(addresses: Iterable[str], port: int) -> Iterator[None]:
    """Let this thread make one connection, to the first of these places that takes it; else it meets with Elsewhere."""
    _bounds.places = {(address, port) for address in addresses}
    try:
        yield
    finally:
        _bounds.places, _bounds.way = None, None


def _prevent(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "socket.connect" or _bounds.places is None:
        return
    way, place = arguments[0], arguments[1][:2]
    if place not in _bounds.places or (_bounds.way and _bounds.way.fileno() >= 0):
        raise Elsewhere
    _bounds.places.remove(place)
    _bounds.way = way


sys.addaudithook(_prevent)
