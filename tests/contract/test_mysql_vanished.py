"""What if somebody drops an account of MySQL or MariaDB between two statements of a rotation?"""

import itertools
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, cast

import pytest

from rotation.credential import Credential
from rotation.errors import RETRIED, RotationError, StatementFailed
from tests.contract.mysql_kit import OnMariaDB, OnMySQL, account, alter, asked
from tests.contract.pairs import RecordInMemory, set_secret
from tests.contract.test_mysql_kept import ROWS, Interrupted
from tests.laboratories import INVOICES
from tests.laboratories.mysql import MySQLLaboratory

if TYPE_CHECKING:
    from rotation.engine import InspectedEngine

OPEN = (
    "SELECT user FROM mysql.user WHERE user LIKE CONCAT(%s, '%%') AND authentication_string = ''"
    " AND plugin IN ('mysql_native_password', 'caching_sha2_password')"
)
"""The accounts that need no password."""

FEWEST_STATEMENTS = 8
"""Of an admin, in one rotation that grants."""


class Dropping:
    """A rotation of a pair in which somebody drops an account."""

    def __init__(self, laboratory: MySQLLaboratory, *, is_later: bool) -> None:
        self.laboratory, self.record = laboratory, RecordInMemory()
        self.user, self.earlier = laboratory.new_user(), list[Credential]()
        if is_later:
            self.earlier = [self.user]
            self.user = set_secret(laboratory, self.user, pair=self.record)
        self.other = laboratory.engine.kind.counterpart(self.user.username)
        laboratory.allow(self.user.username, INVOICES)

    def rotate(self, victim: str, part: str, number: int = 1) -> RotationError | None:
        """Rotate, and drop the victim just before the admin says this for the n-th time; return the error.

        Raises AssertionError if the admin does not.
        """
        drop = partial(alter, self.laboratory, f"DROP USER IF EXISTS {account(victim)}")
        engine = Interrupted(self.laboratory.engine, self.laboratory.admin.username, part, drop, number)
        through = replace(self.laboratory, engine=cast("InspectedEngine", engine))
        try:
            set_secret(through, self.user, *self.earlier, pair=self.record)
        except RotationError as error:
            return error
        return None


class Family:
    """What the two promise together; a subclass says where."""

    @pytest.mark.parametrize("is_later", [False, True], ids=["first", "later"])
    @pytest.mark.parametrize("part", ["GRANT ", " ACCOUNT UNLOCK"])
    def test_an_account_that_somebody_drops_meanwhile_is_an_error_of_ours_and_not_created_by_a_grant(
        self, laboratory: MySQLLaboratory, part: str, is_later: bool
    ) -> None:
        rotation = Dropping(laboratory, is_later=is_later)
        error = rotation.rotate(rotation.other, part)
        assert isinstance(error, StatementFailed)
        assert error.remedy.endswith(RETRIED)
        assert error.remedy == RETRIED or part != "GRANT "
        assert asked(laboratory, "SELECT user FROM mysql.user WHERE user = %s", rotation.other) == []
        assert laboratory.logs_in(set_secret(laboratory, rotation.user, pair=rotation.record))

    def test_an_account_that_is_gone_when_it_is_read_again_is_an_error_of_ours(
        self, laboratory: MySQLLaboratory
    ) -> None:
        rotation = Dropping(laboratory, is_later=False)
        error = rotation.rotate(rotation.user.username, ROWS, 3)
        assert isinstance(error, StatementFailed)
        assert "dropped or renamed" in error.cause

    @pytest.mark.thorough
    @pytest.mark.parametrize("is_other", [False, True], ids=["current", "other"])
    @pytest.mark.parametrize("is_later", [False, True], ids=["first", "later"])
    def test_it_is_one_before_each_statement(self, laboratory: MySQLLaboratory, is_later: bool, is_other: bool) -> None:
        for number in itertools.count(1):
            rotation = Dropping(laboratory, is_later=is_later)
            try:
                rotation.rotate(rotation.other if is_other else rotation.user.username, "", number)
            except AssertionError:  # there is no such statement any more
                assert number > FEWEST_STATEMENTS
                return
            name = rotation.user.username.removesuffix("_clone")
            assert asked(laboratory, OPEN, name) == []


class TestMySQL(OnMySQL, Family):
    """MySQL."""


class TestMariaDB(OnMariaDB, Family):
    """MariaDB."""
