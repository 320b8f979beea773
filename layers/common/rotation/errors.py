"""Why can a rotation fail?

    RotationError
    ├── InvalidEvent            the event is not a rotation event
    ├── InvalidConfiguration    an environment variable of the function has an impossible value
    ├── InvalidSecret           the secret's JSON lacks a field, or names another engine
    ├── NotRotatable            rotation is off, or this version is not staged
    ├── NotAttachable           a tagged secret cannot be attached to a rotation function
    ├── Unsafe                  going on could change, or disclose, somebody else's credential
    │   └── Superseded          the pending version does not follow from the current one
    ├── Unsupported             the engine cannot do what the strategy needs
    ├── RightsDiffer            the two users of an alternating pair have different rights
    ├── OutOfTime               too little is left of the function's timeout
    ├── ServiceFailed           an AWS service refused a call, or did not answer
    ├── Unexpected              a defect of this program
    └── DatabaseError
        ├── LoginRefused        the server answered: wrong user or password
        ├── LoginBlocked        the server answered: not now, not here, not to this database
        ├── Untrusted           the server did not prove its identity
        ├── Unreachable         nobody answered
        ├── NotPermitted        the user that is logged in has no permission for this
        └── StatementFailed     the server refused a statement for another reason
            └── PasswordRefused  the server's policy refuses the pending password

Two errors lead to another attempt within the step: after `LoginRefused` another credential logs in, after
`NotPermitted` the admin acts. All others end the step, and Secrets Manager tries the rotation again. `Superseded` and
`PasswordRefused` do not go away: this version can never become current, and the message says how to give it up.

An error `needs_human` if a try that meets the same state fails in the same way: only a person changes what it
complains of. So nobody needs to wait until Secrets Manager gives up. The others can pass by themselves: a network, a
lock, a limit, AWS. Some of them do not (a permission that is missing is `ServiceFailed`, too), but the class does not
tell; of these Secrets Manager says at the end that the rotation failed.
"""

import os
import traceback
from collections.abc import Callable
from typing import ClassVar, Final, Self

RETRIED: Final = "The rotation is tried again by itself"
"""The remedy, or the end of one, if the operator has nothing more to do."""

WRONG_PASSWORD: Final = "Put the user's real password into the secret, as a new version, and rotate again"  # noqa: S105 - a remedy


class RotationError(Exception):
    """A step failed.

    Every error says three things: the operation (what was being done, to what), the cause, and the remedy (what the
    operator can do). None of them holds a password, a token, or a statement with a value in it.
    """

    ends_version: ClassVar[bool] = False
    """Whether the pending version can never become current, however often the step is repeated."""

    needs_human: ClassVar[bool] = False
    """Whether no retry ends it: somebody must change the secret, the database or the function first."""

    def __init__(self, operation: str, cause: str, remedy: str) -> None:
        super().__init__(operation, cause, remedy)
        self.operation = operation
        self.cause = cause
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.operation}: {self.cause.rstrip('.')}. {self.remedy.rstrip('.')}."

    def rewritten(self, rewrite: Callable[[str], str]) -> Self:
        """Return the same error with its three texts rewritten, and without traceback or chained exceptions."""
        return type(self)(rewrite(self.operation), rewrite(self.cause), rewrite(self.remedy))


class InvalidEvent(RotationError):
    """The event is not a rotation event."""


class InvalidConfiguration(RotationError):
    """An environment variable of the function has an impossible value."""

    needs_human = True


class InvalidSecret(RotationError):
    """The secret's JSON lacks a field, or names another engine."""

    needs_human = True


class NotRotatable(RotationError):
    """Rotation is off, or this version is not staged."""


class NotAttachable(RotationError):
    """A tagged secret cannot be attached to a rotation function."""


class Unsafe(RotationError):
    """Going on could change, or disclose, somebody else's credential."""

    needs_human = True


class Superseded(Unsafe):
    """The pending version does not follow from the current one."""

    ends_version = True


class Unsupported(RotationError):
    """The engine cannot do what the strategy needs."""

    needs_human = True


class RightsDiffer(RotationError):
    """The two users of an alternating pair have different rights."""

    needs_human = True


class OutOfTime(RotationError):
    """Too little is left of the function's timeout."""


class ServiceFailed(RotationError):
    """An AWS service refused a call, or did not answer."""


class Unexpected(RotationError):
    """A defect of this program."""

    needs_human = True

    @classmethod
    def from_exception(cls, error: Exception, operation: str) -> Self:
        """Say where it happened. The exception's own text can hold a secret, so nothing of it is kept."""
        place = traceback.extract_tb(error.__traceback__)[-1]
        return cls(
            operation,
            f"{type(error).__name__} in {os.path.basename(place.filename)}, line {place.lineno}",  # noqa: PTH119 - no path needed
            "Report this as a defect of the function, with this place",
        )


class DatabaseError(RotationError):
    """The database refused something, or could not be reached."""


class LoginRefused(DatabaseError):
    """The server answered: wrong user or password."""

    needs_human = True


class LoginBlocked(DatabaseError):
    """The server answered: not now, not here, not to this database."""


class Untrusted(DatabaseError):
    """The server did not prove its identity."""

    needs_human = True


class Unreachable(DatabaseError):
    """Nobody answered."""


class NotPermitted(DatabaseError):
    """The user that is logged in has no permission for this."""

    needs_human = True


class StatementFailed(DatabaseError):
    """The server refused a statement for another reason."""


class PasswordRefused(StatementFailed):
    """The server's policy refuses the pending password."""

    ends_version = True
    needs_human = True
