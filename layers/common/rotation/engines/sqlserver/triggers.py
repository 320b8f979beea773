"""Which DDL triggers could run as an admin, and is one of them RDS's own?"""

import hashlib
from collections.abc import Sequence

from rotation.engines.driver import foreign_triggers_allowed
from rotation.engines.sqlserver.connection import SQLServerConnection
from rotation.engines.sqlserver.rights import identifier
from rotation.errors import Unsafe

TRIGGERS_OF_RDS = frozenset({
    "7bd4e0d5efe3f80b302f19601315468a86f068c8329ab8e3a60523c9c6601bfc",
    "fe0417243aa5dfb4f81da3f6f449ca9932f44923694dfd4e5c492a4451d259b3",
})  # fmt: skip
"""The digests of rds_deny_backups_trigger, as people have published it (2013 to 2017). RDS created it in new databases.
It denies BACKUP DATABASE and BACKUP LOG to new members of db_owner, and runs no code of a user."""


def require_no_triggers(connection: SQLServerConnection, query: str, other: str, place: str) -> None:
    """Raise Unsafe if a DDL trigger of the database would fire, unless the operator allows it.

    A trigger runs as the user whose statement fires it, so it could do all that the admin can. If it was made to run as
    another user, EXECUTE AS CALLER in it takes that back
    (https://learn.microsoft.com/en-us/sql/relational-databases/triggers/manage-trigger-security,
    …/t-sql/statements/execute-as-transact-sql). So neither its options nor its owner nor its name shows that it is
    harmless: whoever can create a trigger can change each of them. Only its text shows it, and RDS's own trigger is
    recognised by that. Triggers of the whole server take CONTROL SERVER.
    """
    for error in unsafe_triggers(connection, query, other, place):
        raise error


def unsafe_triggers(connection: SQLServerConnection, query: str, other: str, place: str) -> list[Unsafe]:
    """Return what `require_no_triggers` raises; nothing if it does not."""
    if foreign_triggers_allowed():
        return []
    rows = connection.ask(f"looking for DDL triggers{place}", query)
    foreign = [name for name, definition in rows if digest(definition or "") not in TRIGGERS_OF_RDS]
    return [_unsafe(foreign, connection.username, f"preparing {other}{place}")] if foreign else []


def digest(definition: str) -> str:
    """Return a digest of a T-SQL text that is the same whatever its white space and capitals."""
    return hashlib.sha256(" ".join(definition.split()).casefold().encode()).hexdigest()


def _unsafe(triggers: Sequence[str], admin: str, operation: str) -> Unsafe:
    names = ", ".join(map(identifier, triggers))
    return Unsafe(
        operation,
        f"its DDL trigger {names} would run with all rights of {admin}",
        f"Disable it there (DISABLE TRIGGER {names} ON DATABASE); or set ALLOW_FOREIGN_TRIGGERS (parameter"
        f" AllowForeignTriggers) to true, if you trust all who can create DDL triggers in the databases that {admin}"
        " enters like the admin",
    )
