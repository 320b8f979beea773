"""What does a server show about itself, and may this session do its part? Looks only.

See `rotation.engine.Session.inspect_server` and `inspect_rights`.
"""

import socket
import ssl
import struct
from collections.abc import Iterator, Mapping

from rotation.engines.driver import NO_TLS, REPLICA
from rotation.engines.postgresql import catalog
from rotation.engines.postgresql.admin import lacking, lacking_attributes
from rotation.engines.postgresql.connection import PostgreSQLConnection
from rotation.engines.postgresql.roles import Role, attribute_changes, quoted
from rotation.errors import Untrusted
from rotation.finding import Finding, failed, not_looked_at, passed, warned
from rotation.kind import Strategy

SSL_REQUEST = struct.pack("!ii", 8, 80877103)
"""https://www.postgresql.org/docs/current/protocol-message-formats.html"""
YES = b"S"

OLDEST, NEWEST = 13, 18
"""The major versions that this driver was tried on."""

SERVER = """
SELECT current_setting('server_version_num')::int / 10000, current_setting('server_version'), pg_is_in_recovery(),
       current_setting('password_encryption'), current_setting('rds.restrict_password_commands', true)
"""
LIBRARIES = "SELECT setting FROM pg_settings WHERE name = 'shared_preload_libraries'"
"""No row if this user cannot see it: it takes pg_read_all_settings."""
JUDGES = ("passwordcheck", "credcheck")
"""Modules that refuse passwords."""
MAY_SET_PASSWORDS = "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_password' AND pg_has_role(oid, 'MEMBER'))"


def begin_tls(connected: socket.socket, context: ssl.SSLContext, host: str) -> ssl.SSLSocket:
    """Ask for TLS as libpq does, and do the handshake; see `rotation.engines.network.BeginTls`."""
    connected.sendall(SSL_REQUEST)
    if connected.recv(1) != YES:
        raise Untrusted(f"asking {host} for TLS", "the server has no TLS, or it is not PostgreSQL", NO_TLS)
    return context.wrap_socket(connected, server_hostname=host)


def inspect_server(connection: PostgreSQLConnection) -> Iterator[Finding]:
    """Say what the server is, and how it treats passwords."""
    operation = "asking the server what it is"
    [(major, version, is_replica, encryption, _)] = connection.execute(operation, SERVER)
    if OLDEST <= major <= NEWEST:
        yield passed("version", f"PostgreSQL {version}")
    else:
        cause = f"PostgreSQL {version}: versions {OLDEST} to {NEWEST} were tried"
        yield warned("version", cause, "Rotate a secret of little weight first")
    if is_replica:
        yield warned("replica", "this server is a replica, on which nothing can be changed", REPLICA)
    else:
        yield passed("replica", "this server takes changes")
    yield from _password_rules(connection, encryption)
    yield passed("lockout", "PostgreSQL locks nobody by itself after refused logins")


def _password_rules(connection: PostgreSQLConnection, encryption: str) -> Iterator[Finding]:
    found = connection.execute("asking the server which modules it has", LIBRARIES)
    if encryption != "scram-sha-256":
        cause = f"password_encryption is {encryption}"
        yield warned("password encryption", cause, "Set password_encryption to scram-sha-256 on the server")
    if not found:
        yield not_looked_at("password rules", "this user cannot see which modules of the server judge passwords")
        return
    judges = [name for name in JUDGES if name in str(found[0][0])]
    if judges:
        cause = f"{' and '.join(judges)} can refuse passwords, and shows its rules to nobody"
        yield warned("password rules", cause, "Compare its settings with PASSWORD_LENGTH and PASSWORD_MINIMUM_…")
    else:
        yield passed("password rules", "no module that judges passwords is loaded")


def inspect_rights(connection: PostgreSQLConnection, strategy: Strategy, user: str, other: str) -> Iterator[Finding]:
    """Say whether who is logged in may do its part."""
    if connection.username != user:
        yield from _admins_rights(connection, user, other)
    elif strategy is Strategy.SINGLE_USER:
        yield from _own_password(connection)


def _own_password(connection: PostgreSQLConnection) -> Iterator[Finding]:
    operation = "asking the server who sets passwords"
    [(*_, restricted)] = connection.execute(operation, SERVER)
    if restricted == "on" and not connection.execute(operation, MAY_SET_PASSWORDS)[0][0]:
        yield failed(
            "rights",
            f"rds.restrict_password_commands is on, and {connection.username} is no member of rds_password",
            f"Run GRANT rds_password TO {quoted(connection.username)}; or name an admin in masterarn",
        )
    else:
        yield passed("rights", f"{connection.username} can change its own password")


def _admins_rights(connection: PostgreSQLConnection, user: str, other: str) -> Iterator[Finding]:
    admin = connection.username
    rows = connection.execute("looking at the roles", catalog.ROLES, (admin, user, other))
    roles = {str(name): Role.from_row(*row) for name, *row in rows}
    own = roles.pop(admin, None)
    have_options = connection.memberships_have_options
    remedy = lacking(admin, own, roles, have_options=have_options) or lacking_attributes(
        admin, own, other, _flags_to_give(roles, user, other), have_options=have_options
    )
    if remedy:
        yield failed("rights", f"{admin} lacks what it takes to change {' and '.join(roles)}", remedy)
    else:
        yield passed("rights", f"{admin} can create and change roles, and {' and '.join(roles)}")


def _flags_to_give(roles: Mapping[str, Role], user: str, other: str) -> list[str]:
    """Return the words of ALTER ROLE by which `other` becomes what the user is; a new role has none of them."""
    if user not in roles or user == other:
        return []
    own = roles[user].attributes
    wanted = (
        attribute_changes(roles[user], roles[other]) if other in roles else {n: v for n, v in own.items() if v is True}
    )
    return [name if value else f"NO{name}" for name, value in wanted.items() if isinstance(value, bool)]
