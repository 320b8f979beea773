"""What may a user of Oracle do, and which statements make it the same as another's?

The rights are those that the data dictionary lists for a grantee, one row each
(https://docs.oracle.com/en/database/oracle/oracle-database/19/refrn/DBA_TAB_PRIVS.html and its neighbours). A right
that may be passed on is the same right with `option`; several grantors of one right are one right.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum

SYS = "SYS"

NAMED_TYPES = frozenset(
    {"DIRECTORY", "EDITION", "JAVA RESOURCE", "JAVA SOURCE", "MINING MODEL", "SQL TRANSLATION PROFILE"}
)
"""The types that GRANT names before the object
(https://docs.oracle.com/en/database/oracle/oracle-database/19/sqlrf/GRANT.html, on_object_clause)."""

WITHOUT_SCHEMA = frozenset({"DIRECTORY", "EDITION"})


class Sort(StrEnum):
    """What a right is about; the statements that grant and revoke it differ."""

    SYSTEM = "system privilege"
    SCHEMA = "schema privilege"
    ROLE = "role"
    OBJECT = "object privilege"


@dataclass(frozen=True, order=True)
class Right:
    """One thing that a user may do. Names are as the dictionary has them, unquoted."""

    sort: Sort
    name: str
    """The privilege, in the server's words, or the role."""
    owner: str = ""
    item: str = ""
    """The object, or the schema."""
    kind: str = ""
    """The object's type, where GRANT names it."""
    column: str = ""
    """Where the right is for one column only."""
    option: bool = False
    """Whether it may be passed on."""
    hierarchy: bool = False
    """Whether it is for the object's descendants, too."""
    delegate: bool = False
    """Whether the role may be given to one's own program units."""
    grantor: str = field(default="", compare=False)
    """Who granted it: nobody else can take it back, but for the owner's own grants."""

    def is_strangers(self, admin: str) -> bool:
        """Tell whether somebody granted it by means of an option to pass it on: no admin can take it back
        (https://docs.oracle.com/en/database/oracle/oracle-database/19/sqlrf/REVOKE.html, "Prerequisites")."""  # noqa: D205, D209
        return self.grantor not in ("", self.owner, admin)

    def __str__(self) -> str:
        column = f" ({self.column})" if self.column else ""
        place = f" on {'.'.join(filter(None, (self.owner, self.item)))}" if self.item else ""
        options = f"{' with the right to pass it on' if self.option else ''}{' to delegate' if self.delegate else ''}"
        return f"{self.sort} {self.name}{column}{place}{options}"


def quoted(name: str) -> str:
    """Return a name as an identifier.

    No name of Oracle holds a double quote, so nothing is to be escaped
    (https://docs.oracle.com/en/database/oracle/oracle-database/19/sqlrf/Database-Object-Names-and-Qualifiers.html).
    """
    return f'"{name}"'


def collected(rights: Iterable[Right]) -> frozenset[Right]:
    """Return each right once, in its strongest form: several may have granted it, with the option or without."""
    strongest: dict[Right, Right] = {}
    for right in rights:
        plain = _plain(right)
        known = strongest.get(plain, plain)
        strongest[plain] = replace(
            plain,
            option=known.option or right.option,
            hierarchy=known.hierarchy or right.hierarchy,
            delegate=known.delegate or right.delegate,
        )
    return frozenset(strongest.values())


def statements(have: frozenset[Right], want: frozenset[Right], user: str) -> Iterator[tuple[str, Right]]:
    """Yield the statements that make a user that has some rights have others, each with a right that it is about.

    Each is committed at once. Rights are taken, by those that begin with REVOKE, before any is given: so at no instant
    are there more than before or after.
    """
    surplus, missing = _implied(have, want)
    for right in sorted({whole(right) for right in surplus}):
        yield revocation(right, user), right
    for group in _together(missing):
        what = f"{', '.join(map(_spelled, group))}{_place(group[0])}"
        for options in _options(group[0]):
            yield f"GRANT {what} TO {quoted(user)}{options}", group[0]


def revocation(right: Right, user: str) -> str:
    """Return what takes a right, whole."""
    return f"REVOKE {_spelled(whole(right))}{_place(right)} FROM {quoted(user)}"


def remedy(statement: str, right: Right, admin: str, user: str) -> str:
    """Say what lets an admin run the statement, which is to make somebody have the rights of the user."""
    if statement.startswith("GRANT"):
        return f"{_needed(statement, right, admin)}. Or take it from {user}, if it was not meant to have it"
    return _needed(statement, right, admin)


def _needed(statement: str, right: Right, admin: str) -> str:
    if right.sort is Sort.OBJECT and right.owner == SYS:
        verb = "grant" if statement.startswith("GRANT") else "revoke"
        return (
            f"Have {admin} granted the object WITH GRANT OPTION, or do it by hand; on RDS with"
            f" rdsadmin.rdsadmin_util.{verb}_sys_object: {statement}"
        )
    needed = {
        Sort.SYSTEM: "GRANT ANY PRIVILEGE, or the privilege WITH ADMIN OPTION",
        Sort.SCHEMA: "GRANT ANY SCHEMA PRIVILEGE, or the privilege WITH ADMIN OPTION",
        Sort.ROLE: "GRANT ANY ROLE, or the role WITH ADMIN OPTION",
        Sort.OBJECT: "GRANT ANY OBJECT PRIVILEGE, or the privilege WITH GRANT OPTION",
    }[right.sort]
    return f"Grant {admin} {needed}: {statement}"


def _implied(have: frozenset[Right], want: frozenset[Right]) -> tuple[set[Right], set[Right]]:
    """Return what to take and what to give, where taking one thing takes others with it.

    - What becomes stronger is granted over; what becomes weaker is taken and given again: no option can be revoked by
      itself.
    - A privilege on columns can only be revoked for the whole table, and takes the one on the table with it.
    """
    stronger = {_plain(right) for right in want}
    surplus = {
        right
        for right in have - want
        if _plain(right) not in stronger
        or any(_plain(other) == _plain(right) and _is_weaker(other, right) for other in want)
    }
    taken = {whole(right) for right in surplus}
    return surplus, {right for right in want if right not in have or whole(right) in taken}


def _is_weaker(one: Right, other: Right) -> bool:
    pairs = ((one.option, other.option), (one.hierarchy, other.hierarchy), (one.delegate, other.delegate))
    return any(has and not lacks for lacks, has in pairs)


def _plain(right: Right) -> Right:
    return replace(right, option=False, hierarchy=False, delegate=False)


def whole(right: Right) -> Right:
    """Return what a REVOKE takes at once: it knows no columns and no options."""
    return replace(_plain(right), column="")


def _together(rights: Iterable[Right]) -> list[list[Right]]:
    """Return the rights so that each list fits into one GRANT."""
    groups: dict[Right, list[Right]] = defaultdict(list)
    for right in sorted(rights):
        if right.sort is Sort.OBJECT:
            groups[replace(right, name="", column="")].append(right)
        else:
            groups[right].append(right)
    return [groups[key] for key in sorted(groups)]


def _spelled(right: Right) -> str:
    name = quoted(right.name) if right.sort is Sort.ROLE else right.name
    return f"{name} ({quoted(right.column)})" if right.column else name


def _place(right: Right) -> str:
    if right.sort is Sort.SCHEMA:
        return f" ON SCHEMA {quoted(right.item)}"
    if right.sort is not Sort.OBJECT:
        return ""
    kind = f"{right.kind} " if right.kind else ""
    schema = "" if right.kind in WITHOUT_SCHEMA else f"{quoted(right.owner)}."
    return f" ON {kind}{schema}{quoted(right.item)}"


def _options(right: Right) -> list[str]:
    """Return what follows the grantee: a role has a GRANT for each option, one privilege takes both at once."""
    if right.sort is Sort.OBJECT:
        return [f"{' WITH HIERARCHY OPTION' * right.hierarchy}{' WITH GRANT OPTION' * right.option}"]
    return [" WITH ADMIN OPTION"] * right.option + [" WITH DELEGATE OPTION"] * right.delegate or [""]
