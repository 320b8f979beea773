"""What does the clone hold by itself, and how does its original get it?

Everything here is about one database, and about what all databases share.

What an *operator* gave the clone, a superuser or a role with CREATEROLE, was meant for the pair: it is handed over, or
the rotation is refused. But anybody who owns something can give the clone rights on it. Such a *stranger* neither stops
a rotation nor has the admin do in her favour what she could not: what she gave is handed over in her own name, if the
admin may act as her; else it stays as it is, and is compared no further. It is of no use to the clone, which acts as
its original.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby

from psycopg2 import sql
from psycopg2.sql import SQL, Identifier

from rotation.engines.postgresql import catalog
from rotation.engines.postgresql.connection import Connection
from rotation.errors import RightsDiffer, Unsafe
from rotation.redaction import said

INHERIT_AND_SET = 160000
"""The first version in which a membership says by itself what it is good for, and in which CREATEROLE alone rules
nobody."""

KEYWORDS = {
    "sequence": "SEQUENCE", "function": "ROUTINE", "procedure": "ROUTINE", "aggregate": "ROUTINE", "schema": "SCHEMA",
    "type": "TYPE", "domain": "TYPE", "language": "LANGUAGE", "foreign-data wrapper": "FOREIGN DATA WRAPPER",
    "server": "FOREIGN SERVER", "large object": "LARGE OBJECT", "database": "DATABASE", "tablespace": "TABLESPACE",
    "parameter ACL": "PARAMETER",
}  # fmt: skip
"""What GRANT calls what the catalog calls; all else is a TABLE."""

DEFAULT_KEYWORDS = {
    "r": "TABLES",
    "S": "SEQUENCES",
    "f": "ROUTINES",
    "T": "TYPES",
    "n": "SCHEMAS",
    "L": "LARGE OBJECTS",
}

LISTED = 10
"""How many things a message names."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Couple:
    """The two roles."""

    original: str
    clone: str
    oids: dict[str, int]
    """Of the `original` and the `clone`, under these words."""
    clone_is_current: bool

    def names(self) -> dict[str, Identifier]:
        """Return both as a statement names them."""
        return {"original": Identifier(self.original), "clone": Identifier(self.clone)}


