"""What does a preflight say that only Oracle has: rights to pass on, limits of a profile, the state of a database?"""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from rotation.credential import Credential
from rotation.errors import Unsupported, Untrusted
from rotation.finding import Finding, Outcome
from rotation.kind import Strategy
from tests.contract.oracle_kit import (
    AS_DOCUMENTED,
    FOR_ONE_USER,
    account,
    documented,
    filled,
    name_of,
    new_profile,
    paste,
)
from tests.contract.pairs import Pair, new_clone
from tests.contract.test_preflight import looked
from tests.laboratories import deadline
from tests.laboratories.oracle import OracleLaboratory
from tests.local.stand_ins.oracle import server as oracle_server

pytestmark = pytest.mark.engine("oracle")

TO_MANAGE = (
    "BEGIN sys.dbms_resource_manager_privs.grant_system_privilege('{{n}}', 'ADMINISTER_RESOURCE_MANAGER', {}); END;"
)
PAIR, SINGLE, DUAL = Strategy.ALTERNATING_USERS, Strategy.SINGLE_USER, Strategy.DUAL_PASSWORD


def admins_rights(
    oracle: OracleLaboratory, admin: Credential, user: Credential, strategy: Strategy = PAIR
) -> Mapping[str, Finding]:
    """Return what an admin's session says of its rights, by item."""
    other = new_clone(user).username if strategy is PAIR else user.username
    with oracle.engine.connect(admin, deadline()) as session:
        return {finding.item: finding for finding in session.inspect_rights(strategy, user.username, other)}


def server(oracle: OracleLaboratory, user: Credential) -> Mapping[str, Finding]:
    """Return what a user's session says of the server, by item."""
    with oracle.engine.connect(user, deadline()) as session:
        return {finding.item: finding for finding in session.inspect_server()}


def with_profile(oracle: OracleLaboratory, limits: str) -> Credential:
    """Make a user with such a profile."""
    user = oracle.new_user()
    oracle.alter(f"ALTER USER {account(user)} PROFILE {new_profile(oracle, limits)}")
    return user


@pytest.fixture
def user(oracle: OracleLaboratory, things: str) -> Credential:
    """A user with a role, a privilege, and a right on a table."""
    user = oracle.new_user()
    oracle.alter(f"GRANT CREATE TABLE, {things}_ROLE TO {account(user)}")
    return user


# Rights of the admin


def test_an_admin_that_can_do_nothing_is_told_what_it_lacks_until_it_can(
    oracle: OracleLaboratory, user: Credential, things: str
) -> None:
    admin = documented(oracle, "", (AS_DOCUMENTED[0], "GRANT CREATE SESSION TO rotator"))
    name = account(admin)
    finding = admins_rights(oracle, admin, user)["rights"]
    assert finding.outcome is Outcome.FAIL
    assert finding.remedy == f"GRANT ALTER USER TO {name}; GRANT SELECT_CATALOG_ROLE TO {name}"
    paste(oracle, finding.remedy)
    finding = admins_rights(oracle, admin, user)["rights"]
    assert finding.outcome is Outcome.FAIL
    assert set(finding.remedy.split("; ")) == {
        f"GRANT CREATE USER TO {name}",
        f"GRANT CREATE SESSION TO {name} WITH ADMIN OPTION",
        f"GRANT CREATE TABLE TO {name} WITH ADMIN OPTION",
        f'GRANT "{things}_ROLE" TO {name} WITH ADMIN OPTION',
        f"GRANT GRANT ANY OBJECT PRIVILEGE TO {name}",
    }
    paste(oracle, finding.remedy)
    assert admins_rights(oracle, admin, user)["rights"].outcome is Outcome.PASS
    clone = new_clone(user)
    with oracle.engine.connect(admin, deadline()) as session:
        session.mirror(user.username, clone.username)
        session.set_password(clone.username, clone.password)
    assert oracle.logs_in(clone)


