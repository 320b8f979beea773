"""Does the fake keep the contract, so that what is decided against it is decided against an engine?"""

import pytest

from tests.contract.contract import EngineContract
from tests.fakes import FakeLaboratory


class TestFake(EngineContract):
    """The fake keeps the contract."""

    @pytest.fixture
    def laboratory(self) -> FakeLaboratory:
        return FakeLaboratory()
