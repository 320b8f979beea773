"""What do the contract tests of Oracle do alike, besides `tests.contract.pairs`?"""

import re
import secrets
from collections.abc import Sequence
from dataclasses import replace

import pytest

from rotation.credential import Credential
from rotation.engine import CloneStatus, Unshared
from tests.contract.pairs import differences, mirror
from tests.laboratories import deadline, new_password
from tests.laboratories.oracle import ROLLOVER_PROFILE, OracleLaboratory, known, quoted

LEAKS = pytest.mark.filterwarnings(
    r"ignore:Exception ignored in. <[\w.]*oracle\.\w+\.\w+:pytest.PytestUnraisableExceptionWarning"
)
"""The client leaves it to the garbage collector to close the socket of a connection that was lost."""

MAPPING = (
    "BEGIN sys.dbms_resource_manager.create_pending_area;"
    " sys.dbms_resource_manager.set_consumer_group_mapping(sys.dbms_resource_manager.oracle_user, '{n}', '{g}');"
    " sys.dbms_resource_manager.submit_pending_area; END;"
)


RIGHTS = {
    "system privileges": (["GRANT CREATE TABLE, CREATE VIEW TO {}"], ["REVOKE CREATE VIEW FROM {}"]),
    "a system privilege to pass on": (
        ["GRANT CREATE TABLE TO {} WITH ADMIN OPTION"],
        ["REVOKE CREATE TABLE FROM {}", "GRANT CREATE TABLE TO {}"],
    ),
    "it may be passed on later": (["GRANT CREATE TABLE TO {}"], ["GRANT CREATE TABLE TO {} WITH ADMIN OPTION"]),
    "roles": (['GRANT {s}_ROLE, "{s} role; --" TO {}'], ["REVOKE {s}_ROLE FROM {}"]),
    "a role to pass on": (
        ["GRANT {s}_ROLE TO {} WITH ADMIN OPTION"],
        ["REVOKE {s}_ROLE FROM {}", "GRANT {s}_ROLE TO {}"],
    ),
    "default roles": (
        ['GRANT {s}_ROLE, "{s} role; --" TO {}', 'ALTER USER {} DEFAULT ROLE "{s} role; --"'],
        ["ALTER USER {} DEFAULT ROLE NONE"],
    ),
    "default roles, all again": (
        ["GRANT {s}_ROLE TO {}", "ALTER USER {} DEFAULT ROLE NONE"],
        ["ALTER USER {} DEFAULT ROLE ALL"],
    ),
    "a role more, while only some are default roles": (
        ['GRANT "{s} role; --" TO {}', "ALTER USER {} DEFAULT ROLE NONE"],
        ["GRANT {s}_ROLE TO {}"],
    ),
    "objects": (
        ['GRANT SELECT, INSERT, UPDATE ON {s}."t ON x TO y" TO {}', "GRANT SELECT ON {s}.numbers TO {}"],
        ['REVOKE INSERT ON {s}."t ON x TO y" FROM {}'],
    ),
    "an object to pass on": (
        ["GRANT SELECT, INSERT ON {s}.parts TO {} WITH GRANT OPTION"],
        ["REVOKE SELECT ON {s}.parts FROM {}", "GRANT SELECT ON {s}.parts TO {}"],
    ),
    "a hierarchy": (["GRANT SELECT ON {s}.parts TO {} WITH HIERARCHY OPTION"], ["REVOKE SELECT ON {s}.parts FROM {}"]),
    "columns": (
        ['GRANT UPDATE (id, "co,l"), REFERENCES (id) ON {s}."t ON x TO y" TO {} WITH GRANT OPTION'],
        ['REVOKE UPDATE ON {s}."t ON x TO y" FROM {}', 'GRANT UPDATE (id) ON {s}."t ON x TO y" TO {}'],
    ),
    "columns remain of a table": (
        ["GRANT UPDATE ON {s}.parts TO {}", "GRANT UPDATE (price) ON {s}.parts TO {}"],
        ["REVOKE UPDATE ON {s}.parts FROM {}", "GRANT UPDATE (price) ON {s}.parts TO {}"],
    ),
    "a schema (23ai)": (
        ["GRANT SELECT ANY TABLE, INSERT ANY TABLE ON SCHEMA {s} TO {}"],
        ["REVOKE INSERT ANY TABLE ON SCHEMA {s} FROM {}"],
    ),
    "quotas": (
        ["ALTER USER {} QUOTA 10485760 ON users", "ALTER USER {} QUOTA UNLIMITED ON system"],
        ["ALTER USER {} QUOTA UNLIMITED ON users", "ALTER USER {} QUOTA 0 ON system"],
    ),
    "profile": (["ALTER USER {} PROFILE " + ROLLOVER_PROFILE], ["ALTER USER {} PROFILE default"]),
    "a collation": (["ALTER USER {} DEFAULT COLLATION BINARY_CI"], ["ALTER USER {} DEFAULT COLLATION USING_NLS_COMP"]),
    "reading only (23ai)": (["ALTER USER {} READ ONLY"], ["ALTER USER {} READ WRITE"]),
    "tablespaces": (["ALTER USER {} DEFAULT TABLESPACE system"], ["ALTER USER {} DEFAULT TABLESPACE users"]),
    "synonyms": (
        ["CREATE SYNONYM {}.parts FOR {s}.parts", 'CREATE SYNONYM {}."x y" FOR {s}."t ON x TO y"'],
        ["DROP SYNONYM {}.parts", 'CREATE OR REPLACE SYNONYM {}."x y" FOR {s}.parts'],
    ),
    "consumer groups": (
        [
            "BEGIN sys.dbms_resource_manager_privs.grant_switch_consumer_group('{n}', 'BATCH_GROUP', TRUE); END;",
            "BEGIN sys.dbms_resource_manager_privs.grant_switch_consumer_group('{n}', 'LOW_GROUP', FALSE); END;",
        ],
        [
            "BEGIN sys.dbms_resource_manager_privs.revoke_switch_consumer_group('{n}', 'LOW_GROUP'); END;",
            "BEGIN sys.dbms_resource_manager_privs.grant_switch_consumer_group('{n}', 'BATCH_GROUP', FALSE); END;",
        ],
    ),
    "an initial consumer group": (
        [MAPPING.replace("{g}", "BATCH_GROUP")],
        [MAPPING.replace("{g}", "LOW_GROUP")],
    ),
}
"""Each kind of thing that a pair shares: statements that give it to a user, and statements that change it then."""


