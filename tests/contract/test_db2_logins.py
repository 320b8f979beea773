"""What does Db2 answer to a login, what do we make of it, and what becomes of an expired password?"""

from dataclasses import replace

import pytest

from rotation.credential import Credential
from rotation.errors import LoginBlocked, LoginRefused, NotPermitted
from rotation.kind import Strategy
from rotation.steps import STEPS, Rotation, Step
from tests.contract.pairs import admin_for
from tests.fakes import FakeSecret
from tests.laboratories import deadline, new_password
from tests.laboratories.db2 import Db2Laboratory
from tests.local.stand_ins.db2.database import Instance

pytestmark = pytest.mark.engine("db2")

RENEW = r"PASSWORD EXPIRED.*CALL RDSADMIN\.CHANGE_PASSWORD\('app_\w+'"


@pytest.fixture
def expired(laboratory: Db2Laboratory, instance: Instance) -> Credential:
    """A user whose password has expired."""
    user = laboratory.new_user()
    known = instance.user(user.username)
    assert known
    known.is_expired = True
    return user


def new_secret(laboratory: Db2Laboratory, user: Credential, *, admin: bool) -> FakeSecret:
    place = {"engine": user.engine, "host": user.host, "port": user.port, "dbname": user.database}
    login = {"username": user.username, "password": user.password, "ssl": user.tls}
    named = {"masterarn": "arn:admin"} if admin else {}
    strategy = {"strategy": Strategy.SINGLE_USER}
    secret = FakeSecret({**place, **login, **named, "rotation": strategy}, laboratory.engine.kind)
    secret.begin("version-1")
    return secret


def rotate(laboratory: Db2Laboratory, secret: FakeSecret) -> None:
    for step in Step:
        STEPS[step](
            Rotation(
                secret=secret,
                engine=laboratory.engine,
                deadline=deadline(),
                admin=lambda value: admin_for(laboratory, value.credential),
                new_password=lambda *_: new_password(),
                annotate=lambda _: None,
            )
        )


@pytest.mark.parametrize("admin", [False, True])
def test_a_rotation_renews_an_expired_password_by_itself(
    laboratory: Db2Laboratory, expired: Credential, *, admin: bool
) -> None:
    secret = new_secret(laboratory, expired, admin=admin)
    rotate(laboratory, secret)
    assert laboratory.logs_in(secret.read().credential)
    assert not laboratory.logs_in(expired)


def test_if_the_server_renews_no_password_the_statement_is_named(
    laboratory: Db2Laboratory, instance: Instance, expired: Credential, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instance, "changes_passwords", False)
    with pytest.raises(NotPermitted, match="masterarn"):
        rotate(laboratory, new_secret(laboratory, expired, admin=False))
    with pytest.raises(LoginBlocked, match=RENEW):
        rotate(laboratory, new_secret(laboratory, expired, admin=True))


def test_an_expired_password_proves_nothing_and_can_do_nothing_else(
    laboratory: Db2Laboratory, expired: Credential
) -> None:
    other = laboratory.new_user()
    with laboratory.engine.connect(expired, deadline()) as session:
        for attempt in (
            session.proof,
            lambda: session.verify([]),
            lambda: session.set_password(other.username, new_password()),
            lambda: session.compare(expired.username, other.username),
        ):
            with pytest.raises(LoginBlocked, match=RENEW):
                attempt()


def test_a_wrong_password_of_an_expired_user_is_refused(laboratory: Db2Laboratory, expired: Credential) -> None:
    secret = new_secret(laboratory, replace(expired, password=new_password()), admin=True)
    with pytest.raises(LoginRefused):
        rotate(laboratory, secret)
