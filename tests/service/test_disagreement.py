"""What is said if two answers never agree which version has AWSCURRENT?"""

import json

import pytest

from rotation.errors import RETRIED, NotRotatable
from rotation.staging import PAUSES
from tests.local.aws.secrets_manager import LocalSecretsManager
from tests.service.scenario import VALUE, Scenario

pytestmark = pytest.mark.usefixtures("clock")


def test_it_is_no_secret_without_a_login(service: LocalSecretsManager) -> None:
    scenario = Scenario(service).begin()
    other = scenario.put(json.dumps(VALUE), "SPARE")

    def move() -> None:
        here = scenario.labels()["AWSCURRENT"]
        scenario.move("AWSCURRENT", here, other if here == scenario.first else scenario.first)

    scenario.before("GetSecretValue", move, times=len(PAUSES) + 1)
    with pytest.raises(NotRotatable, match="do not agree") as caught:
        scenario.secret().current()
    assert caught.value.remedy == RETRIED
    assert scenario.secret().current().credential.username == "app"
