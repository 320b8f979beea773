"""Which views and triggers would a REVOKE make useless, because their owner needs the right?

If the owner of a view, a materialized query table or a trigger loses a privilege on which it depends, it becomes
inoperative, for everybody. The catalog then forgets who was granted something on it, and to grant the privilege again
does not help: somebody has to create it again
(https://www.ibm.com/docs/en/db2/11.5.x?topic=views-recovering-inoperative,
https://www.ibm.com/docs/en/db2/11.5.x?topic=roles-revoking-privileges-from).
"""

from collections.abc import Collection, Iterator
from typing import Final

from rotation.engines.db2.connection import Db2Connection
from rotation.engines.db2.kind import normal_name
from rotation.engines.db2.rights import Change, Rights, identifier
from rotation.values import dataclass

DEPENDENTS: Final = (
    "SELECT DTYPE AS KIND, TABSCHEMA AS PLACE, TABNAME AS NAME, BSCHEMA AS ON_PLACE, BNAME AS ON_NAME"
    " FROM SYSCAT.TABDEP WHERE OWNER = ? AND DTYPE IN ('S', 'V', 'W') AND BTYPE IN ('N', 'S', 'T', 'U', 'V', 'W')"
    " UNION ALL SELECT 'B', D.TRIGSCHEMA, D.TRIGNAME, D.BSCHEMA, D.BNAME"
    " FROM SYSCAT.TRIGDEP D JOIN SYSCAT.TRIGGERS T ON T.TRIGSCHEMA = D.TRIGSCHEMA AND T.TRIGNAME = D.TRIGNAME"
    " WHERE T.OWNER = ? AND D.BTYPE IN ('N', 'S', 'T', 'U', 'V', 'W')"
)
"""https://www.ibm.com/docs/en/db2w-as-a-service?topic=views-syscattabdep"""

WIDE: Final = frozenset({"DBADM ON DATABASE", "DATAACCESS ON DATABASE"})

KEYWORDS: Final = {"B": "TRIGGER", "S": "TABLE", "V": "VIEW", "W": "VIEW"}
"""What TRANSFER OWNERSHIP calls each type."""


@dataclass(frozen=True, order=True)
class Dependent:
    """A view, a materialized query table or a trigger, and a table that it uses."""

    name: str
    """With its keyword."""
    place: str
    """The table, as the text of GRANT names it."""


def lost(
    connection: Db2Connection, owner: str, owner_rights: Rights, changes: Collection[Change], remedy: str
) -> list[str]:
    """Return what of this owner would become inoperative by these changes of its rights, with keywords."""
    revoked = {change.right.place for change in changes if not change.grants}
    if not revoked:
        return []
    lasting = {right.place for right in owner_rights.all} - revoked
    # A role, for example, can hold what is needed on any table on which the owner has nothing by itself.
    is_wide = any(not change.grants and _is_wide(change) for change in changes)
    return sorted(
        {
            one.name
            for one in _dependents(connection, owner, remedy)
            if one.place in revoked or (is_wide and one.place not in lasting)
        }
    )


def _is_wide(change: Change) -> bool:
    """Tell whether a right can include privileges on many tables."""
    return change.right.place.startswith(("ROLE ", "ON SCHEMA ")) or change.right.key in WIDE


def _dependents(connection: Db2Connection, owner: str, remedy: str) -> Iterator[Dependent]:
    name = normal_name(owner)
    operation = f"looking for views and triggers of {owner}"
    for row in connection.ask(operation, DEPENDENTS, (name, name), remedy):
        what = f"{KEYWORDS[row['KIND']]} {identifier(row['PLACE'])}.{identifier(row['NAME'])}"
        yield Dependent(what, f"ON TABLE {identifier(row['ON_PLACE'])}.{identifier(row['ON_NAME'])}")
