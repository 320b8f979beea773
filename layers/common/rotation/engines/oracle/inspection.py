"""What does a server of Oracle show about itself, and may this session do its part? Looks only.

See `rotation.engine.InspectedSession`. Every user sees its own account and the limits of its profile, and not the name
of the profile (https://docs.oracle.com/en/database/oracle/oracle-database/19/refrn/USER_PASSWORD_LIMITS.html,
https://docs.oracle.com/en/database/oracle/oracle-database/19/refrn/DBA_USERS.html). No view shows a user what a verify
function asks for, whether the container database has a mandatory profile, or whether a primary is open read-only.
"""

import os
import socket
import ssl
from collections.abc import Iterator, Mapping

from rotation.engines.driver import POLICY, REPLICA, foreign_triggers_allowed
from rotation.engines.oracle import verification
from rotation.engines.oracle.abilities import Abilities
from rotation.engines.oracle.admin import OracleAdmin
from rotation.engines.oracle.catalog import OracleCatalog
from rotation.engines.oracle.definition import NOTHING, Definition
from rotation.engines.oracle.kind import KIND
from rotation.engines.oracle.passwords import ROLLOVER_TIME, OraclePasswords
from rotation.engines.oracle.problems import COMMON_USER, tls_failure
from rotation.engines.oracle.requirements import Requirements
from rotation.engines.oracle.rights import identifier
from rotation.errors import NotPermitted, Unsafe, Unsupported
from rotation.finding import Finding, failed, failed_with, not_looked_at, passed, warned
from rotation.kind import Strategy
from rotation.passwords import PasswordPolicy
from rotation.redaction import said

SERVER = "SELECT SYS_CONTEXT('USERENV', 'DATABASE_ROLE'), SYS_CONTEXT('USERENV', 'CON_NAME') FROM sys.dual"
"""https://docs.oracle.com/en/database/oracle/oracle-database/19/sqlrf/SYS_CONTEXT.html"""
LIMITS = "SELECT resource_name, limit FROM sys.user_password_limits"
ACCOUNT = "SELECT account_status, common FROM sys.user_users"

PRIMARY, ROOT = "PRIMARY", "CDB$ROOT"
UNLIMITED, NO_FUNCTION = "UNLIMITED", ("NULL", None)
SAFE_ATTEMPTS = 5
"""How many failed logins a profile must allow: docs/engines/oracle.md counts those of a rotation."""
SOON = "EXPIRED(GRACE)"
CATALOG = "SELECT_CATALOG_ROLE"


def begin_tls(connected: socket.socket, context: ssl.SSLContext, host: str) -> ssl.SSLSocket:
    """Do the handshake, with which a TLS port of Oracle begins; see `rotation.engines.network.BeginTls`."""
    try:
        return context.wrap_socket(connected, server_hostname=host)
    except ssl.SSLCertVerificationError:
        raise
    except OSError as error:
        reason = getattr(error, "reason", "") or type(error).__name__
        raise tls_failure(reason, f"asking {host} for TLS") from None


