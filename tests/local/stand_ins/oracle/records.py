"""What does the stand-in for Oracle store about a user, a trigger, a grant and a proxy connection?"""

from dataclasses import dataclass, field

from tests.local.stand_ins.oracle.vocabulary import DEFAULT_GROUP, DEFAULT_PROFILE, LONGEST_DELAY, MOST_AT_ONCE


@dataclass(frozen=True)
class Trigger:
    """A trigger on the database, or on a schema."""

    owner: str
    name: str
    events: frozenset[str]
    schema: str
    """The owner of the schema that it is on; empty if it is on the database."""
    settings: tuple[tuple[str, str], ...] = ()
    """The settings that it changes in the session that fires it."""
    condition: str = ""
    """Its WHEN clause. The stand-in does not evaluate it."""
    raises: int = 0
    """The number of the error that it raises with RAISE_APPLICATION_ERROR."""

    def is_fired_by(self, user: str, event: str) -> bool:
        """Tell whether this event of a user fires it."""
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
    grace: str = ""
    """The warning of a password that expires soon; empty if it does not."""
    changed_at: float = 0.0
    failed: int = 0
    old_password: str | None = None
    """The password from before the rollover period."""
    rollover_since: float | None = None
    history: list[str] = field(default_factory=list)
    default_roles: frozenset[str] | None = None
    """None means ALL: also roles that are granted later."""
    quotas: dict[str, int] = field(default_factory=dict)
    groups: dict[str, bool] = field(default_factory=dict)
    initial_group: str = DEFAULT_GROUP
    collation: str = "USING_NLS_COMP"
    read_only: bool = False
    number: int = 0

    @property
    def delay(self) -> float:
        """How long the answer to a failed login is held back: from the fourth on, 10 seconds at most.

        Oracle's Security Guide has had a second since 11g; people have measured up to 10. Nobody waits here: it is
        later, in the same instant.
        """
        return float(min(max(self.failed - MOST_AT_ONCE, 0), LONGEST_DELAY))


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
    """The options of an object privilege."""

    grantable: bool = False
    hierarchy: bool = False


@dataclass(frozen=True)
class Connection:
    """A proxy connection: which roles the proxy can enable, and whether it needs the client's password."""

    constraint: str
    roles: frozenset[str]
    authenticated: bool