class Holdings:
    """What the clone holds by itself, but for memberships."""

    def __init__(self, connection: Connection, couple: Couple) -> None:
        """Look at it in the database of the connection."""
        self._connection = connection
        self._couple = couple

    def differences(self) -> list[str]:
        """Say what the clone holds that the original does not have, and not what strangers gave it."""
        kinds, clone, original = self._kinds(), self._couple.clone, self._couple.original
        return [
            *(f"{clone} owns {thing}" for thing in self._owned(kinds)),
            *(f"{clone} has {thing}, {original} has not" for thing in self._unmovable(kinds)),
            *(f"{clone} has {held}, {original} has not" for held in self._uncovered(kinds) if held.by_operator),
        ]

    def hand_over(self) -> None:
        """Have the original hold, for both, what the clone holds by itself.

        Raises RightsDiffer, and changes nothing, if that cannot be done.
        """
        kinds = self._kinds()
        if not kinds:
            return
        self._require_handed_over(self._unmovable(kinds), "be given to")
        owned, uncovered = self._owned(kinds), self._uncovered(kinds)
        if not owned and not uncovered:
            return
        require_no_strange_triggers(self._connection)
        with self._connection.briefly(f"handing over what {self._couple.clone} holds"):
            self._pass_on([held for held in uncovered if held.by_operator])
            self._pass_on_in_their_names([one for one in uncovered if not one.by_operator and one.may_act_as_grantor])
            if owned:
                self._reassign(owned)
        left = self._uncovered(self._kinds())
        self._require_handed_over([held for held in left if held.by_operator], "be left to")
        if strangers := [held for held in left if not held.by_operator]:
            log.warning(said(f"{self._couple.clone} is left with what strangers gave it: {named(strangers)}"))

    def _pass_on(self, granted: "Sequence[Grant]") -> None:
        """Have the admin grant it to the original if the clone is current, and take it from the clone."""
        for held in granted:
            for statement in held.passing_on(self._couple):
                operation = f"passing on {named([held])} of {self._couple.clone} to {self._couple.original}"
                self._connection.execute(operation, statement, remedy=held.remedy(self._couple.original))
        if granted:
            self._require_written_only({held.place for held in granted})

    def _pass_on_in_their_names(self, granted: "Iterable[Grant]") -> None:
        """The same, with no more rights than who granted it has; what they stand in the way of is left."""
        for grantor, of_one in groupby(sorted(granted, key=lambda held: held.grantor), lambda held: held.grantor):
            statements = [statement for held in of_one for statement in held.passing_on(self._couple)]
            acting = SQL("SET LOCAL ROLE {}").format(Identifier(grantor))
            self._connection.attempt(
                f"passing on what {grantor} gave to {self._couple.clone}", [acting, *statements, "SET LOCAL ROLE NONE"]
            )

    def _require_written_only(self, places: set[tuple[int, int]]) -> None:
        """Raise Unsafe if a name led elsewhere: GRANT knows names only, and who owns a schema can swap them."""
        operation = f"looking what was granted to {self._couple.original}"
        query = catalog.WRITTEN.format(parameters=self._parameters)
        if set(map(tuple, self._connection.execute(operation, query))) - places:
            raise Unsafe(
                operation,
                "an object was renamed meanwhile, so that another one was meant",
                "Find out who renames objects, in the server's log; nothing was changed",
            )

    def _reassign(self, owned: Sequence[str]) -> None:
        with acting_as(self._connection, self._couple, "original"), acting_as(self._connection, self._couple, "clone"):
            operation = f"handing over to {self._couple.original} what {self._couple.clone} owns ({named(owned)})"
            self._connection.execute(
                operation, SQL("REASSIGN OWNED BY {clone} TO {original}").format(**self._couple.names())
            )

    def _require_handed_over(self, left: Sequence[object], how: str) -> None:
        if left:
            original, clone = self._couple.original, self._couple.clone
            raise RightsDiffer(
                f"handing over to {original} what {clone} holds by itself",
                f"{named(left)} cannot {how} {original} alone by {self._connection.username}",
                f"As the owner, give it to {original} as well, or take it from {clone}",
            )

    def _kinds(self) -> set[str]:
        """Return which kinds of things the clone holds: for a healthy pair, none."""
        rows = self._connection.execute("reading what the clone holds", catalog.HOLDS, (self._couple.oids["clone"],))
        return {kind for (kind,) in rows}

    def _owned(self, kinds: set[str]) -> list[str]:
        if "o" not in kinds:
            return []
        rows = self._connection.execute("reading what the clone owns", catalog.OWNED, (self._couple.oids["clone"],))
        return [str(description) for (description,) in rows]

    def _unmovable(self, kinds: set[str]) -> list[str]:
        if not kinds & {"r", "m"}:
            return []
        rows = self._connection.execute(
            "reading policies and user mappings of the clone", catalog.UNMOVABLE, self._couple.oids
        )
        return [str(description) for (description,) in rows]

    def _uncovered(self, kinds: set[str]) -> "list[Grant]":
        if "a" not in kinds:
            return []
        act_as = "SET" if self._connection.server_version >= INHERIT_AND_SET else "MEMBER"
        query = catalog.UNCOVERED.format(parameters=self._parameters, act_as=act_as)
        rows = self._connection.execute("reading what the clone is granted", query, self._couple.oids)
        return [Grant(*row) for row in rows]

    @property
    def _parameters(self) -> str:
        return catalog.PARAMETERS if self._connection.server_version >= catalog.PARAMETER_ACLS else ""


