"""Are the private parts of client libraries that drivers use still the ones that were read?

A driver overrides or calls them in one module only, its `wire` or `client`, and `READ_IN` there is the version that was
read. If this test fails, read the client's new version against that module; then note the new version and digests.
"""

import hashlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version

import pytest

from rotation.engines.oracle import wire as oracle_wire


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


CLIENTS: dict[str, Internals] = {
    "oracle": Internals("oracledb", oracle_wire.READ_IN, digests={}, functions={}),
}


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS.keys())
def test_the_private_functions_of_a_client_are_those_that_were_read(client: Internals) -> None:
    assert {name: digest(function) for name, function in client.functions.items()} == client.digests
    if not client.functions:
        assert f"{client.package} {version(client.package)}" == client.read_in
