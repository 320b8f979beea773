"""Does a pair of Oracle's users lose nothing, whatever one of the two has?"""

import itertools
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial

import pytest

from rotation.credential import Credential
from rotation.engine import CloneStatus, Unshared
from rotation.engines.oracle.connection import OracleConnection
from rotation.errors import NotPermitted, StatementFailed, Unsafe, Unsupported
from tests.contract.oracle_kit import MAPPING, account, definition, documented, filled, make_equal, name_of
from tests.contract.pairs import Pair, changed, differences, mirror, new_clone
from tests.laboratories import INVOICES, ORDERS, deadline, new_password
from tests.laboratories.oracle import OWNER, OracleLaboratory, own, quoted
from tests.local.stand_ins.oracle.records import Held, Options
from tests.local.stand_ins.oracle.server import Server
from tests.local.stand_ins.oracle.sql import OracleError

pytestmark = pytest.mark.engine("oracle")


def unshared(oracle: OracleLaboratory, user: Credential, other: Credential) -> list[Unshared]:
    with oracle.engine.connect(oracle.admin, deadline()) as session:
        return list(session.unshared(user.username, other.username))


# What is bound to a name


@pytest.fixture
def linked(oracle: OracleLaboratory) -> Credential:
    """A user who has a private database link, and a synonym over it."""
    user = oracle.new_user()
    oracle.alter(f"GRANT CREATE DATABASE LINK TO {account(user)}")
    make_link(oracle, user)
    oracle.alter(f"CREATE SYNONYM {account(user)}.sold FOR {OWNER}.{ORDERS}@sales.example")
    return user


def make_link(oracle: OracleLaboratory, user: Credential, host: str = "sales") -> None:
    with oracle.session(user) as run:
        run(f"CREATE DATABASE LINK sales.example CONNECT TO far IDENTIFIED BY {quoted(new_password())} USING '{host}'")


def test_a_private_database_link_is_refused_and_nothing_is_changed(
    oracle: OracleLaboratory, linked: Credential
) -> None:
    clone = new_clone(linked)
    [lost] = unshared(oracle, linked, clone)
    assert lost.kind == "database links"
    assert lost.what == f"{name_of(clone)} cannot use the database links of {name_of(linked)}: SALES.EXAMPLE"
    assert not oracle.asked("SELECT username FROM dba_users WHERE username = :1", name_of(clone))


def test_a_link_that_somebody_made_for_both_is_shared_if_it_goes_to_the_same_place(
    oracle: OracleLaboratory, linked: Credential
) -> None:
    other, elsewhere = oracle.new_user(), oracle.new_user()
    oracle.alter(*(f"GRANT CREATE DATABASE LINK TO {account(one)}" for one in (other, elsewhere)))
    make_link(oracle, other)
    make_link(oracle, elsewhere, "test")
    assert unshared(oracle, linked, other) == unshared(oracle, other, linked) == []
    assert [lost.kind for lost in unshared(oracle, linked, elsewhere)] == ["database links"]


def test_a_public_link_is_everybodys(oracle: OracleLaboratory, pair: Pair) -> None:
    user, clone = pair
    oracle.alter(
        "CREATE PUBLIC DATABASE LINK of_all USING 'sales'",
        f"CREATE SYNONYM {account(user)}.sold FOR {OWNER}.{ORDERS}@of_all",
    )
    assert unshared(oracle, user, clone) == []
    mirror(oracle, user, clone)
    assert differences(oracle, user, clone) == []


ENTRIES: dict[str, tuple[str, str, dict[str, str | int], str]] = {
    "a host": (
        "DBA_HOST_ACES",
        "PRINCIPAL",
        {"HOST": "api.example", "PRIVILEGE": "HTTP"},
        "network acls: HTTP api.example",
    ),
    "a wallet": (
        "DBA_WALLET_ACES",
        "PRINCIPAL",
        {"WALLET_PATH": "file:/w", "PRIVILEGE": "USE"},
        "network acls: USE file:/w",
    ),
    "java": (
        "DBA_JAVA_POLICY",
        "GRANTEE",
        {"TYPE_NAME": "java.io.FilePermission", "NAME": "/data/x", "ACTION": "read", "KIND": "GRANT"},
        "java permissions: java.io.FilePermission /data/x read",
    ),
    "a refresh group": ("DBA_REFRESH", "ROWNER", {"RNAME": "HOURLY"}, "refresh groups: HOURLY"),
    "a queue's agent": ("DBA_AQ_AGENT_PRIVS", "DB_USERNAME", {"AGENT_NAME": "SHOP"}, "queue agents: SHOP"),
    "an outbound server": ("DBA_XSTREAM_OUTBOUND", "CONNECT_USER", {"SERVER_NAME": "OUT"}, "xstream servers: OUT"),
    "an inbound server": ("DBA_XSTREAM_INBOUND", "APPLY_USER", {"SERVER_NAME": "IN"}, "xstream servers: IN"),
    "goldengate": (
        "DBA_GOLDENGATE_PRIVILEGES",
        "USERNAME",
        {"PRIVILEGE_TYPE": "CAPTURE"},
        "goldengate privileges: CAPTURE",
    ),
    "the password file": (
        "V_$PWFILE_USERS",
        "USERNAME",
        {"SYSDBA": "FALSE", "SYSBACKUP": "TRUE"},
        "administrative privileges: SYSBACKUP",
    ),
}
"""A row of a view, the column with the user's name, and how the loss is told."""


