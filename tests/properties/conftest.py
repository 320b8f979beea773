"""What do the properties of the whole handler need? What the tests of its calls to AWS have."""

from tests.service.conftest import _connected, _service, invoke, service

__all__ = ["_connected", "_service", "invoke", "service"]
