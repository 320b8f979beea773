"""What do the tests of PostgreSQL do with pairs, over and over?"""

import secrets
from dataclasses import replace

from psycopg2.sql import SQL, Identifier

from rotation.credential import Credential
from tests.laboratories import deadline
from tests.laboratories.postgresql import PostgreSQLLaboratory


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
