"""What must a driver offer?

A driver is an engine and its sessions. Every method says what holds after the call and what can be repeated. Rely on
nothing else: the contract tests check exactly this, on every driver. If the server refuses an operation, the method
raises one of the `DatabaseError`s of `rotation.errors`.
"""

import base64
import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import field
from enum import Enum, auto
from typing import Final, Protocol, runtime_checkable

from rotation.credential import Credential
from rotation.deadline import Deadline
from rotation.finding import Finding
from rotation.kind import EngineKind, Strategy
from rotation.passwords import Rule
from rotation.values import dataclass


@dataclass(frozen=True)
class Proof:
    """A login that succeeded, and which account of the server it was.

    A name is not enough: a server can have several accounts of one name, and another server can have one as well.
    """

    username: str
    password: str = field(repr=False)
    principal: str
    """What identifies the account on the server, and no other one: the oid of a role, an account with its host, a SID.
    Only the driver that wrote it reads it."""


class CloneStatus(Enum):
    """What a server knows about the other user of an alternating pair."""

    ABSENT = auto()
    """There is no such user, and it can be created."""
    OURS = auto()
    """The pair carries our mark."""
    UNKNOWN = auto()
    """There is such a user, and nothing on the server says that it is ours."""


@dataclass(frozen=True)
class Unshared:
    """Something that is bound to one user's name, so that no rotation can give it to the other user of a pair."""

    kind: str
    """The word for it in the secret, one of `EngineKind.unshared_kinds`."""
    what: str
    """What the application cannot do when the other user is current: a sentence that names the objects."""


@dataclass(frozen=True)
class Difference:
    """One thing that one of two users has, or is, and the other is not."""

    what: str
    """A sentence. It is the same whenever the difference is found again."""
    change_other: str
    """The statement that ends the difference at the other user."""
    change_user: str
    """The statement that ends it at the user."""
    can_follow: bool = True
    """Whether `mirror` ends it. If not, somebody must."""


@dataclass(frozen=True)
class Comparison:
    """What the two users of an alternating pair are, compared."""

    differences: Sequence[Difference]
    user_state: str
    """Stands for all that the user has and is, as far as a rotation copies it: equal as long as nothing of it changes.
    Made by `state`."""
    other_state: str
    """The same of the other user. The state of one user is compared with its own only, never with the other's."""
    unlock: str | None = None
    """The statement that lets the other user log in, if it cannot because somebody has locked it."""
    passing: Collection[str] = ()
    """Sentences of differences that `mirror` can make on its way, and ends; and `unlock`, if it locks the other."""
    is_locked_by_somebody: bool = False
    """Whether it is certain that no rotation has locked the other user, also not one that was creating it."""

    @property
    def sentences(self) -> list[str]:
        """The differences, a sentence each."""
        return [difference.what for difference in self.differences]


def state(things: Iterable[str]) -> str:
    """Return what stands for all these things, in whatever order they come: 26 letters and digits."""
    digest = hashlib.sha256()
    for thing in sorted(things):
        text = thing.encode("utf-8", "surrogatepass")
        digest.update(b"%d:%b" % (len(text), text))
    return base64.b32encode(digest.digest()[:16]).decode().rstrip("=")


OWN_NAME: Final = "the user's own name"
"""Stands in surroundings for the name of the user that is logged in."""


