"""What does a server show about itself, and may this session do its part? Looks only.

See `rotation.engine.InspectedSession`. The policy of passwords is that of Windows. The server shows whether a login's
policy is checked, and neither what it asks for nor after how many failed logins it locks.
"""

import os
import socket
import ssl
from collections.abc import Iterator

from rotation.credential import Credential
from rotation.engines.driver import CONNECT_SECONDS, REPLICA, foreign_triggers_allowed
from rotation.engines.network import BeginTls, tls_context
from rotation.engines.sqlserver import catalog
from rotation.engines.sqlserver.admin import AdminsPart, db_owner
from rotation.engines.sqlserver.connection import SQLServerConnection
from rotation.engines.sqlserver.databases import SQLServerDatabase
from rotation.engines.sqlserver.kind import KIND, normal_name
from rotation.engines.sqlserver.pair import SQLServerPair
from rotation.engines.sqlserver.problems import UNREADABLE_ANSWER, login_failure
from rotation.engines.sqlserver.rights import identifier
from rotation.engines.sqlserver.wire import LOGIN_BYTES, NEWEST_TLS, AnswerTooLong, BoundedSocket
from rotation.finding import Finding, failed, failed_with, not_looked_at, passed, warned
from rotation.kind import Strategy
from rotation.passwords import PasswordPolicy

RELEASES = {"13": "2016", "14": "2017", "15": "2019", "16": "2022", "17": "2025"}
"""The releases whose documentation the driver follows, by the first part of their version."""
OLDEST, NEWEST = min(RELEASES.values()), max(RELEASES.values())

KINDS = 3
"""How many of four kinds of characters the documented policy asks for, in at least 8 characters, which the function's
passwords always have (https://learn.microsoft.com/en-us/sql/relational-databases/security/password-policy)."""
MORE_KINDS = "Set REQUIRE_EACH_INCLUDED_TYPE to true, and leave three kinds of characters in (EXCLUDE_…)"
UNSHOWN = "which it shows to nobody"


def begin_tls(credential: Credential) -> BeginTls:
    """Return what greets the server of this credential, and does the handshake inside of its packets."""

    def begin(connected: socket.socket, _: ssl.SSLContext, host: str) -> ssl.SSLObject:
        operation = f"asking {host} for TLS"
        bounded = BoundedSocket(connected)
        bounded.limit(connected.gettimeout() or CONNECT_SECONDS, LOGIN_BYTES)
        try:
            return bounded.prove_server(host, tls_context(host, NEWEST_TLS), operation)
        except OSError:  # a certificate's error is a ValueError as well
            raise
        except (AnswerTooLong, *UNREADABLE_ANSWER) as error:
            raise login_failure(error, credential, operation) from None

    return begin


def inspect_server(connection: SQLServerConnection, *, is_login: bool) -> Iterator[Finding]:
    """Say what the server is, and how it treats passwords; `is_login` is false for a contained user."""
    operation = "asking the server what it is"
    [(number, sees_all)] = connection.execute(operation, catalog.SERVER)
    yield version(str(number))
    yield _replica(connection, operation, sees_all=bool(sees_all))
    is_checked = not is_login or all(checked for (checked,) in connection.execute(operation, catalog.OWN_POLICY))
    yield _lockout(connection.username, is_login=is_login, is_checked=is_checked)
    yield _password_rules(connection.username, is_checked=is_checked)


def inspect_expired(username: str) -> Iterator[Finding]:
    """Say what is known if the password has expired: the server answers nothing else."""
    cause = f"the password of {username} has expired, or must be changed"
    yield warned("expiry", cause, "Rotate now: the application gets a password that has not expired")
    for item in ("version", "replica", "lockout", "password rules"):
        yield not_looked_at(item, "the server answers nothing until the password is renewed")


def version(number: str) -> Finding:
    """Say whether the driver was written for this version, such as 16.0.4165.4."""
    if release := RELEASES.get(number.partition(".")[0]):
        said = (
            f"SQL Server {release} ({number}): the driver follows its documentation, and was tried on a stand-in only"
        )
    else:
        said = f"SQL Server {number}: the driver follows the documentation of {OLDEST} to {NEWEST}"
    return warned("version", said, "Rotate a secret of little weight first")


def inspect_own_rights(connection: SQLServerConnection, strategy: Strategy, *, is_login: bool) -> Iterator[Finding]:
    """Say whether the user can change its own password, if that is its part: who knows the old one can."""
    if strategy is not Strategy.SINGLE_USER:
        return
    closed = None if is_login else _closed(connection)
    what = "login" if is_login else "contained user"
    yield closed or passed("rights", f"{connection.username} is a {what}, which can change its own password")


