"""Does a rotation go on where a module of PostgreSQL must judge each password itself, and refuses verifiers?"""

import logging
import secrets
from collections.abc import Iterator
from dataclasses import replace

import pytest

from rotation.errors import PasswordRefused
from tests.contract.pairs import differences, mirror, new_clone
from tests.laboratories import deadline
from tests.laboratories.postgresql import PostgreSQLLaboratory
from tests.laboratories.postgresql_elsewhere import in_russian

LOGGER = "rotation.engines.postgresql.session"


@pytest.fixture(scope="module")
def _credcheck() -> Iterator[PostgreSQLLaboratory]:
    with in_russian(shared_preload_libraries="credcheck") as laboratory:
        with laboratory.session() as run:
            run("CREATE EXTENSION credcheck")
            run("ALTER SYSTEM SET credcheck.password_min_digit TO 1")
            run("SELECT pg_reload_conf()")
        yield laboratory


@pytest.fixture
def credcheck(_credcheck: PostgreSQLLaboratory, monkeypatch: pytest.MonkeyPatch) -> PostgreSQLLaboratory:
    """A server with a password policy of the module credcheck; it speaks Russian, and the module does not."""
    monkeypatch.setenv("DB_CA_BUNDLE", str(_credcheck.ca_bundle))
    return _credcheck


def test_a_user_and_an_admin_set_passwords_in_clear_and_say_so(
    credcheck: PostgreSQLLaboratory, caplog: pytest.LogCaptureFixture
) -> None:
    user = credcheck.new_user(password=f"{secrets.token_urlsafe()}1a")
    password = f"{secrets.token_urlsafe()}2b"
    with caplog.at_level(logging.WARNING, LOGGER), credcheck.engine.connect(user, deadline()) as session:
        session.change_own_password(password)
    assert not credcheck.logs_in(user)
    clone = new_clone(user)
    with caplog.at_level(logging.WARNING, LOGGER):
        mirror(credcheck, user, clone)
    assert credcheck.logs_in(clone)
    assert differences(credcheck, user, clone) == []
    assert [record.getMessage() for record in caplog.records] == [
        f"setting the password of {name}: the server refuses verifiers, so it gets the password in clear"
        for name in (user.username, clone.username)
    ]
    assert password not in caplog.text


def test_a_password_that_the_policy_refuses_is_still_refused(credcheck: PostgreSQLLaboratory) -> None:
    user = credcheck.new_user(password=f"{secrets.token_urlsafe()}1a")
    with (
        pytest.raises(PasswordRefused, match=r"password_min_digit|numeric"),
        credcheck.engine.connect(user, deadline()) as session,
    ):
        session.change_own_password("no-digit-in-this-one")
    assert credcheck.logs_in(user)


def test_no_password_goes_in_clear_without_tls(
    credcheck: PostgreSQLLaboratory, caplog: pytest.LogCaptureFixture
) -> None:
    user = credcheck.new_user(password=f"{secrets.token_urlsafe()}1a")
    with (
        caplog.at_level(logging.WARNING, LOGGER),
        pytest.raises(PasswordRefused, match="not a plain text"),
        credcheck.engine.connect(replace(user, tls=False), deadline()) as session,
    ):
        session.change_own_password(f"{secrets.token_urlsafe()}2b")
    assert caplog.records == []


def test_no_other_refusal_gets_the_password_in_clear(postgresql: PostgreSQLLaboratory) -> None:
    """A verifier of the user's own name is refused by passwordcheck, with a code like those of credcheck."""
    user = postgresql.new_user()
    with (
        postgresql.password_policy(user.username),
        pytest.raises(PasswordRefused),
        postgresql.engine.connect(user, deadline()) as session,
    ):
        session.change_own_password(user.username)
    assert f"PASSWORD '{user.username}'" not in postgresql.log_text()