@pytest.mark.parametrize(
    ("taken", "lacks"),
    [
        ("REVOKE ALTER USER FROM {}", "GRANT ALTER USER TO {}"),
        ("REVOKE CREATE USER FROM {}", "GRANT CREATE USER TO {}"),
        ("REVOKE SELECT_CATALOG_ROLE FROM {}", "GRANT SELECT_CATALOG_ROLE TO {}"),
        ("REVOKE CREATE TABLE FROM {}", "GRANT CREATE TABLE TO {} WITH ADMIN OPTION"),
        ("REVOKE CREATE TABLE FROM {}; GRANT CREATE TABLE TO {}", "GRANT CREATE TABLE TO {} WITH ADMIN OPTION"),
        ("REVOKE {s}_ROLE FROM {}", 'GRANT "{s}_ROLE" TO {} WITH ADMIN OPTION'),
        ("REVOKE GRANT ANY OBJECT PRIVILEGE FROM {}", "GRANT GRANT ANY OBJECT PRIVILEGE TO {}"),
    ],
)
def test_a_right_that_was_taken_away_is_named_and_given_back(
    oracle: OracleLaboratory, user: Credential, things: str, taken: str, lacks: str
) -> None:
    admin = documented(oracle, f"{things}_ROLE")
    assert admins_rights(oracle, admin, user)["rights"].outcome is Outcome.PASS
    paste(oracle, filled(taken, admin, things))
    finding = admins_rights(oracle, admin, user)["rights"]
    assert (finding.outcome, finding.remedy) == (Outcome.FAIL, filled(lacks, admin, things))
    paste(oracle, finding.remedy)
    assert admins_rights(oracle, admin, user)["rights"].outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("given", "lacks"),
    [
        ("CREATE SYNONYM {}.parts FOR {s}.parts", "GRANT CREATE ANY SYNONYM TO {}"),
        (
            "BEGIN sys.dbms_resource_manager_privs.grant_switch_consumer_group('{n}', 'BATCH_GROUP', TRUE); END;",
            TO_MANAGE.format("FALSE"),
        ),
        (
            TO_MANAGE.format("FALSE"),
            TO_MANAGE.format("TRUE"),
        ),
        (
            "GRANT SELECT ANY TABLE ON SCHEMA {s} TO {}",
            'GRANT SELECT ANY TABLE ON SCHEMA "{s}" TO {} WITH ADMIN OPTION',
        ),
        ("GRANT UPDATE (price) ON {s}.parts TO {}", ""),
    ],
)
def test_what_the_user_also_has_asks_for_more(
    oracle: OracleLaboratory, user: Credential, things: str, given: str, lacks: str
) -> None:
    admin = documented(oracle, f"{things}_ROLE")
    oracle.alter(filled(given, user, things))
    finding = admins_rights(oracle, admin, user)["rights"]
    assert finding.remedy == filled(lacks, admin, things)
    assert finding.outcome is (Outcome.FAIL if lacks else Outcome.PASS)
    if lacks:
        paste(oracle, finding.remedy)
        assert admins_rights(oracle, admin, user)["rights"].outcome is Outcome.PASS


def test_an_object_of_sys_asks_for_the_option_and_rds_has_a_procedure(
    oracle: OracleLaboratory, user: Credential, things: str, stand_in: oracle_server.Server
) -> None:
    admin = documented(oracle, f"{things}_ROLE")
    held = oracle_server.Held(name_of(user), "SYS", "V_$SESSION", "SELECT", "", "SYS")
    stand_in.database.object_grants[held] = oracle_server.Options()
    finding = admins_rights(oracle, admin, user)["rights"]
    call = f"rdsadmin.rdsadmin_util.grant_sys_object('V_$SESSION', '{name_of(admin)}', 'SELECT', TRUE)"
    statement = f'GRANT SELECT ON "SYS"."V_$SESSION" TO {account(admin)} WITH GRANT OPTION'
    assert finding.remedy == f"{statement} (on RDS: BEGIN {call}; END;)"
    stand_in.database.object_grants[replace(held, grantee=name_of(admin))] = oracle_server.Options(grantable=True)
    assert admins_rights(oracle, admin, user)["rights"].outcome is Outcome.PASS


@pytest.mark.parametrize("right", ["CREATE VIEW", "SELECT ANY TABLE ON SCHEMA {s}", '"{s} role; --"'])
def test_a_right_can_be_passed_on_through_a_role(
    oracle: OracleLaboratory, user: Credential, things: str, right: str
) -> None:
    admin, role = documented(oracle, f"{things}_ROLE"), f"{name_of(user)}_ADMINS"
    right = filled(right, user, things)
    oracle.alter(f"GRANT {right} TO {account(user)}", f"CREATE ROLE {role}", f"GRANT {role} TO {account(admin)}")
    assert admins_rights(oracle, admin, user)["rights"].outcome is Outcome.FAIL
    oracle.alter(f"GRANT {right} TO {role} WITH ADMIN OPTION")
    assert admins_rights(oracle, admin, user)["rights"].outcome is Outcome.PASS


