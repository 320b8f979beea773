"""Does a rotation of Oracle never undo what an administrator did to one of the two users of a pair?"""

import itertools
import logging
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from rotation.credential import Credential
from rotation.engine import Comparison
from rotation.engines.oracle.connection import OracleConnection
from rotation.errors import RightsDiffer, Unsupported
from tests.contract.oracle_kit import DEFINITION, RIGHTS, account, filled, name_of, new_profile, paste
from tests.contract.pairs import Pair, RecordInMemory, new_clone, set_secret
from tests.laboratories import INVOICES, ORDERS, deadline
from tests.laboratories.oracle import OWNER, ROLLOVER_PROFILE, OracleLaboratory, quoted
from tests.local.stand_ins.oracle.records import Held, Options
from tests.local.stand_ins.oracle.server import Server

pytestmark = [pytest.mark.sample(4), pytest.mark.engine("oracle")]

MANAGES = "'ADMINISTER_RESOURCE_MANAGER'"
KINDS = {
    **RIGHTS,
    "a proxy": (
        ["ALTER USER {} GRANT CONNECT THROUGH lab_things"],
        ["ALTER USER {} GRANT CONNECT THROUGH lab_things WITH NO ROLES"],
    ),
    "a client": (
        ["ALTER USER lab_things GRANT CONNECT THROUGH {}"],
        ["ALTER USER lab_things REVOKE CONNECT THROUGH {}"],
    ),
    "a consumer group that is the initial one": (
        [
            "BEGIN sys.dbms_resource_manager_privs.grant_switch_consumer_group('{n}', 'BATCH_GROUP', FALSE); END;",
            *RIGHTS["an initial consumer group"][0],
        ],
        ["BEGIN sys.dbms_resource_manager_privs.grant_switch_consumer_group('{n}', 'BATCH_GROUP', TRUE); END;"],
    ),
    "all queues": (
        ["BEGIN sys.dbms_aqadm.grant_system_privilege('DEQUEUE_ANY', '{n}', TRUE); END;"],
        ["BEGIN sys.dbms_aqadm.grant_system_privilege('DEQUEUE_ANY', '{n}', FALSE); END;"],
    ),
    "resource plans": (
        ["BEGIN sys.dbms_resource_manager_privs.grant_system_privilege('{n}', " + f"{MANAGES}, FALSE); END;"],
        ["BEGIN sys.dbms_resource_manager_privs.revoke_system_privilege('{n}', " + f"{MANAGES}); END;"],
    ),
    "several at once": (
        [
            "GRANT {s}_ROLE, CREATE VIEW TO {} WITH ADMIN OPTION",
            'GRANT UPDATE (id, "co,l"), INSERT ON {s}."t ON x TO y" TO {}',
            "ALTER USER {} QUOTA 10485760 ON users",
            "CREATE SYNONYM {}.parts FOR {s}.parts",
        ],
        [
            "REVOKE {s}_ROLE FROM {}",
            'GRANT "{s} role; --" TO {}',
            'REVOKE UPDATE ON {s}."t ON x TO y" FROM {}',
            'GRANT UPDATE ("co,l") ON {s}."t ON x TO y" TO {}',
            "ALTER USER {} QUOTA 0 ON users",
            "CREATE OR REPLACE SYNONYM {}.parts FOR {s}.numbers",
        ],
    ),
}


@pytest.fixture(autouse=True)
def managing(oracle: OracleLaboratory, stand_in: Server) -> None:
    """An admin that can manage queues and resource plans, and pass that on."""
    admin = oracle.admin.username
    oracle.alter(
        f"BEGIN sys.dbms_aqadm.grant_system_privilege('DEQUEUE_ANY', '{admin}', TRUE); END;",
        f"BEGIN sys.dbms_resource_manager_privs.grant_system_privilege('{admin}', {MANAGES}, TRUE); END;",
    )
    stand_in.database.object_grants[Held(admin, "SYS", "DBMS_AQADM", "EXECUTE", "", "SYS")] = Options()


