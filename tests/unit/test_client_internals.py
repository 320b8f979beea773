"""Are the private parts of client libraries that drivers use still the ones that were read?

A driver overrides or calls them in one module only, its `wire` or `client`, which says in `READ_IN` which version was
read. If this test fails, read the client's new version against that module, then write down the new version and digests.
"""

import hashlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version

import pymysql
import pytest

from rotation.engines.mysql import wire as mysql_wire


@dataclass(frozen=True)
class Internals:
    """What a driver uses of a client that the client does not document."""

    package: str
    read_in: str
    """The `READ_IN` of the driver's module."""
    digests: Mapping[str, str]
    """What `digest` says of each function; none for a client whose source is not Python: there the version decides."""
    functions: Mapping[str, Callable[..., object]]


def digest(function: Callable[..., object]) -> str:
    """Return a number that changes if the function's source does."""
    return hashlib.sha256(inspect.getsource(function).encode()).hexdigest()[:16]


PYMYSQL = {
    "connect": "4e8ee8fd5c82ab5f",
    "close": "4c6144c21f9cadf7",
    "_force_close": "0ad9bf02d8a88d73",
    "write_packet": "2f370b2cc09cd5c3",
    "_read_packet": "befc04efe3c01b84",
    "_read_bytes": "5f0addfbcfbed358",
    "_write_bytes": "2daf1e2f4b586ab6",
    "_execute_command": "1a7dc00135503901",
    "_get_server_information": "c648de0e290e35e8",
    "_request_authentication": "4cd9c67e6fb91057",
    "_process_auth": "3613e1b952982c02",
    "_get_auth_plugin_handler": "a54c1c877c7fb75a",
}
"""Functions of its Connection, which MariaDB's driver uses, too."""

CLIENTS: dict[str, Internals] = {
    "mysql": Internals(
        package="PyMySQL",
        read_in=mysql_wire.READ_IN,
        digests=PYMYSQL,
        functions={name: getattr(pymysql.Connection, name) for name in PYMYSQL},
    ),
}


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS.keys())
def test_the_private_functions_of_a_client_are_those_that_were_read(client: Internals) -> None:
    assert {name: digest(function) for name, function in client.functions.items()} == client.digests
    if not client.functions:
        assert f"{client.package} {version(client.package)}" == client.read_in
