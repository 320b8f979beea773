"""What do GRANT and REVOKE do in the stand-in for Oracle?

All of a statement is checked first. Only then does anything change.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.local.stand_ins.oracle.records import Held, Options
from tests.local.stand_ins.oracle.sql import Kind, OracleError, Reader
from tests.local.stand_ins.oracle.vocabulary import (
    BY_PACKAGE,
    COLUMN_PRIVILEGES,
    OBJECT_PRIVILEGES,
    SYS,
    SYSTEM_PRIVILEGES,
)

if TYPE_CHECKING:
    from tests.local.stand_ins.oracle.database import Database
    from tests.local.stand_ins.oracle.statements import Session

FIRST_WITH_SCHEMA_PRIVILEGES = (23,)
WITHOUT_SCHEMA = ("DIRECTORY", "EDITION", "USER")
DBA, UNLIMITED_TABLESPACE = "DBA", "UNLIMITED TABLESPACE"
OBJECT_KINDS = (*WITHOUT_SCHEMA, "MINING MODEL", "JAVA SOURCE", "JAVA RESOURCE", "SQL TRANSLATION PROFILE")

type Place = tuple[str | None, str | None, str]
"""An object: its kind if GRANT names one, its owner if GRANT names one, and its name."""

type Change = Callable[[], None]


def grant(session: "Session", reader: Reader) -> None:
    """GRANT, of every kind."""
    _change_rights(session, reader, "TO")


def revoke(session: "Session", reader: Reader) -> None:
    """REVOKE, of every kind."""
    _change_rights(session, reader, "FROM")


def _change_rights(session: "Session", reader: Reader, to: str) -> None:
    named = reader.listed(lambda: _right(reader, to))
    if len({name for name, _ in named}) < len(named):
        raise OracleError(1711, "duplicate privilege listed")
    place: Place | None = None
    schema = None
    if reader.took("ON", "SCHEMA"):
        schema = reader.identifier()
    elif reader.took("ON"):
        kind = next((kind for kind in OBJECT_KINDS if reader.took(*kind.split())), None)
        place = (kind, *reader.qualified())
    reader.expect(to)
    grantees = reader.listed(reader.identifier)
    admin = to == "TO" and reader.took("WITH", "ADMIN", "OPTION")
    delegate = to == "TO" and reader.took("WITH", "DELEGATE", "OPTION")
    hierarchy = to == "TO" and reader.took("WITH", "HIERARCHY", "OPTION")
    grantable = to == "TO" and reader.took("WITH", "GRANT", "OPTION")
    reader.end()
    if (place and admin) or (not place and (hierarchy or grantable)):
        raise OracleError(933, "SQL command not properly ended")
    if delegate and not {name for name, _ in named} <= session.database.roles:
        raise OracleError(28704, "DELEGATE OPTION is for roles only")
    acts = [
        _object_right(session, name, columns, place, who, Options(grantable, hierarchy), to)
        if place
        else _schema_right(session, name, schema, who, to, admin=admin)
        if schema
        else _system_right(session, name, who, to, admin=admin)
        for name, columns in named
        for who in map(session.database.grantee, grantees)
    ]
    for act in acts:
        act()
    if delegate:
        session.database.role_delegates |= {(who, name) for who in grantees for name, _ in named}


def _right(reader: Reader, to: str) -> tuple[str, tuple[str, ...]]:
    """Read a privilege of several words with its columns, or a role."""
    if (token := reader.peek()) and token.kind is Kind.NAME:
        return reader.identifier(), ()
    words = []
    while (token := reader.peek()) and token.kind is Kind.WORD and token.value not in ("ON", to):
        words.append(reader.take().value)
    columns: list[str] = []
    if reader.took("("):
        columns = reader.listed(reader.identifier)
        reader.expect(")")
    if not words:
        raise OracleError(990, "missing or invalid privilege")
    return " ".join(words), tuple(columns)


def _system_right(session: "Session", name: str, who: str, to: str, *, admin: bool) -> Change:
    database = session.database
    if name in database.roles:
        return _role(session, name, who, to, admin=admin)
    too_new = name == "GRANT ANY SCHEMA PRIVILEGE" and database.version < FIRST_WITH_SCHEMA_PRIVILEGES
    if name not in SYSTEM_PRIVILEGES or name in BY_PACKAGE or too_new:
        raise OracleError(1919 if " " not in name else 990, f"role '{name}' does not exist")
    if not (database.may(session.user, "GRANT ANY PRIVILEGE") or database.may(session.user, name, admin=True)):
        raise OracleError(1031, "insufficient privileges")
    if to == "FROM" and (who, name) not in database.system_grants:
        raise OracleError(1952, "system privileges not granted to")

    def act() -> None:
        if to == "FROM":
            _revoke_system_privilege(database, name, who)
        else:
            database.system_grants[who, name] = admin or database.system_grants.get((who, name), False)

    return act


def _revoke_system_privilege(database: "Database", name: str, who: str) -> None:
    """Revoke it. With UNLIMITED TABLESPACE go all quotas, since 11.2 (Doc ID 1169515.1; with the role DBA goes both:
    https://mareklall.blogspot.com/2015/12/112-revoke-dba-resource-role-revokes.html)."""  # noqa: D205, D209
    database.system_grants.pop((who, name), None)
    if name == UNLIMITED_TABLESPACE and who in database.users:
        database.users[who].quotas = {}


def _role(session: "Session", role: str, who: str, to: str, *, admin: bool) -> Change:
    database = session.database
    passes_on = any(database.role_grants.get((one, role), False) for one in database.enabled(session.user))
    if not passes_on and not database.may(session.user, "GRANT ANY ROLE"):
        raise OracleError(1932, f"ADMIN option not granted for role '{role}'")
    if to == "FROM" and (who, role) not in database.role_grants:
        raise OracleError(1951, f"ROLE '{role}' not granted to '{who}'")

    def act() -> None:
        user = database.users.get(who)
        if to == "FROM":
            del database.role_grants[who, role]
            database.role_delegates.discard((who, role))
            if user and user.default_roles is not None:
                user.default_roles -= {role}
            if user and role == DBA:
                _revoke_system_privilege(database, UNLIMITED_TABLESPACE, who)
        else:
            database.role_grants[who, role] = admin or database.role_grants.get((who, role), False)
            if user and role == DBA:
                database.system_grants.setdefault((who, UNLIMITED_TABLESPACE), False)

    return act


def _schema_right(  # noqa: PLR0913 - the parts of the statement
    session: "Session", name: str, schema: str, who: str, to: str, *, admin: bool
) -> Change:
    database = session.database
    if database.version < FIRST_WITH_SCHEMA_PRIVILEGES or name not in SYSTEM_PRIVILEGES or " ANY " not in f" {name} ":
        raise OracleError(990, "missing or invalid privilege")
    database.user(schema)
    if schema != session.user and not database.may(session.user, "GRANT ANY SCHEMA PRIVILEGE"):
        raise OracleError(1031, "insufficient privileges")
    key = (who, name, schema)
    if to == "FROM" and key not in database.schema_grants:
        raise OracleError(1952, "schema privileges not granted to")

    def act() -> None:
        if to == "FROM":
            del database.schema_grants[key]
        else:
            database.schema_grants[key] = admin or database.schema_grants.get(key, False)

    return act


def _object_right(  # noqa: PLR0913, PLR0917 - the parts of the statement
    session: "Session",
    privilege: str,
    columns: tuple[str, ...],
    place: Place,
    who: str,
    options: Options,
    to: str,
) -> Change:
    database = session.database
    kind, owner, item = place
    if kind == "USER":
        return _inheritance(session, privilege, item, who, to)
    if privilege not in OBJECT_PRIVILEGES or (columns and privilege not in COLUMN_PRIVILEGES):
        raise OracleError(990 if not columns else 969, "missing or invalid privilege")
    if columns and to == "FROM":
        raise OracleError(1750, "UPDATE/REFERENCES may only be REVOKEd from the whole table, not by column")
    owner, item = _place_of_right(session, privilege, place)
    if who == session.user:
        raise OracleError(1749, "Cannot GRANT or REVOKE privileges to or from yourself.")
    anybody = owner != SYS and database.may(session.user, "GRANT ANY OBJECT PRIVILEGE")
    is_owner = owner == session.user or (owner == SYS and session.user == SYS)
    may_pass_on = database.held_on(session.user, owner, item).get(privilege, False)
    if to == "FROM":
        revoker, everywhere = session.user, anybody or is_owner
        return lambda: database.revoke_object((who, owner, item, privilege), revoker, anybody=everywhere)
    if not (anybody or is_owner or may_pass_on):
        raise OracleError(1031, "insufficient privileges")
    grantor = session.user if may_pass_on and not is_owner else owner

    def act() -> None:
        for column in columns or ("",):
            held = Held(who, owner, item, privilege, column, grantor)
            before = database.object_grants.get(held, Options())
            database.object_grants[held] = Options(
                options.grantable or before.grantable, options.hierarchy or before.hierarchy
            )

    return act


def _place_of_right(session: "Session", privilege: str, place: Place) -> tuple[str, str]:
    """Return the object of a right. The error for an object that the user cannot see depends on the statement
    (https://docs.oracle.com/en/error-help/db/ora-22930/, ora-04042, ora-00942)."""  # noqa: D205, D209
    database = session.database
    kind, owner, item = place
    if kind == "DIRECTORY":
        is_there = database.objects.get((SYS, item)) == kind
        if not is_there or (session.user != SYS and not database.held_on(session.user, SYS, item)):
            raise OracleError(22930, "directory object does not exist")
    if kind in WITHOUT_SCHEMA:
        return SYS, item
    try:
        found = database.find(session.user, session.schema, owner, item)
    except OracleError as error:
        if error.number == 942 and privilege == "EXECUTE":
            raise OracleError(4042, "procedure, function, package, or package body does not exist") from None
        raise
    if database.objects[found] == "DIRECTORY":
        raise OracleError(942, "table or view does not exist")
    return found


def _inheritance(session: "Session", privilege: str, user: str, who: str, to: str) -> Change:
    database = session.database
    if privilege != "INHERIT PRIVILEGES":
        raise OracleError(990, "missing or invalid privilege")
    database.user(user)
    if session.user not in (user, SYS) and not database.may(session.user, "GRANT ANY OBJECT PRIVILEGE"):
        raise OracleError(1031, "insufficient privileges")
    if to == "TO":
        return lambda: database.inherited.add((user, who))
    return lambda: database.inherited.discard((user, who))
