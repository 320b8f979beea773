"""What do all statements have in common that change logins, users, roles, permissions, databases and tables?

The rules are those of the pages of each statement below https://learn.microsoft.com/en-us/sql/t-sql/statements/.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.local.stand_ins.sqlserver.backend import SqlError, Value
from tests.local.stand_ins.sqlserver.catalog import Catalog
from tests.local.stand_ins.sqlserver.tables import CLASSES, DBO, Securable, Viewer
from tests.local.stand_ins.sqlserver.things import ENDPOINT, Thing
from tests.local.stand_ins.sqlserver.tsql import Tokens

type Readers = Mapping[str, tuple[str, Callable[[], Value]]]
"""By the word of an option: the column it is stored in, and what reads its value."""


@dataclass
class Statement:
    """One statement that a viewer runs."""

    catalog: Catalog
    viewer: Viewer
    tokens: Tokens
    is_in_transaction: bool
    event: str = ""
    """The DDL event of the statement, in the database in which it was run."""


class Statements:
    """Statements of one area, each a method."""

    def __init__(self, statement: Statement) -> None:
        """Take the statement whose words the methods read."""
        self._statement = statement
        self._catalog = statement.catalog
        self._viewer = statement.viewer
        self._tokens = statement.tokens

    @property
    def _here(self) -> str:
        return self._viewer.database

    def _principal(self, name: str, what: str, kind: str, type_: str = "") -> int:
        key = {"db": self._here, "name": name, **({"type": type_} if type_ else {})}
        found = self._catalog.get("database_principals", "principal_id", **key)
        if found is None:
            raise refusal(what, kind, name)
        return int(found)

    def _server_principal(self, name: str, what: str, kind: str = "principal") -> int:
        found = self._catalog.get("server_principals", "principal_id", name=name)
        if found is None:
            raise refusal(what, kind, name)
        return int(found)

    def _thing_id(self, thing: Thing, names: list[str]) -> int | None:
        """Return the number of a thing; None if there is none of this name."""
        key: dict[str, Value] = (
            {"name": names[-1]} if thing.class_id == ENDPOINT else {"db": self._here, "name": names[-1]}
        )
        if thing.has_schema:
            schema = names[-2] if len(names) > 1 else "dbo"
            key["schema_id"] = self._catalog.get("schemas", "schema_id", db=self._here, name=schema)
        found = self._catalog.get(thing.view, thing.key, **key)
        return int(found) if found is not None else None

    def _options(self, readers: Readers, *, first: bool) -> dict[str, Value]:
        options = {}
        while first or self._tokens.took(","):
            first = False
            column, read = readers[self._tokens.one_of(*readers)]
            self._tokens.expect("=")
            value = read()
            options[column] = int(value) if isinstance(value, bool) else value
        return options

    def _passwords(self) -> tuple[str, str | None]:
        """Read the new password, and the old one if it is given."""
        password = self._tokens.text()
        return password, self._tokens.text() if self._tokens.took("OLD_PASSWORD", "=") else None

    def _require_server(self, permission: str, number: int = 15247) -> None:
        if not self._catalog.allows_server(self._viewer, permission):
            raise SqlError(number, "User does not have permission to perform this action.")

    def _require(self, permission: str, on: Securable, denied: SqlError) -> None:
        if not self._catalog.allows(self._viewer, permission, on):
            raise denied

    def _require_writable(self) -> None:
        if self._catalog.get("databases", "is_read_only OR is_secondary", name=self._here):
            raise SqlError(3906, f'Failed to update database "{self._here}" because the database is read-only.')

    def _require_no_transaction(self) -> None:
        if self._statement.is_in_transaction:
            raise SqlError(226, "The statement is not allowed within multi-statement transaction.")


def refusal(what: str, kind: str, name: str) -> SqlError:
    """Return the error for what does not exist, or takes a permission that is missing: the server has one for both."""
    return SqlError(
        15151, f"Cannot {what} the {kind} '{name}', because it does not exist or you do not have permission."
    )


def record(  # noqa: PLR0913, PLR0917 - the columns of the table
    catalog: Catalog, database: str, on: Securable, to: int, permission: str, state: str, grantor: int = DBO
) -> None:
    """Write a permission, without any check."""
    values: dict[str, Value] = {"class": on.class_id, "class_desc": CLASSES[on.class_id], "major_id": on.major}
    values |= {"minor_id": on.minor, "grantee_principal_id": to, "grantor_principal_id": grantor}
    values |= {"permission_name": permission, "state_desc": state, **({"db": database} if database else {})}
    catalog.insert("database_permissions" if database else "server_permissions", **values)
