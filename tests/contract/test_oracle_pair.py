"""Does a pair of Oracle's users lose nothing, whatever one of the two has?"""

from collections.abc import Iterator

import pytest

from rotation.errors import NotPermitted, StatementFailed, Unsupported
from tests.contract.oracle_kit import (
    account,
    definition,
    deliver,
    documented,
    make_equal,
    name_of,
    unshared,
)
from tests.contract.pairs import Pair, differences, mirror, new_clone
from tests.laboratories import INVOICES, ORDERS, deadline, new_password
from tests.laboratories.oracle import OWNER, OracleLaboratory, own, quoted
from tests.local.stand_ins.oracle.records import Held, Options
from tests.local.stand_ins.oracle.server import Server
from tests.local.stand_ins.oracle.sql import OracleError

pytestmark = pytest.mark.engine("oracle")


# What a user owns

MADE_BY_THE_SERVER = {
    "SYS_IOT_OVER_4711": ("TABLE", "GENERATED"),
    "SYSTPx7Qz==": ("TYPE", "GENERATED"),
    "DR$TEXTS$I": ("TABLE", "SECONDARY"),
    "LINES_OF_ORDERS": ("TABLE", "NESTED"),
    "MLOG$_ORDERS": ("TABLE", ""),
    "AQ$_JOBS_T": ("TABLE", ""),
    "AQ$JOBS": ("VIEW", ""),
    "BIN$abc==$0": ("TABLE", ""),
}


def test_what_the_server_made_for_an_owner_needs_no_grant(
    oracle: OracleLaboratory, stand_in: Server, pair: Pair
) -> None:
    user, clone = pair
    oracle.alter(
        f"ALTER USER {account(user)} QUOTA UNLIMITED ON users",
        f"CREATE TABLE {account(user)}.orders (id NUMBER GENERATED ALWAYS AS IDENTITY, what NUMBER)",
        f"GRANT SELECT, INSERT ON {account(user)}.orders TO {account(clone)}",
    )
    for name, (kind, how) in MADE_BY_THE_SERVER.items():
        stand_in.database.objects[name_of(user), name] = kind
        stand_in.database.made[name_of(user), name] = how
    assert unshared(oracle, user, clone) == []
    mirror(oracle, user, clone)
    assert differences(oracle, user, clone) == []


def test_a_table_whose_name_only_looks_like_the_servers_needs_a_grant(
    oracle: OracleLaboratory, stand_in: Server, pair: Pair
) -> None:
    user, clone = pair
    stand_in.database.objects[name_of(user), "DR$X"] = "TABLE"
    with pytest.raises(Unsupported, match=r"owns the table DR\$X"):
        mirror(oracle, user, clone)


# Rights


@pytest.fixture
def queue(oracle: OracleLaboratory, stand_in: Server) -> Iterator[str]:
    """A queue, and an admin that can manage queues and resource plans, and pass that on."""
    for name in ("ENQUEUE_ANY", "DEQUEUE_ANY", "MANAGE_ANY"):
        oracle.alter(f"BEGIN sys.dbms_aqadm.grant_system_privilege('{name}', '{oracle.admin.username}', TRUE); END;")
    stand_in.database.object_grants[Held(oracle.admin.username, "SYS", "DBMS_AQADM", "EXECUTE", "", "SYS")] = Options()
    manages = "sys.dbms_resource_manager_privs.grant_system_privilege"
    oracle.alter(f"BEGIN {manages}('{oracle.admin.username}', 'ADMINISTER_RESOURCE_MANAGER', TRUE); END;")
    stand_in.database.objects[OWNER, "a queue"] = "QUEUE"
    yield f'{OWNER}."a queue"'
    del stand_in.database.objects[OWNER, "a queue"]


BY_PACKAGE = (
    "dbms_aqadm.grant_queue_privilege('ENQUEUE', '{q}', '{n}', FALSE)",
    "dbms_aqadm.grant_queue_privilege('DEQUEUE', '{q}', '{n}', TRUE)",
    "dbms_aqadm.grant_system_privilege('DEQUEUE_ANY', '{n}', FALSE)",
    "dbms_resource_manager_privs.grant_system_privilege('{n}', 'ADMINISTER_RESOURCE_MANAGER', FALSE)",
)


