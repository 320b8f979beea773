"""Does a driver connect to the addresses that were checked, and to no other, whoever sends it on?"""

import gc
import socket
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from rotation.credential import Credential
from rotation.engine import Engine
from rotation.engines.oracle import Oracle
from rotation.errors import LoginBlocked, RotationError, Unsafe
from tests import servers
from tests.contract.impostor import Impostor, Line, posing
from tests.laboratories import deadline

# Oracle's client leaves it to the garbage collector to close the socket of a connection that was lost.
pytestmark = [
    pytest.mark.sample(3),
    pytest.mark.filterwarnings(
        r"ignore:Exception ignored in. <(socket\.socket|ssl\.SSLSocket):pytest.PytestUnraisableExceptionWarning"
    ),
]

NAME = "db.example.com"
NOBODY = "127.0.0.2"
"""An address of this machine, on Linux. Nobody listens there, unless a test does."""

TLS = pytest.mark.parametrize("tls", [True, False], ids=["TLS", "clear"])


@pytest.fixture(params=servers.SERVERS)
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each engine; no server is needed to see that it does not get there."""
    return servers.SERVERS[request.param].engine


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """Has sockets closed at the end of their test, and not in another one, which would be blamed for it."""
    yield
    gc.collect()


@pytest.fixture
def stranger() -> Iterator[Impostor]:
    """One that says nothing, at 127.0.0.1: a neighbour of the function, to whom no database's name leads."""
    with posing(lambda _: None) as stranger:
        yield stranger


@pytest.fixture
def leads(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Has the name lead to these addresses, and at each further question to the next ones; the last ones stay."""
    system = socket.getaddrinfo

    def leads(*answers: Sequence[str]) -> None:
        left = list(answers)

        def answer(host: str, *asked: Any, **more: Any) -> list[Any]:  # noqa: ANN401 - as the system's own
            if host != NAME:
                return system(host, *asked, **more)
            addresses = left.pop(0) if len(left) > 1 else left[0]
            return [each for address in addresses for each in system(address, *asked, **more)]

        monkeypatch.setattr(socket, "getaddrinfo", answer)

    return leads


def login(engine: Engine, port: int, *, tls: bool) -> Credential:
    """Return a login as it stands in a secret."""
    return Credential(
        engine=min(engine.kind.engine_values),
        host=NAME,
        port=port,
        database=engine.kind.default_database or "SHOP",
        username="app",
        password="p-12345678",
        tls=tls,
    )


def try_to_log_in(engine: Engine, credential: Credential) -> RotationError:
    """Log in, and return what prevents it."""
    with pytest.raises(RotationError) as raised, engine.connect(credential, deadline(4.0)):
        pass
    return raised.value


@pytest.fixture
def _deployed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the environment that a function has in the cloud."""
    monkeypatch.delenv("ALLOW_LOCAL_HOSTS")


@TLS
@pytest.mark.usefixtures("_deployed")
@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["::ffff:127.0.0.1"], ["192.0.2.1", "127.0.0.1"], ["127.0.0.1", "192.0.2.1"], ["0.0.0.0"]],  # noqa: S104 - nothing listens there
    ids=str,
)
def test_a_name_that_leads_to_the_functions_own_side_is_not_followed(
    engine: Engine,
    stranger: Impostor,
    leads: Callable[..., None],
    addresses: list[str],
    *,
    tls: bool,
) -> None:
    leads(addresses)
    error = try_to_log_in(engine, login(engine, stranger.port, tls=tls))
    assert isinstance(error, Unsafe), error
    assert '"host"' in error.cause
    assert not stranger.lines


@TLS
@pytest.mark.skipif(sys.platform != "linux", reason=f"{NOBODY} is an address of this machine on Linux only")
def test_a_name_that_leads_elsewhere_a_moment_later_is_not_followed(
    engine: Engine, stranger: Impostor, leads: Callable[..., None], *, tls: bool
) -> None:
    """IBM's client resolves names itself, which is not changed here: another test looks at what the client gets."""
    leads([NOBODY], ["127.0.0.1"])
    try_to_log_in(engine, login(engine, stranger.port, tls=tls))
    assert not stranger.lines


@pytest.mark.skipif(sys.platform != "linux", reason=f"{NOBODY} is an address of this machine on Linux only")
def test_another_address_of_the_name_is_tried_if_one_does_not_answer(
    engine: Engine, leads: Callable[..., None]
) -> None:
    """As it is with hosts that have one of IPv6, too."""
    leads([NOBODY, "127.0.0.1"])
    with posing(Line.close) as server:
        try_to_log_in(engine, login(engine, server.port, tls=False))
    assert server.lines


# Of SQL Server see test_nobody_is_followed_to_another_server in test_sqlserver.py, of Db2 that in test_db2.py.


def redirecting(port: int) -> Callable[[Line], None]:
    """Return what a listener of Oracle's says that sends the client on; what it is to say there follows."""

    def talk(line: Line) -> None:
        line.hear()
        data = f"(ADDRESS=(PROTOCOL=tcp)(HOST=127.0.0.1)(PORT={port}))\0x\r\nset stolen 0 0 4\r\nkeys\r\n".encode()
        for kind, body in ((5, struct.pack(">H", len(data))), (6, b"\0\0" + data)):
            line.say(struct.pack(">HHBBH", 8 + len(body), 0, kind, 0, 0) + body)

    return talk


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["127.0.0.1", NOBODY]], ids=str)
def test_no_listener_of_oracles_sends_the_function_on(
    stranger: Impostor, leads: Callable[..., None], addresses: list[str]
) -> None:
    leads(addresses)
    with posing(redirecting(stranger.port)) as listener:
        error = try_to_log_in(Oracle(), login(Oracle(), listener.port, tls=False))
    assert isinstance(error, LoginBlocked), error
    assert "another place" in error.cause
    assert len(listener.lines) == 1
    assert not stranger.lines


def test_the_function_can_still_go_elsewhere_on_its_own(stranger: Impostor) -> None:
    """Whoever is kept to one connection is the thread that logs in, while it does."""
    with posing(redirecting(stranger.port)) as listener:
        try_to_log_in(Oracle(), login(Oracle(), listener.port, tls=False))
    for _ in range(2):
        socket.create_connection(("127.0.0.1", stranger.port)).close()
