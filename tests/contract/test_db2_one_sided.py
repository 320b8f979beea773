"""Does a rotation on Db2 keep what an administrator did to either user of a pair, and follow the current one?"""

import itertools
from dataclasses import replace

import pytest

from rotation.errors import RightsDiffer
from tests.contract.db2_kit import inside
from tests.contract.db2_turns import RIGHTS, Turns, give, take
from tests.contract.pairs import set_secret
from tests.contract.test_db2_rights import prepare_objects
from tests.laboratories.db2 import Db2Laboratory, quoted
from tests.local.stand_ins.db2.database import Instance

pytestmark = [
    pytest.mark.sample(3),
    pytest.mark.engine("db2"),
    pytest.mark.thorough(turns=["original"], remedy=["change_user"]),
    pytest.mark.thorough(turns=["clone"], remedy=["change_other"]),
]


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
    for what in ("GROUP", RIGHTS["role"], RIGHTS["DBADM"]):
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


@pytest.mark.thorough(turns=["clone"], what=["ROLE ROLE_NULLID_PACKAGES"])
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
