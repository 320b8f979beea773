"""What does every driver need to reach a server, and to say why it cannot?"""

import os
import re
import socket
import ssl
from collections.abc import Sequence
from pathlib import Path

from rotation.credential import Credential
from rotation.deadline import Deadline, within
from rotation.environment import boolean
from rotation.errors import StatementFailed, Unreachable, Unsafe, Untrusted
from rotation.hosts import require_ordinary
from rotation.redaction import said

CONNECT_SECONDS = 10.0
STATEMENT_SECONDS = 30.0
"""How long a login, and a statement, may take at most; the deadline may allow less."""

RETRIED = "The rotation is tried again by itself"
NO_ANSWER = "Look whether the server is up, and whether security groups, routes and port let the function through"
POLICY = "Have PASSWORD_LENGTH and the EXCLUDE_… variables of the function suit the server's policy"
REPLICA = (
    'The host is a replica, or read-only: name the primary in "host", or an admin in "masterarn". While it fails over,'
    " wait: the rotation is tried again by itself"
)
WRONG_PASSWORD = "Put the user's real password into the secret, as a new version, and rotate again"  # noqa: S105 - a remedy


def ca_bundle() -> str:
    """Return the file with the authorities that servers are verified with: DB_CA_BUNDLE's, or those of RDS."""
    shipped = Path(__file__).parents[1] / "certs" / "rds-global-bundle.pem"
    return os.environ.get("DB_CA_BUNDLE") or str(shipped)


def foreign_triggers_allowed() -> bool:
    """Tell whether the operator trusts whoever can have something run when an admin logs in, or changes something."""
    return boolean(os.environ, "ALLOW_FOREIGN_TRIGGERS", default=False)


def refuse_foreign_triggers(operation: str, names: Sequence[str]) -> None:
    """Raise Unsafe if there are any, for they are not the server's own, nor the admin's."""
    if names:
        raise Unsafe(
            operation,
            f"what the admin does would fire {', '.join(map(said, names[:3]))}, which others have written",
            "Disable it; or set ALLOW_FOREIGN_TRIGGERS (parameter AllowForeignTriggers) to true, if whoever wrote it is"
            " trusted like the admin",
        )


FIRST_WORD = re.compile(r"[\s(]*([A-Za-z]+)")
"""Where it does not match, the statement begins with a comment, which may be one that a server runs: /*! … */."""


def require_reversible(statement: str, words: Sequence[str], operation: str) -> None:
    """Raise StatementFailed unless the statement begins with one of these words: a transaction can take such back."""
    word = FIRST_WORD.match(statement)
    if not word or word[1].upper() not in words:
        raise StatementFailed(operation, "it could not be rolled back", f"Begin it with one of {', '.join(words)}")


def look_up(credential: Credential, deadline: Deadline, operation: str) -> list[str]:
    """Return the addresses of the credential's host, at least one; raises Unreachable, or Unsafe: see `rotation.hosts`.

    Connect to these, and not to the name: to a second question there may be another answer. Waits no longer than the
    deadline allows: getaddrinfo itself knows no limit.
    """
    try:
        found = within(
            deadline.allow(CONNECT_SECONDS, operation),
            lambda: socket.getaddrinfo(credential.host, credential.port, type=socket.SOCK_STREAM),
        )
    except (OSError, UnicodeError, TimeoutError) as error:
        cause = f"the name {credential.host} cannot be looked up ({type(error).__name__})"
        raise Unreachable(operation, cause, 'Correct "host" in the secret, or the DNS of the function\'s VPC') from None
    places = list(dict.fromkeys(str(address[0]) for *_, address in found))
    require_ordinary(places, Unsafe, operation)
    return places


def open_way(credential: Credential, deadline: Deadline, operation: str) -> socket.socket:
    """Return a connection to the first address of the credential's host that answers; see `look_up`."""
    places = look_up(credential, deadline, operation)
    causes = []
    for left, place in zip(range(len(places), 0, -1), places, strict=True):
        seconds = deadline.share(CONNECT_SECONDS, left, operation)
        try:
            way = socket.create_connection((place, credential.port), seconds)
        except OSError as error:
            causes.append(error.strerror or "timed out")
        else:
            way.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            way.settimeout(None)
            return way
    raise Unreachable(operation, "; ".join(dict.fromkeys(causes)), NO_ANSWER)


def tls_context() -> ssl.SSLContext:
    """Return what verifies chain, dates and host name with the authorities; raises Untrusted."""
    bundle = ca_bundle()
    try:
        context = ssl.create_default_context(cafile=bundle)
    except OSError as error:
        cause = f"{bundle} cannot be read ({type(error).__name__})"
        raise Untrusted(
            "reading the certificate authorities", cause, "Correct DB_CA_BUNDLE: it must name a PEM file"
        ) from None
    # The form of RDS's certificates is not ours to judge.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
