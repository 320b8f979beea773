"""Which pairs of MySQL and MariaDB did somebody who attacked them bring to a stop, or take rights from?"""

from dataclasses import replace

import pytest

from tests.contract.mysql_kit import account, alter, asked, setting
from tests.contract.test_mysql_one_sided import RecordedPair, new_recorded
from tests.laboratories.mysql import MySQLLaboratory

ROLES_OF = "SELECT default_role_user FROM mysql.default_roles WHERE user = %s ORDER BY 1"


def by_superuser(laboratory: MySQLLaboratory) -> RecordedPair:
    """Make a pair whose admin can do everything, the clone current; and a role to be the proxy of."""
    alter(laboratory, "CREATE ROLE IF NOT EXISTS lab_proxied")
    return new_recorded(replace(laboratory, admin=laboratory.superuser))


def rotate_twice(pair: RecordedPair) -> None:
    for _ in range(2):
        pair.rotate()
        pair.require_equal()


class Both:
    """What both servers do."""

    def test_a_right_on_a_table_that_is_to_come_is_lost_by_nobody(self, laboratory: MySQLLaboratory) -> None:
        pair = new_recorded(laboratory)
        pair.give(pair.current, ["GRANT CREATE ON lab.future TO {}"])
        pair.rotate()
        pair.give(pair.current, ["GRANT CREATE, SELECT, INSERT ON lab.future TO {}"])
        rotate_twice(pair)
        assert sum("GRANT SELECT, INSERT, CREATE ON `lab`.`future`" in row for row in pair.shown()) == 2
        pair.give(pair.other, ["GRANT CREATE, DELETE ON lab.future TO {}"])
        pair.paste(*(difference.change_user for difference in pair.require_refused().differences))
        pair.require_equal()

    def test_a_proxy_brings_no_right_that_the_user_has_not(self, laboratory: MySQLLaboratory) -> None:
        """The server gives GRANT OPTION on everything to whoever it gives a proxy WITH GRANT OPTION."""
        pair = by_superuser(laboratory)
        given = ["GRANT PROXY ON lab_proxied TO {} WITH GRANT OPTION", "REVOKE GRANT OPTION ON *.* FROM {}"]
        pair.give(pair.current, given)
        rotate_twice(pair)
        for user in (pair.current, pair.other):
            pair.give(user, ["REVOKE PROXY ON lab_proxied FROM {}"])
        pair.rotate()
        pair.give(pair.other, given)
        pair.paste(*(difference.change_user for difference in pair.require_refused().differences))
        pair.require_equal()


@pytest.mark.engine("mysql")
class TestMySQL(Both):
    """MySQL."""

    def test_a_mandatory_role_gets_its_option(self, laboratory: MySQLLaboratory) -> None:
        alter(laboratory, "CREATE ROLE IF NOT EXISTS lab_mandatory")
        pair = new_recorded(laboratory)
        pair.give(pair.current, ["GRANT lab_mandatory TO {}"])
        pair.rotate()
        with setting(laboratory, "mandatory_roles", "'lab_mandatory'"):
            pair.give(pair.current, ["GRANT lab_mandatory TO {} WITH ADMIN OPTION"])
            rotate_twice(pair)

    def test_a_default_role_that_is_mandatory_no_longer_stops_no_rotation(self, laboratory: MySQLLaboratory) -> None:
        """The server keeps it as the account's default, and lets no other account have it."""
        alter(laboratory, "CREATE ROLE IF NOT EXISTS lab_mandatory, `lab mandatory`")
        pair = new_recorded(laboratory)
        with setting(laboratory, "mandatory_roles", "'lab_mandatory,`lab mandatory`@`%`'"):
            pair.give(pair.current, ["ALTER USER {} DEFAULT ROLE lab_mandatory, `lab mandatory`"])
            pair.rotate()
            pair.require_equal()
            assert asked(laboratory, ROLES_OF, pair.current.username) == [("lab mandatory",), ("lab_mandatory",)]
            pair.give(pair.other, ["ALTER USER {} DEFAULT ROLE NONE"])
        pair.rotate()
        pair.require_equal()

    def test_a_restriction_that_show_grants_does_not_print_follows(self, laboratory: MySQLLaboratory) -> None:
        with setting(laboratory, "partial_revokes", "1"):
            pair = by_superuser(laboratory)
            try:
                pair.give(pair.current, ["GRANT SELECT ON *.* TO {} WITH GRANT OPTION"])
                pair.rotate()
                pair.give(pair.current, ["REVOKE SELECT, GRANT OPTION ON mysql.* FROM {}"])
                rotate_twice(pair)
                query = "SELECT count(*) FROM mysql.user WHERE user LIKE %s AND user_attributes LIKE '%%\"GRANT\"%%'"
                name = min(pair.current.username, pair.other.username)
                assert asked(laboratory, query, f"{name}%") == [(2,)]
                pair.give(pair.other, ["GRANT USAGE ON mysql.* TO {} WITH GRANT OPTION"])
                [difference] = pair.require_refused().differences
                pair.paste(difference.change_other)
                pair.require_equal()
                pair.give(pair.current, ["GRANT USAGE ON mysql.* TO {} WITH GRANT OPTION"])
                rotate_twice(pair)
            finally:
                alter(laboratory, *(f"DROP USER {account(user)}" for user in (pair.current, pair.other)))

    def test_rights_on_a_library_follow(self, laboratory: MySQLLaboratory) -> None:
        alter(laboratory, "CREATE LIBRARY IF NOT EXISTS lab.lib LANGUAGE JAVASCRIPT AS 'export function f() {}'")
        pair = new_recorded(laboratory)
        pair.give(pair.current, ["GRANT EXECUTE ON LIBRARY lab.lib TO {} WITH GRANT OPTION"])
        rotate_twice(pair)
        pair.give(pair.other, ["GRANT ALTER ROUTINE ON LIBRARY lab.lib TO {}"])
        [difference] = pair.require_refused().differences
        assert " on LIBRARY `lab`.`lib`, " in difference.what
        pair.paste(difference.change_user)
        pair.require_equal()

    @pytest.mark.parametrize("holder", ["current", "other"])
    def test_a_user_that_has_the_other_one_as_a_role_is_refused_until_it_has_not(
        self, laboratory: MySQLLaboratory, holder: str
    ) -> None:
        """No account can be its own role, so the two cannot be equal."""
        pair = new_recorded(laboratory)
        who, role = (pair.current, pair.other) if holder == "current" else (pair.other, pair.current)
        alter(laboratory, f"GRANT {account(role)} TO {account(who)}")
        [difference] = pair.require_refused().differences
        assert "use the single-user strategy" in (difference.change_other, difference.change_user)
        pair.paste(difference.change_user if holder == "current" else difference.change_other)
        rotate_twice(pair)


@pytest.mark.engine("mariadb")
class TestMariaDB(Both):
    """MariaDB."""

    def test_statements_about_a_routine_can_be_run_one_by_one(self, laboratory: MySQLLaboratory) -> None:
        """MariaDB forgets SHOW CREATE ROUTINE, which came with 11.3, with the last other right on a routine."""
        alter(laboratory, "CREATE FUNCTION IF NOT EXISTS lab.f() RETURNS int DETERMINISTIC NO SQL RETURN 1")
        pair = new_recorded(laboratory)
        pair.give(pair.other, ["GRANT ALL ON FUNCTION lab.f TO {}"])
        pair.paste(*(difference.change_other for difference in pair.compare().differences))
        pair.require_equal()
