"""What does a preflight say of a MySQL or MariaDB server that a rotation would fail on, or that is strict?"""

import secrets
import socket
import struct
from collections.abc import Sequence
from dataclasses import replace

import pytest

from rotation.credential import Credential
from rotation.errors import NotPermitted
from rotation.finding import Finding, Outcome
from rotation.kind import Strategy
from tests.contract.mysql_kit import Serve, account, alter, reuse_check, serving, setting
from tests.contract.pairs import new_clone, set_secret
from tests.contract.test_preflight import bad, looked
from tests.laboratories import ORDERS, deadline, new_password
from tests.laboratories.mysql import SCHEMA, MySQLLaboratory

pytestmark = pytest.mark.newest

ADMINS_RIGHTS = "admin's rights"


def run_remedy(laboratory: MySQLLaboratory, finding: Finding) -> None:
    """Run the statements of a remedy, as they are."""
    assert finding.remedy.startswith("Run ")
    alter(laboratory, *finding.remedy.removeprefix("Run ").split("; "))


def with_poor_admin(laboratory: MySQLLaboratory, *grants: str) -> MySQLLaboratory:
    """Return the laboratory with an admin that can do nothing but this."""
    admin = laboratory.new_user(f"admin-{secrets.token_hex(4)}")
    alter(laboratory, f"REVOKE ALL PRIVILEGES, GRANT OPTION FROM {account(admin)}")
    alter(laboratory, *(f"GRANT {grant.format(account(admin))}" for grant in grants))
    return replace(laboratory, admin=replace(admin, database=None))


def require_healed(
    laboratory: MySQLLaboratory, user: Credential, strategy: Strategy, statements: Sequence[str], item: str
) -> None:
    """Require that one item fails, with these statements, and that it passes after them."""
    through_admin = item == ADMINS_RIGHTS
    findings = looked(laboratory, user, strategy, through_admin=through_admin)
    assert list(bad(findings, Outcome.FAIL)) == [item]
    assert findings[item].remedy == f"Run {'; '.join(statements)}"
    run_remedy(laboratory, findings[item])
    assert bad(looked(laboratory, user, strategy, through_admin=through_admin), Outcome.FAIL) == {}


# What an admin lacks

READS = "SELECT ON mysql.* TO {}"
CREATES = "CREATE USER ON *.* TO {}"


def an_admin_that_cannot_change_users(laboratory: MySQLLaboratory, strategy: Strategy) -> None:
    poor = with_poor_admin(laboratory, READS, f"SELECT ON {SCHEMA}.* TO {{}} WITH GRANT OPTION")
    statements = [f"GRANT CREATE USER ON *.* TO {account(poor.admin)}"]
    require_healed(poor, laboratory.new_user(), strategy, statements, ADMINS_RIGHTS)


@pytest.mark.parametrize("strategy", list(Strategy))
def test_an_admin_of_mysql_that_cannot_change_users_gets_the_statement(
    mysql: MySQLLaboratory, strategy: Strategy
) -> None:
    an_admin_that_cannot_change_users(mysql, strategy)


@pytest.mark.parametrize("strategy", list(Strategy))
def test_an_admin_of_mariadb_that_cannot_change_users_gets_the_statement(
    mariadb: MySQLLaboratory, strategy: Strategy
) -> None:
    an_admin_that_cannot_change_users(mariadb, strategy)


def an_admin_that_cannot_grant(laboratory: MySQLLaboratory, role: str) -> None:
    """It can grant something, but neither on that table, nor on everything, nor that role."""
    elsewhere = rf"SELECT, PROCESS ON *.* TO {{}}; GRANT INSERT ON `{SCHEMA}\_other`.* TO {{}} WITH GRANT OPTION"
    poor = with_poor_admin(laboratory, READS, CREATES, *elsewhere.split("; GRANT "))
    user, admin = laboratory.new_user(), account(poor.admin)
    alter(
        laboratory,
        "CREATE ROLE IF NOT EXISTS lab_reader",
        f"GRANT lab_reader TO {account(user)}",
        f"GRANT PROCESS ON *.* TO {account(user)}",
    )
    statements = [
        f"GRANT PROCESS ON *.* TO {admin} WITH GRANT OPTION",
        f"GRANT SELECT ON `{SCHEMA}`.`{ORDERS}` TO {admin} WITH GRANT OPTION",
        role.format(admin),
    ]
    with pytest.raises(NotPermitted):
        set_secret(poor, user)
    require_healed(poor, user, Strategy.ALTERNATING_USERS, statements, ADMINS_RIGHTS)
    set_secret(poor, user)


