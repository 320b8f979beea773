"""Does a rotation of Oracle end well if something else happens at the same time?"""

import itertools
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial

import pytest

from rotation.credential import Credential
from rotation.engine import CloneStatus
from rotation.engines.oracle.connection import OracleConnection
from rotation.engines.oracle.definition import Definition
from rotation.engines.oracle.pair import OraclePair
from rotation.errors import StatementFailed, Unsafe
from tests.contract.oracle_kit import (
    MAPPING,
    account,
    deliver,
    filled,
    name_of,
)
from tests.contract.pairs import Pair, changed, differences, mirror, new_clone
from tests.laboratories import deadline, new_password
from tests.laboratories.oracle import OracleLaboratory, quoted
from tests.local.stand_ins.oracle.server import Server

pytestmark = pytest.mark.engine("oracle")


# Two at once


class Interrupting:
    """Runs something right before the nth call of a method of a connection, but for calls that only read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, call: str, number: int, act: Callable[[], object]) -> None:
        self._left, self._act = number, act
        self._real = getattr(OracleConnection, call)
        # A function, and not the bound method: so that it is given the connection.
        monkeypatch.setattr(OracleConnection, call, lambda *given, **named: self._call(*given, **named))  # noqa: PLW0108 - see above

    @property
    def is_over(self) -> bool:
        """Whether there were fewer calls than that."""
        return self._left > 0

    def _call(self, *given: object, **named: object) -> object:
        if not str(given[2]).startswith(("ALTER SESSION", "SELECT")):
            self._left -= 1
            if self._left == 0:
                self._act()
        return self._real(*given, **named)


def grown(oracle: OracleLaboratory, things: str, one: Credential, group: str) -> None:
    """Give a user something of each kind."""
    privileges = "sys.dbms_resource_manager_privs"
    oracle.alter(
        f"GRANT CREATE TABLE, {things}_ROLE TO {account(one)} WITH ADMIN OPTION",
        f"GRANT SELECT ON {things}.parts TO {account(one)}",
        f"CREATE SYNONYM {account(one)}.parts FOR {things}.parts",
        f"ALTER USER {account(one)} QUOTA 1048576 ON users",
        f"ALTER USER {account(one)} GRANT CONNECT THROUGH {account(oracle.superuser)}",
        f"BEGIN {privileges}.grant_switch_consumer_group('{name_of(one)}', '{group}', FALSE); END;",
        filled(MAPPING.replace("{g}", group), one, ""),
    )


@pytest.mark.parametrize("who", ["new", "user", "clone"])
def test_a_step_that_is_delivered_twice_at_once_ends_well_in_both(
    oracle: OracleLaboratory, things: str, monkeypatch: pytest.MonkeyPatch, who: str, stride: int
) -> None:
    for number in itertools.count(1 + ["new", "user", "clone"].index(who) % stride, stride):
        user = oracle.new_user()
        clone = new_clone(user)
        if who != "new":
            mirror(oracle, user, clone)
        grown(oracle, things, clone if who == "clone" else user, "BATCH_GROUP")
        with monkeypatch.context() as patch:
            second = Interrupting(patch, "execute", number, partial(deliver, oracle, user, clone))
            deliver(oracle, user, clone)
        assert oracle.logs_in(clone)
        assert differences(oracle, user, clone) == []
        if second.is_over:
            break
    assert number > 7


def test_a_clone_that_another_delivery_is_creating_is_ours(
    oracle: OracleLaboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever of the questions meets the mark."""
    for number in itertools.count(1):
        user = oracle.new_user()
        clone = new_clone(user)
        oracle.alter(f"CREATE USER {account(clone)} IDENTIFIED BY {quoted(new_password())} ACCOUNT LOCK")
        with monkeypatch.context() as patch:
            second = Interrupting(patch, "_call", number, partial(mirror, oracle, user, clone))
            with oracle.engine.connect(oracle.admin, deadline()) as session:
                assert session.clone_status(user.username, clone.username) is CloneStatus.OURS
        if second.is_over:
            break
    assert number > 5


