"""Does a rotation on Db2 keep what an administrator did to either user of a pair, and follow the current one?"""

import copy
import itertools
import re
import secrets
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from rotation.credential import Credential
from rotation.engine import Comparison
from rotation.engines.db2.connection import Db2Connection
from rotation.engines.db2.users import RDSADMIN
from rotation.errors import NotPermitted, RightsDiffer, Unsafe
from rotation.record import MOST_LISTED
from tests.contract.db2_kit import inside
from tests.contract.pairs import RecordInMemory, set_secret
from tests.contract.test_db2_rights import held_by, prepare_objects
from tests.laboratories import INVOICES, deadline
from tests.laboratories.db2 import Db2Laboratory, quoted
from tests.local.stand_ins.db2.database import Instance
from tests.local.stand_ins.db2.session import Session as Inside

pytestmark = pytest.mark.engine("db2")

IN_RDSADMIN = f"in database {RDSADMIN}: "


@dataclass
class Turns:
    """A pair under rotation, with its record."""

    laboratory: Db2Laboratory
    instance: Instance
    current: Credential
    record: RecordInMemory = field(default_factory=RecordInMemory)
    earlier: tuple[Credential, ...] = ()

    @property
    def other(self) -> str:
        """The name of the other user."""
        return self.laboratory.engine.kind.counterpart(self.current.username)

    def rotate(self) -> None:
        """Rotate: the other one is current after that."""
        pending = set_secret(self.laboratory, self.current, *self.earlier, pair=self.record)
        assert self.laboratory.logs_in(pending)
        self.current, self.earlier = pending, (self.current,)
        assert self.held(self.current.username) == self.held(self.other)

    def refused(self) -> tuple[str, Comparison]:
        """Rotate, which must be refused with both statements; return the error, and what differs."""
        before, labels, tasks = self.all_held(), self.record.labels, len(self.instance.tasks)
        with pytest.raises(RightsDiffer) as caught:
            set_secret(self.laboratory, self.current, *self.earlier, pair=self.record)
        assert self.all_held() == before
        assert self.record.labels == labels
        assert len(self.instance.tasks) == tasks
        compared = self.compared()
        for difference in compared.differences[:MOST_LISTED]:
            assert difference.what in str(caught.value)
            assert difference.change_other in str(caught.value)
            assert difference.change_user in str(caught.value)
        return str(caught.value), compared

    def compared(self) -> Comparison:
        """Compare the two, as an admin."""
        with self.laboratory.engine.connect(self.laboratory.admin, deadline()) as session:
            return session.compare(self.current.username, self.other)

    def run(self, text: str) -> None:
        """Run what an error says, as the master user does by hand."""
        for statement in text.split("; "):
            if statement.startswith(IN_RDSADMIN):
                ask = statement.removeprefix(IN_RDSADMIN)
                self.laboratory.administer(ask, *[0] * ask.count("?"))
            else:
                with self.laboratory.session() as run:
                    run(statement)

    def held(self, username: str) -> object:
        """Return all that a user has, not by the driver's own queries."""
        marks = {f"rotates_{self.current.username}".upper(), f"rotates_{self.other}".upper()}
        return held_by(self.instance, username), self.instance.groups(username) - marks

    def all_held(self) -> object:
        """Return what each of the two has."""
        return self.held(self.current.username), self.held(self.other)


@pytest.fixture
def laboratory(laboratory: Db2Laboratory) -> Db2Laboratory:
    """The laboratory without TLS, which takes IBM's client 0.2 s for each login."""
    return replace(laboratory, admin=replace(laboratory.admin, tls=False))


@pytest.fixture(params=["original", "clone"])
def turns(request: pytest.FixtureRequest, laboratory: Db2Laboratory, instance: Instance) -> Turns:
    """A pair whose rotations are recorded. The original is current, or its clone."""
    prepare_objects(instance)
    turns = Turns(laboratory, instance, laboratory.new_user())
    for _ in range(2 if request.param == "original" else 1):
        turns.rotate()
    return turns


@pytest.fixture
def pair(laboratory: Db2Laboratory, instance: Instance) -> Turns:
    """A pair whose clone is current."""
    prepare_objects(instance)
    turns = Turns(laboratory, instance, laboratory.new_user())
    turns.rotate()
    return turns


