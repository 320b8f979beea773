"""What does the stand-in for Oracle know of its users, and by which rules do passwords and rights change?

The rules are those of Oracle's SQL Language Reference and Security Guide, as far as a rotation meets them: logins and
locks, profiles with history, verify functions and gradual rollover, system, object, column and schema privileges with
their options and grantors, roles and default roles, quotas, proxies, consumer groups. No line of Oracle's is in it, and
nothing here was compared with a real server.
"""

import itertools
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from tests.local.stand_ins.oracle.sql import OracleError, masked

SYSTEM_PRIVILEGES = frozenset(
    {
        "ADMINISTER DATABASE TRIGGER",
        "ADMINISTER RESOURCE MANAGER",
        "ALTER ANY TABLE",
        "ALTER PROFILE",
        "ALTER SESSION",
        "ALTER USER",
        "AUDIT SYSTEM",
        "CREATE DATABASE LINK",
        "CREATE PUBLIC DATABASE LINK",
        "CREATE ANY SEQUENCE",
        "CREATE ANY SYNONYM",
        "CREATE ANY TABLE",
        "CREATE ANY TRIGGER",
        "CREATE PROCEDURE",
        "CREATE PROFILE",
        "CREATE PUBLIC SYNONYM",
        "CREATE ROLE",
        "CREATE SEQUENCE",
        "CREATE SESSION",
        "CREATE SYNONYM",
        "CREATE TABLE",
        "CREATE TRIGGER",
        "CREATE TYPE",
        "CREATE USER",
        "CREATE VIEW",
        "DELETE ANY TABLE",
        "DEQUEUE ANY QUEUE",
        "DROP ANY SYNONYM",
        "DROP ANY TABLE",
        "DROP PROFILE",
        "DROP USER",
        "ENQUEUE ANY QUEUE",
        "EXECUTE ANY PROCEDURE",
        "GRANT ANY OBJECT PRIVILEGE",
        "GRANT ANY PRIVILEGE",
        "GRANT ANY ROLE",
        "GRANT ANY SCHEMA PRIVILEGE",
        "INSERT ANY TABLE",
        "MANAGE ANY QUEUE",
        "READ ANY TABLE",
        "SELECT ANY DICTIONARY",
        "SELECT ANY SEQUENCE",
        "SELECT ANY TABLE",
        "UNLIMITED TABLESPACE",
        "UPDATE ANY TABLE",
    }
)
BY_PACKAGE = frozenset({"ADMINISTER RESOURCE MANAGER", "DEQUEUE ANY QUEUE", "ENQUEUE ANY QUEUE", "MANAGE ANY QUEUE"})
"""The privileges that GRANT is not documented to take: a package gives them."""
OBJECT_PRIVILEGES = frozenset(
    {
        "ALTER",
        "DEBUG",
        "DELETE",
        "EXECUTE",
        "FLASHBACK",
        "INDEX",
        "INSERT",
        "READ",
        "REFERENCES",
        "SELECT",
        "UPDATE",
        "WRITE",
    }
)
COLUMN_PRIVILEGES = frozenset({"INSERT", "REFERENCES", "UPDATE"})

