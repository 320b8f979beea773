"""What is known of PostgreSQL before anybody connects to it?"""

from rotation.kind import EngineKind, Strategy


def reset_statement(username: str) -> str:
    """Return the statement that gives a role another password."""
    return f"ALTER ROLE {_quoted(username)} PASSWORD '***'"


def lasting_statement(username: str) -> str:
    """Return the statement that lets a role log in, whatever the date until which its password was valid."""
    return f"ALTER ROLE {_quoted(username)} VALID UNTIL 'infinity'"


def _quoted(username: str) -> str:
    return '"' + username.replace('"', '""') + '"'


KIND = EngineKind(
    name="PostgreSQL",
    engine_values=frozenset({"postgres", "aurora-postgresql"}),
    default_port=5432,
    default_database="postgres",
    # NAMEDATALEN - 1, in bytes; the server cuts longer names off without an error.
    username_limit=63,
    username_length=lambda name: len(name.encode()),
    password_limit=128,
    clone_sees_rights=True,
    reset_statement=reset_statement,
    lasting_statement=lasting_statement,
    strategies=frozenset({Strategy.SINGLE_USER, Strategy.ALTERNATING_USERS}),
)
