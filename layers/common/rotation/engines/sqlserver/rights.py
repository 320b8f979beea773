"""Which statements give one principal of SQL Server the permissions of another?

A permission is granted, granted with the right to pass it on, or denied; on a server, a database, or a thing in it, or
on columns of that thing. What is denied beats what is granted anywhere else, so both are copied.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """What `state_desc` says of a permission, the stronger the later."""

    REVOKE = "REVOKE"
    """Of a column: what its table has does not hold for it."""
    GRANT = "GRANT"
    GRANTABLE = "GRANT_WITH_GRANT_OPTION"
    DENY = "DENY"


STRENGTH = {state: strength for strength, state in enumerate(State)}


@dataclass(frozen=True, order=True)
class Right:
    """One permission, whatever its state."""

    column: str
    """Quoted; empty for all of the thing, which comes first."""
    on: str
    """The thing as statements take it: "OBJECT::[dbo].[orders]"; empty for the server or the database itself."""
    permission: str

    def __str__(self) -> str:
        """Return it as statements take it."""
        return f"{self.permission}{f' ON {self.on}' if self.on else ''}{f' ({self.column})' if self.column else ''}"


type Rights = Mapping[Right, State]


def statements(have: Rights, want: Rights, principal: str) -> Iterator[str]:
    """Yield what makes the permissions of a principal those that it is to have.

    What is said of a thing may undo what was said of its columns. So columns come after it, all of those that are
    wanted, and what is not wanted there is said like the rest of the thing: to revoke it would make an exception.
    """
    changed: set[tuple[str, str]] = set()
    for right in sorted(have.keys() | want.keys()):
        before, after = have.get(right), want.get(right)
        thing = (right.on, right.permission)
        if right.column and after is None:
            after = want.get(Right("", *thing))
        elif before == after and not (right.column and thing in changed):
            continue
        changed.add(thing)
        yield _statement(right, before, after, principal)


def revoke(right: Right, state: State, principal: str, grantor: str) -> str:
    """Return what takes back a permission that another one has granted or denied."""
    return f"REVOKE {right} FROM {principal}{' CASCADE' if state is State.GRANTABLE else ''} AS {grantor}"


def _statement(right: Right, before: State | None, after: State | None, principal: str) -> str:
    # What was passed on goes with the right to pass it on
    # (https://learn.microsoft.com/en-us/sql/t-sql/statements/revoke-transact-sql).
    cascade = " CASCADE" if before is State.GRANTABLE else ""
    match after:
        case State.DENY:
            return f"DENY {right} TO {principal}{cascade}"
        case State.GRANTABLE:
            return f"GRANT {right} TO {principal} WITH GRANT OPTION"
        case State.GRANT if cascade:
            return f"REVOKE GRANT OPTION FOR {right} FROM {principal} CASCADE"
        case State.GRANT:
            return f"GRANT {right} TO {principal}"
        case _:
            return f"REVOKE {right} FROM {principal}{cascade}"


def name(identifier: str) -> str:
    """Return a name as QUOTENAME does: in brackets, each closing one doubled."""
    return "[" + identifier.replace("]", "]]") + "]"


def text(value: str) -> str:
    """Return a text as a literal; the server knows no other special character in it than the quote."""
    return "N'" + value.replace("'", "''") + "'"


def binary(value: bytes) -> str:
    """Return bytes as a literal."""
    return f"0x{value.hex().upper()}"