SYS, PUBLIC, DBA, CATALOG = "SYS", "PUBLIC", "DBA", "SELECT_CATALOG_ROLE"
NAMES_OF_SYS = frozenset(
    {
        "ALL_USERS",
        "DBA_COL_PRIVS",
        "DBA_DB_LINKS",
        "DBA_NESTED_TABLES",
        "DBA_OBJECTS",
        "DBA_PROXIES",
        "DBA_ROLE_PRIVS",
        "DBA_RSRC_CONSUMER_GROUP_PRIVS",
        "DBA_SCHEMA_PRIVS",
        "DBA_SYNONYMS",
        "DBA_SYS_PRIVS",
        "DBA_TAB_PRIVS",
        "DBA_TRIGGERS",
        "DBA_TS_QUOTAS",
        "DBA_USERS",
        "DBMS_AQADM",
        "DBMS_RESOURCE_MANAGER",
        "DBMS_RESOURCE_MANAGER_PRIVS",
        "DUAL",
        "SYS_CONTEXT",
        "USER_PASSWORD_LIMITS",
        "USER_USERS",
    }
)
"""What is found in the schema SYS, where somebody looks there first."""
VIEWS_ABOUT_NAMES: dict[str, tuple[str, ...]] = {
    "DBA_AQ_AGENT_PRIVS": ("AGENT_NAME", "DB_USERNAME", "HTTP_ENABLED", "SMTP_ENABLED"),
    "DBA_GOLDENGATE_PRIVILEGES": ("USERNAME", "PRIVILEGE_TYPE", "GRANT_SELECT_PRIVILEGES"),
    "DBA_HOST_ACES": (
        *("HOST", "LOWER_PORT", "UPPER_PORT", "ACE_ORDER", "GRANT_TYPE", "INVERTED_PRINCIPAL"),
        *("PRINCIPAL", "PRINCIPAL_TYPE", "PRIVILEGE"),
    ),
    "DBA_JAVA_POLICY": ("KIND", "GRANTEE", "TYPE_SCHEMA", "TYPE_NAME", "NAME", "ACTION", "ENABLED", "SEQ"),
    "DBA_JOBS": ("JOB", "LOG_USER", "PRIV_USER", "SCHEMA_USER"),
    "DBA_REFRESH": ("ROWNER", "RNAME", "REFGROUP"),
    "DBA_WALLET_ACES": (
        *("WALLET_PATH", "ACE_ORDER", "GRANT_TYPE", "INVERTED_PRINCIPAL"),
        *("PRINCIPAL", "PRINCIPAL_TYPE", "PRIVILEGE"),
    ),
    "DBA_XSTREAM_INBOUND": ("SERVER_NAME", "QUEUE_OWNER", "QUEUE_NAME", "APPLY_USER"),
    "DBA_XSTREAM_OUTBOUND": ("SERVER_NAME", "CONNECT_USER", "CAPTURE_NAME", "CAPTURE_USER"),
    "V_$PWFILE_USERS": ("USERNAME", "SYSDBA", "SYSOPER", "SYSASM", "SYSBACKUP", "SYSDG", "SYSKM"),
}
"""Views that name users, with their columns, as the Database Reference has them
(https://docs.oracle.com/en/database/oracle/oracle-database/19/refrn/static-data-dictionary-views.html)."""

DEFAULT_PROFILE, DEFAULT_GROUP = "DEFAULT", "DEFAULT_CONSUMER_GROUP"
UNLIMITED = "UNLIMITED"
NOT_FOR_SYS = frozenset({"GRANT ANY OBJECT PRIVILEGE", "SELECT ANY TABLE", "READ ANY TABLE", "EXECUTE ANY PROCEDURE"})
"""The ANY privileges that Oracle's own objects are protected from (O7_DICTIONARY_ACCESSIBILITY)."""

LIMITS = {
    "FAILED_LOGIN_ATTEMPTS": "10",
    "PASSWORD_LIFE_TIME": "180",
    "PASSWORD_REUSE_TIME": UNLIMITED,
    "PASSWORD_REUSE_MAX": UNLIMITED,
    "PASSWORD_VERIFY_FUNCTION": "NULL",
    "PASSWORD_LOCK_TIME": "1",
    "PASSWORD_GRACE_TIME": "7",
    "PASSWORD_ROLLOVER_TIME": "0",
}
ROLLOVER = "PASSWORD_ROLLOVER_TIME"
FIRST_WITH_ROLLOVER, FIRST_WITH_LONG_PASSWORDS = (19, 12), (23,)
SHORT_PASSWORD, LONG_PASSWORD = 30, 1024


@dataclass(frozen=True)
class VerifyFunction:
    """What one of Oracle's own functions asks of a password
    (https://docs.oracle.com/en/database/oracle/oracle-database/19/dbseg/configuring-authentication.html, "Managing the
    Complexity of Passwords")."""  # noqa: D205, D209

    length: int
    letters: tuple[int, int, int]
    """How many letters there must be at least, and how many of them in capitals, and small ones."""
    digits: int
    specials: int
    distance: int

    def problem(self, password: str, names: Iterable[str], old: str | None) -> str:
        """Return why it refuses a password; empty if it does not."""
        least, upper, lower = self.letters
        counts = (
            (len(password), self.length),
            (sum(map(str.isalpha, password)), least),
            (sum(map(str.isupper, password)), upper),
            (sum(map(str.islower, password)), lower),
            (sum(map(str.isdigit, password)), self.digits),
            (sum(not letter.isalnum() for letter in password), self.specials),
        )
        if any(count < fewest for count, fewest in counts):
            return "ORA-20001: Password is too short, or lacks letters, digits or special characters"
        folded = password.lower()
        if any(name.lower() in folded or name.lower()[::-1] in folded for name in names):
            return "ORA-20002: Password contains the username, the server name, or oracle"
        if old is not None and _distance(password, old) < self.distance:
            return f"ORA-20011: Password should differ from the old password by at least {self.distance} characters"
        return ""