@pytest.mark.parametrize("entry", ENTRIES)
def test_an_entry_that_names_one_of_the_two_is_refused(
    oracle: OracleLaboratory, stand_in: Server, pair: Pair, entry: str
) -> None:
    user, clone = pair
    view, key, row, told = ENTRIES[entry]
    shown = stand_in.database.named[view]
    shown.append({**row, key: name_of(user)})
    [lost] = unshared(oracle, user, clone)
    assert f"{lost.kind}: {lost.what.partition(': ')[2]}" == told
    assert lost.kind in oracle.engine.kind.unshared_kinds
    assert unshared(oracle, clone, user) == []
    shown.append({**row, key: name_of(clone)})
    assert unshared(oracle, user, clone) == []


def test_a_view_that_the_database_does_not_have_says_nothing(
    oracle: OracleLaboratory, stand_in: Server, pair: Pair
) -> None:
    rows = stand_in.database.named.pop("DBA_JAVA_POLICY")
    try:
        assert unshared(oracle, *pair) == []
    finally:
        stand_in.database.named["DBA_JAVA_POLICY"] = rows


OBJECTS = {
    "CHAIN": "scheduler objects",
    "CREDENTIAL": "credentials",
    "JAVA CLASS": "java objects",
    "JOB": "jobs",
    "MINING MODEL": "mining models",
    "PROGRAM": "scheduler objects",
    "SCHEDULE": "scheduler objects",
    "XML SCHEMA": "other objects",
    "A TYPE OF TOMORROW": "other objects",
}


@pytest.mark.parametrize("kind", OBJECTS)
def test_an_object_that_only_its_owner_can_use_is_refused(
    oracle: OracleLaboratory, stand_in: Server, pair: Pair, kind: str
) -> None:
    user, clone = pair
    stand_in.database.objects[name_of(user), "NIGHTLY"] = kind
    [lost] = unshared(oracle, user, clone)
    assert lost.kind == OBJECTS[kind]
    assert "NIGHTLY" in lost.what
    mirror(oracle, user, clone)
    assert differences(oracle, user, clone) == [], "who accepts it can go on"
    stand_in.database.objects[name_of(clone), "NIGHTLY"] = kind
    assert unshared(oracle, user, clone) == []


def test_a_model_or_a_job_that_the_other_was_granted_is_shared(
    oracle: OracleLaboratory, stand_in: Server, pair: Pair
) -> None:
    user, clone = pair
    stand_in.database.objects[name_of(user), "CHURN"] = "MINING MODEL"
    stand_in.database.objects[name_of(user), "NIGHTLY"] = "JOB"
    assert [lost.kind for lost in unshared(oracle, user, clone)] == ["jobs", "mining models"]
    oracle.alter(
        f"GRANT SELECT ON MINING MODEL {account(user)}.churn TO {account(clone)}",
        f"GRANT ALTER ON {account(user)}.nightly TO {account(clone)}",
    )
    assert unshared(oracle, user, clone) == []


def test_what_no_session_names_is_no_loss(oracle: OracleLaboratory, stand_in: Server, pair: Pair) -> None:
    user, clone = pair
    for number, kind in enumerate(("INDEX", "LOB PARTITION", "TYPE BODY", "DIMENSION", "UNDEFINED")):
        stand_in.database.objects[name_of(user), f"X{number}"] = kind
    assert unshared(oracle, user, clone) == []
    mirror(oracle, user, clone)
    stand_in.database.objects[name_of(user), "JOBS_R"] = "RULE SET"
    assert [lost.kind for lost in unshared(oracle, user, clone)] == ["other objects"]
    stand_in.database.objects[name_of(user), "JOBS"] = "QUEUE"
    assert unshared(oracle, user, clone) == [], "it is that of the queue"


def test_an_error_names_a_few_and_counts_the_rest(oracle: OracleLaboratory, stand_in: Server, pair: Pair) -> None:
    user, clone = pair
    for number in range(9):
        stand_in.database.objects[name_of(user), f'J"; DROP USER x\n{number}'] = "JOB"
    [lost] = unshared(oracle, user, clone)
    assert lost.what.endswith(", 6 more")
    assert "\n" not in lost.what


def test_a_job_of_the_old_package_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """From 19c on it is a job of the scheduler, and found as an object."""
    with own((18, 3, 0, 0, 0)) as oracle:
        monkeypatch.setenv("DB_CA_BUNDLE", str(oracle.ca_bundle))
        assert oracle.server
        user = oracle.new_user()
        oracle.server.database.named["DBA_JOBS"].append({"JOB": 42, "PRIV_USER": name_of(user)})
        [lost] = unshared(oracle, user, new_clone(user))
        assert (lost.kind, lost.what.partition(": ")[2]) == ("jobs", "42")