def test_a_pair_that_is_equal_asks_for_nothing_more(oracle: OracleLaboratory, pair: Pair) -> None:
    admin = documented(oracle, "", FOR_ONE_USER)
    assert admins_rights(oracle, admin, pair[0])["rights"].outcome is Outcome.PASS


@pytest.mark.parametrize("strategy", [SINGLE, DUAL])
def test_an_admin_that_only_stands_by_is_no_failure(
    oracle: OracleLaboratory, user: Credential, strategy: Strategy
) -> None:
    admin = documented(oracle, "", (AS_DOCUMENTED[0], "GRANT CREATE SESSION TO rotator"))
    name = account(admin)
    finding = admins_rights(oracle, admin, user, strategy)["rights"]
    assert (finding.outcome, finding.remedy) == (
        Outcome.WARN,
        f"GRANT ALTER USER TO {name}; GRANT SELECT_CATALOG_ROLE TO {name}",
    )
    paste(oracle, finding.remedy)
    assert admins_rights(oracle, admin, user, strategy)["rights"].outcome is Outcome.PASS


@pytest.mark.parametrize(("strategy", "outcome"), [(PAIR, Outcome.FAIL), (SINGLE, Outcome.WARN)])
def test_a_trigger_of_others_is_named(
    oracle: OracleLaboratory, user: Credential, strategy: Strategy, outcome: Outcome
) -> None:
    trigger = f"{name_of(oracle.new_user())}.READS_ALL"
    oracle.alter(f"CREATE TRIGGER {trigger} AFTER DDL ON DATABASE BEGIN NULL; END;")
    try:
        finding = admins_rights(oracle, oracle.admin, user, strategy)["triggers"]
    finally:
        oracle.alter(f"DROP TRIGGER {trigger}")
    assert finding.outcome is outcome
    assert trigger in finding.said
    assert admins_rights(oracle, oracle.admin, user, strategy)["triggers"].outcome is Outcome.PASS


def test_what_a_user_owns_without_a_grant_is_a_failure(oracle: OracleLaboratory, user: Credential) -> None:
    oracle.alter(f"CREATE TABLE {account(user)}.items (id NUMBER)")
    finding = admins_rights(oracle, oracle.admin, user)["view of the pair"]
    assert finding.outcome is Outcome.FAIL
    assert "ITEMS" in finding.said


# Rights of the user


@pytest.mark.parametrize("through_admin", [False, True])
def test_a_profile_without_rollover_ends_dual_password_also_with_an_admin(
    oracle: OracleLaboratory, *, through_admin: bool
) -> None:
    findings = looked(oracle, oracle.new_user(), DUAL, through_admin=through_admin)
    assert findings["rights"].outcome is Outcome.FAIL
    assert "PASSWORD_ROLLOVER_TIME 1" in findings["rights"].remedy


def test_a_common_user_changes_its_password_in_the_root_only(
    oracle: OracleLaboratory, stand_in: oracle_server.Server
) -> None:
    user = oracle.new_user()
    stand_in.database.users[name_of(user)].common = True
    finding = looked(oracle, user, SINGLE, through_admin=True)["rights"]
    assert finding.outcome is Outcome.FAIL
    assert "root container" in finding.remedy


# The server


def test_a_standby_is_a_warning(oracle: OracleLaboratory, stand_in: oracle_server.Server) -> None:
    user = oracle.new_user()
    assert server(oracle, user)["replica"].outcome is Outcome.PASS
    stand_in.database.role = "PHYSICAL STANDBY"
    finding = server(oracle, user)["replica"]
    stand_in.database.role = "PRIMARY"
    assert finding.outcome is Outcome.WARN
    assert "PHYSICAL STANDBY" in finding.said


@pytest.mark.parametrize(
    ("limit", "outcome"),
    [("1", Outcome.WARN), ("4", Outcome.WARN), ("5", Outcome.PASS), ("UNLIMITED", Outcome.PASS)],
)
def test_a_low_limit_of_failed_logins_is_a_warning(oracle: OracleLaboratory, limit: str, outcome: Outcome) -> None:
    user = with_profile(oracle, f"FAILED_LOGIN_ATTEMPTS {limit}")
    finding = server(oracle, user)["lockout"]
    assert finding.outcome is outcome
    assert ("FAILED_LOGIN_ATTEMPTS 5" in finding.remedy) is (outcome is Outcome.WARN)


