"""Is a call to AWS made again while time lasts, whatever comes back?"""

import itertools
import json
import socket
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from threading import Event, Thread
from typing import TYPE_CHECKING

import boto3
import pytest

import rotation.aws
import rotation.deadline
from rotation.aws import CONFIG, call_aws, new_clients
from rotation.deadline import RESERVED_SECONDS, Deadline
from rotation.errors import OutOfTime, ServiceFailed
from tests.unit.scenario import Clock

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

DOING, PERMISSION = "looking at the secret", "secretsmanager:DescribeSecret"
ANSWER = json.dumps({"ARN": "arn:secret", "Name": "secret"})
IN_A_ROW = 10

type Behaviour = Callable[[socket.socket], object]


def say(status: str, body: str, *, length: int | None = None) -> Behaviour:
    """Answer, and claim that the answer is so long."""
    size = len(body) if length is None else length
    headers = f"Content-Type: application/x-amz-json-1.1\r\nContent-Length: {size}\r\nConnection: close"
    head = f"HTTP/1.1 {status}\r\n{headers}\r\n\r\n"
    return lambda connection: connection.sendall((head + body).encode())


def reset(connection: socket.socket) -> None:
    """Reset the connection when it is closed."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def nothing(_: socket.socket) -> None:
    """Close without a word."""


def drip(connection: socket.socket) -> None:
    """Answer so slowly that no limit for a piece of an answer is ever met."""
    with suppress(OSError):
        for _ in range(200):
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            if HURRY.wait(0.01):
                return


def silence(_: socket.socket) -> None:
    """Take the request, and that is all."""
    HURRY.wait()


HURRY = Event()

PASSING: dict[str, Behaviour] = {
    "reset": reset,
    "closed": nothing,
    "cut off": say("200 OK", ANSWER[:20], length=len(ANSWER)),
    "cut off before the body": say("200 OK", "", length=len(ANSWER)),
    "something else": say("200 OK", "<html>Please wait</html>"),
    "no reason": say("500 Internal Server Error", ""),
    "a page": say("502 Bad Gateway", "<html>Bad Gateway</html>"),
    "unavailable": say("503 Service Unavailable", ""),
    "too many requests": say("429 Too Many Requests", ""),
    "throttled": say("400 Bad Request", json.dumps({"__type": "ThrottlingException", "message": "Rate exceeded"})),
}

SLOW: dict[str, Behaviour] = {"drip": drip, "silence": silence}


class Misbehaving:
    """A service that misbehaves once for each entry, and then answers well."""

    def __init__(self) -> None:
        self.behaviours: Iterator[Behaviour] = iter(())
        self.requests = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Take no more requests."""
        HURRY.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(65536)
            self.requests += 1
            next(self.behaviours, say("200 OK", ANSWER))(connection)


@pytest.fixture
def service() -> Iterator[Misbehaving]:
    """Such a service."""
    HURRY.clear()
    service = Misbehaving()
    yield service
    service.close()


