"""What does the stand-in for Oracle know, and by which rules do its passwords and rights change?

The rules are those of Oracle's SQL Language Reference and Security Guide, as far as a rotation needs them: logins and
locks, profiles with history, verify functions and gradual rollover, system, object, column and schema privileges with
their options and grantors, roles and default roles, quotas, proxies, consumer groups. It has no code of Oracle's, and
was never compared with a real server.
"""

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.local.stand_ins.oracle.records import Connection, Held, Options, Trigger, User
from tests.local.stand_ins.oracle.sql import OracleError, masked
from tests.local.stand_ins.oracle.verify import VERIFY_FUNCTIONS
from tests.local.stand_ins.oracle.vocabulary import (
    CATALOG,
    DAY,
    DBA,
    DEFAULT_GROUP,
    DEFAULT_PROFILE,
    FIRST_WITH_LONG_PASSWORDS,
    FIRST_WITH_ROLLOVER,
    LIMITS,
    LONG_PASSWORD,
    NAMES_OF_SYS,
    NOT_FOR_SYS,
    PUBLIC,
    ROLLOVER,
    SHORT_PASSWORD,
    SYS,
    SYSTEM_PRIVILEGES,
    UNLIMITED,
    VIEWS_ABOUT_NAMES,
)

__all__ = ["Database", "User"]


