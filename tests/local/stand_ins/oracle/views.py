"""Which rows do the dictionary views of the stand-in for Oracle have?"""

from collections.abc import Callable, Mapping

from tests.local.stand_ins.oracle.database import Database
from tests.local.stand_ins.oracle.vocabulary import LIMITS, ROLLOVER, SYS

type Value = str | int | None
type Row = Mapping[str, Value]


def _yes(value: bool) -> str:
    return "YES" if value else "NO"


def _users(database: Database) -> list[Row]:
    return [
        {
            "USERNAME": user.name,
            "USER_ID": user.number,
            "ACCOUNT_STATUS": database.status(user),
            "AUTHENTICATION_TYPE": user.authentication,
            "COMMON": _yes(user.common),
            "ORACLE_MAINTAINED": "Y" if user.maintained else "N",
            "PROFILE": user.profile,
            "DEFAULT_TABLESPACE": user.default_tablespace,
            "TEMPORARY_TABLESPACE": user.temporary_tablespace,
            "INITIAL_RSRC_CONSUMER_GROUP": user.initial_group,
            **({"DEFAULT_COLLATION": user.collation} if database.version >= (12, 2) else {}),
            **({"READ_ONLY": _yes(user.read_only)} if database.version >= (23, 4) else {}),
        }
        for user in database.users.values()
    ]


def _roles(database: Database) -> list[Row]:
    return [
        {
            "GRANTEE": who,
            "GRANTED_ROLE": role,
            "ADMIN_OPTION": _yes(admin),
            "DELEGATE_OPTION": _yes((who, role) in database.role_delegates),
            "DEFAULT_ROLE": _yes(_is_default(database, who, role)),
        }
        for (who, role), admin in database.role_grants.items()
    ]


def _is_default(database: Database, who: str, role: str) -> bool:
    user = database.users.get(who)
    return user is None or user.default_roles is None or role in user.default_roles


def _privileges(database: Database) -> list[Row]:
    return [
        {"GRANTEE": who, "PRIVILEGE": privilege, "ADMIN_OPTION": _yes(admin)}
        for (who, privilege), admin in database.system_grants.items()
    ]


def _schema_privileges(database: Database) -> list[Row]:
    return [
        {"GRANTEE": who, "PRIVILEGE": privilege, "SCHEMA": schema, "ADMIN_OPTION": _yes(admin)}
        for (who, privilege, schema), admin in database.schema_grants.items()
    ]


def _object_privileges(database: Database) -> list[Row]:
    on_users: list[Row] = [
        {
            "GRANTEE": grantee,
            "OWNER": SYS,
            "TABLE_NAME": user,
            "TYPE": "USER",
            "PRIVILEGE": "INHERIT PRIVILEGES",
            "GRANTOR": user,
            "GRANTABLE": "NO",
            "HIERARCHY": "NO",
        }
        for user, grantee in sorted(database.inherited)
    ]
    return on_users + [
        {
            "GRANTEE": held.grantee,
            "OWNER": held.owner,
            "TABLE_NAME": held.item,
            "TYPE": database.objects.get((held.owner, held.item)),
            "PRIVILEGE": held.privilege,
            "GRANTOR": held.grantor,
            "GRANTABLE": _yes(options.grantable),
            "HIERARCHY": _yes(options.hierarchy),
        }
        for held, options in database.object_grants.items()
        if not held.column
    ]


def _column_privileges(database: Database) -> list[Row]:
    return [
        {
            "GRANTEE": held.grantee,
            "OWNER": held.owner,
            "TABLE_NAME": held.item,
            "COLUMN_NAME": held.column,
            "PRIVILEGE": held.privilege,
            "GRANTOR": held.grantor,
            "GRANTABLE": _yes(options.grantable),
        }
        for held, options in database.object_grants.items()
        if held.column
    ]


def _quotas(database: Database) -> list[Row]:
    return [
        {"USERNAME": user.name, "TABLESPACE_NAME": tablespace, "MAX_BYTES": size, "DROPPED": "NO"}
        for user in database.users.values()
        for tablespace, size in user.quotas.items()
    ]


def _groups(database: Database) -> list[Row]:
    return [
        {"GRANTEE": user.name, "GRANTED_GROUP": group, "GRANT_OPTION": _yes(option)}
        for user in database.users.values()
        for group, option in user.groups.items()
    ]


def _proxies(database: Database) -> list[Row]:
    return [
        {
            "CLIENT": client,
            "PROXY": proxy or None,
            "AUTHENTICATION": _yes(connection.authenticated),
            "AUTHORIZATION_CONSTRAINT": connection.constraint,
            "ROLE": role,
        }
        for (client, proxy), connection in database.connections.items()
        for role in (*sorted(connection.roles), *([] if connection.roles else [None]))
    ]


