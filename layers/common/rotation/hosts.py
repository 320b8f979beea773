"""Which hosts can a secret send the function to?

Everyone who can write a secret chooses the host in it, and the function connects there: from inside its VPC and its own
sandbox, where Lambda's runtime API listens on a loopback address. Databases have ordinary addresses, private or public.
The function connects to no other address, however it is written and whatever name leads to it. Only ALLOW_LOCAL_HOSTS
changes that, to try the function on the machine of the database.

An address is checked when the secret is read; the addresses of a name are checked when it is looked up: see
`rotation.engines.network`.
"""

import os
import re
import socket
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from rotation.environment import boolean
from rotation.errors import RotationError

VARIABLE = "ALLOW_LOCAL_HOSTS"

SPECIAL_NETWORKS = {
    kind: tuple(map(ip_network, networks))
    for kind, networks in {
        "a loopback address": ("127.0.0.0/8", "::1/128"),
        "the unspecified address": ("0.0.0.0/8", "::/128"),
        "a link-local address": ("169.254.0.0/16", "fe80::/10"),  # also of metadata: 169.254.169.254, 169.254.170.2
        "an address of AWS's own services on instances": ("fd00:ec2::/32",),
        "a multicast address": ("224.0.0.0/4", "ff00::/8"),
        "the broadcast address": ("255.255.255.255/32",),
    }.items()
}
"""Networks without a database (https://www.iana.org/assignments/iana-ipv4-special-registry,
…/iana-ipv6-special-registry;
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html has fd00:ec2::254)."""

ENDING_IN_IPV4 = tuple(map(ip_network, ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48")))
"""IPv6 addresses whose last 32 bits a kernel or a translator takes for an IPv4 address (RFC 4291, 2765, 6052, 8215)."""


RDS_PROXY_END = re.compile(r"\.proxy-[a-z0-9]+\.([a-z0-9-]+\.rds|rds\.[a-z0-9-]+)\.amazonaws\.com(\.cn)?")
"""How the endpoints of RDS Proxy end; an instance has the account's own word where these have proxy-…"""


RDS_HOST = re.compile(r"(?:[a-z0-9-]+\.)+([a-z]+(?:-[a-z]+)+-[0-9]+)\.rds\.amazonaws\.com")
"""How RDS names a host, and with it the Region. The writer of a global database can be in any of its Regions: its name
has "global" instead. Hosts in China are named otherwise."""


def rds_region(host: str) -> str | None:
    """Return the Region that the name of a host of RDS says; None for every other host."""
    found = RDS_HOST.fullmatch(host)
    return found[1] if found else None


def is_rds_proxy(host: str) -> bool:
    """Tell whether a host is an endpoint of RDS Proxy."""
    found = RDS_PROXY_END.search(host)
    return bool(found and found.end() == len(host))


def require_ordinary(addresses: Iterable[str], error: type[RotationError], operation: str) -> None:
    """Raise the error if one of these addresses of a host is one that no database has, and such are not allowed."""
    if not allows_local_hosts() and (kind := next(filter(None, map(special_kind, addresses)), None)):
        remedy = (
            f'Correct "host" in the secret; or set {VARIABLE} to true in the environment of the function, if you try it'
            " on the machine of the database"
        )
        raise error(operation, f'the "host" of the secret is, or leads to, {kind}, which no database has', remedy)


def allows_local_hosts() -> bool:
    """Tell whether the function's environment allows such addresses; raises InvalidConfiguration."""
    return boolean(os.environ, VARIABLE, default=False)


def literal(host: str) -> list[str]:
    """Return the address that a host is by itself, in any notation that the system accepts; an empty list for a name.

    Nothing is looked up. `localhost` and the names below it are loopback addresses everywhere (RFC 6761).
    """
    if host == "localhost" or host.endswith(".localhost"):
        return ["127.0.0.1"]
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return []
    return [str(address[0]) for *_, address in found]


def special_kind(address: str) -> str | None:
    """Return what kind of special address this is, which no database has; None for an ordinary one."""
    return next(
        (
            kind
            for each in _with_ipv4(address)
            for kind, networks in SPECIAL_NETWORKS.items()
            if any(each in net for net in networks)
        ),
        None,
    )


def _with_ipv4(text: str) -> Iterator[IPv4Address | IPv6Address]:
    """Yield an address and, if it is an IPv6 address, the IPv4 addresses that it stands for."""
    address = ip_address(text)
    yield address
    if isinstance(address, IPv6Address):
        if any(address in network for network in ENDING_IN_IPV4):
            yield IPv4Address(int(address) & 0xFFFF_FFFF)
        yield from filter(None, (address.sixtofour, *(address.teredo or ())))
