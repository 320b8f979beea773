"""What do the contract tests of several modules ask for?"""

import gc
import secrets
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from rotation.credential import Credential
from tests.contract.pairs import Pair, new_pair
from tests.contract.sqlserver_kit import alter
from tests.laboratories import Laboratory, new_password
from tests.laboratories.oracle import OracleLaboratory, own, quoted
from tests.laboratories.sqlserver import SQLServerLaboratory, bracketed
from tests.local.stand_ins.db2.database import Instance
from tests.local.stand_ins.oracle import server as oracle_server

if TYPE_CHECKING:
    from tests.laboratories.db2 import Db2Laboratory  # it imports IBM's client, which is for x86_64 only


@pytest.fixture
def pair(laboratory: Laboratory) -> Pair:
    """A user and its clone, mirrored once, both logging in."""
    return new_pair(laboratory)


@pytest.fixture(params=[False, True], ids=["forth", "back"])
def turn(request: pytest.FixtureRequest, pair: Pair) -> Pair:
    """The pair, the current one first: each of the two once."""
    return pair[::-1] if request.param else pair


@pytest.fixture
def closed_port() -> int:
    """A port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


# Oracle


@pytest.fixture
def old_oracle(monkeypatch: pytest.MonkeyPatch) -> Iterator[OracleLaboratory]:
    """A server from before gradual rollover."""
    with own((19, 3, 0, 0, 0)) as laboratory:
        monkeypatch.setenv("DB_CA_BUNDLE", str(laboratory.ca_bundle))
        yield laboratory


@pytest.fixture
def stand_in(oracle: OracleLaboratory) -> oracle_server.Server:
    """What only the stand-in can be made to do."""
    if not oracle.server:
        pytest.skip("a real server does not do that on demand")
    return oracle.server


@pytest.fixture
def dual(oracle: OracleLaboratory) -> Credential:
    """A user that may have two passwords."""
    user = oracle.new_user()
    oracle.allow_two_passwords(user.username, by_itself=True)
    return user


@pytest.fixture
def things(oracle: OracleLaboratory) -> str:
    """Roles, and a schema with a table or two, once for each server; returns the schema."""
    if oracle.admin.username not in SCHEMAS:
        schema = SCHEMAS[oracle.admin.username] = f"LAB_{secrets.token_hex(4)}".upper()
        oracle.alter(
            f"CREATE USER {schema} IDENTIFIED BY {quoted(new_password())}",
            f"ALTER USER {schema} QUOTA UNLIMITED ON users",
            f'CREATE TABLE {schema}."t ON x TO y" (id NUMBER, "co,l" NUMBER)',
            f"CREATE TABLE {schema}.parts (id NUMBER, price NUMBER)",
            f"CREATE ROLE {schema}_ROLE",
            f'CREATE ROLE "{schema} role; --"',
            f"CREATE SEQUENCE {schema}.numbers",
        )
    return SCHEMAS[oracle.admin.username]


SCHEMAS: dict[str, str] = {}
"""By the admin, whom each laboratory has for itself."""


@pytest.fixture
def collected() -> Iterator[None]:
    """Collect garbage at the end of the test: what it finds later would be another test's fault."""
    yield
    gc.collect()


# SQL Server


@pytest.fixture
def contained(sqlserver: SQLServerLaboratory) -> Pair:
    """A contained user and its clone, mirrored once, both logging in."""
    return new_pair(sqlserver, sqlserver.new_contained_user())


@pytest.fixture
def database(sqlserver: SQLServerLaboratory) -> Iterator[str]:
    """One more database, which the admin owns."""
    name = f"it's ]] [{secrets.token_hex(3)}"
    alter(sqlserver, f"CREATE DATABASE {bracketed(name)}")
    alter(sqlserver, f"CREATE USER {sqlserver.admin.username} FOR LOGIN {sqlserver.admin.username}", database=name)
    alter(sqlserver, f"ALTER ROLE db_owner ADD MEMBER {sqlserver.admin.username}", database=name)
    yield name
    alter(sqlserver, f"DROP DATABASE {bracketed(name)}")


# Db2


@pytest.fixture
def instance(db2: "Db2Laboratory") -> Instance:
    """The stand-in from inside; a real server shows no such thing."""
    if not db2.instance:
        pytest.skip("looks into the stand-in")
    return db2.instance
