"""Which statements create, change and drop users of the stand-in for Oracle?"""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.local.stand_ins.oracle.records import Connection, User
from tests.local.stand_ins.oracle.sql import Kind, OracleError, Reader
from tests.local.stand_ins.oracle.vocabulary import FIRST_WITH_ROLLOVER, PUBLIC

if TYPE_CHECKING:
    from tests.local.stand_ins.oracle.statements import Session


def named(session: "Session", argument: str) -> User:
    """Return a user by the argument of a package: in upper case, unless it is quoted."""
    return session.database.user(Reader(argument).identifier())


def create_user(session: "Session", reader: Reader) -> None:
    """CREATE USER … IDENTIFIED BY …, with its clauses."""
    name = reader.identifier()
    user = User(name, "")
    reader.expect("IDENTIFIED", "BY")
    user.password = reader.password()
    changes = _clauses(session, reader, user)
    reader.end()
    session.database.require(session.user, "CREATE USER")
    if name in session.database.users or name in session.database.roles:
        raise OracleError(1920, f"user name '{name}' conflicts with another user or role name")
    for change in changes:
        change()
    session.database.require_fit(name, user.profile, user.password, None)
    user.number = next(session.database.numbers)
    session.database.users[name] = user
    session.database.inherited.add((name, PUBLIC))


def alter_user(session: "Session", reader: Reader) -> None:
    """ALTER USER, with its clauses, or for a proxy."""
    name = reader.identifier()
    if reader.sees("GRANT", "CONNECT") or reader.sees("REVOKE", "CONNECT"):
        _alter_connection(session, reader, name)
        return
    if reader.took("IDENTIFIED", "BY"):
        _alter_password(session, reader, name)
        return
    user = replace(session.database.users.get(name) or User(name, ""))
    changes = _clauses(session, reader, user)
    reader.end()
    session.database.require(session.user, "ALTER USER")
    session.database.user(name)
    for change in changes:
        change()
    session.database.users[name] = user


def _alter_password(session: "Session", reader: Reader, name: str) -> None:
    password, old, expire = reader.password(), None, False
    if reader.took("REPLACE"):
        old = reader.password()
    if reader.sees("EXPIRE") and session.database.version >= FIRST_WITH_ROLLOVER:
        reader.expect("EXPIRE", "PASSWORD", "ROLLOVER", "PERIOD")
        expire = True
    user = replace(session.database.users.get(name) or User(name, ""))
    user.history = [*user.history]
    changes = _clauses(session, reader, user)
    reader.end()
    is_admin = session.database.may(session.user, "ALTER USER")
    if not is_admin and (name != session.user or changes):
        raise OracleError(1031, "insufficient privileges")
    session.database.user(name)
    if not is_admin:
        require_old(session, user, old)
    session.database.set_password(user, password, old, expire=expire)
    for change in changes:
        change()
    session.database.users[name] = user


def require_old(session: "Session", user: User, old: str | None) -> None:
    verified = session.database.limit(user.profile, "PASSWORD_VERIFY_FUNCTION") != "NULL"
    if old is None and verified:
        raise OracleError(28221, "REPLACE not specified")
    if old is not None and old not in session.database.passwords(user.name):
        raise OracleError(28008, "invalid old password")


def _clauses(session: "Session", reader: Reader, user: User) -> list[Callable[[], None]]:
    """Parse the clauses that CREATE USER and ALTER USER share; return the changes to the user."""
    changes: list[Callable[[], None]] = []
    while not reader.at_end:
        changes.append(_clause(session, reader, user))
    return changes


