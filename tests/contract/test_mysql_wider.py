"""Does a pair of MySQL or MariaDB rotate if its user has rights by an account of somebody else?"""

from dataclasses import replace

import pytest

from rotation.credential import Credential
from rotation.engines.mysql.wider import ON_A_DATABASE, WIDER, includes
from rotation.errors import Unsupported
from tests.contract.mysql_kit import OnMariaDB, OnMySQL, account, alter, setting
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

    @pytest.mark.parametrize(
        ("own", "lent"),
        [
            ("SELECT ON *.*", f"SELECT ON lab.{ORDERS}"),
            ("SELECT, INSERT ON lab.*", f"INSERT ON lab.{ORDERS}"),
            ("SELECT, INSERT ON `la_`.*", f"SELECT, INSERT ON lab.{ORDERS}"),
            (f"{', '.join(ON_A_DATABASE)} ON *.*", "ALL ON lab.*"),
        ],
    )
    def test_a_right_that_the_user_has_as_well_on_more_stops_nothing(
        self, laboratory: MySQLLaboratory, own: str, lent: str
    ) -> None:
        user, wide = new_narrow(laboratory)
        alter(laboratory, f"GRANT {own} TO {account(user, HERE)}", f"GRANT {lent} TO {account(wide)}")
        assert laboratory.may_read(set_secret(laboratory, user), ORDERS)

    def test_a_right_on_everything_hides_no_right_on_a_database(self, laboratory: MySQLLaboratory) -> None:
        user, wide = new_narrow(laboratory)
        alter(laboratory, f"GRANT PROCESS ON *.* TO {account(user, HERE)}", f"GRANT SELECT ON lab.* TO {account(wide)}")
        assert laboratory.may_read(user, INVOICES)
        with pytest.raises(Unsupported, match=r"SELECT on `lab`\.\*, .* by"):
            set_secret(laboratory, user)

    def test_a_right_that_another_account_of_the_user_hides_stops_nothing(self, laboratory: MySQLLaboratory) -> None:
        """The server takes the rights on a table from one account: the one for the fewest hosts that has any."""
        user, _ = new_narrow(laboratory)
        middle = account(user, "127.0.0.%")
        alter(
            laboratory,
            f"CREATE USER {middle} IDENTIFIED BY {quoted(user.password)}",
            f"GRANT INSERT ON lab.{ORDERS} TO {middle}",
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


def new_with_role(laboratory: MySQLLaboratory, thing: str) -> Credential:
    """Make two accounts of one name; return who logs in from here, with an active role that can read the thing."""
    user, _ = new_narrow(laboratory)
    role = quoted(f"role_{user.username}")
    with laboratory.session(laboratory.admin) as run:
        run(f"CREATE ROLE {role}")
        run(f"GRANT {role} TO {account(user, HERE)}")
    to = "FOR" if laboratory.engine.kind.name == "MariaDB" else "TO"
    alter(
        laboratory,
        f"GRANT SELECT ON lab.{thing} TO {role}",
        f"SET DEFAULT ROLE {role} {to} {account(user, HERE)}",
    )
    return user


class TestMySQL(OnMySQL, Family):
    """MySQL."""

    def test_while_a_role_is_active_no_right_of_another_account_counts(self, laboratory: MySQLLaboratory) -> None:
        user = new_with_role(laboratory, INVOICES)
        assert not laboratory.may_read(user, ORDERS)
        assert laboratory.may_read(set_secret(laboratory, user), INVOICES)

    def test_a_right_on_everything_but_a_database_is_none_there(self, laboratory: MySQLLaboratory) -> None:
        with setting(laboratory, "partial_revokes", "ON"):
            user, _ = new_narrow(laboratory)
            here = account(user, HERE)
            alter(
                laboratory,
                f"GRANT SELECT ON *.* TO {here}",
                f"REVOKE SELECT ON lab.* FROM {here}",  # noqa: S608 - no query
            )
            assert laboratory.may_read(user, ORDERS)
            with pytest.raises(Unsupported, match=ORDERS):
                set_secret(laboratory, user)
            alter(laboratory, f"GRANT SELECT ON lab.* TO {here}")

    def test_a_server_can_activate_all_roles(self, laboratory: MySQLLaboratory) -> None:
        user = new_with_role(laboratory, INVOICES)
        alter(laboratory, f"SET DEFAULT ROLE NONE TO {account(user, HERE)}")
        with setting(laboratory, "activate_all_roles_on_login", "ON"):
            assert not laboratory.may_read(user, ORDERS)
            assert laboratory.may_read(set_secret(laboratory, user), INVOICES)


class TestMariaDB(OnMariaDB, Family):
    """MariaDB."""

    def test_a_right_that_the_user_has_by_its_role_stops_nothing(self, laboratory: MySQLLaboratory) -> None:
        user = new_with_role(laboratory, ORDERS)
        assert laboratory.may_read(set_secret(laboratory, user), ORDERS)

    def test_a_role_with_other_rights_hides_nothing(self, laboratory: MySQLLaboratory) -> None:
        user = new_with_role(laboratory, INVOICES)
        assert laboratory.may_read(user, ORDERS)
        with pytest.raises(Unsupported, match=ORDERS):
            set_secret(laboratory, user)


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
        ("10.%", "10.0.0.0/255.255.0.0"),
        ("10.0.0.0/255.0.0.0", "10.0.0.1"),
        ("10.0.0.%", "10.0.0._"),
    ],
)
def test_what_includes_a_host_is_not_included_in_it(wider: str, host: str) -> None:
    assert includes(wider, host)
    assert not includes(host, wider)


@pytest.mark.parametrize(
    ("one", "another"),
    [
        ("%", "%"),
        ("10.%", "11.%"),
        (HERE, "localhost"),
        ("::1", HERE),
        ("fe80::/10", "10.0.0.0/255.0.0.0"),
        ("10.0.0.0/255.255.0.0", "10.0.%.1"),
    ],
)
def test_different_hosts_include_nothing_of_each_other(one: str, another: str) -> None:
    assert not includes(one, another)
    assert not includes(another, one)


def test_a_pattern_does_not_include_the_network_around_it() -> None:
    """Written out, the network begins as the pattern does."""
    assert not includes("10.0.0.%", "10.0.0.0/255.0.0.0")
