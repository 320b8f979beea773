"""What is known of a kind of database before anybody connects to it?"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class Strategy(StrEnum):
    """How a password is replaced; the values are what `"rotation": {"strategy": …}` in a secret says."""

    SINGLE_USER = "single-user"
    ALTERNATING_USERS = "alternating-users"
    DUAL_PASSWORD = "dual-password"  # noqa: S105 - the name of a strategy, not a password


@dataclass(frozen=True, kw_only=True)
class EngineKind:
    """The facts of one engine that a secret's JSON is checked against."""

    name: str
    """The engine's own name, for people."""
    engine_values: frozenset[str]
    """What RDS, and so the secret, calls it."""
    default_port: int
    default_database: str | None
    """Where to connect when the secret has no `dbname`; None where a connection needs no database."""
    username_limit: int
    """How long a user name may be, as `username_length` measures it."""
    username_length: Callable[[str], int] = len
    """Counts the characters of a name, or what else the engine counts."""
    password_limit: int
    """The longest password, in characters."""
    unusable_in_passwords: str = ""
    """Characters that a password must not hold on this engine, whatever the operator's policy says."""
    strategies: frozenset[Strategy]
    dual_password_needs_version: bool = False
    """Whether some versions that are in use cannot give a user a second password."""
    dual_password_needs_admin: bool = False
    """Whether only an admin can give a user a second password."""
