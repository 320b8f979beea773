"""Do staging labels keep the record of a pair, on a Secrets Manager that keeps the service's rules?"""

import pytest

from rotation.record import PairRecord
from tests.local.aws.secrets_manager import LocalSecretsManager
from tests.service.scenario import Scenario

EQUAL = PairRecord(frozenset({"A", "B"}))
BEGUN = PairRecord(frozenset({"A", "B"}), frozenset({"X", "Y"}))
LABEL = "RotationEqual-A-B"


pytestmark = pytest.mark.usefixtures("clock")


@pytest.fixture
def scenario(service: LocalSecretsManager) -> Scenario:
    """A secret with a pending version that has a value."""
    scenario = Scenario(service).begin()
    assert scenario.secret().stage(scenario.successor())
    return scenario


def recorded(scenario: Scenario) -> PairRecord:
    """Return what the next setSecret finds."""
    secret = scenario.secret()
    secret.pending()
    return secret.record()


def begin_again(scenario: Scenario) -> None:
    """Abandon the rotation, and do the next createSecret."""
    scenario.move("AWSPENDING", scenario.token, None)
    scenario.begin()
    secret = scenario.secret()
    assert secret.is_staged()
    assert secret.stage(scenario.successor("password-2"))


def test_a_new_secret_records_nothing(scenario: Scenario) -> None:
    assert recorded(scenario) == PairRecord()


def test_what_is_recorded_is_read_again(scenario: Scenario) -> None:
    scenario.secret().write_record(BEGUN)
    assert recorded(scenario) == BEGUN


def test_a_record_replaces_the_one_before_it(scenario: Scenario) -> None:
    secret = scenario.secret()
    secret.write_record(BEGUN)
    secret.write_record(EQUAL)
    assert recorded(scenario) == EQUAL
    assert set(scenario.labels()) == {"AWSCURRENT", "AWSPENDING", LABEL}


def test_a_record_that_is_there_already_costs_no_call(scenario: Scenario) -> None:
    scenario.secret().write_record(EQUAL)
    secret = scenario.secret()
    secret.pending()
    scenario.service.calls.clear()
    secret.write_record(EQUAL)
    assert scenario.operations() == []


def test_the_next_version_takes_the_record_with_it(scenario: Scenario) -> None:
    scenario.secret().write_record(BEGUN)
    assert scenario.secret().promote()
    scenario.begin()
    secret = scenario.secret()
    assert secret.is_staged()
    assert secret.stage(scenario.successor("password-2"))
    assert recorded(scenario) == BEGUN


def test_the_record_of_an_abandoned_rotation_is_not_lost(scenario: Scenario) -> None:
    scenario.secret().write_record(BEGUN)
    begin_again(scenario)
    assert recorded(scenario) == BEGUN
    assert scenario.labels()[LABEL] == scenario.token


def test_a_value_that_somebody_puts_by_hand_loses_no_record(scenario: Scenario) -> None:
    scenario.secret().write_record(EQUAL)
    scenario.put('{"put": "by hand"}', "AWSCURRENT")
    scenario.begin()
    secret = scenario.secret()
    assert secret.is_staged()
    assert secret.stage(scenario.successor("password-2"))
    assert recorded(scenario) == EQUAL


def test_a_label_that_an_unseen_version_has_is_moved(scenario: Scenario) -> None:
    scenario.move(LABEL, None, scenario.first)
    scenario.secret().write_record(EQUAL)
    assert scenario.labels()[LABEL] == scenario.token


def test_a_label_that_somebody_removed_needs_no_removal(scenario: Scenario) -> None:
    secret = scenario.secret()
    secret.write_record(BEGUN)
    scenario.move("RotationBegun-X-Y", scenario.token, None)
    secret.write_record(EQUAL)
    assert recorded(scenario) == EQUAL


def test_what_this_step_has_recorded_is_removed_although_every_answer_is_older(scenario: Scenario) -> None:
    """Else it stays: the next rotation would end what it says without asking, whoever has done that since."""
    secret, ago = scenario.secret(), [0]
    scenario.service.staleness = lambda _: ago[0]
    secret.write_record(BEGUN)
    ago[0] = 2
    assert secret.read_record() == PairRecord()
    secret.write_record(EQUAL)
    scenario.service.staleness = None
    assert recorded(scenario) == EQUAL


@pytest.mark.parametrize("place", ["this version", "an older one"])
def test_what_another_delivery_has_replaced_meanwhile_needs_no_removal(scenario: Scenario, place: str) -> None:
    """The service refuses the move, all labels are looked at again, and what was seen before is gone."""
    scenario.secret().write_record(PairRecord(frozenset({"OLD"})))
    secret = scenario.secret()
    secret.pending()
    scenario.move("RotationEqual-OLD", scenario.token, None)
    scenario.move(LABEL, None, scenario.token if place == "this version" else scenario.first)
    secret.write_record(EQUAL)
    assert recorded(scenario) == EQUAL


def test_labels_of_others_stay_where_they_are(scenario: Scenario) -> None:
    scenario.move("blue", None, scenario.first)
    scenario.secret().write_record(EQUAL)
    begin_again(scenario)
    assert scenario.labels()["blue"] == scenario.first
    assert recorded(scenario) == EQUAL
