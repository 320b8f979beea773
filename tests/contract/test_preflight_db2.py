"""What does a preflight say of a Db2 server that something is wrong with?

The logins are without TLS, which takes IBM's client 0.2 s each; `test_preflight` has them with TLS.
"""

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace

import pytest

from rotation.credential import Credential
from rotation.engines.db2.client import ClientConnection
from rotation.errors import LoginBlocked, NotPermitted
from rotation.finding import Finding, Outcome
from rotation.kind import Strategy
from tests.contract.db2_kit import inside, inside_session
from tests.contract.db2_turns import IN_RDSADMIN
from tests.contract.impostor import Line, posing
from tests.contract.pairs import new_clone, set_secret
from tests.contract.test_attack_pairs_db2 import depend
from tests.contract.test_preflight import bad, looked
from tests.laboratories import INVOICES, deadline
from tests.laboratories.db2 import Db2Laboratory, quoted
from tests.local.stand_ins.db2.catalog import CONFIGURATION
from tests.local.stand_ins.db2.database import Instance

pytestmark = pytest.mark.engine("db2")

ACCESSCTRL = "ACCESSCTRL ON DATABASE"


@pytest.fixture
def server(laboratory: Db2Laboratory) -> Db2Laboratory:
    """The server, to which nobody wants TLS."""
    return replace(laboratory, admin=replace(laboratory.admin, tls=False))


@pytest.fixture
def user(server: Db2Laboratory) -> Credential:
    """A user with the rights that RDS documents."""
    return server.new_user()


@pytest.fixture
def without_accessctrl(server: Db2Laboratory, instance: Instance, user: Credential) -> Iterator[None]:  # noqa: ARG001 - made while the admin may grant
    """The admin has not ACCESSCTRL."""
    grantee = quoted(server.admin.username.upper())
    inside(instance, f"REVOKE {ACCESSCTRL} FROM USER {grantee}")
    yield
    inside(instance, f"GRANT {ACCESSCTRL} TO USER {grantee}")


@pytest.fixture
def standby(instance: Instance) -> Iterator[None]:
    """The database says that it is an HADR standby."""
    with inside_session(instance) as session:
        statement = f"UPDATE \"{CONFIGURATION}\" SET VALUE = ? WHERE NAME = 'hadr_db_role'"  # noqa: S608 - a constant
        session.store.execute(statement, ["STANDBY"])
        yield
        session.store.execute(statement, ["STANDARD"])


def of_pair(server: Db2Laboratory, user: Credential) -> Mapping[str, Finding]:
    """Take the preflight of a pair."""
    return looked(server, user, Strategy.ALTERNATING_USERS, through_admin=True)


def alone(server: Db2Laboratory, user: Credential) -> Mapping[str, Finding]:
    """Take the preflight of a user who changes its own password."""
    return looked(server, user, Strategy.SINGLE_USER, through_admin=False)


def test_what_no_session_sees_is_not_said_to_be_good(server: Db2Laboratory, user: Credential) -> None:
    findings = alone(server, user)
    unseen = ("replica", "password rules", "lockout", "own password")
    assert {item: findings[item].outcome for item in unseen} == dict.fromkeys(unseen, Outcome.NOT_LOOKED_AT)
    assert findings["rights"].outcome is Outcome.PASS
    assert findings["version"].outcome is Outcome.WARN, "no server has ever been tried"
    assert findings["version"].said.startswith("DB2/LINUXX8664 11.05.0800: ")


def test_another_version_is_said(server: Db2Laboratory, user: Credential, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ClientConnection, "server", lambda *_: ("DB2/LINUXX8664", "10.05.0900"))
    assert "was written for 11.5 and 12.1" in alone(server, user)["version"].said


def test_the_admin_sees_that_the_database_takes_changes(server: Db2Laboratory, user: Credential) -> None:
    findings = of_pair(server, user)
    assert findings["replica"].outcome is Outcome.NOT_LOOKED_AT
    assert findings["admin's replica"].outcome is Outcome.PASS
    assert findings["admin's rights"].outcome is Outcome.PASS
    assert "admin's other databases" not in findings


@pytest.mark.usefixtures("standby")
@pytest.mark.parametrize("strategy", [Strategy.SINGLE_USER, Strategy.ALTERNATING_USERS])
def test_a_standby_fails_for_the_admin_and_warns_a_user_who_sees_it(
    server: Db2Laboratory, user: Credential, strategy: Strategy
) -> None:
    with server.session() as run:
        run(f"GRANT SELECT ON TABLE {CONFIGURATION} TO USER {quoted(user.username.upper())}")
    findings = looked(server, user, strategy, through_admin=True)
    assert findings["replica"].outcome is Outcome.WARN
    assert list(bad(findings, Outcome.FAIL)) == ["admin's replica"]
    assert 'Name the primary in "host"' in findings["admin's replica"].remedy


