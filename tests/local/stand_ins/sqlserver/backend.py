"""What do the wire and the rules of the stand-in for SQL Server say to each other?

The wire knows no SQL, and the rules know no packets. Both import this file, and the rules do not import the wire.
"""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

type Value = str | int | bytes | None


class SqlError(Exception):
    """What a server answers instead of rows: a number, a severity and a text."""

    def __init__(self, number: int, text: str, severity: int = 16) -> None:
        super().__init__(text)
        self.number = number
        self.text = text
        self.severity = severity


class LoginError(Exception):
    """A login fails; the client gets all the reasons, in this order."""

    def __init__(self, *reasons: SqlError) -> None:
        super().__init__(*reasons)
        self.reasons = reasons


@dataclass(frozen=True)
class Rows:
    """A result set."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Value]]


type Answer = Rows | SqlError | None
"""What a statement is answered with: rows, an error after which the next statement runs, or that it is done."""


class Session(Protocol):
    """A client that has logged in."""

    transaction: int
    """The descriptor of the open transaction; 0 if there is none."""

    @property
    def database(self) -> str:
        """Where statements run; the wire reports a change to the client."""

    def batch(self, text: str) -> Iterator[Answer]:
        """Run the statements of a batch, and yield the answer of each; raises the SqlError that ends the batch."""

    def call(self, text: str, parameters: Mapping[str, Value]) -> Iterator[Answer]:
        """Run statements with bound parameters, as sp_executesql does, which ends in the database it began in."""

    def close(self) -> None:
        """The client is gone."""


class Backend(Protocol):
    """What is behind the wire."""

    def log_in(self, user: str, password: str, database: str, program: str, new_password: str | None) -> Session:
        """Log a user in; `program` is what the client calls itself. Raises LoginError.

        `new_password` is the one that the login asks for; None if it asks for none.
        """


def new_transaction() -> int:
    """Return the descriptor of a new transaction."""
    return secrets.randbits(62) | 1
