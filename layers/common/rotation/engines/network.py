"""How is a server reached, and how is it known to be the right one? The same for every driver.

What drivers share after that, once they are connected, is in `rotation.engines.driver`.
"""

import os
import socket
import ssl
from pathlib import Path

from rotation.credential import Credential
from rotation.deadline import Deadline, within
from rotation.engines.driver import CONNECT_SECONDS, NO_ANSWER, NO_BUNDLE, NO_RDS_PROXY
from rotation.errors import Unreachable, Unsafe, Unsupported, Untrusted
from rotation.hosts import is_rds_proxy, require_ordinary


def look_up(credential: Credential, deadline: Deadline, operation: str) -> list[str]:
    """Return the addresses of the credential's host, at least one; raises Unreachable, or Unsafe: see `rotation.hosts`.

    Raises Unsupported for RDS Proxy. It compares each password with that of AWSCURRENT. So it would refuse the pending
    one for ever, after the database has got it.
    Connect to these, and not to the name: a second question can get another answer. getaddrinfo has no timeout of its
    own, so it runs in a thread that the deadline bounds.
    """
    if is_rds_proxy(credential.host):
        raise Unsupported(operation, "it is an endpoint of RDS Proxy, which refuses pending passwords", NO_RDS_PROXY)
    try:
        found = within(
            deadline.allow(CONNECT_SECONDS, operation),
            lambda: socket.getaddrinfo(credential.host, credential.port, type=socket.SOCK_STREAM),
        )
    except (OSError, UnicodeError, TimeoutError) as error:
        cause = f"the name {credential.host} cannot be looked up ({type(error).__name__})"
        raise Unreachable(operation, cause, 'Correct "host" in the secret, or the DNS of the function\'s VPC') from None
    addresses = list(dict.fromkeys(str(address[0]) for *_, address in found))
    require_ordinary(addresses, Unsafe, operation)
    return addresses


def open_socket(credential: Credential, deadline: Deadline, operation: str) -> socket.socket:
    """Return a TCP connection to the first address of the credential's host that answers; see `look_up`."""
    addresses = look_up(credential, deadline, operation)
    causes = []
    for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
        seconds = deadline.share(CONNECT_SECONDS, left, operation)
        try:
            connected = socket.create_connection((address, credential.port), seconds)
        except OSError as error:
            causes.append(error.strerror or "timed out")
        else:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connected.settimeout(None)
            return connected
    raise Unreachable(operation, "; ".join(dict.fromkeys(causes)), NO_ANSWER)


def ca_bundle() -> str:
    """Return the file with the authorities that verify servers: the one of DB_CA_BUNDLE, or that of RDS."""
    shipped = Path(__file__).parents[1] / "certs" / "rds-global-bundle.pem"
    return os.environ.get("DB_CA_BUNDLE") or str(shipped)


def tls_context() -> ssl.SSLContext:
    """Return what verifies chain, dates and host name with the authorities; raises Untrusted."""
    bundle = ca_bundle()
    try:
        context = ssl.create_default_context(cafile=bundle)
    except OSError as error:
        cause = f"{bundle} cannot be read ({type(error).__name__})"
        raise Untrusted("reading the certificate authorities", cause, NO_BUNDLE) from None
    # Whether RDS's certificates have the strict form of RFC 5280 is not ours to judge.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
