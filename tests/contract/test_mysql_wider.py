"""Does a pair of MySQL or MariaDB rotate if its user has rights by an account of somebody else?"""

from dataclasses import replace

import pytest

from rotation.credential import Credential
from rotation.engines.mysql.wider import WIDER, includes
from rotation.errors import Unsupported
from tests.contract.mysql_kit import account, alter
from tests.contract.pairs import RecordInMemory, changed, set_secret
from tests.laboratories import INVOICES, ORDERS
from tests.laboratories.mysql import MySQLLaboratory, quoted

HERE = "127.0.0.1"


def new_narrow(laboratory: MySQLLaboratory) -> tuple[Credential, Credential]:
    """Make two accounts of one name, with two passwords: return who logs in from here, and the other one."""
    wide = laboratory.new_user()
    user = changed(replace(wide, database=None))
    alter(laboratory, f"CREATE USER {account(user, HERE)} IDENTIFIED BY {quoted(user.password)}")
    return user, wide


class Family:
    """What the two promise together; a subclass says where."""

    def test_rights_by_another_account_stop_a_rotation_until_the_user_has_them_itself(
        self, laboratory: MySQLLaboratory
    ) -> None:
        """The server looks for rights by name and host: those of an account for more hosts count."""
        user, wide = new_narrow(laboratory)
        assert laboratory.may_read(user, ORDERS)
        with pytest.raises(Unsupported, match=rf"SELECT on `lab`.`{ORDERS}` by {wide.username}@%, which is another"):
            set_secret(laboratory, user)
        alter(laboratory, f"GRANT SELECT ON lab.{ORDERS} TO {account(user, HERE)}")
        other = set_secret(laboratory, user)
        assert laboratory.may_read(other, ORDERS)

    def test_a_secret_can_accept_it(self, laboratory: MySQLLaboratory) -> None:
        user, _ = new_narrow(laboratory)
        other = set_secret(laboratory, user, accept=frozenset({WIDER}))
        assert laboratory.logs_in(other)
        assert not laboratory.may_read(other, ORDERS)

    def test_a_right_that_does_not_count_stops_nothing(self, laboratory: MySQLLaboratory) -> None:
        """If the user has a right on the thing itself, those of the other account on it are not looked at."""
        user, wide = new_narrow(laboratory)
        alter(
            laboratory,
            f"GRANT INSERT ON lab.{ORDERS} TO {account(user, HERE)}",
            f"GRANT INSERT ON `la_`.* TO {account(user, HERE)}",
            f"GRANT SELECT ON lab.* TO {account(wide)}",
            f"GRANT PROCESS ON *.* TO {account(wide)}",
        )
        assert not laboratory.may_read(user, ORDERS)
        assert laboratory.logs_in(set_secret(laboratory, user))

    def test_a_right_that_both_users_have_by_others_stops_nothing(self, laboratory: MySQLLaboratory) -> None:
        """A second secret can have the accounts for more hosts."""
        user, wide = new_narrow(laboratory)
        set_secret(laboratory, user, accept=frozenset({WIDER}), pair=(record := RecordInMemory()))
        laboratory.new_user(f"{wide.username}_clone")
        other = set_secret(laboratory, user, pair=record)
        assert laboratory.may_read(other, ORDERS)
        laboratory.allow(wide.username, INVOICES)
        with pytest.raises(Unsupported, match=INVOICES):
            set_secret(laboratory, user, pair=record)


@pytest.mark.engine("mysql")
class TestMySQL(Family):
    """MySQL."""

    @pytest.fixture
    def laboratory(self, mysql: MySQLLaboratory) -> MySQLLaboratory:
        return mysql


@pytest.mark.engine("mariadb")
class TestMariaDB(Family):
    """MariaDB."""

    @pytest.fixture
    def laboratory(self, mariadb: MySQLLaboratory) -> MySQLLaboratory:
        return mariadb


@pytest.mark.parametrize(
    ("wider", "host"),
    [
        ("%", HERE),
        ("", HERE),
        ("%", "10.%"),
        ("%", "10.0.0.0/255.0.0.0"),
        ("10.%", "10.0.%"),
        ("127.0.0._", HERE),
        ("127.0.0.0/255.0.0.0", HERE),
        ("127.0.0.0/8", "127.0.0.0/255.255.0.0"),
        ("%.EXAMPLE.com", "db.example.com"),
        ("%", "localhost"),
        ("fe80::/10", "fe80::1"),
    ],
)
def test_what_includes_a_host_is_not_included_in_it(wider: str, host: str) -> None:
    assert includes(wider, host)
    assert not includes(host, wider)


@pytest.mark.parametrize(("one", "another"), [("%", "%"), ("10.%", "11.%"), (HERE, "localhost"), ("::1", HERE)])
def test_different_hosts_include_nothing_of_each_other(one: str, another: str) -> None:
    assert not includes(one, another)
    assert not includes(another, one)
