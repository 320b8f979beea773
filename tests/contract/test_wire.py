"""What can somebody read who listens between a driver and its server?

With TLS: nothing. Without it (`"ssl": false`):

                a login's password                       a password that is set
    PostgreSQL  a proof that it is known                 a verifier
    MariaDB     a proof that it is known                 a hash
    MySQL       the same, or encrypted for its own key   in clear: its users may not set hashes for themselves
    Oracle      encrypted                                encrypted by the user itself, in clear by an admin
    SQL Server  disguised, which anybody can undo        in clear
    Db2         in clear, if the server asks for it      in clear

A user of Oracle sends its current password in clear, too, if a rotation falls into the rollover period of the last
one. Of the last three engines the servers are stand-ins: that of Db2 asks for passwords in clear.
"""

import secrets
from contextlib import AbstractContextManager
from dataclasses import replace

import pytest

from rotation.credential import Credential
from rotation.engine import KeepsOldPassword, Session
from rotation.errors import LoginRefused
from tests import servers
from tests.contract.pairs import new_clone
from tests.contract.tap import Tap, tapping
from tests.laboratories import ORDERS, Laboratory, deadline
from tests.laboratories.mysql import MySQLLaboratory
from tests.laboratories.oracle import OracleLaboratory


def password() -> str:
    return f"Aa1-{secrets.token_urlsafe(18)}"


def through(tap: Tap, laboratory: Laboratory, who: Credential, *, tls: bool) -> AbstractContextManager[Session]:
    """Log in through a tap."""
    return laboratory.engine.connect(replace(who, port=tap.port, tls=tls), deadline())


def shows(tap: Tap, text: str) -> bool:
    """Tell whether a text could be read, as it is or as SQL Server writes it, which is UTF-16."""
    return tap.shows(text) or tap.shows("".join(f"{character}\0" for character in text))


def set_in_all_ways(tap: Tap, laboratory: Laboratory, *, tls: bool) -> list[Credential]:
    """Set passwords through the tap, as a user of itself and as the admin; return who has them now."""
    user = laboratory.new_user()
    made = [replace(user, password=password())]
    with through(tap, laboratory, user, tls=tls) as session:
        session.change_own_password(made[0].password)
    clone = new_clone(user)
    made.append(clone)
    with through(tap, laboratory, laboratory.admin, tls=tls) as session:
        session.mirror(user.username, clone.username)
        session.set_password(clone.username, clone.password)
        if isinstance(session, KeepsOldPassword):
            laboratory.allow_two_passwords(user.username, by_itself=False)
            made.append(replace(user, password=password()))
            session.add_password(user.username, made[0].password, made[-1].password)
    return made


class Everywhere:
    """What holds for each engine."""

    def test_with_tls_nothing_can_be_read(self, laboratory: Laboratory) -> None:
        with tapping(laboratory.admin.port) as tap:
            made = set_in_all_ways(tap, laboratory, tls=True)
        assert all(laboratory.logs_in(credential) for credential in made)
        texts = {text for user in made for text in (user.username, user.username.upper(), user.password)}
        assert not any(shows(tap, text) for text in (*texts, "ALTER", "SELECT", "RDSADMIN", laboratory.admin.password))


class KeepsLoginsSecret(Everywhere):
    """What holds if the protocol protects the password of a login."""

    def test_a_login_without_tls_does_not_show_its_password(self, laboratory: Laboratory) -> None:
        user = laboratory.new_user()
        wrong = replace(user, password=password())
        with tapping(user.port) as tap:
            with through(tap, laboratory, user, tls=False) as session:
                session.verify([laboratory.statement_that_reads(ORDERS)])
            with pytest.raises(LoginRefused), through(tap, laboratory, wrong, tls=False):
                pass
        assert shows(tap, laboratory.engine.kind.normal_name(user.username)), "it is in clear"
        assert not shows(tap, user.password)
        assert not shows(tap, wrong.password)


class ShowsAll(Everywhere):
    """What holds if neither a login nor a statement protects a password."""

    def test_without_tls_every_password_can_be_read_by_who_listens(self, laboratory: Laboratory) -> None:
        """As docs/threat-model.md says."""
        user = laboratory.new_user()
        wrong = replace(user, password=password())
        with tapping(user.port) as tap:
            with through(tap, laboratory, user, tls=False) as session:
                session.verify([laboratory.statement_that_reads(ORDERS)])
            with pytest.raises(LoginRefused), through(tap, laboratory, wrong, tls=False):
                pass
            made = set_in_all_ways(tap, laboratory, tls=False)
        assert all(laboratory.logs_in(credential) for credential in made)
        logged_in = (user, wrong, laboratory.admin)
        assert all(self.shows_login(tap, who.password) for who in logged_in)
        assert all(shows(tap, who.password) for who in made)

    def shows_login(self, tap: Tap, text: str) -> bool:
        """Tell whether the password of a login could be read."""
        return shows(tap, text)


