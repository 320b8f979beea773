"""Does a password that a rotation with two passwords left end, or stop the first rotation of a single user?"""

from collections.abc import Mapping

import pytest

from rotation.credential import Credential
from rotation.errors import NotPermitted
from rotation.steps import STEPS, Rotation
from tests.contract.mysql_kit import alter
from tests.fakes import FakeSecret
from tests.laboratories import deadline, new_password
from tests.laboratories.mysql import MySQLLaboratory

DUAL, SINGLE = {"rotation": {"strategy": "dual-password"}}, {"rotation": {"strategy": "single-user"}}


class Switched:
    """A secret that was rotated with two passwords, and is one of a single user from then on."""

    def __init__(self, laboratory: MySQLLaboratory) -> None:
        self.laboratory = laboratory
        self.old = laboratory.new_user()
        laboratory.allow_two_passwords(self.old.username, by_itself=True)
        self.secret = FakeSecret(fields(self.old, DUAL), laboratory.engine.kind)
        self.rotate("with two")
        self.secret.put("by hand", fields(self.current(), SINGLE))
        assert laboratory.logs_in(self.old)

    def current(self) -> Credential:
        """Return what an application reads."""
        return self.secret.read().credential

    def rotate(self, token: str) -> None:
        """Rotate once, without an admin."""
        self.secret.begin(token)
        for step in STEPS.values():
            step(self._rotation())

    def _rotation(self) -> Rotation:
        return Rotation(
            secret=self.secret,
            engine=self.laboratory.engine,
            deadline=deadline(),
            admin=lambda _: self.laboratory.admin,
            new_password=lambda _name, _rules: new_password(),
            annotate=lambda _: None,
        )


def fields(user: Credential, more: Mapping[str, object]) -> dict[str, object]:
    place = {"engine": user.engine, "host": user.host, "port": user.port, "ssl": user.tls}
    return {**place, "username": user.username, "password": user.password, **more}


def refused(mysql: MySQLLaboratory) -> int:
    logins = mysql.logins()
    assert logins
    return logins.refused


def revoke(switched: Switched) -> None:
    alter(switched.laboratory, f"REVOKE APPLICATION_PASSWORD_ADMIN ON *.* FROM '{switched.old.username}'@'%'")


def test_a_user_that_may_end_it_ends_it(mysql: MySQLLaboratory) -> None:
    switched = Switched(mysql)
    before = switched.current()
    switched.rotate("single")
    assert [mysql.logs_in(one) for one in (switched.current(), before, switched.old)] == [True, False, False]


def test_a_user_that_may_not_is_told_the_statement_before_its_password_changes(mysql: MySQLLaboratory) -> None:
    switched = Switched(mysql)
    revoke(switched)
    with pytest.raises(NotPermitted) as raised:
        switched.rotate("single")
    assert mysql.logs_in(switched.current())
    statement = raised.value.remedy.removeprefix("Run ").partition(" as an admin")[0]
    alter(mysql, statement)
    before = switched.current()
    switched.rotate("single")
    assert [mysql.logs_in(one) for one in (switched.current(), before, switched.old)] == [True, False, False]


def test_the_old_password_is_tried_once_and_not_by_later_rotations(mysql: MySQLLaboratory) -> None:
    switched = Switched(mysql)
    switched.rotate("single")
    before = refused(mysql)
    switched.rotate("again")
    assert refused(mysql) == before