def inspect_admins_rights(
    connection: SQLServerConnection, strategy: Strategy, pair: SQLServerPair
) -> Iterator[Finding]:
    """Say whether the admin can do its part, and whether code of others would run as the admin."""
    if not pair.is_of_logins and (closed := _closed(connection)):
        yield closed
        return
    is_pair = strategy is Strategy.ALTERNATING_USERS
    part = pair.part_for_both() if is_pair else pair.part_for_password()
    yield _admins_rights(connection.username, pair, part, is_pair=is_pair)
    if is_pair or not pair.is_of_logins:  # a login's password alone touches no database
        yield _triggers(connection.username, part, is_pair=is_pair)


# The server


def _databases(connection: SQLServerConnection, operation: str) -> list[SQLServerDatabase]:
    return [SQLServerDatabase.of_row(row) for row in connection.execute(operation, catalog.DATABASES)]


def _replica(connection: SQLServerConnection, operation: str, *, sees_all: bool) -> Finding:
    """Say whether databases are replicas: the session's own, or any if that is master, which never is one."""
    databases, own = _databases(connection, operation), normal_name(connection.database)
    replicas = [one.name for one in databases if one.is_replica and own in ("master", normal_name(one.name))]
    if replicas:
        cause = f"{', '.join(replicas)} is a replica of another server, on which no login changes with one here"
        return warned("replica", cause, REPLICA)
    if own == "master" and not sees_all:
        return not_looked_at(
            "replica", f"{connection.username} lacks VIEW ANY DATABASE, and does not see all databases"
        )
    if any(one.is_read_only for one in databases if normal_name(one.name) == own):
        return passed("replica", f"the server takes changes; the database {connection.database} is read-only")
    return passed("replica", "this server takes changes")


def _lockout(username: str, *, is_login: bool, is_checked: bool) -> Finding:
    if not is_login:
        return passed("lockout", f"the server locks logins only, and {username} is a contained user")
    if not is_checked:
        return passed("lockout", f"the server never locks {username}: its CHECK_POLICY is OFF")
    return not_looked_at(
        "lockout",
        f"CHECK_POLICY is ON, so the server locks {username} after a number of failed logins, {UNSHOWN} (on RDS"
        " rds.password_lockout_threshold): 5 or more, or none, is safe",
    )


def _password_rules(username: str, *, is_checked: bool) -> Finding:
    if not is_checked:
        return passed("password rules", f"the server judges no password of {username}: its CHECK_POLICY is OFF")
    policy = PasswordPolicy.from_environment(os.environ, KIND)
    if sum(each.minimum > 0 for each in policy.classes) < KINDS:
        cause = f"the server judges passwords of {username}, and the function can make some of less than {KINDS} kinds"
        return warned("password rules", cause, MORE_KINDS)
    return not_looked_at(
        "password rules",
        f"the server judges passwords of {username} by the policy of Windows, {UNSHOWN}; those of the function have the"
        f" documented 8 characters of {KINDS} kinds",
    )


# Rights


def _closed(connection: SQLServerConnection) -> Finding | None:
    """Return the failure of a contained user whose database takes no changes."""
    own = normal_name(connection.database)
    for one in _databases(connection, "asking whether the database takes changes"):
        if normal_name(one.name) == own and one.is_read_only:
            remedy = REPLICA if one.is_replica else f"Run ALTER DATABASE {identifier(one.name)} SET READ_WRITE"
            return failed("rights", f"passwords are in the database {one.name}, which is read-only", remedy)
    return None


def _admins_rights(admin: str, pair: SQLServerPair, part: AdminsPart, *, is_pair: bool) -> Finding:
    whom = f"{pair.user} and {pair.other}" if is_pair else pair.user
    if part.lacking:
        remedy = f"Run in master: {'; '.join(part.lacking)}"
        cause = f"{admin} lacks what it takes to change {whom}"
        if is_pair:
            return failed("rights", cause, remedy)
        return warned("rights", f"{cause}, which it does only if {pair.user} cannot", remedy)
    if part.limited:
        cause = f"{admin} can give {pair.other} only what it has WITH GRANT OPTION in {', '.join(part.limited)}"
        return warned("rights", cause, f"Run {'; '.join(db_owner(admin, name) for name in part.limited)}")
    return passed("rights", f"{admin} can change {whom}")


def _triggers(admin: str, part: AdminsPart, *, is_pair: bool) -> Finding:
    if part.unsafe:
        found = failed_with("triggers", part.unsafe[0])
        return found if is_pair else warned("triggers", found.said, found.remedy)
    if foreign_triggers_allowed():
        return passed("triggers", "ALLOW_FOREIGN_TRIGGERS is true, so nobody looks for DDL triggers")
    return passed("triggers", f"no DDL trigger of others would run as {admin}")
