"""Which privileges, names and limits does the stand-in for Oracle know?"""

SYSTEM_PRIVILEGES = frozenset(
    {
        "ADMINISTER DATABASE TRIGGER",
        "ADMINISTER RESOURCE MANAGER",
        "ALTER ANY TABLE",
        "ALTER PROFILE",
        "ALTER SESSION",
        "ALTER USER",
        "AUDIT SYSTEM",
        "CREATE DATABASE LINK",
        "CREATE PUBLIC DATABASE LINK",
        "CREATE ANY SEQUENCE",
        "CREATE ANY SYNONYM",
        "CREATE ANY TABLE",
        "CREATE ANY TRIGGER",
        "CREATE PROCEDURE",
        "CREATE PROFILE",
        "CREATE PUBLIC SYNONYM",
        "CREATE ROLE",
        "CREATE SEQUENCE",
        "CREATE SESSION",
        "CREATE SYNONYM",
        "CREATE TABLE",
        "CREATE TRIGGER",
        "CREATE TYPE",
        "CREATE USER",
        "CREATE VIEW",
        "DELETE ANY TABLE",
        "DEQUEUE ANY QUEUE",
        "DROP ANY SYNONYM",
        "DROP ANY TABLE",
        "DROP PROFILE",
        "DROP USER",
        "ENQUEUE ANY QUEUE",
        "EXECUTE ANY PROCEDURE",
        "GRANT ANY OBJECT PRIVILEGE",
        "GRANT ANY PRIVILEGE",
        "GRANT ANY ROLE",
        "GRANT ANY SCHEMA PRIVILEGE",
        "INSERT ANY TABLE",
        "MANAGE ANY QUEUE",
        "READ ANY TABLE",
        "SELECT ANY DICTIONARY",
        "SELECT ANY SEQUENCE",
        "SELECT ANY TABLE",
        "UNLIMITED TABLESPACE",
        "UPDATE ANY TABLE",
    }
)
BY_PACKAGE = frozenset({"ADMINISTER RESOURCE MANAGER", "DEQUEUE ANY QUEUE", "ENQUEUE ANY QUEUE", "MANAGE ANY QUEUE"})
"""The privileges that no page documents for GRANT. A package grants them."""
OBJECT_PRIVILEGES = frozenset(
    {
        "ALTER",
        "DEBUG",
        "DELETE",
        "EXECUTE",
        "FLASHBACK",
        "INDEX",
        "INSERT",
        "READ",
        "REFERENCES",
        "SELECT",
        "UPDATE",
        "WRITE",
    }
)
COLUMN_PRIVILEGES = frozenset({"INSERT", "REFERENCES", "UPDATE"})

SYS, PUBLIC, DBA, CATALOG = "SYS", "PUBLIC", "DBA", "SELECT_CATALOG_ROLE"
NAMES_OF_SYS = frozenset(
    {
        "ALL_USERS",
        "DBA_COL_PRIVS",
        "DBA_DB_LINKS",
        "DBA_NESTED_TABLES",
        "DBA_OBJECTS",
        "DBA_PROXIES",
        "DBA_ROLE_PRIVS",
        "DBA_RSRC_CONSUMER_GROUP_PRIVS",
        "DBA_SCHEMA_PRIVS",
        "DBA_SYNONYMS",
        "DBA_SYS_PRIVS",
        "DBA_TAB_PRIVS",
        "DBA_TRIGGERS",
        "DBA_TS_QUOTAS",
        "DBA_USERS",
        "DBMS_AQADM",
        "DBMS_RESOURCE_MANAGER",
        "DBMS_RESOURCE_MANAGER_PRIVS",
        "DUAL",
        "SESSION_PRIVS",
        "SESSION_ROLES",
        "SYS_CONTEXT",
        "USER_PASSWORD_LIMITS",
        "USER_USERS",
    }
)
"""The names that resolve to objects of SYS if the current schema is SYS."""
NUMBERS = frozenset({"COUNT(*)", "JOB", "LOWER_PORT", "MAX_BYTES", "REFGROUP", "SEQ", "UPPER_PORT", "USER_ID"})
"""The columns of dictionary views that are numbers, as the Database Reference has them."""

