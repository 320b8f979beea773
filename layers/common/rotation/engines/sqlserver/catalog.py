"""Which queries does the driver send to SQL Server's catalog views?

The views show the rows that the user who is logged in can see, and no error says that there are more
(https://learn.microsoft.com/en-us/sql/relational-databases/security/metadata-visibility-configuration). So the
permissions that show all rows are checked first.

Every view and function here is the server's own. Views are named with their schema, `sys`, in which nobody can create
anything. Functions are built in: a user's function is called with its schema
(https://learn.microsoft.com/en-us/sql/t-sql/statements/create-function-transact-sql).
tests/contract/forms/sqlserver.txt has the form of each query, and a test compares.
"""

import re

SEES_SERVER = ("ALTER ANY LOGIN", "VIEW ANY DEFINITION", "VIEW ANY DATABASE")
SEES_DATABASE = ("ALTER ANY USER", "VIEW DEFINITION")
"""The permissions that show all of a server, and all of one database."""

BY_DATABASE = 2
"""The `authentication_type` of a contained user: its database has the password."""

OWN_ACCOUNT = """
    SELECT s.authenticating_database_id, DB_ID(), SUSER_SID(), p.sid
    FROM sys.dm_exec_sessions s LEFT JOIN sys.database_principals p ON p.principal_id = DATABASE_PRINCIPAL_ID()
    WHERE s.session_id = @@SPID"""
"""The account of this session. The database that authenticated it is 0 for a login, or 1 (see `accounts`). "Everyone
can see their own session"
(https://learn.microsoft.com/en-us/sql/relational-databases/system-dynamic-management-views/sys-dm-exec-sessions-transact-sql).
SUSER_SID() is the SID of a login (…/t-sql/functions/suser-sid-transact-sql). The SID of a contained user is in the
database, where "any user can see their own user name"
(…/system-catalog-views/sys-database-principals-transact-sql). Only those who create accounts can write any of this."""
SURROUNDINGS = "SELECT DB_NAME(), USER_NAME(), SCHEMA_NAME()"
"""What an application finds: the database, its user there, and where it looks for names
(https://learn.microsoft.com/en-us/sql/t-sql/functions/schema-name-transact-sql)."""
AUTHENTICATION = """
    SELECT d.containment, HAS_PERMS_BY_NAME(NULL, 'DATABASE', 'VIEW DEFINITION'), p.authentication_type
    FROM sys.databases d LEFT JOIN sys.database_principals p ON p.name = %s
    WHERE d.database_id = DB_ID()"""

SERVER = """
    SELECT CAST(SERVERPROPERTY('ProductVersion') AS nvarchar(128)),
        HAS_PERMS_BY_NAME(NULL, NULL, 'VIEW ANY DATABASE')"""
"""Its version, and whether this session sees all databases. Everybody can ask for the properties of the server
(…/t-sql/functions/serverproperty-transact-sql)."""
OWN_POLICY = "SELECT is_policy_checked FROM sys.sql_logins WHERE sid = SUSER_SID()"
"""Every login sees its own row (…/system-catalog-views/sys-sql-logins-transact-sql)."""
CAN_ALTER_LOGIN = """
    SELECT HAS_PERMS_BY_NAME(%s, 'LOGIN', 'ALTER'), HAS_PERMS_BY_NAME(NULL, NULL, 'ALTER ANY LOGIN'),
        HAS_PERMS_BY_NAME(NULL, NULL, 'CONTROL SERVER')"""
"""About a name in brackets. Only the last is enough for a login that has CONTROL SERVER, or is in sysadmin
(…/t-sql/statements/alter-login-transact-sql)."""
CAN_ALTER_ROLE = "SELECT HAS_PERMS_BY_NAME(%s, 'SERVER ROLE', 'ALTER')"
ADMIN_ON_SERVER = """
    SELECT principal_id, name, type, is_fixed_role, IS_SRVROLEMEMBER(name),
        HAS_PERMS_BY_NAME(NULL, NULL, 'ALTER ANY SERVER ROLE'), HAS_PERMS_BY_NAME(NULL, NULL, 'CONTROL SERVER')
    FROM sys.server_principals WHERE principal_id = SUSER_ID() OR type = 'R'"""