RIGHTS = {
    "DBADM": "DBADM WITHOUT DATAACCESS WITHOUT ACCESSCTRL ON DATABASE",
    "DATAACCESS": "DATAACCESS ON DATABASE",
    "authority": "LOAD ON DATABASE",
    "role": "ROLE CLERKS … WITH ADMIN OPTION",
    "schema": "CREATEIN ON SCHEMA LAB … WITH GRANT OPTION",
    "schema authority": "SCHEMAADM ON SCHEMA LAB",
    "table": 'SELECT ON TABLE "od d"."it\'s ""x"""',
    "table with option": "INSERT ON TABLE LAB.LAB_ORDERS … WITH GRANT OPTION",
    "column": "UPDATE (ID) ON TABLE LAB.LAB_ORDERS",
    "column with option": "REFERENCES (ID) ON TABLE LAB.LAB_ORDERS … WITH GRANT OPTION",
    "control": "CONTROL ON TABLE LAB.LAB_INVOICES",
    "index": "CONTROL ON INDEX LAB.I",
    "package": "CONTROL ON PACKAGE NULLID.SYSSH200",
    "function": "EXECUTE ON SPECIFIC FUNCTION LAB.F",
    "procedures": "EXECUTE ON PROCEDURE LAB.* … WITH GRANT OPTION",
    "module": "EXECUTE ON MODULE LAB.M",
    "sequence": "USAGE ON SEQUENCE LAB.S",
    "variable": "WRITE ON VARIABLE LAB.V … WITH GRANT OPTION",
    "table space": "USE OF TABLESPACE USERSPACE1",
    "workload": "USAGE ON WORKLOAD SYSDEFAULTUSERWORKLOAD",
    "pass-through": "PASSTHRU ON SERVER ELSEWHERE",
    "group": "GROUP",
}
"""What an administrator gives and takes, of each kind: the text of GRANT, with what follows the grantee."""


def give(turns: Turns, what: str, username: str) -> None:
    """Give a right to a user, as an administrator who may give all of them."""
    if what == "GROUP":
        turns.laboratory.administer("CALL RDSADMIN.ADD_GROUPS(?, ?)", username, "sales")
        return
    right, _, option = what.partition(" … ")
    inside(turns.instance, f"GRANT {right} TO USER {quoted(username.upper())} {option}")


def take(turns: Turns, what: str, username: str) -> None:
    """Take it away again, and all that came with it."""
    if what == "GROUP":
        turns.laboratory.administer("CALL RDSADMIN.REMOVE_GROUPS(?, ?)", username, "sales")
        return
    right = what.partition(" … ")[0].replace(" (ID)", "").replace(" WITHOUT DATAACCESS WITHOUT ACCESSCTRL", "")
    restrict = " RESTRICT" if right.startswith("EXECUTE ON") and "MODULE" not in right else ""
    inside(turns.instance, f"REVOKE {right} FROM USER {quoted(username.upper())}{restrict}")
    if right == "CONTROL ON TABLE LAB.LAB_INVOICES":
        brought = "ALTER, DELETE, INDEX, INSERT, REFERENCES, SELECT, UPDATE ON TABLE LAB.LAB_INVOICES"
        inside(turns.instance, f"REVOKE {brought} FROM USER {quoted(username.upper())}")
    if right == "CONTROL ON PACKAGE NULLID.SYSSH200":
        brought = "BIND, EXECUTE ON PACKAGE NULLID.SYSSH200"
        inside(turns.instance, f"REVOKE {brought} FROM USER {quoted(username.upper())}")


@pytest.mark.parametrize("remedy", ["change_other", "change_user"])
def test_what_was_given_to_the_other_one_is_not_taken(turns: Turns, remedy: str) -> None:
    before = turns.held(turns.current.username)
    for what in RIGHTS.values():
        give(turns, what, turns.other)
    with_all = turns.held(turns.other)
    error, compared = turns.refused()
    assert f"{turns.other} was changed since the last rotation" in error
    assert len(compared.differences) == len(RIGHTS)
    for difference in compared.differences:
        turns.run(getattr(difference, remedy))
    turns.rotate()
    assert turns.held(turns.current.username) == (before if remedy == "change_other" else with_all)


