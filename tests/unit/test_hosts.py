"""Is every address that no database has recognized, in whatever way it is written?"""

import socket

import pytest

from rotation.errors import InvalidConfiguration, Unsafe
from rotation.hosts import is_rds_proxy, literal, require_ordinary, special_kind

SPECIAL = {
    "loopback": (
        "127.0.0.1",
        "127.0.0.0",
        "127.255.255.255",
        "127.1",
        "127.0.1",
        "0x7f.1",
        "0x7f000001",
        "2130706433",
        "0177.0.0.1",
        "017700000001",
        "0000177.1",
        "::1",
        "0:0:0:0:0:0:0:1",
        "::ffff:127.0.0.1",
        "::ffff:7f00:1",
        "::7f00:1",
        "::127.0.0.1",
        "::ffff:0:127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::127.0.0.1",
        "64:ff9b:1::7f00:1",
        "2002:7f00:1::",
        "2001:0:a00:1::80ff:fffe",
        "localhost",
        "db.localhost",
    ),
    "unspecified": ("0.0.0.0", "0", "0.1.2.3", "0x0", "::", "::ffff:0.0.0.0", "2002::"),  # noqa: S104 - nothing listens
    "link-local": (
        "169.254.169.254",  # the metadata of an instance
        "169.254.170.2",  # the credentials of a container
        "169.254.0.1",
        "0xa9fea9fe",
        "2852039166",
        "0251.0376.0251.0376",
        "169.16689662",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::",
        "fe80::1",
        "febf::1",
    ),
    "AWS's own services": ("fd00:ec2::254", "fd00:ec2::253", "fd00:ec2::23", "fd00:0ec2:0:0:0:0:0:254"),
    "multicast": ("224.0.0.1", "239.255.255.255", "0xe0000001", "ff02::1", "::ffff:224.0.0.1"),
    "broadcast": ("255.255.255.255", "4294967295", "0xffffffff"),
}
ORDINARY = (
    "10.0.0.1",
    "10.1",
    "172.16.0.1",
    "192.168.0.1",
    "100.64.0.1",
    "126.255.255.255",
    "128.0.0.1",
    "169.253.255.255",
    "169.255.0.1",
    "223.255.255.255",
    "52.0.0.1",
    "1.0.0.0",
    "::ffff:10.0.0.1",
    "64:ff9b::a00:1",
    "2002:a00:1::1",
    "2001:db8::1",
    "2600:1f18::1",
    "fd12:3456::1",
    "fd00:ec3::254",
    "fec0::1",
)
CASES = [pytest.param(kind, host, id=host) for kind, hosts in SPECIAL.items() for host in hosts]


@pytest.mark.parametrize(("kind", "host"), CASES)
def test_an_address_that_no_database_has_is_known_in_every_notation(kind: str, host: str) -> None:
    [address] = literal(host)
    assert kind in str(special_kind(address))


@pytest.mark.parametrize("host", ORDINARY)
def test_an_ordinary_address_is_no_special_one(host: str) -> None:
    [address] = literal(host)
    assert special_kind(address) is None


def test_an_address_with_a_zone_is_recognized() -> None:
    assert "link-local" in str(special_kind("fe80::1%1"))


@pytest.mark.parametrize(
    "host", ["db.example.com", "db", "127.0.0.1.example.com", "localhost.example.com", "notlocalhost", "0x7f.example"]
)
def test_a_name_is_no_address_and_is_not_looked_up(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def only_numbers(*_: object, flags: int, **__: object) -> list[object]:
        assert flags & socket.AI_NUMERICHOST
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", only_numbers)
    assert literal(host) == []


@pytest.mark.parametrize("variable", ["", "false", "0", "no"])
def test_one_special_address_is_refused_by_default(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if variable:
        monkeypatch.setenv("ALLOW_LOCAL_HOSTS", variable)
    else:
        monkeypatch.delenv("ALLOW_LOCAL_HOSTS")
    require_ordinary(["10.0.0.1", "2001:db8::1"], Unsafe, "looking")
    with pytest.raises(Unsafe, match=r'looking: the "host" of the secret .*a loopback address.*ALLOW_LOCAL_HOSTS'):
        require_ordinary(["10.0.0.1", "127.0.0.1"], Unsafe, "looking")


def test_special_addresses_are_accepted_if_the_operator_allows_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOW_LOCAL_HOSTS", "true")
    require_ordinary(["127.0.0.1", "169.254.169.254"], Unsafe, "looking")


def test_a_variable_that_is_neither_true_nor_false_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOW_LOCAL_HOSTS", "perhaps")
    with pytest.raises(InvalidConfiguration, match="ALLOW_LOCAL_HOSTS"):
        require_ordinary(["127.0.0.1"], Unsafe, "looking")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("shop.proxy-abcdefghijkl.eu-central-1.rds.amazonaws.com", True),
        ("reports.endpoint.proxy-abcdefghijkl.us-gov-west-1.rds.amazonaws.com", True),
        ("shop.proxy-abcdefghijkl.rds.cn-north-1.amazonaws.com.cn", True),
        ("proxy-shop.abcdefghijkl.eu-central-1.rds.amazonaws.com", False),
        ("shop.cluster-abcdefghijkl.eu-central-1.rds.amazonaws.com", False),
        ("shop.proxy-abcdefghijkl.eu-central-1.rds.amazonaws.com.evil.example", False),
        ("proxy-1.example.com", False),
    ],
)
def test_an_endpoint_of_rds_proxy_is_known_by_its_end(host: str, *, expected: bool) -> None:
    assert is_rds_proxy(host) is expected
