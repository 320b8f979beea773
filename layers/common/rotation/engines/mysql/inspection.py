"""What does a server show about itself, and may this session do its part? Looks only, at MySQL and at MariaDB.

See `rotation.engine.InspectedSession`. What only MariaDB does is in `rotation.engines.mariadb.inspection`.
"""

import os
import re
import socket
import ssl
import struct
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from typing import Any, Final

from pymysql.constants import CLIENT

from rotation.engine import CloneStatus
from rotation.engines.driver import CORRECT_CAUSE, NO_TLS, REPLICA, UNKNOWN_SERVER, ExpectedError, Problem, problem
from rotation.engines.mysql import catalog, policy
from rotation.engines.mysql.accounts import MySQLAccounts
from rotation.engines.mysql.connection import MAY_CREATE, MAY_READ, MySQLConnection
from rotation.engines.mysql.kind import KIND
from rotation.engines.mysql.names import Account
from rotation.engines.mysql.pair import SYSTEM_USER, MySQLPair
from rotation.engines.mysql.problems import LOGIN_PROBLEMS
from rotation.engines.mysql.rights import ALL, GLOBAL, Right, RightKind, allowing, cannot_grant, covers
from rotation.engines.mysql.two_passwords import OTHER_STRATEGY, PLUGINS, RETAIN, TwoPasswords
from rotation.engines.mysql.wire import EXPIRED_PASSWORD, LOGIN_BYTES
from rotation.errors import InvalidConfiguration, LoginRefused, NotPermitted, RotationError, Unsupported, Untrusted
from rotation.finding import Finding, failed, failed_with, not_looked_at, passed, warned
from rotation.kind import EngineKind, Strategy
from rotation.passwords import PasswordPolicy
from rotation.redaction import said

LOOKING: Final = "looking at the server and its accounts"
RENEWS: Final = "Rotate the secret: then AWSCURRENT has a password that has not expired"
EXPIRED: Final = "the user's password has expired: the server says nothing until it has a new one"

SSL_REQUEST: Final = struct.pack(
    "<3sBIIB23x",
    (32).to_bytes(3, "little"),
    1,
    CLIENT.SSL | CLIENT.PROTOCOL_41 | CLIENT.SECURE_CONNECTION | CLIENT.PLUGIN_AUTH,
    LOGIN_BYTES,
    45,  # utf8mb4_general_ci
)
"""The packet that asks for TLS: https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase.html"""

ERROR: Final = 0xFF
"""How a packet begins with which the server refuses a connection."""

BEHIND_VERSION: Final = 4 + 8 + 1
"""In the greeting: the number of the connection, the first half of a challenge, and a zero."""

SAFE_ATTEMPTS: Final = 3
"""How many refused logins in a row a limit must allow at least: docs/engines/mysql-and-mariadb.md counts them."""

WEAKEST: Final = "read_only"
READ_ONLY: Final = ("innodb_read_only", "super_read_only", WEAKEST)
OFF: Final = frozenset({"OFF", "0"})
NOBODY: Final = "NO_LOCK_NO_ADMIN"
"""The value of MariaDB's read_only that no right overcomes (12.1 and later)."""
NUMBERS: Final = ("max_connect_errors", "max_password_errors")
SETTINGS: Final = "SHOW GLOBAL VARIABLES WHERE variable_name IN ('" + "', '".join((*READ_ONLY, *NUMBERS)) + "')"
"""Every user sees them; a server leaves out what it does not have."""

PLUGIN: Final = re.compile(r"IDENTIFIED WITH '(\w+)")
TEXT: Final = re.compile(r"'(?:[^'\\]|\\.|'')*'")
LIMIT: Final = re.compile(r"FAILED_LOGIN_ATTEMPTS (\d+) PASSWORD_LOCK_TIME ")
"""The server prints each of the two if it is not 0, and counts refused logins if both are."""

WRITERS: Final = frozenset({"CONNECTION_ADMIN", "SUPER", "READ_ONLY ADMIN", "READ ONLY ADMIN", ALL})
"""The rights to change something although read_only is on, of MySQL and of MariaDB."""

ADDERS: Final = frozenset({"APPLICATION_PASSWORD_ADMIN", "CREATE USER", ALL})
"""The rights to give oneself a second password, and to end it."""

READINGS: Final = (catalog.row, catalog.rights, catalog.proxies, catalog.proxy_users)
"""What both servers are asked about an account of a pair."""

