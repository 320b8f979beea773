"""What can a user of Oracle do, and which statements give another user the same rights?

The rights are those that the data dictionary lists for a grantee, one row each
(https://docs.oracle.com/en/database/oracle/oracle-database/19/refrn/DBA_TAB_PRIVS.html and its neighbours). A right
that the user can pass on is the same right with `option`; one right from several grantors is one right.
"""

from collections.abc import Iterable, Iterator
from dataclasses import field, replace
from enum import StrEnum

from rotation.values import dataclass

SYS = "SYS"

NAMED_TYPES = frozenset(
    {"DIRECTORY", "EDITION", "JAVA RESOURCE", "JAVA SOURCE", "MINING MODEL", "SQL TRANSLATION PROFILE"}
)
"""The types that GRANT names before the object
(https://docs.oracle.com/en/database/oracle/oracle-database/19/sqlrf/GRANT.html, on_object_clause)."""

WITHOUT_SCHEMA = frozenset({"DIRECTORY", "EDITION"})


DBA, UNLIMITED_TABLESPACE = "DBA", "UNLIMITED TABLESPACE"
"""REVOKE UNLIMITED TABLESPACE ends all quotas of a user, too (Oracle's Doc ID 1169515.1). The role DBA brings this
privilege to a user, and takes it and the quotas when it is revoked
(https://mareklall.blogspot.com/2015/12/112-revoke-dba-resource-role-revokes.html; no page of Oracle's says so)."""


class RightKind(StrEnum):
    """What a right is about; each kind has its own statements to grant and revoke."""

    SYSTEM = "system privilege"
    SCHEMA = "schema privilege"
    ROLE = "role"
    OBJECT = "object privilege"


@dataclass(frozen=True, order=True)
class Right:
    """One thing that a user can do. Names are as the dictionary has them, unquoted."""

    kind: RightKind
    name: str
    """The privilege, in the server's words, or the role."""
    owner: str = ""
    item: str = ""
    """The object, or the schema."""
    object_type: str = ""
    """The object's type, if GRANT names it."""
    column: str = ""
    """The column, if the right is for one only."""
    option: bool = False
    """Whether the user can pass it on."""
    hierarchy: bool = False
    """Whether it includes the object's descendants."""
    delegate: bool = False
    """Whether the user can give the role to its own program units."""
    grantor: str = field(default="", compare=False)
    """Who granted it. Nobody else can revoke it, except for grants of the owner."""

    def is_irrevocable(self, admin: str) -> bool:
        """Tell whether another user passed it on, so that this admin cannot revoke it
        (https://docs.oracle.com/en/database/oracle/oracle-database/19/sqlrf/REVOKE.html, "Prerequisites")."""  # noqa: D205, D209 - the link takes the line
        return self.grantor not in ("", self.owner, admin)

    def __str__(self) -> str:
        column = f" ({self.column})" if self.column else ""
        place = f" on {'.'.join(filter(None, (self.owner, self.item)))}" if self.item else ""
        options = (
            " with the right to pass it on" * self.option
            + " with its hierarchy" * self.hierarchy
            + " to delegate" * self.delegate
        )
        return f"{self.kind} {self.name}{column}{place}{options}"


def identifier(name: str) -> str:
    """Return a name, or a password, quoted for SQL.

    No name of Oracle holds a double quote, so nothing needs to be escaped
    (https://docs.oracle.com/en/database/oracle/oracle-database/19/sqlrf/Database-Object-Names-and-Qualifiers.html).
    """
    return f'"{name}"'


def literal(text: str) -> str:
    """Return a text quoted for SQL."""
    return "'" + text.replace("'", "''") + "'"


def packaged_name(user: str) -> str:
    """Return a user's name as the procedures of packages take it: in quotes, unless it is a plain one in capitals.

    Remedies have it so, too: without quotes a statement is about the user in capitals, who can be another one.
    """
    return user if user.isidentifier() and user == user.upper() else identifier(user)


def collected(rights: Iterable[Right]) -> frozenset[Right]:
    """Return each right once, with all its options: several users can have granted it, with or without them."""
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


def statements(present: frozenset[Right], wanted: frozenset[Right], user: str) -> Iterator[tuple[str, Right]]:
    """Yield the statements that change a user's rights from `present` to `wanted`, each with the right it is about.

    Each is committed at once. All REVOKE come before the first GRANT, so at no instant does the user have more than
    before or after. A GRANT has one right: with two, the same privilege on two columns could be a duplicate (ORA-01711,
    https://docs.oracle.com/en/error-help/db/ora-01711/), and what one of them lacks would end the other one.
    """
    surplus, missing = _implied(present, wanted)
    for right in sorted({whole(right) for right in surplus}):
        yield revocation(right, user), right
    for right in sorted(missing):
        for options in _options(right):
            yield grant(right, user, options), right


def grant(right: Right, user: str, options: str = "") -> str:
    """Return the statement that grants a right."""
    return f"GRANT {_privilege(right)}{_target(right)} TO {identifier(user)}{options}"


def revocation(right: Right, user: str) -> str:
    """Return the statement that revokes a right, whole."""
    return f"REVOKE {_privilege(whole(right))}{_target(right)} FROM {identifier(user)}"


