"""Does one step that is delivered twice at the same time end well in both, on Db2?"""

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from rotation.credential import Credential
from rotation.engine import CloneStatus
from rotation.errors import NotPermitted, StatementFailed
from tests.contract.db2_kit import inside
from tests.laboratories import INVOICES, deadline
from tests.laboratories.db2 import Db2Laboratory, quoted
from tests.local.stand_ins.db2 import rdsadmin
from tests.local.stand_ins.db2.catalog import Db2Error
from tests.local.stand_ins.db2.database import Instance
from tests.local.stand_ins.db2.rdsadmin import PROCEDURES, Procedure
from tests.local.stand_ins.db2.session import Session as Inside

pytestmark = pytest.mark.engine("db2")


@pytest.mark.parametrize("procedure", ["ADD_USER", "ADD_GROUPS", "REMOVE_GROUPS", "CHANGE_PASSWORD"])
def test_the_other_delivery_is_faster_with_the_users(
    laboratory: Db2Laboratory, instance: Instance, monkeypatch: pytest.MonkeyPatch, procedure: str
) -> None:
    user, clone = pair(laboratory)
    if procedure == "REMOVE_GROUPS":
        laboratory.administer("CALL RDSADMIN.ADD_USER(?, ?, ?)", clone.username, "Another-1", "group")
    meet(monkeypatch, procedure, lambda: step(laboratory, user, clone))
    step(laboratory, user, clone)
    assert laboratory.logs_in(clone)
    with laboratory.engine.connect(laboratory.admin, deadline()) as session:
        assert session.compare(user.username, clone.username).sentences == []
        assert session.clone_status(user.username, clone.username) is CloneStatus.OURS
    assert instance.user(clone.username)


@pytest.mark.parametrize("statement", ["GRANT", "REVOKE"])
def test_the_other_delivery_is_faster_with_the_rights(
    laboratory: Db2Laboratory, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    user, clone = pair(laboratory)
    step(laboratory, user, clone)
    laboratory.allow(user.username, INVOICES)
    laboratory.allow(clone.username, "LAB_ORDERS")
    laboratory.forbid(user.username, "LAB_ORDERS")
    prepare, met = Inside.prepare, threading.Event()

    def at_the_statement(session: Inside, text: str, **options: bool) -> Any:  # noqa: ANN401 - what it returns
        if text.startswith(f"{statement} SELECT") and not met.is_set():
            met.set()
            session.rollback()
            step(laboratory, user, clone)
        return prepare(session, text, **options)

    monkeypatch.setattr(Inside, "prepare", at_the_statement)
    step(laboratory, user, clone)
    assert met.is_set()
    with laboratory.engine.connect(laboratory.admin, deadline()) as session:
        assert session.compare(user.username, clone.username).sentences == []


def test_the_other_delivery_is_faster_with_what_only_rds_revokes(
    laboratory: Db2Laboratory, instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, clone = pair(laboratory)
    step(laboratory, user, clone)
    role = f"R_{user.username.upper()}"
    laboratory.administer("CALL RDSADMIN.CREATE_ROLE(?, ?)", laboratory.admin.database, role)
    inside(instance, f"GRANT ROLE {role} TO USER {quoted(clone.username.upper())}")
    meet(monkeypatch, "REVOKE_ROLE", lambda: step(laboratory, user, clone))
    step(laboratory, user, clone)
    with laboratory.engine.connect(laboratory.admin, deadline()) as session:
        assert session.compare(user.username, clone.username).sentences == []


def test_a_deadlock_of_the_two_is_begun_anew(laboratory: Db2Laboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    user, clone = pair(laboratory)
    refuse_once(monkeypatch, Db2Error(-911, "40001", "2"))
    step(laboratory, user, clone)
    assert laboratory.logs_in(clone)


def test_a_lock_that_was_waited_for_too_long_is_not(laboratory: Db2Laboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    user, clone = pair(laboratory)
    refuse_once(monkeypatch, Db2Error(-911, "40001", "68"))
    with pytest.raises(StatementFailed, match="SQL0911N"):
        step(laboratory, user, clone)


def test_who_was_created_by_somebody_else_in_between_is_not_taken(
    laboratory: Db2Laboratory, instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, clone = pair(laboratory)
    meet(monkeypatch, "ADD_USER", lambda: instance.add(clone.username, "Somebody-else-1", {"others"}))
    with pytest.raises((StatementFailed, NotPermitted), match="already exists"):
        step(laboratory, user, clone)
    assert laboratory.logs_in(replace(clone, password="Somebody-else-1")) is False, "it has no CONNECT"
    assert instance.users[clone.username].password == "Somebody-else-1"


def test_two_deliveries_at_the_same_time_end_well(laboratory: Db2Laboratory, instance: Instance) -> None:
    user, clone = pair(laboratory)
    laboratory.allow(user.username, INVOICES)
    begin, ended = threading.Barrier(2), list[str]()

    def deliver() -> None:
        begin.wait()
        step(laboratory, user, clone)
        ended.append("well")

    threads = [threading.Thread(target=deliver) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ended == ["well", "well"]
    assert laboratory.logs_in(clone)
    assert instance.user(clone.username)


def pair(laboratory: Db2Laboratory) -> tuple[Credential, Credential]:
    """Make a user, and name its clone."""
    user = laboratory.new_user()
    return user, replace(user, username=f"{user.username}_clone", password="Pending-password-1")


def step(laboratory: Db2Laboratory, user: Credential, clone: Credential) -> None:
    """Do what setSecret does as the admin."""
    with laboratory.engine.connect(laboratory.admin, deadline()) as session:
        session.clone_status(user.username, clone.username)
        session.unshared(user.username, clone.username)
        session.mirror(user.username, clone.username)
        session.set_password(clone.username, clone.password)


def meet(monkeypatch: pytest.MonkeyPatch, name: str, other: Callable[[], object]) -> None:
    """Let something else happen, once, when a procedure of RDS is called."""
    procedure, met = PROCEDURES[name], threading.Event()

    def run(session: Inside, *arguments: str) -> Any:  # noqa: ANN401 - what the procedure returns
        if not met.is_set():
            met.set()
            other()
        return procedure.run(session, *arguments)

    monkeypatch.setitem(rdsadmin.PROCEDURES, name, Procedure(run, procedure.returns_task))


def refuse_once(monkeypatch: pytest.MonkeyPatch, error: Db2Error) -> None:
    """Let the server refuse one GRANT, and roll back."""
    prepare, met = Inside.prepare, threading.Event()

    def refuse(session: Inside, text: str, **options: bool) -> Any:  # noqa: ANN401 - what it returns
        if text.startswith("GRANT") and not met.is_set():
            met.set()
            session.rollback()
            raise error
        return prepare(session, text, **options)

    monkeypatch.setattr(Inside, "prepare", refuse)