def test_what_an_admin_of_mysql_cannot_grant_is_said_as_statements(mysql: MySQLLaboratory) -> None:
    an_admin_that_cannot_grant(mysql, "GRANT ROLE_ADMIN ON *.* TO {} WITH GRANT OPTION")


def test_what_an_admin_of_mariadb_cannot_grant_is_said_as_statements(mariadb: MySQLLaboratory) -> None:
    an_admin_that_cannot_grant(mariadb, "GRANT `lab_reader` TO {} WITH ADMIN OPTION")


def an_admin_that_reads_too_little(laboratory: MySQLLaboratory, *tables: str) -> None:
    grants = [f"SELECT ON mysql.{table} TO {{}}" for table in tables]
    poor = with_poor_admin(laboratory, CREATES, *grants, f"SELECT ON {SCHEMA}.* TO {{}} WITH GRANT OPTION")
    statements = [f"GRANT SELECT ON mysql.* TO {account(poor.admin)}"]
    user = laboratory.new_user()
    findings = looked(poor, user, Strategy.ALTERNATING_USERS, through_admin=True)
    assert findings[ADMINS_RIGHTS].outcome is Outcome.FAIL
    assert findings[ADMINS_RIGHTS].remedy == f"Run {statements[0]}"
    run_remedy(poor, findings[ADMINS_RIGHTS])
    assert bad(looked(poor, user, Strategy.ALTERNATING_USERS, through_admin=True), Outcome.FAIL) == {}


def test_an_admin_that_finds_no_account_gets_the_statement(mysql: MySQLLaboratory) -> None:
    poor, user = with_poor_admin(mysql, CREATES), mysql.new_user()
    finding = looked(poor, user, Strategy.SINGLE_USER, through_admin=True)["admin"]
    assert finding.outcome is Outcome.FAIL
    alter(mysql, finding.remedy)
    assert bad(looked(poor, user, Strategy.SINGLE_USER, through_admin=True), Outcome.FAIL) == {}


def test_an_admin_of_mysql_that_reads_too_little_gets_the_statement(mysql: MySQLLaboratory) -> None:
    an_admin_that_reads_too_little(mysql, "user")


def test_an_admin_of_mariadb_that_reads_too_little_gets_the_statement(mariadb: MySQLLaboratory) -> None:
    an_admin_that_reads_too_little(mariadb, "user", "global_priv")


@pytest.mark.parametrize("strategy", list(Strategy))
def test_an_account_of_the_system_needs_an_admin_of_the_system(mysql: MySQLLaboratory, strategy: Strategy) -> None:
    user = mysql.new_user()
    alter(mysql, f"GRANT SYSTEM_USER ON *.* TO {account(user)}")
    finding = looked(mysql, user, strategy, through_admin=True)[ADMINS_RIGHTS]
    assert finding.outcome is Outcome.FAIL
    assert finding.remedy == f"Run GRANT SYSTEM_USER ON *.* TO {account(mysql.admin)}"


def test_an_admin_cannot_tell_whose_the_clone_of_a_stranger_is(mysql: MySQLLaboratory) -> None:
    user = mysql.new_user()
    mysql.new_user(new_clone(user).username)
    findings = looked(mysql, user, Strategy.ALTERNATING_USERS, through_admin=True)
    assert findings[ADMINS_RIGHTS].outcome is Outcome.NOT_LOOKED_AT
    assert findings["clone"].outcome is Outcome.WARN


# What a user lacks


