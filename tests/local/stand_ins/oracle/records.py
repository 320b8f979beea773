"""What does the stand-in for Oracle keep of a user, a trigger, a grant and a proxy?"""

from dataclasses import dataclass, field

from tests.local.stand_ins.oracle.vocabulary import DEFAULT_GROUP, DEFAULT_PROFILE


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