class Session(Protocol):
    """One authenticated connection."""

    def proof(self) -> Proof:
        """Return who is logged in, as the server itself says. Changes nothing.

        Can be called after a statement that the server refused. Raises Unsafe if the server logged in an account that
        the credential does not name: an anonymous one, one of another kind, or one that a proxy put in its place.
        """

    def surroundings(self) -> Mapping[str, str]:
        """Return what an application finds in this session and did not ask for, by name: schema, role, search path.

        The user's own name is `OWN_NAME` in it, so that two users can be compared: in what both sessions name. Called
        before all others. Changes nothing.
        """

    def require_proven(self, proof: Proof) -> None:
        """Bind this session, an admin's, to an account that logged in.

        After the call the session reads and changes that account, and no other account of its name. Raises Unsafe if
        the name has no account here, or another one. Changes nothing.
        """

    def change_own_password(self, password: str) -> None:
        """Give the user that is logged in this password.

        Can be repeated. Raises NotPermitted if users of this server, or this user, cannot change their own password.
        """

    def clone_status(self, user: str, other: str) -> CloneStatus:
        """Tell what is known about `other`, which is to take turns with `user`. Changes nothing.

        Raises Unsafe if one of the two can never be the other's clone.
        """

    def unshared(self, user: str, other: str) -> Sequence[Unshared]:
        """Return what `user` has, or can do, that `other` can never have. Changes nothing."""

    def mirror(self, user: str, other: str) -> None:
        """Make `other` the same as `user`, except name and password. If it is absent, create it, unable to log in.

        After the call the pair has our mark, and both users have the same effective rights: rights were added and
        removed. `user` keeps all it had. Can be repeated; if it was cut off at any statement, a repetition goes on.
        That there is nothing to do can be known from a comparison that found no difference just before.
        """

    def set_password(self, username: str, password: str) -> None:
        """Give another user this password and let it log in. Can be repeated.

        Raises PasswordRefused if the server's policy refuses the password, like every method that sets one.
        """

    def reset_password(self, username: str, password: str) -> None:
        """Give another user this password; a user that could not log in still cannot. Can be repeated."""

    def compare(self, user: str, other: str) -> Comparison:
        """Compare the two, in all that `mirror` copies. Changes nothing. Raises RightsDiffer if one of them is gone.

        It is of now; only after a `mirror` that has changed nothing, it can be the same as before that.
        If `mirror` is cut off, what still differs was among the differences before it, or among `Comparison.passing`.
        """

    def verify(self, statements: Sequence[str]) -> None:
        """Run the statements like the application, and roll everything back, whatever the statements are."""


@runtime_checkable
class SeesPasswords(Protocol):
    """An admin's session on an engine that shows what it checks passwords with."""

    def accepted(self, username: str, passwords: Sequence[str]) -> Sequence[str] | None:
        """Return those of the passwords that log in as the user, without a login; None if this server does not show it.

        Changes nothing. An expired password counts as one that logs in.
        """


@runtime_checkable
class ShowsPasswordRules(Protocol):
    """A session on an engine that shows every user what it asks of passwords."""

    def password_rules(self) -> Sequence[Rule]:
        """Return what the server asks of every password, as far as numbers say it; nothing if it does not answer.

        Changes nothing.
        """


@runtime_checkable
class KeepsOldPassword(Protocol):
    """A session on an engine whose users can have two passwords."""

    def require_two_passwords(self) -> None:
        """Raise Unsupported, with the reason, if this server, or the user logged in, cannot have two passwords."""

    def add_password(self, username: str, current: str, password: str) -> None:
        """Let the user log in with `password`, and still with `current`, which works now; any other password ends.

        `current` works at every instant. Can be repeated, and interrupted. Raises NotPermitted if the user that is
        logged in cannot do this, and an admin can.
        """


@runtime_checkable
class EndsOldPassword(Protocol):
    """A session on an engine whose users can have a second password, and cannot see whether they have one."""

    def end_old_password(self) -> None:
        """End every password but the one that logged in. Can be repeated.

        Raises NotPermitted, and changes nothing, if the user that is logged in cannot do this, and an admin can.
        """


class Engine(Protocol):
    """A kind of database."""

    @property
    def kind(self) -> EngineKind:
        """The facts that need no connection."""

    def connect(self, credential: Credential, deadline: Deadline) -> AbstractContextManager[Session]:
        """Log in. A block that ends well commits what the session did; the connection is closed in any case.

        The server proves its identity before it learns anything about the password, unless the credential switches TLS
        off. Nothing waits beyond the deadline. Raises LoginRefused only if the server said that user or password are
        wrong.
        """


@runtime_checkable
class InspectedSession(Session, Protocol):
    """A session that can also be asked, before anything is changed, whether a rotation would succeed."""

    def inspect_server(self) -> Iterator[Finding]:
        """Say what the server shows this session about itself, as far as a rotation depends on it. Changes nothing.

        The items are version, replica, password rules, and lockout. What is not shown to this session is a finding too.
        """

    def inspect_rights(self, strategy: Strategy, user: str, other: str) -> Iterator[Finding]:
        """Say whether who is logged in, `user` or an admin, may do its part in this strategy. Changes nothing.

        `other` is who gets the new password: `user` itself, or the other user of a pair. The items are rights, and what
        the engine needs besides.
        """


class InspectedEngine(Engine, Protocol):
    """An engine whose sessions can be asked that: every engine of this application."""

    def connect(self, credential: Credential, deadline: Deadline) -> AbstractContextManager[InspectedSession]:
        """As `Engine.connect`."""

    def reach(self, credential: Credential, deadline: Deadline) -> Iterator[Finding]:
        """Say how far one gets to the credential's host without a login: DNS, TCP, TLS with the certificate.

        Sends nothing of the credential. Raises what `connect` raises if there is no way.
        """
