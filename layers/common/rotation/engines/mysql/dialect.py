"""In what do MySQL and MariaDB differ for who logs in, and where do they keep their accounts?"""

from collections.abc import Mapping
from typing import Final

from rotation.engines.driver import Problem
from rotation.engines.mysql.kind import KIND
from rotation.engines.mysql.problems import LOGIN_PROBLEMS
from rotation.engines.other_engine import MARIADB
from rotation.kind import EngineKind
from rotation.values import dataclass


@dataclass(frozen=True)
class Dialect:
    """What a login must know of the kind of server."""

    kind: EngineKind
    sibling: str
    """The name of the other kind. A server that does not know one of the `limits` is one of those."""
    limits: str
    """The settings that limit how long the server takes for a statement; a few of them are a year otherwise."""
    login_problems: Mapping[int, Problem]
    sql_mode: str
    """Of a session of ours. A backslash escapes in it."""
    more_settings: str
    """What else a session of ours sets, after a comma, that the sibling does not know."""
    accounts: str
    """The query for what is read of accounts, a row each."""
    greeted_as: bool
    """Whether this kind says MariaDB in its greeting. A proxy can greet for it, and then says what it likes."""


LIMITS: Final = "lock_wait_timeout = {seconds}, innodb_lock_wait_timeout = {seconds}"
"""For locks of tables and rows: the defaults are a year, and 50 seconds."""

MYSQL: Final = Dialect(
    kind=KIND,
    sibling=MARIADB,
    limits=f"{LIMITS}, max_execution_time = {{seconds}}000",  # in milliseconds; for SELECT alone
    login_problems=LOGIN_PROBLEMS,
    sql_mode="",
    more_settings="",
    accounts="SELECT * FROM mysql.user",
    greeted_as=False,
)
