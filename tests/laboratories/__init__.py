"""How do the tests look into a database, whatever its kind?

All drivers keep one contract. How a test makes a user, or grants it something, differs from engine to engine. A
laboratory does that: as the superuser, with a client of the engine, and with none of the project's code.
"""

import secrets
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from rotation.credential import Credential
from rotation.deadline import Deadline
from rotation.engine import InspectedEngine

ORDERS, INVOICES = THINGS = ("lab_orders", "lab_invoices")
"""What can be read: a new user has the right to read the orders."""


class Run(Protocol):
    """Runs a statement and returns its rows."""

    def __call__(self, statement: Any, *arguments: object) -> list[tuple[Any, ...]]: ...  # noqa: ANN401 - clients have types of their own for statements


@runtime_checkable
class Laboratory(Protocol):
    """A database server, its admin, and a look into it from outside."""

    @property
    def engine(self) -> InspectedEngine:
        """The driver under test."""

    @property
    def admin(self) -> Credential:
        """The admin, with what an RDS master may do and no more."""

    @property
    def ca_bundle(self) -> Path | None:
        """The authorities of the server's certificate."""

    def new_user(self, name: str | None = None, password: str | None = None) -> Credential:
        """Make a user that the admin may administer, with a right or two."""

    def logs_in(self, credential: Credential) -> bool:
        """Tell whether the server takes this password."""

    def allow(self, username: str, thing: str) -> None:
        """Grant a user the right to read one of THINGS."""

    def forbid(self, username: str, thing: str) -> None:
        """Revoke it."""

    def may_read(self, credential: Credential, thing: str) -> bool:
        """Tell whether the user logs in, and can read the thing."""

    def statement_that_reads(self, thing: str) -> str:
        """Return a statement of `verify` that reads one of THINGS, or something else of that name."""

    def allow_two_passwords(self, username: str, *, by_itself: bool) -> None:
        """Prepare a user for the strategy dual password, if the engine has it; that it adds one by itself, or not."""

    def change_password(self, credential: Credential) -> None:
        """Give a user the password of this credential, behind the back of everybody."""

    def log_text(self) -> str:
        """Return all that the server has logged."""

    def strange_statements(self) -> list[str]:
        """Return what the driver's sessions have sent as the admin and no form allows: see `tests.forms`.

        Empty if nobody can read the server's log.
        """

    def logins(self) -> "Logins | None":
        """Count all logins so far, this laboratory's own included; None if nobody can read the server's log."""


class RealLaboratory(Laboratory, Protocol):
    """A laboratory of a real server, as tests with the mark `real_servers` need it."""

    def session(self, credential: Credential | None = None) -> AbstractContextManager[Run]:
        """Connect, as the superuser unless told otherwise, and run statements one by one."""

    def no_user_can_change(self) -> AbstractContextManager[None]:
        """Hold a lock for which every change of a user must wait."""

    def waiting_session(self, username: str) -> int | None:
        """Return the session of this user that waits for a lock."""

    def kill(self, session: int) -> None:
        """End a session."""

    def password_policy(self, username: str) -> AbstractContextManager[str]:
        """Let the server judge this user's passwords; yields one that it refuses."""

    def lock_user(self, username: str) -> None:
        """Let a user log in no more, whatever its password is."""

    def unlock_user(self, username: str) -> None:
        """Undo that."""


@dataclass(frozen=True)
class Logins:
    """What a server has logged of logins."""

    tried: int
    refused: int
    """Among those that were tried."""

    def __sub__(self, before: "Logins") -> "Logins":
        return Logins(self.tried - before.tried, self.refused - before.refused)


def deadline(seconds: float = 30.0) -> Deadline:
    """Return a deadline in so many seconds from a clock that stands still: no test waits for it."""
    return Deadline(lambda: seconds)


def new_password() -> str:
    """Return a password that any engine takes, under any usual policy: 26 bytes, with something of each kind."""
    return f"Aa1-{secrets.token_hex(11)}"