def test_a_user_that_cannot_have_two_passwords_gets_the_statement(mysql: MySQLLaboratory) -> None:
    user = mysql.new_user()
    statement = f"GRANT APPLICATION_PASSWORD_ADMIN ON *.* TO {account(user)}"
    require_healed(mysql, user, Strategy.DUAL_PASSWORD, [statement], "rights")


def test_a_second_password_is_not_looked_at_unless_the_user_can_end_it(mysql: MySQLLaboratory) -> None:
    user = mysql.new_user()
    findings = looked(mysql, user, Strategy.SINGLE_USER, through_admin=False)
    assert findings["second password"].outcome is Outcome.NOT_LOOKED_AT
    assert f"ALTER USER {account(user)} DISCARD OLD PASSWORD" in findings["second password"].said
    mysql.allow_two_passwords(user.username, by_itself=True)
    assert "second password" not in looked(mysql, user, Strategy.SINGLE_USER, through_admin=False)


@pytest.fixture
def behind_a_method(mariadb: MySQLLaboratory) -> Credential:
    """A user whose password is its second method."""
    user = mariadb.new_user()
    password = f"mysql_native_password USING PASSWORD('{user.password}')"
    alter(mariadb, f"ALTER USER {account(user)} IDENTIFIED VIA unix_socket OR {password}")
    return user


def test_a_method_that_is_no_password_ends_two(mariadb: MySQLLaboratory, behind_a_method: Credential) -> None:
    findings = looked(mariadb, behind_a_method, Strategy.DUAL_PASSWORD, through_admin=True)
    assert list(bad(findings, Outcome.FAIL)) == ["rights", ADMINS_RIGHTS]
    assert "mysql_native_password alone" in findings[ADMINS_RIGHTS].remedy


def test_a_password_behind_a_method_is_the_admins_to_change(
    mariadb: MySQLLaboratory, behind_a_method: Credential
) -> None:
    alone = looked(mariadb, behind_a_method, Strategy.SINGLE_USER, through_admin=False)["rights"]
    assert alone.outcome is Outcome.FAIL
    assert "SET PASSWORD" in alone.said
    findings = looked(mariadb, behind_a_method, Strategy.SINGLE_USER, through_admin=True)
    assert findings["rights"].outcome is Outcome.WARN
    assert findings[ADMINS_RIGHTS].outcome is Outcome.PASS


def test_a_history_of_passwords_ends_two(mariadb: MySQLLaboratory) -> None:
    user = mariadb.new_user()
    with reuse_check(mariadb):
        finding = looked(mariadb, user, Strategy.DUAL_PASSWORD, through_admin=True)[ADMINS_RIGHTS]
    assert finding.outcome is Outcome.FAIL
    assert "password_reuse_check" in finding.remedy


def an_expired_password(laboratory: MySQLLaboratory) -> None:
    user = laboratory.new_user()
    alter(laboratory, f"ALTER USER {account(user)} PASSWORD EXPIRE")
    findings = looked(laboratory, user, Strategy.SINGLE_USER, through_admin=False)
    assert findings["login"].outcome is Outcome.PASS
    assert findings["version"].outcome is Outcome.NOT_LOOKED_AT
    assert findings["rights"].outcome is Outcome.WARN
    pair = looked(laboratory, user, Strategy.ALTERNATING_USERS, through_admin=True)
    assert [item for item, finding in pair.items() if finding.outcome is Outcome.FAIL] == []
    assert pair["expiry"].outcome is Outcome.WARN
    with laboratory.engine.connect(user, deadline()) as session:
        session.change_own_password(new_password())
        first, *_ = session.inspect_rights(Strategy.SINGLE_USER, user.username, user.username)
    assert first.outcome is Outcome.PASS


def test_an_expired_password_of_mysql_is_said_and_a_rotation_renews_it(mysql: MySQLLaboratory) -> None:
    an_expired_password(mysql)


def test_an_expired_password_of_mariadb_is_said_and_a_rotation_renews_it(mariadb: MySQLLaboratory) -> None:
    an_expired_password(mariadb)


# What the server forbids, and how strict it is