@pytest.fixture
def client(service: Misbehaving) -> "SecretsManagerClient":
    """A client of it, as the layer makes them."""
    return boto3.client(
        "secretsmanager",
        region_name="us-east-1",
        endpoint_url=service.url,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=CONFIG,
    )


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The shortest timeout that we promise something for; time passes only if somebody waits for it."""
    clock = Clock(left=10)
    monkeypatch.setattr(rotation.deadline, "time", clock)
    return clock


def look(client: "SecretsManagerClient", clock: Clock) -> Mapping[str, object]:
    """Make a call."""
    return call_aws(lambda: client.describe_secret(SecretId="secret"), Deadline(clock.seconds_left), DOING, PERMISSION)


@pytest.mark.parametrize("behaviour", PASSING)
def test_ten_bad_answers_in_a_row_are_recovered_from(
    service: Misbehaving, client: "SecretsManagerClient", clock: Clock, behaviour: str
) -> None:
    service.behaviours = iter([PASSING[behaviour]] * IN_A_ROW)
    assert look(client, clock)["ARN"] == "arn:secret"
    assert service.requests == IN_A_ROW + 1
    assert clock.left >= RESERVED_SECONDS


@pytest.mark.parametrize("behaviour", PASSING)
def test_a_service_that_does_not_recover_ends_the_call_in_time(
    service: Misbehaving, client: "SecretsManagerClient", clock: Clock, behaviour: str
) -> None:
    service.behaviours = itertools.repeat(PASSING[behaviour])
    with pytest.raises(ServiceFailed, match=rf"^{DOING}: {PERMISSION} .*\(\d+ times\)") as caught:
        look(client, clock)
    assert f"({service.requests} times)" in caught.value.cause
    assert service.requests > IN_A_ROW
    assert clock.left >= RESERVED_SECONDS


@pytest.mark.parametrize("behaviour", SLOW)
def test_ten_answers_that_do_not_come_in_a_row_are_recovered_from(
    service: Misbehaving,
    client: "SecretsManagerClient",
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    behaviour: str,
) -> None:
    monkeypatch.setattr(rotation.aws, "TRY_SECONDS", 0.1)
    service.behaviours = iter([SLOW[behaviour]] * IN_A_ROW)
    assert look(client, clock)["ARN"] == "arn:secret"
    assert service.requests == IN_A_ROW + 1


@pytest.mark.parametrize("behaviour", SLOW)
def test_an_answer_that_does_not_come_is_waited_for_no_longer_than_there_is_time(
    service: Misbehaving, client: "SecretsManagerClient", clock: Clock, behaviour: str
) -> None:
    clock.left = RESERVED_SECONDS + 0.3
    service.behaviours = itertools.repeat(SLOW[behaviour])
    with pytest.raises(ServiceFailed, match=rf"{PERMISSION} gave no answer \(TimeoutError\)") as caught:
        call_aws(
            lambda: client.describe_secret(SecretId="secret"),
            Deadline(iter([clock.left, RESERVED_SECONDS]).__next__),
            DOING,
            PERMISSION,
        )
    assert "a route to secretsmanager" in caught.value.remedy


def test_a_good_answer_is_asked_for_once(service: Misbehaving, client: "SecretsManagerClient", clock: Clock) -> None:
    assert look(client, clock)["Name"] == "secret"
    assert service.requests == 1
    assert clock.waits == []


def test_a_refusal_that_stays_one_is_asked_for_once(
    service: Misbehaving, client: "SecretsManagerClient", clock: Clock
) -> None:
    service.behaviours = itertools.repeat(say("400 Bad Request", json.dumps({"__type": "AccessDeniedException"})))
    with pytest.raises(ServiceFailed, match="AccessDeniedException"):
        look(client, clock)
    assert service.requests == 1


def test_without_time_nothing_is_asked(service: Misbehaving, client: "SecretsManagerClient", clock: Clock) -> None:
    clock.left = RESERVED_SECONDS
    with pytest.raises(OutOfTime, match=DOING):
        look(client, clock)
    assert service.requests == 0


@pytest.mark.parametrize(
    ("said", "called"),
    [
        (None, ["https://rds.eu-central-1.amazonaws.com", "https://rds.us-east-1.amazonaws.com"]),
        ("", ["https://rds.eu-central-1.amazonaws.com", "https://rds.us-east-1.amazonaws.com"]),
        ("https://vpce-1.example", ["https://vpce-1.example", "https://rds.us-east-1.amazonaws.com"]),
    ],
)
def test_an_endpoint_of_rds_is_called_for_the_functions_own_region_only(
    said: str | None, called: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"AWS_REGION": "eu-central-1", "AWS_DEFAULT_REGION": "eu-central-1"}.items():
        monkeypatch.setenv(name, value)
    if said is not None:
        monkeypatch.setenv("RDS_ENDPOINT", said)
    clients = new_clients(aws_access_key_id="test", aws_secret_access_key="test")
    assert [clients.rds(region).meta.endpoint_url for region in ("eu-central-1", "us-east-1")] == called
