"""Which statements give one principal of SQL Server the permissions of another?

A permission is granted, granted WITH GRANT OPTION, or denied. It is on a server, on a database, on an object in it, or
on columns of that object. DENY beats every GRANT, so both are copied.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum

from rotation.values import dataclass


class RightState(StrEnum):
    """The `state_desc` of a permission, from the weakest to the strongest."""

    REVOKE = "REVOKE"
    """Of a column: the permission on its table does not hold for it."""
    GRANT = "GRANT"
    GRANTABLE = "GRANT_WITH_GRANT_OPTION"
    DENY = "DENY"


STRENGTH = {state: strength for strength, state in enumerate(RightState)}


@dataclass(frozen=True, order=True)
class SQLServerRight:
    """One permission, whatever its state."""

    column: str
    """Quoted; empty for all columns, which comes first."""
    securable: str
    """As statements name it: "OBJECT::[dbo].[orders]"; empty for the server or the database itself."""
    permission: str

    def __str__(self) -> str:
        """Return the right as statements name it."""
        securable = f" ON {self.securable}" if self.securable else ""
        column = f" ({self.column})" if self.column else ""
        return f"{self.permission}{securable}{column}"


type Rights = Mapping[SQLServerRight, RightState]


def statements(other_rights: Rights, user_rights: Rights, other: str) -> Iterator[str]:
    """Yield the statements that give `other`, a quoted name, the rights `user_rights` instead of `other_rights`.

    A statement on an object can undo one on its columns. So the wanted rights on columns come after it, and all of them
    are repeated. An unwanted right on a column gets the state of the whole object: REVOKE would make an exception.
    """
    changed: set[tuple[str, str]] = set()
    for right in sorted(other_rights.keys() | user_rights.keys()):
        before, after = other_rights.get(right), user_rights.get(right)
        whole = (right.securable, right.permission)
        if right.column and after is None:
            after = user_rights.get(SQLServerRight("", *whole))
        elif before == after and not (right.column and whole in changed):
            continue
        changed.add(whole)
        yield _statement(right, before, after, other)


def revoke(right: SQLServerRight, state: RightState, other: str, grantor: str) -> str:
    """Return the statement that takes back what another principal, the grantor, has granted or denied."""
    return f"REVOKE {right} FROM {other}{' CASCADE' if state is RightState.GRANTABLE else ''} AS {grantor}"


def _statement(right: SQLServerRight, before: RightState | None, after: RightState | None, other: str) -> str:
    # CASCADE also revokes what the principal has granted to others
    # (https://learn.microsoft.com/en-us/sql/t-sql/statements/revoke-transact-sql).
    cascade = " CASCADE" if before is RightState.GRANTABLE else ""
    match after:
        case RightState.DENY:
            return f"DENY {right} TO {other}{cascade}"
        case RightState.GRANTABLE:
            return f"GRANT {right} TO {other} WITH GRANT OPTION"
        case RightState.GRANT if cascade:
            return f"REVOKE GRANT OPTION FOR {right} FROM {other} CASCADE"
        case RightState.GRANT:
            return f"GRANT {right} TO {other}"
        case _:
            return f"REVOKE {right} FROM {other}{cascade}"


def identifier(name: str) -> str:
    """Return a name quoted for SQL, as QUOTENAME does: in brackets, each closing bracket doubled."""
    return "[" + name.replace("]", "]]") + "]"


def literal(text: str) -> str:
    """Return a text quoted for SQL; the quote is its only special character."""
    return "N'" + text.replace("'", "''") + "'"


def binary(value: bytes) -> str:
    """Return bytes as a literal."""
    return f"0x{value.hex().upper()}"
