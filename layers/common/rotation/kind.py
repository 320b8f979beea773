"""What is known of a kind of database before anybody connects to it?"""

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
    """The longest user name, in bytes of UTF-8."""
    password_limit: int
    """The longest password, in characters."""
    unusable_in_passwords: str = ""
    """Characters that a password must not hold on this engine, whatever the operator's policy says."""
    strategies: frozenset[Strategy]
