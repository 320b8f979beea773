"""What is an engine's part in the demo? Its server, its users, and what an application does there.

No line of the rotation's own code is used here: whether a password works, the server says to an ordinary client.
"""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self


@dataclass(frozen=True, kw_only=True)
class Login:
    """What an application needs to log in; its `repr` hides the password."""

    engine: str
    host: str
    port: int
    dbname: str
    username: str
    password: str = field(repr=False)

    @classmethod
    def parse(cls, secret: str) -> Self:
        """Read it from the JSON of a secret, which may hold more."""
        fields = json.loads(secret)
        return cls(**{name: fields[name] for name in cls.__dataclass_fields__})

    def secret(self, **more: object) -> str:
        """The JSON of its secret, with more keys."""
        return json.dumps({name: getattr(self, name) for name in self.__dataclass_fields__} | more)


class LoginFailed(Exception):
    """An application could not log in, or not work; `refused`: it was because of the password."""

    def __init__(self, message: str, *, refused: bool) -> None:
        super().__init__(message)
        self.refused = refused


@dataclass(frozen=True)
class Strategy:
    """A strategy, and what to make of it in the demo."""

    name: str
    title: str
    lesson: str
    application: str
    """The user of the application whose secret rotates so; each has its own."""
    rotations: int = 1
    needs_admin: bool = False
    has_gap: bool = False
    """Logins fail for a moment; with all other strategies none may fail, not with a cached secret either."""


class Database(Protocol):
    """A server that runs, seen by those who own it and by their applications."""

    @property
    def version(self) -> str:
        """What the server says it is."""

    @property
    def ca_bundle(self) -> Path:
        """The authorities of its certificate."""

    @property
    def admin(self) -> Login:
        """A user with what an RDS master may do, and no more."""

    def new_application(self, strategy: Strategy) -> Login:
        """Make the user whose secret is to rotate so, as the admin, and its table, as the user."""

    def verifying(self, username: str) -> str:
        """A statement that the user can run, for testSecret to try."""

    def work(self, login: Login) -> None:
        """Log in, write into the table, and log out, as an application does. Raises LoginFailed."""


@dataclass(frozen=True)
class Engine:
    """A kind of database."""

    name: str
    function: str
    """The rotation function's name in the template."""
    start: Callable[[], AbstractContextManager[Database]]
    strategies: tuple[Strategy, ...]
    is_real: bool = True
    """Whether what is started is what is run in production, and no stand-in for it."""

    @property
    def server(self) -> str:
        """What is started, in words."""
        return "A real server" if self.is_real else f"A wire-level stand-in for {self.name}"