@pytest.mark.parametrize("remedy", ["change_other", "change_user"])
def test_what_was_taken_from_the_other_one_does_not_come_back(turns: Turns, remedy: str) -> None:
    for what in RIGHTS.values():
        give(turns, what, turns.current.username)
    turns.rotate()
    before = turns.held(turns.current.username)
    for what in RIGHTS.values():
        take(turns, what, turns.other)
    without = turns.held(turns.other)
    error, compared = turns.refused()
    assert f"{turns.other} was changed since the last rotation" in error
    assert len(compared.differences) == len(RIGHTS)
    for difference in compared.differences:
        turns.run(getattr(difference, remedy))
    turns.rotate()
    assert turns.held(turns.current.username) == (before if remedy == "change_other" else without)


@pytest.mark.parametrize("what", RIGHTS.values(), ids=RIGHTS)
def test_each_kind_given_to_the_other_one_is_noticed(laboratory: Db2Laboratory, instance: Instance, what: str) -> None:
    """By the state of the other one, or a rotation would take it."""
    turns = noticed(laboratory, instance)
    before = turns.compared()
    give(turns, what, turns.other)
    given = turns.compared()
    assert len(given.differences) == 1
    assert given.user_state == before.user_state
    assert given.other_state != before.other_state
    take(turns, what, turns.other)
    again = turns.compared()
    assert (again.sentences, again.user_state, again.other_state) == ([], before.user_state, before.other_state)


def noticed(laboratory: Db2Laboratory, instance: Instance) -> Turns:
    """Return one pair for many tests: each leaves it as it was."""
    if laboratory.admin.port not in PAIRS:
        prepare_objects(instance)
        turns = Turns(laboratory, instance, laboratory.new_user())
        turns.rotate()
        PAIRS[laboratory.admin.port] = turns
    return PAIRS[laboratory.admin.port]


PAIRS: dict[int, Turns] = {}
"""By the port of the laboratory, which each process has for itself."""


def test_the_current_one_is_followed_both_ways_and_so_is_a_change_of_both(turns: Turns) -> None:
    without = turns.held(turns.current.username)
    for what in RIGHTS.values():
        give(turns, what, turns.current.username)
    turns.rotate()
    assert turns.held(turns.current.username) != without
    for what in RIGHTS.values():
        take(turns, what, turns.current.username)
    turns.rotate()
    assert turns.held(turns.current.username) == without
    for change in (give, take):
        for username, what in itertools.product((turns.current.username, turns.other), RIGHTS.values()):
            change(turns, what, username)
        turns.rotate()


def test_a_change_of_both_sides_is_listed_thing_by_thing(turns: Turns) -> None:
    give(turns, RIGHTS["table"], turns.current.username)
    give(turns, RIGHTS["sequence"], turns.other)
    error, compared = turns.refused()
    assert f"{turns.other} and {turns.current.username} were changed" in error
    other = quoted(turns.other.upper())
    user = quoted(turns.current.username.upper())
    lacks, has = compared.differences
    table, sequence = 'ON TABLE "od d"."it\'s ""x"""', 'ON SEQUENCE "LAB"."S"'
    assert (lacks.what, lacks.change_other, lacks.change_user) == (
        f"{turns.other} lacks SELECT {table}",
        f"GRANT SELECT {table} TO USER {other}",
        f"REVOKE SELECT {table} FROM USER {user}",  # noqa: S608 - made-up names
    )
    assert (has.what, has.change_other, has.change_user) == (
        f"{turns.other} has USAGE {sequence}, {turns.current.username} has not",
        f"REVOKE USAGE {sequence} FROM USER {other}",
        f"GRANT USAGE {sequence} TO USER {user}",
    )
    turns.run(lacks.change_user)
    turns.run(has.change_user)
    turns.rotate()


def test_groups_roles_and_authorities_are_changed_by_the_procedures_of_rds(pair: Turns) -> None:
    for what in ("GROUP", RIGHTS["role with option"], RIGHTS["DBADM"]):
        give(pair, what, pair.other)
    _, compared = pair.refused()
    group, dbadm, role = compared.differences
    user, other, database = pair.current.username, pair.other, pair.laboratory.admin.database
    assert (group.change_other, group.change_user) == (
        f"in database RDSADMIN: CALL RDSADMIN.REMOVE_GROUPS('{other}', 'sales')",
        f"in database RDSADMIN: CALL RDSADMIN.ADD_GROUPS('{user}', 'sales')",
    )
    assert (dbadm.change_other, dbadm.change_user) == (
        f"in database RDSADMIN: CALL RDSADMIN.DBADM_REVOKE(?, '{database}', 'DBADM', 'USER {other.upper()}')",
        f"in database RDSADMIN: CALL RDSADMIN.DBADM_GRANT(?, '{database}', 'DBADM', 'USER {user.upper()}')",
    )
    assert (role.change_other, role.change_user) == (
        f"in database RDSADMIN: CALL RDSADMIN.REVOKE_ROLE(?, '{database}', 'CLERKS', 'USER {other.upper()}')",
        f"in database RDSADMIN: CALL RDSADMIN.GRANT_ROLE(?, '{database}', 'CLERKS', 'USER {user.upper()}', 'Y')",
    )