@dataclass(frozen=True)
class Grant:
    """A right that the clone has by itself: a row of catalog.UNCOVERED."""

    object_type: str
    identity: str
    column: str | None
    privilege: str
    grantable: bool
    default_owner: str | None
    default_schema: str | None
    default_type: str | None
    whole: str
    """The object itself, if the right is on a column of it."""
    catalog: int
    oid: int
    grantor: str
    by_operator: bool
    may_act_as_grantor: bool

    def __str__(self) -> str:
        option = " WITH GRANT OPTION" if self.grantable else ""
        return f"{self.privilege}{option} on {self.object_type} {self.identity}"

    @property
    def place(self) -> tuple[int, int]:
        """Where the catalog has it."""
        return self.catalog, self.oid

    def passing_on(self, couple: Couple) -> Iterator[sql.Composable]:
        """Yield the statements after which the clone does not have it, and the original does if the clone is current.

        What the clone has granted to others stays theirs: it is a member of the original, and so has it still; if the
        original does not have it, the server refuses.
        """
        if couple.clone_is_current:
            option = SQL(" WITH GRANT OPTION" if self.grantable else "")
            yield self._statement("GRANT", SQL("TO {}").format(Identifier(couple.original)) + option)
        yield self._statement("REVOKE", SQL("FROM {}").format(Identifier(couple.clone)))

    def remedy(self, role: str) -> str:
        """Say what somebody who may has to do."""
        return f"Grant {self} to {role} as its owner, and revoke it from the clone"

    def _statement(self, verb: str, to: sql.Composable) -> sql.Composable:
        privilege = SQL(self.privilege)
        if self.default_owner and self.default_type:
            schema = SQL(" IN SCHEMA {}").format(Identifier(self.default_schema)) if self.default_schema else SQL("")
            whose = SQL("ALTER DEFAULT PRIVILEGES FOR ROLE {}").format(Identifier(self.default_owner)) + schema
            things = SQL(DEFAULT_KEYWORDS[self.default_type])
            return whose + SQL(" {} {} ON {} {}").format(SQL(verb), privilege, things, to)
        columns = SQL(" ({})").format(Identifier(self.column)) if self.column else SQL("")
        # The identity is the server's own text, quoted by pg_identify_object where it has to be.
        return SQL("{} {}{} ON {} {} {}").format(
            SQL(verb), privilege, columns, SQL(KEYWORDS.get(self.object_type, "TABLE")), SQL(self.whole), to
        )


def require_no_strange_triggers(connection: Connection) -> None:
    """Raise Unsafe if the admin, who is about to change something in this database, would run code of a stranger.

    Event triggers can be made by superusers and RDS's masters only, but they may have been given anybody's function.
    """
    operation = "looking for event triggers"
    for trigger, function, owner in connection.execute(operation, catalog.STRANGE_TRIGGERS):
        raise Unsafe(
            operation,
            f"the event trigger {trigger} runs {function} as {connection.username}, and {owner} can change that",
            f"Give {function} to a superuser (on RDS: the master), or switch the event trigger off",
        )


@contextmanager
def acting_as(connection: Connection, couple: Couple, which: str) -> Iterator[None]:
    """Let the admin use the rights of a role inside the block, if it may not already; after it all is as before."""
    role, oid = getattr(couple, which), couple.oids[which]
    operation, name = f"using the rights of {role}", Identifier(role)
    [(may,)] = connection.execute(operation, "SELECT pg_has_role(current_user, %s, 'USAGE')", (oid,))
    if may:
        yield
        return
    remedy = administering(connection, role)
    explicit = connection.server_version >= INHERIT_AND_SET
    before = connection.execute(operation, catalog.OWN_OPTIONS, (oid,)) if explicit else []
    grant = SQL("GRANT {} TO CURRENT_USER").format(name)
    connection.execute(operation, grant + SQL(" WITH INHERIT TRUE, SET TRUE" if explicit else ""), remedy=remedy)
    yield
    for inherits, sets in before:
        connection.execute(operation, grant + SQL(f" WITH INHERIT {truth(inherits)}, SET {truth(sets)}"))
    if not before:
        connection.execute(operation, SQL("REVOKE {} FROM CURRENT_USER").format(name))


def administering(connection: Connection, *roles: str) -> str:
    """Say how the admin gets to administer roles that it did not make (PostgreSQL 16 and later ask for that)."""
    admin = connection.username
    grants = "; ".join(f'GRANT "{role}" TO "{admin}" WITH ADMIN OPTION' for role in roles)
    return f"Give {admin} CREATEROLE, and run as the creator of the roles, or as a superuser: {grants}"


def named(things: Sequence[object]) -> str:
    """Return the first of them, on one line: strangers choose names, and how many there are."""
    more = f" and {len(things) - LISTED} more" if len(things) > LISTED else ""
    return "; ".join("".join(c if c.isprintable() else "?" for c in str(thing)) for thing in things[:LISTED]) + more


def truth(option: bool) -> str:  # noqa: FBT001 - it is what is asked for
    """Return what the options of a membership are told by (version 16 and later)."""
    return "TRUE" if option else "FALSE"
