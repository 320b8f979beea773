"""What does createSecret see of its own version, before it writes it?"""

import pytest

from tests.local.aws.secrets_manager import LocalSecretsManager
from tests.service.scenario import Scenario

pytestmark = pytest.mark.usefixtures("clock")


def test_one_call_reads_it_and_nothing_is_waited_for(service: LocalSecretsManager) -> None:
    scenario = Scenario(service).begin()
    assert list(scenario.secret().written()) == []
    assert scenario.operations() == ["GetSecretValue"]
    scenario.secret().stage(scenario.successor())
    assert list(scenario.secret().written()) == [scenario.successor()]


def test_what_is_no_secret_of_the_engine_is_passed_over(service: LocalSecretsManager) -> None:
    scenario = Scenario(service).begin()
    scenario.client.put_secret_value(SecretId=scenario.arn, ClientRequestToken=scenario.token, SecretString="no JSON")
    assert list(scenario.secret().written()) == []
