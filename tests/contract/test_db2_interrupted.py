"""Does a rotation on Db2 end what an interrupted one began, and nothing else?"""

import copy
import itertools
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

import pytest

from rotation.engines.db2.connection import Db2Connection
from tests.contract.db2_turns import RIGHTS, Turns, change_many, give, prepare_many
from tests.contract.pairs import set_secret
from tests.contract.test_db2_rights import prepare_objects
from tests.laboratories.db2 import Db2Laboratory
from tests.local.stand_ins.db2.database import Instance

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


def test_wherever_a_rotation_is_cut_off_the_next_one_ends_it(
    laboratory: Db2Laboratory, instance: Instance, monkeypatch: pytest.MonkeyPatch, stride: int
) -> None:
    prepare_objects(instance)
    turns, seen = Turns(laboratory, instance, laboratory.new_user()), set[str]()
    prepare_many(turns)
    change_many(turns)
    before = turns.compared()
    with snapshot(turns) as restore:
        for number in itertools.count(0, stride):
            restore()
            if not is_cut_off(turns, monkeypatch, number):
                break
            after = turns.compared()
            assert {*after.sentences} <= {*before.sentences, *before.passing}
            seen |= {
                one.replace(turns.current.username, "user").replace(turns.other, "other") for one in after.sentences
            }
            turns.rotate()
    assert number > 12
    table = 'ON TABLE "LAB"."LAB_INVOICES"'
    assert f"other has DELETE {table} WITH GRANT OPTION, user has not" in seen, "CONTROL brought it"
    assert f"other has SELECT {table} WITH GRANT OPTION, user has SELECT {table}" in seen, "and the option"
    assert 'other lacks ROLE "CLERKS"' in seen, "between the two procedures"


def test_a_rotation_that_created_the_other_one_is_ended(
    laboratory: Db2Laboratory, instance: Instance, monkeypatch: pytest.MonkeyPatch, stride: int
) -> None:
    prepare_objects(instance)
    for number in itertools.count(0, stride):
        turns = Turns(laboratory, instance, laboratory.new_user())
        give(turns, RIGHTS["role"], turns.current.username)
        if not is_cut_off(turns, monkeypatch, number):
            break
        turns.rotate()
    assert number > 5


def test_what_an_administrator_did_after_an_interruption_is_not_undone(
    pair: Turns, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(pair, RIGHTS["table"], pair.current.username)
    assert is_cut_off(pair, monkeypatch, 0)
    give(pair, RIGHTS["sequence"], pair.other)
    _, compared = pair.refused()
    for difference in compared.differences:
        pair.run(difference.change_other)
    pair.rotate()


@contextmanager
def snapshot(turns: Turns) -> Iterator[Callable[[], None]]:
    """Remember the server and the secret as they are; yield what brings that back."""
    instance, database = turns.instance, turns.instance.databases[turns.laboratory.admin.database or ""]
    users, secret, memory = copy.deepcopy(instance.users), copy.copy(vars(turns)), sqlite3.connect(":memory:")
    labels = turns.record.labels
    with database.open() as store:
        store.backup(memory)

    def restore() -> None:
        with database.open() as store:
            memory.backup(store)
        instance.users = copy.deepcopy(users)
        vars(turns).update(secret)
        turns.record.labels = labels

    with closing(memory):
        yield restore


def is_cut_off(turns: Turns, monkeypatch: pytest.MonkeyPatch, number: int) -> bool:
    """Rotate, and be cut off before one of the statements that change something; return False if it has not so many."""
    left = itertools.count(number, -1)

    def cutting[**P, T](method: Callable[P, T], *, always: bool = False) -> Callable[P, T]:
        def cut(*arguments: P.args, **options: P.kwargs) -> T:
            text = str(arguments[2]) if len(arguments) > 2 else ""
            if (always or CHANGES.match(text)) and not next(left):
                raise KeyboardInterrupt
            return method(*arguments, **options)

        return cut

    with monkeypatch.context() as patch:
        patch.setattr(Db2Connection, "execute", cutting(Db2Connection.execute))
        patch.setattr(Db2Connection, "call", cutting(Db2Connection.call, always=True))
        patch.setattr(Db2Connection, "commit", cutting(Db2Connection.commit, always=True))
        try:
            set_secret(turns.laboratory, turns.current, *turns.earlier, pair=turns.record)
        except KeyboardInterrupt:
            return True
    return False


CHANGES = re.compile(r"GRANT CONTROL|CALL RDSADMIN\.(?!LIST)")
"""All GRANTs and REVOKEs of a round are one transaction, so to be cut off at any of them is the same."""
