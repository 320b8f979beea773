"""Does each function say which server it has met, if it is one of another engine?

Every function against every server: real PostgreSQL, MySQL and MariaDB, stand-ins for the others.
"""

import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from rotation.deadline import Deadline
from rotation.engines.other_engine import ENGINE_VALUES
from rotation.errors import LoginBlocked, Unreachable
from tests import servers
from tests.contract.impostor import Line, Talk, posing
from tests.contract.oracle_kit import LEAKS
from tests.laboratories import Laboratory

pytestmark = pytest.mark.sample(2)

SECONDS = 4.5
"""What Lambda still gives. MySQL's client waits for a greeting, and takes half of it until it gives up."""

NEWEST = {name: list(each.own)[-1] for name, each in servers.SERVERS.items()}
ENGINES = {name: each.engine for name, each in servers.SERVERS.items()}

type Trusted = Callable[[str], Laboratory]


def soon() -> Deadline:
    """Return a deadline on a real clock: some clients and servers wait for each other."""
    until = time.monotonic() + SECONDS
    return Deadline(lambda: until - time.monotonic())


@LEAKS
@pytest.mark.usefixtures("collected")
@pytest.mark.thorough(tls=[False])
@pytest.mark.parametrize("tls", [True, False], ids=["with TLS", "without"])
@pytest.mark.parametrize("theirs", NEWEST)
@pytest.mark.parametrize("ours", NEWEST)
def test_a_server_of_another_engine_is_named_with_the_function_to_attach(
    trusted: Trusted, ours: str, theirs: str, *, tls: bool
) -> None:
    there, engine = trusted(NEWEST[theirs]), ENGINES[ours]
    if ours == "db2":
        trusted(NEWEST[ours])  # IBM's client keeps the first authorities that it reads, for all tests of a process
    if ours == theirs:
        with engine.connect(there.admin, soon()):
            return
    own, other = engine.kind.name, there.engine.kind.name
    database = engine.kind.default_database or ("ORDERS" if engine.kind.needs_database else None)
    user = replace(there.admin, engine=ENGINE_VALUES[own], database=database, tls=tls)
    with pytest.raises(LoginBlocked) as raised, engine.connect(user, soon()):
        pass
    assert raised.value.cause.startswith(f"the server there is {other}")
    assert f'"engine" in the secret ("{user.engine}"), are for {own}' in raised.value.cause
    assert f"Attach the rotation function for {other} to the secret" in raised.value.remedy
    assert f'write "engine": "{ENGINE_VALUES[other]}"' in raised.value.remedy


def refuses_as_mysql(line: Line) -> None:
    line.say(b"J\0\0\0\xff\x6a\x04Host '10.0.0.1' is not allowed to connect to this MySQL server")


def refuses_as_mariadb(line: Line) -> None:
    line.say(b"J\0\0\0\xff\x6a\x04Host '10.0.0.1' is not allowed to connect to this MariaDB server")


def has_no_place_left(line: Line) -> None:
    if line.hear().startswith(b"\0\0\0\x08"):
        line.say(b"E\0\0\0\x55SFATAL\0VFATAL\0C53300\0Msorry, too many clients already\0\0")


@pytest.mark.parametrize(
    ("talk", "other"),
    [(refuses_as_mysql, "MySQL"), (refuses_as_mariadb, "MariaDB"), (has_no_place_left, "PostgreSQL")],
)
def test_a_server_that_refuses_before_it_greets_is_named(trusted: Trusted, talk: Talk, other: str) -> None:
    admin, engine = trusted(NEWEST["sqlserver"]).admin, ENGINES["sqlserver"]
    with posing(talk) as impostor:
        stranger = replace(admin, port=impostor.port)
        with pytest.raises(LoginBlocked, match=f"the server there is {other}"), engine.connect(stranger, soon()):
            pass
    assert admin.username.encode() not in impostor.heard


def test_what_is_no_database_is_asked_without_a_word_about_the_login_and_named_nothing(trusted: Trusted) -> None:
    admin, engine = trusted(NEWEST["sqlserver"]).admin, ENGINES["sqlserver"]
    with posing(lambda line: line.say(b"SSH-2.0-OpenSSH_9.2\r\n")) as impostor:
        stranger = replace(admin, port=impostor.port)
        with pytest.raises((Unreachable, LoginBlocked)) as raised, engine.connect(stranger, soon()):
            pass
    assert "Attach" not in raised.value.remedy
    assert len(impostor.lines) == 5
    for secret in (admin.username, admin.password):
        assert secret.encode() not in impostor.heard
        assert secret.encode("utf-16-le") not in impostor.heard
