"""What must a driver offer?

A driver is an engine and its sessions. Every verb says what holds after the call and what may be repeated; nothing
else may be relied upon, and the contract tests hold every driver to it. An operation that the server refuses raises
one of the `DatabaseError`s of `rotation.errors`.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Protocol, runtime_checkable

from rotation.credential import Credential
from rotation.deadline import Deadline
from rotation.kind import EngineKind


@dataclass(frozen=True)
class Proof:
    """A login that succeeded, and which account of the server it was.

    A name is not enough: a server can have several accounts of one name, and another server can have one as well.
    """

    username: str
    password: str = field(repr=False)
    principal: str
    """What the server tells this account by, so that nobody else has it: the oid of a role, an account with its host, a
    SID. Only the driver that wrote it reads it."""


class CloneStatus(Enum):
    """What a server knows about the other user of an alternating pair."""

    ABSENT = auto()
    """There is no such user, and it may be created."""
    OURS = auto()
    """The pair carries our mark."""
    UNKNOWN = auto()
    """There is such a user, and nothing on the server tells that it is ours."""


class Session(Protocol):
    """One authenticated connection."""

    def proof(self) -> Proof:
        """Return who is logged in, as the server itself says. Changes nothing.

        May be called after a statement that the server refused. Raises Unsafe if the server logged in another account
        than the credential names: an anonymous one, one of another kind, one that a proxy put in its place.
        """

    def require_proven(self, proof: Proof) -> None:
        """Bind this session, an admin's, to an account that logged in.

        After the call the session looks at and changes that account, and no other of its name. Raises Unsafe if it
        finds no such account, or another one, under that name. Changes nothing.
        """

    def change_own_password(self, password: str) -> None:
        """Give the user who is logged in this password.

        May be repeated. Raises NotPermitted where users of this server, or this user, may not do so.
        """

    def clone_status(self, user: str, other: str) -> CloneStatus:
        """Tell what is known about `other`, with which `user` is to take turns. Changes nothing.

        Raises Unsafe where one of the two can never be the other's clone.
        """

    def mirror(self, user: str, other: str) -> None:
        """Make `other` what `user` is in all but name and password; create it, unable to log in, where it is absent.

        After the call the pair carries our mark, and the effective rights of the two are the same: additions and
        removals. `user` keeps all it had. May be repeated, and continued by a repetition where it was cut off at any
        statement.
        """

    def set_password(self, username: str, password: str) -> None:
        """Give another user this password and let it log in. May be repeated.

        Raises PasswordRefused where the server's policy does not take the password; all that set one do.
        """

    def reset_password(self, username: str, password: str) -> None:
        """Give another user this password; whoever was kept from logging in still is. May be repeated."""

    def differences(self, user: str, other: str) -> Sequence[str]:
        """Say in what `other` is not what `user` is, a sentence each; none where there is nothing. Changes nothing."""

    def verify(self, statements: Sequence[str]) -> None:
        """Run the statements as the application would, and roll everything back, whatever the statements are."""


@runtime_checkable
class KeepsOldPassword(Protocol):
    """A session on an engine whose users can have two passwords."""

    def require_two_passwords(self) -> None:
        """Raise Unsupported, with the reason, where this server, or the user logged in, cannot have two passwords."""

    def add_password(self, username: str, current: str, password: str) -> None:
        """Have the user accept `password`, and still `current`, which it accepts now; any other password ends.

        At no instant is `current` refused. May be repeated, and interrupted. Raises NotPermitted where the user who is
        logged in may not do so, and an admin may.
        """


class Engine(Protocol):
    """A kind of database."""

    @property
    def kind(self) -> EngineKind:
        """The facts that need no connection."""

    def connect(self, credential: Credential, deadline: Deadline) -> AbstractContextManager[Session]:
        """Log in; what the session did is committed when the block ends well, and the connection is closed in any case.

        The server has proved who it is before it learns anything about the password, unless the credential says not
        to ask it. Nothing waits beyond the deadline. Raises LoginRefused only where the server said that user or
        password are wrong.
        """
