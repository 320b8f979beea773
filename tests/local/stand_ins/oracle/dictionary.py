"""What does the stand-in for Oracle answer to a query? Its dictionary views, and the few tables that there are.

A query names columns of one view or table, or counts, and compares columns with values. That is all that it needs, and
everything else is an error.
"""

import fnmatch
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.local.stand_ins.oracle.database import (
    CATALOG,
    LIMITS,
    ROLLOVER,
    SYS,
    VIEWS_ABOUT_NAMES,
    Database,
)
from tests.local.stand_ins.oracle.sql import Kind, OracleError, Reader

if TYPE_CHECKING:
    from tests.local.stand_ins.oracle.statements import Session

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
    if reader.took("COUNT", "(", "*", ")"):
        columns = [Column("COUNT(*)", lambda _: 0)]
    else:
        columns = reader.listed(lambda: _column(session, reader))
    names = [column.name for column in columns]
    if reader.at_end and all(name.isdigit() for name in names):
        if session.database.version < (23,):
            raise OracleError(923, "FROM keyword not found where expected")
        return names, [tuple(int(name) for name in names)]
    reader.expect("FROM")
    owner, name = reader.qualified()
    tests: list[Test] = []
    if reader.took("WHERE"):
        tests.append(_Condition(session, reader, binds).read())
    if reader.took("ORDER", "BY"):
        reader.listed(reader.identifier)
    reader.end()
    rows = [row for row in _rows(session, owner, name) if all(test(row) for test in tests)]
    if names == ["COUNT(*)"]:
        return names, [(len(rows),)]
    return names, [tuple(column.value(row) for column in columns) for row in rows]


@dataclass(frozen=True)
class Column:
    """What a query asks for."""

    name: str
    value: Callable[[Row], Value]


def _column(session: "Session", reader: Reader) -> Column:
    token = reader.take(Kind.WORD, Kind.NAME, Kind.NUMBER)
    if token.kind is Kind.NUMBER:
        return Column(token.value, lambda _: int(token.value))
    if reader.sees("(") or reader.sees("."):
        return _function(session, reader, token.value)
    return Column(token.value, lambda row: _value(row, token.value))


def _function(session: "Session", reader: Reader, first: str) -> Column:
    """Read a call of a function of SQL itself, or of one that a user wrote."""
    parts = [first]
    while reader.took("."):
        parts.append(reader.identifier())
    reader.expect("(")
    arguments = reader.listed(lambda: reader.take(Kind.TEXT).value) if not reader.sees(")") else []
    reader.expect(")")
    written = session.database.written(session.schema, first)
    if len(parts) == 2 and (parts[0], parts[1]) in session.database.objects:
        written = (parts[0], parts[1])
    if written:

        def run(_: Row) -> Value:
            session.database.spring(session.user, written)
            return None

        return Column(first, run)
    if parts != ["SYS_CONTEXT"] or len(arguments) != 2 or arguments[0].upper() != "USERENV":
        raise OracleError(904, f'"{first}": invalid identifier')
    value = session.context(arguments[1].upper())
    return Column(f"SYS_CONTEXT('USERENV','{arguments[1]}')", lambda _: value)


def _value(row: Row, column: str) -> Value:
    if column not in row:
        raise OracleError(904, f'"{column}": invalid identifier')
    return row[column]


@dataclass(frozen=True)
class _Condition:
    """What follows WHERE."""

    session: "Session"
    reader: Reader
    binds: Binds

    def read(self) -> Test:
        """Return what it asks of a row."""
        tests = [self._conjunction()]
        while self.reader.took("OR"):
            tests.append(self._conjunction())
        return lambda row: any(test(row) for test in tests)

    def _conjunction(self) -> Test:
        tests = [self._comparison()]
        while self.reader.took("AND"):
            tests.append(self._comparison())
        return lambda row: all(test(row) for test in tests)

    def _comparison(self) -> Test:
        reader, column = self.reader, self.reader.identifier()
        negative = reader.took("NOT")
        if reader.took("IN", "("):
            values = reader.listed(self._operand)
            reader.expect(")")
            return lambda row: (self._compared(row, column) in values) is not negative
        if negative or reader.sees("LIKE"):
            reader.expect("LIKE")
            pattern = str(self._operand()).replace("%", "*")
            return lambda row: fnmatch.fnmatchcase(str(self._compared(row, column)), pattern) is not negative
        operator = OPERATORS.get(reader.take(Kind.MARK).value)
        if operator is None:
            raise reader.error()
        operand = self._operand()
        return lambda row: operator(self._compared(row, column), operand)

    def _compared(self, row: Row, column: str) -> Value:
        return self.session.folded(_value(row, column))

    def _operand(self) -> Value:
        token = self.reader.take(Kind.TEXT, Kind.BIND, Kind.NUMBER)
        if token.kind is Kind.BIND:
            if token.value.upper() not in self.binds:
                raise OracleError(1008, "not all variables bound")
            return self.session.folded(self.binds[token.value.upper()])
        return int(token.value) if token.kind is Kind.NUMBER else self.session.folded(token.value)


def _rows(session: "Session", owner: str | None, name: str) -> list[Row]:
    database = session.database
    is_written = owner is None and database.written(session.schema, name)
    if owner in (None, SYS) and not is_written:
        if name in OWN_VIEWS:
            return OWN_VIEWS[name](database, session.schema)
        if name in ALL_VIEWS:
            return ALL_VIEWS[name](database)
        if name in DBA_VIEWS or name in database.named:
            return _dictionary_rows(session, name)
        if name == "DUAL":
            return [{"DUMMY": "X"}]
    place = database.find(session.user, session.schema, owner, name)
    if not database.may_use(session.user, *place, "SELECT", "READ"):
        raise OracleError(1031, "insufficient privileges")
    if database.objects[place] == "VIEW" and place[0] != SYS:
        database.spring(session.user, place)
    return [{"ID": str(row[0])} for row in (*database.rows.get(place, []), *session.pending.get(place, []))]


def _dictionary_rows(session: "Session", name: str) -> list[Row]:
    database = session.database
    if not _sees_dictionary(session, name) or (name == "DBA_SCHEMA_PRIVS" and database.version < (23,)):
        named = f'"{SYS}"."{name}" ' if database.version >= (23,) else ""
        raise OracleError(942, f"table or view {named}does not exist")
    if name in DBA_VIEWS:
        return DBA_VIEWS[name](database)
    return [dict.fromkeys(VIEWS_ABOUT_NAMES[name]) | row for row in database.named[name]]


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
    return [row for row in _users(database) if row["USERNAME"] == schema]


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
            # With spaces, as servers have been seen to show it
            "BASE_OBJECT_TYPE": "SCHEMA" if trigger.schema else "DATABASE        ",
            "WHEN_CLAUSE": trigger.condition or None,
            "STATUS": "ENABLED",
        }
        for trigger in database.triggers.values()
    ]


ALL_VIEWS: dict[str, Callable[[Database], list[Row]]] = {"ALL_USERS": _everybody}
"""Anybody may read these."""

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
"""These go by the current schema, and anybody may read them."""
