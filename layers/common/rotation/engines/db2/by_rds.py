"""Which procedures of RDS change what its master user cannot change with a statement of SQL?

Groups, roles, and three authorities for which Db2 asks for SECADM, which nobody has on RDS
(https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/db2-sp-granting-revoking-privileges.html).
"""

from typing import Final

from rotation.engines.db2.kind import NAME
from rotation.engines.db2.rights import Change
from rotation.engines.db2.users import RDSADMIN
from rotation.values import dataclass

DBADM_AUTHORITIES: Final = frozenset({"DBADM", "ACCESSCTRL", "DATAACCESS"})


@dataclass(frozen=True)
class Call:
    """A call of a procedure, in the database RDSADMIN."""

    procedure: str
    arguments: tuple[str, ...]
    returns_task: bool = False
    """Whether a parameter before these returns the number of the task."""

    def __str__(self) -> str:
        """Say where and how an administrator runs it."""
        parameters = [*(["?"] if self.returns_task else []), *map(literal, self.arguments)]
        return f"in database {RDSADMIN}: CALL {self.procedure}({', '.join(parameters)})"


def call(change: Change, database: str) -> Call | None:
    """Return the call that grants or revokes a right in a database; None if RDS has no procedure for this right."""
    word, _, rest = change.right.what.partition(" ")
    role, grantee = rest.strip('"'), f"USER {change.grantee}"
    if word == "ROLE" and NAME.fullmatch(role):
        if change.grants:
            option = "Y" if change.right.option else "N"
            return Call("RDSADMIN.GRANT_ROLE", (database, role, grantee, option), returns_task=True)
        return Call("RDSADMIN.REVOKE_ROLE", (database, role, grantee), returns_task=True)
    if word in DBADM_AUTHORITIES and rest.endswith("ON DATABASE"):
        procedure = "RDSADMIN.DBADM_GRANT" if change.grants else "RDSADMIN.DBADM_REVOKE"
        return Call(procedure, (database, word, grantee), returns_task=True)
    return None


def add_to_group(username: str, group: str) -> Call:
    """Return the call that adds a user to a group. Db2 shows groups in upper case, and RDS keeps lower case."""
    return Call("RDSADMIN.ADD_GROUPS", (username, group.lower()))


def remove_from_group(username: str, group: str) -> Call:
    """Return the call that removes a user from a group."""
    return Call("RDSADMIN.REMOVE_GROUPS", (username, group.lower()))


def literal(text: str) -> str:
    """Return a text, quoted for SQL."""
    return "'" + text.replace("'", "''") + "'"
