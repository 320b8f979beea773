"""Which two roles are a pair, and what is each of them?"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from psycopg2.sql import SQL, Composable, Identifier, Literal

from rotation.engine import Difference
from rotation.engines.postgresql import catalog
from rotation.errors import Unsafe
from rotation.values import dataclass

type Attribute = bool | int | str

SINGLE_USER = "use the single-user strategy"
"""What to do if no statement ends a difference."""

MOST_LISTED = 10
"""How many things a message lists."""


@dataclass(frozen=True)
class Role:
    """A row of catalog.ROLES."""

    oid: int
    attributes: Mapping[str, Attribute]
    """Under the words of ALTER ROLE."""
    is_expired: bool
    can_login: bool
    inherits: bool
    comment: str
    is_administered: bool
    """Whether this session's user has the ADMIN option on it."""

    @classmethod
    def from_row(cls, oid: int, *others: Attribute) -> "Role":
        """Take a row without the name."""
        *flags, limit, valid_until, expired, can_login, inherits, comment, administered = others
        limits = {"CONNECTION LIMIT": limit, "VALID UNTIL": valid_until}
        attributes = dict(zip(catalog.FLAGS.values(), flags, strict=True)) | limits
        yes = (bool(expired), bool(can_login), bool(inherits))
        return cls(oid, attributes, *yes, str(comment), bool(administered))


@dataclass(frozen=True)
class PairRoles:
    """The two roles of a pair that exist."""

    original: str
    clone: str
    oids: Mapping[str, int]
    """By the words `original` and `clone`, as queries take them."""
    clone_is_current: bool
    remedy: str
    """What to do if the admin is not permitted to change one of them."""

    @property
    def user(self) -> str:
        """The one that AWSCURRENT names."""
        return self.clone if self.clone_is_current else self.original

    @property
    def other(self) -> str:
        """The other one."""
        return self.original if self.clone_is_current else self.clone

    def difference(self, what: str, *, original: str, clone: str) -> Difference:
        """Return a difference, from what ends it at the one, and at the other."""
        return Difference(what, original, clone) if self.clone_is_current else Difference(what, clone, original)

    def identifiers(self) -> dict[str, Identifier]:
        """Return both as a statement names them."""
        return {"original": Identifier(self.original), "clone": Identifier(self.clone)}


class Given(Protocol):
    """Something that somebody gave the clone."""

    @property
    def by_operator(self) -> bool:
        """Whether an operator gave it."""

    @property
    def is_trusted(self) -> bool:
        """Whether the operator has let the admin act as who gave it."""


@dataclass(frozen=True)
class Scope:
    """Which differences count in a comparison."""

    counts_own: bool
    """What the clone made itself: both get it, whoever made it, so an admin never asks which of the two was changed."""
    counts_trusted: bool
    """What somebody gave the clone whom the operator has let the admin act as."""

    def counts(self, given: Given) -> bool:
        """Tell whether this counts: what strangers gave the clone does not."""
        return given.by_operator or (self.counts_trusted and given.is_trusted)


def attribute(name: str, value: Attribute) -> Composable:
    """Return an attribute as ALTER ROLE takes it."""
    if isinstance(value, bool):
        return SQL(name if value else f"NO{name}")
    return SQL(name + " {}").format(Literal(value))


def attribute_changes(user: Role, other: Role) -> dict[str, Attribute]:
    """Return the attributes of the user that the other one has not."""
    return {name: value for name, value in user.attributes.items() if other.attributes[name] != value}


def quoted(name: str) -> str:
    """Return a name as a statement has it, for a message."""
    return '"' + name.replace('"', '""') + '"'


def require_known(names: Sequence[str], known: Mapping[str, int], found: Mapping[str, int]) -> None:
    """Raise Unsafe if the oid of a name is known, and the name now has another oid, or none."""
    for name in names:
        if name in known and found.get(name) != known[name]:
            raise Unsafe(
                f"checking the role {name}",
                "it is no longer the role that it was: somebody dropped or renamed it, and created another one",
                f"Put the password of the new {name} into the secret, and rotate again",
            )


def listed(things: Sequence[object]) -> str:
    """Return the first of these on one line: strangers choose names, and how many things there are."""
    more = f" and {len(things) - MOST_LISTED} more" if len(things) > MOST_LISTED else ""
    return (
        "; ".join("".join(c if c.isprintable() else "?" for c in str(thing)) for thing in things[:MOST_LISTED]) + more
    )
