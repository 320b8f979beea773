"""What do the tests of the laptop-sized Secrets Manager ask for?"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from tests.local.aws.secrets_manager import LocalSecretsManager

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_secretsmanager import SecretsManagerClient

from tests.service.local_secrets_manager.calls import Rotator


@pytest.fixture(scope="module")
def service() -> Iterator[LocalSecretsManager]:
    """One server for this module."""
    with LocalSecretsManager() as service:
        yield service


@pytest.fixture(scope="module")
def client(service: LocalSecretsManager) -> SecretsManagerClient:
    """One client for this module."""
    return service.client()


@pytest.fixture
def secret(client: SecretsManagerClient) -> str:
    """Return the ARN of a new secret with a value."""
    return client.create_secret(Name=f"secret-{uuid4()}", SecretString="first")["ARN"]


@pytest.fixture
def rotator(service: LocalSecretsManager, client: SecretsManagerClient) -> Rotator:
    """Return the function that `rotate` uses."""
    rotator = Rotator(client)
    service.register("rotator", rotator)
    return rotator


@pytest.fixture
def intercepted(service: LocalSecretsManager) -> Iterator[LocalSecretsManager]:
    """Return the server; its interceptor is taken away afterwards."""
    yield service
    service.intercept = None
