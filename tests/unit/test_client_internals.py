"""Are the private parts of client libraries that drivers use still the ones that were read?

A driver overrides or calls them in one module only, its `wire` or `client`, and `READ_IN` there is the version that was
read. If this test fails, read the client's new version against that module; then note the new version and digests.
"""

import hashlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec

import pymysql
import pytds  # type: ignore[import-untyped]  # annotated, but not marked so (PEP 561)
import pytest
from pytds import tds_base, tds_session, tds_socket, utils

from rotation.engines.mysql import wire as mysql_wire
from rotation.engines.oracle import wire as oracle_wire
from rotation.engines.sqlserver import wire as sqlserver_wire


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
    "oracle": Internals("oracledb", oracle_wire.READ_IN, digests={}, functions={}),
    "sqlserver": Internals(
        package="python-tds",
        read_in=sqlserver_wire.READ_IN,
        digests={
            "connect": "c9d9bbf573b5e1fc",
            "try again": "bf84e121fac7d802",
            "log in": "e5145a434a6c83a7",
            "send PRELOGIN": "0121b1c723a467dd",
            "resize packets": "78037c78f8fd1dce",
            "make an error": "05dee8aae1769ade",
            "send LOGIN7": "b9c0c56de4463df0",
            "raise an error": "a1c1c97ece36144d",
        },
        functions={
            "connect": pytds._connect,  # noqa: SLF001 - here and below: private parts are what this test is about
            "try again": utils.exponential_backoff,
            "log in": tds_socket._TdsSocket.login,  # noqa: SLF001
            "send PRELOGIN": tds_session._TdsSession.send_prelogin,  # noqa: SLF001
            "resize packets": sqlserver_wire._resize,  # noqa: SLF001 - python-tds's own, which `wire` has replaced
            "make an error": tds_base._create_exception_by_message,  # noqa: SLF001
            "send LOGIN7": tds_session._TdsSession.tds7_send_login,  # noqa: SLF001
            "raise an error": sqlserver_wire._raise_db_exception,  # noqa: SLF001 - as above
        },
    ),
    "mysql": Internals(
        package="PyMySQL",
        read_in=mysql_wire.READ_IN,
        digests=PYMYSQL,
        functions={name: getattr(pymysql.Connection, name) for name in PYMYSQL},
    ),
}

if find_spec("ibm_db"):  # IBM's client is for x86_64 only
    from rotation.engines.db2 import client as db2_client

    CLIENTS["Db2"] = Internals("ibm_db", db2_client.READ_IN, {}, {})


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS.keys())
def test_the_private_functions_of_a_client_are_those_that_were_read(client: Internals) -> None:
    assert {name: digest(function) for name, function in client.functions.items()} == client.digests
    if not client.functions:
        assert f"{client.package} {version(client.package)}" == client.read_in