"""The login that is logged in, all roles of the server, and in which of them it is, itself or through another one."""
ADMIN_IN_DATABASE = """
    SELECT HAS_PERMS_BY_NAME(NULL, 'DATABASE', 'CONTROL'), HAS_PERMS_BY_NAME(NULL, 'DATABASE', 'ALTER ANY USER')"""

_LOGIN = """
    SELECT principal_id, name, sid, default_database_name, DB_ID(default_database_name), default_language_name,
        is_policy_checked, is_expiration_checked
    FROM sys.sql_logins"""
LOGIN = f"{_LOGIN} WHERE name = %s"
LOGIN_BY_SID = f"{_LOGIN} WHERE sid = %s"
LOGIN_STATE = "SELECT is_disabled, CAST(LOGINPROPERTY(name, 'IsLocked') AS int) FROM sys.sql_logins WHERE sid = %s"
MUST_CHANGE = "SELECT CAST(LOGINPROPERTY(name, 'IsMustChange') AS int) FROM sys.sql_logins WHERE sid = %s"
ANY_PRINCIPAL = "SELECT 1 FROM sys.server_principals WHERE name = %s"
HAS_LOGIN = "SELECT 1 FROM sys.server_principals WHERE sid = %s"

DATABASES = """
    SELECT CAST(name AS varbinary(256)), HAS_DBACCESS(name), state_desc, user_access_desc, is_read_only,
        source_database_id, CAST(DATABASEPROPERTYEX(name, 'Updateability') AS nvarchar(20))
    FROM sys.databases ORDER BY name"""
"""The names come as bytes: a name that no client can decode would make the whole answer unreadable. A snapshot has the
id of its source (…/system-catalog-views/sys-databases-transact-sql). A secondary of an availability group has
Updateability READ_ONLY (…/t-sql/functions/databasepropertyex-transact-sql)."""
OWN_DATABASES = """
    SELECT CAST(name AS varbinary(256)), HAS_PERMS_BY_NAME(NULL, NULL, 'VIEW ANY DATABASE')
    FROM sys.databases WHERE HAS_DBACCESS(name) = 1"""
OWN_USER = "SELECT {number} FROM {database}.sys.database_principals WHERE sid = SUSER_SID()"
"""Which databases the user who is logged in can enter, and whether it has a user in one of them, for which a number
stands. Without VIEW ANY DATABASE, it does not see all databases that it can enter."""

HERE = """
    SELECT HAS_PERMS_BY_NAME(NULL, 'DATABASE', 'VIEW DEFINITION'), DATABASE_PRINCIPAL_ID(),
        CASE WHEN p.name = %s THEN 1 ELSE 0 END, p.type, p.authentication_type,
        p.principal_id, p.name, p.sid, p.default_schema_name, p.allow_encrypted_value_modifications
    FROM sys.databases d LEFT JOIN sys.database_principals p ON p.sid IN (%s, %s) OR p.name = %s
    WHERE d.database_id = DB_ID()"""
"""What the admin sees in the current database, for which NULL stands; who has one of two SIDs there, and who has a name
(https://learn.microsoft.com/en-us/sql/t-sql/functions/has-perms-by-name-transact-sql). There is a row even if there is
nobody: everybody sees the database that the session is in
(https://learn.microsoft.com/en-us/sql/relational-databases/system-catalog-views/sys-databases-transact-sql)."""
SQL_USER, BY_INSTANCE = "S", 1
"""The `type`, and the `authentication_type`, of the user of a login with a password."""
_CONTAINED = """
    SELECT principal_id, name, sid, default_schema_name, allow_encrypted_value_modifications, default_language_name,
        DB_ID()
    FROM sys.database_principals WHERE authentication_type = 2"""
CONTAINED_USER = f"{_CONTAINED} AND name = %s"
CONTAINED_USER_BY_SID = f"{_CONTAINED} AND sid = %s AND DB_ID() = %s"

_TRIGGERS = """
    SELECT t.name, OBJECT_DEFINITION(t.object_id) FROM sys.triggers t
    WHERE t.parent_class = 0 AND t.is_disabled = 0
      AND t.object_id IN (SELECT e.object_id FROM sys.trigger_events e WHERE e.type_desc IN ({events}))"""
