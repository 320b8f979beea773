"""Does Oracle find what a pair of users cannot share?"""

from collections.abc import Iterator

import pytest

from rotation.credential import Credential
from rotation.errors import NotPermitted
from tests.contract.oracle_kit import account, documented, name_of, unshared
from tests.contract.pairs import Pair, differences, mirror, new_clone
from tests.laboratories import ORDERS, deadline, new_password
from tests.laboratories.oracle import OWNER, OracleLaboratory, own, quoted
from tests.local.stand_ins.oracle.server import Server

pytestmark = [pytest.mark.sample(3), pytest.mark.engine("oracle")]


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