@pytest.mark.parametrize("call", BY_PACKAGE)
def test_a_right_that_only_a_package_gives_follows_and_goes(
    oracle: OracleLaboratory, queue: str, pair: Pair, call: str
) -> None:
    user, clone = pair
    oracle.alter(f"BEGIN sys.{call.format(q=queue, n=name_of(user))}; END;")
    make_equal(oracle, user, clone)
    taken = call.replace(".grant_", ".revoke_").removesuffix(", FALSE)").removesuffix(", TRUE)").removesuffix(")")
    oracle.alter(f"BEGIN sys.{taken.format(q=queue, n=name_of(user))}); END;")
    make_equal(oracle, user, clone)


def test_a_right_of_a_package_that_the_admin_cannot_give_is_named_with_the_call(
    oracle: OracleLaboratory, queue: str, pair: Pair
) -> None:
    user, clone = pair
    oracle.alter(f"BEGIN sys.{BY_PACKAGE[0].format(q=queue, n=name_of(user))}; END;")
    by_hand = rf"BEGIN dbms_aqadm.grant_queue_privilege\('ENQUEUE', '.*', '{name_of(clone)}', FALSE\); END;"
    call = rf"EXECUTE on SYS\.DBMS_AQADM; or run by hand: {by_hand}"
    with (
        oracle.engine.connect(documented(oracle, "CONNECT"), deadline()) as session,
        pytest.raises(NotPermitted, match=call),
    ):
        session.mirror(user.username, clone.username)


UNSEEN = {
    "a procedure": ("DBMS_LOCK", "EXECUTE", 4042),
    "a directory": ("LAB_FILES", "READ", 22930),
    "a view": ("V_$SESSION", "SELECT", 942),
}


@pytest.mark.parametrize("what", UNSEEN)
def test_an_object_of_sys_that_the_admin_cannot_see_is_named_with_the_call_of_rds(
    oracle: OracleLaboratory, stand_in: Server, pair: Pair, what: str
) -> None:
    user, clone = pair
    item, privilege, number = UNSEEN[what]
    held = Held(name_of(user), "SYS", item, privilege, "", "SYS")
    stand_in.database.object_grants[held] = Options(grantable=True)
    by_rds = rf"BEGIN rdsadmin\.rdsadmin_util\.grant_sys_object\('.*', '{name_of(clone)}', '{privilege}', TRUE\); END;"
    with (
        oracle.engine.connect(oracle.admin, deadline()) as session,
        pytest.raises(NotPermitted, match=by_rds),
    ):
        session.mirror(user.username, clone.username)
    answers = [line.split()[1] for line in stand_in.database.audit if f'{item}" TO' in line]
    assert answers[-1] == str(number)


@pytest.mark.parametrize("behind", [20900, 1031])
def test_what_a_trigger_of_the_server_refuses_is_named(
    oracle: OracleLaboratory, stand_in: Server, pair: Pair, behind: int
) -> None:
    """On RDS, a trigger refuses some statements."""
    user, clone = pair
    oracle.allow(user.username, INVOICES)
    error = f"error occurred at recursive SQL level 1\n{OracleError(behind, 'not here')}\nORA-06512: at line 2"
    stand_in.database.refuses["GRANT SELECT"] = (604, error)
    try:
        with (
            oracle.engine.connect(oracle.admin, deadline()) as session,
            pytest.raises(NotPermitted, match=rf"ORA-{behind:05}.*GRANT ANY OBJECT PRIVILEGE"),
        ):
            session.mirror(user.username, clone.username)
    finally:
        stand_in.database.refuses.clear()