def granted(rights: frozenset[Right], statement: str, right: Right) -> frozenset[Right]:
    """Return what a user has after one of these statements gave it this right; a role gets one option at a time."""
    delegates = right.kind is RightKind.ROLE and statement.endswith(" WITH DELEGATE OPTION")
    one = replace(right, option=right.option and not delegates, delegate=right.delegate and delegates)
    return collected([*rights, one])


def covers(one: Right, other: Right) -> bool:
    """Tell whether a right is the same as another one, with all its options."""
    return _plain(one) == _plain(other) and not _is_weaker(one, other)


def has_side_effects(right: Right) -> bool:
    """Tell whether to grant or revoke this right changes quotas, or UNLIMITED TABLESPACE, as well."""
    return (right.kind, right.name) in {(RightKind.ROLE, DBA), (RightKind.SYSTEM, UNLIMITED_TABLESPACE)}


def remedy(statement: str, right: Right, admin: str, user: str, other: str) -> str:
    """Return what lets the admin run a statement that gives `other` a right of `user`, or takes one from it."""
    if statement.startswith("GRANT"):
        return f"{_needed(statement, right, admin, other)}. Or revoke it from {user}, if {user} should not have it"
    return _needed(statement, right, admin, other)


def _needed(statement: str, right: Right, admin: str, other: str) -> str:
    if right.kind is RightKind.OBJECT and right.owner == SYS:
        by_hand = f"{statement}{on_rds(statement, right, other)}"
        return f"Grant {admin} the privilege WITH GRANT OPTION, or run by hand: {by_hand}"
    needed = {
        RightKind.SYSTEM: "GRANT ANY PRIVILEGE, or the privilege WITH ADMIN OPTION",
        RightKind.SCHEMA: "GRANT ANY SCHEMA PRIVILEGE, or the privilege WITH ADMIN OPTION",
        RightKind.ROLE: "GRANT ANY ROLE, or the role WITH ADMIN OPTION",
        RightKind.OBJECT: "GRANT ANY OBJECT PRIVILEGE, or the privilege WITH GRANT OPTION",
    }[right.kind]
    return f"Grant {admin} {needed}, for: {statement}"


def on_rds(statement: str, right: Right, user: str) -> str:
    """Return what to run on RDS in place of a statement, in parentheses; empty if the statement can be run there.

    Only SYS can pass on its objects, unless it gave somebody the option. RDS has a procedure for that, for directories
    as well (https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/Appendix.Oracle.CommonDBATasks.TransferPrivileges.html
    and https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/Appendix.Oracle.CommonDBATasks.RevokePrivileges.html).
    """
    if right.kind is not RightKind.OBJECT or right.owner != SYS or right.object_type == "EDITION":
        return ""
    grants = statement.startswith("GRANT")
    arguments = ", ".join(map(literal, (right.item, packaged_name(user), right.name)))
    option = ", TRUE" if grants and right.option else ""
    verb = "grant" if grants else "revoke"
    return f" (on RDS: BEGIN rdsadmin.rdsadmin_util.{verb}_sys_object({arguments}{option}); END;)"


def _implied(present: frozenset[Right], wanted: frozenset[Right]) -> tuple[set[Right], set[Right]]:
    """Return what to revoke and what to grant, because one REVOKE can take more than one right.

    - If a right gets an option, it is granted again. If it loses one, it is revoked and granted again: no option can be
      revoked by itself.
    - A privilege on columns can only be revoked for the whole table, together with the one on the table.
    """
    plain = {_plain(right) for right in wanted}
    surplus = {
        right
        for right in present - wanted
        if _plain(right) not in plain
        or any(_plain(other) == _plain(right) and _is_weaker(other, right) for other in wanted)
    }
    revoked = {whole(right) for right in surplus}
    return surplus, {right for right in wanted if right not in present or whole(right) in revoked}


def _is_weaker(one: Right, other: Right) -> bool:
    pairs = ((one.option, other.option), (one.hierarchy, other.hierarchy), (one.delegate, other.delegate))
    return any(other_has and not one_has for one_has, other_has in pairs)


def _plain(right: Right) -> Right:
    return replace(right, option=False, hierarchy=False, delegate=False)


def whole(right: Right) -> Right:
    """Return what one REVOKE takes: it cannot name columns or options."""
    return replace(_plain(right), column="")


def _privilege(right: Right) -> str:
    name = identifier(right.name) if right.kind is RightKind.ROLE else right.name
    return f"{name} ({identifier(right.column)})" if right.column else name


def _target(right: Right) -> str:
    if right.kind is RightKind.SCHEMA:
        return f" ON SCHEMA {identifier(right.item)}"
    if right.kind is not RightKind.OBJECT:
        return ""
    object_type = f"{right.object_type} " if right.object_type else ""
    schema = "" if right.object_type in WITHOUT_SCHEMA else f"{identifier(right.owner)}."
    return f" ON {object_type}{schema}{identifier(right.item)}"


def _options(right: Right) -> list[str]:
    """Return what follows the grantee: one GRANT for each option of a role, one for both options of a privilege."""
    if right.kind is RightKind.OBJECT:
        return [f"{' WITH HIERARCHY OPTION' * right.hierarchy}{' WITH GRANT OPTION' * right.option}"]
    return [" WITH ADMIN OPTION"] * right.option + [" WITH DELEGATE OPTION"] * right.delegate or [""]