TABLES_OF_ACCOUNTS: Final = "`mysql`.*"
ROLE_ADMIN: Final = Right(RightKind.DYNAMIC, "ROLE_ADMIN", GLOBAL)

SECOND: Final = (
    "no user can see whether it has a second password, and this one cannot end it: if one was ever given to it, run"
    " ALTER USER {} DISCARD OLD PASSWORD"
)


def begin_tls(
    connected: socket.socket, context: ssl.SSLContext, host: str, problems: Mapping[int, Problem] = LOGIN_PROBLEMS
) -> ssl.SSLSocket:
    """Read the greeting, ask for TLS, and do the handshake; see `rotation.engines.network.BeginTls`."""
    operation = f"asking {host} for TLS"
    [size] = struct.unpack("<I", _read(connected, 3) + b"\0")
    _read(connected, 1)
    if not 0 < size <= LOGIN_BYTES:
        raise Untrusted(operation, "the server does not greet as MySQL or MariaDB does", UNKNOWN_SERVER)
    greeting = _read(connected, size)
    if greeting[0] == ERROR:
        raise _refusal(operation, greeting, problems)
    at = greeting.find(b"\0") + 1 + BEHIND_VERSION
    if not int.from_bytes(greeting[at : at + 2], "little") & CLIENT.SSL:
        raise Untrusted(operation, "the server has no TLS, or it is not MySQL or MariaDB", NO_TLS)
    connected.sendall(SSL_REQUEST)
    return context.wrap_socket(connected, server_hostname=host)


def _read(connected: socket.socket, size: int) -> bytes:
    """Return so many bytes; raises EOFError if the server has closed the connection."""
    found = b""
    while len(found) < size:
        piece = connected.recv(size - len(found))
        if not piece:
            raise EOFError
        found += piece
    return found


def _refusal(operation: str, packet: bytes, problems: Mapping[int, Problem]) -> RotationError:
    """Return what it means that the server refused the connection before it knew user and password."""
    number = int.from_bytes(packet[1:3], "little")
    kind, remedy = problem(problems, number, (Unsupported, CORRECT_CAUSE))  # type: ignore[arg-type]  # Unsupported is no DatabaseError
    text = f"{said(packet[3:].decode(errors='replace'))} (error {number})"
    return Untrusted(operation, text, UNKNOWN_SERVER) if kind is LoginRefused else kind(operation, text, remedy)


