"""Does Db2 say what a rotation does not see?"""

import logging

import pytest

from tests.laboratories import deadline
from tests.laboratories.db2 import Db2Laboratory
from tests.local.stand_ins.db2.database import Instance

pytestmark = pytest.mark.engine("db2")


def test_other_databases_of_the_server_are_named_when_a_rotation_runs(
    laboratory: Db2Laboratory,
    instance: Instance,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    user = laboratory.new_user()
    clone = f"{user.username}_clone"
    more = {f"DB{number:02}": instance.databases["TESTDB"] for number in range(12)}
    entered = len(instance.sessions)
    with caplog.at_level(logging.INFO, logger="rotation"):
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            session.mirror(user.username, clone)
        assert warnings(caplog) == []
        assert "Storage access aliases cannot be read" in caplog.text
        monkeypatch.setattr(instance, "databases", instance.databases | more)
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            session.mirror(user.username, clone)
    [warning] = warnings(caplog)
    listed = ", ".join(f"DB{number:02}" for number in range(10))
    assert f"{clone} gets rights in TESTDB only. The server has other databases: {listed}, …" in warning
    assert {one.database.name for one in instance.sessions[entered:]} == {"TESTDB", "RDSADMIN"}, (
        "it enters none of them"
    )


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the warnings."""
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