def _clause(session: "Session", reader: Reader, user: User) -> Callable[[], None]:  # noqa: C901, PLR0911 - one return for each clause
    database = session.database
    if reader.took("ACCOUNT", "LOCK"):
        return lambda: setattr(user, "locked", True)
    if reader.took("ACCOUNT", "UNLOCK"):
        return lambda: _unlock(user)
    if reader.took("PASSWORD", "EXPIRE"):
        return lambda: setattr(user, "expired", True)
    if database.version >= FIRST_WITH_ROLLOVER and reader.took("EXPIRE", "PASSWORD", "ROLLOVER", "PERIOD"):
        return lambda: _end_rollover(user)
    if reader.took("PROFILE"):
        return _setting(user, "profile", reader.identifier(), database.profiles, 2380, "profile")
    for words, name in (
        (("DEFAULT", "TABLESPACE"), "default_tablespace"),
        (("TEMPORARY", "TABLESPACE"), "temporary_tablespace"),
    ):
        if reader.took(*words):
            return _setting(user, name, reader.identifier(), database.tablespaces, 959, "tablespace")
    if reader.took("DEFAULT", "COLLATION"):
        collation = reader.take(Kind.WORD).value
        return lambda: setattr(user, "collation", collation)
    if database.version >= (23, 4) and (reader.sees("READ", "ONLY") or reader.sees("READ", "WRITE")):
        reader.take()
        is_read_only = reader.take().value == "ONLY"
        return lambda: setattr(user, "read_only", is_read_only)
    if reader.took("QUOTA"):
        return _quota(session, reader, user)
    if reader.took("DEFAULT", "ROLE"):
        return _default_roles(session, reader, user)
    raise OracleError(922, "missing or invalid option")


def _setting(  # noqa: PLR0913, PLR0917 - the parts of one clause
    user: User, name: str, value: str, known: object, number: int, what: str
) -> Callable[[], None]:
    def change() -> None:
        if value not in known:  # type: ignore[operator]
            raise OracleError(number, f"{what} '{value}' does not exist")
        setattr(user, name, value)

    return change


def _quota(session: "Session", reader: Reader, user: User) -> Callable[[], None]:
    size = -1 if reader.took("UNLIMITED") else int(reader.take(Kind.NUMBER).value)
    reader.expect("ON")
    tablespace = reader.identifier()

    def change() -> None:
        if tablespace not in session.database.tablespaces:
            raise OracleError(959, f"tablespace '{tablespace}' does not exist")
        user.quotas = {**user.quotas, tablespace: size}

    return change


def _default_roles(session: "Session", reader: Reader, user: User) -> Callable[[], None]:
    roles: frozenset[str] | None = None
    if reader.took("NONE"):
        roles = frozenset()
    elif not reader.took("ALL"):
        roles = frozenset(reader.listed(reader.identifier))

    def change() -> None:
        for role in roles or ():
            if (user.name, role) not in session.database.role_grants:
                raise OracleError(1955, f"DEFAULT ROLE '{role}' not granted to user")
        user.default_roles = roles

    return change


def _alter_connection(session: "Session", reader: Reader, client: str) -> None:
    grants = reader.took("GRANT")
    if not grants:
        reader.expect("REVOKE")
    reader.expect("CONNECT", "THROUGH")
    proxy = "" if reader.took("ENTERPRISE", "USERS") else reader.identifier()
    constraint, roles = "PROXY MAY ACTIVATE ALL CLIENT ROLES", frozenset[str]()
    if grants and reader.took("WITH", "NO", "ROLES"):
        constraint = "NO CLIENT ROLES MAY BE ACTIVATED"
    elif grants and reader.took("WITH", "ROLE"):
        excepted = reader.took("ALL", "EXCEPT")
        constraint = "PROXY MAY NOT ACTIVATE ROLE" if excepted else "PROXY MAY ACTIVATE ROLE"
        roles = frozenset(reader.listed(reader.identifier))
    authenticated = grants and reader.took("AUTHENTICATION", "REQUIRED")
    reader.end()
    database = session.database
    database.require(session.user, "ALTER USER")
    database.user(client)
    if proxy:
        database.user(proxy)
    for role in roles:
        if (client, role) not in database.role_grants:
            raise OracleError(1924, f"role '{role}' not granted or does not exist")
    if grants:
        database.connections[client, proxy] = Connection(constraint, roles, authenticated)
    elif database.connections.pop((client, proxy), None) is None:
        raise OracleError(28154, f"Proxy user may not act as client '{client}'")


def drop_user(session: "Session", reader: Reader) -> None:
    """DROP USER … [CASCADE]."""
    name = reader.identifier()
    cascade = reader.took("CASCADE")
    reader.end()
    session.database.require(session.user, "DROP USER")
    session.database.user(name)
    if not cascade and any(owner == name for owner, _ in (*session.database.objects, *session.database.synonyms)):
        raise OracleError(1922, f"CASCADE must be specified to drop '{name}'")
    session.database.forget(name)


def _unlock(user: User) -> None:
    user.locked = user.timed = False
    user.failed = 0


def _end_rollover(user: User) -> None:
    user.old_password = user.rollover_since = None