def a_server_that_takes_no_changes(laboratory: MySQLLaboratory, name: str, value: str, admins: Outcome) -> None:
    user, as_root = laboratory.new_user(), replace(laboratory, admin=laboratory.superuser)
    with setting(laboratory, name, value):
        findings = looked(laboratory, user, Strategy.SINGLE_USER, through_admin=False)
        assert findings["replica"].outcome is Outcome.WARN
        assert findings["rights"].outcome is Outcome.FAIL
        assert name in findings["rights"].said
        assert "Name the primary" in findings["rights"].remedy
        with laboratory.engine.connect(user, deadline()) as session, pytest.raises(NotPermitted):
            session.change_own_password(new_password())
        found = looked(as_root, user, Strategy.SINGLE_USER, through_admin=True)
        assert found[ADMINS_RIGHTS].outcome is admins
        assert looked(laboratory, user, Strategy.SINGLE_USER, through_admin=True)[ADMINS_RIGHTS].outcome is Outcome.FAIL
    with setting(laboratory, "read_only", "0"):
        assert bad(looked(laboratory, user, Strategy.SINGLE_USER, through_admin=True), Outcome.FAIL) == {}


def test_a_mysql_that_is_read_only_is_changed_by_whom_the_server_lets(mysql: MySQLLaboratory) -> None:
    a_server_that_takes_no_changes(mysql, "read_only", "1", Outcome.PASS)


def test_a_mariadb_that_is_read_only_is_changed_by_whom_the_server_lets(mariadb: MySQLLaboratory) -> None:
    a_server_that_takes_no_changes(mariadb, "read_only", "1", Outcome.PASS)


def test_a_mysql_that_is_super_read_only_is_changed_by_nobody(mysql: MySQLLaboratory) -> None:
    with setting(mysql, "read_only", "0"):  # which super_read_only switches on
        a_server_that_takes_no_changes(mysql, "super_read_only", "1", Outcome.FAIL)


def test_a_low_limit_of_refused_logins_is_a_warning_with_the_statement(mysql: MySQLLaboratory) -> None:
    user = mysql.new_user()
    for limit in ("2 PASSWORD_LOCK_TIME 1", "1 PASSWORD_LOCK_TIME UNBOUNDED"):
        alter(mysql, f"ALTER USER {account(user)} FAILED_LOGIN_ATTEMPTS {limit}")
        finding = looked(mysql, user, Strategy.SINGLE_USER, through_admin=False)["lockout"]
        assert finding.outcome is Outcome.WARN
        run_remedy(mysql, finding)
        finding = looked(mysql, user, Strategy.SINGLE_USER, through_admin=False)["lockout"]
        assert finding.outcome is Outcome.PASS
        assert "3 refused logins" in finding.said


def test_a_limit_that_locks_for_no_time_is_none(mysql: MySQLLaboratory) -> None:
    user = mysql.new_user()
    alter(mysql, f"ALTER USER {account(user)} FAILED_LOGIN_ATTEMPTS 1 PASSWORD_LOCK_TIME 0")
    finding = looked(mysql, user, Strategy.SINGLE_USER, through_admin=False)["lockout"]
    assert finding.outcome is Outcome.PASS
    assert "no number of refused logins" in finding.said


def test_what_a_user_writes_about_itself_is_no_limit(mysql: MySQLLaboratory) -> None:
    user = mysql.new_user()
    alter(mysql, f"ALTER USER {account(user)} COMMENT 'FAILED_LOGIN_ATTEMPTS 1 PASSWORD_LOCK_TIME 1'")
    assert looked(mysql, user, Strategy.SINGLE_USER, through_admin=False)["lockout"].outcome is Outcome.PASS


def test_a_low_limit_of_a_mariadb_is_a_warning(mariadb: MySQLLaboratory) -> None:
    user = mariadb.new_user()
    for limit, outcome in (("2", Outcome.WARN), ("3", Outcome.PASS)):
        with setting(mariadb, "max_password_errors", limit):
            finding = looked(mariadb, user, Strategy.SINGLE_USER, through_admin=False)["lockout"]
            assert finding.outcome is outcome
            assert f"{limit} refused logins" in finding.said


