"""What does a preflight say, and what does it leave alone?"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from rotation.deadline import Deadline
from rotation.errors import ServiceFailed
from rotation.finding import Finding, Outcome
from rotation.passwords import PasswordPolicy
from rotation.preflight.description import Description
from rotation.preflight.inspection import Inspection, Means
from rotation.record import PairRecord
from tests.fakes import KIND, FakeDatabase, reading
from tests.laboratories import INVOICES, ORDERS
from tests.unit.scenario import ALTERNATING, APP, CLONE, SINGLE, Scenario

FUNCTION = "arn:aws:lambda:eu-west-1:123456789012:function:rotation-PostgreSql"
NOW = datetime(2026, 7, 1, tzinfo=UTC)
DESCRIPTION = Description(
    arn="arn:aws:secretsmanager:eu-west-1:123456789012:secret:orders-AbCdEf",
    owner="",
    primary_region="",
    is_deleted=False,
    is_enabled=True,
    function_arn=FUNCTION,
    schedule="rate(30 days)",
    next_rotation=None,
    stages={"version-0": ["AWSCURRENT"]},
)


def means(scenario: Scenario, description: Description = DESCRIPTION) -> Means:
    """Return what a preflight of this scenario looks with."""
    labels = frozenset(scenario.secret.labels)
    stages = {**description.stages, "version-0": [*description.stages["version-0"], *labels]}
    return Means(
        engine=scenario.database,
        deadline=Deadline(scenario.clock.seconds_left),
        describe=lambda: replace(description, stages=stages),
        read=scenario.secret.read,
        admin=lambda _: scenario.admin,
        policy=lambda: PasswordPolicy.from_environment({}, KIND),
        function_arn=FUNCTION,
    )


def looked(scenario: Scenario, description: Description = DESCRIPTION) -> Mapping[str, Finding]:
    """Take a preflight, and return its findings by item; it has changed nothing."""
    written = list(scenario.database.log)
    findings = list(Inspection(means(scenario, description)).findings())
    assert scenario.database.log == written
    assert len({finding.item for finding in findings}) == len(findings)
    return {finding.item: finding for finding in findings}


def bad(findings: Mapping[str, Finding]) -> dict[str, Outcome]:
    """Return the items that are no pass; `writing` never is one."""
    return {
        item: finding.outcome
        for item, finding in findings.items()
        if finding.outcome is not Outcome.PASS and item != "writing"
    }


def test_a_secret_that_rotates_passes() -> None:
    findings = looked(Scenario(SINGLE))
    assert bad(findings) == {}
    assert findings["writing"].outcome is Outcome.NOT_LOOKED_AT
    assert "app at primary.test:5000" in findings["login"].said


def test_a_pair_passes_before_its_first_rotation_and_after_it() -> None:
    scenario = Scenario(ALTERNATING)
    before = looked(scenario)
    assert bad(before) == {"grant diff": Outcome.NOT_LOOKED_AT}
    assert "does not exist" in before["clone"].said
    scenario.rotate()
    after = looked(scenario)
    assert bad(after) == {}
    assert "same rights" in after["grant diff"].said


def test_a_wrong_password_is_the_only_failed_login() -> None:
    scenario = Scenario(ALTERNATING)
    scenario.database.new_user(APP, "another")
    findings = looked(scenario)
    assert bad(findings) == {"login": Outcome.FAIL, "admin": Outcome.NOT_LOOKED_AT}
    assert findings["admin"].said == "it needs login"
    assert len(scenario.database.refused) == 1


def test_a_wrong_password_of_the_admin_is_the_only_failed_login() -> None:
    scenario = Scenario(ALTERNATING)
    scenario.database.new_user("admin", "another", is_admin=True)
    findings = looked(scenario)
    assert bad(findings) == {"admin": Outcome.FAIL}
    assert "arn:admin" in findings["admin"].remedy
    assert len(scenario.database.refused) == 1


def test_an_unreachable_host_leaves_only_what_needs_it() -> None:
    scenario = Scenario(SINGLE)
    scenario.database.unreachable.add(scenario.admin.host)
    assert bad(looked(scenario)) == {
        "network": Outcome.FAIL,
        "login": Outcome.NOT_LOOKED_AT,
        "admin": Outcome.NOT_LOOKED_AT,
    }
    assert not scenario.database.tried


def test_what_the_next_rotation_would_change_is_said_as_statements() -> None:
    scenario = Scenario(ALTERNATING)
    scenario.rotate()
    scenario.database.users[CLONE].rights.add(reading(INVOICES))
    finding = looked(scenario)["grant diff"]
    assert finding.outcome is Outcome.WARN
    assert f"GRANT read {INVOICES} TO {APP}" in finding.remedy
    assert f"REVOKE read {INVOICES} FROM {CLONE}" in finding.remedy


def test_a_difference_that_no_rotation_ends_is_a_failure() -> None:
    scenario = Scenario(ALTERNATING)
    scenario.rotate()
    scenario.database.users[APP].rights.discard(reading(ORDERS))
    finding = looked(scenario)["grant diff"]
    assert finding.outcome is Outcome.FAIL
    assert f"GRANT read {ORDERS} TO {APP}" in finding.remedy


def test_what_a_pair_cannot_share_is_a_failure_unless_it_is_accepted() -> None:
    scenario = Scenario(ALTERNATING)
    scenario.database.users[APP].jobs.add("nightly")
    finding = looked(scenario)["shared"]
    assert finding.outcome is Outcome.FAIL
    assert '"accept": ["jobs"]' in finding.remedy


def test_a_stranger_with_the_clones_name_is_a_warning() -> None:
    scenario = Scenario(ALTERNATING)
    scenario.database.new_user(CLONE, "secret of a stranger")
    assert looked(scenario)["clone"].outcome is Outcome.WARN


def test_rights_that_are_missing_are_a_failure() -> None:
    scenario = Scenario(SINGLE)
    scenario.database.users[APP].may_change_own_password = False
    assert bad(looked(scenario)) == {"rights": Outcome.FAIL}


def test_rights_that_the_admin_has_instead_are_a_warning() -> None:
    scenario = Scenario(ALTERNATING, rotation={"strategy": "single-user"})
    scenario.database.users[APP].may_change_own_password = False
    assert bad(looked(scenario)) == {"rights": Outcome.WARN}


def test_a_statement_of_the_secret_that_fails_is_a_failure() -> None:
    scenario = Scenario(SINGLE, rotation={"verify": ["SELECT 1 FROM nothing"]})
    assert bad(looked(scenario)) == {"verify": Outcome.FAIL}


def test_a_name_too_long_for_a_clone_is_a_failure() -> None:
    database = FakeDatabase(replace(KIND, username_limit=5))
    findings = looked(Scenario(ALTERNATING, database=database))
    assert findings["names"].outcome is Outcome.FAIL
    assert findings["login"].outcome is Outcome.PASS
    assert findings["admin"].outcome is Outcome.NOT_LOOKED_AT


def test_a_secret_that_cannot_be_read_ends_it() -> None:
    scenario = Scenario(SINGLE)

    def refuse() -> Description:
        raise ServiceFailed("looking at the secret", "it was refused", "Allow secretsmanager:DescribeSecret")

    findings = list(Inspection(replace(means(scenario), describe=refuse)).findings())
    outcomes = {finding.item: finding.outcome for finding in findings}
    assert outcomes.pop("configuration") is Outcome.PASS
    assert outcomes.pop("secret") is Outcome.FAIL
    assert set(outcomes.values()) == {Outcome.NOT_LOOKED_AT}
    assert not scenario.database.tried


@pytest.mark.parametrize(
    ("change", "item", "outcome", "words"),
    [
        ({"owner": "rds"}, "secret", Outcome.FAIL, "managed by rds"),
        ({"primary_region": "us-east-1"}, "secret", Outcome.FAIL, "a replica of the secret in us-east-1"),
        ({"is_deleted": True}, "secret", Outcome.FAIL, "scheduled for deletion"),
        ({"function_arn": ""}, "rotation", Outcome.WARN, "no rotation function"),
        ({"function_arn": "arn:another"}, "rotation", Outcome.WARN, "another function is attached: arn:another"),
        ({"is_enabled": False}, "rotation", Outcome.WARN, "rotation is off"),
        ({"next_rotation": NOW - timedelta(hours=2)}, "rotation", Outcome.WARN, "has not happened"),
        ({"next_rotation": NOW + timedelta(hours=2)}, "rotation", Outcome.PASS, "the next one is due by"),
        ({"stages": {"v1": ["AWSPENDING"]}}, "labels", Outcome.FAIL, "no version has AWSCURRENT"),
        ({"stages": {"v1": ["AWSCURRENT"], "v2": ["AWSPENDING"]}}, "labels", Outcome.WARN, "v2 has AWSPENDING"),
        ({"stages": {"v1": ["AWSCURRENT", "AWSPENDING"]}}, "labels", Outcome.PASS, "v1 has AWSCURRENT"),
    ],
)
def test_what_secrets_manager_says_is_said(
    change: Mapping[str, object], item: str, outcome: Outcome, words: str
) -> None:
    description = replace(DESCRIPTION, **change)  # type: ignore[arg-type]
    looks = {"secret": description.secret, "labels": description.labels}
    [finding] = looks[item]() if item in looks else description.rotation(FUNCTION, NOW)
    assert (finding.item, finding.outcome) == (item, outcome)
    assert words in finding.said
    assert finding.remedy or outcome is Outcome.PASS


def test_the_answer_of_the_service_is_read() -> None:
    answer = {
        "ARN": DESCRIPTION.arn,
        "OwningService": "rds",
        "PrimaryRegion": "us-east-1",
        "DeletedDate": NOW,
        "RotationLambdaARN": f"{FUNCTION}:live",
        "RotationRules": {"AutomaticallyAfterDays": 7},
        "VersionIdsToStages": {"v1": ["AWSCURRENT", "RotationEqual-A-B"]},
    }
    found = Description.parse(answer)  # type: ignore[arg-type]
    assert (found.owner, found.primary_region, found.is_deleted) == ("rds", "us-east-1", True)
    assert (found.function_arn, found.schedule, found.is_enabled) == (FUNCTION, "every 7 days", False)
    assert found.record == PairRecord(frozenset({"A", "B"}))
