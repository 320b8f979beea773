"""Which ways to run a PgBouncer let a credential be rotated through it?"""

import secrets
from collections.abc import Iterator
from dataclasses import replace

import pytest

from rotation.errors import LoginBlocked, LoginRefused
from tests.contract.pairs import differences, mirror, new_clone
from tests.laboratories import deadline
from tests.laboratories.postgresql import PostgreSQLLaboratory, own
from tests.laboratories.postgresql_elsewhere import MAJOR, pooled
from tests.local.servers import debian_packages, pgbouncer

NEWEST = "1.24"


@pytest.fixture(scope="module")
def direct() -> Iterator[PostgreSQLLaboratory]:
    """A server, behind each of the poolers."""
    debian_packages.unpack(pgbouncer.PACKAGES[NEWEST])
    with own(MAJOR) as laboratory:
        yield laboratory


@pytest.mark.parametrize("auth_type", ["scram-sha-256", "md5"])
@pytest.mark.parametrize("pool_mode", ["session", "transaction"])
def test_a_pair_is_rotated_through_a_pool_of_sessions_and_one_of_transactions(
    direct: PostgreSQLLaboratory, pool_mode: str, auth_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pooled(direct, NEWEST, pool_mode=pool_mode, auth_type=auth_type) as laboratory:
        monkeypatch.setenv("DB_CA_BUNDLE", str(laboratory.ca_bundle))
        user = laboratory.new_user()
        clone = new_clone(user)
        for one, other in ((user, clone), (clone, user)):
            mirror(laboratory, one, other)
            with laboratory.engine.connect(other, deadline()) as session:
                session.verify(["SELECT 1 FROM lab_orders"])
            assert differences(laboratory, one, other) == []


def test_a_pool_of_statements_is_named_as_what_is_in_the_way(
    direct: PostgreSQLLaboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pooled(direct, NEWEST, pool_mode="statement") as laboratory:
        monkeypatch.setenv("DB_CA_BUNDLE", str(laboratory.ca_bundle))
        user = replace(direct.new_user(), port=laboratory.admin.port)
        with pytest.raises(LoginBlocked) as raised, laboratory.engine.connect(user, deadline()):
            pass
    assert "transaction blocks not allowed" in raised.value.cause
    assert "pooler" in raised.value.remedy


def test_passwords_of_a_file_end_with_the_first_rotation_through_the_pooler(
    direct: PostgreSQLLaboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pooler refuses the new password until somebody writes it into auth_file."""
    user = direct.new_user()
    known = {one.username: one.password for one in (user, direct.superuser)}
    with pooled(direct, NEWEST, known) as laboratory:
        monkeypatch.setenv("DB_CA_BUNDLE", str(laboratory.ca_bundle))
        there = replace(user, port=laboratory.admin.port)
        pending = replace(there, password=secrets.token_urlsafe())
        with laboratory.engine.connect(there, deadline()) as session:
            session.change_own_password(pending.password)
        with pytest.raises(LoginRefused), laboratory.engine.connect(pending, deadline()):
            pass
        with direct.engine.connect(replace(pending, port=direct.admin.port), deadline()):
            pass
