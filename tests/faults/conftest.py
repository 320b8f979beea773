"""What the fault tests share."""

from collections.abc import Callable, Iterator

import pytest

from rotation.kind import Strategy
from tests.faults.rig import Rig
from tests.laboratories import Laboratory
from tests.local.secrets_manager import LocalSecretsManager


@pytest.fixture(scope="session")
def service() -> Iterator[LocalSecretsManager]:
    """Secrets Manager, which tries a rotation once: the tests try it again."""
    with LocalSecretsManager(attempts=1) as service:
        yield service


@pytest.fixture
def new_rig(
    every_laboratory: Laboratory, service: LocalSecretsManager, *, through_admin: bool
) -> Callable[[Strategy], Rig]:
    """Makes rigs."""
    return lambda strategy: Rig(every_laboratory, service, strategy, through_admin)