VIEWS_ABOUT_NAMES: dict[str, tuple[str, ...]] = {
    "DBA_AQ_AGENT_PRIVS": ("AGENT_NAME", "DB_USERNAME", "HTTP_ENABLED", "SMTP_ENABLED"),
    "DBA_GOLDENGATE_PRIVILEGES": ("USERNAME", "PRIVILEGE_TYPE", "GRANT_SELECT_PRIVILEGES"),
    "DBA_HOST_ACES": (
        *("HOST", "LOWER_PORT", "UPPER_PORT", "ACE_ORDER", "GRANT_TYPE", "INVERTED_PRINCIPAL"),
        *("PRINCIPAL", "PRINCIPAL_TYPE", "PRIVILEGE"),
    ),
    "DBA_JAVA_POLICY": ("KIND", "GRANTEE", "TYPE_SCHEMA", "TYPE_NAME", "NAME", "ACTION", "ENABLED", "SEQ"),
    "DBA_JOBS": ("JOB", "LOG_USER", "PRIV_USER", "SCHEMA_USER"),
    "DBA_REFRESH": ("ROWNER", "RNAME", "REFGROUP"),
    "DBA_WALLET_ACES": (
        *("WALLET_PATH", "ACE_ORDER", "GRANT_TYPE", "INVERTED_PRINCIPAL"),
        *("PRINCIPAL", "PRINCIPAL_TYPE", "PRIVILEGE"),
    ),
    "DBA_XSTREAM_INBOUND": ("SERVER_NAME", "QUEUE_OWNER", "QUEUE_NAME", "APPLY_USER"),
    "DBA_XSTREAM_OUTBOUND": ("SERVER_NAME", "CONNECT_USER", "CAPTURE_NAME", "CAPTURE_USER"),
    "REDACTION_EXPRESSIONS": (
        *("POLICY_EXPRESSION_NAME", "EXPRESSION", "OBJECT_OWNER", "OBJECT_NAME", "COLUMN_NAME"),
        "POLICY_EXPRESSION_DESCRIPTION",
    ),
    "REDACTION_POLICIES": (
        *("OBJECT_OWNER", "OBJECT_NAME", "POLICY_NAME", "EXPRESSION", "ENABLE", "POLICY_DESCRIPTION"),
    ),
    "V_$PWFILE_USERS": ("USERNAME", "SYSDBA", "SYSOPER", "SYSASM", "SYSBACKUP", "SYSDG", "SYSKM"),
}
"""The views that name users, with their columns, as in the Database Reference
(https://docs.oracle.com/en/database/oracle/oracle-database/19/refrn/static-data-dictionary-views.html)."""

DEFAULT_PROFILE, DEFAULT_GROUP = "DEFAULT", "DEFAULT_CONSUMER_GROUP"
UNLIMITED = "UNLIMITED"
NOT_FOR_SYS = frozenset({"GRANT ANY OBJECT PRIVILEGE", "SELECT ANY TABLE", "READ ANY TABLE", "EXECUTE ANY PROCEDURE"})
"""ANY privileges that do not count for Oracle's own objects (O7_DICTIONARY_ACCESSIBILITY)."""

LIMITS = {
    "FAILED_LOGIN_ATTEMPTS": "10",
    "PASSWORD_LIFE_TIME": "180",
    "PASSWORD_REUSE_TIME": UNLIMITED,
    "PASSWORD_REUSE_MAX": UNLIMITED,
    "PASSWORD_VERIFY_FUNCTION": "NULL",
    "PASSWORD_LOCK_TIME": "1",
    "PASSWORD_GRACE_TIME": "7",
    "PASSWORD_ROLLOVER_TIME": "0",
}
ROLLOVER = "PASSWORD_ROLLOVER_TIME"
FIRST_WITH_ROLLOVER, FIRST_WITH_LONG_PASSWORDS = (19, 12), (23,)
SHORT_PASSWORD, LONG_PASSWORD = 30, 1024
DAY = 86400.0
MOST_AT_ONCE, LONGEST_DELAY = 3, 10
"""How many failed logins of a user are answered at once, and how many seconds a later one can take."""