OPTIONS = (
    ("SELECT ON TABLE LAB.LAB_INVOICES", "SELECT ON TABLE LAB.LAB_INVOICES … WITH GRANT OPTION"),
    (f"{RIGHTS['table']} … WITH GRANT OPTION", RIGHTS["table"]),
    ("ROLE CLERKS … WITH ADMIN OPTION", "ROLE CLERKS"),
    ("UPDATE (ID) ON TABLE LAB.LAB_INVOICES", "UPDATE (ID) ON TABLE LAB.LAB_INVOICES … WITH GRANT OPTION"),
    ("REFERENCES (ID) ON TABLE LAB.LAB_INVOICES", "REFERENCES ON TABLE LAB.LAB_INVOICES"),
)


@pytest.mark.parametrize("remedy", ["change_other", "change_user"])
def test_an_option_is_one_thing_with_its_right(turns: Turns, remedy: str) -> None:
    for before, _ in OPTIONS:
        give(turns, before, turns.current.username)
    turns.rotate()
    for before, after in OPTIONS:
        take(turns, before, turns.other)
        give(turns, after, turns.other)
    wanted = turns.held(turns.current.username if remedy == "change_other" else turns.other)
    _, compared = turns.refused()
    assert len(compared.differences) == len(OPTIONS)
    table = 'ON TABLE "LAB"."LAB_INVOICES"'
    user, other = turns.current.username, turns.other
    assert {
        f'{other} has REFERENCES {table}, {user} has REFERENCES ("ID") {table}',
        f"{other} has SELECT {table} WITH GRANT OPTION, {user} has SELECT {table}",
    } <= set(compared.sentences)
    for difference in compared.differences:
        turns.run(getattr(difference, remedy))
    turns.rotate()
    assert turns.held(turns.current.username) == wanted


@pytest.mark.parametrize("remedy", ["change_other", "change_user"])
@pytest.mark.parametrize("who", ["other", "user"])
def test_control_is_given_and_taken_without_what_it_brings(turns: Turns, who: str, remedy: str) -> None:
    table = "ON TABLE LAB.LAB_INVOICES"
    for right in (f"SELECT {table}", f"DELETE {table} … WITH GRANT OPTION", f"UPDATE (ID) {table}"):
        give(turns, right, turns.current.username)
    turns.rotate()
    given = turns.other if who == "other" else turns.current.username
    inside(turns.instance, f"GRANT CONTROL {table} TO USER {quoted(given.upper())}")
    inside(turns.instance, f"REVOKE ALTER, INSERT, SELECT {table} FROM USER {quoted(given.upper())}")  # noqa: S608 - made-up names
    inside(turns.instance, f"GRANT SELECT {table} TO USER {quoted(given.upper())}")
    if who == "user":  # and the other one was changed, too
        give(turns, RIGHTS["sequence"], turns.other)
    wanted = turns.held(turns.current.username if remedy == "change_other" else turns.other)
    _, compared = turns.refused()
    assert "CONTROL" in compared.differences[0].what
    for difference in compared.differences:
        turns.run(getattr(difference, remedy))
    turns.rotate()
    assert turns.held(turns.current.username) == wanted


@pytest.mark.parametrize("remedy", ["change_other", "change_user"])
def test_what_is_part_of_dbadm_is_taken_from_who_keeps_it(pair: Turns, remedy: str) -> None:
    for what in (RIGHTS["DBADM"], "CREATETAB ON DATABASE"):
        give(pair, what, pair.current.username)
    pair.rotate()
    take(pair, RIGHTS["DBADM"], pair.other)
    take(pair, "CREATETAB ON DATABASE", pair.other)
    give(pair, RIGHTS["DBADM"], pair.other)
    _, compared = pair.refused()
    [difference] = compared.differences
    assert difference.what == f"{pair.other} lacks CREATETAB ON DATABASE"
    pair.run(getattr(difference, remedy))
    pair.rotate()


