"""Which codes of Db2 mean that a user lacks a right? IBM's own client puts them into words."""

import pytest

from rotation.engines.db2.proof import REGISTERS
from rotation.errors import NotPermitted, StatementFailed
from tests.laboratories import deadline
from tests.laboratories.db2 import Db2Laboratory
from tests.local.stand_ins.db2.catalog import Db2Error
from tests.local.stand_ins.db2.session import Session as Inside

pytestmark = pytest.mark.engine("db2")


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (Db2Error(-567, "42602", "APP"), "SQL0567N .*does not meet the identifier naming rules"),
        (Db2Error(-553, "42939", "SYSX"), "SQL0553N .*schema name"),
        (Db2Error(-20188, "429BG", "K"), "SQL20188N .*key"),
    ],
)
def test_what_is_no_lack_of_a_right_is_not_reported_as_one(
    laboratory: Db2Laboratory, monkeypatch: pytest.MonkeyPatch, error: Db2Error, says: str
) -> None:
    with laboratory.engine.connect(laboratory.admin, deadline()) as session:
        session.connection.execute("asking", REGISTERS)
        refuse(monkeypatch, error)
        with pytest.raises(StatementFailed, match=says):
            session.connection.execute("granting", "GRANT CONNECT ON DATABASE TO USER app")
        monkeypatch.undo()


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (Db2Error(-551, "42501", "APP", "GRANT", "T"), "SQL0551N .*privilege"),
        (Db2Error(-552, "42502", "APP", "GRANT"), "SQL0552N .*privilege"),
    ],
)
def test_a_lack_of_a_right_is(
    laboratory: Db2Laboratory, monkeypatch: pytest.MonkeyPatch, error: Db2Error, says: str
) -> None:
    with laboratory.engine.connect(laboratory.admin, deadline()) as session:
        session.connection.execute("asking", REGISTERS)
        refuse(monkeypatch, error)
        with pytest.raises(NotPermitted, match=says):
            session.connection.execute("granting", "GRANT CONNECT ON DATABASE TO USER app")
        monkeypatch.undo()


def refuse(monkeypatch: pytest.MonkeyPatch, error: Db2Error) -> None:
    """Let the server refuse all statements."""

    def prepare(*_: object, **__: object) -> object:
        raise error

    monkeypatch.setattr(Inside, "prepare", prepare)
