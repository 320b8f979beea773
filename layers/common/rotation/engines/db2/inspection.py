"""What does a server show about itself, and may this session do its part? Looks only.

See `rotation.engine.InspectedSession`. A user of RDS sees little: its databases are RESTRICTIVE, so PUBLIC may read
neither the configuration nor the catalog. The admin's session sees both, and looks at the replica once more. Password
rules and the limit of failed logins belong to the operating system: no session sees them.
"""

import socket
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from rotation.engines.db2.by_rds import call
from rotation.engines.db2.connection import (
    NO_AUTHORITY,
    NO_PRIVILEGE,
    NOT_ON_STANDBY,
    UNKNOWN_NAME,
    UNKNOWN_ROUTINE,
    Db2Connection,
)
from rotation.engines.db2.kind import normal_name
from rotation.engines.db2.pair import Db2Pair, remedy_to_read
from rotation.engines.db2.problems import NO_TLS
from rotation.engines.db2.proof import proof_of, read_registers
from rotation.engines.db2.rights import Change, Right
from rotation.engines.db2.users import RDSADMIN, Db2Users
from rotation.engines.driver import REPLICA, ExpectedError
from rotation.errors import Unsupported, Untrusted
from rotation.finding import Finding, Outcome, failed, failed_with, not_looked_at, passed, warned
from rotation.kind import Strategy
from rotation.redaction import said

WRITTEN_FOR: Final = frozenset({(11, 5), (12, 1)})
"""The versions that this driver was written for, from documents. It was run on a stand-in only."""

ROLE: Final = "SELECT VALUE FROM SYSIBMADM.DBCFG WHERE NAME = 'hadr_db_role'"
"""STANDARD, PRIMARY or STANDBY, one row for each member
(https://www.ibm.com/docs/en/db2/11.5?topic=parameters-hadr-db-role-hadr-database-role)."""
STANDBY: Final = "STANDBY"

SAFE_LIMIT: Final = 6
"""How many failed logins in a row a server must allow; docs/engines/db2.md counts them."""

UNSEEN: Final = frozenset({NO_PRIVILEGE, NO_AUTHORITY, UNKNOWN_NAME, UNKNOWN_ROUTINE})
"""How the server answers a user who may not read a view."""

AUTHORITIES: Final = (
    "SELECT T.AUTHORITY FROM TABLE(SYSPROC.AUTH_LIST_AUTHORITIES_FOR_AUTHID(CAST(? AS VARCHAR(128)), 'U')) AS T"
    " WHERE 'Y' IN (T.D_USER, T.D_GROUP, T.D_PUBLIC, T.ROLE_USER, T.ROLE_GROUP, T.ROLE_PUBLIC)"
)
"""What a user may do by itself, through groups and through roles. Who may ask for groups may ask for this
(https://www.ibm.com/support/knowledgecenter/en/SSEPGG_11.1.0/com.ibm.db2.luw.sql.rtn.doc/doc/r0052898.html)."""

ACCESSCTRL: Final = "ACCESSCTRL"
SECADM: Final = "SECADM"

ONLY_BY_SECADM: Final = (
    *("SECADM ON DATABASE", "CREATE_SECURE_OBJECT ON DATABASE"),
    *("SECURITY LABEL ", "EXEMPTION ", "SETSESSIONUSER "),
)
"""How the rights begin that nobody but a SECADM can grant or revoke, and for which RDS has no procedure
(https://www.ibm.com/docs/en/db2/11.5?topic=statements-grant-database-authorities, and the pages beside it)."""
ROUTINES: Final = ("CREATE_EXTERNAL_ROUTINE ON DATABASE", "CREATE_NOT_FENCED_ROUTINE ON DATABASE")
"""Authorities that a SYSADM grants since 11.5.7, and who has ACCESSCTRL only if the registry variable says so
(https://www.ibm.com/docs/SSEPGG_11.5.0/com.ibm.db2.luw.sql.ref.doc/doc/r0000958.html). Only a try shows it."""


def begin_tls(connected: socket.socket, context: ssl.SSLContext, host: str) -> ssl.SSLSocket:
    """Begin TLS with the first byte: Db2 has a port of its own for it. See `rotation.engines.network.BeginTls`."""
    try:
        return context.wrap_socket(connected, server_hostname=host)
    except ssl.SSLCertVerificationError:
        raise
    except OSError as error:
        cause = f"there was no TLS handshake at this port ({type(error).__name__})"
        raise Untrusted(f"asking {host} for TLS", cause, NO_TLS) from None


def inspect_server(connection: Db2Connection) -> Iterator[Finding]:
    """Say what the server is, and what it shows to this user."""
    yield _version(*connection.server())
    yield _replica(connection, Outcome.WARN)
    yield not_looked_at(
        "password rules", "they belong to the server's operating system, which shows them to no session"
    )
    limit = "users belong to the server's operating system, which shows its limit of failed logins to no session"
    yield not_looked_at("lockout", f"{limit}; a limit of {SAFE_LIMIT} or more is safe")


def _version(name: str, version: str) -> Finding:
    release = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    known = "this program was run on a stand-in only, never on a server"
    if release not in WRITTEN_FOR:
        known = f"this program was written for {' and '.join(f'{a}.{b}' for a, b in sorted(WRITTEN_FOR))}"
    return warned("version", f"{name} {version}: {known}", "Rotate a secret of little weight first")


