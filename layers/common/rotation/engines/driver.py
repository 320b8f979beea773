"""What do all drivers share, once they are connected? What a server's codes mean, what to do about them, `verify`.

How a server is reached is in `rotation.engines.network`.
"""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Final

from rotation.credential import Credential
from rotation.deadline import Deadline
from rotation.environment import boolean
from rotation.errors import RETRIED, DatabaseError, LoginRefused, StatementFailed, Unsafe
from rotation.kind import EngineKind
from rotation.passwords import PasswordPolicy, Rule
from rotation.redaction import concealed, said

CONNECT_SECONDS: Final = 10.0
STATEMENT_SECONDS: Final = 30.0
"""How long a login, and a statement, can take at most; the deadline can allow less."""

# Remedies that are the same on every engine. Each begins with what to do.

NO_ANSWER = "Check that the server is running, and that security groups, routes and the port allow the function"
EXPIRED = "Give the user a new password by hand: it has expired"
POLICY = (
    "Set PASSWORD_LENGTH, PASSWORD_MINIMUM_…, PASSWORD_FORBIDDEN_PARTS or EXCLUDE_… (parameters PasswordLength and so"
    " on) to match the server's password policy"
)
ANOTHER_PASSWORD = "Rotate again: the server can accept another password"  # noqa: S105 - a remedy
REPLICA = (
    'Name the primary in "host", or an admin in "masterarn": this host is a replica, or read-only. While it fails over,'
    f" wait. {RETRIED}"
)
TOO_MANY = "Raise the connection limit of the user, the database or the server, or close connections"
CERTIFICATE = (
    "Give the server a certificate of the RDS authorities for this host that has not expired, or name its own authority"
    " in DB_CA_BUNDLE"
)
HOST_NAME = "Write the host name that the certificate is for into the secret, not an alias"
NO_TLS = 'Switch TLS on at the server, or write "ssl": false into the secret to send everything in clear'
OTHER_TLS = "and let the server speak TLS 1.2 or later, with a cipher of today (on RDS, by parameters of these names)"
NO_BUNDLE = "Correct DB_CA_BUNDLE: it must name a readable PEM file"
WRONG_DATABASE = 'Correct "dbname" in the secret, or grant the user something in that database'
STARTING = f"Wait until the database is up. {RETRIED}"
UNKNOWN_SERVER = "Find out what answers at the host and port of the secret"
NO_REDIRECT = 'Name the database server itself in "host", not a listener that redirects connections'
NO_RDS_PROXY = (
    'Name the endpoint of the database itself in "host", not that of RDS Proxy, which knows no other password than that'
    " of AWSCURRENT; docs/behind-a-proxy.md says more"
)
ADMIN_HOST = 'Correct "host" in the admin secret: it must be the server that the user logs in to'
CORRECT_CAUSE = f"Correct the cause. {RETRIED}"
BUSY = f"Find out what the server is busy with. {RETRIED}"

type Problem = tuple[type[DatabaseError], str]
"""What a server's code means, and what to do about it; an empty remedy leaves it to who sent the statement."""


class ExpectedError(Exception):
    """The server refused a statement with a code that the caller expects."""

    def __init__(self, code: int | str) -> None:
        super().__init__(code)
        self.code = code


def problem[C](table: Mapping[C, Problem], code: C, otherwise: Problem, remedy: str = "") -> Problem:
    """Return what a code means, and what to do; the remedy of who sent the statement counts if the table has none."""
    kind, usual = table.get(code, otherwise)
    return kind, usual or remedy


def lacks_right(username: str) -> str:
    """Return the remedy for a user that may not do something, if nothing better is known."""
    return f"Grant {username} what it lacks"


def find_lock_holder(view: str) -> str:
    """Return the remedy for a statement that waited too long for a lock; the view of the server lists locks."""
    return f"Find the session that holds the lock ({view}). {RETRIED}"


FIRST_WORD = re.compile(r"[\s(]*([A-Za-z]+)")
"""It finds nothing if the statement begins with a comment, which may be one that a server runs: /*! … */."""


def first_word(statement: str) -> str:
    """Return the first word of a statement, in capitals; empty if it begins with something else."""
    word = FIRST_WORD.match(statement)
    return word[1].upper() if word else ""


def verify(
    statements: Sequence[str],
    run: Callable[[str, str], object],
    reversible: Sequence[str] = (),
    lasting: Callable[[str], Sequence[str]] = lambda _: (),
    first_word: Callable[[str], str] = first_word,
) -> None:
    """Run the statements of `verify` one by one: each that a transaction can take back.

    `run` takes the operation and the statement. `reversible` are the words that such statements begin with; none if
    the server takes back every statement. `lasting` finds words in a statement whose effects outlive the transaction.
    `first_word` is the engine's own, if it knows the comments of its SQL.
    Raises StatementFailed for any other statement, before it runs.
    """
    for number, statement in enumerate(statements, 1):
        operation = f"running statement {number} of verify"
        begins_well = not reversible or first_word(statement) in reversible
        found = lasting(statement)
        if not begins_well or found:
            begin = "" if begins_well else f"Begin it with one of {', '.join(reversible)}"
            leave = f"Take {', '.join(found)} out of it" if found else ""
            remedy = ". ".join(filter(None, [begin, leave]))
            raise StatementFailed(operation, "a transaction cannot take it back", remedy)
        try:
            run(operation, statement)
        except StatementFailed as error:
            if error.remedy != CORRECT_CAUSE:
                raise
            remedy = f'Correct what statement {number} of "verify" uses; or correct it in the secret, and rotate again'
            raise type(error)(error.operation, error.cause, remedy) from None


def foreign_triggers_allowed() -> bool:
    """Tell whether the operator trusts everybody whose code runs if an admin logs in or changes something."""
    return boolean(os.environ, "ALLOW_FOREIGN_TRIGGERS", default=False)


def refuse_foreign_triggers(operation: str, names: Sequence[str]) -> None:
    """Raise Unsafe if there are such triggers: they belong neither to the server nor to the admin."""
    if names:
        listed = ", ".join(map(said, names[:3]))
        cause = f"the admin's statements would fire {len(names)} triggers that others wrote: {listed}"
        raise Unsafe(
            operation,
            cause,
            "Disable them; or set ALLOW_FOREIGN_TRIGGERS (parameter AllowForeignTriggers) to true, if you trust their"
            " authors like the admin",
        )


def unread_password(kind: EngineKind, username: str, rules: Sequence[Rule] = ()) -> str:
    """Return a password that nobody will know, in which the server's policy finds what it finds in the others.

    It meets the rules, and does not hold the name of the user that gets it: policies refuse that.
    """
    return concealed(PasswordPolicy.from_environment(os.environ, kind).generate(username, rules))


def accepts(
    connect: Callable[[Credential, Deadline], AbstractContextManager[object]],
    credential: Credential,
    deadline: Deadline,
) -> bool:
    """Tell whether the server takes this password now; raises what is no answer to that."""
    try:
        with connect(credential, deadline):
            return True
    except LoginRefused:
        return False