@pytest.mark.usefixtures("without_accessctrl")
def test_an_admin_without_accessctrl_fails_until_the_statement_was_run(server: Db2Laboratory, user: Credential) -> None:
    failure = of_pair(server, user)["admin's rights"]
    assert failure.outcome is Outcome.FAIL
    assert "CONNECT ON DATABASE" in failure.said
    statement = failure.remedy.partition(IN_RDSADMIN)[2]
    server.administer(statement, 0)
    assert of_pair(server, user)["admin's rights"].outcome is Outcome.PASS


def test_an_admin_without_accessctrl_is_a_warning_if_nothing_is_to_be_granted(
    server: Db2Laboratory, user: Credential, request: pytest.FixtureRequest
) -> None:
    set_secret(server, user)
    request.getfixturevalue("without_accessctrl")
    finding = of_pair(server, user)["admin's rights"]
    assert finding.outcome is Outcome.WARN
    assert "RDSADMIN.DBADM_GRANT" in finding.remedy


@pytest.mark.usefixtures("without_accessctrl")
@pytest.mark.parametrize("holder", ["GROUP MASTERDBA", "ROLE ROLE_TABLESPACES"])
def test_what_the_admin_has_through_a_group_or_a_role_counts(
    server: Db2Laboratory, instance: Instance, user: Credential, holder: str
) -> None:
    inside(instance, f"GRANT {ACCESSCTRL} TO {holder}")
    finding = of_pair(server, user)["admin's rights"]
    inside(instance, f"REVOKE {ACCESSCTRL} FROM {holder}")
    assert finding.outcome is Outcome.PASS
    assert finding.said.endswith("has ACCESSCTRL")


@pytest.mark.parametrize("what", ["SECADM ON DATABASE", "SETSESSIONUSER ON PUBLIC"])
def test_a_right_that_only_a_secadm_grants_fails_until_the_statement_was_run(
    server: Db2Laboratory, instance: Instance, user: Credential, what: str
) -> None:
    inside(instance, f"GRANT {what} TO USER {quoted(user.username.upper())}")
    failure = of_pair(server, user)["admin's rights"]
    assert failure.outcome is Outcome.FAIL
    assert what in failure.said
    inside(instance, failure.remedy.removeprefix("Run as a SECADM: "))
    assert of_pair(server, user)["admin's rights"].outcome is Outcome.PASS
    set_secret(server, user)


def test_an_authority_of_routines_is_a_warning_because_a_setting_decides(
    server: Db2Laboratory, instance: Instance, user: Credential
) -> None:
    inside(instance, f"GRANT CREATE_EXTERNAL_ROUTINE ON DATABASE TO USER {quoted(user.username.upper())}")
    findings = of_pair(server, user)
    assert bad(findings, Outcome.FAIL) == {}
    finding = findings["admin's external routines"]
    assert finding.outcome is Outcome.WARN
    inside(instance, finding.remedy.partition(": ")[2])
    assert "admin's external routines" not in of_pair(server, user)


def test_what_a_revoke_would_destroy_is_said(server: Db2Laboratory, instance: Instance, user: Credential) -> None:
    other = new_clone(user).username
    set_secret(server, user)
    server.allow(other, INVOICES)
    assert of_pair(server, user)["admin's views"].outcome is Outcome.PASS
    view = depend(instance, other, "VIEW")
    failure = of_pair(server, user)["admin's views"]
    assert failure.outcome is Outcome.FAIL
    assert view in failure.said
    assert "TRANSFER OWNERSHIP OF VIEW" in failure.remedy


def test_databases_in_which_no_rights_are_copied_are_named(
    server: Db2Laboratory, instance: Instance, user: Credential, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instance, "databases", instance.databases | {"PAYROLL": instance.databases["TESTDB"]})
    finding = of_pair(server, user)["admin's other databases"]
    assert finding.outcome is Outcome.WARN
    assert finding.said.endswith("PAYROLL")


def test_who_is_not_the_master_user_cannot_be_the_admin(server: Db2Laboratory, user: Credential) -> None:
    with (
        server.engine.connect(user, deadline()) as session,
        pytest.raises((NotPermitted, LoginBlocked), match="Put the master user of RDS"),
    ):
        list(session.inspect_rights(Strategy.SINGLE_USER, "somebody", "somebody"))


def test_an_expired_password_is_no_login(server: Db2Laboratory, instance: Instance, user: Credential) -> None:
    known = instance.user(user.username)
    assert known
    known.is_expired = True
    findings = looked(server, user, Strategy.SINGLE_USER, through_admin=True)
    assert list(bad(findings, Outcome.FAIL)) == ["login"]
    assert "RDSADMIN.CHANGE_PASSWORD" in findings["login"].remedy
    assert findings["admin"].outcome is Outcome.NOT_LOOKED_AT


def test_a_port_without_tls_is_said_to_be_one(laboratory: Db2Laboratory, user: Credential) -> None:
    def hang_up(line: Line) -> None:
        with closing(line):
            line.hear(1)

    with posing(hang_up) as impostor:
        findings = alone(laboratory, replace(user, host="localhost", port=impostor.port, tls=True))
    assert list(bad(findings, Outcome.FAIL)) == ["network"]
    assert "ssl_svcename" in findings["network"].remedy
    assert user.password.encode() not in impostor.heard
