"""Which rights does a user of MySQL or MariaDB have by an account that is not the pair's?

The server looks for rights on databases, tables, columns and routines by the user's name and host, not by the account
that logged in (https://dev.mysql.com/doc/refman/8.4/en/request-access.html). If app@10.0.0.1 has no right on a
database, the rights of app@% on it count, whosever account that is. Such an account is left alone, so the other user of
the pair would lack those rights, although the accounts of the two are the same.

Nothing is lost if the user has the same right in a way that is copied: on everything, on the whole database, or by a
role. While a role is active, MySQL looks for the rights of that one account only.
"""

import ipaddress
import re
from collections.abc import Callable, Collection, Iterator
from typing import Final

from rotation.engine import Unshared
from rotation.engines.mysql import catalog
from rotation.engines.mysql.accounts import MySQLAccounts
from rotation.engines.mysql.connection import MySQLConnection
from rotation.engines.mysql.definers import MOST_NAMED
from rotation.engines.mysql.names import Account
from rotation.engines.mysql.rights import ALL, GLOBAL, GRANT_OPTION, Right, RightKind, covers
from rotation.redaction import said

WIDER: Final = "wider-accounts"
"""The word of `EngineKind.unshared_kinds`."""

WILD: Final = {"%": ".*", "_": "[^%]"}
"""What the letters of a pattern of hosts match in a host, or in another pattern."""

ON_A_DATABASE: Final = frozenset(
    [
        "SELECT",
        "INSERT",
        "UPDATE",
        "DELETE",
        "CREATE",
        "DROP",
        "REFERENCES",
        "INDEX",
        "ALTER",
        "CREATE TEMPORARY TABLES",
        "LOCK TABLES",
        "EXECUTE",
        "CREATE VIEW",
        "SHOW VIEW",
        "CREATE ROUTINE",
        "ALTER ROUTINE",
        "EVENT",
        "TRIGGER",
    ]
)
"""What ALL PRIVILEGES on a database stands for."""


def unshared(
    connection: MySQLConnection,
    accounts: MySQLAccounts,
    user: str,
    other: str,
    by_roles: Callable[[Account], Collection[Right] | None],
) -> list[Unshared]:
    """Return the rights that the user has by accounts of others, and the other user of the pair would not have.

    A locked account has a locked clone, with the same rights. `by_roles` returns the rights that an account has by its
    roles when it logs in; None if the server then looks for no other account.
    """
    meant = accounts.meant(user)
    found: list[Unshared] = []
    for foreign in accounts.named(user):
        narrower = [account for account in meant if includes(foreign.host, account.host)]
        if foreign in meant or not narrower or accounts.is_locked(foreign):
            continue
        twin = Account(other, foreign.host)
        shared = catalog.rights(connection, twin) if twin in accounts.named(other) else frozenset[Right]()
        for account in narrower:
            if (roles := by_roles(account)) is not None:
                nearer = [one for one in narrower if one == account or includes(one.host, account.host)]
                own = frozenset[Right]().union(*(catalog.rights(connection, one) for one in nearer))
                found += _lent(foreign, account, own, {*shared, *roles}, catalog.rights(connection, foreign))
    return found


def includes(wider: str, host: str) -> bool:
    """Tell whether all hosts of one account are among those of another one, which can have more."""
    if wider == host:
        return False
    inner, network = _network(host), _network(wider)
    if inner and network:
        return network != inner and inner.network_address in network and inner.broadcast_address in network
    pattern = re.compile("".join(WILD.get(letter, re.escape(letter)) for letter in wider or "%"), re.IGNORECASE)
    ends = [str(inner.network_address), str(inner.broadcast_address)] if inner else [host]
    return all(map(pattern.fullmatch, ends))


def _network(host: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """Return the addresses that a host stands for; None if it is a name or a pattern."""
    try:
        return ipaddress.ip_network(host, strict=False)
    except ValueError:
        return None


def _lent(
    foreign: Account, account: Account, own: Collection[Right], shared: Collection[Right], lent: Collection[Right]
) -> Iterator[Unshared]:
    """Say which rights an account has by a foreign one, and neither itself nor in a way that is shared."""
    items = {right.item for right in own} - {GLOBAL}
    lost = [
        right
        for right in sorted(lent)
        if right.kind is RightKind.PRIVILEGE and right.item != GLOBAL and not _hides(items, right)
    ]
    lost = [right for right in lost if not _has({*own, *shared}, right)]
    if lost:
        listed = ", ".join(said(str(right)) for right in lost[:MOST_NAMED])
        more = " and more" if len(lost) > MOST_NAMED else ""
        what = f"{account} has {listed}{more} by {foreign}, which is another account: grant it to {account} itself"
        yield Unshared(WIDER, what)


def _hides(items: Collection[str], lent: Right) -> bool:
    """Tell whether rights that an account has itself, on these items, keep this one of a wider account from counting.

    Of the databases whose pattern fits, as of the tables, the server takes that of the narrowest account alone.
    """
    if lent.item in items:
        return True
    return lent.item.endswith(".*") and any(covers(item, lent.item) for item in items if item.endswith(".*"))


def _has(own: Collection[Right], right: Right) -> bool:
    """Tell whether these rights give what this one gives, on its item or on more."""
    names = {
        one.name
        for one in own
        if one.kind is RightKind.PRIVILEGE and one.column in ("", right.column) and covers(one.item, right.item)
    }
    restricted = {one.name for one in own if one.kind is RightKind.RESTRICTION and covers(one.item, right.item)}
    names -= restricted
    takes_part = ALL in names and right.name != GRANT_OPTION
    return right.name in names or takes_part or (right.name == ALL and names >= ON_A_DATABASE)
