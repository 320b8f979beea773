"""How many logins of one user does a server refuse in a row? It counts anew after one that works."""

import re
from collections.abc import Callable
from contextlib import suppress

import pytest

from rotation.errors import PasswordRefused
from rotation.kind import Strategy
from rotation.steps import Step
from tests.contract.test_attack_logins_mysql import refused, strict
from tests.contract.test_few_logins import Rotated
from tests.laboratories.mysql import MySQLLaboratory

CONNECT = re.compile(r"\d Connect\t(?:Access denied for user '(?P<refused>[^']*)'|(?P<accepted>[^@\s]*)@)")


class Row:
    """The answers to the logins of the user of a secret, as the server's own log has them."""

    def __init__(self, secret: Rotated) -> None:
        """Begin."""
        self._secret = secret
        self._log = secret.laboratory.log_files[0]  # type: ignore[attr-defined]  # of MySQL and MariaDB
        self._begin = self._log.stat().st_size

    def longest(self) -> int:
        """Return how many were refused in a row: of those, the log has a second line."""
        text = self._log.read_bytes()[self._begin :].decode(errors="replace")
        name = self._secret.user.username
        answers = "".join("x" if one["refused"] else " " for one in CONNECT.finditer(text) if name in one.groups())
        return max(map(len, answers.replace(" x", "x").split()), default=0)


def abandon(secret: Rotated, *steps: Step) -> None:
    """Abandon a rotation after these steps."""
    secret.begin()
    secret.run(*steps)
    secret.secret.abandon()


def resume(secret: Rotated) -> None:
    """Begin again at createSecret, a while later."""
    secret.secret.staged_long_ago = True
    secret.run()


def resumed(secret: Rotated) -> None:
    secret.begin()
    secret.run(Step.CREATE)
    resume(secret)


def began_again_at_once(secret: Rotated) -> None:
    secret.begin()
    secret.run(Step.CREATE, Step.SET)
    secret.run()


def delivered_twice(secret: Rotated) -> None:
    secret.begin()
    secret.run(Step.CREATE, Step.SET, Step.SET, Step.TEST, Step.FINISH)


def refused_by_a_policy(secret: Rotated) -> None:
    """What the server asks for has become known too late: after createSecret."""
    secret.begin()
    secret.run(Step.CREATE)
    with strict(secret.laboratory), suppress(PasswordRefused):  # type: ignore[arg-type]
        secret.run(Step.SET)
    resume(secret)


ENDINGS = [resumed, began_again_at_once, delivered_twice, refused_by_a_policy]


class Family:
    """What the two promise together."""

    @pytest.mark.parametrize("end", ENDINGS)
    @pytest.mark.parametrize("abandoned", [1, 2])
    def test_a_user_alone_is_refused_as_often_as_rotations_were_abandoned_and_once_more(
        self, laboratory: MySQLLaboratory, abandoned: int, end: Callable[[Rotated], None]
    ) -> None:
        secret = Rotated(laboratory, Strategy.SINGLE_USER, through_admin=False)
        row = Row(secret)
        abandon(secret, Step.CREATE, Step.SET)
        if abandoned == 2:
            abandon(secret, Step.CREATE)
        end(secret)
        assert secret.logs_in()
        assert 1 <= row.longest() <= abandoned + 1

    def test_an_admin_that_sees_passwords_meets_none_though_a_policy_refuses_one(
        self, laboratory: MySQLLaboratory
    ) -> None:
        secret, before = Rotated(laboratory, Strategy.SINGLE_USER, through_admin=True), refused(laboratory)
        abandon(secret, Step.CREATE, Step.SET)
        refused_by_a_policy(secret)
        assert refused(laboratory) == before
        assert secret.logs_in()


@pytest.mark.engine("mysql")
class TestMySQL(Family):
    """What MySQL counts."""


@pytest.mark.engine("mariadb")
class TestMariaDB(Family):
    """What MariaDB counts."""