@pytest.fixture
def triggers(oracle: OracleLaboratory) -> Iterator[list[str]]:
    """What is to be dropped."""
    made: list[str] = []
    yield made
    oracle.alter(*(f"DROP TRIGGER {name}" for name in made))


def make_trigger(oracle: OracleLaboratory, made: list[str], text: str) -> None:
    name = f"{account(oracle.superuser)}.at_login_{len(made)}"
    oracle.alter(f"CREATE TRIGGER {name} {text}")
    made.append(name)


SETS = "BEGIN EXECUTE IMMEDIATE 'ALTER SESSION SET CURRENT_SCHEMA = LAB_THINGS'; END;"


def test_a_logon_trigger_on_one_of_the_two_is_refused(
    oracle: OracleLaboratory, pair: Pair, triggers: list[str]
) -> None:
    user, clone = pair
    make_trigger(oracle, triggers, f"AFTER LOGON ON {account(user)}.SCHEMA {SETS}")
    [lost] = unshared(oracle, user, clone)
    assert (lost.kind, lost.what.partition(": ")[2]) == ("triggers", f"{name_of(oracle.superuser)}.AT_LOGIN_0")
    assert unshared(oracle, clone, user) == []
    make_trigger(oracle, triggers, f"AFTER LOGON ON {account(clone)}.SCHEMA {SETS}")
    assert unshared(oracle, user, clone) == []


@pytest.mark.parametrize(
    ("condition", "is_bound"),
    [
        ("USER = '{0}'", True),
        ("LOWER(USER) = LOWER('{0}')", True),
        ("USER IN ('{0}', '{1}')", False),
        ("USER = 'SOMEBODY_ELSE'", False),
    ],
)
def test_a_logon_trigger_of_the_database_that_names_one_of_the_two_is_refused(
    oracle: OracleLaboratory, pair: Pair, triggers: list[str], condition: str, *, is_bound: bool
) -> None:
    user, clone = pair
    named = condition.format(name_of(user), name_of(clone))
    make_trigger(oracle, triggers, f"AFTER LOGON ON DATABASE WHEN ({named}) {SETS}")
    assert [lost.kind for lost in unshared(oracle, user, clone)] == ["triggers"] * is_bound


def test_an_admin_as_documented_can_look_for_all_of_it(oracle: OracleLaboratory, linked: Credential) -> None:
    clone, admin = new_clone(linked), documented(oracle, "CONNECT")
    with oracle.engine.connect(admin, deadline()) as session:
        assert len(session.unshared(linked.username, clone.username)) == 1
    oracle.alter(f"REVOKE SELECT_CATALOG_ROLE FROM {account(admin)}")
    with (
        oracle.engine.connect(admin, deadline()) as session,
        pytest.raises(NotPermitted, match=r"GRANT SELECT_CATALOG_ROLE TO .*SYS\.DBA_OBJECTS"),
    ):
        session.unshared(linked.username, clone.username)


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
    "a procedure": ("PACKAGE", "DBMS_LOCK", "EXECUTE", 4042),
    "a directory": ("DIRECTORY", "LAB_FILES", "READ", 22930),
    "a view": ("VIEW", "V_$SESSION", "SELECT", 942),
}


@pytest.mark.parametrize("what", UNSEEN)
def test_an_object_of_sys_that_the_admin_cannot_see_is_named_with_the_call_of_rds(
    oracle: OracleLaboratory, stand_in: Server, pair: Pair, what: str
) -> None:
    user, clone = pair
    kind, item, privilege, number = UNSEEN[what]
    held = Held(name_of(user), "SYS", item, privilege, "", "SYS")
    stand_in.database.object_grants[held] = Options(grantable=True)
    text = "run by hand: GRANT " if kind == "DIRECTORY" else "grant_sys_object"
    by_rds = rf"BEGIN rdsadmin\.rdsadmin_util\.grant_sys_object\('.*', '{name_of(clone)}', '{privilege}', TRUE\); END;"
    with (
        oracle.engine.connect(oracle.admin, deadline()) as session,
        pytest.raises(NotPermitted, match=text if kind == "DIRECTORY" else by_rds) as raised,
    ):
        session.mirror(user.username, clone.username)
    assert ("grant_sys_object" in raised.value.remedy) is (kind != "DIRECTORY")
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


# Two at once


def deliver(oracle: OracleLaboratory, user: Credential, clone: Credential) -> None:
    """Do what a delivery of setSecret does."""
    with oracle.engine.connect(oracle.admin, deadline()) as session:
        assert session.clone_status(user.username, clone.username) is not CloneStatus.UNKNOWN
        assert not session.unshared(user.username, clone.username)
        session.mirror(user.username, clone.username)
        assert session.differences(user.username, clone.username) == []
        session.set_password(clone.username, clone.password)


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
    oracle: OracleLaboratory, things: str, monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    for number in itertools.count(1):
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