class MySQLInspection:
    """The looks of one session, of the user or of an admin."""

    kind: EngineKind = KIND
    oldest, newest = (9, 7), (9, 7)
    """The versions that this driver was tried on."""

    def __init__(self, connection: MySQLConnection, accounts: MySQLAccounts) -> None:
        self._connection = connection
        self._accounts = accounts

    # The server

    def server(self) -> Iterator[Finding]:
        """Say what the server is, and how it treats passwords."""
        if self._account is None:
            yield warned("expiry", EXPIRED, RENEWS)
            for item in ("version", "replica", "password rules", "lockout"):
                yield not_looked_at(item, EXPIRED)
            return
        yield self._version()
        yield self._replica()
        yield self._password_rules()
        yield self._lockout()

    def _version(self) -> Finding:
        [(text,)] = self._execute("SELECT VERSION()")
        name = f"{self.kind.name} {said(text)}"
        if self.oldest <= self._connection.version()[:2] <= self.newest:
            return passed("version", name)
        tried = " to ".join(dict.fromkeys(".".join(map(str, each)) for each in (self.oldest, self.newest)))
        return warned("version", f"{name}: tried was {tried}", "Rotate a secret of little weight first")

    def _replica(self) -> Finding:
        if found := self._read_only():
            return warned("replica", f"{found} is on: this server is a replica, or takes no changes", REPLICA)
        return passed("replica", "this server takes changes: no read-only setting is on")

    def _password_rules(self) -> Finding:
        variables: dict[str, str] = dict(self._execute(policy.VARIABLES))
        asked = policy.rules(variables)
        if variables.get(policy.STRICT, "ON") in OFF:
            return passed("password rules", f"{policy.STRICT} is off: the server gets hashes, and does not judge them")
        try:
            PasswordPolicy.from_environment(os.environ, self.kind).meeting(asked.rules)
        except InvalidConfiguration as error:
            return failed_with("password rules", error)
        if asked.others:
            others = ", ".join(asked.others)
            cause = f"the server also checks {others}: it can refuse a password that meets all other rules"
            return warned("password rules", cause, f"Relax {others}, or rotate again if that happens")
        if not asked.rules:
            return passed("password rules", "the server shows no rule for passwords")
        return passed(
            "password rules", f"new passwords have what the server asks for: {', '.join(map(str, asked.rules))}"
        )

    def _lockout(self) -> Finding:
        attempts, remedy = self._limit_of_logins()
        if attempts is not None and attempts < SAFE_ATTEMPTS:
            return warned("lockout", f"{attempts} refused logins in a row lock the user out", remedy)
        hosts = int(self._settings["max_connect_errors"])
        if hosts < SAFE_ATTEMPTS:
            cause = f"max_connect_errors is {hosts}: so many connections that end before the login block an address"
            return warned("lockout", cause, f"Set max_connect_errors to {SAFE_ATTEMPTS} or more on the server")
        limit = "no number of refused logins locks" if attempts is None else f"{attempts} refused logins in a row lock"
        return passed("lockout", f"{limit} the user out; max_connect_errors is {hosts}")

    def _limit_of_logins(self) -> tuple[int | None, str]:
        """Return how many refused logins lock the user who is logged in, and what raises that; None: no number."""
        definition = TEXT.sub("''", catalog.own_definition(self._connection, LOOKING))
        limit = LIMIT.search(definition)
        if not limit:
            return None, ""
        return int(limit[1]), f"Run ALTER USER {self._quoted} FAILED_LOGIN_ATTEMPTS {SAFE_ATTEMPTS}"

    # The rights of the user

    def own_rights(self, strategy: Strategy) -> Iterator[Finding]:
        """Say whether the user who is logged in may change its own password."""
        if strategy is Strategy.ALTERNATING_USERS:
            return
        if self._account is None:
            yield warned("rights", EXPIRED, RENEWS)
        elif blocked := self._blocked():
            yield blocked
        elif strategy is Strategy.DUAL_PASSWORD:
            yield from self._own_second_password()
        else:
            yield from self._own_password()

    def _own_password(self) -> Iterator[Finding]:
        username = self._connection.username
        plugin = PLUGIN.search(catalog.own_definition(self._connection, LOOKING))
        if not plugin or plugin[1] not in PLUGINS:
            cause = f"{username} logs in with {plugin[1] if plugin else 'a plugin'}, with which no rotation was tried"
            yield warned("rights", cause, "Rotate a secret of little weight with this plugin first")
        else:
            yield passed("rights", f"{username} can change its own password")
        if self._connection.version() >= RETAIN and not self._names & ADDERS:
            yield not_looked_at("second password", SECOND.format(self._quoted))

    def _own_second_password(self) -> Iterator[Finding]:
        username = self._connection.username
        TwoPasswords(self._connection, self._accounts).require_possible()
        if self._names & ADDERS:
            yield passed("rights", f"{username} can give itself a second password, and end it")
        else:
            cause = f"{username} cannot give itself a second password"
            yield failed("rights", cause, f"Run GRANT APPLICATION_PASSWORD_ADMIN ON *.* TO {self._quoted}")

    # The rights of an admin

    def admins_rights(self, strategy: Strategy, user: str, pair: MySQLPair) -> Iterator[Finding]:
        """Say whether the admin who is logged in may read, and change, the accounts of the user."""
        if blocked := self._blocked():
            yield blocked
            return
        accounts = self._accounts.meant(user)
        if lacked := self._lacked(accounts):
            yield failed("rights", f"{self._connection.username} cannot change {user}", self._grants(lacked))
            return
        if strategy is Strategy.ALTERNATING_USERS:
            yield from self._rights_for_pair(pair)
            return
        if strategy is Strategy.DUAL_PASSWORD:
            for account in accounts:
                self._require_two(account)
        yield passed("rights", f"{self._connection.username} can change {', '.join(map(str, accounts))}")

    def _lacked(self, accounts: Collection[Account]) -> list[str]:
        """Return the rights without which an admin can change none of these accounts."""
        on_tables = {right.name for right in self._own if covers(right.item, TABLES_OF_ACCOUNTS)}
        may_change = self._names & {"CREATE USER", ALL} or on_tables >= {"INSERT", "UPDATE"}
        needs_system = SYSTEM_USER not in self._names and any(map(self._is_of_system, accounts))
        return [*([] if may_change else [MAY_CREATE]), *([f"{SYSTEM_USER} ON *.*"] if needs_system else [])]

    def _rights_for_pair(self, pair: MySQLPair) -> Iterator[Finding]:
        """Look as `MySQLPair.mirror` does, before it changes anything."""
        username = self._connection.username
        try:
            self._read_all(self._accounts.meant(pair.user))
        except NotPermitted as error:
            yield failed("rights", f"{error.operation}: {error.cause}", self._grants([MAY_READ]))
            return
        if pair.status() is CloneStatus.UNKNOWN:
            yield not_looked_at("rights", f"whose {pair.other} is, only a rotation finds out")
        elif statements := self._statements_for(pair):
            cause = f"{username} cannot grant {pair.other} what {pair.user} has"
            yield failed("rights", cause, f"Run {'; '.join(statements)}")
        else:
            pair.require_possible()
            yield passed("rights", f"{username} can create and change users, and grant what {pair.user} has")

    def _statements_for(self, pair: MySQLPair) -> list[str]:
        """Return what lets the admin grant the other user of the pair all that it lacks."""
        found = self._accounts.pairs(pair.user, pair.other)
        lacked = [
            change
            for account, other in found.pairs
            for change in pair.lacked(account, other, is_absent=other in found.absent)
        ]
        rights = {right for change in lacked for right in change.given if cannot_grant(self._own, right)}
        return allowing({self._to_grant(right) for right in rights}, self._quoted)

    # What MariaDB does in another way

    def _is_of_system(self, account: Account) -> bool:
        """Tell whether only who has SYSTEM_USER can change the account; False if the server does not show it."""
        with suppress(NotPermitted):
            return SYSTEM_USER in {right.name for right in catalog.rights(self._connection, account)}
        return False

    def _to_grant(self, right: Right) -> Right:
        """Return what an admin must have to grant this right."""
        return ROLE_ADMIN if right.kind is RightKind.ROLE else right

    def _read_all(self, accounts: Collection[Account]) -> None:
        """Read what a rotation reads of these accounts; raises NotPermitted."""
        for account in accounts:
            for read in (*READINGS, catalog.role_users, catalog.default_roles):
                read(self._connection, account)

    def _require_two(self, account: Account) -> None:
        """Raise Unsupported if the account can have one password only."""
        plugin = catalog.row(self._connection, account)["plugin"]
        if self._connection.version() < RETAIN or plugin not in PLUGINS:
            cause = f"{account} logs in with {plugin}, and this server keeps one password for it"
            raise Unsupported(LOOKING, cause, OTHER_STRATEGY)

    # What all looks need

    @cached_property
    def _account(self) -> Account | None:
        """Who is logged in; None if the password has expired, and the server says nothing else."""
        try:
            rows = self._connection.execute(LOOKING, "SELECT CURRENT_USER()", expected=frozenset({EXPIRED_PASSWORD}))
        except ExpectedError:
            return None
        [(text,)] = rows
        return Account(*text.rsplit("@", 1))

    @property
    def _quoted(self) -> str:
        return self._account.quoted if self._account else self._connection.username

    @cached_property
    def _settings(self) -> dict[str, str]:
        return dict(self._execute(SETTINGS))

    @cached_property
    def _own(self) -> frozenset[Right]:
        """The rights of who is logged in, with those of the roles that are active."""
        return catalog.rights(self._connection)

    @property
    def _names(self) -> set[str]:
        """The names of its rights on everything."""
        return {right.name for right in self._own if right.item == GLOBAL}

    def _read_only(self) -> str:
        """Return the setting that forbids changes, the strongest; empty if none does."""
        return next((name for name in READ_ONLY if self._settings.get(name, "OFF") not in OFF), "")

    def _blocked(self) -> Finding | None:
        """Return the failure if who is logged in cannot change anything on this server."""
        found = self._read_only()
        if not found or (found == WEAKEST and self._settings[found] != NOBODY and self._names & WRITERS):
            return None
        return failed("rights", f"{found} is on, and {self._connection.username} can change nothing here", REPLICA)

    def _grants(self, rights: Collection[str]) -> str:
        return "Run " + "; ".join(f"GRANT {right} TO {self._quoted}" for right in rights)

    def _execute(self, query: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(LOOKING, query)