def test_a_name_that_a_stranger_takes_meanwhile_is_left_alone(
    oracle: OracleLaboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = oracle.new_user()
    clone, hers = new_clone(user), new_clone(user)
    with monkeypatch.context() as patch:
        Interrupting(patch, "execute", 1, partial(oracle.new_user, hers.username, hers.password))
        with (
            oracle.engine.connect(oracle.admin, deadline()) as session,
            pytest.raises(Unsafe, match="somebody else has created it"),
        ):
            session.mirror(user.username, clone.username)
    assert oracle.logs_in(hers)


def test_a_clone_that_is_dropped_meanwhile_is_no_defect_of_ours(
    oracle: OracleLaboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was created, and is gone when its rights are read."""
    user = oracle.new_user()
    clone = new_clone(user)
    read = OraclePair._other_definition  # noqa: SLF001 - what comes right after the creation

    def drop_and_read(pair: OraclePair) -> Definition:
        oracle.alter(f"DROP USER {account(clone)}")
        return read(pair)

    monkeypatch.setattr(OraclePair, "_other_definition", drop_and_read)
    with pytest.raises(
        StatementFailed, match=f"reading what {name_of(clone)} is: the account was dropped during the rotation"
    ):
        mirror(oracle, user, clone)


@pytest.mark.parametrize("is_soon_over", [True, False])
def test_resource_plans_that_somebody_else_is_changing_are_waited_for_in_bounds(
    oracle: OracleLaboratory, stand_in: Server, pair: Pair, monkeypatch: pytest.MonkeyPatch, *, is_soon_over: bool
) -> None:
    user, clone = pair
    oracle.alter(filled(MAPPING.replace("{g}", "LOW_GROUP"), user, ""))
    stand_in.database.pending_area = {}
    end = partial(setattr, stand_in.database, "pending_area", None)
    try:
        with monkeypatch.context() as patch:
            Interrupting(patch, "execute", 3 if is_soon_over else 100, end)
            outcome = nullcontext() if is_soon_over else pytest.raises(StatementFailed, match="resource plans")
            with outcome:
                mirror(oracle, user, clone)
    finally:
        end()
    assert (differences(oracle, user, clone) == []) is is_soon_over


def test_a_password_that_somebody_else_changes_meanwhile_is_no_success(
    oracle: OracleLaboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = oracle.new_user()
    now, hers = changed(user), changed(user)
    with monkeypatch.context() as patch, oracle.engine.connect(user, deadline()) as session:
        Interrupting(patch, "_call", 1, partial(oracle.change_password, hers))
        with pytest.raises(StatementFailed, match="since the login"):
            session.change_own_password(now.password)
    assert oracle.logs_in(hers)


@pytest.mark.parametrize(("has_two", "rotated_before"), [(False, False), (True, False), (True, True)])
def test_a_user_that_changes_its_password_twice_at_once_ends_well_in_both(
    oracle: OracleLaboratory, monkeypatch: pytest.MonkeyPatch, *, has_two: bool, rotated_before: bool
) -> None:
    for number in itertools.count(1):
        user = oracle.new_user()
        if has_two:
            oracle.allow_two_passwords(user.username, by_itself=True)
        if has_two and rotated_before:
            before = changed(user)
            change(oracle, user, before, has_two=True)
            user = before
        now = changed(user)
        with monkeypatch.context() as patch:
            second = Interrupting(patch, "_call", number, partial(change, oracle, user, now, has_two=has_two))
            change(oracle, user, now, has_two=has_two)
        assert oracle.logs_in(now)
        assert oracle.logs_in(user) is has_two
        if second.is_over:
            break
    assert number > 1


def change(oracle: OracleLaboratory, user: Credential, now: Credential, *, has_two: bool) -> None:
    with oracle.engine.connect(user, deadline()) as session:
        if has_two:
            session.add_password(user.username, user.password, now.password)
        else:
            session.change_own_password(now.password)