class SendsVerifiers(KeepsLoginsSecret):
    """What holds if the server takes a verifier or a hash."""

    def test_a_password_that_is_set_without_tls_goes_as_a_verifier(self, laboratory: Laboratory) -> None:
        with tapping(laboratory.admin.port) as tap:
            made = set_in_all_ways(tap, laboratory, tls=False)
        assert all(laboratory.logs_in(credential) for credential in made)
        assert tap.shows("ALTER"), "it is in clear"
        assert not any(tap.shows(user.password) for user in (*made, laboratory.admin))


@pytest.mark.engine("postgresql")
class TestPostgreSQL(SendsVerifiers):
    """PostgreSQL keeps a SCRAM verifier."""


@pytest.mark.engine("mariadb")
class TestMariaDB(SendsVerifiers):
    """MariaDB keeps a hash."""


@pytest.mark.engine("mysql")
class TestMySQL(KeepsLoginsSecret):
    """MySQL makes its hash itself."""

    def test_a_password_that_is_set_without_tls_can_be_read_by_who_listens(self, mysql: MySQLLaboratory) -> None:
        """As docs/threat-model.md says: `"ssl": false` gives each new password of MySQL to the network."""
        with tapping(mysql.admin.port) as tap:
            made = set_in_all_ways(tap, mysql, tls=False)
        assert all(tap.shows(user.password) for user in made)
        assert not tap.shows(mysql.admin.password)


@pytest.mark.engine("oracle")
class TestOracle(KeepsLoginsSecret):
    """Oracle encrypts passwords, but not statements."""

    def test_a_password_that_an_admin_sets_without_tls_can_be_read_by_who_listens(
        self, oracle: OracleLaboratory
    ) -> None:
        """As docs/threat-model.md says. The first of them is the one that the user has given itself."""
        with tapping(oracle.admin.port) as tap:
            made = set_in_all_ways(tap, oracle, tls=False)
        assert all(oracle.logs_in(user) for user in made)
        assert [shows(tap, user.password) for user in made] == [False, True, True]
        assert not shows(tap, oracle.admin.password)

    def test_in_a_rollover_period_the_current_password_can_be_read_by_who_listens(
        self, oracle: OracleLaboratory
    ) -> None:
        """As docs/threat-model.md says."""
        user = oracle.new_user()
        oracle.allow_two_passwords(user.username, by_itself=True)
        current, pending = (replace(user, password=password()) for _ in range(2))
        with oracle.engine.connect(user, deadline()) as session:
            session.add_password(user.username, user.password, current.password)
        with tapping(user.port) as tap, through(tap, oracle, current, tls=False) as session:
            assert isinstance(session, KeepsOldPassword)
            session.add_password(user.username, current.password, pending.password)
        assert [shows(tap, one.password) for one in (user, current, pending)] == [False, True, False]


@pytest.mark.engine("sqlserver")
class TestSQLServer(ShowsAll):
    """SQL Server's clients disguise the password of a login."""

    def shows_login(self, tap: Tap, text: str) -> bool:
        """Look for what LOGIN7 has of it ([MS-TDS] 2.2.6.4): halves of bytes swapped, and some bits turned; no key."""
        clear = text.encode("utf-16-le")
        disguised = bytes((byte << 4 & 0xF0 | byte >> 4) ^ 0xA5 for byte in clear)
        return disguised in b"".join(tap._parts)  # noqa: SLF001 - no text that the tap would look for


@pytest.mark.skipif("db2" not in servers.SERVERS, reason="IBM's client is for x86_64 only")
@pytest.mark.engine("db2")
class TestDb2(ShowsAll):
    """Db2 takes logins in clear, and values of parameters, too."""


def both_ways(laboratory: Laboratory) -> Laboratory:
    """Return it, if one port speaks with TLS and without."""
    if laboratory.logins() is None:
        pytest.skip("a real server has a port for each")
    return laboratory


@pytest.fixture
def oracle(oracle: OracleLaboratory) -> Laboratory:
    """Each Oracle server with one port for both."""
    return both_ways(oracle)


@pytest.fixture
def db2(db2: Laboratory) -> Laboratory:
    """Each Db2 server with one port for both."""
    return both_ways(db2)
