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

import pytest


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


CLIENTS: dict[str, Internals] = {}

if find_spec("ibm_db"):  # IBM's client is for x86_64 only
    from rotation.engines.db2 import client as db2_client

    CLIENTS["Db2"] = Internals("ibm_db", db2_client.READ_IN, {}, {})


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS.keys())
def test_the_private_functions_of_a_client_are_those_that_were_read(client: Internals) -> None:
    assert {name: digest(function) for name, function in client.functions.items()} == client.digests
    if not client.functions:
        assert f"{client.package} {version(client.package)}" == client.read_in
