"""What is known of Db2 before anybody connects?"""

import re
from typing import Final

from rotation.kind import CLONE_SUFFIX, EngineKind, Strategy

CREDENTIAL_BYTES: Final = 255
"""The longest user name or password that IBM's client takes (tried: one byte more is CLI0124E)."""

NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
"""Names that can be passed to RDS's procedures: some of these take a list of names, as one text."""


def normal_name(name: str) -> str:
    """Return a name as the catalog has it: Db2 folds the names of users and groups to upper case."""
    return name.upper()


def counterpart(username: str) -> str:
    """Return the other user of a pair. The case of the suffix makes no difference, because it makes none to Db2."""
    if normal_name(username).endswith(normal_name(CLONE_SUFFIX)):
        return username[: -len(CLONE_SUFFIX)]
    return username + CLONE_SUFFIX


def granted(username: str) -> str:
    """Return a user's name as GRANT takes it: in quotes, unless it is plain."""
    return username if NAME.fullmatch(username) else '"' + normal_name(username).replace('"', '""') + '"'


def reset_statement(username: str) -> str:
    """Return the call, in the database RDSADMIN, that gives a user another password."""
    name = username.replace("'", "''")
    return f"CALL RDSADMIN.CHANGE_PASSWORD('{name}', '***')"


KIND: Final = EngineKind(
    name="Db2",
    engine_values=frozenset({"db2", "db2-se", "db2-ae", "db2-ce"}),
    default_port=50000,
    default_database=None,
    tls_has_own_port=True,
    needs_database=True,
    # RDS documents this limit for the master user only. AWS's rotation template applies it to all users.
    username_limit=16,
    normal_name=normal_name,
    counterpart=counterpart,
    # https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateDBInstance.html, MasterUserPassword.
    password_limit=CREDENTIAL_BYTES,
    unusable_in_passwords=";",  # ends a value in a connection string; see `connection.connection_string`
    reset_statement=reset_statement,
    strategies=frozenset({Strategy.SINGLE_USER, Strategy.ALTERNATING_USERS}),
    unshared_kinds=frozenset(
        {"audit policies", "schemas", "trusted contexts", "user mappings", "workloads", "xsr objects"}
    ),
)
