"""What is known of a kind of database before anybody connects to it?"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class Strategy(StrEnum):
    """How a password is replaced; the values are what `"rotation": {"strategy": …}` in a secret says."""

    SINGLE_USER = "single-user"
    ALTERNATING_USERS = "alternating-users"
    DUAL_PASSWORD = "dual-password"  # noqa: S105 - the name of a strategy, not a password


CLONE_SUFFIX = "_clone"
"""AWS's templates name the second user so; secrets written for them must rotate here unchanged."""


def counterpart(username: str) -> str:
    """Return the other user of the pair."""
    return username.removesuffix(CLONE_SUFFIX) if username.endswith(CLONE_SUFFIX) else username + CLONE_SUFFIX


@dataclass(frozen=True, kw_only=True)
class EngineKind:
    """The facts of one engine that a secret's JSON is checked against."""

    name: str
    """The engine's own name, for people."""
    engine_values: frozenset[str]
    """What RDS, and so the secret, calls it."""
    default_port: int
    default_database: str | None
    """Where to connect when the secret has no `dbname`; None where there is no such database."""
    tls_has_own_port: bool = False
    """Whether a server has two ports, one of them for TLS: RDS's API tells the other one only."""
    needs_database: bool = False
    """Whether a secret must say `dbname`: there is no default, and no connection without."""
    admin_needs_database: bool = True
    """Whether an admin must be logged in to the user's database, which somebody else may own, to change the user."""
    username_limit: int
    """How long a user name may be, as `username_length` measures it."""
    username_length: Callable[[str], int] = len
    """Counts the characters of a name, or what else the engine counts."""
    normal_name: Callable[[str], str] = str
    """Returns a user's name as the server keeps it: names of which it makes the same are one user's."""
    counterpart: Callable[[str], str] = counterpart
    """Returns the other user of an alternating pair."""
    password_limit: int
    """The longest password, in characters."""
    unusable_in_passwords: str = ""
    """Characters that a password must not hold on this engine, whatever the operator's policy says."""
    strategies: frozenset[Strategy]
    clone_sees_rights: bool = False
    """Whether any user may call `Session.differences` about itself; else only an admin may."""
    clone_may_lack_mark: bool = False
    """Whether some servers of this kind refuse the mark of a clone, so that its password is all that proves it."""
    dual_password_needs_version: bool = False
    """Whether some versions that are in use cannot give a user a second password."""
    dual_password_needs_admin: bool = False
    """Whether only an admin can give a user a second password."""
