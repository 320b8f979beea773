"""Does Db2 tell its own tasks from those of others, and wait for tasks that RDS lists late?"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from rotation.errors import StatementFailed
from tests.laboratories import deadline
from tests.laboratories.db2 import Db2Laboratory
from tests.local.stand_ins.db2 import rdsadmin
from tests.local.stand_ins.db2.catalog import Db2Error
from tests.local.stand_ins.db2.database import Instance, User
from tests.local.stand_ins.db2.rdsadmin import PROCEDURES, Procedure
from tests.local.stand_ins.db2.session import Session as Inside

pytestmark = pytest.mark.engine("db2")


def test_a_task_that_is_listed_late_is_waited_for(
    laboratory: Db2Laboratory, instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = laboratory.new_user()
    clone = replace(user, username=f"{user.username}_clone")
    monkeypatch.setattr(instance, "hidden", 3)
    monkeypatch.setattr(instance, "delay", 0.3)
    with laboratory.engine.connect(laboratory.admin, deadline()) as session:
        session.mirror(user.username, clone.username)
        session.set_password(clone.username, clone.password)
        assert laboratory.logs_in(clone), "at once, not later"


def test_a_task_that_is_listed_late_and_fails_is_no_success(
    laboratory: Db2Laboratory, instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = laboratory.new_user()
    monkeypatch.setattr(instance, "hidden", 2)
    monkeypatch.setattr(User, "change_password", refuse)
    with (
        pytest.raises(StatementFailed, match=r"RDS's task \d+ failed: .*the directory is full"),
        laboratory.engine.connect(laboratory.admin, deadline()) as session,
    ):
        session.set_password(user.username, "Another-1")


@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize("hidden", [0, 2])
def test_a_failed_task_of_another_secret_fails_nobody_else(
    laboratory: Db2Laboratory, instance: Instance, monkeypatch: pytest.MonkeyPatch, order: str, hidden: int
) -> None:
    user = laboratory.new_user()

    def another_fails(run: Callable[[], Any]) -> Any:  # noqa: ANN401 - what the procedure returns
        if order == "before":
            instance.submit("CHANGE_PASSWORD", "", refuse)
        monkeypatch.setattr(instance, "hidden", hidden)
        number = run()
        monkeypatch.setattr(instance, "hidden", 0)
        if order == "after":
            instance.submit("CHANGE_PASSWORD", "", refuse)
        return number

    around(monkeypatch, "CHANGE_PASSWORD", another_fails)
    refused = instance.refused
    with laboratory.engine.connect(laboratory.admin, deadline()) as session:
        session.set_password(user.username, "Another-1")
    assert laboratory.logs_in(replace(user, password="Another-1"))
    assert instance.refused - refused <= 1, "a wrong password is tried once, at most"


def test_a_failed_task_of_another_secret_fails_no_groups(
    laboratory: Db2Laboratory, instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = laboratory.new_user()
    clone = f"{user.username}_clone"

    def another_fails(run: Callable[[], Any]) -> Any:  # noqa: ANN401 - what the procedure returns
        number = run()
        for kind in ("ADD_USER", "ADD_GROUPS", "REMOVE_GROUPS"):
            instance.submit(kind, "", refuse)
        return number

    with laboratory.engine.connect(laboratory.admin, deadline()) as session:
        for kind in ("ADD_USER", "ADD_GROUPS", "REMOVE_GROUPS"):
            around(monkeypatch, kind, another_fails)
        session.mirror(user.username, clone)
        monkeypatch.undo()
        laboratory.administer("CALL RDSADMIN.ADD_GROUPS(?, ?)", user.username, "sales")
        laboratory.administer("CALL RDSADMIN.REMOVE_GROUPS(?, ?)", user.username, "lab_users")
        for kind in ("ADD_USER", "ADD_GROUPS", "REMOVE_GROUPS"):
            around(monkeypatch, kind, another_fails)
        session.mirror(user.username, clone)
        assert session.compare(user.username, clone).sentences == []


@pytest.mark.parametrize("kind", ["CHANGE_PASSWORD", "ADD_USER"])
def test_a_success_of_another_secret_is_not_taken_for_ours(
    laboratory: Db2Laboratory, instance: Instance, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    user = laboratory.new_user()
    clone = replace(user, username=f"{user.username}_clone", password="Another-1")

    def another_succeeds(run: Callable[[], Any]) -> Any:  # noqa: ANN401 - what the procedure returns
        monkeypatch.setattr(instance, "hidden", 3)
        monkeypatch.setattr(instance, "delay", 0.2)
        number = run()
        monkeypatch.setattr(instance, "hidden", 0)
        monkeypatch.setattr(instance, "delay", None)
        instance.submit(kind, "", lambda: None)
        return number

    with laboratory.engine.connect(laboratory.admin, deadline()) as session:
        if kind == "ADD_USER":
            around(monkeypatch, kind, another_succeeds)
        session.mirror(user.username, clone.username)
        if kind == "CHANGE_PASSWORD":
            around(monkeypatch, kind, another_succeeds)
        refused = instance.refused
        session.set_password(clone.username, clone.password)
        assert laboratory.logs_in(clone), "at once, not later"
    assert instance.refused - refused <= 1, "a wrong password is tried once, at most"


def test_what_rds_has_done_and_nobody_sees_yet_is_not_waited_for_for_ever(
    laboratory: Db2Laboratory, instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = laboratory.new_user()
    monkeypatch.setattr(User, "change_password", lambda *_: None)
    refused = instance.refused
    with laboratory.engine.connect(laboratory.admin, deadline()) as session:
        session.set_password(user.username, "Another-1")
    assert instance.refused - refused == 1


def test_our_own_failed_task_fails_beside_a_success_of_another_secret(
    laboratory: Db2Laboratory, instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = laboratory.new_user()

    def another_succeeds(run: Callable[[], Any]) -> Any:  # noqa: ANN401 - what the procedure returns
        instance.submit("CHANGE_PASSWORD", "", lambda: None)
        return run()

    around(monkeypatch, "CHANGE_PASSWORD", another_succeeds)
    monkeypatch.setattr(User, "change_password", refuse)
    with (
        pytest.raises(StatementFailed, match="the directory is full"),
        laboratory.engine.connect(laboratory.admin, deadline()) as session,
    ):
        session.set_password(user.username, "Another-1")
    assert laboratory.logs_in(user)


def around(monkeypatch: pytest.MonkeyPatch, name: str, wrapper: Callable[[Callable[[], Any]], Any]) -> None:
    """Do something before or after a procedure of RDS."""
    procedure = PROCEDURES[name]

    def run(session: Inside, *arguments: str) -> Any:  # noqa: ANN401 - what the procedure returns
        return wrapper(lambda: procedure.run(session, *arguments))

    monkeypatch.setitem(rdsadmin.PROCEDURES, name, Procedure(run, procedure.returns_task))


def refuse(*_: object) -> None:
    """Fail, as the directory of users can."""
    raise Db2Error(-438, "75000", "the directory is full")
