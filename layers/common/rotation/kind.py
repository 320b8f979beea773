"""What is known of a kind of database before anybody connects?"""

from collections.abc import Callable
from enum import StrEnum

from rotation.values import dataclass


class Strategy(StrEnum):
    """How a password is replaced; by the names of `"rotation": {"strategy": …}` in a secret."""

    SINGLE_USER = "single-user"
    ALTERNATING_USERS = "alternating-users"
    DUAL_PASSWORD = "dual-password"  # noqa: S105 - the name of a strategy, not a password


CLONE_SUFFIX = "_clone"
"""AWS's templates name the second user with it, and secrets written for them must rotate here unchanged."""


def counterpart(username: str) -> str:
    """Return the other user of the pair."""
    return username.removesuffix(CLONE_SUFFIX) if username.endswith(CLONE_SUFFIX) else username + CLONE_SUFFIX


@dataclass(frozen=True, kw_only=True)
class EngineKind:
    """The facts of one engine; a secret's JSON is checked against them."""

    name: str
    """The name of the engine, for people."""
    engine_values: frozenset[str]
    """The names of the engine in RDS, and so in the secret."""
    default_port: int
    default_database: str | None
    """Where to connect if the secret has no `dbname`; None if there is no such database."""
    tls_has_own_port: bool = False
    """Whether a server has a port for TLS and one without; RDS's API returns only the one without."""
    needs_database: bool = False
    """Whether a secret must have `dbname`: there is no default, and no connection without one."""
    admin_needs_database: bool = True
    """Whether an admin must log in to the user's database, which somebody else can own, to change the user."""
    username_limit: int
    """The longest user name, as `username_length` measures it."""
    username_length: Callable[[str], int] = len
    """Counts what the engine counts of a name: characters, or bytes."""
    normal_name: Callable[[str], str] = str
    """Returns a user's name as the server keeps it: two names with the same result are one user."""
    counterpart: Callable[[str], str] = counterpart
    """Returns the other user of an alternating pair."""
    password_limit: int
    """The longest password, in characters."""
    unusable_in_passwords: str = ""
    """Characters that no password can have on this engine, whatever the operator's policy says."""
    strategies: frozenset[Strategy]
    reset_statement: Callable[[str], str]
    """Returns the statement with which an admin gives a user of this name another password, which is *** in it."""
    lasting_statement: Callable[[str], str] | None = None
    """Returns the statement that lets the password of a user of this name never expire, if the server refuses one that
    has expired as if it were wrong."""
    unshared_kinds: frozenset[str] = frozenset()
    """What alternating users cannot share on this engine; a secret can accept each by this word."""
    clone_sees_rights: bool = False
    """Whether every user can call `Session.differences` about itself; else only an admin can."""
    clone_may_lack_mark: bool = False
    """Whether some servers of this kind refuse the mark of a clone: then only its password proves it."""
    shows_password_rules: bool = False
    """Whether createSecret logs in to read what the server asks of passwords: the sessions are
    `rotation.engine.ShowsPasswordRules`."""
    admin_sees_passwords: bool = False
    """Whether an admin's session can be one of `rotation.engine.SeesPasswords`."""
    admin_sees_accounts: bool = False
    """Whether a name can have accounts, and an account passwords, that only an admin sees: if one is named, it acts."""
    dual_password_needs_version: bool = False
    """Whether some versions in use cannot give a user a second password."""
    dual_password_needs_admin: bool = False
    """Whether only an admin can give a user a second password."""
