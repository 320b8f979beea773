"""What do the tests of the calls to AWS share?"""

import socket
from collections.abc import Iterator

import pytest

import rotation.deadline
from tests.clients import forget_clients
from tests.local.aws.secrets_manager import LocalSecretsManager
from tests.service.invoking import Invoke, invoker
from tests.unit.scenario import Clock


@pytest.fixture(scope="session")
def _service() -> Iterator[LocalSecretsManager]:
    with LocalSecretsManager(attempts=1) as service:
        yield service


@pytest.fixture
def service(_service: LocalSecretsManager) -> Iterator[LocalSecretsManager]:
    """Secrets Manager, which tries a rotation once; nothing has been called yet, and nothing intercepts."""
    _service.calls.clear()
    yield _service
    _service.intercept = _service.staleness = None


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Let the program's waiting take no time."""
    clock = Clock()
    monkeypatch.setattr(rotation.deadline, "time", clock)
    return clock


@pytest.fixture(scope="module")
def _connected(_service: LocalSecretsManager) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in _service.environment.items():
            patch.setenv(name, value)
        # The clients are kept from one invocation to the next, as on Lambda.
        forget_clients()
        yield
        forget_clients()


@pytest.fixture
def invoke(_connected: None, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Invoke:
    """Calls the handler, and returns all that comes out."""
    return invoker(capsys, caplog)


@pytest.fixture
def closed_endpoint() -> str:
    """A port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"
