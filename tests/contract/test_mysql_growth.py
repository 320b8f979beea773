"""Is a rotation of a user with very many grants carried on, if one try has not enough time for all of them?"""

import pytest

from rotation.credential import Credential
from rotation.deadline import Deadline
from rotation.errors import OutOfTime
from tests.bench.growing import grow
from tests.contract.mysql_kit import asked
from tests.contract.pairs import RecordInMemory, differences, new_clone, set_secret
from tests.laboratories import ORDERS
from tests.laboratories.mysql import MySQLLaboratory

TIMEOUT = 60.0
"""Seconds: that of the function."""


def worn(step: float) -> Deadline:
    """Return a deadline by a clock that moves on whenever somebody looks at it: twice for each statement."""
    left = iter(range(1_000_000))
    return Deadline(lambda: TIMEOUT - step * next(left))


def granted(laboratory: MySQLLaboratory, username: str) -> int:
    """Return on how many tables an account has rights."""
    [(count,)] = asked(laboratory, "SELECT count(*) FROM mysql.tables_priv WHERE user = %s", username)
    return int(str(count))


def is_done(
    laboratory: MySQLLaboratory, user: Credential, clone: Credential, record: RecordInMemory, grants: int
) -> bool:
    """Try setSecret once, with time for about half of the grants; tell whether that was enough."""
    try:
        set_secret(laboratory, user, pair=record, password=clone.password, within=worn(TIMEOUT / grants))
    except OutOfTime:
        return False
    return True


class Everywhere:
    """What holds on both servers."""

    @pytest.mark.thorough(grants=[20_000])
    @pytest.mark.parametrize("grants", [300, 20_000])
    def test_the_next_try_goes_on_where_time_ran_out(self, laboratory: MySQLLaboratory, grants: int) -> None:
        user, record, seen = laboratory.new_user(), RecordInMemory(), [0]
        clone = new_clone(user)
        grow(laboratory, "tables", user, grants)
        while not is_done(laboratory, user, clone, record, grants):
            seen.append(granted(laboratory, clone.username))
            assert seen[-1] > seen[-2], "each try grants what the one before it did not"
            assert laboratory.may_read(user, ORDERS)
            assert not laboratory.logs_in(clone), "it is locked until it has all"
        assert len(seen) > 2, "time ran out in the middle"
        assert laboratory.may_read(clone, ORDERS)
        assert differences(laboratory, user, clone) == []


@pytest.mark.engine("mysql")
class TestMySQL(Everywhere):
    """MySQL."""


@pytest.mark.sample(2)
@pytest.mark.engine("mariadb")
class TestMariaDB(Everywhere):
    """MariaDB."""
