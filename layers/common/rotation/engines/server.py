"""What does every driver need to reach a server, and to say why it cannot?"""

import os
import socket
from pathlib import Path

from rotation.credential import Credential
from rotation.deadline import Deadline, within
from rotation.errors import Unreachable

CONNECT_SECONDS = 10.0
STATEMENT_SECONDS = 30.0
"""How long a login, and a statement, may take at most; the deadline may allow less."""

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


def one_line(text: str) -> str:
    """Return a server's message as it fits into one of ours."""
    return " ".join(text.split())


def look_up(credential: Credential, deadline: Deadline, doing: str) -> list[str]:
    """Return the addresses of the credential's host, at least one; raises Unreachable.

    Waits no longer than the deadline allows: getaddrinfo itself knows no limit.
    """
    try:
        found = within(
            deadline.allow(CONNECT_SECONDS, doing),
            lambda: socket.getaddrinfo(credential.host, credential.port, type=socket.SOCK_STREAM),
        )
    except (OSError, TimeoutError) as error:
        cause = f"the name {credential.host} cannot be looked up ({type(error).__name__})"
        raise Unreachable(doing, cause, 'Correct "host" in the secret, or the DNS of the function\'s VPC') from None
    return list(dict.fromkeys(str(address[0]) for *_, address in found))
