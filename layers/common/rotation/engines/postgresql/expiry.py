"""Has the password of a role expired?

A server answers an expired password (VALID UNTIL) as it answers a wrong one, and writes the difference into its log
alone (get_role_password in PostgreSQL's src/backend/libpq/crypt.c). Everybody who is logged in can see the date.
"""

from rotation.engines.postgresql.connection import PostgreSQLConnection
from rotation.engines.postgresql.questions import Question
from rotation.engines.postgresql.roles import quoted
from rotation.errors import LoginBlocked

EXPIRED = "SELECT rolvaliduntil::text FROM pg_roles WHERE rolname = %s AND rolvaliduntil <= now()"


def about_expiry(username: str) -> Question:
    """Return what `require_valid` asks."""
    return Question(EXPIRED, (username,))


def require_valid(connection: PostgreSQLConnection, username: str) -> None:
    """Raise LoginBlocked if the server takes no password of this role any more, whatever it is."""
    operation = f"looking how long the password of {username} is valid"
    for (date,) in connection.ask(operation, about_expiry(username)):
        cause = f"it was valid until {date}, so the server refuses every password of {username}, the right one too"
        raise LoginBlocked(operation, cause, f"ALTER ROLE {quoted(username)} VALID UNTIL 'infinity', or a date to come")
