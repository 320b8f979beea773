"""What does a server of Oracle show about itself, and may this session do its part? Looks only.

See `rotation.engine.InspectedSession`. Every user sees its own account and the limits of its profile, and not the name
of the profile (https://docs.oracle.com/en/database/oracle/oracle-database/19/refrn/USER_PASSWORD_LIMITS.html,
https://docs.oracle.com/en/database/oracle/oracle-database/19/refrn/DBA_USERS.html). No view shows a user what a verify
function asks for, whether the container database has a mandatory profile, or whether a primary is open read-only.
"""

import os
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping

from rotation.engines.driver import POLICY, REPLICA, foreign_triggers_allowed
from rotation.engines.oracle import verification
from rotation.engines.oracle.abilities import Abilities
from rotation.engines.oracle.admin import OracleAdmin
from rotation.engines.oracle.catalog import OracleCatalog, User
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
from rotation.values import dataclass

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
PAIR = "view of the pair"


def begin_tls(connected: socket.socket, context: ssl.SSLContext, host: str) -> ssl.SSLSocket:
    """Do the handshake, with which a TLS port of Oracle begins; see `rotation.engines.network.BeginTls`."""
    try:
        return context.wrap_socket(connected, server_hostname=host)
    except ssl.SSLCertVerificationError:
        raise
    except (ssl.SSLError, ConnectionError) as error:
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
            return warned("expiry", cause, "Rotate more often than PASSWORD_LIFE_TIME of the user's profile")
        if SOON in status:
            return warned("expiry", f"the account is {status}: the password expires soon", "Rotate this secret now")
        if life == UNLIMITED:
            return passed("expiry", "passwords do not expire")
        if not life:
            return not_looked_at("expiry", "the server does not say when passwords expire")
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
        abilities, both = Abilities(self._admin, self._catalog), None
        missing = [*abilities.lacks("ALTER USER")]
        try:
            both = self._read(strategy, user, other)
        except NotPermitted:
            missing.append(f"GRANT {CATALOG} TO {identifier(self._connection.username)}")
        if strategy is not Strategy.ALTERNATING_USERS:
            yield self._standing_by(user, missing)
            yield self._triggers(warned)
            return
        if both:
            missing += both.lacking(abilities)
        yield self._copying(user, other, missing)
        yield both.possible() if both else not_looked_at(PAIR, "it needs what the admin cannot read")
        yield self._triggers(failed)

    def _read(self, strategy: Strategy, user: str, other: str) -> "_Both | None":
        """Read what a rotation reads through the admin; raises NotPermitted, or Unsafe if the two can be no pair."""
        if not foreign_triggers_allowed():
            self._admin.triggers("looking up triggers")
        if strategy is Strategy.DUAL_PASSWORD:
            self._admin.read(f"looking up {user}", "dba_users", ["username"], ["account_status"], [user])
        if strategy is not Strategy.ALTERNATING_USERS:
            return None
        requirements = Requirements(self._admin, self._catalog, user, other)
        users, admin = requirements.users(), self._connection.username
        user_has = self._catalog.definition(user, other)
        other_has = self._catalog.definition(other, user, admin) if other in users else NOTHING
        return _Both(user, other, users, user_has, other_has, requirements)

    def _standing_by(self, user: str, missing: list[str]) -> Finding:
        """Say whether the admin could act, which it only does if the user cannot."""
        admin, case = self._connection.username, f"in place of {user}, if {user} cannot change its password itself"
        if missing:
            return warned("rights", f"{admin} cannot act {case}", "; ".join(missing))
        return passed("rights", f"{admin} can act {case}")

    def _copying(self, user: str, other: str, missing: list[str]) -> Finding:
        admin = self._connection.username
        if missing:
            return failed("rights", f"{admin} cannot give {other} what {user} has", "; ".join(missing))
        return passed("rights", f"{admin} can give {other} what {user} has, and a password")

    def _triggers(self, found: Callable[[str, str, str], Finding]) -> Finding:
        """Say whether the triggers of others let the admin work; what it is if they do not, the caller knows."""
        if foreign_triggers_allowed():
            return not_looked_at("triggers", "ALLOW_FOREIGN_TRIGGERS is true")
        try:
            self._admin.refuse_foreign_triggers("changing users")
        except Unsafe as error:
            return found("triggers", error.cause, error.remedy)
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


@dataclass(frozen=True)
class _Both:
    """The two users of a pair, as an admin sees them."""

    user: str
    other: str
    users: Mapping[str, User]
    user_has: Definition
    other_has: Definition
    requirements: Requirements

    def lacking(self, abilities: Abilities) -> Iterator[str]:
        """Yield the statements that the admin needs to make the other one what the user is."""
        if self.other not in self.users:
            yield from abilities.lacks("CREATE USER")
        yield from abilities.lacks_for(self.user_has, self.other_has, self.other)

    def possible(self) -> Finding:
        """Say whether what the user is and owns lets another one be like it."""
        try:
            self.requirements.require_mirrorable(self.users[self.user])
            self.requirements.require_shared()
            self.requirements.require_nothing_lost(self.user_has, self.other_has)
        except (NotPermitted, Unsupported) as error:
            return failed_with(PAIR, error)
        return passed(PAIR, f"nothing that {self.user} is or owns keeps {self.other} from being like it")


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
