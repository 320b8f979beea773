"""How do two invocations that change one user keep out of each other's way? With a lock of the server for each user.

Two deliveries of a step, or two secrets with one user, can run at the same time. Each reads what is there and sends
what is missing, so both would create a clone, and both would revoke a right. Statements on accounts are no
transactions, so a lock keeps the sessions apart. It ends with its session: when the session is closed, or has been
idle for a minute.

Any user can take a lock of any name, and a function that was killed can leave its session behind. Neither stops a
rotation: if the holder of the lock is not another session of this admin at work, it is waited for once, and passed
over.
"""

import hashlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from rotation.engines.mysql.connection import MySQLConnection
from rotation.engines.mysql.names import literal
from rotation.errors import RETRIED, StatementFailed
from rotation.redaction import said
from rotation.values import dataclass

LOCK_SECONDS: Final = 10
"""How long a lock is waited for, and how long its holder must have been idle to be passed over."""

MOST_LETTERS: Final = 64
"""The longest name of a lock on MySQL; on MariaDB it is 192 bytes."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Holder:
    """The connection that holds a lock, as far as the user who is logged in can see it."""

    number: int
    user: str = ""
    host: str = ""
    is_idle: bool = False

    def __str__(self) -> str:
        return f"connection {self.number}{f' of {self.user} from {self.host}' if self.user else ''}"


def lock_name(username: str) -> str:
    """Return the name of the lock of a user."""
    name = f"rotation:{username}"
    return name if len(name) <= MOST_LETTERS else f"rotation:{hashlib.sha256(name.encode()).hexdigest()[:32]}"


@contextmanager
def server_lock(connection: MySQLConnection, username: str, operation: str) -> Iterator[None]:
    """Hold the lock of a user; raises StatementFailed if another connection holds it, whoever that is."""
    name = lock_name(username)
    if not _take(connection, name, connection.deadline.allow(LOCK_SECONDS, operation), operation):
        raise lock_is_held(name, find_holder(connection, name, operation), operation)
    yield
    connection.execute(operation, f"DO RELEASE_LOCK({literal(name)})")


def take_turn(connection: MySQLConnection, usernames: Iterable[str], operation: str) -> None:
    """Take the locks of these users, an admin's session to the end of it.

    From then on what the server says of them is kept: see `rotation.engines.mysql.answers`. Raises StatementFailed if
    another session of the same admin is at work with one of them.
    """
    users = frozenset(usernames) - connection.turn
    if not users:
        return
    names = sorted(map(lock_name, users))  # always in one order, so two sessions never wait for each other
    for name in names[_take_free(connection, names, operation) :]:
        seconds = connection.deadline.share(2 * LOCK_SECONDS, 2, operation)  # the work comes after it
        if not _take(connection, name, seconds, operation):
            holder = find_holder(connection, name, operation)
            if not holder or (holder.user == connection.username and not holder.is_idle):
                raise lock_is_held(name, holder, operation)
            log.warning(said(f"{operation}: {holder} holds the lock {name}, and is passed over"))
    connection.turn |= users
    connection.answers.keep()


def find_holder(connection: MySQLConnection, name: str, operation: str) -> Holder | None:
    """Return who holds a lock; None if nobody does any more. Whose connection it is, not every user can see."""
    [(number,)] = connection.execute(operation, f"SELECT IS_USED_LOCK({literal(name)})")
    if number is None:
        return None
    query = f"SELECT user, host, command, time FROM information_schema.processlist WHERE id = {int(number)}"  # noqa: S608 - a number
    for user, host, command, seconds in connection.execute(operation, query):
        return Holder(int(number), str(user), str(host), command == "Sleep" and int(seconds) >= LOCK_SECONDS)
    return Holder(int(number))


def lock_is_held(name: str, holder: Holder | None, operation: str) -> StatementFailed:
    """Return an error that names the holder of a lock: any user may take one of any name."""
    if not holder:
        return StatementFailed(operation, f"another invocation of this step held the lock {name}", RETRIED)
    cause = f"{holder} holds the lock {name}, as another invocation of this step does"
    return StatementFailed(operation, cause, f"{RETRIED}. If it is no rotation function, run KILL {holder.number}")


def _take(connection: MySQLConnection, name: str, seconds: float, operation: str) -> bool:
    [(is_ours,)] = connection.execute(operation, f"SELECT {_getting(name, seconds)}")
    return bool(is_ours)


def _take_free(connection: MySQLConnection, names: Sequence[str], operation: str) -> int:
    """Take the first of these locks, one after the other, that nobody holds, in one statement; return how many.

    The version is asked along: MySQL's pairs need it.
    """
    first, *others = names
    steps = [_getting(first, 0)]
    for before, name in zip(names, others, strict=False):  # the last one comes before none
        steps.append(f"IF(IS_USED_LOCK({literal(before)}) = CONNECTION_ID(), {_getting(name, 0)}, 0)")
    [(*taken, version)] = connection.execute(operation, f"SELECT {', '.join(steps)}, VERSION()")
    connection.note_version(version)
    return [*map(bool, taken), False].index(False)


def _getting(name: str, seconds: float) -> str:
    return f"GET_LOCK({literal(name)}, {int(seconds)})"
