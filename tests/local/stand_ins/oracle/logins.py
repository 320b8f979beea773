"""Whom does the stand-in for Oracle let in, and what does it say to the others?"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tests.local.stand_ins.oracle.sql import OracleError
from tests.local.stand_ins.oracle.vocabulary import DAY, UNLIMITED

if TYPE_CHECKING:
    from tests.local.stand_ins.oracle.database import Database, User


def log_in(database: "Database", name: str, accepts: Iterable[str], new: str | None) -> str | None:
    """Log in a user with one of the passwords that the client proved to have; return a warning.

    If the client sent a new password, the user has that one then. Raises OracleError.
    """
    accepted = frozenset(accepts)
    try:
        warning = None if name in database.enterprise and accepted else _admit(database, name, accepted, new)
    except OracleError as error:
        database.audit.append(f"LOGON {name} {error.number}")
        raise
    database.audit.append(f"LOGON {name} 0")
    return warning


def _admit(database: "Database", name: str, accepted: frozenset[str], new: str | None) -> str | None:
    """Follow Oracle's order: a lock, the password, its age, and the right to log in."""
    user = database.users.get(name)
    if user is None:
        raise _wrong(database)
    _end_lock(database, user)
    if user.locked:
        raise OracleError(28000, "The account is locked.")
    old = accepted & frozenset(database.passwords(name))
    if not old:
        _count(database, user)
        raise _wrong(database)
    user.failed = 0
    if database.keeps_out:
        raise OracleError(*database.keeps_out)
    if new is not None:
        database.set_password(user, new, min(old))
    if user.expired:
        raise OracleError(28001, "The account has expired.")
    if not database.may(name, "CREATE SESSION"):
        raise OracleError(1045, f"Login denied. User {name} does not have CREATE SESSION privilege.")
    return user.grace or None


def _wrong(database: "Database") -> OracleError:
    what = "credential or not authorized" if database.version >= (23,) else "username/password"
    return OracleError(1017, f"invalid {what}; logon denied")


def _count(database: "Database", user: "User") -> None:
    """Count a failed login, hold back its answer, and lock the user after too many."""
    user.failed += 1
    database.elapsed += user.delay
    limit = database.limit(user.profile, "FAILED_LOGIN_ATTEMPTS")
    if limit != UNLIMITED and user.failed >= int(limit):
        user.locked, user.locked_at = True, database.now()
        user.timed = _lock_days(database, user) != float("inf")  # else it reads like a lock by an administrator


def _end_lock(database: "Database", user: "User") -> None:
    if user.timed and database.now() >= user.locked_at + _lock_days(database, user) * DAY:
        user.locked = user.timed = False
        user.failed = 0


def _lock_days(database: "Database", user: "User") -> float:
    """Return how many days failed logins lock a user; infinite if that is unlimited."""
    limit = database.limit(user.profile, "PASSWORD_LOCK_TIME")
    return float("inf") if limit == UNLIMITED else float(limit)