def alter(oracle: OracleLaboratory, things: str, user: Credential, statements: Sequence[str]) -> None:
    oracle.alter(*(filled(text, user, things) for text in statements))


def compared(oracle: OracleLaboratory, user: Credential, other: Credential) -> Comparison:
    with oracle.engine.connect(oracle.admin, deadline()) as session:
        return session.compare(user.username, other.username)


def definitions(oracle: OracleLaboratory, *users: Credential) -> list[list[object]]:
    """Return all that the dictionary says of each user."""
    with oracle.session() as run:
        return [[sorted(set(run(query, name_of(user)))) for query in DEFINITION] for user in users]


def refused(oracle: OracleLaboratory, user: Credential, other: Credential, record: RecordInMemory) -> Comparison:
    """Try to rotate; see that nothing was changed, and that the error has both statements of each difference."""
    before, labels = definitions(oracle, user, other), record.labels
    with pytest.raises(RightsDiffer) as raised:
        set_secret(oracle, user, other, pair=record)
    assert definitions(oracle, user, other) == before
    assert record.labels == labels
    found = compared(oracle, user, other)
    assert found.differences
    for difference in found.differences:
        assert difference.what in raised.value.cause
        assert difference.change_other in raised.value.remedy
        assert difference.change_user in raised.value.remedy
    return found


def rotated(oracle: OracleLaboratory, user: Credential, other: Credential, record: RecordInMemory) -> Credential:
    """Rotate, and see that the two are equal, and the user as it was; return the other one."""
    [before] = definitions(oracle, user)
    pending = set_secret(oracle, user, other, pair=record)
    assert definitions(oracle, user, pending) == [before, before]
    return pending


