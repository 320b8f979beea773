"""What does a preflight say of a real server, on every engine and with every strategy?"""

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from rotation.credential import Credential, SecretValue
from rotation.errors import NotPermitted
from rotation.finding import Finding, Outcome
from rotation.kind import Strategy
from rotation.passwords import PasswordPolicy
from rotation.preflight.description import Description
from rotation.preflight.inspection import Inspection, Means
from tests.contract.pairs import admin_for, new_clone, set_secret
from tests.laboratories import INVOICES, ORDERS, Laboratory, deadline, new_password
from tests.laboratories.postgresql import PostgreSQLLaboratory

pytestmark = pytest.mark.newest

DESCRIPTION = Description(
    arn="arn:aws:secretsmanager:eu-west-1:123456789012:secret:orders-AbCdEf",
    owner="",
    primary_region="",
    is_deleted=False,
    is_enabled=True,
    function_arn="arn:function",
    schedule="rate(30 days)",
    next_rotation=None,
    stages={"version-0": ["AWSCURRENT"]},
)


UNSEEN = {"Db2": {"replica", "lockout"}}
"""What an engine need not show to an ordinary user."""


def looked(
    laboratory: Laboratory,
    user: Credential,
    strategy: Strategy,
    *,
    through_admin: bool,
    stages: str = "",
    **fields: object,
) -> Mapping[str, Finding]:
    """Take a preflight of a secret for this user, and return its findings by item."""
    kind = laboratory.engine.kind
    place = {"engine": user.engine, "host": user.host, "port": user.port, "ssl": user.tls}
    database = {"dbname": user.database} if user.database else {}
    login = {"username": user.username, "password": user.password}
    admin = {"masterarn": "arn:admin"} if through_admin else {}
    rotation = {"strategy": strategy, "verify": [laboratory.statement_that_reads(ORDERS)]}
    text = json.dumps({**place, **database, **login, **admin, "rotation": rotation, **fields})
    means = Means(
        engine=laboratory.engine,
        deadline=deadline(),
        describe=lambda: replace(DESCRIPTION, stages={"version-0": ["AWSCURRENT", *stages.split()]}),
        read=lambda: SecretValue.parse(text, kind, "reading a test"),
        admin=lambda value: admin_for(laboratory, value.credential),
        policy=lambda: PasswordPolicy.from_environment({}, kind),
        function_arn="arn:function",
    )
    return {finding.item: finding for finding in Inspection(means).findings()}


def bad(findings: Mapping[str, Finding], *outcomes: Outcome) -> dict[str, str]:
    """Return what has one of these outcomes."""
    return {item: finding.said for item, finding in findings.items() if finding.outcome in outcomes}


@pytest.fixture
def user(every_laboratory: Laboratory, strategy: Strategy, *, through_admin: bool) -> Credential:
    """A user that rotates with the strategy."""
    user = every_laboratory.new_user()
    if strategy is Strategy.DUAL_PASSWORD:
        every_laboratory.allow_two_passwords(user.username, by_itself=not through_admin)
    return user


def test_what_rotates_does_not_fail_and_nobody_is_refused(
    every_laboratory: Laboratory, user: Credential, strategy: Strategy, *, through_admin: bool
) -> None:
    before = every_laboratory.logins()
    findings = looked(every_laboratory, user, strategy, through_admin=through_admin)
    assert bad(findings, Outcome.FAIL) == {}
    for item in ("DNS", "TCP", "TLS", "login", "version", "replica", "lockout", "verify"):
        is_unseen = item in UNSEEN.get(every_laboratory.engine.kind.name, ())
        assert findings[item].outcome in {Outcome.PASS, Outcome.WARN} | (
            {Outcome.NOT_LOOKED_AT} if is_unseen else set()
        ), item
    assert findings["TLS"].said.startswith("TLSv1.")
    assert "valid until" in findings["TLS"].said
    assert "password rules" in findings
    assert "rights" in findings or "admin's rights" in findings
    if before and (now := every_laboratory.logins()):
        assert (now - before).refused == 0


@pytest.mark.strategies(Strategy.ALTERNATING_USERS)
def test_a_pair_passes_after_its_first_rotation_and_what_differs_is_said(
    every_laboratory: Laboratory, user: Credential, strategy: Strategy, *, through_admin: bool
) -> None:
    other = new_clone(user).username
    assert bad(looked(every_laboratory, user, strategy, through_admin=through_admin), Outcome.FAIL) == {}
    set_secret(every_laboratory, user)
    findings = looked(every_laboratory, user, strategy, through_admin=through_admin)
    assert findings["clone"].outcome is Outcome.PASS
    assert findings["grant diff"].outcome is Outcome.PASS
    every_laboratory.allow(user.username, INVOICES)
    finding = looked(every_laboratory, user, strategy, through_admin=through_admin)["grant diff"]
    if every_laboratory.engine.kind.name == "PostgreSQL":  # the clone acts as the original
        assert finding.outcome is Outcome.PASS
    else:
        assert finding.outcome is Outcome.FAIL, "no label says that the two were equal"
        assert other.casefold() in finding.remedy.casefold()


def test_a_wrong_password_is_one_refused_login(
    every_laboratory: Laboratory, user: Credential, strategy: Strategy, *, through_admin: bool
) -> None:
    before = every_laboratory.logins()
    wrong = replace(user, password=new_password())
    findings = looked(every_laboratory, wrong, strategy, through_admin=through_admin)
    assert list(bad(findings, Outcome.FAIL)) == ["login"]
    assert "password" in findings["login"].remedy
    if before and (now := every_laboratory.logins()):
        assert (now - before).refused == 1


@pytest.mark.usefixtures("strategy", "through_admin")
@pytest.mark.strategies(Strategy.SINGLE_USER)
def test_a_certificate_of_strangers_ends_it_before_any_login(
    every_laboratory: Laboratory, user: Credential, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DB_CA_BUNDLE")
    before = every_laboratory.logins()
    findings = looked(every_laboratory, user, Strategy.SINGLE_USER, through_admin=False)
    assert list(bad(findings, Outcome.FAIL)) == ["network"]
    assert findings["TCP"].outcome is Outcome.PASS
    assert findings["login"].outcome is Outcome.NOT_LOOKED_AT
    assert before == every_laboratory.logins()


@pytest.mark.usefixtures("strategy", "through_admin")
@pytest.mark.strategies(Strategy.SINGLE_USER)
def test_a_closed_port_is_said(every_laboratory: Laboratory, user: Credential, closed_port: int) -> None:
    findings = looked(every_laboratory, replace(user, port=closed_port), Strategy.SINGLE_USER, through_admin=False)
    assert findings["DNS"].outcome is Outcome.PASS
    assert "security groups" in findings["network"].remedy


@pytest.mark.engine("postgresql")
def test_an_attribute_that_the_admin_cannot_give_the_clone_fails_before_the_rotation_does(
    laboratory: PostgreSQLLaboratory,
) -> None:
    user = laboratory.new_user()
    with laboratory.session() as run:
        run(f'ALTER ROLE "{user.username}" REPLICATION')
    finding = looked(laboratory, user, Strategy.ALTERNATING_USERS, through_admin=True)["admin's rights"]
    assert finding.outcome is Outcome.FAIL
    assert "REPLICATION" in finding.remedy
    with pytest.raises(NotPermitted):
        set_secret(laboratory, user)
    with laboratory.session() as run:
        run(f'ALTER ROLE "{user.username}" NOREPLICATION')
    finding = looked(laboratory, user, Strategy.ALTERNATING_USERS, through_admin=True)["admin's rights"]
    assert finding.outcome is Outcome.PASS
