"""What does a MySQL or MariaDB server say of its accounts? All queries are of the server's own tables."""

import re

from rotation.engines.mysql.connection import MAY_READ, MySQLConnection, asked_once
from rotation.engines.mysql.definition import Row
from rotation.engines.mysql.names import Account, literal
from rotation.engines.mysql.rights import MOST_RIGHTS, Right, TooManyRights, Unreadable, parse
from rotation.errors import StatementFailed

QUOTED_NAME = re.compile(r"`(?:[^`]|``)*`")


@asked_once
def accounts(connection: MySQLConnection, username: str, condition: str = "") -> list[Account]:
    """Return all accounts of a user name that meet a condition."""
    query = f"SELECT user, host FROM mysql.user WHERE user = {literal(username)}{condition} ORDER BY host"  # noqa: S608 - quoted
    rows = connection.execute(f"looking for {username}", query, connection.needs(MAY_READ))
    return [Account(user, host) for user, host in rows]


@asked_once
def row(connection: MySQLConnection, account: Account) -> Row:
    """Return the account's row of mysql.user, names in lower case."""
    query = f"SELECT * FROM mysql.user WHERE {account.condition}"  # noqa: S608 - quoted
    [found] = connection.execute_by_name(f"reading {account}", query, connection.needs(MAY_READ))
    return found


def own_definition(connection: MySQLConnection, operation: str) -> str:
    """Return what SHOW CREATE USER says of the user who is logged in, without names, which may hold anything."""
    [(found, *_), *_] = connection.execute(operation, "SHOW CREATE USER CURRENT_USER()")
    return QUOTED_NAME.sub("``", found)


@asked_once
def rights(connection: MySQLConnection, account: Account | None = None) -> frozenset[Right]:
    """Return the rights of an account, or of the user who is logged in; raises StatementFailed."""
    operation = f"reading the grants of {account or connection.username}"
    try:
        return parse(_grants(connection, operation, account))
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
    rows = _grants(connection, f"reading the grants of {connection.username}")
    return any(row.startswith("GRANT PROXY ON ") and row.endswith(" WITH GRANT OPTION") for row in rows)


def _grants(connection: MySQLConnection, operation: str, account: Account | None = None) -> list[str]:
    statement = f"SHOW GRANTS FOR {account.quoted if account else 'CURRENT_USER()'}"
    return [text for (text,) in connection.execute(operation, statement, connection.needs(MAY_READ))]


@asked_once
def proxies(connection: MySQLConnection, account: Account) -> set[tuple[Account, bool]]:
    """Return the accounts that this one may act as, each with whether it may grant that to others.

    What an account has granted of itself is left out: any account may do that, and the admin may not revoke it
    (https://dev.mysql.com/doc/refman/8.4/en/proxy-users.html).
    """
    columns = "proxied_user, proxied_host, with_grant, grantor"
    query = f"SELECT {columns} FROM mysql.proxies_priv WHERE {account.condition}"  # noqa: S608 - quoted
    return {
        (Account(user, host), bool(grantable))
        for user, host, grantable, grantor in connection.execute(f"reading the proxies of {account}", query)
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
def default_roles(connection: MySQLConnection, account: Account) -> list[Account]:
    """Return the roles of an account of MySQL that are active at login."""
    query = f"SELECT default_role_user, default_role_host FROM mysql.default_roles WHERE {account.condition}"  # noqa: S608 - quoted
    rows = connection.execute(f"reading the default roles of {account}", query)
    return sorted(Account(user, host) for user, host in rows)