STATEMENT = re.compile(r"""\s*BEGIN (?:[^'"]|'[^']*'|"[^"]*")*? END;|(?:[^;'"]|"[^"]*"|'[^']*')+""")


def paste(oracle: OracleLaboratory, text: str) -> None:
    """Run the statements that an error names, one by one, as the superuser."""
    found = [statement.strip() for statement in STATEMENT.findall(text)]
    oracle.alter(*filter(None, found))


def name_of(user: Credential) -> str:
    return known(user.username)


def account(user: Credential) -> str:
    return quoted(name_of(user))


def definition(oracle: OracleLaboratory, user: Credential) -> list[object]:
    """Return all that the dictionary says of a user, but its password."""
    with oracle.session() as run:
        return [sorted(run(query, name_of(user))) for query in DEFINITION]


DEFINITION = (
    "SELECT profile, default_tablespace, temporary_tablespace, initial_rsrc_consumer_group, default_collation,"  # noqa: ISC004
    " read_only FROM sys.dba_users WHERE username = :1",
    "SELECT granted_role, admin_option, default_role FROM sys.dba_role_privs WHERE grantee = :1",
    "SELECT privilege, admin_option FROM sys.dba_sys_privs WHERE grantee = :1",
    "SELECT owner, table_name, privilege, grantable, hierarchy FROM sys.dba_tab_privs WHERE grantee = :1",
    "SELECT owner, table_name, column_name, privilege, grantable FROM sys.dba_col_privs WHERE grantee = :1",
    "SELECT tablespace_name, max_bytes FROM sys.dba_ts_quotas WHERE username = :1 AND max_bytes <> 0",
    "SELECT granted_group, grant_option FROM sys.dba_rsrc_consumer_group_privs WHERE grantee = :1",
    "SELECT synonym_name, table_owner, table_name FROM sys.dba_synonyms WHERE owner = :1",
)


