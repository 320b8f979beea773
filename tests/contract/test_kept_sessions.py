"""Is a session of a laboratory's superuser that is used again as good as new?"""

from tests.contract.mysql_kit import asked, setting
from tests.laboratories.mysql import MySQLLaboratory


def test_a_session_that_is_used_again_has_the_letters_of_a_new_one(mysql: MySQLLaboratory) -> None:
    """Whatever the server's own are: else a test can compare what was written wrong with what was read wrong."""
    with setting(mysql, "character_set_client", "latin1"), setting(mysql, "character_set_connection", "latin1"):
        assert asked(mysql, "SELECT HEX('é'), @@character_set_client") == [("C3A9", "utf8mb4")]


def test_a_session_that_is_used_again_is_in_no_schema(mysql: MySQLLaboratory) -> None:
    with mysql.session() as run:
        run("USE mysql")
    assert asked(mysql, "SELECT DATABASE()") == [(None,)]
