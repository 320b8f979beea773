"""In which other databases does the clone hold something, and how are they visited?

Everybody who owns a database can grant the clone something in it, and so make us connect to it.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from rotation.deadline import RESERVED_SECONDS, Deadline
from rotation.engines.postgresql import catalog
from rotation.engines.postgresql.connection import PostgreSQLConnection, transaction
from rotation.engines.postgresql.questions import Question
from rotation.engines.postgresql.roles import PairRoles, quoted
from rotation.errors import DatabaseError, LoginBlocked, NotPermitted, OutOfTime
from rotation.values import dataclass

STRANGERS_SECONDS = 10.0
"""How long all databases of strangers may take together."""


@dataclass(frozen=True)
class OtherDatabase:
    """A row of catalog.OTHER_DATABASES."""

    name: str
    clone_owns_something: bool
    is_operators: bool
    is_enterable: bool
    has_unmovable: bool
    """Whether the clone has a policy or a user mapping there."""

    @property
    def is_strangers(self) -> bool:
        """Whether the rotation can do without it: the clone only has rights there, and a stranger gave them."""
        return not self.clone_owns_something and not self.is_operators


def other_databases(connection: PostgreSQLConnection, roles: PairRoles) -> list[OtherDatabase]:
    """Return the other databases in which the clone holds something."""
    rows = connection.ask("looking for rights in other databases", about_other_databases(roles), roles.remedy)
    return [OtherDatabase(str(name), *map(bool, facts)) for name, *facts in rows]


def about_other_databases(roles: PairRoles) -> Question:
    """Return what is asked about the other databases."""
    return Question(catalog.OTHER_DATABASES, (roles.oids["clone"],))


def require_enterable(connection: PostgreSQLConnection, databases: Iterable[OtherDatabase], roles: PairRoles) -> None:
    """Raise NotPermitted if the clone owns something in a database that the admin has no right to connect to."""
    for database in databases:
        if database.clone_owns_something and not database.is_enterable:
            raise NotPermitted(
                f"handing over to {roles.original} what {roles.clone} owns in the database {database.name}",
                f"{connection.username} cannot connect to it",
                f"GRANT CONNECT ON DATABASE {quoted(database.name)} TO {quoted(connection.username)}",
            )


def visit_other_databases(
    connection: PostgreSQLConnection,
    databases: Iterable[OtherDatabase],
    work: Callable[[PostgreSQLConnection, str], None],
) -> list[str]:
    """Work in each of these databases; return the names of those that were left out.

    A database is left out if it is a stranger's, and the work cannot be done there for any reason; and if this
    session's user is not let into it, and the clone owns nothing there.
    """
    left, strangers = [], _earlier(connection.deadline, STRANGERS_SECONDS)
    for database in databases:
        deadline = strangers if database.is_strangers else connection.deadline
        try:
            if not database.is_enterable and not database.clone_owns_something:
                left.append(database.name)
                continue
            connection.forget()  # what is done there can change what was read here: roles and memberships are the same
            with transaction(replace(connection.credential, database=database.name), deadline) as there:
                there.is_repeatable = connection.is_repeatable and not database.is_strangers
                work(there, database.name)
        except (DatabaseError, OutOfTime) as error:
            if not database.is_strangers and (database.clone_owns_something or not isinstance(error, LoginBlocked)):
                raise
            left.append(database.name)
    return left


def _earlier(deadline: Deadline, seconds: float) -> Deadline:
    """Return a deadline that ends in so many seconds, or when the other one does."""
    until = time.monotonic() + seconds
    return Deadline(lambda: min(deadline.left(), until - time.monotonic()) + RESERVED_SECONDS)
