"""Do two rotations at the same time end well on Db2, of one secret or of two?"""

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from rotation.errors import RightsDiffer
from tests.contract.db2_turns import Turns, change_many, prepare_many
from tests.contract.pairs import RecordInMemory, set_secret
from tests.contract.test_db2_rights import prepare_objects
from tests.laboratories import INVOICES, new_password
from tests.laboratories.db2 import Db2Laboratory
from tests.local.stand_ins.db2.database import Instance
from tests.local.stand_ins.db2.session import Session as Inside

pytestmark = pytest.mark.engine("db2")


@pytest.fixture
def laboratory(laboratory: Db2Laboratory) -> Db2Laboratory:
    """The laboratory without TLS, which takes IBM's client 0.2 s for each login."""
    return replace(laboratory, admin=replace(laboratory.admin, tls=False))


@pytest.fixture
def pair(laboratory: Db2Laboratory, instance: Instance) -> Turns:
    """A pair whose clone is current."""
    prepare_objects(instance)
    turns = Turns(laboratory, instance, laboratory.new_user())
    turns.rotate()
    return turns


@pytest.mark.parametrize("is_new", [True, False])
def test_a_step_that_is_delivered_twice_at_the_same_time_ends_well_in_both(
    laboratory: Db2Laboratory, instance: Instance, *, is_new: bool
) -> None:
    turns = Turns(laboratory, instance, laboratory.new_user())
    if not is_new:
        turns.rotate()
    laboratory.allow(turns.current.username, INVOICES)
    password = new_password()

    def deliver() -> None:
        set_secret(laboratory, turns.current, *turns.earlier, pair=turns.record, password=password)

    at_the_same_time(deliver, deliver)
    assert turns.held(turns.current.username) == turns.held(turns.other)
    turns.rotate()


@pytest.mark.parametrize("statement", ["GRANT", "REVOKE", "CALL RDSADMIN.ADD_GROUPS", "CALL RDSADMIN.GRANT_ROLE"])
def test_the_other_delivery_comes_in_between_and_both_end_well(
    pair: Turns, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    prepare_many(pair)
    change_many(pair)
    prepare, met = Inside.prepare, threading.Event()

    def at_the_statement(session: Inside, text: str, **options: bool) -> Any:  # noqa: ANN401 - what it returns
        if text.startswith(statement) and not met.is_set():
            met.set()
            session.rollback()  # so that the stand-in does not wait for itself
            set_secret(pair.laboratory, pair.current, *pair.earlier, pair=pair.record)
        return prepare(session, text, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Inside, "prepare", at_the_statement)
        pair.rotate()
    assert met.is_set()
    pair.rotate()


def test_two_secrets_with_one_admin_rotate_at_the_same_time(laboratory: Db2Laboratory, instance: Instance) -> None:
    two = [Turns(laboratory, instance, laboratory.new_user()) for _ in range(2)]
    for _ in range(2):
        at_the_same_time(*[one.rotate for one in two])
        for one in two:
            laboratory.administer("CALL RDSADMIN.ADD_GROUPS(?, ?)", one.current.username, "sales")
            laboratory.allow(one.current.username, INVOICES)


def test_two_secrets_of_one_pair_follow_the_current_user_both(laboratory: Db2Laboratory) -> None:
    """Each has its own record. What the other secret's rotation did is a change of the other user to it: refused."""
    user, records = laboratory.new_user(), (RecordInMemory(), RecordInMemory())
    clone = set_secret(laboratory, user, pair=records[0])
    set_secret(laboratory, user, clone, pair=records[1])
    for change, turn in ((laboratory.allow, records), (laboratory.forbid, records[::-1])):
        change(user.username, INVOICES)
        for record in turn:
            pending = set_secret(laboratory, user, pair=record)
            assert laboratory.logs_in(pending)
    laboratory.allow(user.username, INVOICES)
    set_secret(laboratory, user, pair=records[0])
    laboratory.forbid(user.username, INVOICES)
    with pytest.raises(RightsDiffer, match="was changed since the last rotation"):
        set_secret(laboratory, user, pair=records[1])
    set_secret(laboratory, user, pair=records[0])
    set_secret(laboratory, user, pair=records[1])


def at_the_same_time(*actions: Callable[[], object]) -> None:
    """Run all of them at once; each must end well."""
    begin, ended = threading.Barrier(len(actions)), list[str]()

    def run(action: Callable[[], object]) -> None:
        begin.wait()
        action()
        ended.append("well")

    threads = [threading.Thread(target=run, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ended == ["well"] * len(actions)
