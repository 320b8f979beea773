"""Where may a secret send the function?

Who may write a secret names a host in it, and the function connects there: from inside of its VPC, and of its own
sandbox, where Lambda's runtime API listens on a loopback address. Databases have ordinary addresses, private or public.
Nothing else is connected to, however it is written and whatever name leads to it, unless ALLOW_LOCAL_HOSTS says that a
database is on the machine where the function is tried.

An address is checked when a secret is read, what a name leads to when it is looked up: see `rotation.engines.network`.
"""

import os
import socket
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from rotation.environment import boolean
from rotation.errors import RotationError

VARIABLE = "ALLOW_LOCAL_HOSTS"

KINDS = {
    kind: tuple(map(ip_network, networks))
    for kind, networks in {
        "a loopback address": ("127.0.0.0/8", "::1/128"),
        "the unspecified address": ("0.0.0.0/8", "::/128"),
        "a link-local address": ("169.254.0.0/16", "fe80::/10"),  # of metadata, too: 169.254.169.254, 169.254.170.2
        "an address of AWS's own services on instances": ("fd00:ec2::/32",),
        "a multicast address": ("224.0.0.0/4", "ff00::/8"),
        "the broadcast address": ("255.255.255.255/32",),
    }.items()
}
"""Where no database is (https://www.iana.org/assignments/iana-ipv4-special-registry, …/iana-ipv6-special-registry;
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html has fd00:ec2::254)."""

CARRYING = tuple(map(ip_network, ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48")))
"""IPv6 addresses whose last 32 bits are an IPv4 address, to a kernel or a translator (RFC 4291, 2765, 6052, 8215)."""


def require_ordinary(addresses: Iterable[str], error: type[RotationError], operation: str) -> None:
    """Raise the error if one of these addresses of a secret's host is none of a database, and that is not allowed."""
    if not allows_local_hosts() and (kind := next(filter(None, map(kind_of, addresses)), None)):
        remedy = (
            'Write the host of the database into the secret, as "host". To try the function on the machine of the'
            f" database, set {VARIABLE} to true in its environment"
        )
        raise error(operation, f'the "host" of the secret is, or leads to, {kind}, where no database is', remedy)


def allows_local_hosts() -> bool:
    """Tell whether the function's environment allows them; raises InvalidConfiguration."""
    return boolean(os.environ, VARIABLE, default=False)


def literal(host: str) -> list[str]:
    """Return the address that a host is by itself, in whatever notation the system takes; none where it is a name.

    Nobody is asked. Of the names, `localhost` and those below it are loopback addresses everywhere (RFC 6761).
    """
    if host == "localhost" or host.endswith(".localhost"):
        return ["127.0.0.1"]
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return []
    return [str(address[0]) for *_, address in found]


def kind_of(address: str) -> str | None:
    """Return what an address is that no database has; None for an ordinary one."""
    return next(
        (kind for each in _all(address) for kind, networks in KINDS.items() if any(each in net for net in networks)),
        None,
    )


def _all(text: str) -> Iterator[IPv4Address | IPv6Address]:
    """Yield an address, and the IPv4 addresses that it stands for where it is of IPv6."""
    address = ip_address(text)
    yield address
    if isinstance(address, IPv6Address):
        if any(address in network for network in CARRYING):
            yield IPv4Address(int(address) & 0xFFFF_FFFF)
        yield from filter(None, (address.sixtofour, *(address.teredo or ())))
