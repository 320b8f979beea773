"""What is an engine's part in the demo? Its server, its users, and what an application does there.

The rotation's own code is not used here: an ordinary client asks the server whether a password works.
"""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self


@dataclass(frozen=True, kw_only=True)
class Login:
    """Everything that a login needs; its `repr` hides the password."""

    engine: str
    host: str
    port: int
    dbname: str
    username: str
    password: str = field(repr=False)

    @classmethod
    def parse(cls, secret: str) -> Self:
        """Read it from the JSON of a secret, which can have more keys."""
        fields = json.loads(secret)
        return cls(**{name: fields[name] for name in cls.__dataclass_fields__})

    def put_into(self, secret: str) -> str:
        """The JSON of a secret, with this password in place of its own."""
        return json.dumps({**json.loads(secret), "password": self.password})

    def secret(self, **more: object) -> str:
        """The JSON of its secret, with more keys."""
        return json.dumps({name: getattr(self, name) for name in self.__dataclass_fields__} | more)


class LoginFailed(Exception):
    """An application could not log in, or not work; `refused` if the password was refused."""

    def __init__(self, message: str, *, refused: bool) -> None:
        super().__init__(message)
        self.refused = refused


@dataclass(frozen=True)
class Strategy:
    """A strategy, and its part in the demo."""

    name: str
    title: str
    lesson: str
    application: str
    """The user of the application whose secret rotates with this strategy; each strategy has its own."""
    rotations: int = 1
    needs_admin: bool = False
    has_gap: bool = False
    """Logins fail for a moment. With all other strategies no login fails, also with a cached secret."""


class Database(Protocol):
    """A running server, seen by its owners and by their applications."""

    @property
    def version(self) -> str:
        """The server's own name for its version."""

    @property
    def ca_bundle(self) -> Path:
        """The authorities of its certificate."""

    @property
    def admin(self) -> Login:
        """A user with the rights of an RDS master, and no more."""

    def new_application(self, strategy: Strategy) -> Login:
        """Make the user whose secret is to rotate so, as the admin, and its table, as the user."""

    def set_password(self, login: Login) -> None:
        """Give a user the password of the login, as somebody does it by hand, with the admin's rights."""

    def verifying(self, username: str) -> str:
        """A statement that the user can run; testSecret runs it."""

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
    """Whether the server is the one of production, and not a stand-in."""

    @property
    def server(self) -> str:
        """The kind of the server, in words."""
        return "A real server" if self.is_real else f"A wire-level stand-in for {self.name}"
