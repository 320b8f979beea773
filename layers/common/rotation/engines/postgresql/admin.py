"""What lets an admin change roles that it did not create, and what keeps it from running other people's code?"""

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg2.sql import SQL, Identifier

from rotation.engines.postgresql import catalog
from rotation.engines.postgresql.connection import PostgreSQLConnection
from rotation.engines.postgresql.rights import boolean
from rotation.errors import Unsafe


def admin_option(admin: str, *roles: str) -> str:
    """Return the remedy for an admin that is not permitted to change roles, which PostgreSQL 16 and later restrict."""
    grants = "; ".join(f'GRANT "{role}" TO "{admin}" WITH ADMIN OPTION' for role in roles)
    return f"Give {admin} CREATEROLE, and run as the creator of the roles, or as a superuser: {grants}"


def require_no_strange_triggers(connection: PostgreSQLConnection) -> None:
    """Raise Unsafe if changing something in this database would run a stranger's code as the admin.

    Only superusers and RDS's masters can create event triggers, but the function can be anybody's.
    """
    operation = "looking for event triggers"
    for trigger, function, owner in connection.execute(operation, catalog.STRANGE_TRIGGERS):
        raise Unsafe(
            operation,
            f"the event trigger {trigger} runs {function} as {connection.username}, and {owner} can change that code",
            f"Give {function} to a superuser (on RDS: the master), or disable the event trigger",
        )


@contextmanager
def rights_of(connection: PostgreSQLConnection, role: str, oid: int) -> Iterator[None]:
    """Let the admin use the rights of a role inside the block. After a block that ends well, it has what it had."""
    operation, name = f"using the rights of {role}", Identifier(role)
    [(has_them,)] = connection.execute(operation, "SELECT pg_has_role(current_user, %s, 'USAGE')", (oid,))
    if has_them:
        yield
        return
    has_options = connection.memberships_have_options
    before = connection.execute(operation, catalog.OWN_OPTIONS, (oid,)) if has_options else []
    grant = SQL("GRANT {} TO CURRENT_USER").format(name)
    options = SQL(" WITH INHERIT TRUE, SET TRUE" if has_options else "")
    connection.execute(operation, grant + options, remedy=admin_option(connection.username, role))
    yield
    for inherits, sets in before:
        connection.execute(operation, grant + SQL(f" WITH INHERIT {boolean(inherits)}, SET {boolean(sets)}"))
    if not before:
        connection.execute(operation, SQL("REVOKE {} FROM CURRENT_USER").format(name))
