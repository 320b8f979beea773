"""Why can a rotation fail?

    RotationError
    ├── InvalidEvent            the event is not a rotation event
    ├── InvalidConfiguration    an environment variable of the function says something impossible
    ├── InvalidSecret           the secret's JSON lacks a field, or names another engine
    ├── NotRotatable            rotation is off, or this version is not staged for it
    ├── Unsafe                  carrying on could change, or disclose, somebody else's credential
    │   └── Superseded          the pending version does not follow from the current one
    ├── Unsupported             the engine cannot do what the strategy needs
    ├── RightsDiffer            the two users of an alternating pair may not do the same
    ├── OutOfTime               the function's timeout is too near to begin, or to go on
    ├── ServiceFailed           an AWS service refused a call, or did not answer
    ├── Unexpected              a defect of this program
    └── DatabaseError
        ├── LoginRefused        the server answered: wrong user or password
        ├── LoginBlocked        the server answered: not now, not here, not to this database
        ├── Untrusted           the server did not prove who it is
        ├── Unreachable         nobody answered
        ├── NotPermitted        the user who is logged in may not do this
        └── StatementFailed     the server refused a statement for another reason
            └── PasswordRefused  the server's policy does not take the pending password

`LoginRefused` and `NotPermitted` are the two errors that decide something: another credential is tried. All others
end the step, and Secrets Manager tries the rotation again. `Superseded` and `PasswordRefused` do not pass with that:
they say that this version can never become current, and how to give it up.
"""

import os
import traceback
from collections.abc import Callable
from typing import ClassVar, Self


class RotationError(Exception):
    """A step cannot be done.

    Every error says three things: what was being done and to what, the cause, and what the operator can do about it.
    None of the three may hold a password, a token or a statement with a value in it.
    """

    ends_version: ClassVar[bool] = False
    """Whether the pending version can never become current, however often it is tried again."""

    def __init__(self, operation: str, cause: str, remedy: str) -> None:
        super().__init__(operation, cause, remedy)
        self.operation = operation
        self.cause = cause
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.operation}: {self.cause.rstrip('.')}. {self.remedy.rstrip('.')}."

    def rewritten(self, rewrite: Callable[[str], str]) -> Self:
        """Return the same error, each of its texts passed through `rewrite`, without traceback, cause or context."""
        return type(self)(rewrite(self.operation), rewrite(self.cause), rewrite(self.remedy))


class InvalidEvent(RotationError):
    """The event is not a rotation event."""


class InvalidConfiguration(RotationError):
    """An environment variable of the function says something impossible."""


class InvalidSecret(RotationError):
    """The secret's JSON lacks a field, or names another engine."""


class NotRotatable(RotationError):
    """Rotation is off, or this version is not staged for it."""


class Unsafe(RotationError):
    """Carrying on could change, or disclose, somebody else's credential."""


class Superseded(Unsafe):
    """The pending version does not follow from the current one."""

    ends_version = True


class Unsupported(RotationError):
    """The engine cannot do what the strategy needs."""


class RightsDiffer(RotationError):
    """The two users of an alternating pair may not do the same."""


class OutOfTime(RotationError):
    """The function's timeout is too near to begin, or to go on."""


class ServiceFailed(RotationError):
    """An AWS service refused a call, or did not answer."""


class Unexpected(RotationError):
    """A defect of this program."""

    @classmethod
    def from_exception(cls, error: Exception, operation: str) -> Self:
        """Say where it happened, and nothing of what it says: that may hold a secret."""
        place = traceback.extract_tb(error.__traceback__)[-1]
        return cls(
            operation,
            f"{type(error).__name__} in {os.path.basename(place.filename)}, line {place.lineno}",  # noqa: PTH119 - no path needed
            "This is a defect of the function: please report it with this place",
        )


class DatabaseError(RotationError):
    """The database, or the way to it, stands in the way."""


class LoginRefused(DatabaseError):
    """The server answered: wrong user or password."""


class LoginBlocked(DatabaseError):
    """The server answered: not now, not here, not to this database."""


class Untrusted(DatabaseError):
    """The server did not prove who it is."""


class Unreachable(DatabaseError):
    """Nobody answered."""


class NotPermitted(DatabaseError):
    """The user who is logged in may not do this."""


class StatementFailed(DatabaseError):
    """The server refused a statement for another reason."""


class PasswordRefused(StatementFailed):
    """The server's policy does not take the pending password."""

    ends_version = True