def test_what_dbadm_includes_is_no_difference_at_another_one_who_has_it(pair: Turns) -> None:
    """Db2 does not revoke it, and it gives the other one nothing."""
    give(pair, RIGHTS["DBADM"], pair.current.username)
    pair.rotate()
    give(pair, "CREATETAB ON DATABASE", pair.other)
    assert pair.compared().sentences == []


@pytest.mark.parametrize("what", ["CONNECT ON DATABASE", "ROLE ROLE_NULLID_PACKAGES"])
def test_no_statement_locks_the_current_user_out(turns: Turns, what: str) -> None:
    take(turns, what, turns.other)
    _, compared = turns.refused()
    [difference] = compared.differences
    user = turns.current.username
    assert difference.change_user == f"use the single-user strategy, because {user} cannot work without it"
    turns.run(difference.change_other)
    turns.rotate()


def test_nor_does_one_that_takes_the_group_or_role_that_lets_it_in(turns: Turns) -> None:
    name = quoted(f"IN_{turns.current.username.upper()}")
    inside(turns.instance, f"CREATE ROLE {name}")
    inside(turns.instance, f"GRANT CONNECT ON DATABASE TO ROLE {name}")
    inside(turns.instance, f"GRANT ROLE {name} TO GROUP SALES")
    give(turns, "GROUP", turns.current.username)
    take(turns, "CONNECT ON DATABASE", turns.current.username)
    turns.rotate()
    take(turns, "GROUP", turns.other)
    _, compared = turns.refused()
    [difference] = compared.differences
    assert difference.change_user.startswith("use the single-user strategy")
    turns.run(difference.change_other)
    turns.rotate()


def test_what_an_owner_has_stays_its_own(turns: Turns) -> None:
    give(turns, "CREATEIN ON SCHEMA LAB", turns.current.username)
    turns.rotate()
    table = f"LAB.T_{turns.current.username.upper()}"
    with turns.laboratory.session(turns.current) as run:
        run(f"CREATE TABLE {table} (ID INTEGER)")
    owner = turns.current.username
    turns.rotate()  # what the current user makes is followed
    turns.rotate()
    inside(turns.instance, f"REVOKE CONTROL ON TABLE {table} FROM USER {quoted(turns.other.upper())}")
    _, compared = turns.refused()
    [difference] = compared.differences
    assert difference.change_user.startswith(f"transfer the ownership from {owner} to somebody else")
    turns.run(difference.change_other)
    turns.rotate()


def test_an_owner_keeps_an_option_that_the_other_one_lost(turns: Turns) -> None:
    give(turns, "CREATEIN ON SCHEMA LAB", turns.current.username)
    turns.rotate()
    table = f"LAB.T_{turns.current.username.upper()}"
    with turns.laboratory.session(turns.current) as run:
        run(f"CREATE TABLE {table} (ID INTEGER)")
    turns.rotate()
    grantee = quoted(turns.current.username.upper())
    inside(turns.instance, f"REVOKE SELECT ON TABLE {table} FROM USER {grantee}")  # noqa: S608 - made-up names
    inside(turns.instance, f"GRANT SELECT ON TABLE {table} TO USER {grantee}")
    assert turns.compared().sentences == []
    set_secret(turns.laboratory, turns.current, pair=turns.record)


def test_what_the_other_one_makes_for_itself_is_its_own_and_known_as_a_change(turns: Turns) -> None:
    """Its old password works until the next rotation, so an application can still create a table with it."""
    give(turns, "CREATEIN ON SCHEMA LAB", turns.current.username)
    turns.rotate()
    with turns.laboratory.session(turns.earlier[0]) as run:
        run(f"CREATE TABLE LAB.T_{turns.other.upper()} (ID INTEGER)")
    assert turns.compared().sentences == []
    set_secret(turns.laboratory, turns.current, pair=turns.record)


def test_the_state_does_not_change_by_what_a_rotation_does_to_equal_ones(pair: Turns) -> None:
    states = []
    for _ in range(3):
        compared = pair.compared()
        names = (pair.current.username, pair.other)
        states.append(dict(zip(names, (compared.user_state, compared.other_state), strict=True)))
        pair.rotate()
    assert states[0] == states[1] == states[2]


