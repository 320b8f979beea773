"""Which tables does the stand-in for SQL Server have, with which numbers, and who sees which rows?"""

from dataclasses import dataclass

from tests.local.stand_ins.sqlserver import things
from tests.local.stand_ins.sqlserver.things import ENDPOINT, THINGS

SCHEMA = """
    CREATE TABLE databases (
        name TEXT COLLATE NOCASE PRIMARY KEY, database_id INTEGER, owner_sid BLOB, state INTEGER DEFAULT 0,
        containment INTEGER, is_read_only INTEGER DEFAULT 0, user_access INTEGER DEFAULT 0,
        has_guest INTEGER DEFAULT 0, source_database_id INTEGER, is_secondary INTEGER DEFAULT 0,
        state_desc TEXT GENERATED ALWAYS AS (CASE state
            WHEN 0 THEN 'ONLINE' WHEN 1 THEN 'RESTORING' WHEN 5 THEN 'EMERGENCY' WHEN 6 THEN 'OFFLINE' END) VIRTUAL,
        user_access_desc TEXT GENERATED ALWAYS AS (CASE user_access
            WHEN 0 THEN 'MULTI_USER' WHEN 1 THEN 'SINGLE_USER' WHEN 2 THEN 'RESTRICTED_USER' END) VIRTUAL);
    CREATE TABLE server_principals (
        principal_id INTEGER PRIMARY KEY, name TEXT COLLATE NOCASE UNIQUE, sid BLOB UNIQUE, type TEXT,
        is_disabled INTEGER DEFAULT 0, default_database_name TEXT, default_language_name TEXT, credential_id INTEGER,
        owning_principal_id INTEGER, is_fixed_role INTEGER DEFAULT 0, is_policy_checked INTEGER,
        is_expiration_checked INTEGER, password TEXT, must_change INTEGER DEFAULT 0, failures INTEGER DEFAULT 0);
    CREATE TABLE server_role_members (role_principal_id INTEGER, member_principal_id INTEGER);
    CREATE TABLE server_permissions (
        class INTEGER, class_desc TEXT, major_id INTEGER, minor_id INTEGER, grantee_principal_id INTEGER,
        grantor_principal_id INTEGER, permission_name TEXT, state_desc TEXT);
    CREATE TABLE database_principals (
        db TEXT, principal_id INTEGER, name TEXT COLLATE NOCASE, sid BLOB, type TEXT, default_schema_name TEXT,
        default_language_name TEXT, owning_principal_id INTEGER, authentication_type INTEGER,
        is_fixed_role INTEGER DEFAULT 0, allow_encrypted_value_modifications INTEGER DEFAULT 0, password TEXT,
        PRIMARY KEY (db, principal_id), UNIQUE (db, name));
    CREATE TABLE database_role_members (db TEXT, role_principal_id INTEGER, member_principal_id INTEGER);
    CREATE TABLE database_permissions (
        db TEXT, class INTEGER, class_desc TEXT, major_id INTEGER, minor_id INTEGER, grantee_principal_id INTEGER,
        grantor_principal_id INTEGER, permission_name TEXT, state_desc TEXT);
    CREATE TABLE schemas (db TEXT, name TEXT COLLATE NOCASE, schema_id INTEGER, principal_id INTEGER);
    CREATE TABLE all_objects (
        db TEXT, object_id INTEGER, name TEXT COLLATE NOCASE, schema_id INTEGER, principal_id INTEGER, type TEXT);
    CREATE TABLE all_columns (db TEXT, object_id INTEGER, column_id INTEGER, name TEXT COLLATE NOCASE);
    CREATE TABLE dm_exec_sessions (
        session_id INTEGER PRIMARY KEY, original_login_name TEXT, original_security_id BLOB,
        authenticating_database_id INTEGER);
    CREATE TABLE triggers (
        db TEXT, object_id INTEGER, name TEXT COLLATE NOCASE, parent_class INTEGER, is_disabled INTEGER DEFAULT 0,
        runs_as INTEGER, body TEXT, definition TEXT);
    CREATE TABLE servers (server_id INTEGER, name TEXT COLLATE NOCASE);
    CREATE TABLE linked_logins (server_id INTEGER, local_principal_id INTEGER);
    CREATE TABLE credentials (credential_id INTEGER, name TEXT COLLATE NOCASE);
    CREATE TABLE server_principal_credentials (principal_id INTEGER, credential_id INTEGER);
    CREATE TABLE resource_governor_configuration (classifier_function_id INTEGER, is_enabled INTEGER);
    INSERT INTO resource_governor_configuration VALUES (0, 0);
    CREATE TABLE sql_modules (db TEXT, object_id INTEGER, definition TEXT, is_schema_bound INTEGER);
    CREATE TABLE security_policies (db TEXT, object_id INTEGER, name TEXT, is_enabled INTEGER);
    CREATE TABLE security_predicates (db TEXT, object_id INTEGER, predicate_definition TEXT);
    CREATE TABLE trigger_events (db TEXT, object_id INTEGER, type_desc TEXT);
"""