def test_a_low_limit_of_interrupted_connections_is_a_warning(mysql: MySQLLaboratory) -> None:
    user = mysql.new_user()
    with setting(mysql, "max_connect_errors", "2"):
        finding = looked(mysql, user, Strategy.SINGLE_USER, through_admin=False)["lockout"]
    assert finding.outcome is Outcome.WARN
    assert finding.remedy == "Set max_connect_errors to 3 or more on the server"


def a_strict_password_rule(laboratory: MySQLLaboratory, name: str) -> None:
    user = laboratory.new_user()
    with laboratory.password_policy(user.username):
        finding = looked(laboratory, user, Strategy.SINGLE_USER, through_admin=False)["password rules"]
        assert finding.outcome is Outcome.PASS
        assert name in finding.said
        with setting(laboratory, name, "200"):
            finding = looked(laboratory, user, Strategy.SINGLE_USER, through_admin=False)["password rules"]
        assert finding.outcome is Outcome.FAIL
        assert finding.remedy == f"Lower {name} on the server"


def test_a_password_rule_of_mysql_that_no_password_meets_is_a_failure(mysql: MySQLLaboratory) -> None:
    a_strict_password_rule(mysql, "validate_password.length")


def test_a_password_rule_of_mariadb_that_no_password_meets_is_a_failure(mariadb: MySQLLaboratory) -> None:
    a_strict_password_rule(mariadb, "simple_password_check_minimal_length")


def test_a_mariadb_that_judges_no_hashes_says_so(mariadb: MySQLLaboratory) -> None:
    user = mariadb.new_user()
    with mariadb.password_policy(user.username), setting(mariadb, "strict_password_validation", "0"):
        finding = looked(mariadb, user, Strategy.SINGLE_USER, through_admin=False)["password rules"]
    assert finding.outcome is Outcome.PASS
    assert "strict_password_validation is off" in finding.said


# Before TLS


def greeting(payload: bytes) -> Serve:
    """Greet with this packet, and wait until the other side leaves."""

    def serve(connection: socket.socket) -> None:
        connection.sendall(struct.pack("<I", len(payload)) + payload)  # the number of the packet is 0
        assert connection.recv(1) == b"", "nothing is sent to such a server"

    return serve


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b"\xff\x10\x04Too many connections", "connection limit"),
        (b"\xff\x69\x04Host '10.0.0.1' is blocked", "host_cache"),
        (b"\xff\x15\x04Access denied", "Find out what answers"),
        (b"\x0a8.4.3\0" + bytes(13) + b"\xff\xf7" + bytes(40), "Switch TLS on"),
        (b"\x0a8.4.3\0", "Switch TLS on"),
    ],
)
def test_a_server_that_says_no_before_tls_gets_nothing_and_the_remedy(
    mysql: MySQLLaboratory, payload: bytes, words: str
) -> None:
    with serving(greeting(payload)) as port:
        user = replace(mysql.superuser, port=port)
        findings = looked(mysql, user, Strategy.SINGLE_USER, through_admin=False)
    assert findings["TCP"].outcome is Outcome.PASS
    assert findings["network"].outcome is Outcome.FAIL
    assert words in findings["network"].remedy


def test_a_server_of_another_kind_is_no_way(mysql: MySQLLaboratory) -> None:
    with serving(lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request")) as port:
        user = replace(mysql.superuser, port=port)
        findings = looked(mysql, user, Strategy.SINGLE_USER, through_admin=False)
    assert "does not greet" in findings["network"].said
    assert "Find out what answers" in findings["network"].remedy


def test_a_mariadb_that_blocks_the_address_has_another_remedy(mariadb: MySQLLaboratory) -> None:
    with serving(greeting(b"\xff\x69\x04Host '10.0.0.1' is blocked")) as port:
        user = replace(mariadb.superuser, port=port)
        findings = looked(mariadb, user, Strategy.SINGLE_USER, through_admin=False)
    assert findings["network"].remedy.startswith("Run FLUSH HOSTS")