def test_who_is_gone_is_not_compared(pair: Turns) -> None:
    for gone in (pair.other, pair.current.username):
        pair.laboratory.administer("CALL RDSADMIN.REMOVE_USER(?)", gone)
        with pytest.raises(RightsDiffer, match=f"there is no user {gone}"):
            pair.compared()
        pair.laboratory.administer("CALL RDSADMIN.ADD_USER(?, ?, ?)", gone, "Another-1", "lab_users")


# A rotation that was interrupted


def change_many(turns: Turns) -> None:
    """Change the current user in all ways that a rotation follows with more than one statement."""
    user = turns.current.username
    grantee, table = quoted(user.upper()), "ON TABLE LAB.LAB_INVOICES"
    inside(turns.instance, f"GRANT CONTROL {table} TO USER {grantee}")
    inside(turns.instance, f"REVOKE DELETE, SELECT {table} FROM USER {grantee}")  # noqa: S608 - made-up names
    inside(turns.instance, f"GRANT SELECT {table} TO USER {grantee}")
    take(turns, "UPDATE ON TABLE LAB.LAB_ORDERS", user)
    give(turns, "UPDATE (ID) ON TABLE LAB.LAB_ORDERS", user)
    take(turns, "ROLE CLERKS", user)
    give(turns, "ROLE CLERKS", user)
    give(turns, RIGHTS["DBADM"], user)
    give(turns, "CREATETAB ON DATABASE", user)
    take(turns, "DATAACCESS ON DATABASE", user)
    turns.laboratory.administer("CALL RDSADMIN.ADD_GROUPS(?, ?)", user, "sales")
    turns.laboratory.administer("CALL RDSADMIN.REMOVE_GROUPS(?, ?)", user, "lab_users")


def prepare_many(turns: Turns) -> None:
    """Give both what `change_many` changes."""
    for what in (
        *("UPDATE ON TABLE LAB.LAB_ORDERS … WITH GRANT OPTION", "ROLE CLERKS … WITH ADMIN OPTION"),
        *("DATAACCESS ON DATABASE", "BINDADD ON DATABASE", "SELECT ON TABLE LAB.LAB_INVOICES … WITH GRANT OPTION"),
    ):
        give(turns, what, turns.current.username)
    turns.rotate()


