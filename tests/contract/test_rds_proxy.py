"""Is RDS Proxy refused before anything is changed, on every engine?

It compares each password with that of AWSCURRENT, so it can never accept a pending one: the database would get a new
password, the proxy would refuse it, and the old one would be gone.
"""

import socket

import pytest

from rotation.credential import Credential
from rotation.engine import Engine
from rotation.errors import Unsupported
from tests.laboratories import deadline
from tests.servers import SERVERS


def unasked(*_: object, **__: object) -> None:
    """Be a DNS that nobody asks."""
    raise AssertionError


@pytest.mark.parametrize("engine", [each.engine for each in SERVERS.values()], ids=list(SERVERS))
def test_nobody_logs_in_to_rds_proxy(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", unasked)
    user = Credential(
        engine=min(engine.kind.engine_values),
        host="shop.proxy-abcdefghijkl.eu-central-1.rds.amazonaws.com",
        port=engine.kind.default_port,
        database="shop",
        username="app",
        password="never-sent-anywhere",
        tls=True,
    )
    with pytest.raises(Unsupported, match="RDS Proxy, which refuses pending") as raised:
        engine.connect(user, deadline()).__enter__()
    assert '"host"' in raised.value.remedy
