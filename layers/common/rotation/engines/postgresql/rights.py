"""Which statements hand a right over from the clone to its original?

Everything here is pure: rows of the catalog in, statements out. See `rotation.engines.postgresql.holdings`.
"""

from collections.abc import Iterator

from psycopg2.sql import SQL, Composable, Identifier

from rotation.engines.postgresql.roles import PairRoles
from rotation.values import dataclass

KEYWORDS = {
    "sequence": "SEQUENCE", "function": "ROUTINE", "procedure": "ROUTINE", "aggregate": "ROUTINE", "schema": "SCHEMA",
    "type": "TYPE", "domain": "TYPE", "language": "LANGUAGE", "foreign-data wrapper": "FOREIGN DATA WRAPPER",
    "server": "FOREIGN SERVER", "large object": "LARGE OBJECT", "database": "DATABASE", "tablespace": "TABLESPACE",
    "parameter ACL": "PARAMETER",
}  # fmt: skip
"""What GRANT calls the types of objects that the catalog names; all others are a TABLE."""

DEFAULT_KEYWORDS = {
    "r": "TABLES",
    "S": "SEQUENCES",
    "f": "ROUTINES",
    "T": "TYPES",
    "n": "SCHEMAS",
    "L": "LARGE OBJECTS",
}
"""What ALTER DEFAULT PRIVILEGES calls the types of objects in pg_default_acl."""


@dataclass(frozen=True)
class Grant:
    """A right that was granted to the clone alone: a row of catalog.EXTRA_GRANTS."""

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
    can_act_as_grantor: bool
    is_trusted: bool
    """Whether the operator has let the admin act as the grantor."""
    is_owners: bool
    """Whether the owner of the object granted it."""

    def __str__(self) -> str:
        option = " WITH GRANT OPTION" if self.grantable else ""
        return f"{self.privilege}{option} on {self.object_type} {self.identity}"

    @property
    def place(self) -> tuple[int, int]:
        """The object's place in the catalog."""
        return self.catalog, self.oid

    def handing_over(self, roles: PairRoles) -> Iterator[Composable]:
        """Yield the statements that take the right from the clone, and give it to the original if the clone is current.

        What the clone has granted to others stays theirs. The clone is a member of the original, and so has the right
        still; if the original does not have it, the server refuses.
        """
        if roles.clone_is_current:
            yield self.giving(roles)
        yield self.taking(roles)

    def giving(self, roles: PairRoles) -> Composable:
        """Return the statement that gives the right to the original."""
        option = SQL(" WITH GRANT OPTION" if self.grantable else "")
        return self._statement("GRANT", SQL("TO {}").format(Identifier(roles.original)) + option)

    def taking(self, roles: PairRoles) -> Composable:
        """Return the statement that takes the right from the clone."""
        return self._statement("REVOKE", SQL("FROM {}").format(Identifier(roles.clone)))

    def taking_as_grantor(self, roles: PairRoles) -> Composable:
        """Return the same for whoever can act as the grantor: the server takes others to be the object's owner."""
        if self.is_owners or self.default_type:
            return self.taking(roles)
        return SQL("SET ROLE {}; {}; RESET ROLE").format(Identifier(self.grantor), self.taking(roles))

    def _statement(self, verb: str, to: Composable) -> Composable:
        privilege = SQL(self.privilege)
        if self.default_owner and self.default_type:
            whose = altering_defaults(self.default_owner, self.default_schema)
            things = SQL(DEFAULT_KEYWORDS[self.default_type])
            return whose + SQL(" {} {} ON {} {}").format(SQL(verb), privilege, things, to)
        columns = SQL(" ({})").format(Identifier(self.column)) if self.column else SQL("")
        # The identity is the server's own text, in which pg_identify_object has quoted the names.
        return SQL("{} {}{} ON {} {} {}").format(
            SQL(verb), privilege, columns, SQL(KEYWORDS.get(self.object_type, "TABLE")), SQL(self.whole), to
        )


def altering_defaults(role: str, schema: str | None) -> Composable:
    """Return how a statement begins that changes default privileges of a role, in a schema or in all (None)."""
    place = SQL(" IN SCHEMA {}").format(Identifier(schema)) if schema else SQL("")
    return SQL("ALTER DEFAULT PRIVILEGES FOR ROLE {}").format(Identifier(role)) + place


def boolean(option: bool) -> str:  # noqa: FBT001 - the value itself is all that is asked for
    """Return the value of an option of a membership (version 16 and later)."""
    return "TRUE" if option else "FALSE"
