"""What do the tests of PostgreSQL do with pairs, over and over?"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from psycopg2.sql import SQL, Identifier, Literal

from rotation.credential import Credential
from rotation.engine import Proof
from tests.laboratories import PostgreSQLLaboratory, deadline


def new_pair(postgresql: PostgreSQLLaboratory) -> tuple[Credential, Credential]:
    """Make a user and its clone, mirrored once, both logging in."""
    user = postgresql.new_user()
    clone = replace(user, username=f"{user.username}_clone", password=secrets.token_urlsafe())
    mirror(postgresql, user, clone)
    return user, clone


def mirror(postgresql: PostgreSQLLaboratory, user: Credential, other: Credential) -> None:
    """Do what setSecret does as the admin."""
    with postgresql.engine.connect(replace(postgresql.admin, database=user.database), deadline()) as session:
        session.mirror(user.username, other.username)
        session.set_password(other.username, other.password)


def differences(postgresql: PostgreSQLLaboratory, user: Credential, other: Credential) -> list[str]:
    """Do what testSecret does."""
    with postgresql.engine.connect(other, deadline()) as session:
        return list(session.differences(user.username, other.username))


def alter(postgresql: PostgreSQLLaboratory, statement: str, *names: str, database: str | None = None) -> None:
    """Run a statement as the superuser, with names in the place of its braces."""
    with postgresql.session(database=database) as run:
        run(SQL(statement).format(*map(Identifier, names)))


def proof_of(postgresql: PostgreSQLLaboratory, user: Credential) -> Proof:
    """Log in, and return who that is."""
    with postgresql.engine.connect(user, deadline()) as session:
        return session.proof()


@contextmanager
def own_admin(postgresql: PostgreSQLLaboratory) -> Iterator[PostgreSQLLaboratory]:
    """Look at the server as somebody with another admin."""
    admin = replace(postgresql.admin, username=f"admin_{secrets.token_hex(4)}", password=secrets.token_urlsafe())
    with postgresql.session() as run:
        run(
            SQL("CREATE ROLE {} LOGIN CREATEROLE PASSWORD {}").format(
                Identifier(admin.username), Literal(admin.password)
            )
        )
    yield replace(postgresql, admin=admin)
