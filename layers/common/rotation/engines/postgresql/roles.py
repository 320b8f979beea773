"""Which two roles are a pair, and what is each of them?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from psycopg2.sql import SQL, Composable, Identifier, Literal

from rotation.engines.postgresql import catalog
from rotation.errors import Unsafe

type Attribute = bool | int | str

MOST_LISTED = 10
"""How many things a message lists."""


@dataclass(frozen=True)
class Role:
    """A row of catalog.ROLES."""

    oid: int
    attributes: Mapping[str, Attribute]
    """Under the words of ALTER ROLE."""
    can_login: bool
    inherits: bool
    comment: str
    is_administered: bool
    """Whether this session's user has the ADMIN option on it."""

    @classmethod
    def from_row(cls, oid: int, *others: Attribute) -> "Role":
        """Take a row without the name."""
        *flags, limit, valid_until, can_login, inherits, comment, administered = others
        limits = {"CONNECTION LIMIT": limit, "VALID UNTIL": valid_until}
        attributes = dict(zip(catalog.FLAGS.values(), flags, strict=True)) | limits
        return cls(oid, attributes, bool(can_login), bool(inherits), str(comment), bool(administered))


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

    def identifiers(self) -> dict[str, Identifier]:
        """Return both as a statement names them."""
        return {"original": Identifier(self.original), "clone": Identifier(self.clone)}


def attribute(name: str, value: Attribute) -> Composable:
    """Return an attribute as ALTER ROLE takes it."""
    if isinstance(value, bool):
        return SQL(name if value else f"NO{name}")
    return SQL(name + " {}").format(Literal(value))


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
