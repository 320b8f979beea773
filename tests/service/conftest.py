"""What do the tests of the calls to AWS share?"""

import socket
from collections.abc import Iterator

import pytest

from tests.local.secrets_manager import LocalSecretsManager


@pytest.fixture(scope="session")
def _service() -> Iterator[LocalSecretsManager]:
    with LocalSecretsManager(attempts=1) as service:
        yield service


@pytest.fixture
def service(_service: LocalSecretsManager) -> Iterator[LocalSecretsManager]:
    """Secrets Manager, which tries a rotation once; nothing has been called yet, and nothing intercepts."""
    _service.calls.clear()
    yield _service
    _service.intercept = None


@pytest.fixture
def closed_endpoint() -> str:
    """Where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"
