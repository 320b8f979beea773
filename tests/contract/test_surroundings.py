"""Does an application find the same in a session of either user of a pair, on every engine?"""

import pytest

from rotation.engine import OWN_NAME
from rotation.kind import Strategy
from tests.contract.pairs import new_pair, set_secret
from tests.laboratories import Laboratory, deadline

pytestmark = [pytest.mark.newest, pytest.mark.strategies(Strategy.ALTERNATING_USERS)]


@pytest.mark.usefixtures("strategy", "through_admin")
def test_both_users_of_a_pair_find_the_same(every_laboratory: Laboratory) -> None:
    found = []
    for credential in new_pair(every_laboratory):
        with every_laboratory.engine.connect(credential, deadline()) as session:
            found.append(session.surroundings())
            assert session.proof().username == credential.username
    assert found[0] == found[1]
    assert set(found[0].values()) - {OWN_NAME, "None", ""}


@pytest.mark.usefixtures("strategy", "through_admin")
def test_a_rotation_compares_them_and_changes_nothing_by_it(every_laboratory: Laboratory) -> None:
    user = every_laboratory.new_user()
    pending = set_secret(every_laboratory, user)
    assert every_laboratory.logs_in(pending)
    assert every_laboratory.logs_in(set_secret(every_laboratory, pending))