def _distance(one: str, other: str) -> int:
    """Return how many letters must be changed, added or taken out to make one text the other."""
    row = list(range(len(other) + 1))
    for number, letter in enumerate(one, 1):
        before, row[0] = row[0], number
        for place, its in enumerate(other, 1):
            before, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, before + (letter != its))
    return row[-1]


VERIFY_FUNCTIONS = {
    "ORA12C_VERIFY_FUNCTION": VerifyFunction(8, (1, 0, 0), 1, 1, 3),
    "ORA12C_STRONG_VERIFY_FUNCTION": VerifyFunction(9, (4, 2, 2), 2, 2, 4),
}
DAY = 86400.0


@dataclass(frozen=True)
class Trigger:
    """A trigger on the database, or on a schema."""

    owner: str
    name: str
    events: frozenset[str]
    schema: str
    """Whose schema it is on; empty: on the database."""
    settings: tuple[tuple[str, str], ...] = ()
    """What it sets in the session that fires it."""
    condition: str = ""
    """Its WHEN clause; nobody evaluates it here."""
    raises: int = 0
    """The number of the error that it raises, by RAISE_APPLICATION_ERROR."""

    def is_fired_by(self, user: str, event: str) -> bool:
        """Tell whether it runs when a user does this."""
        ddl = event not in ("LOGON", "LOGOFF")
        return self.schema in ("", user) and bool(self.events & {event, *(["DDL"] if ddl else [])})


@dataclass
class User:
    """One user."""

    name: str
    password: str
    profile: str = DEFAULT_PROFILE
    default_tablespace: str = "USERS"
    temporary_tablespace: str = "TEMP"
    authentication: str = "PASSWORD"
    common: bool = False
    maintained: bool = False
    locked: bool = False
    timed: bool = False
    """Locked by failed logins, for PASSWORD_LOCK_TIME."""
    locked_at: float = 0.0
    expired: bool = False
    grace: bool = False
    failed: int = 0
    old_password: str | None = None
    """The one from before the rollover period."""
    rollover_since: float | None = None
    history: list[str] = field(default_factory=list)
    default_roles: frozenset[str] | None = None
    """None: all that it has, and will have."""
    quotas: dict[str, int] = field(default_factory=dict)
    groups: dict[str, bool] = field(default_factory=dict)
    initial_group: str = DEFAULT_GROUP
    collation: str = "USING_NLS_COMP"
    read_only: bool = False
    number: int = 0


@dataclass(frozen=True)
class Held:
    """An object privilege, as it was granted."""

    grantee: str
    owner: str
    item: str
    privilege: str
    column: str
    grantor: str


@dataclass
class Options:
    """How it may be used."""

    grantable: bool = False
    hierarchy: bool = False


@dataclass(frozen=True)
class Connection:
    """Who may connect through whom, and with which roles."""

    constraint: str
    roles: frozenset[str]
    authenticated: bool


