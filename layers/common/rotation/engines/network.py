"""How is a server reached, and how is it known to be the right one? The same for every driver.

What drivers share after that, once they are connected, is in `rotation.engines.driver`.
"""

import functools
import os
import socket
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rotation.credential import Credential
from rotation.deadline import Deadline, within
from rotation.engines.driver import (
    CERTIFICATE,
    CONNECT_SECONDS,
    HOST_NAME,
    NO_ANSWER,
    NO_BUNDLE,
    NO_RDS_PROXY,
    UNKNOWN_SERVER,
)
from rotation.errors import Unreachable, Unsafe, Unsupported, Untrusted
from rotation.finding import Finding, passed, warned
from rotation.hosts import is_rds_proxy, rds_region, require_ordinary


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


CERTS = Path(__file__).parents[1] / "certs"


def ca_bundle(host: str) -> str:
    """Return the file with the authorities that verify this host: the one of DB_CA_BUNDLE, or those of RDS.

    A host of RDS gets those of its Region, if the build has made a file of them: a client reads all authorities of its
    file for each login. Every other host gets the whole bundle, so a host name can never add an authority.
    """
    if named := os.environ.get("DB_CA_BUNDLE"):
        return named
    region = rds_region(host)
    of_region = CERTS / "regions" / f"{region}.pem"
    return str(of_region if region and of_region.is_file() else CERTS / "rds-global-bundle.pem")


def tls_context(host: str, newest: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED) -> ssl.SSLContext:
    """Return what verifies chain, dates and host name with the authorities of this host; raises Untrusted.

    It speaks TLS up to the newest version that is given. Connections share it, for reading all authorities takes 17 ms
    of processor time. Who changes something of it takes `new_tls_context`.
    """
    bundle = ca_bundle(host)
    try:
        file = Path(bundle).stat()
        return _shared_context(bundle, (file.st_mtime_ns, file.st_size, file.st_ino), newest)
    except OSError as error:
        raise _unreadable(bundle, error) from None


@functools.lru_cache(maxsize=2)
def _shared_context(bundle: str, file: tuple[int, ...], newest: ssl.TLSVersion) -> ssl.SSLContext:  # noqa: ARG001 - a file that changed is read again
    context = _new_context(bundle)
    context.maximum_version = newest
    return context


def new_tls_context(host: str) -> ssl.SSLContext:
    """Return what `tls_context` does, for one connection alone; raises Untrusted."""
    bundle = ca_bundle(host)
    try:
        return _new_context(bundle)
    except OSError as error:
        raise _unreadable(bundle, error) from None


def _new_context(bundle: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=bundle)
    # Whether RDS's certificates have the strict form of RFC 5280 is not ours to judge.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _unreadable(bundle: str, error: OSError) -> Untrusted:
    cause = f"{bundle} cannot be read ({type(error).__name__})"
    return Untrusted("reading the certificate authorities", cause, NO_BUNDLE)


MISMATCHES = frozenset({62, 64})
"""OpenSSL's codes for a certificate of another host name, or address (X509_V_ERR_HOSTNAME_MISMATCH, IP_ADDRESS_…)."""

SOON = timedelta(days=30)
"""How long before its end a certificate is worth a warning."""

type BeginTls = Callable[[socket.socket, ssl.SSLContext, str], ssl.SSLObject | ssl.SSLSocket]
"""Takes a connection, what verifies, and the host name; does what the engine wants before TLS, and the handshake.
Raises OSError, of which ssl.SSLError is one, and Untrusted if the server has no TLS."""


def reach(credential: Credential, deadline: Deadline, begin_tls: BeginTls) -> Iterator[Finding]:
    """Say how far one gets to the credential's host; see `rotation.engine.Engine.reach`."""
    operation = f"looking for {credential.host}:{credential.port}"
    yield passed("DNS", f"{credential.host} is {', '.join(look_up(credential, deadline, operation))}")
    with open_socket(credential, deadline, operation) as connected:
        yield passed("TCP", f"{connected.getpeername()[0]} answers at port {credential.port}")
        if not credential.tls:
            cause = "the secret says that nothing is encrypted or verified"
            yield warned("TLS", cause, 'Remove "ssl": false from the secret, once the server has TLS')
            return
        connected.settimeout(deadline.allow(CONNECT_SECONDS, operation))
        yield from _tls(credential, connected, begin_tls)


def _tls(credential: Credential, connected: socket.socket, begin_tls: BeginTls) -> Iterator[Finding]:
    operation = f"verifying {credential.host}:{credential.port}"
    try:
        tls = begin_tls(connected, tls_context(credential.host), credential.host)
    except ssl.SSLCertVerificationError as error:
        remedy = HOST_NAME if error.verify_code in MISMATCHES else CERTIFICATE
        raise Untrusted(operation, error.verify_message, remedy) from None
    except (OSError, EOFError) as error:
        cause = f"there was no TLS handshake ({type(error).__name__})"
        raise Untrusted(operation, cause, UNKNOWN_SERVER) from None
    certificate, version = tls.getpeercert() or {}, tls.version()
    if isinstance(tls, ssl.SSLSocket):
        tls.close()  # it has taken the connection over
    end = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(certificate["notAfter"])), UTC)
    said = f"{version}, and a certificate for {credential.host} that is valid until {end:%Y-%m-%d}"
    if end - datetime.now(UTC) < SOON:
        yield warned(
            "TLS", said, "Renew the server's certificate (on RDS: modify-db-instance --ca-certificate-identifier)"
        )
    else:
        yield passed("TLS", said)