class OracleInspection:
    """One session, looked at; it stays as it is, but for its current schema."""

    def __init__(self, admin: OracleAdmin, catalog: OracleCatalog, passwords: OraclePasswords) -> None:
        self._admin = admin
        self._connection = admin.connection
        self._catalog = catalog
        self._passwords = passwords

    # The server, as the user sees it

    def server(self) -> Iterator[Finding]:
        """Say what the server is, and how it treats passwords; see `rotation.engine.InspectedSession`."""
        limits = self._limits()
        yield self._version()
        yield self._replica()
        yield self._password_rules(limits.get("PASSWORD_VERIFY_FUNCTION"))
        yield _lockout(limits)
        yield self._expiry(limits)

    def _version(self) -> Finding:
        version = ".".join(map(str, self._connection.version))
        cause = f"Oracle {version}: this driver was tried on a stand-in for Oracle only"
        return warned("version", cause, "Rotate a secret of little weight first")

    def _replica(self) -> Finding:
        role, _ = self._place()
        if role == PRIMARY:
            return passed("replica", "this database is the primary; its open mode is not shown to every user")
        return warned("replica", f"the role of this database is {said(str(role))}, not {PRIMARY}", REPLICA)

    def _password_rules(self, function: str | None) -> Finding:
        item = "password rules"
        if function in NO_FUNCTION:
            others = "; a mandatory profile is shown to no user" if self._connection.version >= (21,) else ""
            return passed(item, f"the user's profile has no verify function{others}")
        known = verification.OF_ORACLE.get(function)
        if known is None:
            cause = f"the verify function {said(function)} can refuse passwords, and shows its rules to nobody"
            return warned(item, cause, POLICY)
        policy = PasswordPolicy.from_environment(os.environ, KIND)
        if broken := {rule: remedy for rule in known if (remedy := rule.remedy(policy))}:
            cause = f"Oracle's {function} asks for {', '.join(map(str, broken))}"
            return warned(item, cause, ". ".join(dict.fromkeys(broken.values())))
        return passed(item, f"new passwords meet what Oracle documents of {function}; its code was not looked at")

    def _expiry(self, limits: Mapping[str, str | None]) -> Finding:
        [(status, _)] = self._own("reading the user's own account", ACCOUNT)
        life = limits.get("PASSWORD_LIFE_TIME")
        if self._connection.was_renewed:
            cause = "the password had expired; this login has set the same one again, as every rotation does"
            return warned("expiry", cause, f"Rotate more often than the profile's PASSWORD_LIFE_TIME: {life} days")
        if SOON in status:
            return warned("expiry", f"the account is {status}: the password expires soon", "Rotate this secret now")
        if life == UNLIMITED:
            return passed("expiry", "passwords do not expire")
        return passed("expiry", f"a password expires {life} days after its change")

    # The part of who is logged in

    def rights(self, strategy: Strategy, user: str, other: str) -> Iterator[Finding]:
        """Say whether who is logged in may do its part; see `rotation.engine.InspectedSession`."""
        if self._connection.username != user:
            yield from self._admins_rights(strategy, user, other)
        elif strategy is not Strategy.ALTERNATING_USERS:
            yield self._own_rights(strategy)

    def _own_rights(self, strategy: Strategy) -> Finding:
        """Say whether the user can change its own password. What it raises, no admin can do in its place."""
        name, operation = self._connection.username, "looking up whose password can be changed here"
        _, container = self._place()
        [(_, common)] = self._own(operation, ACCOUNT)
        if common == "YES" and container != ROOT:
            raise Unsupported(operation, f"{name} is a common user, and this is the container {container}", COMMON_USER)
        if strategy is Strategy.SINGLE_USER:
            return passed("rights", f"{name} can change its own password")
        self._passwords.require_two()
        days = self._limits()[ROLLOVER_TIME]
        return passed("rights", f"{name} can have two passwords: the old one ends {days} days after the first change")

    def _admins_rights(self, strategy: Strategy, user: str, other: str) -> Iterator[Finding]:
        admin = self._connection.username
        abilities, is_pair = Abilities(self._admin, self._catalog), strategy is Strategy.ALTERNATING_USERS
        missing = [*abilities.lacks("ALTER USER")]
        try:
            missing += self._needs(abilities, strategy, user, other)
        except NotPermitted:
            missing.append(f"GRANT {CATALOG} TO {identifier(admin)}")
        except (Unsafe, Unsupported) as error:
            yield failed_with("view of the pair", error)
        remedy = "; ".join(missing)
        if missing and is_pair:
            yield failed("rights", f"{admin} cannot make {other} what {user} is", remedy)
        elif missing:
            cause = f"{admin} cannot act in place of {user}, if {user} cannot change its password itself"
            yield warned("rights", cause, remedy)
        else:
            yield passed("rights", f"{admin} can do what {strategy} asks of it")
        yield self._triggers(is_pair=is_pair)

    def _needs(self, abilities: Abilities, strategy: Strategy, user: str, other: str) -> list[str]:
        """Return what the admin lacks besides ALTER USER.

        Raises NotPermitted if it cannot read what it must; Unsafe or Unsupported if the two can be no pair.
        """
        if not foreign_triggers_allowed():
            self._admin.triggers("looking up triggers")
        if strategy is Strategy.SINGLE_USER:
            return []
        if strategy is Strategy.DUAL_PASSWORD:
            self._admin.read("looking up the user", "dba_users", ["username"], ["account_status"], [user])
            return []
        requirements = Requirements(self._admin, self._catalog, user, other)
        users = requirements.users()
        requirements.require_mirrorable(users[user])
        requirements.require_shared()
        user_has, other_has = self._catalog.definition(user, other), self._other(other, user, exists=other in users)
        requirements.require_nothing_lost(user_has, other_has)
        create = [] if other in users else [*abilities.lacks("CREATE USER")]
        return [*create, *abilities.lacks_for(user_has, other_has, other)]

    def _other(self, other: str, user: str, *, exists: bool) -> Definition:
        return self._catalog.definition(other, user, self._connection.username) if exists else NOTHING

    def _triggers(self, *, is_pair: bool) -> Finding:
        if foreign_triggers_allowed():
            return not_looked_at("triggers", "ALLOW_FOREIGN_TRIGGERS is true")
        try:
            self._admin.refuse_foreign_triggers("changing users")
        except Unsafe as error:
            found = failed_with("triggers", error)
            return found if is_pair else warned("triggers", found.said, found.remedy)
        except NotPermitted as error:
            return not_looked_at("triggers", error.cause)
        return passed("triggers", "no trigger of others reads what the admin sends")

    # What is read

    def _place(self) -> tuple[str, str]:
        """Return the role of the database, and the name of the container."""
        operation = "asking the server what it is"
        self._admin.resolve_in_sys(operation)
        [(role, container)] = self._connection.execute(operation, SERVER)
        return role, container

    def _limits(self) -> dict[str, str | None]:
        """Return the limits of the user's profile, those of the profile DEFAULT in place of DEFAULT."""
        return {str(name): limit for name, limit in self._own("reading the limits of the user's profile", LIMITS)}

    def _own(self, operation: str, query: str) -> list[tuple[str, ...]]:
        """Return what a view says of the user's own account."""
        self._admin.resolve_in_own_schema()
        return self._connection.execute(operation, query)


def _lockout(limits: Mapping[str, str | None]) -> Finding:
    attempts = limits.get("FAILED_LOGIN_ATTEMPTS") or ""
    if attempts == UNLIMITED:
        return passed("lockout", "the user's profile locks nobody after failed logins")
    if not attempts.isdigit():
        return not_looked_at("lockout", "the server does not say after how many failed logins it locks a user")
    cause = f"the user's profile locks a user after {attempts} failed logins"
    if int(attempts) >= SAFE_ATTEMPTS:
        return passed("lockout", f"{cause}, and a rotation makes fewer")
    remedy = f"ALTER PROFILE … LIMIT FAILED_LOGIN_ATTEMPTS {SAFE_ATTEMPTS} (DBA_USERS has the profile's name)"
    return warned("lockout", f"{cause}, and a rotation that is repeated can make as many", remedy)