@dataclass(repr=False)
class Database:
    """A pluggable database: users, roles, objects. Each write is committed at once."""

    version: tuple[int, ...] = (23, 9, 0, 0, 0)
    service: str = "FREEPDB1"
    container: str = "FREEPDB1"
    sid: str = "FREE"
    """The name of the database, and of its instance."""
    unique_name: str = "FREE"
    role: str = "PRIMARY"
    """PRIMARY, or PHYSICAL STANDBY: open for queries, and for nothing else."""
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
    """The database links, by owner (or PUBLIC) and name: the user, and the host."""
    named: dict[str, list[dict[str, str | int | None]]] = field(default_factory=dict)
    """The rows of VIEWS_ABOUT_NAMES. The database lacks a view that is not in it."""
    rows: dict[tuple[str, str], list[tuple[object, ...]]] = field(default_factory=dict)
    synonyms: dict[tuple[str, str], tuple[str, str, str]] = field(default_factory=dict)
    system_grants: dict[tuple[str, str], bool] = field(default_factory=dict)
    schema_grants: dict[tuple[str, str, str], bool] = field(default_factory=dict)
    role_grants: dict[tuple[str, str], bool] = field(default_factory=dict)
    role_delegates: set[tuple[str, str]] = field(default_factory=set)
    object_grants: dict[Held, Options] = field(default_factory=dict)
    inherited: set[tuple[str, str]] = field(default_factory=set)
    """INHERIT PRIVILEGES ON USER: a user, and the grantee whose code can use that user's rights."""
    connections: dict[tuple[str, str], Connection] = field(default_factory=dict)
    """Each proxy connection, by client and proxy."""
    audit: list[str] = field(default_factory=list)
    has_clock_of_seconds: bool = False
    """Whether a profile with a history refuses the second change of a password within a second."""
    withheld: float = 0.0
    """How many seconds of real time the answer to a failed login is held back."""
    keeps_out: tuple[int, str] | None = None
    """The error that ends each login with the right password."""
    hanging: list[str] = field(default_factory=list)
    """The statements that never end, unless the client cancels them."""
    decimal: str = "."
    """The decimal separator: the first of NLS_NUMERIC_CHARACTERS, a comma in most of Europe."""
    elapsed: float = 0.0
    """How much later than the real time it is. Tests change this."""
    pending_area: dict[str, str] | None = None
    enterprise: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Each user of a directory: the password, and the shared schema."""
    triggers: dict[tuple[str, str], Trigger] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(100))
    sprung: list[tuple[str, str]] = field(default_factory=list)
    """Each use of an object that a user wrote: the user of the session, and the object."""
    read: list[tuple[str, str]] = field(default_factory=list)
    """The name of each trigger that fired, and the statement that it read."""
    refuses: dict[str, tuple[int, str]] = field(default_factory=dict)
    """The error for statements that begin with a text."""
    statements: list[tuple[str, str, str]] = field(default_factory=list)
    """Each statement, without passwords, with its program and user."""

    def __post_init__(self) -> None:
        """Create what every database has."""
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

    def passwords(self, name: str) -> list[str]:
        """Return the passwords that a user can log in with now."""
        if name in self.enterprise:
            return [self.enterprise[name][0]]
        user = self.users.get(name)
        if user is None or user.authentication != "PASSWORD":
            return []
        self.end_rollover(user)
        return [password for password in (user.password, user.old_password) if password is not None]

    # Passwords

    def limit(self, profile: str, name: str) -> str:
        """Return a limit of a profile, or the one of the profile DEFAULT."""
        value = self.profiles[profile].get(name, "DEFAULT")
        return self.profiles[DEFAULT_PROFILE][name] if value == "DEFAULT" else value

    def shown_limit(self, profile: str, name: str) -> str:
        """Return a limit as a dictionary view shows it: a fraction without the zero, with the decimal separator."""
        value = self.limit(profile, name)
        return f"{float(value):.4f}".lstrip("0").rstrip("0").replace(".", self.decimal) if "." in value else value

    @property
    def has_rollover(self) -> bool:
        """Whether this version has gradual rollover."""
        return self.version >= FIRST_WITH_ROLLOVER

    def rollover_days(self, user: User) -> float:
        """Return how many days a user's old password stays valid."""
        return float(self.limit(user.profile, ROLLOVER)) if self.has_rollover else 0.0

    def end_rollover(self, user: User) -> None:
        """End the rollover period if its time is over."""
        since = user.rollover_since
        if since is not None and self.now() >= since + self.rollover_days(user) * DAY:
            user.old_password = user.rollover_since = None

    def set_password(self, user: User, password: str, old: str | None, *, expire: bool = False) -> None:
        """Give a user a password, as ALTER USER and OCIPasswordChange do. Raises OracleError."""
        if user.common:
            raise OracleError(65066, "The specified changes must apply to all containers")
        self.require_fit(user.name, user.profile, password, old)
        bounded = {self.limit(user.profile, f"PASSWORD_REUSE_{what}") for what in ("TIME", "MAX")} != {UNLIMITED}
        if bounded and password in (*user.history, user.password):
            raise OracleError(28007, "The password cannot be reused.")
        if bounded and self.has_clock_of_seconds and self.now() < user.changed_at + 1:
            raise OracleError(28007, "The password cannot be reused.")
        self.end_rollover(user)
        user.history.append(user.password)
        if user.expired:  # an expired password is gone with its change, and so is the one before it
            user.old_password = user.rollover_since = None
        elif user.rollover_since is None and self.rollover_days(user) and user.authentication == "PASSWORD":
            user.old_password, user.rollover_since = user.password, self.now()
        user.password, user.authentication, user.expired, user.grace = password, "PASSWORD", False, ""
        user.changed_at = self.now()
        if expire:
            user.old_password = user.rollover_since = None

    def require_fit(self, name: str, profile: str, password: str, old: str | None) -> None:
        """Check length and verify function. Raises OracleError."""
        longest = LONG_PASSWORD if self.version >= FIRST_WITH_LONG_PASSWORDS else SHORT_PASSWORD
        if not password or len(password.encode()) > longest:
            raise OracleError(972, "identifier is too long") if password else OracleError(988, "missing password")
        function = VERIFY_FUNCTIONS.get(self.limit(profile, "PASSWORD_VERIFY_FUNCTION"))
        problem = function.problem(password, (name, self.sid, "oracle"), old) if function else ""
        if problem:
            raise OracleError(28003, f"Password verification failed.\n{problem}")

    def status(self, user: User) -> str:
        """Return the ACCOUNT_STATUS of a user."""
        parts = [
            *(["EXPIRED"] if user.expired else ["EXPIRED(GRACE)"] if user.grace else []),
            *(["LOCKED(TIMED)" if user.timed else "LOCKED"] if user.locked else []),
        ]
        rolling = ["IN ROLLOVER"] if user.rollover_since is not None else []
        return " & ".join([*(parts or ["OPEN"]), *rolling])

    # Rights

    def enabled(self, grantee: str) -> frozenset[str]:
        """Return the grantee, PUBLIC, and the roles that are enabled by default, also through other roles."""
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
        """Tell whether a user has a system privilege, or with `admin`, whether the user may grant it."""
        return any(
            self.system_grants.get((who, privilege), False) or (not admin and (who, privilege) in self.system_grants)
            for who in self.enabled(grantee)
        )

    def require(self, grantee: str, *privileges: str) -> None:
        """Raise ORA-01031 if the user has none of these privileges."""
        if not any(self.may(grantee, privilege) for privilege in privileges):
            raise OracleError(1031, "insufficient privileges")

    def held_on(self, grantee: str, owner: str, item: str) -> dict[str, bool]:
        """Return a user's privileges on an object, and whether the user may grant them."""
        found: dict[str, bool] = {}
        who = self.enabled(grantee)
        for held, options in self.object_grants.items():
            if held.grantee in who and (held.owner, held.item) == (owner, item):
                found[held.privilege] = found.get(held.privilege, False) or options.grantable
        return found

    def may_use(self, grantee: str, owner: str, item: str, *privileges: str) -> bool:
        """Tell whether a user has one of these privileges on an object, its schema, or everywhere."""
        if grantee == owner or any(p in self.held_on(grantee, owner, item) for p in privileges):
            return True
        kinds = {f"{privilege} ANY TABLE" for privilege in privileges}
        everywhere = any(self.may(grantee, kind) for kind in kinds if owner != SYS or kind not in NOT_FOR_SYS)
        in_schema = any((who, kind, owner) in self.schema_grants for who in self.enabled(grantee) for kind in kinds)
        return everywhere or in_schema

    def find(self, session_user: str, schema: str, owner: str | None, item: str) -> tuple[str, str]:
        """Return the object that a name stands for. A user without rights on it gets ORA-00942."""
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
        """Return the error of a query over a link. It can use the user's links and public ones; no host exists."""
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
        """Return the name of a user or role. Raises ORA-01917."""
        if name not in self.users and name not in self.roles and name != PUBLIC:
            raise OracleError(1917, f"user or role '{name}' does not exist")
        return name

    def revoke_object(self, right: tuple[str, str, str, str], revoker: str, *, anybody: bool) -> None:
        """Revoke an object privilege (grantee, owner, object, privilege), and what was granted because of it.

        This includes privileges on columns. The revoker revokes its own grants. An admin with GRANT ANY OBJECT
        PRIVILEGE (`anybody`) also revokes grants of the owner, or in the owner's name
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
        """Drop a user, with all objects and rights."""
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
        """Write a statement to the audit trail, without passwords, as the server does."""
        self.audit.append(f"{who} {number} {masked(statement)}")
        self.statements.append((program, who, masked(statement)))

    def written(self, schema: str, name: str) -> tuple[str, str] | None:
        """Return what an unqualified name stands for, if a user wrote it: in the current schema, or a public synonym.

        Oracle documents this for tables and for the first part of a package's name
        (https://docs.oracle.com/en/database/oracle/oracle-database/19/admin/managing-schema-objects.html, "Managing
        Object Name Resolution"). For a function of SQL itself, no page says so, and no page denies it.
        """
        if schema == SYS and name in NAMES_OF_SYS:
            return None
        for place in ((schema, name), (PUBLIC, name)):
            if place[0] != SYS and (place in self.objects or place in self.synonyms):
                return place
        return None

    def spring(self, who: str, place: tuple[str, str]) -> None:
        """Record that a session ran code of a user, with invoker's rights. Raises ORA-06598.

        Such code needs INHERIT PRIVILEGES on the user of the session. PUBLIC has it until it is revoked
        (https://docs.oracle.com/en/database/oracle/oracle-database/19/dbseg/managing-security-for-definer-rights-and-invoker-rights.html).
        """
        owner = self.synonyms.get(place, place)[0]
        if owner != who and not {(who, owner), (who, PUBLIC)} & self.inherited:
            raise OracleError(6598, "insufficient INHERIT PRIVILEGES privilege")
        self.sprung.append((who, ".".join(place)))

    def fire(self, who: str, event: str, statement: str = "") -> list[tuple[str, str]]:
        """Run the triggers of an event, with the rights of their owners; return the settings that they change.

        They can read the statement (https://docs.oracle.com/en/database/oracle/oracle-database/19/lnpls/plsql-triggers.html,
        ORA_SQL_TXT). No page says whether it contains a password. Here it does.
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