def test_wherever_a_rotation_is_cut_off_the_next_one_ends_it(
    laboratory: Db2Laboratory, instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare_objects(instance)
    turns, seen = Turns(laboratory, instance, laboratory.new_user()), set[str]()
    prepare_many(turns)
    change_many(turns)
    before, restore = turns.compared(), snapshot(turns)
    for number in itertools.count():
        restore()
        if not is_cut_off(turns, monkeypatch, number):
            break
        after = turns.compared()
        assert {*after.sentences} <= {*before.sentences, *before.passing}
        seen |= {one.replace(turns.current.username, "user").replace(turns.other, "other") for one in after.sentences}
        turns.rotate()
    assert number > 12
    table = 'ON TABLE "LAB"."LAB_INVOICES"'
    assert f"other has DELETE {table} WITH GRANT OPTION, user has not" in seen, "CONTROL brought it"
    assert f"other has SELECT {table} WITH GRANT OPTION, user has SELECT {table}" in seen, "and the option"
    assert 'other lacks ROLE "CLERKS"' in seen, "between the two procedures"


def test_a_rotation_that_created_the_other_one_is_ended(
    laboratory: Db2Laboratory, instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare_objects(instance)
    for number in itertools.count():
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


def snapshot(turns: Turns) -> Callable[[], None]:
    """Remember the server and the secret as they are; return what brings that back."""
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

    return restore


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


# A pair that AWS's template made


def aws_rotates(turns: Turns, user: Credential) -> Credential:
    """Do what the statements of AWS's template for two users do; return the other user, with its new password."""
    laboratory, instance = turns.laboratory, turns.instance
    other = replace(
        user, username=laboratory.engine.kind.counterpart(user.username), password=f"Aws-{secrets.token_hex()}"
    )
    if not instance.user(other.username):
        laboratory.administer("call rdsadmin.add_user(?, ?, 'group')", other.username, other.password)
    with laboratory.session() as run:
        for (connect,) in run(
            "SELECT CONNECTAUTH FROM SYSCAT.DBAUTH WHERE GRANTEETYPE = 'U' AND GRANTEE = ?", user.username.upper()
        ):
            assert connect == "Y", "all that the laboratory's users have on the database"
            run(f"GRANT CONNECT ON DATABASE TO USER {other.username.upper()}")
    laboratory.change_password(other)
    return other


@pytest.mark.parametrize("remedy", ["change_other", "change_user"])
@pytest.mark.parametrize("state", ["original current", "clone current"])
def test_a_pair_that_aws_made_is_refused_with_the_statements_and_adopted_after_them(
    laboratory: Db2Laboratory, instance: Instance, state: str, remedy: str
) -> None:
    """AWS's clone has the authorities on the database and one group, so somebody gave it more by hand if it worked."""
    turns = Turns(laboratory, instance, laboratory.new_user())
    original = turns.current
    clone = aws_rotates(turns, original)
    give(turns, "ROLE ROLE_NULLID_PACKAGES", clone.username)
    if state == "original current":
        turns.current, turns.earlier = aws_rotates(turns, clone), (clone,)
    else:
        turns.current, turns.earlier = clone, (original,)
    error, compared = turns.refused()
    assert "no rotation has recorded that they were equal" in error
    assert len(compared.differences) == 3, "two groups, and SELECT on a table"
    for difference in compared.differences:
        turns.run(getattr(difference, remedy))
    turns.rotate()
    turns.rotate()
    assert turns.compared().sentences == []


@pytest.mark.parametrize("state", ["original current", "clone current"])
def test_a_pair_that_aws_made_and_somebody_completed_is_adopted_at_once(
    laboratory: Db2Laboratory, instance: Instance, state: str
) -> None:
    turns = Turns(laboratory, instance, laboratory.new_user())
    original = turns.current
    clone = aws_rotates(turns, original)
    give(turns, "ROLE ROLE_NULLID_PACKAGES", clone.username)
    laboratory.allow(clone.username, "LAB_ORDERS")
    laboratory.administer("CALL RDSADMIN.ADD_GROUPS(?, ?)", clone.username, "lab_users")
    laboratory.administer("CALL RDSADMIN.REMOVE_GROUPS(?, ?)", clone.username, "group")
    if state == "original current":
        turns.current, turns.earlier = aws_rotates(turns, clone), (clone,)
    else:
        turns.current, turns.earlier = clone, (original,)
    turns.rotate()
    laboratory.allow(turns.current.username, INVOICES)
    turns.rotate()


def test_a_clone_that_aws_made_and_that_can_run_nothing_is_refused_with_the_remedy(
    laboratory: Db2Laboratory, instance: Instance
) -> None:
    turns = Turns(laboratory, instance, laboratory.new_user())
    clone = aws_rotates(turns, turns.current)
    turns.current, turns.earlier = aws_rotates(turns, clone), (clone,)
    with pytest.raises(NotPermitted, match=f"GRANT ROLE ROLE_NULLID_PACKAGES TO USER {clone.username}"):
        turns.rotate()


def test_a_clone_whose_password_no_version_has_is_not_adopted(laboratory: Db2Laboratory, instance: Instance) -> None:
    turns = Turns(laboratory, instance, laboratory.new_user())
    clone = aws_rotates(turns, turns.current)
    give(turns, "ROLE ROLE_NULLID_PACKAGES", clone.username)
    turns.earlier = (replace(clone, password="Another-1"),)
    with pytest.raises(Unsafe, match="no version of the secret has its password"):
        turns.rotate()


# Two at the same time


@pytest.mark.parametrize("is_new", [True, False])
def test_a_step_that_is_delivered_twice_at_the_same_time_ends_well_in_both(
    laboratory: Db2Laboratory, instance: Instance, *, is_new: bool
) -> None:
    turns = Turns(laboratory, instance, laboratory.new_user())
    if not is_new:
        turns.rotate()
    laboratory.allow(turns.current.username, INVOICES)
    at_the_same_time(*[lambda: set_secret(laboratory, turns.current, *turns.earlier, pair=turns.record)] * 2)
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


def test_two_secrets_of_one_pair_follow_the_current_user_both(laboratory: Db2Laboratory, instance: Instance) -> None:
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