@pytest.mark.thorough(turn=[True], kind=[kind for kind in KINDS if kind != "several at once"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_change_of_the_other_one_is_refused_until_it_is_made_at_both_or_undone(
    oracle: OracleLaboratory, things: str, turn: Pair, kind: str
) -> None:
    current, other = turn
    give, change = KINDS[kind]
    record, is_first_kept = RecordInMemory(), current.username < other.username
    for statements, is_kept in ((give, is_first_kept), (change, not is_first_kept)):
        if statements is change and not is_first_kept:
            alter(oracle, things, current, give)
        other = rotated(oracle, current, other, record)
        alter(oracle, things, other, statements)
        before = definitions(oracle, current, other)
        for difference in refused(oracle, current, other, record).differences:
            paste(oracle, difference.change_user if is_kept else difference.change_other)
        [wanted] = before[is_kept:][:1]
        assert definitions(oracle, current, other) == [wanted, wanted]
    rotated(oracle, current, other, record)


@pytest.mark.parametrize("kind", KINDS)
def test_a_change_of_the_current_one_follows(oracle: OracleLaboratory, things: str, pair: Pair, kind: str) -> None:
    current, other = pair
    record, states = RecordInMemory(), list[str]()
    for statements in ([], *KINDS[kind]):
        alter(oracle, things, current, statements)
        other = rotated(oracle, current, other, record)
        forth, back = compared(oracle, current, other), compared(oracle, other, current)
        assert (forth.user_state, forth.other_state) == (back.other_state, back.user_state)
        states.append(forth.user_state)
        current, other = other, current
    assert all(before != after for before, after in itertools.pairwise(states)), "each change changes the state"


def test_the_same_change_of_both_is_no_difference(oracle: OracleLaboratory, things: str, turn: Pair) -> None:
    current, other = turn
    record = RecordInMemory()
    other = rotated(oracle, current, other, record)
    for statements in KINDS["several at once"]:
        alter(oracle, things, other, statements)
        alter(oracle, things, current, statements)
        other = rotated(oracle, current, other, record)


def test_without_a_record_differences_are_refused(oracle: OracleLaboratory, things: str, turn: Pair) -> None:
    current, other = turn
    alter(oracle, things, current, KINDS["several at once"][0])
    for difference in refused(oracle, current, other, RecordInMemory()).differences:
        paste(oracle, difference.change_other)
    rotated(oracle, current, other, RecordInMemory())


def test_a_change_of_the_other_one_is_refused_with_one_of_the_current_one(oracle: OracleLaboratory, turn: Pair) -> None:
    current, other = turn
    record = RecordInMemory()
    other = rotated(oracle, current, other, record)
    oracle.forbid(other.username, ORDERS)
    oracle.allow(current.username, INVOICES)
    assert len(refused(oracle, current, other, record).differences) == 2


def test_no_statement_locks_the_current_one_out(oracle: OracleLaboratory, things: str, turn: Pair) -> None:
    current, other = turn
    oracle.alter(f"REVOKE CREATE SESSION FROM {account(other)}")
    [difference] = compared(oracle, current, other).differences
    assert difference.change_other == f"GRANT CREATE SESSION TO {account(other)}"
    assert "needs it to log in" in difference.change_user
    assert "REVOKE" not in difference.change_user
    oracle.alter(f"REVOKE CREATE SESSION FROM {account(current)}", f"GRANT CONNECT TO {account(current)}")
    [difference, defaults] = compared(oracle, current, other).differences
    assert difference.change_user.endswith(f"(if {name_of(current)} can log in without it)")
    assert defaults.change_user.endswith(f"(if {name_of(current)} can log in without it)")
    assert things


# Locks


def test_one_that_somebody_has_locked_stays_locked(oracle: OracleLaboratory, turn: Pair) -> None:
    current, other = turn
    record = RecordInMemory()
    other = rotated(oracle, current, other, record)
    oracle.alter(f"ALTER USER {account(other)} PASSWORD EXPIRE ACCOUNT LOCK")
    unlock = f"ALTER USER {account(other)} ACCOUNT UNLOCK"
    with pytest.raises(RightsDiffer, match=unlock):
        set_secret(oracle, current, pair=record)
    assert not oracle.logs_in(other)
    paste(oracle, unlock)
    rotated(oracle, current, other, record)


@pytest.mark.parametrize("lock_time", ["1", "UNLIMITED"])
def test_one_that_the_server_has_locked_gets_in_again(oracle: OracleLaboratory, pair: Pair, lock_time: str) -> None:
    """Without a time the server's lock reads like that of an administrator."""
    current, other = pair
    profile = new_profile(oracle, f"FAILED_LOGIN_ATTEMPTS 2 PASSWORD_LOCK_TIME {lock_time}")
    oracle.alter(*(f"ALTER USER {account(one)} PROFILE {profile}" for one in pair))
    record = RecordInMemory()
    other = rotated(oracle, current, other, record)
    for _ in range(2):
        assert not oracle.logs_in(
            new_clone(other) if other is current else Credential(**{**vars(other), "password": "x"})
        )
    assert not oracle.logs_in(other)
    unlock = compared(oracle, current, other).unlock
    assert (unlock is None) is (lock_time == "1")
    if unlock:
        with pytest.raises(RightsDiffer, match=unlock):
            set_secret(oracle, current, other, pair=record)
        paste(oracle, unlock)
    rotated(oracle, current, other, record)


# Interruptions


class CutOffError(Exception):
    """The process ended."""


def after_each_change(monkeypatch: pytest.MonkeyPatch, act: Callable[[str], object]) -> None:
    """Do something after each statement that changes something: what is left is what an interruption leaves."""
    execute = OracleConnection.execute

    def executed(connection: OracleConnection, operation: str, statement: str, *rest: Any, **named: Any) -> object:  # noqa: ANN401 - handed on
        found = execute(connection, operation, statement, *rest, **named)
        if not statement.startswith(("SELECT", "ALTER SESSION")):
            act(statement)
        return found

    monkeypatch.setattr(OracleConnection, "execute", executed)


def cut(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """End the process after so many statements that change something."""
    left = itertools.count(number - 1, -1)

    def count(_: str) -> None:
        if not next(left):
            raise CutOffError

    after_each_change(monkeypatch, count)


GRANTED_GROUP = "BEGIN sys.dbms_resource_manager_privs.grant_switch_consumer_group('{n}', '%s', %s); END;"
FIRST = (
    'GRANT {s}_ROLE, "{s} role; --" TO {} WITH ADMIN OPTION',
    "GRANT CREATE VIEW TO {} WITH ADMIN OPTION",
    'GRANT UPDATE (id, "co,l") ON {s}."t ON x TO y" TO {}',
    "GRANT SELECT ON {s}.parts TO {} WITH GRANT OPTION",
    "ALTER USER {} QUOTA 10485760 ON users",
    "ALTER USER {} GRANT CONNECT THROUGH lab_things",
    "CREATE SYNONYM {}.parts FOR {s}.parts",
    GRANTED_GROUP % ("BATCH_GROUP", "TRUE"),
    *KINDS["an initial consumer group"][0],
)
THEN = (
    "REVOKE {s}_ROLE FROM {}",
    "GRANT {s}_ROLE TO {}",
    'REVOKE "{s} role; --" FROM {}',
    "GRANT {s}_ROLE TO {} WITH DELEGATE OPTION",
    "REVOKE CREATE VIEW FROM {}",
    "GRANT CREATE VIEW TO {}",
    'REVOKE UPDATE ON {s}."t ON x TO y" FROM {}',
    'GRANT UPDATE ("co,l") ON {s}."t ON x TO y" TO {} WITH GRANT OPTION',
    "GRANT UPDATE ON {s}.parts TO {}",
    "REVOKE SELECT ON {s}.parts FROM {}",
    "GRANT SELECT ON {s}.parts TO {} WITH HIERARCHY OPTION",
    "ALTER USER {} QUOTA UNLIMITED ON users",
    "ALTER USER {} GRANT CONNECT THROUGH lab_things WITH NO ROLES",
    "DROP SYNONYM {}.parts",
    "CREATE SYNONYM {}.more FOR {s}.parts",
    GRANTED_GROUP % ("BATCH_GROUP", "FALSE"),
    "ALTER USER {} DEFAULT TABLESPACE system",
    "ALTER USER {} PROFILE " + ROLLOVER_PROFILE,
)
LATER_ROLES = {
    "ALL": ["ALTER USER {} DEFAULT ROLE ALL"],
    "a list": ['ALTER USER {} DEFAULT ROLE "{s} role; --"'],
    "none": ["ALTER USER {} DEFAULT ROLE NONE"],
}


@pytest.fixture(params=[("ALL", False), ("a list", True), ("none", False)], ids=lambda param: param[0])
def changing(request: pytest.FixtureRequest, oracle: OracleLaboratory, things: str) -> tuple[Pair, RecordInMemory]:
    """A pair, the current one first, of which much was changed; and what is recorded of it."""
    defaults, is_back = request.param
    user, record = oracle.new_user(), RecordInMemory()
    alter(oracle, things, user, [*FIRST, *LATER_ROLES[defaults]])
    clone = set_secret(oracle, user, pair=record)
    current, other = (clone, user) if is_back else (user, clone)
    alter(oracle, things, current, THEN)
    return (current, other), record


def test_what_an_interruption_leaves_was_a_difference_or_passes(
    oracle: OracleLaboratory, changing: tuple[Pair, RecordInMemory], monkeypatch: pytest.MonkeyPatch
) -> None:
    (current, other), _ = changing
    left: list[tuple[str, set[str]]] = []
    with (
        oracle.engine.connect(oracle.admin, deadline()) as looking,
        oracle.engine.connect(oracle.admin, deadline()) as session,
    ):
        before = session.compare(current.username, other.username)
        after_each_change(
            monkeypatch,
            lambda text: left.append((text, set(looking.compare(current.username, other.username).sentences))),
        )
        session.mirror(current.username, other.username)
    known = {*before.sentences, *before.passing}
    assert [(text, found - known) for text, found in left if found - known] == []
    assert left[-1][1] == set()
    assert len(left) > 15


@pytest.mark.parametrize("number", [1, 7, 14])
def test_an_interrupted_rotation_is_ended(
    oracle: OracleLaboratory, changing: tuple[Pair, RecordInMemory], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    (current, other), record = changing
    with monkeypatch.context() as patch:
        cut(patch, number)
        with pytest.raises(CutOffError):
            set_secret(oracle, current, other, pair=record)
    rotated(oracle, current, other, record)


@pytest.mark.parametrize("number", [1, 2, 3, 9])
def test_an_interrupted_creation_is_ended(
    oracle: OracleLaboratory, things: str, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    user, record = oracle.new_user(), RecordInMemory()
    alter(oracle, things, user, FIRST)
    with monkeypatch.context() as patch:
        cut(patch, number)
        with pytest.raises(CutOffError):
            set_secret(oracle, user, pair=record)
    alter(oracle, things, user, THEN[:4])
    clone = set_secret(oracle, user, pair=record)
    assert len({repr(one) for one in definitions(oracle, user, clone)}) == 1


@pytest.mark.parametrize("number", [1, 5, 11, 16, 22])
@pytest.mark.parametrize("is_new", [False, True])
def test_one_step_that_is_delivered_twice_at_once_ends_well_in_both(
    oracle: OracleLaboratory, things: str, monkeypatch: pytest.MonkeyPatch, number: int, *, is_new: bool
) -> None:
    user, record, left = oracle.new_user(), RecordInMemory(), itertools.count(number - 1, -1)
    clone = new_clone(user) if is_new else set_secret(oracle, user, pair=record)
    alter(oracle, things, user, FIRST)

    def deliver_again(_: str) -> None:
        if not next(left):
            set_secret(oracle, user, clone, pair=record)

    with monkeypatch.context() as patch:
        after_each_change(patch, deliver_again)
        set_secret(oracle, user, clone, pair=record)
    assert len({repr(one) for one in definitions(oracle, user, clone)}) == 1
    rotated(oracle, user, clone, record)


# What the admin cannot revoke


def test_what_the_admin_cannot_revoke_is_not_given_back_in_the_next_rotation(
    oracle: OracleLaboratory, pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    """The clone has it from somebody else. If it was revoked from the user, the clone's turn must not bring it back."""
    user, clone = pair
    stranger, record = oracle.new_user(), RecordInMemory()
    oracle.alter(f"GRANT SELECT ON {OWNER}.{INVOICES} TO {account(stranger)} WITH GRANT OPTION")
    for one in pair:
        with oracle.session(stranger) as run:
            run(f"GRANT SELECT ON {OWNER}.{INVOICES} TO {account(one)}")
    clone = rotated(oracle, user, clone, record)
    with oracle.session(stranger) as run:
        run(f"REVOKE SELECT ON {OWNER}.{INVOICES} FROM {account(user)}")  # noqa: S608 - constants and a quoted name
    with caplog.at_level(logging.WARNING):
        clone = set_secret(oracle, user, clone, pair=record)
    assert "keeps the object privilege SELECT" in caplog.text
    [difference] = refused(oracle, clone, user, record).differences
    assert difference.what == f"{name_of(user)} lacks the object privilege SELECT on {OWNER}.{INVOICES.upper()}"
    with oracle.session(stranger) as run:
        run(difference.change_user)
    rotated(oracle, clone, user, record)


def test_what_both_have_from_somebody_else_is_no_difference(oracle: OracleLaboratory, turn: Pair) -> None:
    current, other = turn
    stranger = oracle.new_user()
    oracle.alter(f"GRANT SELECT ON {OWNER}.{INVOICES} TO {account(stranger)} WITH GRANT OPTION")
    for one in turn:
        with oracle.session(stranger) as run:
            run(f"GRANT SELECT ON {OWNER}.{INVOICES} TO {account(one)}")
    assert compared(oracle, current, other).sentences == []
    rotated(oracle, current, other, RecordInMemory())


def test_what_a_stranger_gives_to_the_other_one_is_named_with_the_statement_that_ends_it(
    oracle: OracleLaboratory, turn: Pair
) -> None:
    """Nobody knows whether an administrator wanted it: so a stranger can stop a pair until somebody has run it."""
    current, other = turn
    record, stranger = RecordInMemory(), oracle.new_user()
    other = rotated(oracle, current, other, record)
    oracle.alter(f"CREATE TABLE {account(stranger)}.hers (id NUMBER)")
    with oracle.session(stranger) as run:
        run(f"GRANT SELECT ON hers TO {account(other)}")
    [difference] = refused(oracle, current, other, record).differences
    assert difference.change_other == f'REVOKE SELECT ON {account(stranger)}."HERS" FROM {account(other)}'  # noqa: S608 - compared, not run
    paste(oracle, difference.change_other)
    rotated(oracle, current, other, record)


# What a user owns


def owning(oracle: OracleLaboratory, user: Credential) -> None:
    oracle.alter(
        f"ALTER USER {account(user)} QUOTA UNLIMITED ON users",
        f"CREATE TABLE {account(user)}.own (id NUMBER)",
        f"CREATE SEQUENCE {account(user)}.numbers",
        f"CREATE OR REPLACE PACKAGE {account(user)}.code AS END;",
    )


def test_an_owner_is_refused_before_anything_is_changed(oracle: OracleLaboratory, stand_in: Server) -> None:
    user = oracle.new_user()
    owning(oracle, user)
    with pytest.raises(Unsupported, match="the package CODE, the sequence NUMBERS, the table OWN"):
        set_secret(oracle, user)
    assert name_of(new_clone(user)) not in stand_in.database.users


@pytest.mark.parametrize("is_nested", [False, True])
def test_an_owner_that_shares_through_a_role_gets_a_clone(oracle: OracleLaboratory, *, is_nested: bool) -> None:
    user, record = oracle.new_user(), RecordInMemory()
    owning(oracle, user)
    role = f'"{name_of(user)} shares"'
    oracle.alter(
        f"CREATE ROLE {role}",
        f"GRANT SELECT, INSERT ON {account(user)}.own TO {role}",
        f"GRANT SELECT ON {account(user)}.numbers TO {role}",
        f"GRANT EXECUTE ON {account(user)}.code TO PUBLIC",
    )
    if is_nested:
        outer = f'"{name_of(user)} has"'
        oracle.alter(f"CREATE ROLE {outer}", f"GRANT {role} TO {outer}")
        role = outer
    oracle.alter(f"GRANT {role} TO {account(user)}")
    clone = set_secret(oracle, user, pair=record)
    with oracle.session(clone) as run:
        run(f"SELECT 1 FROM {account(user)}.own")  # noqa: S608 - a quoted name
    set_secret(oracle, clone, pair=record)


def test_what_the_other_one_lacks_on_the_users_objects_is_granted_by_the_statements(
    oracle: OracleLaboratory, stand_in: Server, turn: Pair
) -> None:
    current, other = turn
    record = RecordInMemory()
    oracle.alter(f"ALTER USER {account(other)} QUOTA UNLIMITED ON users")
    owning(oracle, current)
    stand_in.database.objects[name_of(current), "JOBS"] = "QUEUE"
    found = refused(oracle, current, other, record).differences
    queue = f"'{account(current)}.\"JOBS\"', '{name_of(other)}', FALSE); END;"
    for_queue = [f"BEGIN dbms_aqadm.grant_queue_privilege('{name}', {queue}" for name in ("ENQUEUE", "DEQUEUE")]
    assert [one.change_other for one in found if one.what.startswith(f"{name_of(other)} has no right")] == [
        f'GRANT EXECUTE ON {account(current)}."CODE" TO {account(other)}',
        " ".join(for_queue),
        f'GRANT SELECT ON {account(current)}."NUMBERS" TO {account(other)}',
        f'GRANT SELECT, INSERT, UPDATE, DELETE ON {account(current)}."OWN" TO {account(other)}',
    ]
    for difference in found:
        paste(oracle, difference.change_other)
    set_secret(oracle, current, other, pair=record)
    assert compared(oracle, current, other).sentences == []


def test_nothing_is_changed_if_the_owner_must_share_more(oracle: OracleLaboratory, turn: Pair) -> None:
    current, other = turn
    record = RecordInMemory()
    other = rotated(oracle, current, other, record)
    owning(oracle, current)
    oracle.allow(current.username, INVOICES)
    before = definitions(oracle, other)
    with pytest.raises(Unsupported, match="the table OWN"):
        set_secret(oracle, current, other, pair=record)
    assert definitions(oracle, other) == before
    assert oracle.logs_in(other)


# Adopting


def template_pair(oracle: OracleLaboratory, things: str) -> Pair:
    """Make a pair as AWS's template does: the clone is created, and roles and privileges are granted to it, once."""
    user = oracle.new_user()
    clone = new_clone(user)
    rights = [f'GRANT {things}_ROLE, "{things} role; --" TO {{}}', f"GRANT SELECT, UPDATE ON {things}.parts TO {{}}"]
    alter(oracle, things, user, rights)
    oracle.alter(
        f"CREATE USER {account(clone)} IDENTIFIED BY {quoted(clone.password)}",
        f"GRANT CREATE SESSION TO {account(clone)}",
        f"GRANT SELECT ON {OWNER}.{ORDERS} TO {account(clone)}",
    )
    alter(oracle, things, clone, rights)
    return user, clone


@pytest.mark.parametrize("is_back", [False, True])
def test_a_pair_of_the_template_is_adopted(oracle: OracleLaboratory, things: str, *, is_back: bool) -> None:
    user, clone = template_pair(oracle, things)
    current, other = (clone, user) if is_back else (user, clone)
    record = RecordInMemory()
    other = rotated(oracle, current, other, record)
    oracle.allow(other.username, INVOICES)
    rotated(oracle, other, current, record)


@pytest.mark.parametrize("end", ["change_other", "change_user"])
@pytest.mark.parametrize("is_back", [False, True])
def test_a_pair_of_the_template_that_is_not_equal_is_refused(
    oracle: OracleLaboratory, things: str, end: str, *, is_back: bool
) -> None:
    """The template copies neither profile nor quota nor synonyms, and nothing that was granted later."""
    user, clone = template_pair(oracle, things)
    alter(
        oracle,
        things,
        user,
        [
            f"ALTER USER {{}} PROFILE {ROLLOVER_PROFILE} QUOTA UNLIMITED ON users",
            "CREATE SYNONYM {}.p FOR {s}.parts",
            "GRANT INSERT ON {s}.parts TO {}",
            "ALTER USER {} DEFAULT ROLE {s}_ROLE",
        ],
    )
    current, other = (clone, user) if is_back else (user, clone)
    record = RecordInMemory()
    found = refused(oracle, current, other, record)
    assert len(found.differences) == 5
    for difference in found.differences:
        paste(oracle, getattr(difference, end))
    other = rotated(oracle, current, other, record)
    rotated(oracle, other, current, record)


# One of the two is gone


@pytest.mark.parametrize("is_back", [False, True])
def test_one_of_the_two_is_gone(oracle: OracleLaboratory, pair: Pair, *, is_back: bool) -> None:
    current, other = pair[::-1] if is_back else pair
    oracle.alter(f"DROP USER {account(other)}")
    with pytest.raises(RightsDiffer, match=f"there is no user {name_of(other)}"):
        compared(oracle, current, other)
