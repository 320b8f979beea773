"""Which refused logins of MySQL and MariaDB can be spared, on servers that lock a user for the first one?"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from rotation.engine import Engine
from rotation.engines.mariadb import MariaDB
from rotation.engines.mysql import MySQL
from rotation.errors import NotRotatable, PasswordRefused, Unreachable, Unsupported, Untrusted
from rotation.kind import Strategy
from rotation.steps import Step
from tests.contract.impostor import TLS_REQUEST, Line, greeting
from tests.contract.mysql_kit import account, add, alter, setting
from tests.contract.pairs import changed
from tests.contract.test_few_logins import Rotated
from tests.contract.test_tls import try_to_log_in
from tests.laboratories.mysql import POLICIES, MySQLLaboratory, quoted

LOCKED_BY_ONE = "FAILED_LOGIN_ATTEMPTS 1 PASSWORD_LOCK_TIME UNBOUNDED"
ALERTS = {"of another version": 70, "without a common cipher": 40}
"""TLS's alerts, by the numbers of RFC 8446."""


@contextmanager
def strict(laboratory: MySQLLaboratory) -> Iterator[None]:
    """Let the server refuse every password that is made here."""
    install, uninstall = POLICIES[laboratory.engine.kind.name]
    name = "validate_password.length" if "COMPONENT" in install else "simple_password_check_minimal_length"
    alter(laboratory, install, f"SET GLOBAL {name} = 200")
    try:
        yield
    finally:
        alter(laboratory, uninstall)


def refused(laboratory: MySQLLaboratory) -> int:
    """Return how many logins the server has refused, as its own log says."""
    found = laboratory.logins()
    assert found
    return found.refused


class Family:
    """What the two promise together."""

    def test_a_password_that_a_policy_refuses_locks_nobody_out(self, laboratory: MySQLLaboratory) -> None:
        secret, before = Rotated(laboratory, Strategy.SINGLE_USER, through_admin=False), refused(laboratory)
        with self.locking_at_once(laboratory, secret):
            secret.begin()
            with strict(laboratory):
                secret.run(Step.CREATE)
                with pytest.raises(PasswordRefused):
                    secret.run(Step.SET)
            assert refused(laboratory) == before
            assert secret.logs_in()
            with pytest.raises(NotRotatable):  # it was given up
                secret.run(Step.SET)
            secret.rotate()
            assert secret.logs_in()

    @contextmanager
    def locking_at_once(self, laboratory: MySQLLaboratory, secret: Rotated) -> Iterator[None]:
        """Let the first refused login lock the user of the secret."""
        alter(laboratory, f"ALTER USER {account(secret.user)} {LOCKED_BY_ONE}")
        yield


@pytest.mark.engine("mysql")
class TestMySQL(Family):
    """What only MySQL does, and what both do."""

    def test_a_second_password_after_an_abandoned_rotation_needs_no_refused_login(self, mysql: MySQLLaboratory) -> None:
        secret = Rotated(mysql, Strategy.DUAL_PASSWORD, through_admin=False)
        alter(mysql, f"ALTER USER {account(secret.user)} {LOCKED_BY_ONE}")
        before = refused(mysql)
        secret.begin()
        secret.run(Step.CREATE, Step.SET)
        secret.secret.abandon()
        secret.rotate()
        secret.begin()
        secret.run(Step.CREATE, Step.SET, Step.SET, Step.TEST, Step.SET, Step.FINISH)
        assert refused(mysql) == before
        assert secret.logs_in()

    @pytest.mark.parametrize(
        "policy", ["PASSWORD HISTORY 5", "PASSWORD REQUIRE CURRENT", "WITH MAX_USER_CONNECTIONS 1"]
    )
    def test_whether_a_password_is_the_primary_one_is_asked_whatever_the_policy_says(
        self, mysql: MySQLLaboratory, policy: str
    ) -> None:
        user = mysql.new_user()
        mysql.allow_two_passwords(user.username, by_itself=True)
        alter(mysql, f"ALTER USER {account(user)} {LOCKED_BY_ONE}", f"ALTER USER {account(user)} {policy}")
        new = changed(user)
        for _ in range(2):  # the second time, it is there
            add(mysql, user, user, new)
        assert mysql.logs_in(user)
        assert mysql.logs_in(new)


@pytest.mark.engine("mariadb")
class TestMariaDB(Family):
    """What only MariaDB does, and what both do."""

    @contextmanager
    def locking_at_once(self, laboratory: MySQLLaboratory, secret: Rotated) -> Iterator[None]:  # noqa: ARG002 - it is the server's
        """Let the first refused login lock every user."""
        with setting(laboratory, "max_password_errors", "1"):
            yield

    def test_two_passwords_of_a_user_with_another_method_are_refused_for_that_reason(
        self, mariadb: MySQLLaboratory
    ) -> None:
        secret = Rotated(mariadb, Strategy.DUAL_PASSWORD, through_admin=True)
        alter(mariadb, "INSTALL SONAME 'auth_ed25519'")
        try:
            way = f"VIA ed25519 USING PASSWORD({quoted(secret.user.password)})"
            alter(mariadb, f"ALTER USER {account(secret.user)} IDENTIFIED {way}")
            secret.begin()
            secret.run(Step.CREATE)
            with pytest.raises(Unsupported, match=r"logs in with ed25519\. Use another strategy"):
                secret.run(Step.SET)
            assert secret.logs_in()
            alter(mariadb, f"DROP USER {account(secret.user)}")
        finally:
            alter(mariadb, "UNINSTALL SONAME 'auth_ed25519'")


@pytest.mark.parametrize("alert", ALERTS)
@pytest.mark.parametrize("engine", [MySQL(), MariaDB()], ids=["mysql", "mariadb"])
def test_a_server_with_other_tls_is_not_told_to_renew_its_certificate(engine: Engine, alert: str) -> None:
    def talk(line: Line) -> None:
        line.say(greeting(tls=True))
        line.hear(TLS_REQUEST)
        line.hear()
        line.say(bytes([21, 3, 1, 0, 2, 2, ALERTS[alert]]))

    error, _ = try_to_log_in(engine, talk)
    assert isinstance(error, Untrusted)
    assert "TLS 1.2 or later" in error.remedy
    assert "SELECT @@tls_version, @@ssl_cipher" in error.remedy


@pytest.mark.parametrize("engine", [MySQL(), MariaDB()], ids=["mysql", "mariadb"])
def test_a_server_that_hangs_up_instead_of_tls_has_no_wrong_certificate(engine: Engine) -> None:
    def talk(line: Line) -> None:
        line.say(greeting(tls=True))
        line.hear(TLS_REQUEST)
        line.hear()
        line.close()

    error, _ = try_to_log_in(engine, talk)
    assert isinstance(error, Unreachable)
    assert "certificate" not in error.remedy