def test_the_limit_of_the_profile_default_counts(oracle: OracleLaboratory) -> None:
    user = with_profile(oracle, "PASSWORD_LIFE_TIME 90")
    findings = server(oracle, user)
    assert "after 10 failed logins" in findings["lockout"].said
    assert "90 days" in findings["expiry"].said


def test_an_old_server_is_asked_for_what_it_has(old_oracle: OracleLaboratory) -> None:
    user = old_oracle.new_user()
    findings = server(old_oracle, user)
    assert "Oracle 19.3" in findings["version"].said
    assert findings["password rules"].said == "the user's profile has no verify function"
    with old_oracle.engine.connect(user, deadline()) as session, pytest.raises(Unsupported, match=r"19\.12"):
        list(session.inspect_rights(DUAL, user.username, user.username))


def test_a_verify_function_of_oracles_is_held_against_the_policy(
    oracle: OracleLaboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = with_profile(oracle, "PASSWORD_VERIFY_FUNCTION ora12c_strong_verify_function")
    assert server(oracle, user)["password rules"].outcome is Outcome.PASS
    monkeypatch.setenv("PASSWORD_LENGTH", "8")
    finding = server(oracle, user)["password rules"]
    assert finding.outcome is Outcome.WARN
    assert finding.remedy == "Set PASSWORD_LENGTH (parameter PasswordLength) to 9 or more"


def test_a_verify_function_that_nobody_knows_is_a_warning(
    oracle: OracleLaboratory, stand_in: oracle_server.Server
) -> None:
    profile = new_profile(oracle, "PASSWORD_LIFE_TIME 90")
    user = oracle.new_user()
    oracle.alter(f"ALTER USER {account(user)} PROFILE {profile}")
    stand_in.database.profiles[profile]["PASSWORD_VERIFY_FUNCTION"] = "CUSTOM_PASSWORD_FUNCTION"
    finding = server(oracle, user)["password rules"]
    assert finding.outcome is Outcome.WARN
    assert "CUSTOM_PASSWORD_FUNCTION" in finding.said


def test_a_password_that_has_expired_was_renewed_and_that_is_said(oracle: OracleLaboratory) -> None:
    user = oracle.new_user()
    oracle.alter(f"ALTER USER {account(user)} PASSWORD EXPIRE")
    finding = server(oracle, user)["expiry"]
    assert finding.outcome is Outcome.WARN
    assert "had expired" in finding.said
    assert server(oracle, user)["expiry"].outcome is Outcome.PASS


# What it leaves alone


def test_nothing_but_queries_is_sent(oracle: OracleLaboratory, stand_in: oracle_server.Server, pair: Pair) -> None:
    before = len(stand_in.database.statements)
    looked(oracle, pair[0], PAIR, through_admin=True)
    sent = {text for *_, text in stand_in.database.statements[before:]}
    assert sent
    assert all(text.startswith(("SELECT ", "ALTER SESSION SET CURRENT_SCHEMA = ")) for text in sent)


OWN = ("CREATE TABLE {}.parts (id NUMBER)",)
OF_A_TRIGGER = (
    "GRANT SELECT ON {s}.parts TO {}",
    (
        "CREATE TRIGGER {}.at_login AFTER LOGON ON {}.SCHEMA"
        " BEGIN EXECUTE IMMEDIATE 'ALTER SESSION SET CURRENT_SCHEMA = {s}'; END;"
    ),
)


@pytest.mark.parametrize("statements", [OWN, OF_A_TRIGGER], ids=["its own", "that of a logon trigger"])
def test_a_statement_of_the_secret_runs_in_the_schema_of_the_application(
    oracle: OracleLaboratory, things: str, statements: tuple[str, ...]
) -> None:
    user = oracle.new_user()
    oracle.alter(*(filled(statement, user, things) for statement in statements))
    rotation = {"strategy": SINGLE, "verify": ["SELECT 1 FROM parts"]}
    finding = looked(oracle, user, SINGLE, through_admin=False, rotation=rotation)["verify"]
    assert finding.outcome is Outcome.PASS


def test_a_port_without_tls_gets_nothing_and_the_remedy_is_the_port(
    oracle: OracleLaboratory, stand_in: oracle_server.Server
) -> None:
    user = oracle.new_user()
    before = stand_in.log_text()
    with pytest.raises(Untrusted, match="2484") as raised:
        list(oracle.engine.reach(replace(user, port=stand_in.plain_port), deadline()))
    assert user.password not in str(raised.value)
    assert stand_in.log_text() == before
