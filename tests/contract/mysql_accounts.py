"""What do the contract tests of MySQL and of MariaDB do alike?"""

import secrets
from dataclasses import replace

from rotation.credential import Credential
from tests.laboratories import deadline
from tests.laboratories_mysql import MySQLLaboratory, quoted

type Pair = tuple[Credential, Credential]


def account(user: Credential | str, host: str = "%") -> str:
    name = user if isinstance(user, str) else user.username
    return f"{quoted(name)}@{quoted(host)}"


def alter(laboratory: MySQLLaboratory, *statements: str) -> None:
    """Run statements as the superuser."""
    with laboratory.session() as run:
        for statement in statements:
            run(statement)


def asked(laboratory: MySQLLaboratory, statement: str, *arguments: str) -> list[tuple[object, ...]]:
    with laboratory.session() as run:
        return run(statement, *arguments)


def mirror(laboratory: MySQLLaboratory, user: Credential, other: Credential) -> None:
    with laboratory.engine.connect(laboratory.admin, deadline()) as session:
        session.mirror(user.username, other.username)
        session.set_password(other.username, other.password)


def differences(laboratory: MySQLLaboratory, user: Credential, other: Credential) -> list[str]:
    with laboratory.engine.connect(laboratory.admin, deadline()) as session:
        return list(session.differences(user.username, other.username))


def new_clone(user: Credential) -> Credential:
    return replace(user, username=f"{user.username}_clone", password=secrets.token_urlsafe())