def _replica(connection: Db2Connection, if_standby: Outcome) -> Finding:
    roles = _roles(connection)
    if STANDBY in roles:
        return Finding("replica", if_standby, "this is an HADR standby, on which nothing can be changed", REPLICA)
    if roles:
        return passed("replica", f"this database takes changes: its HADR role is {' and '.join(sorted(roles))}")
    return not_looked_at("replica", f"{connection.username} may not read SYSIBMADM.DBCFG, which has the HADR role")


def _roles(connection: Db2Connection) -> set[str]:
    """Return the HADR roles of the database's members; nothing if this user may not see them."""
    try:
        rows = connection.execute("asking for the HADR role", ROLE, expected=UNSEEN | {NOT_ON_STANDBY})
    except ExpectedError as refused:
        return {STANDBY} if refused.code == NOT_ON_STANDBY else set()
    return {str(row["VALUE"]).strip().upper() for row in rows}


def inspect_user(connection: Db2Connection, strategy: Strategy) -> Iterator[Finding]:
    """Say what a user may do by itself."""
    proof_of(connection, read_registers(connection))
    yield passed("rights", f"{connection.username} can connect, and run statements")
    if strategy is Strategy.SINGLE_USER:
        unknown = "only a rotation shows whether this server changes a password while its user logs in"
        yield not_looked_at("own password", f"{unknown}; an admin in masterarn sets it in any case")


def inspect_admin(connection: Db2Connection) -> Iterator[Finding]:
    """Say what the admin of any secret may do; it has entered RDSADMIN."""
    yield passed("rights", f"{connection.username} enters {RDSADMIN}, whose procedures set passwords")
    yield _replica(connection, Outcome.FAIL)


def inspect_admin_of_pair(connection: Db2Connection, pair: Db2Pair, users: Db2Users) -> Iterator[Finding]:
    """Say what the admin of a pair may do, and what the pair needs besides; it has entered RDSADMIN.

    Raises NotPermitted if the admin may not read the catalog.
    """
    needed = pair.needed_changes()
    yield _rights(connection, pair, needed)
    yield _replica(connection, Outcome.FAIL)
    if routines := [change for change in needed if change.right.key in ROUTINES]:
        yield _routines(pair, routines)
    if not all(change.grants for change in needed):
        yield _dependents(pair, needed)
    if names := pair.other_databases(users):
        cause = f"the server has other databases, in which a rotation copies no rights: {names}"
        yield warned("other databases", cause, f"Grant there to {pair.other} by hand what {pair.user} has")


def _rights(connection: Db2Connection, pair: Db2Pair, needed: Sequence[Change]) -> Finding:
    admin, authorities = connection.username, _authorities(connection)
    refused = [change for change in needed if change.right.key.startswith(ONLY_BY_SECADM)]
    if refused and SECADM not in authorities:
        cause = f"only a SECADM can grant or revoke {_listed(refused)}, and {admin} is none"
        return failed("rights", cause, f"Run as a SECADM: {_without(pair, refused)}")
    if authorities & {ACCESSCTRL, SECADM}:
        held = " and ".join(sorted(authorities & {ACCESSCTRL, SECADM}))
        return passed("rights", f"{admin} enters {RDSADMIN}, reads the catalog, and has {held}")
    remedy = f"Run as the master user, {_grant_accessctrl(connection)}"
    if ordinary := [change for change in needed if _needs_accessctrl(connection, change)]:
        return failed("rights", f"{admin} has no {ACCESSCTRL}: it cannot grant or revoke {_listed(ordinary)}", remedy)
    return warned(
        "rights", f"{admin} has no {ACCESSCTRL}: it can pass on only what it has itself, with options", remedy
    )


def _needs_accessctrl(connection: Db2Connection, change: Change) -> bool:
    """Tell whether ACCESSCTRL is the only way: authorities have no grant option, and RDS has procedures for a few."""
    is_authority = change.right.key.endswith(" ON DATABASE") and change.right.key not in ROUTINES
    return is_authority and call(change, str(connection.credential.database)) is None


def _grant_accessctrl(connection: Db2Connection) -> str:
    change = Change(Right(f"{ACCESSCTRL} ON DATABASE"), grants=True, grantee=normal_name(connection.username))
    return str(call(change, normal_name(str(connection.credential.database))))


def _routines(pair: Db2Pair, needed: Sequence[Change]) -> Finding:
    cause = f"a SYSADM grants {_listed(needed)}; who else can, DB2_ALTERNATE_AUTHZ_BEHAVIOUR says, which is not shown"
    return warned("external routines", cause, f"Run as a SYSADM, if the admin cannot: {_without(pair, needed)}")


def _without(pair: Db2Pair, needed: Sequence[Change]) -> str:
    """Return the statements after which neither of the two has these rights."""
    return "; ".join(
        replace(change, grants=False, grantee=normal_name(pair.user) if change.grants else change.grantee).statement
        for change in needed
    )


def _listed(needed: Sequence[Change]) -> str:
    return said(", ".join(sorted({change.right.what for change in needed})))


def _dependents(pair: Db2Pair, needed: Sequence[Change]) -> Finding:
    try:
        pair.require_nothing_lost(needed)
    except Unsupported as error:
        return failed_with("views", error)
    return passed("views", f"no view or trigger of {pair.other} needs what is to be revoked")


def _authorities(connection: Db2Connection) -> set[str]:
    operation = f"reading the authorities of {connection.username}"
    name, remedy = normal_name(connection.username), remedy_to_read(connection)
    return {str(row["AUTHORITY"]) for row in connection.execute(operation, AUTHORITIES, (name,), remedy)}