@dataclass
class Database:
    """A pluggable database: users, roles, objects. Each write is committed at once."""

    version: tuple[int, ...] = (23, 9, 0, 0, 0)
    service: str = "FREEPDB1"
    container: str = "FREEPDB1"
    sid: str = "FREE"
    """The name of the database, which is that of its instance, too."""
    unique_name: str = "FREE"
    users: dict[str, User] = field(default_factory=dict)
    roles: set[str] = field(default_factory=lambda: {DBA, CATALOG, "CONNECT", "RESOURCE"})
    profiles: dict[str, dict[str, str]] = field(default_factory=lambda: {DEFAULT_PROFILE: dict(LIMITS)})
    tablespaces: set[str] = field(default_factory=lambda: {"USERS", "TEMP", "SYSTEM"})
    groups: set[str] = field(default_factory=lambda: {DEFAULT_GROUP, "BATCH_GROUP", "LOW_GROUP", "OTHER_GROUPS"})
    objects: dict[tuple[str, str], str] = field(default_factory=dict)
    """The type of each object, by owner and name."""
    made: dict[tuple[str, str], str] = field(default_factory=dict)
    """The objects that the server made by itself: GENERATED, SECONDARY, or NESTED."""
    links: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    """The database links, by owner (or PUBLIC) and name: as whom, and where to."""
    named: dict[str, list[dict[str, str | int | None]]] = field(default_factory=dict)
    """The rows of VIEWS_ABOUT_NAMES; a view that is not in it is not in the database."""
    rows: dict[tuple[str, str], list[tuple[object, ...]]] = field(default_factory=dict)
    synonyms: dict[tuple[str, str], tuple[str, str, str]] = field(default_factory=dict)
    system_grants: dict[tuple[str, str], bool] = field(default_factory=dict)
    schema_grants: dict[tuple[str, str, str], bool] = field(default_factory=dict)
    role_grants: dict[tuple[str, str], bool] = field(default_factory=dict)
    role_delegates: set[tuple[str, str]] = field(default_factory=set)
    object_grants: dict[Held, Options] = field(default_factory=dict)
    inherited: set[tuple[str, str]] = field(default_factory=set)
    """Whose rights the code of whom has, when the one runs it: INHERIT PRIVILEGES ON USER."""
    connections: dict[tuple[str, str], Connection] = field(default_factory=dict)
    """By client and proxy."""
    audit: list[str] = field(default_factory=list)
    decimal: str = "."
    """What separates decimals: the first of NLS_NUMERIC_CHARACTERS, a comma in most of Europe."""
    elapsed: float = 0.0
    """How much time the tests let pass."""
    pending_area: dict[str, str] | None = None
    enterprise: dict[str, tuple[str, str]] = field(default_factory=dict)
    """The users of a directory: password, and the schema that they share."""
    triggers: dict[tuple[str, str], Trigger] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(100))
    sprung: list[tuple[str, str]] = field(default_factory=list)
    """Whose session has run or asked what a user wrote, and what that was."""
    read: list[tuple[str, str]] = field(default_factory=list)
    """What each trigger has read, by its name."""
    refuses: dict[str, tuple[int, str]] = field(default_factory=dict)
    """What is answered to statements that begin so."""
    statements: list[tuple[str, str, str]] = field(default_factory=list)
    """What each session has sent, without passwords: by program and user."""

    def __post_init__(self) -> None:
        """Make what every database has."""
        for privilege in SYSTEM_PRIVILEGES:
            self.system_grants[DBA, privilege] = True
        self.role_grants[DBA, CATALOG] = True
        self.system_grants["CONNECT", "CREATE SESSION"] = False
        for view in ("V_$SESSION", "DBMS_LOCK", "DBMS_AQADM"):
            self.objects[SYS, view] = "VIEW" if view.startswith("V_") else "PACKAGE"
        self.objects[SYS, "LAB_FILES"] = "DIRECTORY"
        self.named = {view: [] for view in VIEWS_ABOUT_NAMES}
        self.users[SYS] = User(SYS, "", maintained=True, locked=True)
        self.role_grants[SYS, DBA] = True

    def now(self) -> float:
        """Return the time."""
        return time.time() + self.elapsed

    # Logins

    def log_in(self, name: str, accepts: Iterable[str]) -> str | None:
        """Log in a user with a password that is among those that the client proved to have; return a warning.

        Raises OracleError.
        """
        user = self.users.get(name)
        try:
            warning = None if name in self.enterprise and accepts else self._admit(user, frozenset(accepts))
        except OracleError as error:
            self.audit.append(f"LOGON {name} {error.number}")
            raise
        self.audit.append(f"LOGON {name} 0")
        return warning

    def passwords(self, name: str) -> list[str]:
        """Return what a user may log in with now."""
        if name in self.enterprise:
            return [self.enterprise[name][0]]
        user = self.users.get(name)
        if user is None or user.authentication != "PASSWORD":
            return []
        self.end_rollover(user)
        return [password for password in (user.password, user.old_password) if password is not None]

    def _admit(self, user: User | None, accepted: frozenset[str]) -> str | None:
        wrong = (
            "invalid credential or not authorized; logon denied"
            if self.version >= (23,)
            else "invalid username/password; logon denied"
        )
        if user is None:
            raise OracleError(1017, wrong)
        if user.timed and self.now() >= user.locked_at + self._lock_days(user) * DAY:
            user.locked = user.timed = False
            user.failed = 0
        if user.locked:
            raise OracleError(28000, "The account is locked.")
        if not accepted & frozenset(self.passwords(user.name)):
            user.failed += 1
            limit = self.limit(user.profile, "FAILED_LOGIN_ATTEMPTS")
            if limit != UNLIMITED and user.failed >= int(limit):
                user.locked, user.timed, user.locked_at = True, True, self.now()
            raise OracleError(1017, wrong)
        user.failed = 0
        if user.expired:
            raise OracleError(28001, "The account has expired.")
        if not self.may(user.name, "CREATE SESSION"):
            raise OracleError(1045, f"Login denied. User {user.name} does not have CREATE SESSION privilege.")
        return "ORA-28002: the password will expire within 7 days" if user.grace else None

    # Passwords

    def limit(self, profile: str, name: str) -> str:
        """Return a limit of a profile, and what it is by default where the profile says DEFAULT."""
        value = self.profiles[profile].get(name, "DEFAULT")
        return self.profiles[DEFAULT_PROFILE][name] if value == "DEFAULT" else value

    def shown_limit(self, profile: str, name: str) -> str:
        """Return a limit as a dictionary view shows it: a fraction has no zero in front, and the territory's mark."""
        value = self.limit(profile, name)
        return f"{float(value):.4f}".lstrip("0").rstrip("0").replace(".", self.decimal) if "." in value else value

    def _lock_days(self, user: User) -> float:
        """Return how long failed logins lock a user: for ever, if that is unlimited."""
        limit = self.limit(user.profile, "PASSWORD_LOCK_TIME")
        return float("inf") if limit == UNLIMITED else float(limit)

    @property
    def has_rollover(self) -> bool:
        """Whether this version knows gradual rollover."""
        return self.version >= FIRST_WITH_ROLLOVER

    def rollover_days(self, user: User) -> float:
        """Return how long a user's old password stays."""
        return float(self.limit(user.profile, ROLLOVER)) if self.has_rollover else 0.0

    def end_rollover(self, user: User) -> None:
        """End the rollover period where its time is over."""
        since = user.rollover_since
        if since is not None and self.now() >= since + self.rollover_days(user) * DAY:
            user.old_password = user.rollover_since = None

    def set_password(self, user: User, password: str, old: str | None, *, expire: bool = False) -> None:
        """Give a user a password, as ALTER USER and OCIPasswordChange do. Raises OracleError."""
        self.require_fit(user.name, user.profile, password, old)
        bounded = {self.limit(user.profile, f"PASSWORD_REUSE_{what}") for what in ("TIME", "MAX")} != {UNLIMITED}
        if bounded and password in (*user.history, user.password):
            raise OracleError(28007, "The password cannot be reused.")
        self.end_rollover(user)
        user.history.append(user.password)
        if user.rollover_since is None and self.rollover_days(user) and user.authentication == "PASSWORD":
            user.old_password, user.rollover_since = user.password, self.now()
        user.password, user.authentication, user.expired, user.grace = password, "PASSWORD", False, False
        if expire:
            user.old_password = user.rollover_since = None

    def require_fit(self, name: str, profile: str, password: str, old: str | None) -> None:
        """Hold a password against length and verify function."""
        longest = LONG_PASSWORD if self.version >= FIRST_WITH_LONG_PASSWORDS else SHORT_PASSWORD
        if not password or len(password.encode()) > longest:
            raise OracleError(972, "identifier is too long") if password else OracleError(988, "missing password")
        function = VERIFY_FUNCTIONS.get(self.limit(profile, "PASSWORD_VERIFY_FUNCTION"))
        problem = function.problem(password, (name, self.sid, "oracle"), old) if function else ""
        if problem:
            raise OracleError(28003, f"Password verification failed.\n{problem}")

    def status(self, user: User) -> str:
        """Return a user's account_status."""
        parts = [
            *(["EXPIRED"] if user.expired else ["EXPIRED(GRACE)"] if user.grace else []),
            *(["LOCKED(TIMED)" if user.timed else "LOCKED"] if user.locked else []),
        ]
        rolling = ["IN ROLLOVER"] if user.rollover_since is not None else []
        return " & ".join([*(parts or ["OPEN"]), *rolling])

    # Rights

    def enabled(self, grantee: str) -> frozenset[str]:
        """Return the grantee, PUBLIC, and the roles that a session of it has by default, through other roles too."""
        user = self.users.get(grantee)
        found, open_ = {PUBLIC}, [grantee]
        while open_:
            one = open_.pop()
            found.add(one)
            roles = {role for who, role in self.role_grants if who == one}
            if one == grantee and user and user.default_roles is not None:
                roles &= user.default_roles
            open_ += roles - found
        return frozenset(found)

    def may(self, grantee: str, privilege: str, *, admin: bool = False) -> bool:
        """Tell whether a session of the user has a system privilege, or may pass it on."""
        return any(
            self.system_grants.get((who, privilege), False) or (not admin and (who, privilege) in self.system_grants)
            for who in self.enabled(grantee)
        )

    def require(self, grantee: str, *privileges: str) -> None:
        """Raise ORA-01031 where the user has none of these privileges."""
        if not any(self.may(grantee, privilege) for privilege in privileges):
            raise OracleError(1031, "insufficient privileges")

    def held_on(self, grantee: str, owner: str, item: str) -> dict[str, bool]:
        """Return a user's privileges on an object, and whether it may pass them on."""
        found: dict[str, bool] = {}
        who = self.enabled(grantee)
        for held, options in self.object_grants.items():
            if held.grantee in who and (held.owner, held.item) == (owner, item):
                found[held.privilege] = found.get(held.privilege, False) or options.grantable
        return found

    def may_use(self, grantee: str, owner: str, item: str, *privileges: str) -> bool:
        """Tell whether a user has one of these privileges on an object, in whatever way."""
        if grantee == owner or any(p in self.held_on(grantee, owner, item) for p in privileges):
            return True
        kinds = {f"{privilege} ANY TABLE" for privilege in privileges}
        everywhere = any(self.may(grantee, kind) for kind in kinds if owner != SYS or kind not in NOT_FOR_SYS)
        in_schema = any((who, kind, owner) in self.schema_grants for who in self.enabled(grantee) for kind in kinds)
        return everywhere or in_schema

    def find(self, session_user: str, schema: str, owner: str | None, item: str) -> tuple[str, str]:
        """Return the object that a name stands for; to a user that has no right to it, it is not there."""
        for place in [(owner, item)] if owner else [(schema, item), (PUBLIC, item)]:
            target = place
            while target in self.synonyms:
                if link := self.synonyms[target][2]:
                    raise self._remote(session_user, link)
                target = self.synonyms[target][:2]
            if target in self.objects and (
                target[0] == session_user
                or self.held_on(session_user, *target)
                or self.may_use(session_user, *target, "SELECT", "READ", "INSERT", "UPDATE", "DELETE", "ALTER")
                or (target[0] != SYS and self.may(session_user, "GRANT ANY OBJECT PRIVILEGE"))
            ):
                return target
        raise self._unknown(owner or schema, item)

    def _remote(self, session_user: str, link: str) -> OracleError:
        """Return what ends a query over a link: a session has its user's own, and public ones; all lead nowhere."""
        if (session_user, link) in self.links or (PUBLIC, link) in self.links:
            return OracleError(12545, "Connect failed because target host or object does not exist")
        return OracleError(2019, "connection description for remote database not found")

    def _unknown(self, owner: str, item: str) -> OracleError:
        named = f'"{owner}"."{item}" ' if self.version >= (23,) else ""
        return OracleError(942, f"table or view {named}does not exist")

    def user(self, name: str) -> User:
        """Return a user. Raises ORA-01918."""
        if name not in self.users:
            raise OracleError(1918, f"user '{name}' does not exist")
        return self.users[name]

    def grantee(self, name: str) -> str:
        """Return the name of somebody who can be granted something. Raises ORA-01917."""
        if name not in self.users and name not in self.roles and name != PUBLIC:
            raise OracleError(1917, f"user or role '{name}' does not exist")
        return name

    def revoke_object(self, right: tuple[str, str, str, str], revoker: str, *, anybody: bool) -> None:
        """Take an object privilege, told by grantee, owner, object and privilege, and what was granted by means of it.

        With it goes the one on columns. The revoker takes what it granted itself; an admin by GRANT ANY OBJECT
        PRIVILEGE, too, what the owner granted, or somebody in the owner's name
        (https://docs.oracle.com/en/database/oracle/oracle-database/19/sqlrf/REVOKE.html, "Prerequisites").
        """
        who, owner, item, privilege = right
        grantors = {revoker, owner} if anybody else {revoker}
        taken = [
            held
            for held in self.object_grants
            if (held.grantee, held.owner, held.item, held.privilege) == right and held.grantor in grantors
        ]
        if not taken:
            raise OracleError(1927, "cannot REVOKE privileges you did not grant")
        for held in taken:
            self.object_grants.pop(held, None)
        for held in [*self.object_grants]:
            if (held.grantor, held.owner, held.item, held.privilege) == right:
                self.revoke_object((held.grantee, owner, item, privilege), who, anybody=False)

    def forget(self, name: str) -> None:
        """Drop a user with all that it has."""
        self.users.pop(name, None)
        for grants in (self.system_grants, self.schema_grants, self.role_grants):
            for key in [key for key in grants if key[0] == name]:
                del grants[key]  # type: ignore[arg-type]
        for held in [held for held in self.object_grants if name in (held.grantee, held.grantor, held.owner)]:
            del self.object_grants[held]
        for pair in [pair for pair in self.connections if name in pair]:
            del self.connections[pair]
        self.inherited = {pair for pair in self.inherited if name not in pair}
        for place in [place for place in self.triggers if place[0] == name]:
            del self.triggers[place]
        for place in [place for place in (*self.objects, *self.synonyms, *self.links) if place[0] == name]:
            self.objects.pop(place, None)
            self.links.pop(place, None)
            self.synonyms.pop(place, None)
            self.rows.pop(place, None)

    def log(self, who: str, statement: str, number: int, program: str = "") -> None:
        """Keep a statement in the audit trail, as the server does: without passwords."""
        self.audit.append(f"{who} {number} {masked(statement)}")
        self.statements.append((program, who, masked(statement)))

    def written(self, schema: str, name: str) -> tuple[str, str] | None:
        """Return what a name alone stands for, if a user wrote that: in the current schema, or as a public synonym.

        So it is for tables and for the first part of a package's name
        (https://docs.oracle.com/en/database/oracle/oracle-database/19/admin/managing-schema-objects.html, "Managing
        Object Name Resolution"). That it be so for a function of SQL itself no page says, and none says the contrary.
        """
        if schema == SYS and name in NAMES_OF_SYS:
            return None
        for place in ((schema, name), (PUBLIC, name)):
            if place[0] != SYS and (place in self.objects or place in self.synonyms):
                return place
        return None

    def spring(self, who: str, place: tuple[str, str]) -> None:
        """Note that a session has run what a user wrote, with invoker's rights. Raises ORA-06598.

        Code of that sort may do nothing for who has not let its owner inherit privileges, which PUBLIC may unless it is
        taken away (https://docs.oracle.com/en/database/oracle/oracle-database/19/dbseg/managing-security-for-definer-rights-and-invoker-rights.html).
        """
        owner = self.synonyms.get(place, place)[0]
        if owner != who and not {(who, owner), (who, PUBLIC)} & self.inherited:
            raise OracleError(6598, "insufficient INHERIT PRIVILEGES privilege")
        self.sprung.append((who, ".".join(place)))

    def fire(self, who: str, event: str, statement: str = "") -> list[tuple[str, str]]:
        """Run the triggers of an event, with their owners' rights; return what they set in the session.

        They may read the statement (https://docs.oracle.com/en/database/oracle/oracle-database/19/lnpls/plsql-triggers.html,
        ORA_SQL_TXT). Whether it holds a password no page says: here it does.
        """
        fired = [trigger for trigger in self.triggers.values() if trigger.is_fired_by(who, event)]
        self.read += [(f"{trigger.owner}.{trigger.name}", statement) for trigger in fired]
        for number in (trigger.raises for trigger in fired if trigger.raises):
            raised = OracleError(number, "not here")
            raise OracleError(604, f"error occurred at recursive SQL level 1\n{raised}\nORA-06512: at line 2")
        return [setting for trigger in fired for setting in trigger.settings]

    def strings(self) -> Iterator[str]:
        """Yield the audit trail."""
        yield from self.audit