TRIGGERS = _TRIGGERS.format(
    events="'CREATE_USER', 'ALTER_USER', 'ALTER_ROLE', 'ADD_ROLE_MEMBER', 'DROP_ROLE_MEMBER', 'GRANT_DATABASE',"
    " 'DENY_DATABASE', 'REVOKE_DATABASE'"
)
TRIGGERS_OF_PASSWORDS = _TRIGGERS.format(events="'ALTER_USER'")
"""The DDL triggers of a database that fire for the statements of a rotation there, and for a new password alone
(https://learn.microsoft.com/en-us/sql/relational-databases/triggers/ddl-events). The view has a trigger for a group of
events once for each event of the group (…/t-sql/statements/create-trigger-transact-sql)."""

MARKED_LOGINS = """
    SELECT grantee_principal_id FROM sys.server_permissions
    WHERE class = 101 AND permission_name = 'IMPERSONATE' AND state_desc = 'DENY'
      AND major_id IN ({ids}) AND grantee_principal_id IN ({ids})"""
MARKED_USERS = """
    SELECT grantee_principal_id FROM sys.database_permissions
    WHERE class = 4 AND permission_name = 'IMPERSONATE' AND state_desc = 'DENY'
      AND major_id IN ({ids}) AND grantee_principal_id IN ({ids})"""
"""Which of the two is denied IMPERSONATE on the other. {ids} are numbers from the catalog, here and below."""

SERVER_ROLES = """
    SELECT m.member_principal_id, r.name
    FROM sys.server_role_members m JOIN sys.server_principals r ON r.principal_id = m.role_principal_id
    WHERE m.member_principal_id IN ({ids})"""
DATABASE_ROLES = """
    SELECT m.member_principal_id, r.name
    FROM sys.database_role_members m JOIN sys.database_principals r ON r.principal_id = m.role_principal_id
    WHERE m.member_principal_id IN ({ids})"""

CLASSES = {
    5: ("ASSEMBLY", "sys.assemblies", "assembly_id"),
    6: ("TYPE", "sys.types", "user_type_id"),
    10: ("XML SCHEMA COLLECTION", "sys.xml_schema_collections", "xml_collection_id"),
    15: ("MESSAGE TYPE", "sys.service_message_types", "message_type_id"),
    16: ("CONTRACT", "sys.service_contracts", "service_contract_id"),
    17: ("SERVICE", "sys.services", "service_id"),
    18: ("REMOTE SERVICE BINDING", "sys.remote_service_bindings", "remote_service_binding_id"),
    19: ("ROUTE", "sys.routes", "route_id"),
    23: ("FULLTEXT CATALOG", "sys.fulltext_catalogs", "fulltext_catalog_id"),
    24: ("SYMMETRIC KEY", "sys.symmetric_keys", "symmetric_key_id"),
    25: ("CERTIFICATE", "sys.certificates", "certificate_id"),
    26: ("ASYMMETRIC KEY", "sys.asymmetric_keys", "asymmetric_key_id"),
    29: ("FULLTEXT STOPLIST", "sys.fulltext_stoplists", "stoplist_id"),
    31: ("SEARCH PROPERTY LIST", "sys.registered_search_property_lists", "property_list_id"),
    32: ("DATABASE SCOPED CREDENTIAL", "sys.database_scoped_credentials", "credential_id"),
    34: ("EXTERNAL LANGUAGE", "sys.external_languages", "external_language_id"),
}
"""Of things in a database, by the class of permissions on them: the keyword, and a view with its key."""
CLASSES_IN_SCHEMAS = frozenset({6, 10})
CLASSES_NOT_EVERYWHERE = frozenset({32, 34})
"""Those whose views not every admin can read, or not every version has. Only a permission on such a thing is read: its
owner is not looked for."""

OWNED = "OWNED"
"""Stands in the column `state_desc` of rows that are about an owner and not about a permission."""

SERVER_RIGHTS = """
    SELECT grantee_principal_id, class, class_desc, major_id, minor_id, permission_name, state_desc,
        grantor_principal_id, SUSER_ID()
    FROM sys.server_permissions WHERE grantee_principal_id IN ({ids}) OR grantor_principal_id IN ({ids})
    UNION ALL SELECT owning_principal_id, 101, 'SERVER_PRINCIPAL', principal_id, 0, NULL, 'OWNED', NULL, NULL
    FROM sys.server_principals WHERE type = 'R' AND owning_principal_id IN ({ids})
    UNION ALL SELECT principal_id, 105, 'ENDPOINT', endpoint_id, 0, NULL, 'OWNED', NULL, NULL
    FROM sys.endpoints WHERE principal_id IN ({ids})"""
