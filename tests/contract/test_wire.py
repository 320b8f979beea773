"""What can somebody read who listens between a driver and its server?

With TLS: nothing. Without it (`"ssl": false`), the logins of all engines keep the password to themselves. A password
that is set goes to PostgreSQL as a verifier and to MariaDB as a hash; to MySQL it goes in clear, because its users may
not set hashes for themselves.
"""

import secrets
from contextlib import AbstractContextManager
from dataclasses import replace

import pytest

from rotation.credential import Credential
from rotation.engine import KeepsOldPassword, Session
from rotation.errors import LoginRefused
from tests.contract.tap import Tap, tapping
from tests.laboratories import Laboratory, deadline
from tests.laboratories_mysql import MySQLLaboratory


def password() -> str:
    return f"Aa1-{secrets.token_urlsafe()}"


def through(tap: Tap, laboratory: Laboratory, who: Credential, *, tls: bool) -> AbstractContextManager[Session]:
    """Log in where somebody listens."""
    return laboratory.engine.connect(replace(who, port=tap.port, tls=tls), deadline())


def set_in_all_ways(tap: Tap, laboratory: Laboratory, *, tls: bool) -> list[Credential]:
    """Set passwords through the tap, as a user of itself and as the admin; return who has them now."""
    user = laboratory.new_user()
    made = [replace(user, password=password())]
    with through(tap, laboratory, user, tls=tls) as session:
        session.change_own_password(made[0].password)
    clone = replace(user, username=f"{user.username}_clone", password=password())
    made.append(clone)
    with through(tap, laboratory, laboratory.admin, tls=tls) as session:
        session.mirror(user.username, clone.username)
        session.set_password(clone.username, clone.password)
        if isinstance(session, KeepsOldPassword):
            made.append(replace(user, password=password()))
            session.add_password(user.username, made[0].password, made[-1].password)
    return made


class Everywhere:
    """What holds for each engine."""

    def test_a_login_without_tls_does_not_show_its_password(self, laboratory: Laboratory) -> None:
        user = laboratory.new_user()
        wrong = replace(user, password=password())
        with tapping(user.port) as tap:
            with through(tap, laboratory, user, tls=False) as session:
                session.verify(["SELECT 1"])
            with pytest.raises(LoginRefused), through(tap, laboratory, wrong, tls=False):
                pass
        assert tap.shows(user.username), "it is in clear"
        assert not tap.shows(user.password)
        assert not tap.shows(wrong.password)

    def test_with_tls_nothing_can_be_read(self, laboratory: Laboratory) -> None:
        with tapping(laboratory.admin.port) as tap:
            made = set_in_all_ways(tap, laboratory, tls=True)
        assert all(laboratory.logs_in(credential) for credential in made)
        assert not any(tap.shows(text) for user in made for text in (user.username, user.password))
        assert not any(tap.shows(text) for text in ("ALTER", "SELECT", laboratory.admin.password))


class SendsVerifiers(Everywhere):
    """What holds where the server takes a verifier or a hash."""

    def test_a_password_that_is_set_without_tls_goes_as_a_verifier(self, laboratory: Laboratory) -> None:
        with tapping(laboratory.admin.port) as tap:
            made = set_in_all_ways(tap, laboratory, tls=False)
        assert all(laboratory.logs_in(credential) for credential in made)
        assert tap.shows("ALTER"), "it is in clear"
        assert not any(tap.shows(user.password) for user in (*made, laboratory.admin))


class TestPostgreSQL(SendsVerifiers):
    """PostgreSQL keeps a SCRAM verifier."""

    @pytest.fixture
    def laboratory(self, postgresql: Laboratory) -> Laboratory:
        return postgresql


class TestMariaDB(SendsVerifiers):
    """MariaDB keeps a hash."""

    @pytest.fixture
    def laboratory(self, mariadb: MySQLLaboratory) -> Laboratory:
        return mariadb


class TestMySQL(Everywhere):
    """MySQL makes its hash itself."""

    @pytest.fixture
    def laboratory(self, mysql: MySQLLaboratory) -> Laboratory:
        return mysql

    def test_a_password_that_is_set_without_tls_can_be_read_by_who_listens(self, mysql: MySQLLaboratory) -> None:
        """As docs/threat-model.md says: `"ssl": false` gives each new password of MySQL to the network."""
        with tapping(mysql.admin.port) as tap:
            made = set_in_all_ways(tap, mysql, tls=False)
        assert all(tap.shows(user.password) for user in made)
        assert not tap.shows(mysql.admin.password)
