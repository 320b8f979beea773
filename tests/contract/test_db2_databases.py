"""Does Db2 say what a rotation does not see?"""

import logging
from typing import Any

import pytest

from tests.laboratories import deadline
from tests.laboratories.db2 import Db2Laboratory
from tests.local.stand_ins.db2.catalog import Db2Error
from tests.local.stand_ins.db2.database import Instance
from tests.local.stand_ins.db2.session import Session as Inside

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
        monkeypatch.setattr(instance, "databases", instance.databases | more)
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            session.mirror(user.username, clone)
    [warning] = warnings(caplog)
    listed = ", ".join(f"DB{number:02}" for number in range(10))
    assert f"{clone} gets rights in TESTDB only. The server has other databases: {listed}, …" in warning
    assert {one.database.name for one in instance.sessions[entered:]} == {"TESTDB", "RDSADMIN"}, (
        "it enters none of them"
    )


def test_a_server_that_cannot_list_its_databases_rotates_all_the_same(
    laboratory: Db2Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = laboratory.new_user()
    prepare = Inside.prepare

    def without_the_function(session: Inside, text: str, **options: bool) -> Any:  # noqa: ANN401 - what it returns
        if "LIST_DATABASES" in text:
            raise Db2Error(-440, "42884", "RDSADMIN.LIST_DATABASES", "FUNCTION")
        return prepare(session, text, **options)

    monkeypatch.setattr(Inside, "prepare", without_the_function)
    with laboratory.engine.connect(laboratory.admin, deadline()) as session:
        session.mirror(user.username, f"{user.username}_clone")
        assert session.compare(user.username, f"{user.username}_clone").sentences == []


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the warnings."""
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