def _synonyms(database: Database) -> list[Row]:
    return [
        {"OWNER": owner, "SYNONYM_NAME": name, "TABLE_OWNER": target, "TABLE_NAME": item, "DB_LINK": link or None}
        for (owner, name), (target, item, link) in database.synonyms.items()
    ]


def _objects(database: Database) -> list[Row]:
    found = [
        *database.objects.items(),
        *((place, "SYNONYM") for place in database.synonyms),
        *((place, "DATABASE LINK") for place in database.links),
        *((place, "TRIGGER") for place in database.triggers),
        *(((SYS, view), "VIEW") for view in (*DBA_VIEWS, *database.named)),
    ]
    return [
        {
            "OWNER": owner,
            "OBJECT_NAME": name,
            "OBJECT_TYPE": kind,
            "GENERATED": "NY"[database.made.get((owner, name)) == "GENERATED"],
            "SECONDARY": "NY"[database.made.get((owner, name)) == "SECONDARY"],
        }
        for (owner, name), kind in found
    ]


def _links(database: Database) -> list[Row]:
    return [
        {"OWNER": owner, "DB_LINK": name, "USERNAME": username or None, "HOST": host}
        for (owner, name), (username, host) in database.links.items()
    ]


def _nested_tables(database: Database) -> list[Row]:
    return [{"OWNER": owner, "TABLE_NAME": name} for (owner, name), how in database.made.items() if how == "NESTED"]


def _own_limits(database: Database, schema: str) -> list[Row]:
    names = [name for name in LIMITS if name != ROLLOVER or database.has_rollover]
    profile = database.users[schema].profile
    return [{"RESOURCE_NAME": name, "LIMIT": database.shown_limit(profile, name)} for name in names]


def _own_account(database: Database, schema: str) -> list[Row]:
    hidden = (
        "AUTHENTICATION_TYPE",
        "PROFILE",
    )  # https://docs.oracle.com/en/database/oracle/oracle-database/19/refrn/DBA_USERS.html
    own = [row for row in _users(database) if row["USERNAME"] == schema]
    return [{name: value for name, value in row.items() if name not in hidden} for row in own]


def _session_privileges(database: Database, user: str) -> list[Row]:
    enabled = database.enabled(user)
    return [
        {"PRIVILEGE": privilege}
        for privilege in sorted({name for who, name in database.system_grants if who in enabled})
    ]


def _session_roles(database: Database, user: str) -> list[Row]:
    return [{"ROLE": role} for role in sorted(database.enabled(user) & database.roles)]


def _everybody(database: Database) -> list[Row]:
    columns = ("USERNAME", "USER_ID", "COMMON", "ORACLE_MAINTAINED")
    return [{column: row[column] for column in columns} for row in _users(database)]


def _triggers(database: Database) -> list[Row]:
    return [
        {
            "OWNER": trigger.owner,
            "TRIGGER_NAME": trigger.name,
            "TRIGGERING_EVENT": f"{' OR '.join(sorted(trigger.events))} ",
            "TABLE_OWNER": trigger.schema or SYS,
            # With spaces, as real servers show it
            "BASE_OBJECT_TYPE": "SCHEMA" if trigger.schema else "DATABASE        ",
            "WHEN_CLAUSE": trigger.condition or None,
            "STATUS": "ENABLED",
        }
        for trigger in database.triggers.values()
    ]


ALL_VIEWS: dict[str, Callable[[Database], list[Row]]] = {"ALL_USERS": _everybody}
"""Every user may read these."""

DBA_VIEWS: dict[str, Callable[[Database], list[Row]]] = {
    "DBA_USERS": _users,
    "DBA_ROLE_PRIVS": _roles,
    "DBA_SYS_PRIVS": _privileges,
    "DBA_SCHEMA_PRIVS": _schema_privileges,
    "DBA_TAB_PRIVS": _object_privileges,
    "DBA_COL_PRIVS": _column_privileges,
    "DBA_TS_QUOTAS": _quotas,
    "DBA_RSRC_CONSUMER_GROUP_PRIVS": _groups,
    "DBA_PROXIES": _proxies,
    "DBA_SYNONYMS": _synonyms,
    "DBA_OBJECTS": _objects,
    "DBA_DB_LINKS": _links,
    "DBA_NESTED_TABLES": _nested_tables,
    "DBA_TRIGGERS": _triggers,
}
OWN_VIEWS: dict[str, Callable[[Database, str], list[Row]]] = {
    "USER_USERS": _own_account,
    "USER_PASSWORD_LIMITS": _own_limits,
}
"""These depend on the current schema. Every user may read them."""

SESSION_VIEWS: dict[str, Callable[[Database, str], list[Row]]] = {
    "SESSION_PRIVS": _session_privileges,
    "SESSION_ROLES": _session_roles,
}
"""These depend on the user of the session, whatever the current schema is. Every user may read them
(https://docs.oracle.com/en/database/oracle/oracle-database/19/dbseg/user-privilege-and-role-data-dictionary-views.html)."""
