"""What the fault tests share."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest

from rotation.aws import own_clients
from rotation.kind import Strategy
from tests.clients import forget_clients
from tests.faults.scenario import AWS, DATABASE, Scenario
from tests.faults.wire import Wire
from tests.laboratories import Laboratory
from tests.local.aws.secrets_manager import LocalSecretsManager
from tests.local.servers.certificates import HOST_NAME

type NewScenario = Callable[[Strategy], Scenario]


@pytest.fixture(scope="session")
def service() -> Iterator[LocalSecretsManager]:
    """Secrets Manager, which tries a rotation once: the tests try it again."""
    with LocalSecretsManager(attempts=1) as service:
        yield service


@pytest.fixture(scope="session")
def _wires(service: LocalSecretsManager) -> Iterator[Callable[[int], Wire]]:
    """Lays a wire to AWS and to the database at this port, once."""
    wires: dict[int, Wire] = {}
    with ExitStack() as stack:

        def wire(port: int) -> Wire:
            if port not in wires:
                parties = {AWS: urlsplit(service.endpoint_url).port or 0, DATABASE: port}
                wires[port] = stack.enter_context(Wire(parties))
            return wires[port]

        yield wire


@pytest.fixture
def server(request: pytest.FixtureRequest) -> str:
    """The name of the server."""
    name: str = request.node.callspec.params["every_laboratory"]
    return name


@pytest.fixture
def new_scenario(
    every_laboratory: Laboratory, service: LocalSecretsManager, _wires: Callable[[int], Wire], *, through_admin: bool
) -> NewScenario:
    """Makes scenarios."""
    if every_laboratory.admin.host != HOST_NAME:
        pytest.skip(f"a wire can be laid to a server at {HOST_NAME} only: its certificate must be for that")
    wire = _wires(every_laboratory.admin.port)
    return lambda strategy: Scenario(every_laboratory, service, wire, strategy, through_admin)


@pytest.fixture
def connected(service: LocalSecretsManager, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the function call the service, and keep its clients for one test."""
    for name, value in service.environment.items():
        monkeypatch.setenv(name, value)
    forget_clients()
    own_clients()
    yield
    service.intercept = None
    forget_clients()