DATABASE_RIGHTS = """
    SELECT grantee_principal_id, class, class_desc, major_id, minor_id, permission_name, state_desc,
        grantor_principal_id, DATABASE_PRINCIPAL_ID()
    FROM sys.database_permissions WHERE grantee_principal_id IN ({ids}) OR grantor_principal_id IN ({ids})
    UNION ALL SELECT principal_id, 3, 'SCHEMA', schema_id, 0, NULL, 'OWNED', NULL, NULL
    FROM sys.schemas WHERE principal_id IN ({ids})
    UNION ALL SELECT owning_principal_id, 4, 'DATABASE_PRINCIPAL', principal_id, 0, NULL, 'OWNED', NULL, NULL
    FROM sys.database_principals WHERE type = 'R' AND owning_principal_id IN ({ids})
    UNION ALL SELECT principal_id, 1, 'OBJECT_OR_COLUMN', object_id, 0, NULL, 'OWNED', NULL, NULL
    FROM sys.all_objects WHERE principal_id IN ({ids})"""
DATABASE_RIGHTS += "".join(
    f" UNION ALL SELECT principal_id, {number}, '{keyword}', {key}, 0, NULL, 'OWNED', NULL, NULL"  # noqa: S608 - constants
    f" FROM {view} WHERE principal_id IN ({{ids}})"
    for number, (keyword, view, key) in CLASSES.items()
    if number not in CLASSES_NOT_EVERYWHERE
)
"""What principals are granted and denied, and by whom; what they have granted and denied to others; what they own; and
the id of the user who is logged in. A table without an owner of its own, which the owner of its schema owns, is not in
the result."""

PERMISSION = re.compile(r"([A-Z]+( [A-Z]+)*)?")
"""The form of a permission's name, because it goes into statements unquoted."""
SERVER_NAMES = "SELECT principal_id, name FROM sys.server_principals WHERE principal_id IN ({ids})"
DATABASE_NAMES = "SELECT principal_id, name FROM sys.database_principals WHERE principal_id IN ({ids})"

WHOLE_CLASSES = frozenset({0, 100})
"""The classes of permissions on the database, and the server, itself
(https://learn.microsoft.com/en-us/sql/relational-databases/system-catalog-views/sys-database-permissions-transact-sql,
…/sys-server-permissions-transact-sql)."""

OBJECT, DATABASE_PRINCIPAL, SERVER_PRINCIPAL = 1, 4, 101


def _of_schema(keyword: str, view: str, key: str) -> str:
    return (
        f"SELECT t.{key}, '{keyword}', s.name, t.name FROM {view} t JOIN sys.schemas s ON s.schema_id = t.schema_id"  # noqa: S608
        f" WHERE t.{key} IN ({{ids}})"
    )


def _of_database(keyword: str, view: str, key: str, by_type: str = "") -> str:
    what = f"CASE type {by_type} ELSE '{keyword}' END" if by_type else f"'{keyword}'"
    return f"SELECT {key}, {what}, NULL, name FROM {view} WHERE {key} IN ({{ids}})"  # noqa: S608 - constants


NAMES = {
    1: _of_schema("OBJECT", "sys.all_objects", "object_id"),
    3: _of_database("SCHEMA", "sys.schemas", "schema_id"),
    4: _of_database(
        "USER", "sys.database_principals", "principal_id", "WHEN 'R' THEN 'ROLE' WHEN 'A' THEN 'APPLICATION ROLE'"
    ),
    **{
        number: (_of_schema if number in CLASSES_IN_SCHEMAS else _of_database)(keyword, view, key)
        for number, (keyword, view, key) in CLASSES.items()
    },
    101: _of_database("LOGIN", "sys.server_principals", "principal_id", "WHEN 'R' THEN 'SERVER ROLE'"),
    105: _of_database("ENDPOINT", "sys.endpoints", "endpoint_id"),
}
"""By the class of a permission: a query for number, keyword, schema and name of its securables."""

COLUMNS = "SELECT object_id, column_id, name FROM sys.all_columns WHERE object_id IN ({ids})"
