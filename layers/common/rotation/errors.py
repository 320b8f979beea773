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
    ├── RightsDiffer            the two users of an alternating pair have different rights, or find different things
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

docs/errors.md is made of this module: after each change run `.local/python/bin/python -m tests.local.error_table`.
Each class says what it means; then what becomes of the application, which is read at night; then what to do first.
"""

import os
import traceback
from collections.abc import Callable
from typing import ClassVar, Final, Self

PAGE: Final = "docs/errors.md"
"""It has a section for each error, with the name of the error."""

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
        return f"{self.sentences} See {PAGE}#{type(self).__name__.lower()}"

    @property
    def sentences(self) -> str:
        """What the error says, without where to read on: for texts that go on after it."""
        return f"{self.operation}: {self.cause.rstrip('.')}. {self.remedy.rstrip('.')}."

    def rewritten(self, rewrite: Callable[[str], str]) -> Self:
        """Return the same error with its three texts rewritten, and without traceback or chained exceptions."""
        return type(self)(rewrite(self.operation), rewrite(self.cause), rewrite(self.remedy))


class InvalidEvent(RotationError):
    """The event is not a rotation event.

    Application: It logs in as before. Nothing was changed.
    First: Find out who invoked the function: a rotation of Secrets Manager sends no such event.
    """


class InvalidConfiguration(RotationError):
    """An environment variable of the function has an impossible value.

    Application: This step changed nothing, in the secret or in the database.
    First: Correct the parameter that belongs to the variable in the message, and deploy. The same version is tried
    again.
    """

    needs_human = True


class InvalidSecret(RotationError):
    """The secret's JSON lacks a field, or names another engine.

    Application: This step changed nothing, in the secret or in the database.
    First: Find out who edited the secret, or the admin secret (CloudTrail: PutSecretValue), and correct the field in
    the message.
    """

    needs_human = True


class NotRotatable(RotationError):
    """Rotation is off, or this version is not staged.

    Application: This step changed nothing. If setSecret has run for this version, the database of a single user can
    have the version's password: the next rotation finds it.
    First: Check whether somebody ended the rotation on purpose (CloudTrail: UpdateSecretVersionStage,
    CancelRotateSecret). If not, start a new one with the command in the message.
    """


class NotAttachable(RotationError):
    """A tagged secret cannot be attached to a rotation function.

    Application: It logs in as before. The secret is not rotated.
    First: Correct what the message names. The tag is looked at again by itself.
    """


class Unsafe(RotationError):
    """Going on could change, or disclose, somebody else's credential.

    Application: It logs in as before this step. The step ended before it touched what could be somebody else's.
    First: Find out whose the account, host or trigger in the message is. Change nothing before you know.
    """

    needs_human = True


class Superseded(Unsafe):
    """The pending version does not follow from the current one.

    Application: It logs in as before this step. The pending version was sent nowhere.
    First: Find out who wrote the secret during the rotation (CloudTrail: PutSecretValue), and whether that was you.
    """

    ends_version = True


class Unsupported(RotationError):
    """The engine cannot do what the strategy needs.

    Application: It logs in as before: the user of AWSCURRENT is as it was. The other user of a pair can have some of
    its rights already.
    First: Choose in daylight: do what the message says, or let the secret name another strategy. No rotation will
    succeed until then.
    """

    needs_human = True


class RightsDiffer(RotationError):
    """The two users of an alternating pair have different rights, or find different things.

    Application: It logs in as before, with all its rights. The user with the other rights does not become current.
    First: Read the differences, and decide for each which of the two users is right. Run the statement for that.
    """

    needs_human = True


class OutOfTime(RotationError):
    """Too little is left of the function's timeout.

    Application: The step ended itself, and can have changed the password before: see the table by step.
    First: Wait for the next try: it goes on where this one ended. If it ends like this again, find out what the server
    is busy with.
    """


class ServiceFailed(RotationError):
    """An AWS service refused a call, or did not answer.

    Application: The database heard nothing of this call. What the steps before have done is in the table by step.
    First: Correct the permission, the key or the way to the service that the message names. Nothing is lost meanwhile.
    """


class Unexpected(RotationError):
    """A defect of this program.

    Application: The step ended where the message says, and can have changed the password before: see the table by step.
    First: Run the doctor (make doctor SECRET=name): it says which version logs in, and how to end the rotation.
    """

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
    """The database refused something, or could not be reached.

    Application: See the errors below: each is one of these.
    First: Read on at the error that the line in the log names.
    """


class LoginRefused(DatabaseError):
    """The server answered: wrong user or password.

    Application: In setSecret, the server refused AWSCURRENT too: an application that connects anew is refused, and
    connections that are open go on. In testSecret, only the new version was refused: see the table by step.
    First: Run the doctor (make doctor SECRET=name): it says which version logs in. Do not try passwords by hand: the
    server can lock the user after a few.
    """

    needs_human = True


class LoginBlocked(DatabaseError):
    """The server answered: not now, not here, not to this database.

    Application: What keeps this login out can keep the application out too: a lock, a limit, a database that is closed.
    The login changed nothing.
    First: Check whether the application connects anew. If not, do what the message says at once; if it does, the cause
    is between this function and the server, or at the admin.
    """


class Untrusted(DatabaseError):
    """The server did not prove its identity.

    Application: It logs in as before, unless it checks the certificate too. This function sent no password.
    First: Check whether the certificate has expired, or is for another host name. Do not turn TLS off to get on.
    """

    needs_human = True


class Unreachable(DatabaseError):
    """Nobody answered.

    Application: If it reaches the server, the cause is the network of this function. If the connection was lost within
    setSecret, the password can be the new one: the next try finds out.
    First: Check whether the application reaches the server. If not, the server is down, and this error is the smaller
    problem.
    """


class NotPermitted(DatabaseError):
    """The user that is logged in has no permission for this.

    Application: It logs in as before this step. The server did nothing of the statement that it refused.
    First: Run the statement in the message as an admin. The rotation then goes on by itself, if it is tried again.
    """

    needs_human = True


class StatementFailed(DatabaseError):
    """The server refused a statement for another reason.

    Application: The server did nothing of the statement that it refused; of those before it, see the table by step.
    First: Read the cause: usually somebody holds a lock, or the server is busy, and the next try succeeds.
    """


class PasswordRefused(StatementFailed):
    """The server's policy refuses the pending password.

    Application: It logs in as before: the server refused the new password, so the old one is valid.
    First: Set the parameters that the message names, deploy, and rotate again.
    """

    ends_version = True
    needs_human = True
