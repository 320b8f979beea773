"""What lets an admin change roles that it did not create, and what keeps it from running other people's code?"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from psycopg2.sql import SQL, Identifier

from rotation.engines.postgresql import catalog
from rotation.engines.postgresql.connection import PostgreSQLConnection
from rotation.engines.postgresql.questions import Question
from rotation.engines.postgresql.rights import boolean
from rotation.engines.postgresql.roles import Role, quoted
from rotation.errors import RETRIED, Unsafe


def admin_option(admin: str, *roles: str) -> str:
    """Return the remedy for an admin that is not permitted to grant roles."""
    grants = "; ".join(f"GRANT {quoted(role)} TO {quoted(admin)} WITH ADMIN OPTION" for role in roles)
    return f"Run as the creator of the roles, or as a superuser: {grants}"


def lacking(admin: str, own: Role | None, roles: Mapping[str, Role], *, have_options: bool) -> str:
    """Return the remedy for an admin that is not permitted to change these roles: what the catalog says that it lacks.

    Empty if it seems to lack nothing.
    """
    if own is None or own.attributes["SUPERUSER"]:
        return ""
    highest = ("SUPERUSER",) if have_options else ("SUPERUSER", "REPLICATION")
    for name, flag in ((name, flag) for name, role in roles.items() for flag in highest if role.attributes[flag]):
        return f"Name a superuser in the admin secret, or run as one: ALTER ROLE {quoted(name)} NO{flag}"
    statements = [] if own.attributes["CREATEROLE"] else [f"ALTER ROLE {quoted(admin)} CREATEROLE"]
    if have_options:
        statements += [
            f"GRANT {quoted(name)} TO {quoted(admin)} WITH ADMIN OPTION"
            for name, role in roles.items()
            if not role.is_administered
        ]
    return f"Run as the creator of the roles, or as a superuser: {'; '.join(statements)}" if statements else ""


def lacking_attributes(admin: str, own: Role | None, other: str, words: Sequence[str], *, have_options: bool) -> str:
    """Return the remedy for an admin that is not permitted to change these attributes; empty if it seems to be.

    For more than these attributes, see `lacking`.
    """
    if own is None or own.attributes["SUPERUSER"]:
        return ""
    if have_options:  # since then, who has an attribute can change it in others
        flags = [flag for word in words if own.attributes.get(flag := word.removeprefix("NO")) is False]
        return f"Run as a superuser: ALTER ROLE {quoted(admin)} WITH {' '.join(flags)}" if flags else ""
    flags = [word for word in words if word.removeprefix("NO") == "BYPASSRLS"]
    return f"Run as a superuser: ALTER ROLE {quoted(other)} WITH {' '.join(flags)}" if flags else ""


def require_no_strange_triggers(connection: PostgreSQLConnection) -> None:
    """Raise Unsafe if changing something in this database would run a stranger's code as the admin.

    Only superusers and RDS's masters can create event triggers, but the function can be anybody's. If one of their own
    functions fails, the error says so.
    """
    operation = "looking for event triggers"
    for trigger, function, owner in connection.ask(operation, Question(catalog.STRANGE_TRIGGERS)):
        raise Unsafe(
            operation,
            f"the event trigger {trigger} runs {function} as {connection.username}, and {owner} can change that code",
            f"Give {function} to a superuser (on RDS: the master), or disable the event trigger",
        )
    for function, schema in connection.ask(operation, Question(catalog.OPERATORS_TRIGGERS)):
        connection.function_remedy = (
            f"ALTER FUNCTION {function} SET search_path TO {quoted(schema)}, if it finds no names: event triggers fire"
            f" in this session, whose search_path is pg_catalog; or correct the function. {RETRIED}"
        )


@contextmanager
def acting_as(connection: PostgreSQLConnection, role: str, oid: int) -> Iterator[None]:
    """Do everything inside the block as this role, with no rights but the role's.

    After a block that ends well, the admin acts as itself, and is a member of what it was a member of before, with the
    same options.
    """
    operation, name = f"acting as {role}", Identifier(role)
    before = _own_memberships(connection, operation, oid)
    question = Question(catalog.CAN_ACT_AS.format(act_as=connection.act_as), (oid,))
    [(can_act,)] = connection.ask(operation, question)
    if not can_act:
        grant = SQL("GRANT {} TO CURRENT_USER").format(name)
        options = SQL(" WITH SET TRUE" if connection.memberships_have_options else "")
        connection.execute(operation, grant + options, remedy=admin_option(connection.username, role))
    connection.execute(operation, SQL("SET LOCAL ROLE {}").format(name))
    yield
    connection.execute(operation, "SET LOCAL ROLE NONE")
    if not can_act:
        _restore_memberships(connection, role, oid, before)


def _restore_memberships(
    connection: PostgreSQLConnection, role: str, oid: int, before: dict[str, tuple[bool, bool]]
) -> None:
    """Undo what a GRANT to the admin has changed. The server chooses the grantor, so what has changed is looked up."""
    operation, name = f"ending that {connection.username} can act as {role}", Identifier(role)
    for grantor, options in _own_memberships(connection, operation, oid).items():
        by = SQL(" GRANTED BY {}").format(Identifier(grantor)) if connection.memberships_have_options else SQL("")
        if grantor not in before:
            connection.execute(operation, SQL("REVOKE {} FROM CURRENT_USER").format(name) + by)
        elif options != before[grantor]:
            inherits, sets = map(boolean, before[grantor])
            statement = SQL(f"GRANT {{}} TO CURRENT_USER WITH INHERIT {inherits}, SET {sets}").format(name)
            connection.execute(operation, statement + by)


def _own_memberships(connection: PostgreSQLConnection, operation: str, oid: int) -> dict[str, tuple[bool, bool]]:
    """Return the admin's memberships in a role: by who granted each, its options INHERIT and SET."""
    has_options = connection.memberships_have_options
    query = catalog.OWN_MEMBERSHIPS.format(**(catalog.FROM_16 if has_options else catalog.BEFORE_16))
    return {grantor: (inherits, sets) for grantor, inherits, sets in connection.ask(operation, Question(query, (oid,)))}
