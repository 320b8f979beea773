"""Can an old look undo what an administrator did while the session was reading?"""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from rotation.engine import Unshared
from rotation.engines.oracle.session import OracleSession
from rotation.engines.sqlserver.session import SQLServerSession
from rotation.errors import RightsDiffer
from tests.contract.pairs import RecordInMemory, new_pair, set_secret
from tests.contract.sqlserver_kit import alter
from tests.laboratories import Laboratory
from tests.laboratories.oracle import OracleLaboratory, known, quoted
from tests.laboratories.sqlserver import SQLServerLaboratory, bracketed


def lock_while_objects_are_read(
    laboratory: Laboratory,
    session: type[OracleSession] | type[SQLServerSession],
    lock: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Lock the other user while a rotation looks for what the two cannot share, which can take long."""
    (user, clone), record = new_pair(laboratory), RecordInMemory()
    pending = set_secret(laboratory, user, clone, pair=record)
    unshared: Callable[[Any, str, str], Sequence[Unshared]] = session.unshared

    def read_and_lock(via: OracleSession | SQLServerSession, one: str, other: str) -> Sequence[Unshared]:
        found = unshared(via, one, other)
        lock(other)
        return found

    monkeypatch.setattr(session, "unshared", read_and_lock)
    with pytest.raises(RightsDiffer, match="somebody has locked"):
        set_secret(laboratory, pending, user, pair=record)
    assert not laboratory.logs_in(user)


def test_a_lock_of_oracle_stays(oracle: OracleLaboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    def lock(other: str) -> None:
        oracle.alter(f"ALTER USER {quoted(known(other))} ACCOUNT LOCK")

    lock_while_objects_are_read(oracle, OracleSession, lock, monkeypatch)


def test_a_lock_of_sql_server_stays(sqlserver: SQLServerLaboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    def lock(other: str) -> None:
        alter(sqlserver, f"ALTER LOGIN {bracketed(other)} DISABLE")

    lock_while_objects_are_read(sqlserver, SQLServerSession, lock, monkeypatch)