@pytest.mark.parametrize("behind", [942, 1031, 4042, 22930])
@pytest.mark.parametrize("verb", ["GRANT", "REVOKE"])
def test_an_object_of_sys_behind_another_error_is_named_with_the_call_of_rds(
    oracle: OracleLaboratory, stand_in: Server, pair: Pair, verb: str, behind: int
) -> None:
    who = pair[verb == "REVOKE"]
    stand_in.database.object_grants[Held(name_of(who), "SYS", "V_$SESSION", "SELECT", "", "SYS")] = Options()
    error = f"error occurred at recursive SQL level 1\n{OracleError(behind, 'not here')}\nORA-06512: at line 2"
    call = rf"{verb.lower()}_sys_object\('V_\$SESSION', '{name_of(pair[1])}', 'SELECT'\); END;"
    stand_in.database.refuses[f"{verb} SELECT"] = (604, error)
    try:
        with (
            oracle.engine.connect(oracle.admin, deadline()) as session,
            pytest.raises(NotPermitted, match=rf"BEGIN rdsadmin\.rdsadmin_util\.{call}"),
        ):
            session.mirror(*(one.username for one in pair))
    finally:
        stand_in.database.refuses.clear()


def test_an_old_server_is_not_asked_for_what_came_later(monkeypatch: pytest.MonkeyPatch) -> None:
    with own((12, 1, 0, 2, 0)) as oracle:
        monkeypatch.setenv("DB_CA_BUNDLE", str(oracle.ca_bundle))
        user = oracle.new_user()
        clone = new_clone(user)
        deliver(oracle, user, clone)
        assert oracle.logs_in(clone)


def test_the_clone_of_a_user_that_can_only_read_can_only_read(oracle: OracleLaboratory, pair: Pair) -> None:
    user, clone = pair
    oracle.alter(f"GRANT INSERT ON {OWNER}.{ORDERS} TO {account(user)}", f"ALTER USER {account(user)} READ ONLY")
    mirror(oracle, user, clone)
    with oracle.engine.connect(clone, deadline()) as session, pytest.raises(StatementFailed, match="ORA-28194"):
        session.verify([f"INSERT INTO {ORDERS} VALUES (1)"])  # noqa: S608 - a constant


def test_a_trigger_of_rds_that_refuses_a_grant_is_named(oracle: OracleLaboratory, stand_in: Server, pair: Pair) -> None:
    user, clone = pair
    oracle.allow(user.username, INVOICES)
    if "RDSADMIN" not in stand_in.database.users:
        oracle.alter(f"CREATE USER rdsadmin IDENTIFIED BY {quoted(new_password())}")
    body = "BEGIN RAISE_APPLICATION_ERROR(-20900, 'restricted'); END;"
    oracle.alter(f"CREATE TRIGGER rdsadmin.rds_ddl BEFORE GRANT ON DATABASE {body}")
    try:
        with (
            oracle.engine.connect(oracle.admin, deadline()) as session,
            pytest.raises(NotPermitted, match=r"a trigger of the database refuses it \(ORA-20900\)"),
        ):
            session.mirror(user.username, clone.username)
    finally:
        oracle.alter("DROP TRIGGER rdsadmin.rds_ddl")


@pytest.mark.parametrize("loses", ["the right", "the option"])
def test_what_the_other_passed_on_is_not_taken_from_a_third(
    oracle: OracleLaboratory, things: str, pair: Pair, loses: str
) -> None:
    user, clone = pair
    third = oracle.new_user()
    select = f"GRANT SELECT ON {things}.parts TO"
    oracle.alter(f"{select} {account(clone)} WITH GRANT OPTION")
    if loses == "the option":
        oracle.alter(f"{select} {account(user)}")
    with oracle.session(clone) as run:
        run(f"{select} {account(third)}")
    before = definition(oracle, clone)
    needed = rf'{name_of(third)} would lose.*GRANT SELECT ON "{things}"."PARTS" TO {account(third)}'
    with (
        oracle.engine.connect(oracle.admin, deadline()) as session,
        pytest.raises(Unsupported, match=needed),
    ):
        session.mirror(user.username, clone.username)
    assert definition(oracle, clone) == before
    assert oracle.may_read(third, f"{things}.parts")
    oracle.alter(f"{select} {account(third)}")
    mirror(oracle, user, clone)
    assert differences(oracle, user, clone) == []
    assert oracle.may_read(third, f"{things}.parts")
