"""Which rights does a user of MySQL or MariaDB have by an account that is not the pair's?

The server looks for rights on databases, tables, columns and routines by the user's name and host, not by the account
that logged in (https://dev.mysql.com/doc/refman/8.4/en/request-access.html). If app@10.0.0.1 has no right on a
database, the rights of app@% on it count, whosever account that is. Such an account is left alone, so the other user of
the pair would lack those rights, although the accounts of the two are the same.
"""

import ipaddress
import re
from collections.abc import Collection, Iterator
from typing import Final

from rotation.engine import Unshared
from rotation.engines.mysql import catalog
from rotation.engines.mysql.accounts import MySQLAccounts
from rotation.engines.mysql.connection import MySQLConnection
from rotation.engines.mysql.definers import MOST_NAMED
from rotation.engines.mysql.names import Account
from rotation.engines.mysql.rights import GLOBAL, Right, RightKind, covers
from rotation.redaction import said

WIDER: Final = "wider-accounts"
"""The word of `EngineKind.unshared_kinds`."""

WILD: Final = {"%": ".*", "_": "."}


def unshared(connection: MySQLConnection, accounts: MySQLAccounts, user: str, other: str) -> list[Unshared]:
    """Return the rights that the user has by accounts of others, and the other user of the pair would not have.

    A locked account has a locked clone, with the same rights.
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
            found += _lent(connection, foreign, account, shared)
    return found


def includes(wider: str, host: str) -> bool:
    """Tell whether all hosts of one account are among those of another one, which can have more."""
    if wider == host:
        return False
    try:
        network, inner = (ipaddress.ip_network(one, strict=False) for one in (wider, host))
    except ValueError:
        pattern = "".join(WILD.get(letter, re.escape(letter)) for letter in wider or "%")
        return bool(re.fullmatch(pattern, host, re.IGNORECASE))
    return network != inner and inner.network_address in network and inner.broadcast_address in network


def _lent(
    connection: MySQLConnection, foreign: Account, account: Account, shared: Collection[Right]
) -> Iterator[Unshared]:
    own = {right.item for right in catalog.rights(connection, account)}
    lent = [
        right
        for right in sorted(catalog.rights(connection, foreign))
        if right.kind is RightKind.PRIVILEGE and right.item != GLOBAL and right not in shared and not _hides(own, right)
    ]
    if lent:
        listed = ", ".join(said(str(right)) for right in lent[:MOST_NAMED])
        more = " and more" if len(lent) > MOST_NAMED else ""
        what = f"{account} has {listed}{more} by {foreign}, which is another account: grant it to {account} itself"
        yield Unshared(WIDER, what)


def _hides(own: Collection[str], lent: Right) -> bool:
    """Tell whether rights that an account has itself, on these items, keep this one of a wider account from counting.

    Of the databases whose pattern fits, as of the tables, the server takes that of the narrowest account alone.
    """
    if lent.item in own:
        return True
    return lent.item.endswith(".*") and any(covers(item, lent.item) for item in own if item.endswith(".*"))
