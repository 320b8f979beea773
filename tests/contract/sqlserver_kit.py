"""What do the contract tests of SQL Server do alike, besides `tests.contract.pairs`?"""

from dataclasses import replace

import pytest

from rotation.credential import Credential
from rotation.record import ended
from tests.contract.pairs import RecordInMemory
from tests.laboratories import Run, deadline
from tests.laboratories.sqlserver import SQLServerLaboratory, bracketed


def mirror(
    laboratory: SQLServerLaboratory, user: Credential, other: Credential, admin: Credential | None = None
) -> None:
    """Do what setSecret does."""
    admin = replace(admin or laboratory.admin, database=user.database)
    with laboratory.engine.connect(admin, deadline()) as session:
        session.clone_status(user.username, other.username)
        session.mirror(user.username, other.username)
        assert session.compare(user.username, other.username).sentences == []
        session.set_password(other.username, other.password)


def differences(
    laboratory: SQLServerLaboratory, user: Credential, other: Credential, admin: Credential | None = None
) -> str:
    admin = replace(admin or laboratory.admin, database=user.database)
    with laboratory.engine.connect(admin, deadline()) as session:
        found = session.compare(user.username, other.username).differences
    return "\n".join(f"{difference.what}: {difference.change_other}" for difference in found)


def known(laboratory: SQLServerLaboratory, user: Credential, other: Credential) -> RecordInMemory:
    """Return the record that a rotation would have left of these two, which are equal."""
    record = RecordInMemory()
    with laboratory.engine.connect(replace(laboratory.admin, database=user.database), deadline()) as session:
        record.write_record(ended(session.compare(user.username, other.username), user.username, other.username))
    return record


def agree(laboratory: SQLServerLaboratory, user: Credential, other: Credential) -> None:
    """Do what RightsDiffer says: make the other one what the user is, by the statement of each difference."""
    with laboratory.engine.connect(replace(laboratory.admin, database=user.database), deadline()) as session:
        found = session.compare(user.username, other.username).differences
    assert found
    alter(laboratory, *(difference.change_other for difference in found))


def alter(laboratory: SQLServerLaboratory, *statements: str, database: str = "master") -> None:
    """Run statements as the superuser."""
    with laboratory.session(database=database) as run:
        for statement in statements:
            run(statement)


def asked(
    laboratory: SQLServerLaboratory, query: str, *arguments: object, database: str = "master"
) -> list[tuple[object, ...]]:
    with laboratory.session(database=database) as run:
        return run(query, *arguments)


def needs_stand_in(laboratory: SQLServerLaboratory) -> None:
    if not laboratory.log:
        pytest.skip("about what a real server must be set up for")


PERMISSIONS = """
    SELECT p.class_desc, p.major_id, p.minor_id, p.permission_name, p.state_desc
    FROM sys.{scope}_permissions p JOIN sys.{scope}_principals u ON u.principal_id = p.grantee_principal_id
    WHERE u.name = %s ORDER BY 1, 2, 3, 4"""
ROLES = """
    SELECT r.name FROM sys.{scope}_role_members m JOIN sys.{scope}_principals r ON r.principal_id = m.role_principal_id
    JOIN sys.{scope}_principals u ON u.principal_id = m.member_principal_id WHERE u.name = %s ORDER BY 1"""
LOGIN = """
    SELECT default_database_name, default_language_name, is_policy_checked, is_expiration_checked, is_disabled
    FROM sys.sql_logins WHERE name = %s"""
USER = """
    SELECT default_schema_name, default_language_name, allow_encrypted_value_modifications
    FROM sys.database_principals WHERE name = %s"""


STRENGTH = ["REVOKE", "GRANT", "GRANT_WITH_GRANT_OPTION", "DENY"]
MARK = ("IMPERSONATE", "DENY")
"""Our mark, which each of a pair has for the other."""


def has(laboratory: SQLServerLaboratory, username: str, *databases: str) -> list[object]:
    """Return all that a principal has, on the server and in some databases; see `has_by`."""
    with laboratory.session(database="master") as run:
        return has_by(run, username, *databases)


def has_by(run: Run, username: str, *databases: str) -> list[object]:
    """Return all that a principal has, on the server and in some databases, by the catalog, but for our mark.

    Of what several have granted or denied, the strongest counts.
    """
    run("USE master")
    found: list[object] = [run(LOGIN, username)]
    for database, scope in [("master", "server"), *((name, "database") for name in databases)]:
        run(f"USE {bracketed(database)}")
        permissions, roles = (run(query.format(scope=scope), username) for query in (PERMISSIONS, ROLES))
        given: dict[tuple[object, ...], object] = {}
        for *right, state in permissions:
            if (right[-1], state) != MARK:
                given.setdefault(tuple(right), state)
                given[tuple(right)] = max(given[tuple(right)], state, key=lambda state: STRENGTH.index(str(state)))
        found += [given, roles, run(USER, username) if scope == "database" else []]
    return found


def make_equal(
    laboratory: SQLServerLaboratory,
    current: Credential,
    other: Credential,
    *databases: str,
    admin: Credential | None = None,
) -> None:
    """Mirror, and see that the two are the same and that nothing was done to the current one."""
    before = has(laboratory, current.username, *databases)
    mirror(laboratory, current, other, admin)
    assert has(laboratory, current.username, *databases) == before
    assert has(laboratory, other.username, *databases) == before
