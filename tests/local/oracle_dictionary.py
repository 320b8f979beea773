"""What does the stand-in for Oracle answer to a query? Its dictionary views, and the few tables that there are.

A query names columns of one view or table, or counts, and compares columns with values. That is all that it needs, and
everything else is an error.
"""

import fnmatch
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from tests.local.oracle_database import (
    CATALOG,
    LIMITS,
    ROLLOVER,
    SYS,
    Database,
)
from tests.local.oracle_sql import Kind, OracleError, Reader

if TYPE_CHECKING:
    from tests.local.oracle_statements import Session

type Value = str | int | None
type Row = Mapping[str, Value]
type Test = Callable[[Row], bool]
type Binds = Mapping[str, str | None]

OPERATORS: dict[str, Callable[[Value, Value], bool]] = {
    "=": lambda a, b: a is not None and a == b,
    "<>": lambda a, b: a is not None and b is not None and a != b,
    "!=": lambda a, b: a is not None and b is not None and a != b,
}


def select(session: "Session", reader: Reader, binds: Binds) -> tuple[list[str], list[tuple[Value, ...]]]:
    """Run a query, the word SELECT of which was read; return the names of the columns, and the rows."""
    count = reader.took("COUNT", "(", "*", ")")
    columns = ["COUNT(*)"] if count else reader.listed(lambda: _expression(reader))
    if reader.at_end and all(column.isdigit() for column in columns):
        if session.database.version < (23,):
            raise OracleError(923, "FROM keyword not found where expected")
        return columns, [tuple(int(column) for column in columns)]
    reader.expect("FROM")
    owner, name = reader.qualified()
    tests: list[Test] = []
    if reader.took("WHERE"):
        tests.append(_condition(reader, binds))
    if reader.took("ORDER", "BY"):
        reader.listed(reader.identifier)
    reader.end()
    rows = [row for row in _rows(session, owner, name) if all(test(row) for test in tests)]
    if count:
        return columns, [(len(rows),)]
    return columns, [tuple(_value(row, column) for column in columns) for row in rows]


def _expression(reader: Reader) -> str:
    token = reader.take(Kind.WORD, Kind.NAME, Kind.NUMBER)
    return token.value


def _value(row: Row, column: str) -> Value:
    if column.isdigit():
        return int(column)
    if column not in row:
        raise OracleError(904, f'"{column}": invalid identifier')
    return row[column]


def _condition(reader: Reader, binds: Binds) -> Test:
    tests = [_conjunction(reader, binds)]
    while reader.took("OR"):
        tests.append(_conjunction(reader, binds))
    return lambda row: any(test(row) for test in tests)


def _conjunction(reader: Reader, binds: Binds) -> Test:
    tests = [_comparison(reader, binds)]
    while reader.took("AND"):
        tests.append(_comparison(reader, binds))
    return lambda row: all(test(row) for test in tests)


def _comparison(reader: Reader, binds: Binds) -> Test:
    column = reader.identifier()
    if reader.took("IN", "("):
        values = reader.listed(lambda: _operand(reader, binds))
        reader.expect(")")
        return lambda row: _value(row, column) in values
    negative = reader.took("NOT")
    if negative or reader.sees("LIKE"):
        reader.expect("LIKE")
        pattern = str(_operand(reader, binds)).replace("%", "*")
        return lambda row: fnmatch.fnmatchcase(str(_value(row, column)), pattern) is not negative
    operator = OPERATORS.get(reader.take(Kind.MARK).value)
    if operator is None:
        raise reader.error()
    operand = _operand(reader, binds)
    return lambda row: operator(_value(row, column), operand)


def _operand(reader: Reader, binds: Binds) -> Value:
    token = reader.take(Kind.TEXT, Kind.BIND, Kind.NUMBER)
    if token.kind is Kind.BIND:
        if token.value.upper() not in binds:
            raise OracleError(1008, "not all variables bound")
        return binds[token.value.upper()]
    return int(token.value) if token.kind is Kind.NUMBER else token.value


def _rows(session: "Session", owner: str | None, name: str) -> list[Row]:
    database = session.database
    if owner in (None, SYS) and name in OWN_VIEWS:
        return OWN_VIEWS[name](database, session.schema)
    if owner in (None, SYS) and name in DBA_VIEWS:
        if not _sees_dictionary(session, name) or (name == "DBA_SCHEMA_PRIVS" and database.version < (23,)):
            named = f'"{SYS}"."{name}" ' if database.version >= (23,) else ""
            raise OracleError(942, f"table or view {named}does not exist")
        return DBA_VIEWS[name](database)
    if owner in (None, SYS) and name == "DUAL":
        return [{"DUMMY": "X"}]
    place = database.find(session.user, session.schema, owner, name)
    if not database.may_use(session.user, *place, "SELECT", "READ"):
        raise OracleError(1031, "insufficient privileges")
    return [{"ID": str(row[0])} for row in (*database.rows.get(place, []), *session.pending.get(place, []))]


def _sees_dictionary(session: "Session", name: str) -> bool:
    database = session.database
    return (
        CATALOG in database.enabled(session.user)
        or database.may(session.user, "SELECT ANY DICTIONARY")
        or "SELECT" in database.held_on(session.user, SYS, name)
    )


def _yes(value: bool) -> str:
    return "YES" if value else "NO"


def _users(database: Database) -> list[Row]:
    return [
        {
            "USERNAME": user.name,
            "ACCOUNT_STATUS": database.status(user),
            "AUTHENTICATION_TYPE": user.authentication,
            "COMMON": _yes(user.common),
            "ORACLE_MAINTAINED": "Y" if user.maintained else "N",
            "PROFILE": user.profile,
            "DEFAULT_TABLESPACE": user.default_tablespace,
            "TEMPORARY_TABLESPACE": user.temporary_tablespace,
            "INITIAL_RSRC_CONSUMER_GROUP": user.initial_group,
        }
        for user in database.users.values()
    ]


def _roles(database: Database) -> list[Row]:
    return [
        {
            "GRANTEE": who,
            "GRANTED_ROLE": role,
            "ADMIN_OPTION": _yes(admin),
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
    return [
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
    return [
        *(
            {"OWNER": owner, "OBJECT_NAME": name, "OBJECT_TYPE": kind}
            for (owner, name), kind in database.objects.items()
        ),
        *({"OWNER": owner, "OBJECT_NAME": name, "OBJECT_TYPE": "SYNONYM"} for owner, name in database.synonyms),
    ]


def _own_limits(database: Database, schema: str) -> list[Row]:
    names = [name for name in LIMITS if name != ROLLOVER or database.has_rollover]
    profile = database.users[schema].profile
    return [{"RESOURCE_NAME": name, "LIMIT": database.limit(profile, name)} for name in names]


def _own_account(database: Database, schema: str) -> list[Row]:
    return [row for row in _users(database) if row["USERNAME"] == schema]


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
}
OWN_VIEWS: dict[str, Callable[[Database, str], list[Row]]] = {
    "USER_USERS": _own_account,
    "USER_PASSWORD_LIMITS": _own_limits,
}
"""These go by the current schema, and anybody may read them."""