def filled(statement: str, user: Credential, things: str) -> str:
    """Return a statement about a user, in which {} is its name, {n} the same without quotes, and {s} a schema."""
    return statement.replace("{}", account(user)).replace("{n}", name_of(user)).replace("{s}", things)


def add(oracle: OracleLaboratory, user: Credential, now: Credential, through: Credential | None = None) -> None:
    with oracle.engine.connect(through or user, deadline()) as session:
        if not through:
            session.require_two_passwords()
        session.add_password(user.username, user.password, now.password)


AS_DOCUMENTED = (
    'CREATE USER rotator IDENTIFIED BY "…"',
    "REVOKE INHERIT PRIVILEGES ON USER rotator FROM PUBLIC",
    "GRANT CREATE SESSION, ALTER USER TO rotator",
    "GRANT SELECT_CATALOG_ROLE TO rotator",
    "GRANT CREATE USER TO rotator",
    "GRANT CREATE SESSION TO rotator WITH ADMIN OPTION",
    "GRANT CREATE TABLE TO rotator WITH ADMIN OPTION",
    "GRANT that_role TO rotator WITH ADMIN OPTION",
    "GRANT GRANT ANY OBJECT PRIVILEGE TO rotator",
)
"""The admin, as the page of Oracle has it; all but its beginning is for alternating users."""
FOR_ONE_USER = AS_DOCUMENTED[:4]


def documented(oracle: OracleLaboratory, role: str, statements: Sequence[str] = AS_DOCUMENTED) -> Credential:
    """Make an admin by these statements, and by nothing else."""
    admin = replace(oracle.admin, username=f"rotator_{secrets.token_hex(3)}", password=new_password())
    oracle.admins.add(name_of(admin))
    for statement in statements:
        named = statement.replace("rotator", admin.username).replace("that_role", role)
        oracle.alter(named.replace('"…"', quoted(admin.password)))
    return admin


def new_profile(oracle: OracleLaboratory, limits: str) -> str:
    name = f"LAB_{secrets.token_hex(4)}".upper()
    oracle.alter(f"CREATE PROFILE {name} LIMIT {limits}")
    return name


def make_equal(oracle: OracleLaboratory, current: Credential, other: Credential) -> None:
    """Mirror, and see that the two are the same and that nothing was done to the current one."""
    before = definition(oracle, current)
    assert differences(oracle, current, other)
    mirror(oracle, current, other)
    assert definition(oracle, current) == before
    assert definition(oracle, other) == before
    assert differences(oracle, current, other) == []
    assert oracle.logs_in(current)
    assert oracle.logs_in(other)


def unshared(oracle: OracleLaboratory, user: Credential, other: Credential) -> list[Unshared]:
    with oracle.engine.connect(oracle.admin, deadline()) as session:
        return list(session.unshared(user.username, other.username))


def deliver(oracle: OracleLaboratory, user: Credential, clone: Credential) -> None:
    """Do what a delivery of setSecret does."""
    with oracle.engine.connect(oracle.admin, deadline()) as session:
        assert session.clone_status(user.username, clone.username) is not CloneStatus.UNKNOWN
        assert not session.unshared(user.username, clone.username)
        session.mirror(user.username, clone.username)
        assert session.compare(user.username, clone.username).sentences == []
        session.set_password(clone.username, clone.password)