VIEWS = {
    **things.VIEWS,
    "databases": "sees_database(name)",
    "server_principals": "sees_server_principal(principal_id)",
    "sql_logins": "type = 'S' AND sees_server_principal(principal_id)",
    "server_role_members": "sees_server_principal(role_principal_id)",
    "server_permissions": "sees_server_principal(grantee_principal_id)",
    "database_principals": "db = current_database() AND sees_database_principal(principal_id)",
    "database_role_members": "db = current_database() AND sees_database_principal(member_principal_id)",
    "database_permissions": "db = current_database() AND sees_database_principal(grantee_principal_id)",
    "schemas": "db = current_database()",
    "all_objects": "db = current_database() AND sees_object(object_id)",
    "all_columns": "db = current_database() AND sees_object(object_id)",
    "triggers": "db = current_database() AND sees_definitions()",
    "trigger_events": "db = current_database() AND sees_definitions()",
    "servers": "TRUE",
    "linked_logins": "sees_server_principal(local_principal_id)",
    "credentials": "sees_server_principal(-1)",
    "server_principal_credentials": "sees_server_principal(principal_id)",
    "resource_governor_configuration": "sees_server_principal(-1)",
    "sql_modules": "db = current_database() AND sees_definitions()",
    "security_policies": "db = current_database() AND sees_definitions()",
    "security_predicates": "db = current_database() AND sees_definitions()",
    "dm_exec_sessions": "session_id = SPID() OR sees_sessions()",
}
"""The catalog views, and which rows of them a viewer sees
(https://learn.microsoft.com/en-us/sql/relational-databases/security/metadata-visibility-configuration). "Everyone can
see their own session information" (…/system-dynamic-management-views/sys-dm-exec-sessions-transact-sql). Of the
databases a viewer sees its own, master and tempdb, and all with VIEW ANY DATABASE
(…/system-catalog-views/sys-databases-transact-sql)."""

HIDDEN = frozenset({"db", "password", "failures", "must_change", "has_guest", "runs_as", "body", "is_secondary"})
"""Columns that no view shows."""
OF_SQL_LOGINS = frozenset({"is_policy_checked", "is_expiration_checked"})

SA, SERVER_PUBLIC, SYSADMIN, SECURITYADMIN = 1, 2, 3, 4
SERVER_ROLES = ("sysadmin", "securityadmin", "serveradmin", "setupadmin", "processadmin", "diskadmin", "dbcreator")
PUBLIC, DBO, GUEST, DB_OWNER = 0, 1, 2, 16384
DATABASE_ROLES = {
    DB_OWNER: "db_owner", 16385: "db_accessadmin", 16386: "db_securityadmin", 16387: "db_ddladmin",
    16389: "db_backupoperator", 16390: "db_datareader", 16391: "db_datawriter",
}  # fmt: skip
ROLES_GIVE = {
    16385: {"ALTER ANY USER"},
    16386: {"ALTER ANY ROLE"},
    16387: {"ALTER ANY DATABASE DDL TRIGGER"},
    16390: {"SELECT"},
    16391: {"INSERT", "UPDATE", "DELETE"},
}

NO_AUTHENTICATION, BY_INSTANCE, BY_DATABASE = 0, 1, 2

SERVER, SERVER_PRINCIPAL = 100, 101
DATABASE, OBJECT, OF_SCHEMA, PRINCIPAL = 0, 1, 3, 4
OF_SERVER = frozenset({SERVER, SERVER_PRINCIPAL, ENDPOINT})
CLASSES = {
    **{number: thing.keyword.replace(" ", "_") for number, thing in THINGS.items()},
    SERVER: "SERVER", SERVER_PRINCIPAL: "SERVER_PRINCIPAL",
    DATABASE: "DATABASE", OBJECT: "OBJECT_OR_COLUMN", OF_SCHEMA: "SCHEMA", PRINCIPAL: "DATABASE_PRINCIPAL",
}  # fmt: skip

SINGLE_USER, RESTRICTED_USER = 1, 2
READABLE = 2
"""A secondary that sessions can enter, and cannot write to (ALLOW_CONNECTIONS = ALL)."""

HALF = "\uf8ff"
"""Stands in a name for half a character, which a name can hold on a server, and which SQLite cannot store."""


@dataclass(frozen=True)
class Securable:
    """What a permission is on: its class, its number, and the number of its column."""

    class_id: int
    major: int = 0
    minor: int = 0


WHOLE_SERVER, WHOLE_DATABASE = Securable(SERVER), Securable(DATABASE)


@dataclass
class Viewer:
    """Who runs a statement."""

    login: int | None
    """The id of the login; None for a user of a contained database."""
    user: int
    """The id of that user; without meaning if there is a login."""
    database: str
    session: int = 0

    @property
    def who(self) -> tuple[int | None, int, str]:
        """All that its rights depend on."""
        return self.login, self.user, self.database


def table_name(database: str, identifier: int) -> str:
    """Return how SQLite calls a table."""
    return f"{database} {identifier}".replace('"', '""')


FAILURES_ALLOWED = 10
"""How many refused logins in a row lock a login whose policy is checked. On a server, Windows decides."""


def is_locked(is_policy_checked: int, failures: int) -> bool:
    """Tell whether a login was refused too often."""
    return bool(is_policy_checked) and failures >= FAILURES_ALLOWED
