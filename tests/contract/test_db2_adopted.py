"""Does Db2 adopt a pair that AWS's template made, or say what to do first?"""

import secrets
from dataclasses import replace

import pytest

from rotation.credential import Credential
from rotation.errors import NotPermitted, Unsafe
from tests.contract.db2_turns import Turns, give
from tests.laboratories import INVOICES
from tests.laboratories.db2 import Db2Laboratory
from tests.local.stand_ins.db2.database import Instance

pytestmark = pytest.mark.engine("db2")


@pytest.fixture
def laboratory(laboratory: Db2Laboratory) -> Db2Laboratory:
    """The laboratory without TLS, which takes IBM's client 0.2 s for each login."""
    return replace(laboratory, admin=replace(laboratory.admin, tls=False))


def aws_rotates(turns: Turns, user: Credential) -> Credential:
    """Do what the statements of AWS's template for two users do; return the other user, with its new password."""
    laboratory, instance = turns.laboratory, turns.instance
    other = replace(
        user, username=laboratory.engine.kind.counterpart(user.username), password=f"Aws-{secrets.token_hex()}"
    )
    if not instance.user(other.username):
        laboratory.administer("call rdsadmin.add_user(?, ?, 'group')", other.username, other.password)
    with laboratory.session() as run:
        for (connect,) in run(
            "SELECT CONNECTAUTH FROM SYSCAT.DBAUTH WHERE GRANTEETYPE = 'U' AND GRANTEE = ?", user.username.upper()
        ):
            assert connect == "Y", "all that the laboratory's users have on the database"
            run(f"GRANT CONNECT ON DATABASE TO USER {other.username.upper()}")
    laboratory.change_password(other)
    return other


@pytest.mark.parametrize("remedy", ["change_other", "change_user"])
@pytest.mark.parametrize("state", ["original current", "clone current"])
def test_a_pair_that_aws_made_is_refused_with_the_statements_and_adopted_after_them(
    laboratory: Db2Laboratory, instance: Instance, state: str, remedy: str
) -> None:
    """AWS's clone has the authorities on the database and one group, so somebody gave it more by hand if it worked."""
    turns = Turns(laboratory, instance, laboratory.new_user())
    original = turns.current
    clone = aws_rotates(turns, original)
    give(turns, "ROLE ROLE_NULLID_PACKAGES", clone.username)
    if state == "original current":
        turns.current, turns.earlier = aws_rotates(turns, clone), (clone,)
    else:
        turns.current, turns.earlier = clone, (original,)
    error, compared = turns.refused()
    assert "no rotation has recorded that they were equal" in error
    assert len(compared.differences) == 3, "two groups, and SELECT on a table"
    for difference in compared.differences:
        turns.run(getattr(difference, remedy))
    turns.rotate()
    turns.rotate()
    assert turns.compared().sentences == []


@pytest.mark.parametrize("state", ["original current", "clone current"])
def test_a_pair_that_aws_made_and_somebody_completed_is_adopted_at_once(
    laboratory: Db2Laboratory, instance: Instance, state: str
) -> None:
    turns = Turns(laboratory, instance, laboratory.new_user())
    original = turns.current
    clone = aws_rotates(turns, original)
    give(turns, "ROLE ROLE_NULLID_PACKAGES", clone.username)
    laboratory.allow(clone.username, "LAB_ORDERS")
    laboratory.administer("CALL RDSADMIN.ADD_GROUPS(?, ?)", clone.username, "lab_users")
    laboratory.administer("CALL RDSADMIN.REMOVE_GROUPS(?, ?)", clone.username, "group")
    if state == "original current":
        turns.current, turns.earlier = aws_rotates(turns, clone), (clone,)
    else:
        turns.current, turns.earlier = clone, (original,)
    turns.rotate()
    laboratory.allow(turns.current.username, INVOICES)
    turns.rotate()


def test_a_clone_that_aws_made_and_that_can_run_nothing_is_refused_with_the_remedy(
    laboratory: Db2Laboratory, instance: Instance
) -> None:
    turns = Turns(laboratory, instance, laboratory.new_user())
    clone = aws_rotates(turns, turns.current)
    turns.current, turns.earlier = aws_rotates(turns, clone), (clone,)
    with pytest.raises(NotPermitted, match=f"GRANT ROLE ROLE_NULLID_PACKAGES TO USER {clone.username}"):
        turns.rotate()


def test_a_clone_whose_password_no_version_has_is_not_adopted(laboratory: Db2Laboratory, instance: Instance) -> None:
    turns = Turns(laboratory, instance, laboratory.new_user())
    clone = aws_rotates(turns, turns.current)
    give(turns, "ROLE ROLE_NULLID_PACKAGES", clone.username)
    turns.earlier = (replace(clone, password="Another-1"),)
    with pytest.raises(Unsafe, match="no version of the secret has its password"):
        turns.rotate()
