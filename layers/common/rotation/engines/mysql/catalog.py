"""What does a MySQL or MariaDB server say of its accounts? All queries are of the server's own tables.

A table is asked for all accounts of a user at once; and if this session has the turn of two users, for those of both.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from rotation.engines.mysql.connection import MAY_READ, MySQLConnection, asked_once
from rotation.engines.mysql.definition import Row
from rotation.engines.mysql.names import Account, literal
from rotation.engines.mysql.rights import MOST_RIGHTS, Right, RightKind, TooManyRights, Unreadable, parse
from rotation.errors import RETRIED, StatementFailed

VANISHED = "somebody has dropped or renamed it meanwhile"

QUOTED_NAME = re.compile(r"`(?:[^`]|``)*`")

NAME = r"`[^`]*`|'[^']*'|\"[^\"]*\"|[^\s,@]+"
ROLE = re.compile(rf"({NAME})(?:@({NAME}))?")
"""A role in `mandatory_roles`, which an administrator writes, quoted or not. Without a host it is for all of them."""


def accounts(connection: MySQLConnection, username: str) -> list[Account]:
    """Return all accounts of a user name. A role of MariaDB is none."""
    found = rows(connection, _asked_for(connection, username)).items()
    return [account for account, row in found if account.user == username and row.get("is_role") != "Y"]


def row(connection: MySQLConnection, account: Account) -> Row:
    """Return what the server keeps of an account: see `Dialect.accounts`. Names are in lower case.

    Raises StatementFailed if there is no such account: it was there when the two were looked for.
    """
    found = rows(connection, _asked_for(connection, account.user))
    if account not in found:
        raise StatementFailed(f"reading the account {account}", VANISHED, RETRIED)
    return found[account]


@asked_once
def rows(connection: MySQLConnection, users: tuple[str, ...]) -> Mapping[Account, Row]:
    """Return the rows of all accounts of these users, ordered by user and host."""
    query = f"{connection.dialect.accounts} WHERE {_are(users)} ORDER BY user, host"
    operation = f"looking for {' and '.join(users)}"
    found = connection.execute_by_name(operation, query, connection.needs(MAY_READ))
    return {Account(row["user"], row["host"]): row for row in found}


def _asked_for(connection: MySQLConnection, username: str) -> tuple[str, ...]:
    """Return the users that are asked for together with this one."""
    return tuple(sorted(connection.turn)) if username in connection.turn else (username,)


def _are(users: Iterable[str]) -> str:
    """Return the condition that an account is one of these users'."""
    return f"user IN ({', '.join(map(literal, users))})"


@asked_once
def _by_account(
    connection: MySQLConnection, users: tuple[str, ...], columns: str, table: str
) -> Mapping[Account, list[tuple[Any, ...]]]:
    """Return the rows of a table about accounts, of all accounts of these users."""
    query = f"SELECT user, host, {columns} FROM {table} WHERE {_are(users)}"  # noqa: S608 - quoted
    found = defaultdict[Account, list[tuple[Any, ...]]](list)
    for user, host, *others in connection.execute(f"reading {table}", query):
        found[Account(user, host)].append(tuple(others))
    return found


def own_definition(connection: MySQLConnection, operation: str) -> str:
    """Return what SHOW CREATE USER says of the user who is logged in, without names, which may hold anything."""
    [(found, *_), *_] = connection.execute(operation, "SHOW CREATE USER CURRENT_USER()")
    return QUOTED_NAME.sub("``", found)


@asked_once
def rights(connection: MySQLConnection, account: Account | None = None) -> frozenset[Right]:
    """Return the rights of an account, or of the user who is logged in; raises StatementFailed."""
    operation = f"reading the grants of {account or connection.username}"
    return rights_of(connection, account.quoted if account else "CURRENT_USER()", operation)


def rights_of(connection: MySQLConnection, grantee: str, operation: str) -> frozenset[Right]:
    """Return the rights of whom SHOW GRANTS names like this; raises StatementFailed."""
    try:
        return parse(_grants(connection, operation, grantee))
    except TooManyRights:
        cause, remedy = (
            f"it has more than {MOST_RIGHTS:,} rights",
            "Grant whole databases or roles, not tables and columns",
        )
    except Unreadable:
        cause = "a row of SHOW GRANTS is not in the known grammar"
        remedy = "Use the single-user strategy, and report the server's version"
    raise StatementFailed(operation, cause, remedy)


def may_grant_proxies(connection: MySQLConnection) -> bool:
    """Tell whether the user who is logged in can grant a proxy of any other account."""
    rows = _grants(connection, f"reading the grants of {connection.username}", "CURRENT_USER()")
    return any(row.startswith("GRANT PROXY ON ") and row.endswith(" WITH GRANT OPTION") for row in rows)


def _grants(connection: MySQLConnection, operation: str, grantee: str) -> list[str]:
    found = connection.execute(operation, f"SHOW GRANTS FOR {grantee}", connection.needs(MAY_READ))
    return [text for (text,) in found]


def proxies(connection: MySQLConnection, account: Account) -> set[tuple[Account, bool]]:
    """Return the accounts that this one may act as, each with whether it may grant that to others.

    What an account has granted of itself is left out: any account may do that, and the admin may not revoke it
    (https://dev.mysql.com/doc/refman/8.4/en/proxy-users.html).
    """
    columns, users = "proxied_user, proxied_host, with_grant, grantor", _asked_for(connection, account.user)
    found = _by_account(connection, users, columns, "mysql.proxies_priv").get(account, [])
    return {
        (Account(user, host), bool(grantable))
        for user, host, grantable, grantor in found
        if not user or grantor.rpartition("@")[0] != user
    }


def proxy_users(connection: MySQLConnection, account: Account) -> list[Account]:
    """Return the accounts that may act as this one."""
    condition = f"proxied_user = {literal(account.user)} AND proxied_host = {literal(account.host)}"
    query = f"SELECT user, host FROM mysql.proxies_priv WHERE {condition}"  # noqa: S608 - quoted
    return sorted(
        Account(user, host) for user, host in connection.execute(f"reading who is a proxy of {account}", query)
    )


def role_users(connection: MySQLConnection, account: Account) -> list[Account]:
    """Return the accounts of MySQL that have this one as a role."""
    condition = f"from_user = {literal(account.user)} AND from_host = {literal(account.host)}"
    query = f"SELECT to_user, to_host FROM mysql.role_edges WHERE {condition}"  # noqa: S608 - quoted
    return sorted(
        Account(user, host) for user, host in connection.execute(f"reading who has the role {account}", query)
    )


@asked_once
def mandatory_roles(connection: MySQLConnection) -> frozenset[Account]:
    """Return the roles that MySQL gives to every account; SHOW GRANTS FOR an account does not list them."""
    [(text,)] = connection.execute("reading which roles are mandatory", "SELECT @@GLOBAL.mandatory_roles")
    return frozenset(Account(name.strip("`'\""), host.strip("`'\"") or "%") for name, host in ROLE.findall(text or ""))


def default_roles(connection: MySQLConnection, account: Account) -> list[Account]:
    """Return the roles of an account of MySQL that are active at login.

    A role that is mandatory no longer stays in the table, active for nobody, and no other account gets it as a default.
    """
    columns, users = "default_role_user, default_role_host", _asked_for(connection, account.user)
    found = _by_account(connection, users, columns, "mysql.default_roles").get(account, [])
    roles = [Account(user, host) for user, host in found]
    granted = {right.name for right in rights(connection, account)} if roles else set()
    others = [role for role in roles if role.as_role not in granted]
    stale = set(others) - mandatory_roles(connection) if others else set()
    return sorted(set(roles) - stale)


def has_active_role(connection: MySQLConnection, account: Account) -> bool:
    """Tell whether a role is active when an account of MySQL logs in."""
    if default_roles(connection, account):
        return True
    has_role = any(right.kind is RightKind.ROLE for right in rights(connection, account))
    if not has_role and not mandatory_roles(connection):
        return False
    [(are_all,)] = connection.execute("reading which roles are active", "SELECT @@GLOBAL.activate_all_roles_on_login")
    return bool(are_all)
